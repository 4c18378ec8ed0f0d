//! Findings: what AWS would take and nobody should want. Pure.
//!
//! Each rule has a code, a severity, a reason and a remedy ([`Rule`], listed by [`rules`]) and looks at the desired
//! resources of an environment. [`check`] sorts what they find into what stands and what the file allows (`allow:`).
//! Errors stop a plan, warnings are shown.

mod containers;
mod data;
mod edge;
mod firewalls;
mod identities;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::words::is_secret;
use crate::address::Address;
use crate::desired::{Desired, Resource};
use crate::diagnostic::{Diagnostic, Severity};
use crate::environment::{EnvironmentFile, Loaded, nearest};
use crate::kind::Kind;
use crate::reach::{Firewalls, speaks_of};
use crate::source::{Node, Place};
use crate::value::{self, Value};

/// One rule: what it finds, why that is bad, and what to do.
#[derive(Clone, Copy)]
pub struct Rule {
    /// A stable word, as in `open_ssh`.
    pub code: &'static str,
    pub severity: Severity,
    /// What it finds.
    pub what: &'static str,
    /// Why that does harm.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    find: fn(&Context) -> Vec<Hit>,
}

/// All rules, by subject.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [firewalls::RULES, edge::RULES, containers::RULES, data::RULES, identities::RULES].into_iter().flatten()
}

/// The rule with this code.
#[must_use]
pub fn rule(code: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.code == code)
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    pub address: Address,
    /// The field of the resource, as in `ingress.0`; empty where it is about the whole.
    pub path: String,
    pub message: String,
    pub help: String,
    /// Why the file allows it, if it does.
    pub allowed: Option<String>,
    /// Where the file says it, in the words of its section.
    #[serde(skip)]
    near: Vec<&'static str>,
    /// Whether the line may not be shown, since it holds a secret.
    #[serde(skip)]
    hidden: bool,
}

/// What a rule says of one resource.
struct Hit {
    address: Address,
    path: String,
    message: String,
    near: Vec<&'static str>,
    hidden: bool,
}

impl Hit {
    fn new(resource: &Resource, path: &str, message: impl Into<String>) -> Self {
        Self {
            address: resource.address.clone(),
            path: path.to_owned(),
            message: message.into(),
            near: Vec::new(),
            hidden: false,
        }
    }

    /// Names the field as the section calls it, where that is not how the kind calls it.
    fn near(mut self, path: &[&'static str]) -> Self {
        self.near = path.to_vec();
        self
    }

    fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }
}

/// What rules look at.
struct Context<'a> {
    file: &'a EnvironmentFile,
    desired: &'a Desired,
    firewalls: Firewalls,
    /// Whether the environment's name says that users depend on it.
    production: bool,
}

impl<'a> Context<'a> {
    fn new(file: &'a EnvironmentFile, desired: &'a Desired) -> Self {
        let production = is_production(&desired.environment);
        Self { file, desired, firewalls: Firewalls::of(desired), production }
    }

    /// All resources of a kind, by its name: also of kinds of which only some fields matter here.
    fn all(&self, kind: &'static str) -> impl Iterator<Item = &'a Resource> + use<'a> {
        let desired = self.desired;
        desired.resources.values().filter(move |resource| resource.address.kind == kind)
    }

    /// All resources of a kind with their fields.
    fn each<K: Kind>(&self) -> impl Iterator<Item = (&'a Resource, K)> + use<'a, K> {
        self.all(K::NAME).filter_map(|resource| Some((resource, value::from_fields(&resource.fields).ok()?)))
    }

    /// Whether a resource of this kind refers to that address.
    fn speaks(&self, kind: &'static str, of: &Address) -> bool {
        self.all(kind).any(|resource| resource.fields.values().any(|value| speaks_of(value, of)))
    }
}

/// Whether an environment's name is that of one on which users depend.
fn is_production(name: &str) -> bool {
    name.split('-').any(|word| matches!(word, "production" | "prod" | "live"))
}

/// What the rules say of an environment.
#[derive(Debug, Default)]
pub struct Checked {
    /// All of them, also those that the file allows.
    pub findings: Vec<Finding>,
    /// Those that stand, and what is wrong with the allowances, at their places in the file.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// How many findings the file allows.
    #[must_use]
    pub fn allowed(&self) -> usize {
        self.findings.iter().filter(|finding| finding.allowed.is_some()).count()
    }

    /// The findings on one resource.
    pub fn of<'a>(&'a self, address: &'a Address) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.address == *address)
    }
}

/// Checks what a file makes.
#[must_use]
pub fn check(loaded: &Loaded, desired: &Desired) -> Checked {
    let context = Context::new(&loaded.file, desired);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in rules() {
        findings.extend((rule.find)(&context).into_iter().map(|hit| finding(rule, hit)));
    }
    let mut needed: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for finding in &mut findings {
        let Some((address, allowances)) = loaded.file.allow.get_key_value(&finding.address.to_string()) else {
            continue;
        };
        if let Some((code, reason)) = allowances.iter().flat_map(|one| &one.0).find(|(code, _)| **code == *finding.code)
        {
            finding.allowed = Some(reason.clone());
            needed.insert((address, code), true);
        }
    }
    let mut diagnostics = allowances(loaded, desired, &needed);
    let standing = findings.iter().filter(|finding| finding.allowed.is_none());
    diagnostics.extend(standing.map(|finding| diagnostic(finding, loaded, desired)));
    Checked { findings, diagnostics }
}

fn finding(rule: &Rule, hit: Hit) -> Finding {
    let Hit { address, path, message, near, hidden } = hit;
    let help = rule.remedy.to_owned();
    Finding { code: rule.code, severity: rule.severity, address, path, message, help, allowed: None, near, hidden }
}

/// What is wrong with the allowances of a file: addresses that it does not make, and what no finding needs.
fn allowances(loaded: &Loaded, desired: &Desired, needed: &BTreeMap<(&str, &str), bool>) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    let known: Vec<String> = desired.resources.keys().map(ToString::to_string).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    for (address, allowances) in &loaded.file.allow {
        if !known.contains(&address.as_str()) {
            let place = loaded.tree.key_place_of(&["allow", address]);
            let error = Diagnostic::error("unknown_address", format!("this file makes no {address}"));
            wrong.push(match nearest(address, &known) {
                Some(near) => error.at(place, format!("did you mean `{near}`?")),
                None => error.at(place, "").help("`infra plan` lists the addresses that it makes"),
            });
            continue;
        }
        for (at, allowance) in allowances.iter().enumerate() {
            for code in allowance.0.keys().filter(|code| !needed.contains_key(&(address.as_str(), code.as_str()))) {
                let place = loaded.tree.key_place_of(&["allow", address, &at.to_string(), code]);
                let warning = Diagnostic::warning("stale_allowance", format!("{address} has no finding `{code}`"));
                wrong.push(
                    warning.at(place, "").help("take this allowance out: it would hide the finding if it came back"),
                );
            }
        }
    }
    wrong
}

fn diagnostic(finding: &Finding, loaded: &Loaded, desired: &Desired) -> Diagnostic {
    let Finding { code, severity, address, help, .. } = finding;
    let place = place(finding, &loaded.tree, desired);
    let help = format!("{help}\nor say why it may be: `allow: {{ {address}: [{code}: ...] }}`");
    let message = format!("{address}: {}", finding.message);
    let diagnostic = match severity {
        Severity::Error => Diagnostic::error(code, message),
        Severity::Warning => Diagnostic::warning(code, message),
    };
    match place {
        Some(place) if finding.hidden => diagnostic.at(place, "").help(help).hidden(),
        Some(place) => diagnostic.at(place, "").help(help),
        None => diagnostic.help(help),
    }
}

/// Where the file says what a finding is about: the field in the words of the section, the field of the kind or the last
/// parts of its path, or else the entry that made the resource.
fn place(finding: &Finding, tree: &Node, desired: &Desired) -> Option<Place> {
    let origin = &desired.resources.get(&finding.address)?.origin;
    let below = |rest: &[&str]| -> Vec<String> {
        origin.iter().cloned().chain(rest.iter().map(|part| (*part).to_owned())).collect()
    };
    let path: Vec<&str> = finding.path.split('.').filter(|part| !part.is_empty()).collect();
    let mut tries = vec![finding.near.clone()];
    tries.extend((0..path.len()).map(|from| path[from..].to_vec()));
    let found =
        tries.iter().filter(|rest| !rest.is_empty()).map(|rest| below(rest)).find(|path| tree.get(path).is_some());
    Some(match found {
        Some(path) => tree.place_of(&path),
        None => tree.key_place_of(origin),
    })
}

/// The texts within a value, with references as `${...}`, and the path of each below it.
fn texts<'a>(value: &'a Value, path: &str, visit: &mut impl FnMut(&str, std::borrow::Cow<'a, str>)) {
    match value {
        Value::Text(text) => visit(path, text.as_str().into()),
        Value::Template(template) => visit(path, template.to_string().into()),
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                texts(item, &join(path, &at.to_string()), visit);
            }
        }
        Value::Map(fields) => fields.iter().for_each(|(name, field)| texts(field, &join(path, name), visit)),
        _ => {}
    }
}

fn join(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") }
}

/// The documentation of all rules, as `docs/findings.md` holds it.
#[must_use]
pub fn markdown() -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "# Findings\n\nWhat `infra validate`, `plan` and `apply` say of a file that AWS would take. Errors stop, warnings are shown.\n\
         `infra explain CODE` prints one of these. What is meant as it is, the file allows with a reason, at its address:\n\n\
         ```yaml\nallow:\n  db_instance.main: [single_zone: staging may be down for an hour]\n```\n\n\
         An allowance that no finding needs any more is a warning itself. Where a rule speaks of production, it means an\n\
         environment with `production`, `prod` or `live` in its name.\n",
    );
    let mut sorted: Vec<&Rule> = rules().collect();
    sorted.sort_by_key(|rule| (rule.severity == Severity::Warning, rule.code));
    let list = |out: &mut String, severity: Severity, title: &str| {
        let _ = write!(out, "\n## {title}\n");
        for rule in sorted.iter().filter(|rule| rule.severity == severity) {
            let _ = write!(
                out,
                "\n### `{}`\n\n{}.\n\n- **Why:** {}.\n- **Remedy:** {}.\n",
                rule.code, rule.what, rule.why, rule.remedy
            );
        }
    };
    list(&mut out, Severity::Error, "Errors");
    list(&mut out, Severity::Warning, "Warnings");
    out
}

/// One rule as `infra explain CODE` prints it.
#[must_use]
pub fn explain(rule: &Rule) -> String {
    let severity = match rule.severity {
        Severity::Error => "error: stops validate, plan and apply",
        Severity::Warning => "warning: shown, and stops nothing",
    };
    format!(
        "{} ({severity})\n\n{}.\n\n  Why     {}.\n  Remedy  {}.\n  Allow   allow: {{ ADDRESS: [{}: the reason] }}\n",
        rule.code, rule.what, rule.why, rule.remedy, rule.code
    )
}
