//! A plan of AWS Backup: when what is backed up, how long it is kept and where it is copied to.
//!
//! Its selections say what. AWS can neither change nor tag them: a changed one is made anew before the old one goes.

mod lifecycle;

use std::sync::Arc;

use aws_sdk_backup::types::{
    BackupPlan as Found, BackupPlanInput, BackupRule as FoundRule, BackupRuleInput, BackupSelection, CopyAction,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::lifecycle::{days, lifecycle};

use super::backup_vault::{read_tags, write_tags};
use super::{adopt, tagging};
use crate::address::short_hash;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 50;
/// Days that AWS charges for in cold storage, whether or not they are used.
const COLD: u32 = 90;
/// Minutes in which a backup may start, at least.
const HOUR: u32 = 60;

/// A plan of AWS Backup: when what is backed up, and how long it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupPlan {
    /// The plan's name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When backups are made, by rule.
    pub rules: Vec<Rule>,
    /// What is backed up. What is not here is removed.
    #[serde(default)]
    pub selections: Vec<Selection>,
    #[serde(default)]
    pub tags: Tags,
}

/// When backups are made, where they go and how long they stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    /// The name of the vault.
    pub vault_name: Arg<String>,
    /// When, as in `cron(0 5 ? * * *)`.
    #[serde(default = "daily")]
    pub schedule: String,
    #[serde(default = "utc")]
    pub timezone: String,
    /// Minutes within which a backup must start, 60 or more.
    #[serde(default = "start_window")]
    pub start_window_minutes: u32,
    /// Minutes within which it must be done, counted from the schedule.
    #[serde(default = "completion_window")]
    pub completion_window_minutes: u32,
    /// Days after which a backup is deleted; left out, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after_days: Option<u32>,
    /// Days after which a backup moves to cold storage, which databases of RDS do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_after_days: Option<u32>,
    /// Whether any moment can be restored, which AWS Backup then does in the place of RDS's own backups.
    #[serde(default)]
    pub continuous: bool,
    /// Further vaults that each backup is copied to.
    #[serde(default)]
    pub copies: Vec<Copy>,
}

/// A copy of each backup in another vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    pub vault_arn: Arg<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_after_days: Option<u32>,
}

/// Resources that are backed up, and the role that AWS Backup assumes for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    pub role_arn: Arg<String>,
    /// ARNs, which may hold `*`.
    pub resources: Vec<Arg<String>>,
}

fn daily() -> String {
    "cron(0 5 ? * * *)".to_owned()
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

const fn start_window() -> u32 {
    480
}

const fn completion_window() -> u32 {
    10_080
}

impl Kind for BackupPlan {
    const NAME: &'static str = "backup_plan";
    const RIGHTS: Rights = Rights {
        read: "backup:GetBackupPlan backup:GetBackupSelection backup:ListBackupPlans backup:ListBackupSelections \
            backup:ListTags",
        create: "backup:CreateBackupPlan backup:CreateBackupSelection backup:TagResource",
        update: "backup:CreateBackupSelection backup:DeleteBackupSelection backup:TagResource backup:UntagResource \
            backup:UpdateBackupPlan",
        delete: "backup:DeleteBackupPlan backup:DeleteBackupSelection",
        passes: "backup.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["arn", "id"];
    const UNIQUE: &'static [&'static str] = &["name"];

    fn normalize(&mut self) {
        self.rules.iter_mut().for_each(|rule| rule.copies.sort());
        self.rules.sort();
        self.selections.iter_mut().for_each(|selection| selection.resources.sort());
        self.selections.sort();
    }

    fn shell(&self) -> Self {
        Self { selections: Vec::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            self.name.iter().filter_map(|name| check_name("name", name, NAME_LIMIT)).collect();
        if self.rules.is_empty() {
            problems.push(Problem::new("rules", "a plan needs a rule").help("say when backups are made"));
        }
        for (at, rule) in self.rules.iter().enumerate() {
            rule.check(&format!("rules.{at}"), &mut problems);
        }
        for (at, selection) in self.selections.iter().enumerate() {
            if selection.resources.is_empty() {
                let path = format!("selections.{at}.resources");
                problems.push(Problem::new(&path, "a selection without resources").help("name their ARNs"));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        Ok(all(aws, scope).await?.to_vec())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let request = aws.backup().create_backup_plan().backup_plan(self.input(&name)?);
        let request = request.creator_request_id(&making.token);
        let request =
            request.set_backup_plan_tags(Some(tags::encode(&making.identity, &self.tags).into_iter().collect()));
        match aws.call("backup:CreateBackupPlan", request.send()).await {
            Ok(answer) => answer.backup_plan_id.ok_or_else(|| {
                Failure::new("backup:CreateBackupPlan", "NoId", format!("AWS gave the plan {name} no id"))
            }),
            Err(failure) if failure.code == "AlreadyExistsException" => {
                let same = summaries(aws).await?.into_iter().filter(|(other, ..)| *other == name);
                let found = try_join_all(same.map(|(_, id, arn)| async move { read(aws, &id, &arn).await })).await?;
                let mut found = found.into_iter().flatten();
                let ours = found.find(|live| live.identity == making.identity);
                adopt::adopt(self, aws, making, (&name, ours), "backup:CreateBackupPlan").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let name = live.spec.name.clone().or_else(|| self.name.clone());
        let name = name.unwrap_or_else(|| live.identity.aws_name(NAME_LIMIT));
        let (mut new, mut old) = (self.clone(), live.spec.clone());
        new.normalize();
        old.normalize();
        if new.rules != old.rules {
            let request = aws.backup().update_backup_plan().backup_plan_id(&live.id).backup_plan(self.input(&name)?);
            aws.call("backup:UpdateBackupPlan", request.send()).await?;
        }
        if new.selections != old.selections {
            new.select(aws, &live.id).await?;
        }
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        match live.outputs.get("arn") {
            Some(arn) => write_tags(aws, arn, set, gone).await,
            None => Ok(()),
        }
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        for (selection, _) in selections(aws, &live.id).await? {
            deselect(aws, &live.id, &selection).await?;
        }
        let request = aws.backup().delete_backup_plan().backup_plan_id(&live.id);
        aws.call("backup:DeleteBackupPlan", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(get(aws, id).await?.map_or(Progress::Gone, |(arn, _)| Progress::ready([("arn", arn), ("id", id.clone())])))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        match live.outputs.get("arn") {
            Some(arn) => write_tags(aws, arn, set.clone(), gone.to_vec()).await,
            None => Ok(()),
        }
    }
}

impl BackupPlan {
    /// The ARNs of the vaults that backups are copied to.
    pub(super) fn copies(&self) -> impl Iterator<Item = &Arg<String>> {
        self.rules.iter().flat_map(|rule| &rule.copies).map(|copy| &copy.vault_arn)
    }

    fn input(&self, name: &str) -> Result<BackupPlanInput> {
        let rules = self.rules.iter().map(Rule::input).collect::<Result<Vec<_>>>()?;
        BackupPlanInput::builder()
            .backup_plan_name(name)
            .set_rules(Some(rules))
            .build()
            .map_err(|error| invalid(&error))
    }

    /// Makes the selections that are missing, and then deletes those that are not wanted.
    async fn select(&self, aws: &Aws, plan: &str) -> Result<()> {
        let mut missing = self.selections.clone();
        let mut extra = Vec::new();
        for (id, found) in selections(aws, plan).await? {
            match missing.iter().position(|wanted| *wanted == found) {
                Some(at) => drop(missing.remove(at)),
                None => extra.push(id),
            }
        }
        for selection in &missing {
            let request = aws.backup().create_backup_selection().backup_plan_id(plan);
            let request = request.backup_selection(selection.input()?);
            let made = aws.call("backup:CreateBackupSelection", request.send()).await;
            // An earlier try may have made it, and its answer been lost: the next look finds it.
            let again = |failure: &Failure| failure.code == "AlreadyExistsException";
            made.map_err(|failure| if again(&failure) { failure.class(Class::Busy) } else { failure })?;
        }
        for id in extra {
            deselect(aws, plan, &id).await?;
        }
        Ok(())
    }
}

impl Rule {
    fn input(&self) -> Result<BackupRuleInput> {
        let copy = |copy: &Copy| {
            let action = CopyAction::builder().destination_backup_vault_arn(copy.vault_arn.get()?);
            let action = action.set_lifecycle(lifecycle(copy.delete_after_days, copy.cold_after_days));
            action.build().map_err(|error| invalid(&error))
        };
        let copies = self.copies.iter().map(copy).collect::<Result<Vec<_>>>()?;
        BackupRuleInput::builder()
            .rule_name(&self.name)
            .target_backup_vault_name(self.vault_name.get()?)
            .schedule_expression(&self.schedule)
            .schedule_expression_timezone(&self.timezone)
            .start_window_minutes(self.start_window_minutes.into())
            .completion_window_minutes(self.completion_window_minutes.into())
            .set_lifecycle(lifecycle(self.delete_after_days, self.cold_after_days))
            .enable_continuous_backup(self.continuous)
            .set_copy_actions((!copies.is_empty()).then_some(copies))
            .build()
            .map_err(|error| invalid(&error))
    }

    fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        problems.extend(check_name(&format!("{path}.name"), &self.name, NAME_LIMIT));
        let (start, completion) = (self.start_window_minutes, self.completion_window_minutes);
        if start < HOUR {
            let problem =
                Problem::new(&format!("{path}.start_window_minutes"), "a backup gets an hour to start at least");
            problems.push(problem.help(format!("write {HOUR} or more")));
        }
        if completion < start + HOUR {
            let message = "a backup that starts last has less than an hour to be done";
            let problem = Problem::new(&format!("{path}.completion_window_minutes"), message);
            problems.push(problem.help(format!("write {} or more", start + HOUR)));
        }
        let mut keeps = vec![(path.to_owned(), self.delete_after_days, self.cold_after_days)];
        let copies = self.copies.iter().enumerate();
        keeps.extend(
            copies.map(|(at, copy)| (format!("{path}.copies.{at}"), copy.delete_after_days, copy.cold_after_days)),
        );
        for (path, delete, cold) in keeps {
            if let (Some(delete), Some(cold)) = (delete, cold)
                && delete < cold + COLD
            {
                let message = format!("what goes to cold storage stays there for {COLD} days at least");
                let problem = Problem::new(&format!("{path}.delete_after_days"), message);
                problems.push(problem.help(format!("write {} or more", cold + COLD)));
            }
        }
    }
}

impl Selection {
    /// AWS wants a name, which tells nothing that its content does not: a new content has a new name.
    fn input(&self) -> Result<BackupSelection> {
        let role = self.role_arn.get()?;
        let resources = self.resources.iter().map(|arn| Ok(arn.get()?.clone())).collect::<Result<Vec<_>>>()?;
        let name = format!("resources-{}", short_hash(&format!("{role} {}", resources.join(" "))));
        let selection = BackupSelection::builder().selection_name(name).iam_role_arn(role);
        selection.set_resources(Some(resources)).build().map_err(|error| invalid(&error))
    }
}

fn invalid(error: &impl ToString) -> Failure {
    Failure::new("backup:CreateBackupPlan", "InvalidRequest", error.to_string())
}

fn check_name(path: &str, name: &str, limit: usize) -> Option<Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !name.is_empty() && name.len() <= limit && name.chars().all(allowed) {
        return None;
    }
    let help = format!("use 1 to {limit} letters, digits, `_`, `-` and `.`");
    Some(Problem::new(path, format!("AWS Backup does not take the name `{name}`")).help(help))
}

/// All plans of the environment, read once: vaults are looked for where plans copy to.
pub(super) async fn all(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<Live<BackupPlan>>>> {
    let read = || async {
        if !tagging::may_exist(aws, scope, BackupPlan::NAME, ":backup-plan:").await? {
            return Ok(Vec::new());
        }
        let index = tagging::index(aws, scope).await?;
        let name = |identity: crate::address::Identity| {
            scope.names.get(&identity.address).cloned().unwrap_or_else(|| identity.aws_name(NAME_LIMIT))
        };
        let wanted: Vec<String> = scope.wanted(BackupPlan::NAME).map(name).collect();
        let candidates = summaries(aws).await?.into_iter().filter(|(name, id, arn)| {
            // What is being adopted stands in the index under what it was called: its id, here.
            index.contains_key(arn)
                || index.contains_key(id)
                || wanted.contains(name)
                || name.starts_with(&scope.prefix())
        });
        let reads = candidates.map(|(_, id, arn)| async move { read(aws, &id, &arn).await });
        let found = try_join_all(reads).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(BackupPlan::NAME, &live.identity)).collect())
    };
    scope.memo.get("backup:plans", read).await
}

/// Name, id and ARN of each plan of the account.
async fn summaries(aws: &Aws) -> Result<Vec<(String, String, String)>> {
    let pages = aws.backup().list_backup_plans().into_paginator().items().send();
    let plans = aws.call("backup:ListBackupPlans", pages.collect::<Result<Vec<_>, _>>()).await?;
    let summary = |plan: aws_sdk_backup::types::BackupPlansListMember| {
        Some((plan.backup_plan_name?, plan.backup_plan_id?, plan.backup_plan_arn?))
    };
    Ok(plans.into_iter().filter_map(summary).collect())
}

/// The ARN and the content of a plan, where it is there still.
async fn get(aws: &Aws, id: &str) -> Result<Option<(String, Found)>> {
    let request = aws.backup().get_backup_plan().backup_plan_id(id);
    let answer = match aws.call("backup:GetBackupPlan", request.send()).await {
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        answer => answer?,
    };
    if answer.deletion_date.is_some() {
        return Ok(None);
    }
    Ok(answer.backup_plan_arn.zip(answer.backup_plan))
}

/// The plan as ours, where its tags say so.
async fn read(aws: &Aws, id: &str, arn: &str) -> Result<Option<Live<BackupPlan>>> {
    let Some(tagged) = read_tags(aws, arn).await?.and_then(|tags| aws.tagged(&tags)) else { return Ok(None) };
    let (plan, selections) = tokio::try_join!(get(aws, id), selections(aws, id))?;
    let Some((_, plan)) = plan else { return Ok(None) };
    let spec = BackupPlan {
        name: Some(plan.backup_plan_name().to_owned()),
        rules: plan.rules().iter().map(read_rule).collect(),
        selections: selections.into_iter().map(|(_, selection)| selection).collect(),
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, id, spec).output("arn", arn).output("id", id)))
}

fn read_rule(rule: &FoundRule) -> Rule {
    let minutes = |minutes: Option<i64>, default| minutes.and_then(|all| u32::try_from(all).ok()).unwrap_or(default);
    let copy = |copy: &CopyAction| {
        let (delete_after_days, cold_after_days) = days(copy.lifecycle());
        Copy { vault_arn: copy.destination_backup_vault_arn().into(), delete_after_days, cold_after_days }
    };
    let (delete_after_days, cold_after_days) = days(rule.lifecycle());
    Rule {
        name: rule.rule_name().to_owned(),
        vault_name: rule.target_backup_vault_name().into(),
        schedule: rule.schedule_expression().map_or_else(daily, str::to_owned),
        timezone: rule.schedule_expression_timezone().map_or_else(utc, str::to_owned),
        start_window_minutes: minutes(rule.start_window_minutes(), start_window()),
        completion_window_minutes: minutes(rule.completion_window_minutes(), completion_window()),
        delete_after_days,
        cold_after_days,
        continuous: rule.enable_continuous_backup().unwrap_or_default(),
        copies: rule.copy_actions().iter().map(copy).collect(),
    }
}

/// The selections of a plan with their ids.
async fn selections(aws: &Aws, plan: &str) -> Result<Vec<(String, Selection)>> {
    let pages = aws.backup().list_backup_selections().backup_plan_id(plan).into_paginator().items().send();
    let listed = match aws.call("backup:ListBackupSelections", pages.collect::<Result<Vec<_>, _>>()).await {
        Err(failure) if failure.class == Class::NotFound => return Ok(Vec::new()),
        answer => answer?,
    };
    let ids = listed.into_iter().filter_map(|selection| selection.selection_id);
    let reads = ids.map(|id| async move {
        let request = aws.backup().get_backup_selection().backup_plan_id(plan).selection_id(&id);
        let answer = aws.call("backup:GetBackupSelection", request.send()).await?;
        let mut resources: Vec<Arg<String>> = answer
            .backup_selection()
            .map(|found| found.resources().iter().map(|arn| arn.as_str().into()).collect())
            .unwrap_or_default();
        resources.sort();
        let role = answer.backup_selection().map(BackupSelection::iam_role_arn).unwrap_or_default();
        Ok::<_, Failure>((id, Selection { role_arn: role.into(), resources }))
    });
    try_join_all(reads).await
}

async fn deselect(aws: &Aws, plan: &str, id: &str) -> Result<()> {
    let request = aws.backup().delete_backup_selection().backup_plan_id(plan).selection_id(id);
    match aws.call("backup:DeleteBackupSelection", request.send()).await {
        Err(failure) if failure.class != Class::NotFound => Err(failure),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        serde_json::from_value(serde_json::json!({"name": "daily", "vault_name": "acme-main"})).unwrap()
    }

    fn paths(rule: Rule) -> Vec<String> {
        let plan = BackupPlan { name: None, rules: vec![rule], selections: Vec::new(), tags: Tags::new() };
        plan.check().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn limits_of_aws_backup() {
        assert_eq!(paths(rule()), [""; 0]);
        let short = Rule { start_window_minutes: 30, completion_window_minutes: 60, ..rule() };
        assert_eq!(paths(short), ["rules.0.start_window_minutes", "rules.0.completion_window_minutes"]);
        let cold = Rule { cold_after_days: Some(30), delete_after_days: Some(119), ..rule() };
        assert_eq!(paths(cold.clone()), ["rules.0.delete_after_days"]);
        assert_eq!(paths(Rule { delete_after_days: Some(120), ..cold }), [""; 0]);
        assert_eq!(paths(Rule { name: "a b".into(), ..rule() }), ["rules.0.name"]);
    }

    #[test]
    fn what_is_kept_for_ever_is_said_as_minus_one() {
        let never = aws_sdk_backup::types::Lifecycle::builder()
            .delete_after_days(-1)
            .move_to_cold_storage_after_days(-1)
            .build();
        assert_eq!(days(Some(&never)), (None, None));
        assert_eq!(days(lifecycle(Some(30), None).as_ref()), (Some(30), None));
        assert_eq!(lifecycle(None, None), None);
    }

    #[test]
    fn a_selection_of_other_resources_has_another_name() {
        let selection = |arn: &str| Selection { role_arn: "role".into(), resources: vec![arn.into()] };
        let name = |arn: &str| selection(arn).input().unwrap().selection_name().to_owned();
        assert_eq!(name("a"), name("a"));
        assert_ne!(name("a"), name("b"));
    }
}
