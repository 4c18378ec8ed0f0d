//! What keeps a resource from being deleted.

use crate::tags::{self, Tags};

/// Something that holds a resource which is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocker {
    /// What it is, with its id and whose it is.
    pub what: String,
    /// Whether it goes by itself: it is being deleted, or part of what was. Waiting mends nothing else.
    pub passing: bool,
}

impl Blocker {
    /// One that stays until somebody deletes it.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), passing: false }
    }

    /// One with an id, and the name and the owner that its tags tell, as in
    /// `instance i-1 "batch" (CloudFormation stack jobs)`.
    #[must_use]
    pub fn tagged(what: &str, id: Option<&str>, name: Option<&str>, tags: &Tags) -> Self {
        let name = name.or(tags.get("Name").map(String::as_str)).filter(|name| !name.is_empty());
        let name = name.map(|name| format!(" {name:?}")).unwrap_or_default();
        let whose = whose(tags).map(|whose| format!(" ({whose})")).unwrap_or_default();
        Self::new(format!("{what} {}{name}{whose}", id.unwrap_or_default()))
    }

    #[must_use]
    pub fn passing(self, passing: bool) -> Self {
        Self { passing, ..self }
    }
}

/// Whose something is, as far as its tags tell.
fn whose(tags: &Tags) -> Option<String> {
    let ours = tags::decode(tags).map(|tagged| {
        let identity = tagged.identity;
        format!("{} of {} {}", identity.address, identity.project, identity.environment)
    });
    ours.or_else(|| tags::maker(tags))
}
