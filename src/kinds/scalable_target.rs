//! What lets the number of a service's tasks follow the load: a scalable target, with its policies.

use std::collections::BTreeMap;

use aws_sdk_applicationautoscaling::types::{
    MetricType, PolicyType, PredefinedMetricSpecification, ScalableDimension, ScalableTarget as Found, ScalingPolicy,
    ServiceNamespace, SuspendedState, TargetTrackingScalingPolicyConfiguration as Tracking,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task_definition::Owner;
use super::{adopt, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

/// The tag that says that releases suspend and resume the scaling, for which AWS has no field.
const OWNER: &str = "infra:owner";

/// Lets the number of tasks of an ECS service follow the load, between two bounds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScalableTarget {
    /// The service, as in `service/CLUSTER/SERVICE` with the names of both.
    pub resource_id: Arg<String>,
    /// The fewest tasks.
    pub min: u32,
    /// The most tasks.
    pub max: u32,
    /// Whether the scaler leaves the number of tasks as it is.
    #[serde(default)]
    pub suspended: bool,
    /// Who suspends and resumes the scaling once the target exists.
    #[serde(default)]
    pub owner: Owner,
    /// What load the number of tasks follows, by the policy's name. Policies that others add are removed.
    #[serde(default)]
    pub policies: BTreeMap<String, Policy>,
    #[serde(default)]
    pub tags: Tags,
}

/// Keeps a metric near a value by starting and stopping tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub metric: Metric,
    /// The value to keep: percent, or requests a minute for each task.
    pub target: f64,
    /// Of `requests`, which target group: `LOAD_BALANCER/TARGET_GROUP`, both as CloudWatch dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Arg<String>>,
    /// Seconds after tasks were stopped in which no more are.
    #[serde(default = "five_minutes")]
    pub scale_in_cooldown: u32,
    /// Seconds after tasks were started in which no more are.
    #[serde(default = "five_minutes")]
    pub scale_out_cooldown: u32,
    /// Whether tasks are stopped when the load falls.
    #[serde(default = "yes")]
    pub scale_in: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The average CPU use.
    Cpu,
    /// The average memory use.
    Memory,
    /// The requests that each task gets from a target group.
    Requests,
    /// Something else, in a policy that others made.
    Other,
}

fn five_minutes() -> u32 {
    300
}

fn yes() -> bool {
    true
}

impl Kind for ScalableTarget {
    const NAME: &'static str = "scalable_target";
    const RIGHTS: Rights = Rights {
        read: "application-autoscaling:DescribeScalableTargets application-autoscaling:DescribeScalingPolicies \
            application-autoscaling:ListTagsForResource",
        create: "application-autoscaling:RegisterScalableTarget application-autoscaling:TagResource \
            cloudwatch:DescribeAlarms",
        update: "application-autoscaling:DeleteScalingPolicy application-autoscaling:PutScalingPolicy \
            application-autoscaling:RegisterScalableTarget application-autoscaling:TagResource \
            application-autoscaling:UntagResource cloudwatch:DeleteAlarms cloudwatch:PutMetricAlarm \
            ecs:DescribeServices ecs:UpdateService",
        delete: "application-autoscaling:DeregisterScalableTarget cloudwatch:DeleteAlarms",
        on: "cloudwatch:alarm:TargetTracking-*",
        links: "ecs.application-autoscaling.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["resource_id"];
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const AFTER: &'static [&'static str] = &["ecs_service"];
    const UNIQUE: &'static [&'static str] = &["resource_id"];

    fn take_over(&mut self, live: &Self) {
        if self.owner == Owner::Release {
            self.suspended = live.suspended;
        }
    }

    /// The policies are requests of their own.
    fn shell(&self) -> Self {
        Self { policies: BTreeMap::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        check(self)
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":application-autoscaling:").await? {
            return Ok(Vec::new());
        }
        let request = aws.autoscaling().describe_scalable_targets().service_namespace(ServiceNamespace::Ecs);
        let pages = request.into_paginator().items().send();
        let targets = aws.call("autoscaling:DescribeScalableTargets", pages.collect::<Result<Vec<_>, _>>());
        let (targets, policies, index) = tokio::try_join!(targets, policies(aws, None), tagging::index(aws, scope))?;
        let candidates = targets.iter().filter(|target| {
            let known = target.scalable_target_arn().and_then(|arn| index.get(arn));
            // The index may lag behind: services that we named are looked at beside it.
            known.is_some_and(|tags| scope.ours(Self::NAME, tags).is_some())
                || aws.adopting().is_some_and(|adopting| adopting.id == target.resource_id())
                || target.resource_id().rsplit('/').next().is_some_and(|name| name.starts_with(&scope.prefix()))
        });
        let found = try_join_all(candidates.map(|target| read(aws, target, &policies))).await?;
        Ok(found.into_iter().flatten().filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let id = self.resource_id.get()?.clone();
        // A registration changes a target that is there, whosever it is.
        if let Some(target) = look(aws, &id).await? {
            let found = read(aws, &target, &policies(aws, Some(&id)).await?).await?;
            return adopt::adopt(self, aws, making, (&id, found), "autoscaling:RegisterScalableTarget").await;
        }
        let request = self.registration(aws, &id).suspended_state(suspended(self.suspended));
        let request = request.set_tags(Some(self.all_tags(&making.identity).into_iter().collect()));
        aws.call("autoscaling:RegisterScalableTarget", request.send()).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let there = &live.spec;
        let resumes = self.suspended != there.suspended && self.owner == Owner::File;
        if (self.min, self.max) != (there.min, there.max) || resumes {
            let state = resumes.then(|| suspended(self.suspended));
            let request = self.registration(aws, &live.id).set_suspended_state(state);
            aws.call("autoscaling:RegisterScalableTarget", request.send()).await?;
        }
        for (name, policy) in self.policies.iter().filter(|(name, policy)| there.policies.get(*name) != Some(policy)) {
            let request = aws.autoscaling().put_scaling_policy().policy_name(name).resource_id(&live.id);
            let request = request
                .service_namespace(ServiceNamespace::Ecs)
                .scalable_dimension(ScalableDimension::EcsServiceDesiredCount)
                .policy_type(PolicyType::TargetTrackingScaling)
                .target_tracking_scaling_policy_configuration(policy.tracking()?);
            aws.call("autoscaling:PutScalingPolicy", request.send()).await?;
        }
        for name in there.policies.keys().filter(|name| !self.policies.contains_key(*name)) {
            let request = aws.autoscaling().delete_scaling_policy().policy_name(name).resource_id(&live.id);
            let request = request.service_namespace(ServiceNamespace::Ecs);
            let request = request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
            aws.call("autoscaling:DeleteScalingPolicy", request.send()).await?;
        }
        let before = there.all_tags(&live.identity);
        let (set, gone) = tags::difference(&before, &self.all_tags(&live.identity));
        if set.is_empty() && gone.is_empty() {
            return Ok(());
        }
        write_tags(aws, &arn_of(aws, live).await?, set, gone).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &arn_of(aws, live).await?, set.clone(), gone.to_vec()).await
    }

    /// Its policies, and the alarms that AWS made for them, go with it.
    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.autoscaling().deregister_scalable_target().resource_id(&live.id);
        let request = request.service_namespace(ServiceNamespace::Ecs);
        let request = request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
        aws.call("autoscaling:DeregisterScalableTarget", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let ready = |target: Found| Progress::ready([("arn", arn(&target))]);
        Ok(look(aws, id).await?.map_or(Progress::Gone, ready))
    }
}

/// The request of a registration.
type Registration =
    aws_sdk_applicationautoscaling::operation::register_scalable_target::builders::RegisterScalableTargetFluentBuilder;

impl ScalableTarget {
    fn registration(&self, aws: &Aws, id: &str) -> Registration {
        let request = aws.autoscaling().register_scalable_target().resource_id(id);
        let request = request.service_namespace(ServiceNamespace::Ecs);
        let request = request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
        request.min_capacity(number(self.min)).max_capacity(number(self.max))
    }

    /// Identity, the user's tags, and what only a tag can hold.
    fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = tags::encode(identity, &self.tags);
        if self.owner == Owner::Release {
            tags.insert(OWNER.to_owned(), "release".to_owned());
        }
        tags
    }
}

impl Policy {
    fn tracking(&self) -> Result<Tracking> {
        let invalid = |error: String| Failure::new("autoscaling:PutScalingPolicy", "InvalidRequest", error);
        let metric = PredefinedMetricSpecification::builder()
            .predefined_metric_type(match self.metric {
                Metric::Cpu => MetricType::EcsServiceAverageCpuUtilization,
                Metric::Memory => MetricType::EcsServiceAverageMemoryUtilization,
                Metric::Requests => MetricType::AlbRequestCountPerTarget,
                Metric::Other => return Err(invalid("a policy of others cannot be written".to_owned())),
            })
            .set_resource_label(self.label.as_ref().map(Arg::get).transpose()?.cloned());
        let metric = metric.build().map_err(|error| invalid(error.to_string()))?;
        let tracking = Tracking::builder()
            .target_value(self.target)
            .predefined_metric_specification(metric)
            .scale_in_cooldown(number(self.scale_in_cooldown))
            .scale_out_cooldown(number(self.scale_out_cooldown))
            .disable_scale_in(!self.scale_in);
        tracking.build().map_err(|error| invalid(error.to_string()))
    }

    fn of(found: &ScalingPolicy) -> Self {
        let tracking = found.target_tracking_scaling_policy_configuration();
        let metric = tracking.and_then(|tracking| tracking.predefined_metric_specification());
        let seconds = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
        Self {
            metric: match metric.map(PredefinedMetricSpecification::predefined_metric_type) {
                Some(MetricType::EcsServiceAverageCpuUtilization) => Metric::Cpu,
                Some(MetricType::EcsServiceAverageMemoryUtilization) => Metric::Memory,
                Some(MetricType::AlbRequestCountPerTarget) => Metric::Requests,
                _ => Metric::Other,
            },
            target: tracking.map(Tracking::target_value).unwrap_or_default(),
            label: metric.and_then(|metric| metric.resource_label()).filter(|label| !label.is_empty()).map(Arg::from),
            scale_in_cooldown: seconds(tracking.and_then(|tracking| tracking.scale_in_cooldown()))
                .unwrap_or_else(five_minutes),
            scale_out_cooldown: seconds(tracking.and_then(|tracking| tracking.scale_out_cooldown()))
                .unwrap_or_else(five_minutes),
            scale_in: !tracking.and_then(|tracking| tracking.disable_scale_in()).unwrap_or_default(),
        }
    }
}

fn suspended(all: bool) -> SuspendedState {
    SuspendedState::builder()
        .dynamic_scaling_in_suspended(all)
        .dynamic_scaling_out_suspended(all)
        .scheduled_scaling_suspended(all)
        .build()
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn arn(target: &Found) -> String {
    target.scalable_target_arn().unwrap_or_default().to_owned()
}

/// The ARN of a target that can have tags. Those from before AWS could tag them have none, and are not ours.
fn taggable(target: &Found) -> Option<&str> {
    target.scalable_target_arn().filter(|arn| !arn.is_empty())
}

/// The scalable target of a service, if it has one.
async fn look(aws: &Aws, id: &str) -> Result<Option<Found>> {
    let request = aws.autoscaling().describe_scalable_targets().service_namespace(ServiceNamespace::Ecs);
    let request = request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount).resource_ids(id);
    let answer = aws.call("autoscaling:DescribeScalableTargets", request.send()).await?;
    Ok(answer.scalable_targets.unwrap_or_default().pop())
}

/// The policies of one service, or of all.
async fn policies(aws: &Aws, id: Option<&str>) -> Result<Vec<ScalingPolicy>> {
    let request = aws.autoscaling().describe_scaling_policies().service_namespace(ServiceNamespace::Ecs);
    let dimension = id.map(|_| ScalableDimension::EcsServiceDesiredCount);
    let request = request.set_resource_id(id.map(str::to_owned)).set_scalable_dimension(dimension);
    let pages = request.into_paginator().items().send();
    aws.call("autoscaling:DescribeScalingPolicies", pages.collect::<Result<Vec<_>, _>>()).await
}

/// The target as ours, where its tags say so. The index's own tags may be old.
async fn read(aws: &Aws, target: &Found, policies: &[ScalingPolicy]) -> Result<Option<Live<ScalableTarget>>> {
    let Some(arn) = taggable(target) else { return Ok(None) };
    let request = aws.autoscaling().list_tags_for_resource().resource_arn(arn);
    let tags: Tags = match aws.call("autoscaling:ListTagsForResource", request.send()).await {
        Ok(answer) => answer.tags.unwrap_or_default().into_iter().collect(),
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let state = target.suspended_state();
    let flags = [
        state.and_then(|state| state.dynamic_scaling_in_suspended()),
        state.and_then(|state| state.dynamic_scaling_out_suspended()),
        state.and_then(|state| state.scheduled_scaling_suspended()),
    ];
    let own = policies.iter().filter(|policy| policy.resource_id() == target.resource_id());
    let spec = ScalableTarget {
        resource_id: target.resource_id().into(),
        min: u32::try_from(target.min_capacity()).unwrap_or_default(),
        max: u32::try_from(target.max_capacity()).unwrap_or_default(),
        suspended: flags.contains(&Some(true)),
        owner: if tags.contains_key(OWNER) { Owner::Release } else { Owner::File },
        policies: own.map(|policy| (policy.policy_name().to_owned(), Policy::of(policy))).collect(),
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, target.resource_id(), spec).output("arn", arn)))
}

async fn arn_of(aws: &Aws, live: &Live<ScalableTarget>) -> Result<String> {
    match live.outputs.get("arn") {
        Some(arn) => Ok(arn.clone()),
        None => Ok(look(aws, &live.id).await?.as_ref().map(arn).unwrap_or_default()),
    }
}

async fn write_tags(aws: &Aws, arn: &str, set: Tags, gone: Vec<String>) -> Result<()> {
    if !set.is_empty() {
        let request = aws.autoscaling().tag_resource().resource_arn(arn).set_tags(Some(set.into_iter().collect()));
        aws.call("autoscaling:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.autoscaling().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        aws.call("autoscaling:UntagResource", request.send()).await?;
    }
    Ok(())
}

fn check(spec: &ScalableTarget) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec.min > spec.max {
        let message = format!("`min` is {} and `max` is {}", spec.min, spec.max);
        problems.push(Problem::new("min", message).help("let `min` be at most `max`"));
    }
    if let Arg::Known(id) = &spec.resource_id
        && (id.split('/').count() != 3 || !id.starts_with("service/"))
    {
        let message = format!("`{id}` is no service");
        problems.push(Problem::new("resource_id", message).help("write `service/CLUSTER/SERVICE`"));
    }
    for (name, policy) in &spec.policies {
        let mut problem = |field: &str, message: &str, help: &str| {
            problems.push(Problem::new(&format!("policies.{name}.{field}"), message).help(help));
        };
        if policy.metric == Metric::Other {
            problem("metric", "`other` only tells of policies that others made", "write cpu, memory or requests");
        }
        if policy.label.is_some() != (policy.metric == Metric::Requests) {
            let help = "`requests` needs a `label`, and no other metric takes one";
            problem("label", "the label does not go with the metric", help);
        }
        if policy.target <= 0.0 {
            problem("target", "the value to keep must be more than 0", "write `60` to aim at 60 percent");
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> ScalableTarget {
        let json = serde_json::json!({
            "resource_id": "service/main/api", "min": 1, "max": 4, "policies": { "cpu": { "metric": "cpu", "target": 60 } },
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn releases_alone_suspend_what_they_own() {
        let live = ScalableTarget { suspended: true, min: 2, ..target() };
        let taken = |owner| {
            let mut wanted = ScalableTarget { owner, ..target() };
            wanted.take_over(&live);
            (wanted.suspended, wanted.min)
        };
        assert_eq!(taken(Owner::File), (false, 1));
        assert_eq!(taken(Owner::Release), (true, 1));
    }

    #[test]
    fn a_policy_that_is_written_is_read() {
        let requests = Policy {
            metric: Metric::Requests,
            target: 1000.0,
            label: Some("app/a/1/targetgroup/b/2".into()),
            scale_in_cooldown: 300,
            scale_out_cooldown: 60,
            scale_in: false,
        };
        let found = ScalingPolicy::builder().target_tracking_scaling_policy_configuration(requests.tracking().unwrap());
        let found = found.policy_arn("a").policy_name("requests").service_namespace(ServiceNamespace::Ecs);
        let found = found.resource_id("r").scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
        let found = found.policy_type(PolicyType::TargetTrackingScaling);
        let found = found.creation_time(aws_smithy_types::DateTime::from_secs(0)).build().unwrap();
        assert_eq!(Policy::of(&found), requests);
    }

    #[test]
    fn a_target_without_an_arn_is_nobodys() {
        let found = Found::builder().service_namespace(ServiceNamespace::Ecs).resource_id("service/main/api");
        let found = found.scalable_dimension(ScalableDimension::EcsServiceDesiredCount).min_capacity(1).max_capacity(2);
        let found = found.role_arn("r").creation_time(aws_smithy_types::DateTime::from_secs(0));
        assert_eq!(taggable(&found.clone().build().unwrap()), None);
        assert_eq!(taggable(&found.scalable_target_arn("arn").build().unwrap()), Some("arn"));
    }

    #[test]
    fn limits() {
        assert_eq!(target().check(), []);
        let mut wrong = ScalableTarget { resource_id: "api".into(), min: 5, ..target() };
        wrong.policies.get_mut("cpu").unwrap().label = Some("x".into());
        let paths: Vec<_> = wrong.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["min", "resource_id", "policies.cpu.label"]);
    }
}
