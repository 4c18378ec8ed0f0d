//! What the kinds of EC2 share: tags at creation, tag filters, changes of tags, ids and ranges.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use ipnet::IpNet;

use crate::address::{ENVIRONMENT, Identity, PROJECT};
use crate::aws::Aws;
use crate::kind::{Failure, Id, Result, Scope};
use crate::tags::{self, Tags};
use crate::value::Arg;

/// The tags of a create request.
pub fn specification(kind: ResourceType, identity: &Identity, user: &Tags) -> TagSpecification {
    let tags = tags::encode_named(identity, user);
    TagSpecification::builder().resource_type(kind).set_tags(Some(sdk_tags(&tags))).build()
}

pub fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The filters that leave only this environment's resources, and none where something else is being adopted.
pub fn ours(aws: &Aws, scope: &Scope) -> Vec<Filter> {
    if aws.adopting().is_some() {
        return Vec::new();
    }
    vec![
        filter(&format!("tag:{PROJECT}"), [&scope.project]),
        filter(&format!("tag:{ENVIRONMENT}"), [&scope.environment]),
    ]
}

pub fn filter<S: Into<String>>(name: &str, values: impl IntoIterator<Item = S>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(Into::into).collect())).build()
}

/// The tags of an answer.
pub fn read_tags(tags: &[Tag]) -> Tags {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    tags.iter().filter_map(pair).collect()
}

/// Brings the user's tags of a resource from `old` to `new`.
pub async fn retag(aws: &Aws, id: &str, identity: &Identity, old: &Tags, new: &Tags) -> Result<()> {
    let (set, gone) = tags::change(identity, old, new);
    write_tags(aws, id, &set, &gone).await
}

/// Writes tags beside those that are there, and removes some.
pub async fn write_tags(aws: &Aws, id: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.ec2().create_tags().resources(id).set_tags(Some(sdk_tags(set)));
        aws.call("ec2:CreateTags", request.send()).await?;
    }
    if !gone.is_empty() {
        let gone = gone.iter().map(|key| Tag::builder().key(key).build()).collect();
        let request = aws.ec2().delete_tags().resources(id).set_tags(Some(gone));
        aws.call("ec2:DeleteTags", request.send()).await?;
    }
    Ok(())
}

/// The id in the answer to a create.
pub fn made(operation: &str, id: Option<&str>) -> Result<Id> {
    id.map(str::to_owned).ok_or_else(|| Failure::new(operation, "NoId", "the answer holds no id"))
}

/// An IP range as AWS stores it: without the bits outside its prefix, and IPv6 in its short form. What is no range is
/// left as it is.
pub fn canonical_range(range: &mut Arg<String>) {
    if let Arg::Known(text) = range
        && let Ok(net) = text.parse::<IpNet>()
    {
        *text = net.trunc().to_string();
    }
}

/// Whether AWS takes this as the description of a security group or of a rule.
pub fn is_description(text: &str) -> bool {
    text.len() <= 255 && text.chars().all(|c| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c))
}

pub const NOT_A_DESCRIPTION: &str = "AWS does not take this as a description";
pub const DESCRIPTION_HELP: &str =
    "use at most 255 letters (a to z), digits, spaces and . _ - : / ( ) # , @ [ ] + = & ; { } ! $ *";
