//! An IAM role, with the policies in it and attached to it.
//!
//! Roles stand under the path `/infra/<project>/<environment>/`, which rights can be limited to; their tags say whose
//! they are. A new role is not usable at once everywhere: those who use it are told so by AWS and try again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_iam::types::{AttachedPolicy, EntityType, RoleDetail, Tag};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adopt;
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::policy::Policy;
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 64;
const POLICY_NAME_LIMIT: usize = 128;
const PAGE: i32 = 1000;

/// An IAM role, with the policies in it and attached to it. Both sets are exclusive: what is not here is removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IamRole {
    /// The role's name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who may assume the role.
    pub trust: Policy,
    /// The policies within the role, by name.
    #[serde(default)]
    pub policies: BTreeMap<String, Policy>,
    /// The ARNs of managed policies attached to the role.
    #[serde(default)]
    pub attached: Vec<Arg<String>>,
    /// How long a session may last, between 3600 and 43200 seconds.
    #[serde(default = "one_hour")]
    pub max_session_seconds: u32,
    /// The ARN of the policy that bounds what the role may ever do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

fn one_hour() -> u32 {
    3600
}

/// What AWS knows of a role beside its specification.
struct Found<'a> {
    arn: &'a str,
    name: &'a str,
    id: &'a str,
}

impl Kind for IamRole {
    const NAME: &'static str = "iam_role";
    const RIGHTS: Rights = Rights {
        read: "iam:GetAccountAuthorizationDetails iam:GetRole iam:GetRolePolicy iam:ListAttachedRolePolicies \
            iam:ListRolePolicies iam:ListRoles",
        create: "iam:CreateRole iam:PutRolePermissionsBoundary iam:TagRole",
        update: "iam:AttachRolePolicy iam:DeleteRolePermissionsBoundary iam:DeleteRolePolicy iam:DetachRolePolicy \
            iam:PutRolePermissionsBoundary iam:PutRolePolicy iam:TagRole iam:UntagRole \
            iam:UpdateAssumeRolePolicy iam:UpdateRole",
        delete: "iam:DeleteRole iam:DeleteRolePolicy iam:DetachRolePolicy",
        on: "iam:role/infra/{project}/{environment}/*",
        tells: "iam:ListInstanceProfilesForRole",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name", "id"];
    const UNIQUE: &'static [&'static str] = &["name"];

    fn normalize(&mut self) {
        self.trust.normalize();
        self.policies.values_mut().for_each(Policy::normalize);
        self.attached.sort();
        self.attached.dedup();
    }

    fn shell(&self) -> Self {
        Self { policies: BTreeMap::new(), attached: Vec::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.trust.check("trust");
        if let Some(name) = &self.name {
            problems.extend(check_name("name", name, NAME_LIMIT));
        }
        for (name, policy) in &self.policies {
            let path = format!("policies.{name}");
            problems.extend(check_name(&path, name, POLICY_NAME_LIMIT));
            problems.extend(policy.check(&path));
        }
        if !(3600..=43200).contains(&self.max_session_seconds) {
            let message = format!("{} is not between 3600 and 43200, an hour and twelve", self.max_session_seconds);
            let help = format!("write {}", self.max_session_seconds.clamp(3600, 43200));
            problems.push(Problem::new("max_session_seconds", message).help(help));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let (roles, sessions) = tokio::try_join!(roles(aws, scope), sessions(aws, scope))?;
        let ours =
            roles.iter().filter_map(|role| Some((role, scope.tagged(aws, Self::NAME, &read_tags(role.tags()))?)));
        let reads = ours.map(|(role, tagged)| {
            let listed = sessions.get(role.role_name().unwrap_or_default()).copied();
            async move {
                let found = Found {
                    arn: role.arn().unwrap_or_default(),
                    name: role.role_name().unwrap_or_default(),
                    id: role.role_id().unwrap_or_default(),
                };
                // What was adopted stands under another path, which the list of the path does not hold.
                let max_session_seconds = match listed {
                    Some(seconds) => seconds,
                    None => session(aws, found.name).await?,
                };
                let inline = role.role_policy_list().iter();
                let inline = inline.filter_map(|policy| Some((policy.policy_name()?, policy.policy_document()?)));
                let boundary = role.permissions_boundary().and_then(|boundary| boundary.permissions_boundary_arn());
                let spec = Self {
                    name: Some(found.name.to_owned()),
                    trust: document(found.name, role.assume_role_policy_document().unwrap_or_default())?,
                    policies: documents(found.name, inline)?,
                    attached: arns(role.attached_managed_policies()),
                    max_session_seconds,
                    permissions_boundary: boundary.map(Arg::from),
                    tags: tagged.user.clone(),
                };
                Ok::<_, Failure>(live(tagged, &found, spec))
            }
        });
        let mut found = try_join_all(reads).await?;
        // IAM takes a moment to list a role that was made just now.
        let missing = scope.wanted(Self::NAME).filter(|identity| !found.iter().any(|live| live.identity == *identity));
        let names = missing.map(|identity| {
            scope.names.get(&identity.address).cloned().unwrap_or_else(|| identity.aws_name(NAME_LIMIT))
        });
        let late = try_join_all(names.map(|name| async move { find(aws, &name).await })).await?;
        found.extend(late.into_iter().flatten().filter(|live| scope.owns(Self::NAME, &live.identity)));
        Ok(found)
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let request = aws.iam().create_role().role_name(&name).path(path(&making.identity));
        let request = request.assume_role_policy_document(self.trust.to_json()?);
        let request = request.max_session_duration(self.max_session_seconds.cast_signed());
        let boundary = self.permissions_boundary.as_ref().map(Arg::get).transpose()?.cloned();
        let request = request.set_permissions_boundary(boundary);
        let request = request.set_tags(Some(sdk_tags(&tags::encode(&making.identity, &self.tags))?));
        match aws.call("iam:CreateRole", request.send()).await {
            Ok(answer) => Ok(answer.role().map_or(name, |role| role.role_name().to_owned())),
            Err(failure) if failure.code == "EntityAlreadyExists" => {
                let found = find(aws, &name).await?;
                adopt::adopt(self, aws, making, (&name, found), "iam:CreateRole").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let name = &live.id;
        if !self.trust.same(&live.spec.trust) {
            let request = aws.iam().update_assume_role_policy().role_name(name).policy_document(self.trust.to_json()?);
            aws.call("iam:UpdateAssumeRolePolicy", request.send()).await?;
        }
        if self.max_session_seconds != live.spec.max_session_seconds {
            let request = aws.iam().update_role().role_name(name);
            let request = request.max_session_duration(self.max_session_seconds.cast_signed());
            aws.call("iam:UpdateRole", request.send()).await?;
        }
        match &self.permissions_boundary {
            same if *same == live.spec.permissions_boundary => {}
            Some(arn) => {
                let request = aws.iam().put_role_permissions_boundary().role_name(name);
                let request = request.permissions_boundary(arn.get()?);
                aws.call("iam:PutRolePermissionsBoundary", request.send()).await?;
            }
            None => {
                let request = aws.iam().delete_role_permissions_boundary().role_name(name);
                gone(aws.call("iam:DeleteRolePermissionsBoundary", request.send()).await)?;
            }
        }
        self.grant(aws, live).await?;
        self.revoke(aws, live).await?;
        retag(aws, name, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let name = &live.id;
        for policy in attached(aws, name).await? {
            detach(aws, name, policy.policy_arn().unwrap_or_default()).await?;
        }
        for policy in inline(aws, name).await? {
            remove(aws, name, &policy).await?;
        }
        aws.call("iam:DeleteRole", aws.iam().delete_role().role_name(name).send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let request = aws.iam().list_instance_profiles_for_role().role_name(&live.id);
        let answer = aws.call("iam:ListInstanceProfilesForRole", request.send()).await?;
        let profiles = answer.instance_profiles().iter();
        Ok(profiles.map(|one| Blocker::new(format!("instance profile {}", one.instance_profile_name()))).collect())
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let answer = aws.call("iam:GetRole", aws.iam().get_role().role_name(id).send()).await?;
        Ok(answer.role().map_or(Progress::Gone, |role| {
            let text = |text: &str| text.to_owned();
            Progress::ready([("arn", text(role.arn())), ("name", text(role.role_name())), ("id", text(role.role_id()))])
        }))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set, gone).await
    }
}

impl IamRole {
    /// One that is named by its address and has these policies within it, by name.
    pub fn new(trust: Policy, policies: Vec<(&str, Policy)>) -> Self {
        Self {
            name: None,
            trust,
            policies: policies.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect(),
            attached: Vec::new(),
            max_session_seconds: one_hour(),
            permissions_boundary: None,
            tags: Tags::new(),
        }
    }

    /// Puts and attaches what is missing or different.
    async fn grant(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        for (policy, document) in &self.policies {
            if live.spec.policies.get(policy).is_some_and(|old| old.same(document)) {
                continue;
            }
            let request = aws.iam().put_role_policy().role_name(&live.id).policy_name(policy);
            aws.call("iam:PutRolePolicy", request.policy_document(document.to_json()?).send()).await?;
        }
        for arn in self.attached.iter().filter(|arn| !live.spec.attached.contains(arn)) {
            let request = aws.iam().attach_role_policy().role_name(&live.id).policy_arn(arn.get()?);
            aws.call("iam:AttachRolePolicy", request.send()).await?;
        }
        Ok(())
    }

    /// Detaches and deletes what is not wanted.
    async fn revoke(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        for arn in live.spec.attached.iter().filter(|arn| !self.attached.contains(arn)) {
            detach(aws, &live.id, arn.get()?).await?;
        }
        for policy in live.spec.policies.keys().filter(|policy| !self.policies.contains_key(*policy)) {
            remove(aws, &live.id, policy).await?;
        }
        Ok(())
    }
}

fn path(identity: &Identity) -> String {
    format!("/infra/{}/{}/", identity.project, identity.environment)
}

fn live(tagged: tags::Tagged, found: &Found<'_>, spec: IamRole) -> Live<IamRole> {
    Live::new(tagged, found.name, spec).output("arn", found.arn).output("name", found.name).output("id", found.id)
}

/// Every role of the account with its policies. IAM can neither filter them by path nor by tag.
async fn roles(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<RoleDetail>>> {
    let read = || async {
        let request = aws.iam().get_account_authorization_details().filter(EntityType::Role).max_items(PAGE);
        let pages = request.into_paginator().send();
        let pages = aws.call("iam:GetAccountAuthorizationDetails", pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(pages.into_iter().flat_map(|page| page.role_detail_list.unwrap_or_default()).collect())
    };
    scope.memo.get("iam:roles", read).await
}

/// How long sessions may last, by role, which [`roles`] does not say.
async fn sessions(aws: &Aws, scope: &Scope) -> Result<BTreeMap<String, u32>> {
    let prefix = format!("/infra/{}/{}/", scope.project, scope.environment);
    let pages = aws.iam().list_roles().path_prefix(prefix).max_items(PAGE).into_paginator().items().send();
    let roles = aws.call("iam:ListRoles", pages.collect::<Result<Vec<_>, _>>()).await?;
    Ok(roles.iter().map(|role| (role.role_name().to_owned(), seconds(role.max_session_duration()))).collect())
}

async fn session(aws: &Aws, name: &str) -> Result<u32> {
    match aws.call("iam:GetRole", aws.iam().get_role().role_name(name).send()).await {
        // Made or deleted just now: not all of IAM's reads know it yet.
        Err(failure) if failure.class == Class::NotFound => Ok(one_hour()),
        answer => Ok(seconds(answer?.role().and_then(aws_sdk_iam::types::Role::max_session_duration))),
    }
}

fn seconds(duration: Option<i32>) -> u32 {
    duration.and_then(|seconds| seconds.try_into().ok()).unwrap_or_else(one_hour)
}

/// The role with this name, where it carries tags of ours.
async fn find(aws: &Aws, name: &str) -> Result<Option<Live<IamRole>>> {
    let answer = match aws.call("iam:GetRole", aws.iam().get_role().role_name(name).send()).await {
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        answer => answer?,
    };
    let Some(role) = answer.role() else { return Ok(None) };
    let Some(tagged) = aws.tagged(&read_tags(role.tags())) else { return Ok(None) };
    let (attached, inline) = tokio::try_join!(attached(aws, name), inline(aws, name))?;
    let texts = try_join_all(inline.iter().map(|policy| async move {
        let request = aws.iam().get_role_policy().role_name(name).policy_name(policy);
        let answer = aws.call("iam:GetRolePolicy", request.send()).await?;
        Ok::<_, Failure>(answer.policy_document().to_owned())
    }))
    .await?;
    let inline = inline.iter().zip(&texts).map(|(policy, text)| (policy.as_str(), text.as_str()));
    let boundary = role.permissions_boundary().and_then(|boundary| boundary.permissions_boundary_arn());
    let spec = IamRole {
        name: Some(name.to_owned()),
        trust: document(name, role.assume_role_policy_document().unwrap_or_default())?,
        policies: documents(name, inline)?,
        attached: arns(&attached),
        max_session_seconds: seconds(role.max_session_duration()),
        permissions_boundary: boundary.map(Arg::from),
        tags: tagged.user.clone(),
    };
    let found = Found { arn: role.arn(), name: role.role_name(), id: role.role_id() };
    Ok(Some(live(tagged, &found, spec)))
}

async fn attached(aws: &Aws, name: &str) -> Result<Vec<AttachedPolicy>> {
    let pages = aws.iam().list_attached_role_policies().role_name(name).into_paginator().items().send();
    aws.call("iam:ListAttachedRolePolicies", pages.collect::<Result<Vec<_>, _>>()).await
}

async fn inline(aws: &Aws, name: &str) -> Result<Vec<String>> {
    let pages = aws.iam().list_role_policies().role_name(name).into_paginator().items().send();
    aws.call("iam:ListRolePolicies", pages.collect::<Result<Vec<_>, _>>()).await
}

/// Detaches a managed policy. What is not attached is detached.
async fn detach(aws: &Aws, name: &str, arn: &str) -> Result<()> {
    let request = aws.iam().detach_role_policy().role_name(name).policy_arn(arn);
    gone(aws.call("iam:DetachRolePolicy", request.send()).await)
}

/// Deletes a policy within the role. What is not there is deleted.
async fn remove(aws: &Aws, name: &str, policy: &str) -> Result<()> {
    let request = aws.iam().delete_role_policy().role_name(name).policy_name(policy);
    gone(aws.call("iam:DeleteRolePolicy", request.send()).await)
}

/// What is not there is gone.
fn gone<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Err(failure) if failure.class != Class::NotFound => Err(failure),
        _ => Ok(()),
    }
}

fn document(role: &str, encoded: &str) -> Result<Policy> {
    Policy::from_encoded(encoded).map_err(|error| {
        Failure::new("iam:GetRole", "UnreadablePolicy", format!("a policy of the role {role}: {error}"))
    })
}

fn documents<'a>(role: &str, policies: impl Iterator<Item = (&'a str, &'a str)>) -> Result<BTreeMap<String, Policy>> {
    policies.map(|(name, encoded)| Ok((name.to_owned(), document(role, encoded)?))).collect()
}

fn arns(policies: &[AttachedPolicy]) -> Vec<Arg<String>> {
    let arns: BTreeSet<&str> = policies.iter().filter_map(AttachedPolicy::policy_arn).collect();
    arns.into_iter().map(Arg::from).collect()
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| {
        let tag = Tag::builder().key(key).value(value).build();
        tag.map_err(|error| Failure::new("iam:Tag", "InvalidRequest", error.to_string()))
    };
    tags.iter().map(tag).collect()
}

fn read_tags(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
}

async fn retag(aws: &Aws, name: &str, identity: &Identity, old: &Tags, new: &Tags) -> Result<()> {
    let (set, gone) = tags::change(identity, old, new);
    write_tags(aws, name, &set, &gone).await
}

async fn write_tags(aws: &Aws, name: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.iam().tag_role().role_name(name).set_tags(Some(sdk_tags(set)?));
        aws.call("iam:TagRole", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.iam().untag_role().role_name(name).set_tag_keys(Some(gone.to_vec()));
        aws.call("iam:UntagRole", request.send()).await?;
    }
    Ok(())
}

fn check_name(path: &str, name: &str, limit: usize) -> Option<Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !name.is_empty() && name.len() <= limit && name.chars().all(allowed) {
        return None;
    }
    let help = format!("use 1 to {limit} letters, digits and _+=,.@-");
    Some(Problem::new(path, format!("IAM does not take the name `{name}`")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy;
    use crate::value::Value;

    #[test]
    fn limits_of_iam() {
        let role = IamRole {
            name: Some("with space".into()),
            trust: Policy(Value::text("x")),
            policies: BTreeMap::from([("a/b".into(), policy::trust("x"))]),
            attached: Vec::new(),
            max_session_seconds: 60,
            permissions_boundary: None,
            tags: Tags::new(),
        };
        let paths: Vec<_> = role.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["trust", "name", "policies.a/b", "max_session_seconds"]);
    }
}
