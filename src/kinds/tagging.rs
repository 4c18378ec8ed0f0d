//! The tagging API as an index: one call says what this environment may hold. It lags behind by seconds to an hour, so
//! it names candidates and proves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_resourcegroupstagging::types::TagFilter;

use crate::address::{ENVIRONMENT, PROJECT};
use crate::aws::Aws;
use crate::kind::{Result, Scope};
use crate::tags::Tags;

/// The tags of everything in this region that carries this environment's tags, by ARN.
pub async fn index(aws: &Aws, scope: &Scope) -> Result<Arc<BTreeMap<String, Tags>>> {
    let filter = |key: &str, value: &str| TagFilter::builder().key(key).values(value).build();
    let filters = vec![filter(PROJECT, &scope.project), filter(ENVIRONMENT, &scope.environment)];
    let read = || async {
        let request = aws.tagging().get_resources().set_tag_filters(Some(filters)).resources_per_page(100);
        let pages = request.into_paginator().items().send();
        let found = aws.call("tagging:GetResources", pages.collect::<Result<Vec<_>, _>>()).await?;
        let read = |mapping: aws_sdk_resourcegroupstagging::types::ResourceTagMapping| {
            let tags = mapping.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
            Some((mapping.resource_arn()?.to_owned(), tags))
        };
        Ok(found.into_iter().filter_map(read).collect())
    };
    scope.memo.get("tagging:index", read).await
}
