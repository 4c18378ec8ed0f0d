//! (Desired, Snapshot) → Plan. All decisions are made here; applying chooses nothing.
//!
//! Two passes compare: the first goes along the references that are needed at creation and settles what is created or
//! replaced, so that it is known which outputs are known; the second compares everything with that knowledge.
//! `steps` then turns the outcome into steps with an order.

mod awaits;
mod basis;
mod behind;
mod blocked;
mod outcome;
mod saved;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::desired::Desired;
use crate::diff::Change;
use crate::kind::{Health, Live, Remark};
use crate::kinds;
use crate::value::{Fields, Output, Outputs};

pub use awaits::{Awaits, unread};
pub use basis::{Basis, Moved};
use outcome::{Outcome, Pass, compare, restorable};
pub use saved::Saved;

/// Everything of ours that is live, as one read of every kind found it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub live: Vec<Live<Fields>>,
    /// What the revisions of task definitions hold that serve without being the latest, by ARN.
    pub revisions: BTreeMap<String, Fields>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Wait until what was just created is ready, where others needed its early outputs for that.
    Settle,
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
            Verb::Create(_) if !info.early.is_empty() => 0,
            Verb::Create(_) | Verb::Settle | Verb::Wait(_) => info.minutes.0,
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
    /// Whether it is about what others added to what is ours.
    pub foreign: bool,
}

impl Note {
    #[must_use]
    pub fn new(address: &Address, text: String) -> Self {
        Self { address: address.clone(), text, foreign: false }
    }
}

/// Why what a create-first replacement has not deleted yet goes.
pub const LEFT_BEHIND: &str = "left behind by a replacement";

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
    pub outputs: BTreeMap<Address, Outputs>,
    /// Whose the ids and ARNs of live resources are, for whoever reads them in a change.
    pub names: BTreeMap<String, Output>,
    pub unchanged: usize,
    pub blocked: Vec<Blocked>,
    pub notes: Vec<Note>,
    /// What no apply changes, but the next release.
    pub awaits_release: Vec<Awaits>,
    /// Of all that was planned, also where only a part is carried out.
    pub basis: Basis,
    /// Of the basis and of what is desired.
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

    /// Says how much goes, where that is more than a third of what there is.
    #[must_use]
    pub fn large_deletion(&self) -> Option<String> {
        let goes = |planned: &&Planned| planned.action == Action::Delete && planned.reason != LEFT_BEHIND;
        let there = |planned: &&Planned| planned.action != Action::Create && planned.reason != LEFT_BEHIND;
        let gone = self.resources.iter().filter(goes).count();
        let all = self.unchanged + self.basis.resources().iter().filter(there).count();
        (gone * 3 > all).then(|| format!("{gone} of {all} resources"))
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
        let out = |address: &Address| !left.contains(address);
        let resources = &self.resources;
        self.awaits_release
            .retain(|one| !resources.iter().any(|planned| planned.address == one.task && out(&one.task)));
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

/// Why a plan could not be made although nothing is wrong with the file: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("the steps of {0} wait for each other; this is a defect of infra, please report it with the environment file")]
pub struct Deadlock(pub String);

/// Plans how to bring what is live to what is desired.
pub fn plan(desired: &Desired, snapshot: &Snapshot) -> Result<Plan, Deadlock> {
    let (plan, out) = whole(desired, snapshot)?;
    Ok(plan.limited_to(&BTreeSet::new(), &out))
}

/// The plan as if nothing were blocked, and which addresses no apply reaches as it is.
pub fn whole(desired: &Desired, snapshot: &Snapshot) -> Result<(Plan, BTreeSet<Address>), Deadlock> {
    let current: Vec<&Live<Fields>> =
        snapshot.live.iter().filter(|live| !live.deposed && live.health != Health::Tombstone).collect();
    let mut by_address: BTreeMap<&Address, Vec<&Live<Fields>>> = BTreeMap::new();
    for live in &current {
        by_address.entry(&live.identity.address).or_default().push(live);
    }
    for (address, all) in &mut by_address {
        let alone = all.iter().all(|live| live.health == Health::Restorable);
        let fits =
            |live: &Live<Fields>| desired.resources.get(*address).is_none_or(|resource| restorable(resource, live));
        all.retain(|live| live.health != Health::Restorable || (alone && fits(live)));
    }
    let outcomes = outcomes(desired, &by_address, &current);

    let removed = current.iter().filter(|live| live.health != Health::Restorable);
    let removed = removed.filter(|live| !outcomes.contains_key(&live.identity.address));
    let removed: Vec<&Live<Fields>> = removed.copied().collect();
    let mut resources: Vec<Planned> = outcomes.values().filter_map(planned).collect();
    let why = if desired.resources.is_empty() { "all of the environment goes" } else { "no longer in the file" };
    resources.extend(removed.iter().map(|live| deletion(live, why)));
    let deposed: Vec<&Live<Fields>> =
        snapshot.live.iter().filter(|live| live.deposed && live.health != Health::Tombstone).collect();
    resources.extend(deposed.iter().map(|live| deletion(live, LEFT_BEHIND)));
    resources.sort_by(|a, b| a.address.cmp(&b.address));

    let (steps, refused) = steps::build(&outcomes, &removed, &deposed)?;
    let unchanged = outcomes.values().filter(|outcome| outcome.action.is_none()).count();
    let basis = Basis::new(desired, &resources, snapshot);
    let (blocked, out) = blocked::find(&by_address, &outcomes, &removed, refused);
    let plan = Plan {
        project: desired.project.clone(),
        environment: desired.environment.clone(),
        account: desired.account.clone(),
        region: desired.region.clone(),
        resources,
        steps,
        outputs: known_outputs(&outcomes),
        names: names(&current),
        unchanged,
        notes: notes(&current),
        awaits_release: awaits::find(desired, &outcomes, &snapshot.revisions),
        digest: basis.digest(desired),
        basis,
        blocked,
    };
    Ok((plan, out))
}

fn outcomes<'a>(
    desired: &'a Desired,
    by_address: &BTreeMap<&Address, Vec<&'a Live<Fields>>>,
    current: &[&'a Live<Fields>],
) -> BTreeMap<&'a Address, Outcome<'a>> {
    let single = |address: &Address| by_address.get(address).and_then(|all| all.first()).copied();
    let mut outcomes: BTreeMap<&Address, Outcome> = BTreeMap::new();
    for pass in [Pass::Early, Pass::All] {
        for resource in desired.in_order() {
            let outcome = compare(resource, single(&resource.address), &outcomes, current, pass);
            outcomes.insert(&resource.address, outcome);
        }
    }
    outcomes
}

fn known_outputs(outcomes: &BTreeMap<&Address, Outcome>) -> BTreeMap<Address, Outputs> {
    let known = outcomes.iter().filter_map(|(address, outcome)| {
        let live = outcome.live?;
        let known = live.outputs.keys().filter_map(|name| Some((name.clone(), outcome.output(name)?)));
        Some(((*address).clone(), known.collect()))
    });
    known.collect()
}

fn names(current: &[&Live<Fields>]) -> BTreeMap<String, Output> {
    let names = current.iter().flat_map(|live| {
        ["id", "arn"].into_iter().filter_map(|name| {
            let output = Output { of: live.identity.address.clone(), name: name.to_owned() };
            Some((live.outputs.get(name)?.clone(), output))
        })
    });
    names.collect()
}

fn notes(current: &[&Live<Fields>]) -> Vec<Note> {
    let there = current.iter().filter(|live| live.health != Health::Restorable);
    let note = |live: &Live<Fields>, remark: &Remark| Note {
        address: live.identity.address.clone(),
        text: remark.text.clone(),
        foreign: remark.foreign,
    };
    let own = there.flat_map(|live| live.notes.iter().map(|remark| note(live, remark)));
    own.chain(behind::find(current)).collect()
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
    let Outcome { resource, mut changes, reason, .. } = outcome.clone();
    changes.iter_mut().filter(|change| info.secret.contains(&change.field())).for_each(Change::hide);
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
