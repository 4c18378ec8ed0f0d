//! A log group of CloudWatch Logs.

mod metric_filter;

use std::collections::BTreeSet;

use aws_sdk_cloudwatchlogs::types::LogGroupClass;
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::metric_filter::{MetricFilter, MetricFilters};
use super::{adopt, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 512;
/// Log groups that one request describes by name.
const BATCH: usize = 50;

/// The days of retention that AWS knows.
pub const RETENTIONS: &[u32] =
    &[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// A log group of CloudWatch Logs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogGroup {
    /// The name in AWS, as in `/ecs/production/api`; left out, it is `/infra/<project>/<environment>/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// After how many days events are deleted; left out, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// The ARN of the key that encrypts new events; left out, CloudWatch's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    #[serde(default)]
    pub class: LogClass,
    /// Metrics that its events feed, by the filter's name.
    #[serde(default)]
    pub metric_filters: MetricFilters,
    #[serde(default)]
    pub tags: Tags,
}

/// What a log group can do, and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LogClass {
    #[default]
    Standard,
    /// Half the price of ingestion, without metric filters, subscriptions and live tail.
    InfrequentAccess,
}

impl Kind for LogGroup {
    const NAME: &'static str = "log_group";
    const RIGHTS: Rights = Rights {
        read: "logs:DescribeLogGroups logs:DescribeMetricFilters logs:ListTagsForResource",
        create: "logs:CreateLogGroup logs:TagResource",
        update: "logs:AssociateKmsKey logs:DeleteMetricFilter logs:DeleteRetentionPolicy logs:DisassociateKmsKey \
            logs:PutMetricFilter logs:PutRetentionPolicy logs:TagResource logs:UntagResource",
        delete: "logs:DeleteLogGroup",
        on: "logs:log-group:{name}*",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "class"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const UNIQUE: &'static [&'static str] = &["name"];
    const HOLDS_DATA: bool = true;

    fn shell(&self) -> Self {
        Self { retention_days: None, metric_filters: MetricFilters::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = &self.name {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c);
            if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(allowed) || name.starts_with("aws/") {
                let help = format!("use 1 to {NAME_LIMIT} letters, digits and _-/.#, and do not start with aws/");
                problems.push(Problem::new("name", format!("`{name}` is no name for a log group")).help(help));
            }
        }
        if let Some(days) = self.retention_days.filter(|days| !RETENTIONS.contains(days)) {
            let nearest = RETENTIONS.iter().min_by_key(|known| known.abs_diff(days)).unwrap_or(&days);
            let message = format!("AWS cannot keep logs for {days} days, only for certain numbers of days");
            let help = format!("write {nearest}, the nearest, or leave the line out to keep logs for ever");
            problems.push(Problem::new("retention_days", message).help(help));
        }
        if self.class == LogClass::InfrequentAccess && !self.metric_filters.is_empty() {
            let message = "groups of the class INFREQUENT_ACCESS feed no metrics";
            problems.push(Problem::new("metric_filters", message).help("remove them, or let the class be STANDARD"));
        }
        problems.extend(metric_filter::check(&self.metric_filters));
        problems
    }

    /// The index knows candidates by their tags, and lags behind; the names in the file are looked up beside it.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let index = tagging::index(aws, scope).await?;
        let mut names = BTreeSet::new();
        let mut known = BTreeSet::new();
        for (arn, tags) in index.iter() {
            if let (Some(name), Some(tagged)) = (name_in(arn), scope.ours(Self::NAME, tags)) {
                names.insert(name.to_owned());
                known.insert(tagged.identity.address);
            }
        }
        let missing = scope.wanted(Self::NAME).filter(|identity| !known.contains(&identity.address));
        names.extend(
            missing.map(|identity| {
                scope.names.get(&identity.address).cloned().unwrap_or_else(|| generated_name(&identity))
            }),
        );
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let (groups, filters) = tokio::try_join!(describe(aws, &names), metric_filter::all(aws, scope))?;
        let filters = |group: &Group| filters.get(group.log_group_name()?).cloned();
        let reads = groups.iter().map(|group| read(aws, group, filters(group).unwrap_or_default()));
        let found = try_join_all(reads).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| generated_name(&making.identity));
        let request = aws.logs().create_log_group().log_group_name(&name);
        let request = request.set_tags(Some(tags::encode(&making.identity, &self.tags).into_iter().collect()));
        let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?.cloned();
        let request = request.set_kms_key_id(key).log_group_class(match self.class {
            LogClass::Standard => LogGroupClass::Standard,
            LogClass::InfrequentAccess => LogGroupClass::InfrequentAccess,
        });
        match aws.call("logs:CreateLogGroup", request.send()).await {
            Ok(_) => Ok(name),
            // Lambda, RDS and others make groups by themselves. Those are not ours before `infra adopt` says so.
            Err(failure) if failure.code == "ResourceAlreadyExistsException" => {
                let found = find(aws, &name).await?;
                adopt::adopt(self, aws, making, (&name, found), "logs:CreateLogGroup").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let name = &live.id;
        match &self.kms_key_arn {
            same if *same == live.spec.kms_key_arn => {}
            Some(key) => {
                let request = aws.logs().associate_kms_key().log_group_name(name).kms_key_id(key.get()?);
                aws.call("logs:AssociateKmsKey", request.send()).await?;
            }
            None => {
                let request = aws.logs().disassociate_kms_key().log_group_name(name);
                aws.call("logs:DisassociateKmsKey", request.send()).await?;
            }
        }
        match self.retention_days {
            same if same == live.spec.retention_days => {}
            Some(days) => {
                let request = aws.logs().put_retention_policy().log_group_name(name);
                let request = request.retention_in_days(days.cast_signed());
                aws.call("logs:PutRetentionPolicy", request.send()).await?;
            }
            None => {
                let request = aws.logs().delete_retention_policy().log_group_name(name);
                aws.call("logs:DeleteRetentionPolicy", request.send()).await?;
            }
        }
        metric_filter::change(aws, name, &live.spec.metric_filters, &self.metric_filters).await?;
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        write_tags(aws, name, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.logs().delete_log_group().log_group_name(&live.id);
        aws.call("logs:DeleteLogGroup", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(look(aws, id)
            .await?
            .map_or(Progress::Gone, |group| Progress::ready([("arn", arn(&group).to_owned()), ("name", id.clone())])))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set.clone(), gone.to_vec()).await
    }
}

fn generated_name(identity: &Identity) -> String {
    format!("/infra/{}/{}/{}", identity.project, identity.environment, identity.address.name)
}

/// The name of a log group in its ARN, or `None` where the ARN is that of something else.
fn name_in(arn: &str) -> Option<&str> {
    let (service, rest) = arn.strip_prefix("arn:")?.split_once(':')?.1.split_once(':')?;
    let (_, name) = rest.split_once(":log-group:").filter(|_| service == "logs")?;
    Some(name.strip_suffix(":*").unwrap_or(name))
}

type Group = aws_sdk_cloudwatchlogs::types::LogGroup;

/// The ARN that policies and other services take, which is the one without `:*` at its end.
fn arn(group: &Group) -> &str {
    let arn = group.log_group_arn().or(group.arn()).unwrap_or_default();
    arn.strip_suffix(":*").unwrap_or(arn)
}

/// Those of the log groups that exist, with few calls.
async fn describe(aws: &Aws, names: &BTreeSet<String>) -> Result<Vec<Group>> {
    let names: Vec<&String> = names.iter().collect();
    let batches = names.chunks(BATCH).map(|batch| async move {
        let request = aws.logs().describe_log_groups();
        let identifiers = batch.iter().map(|name| (*name).clone()).collect();
        let pages = request.set_log_group_identifiers(Some(identifiers)).into_paginator().items().send();
        match aws.call("logs:DescribeLogGroups", pages.collect::<Result<Vec<_>, _>>()).await {
            Ok(groups) => Ok(groups),
            // One that is gone must not hide the others.
            Err(failure) if failure.class == Class::NotFound => {
                let groups = try_join_all(batch.iter().map(|name| look(aws, name))).await?;
                Ok(groups.into_iter().flatten().collect())
            }
            Err(failure) => Err(failure),
        }
    });
    let groups = try_join_all(batches).await?.into_iter().flatten();
    Ok(groups.filter(|group| names.iter().any(|name| Some(name.as_str()) == group.log_group_name())).collect())
}

/// The log group with exactly this name, which is the first of those that start with it.
async fn look(aws: &Aws, name: &str) -> Result<Option<Group>> {
    let request = aws.logs().describe_log_groups().log_group_name_prefix(name);
    let answer = aws.call("logs:DescribeLogGroups", request.send()).await?;
    Ok(answer.log_groups().iter().find(|group| group.log_group_name() == Some(name)).cloned())
}

async fn find(aws: &Aws, name: &str) -> Result<Option<Live<LogGroup>>> {
    match look(aws, name).await? {
        Some(group) => read(aws, &group, metric_filter::of_group(aws, name).await?).await,
        None => Ok(None),
    }
}

/// The log group as ours, where it exists still and its tags say so. The index's own tags may be old.
async fn read(aws: &Aws, group: &Group, metric_filters: MetricFilters) -> Result<Option<Live<LogGroup>>> {
    let name = group.log_group_name().unwrap_or_default();
    let request = aws.logs().list_tags_for_resource().resource_arn(arn(group));
    let tags: Tags = match aws.call("logs:ListTagsForResource", request.send()).await {
        Ok(answer) => answer.tags.unwrap_or_default().into_iter().collect(),
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let spec = LogGroup {
        name: Some(name.to_owned()),
        retention_days: group.retention_in_days().and_then(|days| days.try_into().ok()),
        kms_key_arn: group.kms_key_id().map(Arg::from),
        class: match group.log_group_class() {
            Some(LogGroupClass::InfrequentAccess) => LogClass::InfrequentAccess,
            _ => LogClass::Standard,
        },
        metric_filters,
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, name, spec).output("arn", arn(group)).output("name", name)))
}

/// Writes and removes tags, which takes the ARN.
async fn write_tags(aws: &Aws, name: &str, set: Tags, gone: Vec<String>) -> Result<()> {
    if set.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let Some(group) = look(aws, name).await? else {
        let message = format!("the log group {name} is gone");
        return Err(Failure::new("logs:TagResource", "NotFound", message).class(Class::NotFound));
    };
    if !set.is_empty() {
        let request = aws.logs().tag_resource().resource_arn(arn(&group)).set_tags(Some(set.into_iter().collect()));
        aws.call("logs:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.logs().untag_resource().resource_arn(arn(&group)).set_tag_keys(Some(gone));
        aws.call("logs:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_arns_of_log_groups_only() {
        let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/production/api";
        assert_eq!(name_in(arn), Some("/ecs/production/api"));
        assert_eq!(name_in(&format!("{arn}:*")), Some("/ecs/production/api"));
        assert_eq!(name_in("arn:aws:sqs:us-east-1:123456789012:log-group:x"), None);
        assert_eq!(name_in("arn:aws:logs:us-east-1:123456789012:destination:x"), None);
    }

    #[test]
    fn a_retention_that_aws_does_not_know_is_told_the_nearest() {
        let group = LogGroup {
            name: Some("aws/x".into()),
            retention_days: Some(31),
            kms_key_arn: None,
            class: LogClass::Standard,
            metric_filters: MetricFilters::new(),
            tags: Tags::new(),
        };
        let problems = group.check();
        assert_eq!(problems[0].path, "name");
        assert!(problems[1].help.as_ref().is_some_and(|help| help.starts_with("write 30,")), "{problems:?}");
        assert!(LogGroup { name: None, retention_days: Some(30), ..group }.check().is_empty());
    }
}
