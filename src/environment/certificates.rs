//! `certificates`: TLS certificates for load balancers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::Text;
use crate::diagnostic::Diagnostic;

/// A host name, with `*` as its first part at most.
const DOMAIN: &str = r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$";

/// A certificate: either issued for a domain (`domain` and `names`), or one that exists already (`arn`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The domain that the certificate is for, such as `example.com` or `*.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = DOMAIN), title = "a domain name", example = &"example.com")]
    pub domain: Option<String>,
    /// More domains on the same certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 99),
        inner(length(max = 253), regex(pattern = DOMAIN))
    )]
    pub names: Vec<String>,
    /// The ARN of a certificate that exists already; it is used and never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<Text>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

impl Certificate {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        let path = ["certificates", name];
        if let Some(arn) = &self.arn {
            check_place(arn.as_str(), name, rules);
        }
        let error = match (&self.domain, &self.arn) {
            (Some(_), Some(_)) => {
                Diagnostic::error("certificate", format!("`certificates.{name}` has both `domain` and `arn`"))
                    .at(
                        rules.tree.key_place_of(&["certificates", name, "arn"]),
                        "an existing certificate has its domain already",
                    )
                    .help("keep `domain` to have one issued, or `arn` to use one that exists")
            }
            (None, None) => {
                Diagnostic::error("certificate", format!("`certificates.{name}` has neither `domain` nor `arn`"))
                    .at(rules.tree.key_place_of(&path), "")
                    .help("add `domain: example.com` to have one issued, or `arn: ...` to use one that exists")
            }
            (None, Some(_)) if !self.names.is_empty() => Diagnostic::error(
                "certificate",
                "`names` go with `domain`; an existing certificate has its names already",
            )
            .at(rules.tree.key_place_of(&["certificates", name, "names"]), "")
            .help("remove `names`"),
            _ => return,
        };
        rules.report(error);
    }
}

/// A load balancer takes certificates of its own account and region only.
fn check_place(arn: &str, name: &str, rules: &mut Rules<'_>) {
    let mut parts = arn.split(':').skip(3);
    for field in ["region", "account"] {
        let (Some(there), Some(here)) = (parts.next(), rules.tree.get(&[field])) else { return };
        let Some(here_text) = here.text() else { return };
        if !there.is_empty() && !there.contains("${") && there != here_text {
            let message = format!("the certificate is of the {field} {there}, and this environment of {here_text}");
            let error = Diagnostic::error("certificate", message);
            let error = error.at(rules.tree.place_of(&["certificates", name, "arn"]), "").related(here.place, "");
            rules.report(
                error.help(format!("name a certificate of the same {field}, or write `domain` to have one issued")),
            );
        }
    }
}
