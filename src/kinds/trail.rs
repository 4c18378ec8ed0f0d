//! A trail of CloudTrail: the log of all calls to AWS in the account.

use aws_sdk_cloudtrail::types::{Tag, Trail as Found};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Remark, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 128;
/// Trails whose tags one request reads.
const BATCH: usize = 20;

/// A trail of CloudTrail: the log of all calls to AWS in the account, in files in a bucket.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trail {
    /// The name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The bucket for the files. Its policy must let CloudTrail write.
    pub bucket_name: Arg<String>,
    /// How the names of the files begin, before `/AWSLogs/`; left out, with `AWSLogs/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Whether calls in all regions are logged, rather than those in this one.
    #[serde(default)]
    pub multi_region: bool,
    /// Whether calls to services without a region, such as IAM, are logged.
    #[serde(default = "yes")]
    pub global_events: bool,
    /// Whether CloudTrail signs a digest each hour, by which changed or missing files are found out.
    #[serde(default)]
    pub log_validation: bool,
    /// The ARN of the key that encrypts the files; left out, the bucket's own encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    /// Whether the trail is on.
    #[serde(default = "yes")]
    pub logging: bool,
    #[serde(default)]
    pub tags: Tags,
}

const fn yes() -> bool {
    true
}

impl Kind for Trail {
    const NAME: &'static str = "trail";
    const RIGHTS: Rights = Rights {
        read: "cloudtrail:DescribeTrails cloudtrail:GetTrail cloudtrail:GetTrailStatus cloudtrail:ListTags",
        create: "cloudtrail:AddTags cloudtrail:CreateTrail",
        update: "cloudtrail:AddTags cloudtrail:RemoveTags cloudtrail:StartLogging cloudtrail:StopLogging \
            cloudtrail:UpdateTrail",
        delete: "cloudtrail:DeleteTrail",
        on: "cloudtrail:trail/{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const UNIQUE: &'static [&'static str] = &["name"];

    fn shell(&self) -> Self {
        Self { logging: false, ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = self.name.as_ref().filter(|name| !is_name(name)) {
            let help = format!("use 3 to {NAME_LIMIT} letters, digits and single `.`, `_` and `-` between them");
            problems.push(Problem::new("name", format!("CloudTrail does not take the name `{name}`")).help(help));
        }
        if self.multi_region && !self.global_events {
            let problem =
                Problem::new("global_events", "a trail of all regions logs the services without a region too");
            problems.push(problem.help("remove `global_events: false`, or `multi_region`"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":cloudtrail:").await? {
            return Ok(Vec::new());
        }
        // A region has five trails at most, so that all are read.
        let request = aws.cloudtrail().describe_trails().include_shadow_trails(false);
        let answer = aws.call("cloudtrail:DescribeTrails", request.send()).await?;
        let found = read(aws, answer.trail_list()).await?;
        Ok(found.into_iter().filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| generated_name(&making.identity));
        let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?.cloned();
        let request = aws.cloudtrail().create_trail().name(&name).s3_bucket_name(self.bucket_name.get()?);
        let request = request.set_s3_key_prefix(self.prefix.clone()).set_kms_key_id(key);
        let request = request.is_multi_region_trail(self.multi_region).enable_log_file_validation(self.log_validation);
        let request = request.include_global_service_events(self.global_events);
        let request = request.set_tags_list(Some(sdk_tags(&tags::encode(&making.identity, &self.tags))?));
        let operation = "cloudtrail:CreateTrail";
        match aws.call(operation, request.send()).await {
            Ok(answer) => answer
                .trail_arn()
                .map(str::to_owned)
                .ok_or_else(|| Failure::new(operation, "NoId", "the answer holds no ARN")),
            Err(failure) if failure.code == "TrailAlreadyExistsException" => {
                let found = match look(aws, &name).await? {
                    Some(trail) => read(aws, &[trail]).await?.pop(),
                    None => None,
                };
                adopt::adopt(self, aws, making, (&name, found), operation).await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (id, old) = (&live.id, &live.spec);
        // An empty text takes out what was there.
        let changed =
            |new: Option<&String>, old: Option<&String>| (new != old).then(|| new.cloned().unwrap_or_default());
        let key = |spec: &Self| spec.kms_key_arn.as_ref().map(Arg::get).transpose().map(|key| key.cloned());
        let request = aws.cloudtrail().update_trail().name(id);
        let request = request.set_s3_bucket_name(changed(Some(self.bucket_name.get()?), Some(old.bucket_name.get()?)));
        let request = request.set_s3_key_prefix(changed(self.prefix.as_ref(), old.prefix.as_ref()));
        let request = request.set_kms_key_id(changed(key(self)?.as_ref(), key(old)?.as_ref()));
        let flag = |new: bool, old: bool| (new != old).then_some(new);
        let request = request.set_enable_log_file_validation(flag(self.log_validation, old.log_validation));
        // AWS checks these two against each other within one request.
        let scope = (self.multi_region, self.global_events) != (old.multi_region, old.global_events);
        let request = request.set_is_multi_region_trail(scope.then_some(self.multi_region));
        let request = request.set_include_global_service_events(scope.then_some(self.global_events));
        if !self.same_settings(old) {
            aws.call("cloudtrail:UpdateTrail", request.send()).await?;
        }
        match (old.logging, self.logging) {
            (false, true) => {
                aws.call("cloudtrail:StartLogging", aws.cloudtrail().start_logging().name(id).send()).await?;
            }
            (true, false) => {
                aws.call("cloudtrail:StopLogging", aws.cloudtrail().stop_logging().name(id).send()).await?;
            }
            _ => {}
        }
        let (set, gone) = tags::change(&live.identity, &old.tags, &self.tags);
        write_tags(aws, id, &set, &gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.cloudtrail().delete_trail().name(&live.id);
        aws.call("cloudtrail:DeleteTrail", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(look(aws, id).await?.map_or(Progress::Gone, |trail| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            Progress::ready([("arn", text(trail.trail_arn())), ("name", text(trail.name()))])
        }))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set, gone).await
    }
}

impl Trail {
    /// Whether `UpdateTrail` has nothing to change.
    fn same_settings(&self, other: &Self) -> bool {
        let settings = |trail: &Self| {
            let flags = (trail.multi_region, trail.global_events, trail.log_validation);
            (trail.bucket_name.clone(), trail.prefix.clone(), trail.kms_key_arn.clone(), flags)
        };
        settings(self) == settings(other)
    }
}

/// The name that an environment's trail has where the file chooses none. Policies name it before it exists.
#[must_use]
pub fn generated_name(identity: &Identity) -> String {
    identity.aws_name(NAME_LIMIT)
}

/// Those of the trails that carry tags of ours.
async fn read(aws: &Aws, trails: &[Found]) -> Result<Vec<Live<Trail>>> {
    let arns: Vec<&str> = trails.iter().filter_map(Found::trail_arn).collect();
    let batches = arns.chunks(BATCH).map(|batch| async move {
        let batch = batch.iter().map(|arn| (*arn).to_owned()).collect();
        let pages = aws.cloudtrail().list_tags().set_resource_id_list(Some(batch)).into_paginator().items().send();
        aws.call("cloudtrail:ListTags", pages.collect::<Result<Vec<_>, _>>()).await
    });
    let tags: Vec<_> = try_join_all(batches).await?.into_iter().flatten().collect();
    let ours = trails.iter().filter_map(|trail| {
        let found = tags.iter().find(|found| found.resource_id() == trail.trail_arn())?;
        let pair = |tag: &Tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned());
        Some((trail, aws.tagged(&found.tags_list().iter().map(pair).collect())?))
    });
    let reads = ours.map(|(trail, tagged)| async move {
        let arn = trail.trail_arn().unwrap_or_default();
        let name = trail.name().unwrap_or_default();
        let request = aws.cloudtrail().get_trail_status().name(arn);
        let status = aws.call("cloudtrail:GetTrailStatus", request.send()).await?;
        let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let spec = Trail {
            name: Some(name.to_owned()),
            bucket_name: trail.s3_bucket_name().unwrap_or_default().into(),
            prefix: some(trail.s3_key_prefix()),
            multi_region: trail.is_multi_region_trail().unwrap_or_default(),
            global_events: trail.include_global_service_events().unwrap_or_default(),
            log_validation: trail.log_file_validation_enabled().unwrap_or_default(),
            kms_key_arn: some(trail.kms_key_id()).map(Arg::Known),
            logging: status.is_logging().unwrap_or_default(),
            tags: tagged.user.clone(),
        };
        let mut notes = Vec::new();
        if let Some(error) = some(status.latest_delivery_error()) {
            notes.push(format!("CloudTrail could not write its last file: {error}").into());
        }
        if trail.has_custom_event_selectors() == Some(true) {
            notes.push(Remark::foreign("others chose which calls this trail logs, which is left alone"));
        }
        let live = Live::new(tagged, arn, spec).output("arn", arn).output("name", name);
        Ok::<_, Failure>(Live { notes, health: Health::Ok, ..live })
    });
    try_join_all(reads).await
}

async fn look(aws: &Aws, name: &str) -> Result<Option<Found>> {
    match aws.call("cloudtrail:GetTrail", aws.cloudtrail().get_trail().name(name).send()).await {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        answer => Ok(answer?.trail),
    }
}

async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.cloudtrail().add_tags().resource_id(arn).set_tags_list(Some(sdk_tags(set)?));
        aws.call("cloudtrail:AddTags", request.send()).await?;
    }
    if !gone.is_empty() {
        let gone: Tags = gone.iter().map(|key| (key.clone(), String::new())).collect();
        let request = aws.cloudtrail().remove_tags().resource_id(arn).set_tags_list(Some(sdk_tags(&gone)?));
        aws.call("cloudtrail:RemoveTags", request.send()).await?;
    }
    Ok(())
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| {
        let tag = Tag::builder().key(key).set_value(Some(value.clone()).filter(|value| !value.is_empty())).build();
        tag.map_err(|error| Failure::new("cloudtrail:AddTags", "InvalidRequest", error.to_string()))
    };
    tags.iter().map(tag).collect()
}

fn is_name(name: &str) -> bool {
    let symbol = |c: char| "._-".contains(c);
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (3..=NAME_LIMIT).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || symbol(c))
        && letter(name.chars().next())
        && letter(name.chars().last())
        && !name.chars().zip(name.chars().skip(1)).any(|(one, next)| symbol(one) && symbol(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cloudtrail_takes() {
        for (name, right) in [
            ("acme-production-main", true),
            ("a.b_c", true),
            ("ab", false),
            ("-ab", false),
            ("ab-", false),
            ("a..b", false),
            ("a b c", false),
        ] {
            assert_eq!(is_name(name), right, "{name}");
        }
    }
}
