//! What the roles for pipelines may do, against what the code calls: the kinds where it plans, and all else where it
//! releases.

use std::collections::{BTreeMap, BTreeSet};
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
/// Where an operation asks for a right of another name.
const ACTIONS: &[(&str, &str)] = &[
    ("s3:HeadBucket", "s3:ListBucket"),
    ("s3:ListBuckets", "s3:ListAllMyBuckets"),
    ("s3:GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
    ("s3:GetBucketEncryption", "s3:GetEncryptionConfiguration"),
    ("s3:GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
    ("s3:DeleteBucketEncryption", "s3:PutEncryptionConfiguration"),
    ("s3:DeleteBucketLifecycle", "s3:PutLifecycleConfiguration"),
    ("s3:DeleteObjects", "s3:DeleteObject"),
    ("s3:ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    ("s3:ListObjectVersions", "s3:ListBucketVersions"),
    ("s3:PutBucketEncryption", "s3:PutEncryptionConfiguration"),
    ("s3:PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
    ("s3:PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
];

/// What only a delete looks at, or who tells why something failed.
const DELETES: &[&str] = &["logs:GetLogEvents", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"];
/// How operations begin that only look.
const VERBS: &[&str] = &["Describe", "Get", "List", "Head", "BatchGet"];

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

pub fn allows(reads: &[String], action: &str) -> bool {
    reads.iter().any(|read| match read.strip_suffix('*') {
        Some(start) => action.starts_with(start),
        None => *read == action,
    })
}

/// Operations in the source, as in `"ecs:DescribeServices"`.
fn operations(path: &Path, found: &mut Vec<String>) {
    found.extend(sources(path).iter().flat_map(|text| called(text)));
}

/// The code of a file or a folder, without tests and without what kinds state.
fn sources(path: &Path) -> Vec<String> {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().flat_map(|entry| sources(&entry.unwrap().path())).collect();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    vec![match code.split_once("const RIGHTS: Rights") {
        Some((before, rest)) => format!("{before}{}", rest.split_once("\n    };").unwrap().1),
        None => code.to_owned(),
    }]
}

fn called(code: &str) -> Vec<String> {
    let operation = regex::Regex::new(r#""([a-z0-9]+:[A-Z][A-Za-z0-9]+)""#).unwrap();
    let all = operation.captures_iter(code).map(|found| found[1].to_owned());
    all.filter(|call| !NO_CALLS.contains(&call.as_str())).collect()
}

/// What reads like an operation in the source and is none.
const NO_CALLS: &[&str] = &[
    "aws:PrincipalOrgID",
    "aws:SourceAccount",
    "aws:SourceArn",
    "ecr:Get",
    "iam:Tag",
    "lambda:InvokeFunction",
    "s3:GetObject",
    "s3:Tag",
];

/// The right that an operation asks for.
pub fn action(call: &str) -> String {
    let (service, operation) = call.split_once(':').unwrap();
    let action = format!("{}:{operation}", infra::rights::service(service));
    ACTIONS.iter().find(|(call, _)| *call == action).map_or(action, |(_, right)| (*right).to_owned())
}

/// The modules of kinds: the code of each, and its functions by name.
struct Modules(BTreeMap<String, (String, BTreeMap<String, String>)>);

impl Modules {
    fn of_kinds() -> Self {
        let start = regex::Regex::new(r"(?m)^ *(?:pub(?:\([a-z]+\))? )?(?:async )?fn (\w+)").unwrap();
        let mut all: BTreeMap<String, (String, BTreeMap<String, String>)> = BTreeMap::new();
        for entry in std::fs::read_dir(kinds()).unwrap() {
            let path = entry.unwrap().path();
            let (code, functions) = all.entry(path.file_stem().unwrap().to_str().unwrap().to_owned()).or_default();
            for part in sources(&path) {
                let found: Vec<_> = start.captures_iter(&part).map(|found| found.get(1).unwrap()).collect();
                for (at, name) in found.iter().enumerate() {
                    let end = found.get(at + 1).map_or(part.len(), |next| next.start());
                    functions.entry(name.as_str().to_owned()).or_default().push_str(&part[name.end()..end]);
                }
                code.push_str(&part);
            }
        }
        Self(all)
    }

    /// All that a module calls, through the functions of others too.
    fn reached(&self, module: &str) -> BTreeSet<String> {
        let import = regex::Regex::new(r"use (?:super::)+(\w+)::(\{[^}]*\}|\w+);").unwrap();
        let function = regex::Regex::new(r"\w+\(").unwrap();
        let of_others = regex::Regex::new(r"\b(\w+)::(\w+)\(").unwrap();
        let (whole, _) = &self.0[module];
        let mut all: BTreeSet<String> = called(whole).into_iter().collect();
        let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut open = vec![(module, whole.as_str())];
        while let Some((module, code)) = open.pop() {
            let imports: Vec<_> = import.captures_iter(&self.0[module].0).map(|found| found.extract::<2>().1).collect();
            let named = function.find_iter(code).filter(|found| {
                let before = &code[..found.start()];
                before.ends_with("Self::") || !before.ends_with(['.', ':'])
            });
            let named = named.map(|found| found.as_str().trim_end_matches('('));
            let within = named.flat_map(|name| {
                let imported = imports.iter().filter(move |[_, names]| {
                    names.split(|c: char| !c.is_alphanumeric() && c != '_').any(|one| one == name)
                });
                imported.map(|[other, _]| *other).chain([module]).map(move |other| (other, name)).collect::<Vec<_>>()
            });
            let others =
                of_others.captures_iter(code).map(|found| found.extract::<2>().1).map(|[other, name]| (other, name));
            for (other, name) in within.chain(others).collect::<Vec<_>>() {
                let Some((_, functions)) = self.0.get_key_value(other).map(|(_, found)| found) else { continue };
                let Some((name, body)) = functions.get_key_value(name) else { continue };
                let (other, _) = self.0.get_key_value(other).unwrap();
                if seen.insert((other, name)) {
                    all.extend(called(body));
                    open.push((other, body));
                }
            }
        }
        all
    }
}

fn kinds() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds")
}

/// What AWS asks of the caller beside the operation itself.
const IMPLIED: &[&str] = &[
    // Tags within a create.
    "backup:TagResource",
    "application-autoscaling:TagResource",
    "ec2:CreateTags",
    "ecs:TagResource",
    "elasticache:AddTagsToResource",
    "elasticloadbalancing:AddTags",
    "kms:TagResource",
    "rds:AddTagsToResource",
    "secretsmanager:TagResource",
    // What services do in the caller's name: encrypt, keep a password, take a last snapshot, scale, guard.
    "backup-storage:MountCapsule",
    "cloudwatch:DeleteAlarms",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:PutMetricAlarm",
    "ecs:DescribeServices",
    "ecs:UpdateService",
    "elasticache:CreateSnapshot",
    "elasticloadbalancing:CreateWebACLAssociation",
    "elasticloadbalancing:DeleteWebACLAssociation",
    "elasticloadbalancing:DescribeWebACLAssociation",
    "elasticloadbalancing:GetLoadBalancerWebACL",
    "elasticloadbalancing:SetWebAcl",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:RetireGrant",
    "lambda:InvokeFunction",
    "rds:CreateDBSnapshot",
    "route53:AssociateVPCWithHostedZone",
    "s3:DeleteObjectVersion",
    "secretsmanager:CreateSecret",
    "secretsmanager:RotateSecret",
];

#[test]
fn a_kind_states_what_it_calls_and_no_more() {
    let modules = Modules::of_kinds();
    let mut wrong = Vec::new();
    for info in infra::kinds::ALL {
        let calls = modules.reached(info.name);
        let actions: BTreeSet<String> = calls.iter().map(|call| action(call)).collect();
        let reads: Vec<&str> = info.rights.read.split_whitespace().collect();
        let tells: Vec<&str> = info.rights.tells.split_whitespace().collect();
        let stated: BTreeSet<&str> = reads.iter().chain(&tells).copied().chain(info.rights.writes()).collect();
        let own = |one: &&String| !["tag:GetResources", "sts:GetCallerIdentity"].contains(&one.as_str());
        let missing: Vec<&String> = actions.iter().filter(own).filter(|one| !stated.contains(one.as_str())).collect();
        let looks = |one: &&String| VERBS.iter().any(|verb| one.contains(&format!(":{verb}")));
        let known = |one: &&String| reads.contains(&one.as_str()) || tells.contains(&one.as_str());
        let unread = actions.iter().filter(looks).filter(|one| !known(one));
        let unread: Vec<&String> = unread.filter(own).filter(|one| !DELETES.contains(&one.as_str())).collect();
        let extra: Vec<&&str> =
            stated.iter().filter(|one| !actions.contains(**one) && !IMPLIED.contains(one)).collect();
        if !(missing.is_empty() && extra.is_empty() && unread.is_empty()) {
            wrong.push(format!("{}: missing {missing:?}, not in `read` {unread:?}, never called {extra:?}", info.name));
        }
    }
    assert!(wrong.is_empty(), "mend the RIGHTS of these kinds:\n{}", wrong.join("\n"));
}

#[test]
fn a_plan_may_read_what_the_kinds_read() {
    let mut calls = Vec::new();
    for place in ["src/kinds", "src/foreign.rs"] {
        operations(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place), &mut calls);
    }
    let reads_only = |call: &&String| VERBS.iter().any(|verb| call.contains(&format!(":{verb}")));
    let actions: Vec<String> = calls.iter().filter(reads_only).map(|call| action(call)).collect();
    let plans = actions.iter().filter(|action| !DELETES.contains(&action.as_str()));
    assert!(actions.len() > 50, "the calls are found: {actions:?}");
    let reads = reads();
    let missing: Vec<&String> = plans.filter(|action| !allows(&reads, action)).collect();
    assert!(missing.is_empty(), "add them to the RIGHTS of their kinds: {missing:?}");
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
const THROUGH_KINDS: &[&str] = &["ecs:RegisterTaskDefinition", "logs:GetLogEvents", "scheduler:UpdateSchedule"];

#[test]
fn a_release_may_do_what_releases_do() {
    let mut calls: Vec<String> = THROUGH_KINDS.iter().map(|call| (*call).to_owned()).collect();
    let sources = RELEASES.iter().map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    sources.filter(|path| path.exists()).for_each(|path| operations(&path, &mut calls));
    let releases = releases();
    let missing: Vec<String> = calls.iter().map(|call| action(call)).filter(|call| !allows(&releases, call)).collect();
    assert!(missing.is_empty(), "add them to src/rights/release.rs: {missing:?}");
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

#[test]
fn documents_fit_and_lose_nothing() {
    let arns: Vec<String> =
        (0..200).map(|n| format!("arn:aws:logs:us-east-1:123456789012:log-group:/{n:060}")).collect();
    let large = infra::policy::allow(&["logs:CreateLogGroup"], arns.clone()).sid("LogsNamed");
    let small = infra::policy::allow(&["ec2:CreateVpc"], ["*"]).sid("Ec2Anywhere");
    let documents = infra::rights::documents([small, large]);
    assert!(documents.len() > 2 && documents.iter().all(|one| one.size <= infra::rights::LIMIT));
    let statements: Vec<&Json> = documents.iter().flat_map(|one| one.json["Statement"].as_array().unwrap()).collect();
    let resources: BTreeSet<String> = statements.iter().flat_map(|one| texts(&one["Resource"])).collect();
    assert_eq!(resources, arns.into_iter().chain(["*".to_owned()]).collect());
    let sids: BTreeSet<&str> = statements.iter().map(|one| one["Sid"].as_str().unwrap()).collect();
    assert_eq!(sids.len(), statements.len(), "{sids:?}");
}

#[test]
fn answers_of_iam_become_lines() {
    use infra::rights::{Answer, Asked, judge};
    let asked = |action: &str, passed_to| Asked { action: action.to_owned(), arns: BTreeSet::new(), passed_to };
    let addresses = |names: &[&str]| names.iter().map(|name| format!("subnet.{name}").parse().unwrap()).collect();
    let needs = BTreeMap::from([
        (asked("ec2:CreateSubnet", ""), addresses(&["a", "b", "c", "d", "e"])),
        (asked("ec2:CreateTags", ""), addresses(&["a"])),
        (asked("ec2:DeleteTags", ""), addresses(&["a"])),
        (asked("iam:PassRole", "ecs-tasks.amazonaws.com"), addresses(&["a"])),
        (asked("kms:CreateKey", ""), addresses(&["a"])),
    ]);
    let answers = BTreeMap::from([
        (asked("ec2:CreateSubnet", ""), Answer::Missing),
        (asked("ec2:CreateTags", ""), Answer::Allowed),
        (asked("ec2:DeleteTags", ""), Answer::Depends(["aws:SourceIp".to_owned()].into())),
        (asked("iam:PassRole", "ecs-tasks.amazonaws.com"), Answer::Denied),
    ]);
    let judged = judge(&needs, &answers);
    assert_eq!(
        judged.refused,
        [
            "ec2:CreateSubnet: subnet.a, subnet.b, subnet.c and 2 more",
            "iam:PassRole to ecs-tasks.amazonaws.com, which a policy denies: subnet.a",
        ]
    );
    assert_eq!(judged.depends, ["aws:SourceIp".to_owned()].into(), "what has no answer is no refusal");
}
