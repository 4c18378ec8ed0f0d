//! What the kinds of RDS share: tags, which are not part of what lists answer, and names.

use aws_sdk_rds::types::{DbInstance, Tag};

use super::tagging;
use crate::aws::Aws;
use crate::kind::{Blocker, Failure, Live, Problem, Result, Scope};
use crate::tags::{self, Tags};

pub fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub fn read_tags(tags: &[Tag]) -> Tags {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    tags.iter().filter_map(pair).collect()
}

/// The tags of a subnet or parameter group.
pub async fn tags_of(aws: &Aws, arn: &str) -> Result<Tags> {
    let request = aws.rds().list_tags_for_resource().resource_name(arn);
    let answer = aws.call("rds:ListTagsForResource", request.send()).await?;
    Ok(read_tags(answer.tag_list()))
}

/// Those of `found` (ARN and name first) that may be ours: what the index knows, and what bears a name of ours and may
/// be too new for it. Their tags have to be read.
pub async fn candidates<T>(
    aws: &Aws,
    scope: &Scope,
    found: Vec<T>,
    key: fn(&T) -> (Option<&str>, Option<&str>),
) -> Result<Vec<T>> {
    let index = tagging::index(aws, scope).await?;
    let prefix = hyphens(&scope.prefix());
    let ours = |item: &T| {
        let (arn, name) = key(item);
        let known = |name: &str| name.starts_with(&prefix) || index.contains_key(name);
        arn.is_some_and(|arn| index.contains_key(arn)) || name.is_some_and(known)
    };
    Ok(found.into_iter().filter(ours).collect())
}

/// Brings the tags of ours on a resource from `before` to `after`.
pub async fn retag(aws: &Aws, arn: &str, before: &Tags, after: &Tags) -> Result<()> {
    let (set, gone) = tags::difference(before, after);
    write_tags(aws, arn, &set, &gone).await
}

/// Writes tags beside those that are there, and removes some.
pub async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.rds().add_tags_to_resource().resource_name(arn).set_tags(Some(sdk_tags(set)));
        aws.call("rds:AddTagsToResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.rds().remove_tags_from_resource().resource_name(arn).set_tag_keys(Some(gone.to_vec()));
        aws.call("rds:RemoveTagsFromResource", request.send()).await?;
    }
    Ok(())
}

/// The ARN of a live resource, by which tags are written.
pub fn arn<T>(live: &Live<T>) -> Result<&str> {
    let missing = || Failure::new("rds", "NoArn", format!("{} has no ARN among its outputs", live.identity.address));
    live.outputs.get("arn").map(String::as_str).ok_or_else(missing)
}

/// Whether a create failed because the name is in use.
pub fn exists(failure: &Failure) -> bool {
    failure.code.ends_with("AlreadyExists") || failure.code.ends_with("AlreadyExistsFault")
}

/// A generated name in the alphabet of RDS, which knows no underscore and no two hyphens in a row.
pub fn hyphens(name: &str) -> String {
    let mut name = name.replace('_', "-").to_lowercase();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name
}

/// The instances of which this is true, as what keeps a group from being deleted.
pub async fn users(aws: &Aws, uses: impl Fn(&DbInstance) -> bool) -> Result<Vec<Blocker>> {
    let pages = aws.rds().describe_db_instances().into_paginator().items().send();
    let all = aws.call("rds:DescribeDBInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
    let named = |one: &DbInstance| {
        let tags = one.tag_list().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
        let named = Blocker::tagged("database", one.db_instance_identifier(), None, &tags.collect());
        named.passing(one.db_instance_status() == Some("deleting"))
    };
    Ok(all.iter().filter(|one| uses(one)).map(named).collect())
}

/// The rule for the names of instances and parameter groups.
pub fn check_name(name: &str, limit: usize) -> Option<Problem> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= limit
        && name.chars().all(letters)
        && !name.contains("--")
        && !name.ends_with('-');
    let help = format!(
        "use up to {limit} lower-case letters, digits and single hyphens, a letter first and no hyphen at the end"
    );
    (!valid).then(|| Problem::new("name", format!("RDS does not take the name `{name}`")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_rds() {
        assert_eq!(hyphens("acme-test-my_db__2"), "acme-test-my-db-2");
        assert_eq!(check_name("acme-test-main", 63), None);
        for wrong in ["", "Main", "1main", "main-", "ma--in", "ma_in"] {
            assert!(check_name(wrong, 63).is_some(), "{wrong}");
        }
    }
}
