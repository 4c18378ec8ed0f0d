//! What comparing finds for one desired resource.

use std::collections::{BTreeMap, BTreeSet};

use super::Action;
use crate::address::Address;
use crate::desired::Resource;
use crate::diff::{Change, diff};
use crate::kind::{Health, Info, Live};
use crate::value::{Fields, Output, Template, Value, resolve};

#[derive(Clone)]
pub(super) struct Outcome<'a> {
    pub info: &'static Info,
    pub resource: &'a Resource,
    pub live: Option<&'a Live<Fields>>,
    /// `None` where nothing is to be done.
    pub action: Option<Action>,
    /// Whether a replacement is made before the old one goes.
    pub create_first: bool,
    /// Whether it waits for a deletion, its own or of what it needs. What needs it cannot be made first then: the
    /// deletion may wait for it in turn.
    pub waits: bool,
    /// The fields to bring the resource to, resolved as far as known, with what runs own taken over.
    pub fields: Fields,
    pub changes: Vec<Change>,
    pub reason: String,
}

impl Outcome<'_> {
    pub fn output(&self, name: &str) -> Option<String> {
        let settled = match self.action {
            None => true,
            Some(Action::Update) => !self.info.moving.contains(&name),
            Some(_) => self.live.is_some_and(|live| live.health == Health::Restorable),
        };
        self.live.filter(|_| settled).and_then(|live| live.outputs.get(name)).cloned()
    }

    /// Whether an update brings the live resource to what is desired, or nothing has to.
    pub fn stays(&self) -> bool {
        matches!(self.action, None | Some(Action::Update))
    }

    /// Whether the old one goes before its replacement is made.
    pub fn goes_first(&self) -> bool {
        self.action == Some(Action::Replace) && !self.create_first
    }

    /// The fields that the live resource has in the end: those that the file leaves open stay as they are.
    pub fn in_the_end(&self) -> Fields {
        let open = self.live.iter().flat_map(|live| &live.spec);
        let open = open.filter(|(name, _)| self.info.open.contains(&name.as_str()));
        let mut fields: Fields = open.map(|(name, value)| (name.clone(), value.clone())).collect();
        fields.extend(self.fields.clone());
        fields
    }

    /// The outputs that its fields refer to and that are not known yet.
    pub fn unknown(&self) -> BTreeSet<&Output> {
        self.fields.values().flat_map(Value::references).collect()
    }
}

/// Whether what waits for its deletion could become what is desired. Otherwise it is none of its business.
pub(super) fn restorable(resource: &Resource, live: &Live<Fields>) -> bool {
    let wanted = (resource.info().take_over)(&resource.fields, &live.spec);
    let changes = wanted.map(|fields| diff(resource.info(), &live.spec, &fields)).unwrap_or_default();
    !changes.iter().any(|change| change.forces_replacement && change.after.references().is_empty())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Only what is needed at creation: late fields may refer to what has not been looked at yet.
    Early,
    All,
}

pub(super) fn compare<'a>(
    resource: &'a Resource,
    live: Option<&'a Live<Fields>>,
    settled: &BTreeMap<&Address, Outcome<'a>>,
    current: &[&Live<Fields>],
    pass: Pass,
) -> Outcome<'a> {
    let info = resource.info();
    let known = |output: &Output| settled.get(&output.of).and_then(|outcome| outcome.output(&output.name));
    let resolved = resolve(&resource.fields, &known);
    // References that are now known may sort differently, and what runs own is taken over from the live resource.
    // A specification that decoded with references also decodes with their text: on a defect, planning goes on without.
    let fields = match live {
        Some(live) => (info.take_over)(&resolved, &succeeded(info, &resolved, &live.spec, settled)),
        None => (info.normalize)(&resolved),
    }
    .unwrap_or(resolved);
    let mut changes = live.map(|live| diff(info, &live.spec, &fields)).unwrap_or_default();
    if pass == Pass::Early {
        changes.retain(|change| !info.late.contains(&change.field()));
    }
    let needs = resource.needs().into_iter().map(|output| &output.of).chain(&resource.after);
    let needs_wait = needs.filter_map(|address| settled.get(address)).any(|needed| needed.waits);
    let create_first = !needs_wait && create_first(info, &fields, &changes, live, current);
    let (action, reason) = decide(live, &changes, create_first);
    let waits = action.is_some() && (needs_wait || (action == Some(Action::Replace) && !create_first));
    Outcome { info, resource, live, action, create_first, waits, fields, changes, reason }
}

/// The live fields, in which what this plan replaces is named as its successor is: by a reference to the same output.
fn succeeded(info: &Info, wanted: &Fields, live: &Fields, settled: &BTreeMap<&Address, Outcome>) -> Fields {
    let mut live = live.clone();
    for (name, value) in live.iter_mut().filter(|(name, _)| info.carried.contains(&name.as_str())) {
        for output in wanted.get(name).map(Value::references).unwrap_or_default() {
            let replaced = settled.get(&output.of).filter(|outcome| outcome.action == Some(Action::Replace));
            if let Some(old) = replaced.and_then(|outcome| outcome.live?.outputs.get(&output.name)) {
                value.replace(&Value::text(old), &Value::Template(Template::output(&output.of, &output.name)));
            }
        }
    }
    live
}

/// Whether a replacement can be made beside the old one: the kind allows it, and nothing live has its name or its place.
fn create_first(
    info: &Info,
    fields: &Fields,
    changes: &[Change],
    live: Option<&Live<Fields>>,
    current: &[&Live<Fields>],
) -> bool {
    // A generated name differs only where a field that replaces does; what has failed and has no name is made beside
    // itself.
    let nameless = |live: &Live<Fields>| matches!(live.health, Health::Failed(_)) && !live.spec.contains_key("name");
    let differs = changes.iter().any(|change| change.forces_replacement) || live.is_some_and(nameless);
    let mut same_kind = current.iter().filter(|other| other.identity.address.kind == info.name);
    info.create_first && differs && !same_kind.any(|other| info.clash(fields, &other.spec))
}

/// Whether an early field of `user` is an output of `used`.
pub(super) fn uses(user: &Live<Fields>, used: &Live<Fields>) -> bool {
    let Some(info) = crate::kinds::find(&user.identity.address.kind) else { return false };
    let mut found = false;
    for (_, value) in user.spec.iter().filter(|(name, _)| !info.late.contains(&name.as_str())) {
        value.visit_texts(&mut |text| found |= used.outputs.values().any(|output| output == text));
    }
    found
}

fn decide(live: Option<&Live<Fields>>, changes: &[Change], create_first: bool) -> (Option<Action>, String) {
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let replacing: BTreeSet<&str> =
        changes.iter().filter(|change| change.forces_replacement).map(Change::field).collect();
    match live.map(|live| &live.health) {
        None => (Some(Action::Create), "not in AWS".to_owned()),
        Some(Health::Restorable) => (Some(Action::Create), "restored: it was scheduled for deletion".to_owned()),
        Some(Health::Failed(why)) => (Some(Action::Replace), format!("it has failed: {why}")),
        Some(_) if !replacing.is_empty() => {
            let first = if create_first { "the new one is made first" } else { "the old one goes first" };
            (Some(Action::Replace), format!("AWS cannot change {} in place; {first}", list(replacing)))
        }
        Some(_) if !changes.is_empty() => {
            let fields: BTreeSet<&str> = changes.iter().map(Change::field).collect();
            let differ = if fields.len() > 1 { "differ" } else { "differs" };
            (Some(Action::Update), format!("{} {differ}", list(fields)))
        }
        Some(Health::Pending) => (Some(Action::Update), "not ready yet: waits for it".to_owned()),
        Some(_) => (None, String::new()),
    }
}
