//! `firewall`: what stands before the load balancers that the internet reaches.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::Cidr;
use crate::diagnostic::Diagnostic;
use crate::environment::load_balancers::{LoadBalancer, Scheme};

/// A web firewall (AWS WAF) before the load balancers that the internet reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    /// How many requests a minute one address may make, 10 or more; what is above is refused (403). Default: 100.
    #[schemars(range(min = 10, max = 2_000_000_000), example = 1000)]
    pub rate: u32,
    /// Paths with limits of their own, in requests a minute: `{ "/login": 10, "/api/auth/*": 10 }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = paths(), "additionalProperties" = limits(), "maxProperties" = 50))]
    pub paths: BTreeMap<String, u32>,
    /// The groups of rules that AWS keeps up to date. Default: `[common, bad_inputs, ip_reputation]`.
    pub managed: Vec<Group>,
    /// Rules of these groups that only count, because they take harmless requests:
    /// `{ common: [SizeRestrictions_BODY] }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub count: BTreeMap<String, Vec<String>>,
    /// The address ranges that are never limited, such as an office: `[203.0.113.0/24]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Cidr>", length(max = 1000))]
    pub allow: Vec<Ipv4Net>,
    /// The load balancers that it protects, by name. Default: all that the internet reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub load_balancers: Option<Vec<String>>,
}

/// A group of rules of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// What every application has to fear, such as scripts in parameters.
    Common,
    /// Requests that look for known holes, such as Log4Shell.
    BadInputs,
    /// SQL in parameters.
    Sql,
    /// Addresses that are known for attacks.
    IpReputation,
    /// Addresses of proxies, Tor and hosting companies.
    Anonymous,
    /// Pages for administrators.
    Admin,
    Linux,
    Unix,
    Windows,
    Php,
    Wordpress,
}

impl Group {
    /// How the file spells it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::BadInputs => "bad_inputs",
            Self::Sql => "sql",
            Self::IpReputation => "ip_reputation",
            Self::Anonymous => "anonymous",
            Self::Admin => "admin",
            Self::Linux => "linux",
            Self::Unix => "unix",
            Self::Windows => "windows",
            Self::Php => "php",
            Self::Wordpress => "wordpress",
        }
    }

    /// AWS's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Common => "AWSManagedRulesCommonRuleSet",
            Self::BadInputs => "AWSManagedRulesKnownBadInputsRuleSet",
            Self::Sql => "AWSManagedRulesSQLiRuleSet",
            Self::IpReputation => "AWSManagedRulesAmazonIpReputationList",
            Self::Anonymous => "AWSManagedRulesAnonymousIpList",
            Self::Admin => "AWSManagedRulesAdminProtectionRuleSet",
            Self::Linux => "AWSManagedRulesLinuxRuleSet",
            Self::Unix => "AWSManagedRulesUnixRuleSet",
            Self::Windows => "AWSManagedRulesWindowsRuleSet",
            Self::Php => "AWSManagedRulesPHPRuleSet",
            Self::Wordpress => "AWSManagedRulesWordPressRuleSet",
        }
    }
}

impl Default for Firewall {
    fn default() -> Self {
        Self {
            rate: 100,
            paths: BTreeMap::new(),
            managed: vec![Group::Common, Group::BadInputs, Group::IpReputation],
            count: BTreeMap::new(),
            allow: Vec::new(),
            load_balancers: None,
        }
    }
}

fn paths() -> serde_json::Value {
    serde_json::json!({
        "title": "a path",
        "description": "a path that begins with `/`, with `*` only at its end: `/api/auth/*`",
        "pattern": r"^/[a-z0-9_.~%/-]*\*?$",
        "maxLength": 100,
    })
}

fn limits() -> serde_json::Value {
    serde_json::json!({ "type": "integer", "minimum": 10, "maximum": 2_000_000_000 })
}

impl Firewall {
    /// The load balancers that it protects.
    #[must_use]
    pub fn protects<'a>(&'a self, balancers: &'a BTreeMap<String, LoadBalancer>) -> Vec<&'a String> {
        let open =
            balancers.iter().filter(|(_, section)| section.scheme == Scheme::InternetFacing).map(|(name, _)| name);
        self.load_balancers.as_ref().map_or_else(|| open.collect(), |names| names.iter().collect())
    }

    pub(super) fn check(&self, balancers: &BTreeMap<String, LoadBalancer>, rules: &mut Rules<'_>) {
        for (at, name) in self.load_balancers.iter().flatten().enumerate() {
            rules.known("load_balancers", name, &["firewall", "load_balancers", &at.to_string()]);
        }
        if self.protects(balancers).is_empty() && rules.names("load_balancers").len() == balancers.len() {
            let message = "there is no load balancer that the internet reaches, so that `firewall` protects nothing";
            let error = Diagnostic::error("firewall", message).at(rules.tree.key_place_of(&["firewall"]), "");
            rules.report(error.help("remove `firewall`, or name what it protects in `load_balancers`"));
        }
        for (at, net) in self.allow.iter().enumerate() {
            rules.no_host_bits(*net, &["firewall", "allow", &at.to_string()]);
        }
        for (at, group) in self.managed.iter().enumerate().filter(|(at, group)| self.managed[..*at].contains(group)) {
            let place = rules.tree.place_of(&["firewall", "managed", &at.to_string()]);
            let error = Diagnostic::error("firewall", format!("`{}` is there twice", group.word())).at(place, "");
            rules.report(error.help("remove one of the two"));
        }
        let known: Vec<&str> = self.managed.iter().map(|group| group.word()).collect();
        for name in self.count.keys().filter(|name| !known.contains(&name.as_str())) {
            let place = rules.tree.key_place_of(&["firewall", "count", name]);
            let error = Diagnostic::error("firewall", format!("`{name}` is not one of the groups in `managed`"));
            rules.report(error.at(place, "").help(format!("the groups are {}", known.join(", "))));
        }
    }
}
