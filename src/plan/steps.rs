//! The steps of a plan and their order.
//!
//! Hard edges are what AWS enforces: a thing is made after what it is made from, and deleted before it. Soft edges are
//! what is better (an update of what one refers to, the order of kinds that no field shows); one that would close a
//! circle is left out.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{has_path_connecting, tarjan_scc};
use petgraph::stable_graph::{NodeIndex, StableDiGraph};

use super::{Action, Deadlock, Outcome, Step, Verb};
use crate::address::Address;
use crate::kind::{Health, Info, Live};
use crate::kinds;
use crate::value::Fields;

type Graph = StableDiGraph<Step, ()>;

/// The nodes of one live or desired resource.
#[derive(Clone, Copy, Default)]
struct Nodes {
    depose: Option<NodeIndex>,
    create: Option<NodeIndex>,
    fill: Option<NodeIndex>,
    update: Option<NodeIndex>,
    empty: Option<NodeIndex>,
    delete: Option<NodeIndex>,
}

impl Nodes {
    /// The node that makes or changes the resource.
    fn make(&self) -> Option<NodeIndex> {
        self.create.or(self.update)
    }
}

struct Builder<'a> {
    graph: Graph,
    soft: Vec<(NodeIndex, NodeIndex)>,
    desired: BTreeMap<&'a Address, Nodes>,
    /// Everything live, with its nodes. What is desired shares the nodes with `desired`.
    live: Vec<(&'a Live<Fields>, Nodes)>,
}

pub(super) fn build<'a>(
    outcomes: &BTreeMap<&'a Address, Outcome<'a>>,
    removed: &[&'a Live<Fields>],
    deposed: &[&'a Live<Fields>],
) -> Result<Graph, Deadlock> {
    let mut builder = Builder { graph: Graph::new(), soft: Vec::new(), desired: BTreeMap::new(), live: Vec::new() };
    for outcome in outcomes.values() {
        let nodes = builder.nodes(outcome);
        builder.desired.insert(&outcome.resource.address, nodes);
        builder.live.extend(outcome.live.map(|live| (live, nodes)));
    }
    for live in removed.iter().chain(deposed) {
        let delete = Some(builder.step(&live.identity.address, Verb::Delete((*live).clone())));
        builder.live.push((live, Nodes { delete, ..Nodes::default() }));
    }
    for outcome in outcomes.values() {
        builder.order_making(outcome);
        builder.order_kinds(outcome);
        builder.order_unique(outcome);
    }
    builder.order_deleting(outcomes);
    builder.finish()
}

impl<'a> Builder<'a> {
    fn step(&mut self, address: &Address, verb: Verb) -> NodeIndex {
        self.graph.add_node(Step { address: address.clone(), verb })
    }

    fn hard(&mut self, from: Option<NodeIndex>, to: Option<NodeIndex>) {
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            self.graph.update_edge(from, to, ());
        }
    }

    fn soft(&mut self, from: Option<NodeIndex>, to: Option<NodeIndex>) {
        if let (Some(from), Some(to)) = (from, to) {
            self.soft.push((from, to));
        }
    }

    fn nodes(&mut self, outcome: &Outcome<'a>) -> Nodes {
        let address = &outcome.resource.address;
        let mut nodes = Nodes::default();
        match (outcome.action, outcome.live) {
            (None, _) => {}
            (Some(Action::Update), Some(live)) if outcome.changes.is_empty() => {
                nodes.update = Some(self.step(address, Verb::Wait(live.clone())));
            }
            (Some(Action::Update), Some(live)) => nodes.update = Some(self.update(outcome, live)),
            (Some(Action::Create), Some(live)) if live.health == Health::Restorable => {
                nodes.update = Some(self.update(outcome, live));
            }
            (Some(Action::Replace), Some(live)) => {
                (nodes.create, nodes.fill) = self.creation(outcome);
                nodes.delete = Some(self.step(address, Verb::Delete(live.clone())));
                if outcome.create_first() {
                    nodes.depose = Some(self.step(address, Verb::Depose(live.clone())));
                    self.hard(nodes.depose, nodes.create);
                    self.hard(nodes.create, nodes.delete);
                    self.hard(nodes.fill, nodes.delete);
                } else {
                    self.hard(nodes.delete, nodes.create);
                }
            }
            (Some(_), _) => (nodes.create, nodes.fill) = self.creation(outcome),
        }
        nodes
    }

    fn update(&mut self, outcome: &Outcome<'a>, live: &Live<Fields>) -> NodeIndex {
        let verb = Verb::Update { live: live.clone(), fields: outcome.fields.clone() };
        self.step(&outcome.resource.address, verb)
    }

    fn creation(&mut self, outcome: &Outcome<'a>) -> (Option<NodeIndex>, Option<NodeIndex>) {
        let address = &outcome.resource.address;
        let late = outcome.info.late.iter().any(|name| outcome.fields.contains_key(*name));
        let create = Some(self.step(address, Verb::Create(without_late(outcome.info, &outcome.fields))));
        let fill = late.then(|| self.step(address, Verb::Fill(outcome.fields.clone())));
        self.hard(create, fill);
        (create, fill)
    }

    /// A thing is made after what it refers to, and filled after what its late fields refer to.
    fn order_making(&mut self, outcome: &Outcome<'a>) {
        let nodes = self.desired[&outcome.resource.address];
        let filled = nodes.fill.or(nodes.update);
        for output in outcome.resource.needs() {
            let needed = self.desired.get(&output.of).copied().unwrap_or_default();
            self.hard(needed.create, nodes.make());
            let moving = kinds::find(&output.of.kind).is_some_and(|info| info.moving.contains(&output.name.as_str()));
            if moving {
                self.hard(needed.update, nodes.make())
            } else {
                self.soft(needed.update, nodes.make())
            }
            self.soft(needed.fill, nodes.make());
        }
        for address in &outcome.resource.after {
            let needed = self.desired.get(address).copied().unwrap_or_default();
            self.hard(needed.make(), nodes.make());
            self.soft(needed.fill, nodes.make());
        }
        for output in outcome.resource.needs_late() {
            let needed = self.desired.get(&output.of).copied().unwrap_or_default();
            self.hard(needed.create, filled);
            self.soft(needed.update, filled);
        }
    }

    /// The order of kinds that AWS keeps though no field shows it.
    fn order_kinds(&mut self, outcome: &Outcome<'a>) {
        let nodes = self.desired[&outcome.resource.address];
        let earlier: Vec<Nodes> = self
            .desired
            .iter()
            .filter(|(address, _)| outcome.info.after.contains(&address.kind.as_str()))
            .map(|(_, nodes)| *nodes)
            .collect();
        for needed in earlier {
            self.soft(needed.make(), nodes.make());
            self.soft(needed.fill, nodes.make());
        }
    }

    /// What holds a port, a priority or a range goes before what takes it.
    fn order_unique(&mut self, outcome: &Outcome<'a>) {
        let Some(create) = self.desired[&outcome.resource.address].create else { return };
        let unique = outcome.info.unique;
        let same = |live: &Live<Fields>| {
            live.identity.address.kind == outcome.info.name
                && unique.iter().all(|name| live.spec.get(*name) == outcome.fields.get(*name))
        };
        let holders = self.live.iter().filter(|(live, _)| !unique.is_empty() && same(live));
        let holders: Vec<_> = holders.filter_map(|(_, nodes)| nodes.delete).collect();
        for delete in holders {
            self.soft(Some(delete), Some(create));
        }
    }

    /// What refers to a thing goes or changes before that thing is deleted.
    fn order_deleting(&mut self, outcomes: &BTreeMap<&'a Address, Outcome<'a>>) {
        let index = index(&self.live);
        for user in 0..self.live.len() {
            let (live, nodes) = self.live[user];
            let Some(info) = kinds::find(&live.identity.address.kind) else { continue };
            let (early, late) = referred(info, live, &index);
            for target in early.union(&late).filter(|target| **target != user) {
                let (used, used_nodes) = self.live[*target];
                let Some(delete) = used_nodes.delete else { continue };
                if nodes.delete.is_some() && early.contains(target) {
                    self.hard(nodes.delete, Some(delete));
                } else if nodes.delete.is_some() {
                    let empty = self.empty(user, info);
                    self.hard(Some(empty), Some(delete));
                } else if outcomes.get(&used.identity.address).is_none_or(Outcome::create_first) {
                    self.soft(nodes.update.or(nodes.create), Some(delete));
                }
            }
            for (other, other_nodes) in self.live.clone() {
                if info.after.contains(&other.identity.address.kind.as_str()) {
                    self.soft(nodes.delete, other_nodes.delete);
                }
            }
        }
    }

    fn empty(&mut self, user: usize, info: &Info) -> NodeIndex {
        let (live, nodes) = self.live[user];
        if let Some(empty) = nodes.empty {
            return empty;
        }
        let verb = Verb::Empty { live: live.clone(), fields: without_late(info, &live.spec) };
        let empty = self.step(&live.identity.address, verb);
        self.live[user].1.empty = Some(empty);
        self.hard(Some(empty), nodes.delete);
        // A create-first replacement keeps serving until its users have moved; only then is it emptied.
        self.hard(nodes.create.filter(|_| nodes.depose.is_some()), Some(empty));
        empty
    }

    fn finish(mut self) -> Result<Graph, Deadlock> {
        for (from, to) in std::mem::take(&mut self.soft) {
            if from != to && !has_path_connecting(&self.graph, to, from, None) {
                self.graph.update_edge(from, to, ());
            }
        }
        match tarjan_scc(&self.graph).into_iter().find(|group| group.len() > 1) {
            None => Ok(self.graph),
            Some(group) => {
                let names: BTreeSet<_> = group.iter().map(|node| self.graph[*node].address.to_string()).collect();
                Err(Deadlock(names.into_iter().collect::<Vec<_>>().join(", ")))
            }
        }
    }
}

fn without_late(info: &Info, fields: &Fields) -> Fields {
    let early = fields.iter().filter(|(name, _)| !info.late.contains(&name.as_str()));
    early.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Which live resources the texts of others may name: by id, ARN or name.
fn index<'a>(live: &[(&'a Live<Fields>, Nodes)]) -> BTreeMap<&'a str, Vec<usize>> {
    let mut index: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, (live, _)) in live.iter().enumerate() {
        let names = ["id", "arn", "name"].into_iter().filter_map(|name| live.outputs.get(name));
        for value in names.map(String::as_str).collect::<BTreeSet<_>>() {
            index.entry(value).or_default().push(number);
        }
    }
    index
}

/// What a live resource refers to, in its early and in its late fields.
fn referred(
    info: &Info,
    live: &Live<Fields>,
    index: &BTreeMap<&str, Vec<usize>>,
) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let mut found = (BTreeSet::new(), BTreeSet::new());
    let names_itself = ["name", "family", "description", "tags"];
    for (name, value) in live.spec.iter().filter(|(name, _)| !names_itself.contains(&name.as_str())) {
        let side = if info.late.contains(&name.as_str()) { &mut found.1 } else { &mut found.0 };
        value.visit_texts(&mut |text| side.extend(named(text, index)));
    }
    found
}

/// The resources that a text names: by the whole text, or as an ARN with something behind it, such as a secret's key.
fn named<'a>(text: &'a str, index: &'a BTreeMap<&str, Vec<usize>>) -> impl Iterator<Item = usize> + 'a {
    let extends =
        |arn: &str| arn.starts_with("arn:") && text.strip_prefix(arn).is_some_and(|rest| rest.starts_with([':', '/']));
    let found = index.iter().filter(move |(key, _)| **key == text || (text.starts_with("arn:") && extends(key)));
    found.flat_map(|(_, numbers)| numbers.iter().copied())
}
