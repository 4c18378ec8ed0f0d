//! `buckets`: S3 buckets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::{Duration, Text};
use crate::diagnostic::Diagnostic;

/// A bucket: encrypted, private, reached over TLS only; `{}` takes all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Whether what is overwritten or deleted is kept as an old version for a while. Default: true.
    #[serde(default = "yes")]
    pub versioning: bool,
    /// When old versions go, such as `90d`. Default: `30d`.
    #[serde(default = "month")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "36500d", "x-whole-days" = true))]
    pub old_versions: Duration,
    /// When objects go, such as `365d`. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "36500d", "x-whole-days" = true))]
    pub expire: Option<Duration>,
    /// When objects move to cheaper storage, and to which: `{ after: 90d, to: glacier }`. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = serde_json::json!({ "after": "90d", "to": "glacier" }))]
    pub archive: Option<Archive>,
    /// The same for some objects only, by how their names begin: `[{ prefix: tmp/, expire: 7d }]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub rules: Vec<Rule>,
    /// The KMS key that encrypts it, such as `${keys.main.arn}`. Default: `keys.main` if there is one, else S3's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Text>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// What happens to the objects whose names begin alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How their names begin, such as `tmp/`.
    #[schemars(length(min = 1, max = 1024), example = &"tmp/")]
    pub prefix: String,
    /// When they go, such as `7d`. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "36500d", "x-whole-days" = true))]
    pub expire: Option<Duration>,
    /// When they move to cheaper storage, and to which. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = serde_json::json!({ "after": "90d", "to": "glacier" }))]
    pub archive: Option<Archive>,
}

/// A move to cheaper storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// When objects move, such as `90d`.
    #[schemars(extend("x-longest" = "36500d", "x-whole-days" = true), example = &"90d")]
    pub after: Duration,
    /// Where to. Default: `glacier`.
    #[serde(default)]
    pub to: Storage,
}

/// Storage for what is seldom read: the cheaper it is to keep, the longer and dearer is a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Half the price; read at once.
    InfrequentAccess,
    /// A fifth of the price; read at once.
    GlacierInstant,
    /// A sixth of the price; a read takes minutes to hours.
    #[default]
    Glacier,
    /// A twentieth of the price; a read takes half a day.
    DeepArchive,
}

const fn yes() -> bool {
    true
}

const fn month() -> Duration {
    Duration::from_days(30)
}

/// S3 moves nothing to infrequent access that is younger.
const LEAST_INFREQUENT: Duration = Duration::from_days(30);

impl Bucket {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        check_ages(&["buckets", name], self.expire, self.archive.as_ref(), rules);
        for (at, rule) in self.rules.iter().enumerate() {
            let at = at.to_string();
            let path = ["buckets", name, "rules", &at];
            check_ages(&path, rule.expire, rule.archive.as_ref(), rules);
            if rule.expire.is_none() && rule.archive.is_none() {
                let message = format!("nothing happens to the objects below `{}`", rule.prefix);
                let error = Diagnostic::error("lifecycle", message).at(rules.tree.place_of(&path), "");
                rules.report(error.help("add `expire: 30d`, or `archive: { after: 90d, to: glacier }`"));
            }
            if self.rules.iter().filter(|other| other.prefix == rule.prefix).count() > 1 {
                let path = ["buckets", name, "rules", &at, "prefix"];
                let error = Diagnostic::error("lifecycle", format!("two rules are for `{}`", rule.prefix));
                rules.report(error.at(rules.tree.place_of(&path), "").help("make one rule of them"));
            }
        }
    }
}

/// Objects move before they go, and not too early.
pub(super) fn check_ages(path: &[&str], expire: Option<Duration>, archive: Option<&Archive>, rules: &mut Rules<'_>) {
    let Some(archive) = archive else { return };
    let below = |fields: &[&'static str]| [path, fields].concat();
    let after = rules.tree.place_of(&below(&["archive", "after"]));
    if let Some(expire) = expire.filter(|expire| *expire <= archive.after) {
        let message = format!("objects go after {expire}, before they would move after {}", archive.after);
        let error = Diagnostic::error("lifecycle", message).at(after, "");
        let error = error.related(rules.tree.place_of(&below(&["expire"])), "here they go");
        rules.report(error.help("let them move earlier, or leave one of the two out"));
    }
    if archive.to == Storage::InfrequentAccess && archive.after < LEAST_INFREQUENT {
        let message = format!("S3 moves nothing to `infrequent_access` after {}", archive.after);
        let error = Diagnostic::error("lifecycle", message).at(after, "");
        rules.report(error.help(format!("write `after: {LEAST_INFREQUENT}` or more")));
    }
}
