//! What web ACLs and IP sets share: names in ARNs, tags, the lists of a region.

use aws_sdk_wafv2::types::Tag;

use crate::aws::Aws;
use crate::kind::{Failure, Result};
use crate::tags::Tags;

/// Web ACLs and IP sets that one page of a list holds.
pub const PAGE: i32 = 100;

/// The name and the id in an ARN such as `arn:aws:wafv2:us-east-1:123456789012:regional/webacl/NAME/ID`.
pub fn name_and_id(arn: &str) -> (&str, &str) {
    let mut parts = arn.rsplit('/');
    let id = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), id)
}

/// Whether this is the ARN of a thing of this sort (`webacl`, `ipset`) in a region.
pub fn is(arn: &str, sort: &str) -> bool {
    arn.contains(":wafv2:") && arn.contains(&format!(":regional/{sort}/"))
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
