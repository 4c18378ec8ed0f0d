//! What was done to an environment, by whom, and how it ended: one event in CloudWatch Logs for each command that changed
//! something. Nothing is decided by it. All events are in one stream, so that the newest ones are read first.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::address::{ENVIRONMENT, PROJECT};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Result};

const STREAM: &str = "history";
const RETENTION_DAYS: i32 = 400;
/// Nobody waits longer for a line of history.
const PATIENCE: Duration = Duration::from_secs(15);
/// Events on one page.
const PAGE: i32 = 1000;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    Failed,
    Interrupted,
}

/// Resources by what was done to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub created: usize,
    pub updated: usize,
    pub replaced: usize,
    pub deleted: usize,
    pub failed: usize,
    /// Left out or not started.
    pub left: usize,
}

/// One command. It holds no value of any field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    /// When it ended.
    pub at: Timestamp,
    pub seconds: u64,
    pub who: String,
    pub host: String,
    pub command: String,
    pub outcome: Outcome,
    /// The first cause, where it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Numbers of the locks that it held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<u64>,
    /// The run of an apply, or the id of a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What was released, by service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// The versions that secrets got, by address; never a value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
}

pub const VERSION: u32 = 1;

/// The log group of an environment's history.
#[must_use]
pub fn group(project: &str, environment: &str) -> String {
    format!("/infra/{project}/{environment}")
}

/// Adds a record. The group and its stream are made when they are missed, so that all else is one call.
pub async fn write(aws: &Aws, project: &str, environment: &str, record: &Record) -> Result<()> {
    let writing = async {
        match put(aws, project, environment, record).await {
            Err(failure) if failure.class == Class::NotFound => {
                make(aws, project, environment).await?;
                put(aws, project, environment, record).await
            }
            other => other,
        }
    };
    let late = |_| Failure::new("logs:PutLogEvents", "NoAnswer", "CloudWatch Logs did not answer in time");
    tokio::time::timeout(PATIENCE, writing).await.map_err(late)?
}

async fn put(aws: &Aws, project: &str, environment: &str, record: &Record) -> Result<()> {
    let defect = |error: String| Failure::new("logs:PutLogEvents", "Defect", error);
    let message = serde_json::to_string(record).map_err(|error| defect(error.to_string()))?;
    let event = InputLogEvent::builder().timestamp(record.at.as_millisecond()).message(message).build();
    let event = event.map_err(|error| defect(error.to_string()))?;
    let request = aws.logs().put_log_events().log_group_name(group(project, environment)).log_stream_name(STREAM);
    aws.call("logs:PutLogEvents", request.log_events(event).send()).await.map(drop)
}

/// Its tags name no address: no plan takes it for a resource, and no destroy deletes it.
async fn make(aws: &Aws, project: &str, environment: &str) -> Result<()> {
    let name = group(project, environment);
    let exists = |answer: Result<()>| match answer {
        Err(failure) if failure.code == "ResourceAlreadyExistsException" => Ok(()),
        other => other,
    };
    let request = aws.logs().create_log_group().log_group_name(&name);
    let request = request.tags(PROJECT, project).tags(ENVIRONMENT, environment);
    exists(aws.call("logs:CreateLogGroup", request.send()).await.map(drop))?;
    let request = aws.logs().put_retention_policy().log_group_name(&name).retention_in_days(RETENTION_DAYS);
    aws.call("logs:PutRetentionPolicy", request.send()).await?;
    let request = aws.logs().create_log_stream().log_group_name(&name).log_stream_name(STREAM);
    exists(aws.call("logs:CreateLogStream", request.send()).await.map(drop))
}

/// The newest records, newest first: at most `limit`, and none from before `since`.
pub async fn read(
    aws: &Aws,
    project: &str,
    environment: &str,
    limit: usize,
    since: Option<Timestamp>,
) -> Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    let mut token: Option<String> = None;
    while records.len() < limit {
        let request = aws.logs().get_log_events().log_group_name(group(project, environment)).log_stream_name(STREAM);
        let request = request.set_start_time(since.map(|since| since.as_millisecond())).limit(PAGE);
        let request = request.start_from_head(false).set_next_token(token.clone());
        let page = match aws.call("logs:GetLogEvents", request.send()).await {
            // Nothing was written yet.
            Err(failure) if failure.class == Class::NotFound => break,
            other => other?,
        };
        // A page is in the order of time, and what others wrote there is none of ours.
        let events = page.events().iter().rev().filter_map(|event| event.message());
        records.extend(events.filter_map(|text| serde_json::from_str(text).ok()));
        // An empty page is no end. The end is where the token stays.
        if page.next_backward_token().is_none() || page.next_backward_token == token {
            break;
        }
        token = page.next_backward_token;
    }
    records.truncate(limit);
    Ok(records)
}
