//! Which versions of a secret hold which stages, and what is noted on it. Secrets Manager tells both with no value.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;

use super::{CURRENT, PENDING};

/// The version that holds a stage.
#[must_use]
pub fn version<'a>(secret: &'a DescribeSecretOutput, stage: &str) -> Option<&'a str> {
    let mut versions = secret.version_ids_to_stages.iter().flatten();
    let holds = |(_, stages): &(&String, &Vec<String>)| stages.iter().any(|one| one == stage);
    versions.find(holds).map(|(version, _)| version.as_str())
}

/// The version that a rotation has begun and not made current.
#[must_use]
pub fn unfinished(secret: &DescribeSecretOutput) -> Option<&str> {
    version(secret, PENDING).filter(|pending| version(secret, CURRENT) != Some(pending))
}

/// What a tag of a secret says.
#[must_use]
pub fn tag<'a>(secret: &'a DescribeSecretOutput, key: &str) -> Option<&'a str> {
    secret.tags().iter().find(|tag| tag.key() == Some(key))?.value()
}
