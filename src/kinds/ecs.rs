//! What the kinds of ECS share: tags, clusters, names.

use std::sync::Arc;

use aws_sdk_ecs::types::{Cluster, ClusterField, Tag};

use crate::aws::Aws;
use crate::kind::{Problem, Result, Scope};
use crate::tags::{self, Tags};

/// Clusters that one request may describe.
const AT_ONCE: usize = 100;

pub fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub fn read_tags(tags: &[Tag]) -> Tags {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    tags.iter().filter_map(pair).collect()
}

/// Brings the tags of ours on a resource from `before` to `after`.
pub async fn retag(aws: &Aws, arn: &str, before: &Tags, after: &Tags) -> Result<()> {
    let (set, gone) = tags::difference(before, after);
    write_tags(aws, arn, &set, &gone).await
}

/// Writes tags beside those that are there, and removes some.
pub async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.ecs().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)));
        aws.call("ecs:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.ecs().untag_resource().resource_arn(arn).set_tag_keys(Some(gone.to_vec()));
        aws.call("ecs:UntagResource", request.send()).await?;
    }
    Ok(())
}

/// All clusters of the region that are not deleted, whosever they are, with tags and settings.
pub async fn clusters(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<Cluster>>> {
    let read = || async {
        let arns = aws.ecs().list_clusters().into_paginator().items().send();
        let arns = aws.call("ecs:ListClusters", arns.collect::<Result<Vec<_>, _>>()).await?;
        let mut clusters = Vec::new();
        for some in arns.chunks(AT_ONCE) {
            clusters.extend(describe_clusters(aws, some).await?);
        }
        clusters.retain(|cluster| cluster.status() != Some("INACTIVE"));
        Ok(clusters)
    };
    scope.memo.get("ecs:clusters", read).await
}

/// Those of these clusters that AWS still knows, by name or ARN.
pub async fn describe_clusters(aws: &Aws, clusters: &[String]) -> Result<Vec<Cluster>> {
    let request = aws.ecs().describe_clusters().set_clusters(Some(clusters.to_vec()));
    let request =
        request.include(ClusterField::Tags).include(ClusterField::Settings).include(ClusterField::Attachments);
    let answer = aws.call("ecs:DescribeClusters", request.send()).await?;
    Ok(answer.clusters.unwrap_or_default())
}

/// The rule for the names of clusters, services, families and containers.
pub fn check_name(path: &str, name: &str) -> Option<Problem> {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let valid = !name.is_empty() && name.len() <= 255 && name.chars().all(letters);
    let help = "use up to 255 letters, digits, hyphens and underscores";
    (!valid).then(|| Problem::new(path, format!("ECS does not take the name `{name}`")).help(help))
}
