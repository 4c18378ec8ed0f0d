//! What web ACLs and IP sets share: names in ARNs, tags, the lists of a region.

use aws_sdk_wafv2::types::Tag;
use futures::future::try_join_all;

use super::tagging;
use crate::aws::Aws;
use crate::kind::{Failure, Kind, Live, Result, Scope};
use crate::tags::Tags;

pub const NAME_LIMIT: usize = 128;

/// Web ACLs and IP sets that one page of a list holds.
pub const PAGE: i32 = 100;

/// The name and the id in an ARN such as `arn:aws:wafv2:us-east-1:123456789012:regional/webacl/NAME/ID`.
pub fn name_and_id(arn: &str) -> (&str, &str) {
    let mut parts = arn.rsplit('/');
    let id = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), id)
}

/// A web ACL or an IP set: what has a name, an id, and tags that only a call of its own tells.
pub trait Named: Kind {
    /// Stands before the name in an ARN.
    const SORT: &'static str;

    /// The ARNs of all of the region.
    fn all(aws: &Aws) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// The one as ours, where it exists still and carries our tags.
    fn read(aws: &Aws, arn: &str) -> impl Future<Output = Result<Option<Live<Self>>>> + Send;
}

/// What the index knows, and what the file wants and the index may not know yet.
pub async fn list<K: Named>(aws: &Aws, scope: &Scope) -> Result<Vec<Live<K>>> {
    if !tagging::may_exist(aws, scope, K::NAME, K::SORT).await? {
        return Ok(Vec::new());
    }
    let index = tagging::index(aws, scope).await?;
    let known: Vec<&String> = index.keys().filter(|arn| arn.contains(":wafv2:") && arn.contains(K::SORT)).collect();
    let ours = |live: &Live<K>| scope.owns(K::NAME, &live.identity);
    let reads = try_join_all(known.iter().map(|arn| K::read(aws, arn))).await?;
    let mut live: Vec<_> = reads.into_iter().flatten().filter(ours).collect();
    let missing = scope.wanted(K::NAME).filter(|wanted| !live.iter().any(|live| live.identity == *wanted));
    let name = |identity: crate::address::Identity| {
        scope.names.get(&identity.address).cloned().unwrap_or_else(|| identity.aws_name(NAME_LIMIT))
    };
    let missing: Vec<String> = missing.map(name).collect();
    if !missing.is_empty() {
        let mut arns = K::all(aws).await?;
        arns.retain(|arn| !known.contains(&arn) && missing.iter().any(|name| name == name_and_id(arn).0));
        let found = try_join_all(arns.iter().map(|arn| K::read(aws, arn))).await?;
        live.extend(found.into_iter().flatten().filter(ours));
    }
    Ok(live)
}

/// What has this name, where it is ours.
pub async fn find<K: Named>(aws: &Aws, name: &str) -> Result<Option<Live<K>>> {
    match K::all(aws).await?.iter().find(|arn| name_and_id(arn).0 == name) {
        Some(arn) => K::read(aws, arn).await,
        None => Ok(None),
    }
}

pub async fn tags_of(aws: &Aws, arn: &str) -> Result<Tags> {
    let request = aws.waf().list_tags_for_resource().resource_arn(arn).limit(PAGE);
    let answer = aws.call("waf:ListTagsForResource", request.send()).await?;
    let tags = answer.tag_info_for_resource.and_then(|info| info.tag_list).unwrap_or_default();
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

pub fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    let wrong = |error: aws_smithy_types::error::operation::BuildError| {
        Failure::new("waf:tags", "InvalidTag", error.to_string())
    };
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(wrong)
}

pub async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: Vec<String>) -> Result<()> {
    if !set.is_empty() {
        let request = aws.waf().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)?));
        aws.call("waf:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.waf().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        aws.call("waf:UntagResource", request.send()).await?;
    }
    Ok(())
}
