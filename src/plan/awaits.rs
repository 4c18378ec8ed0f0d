//! What waits for a release: applying makes shapes, releases choose them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::outcome::Outcome;
use crate::address::Address;
use crate::desired::{Desired, Resource};
use crate::diff::{Change, diff};
use crate::kind::{Health, Live};
use crate::kinds;
use crate::kinds::ecs_service::EcsService;
use crate::kinds::listener::Action;
use crate::kinds::listener_rule::ListenerRule;
use crate::kinds::task_definition::{Owner, TaskDefinition, without_version};
use crate::value::{Fields, Output, Value, from_fields, resolve};

/// Differences that are named; of more, only how many.
const NAMED: usize = 6;
/// Fields of a task definition that are none of what a task is.
const ASIDE: [&str; 3] = ["family", "image_owner", "tags"];

/// A service that goes on as it is until a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Awaits {
    pub service: String,
    /// What the next release changes, or that there was none.
    pub why: String,
    /// What releases it.
    pub command: String,
    #[serde(skip)]
    pub(super) task: Address,
}

/// The ARNs of the revisions that serve though their families have newer ones. What they hold is in no list.
#[must_use]
pub fn unread(desired: &Desired, live: &[Live<Fields>]) -> BTreeSet<String> {
    let current: BTreeMap<&Address, &Live<Fields>> = live
        .iter()
        .filter(|live| !live.deposed && live.health != Health::Tombstone)
        .map(|live| (&live.identity.address, live))
        .collect();
    let find = |address: &Address| current.get(address).copied();
    let groups = released(desired);
    let serving = groups.iter().filter_map(|(task, services)| {
        let runs = revision(serving(task, services, &find)?)?;
        (!runs.is_empty() && latest(find(task)?) != Some(&runs)).then_some(runs)
    });
    serving.collect()
}

/// What waits, by the service's name. `revisions` holds what [`unread`] asked for.
pub(super) fn find(
    desired: &Desired,
    outcomes: &BTreeMap<&Address, Outcome>,
    revisions: &BTreeMap<String, Fields>,
) -> Vec<Awaits> {
    let live = |address: &Address| outcomes.get(address).and_then(|outcome| outcome.live);
    let awaits = |(task, services): (&Address, Vec<&Resource>)| {
        let outcome = outcomes.get(task)?;
        let command = format!("infra bluegreen run {} {}", desired.environment, task.name);
        let of = |why, command| Some(Awaits { service: task.name.clone(), why, command, task: task.clone() });
        let idle = services.iter().all(|service| tasks(service, &live) == 0);
        if idle && without_image(&outcome.fields) {
            return of("never released".to_owned(), format!("{command} --image IMAGE"));
        }
        let runs = revision(serving(task, &services, &live)?)?;
        let is_latest = outcome.live.and_then(latest) == Some(&runs);
        let running = if is_latest { &outcome.live?.spec } else { revisions.get(&runs)? };
        let changes = if is_latest && outcome.action.is_none() {
            Vec::new()
        } else {
            differences(running, &wanted(outcome, running, outcomes))
        };
        let names = names(&changes, &task.name);
        if names.is_empty() { None } else { of(names, command) }
    };
    released(desired).into_iter().filter_map(awaits).collect()
}

/// The services whose revisions releases choose, by the task definition that their colours share.
fn released(desired: &Desired) -> BTreeMap<&Address, Vec<&Resource>> {
    let mut groups: BTreeMap<&Address, Vec<&Resource>> = BTreeMap::new();
    for resource in desired.resources.values().filter(|resource| resource.address.kind == "ecs_service") {
        let owned = resource.fields.get("owner").and_then(Value::as_text) == Some("release");
        let task = resource.fields.get("task_definition_arn").map(Value::references).unwrap_or_default();
        if let Some(task) = task.first().filter(|_| owned) {
            groups.entry(&task.of).or_default().push(resource);
        }
    }
    groups
}

/// Of several colours the one with the most traffic, and where none has any, the one with the most tasks.
fn serving<'a>(
    task: &Address,
    services: &[&Resource],
    live: &impl Fn(&Address) -> Option<&'a Live<Fields>>,
) -> Option<&'a Live<Fields>> {
    let rule = live(&Address::new("listener_rule", task.name.clone()));
    let action = rule.and_then(|rule| from_fields::<ListenerRule>(&rule.spec).ok()).map(|rule| rule.action);
    let groups = match action {
        Some(Action::Forward(groups)) => groups,
        _ => Vec::new(),
    };
    let share = |live: &&Live<Fields>| {
        let service = from_fields::<EcsService>(&live.spec).ok();
        let targets = service.iter().flat_map(|service| &service.load_balancers);
        let weights = targets.flat_map(|target| {
            groups.iter().filter(|group| group.target_group_arn == target.target_group_arn).map(|group| group.weight)
        });
        (weights.max().unwrap_or_default(), service.as_ref().map(|service| service.desired_count).unwrap_or_default())
    };
    // The first of equals.
    services.iter().rev().filter_map(|service| live(&service.address)).max_by_key(share)
}

/// The ARN of the revision that a service runs.
fn revision(service: &Live<Fields>) -> Option<String> {
    service.spec.get("task_definition_arn").and_then(Value::as_text).map(str::to_owned)
}

/// The ARN of the latest revision of a family.
fn latest(task: &Live<Fields>) -> Option<&String> {
    task.outputs.get("arn")
}

/// How many tasks a service is to run, or will be once it is made.
fn tasks<'a>(service: &Resource, live: &impl Fn(&Address) -> Option<&'a Live<Fields>>) -> u32 {
    let fields = live(&service.address).map_or(&service.fields, |live| &live.spec);
    from_fields::<EcsService>(fields).map(|service| service.desired_count).unwrap_or_default()
}

/// Whether releases choose the image, and none has.
fn without_image(task: &Fields) -> bool {
    let task = from_fields::<TaskDefinition>(task).ok();
    task.is_some_and(|task| {
        task.image_owner == Owner::Release && task.containers.iter().any(|container| container.untagged())
    })
}

/// What the file asks for, with the images that a release chose for what runs.
fn wanted(task: &Outcome, running: &Fields, outcomes: &BTreeMap<&Address, Outcome>) -> Fields {
    let known = |output: &Output| outcomes.get(&output.of).and_then(|outcome| outcome.output(&output.name));
    let resolved = resolve(&task.resource.fields, &known);
    (task.info.take_over)(&resolved, running).unwrap_or(resolved)
}

fn differences(running: &Fields, wanted: &Fields) -> Vec<Change> {
    let Some(info) = kinds::find("task_definition") else { return Vec::new() };
    // Which version of a secret runs is for its rotation.
    let same = |change: &Change| match (&change.before, &change.after) {
        (Value::Text(before), Value::Text(after)) => without_version(before) == without_version(after),
        _ => false,
    };
    let secret = |change: &Change| change.path.contains("].secrets.") && same(change);
    let mut changes = diff(info, running, wanted);
    changes.retain(|change| !ASIDE.contains(&change.field()) && !secret(change));
    // The task comes before what is in it.
    changes.sort_by_key(|change| change.field() == "containers");
    changes
}

/// The differences on one line: `cpu 512 → 1024, environment LOG_LEVEL`.
fn names(changes: &[Change], main: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    for change in changes {
        for name in told(change, main) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
    }
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    all.join(", ") + &more
}

fn told(change: &Change, main: &str) -> Vec<String> {
    let path = change.path.trim_end_matches("[]");
    let (container, field) = match path.strip_prefix("containers[").and_then(|rest| rest.split_once(']')) {
        Some((container, "")) => return vec![format!("container {container}")],
        Some((container, field)) if container == main => ("", field.trim_start_matches('.')),
        Some((container, field)) => (container, field.trim_start_matches('.')),
        None => ("", path),
    };
    let named = format!("{container} {}", field.replace('.', " ")).trim().to_owned();
    match (&change.before, &change.after) {
        // The first entries of a map, or the last.
        (Value::Null, Value::Map(entries)) | (Value::Map(entries), Value::Null) => {
            entries.keys().map(|key| format!("{named} {key}")).collect()
        }
        // What variables hold is nobody's business here.
        (before, after) if !["environment", "secrets"].iter().any(|hidden| field.starts_with(hidden)) => {
            let values = plain(before).zip(plain(after));
            vec![values.map_or_else(|| named.clone(), |(before, after)| format!("{named} {before} → {after}"))]
        }
        _ => vec![named],
    }
}

/// A value that is short enough for a line.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::Text(text) if text.len() <= 80 => Some(text.clone()),
        _ => None,
    }
}
