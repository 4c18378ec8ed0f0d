//! A flow log: the record of connections in a VPC, a subnet or at an interface.

use aws_sdk_ec2::types::{FlowLog as Found, FlowLogsResourceType, LogDestinationType, ResourceType, TrafficType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ec2, tagging};
use crate::aws::{self, Aws};
use crate::kind::{Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// The fields of a line where nothing else is said.
const FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} \
                      ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";

/// A flow log: the record of connections in a VPC, a subnet or at an interface. AWS can change nothing of it but its
/// tags, so that any change makes another one; what was recorded stays.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowLog {
    /// The id of the VPC, subnet or interface.
    pub resource_id: Arg<String>,
    #[serde(default)]
    pub traffic: Traffic,
    /// The log group that the records go to, by name; it needs a `role_arn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_group_name: Option<Arg<String>>,
    /// The role by which AWS writes to the log group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<Arg<String>>,
    /// The ARN of the bucket that the records go to, in place of a log group; a folder in it may follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_arn: Option<Arg<String>>,
    /// Over how many seconds connections are summed up: 60 or 600.
    #[serde(default = "ten_minutes")]
    pub interval_seconds: u32,
    /// The fields of a line, in AWS's words; left out, its usual fourteen.
    #[serde(default = "format")]
    pub format: String,
    #[serde(default)]
    pub tags: Tags,
}

/// Which connections are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    #[default]
    All,
    /// Those that were let through.
    Accepted,
    /// Those that were not.
    Rejected,
}

#[must_use]
pub const fn ten_minutes() -> u32 {
    600
}

#[must_use]
pub fn format() -> String {
    FORMAT.to_owned()
}

impl Kind for FlowLog {
    const NAME: &'static str = "flow_log";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeFlowLogs",
        create: "ec2:CreateFlowLogs ec2:CreateTags",
        update: "ec2:CreateTags ec2:DeleteTags",
        delete: "ec2:DeleteFlowLogs",
        passes: "vpc-flow-logs.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] =
        &["resource_id", "traffic", "log_group_name", "role_arn", "bucket_arn", "interval_seconds", "format"];
    const CREATE_FIRST: bool = true;
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id"];

    /// AWS takes one flow log for each resource and destination.
    const CLASH: Option<fn(&Self, &Self) -> bool> = Some(|one, other| {
        let key = |log: &Self| (log.resource_id.clone(), log.log_group_name.clone(), log.bucket_arn.clone());
        key(one) == key(other)
    });

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: &str, help: &str| {
            problems.push(Problem::new(field, message).help(help));
        };
        match (&self.log_group_name, &self.bucket_arn) {
            (None, None) => {
                problem("log_group_name", "the records have no place to go to", "name a log group or a bucket");
            }
            (Some(_), Some(_)) => {
                problem("bucket_arn", "a flow log has one place to go to", "remove this or `log_group_name`");
            }
            _ => {}
        }
        if self.log_group_name.is_some() && self.role_arn.is_none() {
            let help = "name a role that `vpc-flow-logs.amazonaws.com` may assume";
            problem("role_arn", "AWS writes to a log group by a role only", help);
        }
        if self.bucket_arn.is_some() && self.role_arn.is_some() {
            problem("role_arn", "AWS writes to a bucket by the bucket's policy", "remove this line");
        }
        if ![60, 600].contains(&self.interval_seconds) {
            problem("interval_seconds", "AWS sums up over one minute or ten", "write 60 or 600");
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":vpc-flow-log/").await? {
            return Ok(Vec::new());
        }
        let pages =
            aws.ec2().describe_flow_logs().set_filter(Some(ec2::ours(aws, scope))).into_paginator().items().send();
        let logs = aws.call("ec2:DescribeFlowLogs", pages.collect::<Result<Vec<_>, _>>()).await?;
        let read = |log: &Found| {
            let tagged = scope.tagged(aws, Self::NAME, &ec2::read_tags(log.tags()))?;
            let id = log.flow_log_id().unwrap_or_default();
            // AWS tells the log group's name, and its ARN as the destination.
            let bucket = log.log_destination_type() == Some(&LogDestinationType::S3);
            let group = log.log_group_name().or(log.log_destination().map(|arn| arn.rsplit(':').next().unwrap_or(arn)));
            let spec = Self {
                resource_id: log.resource_id().unwrap_or_default().into(),
                traffic: match log.traffic_type() {
                    Some(TrafficType::Accept) => Traffic::Accepted,
                    Some(TrafficType::Reject) => Traffic::Rejected,
                    _ => Traffic::All,
                },
                log_group_name: group.filter(|_| !bucket).map(Arg::from),
                role_arn: log.deliver_logs_permission_arn().map(Arg::from),
                bucket_arn: log.log_destination().filter(|_| bucket).map(Arg::from),
                interval_seconds: log.max_aggregation_interval().map_or_else(ten_minutes, i32::cast_unsigned),
                format: log.log_format().map_or_else(format, str::to_owned),
                tags: tagged.user.clone(),
            };
            let failed = log.deliver_logs_status() == Some("FAILED");
            let why = log.deliver_logs_error_message().unwrap_or("it does not say why");
            let notes =
                failed.then(|| format!("AWS could not write the last records: {why}").into()).into_iter().collect();
            Some(Live { notes, ..Live::new(tagged, id, spec).output("id", id) })
        };
        Ok(logs.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let operation = "ec2:CreateFlowLogs";
        let resource = self.resource_id.get()?;
        let on = match resource.split('-').next() {
            Some("subnet") => FlowLogsResourceType::Subnet,
            Some("eni") => FlowLogsResourceType::NetworkInterface,
            _ => FlowLogsResourceType::Vpc,
        };
        let traffic = match self.traffic {
            Traffic::All => TrafficType::All,
            Traffic::Accepted => TrafficType::Accept,
            Traffic::Rejected => TrafficType::Reject,
        };
        let text = |value: &Option<Arg<String>>| value.as_ref().map(Arg::get).transpose().map(|text| text.cloned());
        let to = if self.bucket_arn.is_some() { LogDestinationType::S3 } else { LogDestinationType::CloudWatchLogs };
        let request = aws.ec2().create_flow_logs().resource_ids(resource).resource_type(on).traffic_type(traffic);
        let request = request.log_destination_type(to).set_log_destination(text(&self.bucket_arn)?);
        let request = request.set_log_group_name(text(&self.log_group_name)?);
        let request = request.set_deliver_logs_permission_arn(text(&self.role_arn)?).log_format(&self.format);
        let request = request.max_aggregation_interval(self.interval_seconds.cast_signed());
        let tags = ec2::specification(ResourceType::VpcFlowLog, &making.identity, &self.tags);
        let request = request.client_token(&making.token).tag_specifications(tags);
        let answer = aws.call(operation, request.send()).await?;
        if let Some(error) = answer.unsuccessful().first().and_then(|failed| failed.error()) {
            return Err(aws::partial(operation, error.code(), error.message()));
        }
        ec2::made(operation, answer.flow_log_ids().first().map(String::as_str))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let operation = "ec2:DeleteFlowLogs";
        let answer = aws.call(operation, aws.ec2().delete_flow_logs().flow_log_ids(&live.id).send()).await?;
        match answer.unsuccessful().first().and_then(|failed| failed.error()) {
            Some(error) => Err(aws::partial(operation, error.code(), error.message())),
            None => Ok(()),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let answer = aws.call("ec2:DescribeFlowLogs", aws.ec2().describe_flow_logs().flow_log_ids(id).send()).await?;
        let found = answer.flow_logs().first();
        Ok(found.map_or(Progress::Gone, |_| Progress::ready([("id", id.clone())])))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_to_one_place() {
        let log = |group: Option<&str>, role: Option<&str>, bucket: Option<&str>| FlowLog {
            resource_id: "vpc-1".into(),
            traffic: Traffic::All,
            log_group_name: group.map(Arg::from),
            role_arn: role.map(Arg::from),
            bucket_arn: bucket.map(Arg::from),
            interval_seconds: 600,
            format: format(),
            tags: Tags::new(),
        };
        for (group, role, bucket, paths) in [
            (Some("g"), Some("r"), None, vec![]),
            (None, None, Some("b"), vec![]),
            (None, None, None, vec!["log_group_name"]),
            (Some("g"), None, None, vec!["role_arn"]),
            (Some("g"), None, Some("b"), vec!["bucket_arn", "role_arn"]),
            (None, Some("r"), Some("b"), vec!["role_arn"]),
        ] {
            let found: Vec<_> = log(group, role, bucket).check().into_iter().map(|problem| problem.path).collect();
            assert_eq!(found, paths, "{group:?} {role:?} {bucket:?}");
        }
        let odd = FlowLog { interval_seconds: 300, ..log(None, None, Some("b")) };
        assert_eq!(odd.check()[0].path, "interval_seconds");
    }
}
