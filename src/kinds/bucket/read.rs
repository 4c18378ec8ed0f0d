//! A bucket as S3 tells it, part by part. A part that was never set is an error of its own.

use super::{Bucket, arn, domain, lifecycle, protection, region};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Live, Result};
use crate::policy::Policy;
use crate::tags::Tags;

/// The answer, or `None` where the part of the bucket was never set.
pub(super) fn unset<T>(answer: Result<T>, code: &str) -> Result<Option<T>> {
    match answer {
        Err(failure) if failure.code == code => Ok(None),
        answer => answer.map(Some),
    }
}

/// All tags of a bucket.
pub(super) async fn tags(aws: &Aws, name: &str) -> Result<Tags> {
    let answer = aws.call("s3:GetBucketTagging", aws.s3().get_bucket_tagging().bucket(name).send()).await;
    let tags = unset(answer, "NoSuchTagSet")?.map(|answer| answer.tag_set).unwrap_or_default();
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

async fn policy(aws: &Aws, name: &str) -> Result<Option<Policy>> {
    let answer = aws.call("s3:GetBucketPolicy", aws.s3().get_bucket_policy().bucket(name).send()).await;
    let Some(text) = unset(answer, "NoSuchBucketPolicy")?.and_then(|answer| answer.policy) else { return Ok(None) };
    let unreadable = |error| {
        let message = format!("the policy of the bucket {name}: {error}");
        Failure::new("s3:GetBucketPolicy", "UnreadablePolicy", message)
    };
    Policy::from_json(&text).map(Some).map_err(unreadable)
}

/// The bucket with this name, where it is there and carries tags of ours.
pub(super) async fn find(aws: &Aws, name: &str) -> Result<Option<Live<Bucket>>> {
    let parts = async {
        let Some(tagged) = aws.tagged(&tags(aws, name).await?) else { return Ok::<_, Failure>(None) };
        let (public, ownership, (kms_key_arn, bucket_key), versioning, policy, lifecycle) = tokio::try_join!(
            protection::is_public(aws, name),
            protection::ownership(aws, name),
            protection::encryption(aws, name),
            protection::is_versioned(aws, name),
            policy(aws, name),
            lifecycle::read(aws, name),
        )?;
        let spec = Bucket {
            name: Some(name.to_owned()),
            versioning,
            kms_key_arn,
            bucket_key,
            public,
            ownership,
            policy,
            lifecycle,
            tags: tagged.user.clone(),
        };
        let region = region(aws);
        let live = Live::new(tagged, name, spec).output("arn", arn(name, &region)).output("name", name);
        Ok(Some(live.output("domain", domain(name, &region))))
    };
    match parts.await {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        other => other,
    }
}
