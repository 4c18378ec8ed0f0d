//! What zones and records of Route 53 share: names and values in normal form, the list of zones, record sets.

use std::sync::Arc;

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, HostedZone, ResourceRecord, ResourceRecordSet, RrType,
};
use aws_smithy_types::error::operation::BuildError;

use crate::aws::Aws;
use crate::kind::{Class, Failure, Result, Scope};

/// Bytes in one string of a TXT record.
const TXT_PART: usize = 255;

/// A name in lower case without the dot at its end, as people write it: Route 53 answers `\052.example.com.`.
pub fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase().replace("\\052", "*")
}

/// The id of a zone without the path before it.
pub fn zone_id(id: &str) -> &str {
    id.strip_prefix("/hostedzone/").unwrap_or(id)
}

/// A text as a TXT record holds it: strings of at most 255 bytes in quotes.
pub fn quoted(text: &str) -> String {
    let bytes = text.as_bytes();
    let part = |part: &[u8]| {
        let escaped = part.iter().fold(String::new(), |mut out, byte| {
            match byte {
                b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => out.push(char::from(*byte)),
                other => out.push_str(&format!("\\{other:03o}")),
            }
            out
        });
        format!("\"{escaped}\"")
    };
    if bytes.is_empty() {
        return part(bytes);
    }
    bytes.chunks(TXT_PART).map(part).collect::<Vec<_>>().join(" ")
}

/// The text of a TXT record's strings, put together.
pub fn unquoted(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    let mut inside = false;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'"', _) => inside = !inside,
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            (b'\\', [other, after @ ..]) => {
                bytes.push(*other);
                rest = after;
            }
            // Outside of quotes, spaces part strings.
            (b' ', _) if !inside => {}
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All public zones of the account, read once a plan.
pub async fn zones(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<HostedZone>>> {
    scope.memo.get("route53.zones", || all_zones(aws)).await
}

pub async fn all_zones(aws: &Aws) -> Result<Vec<HostedZone>> {
    let pages = aws.route53().list_hosted_zones().into_paginator().items().send();
    let all = aws.call("route53:ListHostedZones", pages.collect::<Result<Vec<_>, _>>()).await?;
    Ok(all.into_iter().filter(|zone| !zone.config().is_some_and(|config| config.private_zone())).collect())
}

/// Every record set of a zone; nothing where the zone is gone.
pub async fn records(aws: &Aws, zone: &str) -> Result<Vec<ResourceRecordSet>> {
    let mut all = Vec::new();
    let mut start: Option<(Option<String>, Option<RrType>, Option<String>)> = Some((None, None, None));
    while let Some((name, kind, identifier)) = start.take() {
        let request = aws.route53().list_resource_record_sets().hosted_zone_id(zone).set_start_record_name(name);
        let request = request.set_start_record_type(kind).set_start_record_identifier(identifier);
        match aws.call("route53:ListResourceRecordSets", request.send()).await {
            Ok(page) => {
                if page.is_truncated {
                    start = Some((page.next_record_name, page.next_record_type, page.next_record_identifier));
                }
                all.extend(page.resource_record_sets);
            }
            Err(failure) if failure.class == Class::NotFound => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        }
    }
    Ok(all)
}

/// The record set with exactly this name and type.
pub async fn record(aws: &Aws, zone: &str, name: &str, kind: &RrType) -> Result<Option<ResourceRecordSet>> {
    let request = aws.route53().list_resource_record_sets().hosted_zone_id(zone).start_record_name(name);
    let request = request.start_record_type(kind.clone()).max_items(1);
    let answer = aws.call("route53:ListResourceRecordSets", request.send()).await?;
    let found = answer.resource_record_sets.into_iter().next();
    Ok(found.filter(|set| plain(set.name()) == name && set.r#type() == kind))
}

/// Changes record sets, all or none.
pub async fn change(aws: &Aws, zone: &str, changes: Vec<(ChangeAction, ResourceRecordSet)>) -> Result<()> {
    let change = |(action, set)| Change::builder().action(action).resource_record_set(set).build();
    let changes = changes.into_iter().map(change).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    let batch = ChangeBatch::builder().set_changes(Some(changes)).build().map_err(invalid)?;
    let request = aws.route53().change_resource_record_sets().hosted_zone_id(zone).change_batch(batch);
    aws.call("route53:ChangeResourceRecordSets", request.send()).await.map(drop)
}

/// A record set with values, as Route 53 writes them.
pub fn set_of(name: &str, kind: RrType, ttl: u32, values: &[String]) -> Result<ResourceRecordSet> {
    let record = |value: &String| ResourceRecord::builder().value(value).build();
    let records = values.iter().map(record).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    let set = ResourceRecordSet::builder().name(name).r#type(kind).ttl(i64::from(ttl));
    set.set_resource_records(Some(records)).build().map_err(invalid)
}

/// A record set that stands for what another name of AWS answers.
pub fn alias_of(name: &str, kind: RrType, zone: &str, target: &str, health: bool) -> Result<ResourceRecordSet> {
    let alias = AliasTarget::builder().hosted_zone_id(zone).dns_name(target).evaluate_target_health(health);
    let alias = alias.build().map_err(invalid)?;
    ResourceRecordSet::builder().name(name).r#type(kind).alias_target(alias).build().map_err(invalid)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn invalid(error: BuildError) -> Failure {
    Failure::new("route53:ChangeResourceRecordSets", "InvalidRecord", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_quotes_backslashes_other_letters_and_length() {
        for text in ["v=spf1 -all", "say \"hi\" \\ there", "grüße", "", &"x".repeat(600)] {
            assert_eq!(unquoted(&quoted(text)), text);
        }
        assert_eq!(quoted(&"x".repeat(256)), format!("\"{}\" \"x\"", "x".repeat(255)));
        assert_eq!(quoted("ü"), "\"\\303\\274\"");
    }

    #[test]
    fn names_are_as_people_write_them() {
        assert_eq!(plain("\\052.Example.com."), "*.example.com");
        assert_eq!(zone_id("/hostedzone/Z1"), "Z1");
    }
}
