//! `existing`: what others own and this environment only refers to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use crate::diagnostic::Diagnostic;

/// Something that is looked up and never changed: by its kind and AWS id, or by its address in another environment of the
/// same project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Existing {
    /// The kind of resource, such as `vpc`. Goes with `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"), title = "a kind of resource", example = &"vpc")]
    pub kind: Option<String>,
    /// Its AWS id or ARN, such as `vpc-0123456789abcdef0`. Goes with `kind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub id: Option<String>,
    /// The environment that owns it, such as `shared`. Goes with `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,23}$"), title = "an environment's name", example = &"shared")]
    pub environment: Option<String>,
    /// Its address there, such as `vpc.main`. Goes with `environment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]*\.[A-Za-z0-9][A-Za-z0-9._-]*$"), title = "an address", example = &"vpc.main")]
    pub address: Option<String>,
}

impl Existing {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        let by_id = (self.kind.is_some(), self.id.is_some());
        let by_address = (self.environment.is_some(), self.address.is_some());
        if matches!((by_id, by_address), ((true, true), (false, false)) | ((false, false), (true, true))) {
            return;
        }
        let message = format!("`existing.{name}` does not say what to look up");
        let error = Diagnostic::error("existing", message).at(rules.tree.key_place_of(&["existing", name]), "");
        rules.report(error.help("give either `kind` and `id`, or `environment` and `address`"));
    }
}
