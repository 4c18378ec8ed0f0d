//! What a plan rests on. A saved plan is applied only while this still holds, and can tell what has moved.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Action, Planned, Snapshot};
use crate::address::{Address, hex};
use crate::desired::Desired;
use crate::diff::Change;
use crate::kind::{Health, Id};
use crate::value::Value;

/// What differs, and which live resources the plan touches or refers to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    resources: Vec<Planned>,
    /// With whether it is what a replacement left behind.
    ids: BTreeSet<(Address, bool, Id)>,
}

/// How one address is no longer what a plan rested on.
#[derive(Clone, Debug, PartialEq)]
pub enum Moved {
    Appeared,
    Gone,
    Another {
        was: Id,
        is: Id,
    },
    Field {
        path: String,
        was: Value,
        is: Value,
    },
    /// The same is to be done for another reason, or something else.
    Otherwise {
        is: String,
    },
}

impl Basis {
    pub(super) fn new(desired: &Desired, resources: &[Planned], snapshot: &Snapshot) -> Self {
        let mut touched: BTreeSet<&Address> = resources.iter().map(|planned| &planned.address).collect();
        let planned = touched.iter().filter_map(|address| desired.resources.get(*address)).collect::<Vec<_>>();
        let referred = planned.iter().flat_map(|resource| resource.fields.values()).flat_map(Value::references);
        touched.extend(referred.map(|output| &output.of));
        let live = snapshot.live.iter().filter(|live| live.health != Health::Tombstone);
        let live = live.filter(|live| touched.contains(&live.identity.address));
        let ids = live.map(|live| (live.identity.address.clone(), live.deposed, live.id.clone())).collect();
        Self { resources: resources.to_vec(), ids }
    }

    pub(super) fn resources(&self) -> &[Planned] {
        &self.resources
    }

    /// One text for all of it and what is desired.
    pub(super) fn digest(&self, desired: &Desired) -> String {
        // Serialising plain data to memory cannot fail; an empty text would only make a saved plan be refused.
        let text = serde_json::to_string(&(desired, self)).unwrap_or_default();
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// What is no longer so, with the same desired.
    #[must_use]
    pub fn moved(&self, now: &Self) -> Vec<(Address, Moved)> {
        let planned = self.resources.iter().chain(&now.resources).map(|planned| &planned.address);
        let addresses: BTreeSet<&Address> = planned.chain(self.ids.iter().map(|(address, ..)| address)).collect();
        let about = |address| moved(&self.at(address), &now.at(address)).into_iter().map(move |one| (address, one));
        addresses.into_iter().flat_map(about).map(|(address, one)| (address.clone(), one)).collect()
    }

    fn at(&self, address: &Address) -> At<'_> {
        let planned: Vec<&Planned> = self.resources.iter().filter(|planned| planned.address == *address).collect();
        let id = self.ids.iter().find(|(of, deposed, _)| of == address && !deposed).map(|(_, _, id)| id);
        At { planned, id }
    }
}

/// What a basis knows of one address.
struct At<'a> {
    planned: Vec<&'a Planned>,
    id: Option<&'a Id>,
}

impl<'a> At<'a> {
    fn changes(&self) -> BTreeMap<&'a str, &'a Change> {
        let changes = self.planned.iter().flat_map(|planned| &planned.changes);
        changes.map(|change| (change.path.as_str(), change)).collect()
    }

    fn is_to(&self, action: Action) -> bool {
        self.planned.iter().any(|planned| planned.action == action)
    }
}

fn moved(then: &At, now: &At) -> Vec<Moved> {
    match (then.id, now.id) {
        (Some(was), Some(is)) if was != is => return vec![Moved::Another { was: was.clone(), is: is.clone() }],
        _ if now.is_to(Action::Create) && !then.is_to(Action::Create) => return vec![Moved::Gone],
        _ if then.is_to(Action::Create) && !now.is_to(Action::Create) => return vec![Moved::Appeared],
        _ if now.is_to(Action::Delete) && !then.is_to(Action::Delete) => return vec![Moved::Appeared],
        _ if then.is_to(Action::Delete) && !now.is_to(Action::Delete) => return vec![Moved::Gone],
        _ if then.planned == now.planned => return Vec::new(),
        _ => {}
    }
    let (before, after) = (then.changes(), now.changes());
    let paths: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let field = |path: &str| {
        // Where nothing differed, AWS had what is desired, which is the same then and now.
        let (was, is) = match (before.get(path), after.get(path)) {
            (Some(then), Some(now)) => (&then.before, &now.before),
            (Some(then), None) => (&then.before, &then.after),
            (None, Some(now)) => (&now.after, &now.before),
            (None, None) => return None,
        };
        (was != is).then(|| (path.to_owned(), was.clone(), is.clone()))
    };
    let fields: Vec<_> = paths.into_iter().filter_map(field).collect();
    match now.planned.first() {
        // Where a reference leads to something else, that is what has moved.
        _ if !fields.is_empty() => {
            let known =
                |(_, was, is): &(String, Value, Value)| was.references().is_empty() && is.references().is_empty();
            fields.into_iter().filter(known).map(|(path, was, is)| Moved::Field { path, was, is }).collect()
        }
        Some(planned) => vec![Moved::Otherwise { is: planned.reason.clone() }],
        None => vec![Moved::Otherwise { is: "nothing is to be done".to_owned() }],
    }
}
