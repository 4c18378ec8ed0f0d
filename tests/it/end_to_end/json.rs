//! Output for programs: one JSON document on standard output, whatever happens.

use serde_json::{Value as Json, json};

use super::site::Site;

fn keys(json: &Json) -> Vec<&str> {
    let mut keys: Vec<&str> = json.as_object().unwrap_or_else(|| panic!("{json}")).keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

const PLAN: &[&str] = &[
    "account",
    "awaits_release",
    "blocked",
    "digest",
    "environment",
    "findings",
    "notes",
    "project",
    "region",
    "steps",
    "summary",
    "version",
];
const STEP: &[&str] = &["action", "address", "changes", "harm", "kind", "minutes", "reason"];
const OUTCOME: &[&str] = &["done", "failed", "not_started", "skipped", "success", "version"];

#[tokio::test]
async fn every_command_says_one_document() {
    let site = Site::start().await;
    let plan = site.infra("plan production --format json").await.well().json();
    assert_eq!(keys(&plan), PLAN);
    assert_eq!(keys(&plan["steps"][0]), STEP);
    assert_eq!((&plan["version"], &plan["environment"]), (&json!(1), &json!("production")));

    let refused = site.infra("apply production --format json").await;
    refused.refused();
    assert_eq!((keys(&refused.json()), &refused.json()["outcome"]), (vec!["outcome", "plan", "version"], &Json::Null));

    let applied = site.infra("apply production --yes --format json").await.well();
    let (applied, said) = (applied.json(), applied.stderr);
    assert_eq!(said, "", "no progress beside it");
    assert_eq!((keys(&applied), &applied["plan"]), (vec!["outcome", "plan", "version"], &plan));
    let outcome = &applied["outcome"];
    assert_eq!(keys(outcome), OUTCOME);
    assert_eq!((&outcome["success"], &outcome["failed"], &outcome["skipped"]), (&json!(true), &json!([]), &json!([])));
    assert_eq!(outcome["done"].as_array().unwrap().len(), 72);

    let again = site.infra("apply production --yes --format json").await.well().json();
    assert_eq!((&again["plan"]["summary"]["unchanged"], &again["outcome"]), (&json!(72), &Json::Null));

    let outputs = site.infra("output production --format json").await.well().json();
    let vpc = outputs["vpc.main.id"].as_str().unwrap();
    assert_eq!(site.infra("output production vpc.main.id").await.well().stdout, format!("{vpc}\n"));
    let text = site.infra("output production").await.well().stdout;
    assert_eq!(text.lines().count(), outputs.as_object().unwrap().len());
    assert!(text.lines().any(|line| line.split_whitespace().eq(["vpc.main.id", vpc])), "{text}");
    let missing = site.infra("output production vpc.main.idd").await;
    assert!(missing.refused().contains("there is no output vpc.main.idd; did you mean vpc.main.id?"), "{missing:?}");

    let destroyed = site.infra("destroy production --confirm production --format json").await.well().json();
    assert_eq!(destroyed["plan"]["summary"]["delete"], json!(72));
    assert_eq!(destroyed["outcome"]["success"], json!(true));
}

#[tokio::test]
async fn a_failure_is_in_the_document_with_its_cause() {
    let site = Site::start().await;
    // The name is taken by somebody else's.
    site.aws.secrets().create_secret().name("acme-production-jwt").secret_string("theirs").send().await.unwrap();
    let applied = site.infra("apply production --yes --format json").await;
    assert_eq!(applied.code, Some(1), "{applied:?}");
    let outcome = &applied.json()["outcome"];
    assert_eq!(outcome["success"], json!(false));
    let failed = outcome["failed"].as_array().unwrap();
    assert_eq!(keys(&failed[0]), ["address", "code", "held_by", "message", "operation", "remedy", "request_id"]);
    assert_eq!(
        (failed.len(), &failed[0]["address"], &failed[0]["code"]),
        (1, &json!("secret.jwt"), &json!("NameTaken"))
    );
    let skipped = outcome["skipped"].as_array().unwrap();
    assert!(skipped.contains(&json!({ "address": "task_definition.api", "because": "secret.jwt" })), "{skipped:?}");
    assert!(outcome["done"].as_array().unwrap().contains(&json!("db_instance.main")), "what does not need it is done");
    let theirs = site.aws.secrets().get_secret_value().secret_id("acme-production-jwt").send().await.unwrap();
    assert_eq!(theirs.secret_string(), Some("theirs"));
}
