//! What a plan needs of IAM, and what IAM's answers mean.

use std::collections::{BTreeMap, BTreeSet};

use super::{Limit, Whose, limit};
use crate::address::{Address, ENVIRONMENT, PROJECT};
use crate::kinds;
use crate::plan::{Plan, Verb};
use crate::value::{Fields, Value};

/// Addresses that a message names before it counts the others.
const NAMED: usize = 3;

/// An action on a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub action: String,
    /// It is allowed if it is on any of these: policies may name all, all of a service, or what it is about.
    pub arns: BTreeSet<String>,
    /// The service that a role is handed over to; empty for all else.
    pub passed_to: &'static str,
}

/// What IAM says of one action on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Allowed,
    /// No policy allows it.
    Missing,
    /// A policy denies it.
    Denied,
    /// It depends on what only the real request holds, such as these keys.
    Depends(BTreeSet<String>),
}

/// What the steps of a plan need, and which addresses need it.
///
/// Not asked is what policies of others may allow, so that IAM's answer would not be the last word: keys that encrypt. Nor
/// are linked roles, which most accounts have.
#[must_use]
pub fn needs(plan: &Plan) -> BTreeMap<Asked, BTreeSet<Address>> {
    let Plan { project, environment, account, region, .. } = plan;
    let whose = Whose { project, environment, account, region };
    let mut needs: BTreeMap<Asked, BTreeSet<Address>> = BTreeMap::new();
    for step in plan.steps.node_weights() {
        let Some(info) = kinds::find(&step.address.kind) else { continue };
        let rights = info.rights;
        let (fields, actions) = match &step.verb {
            Verb::Create(fields) => (fields, [rights.create, rights.update]),
            Verb::Fill(fields) | Verb::Update { fields, .. } => (fields, [rights.update, ""]),
            Verb::Empty { live, .. } | Verb::Depose(live) => (&live.spec, [rights.update, ""]),
            Verb::Delete(live) => (&live.spec, [rights.delete, ""]),
            Verb::Settle | Verb::Wait(_) => continue,
        };
        let named = rights.on.split_whitespace().filter(|on| on.contains('{'));
        let arns: Vec<(String, String)> = named.filter_map(|on| whose.arn_of(on, fields)).collect();
        let mut ask = |action: &str, arns: BTreeSet<String>, passed_to| {
            let asked = Asked { action: action.to_owned(), arns, passed_to };
            needs.entry(asked).or_default().insert(step.address.clone());
        };
        for action in actions.into_iter().flat_map(str::split_whitespace) {
            let service = action.split(':').next().unwrap_or_default();
            match limit(&rights, action, false) {
                Limit::Through => {}
                Limit::Named => {
                    let arns = arns.iter().filter(|(of, _)| of == service).map(|(_, arn)| arn.clone());
                    let arns: BTreeSet<String> = arns.collect();
                    if !arns.is_empty() {
                        ask(action, arns, "");
                    }
                }
                Limit::Nothing | Limit::Tagged => {
                    ask(action, ["*".to_owned(), whose.arn(service, region, "*")].into(), "");
                }
            }
        }
        if matches!(step.verb, Verb::Create(_) | Verb::Update { .. }) {
            for service in rights.passes.split_whitespace() {
                for role in roles(fields) {
                    ask("iam:PassRole", [role.unwrap_or_else(|| whose.role_path())].into(), service);
                }
            }
        }
    }
    needs
}

/// The roles that a resource names: an ARN, or nothing where the role is made by the same plan.
fn roles(fields: &Fields) -> BTreeSet<Option<String>> {
    let below = |value: &Value| match value {
        Value::Map(fields) => roles(fields),
        Value::List(items) => {
            let maps = items.iter().filter_map(|item| if let Value::Map(fields) = item { Some(fields) } else { None });
            maps.flat_map(roles).collect()
        }
        _ => BTreeSet::new(),
    };
    let role = |(name, value): (&String, &Value)| match value {
        Value::Text(arn) if name.ends_with("role_arn") => [Some(arn.clone())].into(),
        Value::Template(_) if name.ends_with("role_arn") => [None].into(),
        value => below(value),
    };
    fields.iter().flat_map(role).collect()
}

/// What policies may ask about the requests of a plan.
#[must_use]
pub fn context(plan: &Plan, passed_to: &str) -> Vec<(String, String)> {
    let ours = |key: &str| {
        [(format!("{key}/{PROJECT}"), plan.project.clone()), (format!("{key}/{ENVIRONMENT}"), plan.environment.clone())]
    };
    let mut context = [ours("aws:ResourceTag"), ours("aws:RequestTag")].concat();
    context.push(("aws:RequestedRegion".to_owned(), plan.region.clone()));
    if !passed_to.is_empty() {
        context.push(("iam:PassedToService".to_owned(), passed_to.to_owned()));
    }
    context
}

/// What the answers mean for a plan: lines of what is refused, and the keys that others depend on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judged {
    pub refused: Vec<String>,
    pub depends: BTreeSet<String>,
}

/// Brings needs and answers together. What has no answer counts as allowed.
#[must_use]
pub fn judge(needs: &BTreeMap<Asked, BTreeSet<Address>>, answers: &BTreeMap<Asked, Answer>) -> Judged {
    let mut refused: BTreeMap<(&str, &str, bool), BTreeSet<&Address>> = BTreeMap::new();
    let mut depends = BTreeSet::new();
    for (asked, addresses) in needs {
        match answers.get(asked) {
            None | Some(Answer::Allowed) => {}
            Some(Answer::Depends(keys)) => depends.extend(keys.iter().cloned()),
            Some(answer) => {
                let key = (asked.action.as_str(), asked.passed_to, *answer == Answer::Denied);
                refused.entry(key).or_default().extend(addresses);
            }
        }
    }
    let line = |((action, passed_to, denied), addresses): ((&str, &str, bool), BTreeSet<&Address>)| {
        let to = if passed_to.is_empty() { String::new() } else { format!(" to {passed_to}") };
        let why = if denied { ", which a policy denies" } else { "" };
        format!("{action}{to}{why}: {}", some_of(addresses.iter().copied()))
    };
    Judged { refused: refused.into_iter().map(line).collect(), depends }
}

/// The first of these addresses, and how many others there are.
#[must_use]
pub fn some_of<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> String {
    let all: Vec<String> = addresses.into_iter().map(ToString::to_string).collect();
    match all.len().saturating_sub(NAMED) {
        0 => all.join(", "),
        others => format!("{} and {others} more", all[..NAMED].join(", ")),
    }
}
