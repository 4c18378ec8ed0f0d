//! How the value of a secret changes by itself: a function that Secrets Manager calls.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::RotationRulesType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::kind::{Class, Problem, Result};
use crate::rotation::{PENDING, stages};
use crate::value::Arg;

const MOST_DAYS: u32 = 1000;

/// A function that makes new values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The ARN of the function that Secrets Manager calls. It must let `secretsmanager.amazonaws.com` do so.
    pub function_arn: Arg<String>,
    /// The days between two rotations, from 1 to 1000.
    pub days: u32,
}

impl Rotation {
    pub fn check(&self) -> Option<Problem> {
        let wrong = !(1..=MOST_DAYS).contains(&self.days);
        let message = format!("{} days is not between 1 and {MOST_DAYS}", self.days);
        wrong.then(|| Problem::new("rotation.days", message).help(format!("write {}", self.days.clamp(1, MOST_DAYS))))
    }

    /// What a secret tells. One that rotated once keeps its function and its rules.
    pub fn read(secret: &DescribeSecretOutput) -> Option<Self> {
        let function_arn = secret.rotation_lambda_arn().filter(|_| secret.rotation_enabled() == Some(true))?.into();
        let days = secret.rotation_rules().and_then(RotationRulesType::automatically_after_days);
        Some(Self { function_arn, days: days.and_then(|days| days.try_into().ok()).unwrap_or_default() })
    }
}

/// Whether the first rotation is not done: until then, its function may not have made what the value speaks of.
pub fn begins(secret: &DescribeSecretOutput) -> bool {
    let never = secret.rotation_enabled() == Some(true) && secret.last_rotated_date().is_none();
    never && stages::unfinished(secret).is_some()
}

pub fn wait(secret: &DescribeSecretOutput) -> String {
    let function = secret.rotation_lambda_arn().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default();
    format!("the first rotation: the function {function} logs what it does")
}

/// Brings the rotation from `old` to `new`. One that begins makes a new value at once; other days do not.
pub async fn change(aws: &Aws, id: &str, old: Option<&Rotation>, new: Option<&Rotation>) -> Result<()> {
    let Some(new) = new.filter(|new| Some(*new) != old) else {
        if old.is_some() && new.is_none() {
            let request = aws.secrets().cancel_rotate_secret().secret_id(id);
            aws.call("secretsmanager:CancelRotateSecret", request.send()).await?;
            return give_up(aws, id).await;
        }
        return Ok(());
    };
    let begins = old.is_none();
    if begins {
        give_up(aws, id).await?;
    }
    let rules = RotationRulesType::builder().automatically_after_days(new.days.into()).build();
    let request = aws.secrets().rotate_secret().secret_id(id).rotation_lambda_arn(new.function_arn.get()?);
    let request = request.rotation_rules(rules).rotate_immediately(begins);
    match aws.call("secretsmanager:RotateSecret", request.send()).await {
        // The function has been allowed to be called a moment ago, or is about to be.
        Err(failure) if failure.message.contains("cannot invoke the specified Lambda function") => {
            Err(failure.class(Class::Busy))
        }
        answer => answer.map(drop),
    }
}

/// Takes its stage from a version that a rotation has left behind, which would be in the way of the next one.
async fn give_up(aws: &Aws, id: &str) -> Result<()> {
    let Some(secret) = super::look(aws, id).await? else { return Ok(()) };
    let Some(version) = stages::unfinished(&secret) else { return Ok(()) };
    let request = aws.secrets().update_secret_version_stage().secret_id(id).version_stage(PENDING);
    let request = request.remove_from_version_id(version);
    aws.call("secretsmanager:UpdateSecretVersionStage", request.send()).await.map(drop)
}
