//! `notifications`: what people who run the system hear, and how.

use std::collections::{BTreeMap, BTreeSet};

use infra::aws::Aws;
use serde_json::{Value as Json, json};

use crate::end_to_end::site::{ACCOUNT, Site, steps};

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
vars:
  pagerduty_key: null
network: { cidr: 10.0.0.0/16, zones: 2 }
keys:
  main: {}
secrets:
  chat: {}
  pager: { json: { url: "https://chat.example.com/hook" } }
databases:
  main: { engine: postgres, version: "15", class: db.t4g.medium, deletion_protection: false }
services:
  api: { image: "nginx:1.27", cpu: 256, memory: 512 }
notifications:
  warning: { chat: "${secrets.chat}", respond: 30m }
  error: { chat: "${secrets.chat}", email: [team@example.com], respond: 15m }
  critical:
    https: ["https://events.pagerduty.com/integration/${var.pagerduty_key}/enqueue"]
    chat: ${secrets.pager.url}
    email: [team@example.com]
    respond: 5m
"#;
const KEY: &str = "pd-key-1";

#[tokio::test]
async fn each_severity_reaches_those_that_it_is_for() {
    let site = Site::start().await;
    site.write("test", FILE);
    let with = |command: &str| format!("{command} --var pagerduty_key={KEY}");
    let planned = site.infra(&with("plan test")).await.well();
    let listed = site.infra(&with("plan test --format json")).await.well();
    let applied = site.infra(&with("apply test --yes")).await.well();
    for ran in [&planned, &listed, &applied] {
        assert!(!format!("{ran:?}").contains(KEY), "the address of the pager holds a key: {ran:?}");
    }
    topics(&site.aws).await;
    function(&site.aws).await;
    role(&site.aws).await;
    rules(&site.aws).await;
    key(&site.aws).await;

    let again = site.infra(&with("plan test --detailed-exitcode")).await;
    assert_eq!(again.code, Some(0), "{}\n{}", again.stdout, again.stderr);

    site.edit("test", "respond: 30m", "respond: 1h");
    site.edit("test", "    email: [team@example.com]\n", "");
    let plan = site.infra(&with("plan test --format json")).await.well().json();
    // The mail to the team waits for its confirmation, which nothing but time takes back.
    let expected = [
        "lambda_function.chat",
        "metric_alarm.db-main-connections",
        "metric_alarm.db-main-cpu",
        "metric_alarm.db-main-storage",
    ];
    assert_eq!(steps(&plan), expected.map(|address| format!("update {address}")));
    assert!(!plan.to_string().contains(KEY));
    site.infra(&with("apply test --yes")).await.well();
    let again = site.infra(&with("plan test --detailed-exitcode")).await;
    assert_eq!(again.code, Some(0), "{}\n{}", again.stdout, again.stderr);
    assert_eq!(environment(&site.aws).await["RESPOND_WARNING"], "1h");

    site.infra("destroy test --confirm test --var pagerduty_key=x").await.well();
    let left: Vec<String> = site.live("test").await.iter().map(|live| live.identity.address.to_string()).collect();
    assert_eq!(left, [""; 0], "nothing of ours is left");
    assert!(site.aws.sns().list_topics().send().await.unwrap().topics().is_empty());
    assert!(site.aws.lambda().list_functions().send().await.unwrap().functions().is_empty());
    assert!(site.aws.events().list_rules().send().await.unwrap().rules().is_empty());
}

fn topic(severity: &str) -> String {
    format!("arn:aws:sns:us-east-1:{ACCOUNT}:acme-test-{severity}")
}

async fn topics(aws: &Aws) {
    let function = format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:acme-test-chat");
    let pager = format!("https://events.pagerduty.com/integration/{KEY}/enqueue");
    let expected: [(&str, BTreeSet<(&str, &str)>); 3] = [
        ("warning", [("lambda", function.as_str())].into()),
        ("error", [("lambda", function.as_str()), ("email", "team@example.com")].into()),
        ("critical", [("lambda", function.as_str()), ("email", "team@example.com"), ("https", &pager)].into()),
    ];
    let key = aws.kms().describe_key().key_id("alias/acme-test-main").send().await.unwrap();
    let key = key.key_metadata().unwrap().arn().unwrap();
    for (severity, receivers) in expected {
        let listed = aws.sns().list_subscriptions_by_topic().topic_arn(topic(severity)).send().await.unwrap();
        let found: BTreeSet<(&str, &str)> =
            listed.subscriptions().iter().map(|one| (one.protocol().unwrap(), one.endpoint().unwrap())).collect();
        assert_eq!(found, receivers, "{severity}");
        let attributes = aws.sns().get_topic_attributes().topic_arn(topic(severity)).send().await.unwrap();
        let attributes = attributes.attributes().unwrap();
        assert_eq!(attributes["KmsMasterKeyId"], key);
        assert_eq!(attributes["DisplayName"], format!("acme test: {severity}"));
        let policy: Json = serde_json::from_str(&attributes["Policy"]).unwrap();
        let [services, events, encrypted] = &policy["Statement"].as_array().unwrap()[..] else { panic!("{policy}") };
        assert_eq!(services["Condition"], json!({ "StringEquals": { "aws:SourceAccount": [ACCOUNT] } }));
        assert_eq!(services["Resource"], json!([topic(severity)]));
        let named = services["Principal"]["Service"].as_array().unwrap();
        for service in ["backup.amazonaws.com", "cloudwatch.amazonaws.com"] {
            assert!(named.contains(&service.into()), "{service} may publish: {policy}");
        }
        assert_eq!(events["Principal"], json!({ "Service": ["events.amazonaws.com"] }));
        assert_eq!(events.get("Condition"), None, "EventBridge meets none");
        assert_eq!(encrypted["Effect"], "Deny");
        assert_eq!(encrypted["Condition"], json!({ "Bool": { "aws:SecureTransport": ["false"] } }));
    }
}

async fn environment(aws: &Aws) -> BTreeMap<String, String> {
    let found = aws.lambda().get_function_configuration().function_name("acme-test-chat").send().await.unwrap();
    found.environment().unwrap().variables().unwrap().clone().into_iter().collect()
}

async fn secret(aws: &Aws, name: &str) -> String {
    let secret = aws.secrets().describe_secret().secret_id(format!("acme-test-{name}")).send().await.unwrap();
    secret.arn().unwrap().to_owned()
}

async fn function(aws: &Aws) {
    let found = aws.lambda().get_function_configuration().function_name("acme-test-chat").send().await.unwrap();
    assert_eq!((found.runtime().unwrap().as_str(), found.handler()), ("python3.13", Some("chat.handler")));
    assert_eq!(found.architectures()[0].as_str(), "arm64");
    assert_eq!(found.logging_config().unwrap().log_group(), Some("/aws/lambda/acme-test-chat"));
    let (chat, pager) = (secret(aws, "chat").await, secret(aws, "pager").await);
    let expected = [
        ("WATCHED", "acme test"),
        ("CHAT_WARNING", &chat),
        ("RESPOND_WARNING", "30m"),
        ("CHAT_ERROR", &chat),
        ("RESPOND_ERROR", "15m"),
        ("CHAT_CRITICAL", &format!("{pager}:url::")),
        ("RESPOND_CRITICAL", "5m"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(environment(aws).await, expected);

    let logs =
        aws.logs().describe_log_groups().log_group_name_prefix("/aws/lambda/acme-test-chat").send().await.unwrap();
    let [group] = logs.log_groups() else { panic!("{logs:?}") };
    assert_eq!(group.retention_in_days(), Some(30));
    assert!(group.kms_key_id().is_some(), "its logs are encrypted");

    let policy = aws.lambda().get_policy().function_name("acme-test-chat").send().await.unwrap();
    let policy: Json = serde_json::from_str(policy.policy().unwrap()).unwrap();
    let callers: BTreeMap<&str, &str> = policy["Statement"].as_array().unwrap().iter().map(caller).collect();
    let topics = ["warning", "error", "critical"].map(topic);
    assert_eq!(callers.into_values().collect::<BTreeSet<_>>(), topics.iter().map(String::as_str).collect());
}

fn caller(statement: &Json) -> (&str, &str) {
    assert_eq!(statement["Principal"], json!({ "Service": "sns.amazonaws.com" }));
    let source = statement["Condition"]["ArnLike"]["AWS:SourceArn"].as_str().unwrap();
    (statement["Sid"].as_str().unwrap(), source)
}

/// The function's rights: its logs, its secrets, their key, and nothing else.
async fn role(aws: &Aws) {
    let request = aws.iam().get_role_policy().role_name("acme-test-lambda-chat").policy_name("own");
    let encoded = request.send().await.unwrap();
    let policy = infra::policy::Policy::from_encoded(encoded.policy_document()).unwrap();
    let policy: Json = serde_json::from_str(&policy.to_json().unwrap()).unwrap();
    let key = aws.kms().describe_key().key_id("alias/acme-test-main").send().await.unwrap();
    let key = key.key_metadata().unwrap().arn().unwrap().to_owned();
    let logs = format!("arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/acme-test-chat:*");
    let mut secrets = vec![secret(aws, "chat").await, secret(aws, "pager").await];
    secrets.sort();
    let rights: Vec<(&Json, &Json)> =
        policy["Statement"].as_array().unwrap().iter().map(|one| (&one["Action"], &one["Resource"])).collect();
    let expected = [
        (json!(["logs:CreateLogStream", "logs:PutLogEvents"]), json!([logs])),
        (json!(["secretsmanager:GetSecretValue"]), json!(secrets)),
        (json!(["kms:Decrypt"]), json!([key])),
    ];
    assert_eq!(rights, expected.iter().map(|(action, resource)| (action, resource)).collect::<Vec<_>>());
}

async fn rules(aws: &Aws) {
    let releases = json!({
        "source": ["aws.ecs"],
        "detail-type": ["ECS Deployment State Change"],
        "detail": { "eventName": ["SERVICE_DEPLOYMENT_FAILED"] },
        "resources": [{ "prefix": format!("arn:aws:ecs:us-east-1:{ACCOUNT}:service/acme-test-main/") }],
    });
    let databases = json!({
        "source": ["aws.rds"],
        "detail-type": ["RDS DB Instance Event"],
        "detail": { "EventCategories": ["availability", "failover", "failure", "low storage"] },
        "resources": [format!("arn:aws:rds:us-east-1:{ACCOUNT}:db:acme-test-main")],
    });
    for (name, pattern) in [("acme-test-deployments", releases), ("acme-test-databases", databases)] {
        let rule = aws.events().describe_rule().name(name).send().await.unwrap();
        assert_eq!(serde_json::from_str::<Json>(rule.event_pattern().unwrap()).unwrap(), pattern);
        let targets = aws.events().list_targets_by_rule().rule(name).send().await.unwrap();
        let targets: Vec<&str> = targets.targets().iter().map(|target| target.arn()).collect();
        assert_eq!(targets, [topic("error")]);
    }
    let clusters = aws.ecs().list_clusters().send().await.unwrap();
    assert!(clusters.cluster_arns()[0].ends_with(":cluster/acme-test-main"), "the rule speaks of it: {clusters:?}");
    let instances = aws.rds().describe_db_instances().send().await.unwrap();
    let arn = instances.db_instances()[0].db_instance_arn();
    assert_eq!(arn, Some(format!("arn:aws:rds:us-east-1:{ACCOUNT}:db:acme-test-main").as_str()));
}

/// The services that publish can use the key that encrypts the topics.
async fn key(aws: &Aws) {
    let id = aws.kms().describe_key().key_id("alias/acme-test-main").send().await.unwrap();
    let id = id.key_metadata().unwrap().key_id().to_owned();
    let policy = aws.kms().get_key_policy().key_id(id).policy_name("default").send().await.unwrap();
    let policy: Json = serde_json::from_str(policy.policy().unwrap()).unwrap();
    let find = |sid: &str| policy["Statement"].as_array().unwrap().iter().find(|one| one["Sid"] == sid).unwrap();
    let publishers = find("Publishers");
    assert!(publishers["Principal"]["Service"].as_array().unwrap().contains(&"cloudwatch.amazonaws.com".into()));
    assert_eq!(publishers["Condition"], json!({ "StringEquals": { "aws:SourceAccount": [ACCOUNT] } }));
    let events = find("Events");
    assert_eq!(events["Principal"], json!({ "Service": ["events.amazonaws.com"] }));
    let topics = format!("arn:aws:sns:us-east-1:{ACCOUNT}:acme-test-*");
    assert_eq!(events["Condition"], json!({ "ArnLike": { "kms:EncryptionContext:aws:sns:topicArn": [topics] } }));
}
