//! The tagging API, read once a plan for the whole environment. It is an index: it learns of a new resource late and
//! forgets a deleted one later, so that what it says is a candidate, which the service's own read confirms.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_resourcegroupstagging::types::TagFilter;

use crate::address::{ENVIRONMENT, PROJECT};
use crate::aws::Aws;
use crate::kind::{Result, Scope};
use crate::tags::{self, Tags};

/// As many as AWS puts on one page.
const PAGE: i32 = 100;

/// The tags of everything in this environment by ARN, as far as the index knows.
pub async fn index(aws: &Aws, scope: &Scope) -> Result<Arc<BTreeMap<String, Tags>>> {
    let read = || async {
        let filter = |key: &str, value: &str| TagFilter::builder().key(key).values(value).build();
        let request = aws.tagging().get_resources().resources_per_page(PAGE);
        let request = request.tag_filters(filter(PROJECT, &scope.project));
        let request = request.tag_filters(filter(ENVIRONMENT, &scope.environment));
        let pages = request.into_paginator().items().send();
        let found = aws.call("tagging:GetResources", pages.collect::<Result<Vec<_>, _>>()).await?;
        let entry = |resource: aws_sdk_resourcegroupstagging::types::ResourceTagMapping| {
            let tags = resource.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
            Some((resource.resource_arn?, tags))
        };
        let mut found: BTreeMap<String, Tags> = found.into_iter().filter_map(entry).collect();
        // What is being adopted is looked at as if the index knew it already.
        if let Some(adopting) = aws.adopting() {
            found.insert(adopting.id.clone(), tags::encode(&adopting.identity, &Tags::new()));
        }
        Ok(found)
    };
    scope.memo.get("tagging.index", read).await
}

/// Whether there may be one of this kind: the file has one, or the index knows an ARN with `part` in it. All others need
/// not be read.
pub async fn may_exist(aws: &Aws, scope: &Scope, kind: &str, part: &str) -> Result<bool> {
    Ok(scope.wanted(kind).next().is_some() || index(aws, scope).await?.keys().any(|arn| arn.contains(part)))
}

/// Whether what a service lists under this ARN and name may be ours: the index says so, or the file wants this name.
/// `limit` is that of generated names.
pub fn candidate(
    index: &BTreeMap<String, Tags>,
    scope: &Scope,
    kind: &str,
    (arn, name): (&str, &str),
    limit: usize,
) -> bool {
    let wanted = |identity: crate::address::Identity| match scope.names.get(&identity.address) {
        Some(given) => given == name,
        None => identity.aws_name(limit) == name,
    };
    index.get(arn).is_some_and(|tags| scope.ours(kind, tags).is_some()) || scope.wanted(kind).any(wanted)
}
