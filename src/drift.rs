//! Where AWS differs from the file, said from AWS's side: a plan says what an apply would do, this what has happened. Without
//! a state file nobody knows whether AWS or the file moved; both values are shown.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::address::Address;
use crate::diff::Change;
use crate::plan::{Action, Harm, LEFT_BEHIND, Note, Plan, Planned};

/// How AWS differs at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Fields have other values than the file wants.
    Changed,
    /// The file has it, AWS lacks it.
    Missing,
    /// It carries our tags, and the file lacks it.
    Extra,
    /// A replacement was cut off before it deleted the old one.
    LeftBehind,
    /// It is there, and broken for good.
    Broken,
    /// It cannot be compared or put right as it is.
    Blocked,
    /// It refers to what is missing or replaced, and differs in nothing else.
    Follows,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub address: Address,
    pub what: What,
    pub why: String,
    /// `before` is what AWS has, `after` what the file wants.
    pub changes: Vec<Change>,
}

/// What stands in our network without our tags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Foreign {
    /// As in `security group`.
    pub what: &'static str,
    pub id: String,
    /// Its tag `Name`, or its name where AWS gives it one.
    pub name: Option<String>,
    /// Who made it, where AWS says so.
    pub made_by: Option<String>,
    pub network: String,
}

/// Where AWS and the file differ, without what the caller leaves out.
pub struct Drift<'a> {
    pub plan: &'a Plan,
    pub differences: Vec<Difference>,
    pub foreign: Vec<Foreign>,
    pub notes: Vec<Note>,
    /// What the caller wanted to leave out, and is not there.
    pub unused: Vec<&'a str>,
}

impl<'a> Drift<'a> {
    /// `ignored` are addresses, addresses with the path of a field, and ids of foreign resources.
    #[must_use]
    pub fn find(plan: &'a Plan, foreign: Vec<Foreign>, ignored: &'a [String]) -> Self {
        let mut ignore = Ignore { all: ignored, used: BTreeSet::new() };
        let blocked = plan.blocked.iter().map(|blocked| Difference {
            address: blocked.address.clone(),
            what: What::Blocked,
            why: format!("{}; {}", blocked.why, blocked.help),
            changes: Vec::new(),
        });
        let mut differences: Vec<Difference> =
            plan.resources.iter().filter_map(difference).chain(blocked).filter_map(|one| ignore.rest_of(one)).collect();
        differences.sort_by(|a, b| (&a.address, a.what).cmp(&(&b.address, b.what)));
        let unready = plan.resources.iter().filter(|planned| is_unready(planned));
        let unready = unready.map(|planned| Note::new(&planned.address, planned.reason.clone()));
        let notes = plan.notes.iter().cloned().chain(unready);
        let notes = notes.filter(|note| !ignore.matches(&note.address.to_string())).collect();
        let foreign = foreign.into_iter().filter(|one| !ignore.matches(&one.id)).collect();
        let unused = ignored.iter().map(String::as_str).filter(|one| !ignore.used.contains(one)).collect();
        Self { plan, differences, foreign, notes, unused }
    }

    #[must_use]
    pub fn is_none(&self) -> bool {
        self.differences.is_empty() && self.foreign.is_empty() && !self.notes.iter().any(|note| note.foreign)
    }

    /// How many differ in this way.
    #[must_use]
    pub fn count(&self, what: What) -> usize {
        self.differences.iter().filter(|one| one.what == what).count()
    }
}

struct Ignore<'a> {
    all: &'a [String],
    used: BTreeSet<&'a str>,
}

impl Ignore<'_> {
    /// Whether `place`, or what it is in, is left out.
    fn matches(&mut self, place: &str) -> bool {
        // A kind alone stands for none of its resources.
        let within = |outer: &String| {
            let rest = place.strip_prefix(outer.as_str());
            rest.is_some_and(|rest| rest.is_empty() || (outer.contains('.') && rest.starts_with(['.', '['])))
        };
        let found: Vec<&str> = self.all.iter().filter(|outer| within(outer)).map(String::as_str).collect();
        self.used.extend(&found);
        !found.is_empty()
    }

    /// What is left of a difference; nothing where that is nothing.
    fn rest_of(&mut self, mut one: Difference) -> Option<Difference> {
        let address = one.address.to_string();
        if self.matches(&address) {
            return None;
        }
        let had = one.changes.len();
        one.changes.retain(|change| !self.matches(&format!("{address}.{}", change.path)));
        (had == 0 || !one.changes.is_empty()).then_some(one)
    }
}

/// What AWS has is not ready yet, and differs in nothing.
fn is_unready(planned: &Planned) -> bool {
    planned.action == Action::Update && planned.changes.is_empty()
}

fn difference(planned: &Planned) -> Option<Difference> {
    let names_unknown = |change: &&Change| !change.after.references().is_empty();
    let unknown: BTreeSet<&str> =
        planned.changes.iter().filter(names_unknown).map(|change| change.path.as_str()).collect();
    let what = match planned.action {
        Action::Create => What::Missing,
        Action::Delete if planned.reason == LEFT_BEHIND => What::LeftBehind,
        Action::Delete => What::Extra,
        Action::Update | Action::Replace if is_unready(planned) => return None,
        Action::Update | Action::Replace if planned.changes.is_empty() => What::Broken,
        Action::Update | Action::Replace
            if planned.changes.iter().all(|change| unknown.contains(change.path.as_str())) =>
        {
            What::Follows
        }
        Action::Update | Action::Replace => What::Changed,
    };
    let changes = if planned.action == Action::Create { Vec::new() } else { planned.changes.clone() };
    let why = match what {
        What::Changed | What::Follows if planned.harm >= Harm::Replacement => planned.reason.clone(),
        What::Changed | What::Follows => String::new(),
        _ => planned.reason.clone(),
    };
    Some(Difference { address: planned.address.clone(), what, why, changes })
}
