//! Who can reach a bucket and its objects: public access, ownership, encryption.

use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectOwnership, OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::invalid;
use super::read::unset;
use crate::aws::Aws;
use crate::kind::Result;
use crate::value::Arg;

/// Whose the objects are that others put into the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// The bucket's owner, and access lists mean nothing.
    #[default]
    BucketOwnerEnforced,
    /// The bucket's owner, where whoever writes says so.
    BucketOwnerPreferred,
    /// Whoever writes.
    ObjectWriter,
}

/// What S3 calls a key that it manages itself within KMS.
const MANAGED_KEY: &str = "alias/aws/s3";

/// Turns all four blocks of public access on, or off.
pub(super) async fn block_public_access(aws: &Aws, name: &str, block: bool) -> Result<()> {
    let blocks = PublicAccessBlockConfiguration::builder().block_public_acls(block).ignore_public_acls(block);
    let blocks = blocks.block_public_policy(block).restrict_public_buckets(block).build();
    let request = aws.s3().put_public_access_block().bucket(name).public_access_block_configuration(blocks);
    aws.call("s3:PutPublicAccessBlock", request.send()).await.map(drop)
}

/// Whether not all four blocks are on.
pub(super) async fn is_public(aws: &Aws, name: &str) -> Result<bool> {
    let answer = aws.call("s3:GetPublicAccessBlock", aws.s3().get_public_access_block().bucket(name).send()).await;
    let answer = unset(answer, "NoSuchPublicAccessBlockConfiguration")?;
    let blocks = answer.and_then(|answer| answer.public_access_block_configuration);
    Ok(blocks.is_none_or(|blocks| {
        let all = [
            blocks.block_public_acls(),
            blocks.ignore_public_acls(),
            blocks.block_public_policy(),
            blocks.restrict_public_buckets(),
        ];
        all.iter().any(|block| *block != Some(true))
    }))
}

pub(super) async fn put_ownership(aws: &Aws, name: &str, ownership: Ownership) -> Result<()> {
    let operation = "s3:PutBucketOwnershipControls";
    let ownership = match ownership {
        Ownership::BucketOwnerEnforced => ObjectOwnership::BucketOwnerEnforced,
        Ownership::BucketOwnerPreferred => ObjectOwnership::BucketOwnerPreferred,
        Ownership::ObjectWriter => ObjectOwnership::ObjectWriter,
    };
    let rule = OwnershipControlsRule::builder().object_ownership(ownership).build();
    let rule = rule.map_err(|error| invalid(operation, &error))?;
    let controls = OwnershipControls::builder().rules(rule).build().map_err(|error| invalid(operation, &error))?;
    let request = aws.s3().put_bucket_ownership_controls().bucket(name).ownership_controls(controls);
    aws.call(operation, request.send()).await.map(drop)
}

/// The ownership of objects. Buckets from before there was a choice have none, which means that writers own them.
pub(super) async fn ownership(aws: &Aws, name: &str) -> Result<Ownership> {
    let request = aws.s3().get_bucket_ownership_controls().bucket(name);
    let answer = aws.call("s3:GetBucketOwnershipControls", request.send()).await;
    let controls = unset(answer, "OwnershipControlsNotFoundError")?.and_then(|answer| answer.ownership_controls);
    let rule = controls.as_ref().and_then(|controls| controls.rules().first());
    Ok(match rule.map(OwnershipControlsRule::object_ownership) {
        Some(ObjectOwnership::BucketOwnerEnforced) => Ownership::BucketOwnerEnforced,
        Some(ObjectOwnership::BucketOwnerPreferred) => Ownership::BucketOwnerPreferred,
        _ => Ownership::ObjectWriter,
    })
}

pub(super) async fn put_encryption(aws: &Aws, name: &str, key: Option<&Arg<String>>, bucket_key: bool) -> Result<()> {
    let operation = "s3:PutBucketEncryption";
    let Some(key) = key else {
        let request = aws.s3().delete_bucket_encryption().bucket(name);
        return aws.call("s3:DeleteBucketEncryption", request.send()).await.map(drop);
    };
    let by = ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::AwsKms);
    let by = by.kms_master_key_id(key.get()?).build().map_err(|error| invalid(operation, &error))?;
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(by);
    let rules = ServerSideEncryptionConfiguration::builder().rules(rule.bucket_key_enabled(bucket_key).build());
    let rules = rules.build().map_err(|error| invalid(operation, &error))?;
    let request = aws.s3().put_bucket_encryption().bucket(name).server_side_encryption_configuration(rules);
    aws.call(operation, request.send()).await.map(drop)
}

/// The key of KMS that encrypts new objects, if it is not S3's own, and whether it is asked once for many objects.
pub(super) async fn encryption(aws: &Aws, name: &str) -> Result<(Option<Arg<String>>, bool)> {
    let answer = aws.call("s3:GetBucketEncryption", aws.s3().get_bucket_encryption().bucket(name).send()).await;
    let answer = unset(answer, "ServerSideEncryptionConfigurationNotFoundError")?;
    let rules = answer.and_then(|answer| answer.server_side_encryption_configuration);
    let Some(rule) = rules.as_ref().and_then(|rules| rules.rules().first()) else { return Ok((None, true)) };
    let Some(by) = rule.apply_server_side_encryption_by_default() else { return Ok((None, true)) };
    let key = by.kms_master_key_id().unwrap_or(MANAGED_KEY);
    let key = match by.sse_algorithm() {
        ServerSideEncryption::Aes256 => return Ok((None, true)),
        ServerSideEncryption::AwsKms => key.to_owned(),
        // What no file can ask for differs from all that it can.
        other => format!("{} {key}", other.as_str()),
    };
    Ok((Some(Arg::Known(key)), rule.bucket_key_enabled().unwrap_or_default()))
}

/// Whether old versions are kept.
pub(super) async fn is_versioned(aws: &Aws, name: &str) -> Result<bool> {
    let answer = aws.call("s3:GetBucketVersioning", aws.s3().get_bucket_versioning().bucket(name).send()).await?;
    Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
}
