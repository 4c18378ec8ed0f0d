//! The environment file: one YAML file that says all that an environment is made of.
//!
//! [`load`] reads it in steps, each of which finds all of its mistakes: text to tree ([`crate::source`]), `extends`,
//! variables, the JSON schema of the types below, and the rules that no schema can say. A file that passes is an
//! [`EnvironmentFile`], and its tree stays at hand so that later steps can point into it.

pub mod alarms;
pub mod allow;
pub mod audit;
pub mod backups;
pub mod buckets;
pub mod caches;
pub mod certificates;
pub mod check;
pub mod dashboards;
pub mod databases;
pub mod decode;
pub mod dns;
pub mod existing;
pub mod expand;
pub mod extends;
pub mod firewall;
pub mod jobs;
pub mod keys;
pub mod load_balancers;
pub mod logs;
pub mod network;
pub mod notifications;
pub mod pipeline;
pub mod references;
pub mod registries;
pub mod releases;
pub mod rules;
pub mod secrets;
pub mod service_rules;
pub mod services;
mod shape;
pub mod subnets;
#[cfg(test)]
mod tests;
pub mod tracing;
pub mod types;
mod variables;
mod words;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use self::alarms::Alarm;
use self::allow::Allowance;
use self::audit::Audit;
use self::backups::Backup;
use self::buckets::Bucket;
use self::caches::Cache;
use self::certificates::Certificate;
pub use self::check::check_schema;
use self::dashboards::Dashboard;
use self::databases::Database;
use self::dns::Zone;
use self::existing::Existing;
pub use self::expand::Facts;
use self::firewall::Firewall;
use self::jobs::Job;
use self::keys::Key;
use self::load_balancers::LoadBalancer;
use self::logs::Logs;
use self::network::Network;
use self::notifications::Notifications;
use self::pipeline::Pipeline;
pub use self::references::{Piece, ReferenceError, references};
use self::registries::Registry;
use self::rules::Rules;
use self::secrets::Secret;
use self::services::Service;
pub use self::subnets::plan_subnets;
use self::tracing::Tracing;
use self::types::{Scalar, names};
pub use self::words::nearest;
use crate::desired::{Desired, Wrong};
use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Node, Sources, Tree};

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
    #[schemars(regex(pattern = "^[a-z]{2}(-[a-z]+)+-[0-9]$"), title = "a valid region", example = &"us-east-1")]
    pub region: String,
    /// Another file that this one builds on, relative to this one. Maps are merged, all else is replaced, and `null`
    /// removes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// or the name of an alarm of one's own).
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

/// A file that passed all checks.
#[derive(Debug)]
pub struct Loaded {
    pub file: EnvironmentFile,
    /// The environment's name: the file's name without folder and `.yaml`.
    pub name: String,
    /// The file with its bases merged and its variables replaced, with places into `sources`.
    pub tree: Node,
    pub sources: Sources,
    pub warnings: Vec<Diagnostic>,
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct Failed {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Reads and checks an environment file. The name is its path; `read` finds the text of it and of the files that it
/// extends.
///
/// # Errors
/// All mistakes at once, as far as one does not hide another.
pub fn load(name: &str, vars: &[(String, String)], read: extends::Read<'_>) -> Result<Loaded, Failed> {
    let mut sources = Sources::default();
    let (tree, diagnostics) = match read_tree(name, &mut sources, read) {
        Ok(tree) => checked(tree, vars, &sources, name),
        Err(diagnostics) => (None, diagnostics),
    };
    match tree {
        Some((file, tree)) if !diagnostics.iter().any(Diagnostic::is_error) => {
            Ok(Loaded { file, name: stem(name).to_owned(), tree, sources, warnings: diagnostics })
        }
        _ => Err(Failed { diagnostics, sources }),
    }
}

/// What a file asks for: every resource, with the references between them.
///
/// # Errors
/// All mistakes in how the parts of the file fit together, each at its place.
pub fn desired(loaded: &Loaded, facts: &Facts) -> Result<Desired, Vec<Diagnostic>> {
    let Loaded { file, name, tree, .. } = loaded;
    let (resources, mut wrong, mut found) = expand::expand(file, name, tree, facts);
    let desired = Desired::new(&file.project, name, &file.account, &file.region, resources);
    match desired {
        Ok(desired) if wrong.is_empty() && found.is_empty() => return Ok(desired),
        Ok(_) => {}
        Err(more) => wrong.extend(more),
    }
    let diagnostic = |wrong: Wrong| {
        let mention =
            wrong.reference.and_then(|reference| tree.get(&wrong.path)?.mention(&format!("${{{reference}}}")));
        let place = mention.unwrap_or_else(|| tree.place_of(&wrong.path));
        let error = Diagnostic::error("environment", wrong.message).at(place, "");
        match wrong.help {
            Some(help) => error.help(help),
            None => error,
        }
    };
    found.extend(wrong.into_iter().map(diagnostic));
    Err(found)
}

/// The JSON schema of an environment file, for editors.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<EnvironmentFile>().to_value();
    shape::join_lines(&mut schema);
    schema
}

fn read_tree(name: &str, sources: &mut Sources, read: extends::Read<'_>) -> Result<Node, Vec<Diagnostic>> {
    let tree = extends::read(name, sources, read)?;
    // A newer file may well hold what this binary takes for mistakes, so this comes before all else.
    match unmet_requirement(&tree) {
        Some(error) => Err(vec![error]),
        None => Ok(tree),
    }
}

fn checked(
    mut tree: Node,
    vars: &[(String, String)],
    sources: &Sources,
    name: &str,
) -> (Option<(EnvironmentFile, Node)>, Vec<Diagnostic>) {
    let replaced = variables::replace(&mut tree, vars, sources);
    let mut diagnostics = replaced.diagnostics;
    diagnostics.extend(wrong_name(stem(name)));
    broken_references(&tree, sources, &mut diagnostics);
    let findings = check::findings(&tree, &json_schema(), &[]);
    let mut wrong = replaced.broken;
    let broken = wrong.len();
    for finding in findings {
        if !wrong[..broken].contains(&finding.path) {
            diagnostics.push(finding.diagnostic);
        }
        wrong.push(finding.path);
    }
    // The rules between fields run over what is right, so that a mistake in one service hides none in another.
    let file = match decode::decode::<EnvironmentFile>(&without(&tree, &wrong)) {
        Ok(file) => file,
        Err(error) => {
            diagnostics.push(*error);
            return (None, diagnostics);
        }
    };
    let mut rules = Rules::new(&tree);
    file.check(&wrong, &mut rules);
    diagnostics.extend(rules.into_found());
    (Some((file, tree)), diagnostics)
}

fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml")).unwrap_or(file)
}

/// The environment's name is part of every resource's name, so it follows the same rules as the project's.
fn wrong_name(name: &str) -> Option<Diagnostic> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let right = letters && name.len() <= 24 && name.starts_with(|first: char| first.is_ascii_lowercase());
    if right && !name.contains("--") && !name.ends_with('-') {
        return None;
    }
    let error = Diagnostic::error(
        "environment_name",
        format!("the file's name gives the environment its name, and `{name}` cannot be one"),
    );
    Some(error.help(
        "rename the file: lower-case letters, digits and single `-`, beginning with a letter, at most 24 characters",
    ))
}

fn unmet_requirement(tree: &Node) -> Option<Diagnostic> {
    let node = tree.get(&["requires"])?;
    let numbers = |text: &str| -> Option<Vec<u64>> { text.split('.').map(|part| part.parse().ok()).collect() };
    let wanted = numbers(node.text()?.strip_prefix(">=")?.trim())?;
    let ours = env!("CARGO_PKG_VERSION");
    if numbers(ours.split(['-', '+']).next()?)? >= wanted {
        return None;
    }
    let error = Diagnostic::error("requires", format!("this file needs a newer `infra`; this one is {ours}"));
    Some(error.at(node.place, "").help("install a newer version"))
}

/// References that cannot be read, wherever they stand. What they lead to is for the next stage.
fn broken_references(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) {
    match &node.value {
        Tree::Text(text) => {
            if let Err(error) = references(text) {
                let diagnostic = Diagnostic::error("reference", error.to_string());
                diagnostics.push(diagnostic.at(sources.inside(node, error.range()), "").help(error.help()));
            }
        }
        Tree::List(items) => items.iter().for_each(|item| broken_references(item, sources, diagnostics)),
        Tree::Map(entries) => entries.iter().for_each(|entry| broken_references(&entry.value, sources, diagnostics)),
        _ => {}
    }
}

/// The tree without the parts that hold mistakes: an entry of a section, or a whole section. What the file must have
/// and lacks is filled in, for the sake of the other checks.
fn without(tree: &Node, wrong: &[Vec<String>]) -> Node {
    let mut tree = tree.clone();
    if wrong.is_empty() {
        return tree;
    }
    for path in wrong {
        let Tree::Map(entries) = &mut tree.value else { break };
        let Some(section) = path.first() else { continue };
        let inner = entries.iter_mut().find(|entry| entry.key == *section).map(|entry| &mut entry.value.value);
        match (path.get(1), inner) {
            (Some(name), Some(Tree::Map(inner))) if section != "network" && section != "pipeline" => {
                inner.retain(|entry| entry.key != *name);
            }
            _ => entries.retain(|entry| entry.key != *section),
        }
    }
    let place = tree.place;
    if !matches!(tree.value, Tree::Map(_)) {
        tree.value = Tree::Map(Vec::new());
    }
    if let Tree::Map(entries) = &mut tree.value {
        for key in ["project", "account", "region"] {
            if !entries.iter().any(|entry| entry.key == key) {
                let value = Node { place, value: Tree::Text(String::new()) };
                entries.push(Entry { key: key.to_owned(), key_place: place, value });
            }
        }
    }
    tree
}

impl EnvironmentFile {
    fn check(&self, wrong: &[Vec<String>], rules: &mut Rules<'_>) {
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
        self.jobs.iter().for_each(|(name, one)| one.check(name, &self.services, rules));
        self.check_tags(rules);
        let needy = [
            ("services", !self.services.is_empty()),
            ("databases", !self.databases.is_empty()),
            ("jobs", !self.jobs.is_empty()),
            ("caches", !self.caches.is_empty()),
        ];
        let network =
            self.network.is_some() || wrong.iter().any(|path| path.first().is_some_and(|first| first == "network"));
        if let Some((section, _)) = needy.iter().find(|(_, present)| *present && !network) {
            let error = Diagnostic::error("network", format!("`{section}` need a `network` to stand in"));
            let error = error.at(rules.tree.key_place_of(&[section]), "");
            rules.report(error.help("add `network: { cidr: 10.0.0.0/16, zones: 3 }`"));
        }
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
