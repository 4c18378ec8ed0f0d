//! One look at a release: both colours, the weights, the record, metrics and alarms.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{Metric, MetricDataQuery, MetricDataResult, MetricStat, StateValue};
use aws_sdk_ecs::types::{DeploymentRolloutState, Service};
use aws_sdk_elasticloadbalancingv2::types::{Rule, TargetHealthDescription, TargetHealthStateEnum as State};
use aws_smithy_types::DateTime;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use super::parts::{Alarms, Colours, Group};
use crate::aws::Aws;
use crate::bluegreen::{Alarm, Both, Colour, Rollout, Sample, Side, Weights};
use crate::kind::{Failure, Result};
use crate::kinds::ecs_autopsy;

/// The tasks of both colours.
pub async fn sides(aws: &Aws, cluster: &str, colours: &Colours) -> Result<Both<Side>> {
    let request = aws.ecs().describe_services().cluster(cluster);
    let request = request.services(&colours.ecs.blue).services(&colours.ecs.green);
    let services = aws.call("ecs:DescribeServices", request.send());
    let health = |group: &Group| {
        let request = aws.elb().describe_target_health().target_group_arn(&group.arn);
        aws.call("elb:DescribeTargetHealth", request.send())
    };
    let (services, blue, green) =
        tokio::try_join!(services, health(&colours.groups.blue), health(&colours.groups.green))?;
    let of = async |arn: &str, health: &[TargetHealthDescription]| {
        let service = services.services().iter().find(|service| service.service_arn() == Some(arn));
        let missing = || Failure::new("ecs:DescribeServices", "ServiceNotFoundException", arn);
        side(aws, service.ok_or_else(missing)?, health).await
    };
    Ok(Both {
        blue: of(&colours.ecs.blue, blue.target_health_descriptions()).await?,
        green: of(&colours.ecs.green, green.target_health_descriptions()).await?,
    })
}

/// The tasks of one service, with the health of its targets.
pub async fn side(aws: &Aws, service: &Service, health: &[TargetHealthDescription]) -> Result<Side> {
    let primary = service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"));
    let state = primary.and_then(|primary| primary.rollout_state());
    let rollout = match state {
        _ if service.desired_count() == 0 => Rollout::Completed,
        Some(DeploymentRolloutState::Failed) => Rollout::Failed(ecs_autopsy::of(aws, service).await?),
        Some(DeploymentRolloutState::InProgress) => Rollout::InProgress,
        _ => Rollout::Completed,
    };
    let states = health.iter().filter_map(|target| target.target_health()?.state());
    let count = |wanted: &[State]| number(states.clone().filter(|state| wanted.contains(state)).count());
    let (healthy, unhealthy) = (count(&[State::Healthy]), count(&[State::Unhealthy, State::Unavailable]));
    let initial = count(&[State::Initial]);
    let natural = |value: i32| u32::try_from(value).unwrap_or_default();
    let desired = natural(service.desired_count());
    let running = natural(service.running_count());
    Ok(Side {
        revision: service.task_definition().unwrap_or_default().to_owned(),
        desired,
        running,
        // What runs and is not registered yet counts too.
        starting: initial.max(desired.saturating_sub(running)).max(running.saturating_sub(healthy + unhealthy)),
        healthy,
        unhealthy,
        targets: healthy + unhealthy + initial,
        rollout,
    })
}

/// How the rule of production shares the traffic, and which colour the test rule leads to.
pub async fn rules(aws: &Aws, colours: &Colours) -> Result<(Weights, Colour)> {
    let request = aws.elb().describe_rules().rule_arns(&colours.rule).rule_arns(&colours.test);
    let answer = aws.call("elb:DescribeRules", request.send()).await?;
    let of = |arn: &str| {
        let rule = answer.rules().iter().find(|rule| rule.rule_arn() == Some(arn));
        rule.map(|rule| weights(rule, colours)).ok_or_else(|| Failure::new("elb:DescribeRules", "RuleNotFound", arn))
    };
    let test = of(&colours.test)?;
    Ok((of(&colours.rule)?, if test.green > test.blue { Colour::Green } else { Colour::Blue }))
}

/// In percent of all that the rule gives to either colour.
fn weights(rule: &Rule, colours: &Colours) -> Weights {
    let forward = rule.actions().iter().find_map(|action| action.forward_config());
    let tuples = forward.map(|forward| forward.target_groups()).unwrap_or_default();
    let of = |group: &Group| {
        let tuple = tuples.iter().find(|tuple| tuple.target_group_arn() == Some(group.arn.as_str()));
        tuple.and_then(|tuple| u16::try_from(tuple.weight().unwrap_or(1)).ok()).unwrap_or_default()
    };
    let (blue, green) = (of(&colours.groups.blue), of(&colours.groups.green));
    match u32::from(blue) + u32::from(green) {
        0 => Weights { blue: 0, green: 0 },
        all => {
            let green = u16::try_from((u32::from(green) * 100 + all / 2) / all).unwrap_or(100);
            // A share, however small, is not nothing.
            let green = if blue > 0 { green.min(99) } else { green };
            Weights::with(Colour::Green, if of(&colours.groups.green) > 0 { green.max(1) } else { green })
        }
    }
}

/// What both colours did since then, and how the answers' times were spread.
pub async fn samples(
    aws: &Aws,
    colours: &Colours,
    since: Timestamp,
    period: SignedDuration,
) -> Result<Both<Vec<Sample>>> {
    let mut queries = Vec::new();
    for colour in Colour::ALL {
        for (name, metric, statistic) in METRICS {
            let dimension = |name: &str, value: &str| {
                aws_sdk_cloudwatch::types::Dimension::builder().name(name).value(value).build()
            };
            let metric = Metric::builder()
                .namespace("AWS/ApplicationELB")
                .metric_name(metric)
                .dimensions(dimension("LoadBalancer", &colours.door.dimension))
                .dimensions(dimension("TargetGroup", &colours.groups.of(colour).dimension));
            let seconds = i32::try_from(period.as_secs()).unwrap_or(60);
            let stat = MetricStat::builder().metric(metric.build()).period(seconds).stat(statistic).build();
            let id = format!("{}_{name}", colour.name());
            queries.push(MetricDataQuery::builder().id(id).metric_stat(stat).build());
        }
    }
    let request = aws.cloudwatch().get_metric_data().set_metric_data_queries(Some(queries));
    // Periods begin at whole multiples of their length.
    let start = since.as_second() - since.as_second().rem_euclid(period.as_secs().max(1));
    let request =
        request.start_time(DateTime::from_secs(start)).end_time(DateTime::from_secs(Timestamp::now().as_second() + 1));
    let pages = request.into_paginator().send();
    let pages = aws.call("cloudwatch:GetMetricData", pages.collect::<Result<Vec<_>, _>>()).await?;
    let results: Vec<&MetricDataResult> = pages.iter().flat_map(|page| page.metric_data_results()).collect();
    let of = |colour: Colour| {
        let mut all: BTreeMap<i64, Sample> = BTreeMap::new();
        for result in &results {
            let Some(name) = result.id().and_then(|id| id.strip_prefix(colour.name())?.strip_prefix('_')) else {
                continue;
            };
            for (at, value) in result.timestamps().iter().zip(result.values()) {
                let Ok(time) = Timestamp::from_second(at.secs()) else { continue };
                let sample = all.entry(at.secs()).or_insert_with(|| Sample::at(time));
                let milliseconds = Some(value * 1000.0);
                match name {
                    "requests" => sample.requests += value,
                    "failed" | "unreached" => sample.errors += value,
                    "average" => sample.latency = milliseconds,
                    "p50" => sample.p50 = milliseconds,
                    _ => sample.p95 = milliseconds,
                }
            }
        }
        // The newest period is told of in parts.
        let complete = Timestamp::now() - period * 2;
        all.into_values().filter(|sample| sample.at <= complete).collect()
    };
    Ok(Both { blue: of(Colour::Blue), green: of(Colour::Green) })
}

/// The digest of the image that a container of a service's tasks runs.
pub async fn digest(aws: &Aws, cluster: &str, ecs: &str, container: &str) -> Result<Option<String>> {
    let name = ecs.rsplit('/').next().unwrap_or(ecs);
    let request = aws.ecs().list_tasks().cluster(cluster).service_name(name).max_results(1);
    let Some(task) = aws.call("ecs:ListTasks", request.send()).await?.task_arns.unwrap_or_default().pop() else {
        return Ok(None);
    };
    let request = aws.ecs().describe_tasks().cluster(cluster).tasks(task);
    let tasks = aws.call("ecs:DescribeTasks", request.send()).await?.tasks.unwrap_or_default();
    let own = tasks.iter().flat_map(|task| task.containers()).find(|one| one.name() == Some(container));
    Ok(own.and_then(|own| own.image_digest()).map(str::to_owned))
}

/// What is asked of each colour: our name, CloudWatch's, and the statistic.
const METRICS: [(&str, &str, &str); 6] = [
    ("requests", "RequestCount", "Sum"),
    ("failed", "HTTPCode_Target_5XX_Count", "Sum"),
    ("unreached", "TargetConnectionErrorCount", "Sum"),
    ("average", "TargetResponseTime", "Average"),
    ("p50", "TargetResponseTime", "p50"),
    ("p95", "TargetResponseTime", "p95"),
];

/// Alarm names that one request takes.
const NAMES: usize = 100;

/// The watched alarms that are firing.
pub async fn alarms(aws: &Aws, alarms: &Alarms) -> Result<Vec<Alarm>> {
    let names: Vec<String> = alarms.watched.keys().cloned().collect();
    let reads = names.chunks(NAMES).map(|some| {
        let request = aws.cloudwatch().describe_alarms().set_alarm_names(Some(some.to_vec()));
        let request = request.state_value(StateValue::Alarm);
        aws.call("cloudwatch:DescribeAlarms", request.send())
    });
    let answers = try_join_all(reads).await?;
    let firing = answers.iter().flat_map(|answer| answer.metric_alarms());
    let read = |alarm: &aws_sdk_cloudwatch::types::MetricAlarm| {
        if alarm.state_value() != Some(&StateValue::Alarm) {
            return None;
        }
        let name = alarm.alarm_name()?.to_owned();
        let severity = alarms.watched.get(&name)?.clone();
        Some(Alarm { name, severity })
    };
    Ok(firing.filter_map(read).collect())
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
