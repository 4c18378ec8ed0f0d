//! `audit`: the log of all calls to AWS in the account.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::Duration;
use crate::diagnostic::Diagnostic;

/// The log of all calls to AWS in the account, in all regions, in an encrypted bucket of its own, signed so that nobody can
/// change it unseen. One environment of an account is enough; `{}` takes all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// How long the log can be read at once; then it moves to `glacier`, where a read takes hours. Default: `90d`.
    #[serde(default = "quarter")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "36500d", "x-whole-days" = true))]
    pub hot: Duration,
    /// How long it is kept at all, such as `2557d` (seven years). Default: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "36500d", "x-whole-days" = true))]
    pub keep: Option<Duration>,
}

const fn quarter() -> Duration {
    Duration::from_days(90)
}

impl Audit {
    pub(super) fn check(&self, rules: &mut Rules<'_>) {
        if let Some(keep) = self.keep.filter(|keep| *keep <= self.hot) {
            let message = format!("the log goes after {keep}, before it would move after {}", self.hot);
            let error = Diagnostic::error("audit", message).at(rules.tree.place_of(&["audit", "keep"]), "");
            rules.report(error.help(format!("write more than {} for `keep`, or less for `hot`", self.hot)));
        }
    }
}
