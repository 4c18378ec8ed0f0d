//! Which services use a secret, and whether their tasks have its current value: ECS hands it over when a task starts.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::Service;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::SecretVersionsListEntry;
use aws_smithy_types::DateTime;
use futures::future::try_join_all;
use jiff::Timestamp;

use super::{CURRENT, RUNS, stages};
use crate::address::{ADDRESS, Address};
use crate::aws::Aws;
use crate::kind::{Failure, Result};
use crate::kinds::{ecs, ecs_services, secret};
use crate::tags::Tags;

/// The longest key of a tag.
const LONGEST_KEY: usize = 128;
const COLOURS: [&str; 2] = ["-blue", "-green"];

/// A service of ECS.
#[derive(Clone, Debug)]
pub struct User {
    pub ecs: Service,
    pub tags: Tags,
    /// The ARNs of the secrets that its tasks start with.
    pub secrets: BTreeSet<String>,
}

/// The current version of a secret.
#[derive(Clone, Debug)]
pub struct Version {
    pub arn: String,
    pub id: String,
    /// Since when it is current.
    pub since: Timestamp,
    /// The secret's name in the file, or in AWS.
    pub name: String,
    pub tags: Tags,
}

impl Version {
    /// The key of the tag of a service that holds the version which it runs.
    pub fn key(&self) -> String {
        let room = LONGEST_KEY - RUNS.len();
        let start = self.name.len().saturating_sub(room);
        format!("{RUNS}{}", &self.name[start..])
    }
}

impl User {
    pub fn name(&self) -> &str {
        self.ecs.service_name().unwrap_or_default()
    }

    /// The service in the file, of which this may be one colour.
    pub fn of(&self) -> String {
        let name = self.address().map_or_else(|| self.name().to_owned(), |address| address.name);
        COLOURS.iter().find_map(|colour| name.strip_suffix(colour)).map_or(name.clone(), str::to_owned)
    }

    fn address(&self) -> Option<Address> {
        self.tags.get(ADDRESS)?.parse().ok()
    }

    /// Whether it has no tasks, so that its next ones start with what is current then.
    pub fn is_idle(&self) -> bool {
        self.ecs.desired_count() == 0 && self.ecs.running_count() == 0
    }

    /// Whether a task has started before this version was current.
    pub async fn is_behind(&self, aws: &Aws, version: &Version) -> Result<bool> {
        if self.is_idle() || self.tags.get(&version.key()) == Some(&version.id) {
            return Ok(false);
        }
        let cluster = self.ecs.cluster_arn().unwrap_or_default();
        let request = aws.ecs().list_tasks().cluster(cluster).service_name(self.name());
        let arns = aws.call("ecs:ListTasks", request.send()).await?.task_arns.unwrap_or_default();
        if arns.is_empty() {
            return Ok(true);
        }
        let request = aws.ecs().describe_tasks().cluster(cluster).set_tasks(Some(arns));
        let tasks = aws.call("ecs:DescribeTasks", request.send()).await?.tasks.unwrap_or_default();
        // Secrets are fetched some time after a task was created.
        let since = version.since.as_second();
        Ok(tasks.iter().any(|task| task.created_at().is_none_or(|created| created.secs() <= since)))
    }
}

/// All services of a cluster with the secrets that they start with.
pub async fn users(aws: &Aws, cluster: &str) -> Result<Vec<User>> {
    let services = ecs_services::services(aws, cluster).await?;
    let definitions: BTreeSet<String> = services.iter().filter_map(|one| one.task_definition.clone()).collect();
    let reads = definitions.into_iter().map(async |definition| {
        let secrets = secrets_of(aws, &definition).await?;
        Ok::<_, Failure>((definition, secrets))
    });
    let secrets: BTreeMap<String, BTreeSet<String>> = try_join_all(reads).await?.into_iter().collect();
    let user = |ecs: Service| User {
        tags: ecs::read_tags(ecs.tags()),
        secrets: ecs.task_definition().and_then(|one| secrets.get(one)).cloned().unwrap_or_default(),
        ecs,
    };
    Ok(services.into_iter().filter(|service| service.status() == Some("ACTIVE")).map(user).collect())
}

async fn secrets_of(aws: &Aws, definition: &str) -> Result<BTreeSet<String>> {
    let request = aws.ecs().describe_task_definition().task_definition(definition);
    let answer = aws.call("ecs:DescribeTaskDefinition", request.send()).await?;
    let containers = answer.task_definition().map(|one| one.container_definitions()).unwrap_or_default();
    let values = containers.iter().flat_map(|container| container.secrets()).map(|secret| secret.value_from());
    Ok(values.filter(|value| value.contains(":secretsmanager:")).map(secret::whole_arn).collect())
}

/// The current version of a secret; nothing where it has no value.
pub async fn current(aws: &Aws, arn: &str) -> Result<Option<Version>> {
    let (secret, versions) = look(aws, arn).await?;
    Ok(current_of(arn, &secret, &versions))
}

/// What Secrets Manager tells of a secret, and its versions. Neither holds a value.
pub async fn look(aws: &Aws, arn: &str) -> Result<(DescribeSecretOutput, Vec<SecretVersionsListEntry>)> {
    let describe = aws.secrets().describe_secret().secret_id(arn);
    let list = aws.secrets().list_secret_version_ids().secret_id(arn).into_paginator();
    let list = list.send().collect::<Result<Vec<_>, _>>();
    let (secret, pages) = tokio::try_join!(
        aws.call("secretsmanager:DescribeSecret", describe.send()),
        aws.call("secretsmanager:ListSecretVersionIds", list),
    )?;
    Ok((secret, pages.into_iter().flat_map(|page| page.versions.unwrap_or_default()).collect()))
}

/// When a version was made.
pub fn made(versions: &[SecretVersionsListEntry], id: &str) -> Option<DateTime> {
    versions.iter().find(|version| version.version_id() == Some(id))?.created_date().copied()
}

/// The current version, of what [`look`] has seen.
pub fn current_of(arn: &str, secret: &DescribeSecretOutput, versions: &[SecretVersionsListEntry]) -> Option<Version> {
    let id = stages::version(secret, CURRENT)?;
    let tags: Tags =
        secret.tags().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned()))).collect();
    // A version of a rotation is made first and current later.
    let since = made(versions, id)?.secs().max(secret.last_rotated_date().map_or(0, DateTime::secs));
    let address = tags.get(ADDRESS).and_then(|address| address.parse::<Address>().ok());
    Some(Version {
        arn: arn.to_owned(),
        id: id.to_owned(),
        since: Timestamp::from_second(since).unwrap_or_default(),
        name: address.map_or_else(|| secret.name().unwrap_or_default().to_owned(), |address| address.name),
        tags,
    })
}
