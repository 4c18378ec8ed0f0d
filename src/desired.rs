//! What should be: every resource of an environment with its fields, and the references between them.
//!
//! [`Desired::new`] takes the resources that the sections of a file expand into, brings each to its normal form, and
//! reports everything that is wrong with them at once: limits of AWS, references to nothing, cycles.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::environment::nearest;
use crate::kind::Info;
use crate::kinds;
use crate::tags::Tags;
use crate::value::{Fields, Output, Value};

/// One resource that should exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub address: Address,
    pub fields: Fields,
    /// Resources that must be complete before this one is made, beyond those that its fields name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<Address>,
    /// Where in the file it comes from, as in `services`, `api`.
    #[serde(default)]
    pub origin: Vec<String>,
}

impl Resource {
    /// The kind. [`Desired::new`] lets no other in.
    #[must_use]
    pub fn info(&self) -> &'static Info {
        kinds::find(&self.address.kind).unwrap_or_else(|| unreachable!("{} has a kind", self.address))
    }

    /// The user's own tags.
    #[must_use]
    pub fn user_tags(&self) -> Tags {
        let tags = self.fields.get("tags").and_then(|tags| serde_json::to_value(tags).ok());
        tags.and_then(|tags| serde_json::from_value(tags).ok()).unwrap_or_default()
    }

    /// What it refers to in fields that are set at creation.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<&Output> {
        let late = self.info().late;
        let early = self.fields.iter().filter(|(name, _)| !late.contains(&name.as_str()));
        early.flat_map(|(_, value)| value.references()).collect()
    }

    /// What it refers to in fields that are filled later.
    #[must_use]
    pub fn needs_late(&self) -> BTreeSet<&Output> {
        self.info().late.iter().filter_map(|name| self.fields.get(*name)).flat_map(Value::references).collect()
    }
}

/// All resources of an environment, checked, in normal form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    pub project: String,
    pub environment: String,
    pub account: String,
    pub region: String,
    #[serde(with = "as_list")]
    pub resources: BTreeMap<Address, Resource>,
}

/// Something wrong with what the file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The place in the file, as in `services`, `api`, `port`.
    pub path: Vec<String>,
    pub message: String,
    pub help: Option<String>,
    /// A reference somewhere below `path` that it is about, as in `vpc.main.id`.
    pub reference: Option<String>,
    /// The address that is referred to and not there, if that is what is wrong.
    pub missing: Option<Address>,
}

impl Wrong {
    pub fn new(path: Vec<String>, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), help: None, reference: None, missing: None }
    }
}

impl Desired {
    /// Checks `resources`. The errors are complete: each resource is looked at, whatever is wrong with the others.
    pub fn new(
        project: &str,
        environment: &str,
        account: &str,
        region: &str,
        resources: impl IntoIterator<Item = Resource>,
    ) -> Result<Self, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut all = BTreeMap::new();
        let mut broken = BTreeSet::new();
        for resource in resources {
            let origin = resource.origin.clone();
            let address = resource.address.clone();
            let Some(resource) = normal(resource, &mut wrong) else {
                broken.insert(address);
                continue;
            };
            if let Some(first) = all.insert(address.clone(), resource) {
                let message = format!("{address} is made twice, here and by {}", first.origin.join("."));
                let help = Some("give one of them another name".to_owned());
                wrong.push(Wrong { help, ..Wrong::new(origin, message) });
            }
        }
        let undefined = all.values().flat_map(|resource| undefined(resource, &all));
        // What is wrong with a resource is said once, and not again by those that refer to it.
        wrong.extend(undefined.filter(|one| one.missing.as_ref().is_none_or(|missing| !broken.contains(missing))));
        if wrong.is_empty() {
            wrong.extend(cycles(&all));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let (project, environment) = (project.to_owned(), environment.to_owned());
        Ok(Self { project, environment, account: account.to_owned(), region: region.to_owned(), resources: all })
    }

    /// The addresses so that each stands behind all that it needs at its creation.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Resource> {
        let graph = creation_graph(&self.resources);
        // A strongly connected component holds one address, since there are no cycles, and they come in reverse order
        // of the edges: what others need comes first.
        tarjan_scc(&graph).into_iter().flatten().filter_map(|address| self.resources.get(address)).collect()
    }
}

fn normal(mut resource: Resource, wrong: &mut Vec<Wrong>) -> Option<Resource> {
    let at = |field: &str| {
        let mut path = resource.origin.clone();
        path.extend(field.split('.').filter(|part| !part.is_empty()).map(str::to_owned));
        path
    };
    let Some(info) = kinds::find(&resource.address.kind) else {
        let message = format!("there is no kind `{}`", resource.address.kind);
        wrong.push(Wrong::new(at(""), message));
        return None;
    };
    match (info.normalize)(&resource.fields) {
        Ok(fields) => resource.fields = fields,
        Err(error) => {
            let message = format!("{}: {error}", resource.address);
            wrong.push(Wrong::new(at(""), message));
            return None;
        }
    }
    for problem in (info.check)(&resource.fields).unwrap_or_default() {
        let message = format!("{}: {}", resource.address, problem.message);
        wrong.push(Wrong { help: problem.help, ..Wrong::new(at(&problem.path), message) });
    }
    Some(resource)
}

fn undefined(resource: &Resource, all: &BTreeMap<Address, Resource>) -> Vec<Wrong> {
    let referred = resource.fields.values().flat_map(Value::references).collect::<BTreeSet<_>>();
    let referred = referred.into_iter().filter_map(|output| {
        let mut missing = None;
        let (message, help) = match all.get(&output.of) {
            None => {
                missing = Some(output.of.clone());
                let addresses: Vec<String> = all.keys().map(ToString::to_string).collect();
                let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
                let message = format!("{} refers to {}, which is not in the file", resource.address, output.of);
                let help = match nearest(&output.of.to_string(), &addresses) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "sections have plural names, as in `${databases.main.endpoint}`; kinds do not".to_owned(),
                };
                (message, Some(help))
            }
            Some(target) if !target.info().outputs.contains(&output.name.as_str()) => {
                let message = format!("{} has no output `{}`", output.of, output.name);
                (message, Some(format!("it has {}", target.info().outputs.join(", "))))
            }
            Some(_) => return None,
        };
        let reference = Some(output.to_string());
        Some(Wrong { path: resource.origin.clone(), message, help, reference, missing })
    });
    let missing = resource.after.iter().filter(|address| !all.contains_key(address)).map(|address| {
        let message = format!("{} comes after {address}, which is not in the file", resource.address);
        Wrong { missing: Some(address.clone()), ..Wrong::new(resource.origin.clone(), message) }
    });
    referred.chain(missing).collect()
}

fn creation_graph(all: &BTreeMap<Address, Resource>) -> DiGraphMap<&Address, ()> {
    let mut graph = DiGraphMap::new();
    for (address, resource) in all {
        graph.add_node(address);
        for needed in resource.needs().into_iter().map(|output| &output.of).chain(&resource.after) {
            graph.add_edge(address, needed, ());
        }
    }
    graph
}

fn cycles(all: &BTreeMap<Address, Resource>) -> Vec<Wrong> {
    let graph = creation_graph(all);
    let cyclic = |group: &Vec<&Address>| group.len() > 1 || graph.contains_edge(group[0], group[0]);
    let groups = tarjan_scc(&graph).into_iter().filter(cyclic);
    groups
        .map(|mut group| {
            group.sort();
            let names = group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ");
            let path = all.get(group[0]).map(|resource| resource.origin.clone()).unwrap_or_default();
            let message = format!("these refer to each other in a circle: {names} → {}", group[0]);
            let help = Some("take one of the references out; none of them can be made first".to_owned());
            Wrong { help, ..Wrong::new(path, message) }
        })
        .collect()
}

mod as_list {
    use super::{Address, BTreeMap, Resource};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<Address, Resource>, serializer: S) -> Result<S::Ok, S::Error> {
        map.values().collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Address, Resource>, D::Error> {
        let list = Vec::<Resource>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|resource| (resource.address.clone(), resource)).collect())
    }
}
