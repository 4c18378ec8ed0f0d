//! A vault of AWS Backup, which keeps recovery points: the environment's own, or one in another region for copies.
//!
//! Recovery points are never deleted from here. They expire as their plan says; until then the vault stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_backup::types::{BackupVaultListMember as Vault, RecoveryPointByBackupVault};
use aws_sdk_resourcegroupstagging::types::TagFilter;
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, backup_plan, tagging};
use crate::address::{ENVIRONMENT, PROJECT};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 50;
const TYPE: &str = "backup:backup-vault";

/// A vault of AWS Backup, which keeps recovery points.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupVault {
    /// The vault's name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The region it stands in, where that is not the environment's: for copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The ARN of the key, of the vault's region, that encrypts recovery points; left out, AWS's own (`aws/backup`). It
    /// cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for BackupVault {
    const NAME: &'static str = "backup_vault";
    const RIGHTS: Rights = Rights {
        read: "backup:GetBackupPlan backup:GetBackupSelection backup:ListBackupPlans backup:ListBackupSelections \
            backup:ListBackupVaults backup:ListTags tag:GetResources",
        create: "backup:CreateBackupVault backup:TagResource backup-storage:MountCapsule kms:CreateGrant kms:Decrypt \
            kms:DescribeKey kms:GenerateDataKey kms:RetireGrant",
        update: "backup:TagResource backup:UntagResource",
        delete: "backup:DeleteBackupVault",
        tells: "backup:ListRecoveryPointsByBackupVault",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "region", "kms_key_arn"];
    const OPEN: &'static [&'static str] = &["name", "kms_key_arn"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const HOLDS_DATA: bool = true;

    /// Names are of a region.
    const CLASH: Option<fn(&Self, &Self) -> bool> =
        Some(|one, other| one.name.is_some() && one.name == other.name && one.region == other.region);

    fn check(&self) -> Vec<Problem> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let right = |name: &&String| (2..=NAME_LIMIT).contains(&name.len()) && name.chars().all(allowed);
        let wrong = self.name.as_ref().filter(|name| !right(name));
        let problem = |name: &String| {
            let problem = Problem::new("name", format!("`{name}` is no name for a vault"));
            problem.help(format!("use 2 to {NAME_LIMIT} letters, digits, `_` and `-`"))
        };
        wrong.map(problem).into_iter().collect()
    }

    /// Those at home, and those in the regions that the file or a live plan speaks of.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let plans = backup_plan::all(aws, scope).await?;
        let copies = plans.iter().flat_map(|plan| plan.spec.copies());
        let mut regions: BTreeSet<String> =
            copies.filter_map(|arn| Some(region_in(arn.get().ok()?)?.to_owned())).collect();
        regions.extend(scope.regions.iter().cloned());
        regions.remove(&scope.region);
        let reads = regions.iter().map(|region| elsewhere(aws, scope, region));
        let (home, others) = tokio::try_join!(home(aws, scope), try_join_all(reads))?;
        Ok(home.into_iter().chain(others.into_iter().flatten()).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let there = self.region.as_ref().map(|region| aws.in_region(region));
        let there = there.as_deref().unwrap_or(aws);
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let request = there.backup().create_backup_vault().backup_vault_name(&name).creator_request_id(&making.token);
        let request =
            request.set_backup_vault_tags(Some(tags::encode(&making.identity, &self.tags).into_iter().collect()));
        let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?.cloned();
        match aws.call("backup:CreateBackupVault", request.set_encryption_key_arn(key).send()).await {
            Ok(answer) => answer.backup_vault_arn.ok_or_else(|| {
                Failure::new("backup:CreateBackupVault", "NoArn", format!("AWS gave the vault {name} no ARN"))
            }),
            Err(failure) if failure.code == "AlreadyExistsException" => {
                let vaults = vaults(there).await?;
                let found = match vaults.iter().find(|vault| vault.backup_vault_name() == Some(&name)) {
                    Some(vault) => read(there, vault, self.region.as_deref()).await?,
                    None => None,
                };
                adopt::adopt(self, aws, making, (&name, found), "backup:CreateBackupVault").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let Some(vault) = look(aws, &live.id).await? else { return Ok(()) };
        let points = vault.number_of_recovery_points();
        if points > 0 {
            return Err(kept(vault.backup_vault_name().unwrap_or_default(), points));
        }
        let there = at(aws, &live.id);
        let request = there.backup().delete_backup_vault().set_backup_vault_name(vault.backup_vault_name);
        aws.call("backup:DeleteBackupVault", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let name = live.outputs.get("name").cloned();
        let request = at(aws, &live.id).backup().list_recovery_points_by_backup_vault().set_backup_vault_name(name);
        let request = request.max_results(SHOWN);
        let answer = aws.call("backup:ListRecoveryPointsByBackupVault", request.send()).await?;
        let named = |one: &RecoveryPointByBackupVault| {
            let of = one.resource_arn().unwrap_or("something");
            Blocker::new(format!("recovery point {} of {of}", one.recovery_point_arn().unwrap_or_default()))
        };
        Ok(answer.recovery_points().iter().map(named).collect())
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(look(aws, id).await?.map_or(Progress::Gone, |vault| {
            Progress::ready([("arn", id.clone()), ("name", vault.backup_vault_name.unwrap_or_default())])
        }))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set.clone(), gone.to_vec()).await
    }
}

/// Recovery points that are named.
const SHOWN: i32 = 5;

/// The region in an ARN.
fn region_in(arn: &str) -> Option<&str> {
    arn.split(':').nth(3).filter(|region| !region.is_empty())
}

/// The clients of the region that an ARN names.
fn at(aws: &Aws, arn: &str) -> Arc<Aws> {
    aws.in_region(region_in(arn).unwrap_or_default())
}

fn kept(name: &str, points: i64) -> Failure {
    let message = format!(
        "the vault {name} holds {points} recovery points, which are never deleted from here: it stays until they have \
         expired, or until you delete them in AWS Backup. Then run this again"
    );
    Failure::new("backup:DeleteBackupVault", "HoldsRecoveryPoints", message)
}

async fn home(aws: &Aws, scope: &Scope) -> Result<Vec<Live<BackupVault>>> {
    if !tagging::may_exist(aws, scope, BackupVault::NAME, ":backup-vault:").await? {
        return Ok(Vec::new());
    }
    let index = tagging::index(aws, scope).await?;
    ours(aws, scope, &index, None).await
}

async fn elsewhere(aws: &Aws, scope: &Scope, region: &str) -> Result<Vec<Live<BackupVault>>> {
    let there = aws.in_region(region);
    let filter = |key: &str, value: &str| TagFilter::builder().key(key).values(value).build();
    let request = there.tagging().get_resources().resource_type_filters(TYPE);
    let request = request.tag_filters(filter(PROJECT, &scope.project));
    let request = request.tag_filters(filter(ENVIRONMENT, &scope.environment));
    let pages = request.into_paginator().items().send();
    let found = aws.call("tagging:GetResources", pages.collect::<Result<Vec<_>, _>>()).await?;
    let arns = found.into_iter().filter_map(|resource| Some((resource.resource_arn?, Tags::new())));
    ours(&there, scope, &arns.collect(), Some(region)).await
}

/// Ours among all vaults of a region: those that the index knows, and those whose names are in the file or begin as ours
/// do. The service does not tell a vault that is not there from one that we may not see, so that all are listed.
async fn ours(
    there: &Aws,
    scope: &Scope,
    index: &BTreeMap<String, Tags>,
    region: Option<&str>,
) -> Result<Vec<Live<BackupVault>>> {
    let wanted: BTreeSet<String> = scope
        .wanted(BackupVault::NAME)
        .map(|identity| scope.names.get(&identity.address).cloned().unwrap_or_else(|| identity.aws_name(NAME_LIMIT)))
        .collect();
    if wanted.is_empty() && !index.keys().any(|arn| arn.contains(":backup-vault:")) {
        return Ok(Vec::new());
    }
    let candidate = |vault: &&Vault| {
        let name = vault.backup_vault_name().unwrap_or_default();
        index.contains_key(vault.backup_vault_arn().unwrap_or_default())
            || wanted.contains(name)
            || name.starts_with(&scope.prefix())
    };
    let vaults = vaults(there).await?;
    let reads = vaults.iter().filter(candidate).map(|vault| read(there, vault, region));
    let found = try_join_all(reads).await?.into_iter().flatten();
    Ok(found.filter(|live| scope.owns(BackupVault::NAME, &live.identity)).collect())
}

async fn vaults(there: &Aws) -> Result<Vec<Vault>> {
    let pages = there.backup().list_backup_vaults().into_paginator().items().send();
    there.call("backup:ListBackupVaults", pages.collect::<Result<Vec<_>, _>>()).await
}

async fn look(aws: &Aws, arn: &str) -> Result<Option<Vault>> {
    let found = vaults(&at(aws, arn)).await?.into_iter();
    Ok(found.into_iter().find(|vault| vault.backup_vault_arn() == Some(arn)))
}

/// The vault as ours, where its tags say so.
async fn read(there: &Aws, vault: &Vault, region: Option<&str>) -> Result<Option<Live<BackupVault>>> {
    let arn = vault.backup_vault_arn().unwrap_or_default();
    let name = vault.backup_vault_name().unwrap_or_default();
    let Some(tags) = read_tags(there, arn).await? else { return Ok(None) };
    let Some(tagged) = there.tagged(&tags) else { return Ok(None) };
    let spec = BackupVault {
        name: Some(name.to_owned()),
        region: region.map(str::to_owned),
        kms_key_arn: vault.encryption_key_arn().map(Arg::from),
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, arn, spec).output("arn", arn).output("name", name)))
}

/// The tags of a vault or a plan, where it exists.
pub(super) async fn read_tags(there: &Aws, arn: &str) -> Result<Option<Tags>> {
    let pages = there.backup().list_tags().resource_arn(arn).into_paginator().send();
    match there.call("backup:ListTags", pages.collect::<Result<Vec<_>, _>>()).await {
        Ok(pages) => Ok(Some(pages.into_iter().flat_map(|page| page.tags.unwrap_or_default()).collect())),
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Writes and removes tags of a vault or a plan.
pub(super) async fn write_tags(aws: &Aws, arn: &str, set: Tags, gone: Vec<String>) -> Result<()> {
    let there = at(aws, arn);
    if !set.is_empty() {
        let request = there.backup().tag_resource().resource_arn(arn).set_tags(Some(set.into_iter().collect()));
        aws.call("backup:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = there.backup().untag_resource().resource_arn(arn).set_tag_key_list(Some(gone));
        aws.call("backup:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_is_found_in_the_region_of_its_arn() {
        let arn = "arn:aws:backup:eu-west-1:123456789012:backup-vault:acme-test-copy";
        assert_eq!(region_in(arn), Some("eu-west-1"));
        assert_eq!(region_in("arn:aws:iam::123456789012:role/x"), None);
    }

    #[test]
    fn names_and_places_of_vaults() {
        let vault = |name: &str, region: Option<&str>| BackupVault {
            name: Some(name.into()),
            region: region.map(str::to_owned),
            kms_key_arn: None,
            tags: Tags::new(),
        };
        assert!(vault("acme-main", None).check().is_empty());
        assert_eq!(vault("acme.main", None).check()[0].path, "name");
        let clash = |region| BackupVault::CLASH.is_some_and(|clash| clash(&vault("a-b", None), &vault("a-b", region)));
        assert!(clash(None) && !clash(Some("eu-west-1")), "names are of a region");
    }
}
