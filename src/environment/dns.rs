//! `dns`: zones and the records in them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::{Duration, Text};
use crate::diagnostic::Diagnostic;

/// The zone of a domain. Hosts of services and proofs of certificates within the domain get their records by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// The id of a zone that exists already: `Z0123456789ABC`. Only our records in it are changed. Default: a zone is
    /// made, and the domain's registrar must be told its name servers (`infra output`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^Z[A-Z0-9]{1,31}$"), title = "the id of a zone", example = &"Z0123456789ABC")]
    pub id: Option<String>,
    /// Whether the hosts of services get records that lead to their load balancers. Default: true.
    #[serde(default = "yes")]
    pub hosts: bool,
    /// More records, by name within the domain: `api`, `*`, `@` for the domain itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = record_names()))]
    pub records: BTreeMap<String, Records>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// The records of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// IPv4 addresses: `[203.0.113.7]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub a: Vec<Text>,
    /// IPv6 addresses: `["2001:db8::7"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aaaa: Vec<Text>,
    /// Who may issue certificates: `['0 issue "amazon.com"']`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caa: Vec<Text>,
    /// Another name that it stands for: `[status.example.net]`. It goes with no other record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1))]
    pub cname: Vec<Text>,
    /// Who takes mail, each with a priority: `[10 mail.example.com]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mx: Vec<Text>,
    /// Who answers for this name and all below it: `[ns1.example.net]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ns: Vec<Text>,
    /// Texts, without quotes: `[v=spf1 -all]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub txt: Vec<Text>,
    /// How long others may remember them, 0s to 7d. Default: `5m`.
    #[schemars(with = "Option<Duration>", extend("x-longest" = "7d"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
}

const fn yes() -> bool {
    true
}

/// The schema of the section's keys.
pub fn domains() -> serde_json::Value {
    serde_json::json!({
        "title": "a domain name",
        "description": "a domain in lower case, such as `example.com`",
        "pattern": r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$",
        "maxLength": 200,
    })
}

fn record_names() -> serde_json::Value {
    serde_json::json!({
        "title": "a name within the domain",
        "description": "`@` for the domain itself, `api`, `_dmarc` or `a.b`, with `*` only in front",
        "pattern": r"^(@|\*|(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*)$",
        "maxLength": 200,
    })
}

impl Records {
    /// The values of each type that has some.
    #[must_use]
    pub fn by_type(&self) -> Vec<(&'static str, &[Text])> {
        let all = [
            ("a", &self.a),
            ("aaaa", &self.aaaa),
            ("caa", &self.caa),
            ("cname", &self.cname),
            ("mx", &self.mx),
            ("ns", &self.ns),
            ("txt", &self.txt),
        ];
        all.into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(word, values)| (word, values.as_slice()))
            .collect()
    }

    /// Whether a host of a service may not have a record of its own beside these.
    #[must_use]
    pub fn lead_somewhere(&self) -> bool {
        !(self.a.is_empty() && self.aaaa.is_empty() && self.cname.is_empty())
    }
}

impl Zone {
    pub(super) fn check(&self, domain: &str, rules: &mut Rules<'_>) {
        for (name, records) in &self.records {
            let path = ["dns", domain, "records", name];
            let types = records.by_type();
            let place = rules.tree.key_place_of(&path);
            let at = |kind: &str| rules.tree.key_place_of(&["dns", domain, "records", name, kind]);
            let error = if types.is_empty() {
                let error = Diagnostic::error("record", format!("`{name}` has no record")).at(place, "");
                error.help("add one of `a`, `aaaa`, `caa`, `cname`, `mx`, `ns` and `txt`, or leave the name out")
            } else if !records.cname.is_empty() && name == "@" {
                let message = format!("{domain} itself cannot be another name: it has records of its own");
                let error = Diagnostic::error("record", message).at(at("cname"), "");
                error.help("use `a`, or let a service's `route.hosts` name the domain")
            } else if !records.cname.is_empty() && types.len() > 1 {
                let message = format!("`{name}` is another name, so that it can have no other records");
                let error = Diagnostic::error("record", message).at(at("cname"), "");
                error.help("keep either `cname` or the others")
            } else if !records.ns.is_empty() && name == "@" {
                let message = format!("the name servers of {domain} are those of its zone");
                let error = Diagnostic::error("record", message).at(at("ns"), "");
                error.help("leave `ns` out; it is for names below the domain that others answer")
            } else {
                continue;
            };
            rules.report(error);
        }
    }
}
