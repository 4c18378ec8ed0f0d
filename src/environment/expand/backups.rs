//! `backups`: vaults here and in the region of the copies, a role for AWS Backup, and a plan for each entry.

use super::Expansion;
use crate::address::Address;
use crate::environment::backups::{Backup, Day};
use crate::environment::types::Duration;
use crate::kinds::backup_plan::{BackupPlan, Copy, Rule, Selection};
use crate::kinds::backup_vault::BackupVault;
use crate::kinds::iam_role::IamRole;
use crate::policy;
use crate::tags::Tags;
use crate::value::Arg;

/// Minutes within which AWS begins a backup, and within which it must be done: before the next one.
const START: u32 = 60;
const COMPLETION: u32 = 1440;
/// What AWS lets its own service do with the role: back up, and restore from the vault.
const POLICIES: [&str; 2] = ["AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForRestores"];

pub(super) fn expand(to: &mut Expansion) {
    let Some((first, _)) = to.file.backups.iter().next() else { return };
    let origin = ["backups", first.as_str()];
    let vault = BackupVault { name: None, region: None, kms_key_arn: to.main_key(), tags: Tags::new() };
    let home = to.add("main", &origin, &vault);
    let copy = to.file.backups.iter().find_map(|(name, backup)| Some((name, backup.copy.as_ref()?)));
    let copy = copy.map(|(name, copy)| {
        // The environment's keys are of its own region.
        let vault = BackupVault { region: Some(copy.region.clone()), kms_key_arn: None, ..vault };
        to.add("copy", &["backups", name], &vault)
    });
    let role = role(to, &origin);
    for (name, backup) in &to.file.backups {
        let plan = plan(to, name, backup, &home, copy.as_ref(), &role);
        to.add(name, &["backups", name], &plan);
    }
}

fn role(to: &mut Expansion, origin: &[&str]) -> Address {
    let partition = to.partition();
    let managed = |name: &str| format!("arn:{partition}:iam::aws:policy/service-role/{name}").into();
    let trust = policy::trust("backup.amazonaws.com");
    let role = IamRole { attached: POLICIES.map(managed).to_vec(), ..IamRole::new(trust, Vec::new()) };
    to.add("backup", origin, &role)
}

fn plan(
    to: &Expansion,
    name: &str,
    backup: &Backup,
    home: &Address,
    copy: Option<&Address>,
    role: &Address,
) -> BackupPlan {
    let days = |duration: Duration| u32::try_from(duration.days()).ok();
    let copies = backup.copy.iter().zip(copy).map(|(section, vault)| Copy {
        vault_arn: Arg::output(vault, "arn"),
        delete_after_days: days(section.keep.unwrap_or(backup.keep)),
        cold_after_days: None,
    });
    let rule = Rule {
        name: name.to_owned(),
        vault_name: Arg::output(home, "name"),
        schedule: schedule(backup),
        timezone: "Etc/UTC".to_owned(),
        start_window_minutes: START,
        completion_window_minutes: COMPLETION,
        delete_after_days: days(backup.keep),
        cold_after_days: None,
        continuous: false,
        copies: copies.collect(),
    };
    let all: Vec<&String> = to.file.databases.keys().collect();
    let chosen = backup.databases.as_ref().map_or(all, |chosen| chosen.iter().collect());
    let arn = |database: &String| Arg::output(&Address::new("db_instance", database.clone()), "arn");
    let selection = Selection { role_arn: Arg::output(role, "arn"), resources: chosen.into_iter().map(arn).collect() };
    BackupPlan { name: None, rules: vec![rule], selections: vec![selection], tags: Tags::new() }
}

fn schedule(backup: &Backup) -> String {
    let mut days = backup.on.clone();
    days.sort();
    days.dedup();
    let days: Vec<&str> = days.into_iter().map(Day::cron).collect();
    let days = if days.is_empty() { "*".to_owned() } else { days.join(",") };
    format!("cron({} {} ? * {days} *)", backup.at.minute, backup.at.hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_cron_expressions_of_aws() {
        let schedule = |json: serde_json::Value| schedule(&serde_json::from_value(json).unwrap());
        assert_eq!(schedule(serde_json::json!({})), "cron(0 3 ? * * *)");
        assert_eq!(
            schedule(serde_json::json!({"at": "23:05", "on": ["sun", "wed", "sun"]})),
            "cron(5 23 ? * WED,SUN *)"
        );
    }
}
