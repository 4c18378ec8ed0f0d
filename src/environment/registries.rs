//! `registries`: where container images are pushed to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::{Duration, Text};
use crate::diagnostic::Diagnostic;

/// A repository of container images: scanned on push, encrypted, cleaned up. `{}` takes all defaults.
///
/// Environments of one project share it: it stands in one file (`shared.yaml`, say), and others refer to it with
/// `existing`. Give each image a tag that is its own (the commit), and releases a version such as `v1.4.0`; `latest` may
/// move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The repository's name, which may have folders: `acme/web`. Default: `<project>/<name>`. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 256), regex(pattern = "^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$"), title = "a valid name of a repository", example = &"acme/web")]
    pub name: Option<String>,
    /// How many of the newest tagged images are kept, 1 to 1000. Default: 10. Images of releases are kept beyond that.
    #[serde(default = "keep")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: u16,
    /// The tags of releases, whose images never expire; `*` stands for any text. Default: `["v*", "*.*.*"]`.
    #[serde(default = "releases")]
    #[schemars(length(max = 20), extend("items" = patterns()))]
    pub releases: Vec<String>,
    /// How long after its push an image without a tag is kept, at least 1d. Default: `30d`.
    #[serde(default = "month")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "3650d", "x-whole-days" = true))]
    pub untagged: Duration,
    /// Whether a tag stays on the image that got it first; `latest` may always move. Default: false.
    #[serde(default)]
    pub immutable: bool,
    /// Whether pushed images are scanned for known vulnerabilities. Default: true.
    #[serde(default = "yes")]
    pub scan: bool,
    /// The KMS key that encrypts it, such as `${keys.main.arn}`. Default: the key `main`, else AWS's own. It cannot be
    /// changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Text>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

const fn keep() -> u16 {
    10
}

fn releases() -> Vec<String> {
    ["v*", "*.*.*"].map(str::to_owned).to_vec()
}

const fn month() -> Duration {
    Duration::from_days(30)
}

const fn yes() -> bool {
    true
}

fn patterns() -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "title": "a pattern of tags",
        "description": "letters, digits, `_`, `.`, `-` and at most four `*`",
        "pattern": r"^[A-Za-z0-9_.-]*(\*[A-Za-z0-9_.-]*){0,4}$",
        "minLength": 1,
        "maxLength": 128,
        "examples": ["v*"],
    })
}

impl Registry {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        for (at, pattern) in self.releases.iter().enumerate() {
            let place = rules.tree.place_of(&["registries", name, "releases", &at.to_string()]);
            if pattern.bytes().all(|byte| byte == b'*') {
                let error = Diagnostic::error("releases", format!("`{pattern}` makes a release of every tagged image"));
                rules.report(error.at(place, "").help("name what releases have in common, such as `v*`"));
            } else if self.releases[..at].contains(pattern) {
                let error = Diagnostic::error("releases", format!("`{pattern}` is there twice")).at(place, "");
                rules.report(error.help("remove one of them"));
            }
        }
    }
}
