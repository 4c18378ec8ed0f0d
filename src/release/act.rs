//! What each move does in AWS. Every one can be done twice.

use anyhow::Result;
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace, SuspendedState};
use aws_sdk_elasticloadbalancingv2 as elb;
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple};

use super::parts::{Colours, Parts};
use crate::aws::{Aws, one_try};
use crate::bluegreen::{Colour, Weights};
use crate::kinds::schedule_group;

/// Lets a service run so many tasks of a revision. With the revision that it has, a new deployment begins: the old one
/// may have failed, and then starts nothing any more.
pub async fn start(aws: &Aws, cluster: &str, ecs: &str, revision: &str, count: Option<u32>, again: bool) -> Result<()> {
    let request = aws.ecs().update_service().cluster(cluster).service(ecs).task_definition(revision);
    let request = request.set_desired_count(count.and_then(|count| i32::try_from(count).ok()));
    let request = if again { request.force_new_deployment(true) } else { request };
    aws.call("ecs:UpdateService", request.send()).await?;
    Ok(())
}

/// Changes the number of tasks, and nothing else.
pub async fn scale(aws: &Aws, cluster: &str, ecs: &str, count: u32) -> Result<()> {
    let request = aws.ecs().update_service().cluster(cluster).service(ecs);
    let request = request.desired_count(i32::try_from(count).unwrap_or(i32::MAX));
    aws.call("ecs:UpdateService", request.send()).await?;
    Ok(())
}

/// What a scaler may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scaler {
    /// All that its policies say.
    Free,
    /// Start tasks, but stop none.
    Growing,
    Held,
}

/// Holds a scaler, or lets it go.
pub async fn scaler(aws: &Aws, id: Option<&String>, may: Scaler) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    let state = SuspendedState::builder()
        .dynamic_scaling_in_suspended(may != Scaler::Free)
        .dynamic_scaling_out_suspended(may == Scaler::Held)
        .scheduled_scaling_suspended(may == Scaler::Held)
        .build();
    let request = aws.autoscaling().register_scalable_target().resource_id(id).suspended_state(state);
    let request = request.service_namespace(ServiceNamespace::Ecs);
    let request = request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
    aws.call("autoscaling:RegisterScalableTarget", request.send()).await?;
    Ok(())
}

/// Leads a rule to both colours by these weights: one request. `once` where nothing may come of it later, after somebody
/// else has decided otherwise.
pub async fn weigh(aws: &Aws, colours: &Colours, rule: &str, weights: Weights, once: bool) -> Result<()> {
    let tuple = |colour: Colour| {
        let tuple = TargetGroupTuple::builder().target_group_arn(&colours.groups.of(colour).arn);
        tuple.weight(i32::from(*weights.of(colour))).build()
    };
    let forward = ForwardActionConfig::builder().target_groups(tuple(Colour::Blue)).target_groups(tuple(Colour::Green));
    let action = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(forward.build()).build();
    let mut request = aws.elb().modify_rule().rule_arn(rule).actions(action).customize();
    if once {
        request = request.config_override(elb::config::Builder::new().retry_config(one_try()));
    }
    aws.call("elb:ModifyRule", request.send()).await?;
    Ok(())
}

/// What waits for the first release: alarms that would have told of a service that nobody expected to run, and
/// schedules of jobs that had no image.
pub async fn awake(aws: &Aws, parts: &Parts) -> Result<()> {
    if !parts.alarms.waiting.is_empty() {
        let request = aws.cloudwatch().enable_alarm_actions().set_alarm_names(Some(parts.alarms.waiting.clone()));
        aws.call("cloudwatch:EnableAlarmActions", request.send()).await?;
    }
    for (group, name, schedule) in &parts.schedules {
        schedule_group::write(aws, group, name, schedule).await?;
    }
    Ok(())
}
