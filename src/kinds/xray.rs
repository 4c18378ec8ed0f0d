//! What the kinds of X-Ray share: names and tags.

use aws_sdk_xray::types::Tag;

use crate::aws::Aws;
use crate::kind::{Class, Failure, Problem, Result};
use crate::tags::{Tagged, Tags};
use crate::value::Outputs;

/// The longest name of a rule or a group.
pub const NAME_LIMIT: usize = 32;

pub fn check_name(name: &str) -> Option<Problem> {
    let valid = (1..=NAME_LIMIT).contains(&name.len()) && name != "Default";
    let help = format!("use 1 to {NAME_LIMIT} characters; `Default` is AWS's own");
    (!valid).then(|| Problem::new("name", format!("X-Ray does not take the name `{name}`")).help(help))
}

pub fn invalid(error: &impl ToString) -> Failure {
    Failure::new("xray", "InvalidRequest", error.to_string())
}

pub fn sdk_tags(tags: Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().map_err(|error| invalid(&error));
    tags.into_iter().map(tag).collect()
}

/// What the tags of a rule or a group say; nothing where they are not ours, or where it is gone.
pub async fn tagged(aws: &Aws, arn: &str) -> Result<Option<Tagged>> {
    let pages = aws.xray().list_tags_for_resource().resource_arn(arn).send();
    let found = match aws.call("xray:ListTagsForResource", pages).await {
        Ok(answer) => answer.tags.unwrap_or_default(),
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(aws.tagged(&found.into_iter().map(|tag| (tag.key, tag.value)).collect()))
}

/// Writes and removes tags.
pub async fn retag(aws: &Aws, outputs: &Outputs, (set, gone): (Tags, Vec<String>)) -> Result<()> {
    let arn = outputs.get("arn").map(String::as_str).unwrap_or_default();
    if !set.is_empty() {
        let request = aws.xray().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)?));
        aws.call("xray:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.xray().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        aws.call("xray:UntagResource", request.send()).await?;
    }
    Ok(())
}
