//! A group of schedules, each of which starts a task at its times.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, ScheduleGroupState, ScheduleState, Tag};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod schedule;

pub use self::schedule::Schedule;
use super::task_definition::Owner;
use super::{adopt, tagging};
use crate::address::{ADDRESS, Identity};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};

/// The longest name of a group or a schedule.
const NAME_LIMIT: usize = 64;
/// Begins the tag that says of a schedule that releases enable it, for which AWS has no field.
const OWNER: &str = "infra:owner:";

/// A group of schedules. Schedules of others in it are removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleGroup {
    /// The name in AWS, unique in the region. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What starts when, by the schedule's name.
    #[serde(default)]
    pub schedules: BTreeMap<String, Schedule>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for ScheduleGroup {
    const NAME: &'static str = "schedule_group";
    const RIGHTS: Rights = Rights {
        read: "scheduler:GetSchedule scheduler:GetScheduleGroup scheduler:ListSchedules \
            scheduler:ListTagsForResource",
        create: "scheduler:CreateScheduleGroup scheduler:TagResource",
        update: "scheduler:CreateSchedule scheduler:DeleteSchedule scheduler:TagResource scheduler:UntagResource \
            scheduler:UpdateSchedule",
        delete: "scheduler:DeleteSchedule scheduler:DeleteScheduleGroup",
        on: "scheduler:schedule-group/{name} scheduler:schedule/{name}/*",
        passes: "scheduler.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    /// The role of a schedule trusts the group.
    const LATE: &'static [&'static str] = &["schedules"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const AFTER: &'static [&'static str] = &["iam_role", "task_definition", "route_table"];

    fn normalize(&mut self) {
        self.schedules.values_mut().for_each(Schedule::normalize);
    }

    fn take_over(&mut self, live: &Self) {
        for (name, schedule) in self.schedules.iter_mut().filter(|(_, schedule)| schedule.owner == Owner::Release) {
            if let Some(there) = live.schedules.get(name) {
                schedule.enabled = there.enabled;
            }
        }
    }

    /// The schedules are requests of their own.
    fn shell(&self) -> Self {
        let mut shell = Self { schedules: BTreeMap::new(), ..self.clone() };
        shell.normalize();
        shell
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.name.iter().filter_map(|name| check_name("name", name)).collect();
        for (name, schedule) in &self.schedules {
            let path = format!("schedules.{name}");
            problems.extend(check_name(&path, name));
            problems.extend(schedule.check(&path));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":scheduler:").await? {
            return Ok(Vec::new());
        }
        let index = tagging::index(aws, scope).await?;
        let indexed = index.iter().filter(|(_, tags)| scope.ours(Self::NAME, tags).is_some());
        let mut names: BTreeSet<String> = indexed.filter_map(|(arn, _)| Some(name_in(arn)?.to_owned())).collect();
        names.extend(scope.wanted(Self::NAME).map(|identity| {
            scope.names.get(&identity.address).cloned().unwrap_or_else(|| identity.aws_name(NAME_LIMIT))
        }));
        let reads = try_join_all(names.iter().map(|name| find(aws, name))).await?;
        Ok(reads.into_iter().flatten().filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let request = aws.scheduler().create_schedule_group().name(&name).client_token(&making.token);
        let request = request.set_tags(Some(sdk_tags(self.all_tags(&making.identity))?));
        match aws.call("scheduler:CreateScheduleGroup", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if failure.code == "ConflictException" && failure.message.contains("exist") => {
                let found = find(aws, &name).await?;
                // One that goes frees its name in a while.
                if found.as_ref().is_some_and(|found| found.health == Health::Tombstone) {
                    return Err(failure.class(Class::Busy));
                }
                adopt::adopt(self, aws, making, (&name, found), "scheduler:CreateScheduleGroup").await
            }
            Err(failure) => Err(failure),
        }
    }

    /// New and changed schedules first: what replaces a schedule runs before the old one is gone.
    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.normalize();
        there.normalize();
        wanted.take_over(&there);
        for (name, schedule) in &wanted.schedules {
            match there.schedules.get(name) {
                Some(same) if same.same(schedule) => {}
                Some(_) => write(aws, &live.id, name, schedule).await?,
                None => create(aws, &live.id, name, schedule).await?,
            }
        }
        for name in there.schedules.keys().filter(|name| !wanted.schedules.contains_key(*name)) {
            let request = aws.scheduler().delete_schedule().group_name(&live.id).name(name);
            match aws.call("scheduler:DeleteSchedule", request.send()).await.map_err(conflict) {
                Err(failure) if failure.class != Class::NotFound => return Err(failure),
                _ => {}
            }
        }
        let (set, gone) = tags::difference(&there.all_tags(&live.identity), &wanted.all_tags(&live.identity));
        Self::tag(aws, live, &set, &gone).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        let arn = live.outputs.get("arn").map(String::as_str).unwrap_or_default();
        let mut gone = gone.to_vec();
        if gone.iter().any(|key| key == ADDRESS) {
            gone.extend(live.spec.schedules.keys().map(|name| format!("{OWNER}{name}")));
        }
        if !set.is_empty() {
            let request = aws.scheduler().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set.clone())?));
            aws.call("scheduler:TagResource", request.send()).await?;
        }
        if !gone.is_empty() {
            let request = aws.scheduler().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
            aws.call("scheduler:UntagResource", request.send()).await?;
        }
        Ok(())
    }

    /// Its schedules go with it.
    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        if live.health == Health::Tombstone {
            return Ok(());
        }
        let request = aws.scheduler().delete_schedule_group().name(&live.id);
        aws.call("scheduler:DeleteScheduleGroup", request.send()).await.map(drop).map_err(conflict)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let request = aws.scheduler().get_schedule_group().name(id);
        let group = aws.call("scheduler:GetScheduleGroup", request.send()).await?;
        if group.state() == Some(&ScheduleGroupState::Deleting) {
            return Ok(Progress::waiting("its schedules to be deleted"));
        }
        let arn = group.arn().unwrap_or_default().to_owned();
        Ok(Progress::ready([("arn", arn), ("name", id.clone())]))
    }
}

impl ScheduleGroup {
    /// Identity, the user's tags, and what only a tag can hold.
    fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = tags::encode(identity, &self.tags);
        let released = self.schedules.iter().filter(|(_, schedule)| schedule.owner == Owner::Release);
        tags.extend(released.map(|(name, _)| (format!("{OWNER}{name}"), "release".to_owned())));
        tags
    }
}

async fn create(aws: &Aws, group: &str, name: &str, schedule: &Schedule) -> Result<()> {
    let request = aws.scheduler().create_schedule().group_name(group).name(name);
    let request = request
        .schedule_expression(&schedule.expression)
        .schedule_expression_timezone(&schedule.timezone)
        .state(state(schedule))
        .flexible_time_window(exactly()?)
        .target(schedule.target()?);
    match aws.call("scheduler:CreateSchedule", request.send()).await {
        // An earlier try made it, and its answer was lost.
        Err(failure) if failure.code == "ConflictException" => write(aws, group, name, schedule).await,
        other => other.map(drop),
    }
}

/// An update replaces all of a schedule: what it leaves out goes back to AWS's default.
pub async fn write(aws: &Aws, group: &str, name: &str, schedule: &Schedule) -> Result<()> {
    let request = aws.scheduler().update_schedule().group_name(group).name(name);
    let request = request
        .schedule_expression(&schedule.expression)
        .schedule_expression_timezone(&schedule.timezone)
        .state(state(schedule))
        .flexible_time_window(exactly()?)
        .target(schedule.target()?);
    aws.call("scheduler:UpdateSchedule", request.send()).await.map(drop).map_err(conflict)
}

/// Another change of the same thing must finish first.
fn conflict(failure: Failure) -> Failure {
    if failure.code == "ConflictException" { failure.class(Class::Busy) } else { failure }
}

fn state(schedule: &Schedule) -> ScheduleState {
    if schedule.enabled { ScheduleState::Enabled } else { ScheduleState::Disabled }
}

fn exactly() -> Result<FlexibleTimeWindow> {
    FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().map_err(|error| invalid(&error))
}

fn invalid(error: &impl ToString) -> Failure {
    Failure::new("scheduler", "InvalidRequest", error.to_string())
}

fn sdk_tags(tags: Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().map_err(|error| invalid(&error));
    tags.into_iter().map(tag).collect()
}

/// The name of a group in its ARN.
fn name_in(arn: &str) -> Option<&str> {
    arn.contains(":scheduler:").then(|| arn.split_once(":schedule-group/"))?.map(|(_, name)| name)
}

/// The group with this name as ours, where its tags say so. The index's own tags may be old.
async fn find(aws: &Aws, name: &str) -> Result<Option<Live<ScheduleGroup>>> {
    match read(aws, name).await {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        other => other,
    }
}

async fn read(aws: &Aws, name: &str) -> Result<Option<Live<ScheduleGroup>>> {
    let request = aws.scheduler().get_schedule_group().name(name);
    let group = aws.call("scheduler:GetScheduleGroup", request.send()).await?;
    let arn = group.arn().unwrap_or_default();
    let request = aws.scheduler().list_tags_for_resource().resource_arn(arn);
    let tags = aws.call("scheduler:ListTagsForResource", request.send()).await?.tags.unwrap_or_default();
    let tags: Tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let pages = aws.scheduler().list_schedules().group_name(name).into_paginator().items().send();
    let names = aws.call("scheduler:ListSchedules", pages.collect::<Result<Vec<_>, _>>()).await?;
    let gets = names.iter().filter_map(|summary| summary.name()).map(async |schedule| {
        let request = aws.scheduler().get_schedule().group_name(name).name(schedule);
        match aws.call("scheduler:GetSchedule", request.send()).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    });
    let entry = |found: GetScheduleOutput| {
        let name = found.name().unwrap_or_default().to_owned();
        let released = tags.contains_key(&format!("{OWNER}{name}"));
        let owner = if released { Owner::Release } else { Owner::File };
        (name, Schedule::read(&found, owner))
    };
    let schedules = try_join_all(gets).await?.into_iter().flatten().map(entry).collect();
    let spec = ScheduleGroup { name: Some(name.to_owned()), schedules, tags: tagged.user.clone() };
    let mut live = Live::new(tagged, name, spec).output("arn", arn).output("name", name);
    if group.state() == Some(&ScheduleGroupState::Deleting) {
        live.health = Health::Tombstone;
    }
    Ok(Some(live))
}

fn check_name(path: &str, name: &str) -> Option<Problem> {
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let valid = !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(letters);
    let help = format!("use up to {NAME_LIMIT} letters, digits, hyphens, underscores and dots");
    (!valid).then(|| Problem::new(path, format!("the scheduler does not take the name `{name}`")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(enabled: bool, owner: Owner) -> ScheduleGroup {
        let json = serde_json::json!({ "schedules": { "report": {
            "expression": "rate(1 hour)", "cluster_arn": "c", "task_definition_arn": "t", "role_arn": "r",
            "subnets": ["s"], "security_groups": ["g"], "enabled": enabled,
        } } });
        let mut group: ScheduleGroup = serde_json::from_value(json).unwrap();
        group.schedules.get_mut("report").unwrap().owner = owner;
        group
    }

    #[test]
    fn a_plan_keeps_what_releases_enabled() {
        for (owner, expected) in [(Owner::Release, true), (Owner::File, false)] {
            let mut wanted = group(false, owner);
            wanted.take_over(&group(true, owner));
            assert_eq!(wanted.schedules["report"].enabled, expected);
        }
    }

    #[test]
    fn names_come_from_arns_of_groups_only() {
        assert_eq!(name_in("arn:aws:scheduler:us-east-1:1:schedule-group/acme-test-main"), Some("acme-test-main"));
        assert_eq!(name_in("arn:aws:scheduler:us-east-1:1:schedule/a/b"), None);
    }

    #[test]
    fn limits() {
        assert_eq!(group(true, Owner::File).check(), []);
        let mut wrong = group(true, Owner::File);
        let mut schedule = wrong.schedules.remove("report").unwrap();
        schedule.expression = "3 o'clock".into();
        schedule.retries = 186;
        wrong.schedules.insert("a b".into(), schedule);
        let paths: Vec<_> = wrong.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["schedules.a b", "schedules.a b.expression", "schedules.a b.retries"]);
    }
}
