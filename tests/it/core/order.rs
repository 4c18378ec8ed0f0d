//! What must hold of the order of every plan's steps, stated apart from how planning finds it.

use std::collections::BTreeSet;

use infra::kind::Live;
use infra::plan::{Plan, Snapshot, Step, Verb};
use infra::value::{Fields, Value};
use petgraph::algo::has_path_connecting;
use petgraph::stable_graph::NodeIndex;

use super::scenario::name;
use crate::memory::{holds, names};

/// The pairs of steps whose order is wrong.
pub fn violations(plan: &Plan, snapshot: &Snapshot) -> Vec<String> {
    let mut violations = Vec::new();
    for node in plan.steps.node_indices() {
        let step = &plan.steps[node];
        for needed in makers(plan, step) {
            if !before(plan, needed, node) {
                violations.push(format!("{} does not wait for {}", name(step), name(&plan.steps[needed])));
            }
        }
        if let Verb::Delete(gone) = &step.verb {
            violations.extend(users(plan, snapshot, gone).filter_map(|leaving| match leaving {
                Ok(leaving) if before(plan, leaving, node) => None,
                Ok(leaving) => Some(format!("{} does not wait for {}", name(step), name(&plan.steps[leaving]))),
                Err(user) => Some(format!("{} although {} keeps using it", name(step), user.id)),
            }));
        }
    }
    violations
}

fn before(plan: &Plan, first: NodeIndex, then: NodeIndex) -> bool {
    first != then && has_path_connecting(&plan.steps, first, then, None)
}

/// The steps that make the outputs which this step's fields refer to.
fn makers(plan: &Plan, step: &Step) -> Vec<NodeIndex> {
    let fields = match &step.verb {
        Verb::Create(fields) | Verb::Fill(fields) | Verb::Update { fields, .. } | Verb::Empty { fields, .. } => fields,
        Verb::Depose(_) | Verb::Delete(_) | Verb::Settle | Verb::Wait(_) => return Vec::new(),
    };
    let referred: BTreeSet<_> = fields.values().flat_map(Value::references).map(|output| &output.of).collect();
    let makes = |node: &NodeIndex| {
        let other = &plan.steps[*node];
        let makes = matches!(other.verb, Verb::Create(_) | Verb::Update { .. });
        makes && other.address != step.address && referred.contains(&other.address)
    };
    let made: BTreeSet<_> = plan.steps.node_indices().filter(makes).collect();
    for address in referred {
        assert!(
            *address == step.address || made.iter().any(|node| plan.steps[*node].address == *address),
            "{} refers to {address}, which nothing in the plan makes",
            name(step)
        );
    }
    made.into_iter().collect()
}

/// For each live resource that keeps `gone` from being deleted: the step with which it lets go, or itself, if none does.
fn users<'a>(
    plan: &'a Plan,
    snapshot: &'a Snapshot,
    gone: &'a Live<Fields>,
) -> impl Iterator<Item = Result<NodeIndex, &'a Live<Fields>>> {
    let users = snapshot.live.iter().filter(|user| user.id != gone.id && holds(user, gone));
    users.map(|user| {
        let steps = plan.steps.node_indices().filter(|node| match &plan.steps[*node].verb {
            Verb::Delete(live) => live.id == user.id,
            Verb::Update { live, fields } | Verb::Empty { live, fields } => live.id == user.id && !names(fields, gone),
            _ => false,
        });
        let rank = |node: &NodeIndex| match plan.steps[*node].verb {
            Verb::Empty { .. } => 0,
            Verb::Update { .. } => 1,
            _ => 2,
        };
        steps.min_by_key(rank).ok_or(user)
    })
}
