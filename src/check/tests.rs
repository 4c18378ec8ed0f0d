//! Each rule fires from a file that a user can write, and none on production as it stands.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::*;
use crate::environment::{Facts, desired, load};

const PRODUCTION: &str = include_str!("../../tests/it/end_to_end/core.yaml");

/// What is found in a file, with resources of kinds that no section makes here put beside it.
fn found(name: &str, text: &str, beside: &[(&str, Json)]) -> Checked {
    let read = |_: &str| Ok(text.to_owned());
    let loaded =
        load(&format!("environments/{name}.yaml"), &[], &read).unwrap_or_else(|failed| panic!("{failed:?}\n{text}"));
    let mut desired = desired(&loaded, &Facts::default()).unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}"));
    for (address, fields) in beside {
        let address: Address = address.parse().unwrap();
        let Value::Map(fields) = Value::from(fields.clone()) else { panic!("{address} has fields") };
        let resource = Resource {
            address: address.clone(),
            fields,
            after: std::collections::BTreeSet::new(),
            origin: vec!["resources".into()],
        };
        desired.resources.insert(address, resource);
    }
    check(&loaded, &desired)
}

/// What is found and not allowed.
fn codes(checked: &Checked) -> BTreeSet<String> {
    let standing = checked.findings.iter().filter(|finding| finding.allowed.is_none());
    standing.map(|finding| format!("{} {}", finding.address, finding.code)).collect()
}

/// What is found in production after a change that is not found before it.
#[track_caller]
fn more(old: &str, new: &str, beside: &[(&str, Json)]) -> Vec<String> {
    static BEFORE: LazyLock<BTreeSet<String>> = LazyLock::new(|| codes(&found("production", PRODUCTION, &[])));
    assert!(PRODUCTION.contains(old), "{old}");
    let after = codes(&found("production", &PRODUCTION.replacen(old, new, 1), beside));
    after.difference(&BEFORE).cloned().collect()
}

/// Changes of production, and what is found then.
const CHANGES: &[(&str, &str, &[&str])] = &[
    ("    multi_az: true\n", "", &["db_instance.main single_zone"]),
    ("keep: 7d }", "keep: 0d }", &["db_instance.main no_backups"]),
    ("keep: 7d }", "keep: 3d }", &["db_instance.main short_backups"]),
    ("    class: db.", "    deletion_protection: false\n    class: db.", &["db_instance.main deletion_protection_off"]),
    (
        "    class: db.",
        "    parameters: { rds.force_ssl: false }\n    class: db.",
        &["db_parameter_group.main tls_not_enforced"],
    ),
    ("nat: per_zone", "nat: single", &["nat_gateway.a single_nat"]),
    ("acme/api\"", "acme/api:latest\"", &["task_definition.api unpinned_image"]),
    ("    count: 2\n", "", &["ecs_service.api-blue single_task"]),
    (
        "    count: 2\n",
        "    public: true\n    count: 2\n",
        &["ecs_service.api-blue public_service", "ecs_service.api-green public_service"],
    ),
    (
        "    environment: { API_URL",
        "    secrets: { PASSWORD: \"${databases.main.master.password}\" }\n    environment: { API_URL",
        &["task_definition.web superuser_in_service"],
    ),
    ("DATABASE_NAME: ", "DB_PASSWORD: hunter2\n      DATABASE_NAME: ", &["task_definition.api plain_secret"]),
    ("      JWT_KEY: \"${secrets.jwt}\"\n", "", &["secret.jwt unused_secret"]),
    ("certificate: \"${certificates.site.arn}\"", "allow: [0.0.0.0/0]", &["load_balancer.public plain_http"]),
    ("certificate:", "deletion_protection: false, certificate:", &["load_balancer.public deletion_protection_off"]),
    (
        "    route: {}  ",
        "    policies: [{ actions: [\"s3:*\"], resources: [\"*\"] }]\n    route: {}  ",
        &["iam_role.web-task wildcard_iam"],
    ),
    (
        "    route: {}  ",
        "    policies: [{ actions: [\"*\"], resources: [\"*\"] }]\n    route: {}  ",
        &["iam_role.web-task admin_policy"],
    ),
    (
        "    route: {}  ",
        "    policies: [{ actions: [\"iam:PassRole\"], resources: [\"*\"] }]\n    route: {}  ",
        &["iam_role.web-task pass_any_role"],
    ),
];

#[test]
fn changes_of_production_are_found() {
    for (old, new, expected) in CHANGES {
        assert_eq!(more(old, new, &[]), *expected, "{new}");
    }
}

/// Entries of `resources:`, and what is found on them.
const RAW: &[(&str, &[&str])] = &[
    ("security_group.x: { ingress: [{ protocol: all, peer: { cidr: 0.0.0.0/0 } }] }", &["security_group.x all_ports"]),
    ("security_group.x: { ingress: [{ protocol: tcp, peer: { cidr: \"::/0\" } }] }", &["security_group.x all_ports"]),
    (
        "security_group.x: { ingress: [{ protocol: tcp, ports: 22, peer: { cidr: 0.0.0.0/0 } }] }",
        &["security_group.x open_ssh"],
    ),
    (
        "security_group.x: { ingress: [{ protocol: tcp, ports: 20-25, peer: { cidr: 128.0.0.0/1 } }] }",
        &["security_group.x open_ssh"],
    ),
    (
        "security_group.x: { ingress: [{ protocol: tcp, ports: 6379, peer: { cidr: 0.0.0.0/0 } }] }",
        &["security_group.x open_database"],
    ),
    (
        "security_group.x: { ingress: [{ protocol: tcp, ports: 8080, peer: { cidr: 0.0.0.0/0 } }] }",
        &["security_group.x open_to_world"],
    ),
    ("security_group.x: { ingress: [{ protocol: tcp, ports: 443, peer: { cidr: 0.0.0.0/0 } }] }", &[]),
    ("security_group.x: { ingress: [{ protocol: tcp, ports: 22, peer: { cidr: 203.0.113.7/32 } }] }", &[]),
    ("security_group.x: { ingress: [{ protocol: icmp, peer: { cidr: 0.0.0.0/0 } }] }", &[]),
    ("security_group.x: { egress: [{ protocol: all, peer: { cidr: 0.0.0.0/0 } }] }", &["security_group.x open_egress"]),
    (
        "security_group.x: { egress: [{ protocol: tcp, ports: 5432, peer: { security_group: \"${security_group.db-main.id}\" } }] }",
        &["security_group.x one_sided_rule"],
    ),
    (
        "security_group.x: { ingress: [{ protocol: tcp, ports: 80, peer: { security_group: \"${security_group.db-main.id}\" } }] }",
        &["security_group.x one_sided_rule"],
    ),
    ("log_group.x: { kms_key_arn: \"${keys.main.arn}\" }", &["log_group.x no_log_retention"]),
    ("log_group.x: { retention_days: 7 }", &["log_group.x key_not_used"]),
    ("kms_key.x: { description: x }", &["kms_key.x no_key_rotation"]),
    (
        "iam_role.x: { trust: TRUST, attached: [\"arn:aws:iam::aws:policy/AdministratorAccess\"] }",
        &["iam_role.x admin_policy"],
    ),
    ("iam_role.x: { trust: TRUST, max_session_seconds: 43200 }", &[]),
    (
        "iam_role.x: { max_session_seconds: 43200, trust: { Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: \"sts:AssumeRole\", Principal: { AWS: \"123456789012\" } }] } }",
        &["iam_role.x long_session"],
    ),
    (
        "iam_role.x: { trust: { Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: \"sts:AssumeRole\", Principal: \"*\" }] } }",
        &["iam_role.x wildcard_principal"],
    ),
    (
        "iam_role.x: { trust: { Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: \"sts:AssumeRole\", Principal: { AWS: \"arn:aws:iam::210987654321:root\" } }] } }",
        &["iam_role.x foreign_trust"],
    ),
    (
        "iam_role.x: { trust: { Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: \"sts:AssumeRoleWithWebIdentity\", Principal: { Federated: \"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com\" }, Condition: { StringEquals: { \"token.actions.githubusercontent.com:aud\": sts.amazonaws.com } } }] } }",
        &["iam_role.x any_repository"],
    ),
    (
        "iam_role.x: { trust: { Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: \"sts:AssumeRoleWithWebIdentity\", Principal: { Federated: \"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com\" }, Condition: { StringLike: { \"token.actions.githubusercontent.com:sub\": \"repo:*\" } } }] } }",
        &["iam_role.x any_repository"],
    ),
    (
        "iam_role.x: { trust: { Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: \"sts:AssumeRoleWithWebIdentity\", Principal: { Federated: \"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com\" }, Condition: { StringLike: { \"token.actions.githubusercontent.com:sub\": \"repo:acme/shop:*\" } } }] } }",
        &[],
    ),
    (
        "listener.x: { load_balancer_arn: \"${load_balancers.public.arn}\", port: 8443, protocol: HTTPS, certificate_arn: \"${certificates.site.arn}\", default_action: { fixed_response: { status: 404 } } }",
        &["listener.x weak_tls"],
    ),
    (
        "task_definition.x: { cpu: 256, memory: 512, containers: [{ name: x, image: \"x:1\" }] }",
        &["task_definition.x no_logs"],
    ),
    (
        "task_definition.x: { cpu: 256, memory: 512, containers: [{ name: x, image: x, log: { group: x, region: us-east-1, prefix: x } }] }",
        &["task_definition.x unpinned_image"],
    ),
    (
        "task_definition.x: { cpu: 256, memory: 512, containers: [{ name: x, image: \"x:1\", command: [\"--dsn=redis://:hunter2@cache:6379\"], log: { group: x, region: us-east-1, prefix: x } }] }",
        &["task_definition.x plain_secret"],
    ),
    ("ecs_service.x: { SERVICE, circuit_breaker: { enable: false } }", &["ecs_service.x no_circuit_breaker"]),
    (
        "ecs_service.x: { SERVICE, circuit_breaker: { enable: true }, enable_execute_command: true }",
        &["ecs_service.x shell_access"],
    ),
    (
        "db_instance.x: { DATABASE, encrypted: false }",
        &["db_instance.x key_not_used", "db_instance.x unencrypted_database"],
    ),
    (
        "db_instance.x: { DATABASE, encrypted: true, kms_key_arn: \"${keys.main.arn}\", publicly_accessible: true }",
        &["db_instance.x public_database"],
    ),
    (
        "db_instance.x: { DATABASE, encrypted: true, kms_key_arn: \"${keys.main.arn}\", final_snapshot: false }",
        &["db_instance.x no_final_snapshot"],
    ),
    (
        "db_instance.x: { DATABASE, encrypted: true, kms_key_arn: \"${keys.main.arn}\", security_groups: [\"${security_group.api.id}\"] }",
        &["security_group.api database_reaches_out"],
    ),
    (
        "db_subnet_group.x: { description: x, subnets: [\"${subnet.public-a.id}\", \"${subnet.public-b.id}\"] }\n  db_instance.x: { DATABASE, encrypted: true, kms_key_arn: \"${keys.main.arn}\", subnet_group_name: \"${db_subnet_group.x.name}\" }",
        &["db_instance.x database_in_public_subnet"],
    ),
];

/// The fields that each raw resource must have, so that the cases show only what they are about.
fn complete(raw: &str) -> String {
    let group =
        if raw.contains("subnet_group_name") { "" } else { ", subnet_group_name: \"${db_subnet_group.main.name}\"" };
    let firewall =
        if raw.contains("security_groups") { "" } else { ", security_groups: [\"${security_group.db-main.id}\"]" };
    let database = format!(
        "engine: postgres, engine_version: \"15\", class: db.t4g.micro, storage_gb: 20, master_username: root_user, \
         multi_az: true, backup_retention_days: 7, deletion_protection: true{group}{firewall}"
    );
    let trust = "{ Version: \"2012-10-17\", Statement: [{ Effect: Allow, Action: \"sts:AssumeRole\", Principal: { Service: ecs-tasks.amazonaws.com } }] }";
    let service = "cluster_arn: \"${ecs_cluster.main.arn}\", task_definition_arn: \"${task_definition.api.arn}\", \
                   subnets: [\"${subnet.private-a.id}\"], security_groups: [\"${security_group.api.id}\"]";
    raw.replace("security_group.x: {", "security_group.x: { vpc_id: \"${network.vpc_id}\", description: x,")
        .replace("cpu: 256,", "cpu: 256, execution_role_arn: \"${iam_role.api-execution.arn}\",")
        .replace("TRUST", trust)
        .replace("DATABASE", &database)
        .replace("SERVICE", service)
}

#[test]
fn raw_resources_are_looked_at() {
    let all = |raw: &str| more("\nsecrets:\n", &format!("\nresources:\n  {}\n\nsecrets:\n", complete(raw)), &[]);
    for (raw, expected) in RAW {
        assert_eq!(all(raw), *expected, "{raw}");
    }
}

type Beside = (Vec<(&'static str, Json)>, &'static [&'static str]);

/// Resources of kinds of which only some fields matter, and what is found on them.
fn beside() -> Vec<Beside> {
    let key = json!({ "${}": [{ "output": { "of": "kms_key.main", "name": "arn" } }] });
    let topic = json!({ "${}": [{ "output": { "of": "sns_topic.warning", "name": "arn" } }] });
    vec![
        (
            vec![("bucket.x", json!({ "versioning": true, "kms_key_arn": key, "public": true }))],
            &["bucket.x public_bucket"],
        ),
        (vec![("bucket.x", json!({ "versioning": false, "kms_key_arn": key }))], &["bucket.x no_versioning"]),
        (vec![("bucket.x", json!({ "versioning": true }))], &["bucket.x key_not_used"]),
        (vec![("bucket.x", json!({ "versioning": true, "public": false, "kms_key_arn": key }))], &[]),
        (vec![("sns_topic.warning", json!({}))], &["sns_topic.warning key_not_used"]),
        (
            vec![(
                "sns_topic.warning",
                json!({ "kms_key_arn": key, "policy": { "Statement": [{ "Effect": "Allow", "Principal": { "AWS": ["*"] }, "Action": "sns:Publish" }] } }),
            )],
            &["sns_topic.warning wildcard_principal"],
        ),
        (
            vec![("metric_alarm.a", json!({})), ("metric_alarm.b", json!({ "ok_actions": [] }))],
            &["metric_alarm.a no_alarm_target"],
        ),
        (vec![("metric_alarm.a", json!({})), ("metric_alarm.b", json!({ "alarm_actions": [topic] }))], &[]),
        (
            vec![("lambda_function.x", json!({ "environment": { "TOKEN": "abc" } }))],
            &["lambda_function.x plain_secret"],
        ),
        (
            vec![("replication_group.x", json!({ "kms_key_arn": key, "encrypted": false }))],
            &["replication_group.x unencrypted_cache"],
        ),
        (
            vec![("replication_group.x", json!({ "kms_key_arn": key, "transit_encryption": false }))],
            &["replication_group.x tls_not_enforced"],
        ),
        (
            vec![("replication_group.x", json!({ "kms_key_arn": key, "multi_az": false }))],
            &["replication_group.x single_zone"],
        ),
    ]
}

#[test]
fn other_kinds_are_looked_at_by_their_fields() {
    for (beside, expected) in beside() {
        assert_eq!(more("", "", &beside), *expected, "{beside:?}");
    }
}

#[test]
fn what_stands_before_the_network_is_missed() {
    let of = |kind: &str, name: &str| json!({ "of": [{ "${}": [{ "output": { "of": format!("{kind}.{name}"), "name": "arn" } }] }] });
    let bare = codes(&found("production", PRODUCTION, &[]));
    let safe = codes(&found(
        "production",
        PRODUCTION,
        &[("web_acl.main", of("load_balancer", "public")), ("flow_log.main", of("vpc", "main"))],
    ));
    let missed: Vec<_> = bare.difference(&safe).cloned().collect();
    assert_eq!(missed, ["load_balancer.public no_web_firewall", "vpc.main no_flow_logs"]);
    assert_eq!(
        safe.into_iter().collect::<Vec<_>>(),
        ["metric_alarm.api-down no_alarm_target"],
        "a sane file but for that"
    );
}

#[test]
fn each_rule_has_a_case_and_speaks_in_sentences() {
    let beside = beside();
    let cases = CHANGES.iter().map(|(.., expected)| *expected).chain(RAW.iter().map(|(_, expected)| *expected));
    let cases = cases.chain(beside.iter().map(|(_, expected)| *expected)).flatten();
    let mut covered: BTreeSet<&str> = cases.filter_map(|one| one.split(' ').nth(1)).collect();
    covered.extend(["no_web_firewall", "no_flow_logs"]);
    let all: Vec<&str> = rules().map(|rule| rule.code).collect();
    assert_eq!(covered, all.iter().copied().collect());
    assert_eq!(covered.len(), all.len(), "no two rules have one code");
    for rule in rules() {
        assert!(rule.what.starts_with(char::is_uppercase), "{}", rule.code);
        for text in [rule.what, rule.why, rule.remedy] {
            assert!(!text.ends_with('.') && !text.is_empty(), "{}", rule.code);
        }
    }
}

#[test]
fn what_is_not_production_may_be_small() {
    let small =
        PRODUCTION.replace("    multi_az: true\n", "").replace("    count: 2\n", "").replace("per_zone", "single");
    let found = codes(&found("staging", &small, &[]));
    assert_eq!(
        found.into_iter().filter(|one| !one.ends_with("no_web_firewall")).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    for (name, expected) in [("prod", true), ("acme-production-eu", true), ("staging", false), ("products", false)] {
        assert_eq!(is_production(name), expected, "{name}");
    }
}

#[test]
fn a_secret_is_never_in_a_message() {
    let text = PRODUCTION.replace("DATABASE_NAME: ", "DB_PASSWORD: hunter2\n      DATABASE_NAME: ");
    let checked = found("production", &text, &[]);
    assert!(checked.has_errors());
    let mut sources = crate::source::Sources::default();
    sources.add("environments/production.yaml", text);
    let shown = crate::diagnostic::render(&checked.diagnostics, &sources, false);
    assert!(shown.contains("error[plain_secret]") && !shown.contains("hunter2"), "{shown}");
    let line = sources.files[0].text.lines().position(|line| line.contains("hunter2")).unwrap() + 1;
    assert!(shown.contains(&format!("--> environments/production.yaml:{line}\n")), "{shown}");
    assert!(!serde_json::to_string(&checked.findings).unwrap().contains("hunter2"));
}
