//! Secrets as `infra secrets` shows them: their versions, rotations and who runs with which of them. No value is read.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::SecretVersionsListEntry;
use aws_smithy_types::DateTime;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::address::Address;
use crate::aws::Aws;
use crate::kind::{Class, Result};
use crate::rotation::users::{self, User, Version};
use crate::rotation::{CURRENT, PREVIOUS, ROLLED, stages};

/// A rotation that takes longer is stuck: its four steps have a minute each, and are tried again.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
const PAGE: i32 = 1000;

/// A secret of an environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Secret {
    pub address: Address,
    /// The name in AWS; nothing where AWS does not have it.
    pub name: Option<String>,
    pub in_file: bool,
    pub description: String,
    pub rotates_every_days: Option<i64>,
    pub has_value: bool,
    pub changed: Option<Timestamp>,
    pub rotated: Option<Timestamp>,
    pub next_rotation: Option<Timestamp>,
}

/// A version, and since when it is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Since {
    pub id: String,
    pub since: Timestamp,
}

/// A rotation that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    pub version: String,
    pub since: Timestamp,
    pub stuck: bool,
    /// What the function said last when it failed.
    pub why: Option<String>,
    pub log_group: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    Current,
    Behind,
    /// It has no tasks.
    Idle,
}

/// A service that uses a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Its name in ECS.
    pub service: String,
    pub runs: Runs,
    /// The version with which all of its tasks have started, where that is known.
    pub version: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    #[serde(flatten)]
    pub secret: Secret,
    pub current: Option<Since>,
    pub previous: Option<String>,
    pub rotation: Option<Pending>,
    /// The version that all services have been noted to run.
    pub rolled: Option<String>,
    pub services: Vec<Use>,
}

impl Status {
    #[must_use]
    pub fn is_well(&self) -> bool {
        !self.rotation.as_ref().is_some_and(|rotation| rotation.stuck) && self.behind().next().is_none()
    }

    pub fn behind(&self) -> impl Iterator<Item = &Use> {
        self.services.iter().filter(|one| one.runs == Runs::Behind)
    }
}

/// What AWS has of one secret.
pub struct Seen {
    pub arn: String,
    pub secret: DescribeSecretOutput,
    pub versions: Vec<SecretVersionsListEntry>,
}

impl Seen {
    pub async fn look(aws: &Aws, arn: &str) -> Result<Self> {
        let (secret, versions) = users::look(aws, arn).await?;
        Ok(Self { arn: arn.to_owned(), secret, versions })
    }

    pub fn current(&self) -> Option<Version> {
        users::current_of(&self.arn, &self.secret, &self.versions)
    }

    pub fn version(&self, stage: &str) -> Option<&str> {
        stages::version(&self.secret, stage)
    }

    pub fn rolled(&self) -> Option<&str> {
        stages::tag(&self.secret, ROLLED)
    }

    pub fn rotates(&self) -> bool {
        self.secret.rotation_enabled() == Some(true)
    }

    /// Where its function logs.
    pub fn log_group(&self) -> String {
        let function = self.secret.rotation_lambda_arn().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default();
        format!("/aws/lambda/{function}")
    }

    /// What is pending and not current.
    pub fn pending(&self) -> Option<Since> {
        let id = stages::unfinished(&self.secret)?;
        let since = moment(users::made(&self.versions, id).as_ref())?;
        Some(Since { id: id.to_owned(), since })
    }

    pub fn listed(&self, address: Address, in_file: bool) -> Secret {
        let secret = &self.secret;
        let days = secret.rotation_rules().and_then(|rules| rules.automatically_after_days());
        let dates = |date: Option<&DateTime>| moment(date).filter(|_| self.rotates());
        Secret {
            address,
            name: secret.name().map(str::to_owned),
            in_file,
            description: secret.description().unwrap_or_default().to_owned(),
            rotates_every_days: days.filter(|_| self.rotates()),
            has_value: self.version(CURRENT).is_some(),
            changed: self.current().map(|version| version.since),
            rotated: dates(secret.last_rotated_date()),
            next_rotation: dates(secret.next_rotation_date()),
        }
    }

    /// The whole of it. `reads_log`: the function is ours, whose lines hold no secrets.
    pub async fn status(
        &self,
        aws: &Aws,
        (address, in_file): (Address, bool),
        all: &[User],
        reads_log: bool,
    ) -> Result<Status> {
        let rotation = match self.pending() {
            None => None,
            Some(pending) => Some(self.unfinished(aws, pending, reads_log).await?),
        };
        let current = self.current();
        let services = match &current {
            Some(version) => uses(aws, version, all).await?,
            None => Vec::new(),
        };
        Ok(Status {
            secret: self.listed(address, in_file),
            current: current.map(|Version { id, since, .. }| Since { id, since }),
            previous: self.version(PREVIOUS).map(str::to_owned),
            rotation,
            rolled: self.rolled().map(str::to_owned),
            services,
        })
    }

    async fn unfinished(&self, aws: &Aws, pending: Since, reads_log: bool) -> Result<Pending> {
        let log_group = self.log_group();
        let why = if reads_log {
            let lines = log(aws, &log_group, pending.since).await?;
            failure(lines.iter().map(|(_, line)| line.as_str()), &pending.id)
        } else {
            None
        };
        let late = Timestamp::now().duration_since(pending.since) > LONGEST;
        Ok(Pending { version: pending.id, since: pending.since, stuck: late || why.is_some(), why, log_group })
    }
}

fn moment(date: Option<&DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(date?.secs()).ok()
}

/// Which of these services use a version's secret, and what they run.
pub async fn uses(aws: &Aws, version: &Version, all: &[User]) -> Result<Vec<Use>> {
    let using = all.iter().filter(|user| user.secrets.contains(&version.arn));
    let mut uses = try_join_all(using.map(async |user| {
        let noted = user.tags.get(&version.key()).cloned();
        let (runs, version) = if user.is_idle() {
            (Runs::Idle, None)
        } else if user.is_behind(aws, version).await? {
            (Runs::Behind, noted)
        } else {
            (Runs::Current, Some(version.id.clone()))
        };
        Ok::<_, crate::kind::Failure>(Use { service: user.name().to_owned(), runs, version })
    }))
    .await?;
    uses.sort_by(|one, other| one.service.cmp(&other.service));
    Ok(uses)
}

/// Lines of a function's log, each with its id, without those of Lambda itself. There may be no log yet, or no right to it.
pub async fn log(aws: &Aws, group: &str, since: Timestamp) -> Result<Vec<(String, String)>> {
    let request = aws.logs().filter_log_events().log_group_name(group).start_time(since.as_millisecond()).limit(PAGE);
    let pages = request.into_paginator().send();
    let pages = match aws.call("logs:FilterLogEvents", pages.collect::<Result<Vec<_>, _>>()).await {
        Err(failure) if failure.class == Class::NotFound || failure.code.starts_with("AccessDenied") => Vec::new(),
        other => other?,
    };
    let events = pages.into_iter().flat_map(|page| page.events.unwrap_or_default());
    let line = |text: &str| text.trim_end().to_owned();
    let lines = events.filter_map(|event| Some((event.event_id.clone()?, line(event.message()?))));
    Ok(lines.filter(|(_, line)| !of_lambda(line)).collect())
}

/// Lines that Lambda writes around each call.
fn of_lambda(line: &str) -> bool {
    let starts = ["INIT_START ", "START RequestId", "END RequestId", "REPORT RequestId", "XRAY TraceId"];
    line.is_empty() || starts.iter().any(|start| line.starts_with(start))
}

/// With what the last call for this version has failed, if it has.
pub fn failure<'a>(lines: impl IntoIterator<Item = &'a str>, version: &str) -> Option<String> {
    let (mut ours, mut failed) = (false, None);
    for line in lines {
        if line.contains(", version ") {
            (ours, failed) = (line.contains(version), None);
        } else if line == "done" {
            failed = None;
        } else if ours && (line.starts_with("failed: ") || line.contains("Task timed out")) {
            failed = Some(line.strip_prefix("failed: ").unwrap_or(line).to_owned());
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_of_the_version_counts() {
        let (begun, other) = ("CreateSecret of arn, version a1", "CreateSecret of arn, version b2");
        let cases: [(&[&str], Option<&str>); 6] = [
            (&[], None),
            (&[begun, "failed: no route"], Some("no route")),
            (&[begun, "failed: no route", begun, "done"], None),
            (&[begun, "failed: no route", begun], None),
            (&[other, "failed: no route"], None),
            (
                &[begun, "2026 0b Task timed out after 60.00 seconds"],
                Some("2026 0b Task timed out after 60.00 seconds"),
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(failure(lines.iter().copied(), "a1").as_deref(), expected, "{lines:?}");
        }
        assert!(of_lambda("START RequestId: 0b Version: 1") && !of_lambda("done"));
    }
}
