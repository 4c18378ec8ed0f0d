//! How keys are found and read.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::types::{KeyMetadata, KeyState};
use futures::future::try_join_all;

use super::kept::{self, KEPT};
use super::{ALIAS, KmsKey, POLICY, alias, describe, key_tags, own};
use crate::address::Address;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Remark, Result, Scope};
use crate::kinds::deletion;
use crate::policy::Policy;

/// Where keys may be that the index, which lags behind, does not know yet: under their aliases, or without any where an
/// earlier run ended before it made one.
pub async fn unindexed(
    aws: &Aws,
    scope: &Scope,
    aliases: &BTreeMap<String, Id>,
    missing: &BTreeSet<Address>,
) -> Result<BTreeSet<Id>> {
    let name =
        |address| scope.names.get(address).cloned().unwrap_or_else(|| alias::generated(&scope.identity(address)));
    let mut candidates: BTreeSet<Id> =
        missing.iter().filter_map(|address| aliases.get(&name(address)).cloned()).collect();
    let pages = aws.kms().list_keys().into_paginator().items().send();
    let keys = aws.call("kms:ListKeys", pages.collect::<Result<Vec<_>, _>>()).await?;
    let named: BTreeSet<&str> = aliases.values().map(String::as_str).collect();
    let nameless = keys.iter().filter_map(|key| key.key_id()).filter(|id| !named.contains(id));
    candidates.extend(nameless.map(str::to_owned));
    candidates.extend(
        aws.adopting().filter(|one| keys.iter().any(|key| key.key_id() == Some(&one.id))).map(|one| one.id.clone()),
    );
    let ours = try_join_all(candidates.into_iter().map(|id| async move {
        match key_tags(aws, &id).await {
            Ok(tags) => Ok(scope.tagged(aws, KmsKey::NAME, &tags).map(|_| id)),
            // Most keys are of others, who need not let us look.
            Err(failure) if failure.class == Class::NotFound || failure.code == "AccessDeniedException" => Ok(None),
            Err(failure) => Err(failure),
        }
    }));
    Ok(ours.await?.into_iter().flatten().collect())
}

/// Those of the keys that are ours, with the times of their deletion.
pub async fn all(
    aws: &Aws,
    scope: &Scope,
    ids: &BTreeSet<Id>,
    aliases: &BTreeMap<String, Id>,
) -> Result<Vec<(Live<KmsKey>, i64)>> {
    let found = try_join_all(ids.iter().map(|id| read(aws, scope, id, aliases))).await?;
    Ok(found.into_iter().flatten().collect())
}

/// The key as ours with the time of its deletion, where it exists still and its tags say so.
async fn read(
    aws: &Aws,
    scope: &Scope,
    id: &str,
    aliases: &BTreeMap<String, Id>,
) -> Result<Option<(Live<KmsKey>, i64)>> {
    let rotation = aws.kms().get_key_rotation_status().key_id(id).send();
    let policy = aws.kms().get_key_policy().key_id(id).policy_name(POLICY).send();
    let answers = tokio::try_join!(
        describe(aws, id),
        key_tags(aws, id),
        aws.call("kms:GetKeyRotationStatus", rotation),
        aws.call("kms:GetKeyPolicy", policy),
    );
    let (key, tags, rotation, policy) = match answers {
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        answers => answers?,
    };
    let Some(tagged) = scope.tagged(aws, KmsKey::NAME, &tags) else { return Ok(None) };
    let identity = tagged.identity.clone();
    let alias = alias::of(tags.get(ALIAS), &identity);
    let policy = Policy::from_json(policy.policy().unwrap_or_default())
        .map_err(|error| Failure::new("kms:GetKeyPolicy", "UnreadablePolicy", error.to_string()))?;
    let here = aliases.get(&alias).is_some_and(|target| target == id);
    let spec = KmsKey {
        description: key.description().unwrap_or_default().to_owned(),
        policy: own(policy),
        enabled: key.enabled(),
        rotation: rotation.key_rotation_enabled(),
        rotation_days: rotation.rotation_period_in_days().and_then(|days| days.try_into().ok()),
        deletion_window_days: deletion::days(&tags),
        alias: if here { tags.get(ALIAS).cloned() } else { Some(alias::NONE.to_owned()) },
        multi_region: key.multi_region().unwrap_or_default(),
        tags: tagged.user.clone(),
    };
    let mut live = Live::new(tagged, id, spec).output("id", id);
    let arn = key.arn().unwrap_or_default();
    let kept = tags.contains_key(KEPT) && kept::snapshot(aws, arn).await?.is_some();
    live.health = if kept { Health::Restorable } else { health(&key) };
    if !here {
        live.notes.push(format!("the key's alias {alias} is missing").into());
    }
    let others = aliases.iter().filter(|(name, target)| **target == id && **name != alias);
    live.notes
        .extend(others.map(|(name, _)| Remark::foreign(format!("{name} points at the key too and is left alone"))));
    let live = live.output("arn", arn).output("alias", alias);
    // One that stays is nearer than any that goes.
    let date = if kept { i64::MAX } else { key.deletion_date().map_or(0, aws_smithy_types::DateTime::secs) };
    Ok(Some((live, date)))
}

fn health(key: &KeyMetadata) -> Health {
    match key.key_state() {
        Some(KeyState::Enabled | KeyState::Disabled) => Health::Ok,
        Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => Health::Restorable,
        Some(KeyState::Creating | KeyState::Updating) => Health::Pending,
        state => Health::Failed(format!("the key's state is {}", state.map_or("unknown", KeyState::as_str))),
    }
}

/// Leaves out keys that wait for their deletion where another key has taken their place, or was deleted after them.
pub fn latest(found: Vec<(Live<KmsKey>, i64)>) -> Vec<Live<KmsKey>> {
    let mut deleted: BTreeMap<Address, (Live<KmsKey>, i64)> = BTreeMap::new();
    let mut kept = Vec::new();
    for (live, date) in found {
        if live.health != Health::Restorable {
            kept.push(live);
        } else if deleted.get(&live.identity.address).is_none_or(|(_, other)| *other < date) {
            deleted.insert(live.identity.address.clone(), (live, date));
        }
    }
    let replaced: BTreeSet<Address> = kept.iter().map(|live| live.identity.address.clone()).collect();
    deleted.retain(|address, _| !replaced.contains(address));
    kept.extend(deleted.into_values().map(|(live, _)| live));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Identity;
    use crate::tags::{Tagged, Tags};

    fn live(id: &str, health: Health) -> Live<KmsKey> {
        let identity = Identity {
            project: "acme".into(),
            environment: "test".into(),
            address: Address::new(KmsKey::NAME, "main"),
        };
        let tagged = Tagged { identity, user: Tags::new(), deposed: false };
        Live { health, ..Live::new(tagged, id, serde_json::from_str("{}").unwrap()) }
    }

    #[test]
    fn only_the_last_key_that_was_deleted_comes_back() {
        let gone = |id, date| (live(id, Health::Restorable), date);
        let ids = |found| latest(found).into_iter().map(|live| live.id).collect::<Vec<_>>();
        assert_eq!(ids(vec![gone("a", 2), gone("b", 3), gone("c", 1)]), ["b"]);
        assert_eq!(ids(vec![gone("a", 2), (live("b", Health::Ok), 0)]), ["b"]);
    }
}
