//! What the kinds of ElastiCache share: tags, which are not part of what lists answer, and names.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticache::types::{CacheCluster, Tag};

use super::{rds, tagging};
use crate::aws::Aws;
use crate::kind::{Blocker, Problem, Result, Scope};
use crate::tags::{self, Tags};

pub fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub async fn tags_of(aws: &Aws, arn: &str) -> Result<Tags> {
    let request = aws.elasticache().list_tags_for_resource().resource_name(arn);
    let answer = aws.call("elasticache:ListTagsForResource", request.send()).await?;
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    Ok(answer.tag_list().iter().filter_map(pair).collect())
}

/// What may be ours, by which of ARN and name it is known.
pub struct Candidates {
    index: std::sync::Arc<BTreeMap<String, Tags>>,
    prefix: String,
    names: BTreeSet<String>,
}

impl Candidates {
    /// Those of a kind whose names have at most `limit` characters.
    pub async fn of(aws: &Aws, scope: &Scope, kind: &str, limit: usize) -> Result<Self> {
        let name = |identity: crate::address::Identity| match scope.names.get(&identity.address) {
            Some(name) => name.clone(),
            None => generated(&identity.aws_name(limit)),
        };
        Ok(Self {
            index: tagging::index(aws, scope).await?,
            prefix: generated(&scope.prefix()),
            names: scope.wanted(kind).map(name).collect(),
        })
    }

    /// Whether the index knows it, or its name is one that it may be too young for. Its tags have to be read.
    pub fn has(&self, arn: Option<&str>, name: Option<&str>) -> bool {
        arn.is_some_and(|arn| self.index.contains_key(arn))
            || name.is_some_and(|name| name.starts_with(&self.prefix) || self.names.contains(name))
    }

    /// What the index says of it, for the time in which AWS does not tell its tags otherwise.
    pub fn indexed(&self, arn: &str) -> Option<&Tags> {
        self.index.get(arn)
    }
}

/// Brings the tags of ours on a resource from `before` to `after`.
pub async fn retag(aws: &Aws, arn: &str, before: &Tags, after: &Tags) -> Result<()> {
    let (set, gone) = tags::difference(before, after);
    write_tags(aws, arn, &set, &gone).await
}

/// Writes tags beside those that are there, and removes some.
pub async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.elasticache().add_tags_to_resource().resource_name(arn).set_tags(Some(sdk_tags(set)));
        aws.call("elasticache:AddTagsToResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request =
            aws.elasticache().remove_tags_from_resource().resource_name(arn).set_tag_keys(Some(gone.to_vec()));
        aws.call("elasticache:RemoveTagsFromResource", request.send()).await?;
    }
    Ok(())
}

/// A generated name in the alphabet of ElastiCache, which is that of RDS.
pub fn generated(name: &str) -> String {
    rds::hyphens(name)
}

/// The rule for the names of caches and their groups.
pub fn check_name(name: &str, limit: usize) -> Option<Problem> {
    let problem = rds::check_name(name, limit)?;
    Some(Problem { message: format!("ElastiCache does not take the name `{name}`"), ..problem })
}

/// The clusters of which this is true, as what keeps a group from being deleted.
pub async fn users(aws: &Aws, uses: impl Fn(&CacheCluster) -> bool) -> Result<Vec<Blocker>> {
    let pages = aws.elasticache().describe_cache_clusters().into_paginator().items().send();
    let all = aws.call("elasticache:DescribeCacheClusters", pages.collect::<Result<Vec<_>, _>>()).await?;
    let named = |one: &CacheCluster| {
        let of = one.replication_group_id().map(|group| format!(" of replication group {group}"));
        let id = one.cache_cluster_id().unwrap_or_default();
        let named = Blocker::new(format!("cache {id}{}", of.unwrap_or_default()));
        named.passing(one.cache_cluster_status() == Some("deleting"))
    };
    Ok(all.iter().filter(|one| uses(one)).map(named).collect())
}
