//! `notifications`: a topic for each severity, the function that posts to chats, and rules for what goes wrong by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::references::whole_secret;
use super::{Expansion, functions};
use crate::address::Address;
use crate::environment::notifications::Receivers;
use crate::kinds::event_rule::{self, EventRule};
use crate::kinds::lambda_function::{Architecture, Code, LambdaFunction, Permission};
use crate::kinds::sns_topic::SnsTopic;
use crate::policy::{self, Policy, Statement};
use crate::tags::Tags;
use crate::value::{Arg, Value};

const CHAT: &str = include_str!("notifications/chat.py");
const TOPIC_NAME_LIMIT: usize = 256;
/// Days for which the logs of the function are kept.
const LOG_DAYS: u32 = 30;
/// Services that publish to the topics on the environment's behalf, beside EventBridge.
const PUBLISHERS: [&str; 3] = ["backup.amazonaws.com", "budgets.amazonaws.com", "cloudwatch.amazonaws.com"];
const EVENTS: &str = "events.amazonaws.com";

pub(super) fn expand(to: &mut Expansion) {
    let Some(notifications) = &to.file.notifications else { return };
    let severities: Vec<(&'static str, &Receivers)> = notifications.severities().collect();
    let chats: BTreeMap<&'static str, &Receivers> =
        severities.iter().filter(|(_, receivers)| receivers.chat.is_some()).copied().collect();
    let function = (!chats.is_empty()).then(|| chat(to, &chats));
    for (severity, receivers) in severities {
        let path = ["notifications", severity];
        let https = receivers.https.iter().enumerate();
        let https = https.map(|(at, url)| to.text(url.as_str(), &[path[0], path[1], "https", &at.to_string()]));
        let https: BTreeSet<Arg<String>> = https.collect();
        let calls = function.iter().filter(|_| receivers.chat.is_some());
        let topic = SnsTopic {
            name: None,
            display_name: display_name(to, severity),
            kms_key_arn: to.main_key(),
            policy: Some(topic_policy(to, severity)),
            email: receivers.email.iter().cloned().map(Arg::Known).collect(),
            https,
            functions: calls.map(|function| Arg::output(function, "arn")).collect(),
            queues: BTreeSet::new(),
            pending: BTreeSet::new(),
            tags: Tags::new(),
        };
        to.add(severity, &path, &topic);
    }
    if let Some(severity) = notifications.of_events() {
        events(to, severity);
    }
}

/// The sender of e-mails, which is at most 100 characters long.
fn display_name(to: &Expansion, severity: &str) -> String {
    format!("{} {}: {severity}", to.file.project, to.name)
}

/// The ARN of the topic of a severity. Its own policy speaks of it, and so cannot refer to it.
fn topic_arn(to: &Expansion, severity: &str) -> String {
    let name = to.aws_name(severity, TOPIC_NAME_LIMIT);
    format!("arn:{}:sns:{}:{}:{name}", to.partition(), to.file.region, to.file.account)
}

/// AWS's services may publish on the account's behalf; everyone only over TLS.
fn topic_policy(to: &Expansion, severity: &str) -> Policy {
    let arn = topic_arn(to, severity);
    policy::document([
        policy::allow(&["sns:Publish"], [arn.as_str()]).sid("Services").to("Service", PUBLISHERS).when(
            "StringEquals",
            "aws:SourceAccount",
            [to.file.account.as_str()],
        ),
        // AWS's documentation: a topic's policy for EventBridge can have no conditions. With one, events are lost.
        policy::allow(&["sns:Publish"], [arn.as_str()]).sid("Events").to("Service", [EVENTS]),
        policy::deny(&["sns:Publish"], [arn.as_str()]).sid("EncryptedOnly").to("AWS", ["*"]).when(
            "Bool",
            "aws:SecureTransport",
            ["false"],
        ),
    ])
}

/// What the key's policy needs so that the services can publish to topics that it encrypts.
pub(super) fn key_statements(to: &Expansion) -> Vec<Statement> {
    if to.file.notifications.is_none() {
        return Vec::new();
    }
    let use_it = ["kms:Decrypt", "kms:GenerateDataKey*"];
    let topics = topic_arn(to, "*");
    let account = to.file.account.as_str();
    vec![
        policy::allow(&use_it, ["*"]).sid("Publishers").to("Service", PUBLISHERS).when(
            "StringEquals",
            "aws:SourceAccount",
            [account],
        ),
        // EventBridge does not say for which account it publishes: SNS asks for the key in its name, and says the topic.
        policy::allow(&use_it, ["*"]).sid("Events").to("Service", [EVENTS]).when(
            "ArnLike",
            "kms:EncryptionContext:aws:sns:topicArn",
            [topics.as_str()],
        ),
    ]
}

/// The function that posts to chats, with its log group and its role.
fn chat(to: &mut Expansion, chats: &BTreeMap<&'static str, &Receivers>) -> Address {
    let origin = ["notifications"];
    let logs = functions::logs(to, "lambda-chat", "chat", LOG_DAYS, &origin);
    let mut environment: BTreeMap<String, Arg<String>> = BTreeMap::new();
    environment.insert("WATCHED".to_owned(), format!("{} {}", to.file.project, to.name).into());
    let mut secrets = BTreeSet::new();
    let mut permissions = Vec::new();
    for (severity, receivers) in chats {
        let path = ["notifications", severity, "chat"];
        let secret = to.text(receivers.chat.as_ref().map(|chat| chat.as_str()).unwrap_or_default(), &path);
        secrets.insert(whole_secret(&secret));
        environment.insert(format!("CHAT_{}", severity.to_uppercase()), secret);
        if let Some(respond) = receivers.respond {
            environment.insert(format!("RESPOND_{}", severity.to_uppercase()), respond.to_string().into());
        }
        let topic = Arg::output(&Address::new("sns_topic", *severity), "arn");
        permissions.push(Permission::service(severity, "sns.amazonaws.com", topic));
    }
    let role = role(to, &logs, secrets, chats);
    let function = LambdaFunction {
        name: None,
        description: "Posts notifications to chats".to_owned(),
        runtime: "python3.13".to_owned(),
        handler: "chat.handler".to_owned(),
        architecture: Architecture::Arm,
        code: Some(Code::Files(BTreeMap::from([("chat.py".to_owned(), CHAT.to_owned())]))),
        code_sha256: None,
        version: None,
        memory_mb: 128,
        timeout_seconds: 30,
        storage_mb: 512,
        environment,
        kms_key_arn: to.main_key(),
        role_arn: Arg::output(&role, "arn"),
        subnets: BTreeSet::new(),
        security_groups: BTreeSet::new(),
        log_group: Some(Arg::output(&logs, "name")),
        tracing: false,
        reserved_concurrency: None,
        permissions,
        tags: Tags::new(),
    };
    to.add("chat", &origin, &function)
}

/// The function reads the secrets of the chats. More it may not.
fn role(
    to: &mut Expansion,
    logs: &Address,
    secrets: BTreeSet<Arg<String>>,
    chats: &BTreeMap<&'static str, &Receivers>,
) -> Address {
    let mut statements = vec![policy::allow(&["secretsmanager:GetSecretValue"], secrets).sid("Addresses")];
    let mut keys: BTreeSet<Arg<String>> = to.main_key().into_iter().collect();
    for receivers in chats.values() {
        let text = receivers.chat.as_ref().map(|chat| chat.as_str()).unwrap_or_default();
        let name = text.strip_prefix("${secrets.").and_then(|rest| rest.split(['.', '}']).next()).unwrap_or_default();
        let key = to.file.secrets.get(name).and_then(|secret| secret.key.clone());
        keys.extend(key.map(|key| to.text(key.as_str(), &["secrets", name, "key"])));
    }
    if !keys.is_empty() {
        statements.push(policy::allow(&["kms:Decrypt"], keys).sid("Keys"));
    }
    functions::role(to, "lambda-chat", logs, statements, &["notifications"])
}

/// Rules for what goes wrong by itself.
fn events(to: &mut Expansion, severity: &str) {
    if !to.file.services.is_empty() {
        let pattern = serde_json::json!({
            "source": ["aws.ecs"],
            "detail-type": ["ECS Deployment State Change"],
            "detail": { "eventName": ["SERVICE_DEPLOYMENT_FAILED"] },
        });
        // The ARN of a service holds the name of its cluster.
        let cluster = to.aws_name("main", 255);
        let (region, account) = (&to.file.region, &to.file.account);
        let prefix = format!("arn:{}:ecs:{region}:{account}:service/{cluster}/", to.partition());
        rule(to, "deployments", "A release of a service failed", severity, pattern, &[prefix]);
    }
    if !to.file.databases.is_empty() {
        let pattern = serde_json::json!({
            "source": ["aws.rds"],
            "detail-type": ["RDS DB Instance Event"],
            "detail": { "EventCategories": ["availability", "failover", "failure", "low storage"] },
        });
        let (region, account) = (&to.file.region, &to.file.account);
        let arn = |name: &String| format!("arn:{}:rds:{region}:{account}:db:{}", to.partition(), to.aws_name(name, 63));
        let databases: Vec<String> = to.file.databases.keys().map(arn).collect();
        rule(to, "databases", "A database failed or failed over", severity, pattern, &databases);
    }
}

/// A rule for events of resources whose ARNs begin so.
fn rule(
    to: &mut Expansion,
    name: &str,
    description: &str,
    severity: &str,
    mut pattern: serde_json::Value,
    arns: &[String],
) {
    let begins = arns.iter().map(|arn| match arn.strip_suffix('/') {
        Some(_) => serde_json::json!({ "prefix": arn }),
        None => serde_json::json!(arn),
    });
    pattern["resources"] = begins.collect();
    let topic = Arg::output(&Address::new("sns_topic", severity), "arn");
    let rule = EventRule {
        name: None,
        description: description.to_owned(),
        event_pattern: Some(event_rule::Json(Value::from(pattern))),
        schedule: None,
        enabled: true,
        targets: vec![event_rule::Target::new(severity, topic)],
        tags: Tags::new(),
    };
    to.add(name, &["notifications"], &rule);
}
