//! An S3 bucket, with all that S3 keeps beside it: encryption, versions, lifecycle rules, policy.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, Tag,
    Tagging, VersioningConfiguration,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod empty;
mod lifecycle;
mod protection;
mod read;

pub use lifecycle::{Archive, LifecycleRule, StorageClass};
pub use protection::Ownership;

use super::{adopt, tagging};
use crate::address::{Identity, short_hash};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::policy::Policy;
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 63;
/// The region whose buckets are made without naming it, and where making a bucket twice is no error.
const FIRST_REGION: &str = "us-east-1";
const PAGE: i32 = 1000;

/// An S3 bucket, with all that S3 keeps beside it. Its lifecycle rules and its policy are exclusive: what is not here is
/// removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// The name, unique in the whole world; left out, it is `<project>-<environment>-<name>-<account>-<region>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether S3 keeps what is overwritten or deleted as an old version.
    #[serde(default)]
    pub versioning: bool,
    /// The ARN of the key that encrypts new objects; left out, S3's own keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    /// Whether S3 asks KMS once for many objects, which costs a hundredth. Without a key it means nothing.
    #[serde(default = "yes")]
    pub bucket_key: bool,
    /// Whether a policy or an access list may open the bucket to the public.
    #[serde(default)]
    pub public: bool,
    #[serde(default)]
    pub ownership: Ownership,
    /// Who may do what with the bucket, beside what roles may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// What happens to objects as they grow old.
    #[serde(default)]
    pub lifecycle: Vec<LifecycleRule>,
    #[serde(default)]
    pub tags: Tags,
}

const fn yes() -> bool {
    true
}

impl Kind for Bucket {
    const NAME: &'static str = "bucket";
    const RIGHTS: Rights = Rights {
        read: "s3:GetBucketOwnershipControls s3:GetBucketPolicy s3:GetBucketPublicAccessBlock s3:GetBucketTagging \
            s3:GetBucketVersioning s3:GetEncryptionConfiguration s3:GetLifecycleConfiguration \
            s3:ListAllMyBuckets s3:ListBucket",
        create: "s3:CreateBucket s3:PutBucketTagging",
        update: "s3:DeleteBucketPolicy s3:PutBucketOwnershipControls s3:PutBucketPolicy s3:PutBucketPublicAccessBlock \
            s3:PutBucketTagging s3:PutBucketVersioning s3:PutEncryptionConfiguration \
            s3:PutLifecycleConfiguration",
        delete: "s3:AbortMultipartUpload s3:DeleteBucket s3:DeleteObject s3:DeleteObjectVersion \
            s3:ListBucketMultipartUploads s3:ListBucketVersions",
        on: "s3:{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const LATE: &'static [&'static str] = &["policy"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name", "domain"];
    const UNIQUE: &'static [&'static str] = &["name"];
    const HOLDS_DATA: bool = true;
    // A bucket is emptied by a thousand objects a try.
    const DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);

    fn normalize(&mut self) {
        if self.kms_key_arn.is_none() {
            self.bucket_key = true;
        }
        if let Some(policy) = &mut self.policy {
            policy.normalize();
        }
        self.lifecycle.iter_mut().for_each(LifecycleRule::normalize);
        self.lifecycle.sort();
    }

    fn shell(&self) -> Self {
        Self {
            name: self.name.clone(),
            versioning: false,
            kms_key_arn: None,
            bucket_key: true,
            public: false,
            ownership: Ownership::default(),
            policy: None,
            lifecycle: Vec::new(),
            tags: self.tags.clone(),
        }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.policy.iter().flat_map(|policy| policy.check("policy")).collect();
        if let Some(name) = self.name.as_ref().filter(|name| !is_name(name)) {
            let help = "use 3 to 63 lower-case letters, digits, `-` and single `.`, a letter or digit at both ends";
            problems.push(Problem::new("name", format!("S3 does not take the name `{name}`")).help(help));
        }
        problems.extend(lifecycle::check(&self.lifecycle));
        problems
    }

    /// Only buckets that the account owns are read: of one that others have under our name, S3 says nothing at all.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":s3:::").await? {
            return Ok(Vec::new());
        }
        let index = tagging::index(aws, scope).await?;
        let known = index.iter().filter_map(|(arn, tags)| {
            let name = arn.split_once(":s3:::")?.1;
            scope.ours(Self::NAME, tags).map(|_| name.to_owned())
        });
        let wanted = scope.wanted(Self::NAME).map(|identity| {
            let named = scope.names.get(&identity.address).cloned();
            named.unwrap_or_else(|| generated_name(&identity, &scope.account, &scope.region))
        });
        let candidates: BTreeSet<String> = known.chain(wanted).collect();
        let request = aws.s3().list_buckets().bucket_region(&scope.region).max_buckets(PAGE);
        let pages = request.into_paginator().send();
        let pages = aws.call("s3:ListBuckets", pages.collect::<Result<Vec<_>, _>>()).await?;
        let owned = pages.iter().flat_map(|page| page.buckets()).filter_map(|bucket| bucket.name());
        let owned: Vec<&str> = owned.filter(|name| candidates.contains(*name)).collect();
        let found = try_join_all(owned.into_iter().map(|name| read::find(aws, name))).await?;
        Ok(found.into_iter().flatten().filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone();
        let name = name.unwrap_or_else(|| generated_name(&making.identity, &making.account, &making.region));
        // In the first region S3 answers as if it had made what the account owns already.
        match read::tags(aws, &name).await {
            Err(failure) if failure.class == Class::NotFound => {}
            // It belongs to another account, which the create then says.
            Err(failure) if matches!(failure.code.as_str(), "AccessDenied" | "Forbidden") => {}
            Err(failure) => return Err(failure),
            Ok(_) => return self.adopt(aws, making, &name).await,
        }
        let elsewhere = Some(making.region.as_str()).filter(|region| *region != FIRST_REGION);
        let place = CreateBucketConfiguration::builder()
            .set_location_constraint(elsewhere.map(BucketLocationConstraint::from))
            .set_tags(Some(sdk_tags(&tags::encode(&making.identity, &self.tags))?))
            .build();
        let request = aws.s3().create_bucket().bucket(&name).create_bucket_configuration(place);
        match aws.call("s3:CreateBucket", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if failure.code == "BucketAlreadyOwnedByYou" => self.adopt(aws, making, &name).await,
            Err(failure) if failure.code == "BucketAlreadyExists" => {
                adopt::adopt(self, aws, making, (&name, None), "s3:CreateBucket").await
            }
            Err(failure) => Err(failure),
        }
    }

    /// What protects comes first, and what needs the protection to be off after it.
    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (name, old) = (&live.id, &live.spec);
        if self.public != old.public {
            protection::block_public_access(aws, name, !self.public).await?;
        }
        if self.ownership != old.ownership {
            protection::put_ownership(aws, name, self.ownership).await?;
        }
        if (&self.kms_key_arn, self.bucket_key) != (&old.kms_key_arn, old.bucket_key) {
            protection::put_encryption(aws, name, self.kms_key_arn.as_ref(), self.bucket_key).await?;
        }
        if self.versioning != old.versioning {
            self.put_versioning(aws, name).await?;
        }
        let (mut before, mut after) = (old.lifecycle.clone(), self.lifecycle.clone());
        for rules in [&mut before, &mut after] {
            rules.iter_mut().for_each(LifecycleRule::normalize);
            rules.sort();
        }
        if before != after {
            self.put_lifecycle(aws, name).await?;
        }
        match (&self.policy, &old.policy) {
            (Some(new), Some(old)) if new.same(old) => {}
            (Some(new), _) => {
                let request = aws.s3().put_bucket_policy().bucket(name).policy(new.to_json()?);
                aws.call("s3:PutBucketPolicy", request.send()).await?;
            }
            (None, Some(_)) => {
                aws.call("s3:DeleteBucketPolicy", aws.s3().delete_bucket_policy().bucket(name).send()).await?;
            }
            (None, None) => {}
        }
        let (set, gone) = tags::change(&live.identity, &old.tags, &self.tags);
        retag(aws, name, set, &gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        empty::delete(aws, &live.id).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        aws.call("s3:HeadBucket", aws.s3().head_bucket().bucket(id).send()).await?;
        let region = region(aws);
        Ok(Progress::ready([("arn", arn(id, &region)), ("name", id.clone()), ("domain", domain(id, &region))]))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        retag(aws, &live.id, set.clone(), gone).await
    }
}

impl Bucket {
    /// Takes the bucket over where it is ours already, and else refuses.
    async fn adopt(&self, aws: &Aws, making: &Making, name: &str) -> Result<Id> {
        let found = read::find(aws, name).await?;
        adopt::adopt(self, aws, making, (name, found), "s3:CreateBucket").await
    }

    async fn put_versioning(&self, aws: &Aws, name: &str) -> Result<()> {
        let status = if self.versioning { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
        let status = VersioningConfiguration::builder().status(status).build();
        let request = aws.s3().put_bucket_versioning().bucket(name).versioning_configuration(status);
        aws.call("s3:PutBucketVersioning", request.send()).await.map(drop)
    }

    async fn put_lifecycle(&self, aws: &Aws, name: &str) -> Result<()> {
        if self.lifecycle.is_empty() {
            let request = aws.s3().delete_bucket_lifecycle().bucket(name);
            return aws.call("s3:DeleteBucketLifecycle", request.send()).await.map(drop);
        }
        let rules = self.lifecycle.iter().map(LifecycleRule::to_sdk).collect::<Result<_>>()?;
        let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
        let rules = rules.map_err(|error| invalid("s3:PutBucketLifecycleConfiguration", &error))?;
        let request = aws.s3().put_bucket_lifecycle_configuration().bucket(name).lifecycle_configuration(rules);
        aws.call("s3:PutBucketLifecycleConfiguration", request.send()).await.map(drop)
    }
}

/// The name of a bucket in AWS where the file chooses none: the account and the region make it unique in the world.
#[must_use]
pub fn generated_name(identity: &Identity, account: &str, region: &str) -> String {
    let Identity { project, environment, address } = identity;
    let base = format!("{project}-{environment}-{}", address.name.replace('_', "-"));
    let whole = format!("{base}-{account}-{region}");
    if whole.len() <= NAME_LIMIT {
        return whole;
    }
    let end = format!("-{}-{account}-{region}", short_hash(&identity.aws_name(usize::MAX)));
    let kept: String = base.chars().take(NAME_LIMIT.saturating_sub(end.len())).collect();
    format!("{}{end}", kept.trim_end_matches('-'))
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (3..=NAME_LIMIT).contains(&name.len())
        && name.chars().all(allowed)
        && end(name.chars().next())
        && end(name.chars().last())
        && !name.contains("..")
        && !name.starts_with("xn--")
        && !name.ends_with("-s3alias")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

fn region(aws: &Aws) -> String {
    aws.s3().config().region().map(ToString::to_string).unwrap_or_default()
}

fn arn(name: &str, region: &str) -> String {
    let partition = match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    format!("arn:{partition}:s3:::{name}")
}

/// The host under which the bucket is reached in its region.
fn domain(name: &str, region: &str) -> String {
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("{name}.s3.{region}.amazonaws.com{end}")
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().map_err(|error| invalid("s3:Tag", &error));
    tags.iter().map(tag).collect()
}

fn invalid(operation: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(operation, "InvalidRequest", error.to_string())
}

/// Writes and removes tags. S3 takes only all tags at once, so that those of others are sent along; where CloudFormation's
/// own (`aws:...`) are missing, it refuses.
async fn retag(aws: &Aws, name: &str, set: Tags, gone: &[String]) -> Result<()> {
    if set.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let mut tags = read::tags(aws, name).await?;
    tags.retain(|key, _| !gone.contains(key));
    tags.extend(set);
    let tags = Tagging::builder().set_tag_set(Some(sdk_tags(&tags)?)).build();
    let tags = tags.map_err(|error| invalid("s3:PutBucketTagging", &error))?;
    let request = aws.s3().put_bucket_tagging().bucket(name).tagging(tags);
    aws.call("s3:PutBucketTagging", request.send()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    #[test]
    fn a_generated_name_is_a_name_however_long_its_parts_are() {
        let name = |name: &str, region| {
            let address = Address::new("bucket", name);
            let identity = Identity { project: "acme".into(), environment: "production".into(), address };
            generated_name(&identity, "123456789012", region)
        };
        assert_eq!(name("uploads", "us-east-1"), "acme-production-uploads-123456789012-us-east-1");
        assert_eq!(name("old_uploads", "us-east-1"), "acme-production-old-uploads-123456789012-us-east-1");
        let long = "a-name-of-thirty-two-characters-";
        let names = [name(long, "ap-southeast-2"), name(&format!("{long}b"), "ap-southeast-2")];
        assert!(names.iter().all(|name| is_name(name) && name.ends_with("-123456789012-ap-southeast-2")), "{names:?}");
        assert_ne!(names[0], names[1]);
        for wrong in ["ab", "Upper", "-a-b", "a..b", "10.0.0.1", "xn--bucket", "under_score"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
