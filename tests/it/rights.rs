//! What the roles for pipelines may do, against what the code calls: the kinds where it plans, and all else where it
//! releases.

use std::path::Path;

use infra::environment::{Facts, desired, load};
use infra::value::Value;
use serde_json::Value as Json;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2 }
load_balancers: { public: {} }
services: { api: { image: acme/api, port: 80, route: {} } }
jobs: { clean: { service: api, command: [clean], schedule: rate(1 day) } }
pipeline: { github: { repository: acme/shop, branches: [main] } }
"#;
/// The names under which IAM knows what the code calls otherwise.
const SERVICES: &[(&str, &str)] = &[
    ("autoscaling", "application-autoscaling"),
    ("elb", "elasticloadbalancing"),
    ("namespaces", "servicediscovery"),
    ("secrets", "secretsmanager"),
    ("tagging", "tag"),
    ("waf", "wafv2"),
];
/// Where an operation asks for a right of another name.
const ACTIONS: &[(&str, &str)] = &[
    ("s3:HeadBucket", "s3:ListBucket"),
    ("s3:ListBuckets", "s3:ListAllMyBuckets"),
    ("s3:GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
    ("s3:GetBucketEncryption", "s3:GetEncryptionConfiguration"),
    ("s3:GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
];

/// What only a delete looks at.
const DELETES: &[&str] = &["s3:ListMultipartUploads", "s3:ListObjectVersions"];

/// The statements of a role's only policy.
fn statements(role: &str) -> Vec<Json> {
    let read = |_: &str| Ok(FILE.to_owned());
    let loaded = load("test.yaml", &[], &read).unwrap_or_else(|failed| panic!("{:?}", failed.diagnostics));
    let facts = Facts { zones: Some(["us-east-1a", "us-east-1b"].map(str::to_owned).to_vec()), ..Facts::default() };
    let desired = desired(&loaded, &facts).unwrap();
    let role = Json::from(&Value::Map(desired.resources[&role.parse().unwrap()].fields.clone()));
    let policies: Vec<&Json> = role["policies"].as_object().unwrap().values().collect();
    let [policy] = policies[..] else { panic!("{role}") };
    policy["Statement"].as_array().unwrap().clone()
}

fn texts(json: &Json) -> Vec<String> {
    match json {
        Json::String(text) => vec![text.clone()],
        Json::Array(items) => items.iter().flat_map(texts).collect(),
        reference => vec![reference.to_string()],
    }
}

/// The actions that `iam_role.plan` may take on everything.
fn reads() -> Vec<String> {
    let statements = statements("iam_role.plan");
    texts(&statements.iter().find(|one| one["Sid"] == "Read").unwrap()["Action"])
}

/// All actions that `iam_role.deploy` may take, on whatever.
fn releases() -> Vec<String> {
    statements("iam_role.deploy").iter().flat_map(|one| texts(&one["Action"])).collect()
}

fn allows(reads: &[String], action: &str) -> bool {
    reads.iter().any(|read| match read.strip_suffix('*') {
        Some(start) => action.starts_with(start),
        None => *read == action,
    })
}

/// Operations in the source of the kinds, as in `"ecs:DescribeServices"`.
fn operations(folder: &Path, found: &mut Vec<String>) {
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder).unwrap() {
            operations(&entry.unwrap().path(), found);
        }
        return;
    }
    let text = std::fs::read_to_string(folder).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let calls = text.split("call(").skip(1);
    let name = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned());
    found.extend(calls.filter_map(name));
}

/// The right that an operation asks for.
fn action(call: &str) -> String {
    let (service, operation) = call.split_once(':').unwrap();
    let service = SERVICES.iter().find(|(ours, _)| *ours == service).map_or(service, |(_, iam)| iam);
    let action = format!("{service}:{operation}");
    ACTIONS.iter().find(|(call, _)| *call == action).map_or(action, |(_, right)| (*right).to_owned())
}

#[test]
fn a_plan_may_read_what_the_kinds_read() {
    let mut calls = Vec::new();
    for place in ["src/kinds", "src/foreign.rs"] {
        operations(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut calls);
    }
    let verbs = ["Describe", "Get", "List", "Head", "BatchGet"];
    let reads_only = |call: &&String| verbs.iter().any(|verb| call.contains(&format!(":{verb}")));
    let plans = calls.iter().filter(|call| !DELETES.contains(&call.as_str())).filter(reads_only);
    let actions: Vec<String> = plans.map(|call| action(call)).collect();
    assert!(actions.len() > 50, "the calls are found: {actions:?}");
    let reads = reads();
    let missing: Vec<&String> = actions.iter().filter(|action| !allows(&reads, action)).collect();
    assert!(missing.is_empty(), "add them to READS of expand/pipeline/reads.rs: {missing:?}");
}

#[test]
fn a_plan_may_read_nothing_secret() {
    let reads = reads();
    for secret in SECRETS {
        assert!(!allows(&reads, secret), "{secret}");
    }
}

const SECRETS: &[&str] = &[
    "secretsmanager:GetSecretValue",
    "secretsmanager:BatchGetSecretValue",
    "ssm:GetParameter",
    "s3:GetObject",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "logs:GetLogEvents",
    "logs:FilterLogEvents",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:GetAuthorizationToken",
    // Headers of requests, with the cookies and tokens in them.
    "wafv2:GetSampledRequests",
    "xray:GetTraceSummaries",
    "cloudtrail:GetQueryResults",
];

/// Where releases call AWS, beside what they read of the kinds.
const RELEASES: &[&str] = &[
    "src/release",
    "src/release.rs",
    "src/commands/bluegreen",
    "src/commands/bluegreen.rs",
    "src/lock.rs",
    "src/history.rs",
];
/// What they call through the kinds.
const THROUGH_KINDS: &[&str] = &["ecs:RegisterTaskDefinition", "scheduler:UpdateSchedule"];

#[test]
fn a_release_may_do_what_releases_do() {
    let mut calls: Vec<String> = THROUGH_KINDS.iter().map(|call| (*call).to_owned()).collect();
    let sources = RELEASES.iter().map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    sources.filter(|path| path.exists()).for_each(|path| operations(&path, &mut calls));
    let releases = releases();
    let missing: Vec<String> = calls.iter().map(|call| action(call)).filter(|call| !allows(&releases, call)).collect();
    assert!(missing.is_empty(), "add them to `releasing` of expand/pipeline.rs: {missing:?}");
    assert!(reads().iter().all(|read| allows(&releases, read)), "it reads what plans read");
}

#[test]
fn a_release_changes_nothing_but_what_is_this_environments() {
    let (reads, releases) = (reads(), releases());
    for statement in statements("iam_role.deploy") {
        let harmless = |one: &String| {
            allows(&reads, one) || ["cloudwatch:GetMetricData", "ecr:GetAuthorizationToken"].contains(&one.as_str())
        };
        let everywhere = texts(&statement["Resource"]) == ["*"] && statement["Condition"].is_null();
        assert!(!everywhere || texts(&statement["Action"]).iter().all(harmless), "{statement}");
    }
    let own = ["ecr:BatchGetImage", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer", "ssm:GetParameter"];
    let own = [&own[..], &["logs:FilterLogEvents", "logs:GetLogEvents"]].concat();
    for secret in SECRETS.iter().filter(|secret| !own.contains(secret)) {
        assert!(!allows(&releases, secret), "{secret}");
    }
    for change in [
        "ecs:DeleteService",
        "ecs:DeregisterTaskDefinition",
        "ecs:ExecuteCommand",
        "elasticloadbalancing:CreateRule",
        "elasticloadbalancing:ModifyListener",
        "iam:PutRolePolicy",
        "scheduler:CreateSchedule",
        "ssm:SendCommand",
    ] {
        assert!(!allows(&releases, change), "{change}");
    }
}
