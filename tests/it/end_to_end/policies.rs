//! The policies that `infra policy` prints, against what the commands call.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::site::Site;
use crate::proxy::{Call, Proxy};
use crate::rights;

/// The IAM names of services whose requests are signed under another one.
const SIGNED: &[(&str, &str)] = &[("monitoring", "cloudwatch"), ("tagging", "tag")];
/// Where paths name the operation: the service with what a path begins with, and the actions that it may stand for.
const PATHS: &[(&str, &[&str])] = &[
    ("backup:GET backup plans selections", &["backup:GetBackupSelection", "backup:ListBackupSelections"]),
    ("backup:GET backup plans", &["backup:GetBackupPlan", "backup:ListBackupPlans"]),
    ("backup:GET backup-vaults", &["backup:ListBackupVaults"]),
    ("backup:GET tags", &["backup:ListTags"]),
    ("backup:PUT backup plans selections", &["backup:CreateBackupSelection"]),
    ("backup:PUT backup plans", &["backup:CreateBackupPlan"]),
    ("backup:POST backup plans", &["backup:UpdateBackupPlan"]),
    ("backup:DELETE backup plans selections", &["backup:DeleteBackupSelection"]),
    ("backup:DELETE backup plans", &["backup:DeleteBackupPlan"]),
    ("backup:PUT backup-vaults", &["backup:CreateBackupVault"]),
    ("backup:DELETE backup-vaults", &["backup:DeleteBackupVault"]),
    ("backup:POST tags", &["backup:TagResource"]),
    ("backup:POST untag", &["backup:UntagResource"]),
    ("lambda:GET functions policy", &["lambda:GetPolicy"]),
    ("lambda:GET functions", &["lambda:GetFunction"]),
    ("lambda:POST functions policy", &["lambda:AddPermission"]),
    ("lambda:POST functions", &["lambda:CreateFunction"]),
    ("lambda:PUT functions code", &["lambda:UpdateFunctionCode"]),
    ("lambda:PUT functions concurrency", &["lambda:PutFunctionConcurrency"]),
    ("lambda:PUT functions configuration", &["lambda:UpdateFunctionConfiguration"]),
    ("lambda:DELETE functions concurrency", &["lambda:DeleteFunctionConcurrency"]),
    ("lambda:DELETE functions policy", &["lambda:RemovePermission"]),
    ("lambda:DELETE functions", &["lambda:DeleteFunction"]),
    ("lambda:POST tags", &["lambda:TagResource"]),
    ("lambda:DELETE tags", &["lambda:UntagResource"]),
    ("route53:GET hostedzone rrset", &["route53:ListResourceRecordSets"]),
    ("route53:GET hostedzone", &["route53:GetHostedZone", "route53:ListHostedZones"]),
    ("route53:POST hostedzone rrset", &["route53:ChangeResourceRecordSets"]),
    ("route53:POST hostedzone", &["route53:CreateHostedZone"]),
    ("route53:DELETE hostedzone", &["route53:DeleteHostedZone"]),
    ("route53:POST tags hostedzone", &["route53:ChangeTagsForResource", "route53:ListTagsForResources"]),
    ("scheduler:GET schedule-groups", &["scheduler:GetScheduleGroup"]),
    ("scheduler:POST schedule-groups", &["scheduler:CreateScheduleGroup"]),
    ("scheduler:DELETE schedule-groups", &["scheduler:DeleteScheduleGroup"]),
    ("scheduler:GET schedules", &["scheduler:GetSchedule", "scheduler:ListSchedules"]),
    ("scheduler:POST schedules", &["scheduler:CreateSchedule"]),
    ("scheduler:PUT schedules", &["scheduler:UpdateSchedule"]),
    ("scheduler:DELETE schedules", &["scheduler:DeleteSchedule"]),
    ("scheduler:GET tags", &["scheduler:ListTagsForResource"]),
    ("scheduler:POST tags", &["scheduler:TagResource"]),
    ("scheduler:DELETE tags", &["scheduler:UntagResource"]),
    ("xray:POST Groups", &["xray:GetGroups"]),
];

/// The actions that a call may ask for.
fn actions(call: &Call, reads: bool) -> Vec<String> {
    let service = SIGNED.iter().find(|(signed, _)| *signed == call.service).map_or(&*call.service, |(_, iam)| iam);
    let name = format!("{service}:{}", call.operation);
    let of_path = PATHS.iter().find(|(path, _)| name.starts_with(path)).map(|(_, actions)| *actions);
    let Some(all) = of_path else { return vec![rights::action(&name.replace("POST ", ""))] };
    // A path with an id and one without look the same: of a command that only reads, it is the one that reads.
    let all = all.iter().filter(|one| !reads || !one.contains(":Change"));
    all.map(|action| (*action).to_owned()).collect()
}

/// The actions that documents allow.
pub fn allowed(documents: &Json) -> Vec<String> {
    let statements =
        documents.as_array().unwrap().iter().flat_map(|one| one["document"]["Statement"].as_array().unwrap());
    statements.flat_map(|one| one["Action"].as_array().unwrap()).map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Asserts that these documents allow all calls.
pub fn covers(documents: &Json, calls: &[Call], what: &str) {
    let allowed = allowed(documents);
    let reads = calls.iter().all(Call::reads);
    let called: BTreeSet<String> = calls.iter().flat_map(|call| actions(call, reads)).collect();
    let missing: Vec<&String> = called.iter().filter(|action| !rights::allows(&allowed, action)).collect();
    assert!(missing.is_empty(), "{what} does not allow {missing:#?}");
    assert!(called.len() > 10, "{what} is compared with calls: {called:?}");
}

#[tokio::test]
async fn a_policy_allows_what_its_command_calls() {
    let site = Site::of_this_repository().await;
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    let policy = async |what: &str| site.infra(&format!("policy production {what} --format json")).await.well().json();
    let (plan, apply) = (policy("plan").await, policy("apply").await);
    for one in plan.as_array().unwrap().iter().chain(apply.as_array().unwrap()) {
        let size = one["document"].to_string().chars().filter(|letter| !letter.is_whitespace()).count();
        assert!(size <= 6144 && one["size"] == size, "{} has {size} characters", one["name"]);
    }
    site.through(&proxy.endpoint, "plan production").await.well();
    covers(&plan, &proxy.calls(), "the policy of plan");
    assert!(!allowed(&plan).iter().any(|action| action.contains(":Create") || action.contains(":Delete")));

    site.through(&proxy.endpoint, "apply production --yes").await.well();
    let base = site.read("base");
    let changed =
        [("keep: 30d\n", "keep: 60d\n"), ("interval: 30s", "interval: 20s"), ("cpu: 60, memory", "cpu: 50, memory")];
    let edited = changed.iter().fold(base, |text, (old, new)| text.replace(old, new));
    site.write("base", &edited);
    site.through(&proxy.endpoint, "apply production --yes").await.well();
    site.through(&proxy.endpoint, "plan production").await.well();
    site.through(&proxy.endpoint, "destroy production --confirm production").await.well();
    covers(&apply, &proxy.calls(), "the policy of apply");
}
