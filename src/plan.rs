//! (Desired, Snapshot) → Plan. All decisions are made here; applying chooses nothing.
//!
//! Two passes compare: the first goes along the references that are needed at creation and settles what is created or
//! replaced, so that it is known which outputs are known; the second compares everything with that knowledge.
//! `steps` then turns the outcome into steps with an order.

mod steps;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::address::{Address, hex};
use crate::desired::{Desired, Resource};
use crate::diff::{Change, diff};
use crate::kind::{Health, Info, Live};
use crate::kinds;
use crate::value::{Fields, Output, resolve};

/// Everything of ours that is live, as one read of every kind found it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub live: Vec<Live<Fields>>,
}

/// What happens to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Delete,
    Replace,
    Update,
    Create,
}

/// What a step costs whoever uses the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    None,
    InPlace,
    Restart,
    Replacement,
    Deletion,
    DataLoss,
}

/// One address of a plan, as a reader sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    pub address: Address,
    pub action: Action,
    pub reason: String,
    pub changes: Vec<Change>,
    pub harm: Harm,
    /// How long AWS usually takes.
    pub minutes: u16,
}

/// One call of the executor on a driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Make the shell, wait, and bring it to `fields`, all but the late ones.
    Create(Fields),
    /// Set the late fields of what was just created.
    Fill(Fields),
    Update {
        live: Live<Fields>,
        fields: Fields,
    },
    /// Empty the late fields, so that what refers to each other can be deleted.
    Empty {
        live: Live<Fields>,
        fields: Fields,
    },
    /// Mark as left behind, so that the name of the identity is free for the replacement.
    Depose(Live<Fields>),
    Delete(Live<Fields>),
    Wait(Live<Fields>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub address: Address,
    pub verb: Verb,
}

impl Step {
    fn minutes(&self) -> u16 {
        let Some(info) = kinds::find(&self.address.kind) else { return 0 };
        match self.verb {
            Verb::Create(_) | Verb::Wait(_) => info.minutes.0,
            Verb::Delete(_) => info.minutes.1,
            _ => 0,
        }
    }
}

/// An address that cannot be planned, and what to do about it. What depends on it waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocked {
    pub address: Address,
    pub why: String,
    pub help: String,
}

/// Something to know that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    pub address: Address,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub project: String,
    pub environment: String,
    pub account: String,
    pub region: String,
    /// By address.
    pub resources: Vec<Planned>,
    /// An edge leads from a step to one that waits for it.
    pub steps: StableDiGraph<Step, ()>,
    /// The outputs that are known before anything is done.
    pub outputs: BTreeMap<Address, crate::value::Outputs>,
    pub unchanged: usize,
    pub blocked: Vec<Blocked>,
    pub notes: Vec<Note>,
    /// Depends on what is desired and on the live state that the plan rests on.
    pub digest: String,
}

impl Plan {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.blocked.is_empty()
    }

    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.resources.iter().filter(|planned| planned.action == action).count()
    }

    /// How long AWS usually takes for the slowest chain of steps that wait for each other.
    #[must_use]
    pub fn minutes(&self) -> usize {
        let mut ends: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        for node in petgraph::algo::toposort(&self.steps, None).unwrap_or_default() {
            let waits = self.steps.neighbors_directed(node, Direction::Incoming).filter_map(|before| ends.get(&before));
            let starts = waits.max().copied().unwrap_or_default();
            ends.insert(node, starts + usize::from(self.steps[node].minutes()));
        }
        ends.into_values().max().unwrap_or_default()
    }

    /// The addresses whose data this plan would destroy.
    pub fn data_losses(&self) -> impl Iterator<Item = &Planned> {
        self.resources.iter().filter(|planned| planned.harm == Harm::DataLoss)
    }

    /// Only `targets` (all, where empty) and what they need, without `excluded` and what needs these.
    #[must_use]
    pub fn limited_to(mut self, targets: &BTreeSet<Address>, excluded: &BTreeSet<Address>) -> Self {
        let nodes_of = |plan: &Self, addresses: &BTreeSet<Address>| {
            let of = |node: &NodeIndex| addresses.contains(&plan.steps[*node].address);
            plan.steps.node_indices().filter(of).collect::<Vec<_>>()
        };
        if !targets.is_empty() {
            let keep = reach(&self.steps, nodes_of(&self, targets), Direction::Incoming);
            self.steps.retain_nodes(|_, node| keep.contains(&node));
        }
        let drop = reach(&self.steps, nodes_of(&self, excluded), Direction::Outgoing);
        self.steps.retain_nodes(|_, node| !drop.contains(&node));
        let left: BTreeSet<&Address> = self.steps.node_weights().map(|step| &step.address).collect();
        self.resources.retain(|planned| left.contains(&planned.address));
        self
    }
}

fn reach(graph: &StableDiGraph<Step, ()>, mut open: Vec<NodeIndex>, direction: Direction) -> BTreeSet<NodeIndex> {
    let mut seen = BTreeSet::new();
    while let Some(node) = open.pop() {
        if seen.insert(node) {
            // All steps of one address go together: half a replacement is worse than none.
            let address = &graph[node].address;
            open.extend(graph.node_indices().filter(|other| graph[*other].address == *address));
            open.extend(graph.neighbors_directed(node, direction));
        }
    }
    seen
}

/// What comparing found for one desired resource.
#[derive(Clone)]
struct Outcome<'a> {
    info: &'static Info,
    resource: &'a Resource,
    live: Option<&'a Live<Fields>>,
    /// `None` where nothing is to be done.
    action: Option<Action>,
    /// The fields to bring the resource to, resolved as far as known, with what runs own taken over.
    fields: Fields,
    changes: Vec<Change>,
    reason: String,
}

impl Outcome<'_> {
    /// Whether the replacement is made before the old one goes.
    fn create_first(&self) -> bool {
        let named = self.resource.fields.get("name");
        let same_name = named.is_some() && named == self.live.and_then(|live| live.spec.get("name"));
        self.info.create_first && !same_name
    }

    fn output(&self, name: &str) -> Option<String> {
        let settled = match self.action {
            None => true,
            Some(Action::Update) => !self.info.moving.contains(&name),
            Some(_) => self.live.is_some_and(|live| live.health == Health::Restorable),
        };
        self.live.filter(|_| settled).and_then(|live| live.outputs.get(name)).cloned()
    }
}

/// Why a plan could not be made although nothing is wrong with the file: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("the steps of {0} wait for each other; this is a defect of infra, please report it with the environment file")]
pub struct Deadlock(pub String);

/// Plans how to bring what is live to what is desired.
pub fn plan(desired: &Desired, snapshot: &Snapshot) -> Result<Plan, Deadlock> {
    let current: Vec<&Live<Fields>> =
        snapshot.live.iter().filter(|live| !live.deposed && live.health != Health::Tombstone).collect();
    let mut by_address: BTreeMap<&Address, Vec<&Live<Fields>>> = BTreeMap::new();
    for live in &current {
        by_address.entry(&live.identity.address).or_default().push(live);
    }
    let blocked = duplicates(&by_address);
    let single = |address: &Address| by_address.get(address).and_then(|all| all.first()).copied();

    let mut outcomes: BTreeMap<&Address, Outcome> = BTreeMap::new();
    for resource in desired.in_order() {
        let outcome = compare(resource, single(&resource.address), &outcomes, Pass::Early);
        outcomes.insert(&resource.address, outcome);
    }
    for resource in desired.in_order() {
        let outcome = compare(resource, single(&resource.address), &outcomes, Pass::All);
        outcomes.insert(&resource.address, outcome);
    }

    let restorable = |live: &&&Live<Fields>| live.health != Health::Restorable;
    let removed = current.iter().filter(|live| !outcomes.contains_key(&live.identity.address)).filter(restorable);
    let removed: Vec<&Live<Fields>> = removed.copied().collect();
    let mut resources: Vec<Planned> = outcomes.values().filter_map(planned).collect();
    let why = if desired.resources.is_empty() { "all of the environment goes" } else { "no longer in the file" };
    resources.extend(removed.iter().map(|live| deletion(live, why)));
    let deposed: Vec<&Live<Fields>> =
        snapshot.live.iter().filter(|live| live.deposed && live.health != Health::Tombstone).collect();
    resources.extend(deposed.iter().map(|live| deletion(live, "left behind by a replacement")));
    resources.sort_by(|a, b| a.address.cmp(&b.address));

    let steps = steps::build(&outcomes, &removed, &deposed)?;
    let unchanged = outcomes.values().filter(|outcome| outcome.action.is_none()).count();
    let outputs = outcomes.iter().filter_map(|(address, outcome)| {
        let live = outcome.live?;
        let known = live.outputs.keys().filter_map(|name| Some((name.clone(), outcome.output(name)?)));
        Some(((*address).clone(), known.collect()))
    });
    let outputs = outputs.collect();
    let there = current.iter().filter(|live| live.health != Health::Restorable);
    let notes = there.flat_map(|live| {
        live.notes.iter().map(|text| Note { address: live.identity.address.clone(), text: text.clone() })
    });
    let notes = notes.collect();
    let digest = digest(desired, &resources, &current);
    let plan = Plan {
        project: desired.project.clone(),
        environment: desired.environment.clone(),
        account: desired.account.clone(),
        region: desired.region.clone(),
        resources,
        steps,
        outputs,
        unchanged,
        notes,
        digest,
        blocked: Vec::new(),
    };
    let doubled = blocked.iter().map(|blocked| blocked.address.clone()).collect();
    Ok(Plan { blocked, ..plan.limited_to(&BTreeSet::new(), &doubled) })
}

fn duplicates(by_address: &BTreeMap<&Address, Vec<&Live<Fields>>>) -> Vec<Blocked> {
    let doubled = by_address.iter().filter(|(_, all)| all.len() > 1);
    doubled
        .map(|(address, all)| Blocked {
            address: (*address).clone(),
            why: format!(
                "{} live resources carry this address: {}",
                all.len(),
                all.iter().map(|live| live.id.as_str()).collect::<Vec<_>>().join(", ")
            ),
            help: "delete the one that nothing uses, or remove its infra: tags".to_owned(),
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Only what is needed at creation: late fields may refer to what has not been looked at yet.
    Early,
    All,
}

fn compare<'a>(
    resource: &'a Resource,
    live: Option<&'a Live<Fields>>,
    settled: &BTreeMap<&Address, Outcome<'a>>,
    pass: Pass,
) -> Outcome<'a> {
    let info = resource.info();
    let known = |output: &Output| settled.get(&output.of).and_then(|outcome| outcome.output(&output.name));
    let mut fields = resolve(&resource.fields, &known);
    // References that are now known may sort differently, and what runs own is taken over from the live resource.
    // A specification that decoded with references also decodes with their text: on a defect, planning goes on without.
    fields = match live {
        Some(live) => (info.take_over)(&fields, &live.spec),
        None => (info.normalize)(&fields),
    }
    .unwrap_or(fields);
    let mut changes = live.map(|live| diff(info, &live.spec, &fields)).unwrap_or_default();
    if pass == Pass::Early {
        changes.retain(|change| !info.late.contains(&change.field()));
    }
    let (action, reason) = decide(info, live, &changes);
    Outcome { info, resource, live, action, fields, changes, reason }
}

fn decide(info: &Info, live: Option<&Live<Fields>>, changes: &[Change]) -> (Option<Action>, String) {
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let replacing: BTreeSet<&str> =
        changes.iter().filter(|change| change.forces_replacement).map(Change::field).collect();
    match live.map(|live| &live.health) {
        None => (Some(Action::Create), "not in AWS".to_owned()),
        Some(Health::Restorable) => (Some(Action::Create), "restored: it was scheduled for deletion".to_owned()),
        Some(Health::Failed(why)) => (Some(Action::Replace), format!("it has failed: {why}")),
        Some(_) if !replacing.is_empty() => {
            let them = if info.create_first { "in place" } else { "in place, nor make the new one first" };
            (Some(Action::Replace), format!("AWS cannot change {} {them}", list(replacing)))
        }
        Some(_) if !changes.is_empty() => {
            (Some(Action::Update), format!("{} differs", list(changes.iter().map(Change::field).collect())))
        }
        Some(Health::Pending) => (Some(Action::Update), "not ready yet: waits for it".to_owned()),
        Some(_) => (None, String::new()),
    }
}

fn planned(outcome: &Outcome) -> Option<Planned> {
    let action = outcome.action?;
    let info = outcome.info;
    let restarts = outcome.changes.iter().any(|change| info.restarted_by.contains(&change.field()));
    let (harm, minutes) = match action {
        Action::Create => (Harm::None, info.minutes.0),
        Action::Update if restarts => (Harm::Restart, info.minutes.0),
        Action::Update => (Harm::InPlace, 0),
        Action::Replace if info.holds_data => (Harm::DataLoss, info.minutes.0 + info.minutes.1),
        Action::Replace => (Harm::Replacement, info.minutes.0 + info.minutes.1),
        Action::Delete => (Harm::Deletion, info.minutes.1),
    };
    let Outcome { resource, changes, reason, .. } = outcome.clone();
    Some(Planned { address: resource.address.clone(), action, reason, changes, harm, minutes })
}

fn deletion(live: &Live<Fields>, reason: &str) -> Planned {
    let info = kinds::find(&live.identity.address.kind);
    let holds_data = info.is_some_and(|info| info.holds_data);
    Planned {
        address: live.identity.address.clone(),
        action: Action::Delete,
        reason: reason.to_owned(),
        changes: Vec::new(),
        harm: if holds_data { Harm::DataLoss } else { Harm::Deletion },
        minutes: info.map_or(0, |info| info.minutes.1),
    }
}

fn digest(desired: &Desired, resources: &[Planned], live: &[&Live<Fields>]) -> String {
    let touched: BTreeSet<&Address> = resources.iter().map(|planned| &planned.address).collect();
    let live = live.iter().filter(|live| touched.contains(&live.identity.address)).map(|live| &live.id);
    let rests_on = (desired, resources, live.collect::<Vec<_>>());
    // Serialising plain data to memory cannot fail; an empty text would only make a saved plan be refused.
    let text = serde_json::to_string(&rests_on).unwrap_or_default();
    hex(&Sha256::digest(text.as_bytes()))
}
