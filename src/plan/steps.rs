//! The steps of a plan and their order.
//!
//! Hard edges are what AWS enforces: a thing is made after what it is made from, and deleted before it. Soft edges are
//! what is better (an update of what one refers to, the order of kinds that no field shows); one that would close a
//! circle is left out. So that the more important ones win, those that free something come first.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{has_path_connecting, tarjan_scc};
use petgraph::stable_graph::{NodeIndex, StableDiGraph};

use super::{Action, Blocked, Deadlock, Outcome, Step, Verb, blocked};
use crate::address::Address;
use crate::kind::{Health, Info, Live};
use crate::kinds;
use crate::value::{Fields, Value};

type Graph = StableDiGraph<Step, ()>;

/// One live resource names another, which is deleted, in a field set at creation or in a late one.
struct Use {
    user: usize,
    target: usize,
    late: bool,
}

/// The nodes of one live or desired resource.
#[derive(Clone, Copy, Default)]
struct Nodes {
    depose: Option<NodeIndex>,
    create: Option<NodeIndex>,
    settle: Option<NodeIndex>,
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

    /// The node after which a new or changed resource can be used.
    fn done(&self) -> Option<NodeIndex> {
        self.created().or(self.update)
    }

    /// The node after which a new resource can be used.
    fn created(&self) -> Option<NodeIndex> {
        self.settle.or(self.create)
    }
}

struct Soft {
    from: NodeIndex,
    to: NodeIndex,
    /// What AWS would refuse without this edge.
    refused: Option<Blocked>,
}

struct Builder<'a> {
    graph: Graph,
    /// Edges that give way where they would close a circle, the last ones first.
    soft: Vec<Soft>,
    /// What no order allows.
    refused: Vec<Blocked>,
    desired: BTreeMap<&'a Address, Nodes>,
    /// Everything live, with its nodes. What is desired shares the nodes with `desired`.
    live: Vec<(&'a Live<Fields>, Nodes)>,
}

pub(super) fn build<'a>(
    outcomes: &BTreeMap<&'a Address, Outcome<'a>>,
    removed: &[&'a Live<Fields>],
    deposed: &[&'a Live<Fields>],
) -> Result<(Graph, Vec<Blocked>), Deadlock> {
    let mut builder = Builder {
        graph: Graph::new(),
        soft: Vec::new(),
        refused: Vec::new(),
        desired: BTreeMap::new(),
        live: Vec::new(),
    };
    for outcome in outcomes.values() {
        let nodes = builder.nodes(outcome);
        builder.desired.insert(&outcome.resource.address, nodes);
        builder.live.extend(outcome.live.map(|live| (live, nodes)));
    }
    for live in removed.iter().chain(deposed) {
        let delete = Some(builder.step(&live.identity.address, Verb::Delete((*live).clone())));
        builder.live.push((live, Nodes { delete, ..Nodes::default() }));
    }
    let uses = builder.uses();
    builder.order_deletes(&uses, outcomes);
    for outcome in outcomes.values() {
        builder.order_unique(outcome, outcomes);
    }
    for outcome in outcomes.values() {
        builder.order_making(outcome);
        builder.order_kinds(outcome);
    }
    builder.empty_circles(&uses);
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
            self.soft.push(Soft { from, to, refused: None });
        }
    }

    /// Like [`Self::soft`], but without it `refused` is what happens.
    fn firm(&mut self, from: NodeIndex, to: NodeIndex, refused: Blocked) {
        self.soft.push(Soft { from, to, refused: Some(refused) });
    }

    fn nodes(&mut self, outcome: &Outcome<'a>) -> Nodes {
        let address = &outcome.resource.address;
        let mut nodes = Nodes::default();
        match (outcome.action, outcome.live) {
            (None, _) => {}
            (Some(Action::Update), Some(live)) if outcome.changes.is_empty() => {
                nodes.update = Some(self.step(address, Verb::Wait(live.clone())));
                self.settle(outcome, live, &mut nodes);
            }
            (Some(Action::Update), Some(live)) => {
                nodes.update = Some(self.update(outcome, live));
                self.settle(outcome, live, &mut nodes);
            }
            (Some(Action::Create), Some(live)) if live.health == Health::Restorable => {
                nodes.update = Some(self.update(outcome, live));
            }
            (Some(Action::Replace), Some(live)) => {
                self.creation(outcome, &mut nodes);
                nodes.delete = Some(self.step(address, Verb::Delete(live.clone())));
                if outcome.create_first {
                    nodes.depose = Some(self.step(address, Verb::Depose(live.clone())));
                    self.hard(nodes.depose, nodes.create);
                    self.hard(nodes.created(), nodes.delete);
                } else {
                    self.hard(nodes.delete, nodes.create);
                }
            }
            (Some(_), _) => self.creation(outcome, &mut nodes),
        }
        nodes
    }

    fn update(&mut self, outcome: &Outcome<'a>, live: &Live<Fields>) -> NodeIndex {
        let verb = Verb::Update { live: live.clone(), fields: outcome.fields.clone() };
        self.step(&outcome.resource.address, verb)
    }

    /// What an earlier run left pending is waited for as after its creation: what it waits for may need its early outputs.
    fn settle(&mut self, outcome: &Outcome<'a>, live: &Live<Fields>, nodes: &mut Nodes) {
        if live.health == Health::Pending && !outcome.info.early.is_empty() {
            nodes.settle = Some(self.step(&outcome.resource.address, Verb::Settle));
            self.hard(nodes.update, nodes.settle);
        }
    }

    fn creation(&mut self, outcome: &Outcome<'a>, nodes: &mut Nodes) {
        let address = &outcome.resource.address;
        let late = outcome.info.late.iter().any(|name| outcome.fields.contains_key(*name));
        nodes.create = Some(self.step(address, Verb::Create(without_late(outcome.info, &outcome.fields))));
        nodes.settle = (!outcome.info.early.is_empty()).then(|| self.step(address, Verb::Settle));
        nodes.fill = late.then(|| self.step(address, Verb::Fill(outcome.fields.clone())));
        self.hard(nodes.create, nodes.settle);
        self.hard(nodes.created(), nodes.fill);
    }

    /// A thing is made after what it refers to, and filled after what its late fields refer to.
    fn order_making(&mut self, outcome: &Outcome<'a>) {
        let nodes = self.desired[&outcome.resource.address];
        let unknown = outcome.unknown();
        let filled = nodes.fill.or(nodes.update);
        self.soft(nodes.fill.filter(|_| nodes.depose.is_some()), nodes.delete);
        let early = outcome.resource.needs().into_iter().map(|output| (output, nodes.make()));
        let late = outcome.resource.needs_late().into_iter().map(|output| (output, filled));
        for (output, user) in early.chain(late) {
            let needed = self.desired.get(&output.of).copied().unwrap_or_default();
            if kinds::find(&output.of.kind).is_some_and(|info| info.early.contains(&output.name.as_str())) {
                self.hard(needed.create, user);
                if unknown.contains(output) {
                    self.hard(needed.update, user);
                }
                continue;
            }
            self.hard(needed.created(), user);
            if unknown.contains(output) {
                self.hard(needed.update, user);
            } else {
                self.soft(needed.update, user);
            }
            self.soft(needed.fill, user.filter(|user| Some(*user) == nodes.make()));
        }
        for address in &outcome.resource.after {
            let needed = self.desired.get(address).copied().unwrap_or_default();
            self.hard(needed.done(), nodes.make());
            self.soft(needed.fill, nodes.make());
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
            self.soft(needed.done(), nodes.make());
            self.soft(needed.fill, nodes.make());
        }
    }

    /// What holds a name, a port or a range goes or changes before what takes it.
    fn order_unique(&mut self, outcome: &Outcome<'a>, outcomes: &BTreeMap<&'a Address, Outcome<'a>>) {
        let nodes = self.desired[&outcome.resource.address];
        let (info, takes) = (outcome.info, &outcome.fields);
        if outcome.live.is_some_and(|live| nodes.update.is_some() && info.clash(takes, &live.spec)) {
            return;
        }
        let late = info.unique.iter().any(|name| info.late.contains(name));
        let taking = nodes.fill.filter(|_| late).or(nodes.make());
        let address = &outcome.resource.address;
        let Some(taking) = taking else { return };
        let holds = |live: &Live<Fields>| live.identity.address.kind == info.name && info.clash(takes, &live.spec);
        for (live, holder) in self.live.clone().into_iter().filter(|(live, _)| holds(live)) {
            let of = &live.identity.address;
            let keeps = || outcomes.get(of).is_some_and(|holder| info.clash(takes, &holder.in_the_end()));
            match holder.delete.or(holder.update) {
                Some(freed) if holder.delete.is_some() || !keeps() => {
                    self.firm(freed, taking, blocked::taken(address, of));
                }
                _ => self.refused.push(blocked::kept(address, of)),
            }
        }
    }

    /// Who of the live resources names whom, by their numbers.
    fn uses(&self) -> Vec<Use> {
        let index = index(&self.live);
        let mut uses = Vec::new();
        for (user, (live, _)) in self.live.iter().enumerate() {
            let Some(info) = kinds::find(&live.identity.address.kind) else { continue };
            let (early, late) = referred(info, live, &index);
            uses.extend(early.iter().map(|target| Use { user, target: *target, late: false }));
            uses.extend(late.difference(&early).map(|target| Use { user, target: *target, late: true }));
        }
        uses.retain(|one| one.user != one.target && self.live[one.target].1.delete.is_some());
        uses
    }

    /// What refers to a thing goes or changes before that thing is deleted.
    fn order_deletes(&mut self, uses: &[Use], outcomes: &BTreeMap<&'a Address, Outcome<'a>>) {
        for Use { user, target, .. } in uses.iter().filter(|one| !one.late) {
            let ((used, used_nodes), (live, nodes)) = (self.live[*target], self.live[*user]);
            let outcome = outcomes.get(&used.identity.address).filter(|_| !used.deposed);
            let goes_first = outcome.is_some_and(Outcome::goes_first);
            match nodes.delete {
                Some(delete) => self.hard(Some(delete), used_nodes.delete),
                None if goes_first => {}
                None => {
                    let info = kinds::find(&used.identity.address.kind);
                    let holds = info.is_some_and(|info| info.held_by.contains(&live.identity.address.kind.as_str()));
                    match nodes.update.zip(used_nodes.delete).filter(|_| holds) {
                        Some((update, delete)) => {
                            let users = [live.identity.address.to_string()];
                            self.firm(update, delete, blocked::held(&used.identity.address, &users));
                        }
                        None => self.soft(nodes.update, used_nodes.delete),
                    }
                }
            }
        }
        for (live, nodes) in self.live.clone() {
            let Some(info) = kinds::find(&live.identity.address.kind) else { continue };
            for (other, other_nodes) in self.live.clone() {
                if info.after.contains(&other.identity.address.kind.as_str()) {
                    self.soft(nodes.delete, other_nodes.delete);
                }
            }
        }
    }

    /// What stays takes out of its late fields what goes before its replacement is there.
    fn let_go(&mut self, user: usize, targets: &[usize]) {
        let (live, nodes) = self.live[user];
        let Some(info) = kinds::find(&live.identity.address.kind) else { return };
        let gone: Vec<&Live<Fields>> = targets.iter().map(|target| self.live[*target].0).collect();
        let late = |name: &String| info.late.contains(&name.as_str());
        let kept = live.spec.iter().filter_map(|(name, value)| {
            let value = if late(name) { without(value, &gone)? } else { value.clone() };
            Some((name.clone(), value))
        });
        let fields: Fields = kept.collect();
        let empty = self.step(&live.identity.address, Verb::Empty { live: live.clone(), fields: fields.clone() });
        self.live[user].1.empty = Some(empty);
        self.hard(Some(empty), nodes.update);
        for (other, other_nodes) in self.live.clone() {
            if kinds::find(&other.identity.address.kind).is_some_and(|other| other.after.contains(&info.name)) {
                self.soft(other_nodes.delete, Some(empty));
            }
        }
        for target in targets {
            self.hard(Some(empty), self.live[*target].1.delete);
        }
        if let Some(Verb::Update { live, .. }) = nodes.update.map(|update| &mut self.graph[update].verb) {
            live.spec = fields;
        }
    }

    /// What names in a late field what is deleted goes or changes before, or is emptied where each waits for the other.
    fn empty_circles(&mut self, uses: &[Use]) {
        let mut held: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for Use { user, target, .. } in uses.iter().filter(|one| one.late) {
            let ((live, nodes), used) = (self.live[*user], self.live[*target].1);
            let (Some(info), Some(first), Some(then)) =
                (kinds::find(&live.identity.address.kind), nodes.delete.or(nodes.update), used.delete)
            else {
                continue;
            };
            if !has_path_connecting(&self.graph, then, first, None) {
                self.hard(Some(first), Some(then));
            } else if nodes.delete.is_some() {
                let empty = self.empty(*user, info);
                self.hard(Some(empty), Some(then));
                self.soft_after_moves(then, empty);
            } else {
                held.entry(*user).or_default().push(*target);
            }
        }
        for (user, targets) in held {
            self.let_go(user, &targets);
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
        self.soft(nodes.create.filter(|_| nodes.depose.is_some()), Some(empty));
        if let Some(delete) = nodes.delete {
            self.soft_after_moves(delete, empty);
        }
        empty
    }

    /// What lets go before `delete` also does so before `empty`.
    fn soft_after_moves(&mut self, delete: NodeIndex, empty: NodeIndex) {
        let moves = self.soft.iter().filter(|soft| soft.to == delete).map(|soft| soft.from);
        for from in moves.collect::<Vec<_>>() {
            self.soft(Some(from), Some(empty));
        }
    }

    fn finish(mut self) -> Result<(Graph, Vec<Blocked>), Deadlock> {
        let mut blocked = std::mem::take(&mut self.refused);
        for Soft { from, to, refused } in std::mem::take(&mut self.soft) {
            if from != to && !has_path_connecting(&self.graph, to, from, None) {
                self.graph.update_edge(from, to, ());
            } else {
                blocked.extend(refused);
            }
        }
        match tarjan_scc(&self.graph).into_iter().find(|group| group.len() > 1) {
            None => Ok((self.graph, blocked)),
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

/// The value without the texts, and the entries of lists, that name one of `gone`.
fn without(value: &Value, gone: &[&Live<Fields>]) -> Option<Value> {
    match value {
        Value::Text(text) => {
            let named = gone.iter().any(|live| live.outputs.values().any(|output| output == text));
            (!named).then(|| value.clone())
        }
        Value::List(items) => {
            let whole = |item: &&Value| without(item, gone).as_ref() == Some(*item);
            Some(Value::List(items.iter().filter(whole).cloned().collect()))
        }
        Value::Map(fields) => {
            let kept = fields.iter().filter_map(|(name, value)| Some((name.clone(), without(value, gone)?)));
            Some(Value::Map(kept.collect()))
        }
        other => Some(other.clone()),
    }
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
