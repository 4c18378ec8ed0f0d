//! What the role for plans may do, against what the code of the kinds calls.

use std::path::Path;

use infra::environment::{Facts, desired, load};
use infra::value::Value;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
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

/// The actions that `iam_role.plan` may take on everything.
fn reads() -> Vec<String> {
    let read = |_: &str| Ok(FILE.to_owned());
    let loaded = load("test.yaml", &[], &read).unwrap_or_else(|failed| panic!("{:?}", failed.diagnostics));
    let desired = desired(&loaded, &Facts::default()).unwrap();
    let role = &desired.resources[&"iam_role.plan".parse().unwrap()];
    let policies = serde_json::Value::from(&Value::Map(role.fields.clone()));
    let statements = policies["policies"]["read"]["Statement"].as_array().unwrap();
    let everything = statements.iter().find(|one| one["Sid"] == "Read").unwrap();
    everything["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn allows(reads: &[String], action: &str) -> bool {
    reads.iter().any(|read| match read.strip_suffix('*') {
        Some(start) => action.starts_with(start),
        None => *read == action,
    })
}

/// Operations in the source of the kinds, as in `"ecs:DescribeServices"`.
fn operations(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            operations(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let calls = text.split("call(").skip(1);
        let name = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned());
        found.extend(calls.filter_map(name));
    }
}

#[test]
fn a_plan_may_read_what_the_kinds_read() {
    let mut calls = Vec::new();
    operations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds"), &mut calls);
    let verbs = ["Describe", "Get", "List", "Head", "BatchGet"];
    let action = |call: &String| {
        let (service, operation) = call.split_once(':')?;
        let service = SERVICES.iter().find(|(ours, _)| *ours == service).map_or(service, |(_, iam)| iam);
        let action = format!("{service}:{operation}");
        let renamed = ACTIONS.iter().find(|(call, _)| *call == action).map(|(_, right)| (*right).to_owned());
        verbs.iter().any(|verb| operation.starts_with(verb)).then(|| renamed.unwrap_or(action))
    };
    let plans = calls.iter().filter(|call| !DELETES.contains(&call.as_str()));
    let actions: Vec<String> = plans.filter_map(action).collect();
    assert!(actions.len() > 50, "the calls are found: {actions:?}");
    let reads = reads();
    let missing: Vec<&String> = actions.iter().filter(|action| !allows(&reads, action)).collect();
    assert!(missing.is_empty(), "add them to READS of expand/pipeline/reads.rs: {missing:?}");
}

#[test]
fn a_plan_may_read_nothing_secret() {
    let reads = reads();
    for secret in [
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
    ] {
        assert!(!allows(&reads, secret), "{secret}");
    }
}
