//! A repository of container images in ECR, with the rules that expire images and its policy.
//!
//! Who may pull is decided by IAM within the account; the repository's own policy matters to other accounts only.

mod lifecycle;

use std::collections::BTreeSet;

use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageScanningConfiguration, ImageTagMutability,
    ImageTagMutabilityExclusionFilter, ImageTagMutabilityExclusionFilterType, Repository, Tag,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::lifecycle::Lifecycle;
use super::{adopt, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::policy::Policy;
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 256;
/// Repositories that one request describes by name.
const BATCH: usize = 100;

/// A repository of container images in ECR.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcrRepository {
    /// The name in AWS, which may have folders, as in `acme/api`; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether a pushed image is scanned for known vulnerabilities.
    #[serde(default)]
    pub scan_on_push: bool,
    /// Whether a tag stays on the image that got it first.
    #[serde(default)]
    pub immutable: bool,
    /// Tags to which `immutable` does not apply, such as `latest`; `*` stands for any text.
    #[serde(default)]
    pub movable_tags: BTreeSet<String>,
    /// The ARN of the key that encrypts the images; left out, S3's own (AES-256). It cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    /// Which images expire; left out, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Who may use the repository from other accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for EcrRepository {
    const NAME: &'static str = "ecr_repository";
    const RIGHTS: Rights = Rights {
        read: "ecr:DescribeRepositories ecr:GetLifecyclePolicy ecr:GetRepositoryPolicy ecr:ListTagsForResource",
        create: "ecr:CreateRepository ecr:TagResource kms:CreateGrant kms:DescribeKey kms:RetireGrant",
        update: "ecr:DeleteLifecyclePolicy ecr:DeleteRepositoryPolicy ecr:PutImageScanningConfiguration \
            ecr:PutImageTagMutability ecr:PutLifecyclePolicy ecr:SetRepositoryPolicy ecr:TagResource \
            ecr:UntagResource",
        delete: "ecr:DeleteRepository",
        on: "ecr:repository/{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "kms_key_arn"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "url", "name"];
    const UNIQUE: &'static [&'static str] = &["name"];
    const HOLDS_DATA: bool = true;

    fn normalize(&mut self) {
        if let Some(lifecycle) = &mut self.lifecycle {
            lifecycle.normalize();
        }
        if let Some(policy) = &mut self.policy {
            policy.normalize();
        }
    }

    fn shell(&self) -> Self {
        Self { lifecycle: None, policy: None, ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = self.name.as_ref().filter(|name| !is_name(name)) {
            let help = format!(
                "use 2 to {NAME_LIMIT} lower-case letters and digits, with single `.`, `_`, `-` and `/` between them"
            );
            problems.push(Problem::new("name", format!("`{name}` is no name for a repository")).help(help));
        }
        if !self.immutable && !self.movable_tags.is_empty() {
            let problem = Problem::new("movable_tags", "all tags can move, since `immutable` is false");
            problems.push(problem.help("leave `movable_tags` out, or add `immutable: true`"));
        }
        problems.extend(self.lifecycle.iter().flat_map(Lifecycle::check));
        problems.extend(self.policy.iter().flat_map(|policy| policy.check("policy")));
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":ecr:").await? {
            return Ok(Vec::new());
        }
        let index = tagging::index(aws, scope).await?;
        let ours = index.iter().filter(|(_, tags)| scope.ours(Self::NAME, tags).is_some());
        let mut names: BTreeSet<String> = ours.filter_map(|(arn, _)| Some(name_in(arn)?.to_owned())).collect();
        names.extend(
            scope.wanted(Self::NAME).map(|identity| {
                scope.names.get(&identity.address).cloned().unwrap_or_else(|| generated_name(&identity))
            }),
        );
        let repositories = describe(aws, &names).await?;
        let found = try_join_all(repositories.iter().map(|repository| read(aws, repository))).await?;
        Ok(found.into_iter().flatten().filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| generated_name(&making.identity));
        let (mutability, filters) = self.mutability()?;
        let request = aws.ecr().create_repository().repository_name(&name);
        let request = request.set_tags(Some(sdk_tags(&tags::encode(&making.identity, &self.tags))?));
        let request = request.image_tag_mutability(mutability).set_image_tag_mutability_exclusion_filters(filters);
        let request = request.image_scanning_configuration(scanning(self.scan_on_push));
        let request = request.encryption_configuration(self.encryption()?);
        match aws.call("ecr:CreateRepository", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if failure.code == "RepositoryAlreadyExistsException" => {
                let found = find(aws, &name).await?;
                adopt::adopt(self, aws, making, (&name, found), "ecr:CreateRepository").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let name = &live.id;
        if (self.immutable, &self.movable_tags) != (live.spec.immutable, &live.spec.movable_tags) {
            let (mutability, filters) = self.mutability()?;
            let request = aws.ecr().put_image_tag_mutability().repository_name(name).image_tag_mutability(mutability);
            let request = request.set_image_tag_mutability_exclusion_filters(filters);
            aws.call("ecr:PutImageTagMutability", request.send()).await?;
        }
        if self.scan_on_push != live.spec.scan_on_push {
            let request = aws.ecr().put_image_scanning_configuration().repository_name(name);
            let request = request.image_scanning_configuration(scanning(self.scan_on_push));
            aws.call("ecr:PutImageScanningConfiguration", request.send()).await?;
        }
        match &self.lifecycle {
            same if *same == live.spec.lifecycle => {}
            Some(lifecycle) => {
                let request = aws.ecr().put_lifecycle_policy().repository_name(name);
                let request = request.lifecycle_policy_text(lifecycle.to_json()?);
                aws.call("ecr:PutLifecyclePolicy", request.send()).await?;
            }
            None => {
                let request = aws.ecr().delete_lifecycle_policy().repository_name(name);
                gone(aws.call("ecr:DeleteLifecyclePolicy", request.send()).await)?;
            }
        }
        match (&self.policy, &live.spec.policy) {
            (None, None) => {}
            (Some(new), Some(old)) if new.same(old) => {}
            (Some(new), _) => {
                let request = aws.ecr().set_repository_policy().repository_name(name).policy_text(new.to_json()?);
                aws.call("ecr:SetRepositoryPolicy", request.send()).await?;
            }
            (None, Some(_)) => {
                let request = aws.ecr().delete_repository_policy().repository_name(name);
                gone(aws.call("ecr:DeleteRepositoryPolicy", request.send()).await)?;
            }
        }
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        write_tags(aws, live, &set, gone).await
    }

    /// Deletes the repository with its images: whoever asked for that has named it.
    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.ecr().delete_repository().repository_name(&live.id).force(true);
        aws.call("ecr:DeleteRepository", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(look(aws, id).await?.map_or(Progress::Gone, |repository| {
            let outputs = outputs(&repository);
            Progress::ready(outputs.map(|(name, value)| (name, value.to_owned())))
        }))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, live, set, gone.to_vec()).await
    }
}

type Filters = Option<Vec<ImageTagMutabilityExclusionFilter>>;

impl EcrRepository {
    fn mutability(&self) -> Result<(ImageTagMutability, Filters)> {
        if !self.immutable {
            return Ok((ImageTagMutability::Mutable, None));
        }
        if self.movable_tags.is_empty() {
            return Ok((ImageTagMutability::Immutable, None));
        }
        let filter = |tag: &String| {
            let filter = ImageTagMutabilityExclusionFilter::builder().filter(tag);
            filter.filter_type(ImageTagMutabilityExclusionFilterType::Wildcard).build().map_err(|error| invalid(&error))
        };
        let filters = self.movable_tags.iter().map(filter).collect::<Result<Vec<_>>>()?;
        Ok((ImageTagMutability::ImmutableWithExclusion, Some(filters)))
    }

    fn encryption(&self) -> Result<EncryptionConfiguration> {
        let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?.cloned();
        let kind = if key.is_some() { EncryptionType::Kms } else { EncryptionType::Aes256 };
        let encryption = EncryptionConfiguration::builder().encryption_type(kind).set_kms_key(key).build();
        encryption.map_err(|error| invalid(&error))
    }
}

fn invalid(error: &impl ToString) -> Failure {
    Failure::new("ecr:CreateRepository", "InvalidRequest", error.to_string())
}

fn scanning(on_push: bool) -> ImageScanningConfiguration {
    ImageScanningConfiguration::builder().scan_on_push(on_push).build()
}

fn generated_name(identity: &Identity) -> String {
    identity.aws_name(NAME_LIMIT)
}

/// Letters and digits, with separators between them. A separator within a folder is `.`, any `-`, `_` or `__`.
fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let folder = |folder: &str| {
        let inner = folder.starts_with(word) && folder.ends_with(word);
        inner && folder.chars().all(|c| word(c) || "._-".contains(c)) && !folder.contains("..")
    };
    (2..=NAME_LIMIT).contains(&name.len()) && name.split('/').all(folder)
}

/// The name of a repository in its ARN, or `None` where the ARN is that of something else.
fn name_in(arn: &str) -> Option<&str> {
    let (service, rest) = arn.strip_prefix("arn:")?.split_once(':')?.1.split_once(':')?;
    let (_, name) = rest.split_once(":repository/").filter(|_| service == "ecr")?;
    Some(name)
}

/// Those of the repositories that exist, with few calls.
async fn describe(aws: &Aws, names: &BTreeSet<String>) -> Result<Vec<Repository>> {
    let names: Vec<&String> = names.iter().collect();
    let batches = names.chunks(BATCH).map(|batch| async move {
        let names = batch.iter().map(|name| (*name).clone()).collect();
        let request = aws.ecr().describe_repositories().set_repository_names(Some(names));
        match aws.call("ecr:DescribeRepositories", request.send()).await {
            Ok(answer) => Ok(answer.repositories.unwrap_or_default()),
            // One that is gone must not hide the others.
            Err(failure) if failure.class == Class::NotFound => {
                let found = try_join_all(batch.iter().map(|name| look(aws, name))).await?;
                Ok(found.into_iter().flatten().collect())
            }
            Err(failure) => Err(failure),
        }
    });
    Ok(try_join_all(batches).await?.into_iter().flatten().collect())
}

async fn look(aws: &Aws, name: &str) -> Result<Option<Repository>> {
    let request = aws.ecr().describe_repositories().repository_names(name);
    let answer = found(aws.call("ecr:DescribeRepositories", request.send()).await)?;
    Ok(answer.and_then(|answer| answer.repositories.unwrap_or_default().into_iter().next()))
}

async fn find(aws: &Aws, name: &str) -> Result<Option<Live<EcrRepository>>> {
    match look(aws, name).await? {
        Some(repository) => read(aws, &repository).await,
        None => Ok(None),
    }
}

/// The repository as ours, where it exists still and its tags say so.
async fn read(aws: &Aws, repository: &Repository) -> Result<Option<Live<EcrRepository>>> {
    let name = repository.repository_name().unwrap_or_default();
    let request = aws.ecr().list_tags_for_resource().resource_arn(repository.repository_arn().unwrap_or_default());
    let Some(answer) = found(aws.call("ecr:ListTagsForResource", request.send()).await)? else { return Ok(None) };
    let tags: Tags = answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let (lifecycle, policy) = tokio::try_join!(lifecycle(aws, name), policy(aws, name))?;
    let immutable = matches!(
        repository.image_tag_mutability(),
        Some(ImageTagMutability::Immutable | ImageTagMutability::ImmutableWithExclusion)
    );
    let filters = repository.image_tag_mutability_exclusion_filters().iter();
    let encryption = repository.encryption_configuration();
    let spec = EcrRepository {
        name: Some(name.to_owned()),
        scan_on_push: repository.image_scanning_configuration().is_some_and(ImageScanningConfiguration::scan_on_push),
        immutable,
        movable_tags: filters.map(|filter| filter.filter().to_owned()).collect(),
        kms_key_arn: encryption.and_then(EncryptionConfiguration::kms_key).map(Arg::from),
        lifecycle,
        policy,
        tags: tagged.user.clone(),
    };
    let live = Live::new(tagged, name, spec);
    Ok(Some(outputs(repository).into_iter().fold(live, |live, (name, value)| live.output(name, value))))
}

fn outputs(repository: &Repository) -> [(&'static str, &str); 3] {
    [
        ("arn", repository.repository_arn().unwrap_or_default()),
        ("url", repository.repository_uri().unwrap_or_default()),
        ("name", repository.repository_name().unwrap_or_default()),
    ]
}

async fn lifecycle(aws: &Aws, name: &str) -> Result<Option<Lifecycle>> {
    let request = aws.ecr().get_lifecycle_policy().repository_name(name);
    let answer = found(aws.call("ecr:GetLifecyclePolicy", request.send()).await)?;
    let Some(text) = answer.and_then(|answer| answer.lifecycle_policy_text) else { return Ok(None) };
    let mut lifecycle = Lifecycle(serde_json::from_str(&text).map_err(|error| unreadable(name, &error))?);
    lifecycle.normalize();
    Ok(Some(lifecycle))
}

async fn policy(aws: &Aws, name: &str) -> Result<Option<Policy>> {
    let request = aws.ecr().get_repository_policy().repository_name(name);
    let answer = found(aws.call("ecr:GetRepositoryPolicy", request.send()).await)?;
    let text = answer.and_then(|answer| answer.policy_text);
    text.map(|text| Policy::from_json(&text).map_err(|error| unreadable(name, &error))).transpose()
}

fn unreadable(name: &str, error: &serde_json::Error) -> Failure {
    Failure::new("ecr:Get", "UnreadablePolicy", format!("a policy of the repository {name}: {error}"))
}

/// What is not there is `None`.
fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

/// What is not there is gone.
fn gone<T>(answer: Result<T>) -> Result<()> {
    found(answer).map(drop)
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build().map_err(|error| invalid(&error)))
        .collect()
}

async fn write_tags(aws: &Aws, live: &Live<EcrRepository>, set: &Tags, gone: Vec<String>) -> Result<()> {
    let Some(arn) = live.outputs.get("arn") else { return Ok(()) };
    if !set.is_empty() {
        let request = aws.ecr().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)?));
        aws.call("ecr:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.ecr().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        aws.call("ecr:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories() {
        for name in ["acme/api", "a1", "team/app__x/api-v1.2", "web"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["a", "Acme/api", "acme//api", "acme/-api", "acme/api.", "acme api", "/api"] {
            assert!(!is_name(name), "{name}");
        }
        assert_eq!(name_in("arn:aws:ecr:us-east-1:123456789012:repository/acme/api"), Some("acme/api"));
        assert_eq!(name_in("arn:aws:ecs:us-east-1:123456789012:repository/acme/api"), None);
    }
}
