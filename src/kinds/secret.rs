//! A secret of Secrets Manager.
//!
//! Its first value is made here, with random numbers of the operating system, and goes to AWS in the request that makes
//! the secret. After that the value belongs to rotation and to people: it is never read, compared or written again.

mod rotation;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, Tag};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use rotation::Rotation;
pub use value::{Charset, Generate, Part};

use super::{adopt, deletion, tagging};
use crate::address::{Address, Identity, PROJECT, hex};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::policy::Policy;
use crate::rights::Rights;
use crate::rotation::{CURRENT, stages};
use crate::tags::{self, Tags};
use crate::value::{Arg, Outputs};

const NAME_LIMIT: usize = 512;
/// What a generated name ends in that would look like an ARN's random end otherwise.
const NAME_END: &str = "-value";
/// The alias of the key that encrypts where no other is named.
const DEFAULT_KEY: &str = "alias/aws/secretsmanager";
const PAGE: i32 = 100;

/// A secret of Secrets Manager. Without `generate` and `json` it has no value until somebody sets one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub description: String,
    /// The ARN of the key that encrypts the value; left out, AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    /// A random text as the first value. A change does not touch a secret that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    /// A JSON object as the first value, some of it random. A change does not touch a secret that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<BTreeMap<String, Part>>,
    /// How many days a deleted secret can be restored, from 7 to 30.
    #[serde(default = "deletion::default_days")]
    pub recovery_window_days: u32,
    /// Who may use the secret beside those whom IAM policies allow to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// How the value changes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for Secret {
    const NAME: &'static str = "secret";
    const RIGHTS: Rights = Rights {
        read: "secretsmanager:DescribeSecret secretsmanager:GetResourcePolicy secretsmanager:ListSecrets",
        create: "secretsmanager:CreateSecret secretsmanager:RestoreSecret secretsmanager:TagResource kms:Decrypt \
            kms:GenerateDataKey",
        update: "secretsmanager:CancelRotateSecret secretsmanager:DeleteResourcePolicy \
            secretsmanager:PutResourcePolicy secretsmanager:RestoreSecret secretsmanager:RotateSecret \
            secretsmanager:TagResource secretsmanager:UntagResource secretsmanager:UpdateSecret \
            secretsmanager:UpdateSecretVersionStage lambda:InvokeFunction kms:Decrypt kms:GenerateDataKey",
        delete: "secretsmanager:DeleteSecret",
        on: "secretsmanager:secret:{name}-*",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name", "generate", "json"];
    const LATE: &'static [&'static str] = &["policy", "rotation"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const UNIQUE: &'static [&'static str] = &["name"];
    const HOLDS_DATA: bool = true;

    fn normalize(&mut self) {
        self.policy.iter_mut().for_each(Policy::normalize);
    }

    /// The value of a secret that exists is not ours to change. A secret with another name is another secret.
    fn take_over(&mut self, live: &Self) {
        if self.name.is_none() || self.name == live.name {
            self.generate = None;
            self.json = None;
        }
    }

    fn shell(&self) -> Self {
        Self { policy: None, rotation: None, ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = deletion::check("recovery_window_days", self.recovery_window_days);
        problems.extend(self.name.as_deref().and_then(check_name));
        problems.extend(self.policy.iter().flat_map(|policy| policy.check("policy")));
        problems.extend(self.rotation.iter().filter_map(Rotation::check));
        problems.extend(self.generate.iter().flat_map(|generate| generate.check("generate")));
        for (key, part) in self.json.iter().flatten() {
            if let Part::Generate(generate) = part {
                problems.extend(generate.check(&format!("json.{key}")));
            }
        }
        if self.generate.is_some() && self.json.is_some() {
            let problem = Problem::new("json", "a secret has one value, and `generate` makes one too");
            problems.push(problem.help("keep one of the two"));
        }
        problems
    }

    /// The list may be stale for five minutes and so may the index: both name candidates, as the file does.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let (index, listed) = tokio::try_join!(tagging::index(aws, scope), listed(aws, scope))?;
        let indexed = index.iter().filter(|(arn, _)| arn.contains(":secretsmanager:"));
        let ours = indexed.chain(&listed).filter(|(_, tags)| scope.ours(Self::NAME, tags).is_some());
        let mut candidates: BTreeSet<String> = ours.map(|(arn, _)| arn.clone()).collect();
        let known: BTreeSet<String> = candidates.iter().filter_map(|arn| name_in(arn).map(str::to_owned)).collect();
        let wanted = scope.wanted(Self::NAME).map(|identity| name_of(scope, &identity));
        candidates.extend(wanted.filter(|name| !known.contains(name)));
        let found = try_join_all(candidates.iter().map(|candidate| find(aws, candidate))).await?.into_iter().flatten();
        let found: Vec<_> = found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect();
        let alive = found.iter().filter(|live| live.health != Health::Restorable);
        let alive: BTreeSet<Address> = alive.map(|live| live.identity.address.clone()).collect();
        // One that was deleted under another name is not the one that is wanted.
        let restorable = |live: &Live<Self>| {
            !alive.contains(&live.identity.address) && live.spec.name == Some(name_of(scope, &live.identity))
        };
        Ok(found.into_iter().filter(|live| live.health != Health::Restorable || restorable(live)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| generated_name(&making.identity));
        // The token becomes the version's id. Secrets Manager wants at least 32 characters.
        let request = aws.secrets().create_secret().name(&name);
        let request = request.client_request_token(hex(&Sha256::digest(making.token.as_bytes())));
        let request = request.description(&self.description).set_secret_string(self.first_value()?);
        let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?.cloned();
        let tags = deletion::encode(&making.identity, &self.tags, self.recovery_window_days);
        let request = request.set_kms_key_id(key).set_tags(Some(sdk_tags(&tags)));
        let failure = match aws.call("secretsmanager:CreateSecret", request.send()).await {
            Ok(answer) => {
                let no_id = || Failure::new("secretsmanager:CreateSecret", "NoId", "the answer holds no ARN");
                return answer.arn.ok_or_else(no_id);
            }
            Err(failure) => failure,
        };
        let deleted = failure.code == "InvalidRequestException" && failure.class == Class::Busy;
        if !deleted && failure.code != "ResourceExistsException" {
            return Err(failure);
        }
        match look(aws, &name).await? {
            // Deleted for good a moment ago: the name is free soon.
            None => Err(failure.class(Class::Busy)),
            Some(_) => {
                let found = find(aws, &name).await?;
                adopt::adopt(self, aws, making, (&name, found), "secretsmanager:CreateSecret").await
            }
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let id = &live.id;
        if live.health == Health::Restorable {
            restore(aws, id).await?;
        }
        let description = (self.description != live.spec.description).then(|| self.description.clone());
        let key = match &self.kms_key_arn {
            same if *same == live.spec.kms_key_arn => None,
            Some(key) => Some(key.get()?.clone()),
            None => Some(DEFAULT_KEY.to_owned()),
        };
        if description.is_some() || key.is_some() {
            let request = aws.secrets().update_secret().secret_id(id);
            let request = request.set_description(description).set_kms_key_id(key);
            aws.call("secretsmanager:UpdateSecret", request.send()).await?;
        }
        match (&self.policy, &live.spec.policy) {
            (None, None) => {}
            (Some(new), Some(old)) if new.same(old) => {}
            (Some(new), _) => {
                let request = aws.secrets().put_resource_policy().secret_id(id).resource_policy(new.to_json()?);
                let request = request.block_public_policy(true);
                aws.call("secretsmanager:PutResourcePolicy", request.send()).await?;
            }
            (None, Some(_)) => {
                let request = aws.secrets().delete_resource_policy().secret_id(id);
                aws.call("secretsmanager:DeleteResourcePolicy", request.send()).await?;
            }
        }
        rotation::change(aws, id, live.spec.rotation.as_ref(), self.rotation.as_ref()).await?;
        let tags = |spec: &Self| deletion::encode(&live.identity, &spec.tags, spec.recovery_window_days);
        retag(aws, id, &tags(&live.spec), &tags(self)).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.secrets().delete_secret().secret_id(&live.id);
        let request = request.recovery_window_in_days(live.spec.recovery_window_days.into());
        match aws.call("secretsmanager:DeleteSecret", request.send()).await {
            // What is deleted already cannot be deleted again.
            Err(failure) if failure.code == "InvalidRequestException" => match Self::poll(aws, &live.id).await? {
                Progress::Gone => Ok(()),
                _ => Err(failure),
            },
            answer => answer.map(drop),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(match look(aws, id).await?.filter(|secret| secret.deleted_date().is_none()) {
            None => Progress::Gone,
            Some(secret) if rotation::begins(&secret) => Progress::waiting(rotation::wait(&secret)),
            Some(secret) => Progress::Ready(outputs(&secret)),
        })
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set, gone).await
    }
}

impl Secret {
    /// A new first value, which goes nowhere but into the request.
    fn first_value(&self) -> Result<Option<String>> {
        match (&self.generate, &self.json) {
            (Some(generate), _) => generate.random().map(Some),
            (None, Some(parts)) => value::object(parts).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// The name where the file gives none. Of a name that ends in `-` and six characters AWS warns, because a secret's ARN
/// ends so: `acme-prod-tokens` could be found under the ARN of `acme-prod`.
fn generated_name(identity: &Identity) -> String {
    let name = identity.aws_name(NAME_LIMIT - NAME_END.len());
    if looks_like_an_arn(&name) { format!("{}{NAME_END}", name.trim_end_matches('-')) } else { name }
}

fn looks_like_an_arn(name: &str) -> bool {
    name.len().checked_sub(7).is_some_and(|at| name.as_bytes()[at] == b'-')
}

/// The name in an ARN, which ends in a hyphen and six characters of its own.
fn name_in(arn: &str) -> Option<&str> {
    let (_, name) = arn.split_once(":secret:")?;
    looks_like_an_arn(name).then(|| &name[..name.len() - 7])
}

fn check_name(name: &str) -> Option<Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(allowed) {
        let help = format!("use 1 to {NAME_LIMIT} letters, digits and /_+=.@-");
        return Some(Problem::new("name", format!("Secrets Manager does not take the name `{name}`")).help(help));
    }
    let message = format!("`{name}` ends in a hyphen and six characters, as the ARN of another secret could");
    looks_like_an_arn(name).then(|| Problem::new("name", message).help("write / instead of the last hyphen"))
}

/// The name that the secret with this identity has, or would have.
fn name_of(scope: &Scope, identity: &Identity) -> String {
    scope.names.get(&identity.address).cloned().unwrap_or_else(|| generated_name(identity))
}

/// Takes back the deletion, unless an earlier try did.
async fn restore(aws: &Aws, id: &str) -> Result<()> {
    let request = aws.secrets().restore_secret().secret_id(id);
    match aws.call("secretsmanager:RestoreSecret", request.send()).await {
        Err(failure) if failure.code == "InvalidRequestException" => {
            let pending = look(aws, id).await?.is_none_or(|secret| secret.deleted_date().is_some());
            if pending { Err(failure) } else { Ok(()) }
        }
        answer => answer.map(drop),
    }
}

/// What the list knows: the tags by ARN. Its filter looks at the start of values and at each key apart.
async fn listed(aws: &Aws, scope: &Scope) -> Result<BTreeMap<String, Tags>> {
    let filter = |name, value: &str| Filter::builder().key(name).values(value).build();
    let request = aws.secrets().list_secrets().include_planned_deletion(true).max_results(PAGE);
    let request = request.filters(filter(FilterNameStringType::TagKey, PROJECT));
    let request = request.filters(filter(FilterNameStringType::TagValue, &scope.project));
    let pages = request.into_paginator().send();
    let pages = aws.call("secretsmanager:ListSecrets", pages.collect::<Result<Vec<_>, _>>()).await?;
    let secrets = pages.iter().flat_map(|page| page.secret_list());
    Ok(secrets.filter_map(|secret| Some((secret.arn()?.to_owned(), read_tags(secret.tags())))).collect())
}

/// The secret with this ARN or name, also one that waits for its deletion.
async fn look(aws: &Aws, id: &str) -> Result<Option<DescribeSecretOutput>> {
    match aws.call("secretsmanager:DescribeSecret", aws.secrets().describe_secret().secret_id(id).send()).await {
        Ok(secret) => Ok(Some(secret)),
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// What others may know of it: also its version, which no field may refer to, since it changes without us.
fn outputs(secret: &DescribeSecretOutput) -> Outputs {
    let known = [("arn", secret.arn()), ("name", secret.name()), ("version", stages::version(secret, CURRENT))];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

/// The secret with this ARN or name, where it carries tags of ours.
/// The ARN of a secret, of what a container or a function reads: its ARN, and then a key, a stage and a version.
pub fn whole_arn(value: &str) -> String {
    // arn:aws:secretsmanager:region:account:secret:name
    value.splitn(8, ':').take(7).collect::<Vec<_>>().join(":")
}

async fn find(aws: &Aws, id: &str) -> Result<Option<Live<Secret>>> {
    let Some(secret) = look(aws, id).await? else { return Ok(None) };
    let tags = read_tags(secret.tags());
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let (arn, name) = (secret.arn().unwrap_or_default(), secret.name().unwrap_or_default());
    let deleted = secret.deleted_date().is_some();
    let spec = Secret {
        name: Some(name.to_owned()),
        description: secret.description().unwrap_or_default().to_owned(),
        kms_key_arn: secret.kms_key_id().filter(|key| !key.ends_with(DEFAULT_KEY)).map(Arg::from),
        generate: None,
        json: None,
        recovery_window_days: deletion::days(&tags),
        // A secret that waits for its deletion does not show its policy.
        policy: if deleted { None } else { resource_policy(aws, arn).await? },
        rotation: Rotation::read(&secret),
        tags: tagged.user.clone(),
    };
    let mut live = Live::new(tagged, arn, spec);
    live.outputs = outputs(&secret);
    if deleted {
        live.health = Health::Restorable;
    } else if rotation::begins(&secret) {
        live.health = Health::Pending;
    }
    Ok(Some(live))
}

async fn resource_policy(aws: &Aws, id: &str) -> Result<Option<Policy>> {
    let request = aws.secrets().get_resource_policy().secret_id(id);
    let answer = aws.call("secretsmanager:GetResourcePolicy", request.send()).await?;
    let policy = answer.resource_policy().map(Policy::from_json).transpose();
    policy.map_err(|error| Failure::new("secretsmanager:GetResourcePolicy", "UnreadablePolicy", error.to_string()))
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn read_tags(tags: &[Tag]) -> Tags {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    tags.iter().filter_map(pair).collect()
}

async fn retag(aws: &Aws, id: &str, before: &Tags, after: &Tags) -> Result<()> {
    let (set, gone) = tags::difference(before, after);
    write_tags(aws, id, &set, &gone).await
}

async fn write_tags(aws: &Aws, id: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.secrets().tag_resource().secret_id(id).set_tags(Some(sdk_tags(set)));
        aws.call("secretsmanager:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.secrets().untag_resource().secret_id(id).set_tag_keys(Some(gone.to_vec()));
        aws.call("secretsmanager:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(yaml: serde_json::Value) -> Secret {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn a_reader_of_a_key_reads_the_whole_secret() {
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:jwt-AbCdEf";
        assert_eq!([whole_arn(arn), whole_arn(&format!("{arn}:key::"))], [arn, arn]);
    }

    #[test]
    fn no_plan_changes_the_value_of_a_secret_that_exists() {
        let live = secret(serde_json::json!({ "name": "acme" }));
        let mut same = secret(serde_json::json!({ "generate": {} }));
        same.take_over(&live);
        assert_eq!(same.generate, None);
        let mut other = secret(serde_json::json!({ "name": "other", "generate": {} }));
        other.take_over(&live);
        assert!(other.generate.is_some());
    }

    #[test]
    fn limits_of_secrets_manager() {
        let spec = secret(serde_json::json!({
            "name": "acme-tokens",
            "generate": { "length": 4, "charset": "hex", "exclude": "0123456789ab" },
            "json": {},
            "recovery_window_days": 0,
        }));
        let paths: Vec<_> = spec.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["recovery_window_days", "name", "generate.length", "generate.exclude", "json"]);
        assert!(secret(serde_json::json!({ "name": "acme/tokens", "generate": {} })).check().is_empty());
    }

    #[test]
    fn no_generated_name_ends_like_an_arn() {
        let name = |name: &str| {
            generated_name(&Identity {
                project: "acme".into(),
                environment: "prod".into(),
                address: Address::new(Secret::NAME, name),
            })
        };
        assert_eq!(name_in("arn:aws:secretsmanager:us-east-1:123456789012:secret:acme/jwt-a1B2c3"), Some("acme/jwt"));
        assert_eq!(name("jwt"), "acme-prod-jwt");
        assert_eq!(name("tokens"), "acme-prod-tokens-value");
        assert!(check_name(&name(&"long-name-".repeat(90)[..600])).is_none());
    }
}
