//! How a new revision of a service takes over from the old one, as ECS itself does it.

use aws_sdk_ecs::types::{
    AdvancedConfiguration, CanaryConfiguration, DeploymentAlarms, DeploymentCircuitBreaker, DeploymentConfiguration,
    DeploymentLifecycleHook, DeploymentLifecycleHookAction as Action, DeploymentLifecycleHookStage as HookStage,
    DeploymentLifecycleHookTargetType as Target, DeploymentLifecycleHookTimeoutConfiguration as Timeout,
    DeploymentStrategy, LinearConfiguration, LoadBalancer as SdkLoadBalancer, ServiceDeployment,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ecs_service::{EcsService, LoadBalancer};
use crate::aws::Aws;
use crate::kind::{Failure, Problem, Result};
use crate::value::Arg;

/// How a new revision takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Tasks are replaced a few at a time.
    #[default]
    Rolling,
    /// All new tasks start beside the old ones, and the traffic moves to them at once.
    BlueGreen,
    /// A first part of the traffic moves, and after a while the rest.
    Canary,
    /// The traffic moves in equal steps.
    Linear,
}

/// What happens when a deployment's tasks do not start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CircuitBreaker {
    /// Whether the deployment fails, instead of trying for ever.
    #[serde(default)]
    pub enable: bool,
    /// Whether the last deployment that worked comes back.
    #[serde(default)]
    pub rollback: bool,
}

/// The traffic that moves at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficStep {
    /// In steps of 0.1.
    pub percent: f64,
    /// How long ECS waits before it goes on.
    pub minutes: u32,
}

/// A stage of a deployment, after which it waits until somebody lets it go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    pub stage: Stage,
    /// How long it waits before it goes back by itself.
    #[serde(default = "day")]
    pub minutes: u32,
}

/// A stage at which a deployment can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    ReconcileService,
    PreScaleUp,
    PostScaleUp,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    PostProductionTrafficShift,
}

/// What ECS needs to move the traffic of a target group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    /// The target group of the other revision. ECS uses the two by turns.
    pub alternate_target_group_arn: Arg<String>,
    /// The listener rule that everybody's requests take.
    pub production_rule_arn: Arg<String>,
    /// The listener rule that leads to the new revision before the traffic moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_rule_arn: Option<Arg<String>>,
    /// The role with which ECS changes both.
    pub role_arn: Arg<String>,
}

const STAGES: [(Stage, HookStage); 6] = [
    (Stage::ReconcileService, HookStage::ReconcileService),
    (Stage::PreScaleUp, HookStage::PreScaleUp),
    (Stage::PostScaleUp, HookStage::PostScaleUp),
    (Stage::PostTestTrafficShift, HookStage::PostTestTrafficShift),
    (Stage::PreProductionTrafficShift, HookStage::PreProductionTrafficShift),
    (Stage::PostProductionTrafficShift, HookStage::PostProductionTrafficShift),
];
const STRATEGIES: [(Strategy, DeploymentStrategy); 4] = [
    (Strategy::Rolling, DeploymentStrategy::Rolling),
    (Strategy::BlueGreen, DeploymentStrategy::BlueGreen),
    (Strategy::Canary, DeploymentStrategy::Canary),
    (Strategy::Linear, DeploymentStrategy::Linear),
];

/// What ECS waits at most.
const DAY: u32 = 1440;
const LONGEST_PAUSE: u32 = 20_160;

fn day() -> u32 {
    DAY
}

impl EcsService {
    /// The service without what would hold up a deployment that nobody releases: a new service, or another network.
    #[must_use]
    pub fn unheld(&self) -> Self {
        let strategy = match self.deployment_strategy {
            Strategy::Rolling => Strategy::Rolling,
            _ => Strategy::BlueGreen,
        };
        Self { deployment_strategy: strategy, bake_minutes: 0, traffic_step: None, pauses: Vec::new(), ..self.clone() }
    }

    /// All of it, and what `there` has and this has not, as nothing.
    pub fn deployment(&self, there: &Self) -> Result<DeploymentConfiguration> {
        let breaker = DeploymentCircuitBreaker::builder().enable(self.circuit_breaker.enable);
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let mut request = DeploymentConfiguration::builder()
            .minimum_healthy_percent(number(self.minimum_healthy_percent))
            .maximum_percent(number(self.maximum_percent))
            .deployment_circuit_breaker(breaker.rollback(self.circuit_breaker.rollback).build());
        let rolling = |spec: &Self| spec.deployment_strategy == Strategy::Rolling;
        if !rolling(self) || !rolling(there) {
            let strategy = STRATEGIES.iter().find(|(own, _)| *own == self.deployment_strategy);
            request = request.set_strategy(strategy.map(|(_, strategy)| strategy.clone()));
            request = request.bake_time_in_minutes(number(self.bake_minutes));
            request = request.set_lifecycle_hooks(Some(self.pauses.iter().map(hook).collect()));
        }
        if let Some(TrafficStep { percent, minutes }) = self.traffic_step {
            let minutes = number(minutes);
            let canary = CanaryConfiguration::builder().canary_percent(percent).canary_bake_time_in_minutes(minutes);
            let linear = LinearConfiguration::builder().step_percent(percent).step_bake_time_in_minutes(minutes);
            request = match self.deployment_strategy {
                Strategy::Canary => request.canary_configuration(canary.build()),
                Strategy::Linear => request.linear_configuration(linear.build()),
                Strategy::Rolling | Strategy::BlueGreen => request,
            };
        }
        if !self.deployment_alarms.is_empty() || !there.deployment_alarms.is_empty() {
            let names = self.deployment_alarms.iter().map(|name| Ok(name.get()?.clone())).collect::<Result<_>>()?;
            let watches = !self.deployment_alarms.is_empty();
            let alarms = DeploymentAlarms::builder().set_alarm_names(Some(names)).enable(watches).rollback(watches);
            request = request.alarms(alarms.build().map_err(invalid)?);
        }
        Ok(request.build())
    }

    /// Whether ECS deploys it in the same way.
    pub(super) fn deploys_as(&self, other: &Self) -> bool {
        let of = |spec: &Self| {
            (
                (spec.minimum_healthy_percent, spec.maximum_percent, spec.circuit_breaker),
                (spec.deployment_strategy, spec.bake_minutes, spec.traffic_step),
                (spec.pauses.clone(), spec.deployment_alarms.clone()),
            )
        };
        of(self) == of(other)
    }

    /// What ECS says of how it deploys.
    pub(super) fn read_deployment(mut self, found: Option<&DeploymentConfiguration>) -> Self {
        let Some(found) = found else { return self };
        let breaker = found.deployment_circuit_breaker();
        let natural = |value: Option<i32>, usual| value.map_or(usual, |value| u32::try_from(value).unwrap_or_default());
        let strategy = STRATEGIES.iter().find(|(_, strategy)| Some(strategy) == found.strategy());
        self.minimum_healthy_percent = natural(found.minimum_healthy_percent(), 100);
        self.maximum_percent = natural(found.maximum_percent(), 200);
        self.circuit_breaker = CircuitBreaker {
            enable: breaker.is_some_and(|breaker| breaker.enable()),
            rollback: breaker.is_some_and(|breaker| breaker.rollback()),
        };
        self.deployment_strategy = strategy.map(|(own, _)| *own).unwrap_or_default();
        self.bake_minutes = natural(found.bake_time_in_minutes(), 0);
        let step = |percent: Option<f64>, minutes| {
            Some(TrafficStep { percent: percent.unwrap_or_default(), minutes: natural(minutes, 0) })
        };
        self.traffic_step = match (self.deployment_strategy, found.canary_configuration(), found.linear_configuration())
        {
            (Strategy::Canary, Some(canary), _) => step(canary.canary_percent(), canary.canary_bake_time_in_minutes()),
            (Strategy::Linear, _, Some(linear)) => step(linear.step_percent(), linear.step_bake_time_in_minutes()),
            _ => None,
        };
        self.pauses = found.lifecycle_hooks().iter().filter(|hook| is_pause(hook)).flat_map(pauses).collect();
        let watched = found.alarms().filter(|alarms| alarms.enable()).map(|alarms| alarms.alarm_names());
        self.deployment_alarms = watched.unwrap_or_default().iter().map(|name| Arg::from(name.as_str())).collect();
        self
    }
}

fn hook(pause: &Pause) -> DeploymentLifecycleHook {
    let stage = STAGES.iter().find(|(own, _)| *own == pause.stage).map(|(_, stage)| stage.clone());
    let minutes = i32::try_from(pause.minutes).unwrap_or(i32::MAX);
    DeploymentLifecycleHook::builder()
        .target_type(Target::Pause)
        .set_lifecycle_stages(stage.map(|stage| vec![stage]))
        .timeout_configuration(Timeout::builder().timeout_in_minutes(minutes).action(Action::Rollback).build())
        .build()
}

fn is_pause(hook: &DeploymentLifecycleHook) -> bool {
    hook.target_type() == Some(&Target::Pause)
}

fn pauses(hook: &DeploymentLifecycleHook) -> Vec<Pause> {
    let minutes = hook.timeout_configuration().and_then(|timeout| timeout.timeout_in_minutes());
    let minutes = minutes.and_then(|minutes| u32::try_from(minutes).ok()).unwrap_or(DAY);
    let own = |stage: &HookStage| STAGES.iter().find(|(_, known)| known == stage).map(|(own, _)| *own);
    hook.lifecycle_stages().iter().filter_map(own).map(|stage| Pause { stage, minutes }).collect()
}

/// Whether deployments with this configuration wait for somebody.
#[must_use]
pub fn waits(configuration: Option<&DeploymentConfiguration>) -> bool {
    configuration.is_some_and(|configuration| configuration.lifecycle_hooks().iter().any(is_pause))
}

impl LoadBalancer {
    pub(super) fn sdk(&self) -> Result<SdkLoadBalancer> {
        let request = SdkLoadBalancer::builder()
            .target_group_arn(self.target_group_arn.get()?)
            .container_name(&self.container_name)
            .container_port(self.container_port.into());
        let Some(shift) = &self.shift else { return Ok(request.build()) };
        let advanced = AdvancedConfiguration::builder()
            .alternate_target_group_arn(shift.alternate_target_group_arn.get()?)
            .production_listener_rule(shift.production_rule_arn.get()?)
            .set_test_listener_rule(shift.test_rule_arn.as_ref().map(|rule| rule.get().cloned()).transpose()?)
            .role_arn(shift.role_arn.get()?);
        Ok(request.advanced_configuration(advanced.build()).build())
    }

    pub(super) fn read(found: &SdkLoadBalancer) -> Self {
        let arg = |text: Option<&str>| Arg::from(text.unwrap_or_default());
        let shift = found.advanced_configuration().map(|advanced| Shift {
            alternate_target_group_arn: arg(advanced.alternate_target_group_arn()),
            production_rule_arn: arg(advanced.production_listener_rule()),
            test_rule_arn: advanced.test_listener_rule().map(Arg::from),
            role_arn: arg(advanced.role_arn()),
        });
        Self {
            target_group_arn: arg(found.target_group_arn()),
            container_name: found.container_name().unwrap_or_default().to_owned(),
            container_port: found.container_port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            shift,
        }
    }

    /// The two target groups change places with each deployment, which is none of a plan's business.
    pub(super) fn take_turn(&mut self, live: &Self) {
        if let (Some(own), Some(there)) = (&mut self.shift, &live.shift)
            && self.target_group_arn == there.alternate_target_group_arn
            && own.alternate_target_group_arn == live.target_group_arn
        {
            std::mem::swap(&mut self.target_group_arn, &mut own.alternate_target_group_arn);
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::new("ecs", "InvalidRequest", error.to_string())
}

/// The limits that AWS states.
pub(super) fn check(spec: &EcsService) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |path: &str, message: &str, help: &str| problems.push(Problem::new(path, message).help(help));
    let rolling = spec.deployment_strategy == Strategy::Rolling;
    if spec.bake_minutes > DAY {
        problem("bake_minutes", "ECS keeps both revisions for a day at most", "write 1440 or less");
    }
    if rolling && (spec.bake_minutes > 0 || !spec.pauses.is_empty()) {
        let help = "write `deployment_strategy: blue_green`, or leave out `bake_minutes` and `pauses`";
        problem("deployment_strategy", "a rolling deployment moves no traffic that could wait", help);
    }
    if !rolling && spec.load_balancers.iter().any(|balancer| balancer.shift.is_none()) {
        problem("load_balancers", "ECS cannot move traffic without `shift`", "add `shift` to each load balancer");
    }
    let least = match spec.deployment_strategy {
        Strategy::Canary => Some(0.1),
        Strategy::Linear => Some(3.0),
        Strategy::Rolling | Strategy::BlueGreen => None,
    };
    match (spec.traffic_step, least) {
        (None, Some(_)) => problem("traffic_step", "it is not said how much traffic moves at a time", "add it"),
        (Some(_), None) => problem("traffic_step", "this strategy moves no part of the traffic", "leave it out"),
        (Some(step), Some(least)) => {
            let tenths = step.percent * 10.0;
            if step.percent < least || step.percent > 100.0 || (tenths - tenths.round()).abs() > 1e-6 {
                let help = format!("write {least} to 100, with one decimal at most");
                problem("traffic_step.percent", "ECS does not move this share", &help);
            }
            if step.minutes > DAY {
                problem("traffic_step.minutes", "ECS waits a day at most", "write 1440 or less");
            }
        }
        (None, None) => {}
    }
    for (at, pause) in spec.pauses.iter().enumerate() {
        if pause.minutes == 0 || pause.minutes > LONGEST_PAUSE {
            let path = format!("pauses.{at}.minutes");
            problem(&path, "a pause lasts 1 minute to 14 days", "write 1 to 20160");
        }
    }
    problems
}

/// The newest deployment of a service. ECS keeps those of 90 days.
pub async fn newest(aws: &Aws, cluster: &str, service: &str) -> Result<Option<ServiceDeployment>> {
    let request = aws.ecs().list_service_deployments().cluster(cluster).service(service);
    let found = aws.call("ecs:ListServiceDeployments", request.send()).await?.service_deployments.unwrap_or_default();
    let newest = found.into_iter().max_by_key(|one| one.created_at().map(|at| (at.secs(), at.subsec_nanos())));
    let Some(arn) = newest.and_then(|newest| newest.service_deployment_arn) else { return Ok(None) };
    let request = aws.ecs().describe_service_deployments().service_deployment_arns(arn);
    let answer = aws.call("ecs:DescribeServiceDeployments", request.send()).await?;
    Ok(answer.service_deployments.unwrap_or_default().pop())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    fn service() -> EcsService {
        let json = serde_json::json!({
            "cluster_arn": "c", "task_definition_arn": "t:1", "subnets": ["s"], "security_groups": ["g"],
            "load_balancers": [{
                "target_group_arn": "blue", "container_name": "api", "container_port": 80,
                "shift": {
                    "alternate_target_group_arn": "green", "production_rule_arn": "p", "test_rule_arn": "t",
                    "role_arn": "r",
                },
            }],
            "deployment_strategy": "canary", "traffic_step": { "percent": 10.0, "minutes": 5 }, "bake_minutes": 10,
            "pauses": [{ "stage": "post_test_traffic_shift", "minutes": 20160 }], "deployment_alarms": ["down"],
        });
        serde_json::from_value(json).unwrap()
    }

    fn read(spec: &EcsService, there: &EcsService) -> EcsService {
        spec.unheld().read_deployment(Some(&spec.deployment(there).unwrap()))
    }

    #[test]
    fn what_is_written_is_read() {
        let spec = service();
        assert_eq!(spec.check(), []);
        assert!(read(&spec, &spec).deploys_as(&spec));
        let linear = EcsService { deployment_strategy: Strategy::Linear, ..spec.clone() };
        assert!(read(&linear, &spec).deploys_as(&linear) && !linear.deploys_as(&spec));
        let balancer = &spec.load_balancers[0];
        assert_eq!(LoadBalancer::read(&balancer.sdk().unwrap()), *balancer);
        assert!(waits(Some(&spec.deployment(&spec).unwrap())));
        assert!(!waits(Some(&spec.unheld().deployment(&spec).unwrap())));
    }

    #[test]
    fn what_goes_is_said_to_be_gone() {
        let spec = service();
        let plain = EcsService {
            deployment_strategy: Strategy::Rolling,
            traffic_step: None,
            bake_minutes: 0,
            pauses: vec![],
            deployment_alarms: vec![],
            ..spec.clone()
        };
        let request = plain.deployment(&spec).unwrap();
        assert_eq!(request.strategy(), Some(&DeploymentStrategy::Rolling));
        assert_eq!(request.lifecycle_hooks.as_ref().map(Vec::len), Some(0));
        assert!(!request.alarms().unwrap().enable());
        let never = plain.deployment(&plain).unwrap();
        assert!(never.strategy().is_none() && never.alarms().is_none() && never.lifecycle_hooks.is_none());
    }

    #[test]
    fn target_groups_take_turns() {
        let live = service().load_balancers.remove(0);
        let mut wanted = live.clone();
        wanted.target_group_arn = "green".into();
        wanted.shift.as_mut().unwrap().alternate_target_group_arn = "blue".into();
        wanted.take_turn(&live);
        assert_eq!(wanted, live);
        wanted.target_group_arn = "other".into();
        wanted.take_turn(&live);
        assert_eq!(wanted.target_group_arn, "other".into());
    }

    #[test]
    fn limits() {
        let paths = |spec: &EcsService| spec.check().into_iter().map(|problem| problem.path).collect::<Vec<_>>();
        let wrong = EcsService {
            deployment_strategy: Strategy::Linear,
            traffic_step: Some(TrafficStep { percent: 2.55, minutes: 2000 }),
            bake_minutes: 2000,
            pauses: vec![Pause { stage: Stage::PreScaleUp, minutes: 0 }],
            ..service()
        };
        let expected = ["bake_minutes", "traffic_step.percent", "traffic_step.minutes", "pauses.0.minutes"];
        assert_eq!(paths(&wrong), expected);
        let rolling = EcsService { deployment_strategy: Strategy::Rolling, ..service() };
        assert_eq!(paths(&rolling), ["deployment_strategy", "traffic_step"]);
        let mut bare = service();
        bare.load_balancers[0].shift = None;
        bare.traffic_step = None;
        assert_eq!(paths(&bare), ["load_balancers", "traffic_step"]);
    }
}
