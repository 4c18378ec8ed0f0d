//! A service that ECS itself releases: one ECS service, and a role with which ECS moves the traffic between its two target
//! groups.

use super::{COLOURS, Shape, after_called, ecs_service, scaling};
use crate::address::Address;
use crate::environment::expand::Expansion;
use crate::environment::releases::{Share, Strategy};
use crate::environment::services::Service;
use crate::environment::types::Duration;
use crate::kinds::ecs_service::{self as kind, CircuitBreaker, EcsService, Pause, Shift, Stage, TrafficStep};
use crate::kinds::iam_role::IamRole;
use crate::policy;
use crate::value::{Arg, Value};

/// What lets ECS change target groups and listener rules.
const POLICY: &str = "AmazonECSInfrastructureRolePolicyForLoadBalancers";
/// ECS lets a deployment wait no longer.
const PAUSE: u32 = 20_160;

pub(super) fn expand(to: &mut Expansion, name: &str, service: &Service, shape: &Shape, groups: [Address; 2]) {
    let origin = ["services", name];
    let attached = vec![format!("arn:{}:iam::aws:policy/{POLICY}", to.partition()).into()];
    let role = IamRole { attached, ..IamRole::new(policy::trust("ecs.amazonaws.com"), Vec::new()) };
    let role = to.add(format!("{name}-balancing"), &origin, &role);
    let [group, alternate] = groups;
    let rule = |name: String| Arg::output(&Address::new("listener_rule", name), "arn");
    let mut spec = ecs_service(to, name, service, shape, Some((COLOURS[0], group)));
    for balancer in &mut spec.load_balancers {
        balancer.shift = Some(Shift {
            alternate_target_group_arn: Arg::output(&alternate, "arn"),
            production_rule_arn: rule(name.to_owned()),
            test_rule_arn: Some(rule(format!("{name}-test"))),
            role_arn: Arg::output(&role, "arn"),
        });
    }
    let release = &service.release;
    let (deployment_strategy, traffic_step) = match (release.canary, release.linear) {
        (Some(share), _) => (kind::Strategy::Canary, Some(step(share))),
        (None, Some(share)) => (kind::Strategy::Linear, Some(step(share))),
        (None, None) => (kind::Strategy::BlueGreen, None),
    };
    let spec = EcsService {
        deployment_strategy,
        traffic_step,
        bake_minutes: minutes(release.monitor),
        pauses: vec![Pause { stage: Stage::PostTestTrafficShift, minutes: PAUSE }],
        // Nobody else goes back here.
        circuit_breaker: CircuitBreaker { enable: true, rollback: true },
        ..spec
    };
    let made = to.add(name, &origin, &spec);
    after_called(to, name, service);
    scaling::expand(to, name, service, &scaling::Scaled { of: &made, spec: &spec, group: None });
}

fn step(share: Share) -> TrafficStep {
    TrafficStep { percent: f64::from(share.percent.0) / 100.0, minutes: minutes(share.over) }
}

fn minutes(time: Duration) -> u32 {
    u32::try_from(time.seconds() / 60).unwrap_or(u32::MAX)
}

impl Expansion<'_> {
    /// Lets ECS watch the alarms that bring a release back. They are given with their severities.
    pub(in crate::environment::expand) fn watch(&mut self, alarms: &[(Address, &str)]) {
        for (name, service) in &self.file.services {
            let words = &service.release.rollback.alarms;
            let named = |alarm: &(Address, &str)| words.iter().any(|word| word == alarm.1 || *word == alarm.0.name);
            let watched = alarms.iter().filter(|alarm| named(alarm)).map(|(address, _)| name_of(address));
            let watched: Vec<Value> = watched.collect();
            let of = Address::new("ecs_service", name.clone());
            let own = self.resources.iter_mut().find(|resource| resource.address == of);
            if let Some(own) = own.filter(|_| service.strategy() == Strategy::Native && !watched.is_empty()) {
                own.fields.insert("deployment_alarms".to_owned(), Value::List(watched));
            }
        }
    }
}

fn name_of(alarm: &Address) -> Value {
    match Arg::<String>::output(alarm, "name") {
        Arg::Known(text) => Value::Text(text),
        Arg::Reference(template) => Value::Template(template),
    }
}
