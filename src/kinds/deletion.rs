//! What secrets and keys share: deletion waits for days, in which they can be restored. AWS asks for the number of days
//! at deletion only, when the file may no longer hold the resource, so a tag remembers it.

use crate::address::Identity;
use crate::kind::Problem;
use crate::tags::{self, Tags};

const WINDOW: &str = "infra:deletion-window";
/// What AWS takes where nothing is said.
const DEFAULT_DAYS: u32 = 30;

pub fn default_days() -> u32 {
    DEFAULT_DAYS
}

/// All tags of a resource that is deleted after `days`.
pub fn encode(identity: &Identity, user: &Tags, days: u32) -> Tags {
    let mut tags = tags::encode(identity, user);
    if days != DEFAULT_DAYS {
        tags.insert(WINDOW.to_owned(), days.to_string());
    }
    tags
}

/// The days that a live resource's tags hold.
pub fn days(tags: &Tags) -> u32 {
    tags.get(WINDOW).and_then(|days| days.parse().ok()).unwrap_or(DEFAULT_DAYS)
}

pub fn check(path: &str, days: u32) -> Vec<Problem> {
    if (7..=30).contains(&days) {
        return Vec::new();
    }
    let problem = Problem::new(path, format!("{days} days is not between 7 and 30, which AWS asks for"));
    vec![problem.help(format!("write {}", days.clamp(7, 30)))]
}
