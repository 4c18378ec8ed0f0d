//! A plan for programs. The shape is versioned; fields are only ever added within a version.

use serde_json::{Value as Json, json};

use super::outcome;
use super::text::Explain;
use crate::apply::Report;
use crate::check::Finding;
use crate::plan::{Action, Plan, Planned};
use crate::value::Value;

const VERSION: u32 = 1;

/// The whole plan.
#[must_use]
pub fn plan(plan: &Plan, findings: &[Finding]) -> Json {
    let explain = Explain::new(plan);
    json!({
        "version": VERSION,
        "environment": plan.environment,
        "project": plan.project,
        "account": plan.account,
        "region": plan.region,
        "digest": plan.digest,
        "summary": {
            "create": plan.count(Action::Create),
            "update": plan.count(Action::Update),
            "replace": plan.count(Action::Replace),
            "delete": plan.count(Action::Delete),
            "unchanged": plan.unchanged,
        },
        "steps": plan.resources.iter().map(|planned| step(planned, &explain)).collect::<Vec<_>>(),
        "blocked": plan.blocked,
        "notes": plan.notes,
        "awaits_release": plan.awaits_release,
        "findings": findings,
    })
}

/// What an apply showed and did. There is no outcome where nothing was to be done or nobody consented.
#[must_use]
pub fn apply(of: &Plan, findings: &[Finding], report: Option<&Report>) -> Json {
    json!({ "version": VERSION, "plan": plan(of, findings), "outcome": report.map(|report| outcome::json(report, &of.environment)) })
}

fn step(planned: &Planned, explain: &Explain) -> Json {
    let changes = planned.changes.iter().map(|change| {
        json!({
            "path": change.path,
            "before": value(&change.before, explain),
            "after": value(&change.after, explain),
            "forces_replacement": change.forces_replacement,
        })
    });
    json!({
        "address": planned.address,
        "kind": planned.address.kind,
        "action": planned.action,
        "reason": planned.reason,
        "changes": changes.collect::<Vec<_>>(),
        "harm": planned.harm,
        "minutes": planned.minutes,
    })
}

/// A value as JSON, in which a reference that is not known yet is the sentence that explains it.
pub(super) fn value(of: &Value, explain: &Explain) -> Json {
    match of {
        Value::Template(_) => Json::String(explain.value(of)),
        Value::List(items) => items.iter().map(|item| value(item, explain)).collect(),
        Value::Map(fields) => {
            Json::Object(fields.iter().map(|(name, field)| (name.clone(), value(field, explain))).collect())
        }
        plain => plain.into(),
    }
}
