//! A key of KMS, its alias and its rotation.
//!
//! A key has no name of its own; the alias is one, is not taggable, and is remembered in a tag of the key, so that
//! aliases which others point at our key stay theirs. A key that waits for its deletion is restored, not made again.

mod alias;
mod kept;
mod read;

use std::collections::BTreeSet;

use aws_sdk_kms::types::{KeyMetadata, KeyState, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{deletion, tagging};
use crate::address::{Address, Identity};
use crate::aws::{Aws, one_try};
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::policy::{self, Policy};
use crate::rights::Rights;
use crate::tags::{self, Tags};

/// The tag with the alias that the file chose.
const ALIAS: &str = "infra:alias";
/// The one policy that a key has.
const POLICY: &str = "default";
const ROTATION_DAYS: u32 = 365;

/// A symmetric key of KMS, its alias and its rotation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KmsKey {
    #[serde(default)]
    pub description: String,
    /// Who may use the key; left out, whom IAM policies of the account allow to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Whether the key can be used.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether AWS makes new key material from time to time.
    #[serde(default)]
    pub rotation: bool,
    /// The days between rotations, from 90 to 2560; left out, 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_days: Option<u32>,
    /// How many days a deleted key can be restored, from 7 to 30.
    #[serde(default = "deletion::default_days")]
    pub deletion_window_days: u32,
    /// The alias, as in `alias/acme`; left out, it is `alias/<project>-<environment>-<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Whether replicas in other regions can be made of it.
    #[serde(default)]
    pub multi_region: bool,
    #[serde(default)]
    pub tags: Tags,
}

fn yes() -> bool {
    true
}

impl Kind for KmsKey {
    const NAME: &'static str = "kms_key";
    const RIGHTS: Rights = Rights {
        read: "elasticache:DescribeSnapshots kms:DescribeKey kms:GetKeyPolicy kms:GetKeyRotationStatus \
            kms:ListAliases kms:ListKeys kms:ListResourceTags rds:DescribeDBSnapshots",
        create: "kms:CreateKey kms:PutKeyPolicy kms:TagResource",
        update: "kms:CancelKeyDeletion kms:CreateAlias kms:DeleteAlias kms:DisableKeyRotation kms:EnableKey \
            kms:EnableKeyRotation kms:PutKeyPolicy kms:TagResource kms:UntagResource kms:UpdateKeyDescription",
        delete: "kms:DisableKey kms:ScheduleKeyDeletion kms:TagResource",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["multi_region"];
    const LATE: &'static [&'static str] = &["policy"];
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["arn", "id", "alias"];
    const UNIQUE: &'static [&'static str] = &["alias"];
    const HOLDS_DATA: bool = true;

    fn normalize(&mut self) {
        self.policy = self.policy.take().and_then(own);
        self.rotation_days = self.rotation.then(|| self.rotation_days.unwrap_or(ROTATION_DAYS));
    }

    fn shell(&self) -> Self {
        Self {
            policy: None,
            enabled: true,
            rotation: false,
            rotation_days: None,
            alias: Some(alias::NONE.to_owned()),
            ..self.clone()
        }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = deletion::check("deletion_window_days", self.deletion_window_days);
        problems.extend(self.policy.iter().flat_map(|policy| policy.check("policy")));
        if let Some(days) = self.rotation_days {
            if !(90..=2560).contains(&days) {
                let message = format!("{days} days is not between 90 and 2560, which AWS asks for");
                let help = format!("write {}", days.clamp(90, 2560));
                problems.push(Problem::new("rotation_days", message).help(help));
            }
            if !self.rotation {
                let problem = Problem::new("rotation_days", "a key without rotation has no days between rotations");
                problems.push(problem.help("write rotation: true, or leave rotation_days out"));
            }
        }
        if let Some(alias) = &self.alias {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
            let name = alias.strip_prefix("alias/").unwrap_or_default();
            if name.is_empty() || name.starts_with("aws/") || alias.len() > alias::LIMIT || !alias.chars().all(allowed)
            {
                let help = "write alias/ and letters, digits and /_-, which do not start with aws/";
                problems.push(Problem::new("alias", format!("`{alias}` is no alias of a key")).help(help));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let (index, aliases) = tokio::try_join!(tagging::index(aws, scope), alias::all(aws, scope))?;
        let indexed = index.iter().filter(|(_, tags)| scope.ours(Self::NAME, tags).is_some());
        let indexed: BTreeSet<Id> =
            indexed.filter_map(|(arn, _)| Some(arn.split_once(":key/")?.1.to_owned())).collect();
        let mut found = read::all(aws, scope, &indexed, &aliases).await?;
        let mut missing: BTreeSet<Address> = scope.wanted(Self::NAME).map(|identity| identity.address).collect();
        for (live, _) in found.iter().filter(|(live, _)| live.health != Health::Restorable) {
            missing.remove(&live.identity.address);
        }
        if !missing.is_empty() {
            let more = read::unindexed(aws, scope, &aliases, &missing).await?;
            let more = more.difference(&indexed).cloned().collect();
            found.extend(read::all(aws, scope, &more, &aliases).await?);
        }
        Ok(read::latest(found))
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let tags = sdk_tags(&self.all_tags(&making.identity))?;
        let request = aws.kms().create_key().description(&self.description).multi_region(self.multi_region);
        let request = request.set_tags(Some(tags)).customize();
        let request = request.config_override(aws_sdk_kms::config::Builder::new().retry_config(one_try()));
        let answer = aws.call("kms:CreateKey", request.send()).await?;
        let id = answer.key_metadata().map(KeyMetadata::key_id);
        id.map(str::to_owned).ok_or_else(|| Failure::new("kms:CreateKey", "NoId", "the answer holds no id"))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        if live.health != Health::Restorable {
            return self.change(aws, live).await;
        }
        restore(aws, &live.id).await?;
        let request = aws.kms().untag_resource().key_id(&live.id).tag_keys(kept::KEPT);
        aws.call("kms:UntagResource", request.send()).await?;
        // KMS takes a moment to see that the key is back.
        self.change(aws, live).await.map_err(|failure| match failure.code.as_str() {
            "KMSInvalidStateException" | "DisabledException" => failure.class(Class::Busy),
            _ => failure,
        })
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        if live.spec.alias.as_deref() != Some(alias::NONE) {
            alias::delete(aws, &alias::of(live.spec.alias.as_ref(), &live.identity)).await?;
        }
        let arn = live.outputs.get("arn").map(String::as_str).unwrap_or_default();
        if let Some(snapshot) = kept::snapshot(aws, arn).await? {
            let mark = Tags::from([(kept::KEPT.to_owned(), snapshot)]);
            return retag(aws, &live.id, &Tags::new(), &mark).await;
        }
        let days = live.spec.deletion_window_days.cast_signed();
        let request = aws.kms().schedule_key_deletion().key_id(&live.id).pending_window_in_days(days);
        match aws.call("kms:ScheduleKeyDeletion", request.send()).await {
            Err(failure) if failure.code == "KMSInvalidStateException" => match Self::poll(aws, &live.id).await? {
                Progress::Gone => Ok(()),
                _ => Err(failure),
            },
            answer => answer.map(drop),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let key = describe(aws, id).await?;
        Ok(match key.key_state() {
            Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => Progress::Gone,
            Some(KeyState::Enabled | KeyState::Disabled) => {
                let tags = key_tags(aws, id).await?;
                if tags.contains_key(kept::KEPT) {
                    return Ok(Progress::Gone);
                }
                let alias = tags::decode(&tags).map(|tagged| alias::of(tags.get(ALIAS), &tagged.identity));
                let arn = key.arn().unwrap_or_default().to_owned();
                Progress::ready([("arn", arn), ("id", id.clone()), ("alias", alias.unwrap_or_default())])
            }
            Some(KeyState::Creating | KeyState::Updating) => Progress::waiting("the key to be made"),
            state => {
                Progress::Failed { why: format!("the key's state is {}", state.map_or("unknown", KeyState::as_str)) }
            }
        })
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set, gone).await
    }
}

impl KmsKey {
    /// All tags of the key.
    fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = deletion::encode(identity, &self.tags, self.deletion_window_days);
        if let Some(alias) = self.alias.as_ref().filter(|alias| *alias != alias::NONE) {
            tags.insert(ALIAS.to_owned(), alias.clone());
        }
        tags
    }

    /// [`Kind::update`] for a key that is not waiting for its deletion.
    async fn change(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let id = &live.id;
        // A disabled key takes no change of its rotation.
        if self.enabled && !live.spec.enabled {
            aws.call("kms:EnableKey", aws.kms().enable_key().key_id(id).send()).await?;
        }
        if self.description != live.spec.description {
            let request = aws.kms().update_key_description().key_id(id).description(&self.description);
            aws.call("kms:UpdateKeyDescription", request.send()).await?;
        }
        self.change_policy(aws, live).await?;
        self.change_rotation(aws, live).await?;
        if self.alias != live.spec.alias {
            let alias = alias::of(self.alias.as_ref(), &live.identity);
            let old = alias::of(live.spec.alias.as_ref(), &live.identity);
            alias::make(aws, &alias, id).await?;
            if live.spec.alias.as_deref() != Some(alias::NONE) && old != alias {
                alias::delete(aws, &old).await?;
            }
        }
        let before = Self { alias: remembered(live), ..live.spec.clone() }.all_tags(&live.identity);
        retag(aws, id, &before, &self.all_tags(&live.identity)).await?;
        if !self.enabled && live.spec.enabled {
            aws.call("kms:DisableKey", aws.kms().disable_key().key_id(id).send()).await?;
        }
        Ok(())
    }

    async fn change_policy(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (new, old) = (self.policy.clone().and_then(own), live.spec.policy.clone().and_then(own));
        let document = match (new, old) {
            (None, None) => return Ok(()),
            (Some(new), Some(old)) if new.same(&old) => return Ok(()),
            (Some(new), _) => new.to_json()?,
            (None, _) => {
                let key = describe(aws, &live.id).await?;
                default_policy(key.arn().unwrap_or_default()).to_json()?
            }
        };
        let request = aws.kms().put_key_policy().key_id(&live.id).policy_name(POLICY).policy(document);
        aws.call("kms:PutKeyPolicy", request.send()).await.map(drop)
    }

    async fn change_rotation(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let days = |spec: &Self| spec.rotation.then(|| spec.rotation_days.unwrap_or(ROTATION_DAYS));
        match days(self) {
            same if same == days(&live.spec) => Ok(()),
            Some(days) => {
                let request = aws.kms().enable_key_rotation().key_id(&live.id);
                let request = request.rotation_period_in_days(days.cast_signed());
                aws.call("kms:EnableKeyRotation", request.send()).await.map(drop)
            }
            None => {
                let request = aws.kms().disable_key_rotation().key_id(&live.id);
                aws.call("kms:DisableKeyRotation", request.send()).await.map(drop)
            }
        }
    }
}

/// AWS's own policy, by which IAM policies of the account decide.
fn default_policy(arn: &str) -> Policy {
    let mut parts = arn.split(':');
    let (partition, account) = (parts.nth(1).unwrap_or_default(), parts.nth(2).unwrap_or_default());
    let root = format!("arn:{partition}:iam::{account}:root");
    policy::document([policy::allow(&["kms:*"], ["*"]).sid("Enable IAM User Permissions").to("AWS", [root])])
}

/// The policy, or `None` where it is AWS's own. Of which account it speaks needs no look: KMS refuses a policy that
/// leaves the key's account no way to change it.
fn own(mut policy: Policy) -> Option<Policy> {
    policy.normalize();
    let mut json = serde_json::Value::from(&policy.0);
    if let Some(statement) = json.pointer_mut("/Statement/0").and_then(serde_json::Value::as_object_mut) {
        statement.remove("Sid");
    }
    let account = json.pointer("/Statement/0/Principal/AWS/0").and_then(serde_json::Value::as_str);
    let account = account.filter(|account| account.len() == 12 && account.chars().all(|c| c.is_ascii_digit()));
    let default = account.map(|account| {
        let principal = serde_json::json!({ "AWS": [account] });
        serde_json::json!([{ "Effect": "Allow", "Principal": principal, "Action": ["kms:*"], "Resource": ["*"] }])
    });
    if default.is_some() && default.as_ref() == json.get("Statement") { None } else { Some(policy) }
}

/// The alias in the tag of a live key. Where the alias itself is missing, only the outputs tell.
fn remembered(live: &Live<KmsKey>) -> Option<String> {
    match live.spec.alias.as_deref() {
        Some(alias::NONE) => {
            live.outputs.get("alias").filter(|alias| **alias != alias::generated(&live.identity)).cloned()
        }
        _ => live.spec.alias.clone(),
    }
}

async fn describe(aws: &Aws, id: &str) -> Result<KeyMetadata> {
    let answer = aws.call("kms:DescribeKey", aws.kms().describe_key().key_id(id).send()).await?;
    let gone = || Failure::new("kms:DescribeKey", "NotFound", format!("the key {id} is gone")).class(Class::NotFound);
    answer.key_metadata.ok_or_else(gone)
}

async fn key_tags(aws: &Aws, id: &str) -> Result<Tags> {
    let pages = aws.kms().list_resource_tags().key_id(id).into_paginator().items().send();
    let tags = aws.call("kms:ListResourceTags", pages.collect::<Result<Vec<_>, _>>()).await?;
    Ok(tags.iter().map(|tag| (tag.tag_key().to_owned(), tag.tag_value().to_owned())).collect())
}

/// Takes back the deletion, unless an earlier try did.
async fn restore(aws: &Aws, id: &str) -> Result<()> {
    let request = aws.kms().cancel_key_deletion().key_id(id);
    match aws.call("kms:CancelKeyDeletion", request.send()).await {
        Err(failure) if failure.code == "KMSInvalidStateException" => {
            let pending = describe(aws, id).await?.key_state() == Some(&KeyState::PendingDeletion);
            if pending { Err(failure) } else { Ok(()) }
        }
        answer => answer.map(drop),
    }
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| {
        let tag = Tag::builder().tag_key(key).tag_value(value).build();
        tag.map_err(|error| Failure::new("kms:TagResource", "InvalidRequest", error.to_string()))
    };
    tags.iter().map(tag).collect()
}

async fn retag(aws: &Aws, id: &str, before: &Tags, after: &Tags) -> Result<()> {
    let (set, gone) = tags::difference(before, after);
    write_tags(aws, id, &set, &gone).await
}

async fn write_tags(aws: &Aws, id: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.kms().tag_resource().key_id(id).set_tags(Some(sdk_tags(set)?));
        aws.call("kms:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.kms().untag_resource().key_id(id).set_tag_keys(Some(gone.to_vec()));
        aws.call("kms:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KmsKey {
        serde_json::from_str("{}").unwrap()
    }

    #[test]
    fn the_default_policy_written_out_is_no_policy() {
        let default = default_policy("arn:aws-cn:kms:cn-north-1:123456789012:key/k-1");
        let text = default.to_json().unwrap();
        assert!(text.contains("123456789012"), "{text}");
        let mut spec = KmsKey { policy: Some(default), ..key() };
        spec.normalize();
        assert_eq!(spec.policy, None);

        let other = policy::document([policy::allow(&["kms:*"], ["*"]).to("AWS", ["123456789012"]).when(
            "StringEquals",
            "aws:PrincipalOrgID",
            ["o-1"],
        )]);
        let mut spec = KmsKey { policy: Some(other), ..key() };
        spec.normalize();
        assert!(spec.policy.is_some());
    }

    #[test]
    fn rotation_has_a_default_only_where_it_is_on() {
        let mut spec = KmsKey { rotation: true, ..key() };
        spec.normalize();
        assert_eq!(spec.rotation_days, Some(ROTATION_DAYS));
        spec.rotation = false;
        assert_eq!(spec.check()[0].path, "rotation_days");
        spec.normalize();
        assert_eq!(spec.rotation_days, None);
    }

    #[test]
    fn limits_of_kms() {
        let spec = KmsKey { deletion_window_days: 3, alias: Some("alias/aws/rds".into()), ..key() };
        let paths: Vec<_> = spec.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["deletion_window_days", "alias"]);
        assert!(KmsKey { alias: Some("alias/acme/main".into()), ..key() }.check().is_empty());
    }
}
