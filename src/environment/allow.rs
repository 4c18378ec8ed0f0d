//! `allow`: findings that the file means as they are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::words::suggest;
use crate::check;
use crate::diagnostic::Diagnostic;

/// A finding that is allowed, and why: `single_zone: staging may be down for an hour`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Allowance(#[schemars(extend("propertyNames" = codes()))] pub BTreeMap<String, String>);

fn codes() -> serde_json::Value {
    serde_json::json!({
        "title": "the code of a finding",
        "description": "the code that stands in brackets in the message, such as `single_zone`",
        "pattern": "^[a-z][a-z_]*$",
        "maxLength": 40,
    })
}

/// Codes that no finding has, and allowances without a reason.
pub(super) fn check(allow: &BTreeMap<String, Vec<Allowance>>, rules: &mut Rules<'_>) {
    let known: Vec<&str> = check::rules().map(|rule| rule.code).collect();
    for (address, allowances) in allow {
        for (at, allowance) in allowances.iter().enumerate() {
            for (code, reason) in &allowance.0 {
                let at = at.to_string();
                let path = ["allow", address, &at, code];
                if check::rule(code).is_none() {
                    let (label, help) = suggest(code, &known);
                    let error = Diagnostic::error("unknown_finding", format!("there is no finding `{code}`"));
                    let error = error.at(rules.tree.key_place_of(&path), &*label);
                    let help = help.filter(|_| label.is_empty());
                    rules.report(match help {
                        Some(help) => error.help(help),
                        None => error,
                    });
                } else if reason.trim().is_empty() {
                    let error = Diagnostic::error("no_reason", format!("`{code}` is allowed without a reason"));
                    let error = error.at(rules.tree.place_of(&path), "");
                    rules
                        .report(error.help("say why it may be: whoever comes next has to know whether it still holds"));
                }
            }
        }
    }
}
