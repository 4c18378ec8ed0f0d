//! From sections to resources: what each section of a file makes in AWS, and what its references mean.

mod alarms;
mod backups;
mod buckets;
mod caches;
mod connections;
mod dashboards;
mod databases;
mod dns;
mod firewall;
mod functions;
mod jobs;
mod keys;
mod load_balancers;
mod logs;
mod network;
mod notifications;
mod pipeline;
mod references;
mod registries;
mod rotation;
mod services;
mod tracing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::json;

use super::shape::join_lines;
use super::{EnvironmentFile, check_schema, file, nearest};
use crate::address::{Address, Identity, PROTECT};
use crate::desired::{Resource, Wrong};
use crate::diagnostic::Diagnostic;
use crate::kind::{Info, Kind};
use crate::kinds;
use crate::source::Node;
use crate::value::{Arg, Fields, Outputs, Value, to_fields};

/// What the account tells before anything is planned. Offline, it is assumed.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The names of the region's zones, sorted; `None` offline.
    pub zones: Option<Vec<String>>,
    /// The outputs of what the section `existing` names by address.
    pub existing: BTreeMap<String, Outputs>,
}

/// The schemas of all kinds, as raw resources.
static SCHEMAS: LazyLock<BTreeMap<&str, serde_json::Value>> = LazyLock::new(|| {
    let schema = |info: &Info| (info.name, raw_schema(info));
    kinds::ALL.iter().map(schema).collect()
});

/// Whether AWS can tag resources of a kind.
fn is_taggable(kind: &str) -> bool {
    SCHEMAS.get(kind).is_some_and(|schema| schema.pointer("/properties/tags").is_some())
}

/// A file on its way to resources.
pub(super) struct Expansion<'a> {
    pub file: &'a EnvironmentFile,
    pub name: &'a str,
    pub facts: &'a Facts,
    resources: Vec<Resource>,
    wrong: Vec<Wrong>,
    /// What is wrong with the fields of raw resources, at their places.
    found: Vec<Diagnostic>,
    /// What would be there but for a mistake that has been reported: nobody needs to hear that it is missing.
    broken: BTreeSet<Address>,
}

/// What a file makes, and what is wrong with it.
pub(super) struct Expanded {
    pub resources: Vec<Resource>,
    pub wrong: Vec<Wrong>,
    pub found: Vec<Diagnostic>,
    broken: BTreeSet<Address>,
}

impl Expanded {
    /// Whether something is missing only because of a mistake that has been reported.
    pub fn explains(&self, missing: &Address) -> bool {
        // How many subnets there are is up to the network.
        let network = || self.wrong.iter().any(|wrong| wrong.path.first().is_some_and(|first| first == "network"));
        self.broken.contains(missing) || (missing.kind == "subnet" && network())
    }
}

/// All resources of a file, and all that is wrong with how its parts fit together.
pub(super) fn expand(file: &EnvironmentFile, name: &str, tree: &Node, facts: &Facts) -> Expanded {
    let mut expansion = Expansion {
        file,
        name,
        facts,
        resources: Vec::new(),
        wrong: Vec::new(),
        found: Vec::new(),
        broken: BTreeSet::new(),
    };
    network::expand(&mut expansion);
    keys::expand(&mut expansion);
    buckets::expand(&mut expansion);
    load_balancers::expand(&mut expansion);
    databases::expand(&mut expansion);
    caches::expand(&mut expansion);
    rotation::expand(&mut expansion);
    services::expand(&mut expansion);
    registries::expand(&mut expansion);
    backups::expand(&mut expansion);
    pipeline::expand(&mut expansion);
    jobs::expand(&mut expansion);
    tracing::expand(&mut expansion);
    dns::expand(&mut expansion);
    firewall::expand(&mut expansion);
    notifications::expand(&mut expansion);
    logs::expand(&mut expansion);
    expansion.raw(tree);
    alarms::expand(&mut expansion, tree);
    dashboards::expand(&mut expansion);
    let Expansion { resources, wrong, found, broken, .. } = expansion;
    Expanded { resources, wrong, found, broken }
}

impl Expansion<'_> {
    /// Adds a resource that the part of the file at `origin` makes.
    fn add<K: Kind>(&mut self, name: impl Into<String>, origin: &[&str], spec: &K) -> Address {
        let address = Address::new(K::NAME, name);
        match to_fields(spec) {
            Ok(fields) => self.insert(address.clone(), origin, fields),
            Err(error) => self.wrong(origin, format!("{address}: {error}"), None),
        }
        address
    }

    /// Adds a resource with the file's own tags, where AWS can tag it.
    fn insert(&mut self, address: Address, origin: &[&str], mut fields: Fields) {
        let own = match fields.remove("tags") {
            Some(Value::Map(own)) => own,
            _ => Fields::new(),
        };
        let mut tags: Fields =
            self.file.tags.iter().map(|(key, value)| (key.clone(), Value::text(value.clone()))).collect();
        tags.extend(own);
        if self.file.protects(origin) {
            tags.insert(PROTECT.to_owned(), Value::text("true"));
        }
        if !tags.is_empty() && is_taggable(&address.kind) {
            fields.insert("tags".to_owned(), Value::Map(tags));
        }
        let origin = origin.iter().map(|part| (*part).to_owned()).collect();
        self.resources.push(Resource { address, fields, after: BTreeSet::new(), origin });
    }

    fn wrong(&mut self, path: &[&str], message: impl Into<String>, help: Option<String>) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.wrong.push(Wrong { help, ..Wrong::new(path, message) });
    }

    /// The name that AWS sees for a generated one, where a rule of AWS ties other names to it.
    fn aws_name(&self, name: &str, limit: usize) -> String {
        let address = Address::new("name", name);
        let (project, environment) = (self.file.project.clone(), self.name.to_owned());
        Identity { project, environment, address }.aws_name(limit)
    }

    /// The key `main`, where the file has one: it encrypts all data of the environment.
    fn main_key(&self) -> Option<Arg<String>> {
        self.file.keys.contains_key("main").then(|| Arg::output(&Address::new("kms_key", "main"), "arn"))
    }

    /// The resources that the file gives as they are.
    fn raw(&mut self, tree: &Node) {
        for (key, json) in &self.file.resources {
            let origin = ["resources", key.as_str()];
            let known = match key.parse::<Address>() {
                Ok(address) => kinds::find(&address.kind).map(|info| (address, info)).ok_or_else(|| no_kind(key)),
                Err(error) => {
                    let help = "the name has lower-case letters, digits, `-` and `_`".to_owned();
                    Err((error.to_string(), Some(help)))
                }
            };
            let (address, info) = match known {
                Ok(known) => known,
                Err((message, help)) => {
                    self.wrong(&origin, message, help);
                    self.broken.extend(meant(key));
                    continue;
                }
            };
            let path = origin.map(str::to_owned);
            if let (Some(node), Some(schema)) = (tree.get(&origin), SCHEMAS.get(info.name)) {
                let found = check_schema(node, schema, &path);
                if !found.is_empty() {
                    let secret = |one: &Diagnostic| info.name == "secret" && one.code == Some("unknown_field");
                    let shown = found.into_iter().map(|one| if secret(&one) { one.hidden() } else { one });
                    self.found.extend(shown);
                    self.broken.insert(address);
                    continue;
                }
            }
            match self.referring(json, &path) {
                Value::Map(mut fields) => {
                    fields.remove(file::PROTECT);
                    self.insert(address, &origin, fields);
                }
                _ => drop(self.broken.insert(address)),
            }
        }
    }

    fn partition(&self) -> &'static str {
        crate::rights::partition(&self.file.region)
    }

    /// A plain value in which each text that holds references becomes a template.
    fn referring(&mut self, json: &serde_json::Value, path: &[String]) -> Value {
        let below = |part: String| path.iter().cloned().chain([part]).collect::<Vec<_>>();
        match json {
            serde_json::Value::String(text) => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                match self.text(text, &path) {
                    Arg::Known(text) => Value::Text(text),
                    Arg::Reference(template) => Value::Template(template),
                }
            }
            serde_json::Value::Array(items) => {
                let items = items.iter().enumerate();
                Value::List(items.map(|(at, item)| self.referring(item, &below(at.to_string()))).collect())
            }
            serde_json::Value::Object(fields) => {
                let fields = fields.iter();
                Value::Map(fields.map(|(key, item)| (key.clone(), self.referring(item, &below(key.clone())))).collect())
            }
            plain => plain.clone().into(),
        }
    }
}

/// The fields of a kind, and what a raw resource may have beside them.
fn raw_schema(info: &Info) -> serde_json::Value {
    let mut schema = (info.schema)().to_value();
    if let Some(fields) = schema["properties"].as_object_mut().filter(|fields| fields.contains_key("tags")) {
        fields.insert(file::PROTECT.to_owned(), json!({ "type": "boolean", "description": "Refuses to delete it." }));
    }
    join_lines(&mut schema);
    schema
}

fn no_kind(key: &str) -> (String, Option<String>) {
    let kind = key.split('.').next().unwrap_or_default();
    let names: Vec<&str> = kinds::ALL.iter().map(|info| info.name).collect();
    let help = match near_kind(kind) {
        _ if EnvironmentFile::sections().contains(&kind) => {
            format!("`{kind}` is a section, which stands at the top of the file")
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    (format!("there is no kind `{kind}`"), Some(help))
}

/// The kind that was probably meant, also by Terraform's name of it.
fn near_kind(kind: &str) -> Option<&'static str> {
    let names: Vec<&str> = kinds::ALL.iter().map(|info| info.name).collect();
    let plain = kind.trim_start_matches("aws_");
    names
        .iter()
        .find(|name| **name == plain)
        .copied()
        .or_else(|| crate::terraform::kind(kind))
        .or_else(|| nearest(plain, &names))
}

/// The addresses that the key of a raw resource may have been meant for.
fn meant(key: &str) -> Vec<Address> {
    let Some((kind, name)) = key.split_once('.') else { return Vec::new() };
    let kinds = [Some(kind), near_kind(kind)].into_iter().flatten();
    kinds.map(|kind| Address::new(kind, name)).collect()
}
