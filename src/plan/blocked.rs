//! What cannot be planned, and all that waits for it.

use std::collections::{BTreeMap, BTreeSet};

use super::Blocked;
use super::outcome::{Outcome, uses};
use crate::address::{Address, PROTECT};
use crate::kind::{Health, Live};
use crate::value::{Fields, Value};

/// What is blocked, and the addresses that the plan leaves out because of it.
pub(super) fn find(
    live: &BTreeMap<&Address, Vec<&Live<Fields>>>,
    outcomes: &BTreeMap<&Address, Outcome>,
    removed: &[&Live<Fields>],
    refused: Vec<Blocked>,
) -> (Vec<Blocked>, BTreeSet<Address>) {
    let mut blocked: Vec<Blocked> = live.iter().filter_map(|(address, all)| duplicate(address, all)).collect();
    blocked.extend(outcomes.values().filter_map(|outcome| stuck(outcome, outcomes)));
    blocked.extend(refused);
    blocked.extend(outcomes.values().filter_map(|outcome| {
        // What has failed was never of use to anybody.
        let live = outcome.live.filter(|live| outcome.goes_first() && live.health == Health::Ok)?;
        is_protected(live).then(|| protected(live, "replaced by deleting it first"))
    }));
    blocked.extend(removed.iter().filter(|live| is_protected(live)).map(|live| protected(live, "deleted")));
    blocked.sort_by(|a, b| a.address.cmp(&b.address));
    blocked.dedup_by(|again, first| again.address == first.address);
    let out = with_dependents(blocked.iter().map(|blocked| blocked.address.clone()).collect(), outcomes);
    (blocked, out)
}

fn is_protected(live: &Live<Fields>) -> bool {
    matches!(live.spec.get("tags"), Some(Value::Map(tags)) if tags.contains_key(PROTECT))
}

fn protected(live: &Live<Fields>, what: &str) -> Blocked {
    let address = &live.identity.address;
    Blocked {
        address: address.clone(),
        why: format!("it is protected (its tag {PROTECT} says so), and would be {what}"),
        help: format!(
            "if that is wanted: keep it in the file as it is, take out `protect: true`, apply, and plan this again; `infra forget` lets go of {address} without deleting it"
        ),
    }
}

fn duplicate(address: &Address, all: &[&Live<Fields>]) -> Option<Blocked> {
    let ids = all.iter().map(|live| live.id.as_str()).collect::<Vec<_>>().join(", ");
    (all.len() > 1).then(|| Blocked {
        address: address.clone(),
        why: format!("{} live resources carry this address: {ids}", all.len()),
        help: "delete the one that nothing uses, or remove its infra: tags".to_owned(),
    })
}

/// A replacement that has to go first, while what uses it stays and could only move over to the new one.
fn stuck(outcome: &Outcome, outcomes: &BTreeMap<&Address, Outcome>) -> Option<Blocked> {
    let live = outcome.live.filter(|_| outcome.goes_first())?;
    let held_by = outcome.info.held_by;
    let holds = |user: &&Outcome| {
        held_by.contains(&user.info.name) && user.stays() && user.live.is_some_and(|user| uses(user, live))
    };
    let users: Vec<_> = outcomes.values().filter(holds).map(|user| user.resource.address.to_string()).collect();
    (!users.is_empty()).then(|| held(&outcome.resource.address, &users))
}

/// What cannot be deleted, since what uses it could only move over to what comes after.
pub(super) fn held(address: &Address, users: &[String]) -> Blocked {
    let users = users.join(", ");
    Blocked {
        address: address.clone(),
        why: format!("AWS deletes it only when {users} no longer use it, and they can only move once it is deleted"),
        help:
            "apply in two steps: make another one with its own name and range and move them there, then remove this one"
                .to_owned(),
    }
}

/// What cannot be made, since what has its name or its place can only go afterwards.
pub(super) fn taken(address: &Address, holder: &Address) -> Blocked {
    Blocked {
        address: address.clone(),
        why: format!("{holder} has its name, port or range, and can only give it up once this one is made"),
        help: format!(
            "if it is {holder} under another address, run `infra rename {holder} {address}`; otherwise apply in two steps"
        ),
    }
}

/// What cannot be made, since what has its name or its place stays.
pub(super) fn kept(address: &Address, holder: &Address) -> Blocked {
    Blocked {
        address: address.clone(),
        why: format!("{holder} has its name, port or range, and keeps it"),
        help: format!("choose another, or write another one for {holder}"),
    }
}

/// `out` and all that refers to it, over as many steps as there are.
fn with_dependents(mut out: BTreeSet<Address>, outcomes: &BTreeMap<&Address, Outcome>) -> BTreeSet<Address> {
    loop {
        let waits = |outcome: &&Outcome| {
            let resource = outcome.resource;
            let mut needed = resource.fields.values().flat_map(Value::references).map(|output| &output.of);
            !out.contains(&resource.address)
                && (needed.any(|address| out.contains(address)) || !resource.after.is_disjoint(&out))
        };
        let more: Vec<Address> =
            outcomes.values().filter(waits).map(|outcome| outcome.resource.address.clone()).collect();
        if more.is_empty() {
            return out;
        }
        out.extend(more);
    }
}
