//! The scaler of an ECS service: bounds, and the loads that the number of its tasks follows.

use std::collections::BTreeMap;

use crate::address::Address;
use crate::environment::expand::Expansion;
use crate::environment::services::Service;
use crate::kinds::ecs_service::EcsService;
use crate::kinds::scalable_target::{Metric, Policy, ScalableTarget};
use crate::kinds::task_definition::Owner;
use crate::tags::Tags;
use crate::value::{Arg, Output, Part, Template};

/// Seconds between two steps: tasks are started quickly, and stopped with care.
const OUT: u32 = 60;
const IN: u32 = 300;

/// An ECS service that may be scaled.
pub(super) struct Scaled<'a> {
    pub of: &'a Address,
    pub spec: &'a EcsService,
    /// Of one behind a load balancer, the target group whose requests count.
    pub group: Option<&'a Address>,
}

pub(super) fn expand(to: &mut Expansion, name: &str, service: &Service, scaled: &Scaled) {
    let Some(scale) = &service.scale else { return };
    let balancer = to.balancer_of(name).map(|balancer| Address::new("load_balancer", balancer));
    let label = scaled.group.zip(balancer).map(|(group, balancer)| {
        joined([Part::Output(output(&balancer, "dimension")), text("/"), Part::Output(output(group, "dimension"))])
    });
    let percent = |percent: u8| f64::from(percent);
    let loads = [
        ("cpu", Metric::Cpu, scale.cpu.map(percent), None),
        ("memory", Metric::Memory, scale.memory.map(percent), None),
        ("requests", Metric::Requests, scale.requests.map(f64::from).filter(|_| label.is_some()), label),
    ];
    let policy = |(name, metric, target, label): (&str, Metric, Option<f64>, Option<Arg<String>>)| {
        let target = target?;
        let (scale_in_cooldown, scale_out_cooldown) = (IN, OUT);
        let policy = Policy { metric, target, label, scale_in_cooldown, scale_out_cooldown, scale_in: true };
        Some((name.to_owned(), policy))
    };
    let policies: BTreeMap<String, Policy> = loads.into_iter().filter_map(policy).collect();
    let cluster = Address::new("ecs_cluster", "main");
    let spec = ScalableTarget {
        resource_id: joined([
            text("service/"),
            Part::Output(output(&cluster, "name")),
            text("/"),
            Part::Output(output(scaled.of, "name")),
        ]),
        min: scale.min,
        max: scale.max,
        // What no release has started, and the colour that waits, stay at no tasks: `min` would start some.
        suspended: scaled.spec.owner == Owner::Release && scaled.spec.desired_count == 0,
        owner: scaled.spec.owner,
        policies,
        tags: Tags::new(),
    };
    to.add(scaled.of.name.as_str(), &["services", name, "scale"], &spec);
}

fn output(of: &Address, name: &str) -> Output {
    Output { of: of.clone(), name: name.to_owned() }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn joined(parts: impl Into<Vec<Part>>) -> Arg<String> {
    Arg::Reference(Template(parts.into()))
}
