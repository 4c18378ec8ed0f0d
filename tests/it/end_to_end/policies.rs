//! The policies that `infra policy` prints, against what the commands call.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::site::Site;
use crate::proxy::{Call, Proxy};
use crate::rights;

/// The IAM names of services whose requests are signed under another one.
const SIGNED: &[(&str, &str)] = &[("monitoring", "cloudwatch"), ("tagging", "tag")];
/// Where paths name the operation: service, method and path, and the action.
const PATHS: &[(&str, &str)] = &[];

/// The action that a call asks for.
pub fn action(call: &Call) -> String {
    let service = SIGNED.iter().find(|(signed, _)| *signed == call.service).map_or(&*call.service, |(_, iam)| iam);
    let name = format!("{service}:{}", call.operation);
    match PATHS.iter().find(|(path, _)| *path == name) {
        Some((_, action)) => (*action).to_owned(),
        None => rights::action(&name),
    }
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
    let called: BTreeSet<String> = calls.iter().map(action).collect();
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
