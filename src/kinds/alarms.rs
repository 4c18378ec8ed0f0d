//! What metric and composite alarms share: names, tags, and one read of both.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_cloudwatch::types::{AlarmType, CompositeAlarm, MetricAlarm, Tag};
use futures::future::{try_join, try_join_all};

use super::tagging;
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Problem, Result, Scope};
use crate::tags::Tags;
use crate::value::{Arg, Unresolved};

pub const NAME_LIMIT: usize = 255;
const DESCRIPTION_LIMIT: usize = 1024;
/// Actions of one sort that an alarm may have.
const ACTION_LIMIT: usize = 5;
/// Alarms on one page, and names in one request.
const PAGE: i32 = 100;
const BATCH: usize = 100;

/// Alarms with their tags.
#[derive(Default)]
pub struct Found {
    pub metric: Vec<(MetricAlarm, Tags)>,
    pub composite: Vec<(CompositeAlarm, Tags)>,
}

/// All alarms that may be ours, of both kinds: they share their names and the call that reads them.
pub async fn ours(aws: &Aws, scope: &Scope) -> Result<Arc<Found>> {
    scope.memo.get("cloudwatch.alarms", || read(aws, scope)).await
}

async fn read(aws: &Aws, scope: &Scope) -> Result<Found> {
    let kinds = ["metric_alarm", "composite_alarm"];
    let index = tagging::index(aws, scope).await?;
    let indexed = index.keys().filter_map(|arn| name_in(arn));
    let wanted = scope.wanted.iter().any(|address| kinds.contains(&address.kind.as_str()));
    if !wanted && indexed.clone().next().is_none() {
        return Ok(Found::default());
    }
    let prefix = scope.prefix();
    let chosen = scope.names.iter().filter(|(address, _)| kinds.contains(&address.kind.as_str()));
    let named: BTreeSet<&str> = chosen.map(|(_, name)| name.as_str()).chain(indexed).collect();
    let named: Vec<String> = named.into_iter().filter(|name| !name.starts_with(&prefix)).map(str::to_owned).collect();
    let (mut metric, mut composite) = prefixed(aws, &prefix).await?;
    for (more, others) in try_join_all(named.chunks(BATCH).map(|some| by_name(aws, some.to_vec()))).await? {
        metric.extend(more);
        composite.extend(others);
    }
    let metric = with_tags(aws, metric, MetricAlarm::alarm_arn);
    let (metric, composite) = try_join(metric, with_tags(aws, composite, CompositeAlarm::alarm_arn)).await?;
    Ok(Found { metric, composite })
}

/// Those of the alarms that still exist, with their tags, which the index may know too late.
async fn with_tags<T>(aws: &Aws, alarms: Vec<T>, arn: fn(&T) -> Option<&str>) -> Result<Vec<(T, Tags)>> {
    let reads = alarms.iter().map(|alarm| tags(aws, arn(alarm).unwrap_or_default()));
    let tags = try_join_all(reads).await?;
    Ok(alarms.into_iter().zip(tags).filter_map(|(alarm, tags)| Some((alarm, tags?))).collect())
}

type Both = (Vec<MetricAlarm>, Vec<CompositeAlarm>);

async fn prefixed(aws: &Aws, prefix: &str) -> Result<Both> {
    let request = aws.cloudwatch().describe_alarms().alarm_name_prefix(prefix).max_records(PAGE);
    // Without its type, AWS hides composite alarms.
    let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
    let pages = request.into_paginator().send();
    let pages = aws.call("cloudwatch:DescribeAlarms", pages.collect::<Result<Vec<_>, _>>()).await?;
    let mut both = Both::default();
    for page in pages {
        both.0.extend(page.metric_alarms.unwrap_or_default());
        both.1.extend(page.composite_alarms.unwrap_or_default());
    }
    Ok(both)
}

/// Those of the alarms that exist.
pub async fn by_name(aws: &Aws, names: Vec<String>) -> Result<Both> {
    let request = aws.cloudwatch().describe_alarms().set_alarm_names(Some(names)).max_records(PAGE);
    let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
    let answer = aws.call("cloudwatch:DescribeAlarms", request.send()).await?;
    Ok((answer.metric_alarms.unwrap_or_default(), answer.composite_alarms.unwrap_or_default()))
}

/// The tags of an alarm or a dashboard, or `None` where it is gone.
pub async fn tags(aws: &Aws, arn: &str) -> Result<Option<Tags>> {
    let request = aws.cloudwatch().list_tags_for_resource().resource_arn(arn);
    match aws.call("cloudwatch:ListTagsForResource", request.send()).await {
        Ok(answer) => {
            let tags = answer.tags.unwrap_or_default().into_iter();
            Ok(Some(tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect()))
        }
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Writes and removes tags, which a second put of an alarm or a dashboard would not.
pub async fn retag(aws: &Aws, arn: &str, (set, gone): (Tags, Vec<String>)) -> Result<()> {
    if !set.is_empty() {
        let request = aws.cloudwatch().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(&set)));
        aws.call("cloudwatch:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.cloudwatch().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        aws.call("cloudwatch:UntagResource", request.send()).await?;
    }
    Ok(())
}

pub async fn delete(aws: &Aws, name: &str) -> Result<()> {
    // One a call: AWS refuses several composite alarms together, and deletes none if one of them is not there.
    aws.call("cloudwatch:DeleteAlarms", aws.cloudwatch().delete_alarms().alarm_names(name).send()).await.map(drop)
}

pub fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The name of an alarm in its ARN, or `None` where the ARN is that of something else.
fn name_in(arn: &str) -> Option<&str> {
    let (start, name) = arn.split_once(":alarm:")?;
    start.contains(":cloudwatch:").then_some(name)
}

/// Actions without their references.
pub fn known(args: &[Arg<String>]) -> Result<Vec<String>, Unresolved> {
    args.iter().map(|arg| arg.get().cloned()).collect()
}

pub fn args(texts: &[String]) -> Vec<Arg<String>> {
    texts.iter().map(|text| Arg::from(text.as_str())).collect()
}

/// The limits that AWS states for alarms of both kinds.
pub fn check(name: Option<&str>, description: &str, actions: [&[Arg<String>]; 3]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(name) = name.filter(|name| name.is_empty() || name.chars().count() > NAME_LIMIT) {
        let help = format!("use 1 to {NAME_LIMIT} characters");
        problems.push(Problem::new("name", format!("`{name}` is no name for an alarm")).help(help));
    }
    if description.chars().count() > DESCRIPTION_LIMIT {
        let message = format!("the description has more than {DESCRIPTION_LIMIT} characters");
        problems.push(Problem::new("description", message).help("let it point to a page that says the rest"));
    }
    let fields = ["alarm_actions", "ok_actions", "insufficient_data_actions"];
    for (field, _) in fields.iter().zip(actions).filter(|(_, actions)| actions.len() > ACTION_LIMIT) {
        let message = format!("an alarm has at most {ACTION_LIMIT} actions of one sort");
        problems.push(Problem::new(field, message).help("let one topic tell several receivers"));
    }
    problems
}

/// The composite alarms that watch an alarm, and so keep it.
pub async fn users(aws: &Aws, name: &str) -> Result<Vec<Blocker>> {
    let request = aws.cloudwatch().describe_alarms().alarm_types(AlarmType::CompositeAlarm);
    let pages = request.into_paginator().send();
    let pages = aws.call("cloudwatch:DescribeAlarms", pages.collect::<Result<Vec<_>, _>>()).await?;
    let all = pages.iter().flat_map(|page| page.composite_alarms());
    // Rules name alarms as they are, in quotes, or by their ARNs.
    let names = |part: &str| part.trim() == name || part.trim().ends_with(&format!(":alarm:{name}"));
    let watches = all.filter(|one| one.alarm_rule().unwrap_or_default().split(['"', '(', ')']).any(names));
    Ok(watches.map(|one| Blocker::new(format!("composite alarm {}", one.alarm_name().unwrap_or_default()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_arns_of_alarms_only() {
        let arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:acme-production-api-errors";
        assert_eq!(name_in(arn), Some("acme-production-api-errors"));
        assert_eq!(name_in("arn:aws:cloudwatch::123456789012:dashboard/golden"), None);
        assert_eq!(name_in("arn:aws:iot:us-east-1:123456789012:alarm:x"), None);
    }
}
