//! What an environment file may say: its fields, which are its sections, and the rules between them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alarms::Alarm;
use super::allow::Allowance;
use super::audit::Audit;
use super::backups::Backup;
use super::buckets::Bucket;
use super::caches::Cache;
use super::certificates::Certificate;
use super::dashboards::Dashboard;
use super::databases::{Database, Rotation};
use super::dns::Zone;
use super::existing::Existing;
use super::firewall::Firewall;
use super::jobs::Job;
use super::keys::Key;
use super::load_balancers::LoadBalancer;
use super::logs::Logs;
use super::network::Network;
use super::notifications::Notifications;
use super::pipeline::Pipeline;
use super::registries::Registry;
use super::rules::Rules;
use super::secrets::Secret;
use super::services::Service;
use super::tracing::Tracing;
use super::types::{Scalar, names};
use super::{alarms, allow, dns, release_rules, service_rules};
use crate::diagnostic::Diagnostic;

/// What a raw resource has beside the fields of its kind.
pub(super) const PROTECT: &str = "protect";

/// Regions have names of a few words, so that a slip of the pen is found.
const REGION: &str =
    "^[a-z]{2}(-[a-z]+)?-(north|south|east|west|central|northeast|northwest|southeast|southwest)-[0-9]{1,2}$";

/// An environment: everything of one project that lives and dies together, such as production.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "infra environment")]
pub struct EnvironmentFile {
    /// The project's name, which begins the names of all resources: at most 24 lower-case letters, digits and single
    /// `-`.
    #[schemars(length(max = 24), regex(pattern = "^[a-z]([a-z0-9]|-[a-z0-9])*$"), title = "a valid project name", example = &"acme")]
    pub project: String,
    /// The AWS account, 12 digits in quotes. Nothing runs in any other account.
    #[schemars(regex(pattern = "^[0-9]{12}$"), title = "an account number", example = &"123456789012")]
    pub account: String,
    /// The AWS region, such as `us-east-1`. It cannot be changed later.
    #[schemars(regex(pattern = REGION), title = "a valid region", example = &"us-east-1")]
    pub region: String,
    /// Another file that this one builds on, relative to this one. Maps are merged, all else is replaced, and `null`
    /// removes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"base.yaml")]
    pub extends: Option<String>,
    /// Variables and their defaults: `${var.NAME}` takes its value from `--var NAME=VALUE`, else from here. One that is
    /// `null` must be given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = variable_names()))]
    pub vars: BTreeMap<String, Option<Scalar>>,
    /// Tags for everything that AWS can tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = tag_names(), "additionalProperties" = tag_values(), "maxProperties" = 40))]
    pub tags: BTreeMap<String, String>,
    /// The oldest `infra` that understands this file: `">=0.3"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^>= ?[0-9]{1,9}\.[0-9]{1,9}(\.[0-9]{1,9})?$"), title = "a version requirement", example = &">=0.3")]
    pub requires: Option<String>,
    /// The network. Services, databases and caches need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Load balancers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// TLS certificates, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub certificates: BTreeMap<String, Certificate>,
    /// DNS, by domain: `example.com: {}` makes the zone, `example.com: { id: Z0123456789ABC }` uses one that exists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = dns::domains()))]
    pub dns: BTreeMap<String, Zone>,
    /// The web firewall before the load balancers that the internet reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Firewall>,
    /// Containers on Fargate, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub services: BTreeMap<String, Service>,
    /// Containers that run once and end, by name: on a schedule, or before a release.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub jobs: BTreeMap<String, Job>,
    /// Traces requests through the services with X-Ray.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// Databases, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub databases: BTreeMap<String, Database>,
    /// Caches, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub caches: BTreeMap<String, Cache>,
    /// Secrets, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub secrets: BTreeMap<String, Secret>,
    /// How credentials of databases rotate; whether they do says `rotation` of each database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Encryption keys, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub keys: BTreeMap<String, Key>,
    /// Repositories of container images, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub registries: BTreeMap<String, Registry>,
    /// Who may release from outside of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Pipeline>,
    /// Backups of databases in a vault, by name, such as `daily`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub backups: BTreeMap<String, Backup>,
    /// S3 buckets, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub buckets: BTreeMap<String, Bucket>,
    /// The log of all calls to AWS in the account. Default: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Who hears of trouble, by how bad it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Notifications>,
    /// Changes of the alarms that come by themselves, and alarms of one's own, by name:
    /// `{ api-errors: { above: 20 } }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = alarms::names()))]
    pub alarms: BTreeMap<String, Alarm>,
    /// Where it is written what to do about an alarm: each names the page below that is about its kind of trouble
    /// (`errors`, `slow`, `down`, `load-balancer-errors`, `database-connections`, `database-storage`, `database-cpu`,
    /// `rotation`, or the name of an alarm of one's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300), regex(pattern = "^https?://[^ ]+$"), title = "the address of a web page", example = &"https://wiki.example.com/runbooks")]
    pub runbooks: Option<String>,
    /// Pages of graphs, by name. One, `golden`, comes by itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub dashboards: BTreeMap<String, Dashboard>,
    /// How long logs are kept, what is counted in them, and queries that are saved.
    #[serde(default)]
    pub logs: Logs,
    /// What others own and this environment only refers to, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = names()))]
    pub existing: BTreeMap<String, Existing>,
    /// Resources without a section of their own, by address (`kind.name`), with the fields of their kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = addresses(), "additionalProperties" = raw()))]
    pub resources: BTreeMap<String, serde_json::Value>,
    /// Findings that are meant as they are, by the address that has them, each with its reason:
    /// `db_instance.main: [single_zone: staging may be down for an hour]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = addresses()))]
    pub allow: BTreeMap<String, Vec<Allowance>>,
}

impl EnvironmentFile {
    pub(super) fn check(&self, wrong: &[Vec<String>], rules: &mut Rules<'_>) {
        if let Some(network) = &self.network {
            network.check(Some(self.region.as_str()).filter(|region| !region.is_empty()), rules);
        }
        self.load_balancers.iter().for_each(|(name, one)| one.check(name, rules));
        self.certificates.iter().for_each(|(name, one)| one.check(name, rules));
        self.dns.iter().for_each(|(domain, one)| one.check(domain, rules));
        if let Some(firewall) = &self.firewall {
            firewall.check(&self.load_balancers, rules);
        }
        self.services.iter().for_each(|(name, one)| one.check(name, rules));
        self.databases.iter().for_each(|(name, one)| one.check(name, rules));
        self.caches.iter().for_each(|(name, one)| one.check(name, rules));
        self.secrets.iter().for_each(|(name, one)| one.check(name, rules));
        self.registries.iter().for_each(|(name, one)| one.check(name, rules));
        self.pipeline.iter().for_each(|one| one.check(rules));
        self.backups.iter().for_each(|(name, one)| one.check(name, self, rules));
        self.buckets.iter().for_each(|(name, one)| one.check(name, rules));
        self.audit.iter().for_each(|audit| audit.check(rules));
        self.existing.iter().for_each(|(name, one)| one.check(name, rules));
        allow::check(&self.allow, rules);
        self.notifications.iter().for_each(|one| one.check(rules));
        self.alarms.iter().for_each(|(name, one)| one.check(name, rules));
        self.dashboards.iter().for_each(|(name, one)| one.check(name, rules));
        self.logs.check(rules);
        service_rules::check_routes(&self.services, rules);
        service_rules::check_calls(&self.services, rules);
        release_rules::check(&self.services, &self.jobs, rules);
        self.jobs.iter().for_each(|(name, one)| one.check(name, &self.services, rules));
        self.check_tags(rules);
        let needy = [
            ("services", !self.services.is_empty()),
            ("databases", !self.databases.is_empty()),
            ("jobs", !self.jobs.is_empty()),
            ("caches", !self.caches.is_empty()),
            ("load_balancers", !self.load_balancers.is_empty()),
        ];
        let network =
            self.network.is_some() || wrong.iter().any(|path| path.first().is_some_and(|first| first == "network"));
        if let Some((section, _)) = needy.iter().find(|(_, present)| *present && !network) {
            let error = Diagnostic::error("network", format!("`{section}` need a `network` to stand in"));
            let error = error.at(rules.tree.key_place_of(&[section]), "");
            rules.report(error.help("add `network: { cidr: 10.0.0.0/16, zones: 3 }`"));
        }
    }

    /// Whether the part of the file at this path is protected.
    pub(super) fn protects(&self, origin: &[&str]) -> bool {
        match *origin {
            ["network", ..] => self.network.as_ref().is_some_and(|one| one.protect),
            ["load_balancers", name, ..] => self.load_balancers.get(name).is_some_and(|one| one.protect),
            ["certificates", name, ..] => self.certificates.get(name).is_some_and(|one| one.protect),
            ["dns", domain, ..] => self.dns.get(domain).is_some_and(|one| one.protect),
            ["services", name, ..] => self.services.get(name).is_some_and(|one| one.protect),
            ["jobs", name, ..] => self.jobs.get(name).is_some_and(|one| one.protect),
            ["databases", name, ..] => self.databases.get(name).is_some_and(|one| one.protect),
            ["caches", name, ..] => self.caches.get(name).is_some_and(|one| one.protect),
            ["secrets", name, ..] => self.secrets.get(name).is_some_and(|one| one.protect),
            ["keys", name, ..] => self.keys.get(name).is_some_and(|one| one.protect),
            ["registries", name, ..] => self.registries.get(name).is_some_and(|one| one.protect),
            ["backups", name, ..] => self.backups.get(name).is_some_and(|one| one.protect),
            ["buckets", name, ..] => self.buckets.get(name).is_some_and(|one| one.protect),
            ["resources", address, ..] => self.resources.get(address).is_some_and(|one| one[PROTECT] == true),
            _ => false,
        }
    }

    /// The names of all sections.
    pub(super) fn sections() -> Vec<&'static str> {
        super::SCHEMA["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    fn check_tags(&self, rules: &mut Rules<'_>) {
        for key in self.tags.keys() {
            let lower = key.to_lowercase();
            let owner = if lower.starts_with("aws:") { "AWS" } else { "`infra`" };
            if lower.starts_with("aws:") || lower.starts_with("infra:") {
                let error = Diagnostic::error("tag_name", format!("the tag `{key}` belongs to {owner}"));
                rules.report(
                    error
                        .at(rules.tree.key_place_of(&["tags", key]), "")
                        .help("choose another beginning than `aws:` and `infra:`"),
                );
            }
        }
    }
}

fn variable_names() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid name of a variable",
        "description": "letters, digits and `_`, beginning with a letter",
        "pattern": "^[A-Za-z][A-Za-z0-9_]*$",
        "maxLength": 64,
    })
}

fn tag_names() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid tag name",
        "description": "letters, digits and `_ . : / = + - @`",
        "pattern": r"^[\p{L}\p{N}_.:/=+\-@]+$",
        "maxLength": 128,
    })
}

fn tag_values() -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "title": "a valid tag value",
        "description": "letters, digits, spaces and `_ . : / = + - @`, at most 256 characters",
        "pattern": r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$",
        "maxLength": 256,
        "examples": ["platform-team"],
    })
}

fn addresses() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid address",
        "description": "the kind and a name, such as `security_group.bastion`",
        "pattern": r"^[a-z][a-z0-9_]*\.[A-Za-z0-9][A-Za-z0-9._-]*$",
        "maxLength": 128,
    })
}

fn raw() -> serde_json::Value {
    serde_json::json!({
        "type": "object",
        "description": "The fields of the kind; text may hold references.",
        "additionalProperties": true,
    })
}
