//! `pipeline`: who may release from outside of AWS, without stored keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use crate::diagnostic::Diagnostic;

/// Roles for a pipeline: one that may release into this environment and nothing else, and one that may read it for
/// `infra plan` on pull requests. Changes of the infrastructure itself (`infra apply`) need more rights than these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The repository on GitHub whose workflows may assume the roles.
    pub github: Github,
    /// Whether the account's trust in GitHub is made here. An account has one for all: let one file have it, usually
    /// `shared.yaml`. Default: false, it is there already.
    #[serde(default)]
    pub provider: bool,
}

/// A repository on GitHub, and which of its workflows may release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// The repository: `acme/shop`.
    #[schemars(length(max = 140), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$"), title = "a repository of GitHub", example = &"acme/shop")]
    pub repository: String,
    /// Only jobs of this environment of GitHub may release, which can ask for an approval: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255), regex(pattern = r"^[A-Za-z0-9._-]+$"), title = "a GitHub environment's name", example = &"production")]
    pub environment: Option<String>,
    /// Only workflows of these branches may release: `[main]`. Jobs that name an environment of GitHub do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("items" = branches()))]
    pub branches: Vec<String>,
}

fn branches() -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "title": "a branch's name",
        "description": "one branch, without `*`",
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        "maxLength": 200,
        "examples": ["main"],
    })
}

impl Pipeline {
    pub(super) fn check(&self, rules: &mut Rules<'_>) {
        let github = &self.github;
        let message = match (&github.environment, github.branches.is_empty()) {
            (None, true) => "nothing says which workflows of the repository may release",
            (Some(_), false) => "`environment` and `branches` exclude each other: GitHub's token names one of them",
            _ => return,
        };
        let error = Diagnostic::error("pipeline", message).at(rules.tree.key_place_of(&["pipeline", "github"]), "");
        rules.report(
            error.help("give `environment: production`, whose approvals GitHub then enforces, or `branches: [main]`"),
        );
    }
}
