//! One schedule of a group: when, and which task.

use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::types::{
    AssignPublicIp, AwsVpcConfiguration, EcsParameters, LaunchType, NetworkConfiguration, PropagateTags, RetryPolicy,
    ScheduleState, Target,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::invalid;
use crate::kind::{Problem, Result};
use crate::kinds::task_definition::Owner;
use crate::value::Arg;

/// Tries that AWS makes unless told otherwise, and the most.
const MOST_RETRIES: u32 = 185;
/// How long AWS goes on trying to start a task, in seconds.
const TRIES_FOR: i32 = 86_400;

/// Starts a task on Fargate at its times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// When: `cron(0 3 * * ? *)`, `rate(1 hour)` or `at(2030-01-01T00:00:00)`.
    pub expression: String,
    /// The time zone of `cron` and `at`, as in `Europe/Berlin`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Whether it starts anything.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Who enables it once it exists.
    #[serde(default)]
    pub owner: Owner,
    pub cluster_arn: Arg<String>,
    /// What runs. Without a revision at its end, the latest.
    pub task_definition_arn: Arg<String>,
    /// The role that starts the task: `scheduler.amazonaws.com` must be allowed to take it on.
    pub role_arn: Arg<String>,
    pub subnets: Vec<Arg<String>>,
    pub security_groups: Vec<Arg<String>>,
    #[serde(default)]
    pub assign_public_ip: bool,
    /// How often a start that failed is tried again. What the task itself does is not looked at.
    #[serde(default = "most_retries")]
    pub retries: u32,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

fn most_retries() -> u32 {
    MOST_RETRIES
}

impl Schedule {
    pub(super) fn normalize(&mut self) {
        self.subnets.sort();
        self.subnets.dedup();
        self.security_groups.sort();
        self.security_groups.dedup();
    }

    /// Whether AWS would see no difference. Who owns it is a tag of the group.
    pub(super) fn same(&self, other: &Self) -> bool {
        Self { owner: Owner::default(), ..self.clone() } == Self { owner: Owner::default(), ..other.clone() }
    }

    pub(super) fn target(&self) -> Result<Target> {
        let texts = |args: &[Arg<String>]| args.iter().map(|arg| Ok(arg.get()?.clone())).collect::<Result<Vec<_>>>();
        let public = if self.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(texts(&self.subnets)?))
            .set_security_groups(Some(texts(&self.security_groups)?))
            .assign_public_ip(public)
            .build()
            .map_err(|error| invalid(&error))?;
        let parameters = EcsParameters::builder()
            .task_definition_arn(self.task_definition_arn.get()?)
            .task_count(1)
            .launch_type(LaunchType::Fargate)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .propagate_tags(PropagateTags::TaskDefinition)
            .enable_ecs_managed_tags(true)
            .build()
            .map_err(|error| invalid(&error))?;
        let retries = i32::try_from(self.retries).unwrap_or(i32::MAX);
        let retry = RetryPolicy::builder().maximum_retry_attempts(retries).maximum_event_age_in_seconds(TRIES_FOR);
        Target::builder()
            .arn(self.cluster_arn.get()?)
            .role_arn(self.role_arn.get()?)
            .ecs_parameters(parameters)
            .retry_policy(retry.build())
            .build()
            .map_err(|error| invalid(&error))
    }

    pub(super) fn read(found: &GetScheduleOutput, owner: Owner) -> Self {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let args = |texts: &[String]| texts.iter().map(|text| Arg::from(text.as_str())).collect();
        let target = found.target();
        let task = target.and_then(|target| target.ecs_parameters());
        let network = task.and_then(|task| task.network_configuration());
        let network = network.and_then(|network| network.awsvpc_configuration());
        let retries = target.and_then(|target| target.retry_policy()).and_then(|retry| retry.maximum_retry_attempts());
        Self {
            expression: text(found.schedule_expression()),
            timezone: found.schedule_expression_timezone().map_or_else(utc, str::to_owned),
            enabled: found.state() != Some(&ScheduleState::Disabled),
            owner,
            cluster_arn: text(target.map(Target::arn)).into(),
            task_definition_arn: text(task.map(EcsParameters::task_definition_arn)).into(),
            role_arn: text(target.map(Target::role_arn)).into(),
            subnets: args(network.map(AwsVpcConfiguration::subnets).unwrap_or_default()),
            security_groups: args(network.map(AwsVpcConfiguration::security_groups).unwrap_or_default()),
            assign_public_ip: network.and_then(|network| network.assign_public_ip()) == Some(&AssignPublicIp::Enabled),
            retries: retries.and_then(|retries| u32::try_from(retries).ok()).unwrap_or(MOST_RETRIES),
        }
    }

    pub(super) fn check(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: String, help: &str| {
            problems.push(Problem::new(&format!("{path}.{field}"), message).help(help));
        };
        let begins = ["cron(", "rate(", "at("].iter().any(|start| self.expression.starts_with(start));
        if !begins || !self.expression.ends_with(')') {
            let help = "write `cron(0 3 * * ? *)`, `rate(1 hour)` or `at(2030-01-01T00:00:00)`";
            problem("expression", format!("`{}` is no schedule", self.expression), help);
        }
        if self.retries > MOST_RETRIES {
            problem("retries", format!("AWS tries {MOST_RETRIES} times again at most"), "write a smaller number");
        }
        for (field, list, most) in [("subnets", &self.subnets, 16), ("security_groups", &self.security_groups, 5)] {
            if list.is_empty() || list.len() > most {
                problem(field, format!("a task needs 1 to {most} {}", field.replace('_', " ")), "name where it runs");
            }
        }
        problems
    }
}
