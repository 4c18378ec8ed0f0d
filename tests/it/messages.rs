//! Topics, functions and rules of events.

use std::collections::{BTreeMap, BTreeSet};

use infra::aws::Aws;
use infra::kind::{Class, Kind, Live};
use infra::kinds::event_rule::{EventRule, Json, Target, Transform};
use infra::kinds::lambda_function::{Architecture, Code, LambdaFunction, Permission};
use infra::kinds::sns_topic::SnsTopic;
use infra::policy;
use infra::tags::Tags;
use infra::value::{Arg, Value};
use serde_json::json;

use crate::support::Bench;

const ACCOUNT: &str = "123456789012";

fn texts(texts: &[&str]) -> BTreeSet<Arg<String>> {
    texts.iter().copied().map(Arg::from).collect()
}

fn topic() -> SnsTopic {
    SnsTopic {
        name: None,
        display_name: String::new(),
        kms_key_arn: None,
        policy: None,
        email: texts(&["a@example.com"]),
        https: BTreeSet::new(),
        functions: BTreeSet::new(),
        queues: BTreeSet::new(),
        pending: BTreeSet::new(),
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

async fn subscriptions(aws: &Aws, arn: &str) -> Vec<(String, String)> {
    let listed = aws.sns().list_subscriptions_by_topic().topic_arn(arn).send().await.unwrap();
    let text = |text: Option<&str>| text.unwrap().to_owned();
    let mut all: Vec<_> =
        listed.subscriptions().iter().map(|one| (text(one.endpoint()), text(one.subscription_arn()))).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_topic_through_its_life() {
    let bench = Bench::start().await;
    let live = bench.create("error", &topic()).await;
    assert_eq!(live.outputs["arn"], format!("arn:aws:sns:us-east-1:{ACCOUNT}:acme-test-error"));
    assert_eq!(live.notes, ["waits for confirmation by a@example.com".into()]);

    let function = format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:chat");
    let publish = policy::allow(&["sns:Publish"], [live.id.as_str()]).sid("S").to("Service", ["events.amazonaws.com"]);
    let full = SnsTopic {
        display_name: "acme test: error".into(),
        kms_key_arn: Some(format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/x").into()),
        policy: Some(policy::document([publish])),
        https: texts(&["https://example.com/secret-key"]),
        functions: texts(&[&function]),
        tags: Tags::new(),
        ..topic()
    };
    let live = bench.update(&live, &full).await;
    assert!(live.notes.iter().any(|note| note.text == "waits for confirmation by example.com"), "{:?}", live.notes);

    // What is confirmed or needs no confirmation goes; what waits cannot, and is no difference.
    let confirm = bench.aws.sns().confirm_subscription().topic_arn(&live.id).token("https://example.com/secret-key");
    confirm.send().await.unwrap();
    let [live] = &bench.list::<SnsTopic>().await[..] else { panic!("one topic") };
    let mut bare = SnsTopic { email: BTreeSet::new(), ..topic() };
    bare.take_over(&live.spec);
    let live = bench.update(live, &bare).await;
    let left = subscriptions(&bench.aws, &live.id).await;
    assert_eq!(left, [("a@example.com".to_owned(), "PendingConfirmation".to_owned())]);
    let attributes = bench.aws.sns().get_topic_attributes().topic_arn(&live.id).send().await.unwrap();
    let policy = &attributes.attributes().unwrap()["Policy"];
    assert!(policy.contains("AWS:SourceOwner") && policy.contains(ACCOUNT), "AWS's own policy again: {policy}");
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_topic_of_others_is_refused_and_one_of_ours_is_found_again() {
    let bench = Bench::start().await;
    bench.aws.sns().create_topic().name("acme-test-error").send().await.unwrap();
    let failure = bench.try_create("error", &topic()).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");

    let live = bench.create("warning", &topic()).await;
    let changed = SnsTopic { display_name: "other".into(), ..topic() };
    assert_eq!(bench.try_create("warning", &changed).await.unwrap(), live.id);
    assert_eq!(bench.list::<SnsTopic>().await[0].spec.display_name, "other");
    assert_eq!(subscriptions(&bench.aws, &live.id).await.len(), 1, "nobody is asked twice");
    bench.delete(&bench.list::<SnsTopic>().await[0]).await;
    assert_eq!(bench.aws.sns().list_topics().send().await.unwrap().topics().len(), 1, "that of others stays");
}

async fn role(aws: &Aws) -> Arg<String> {
    let trust = policy::trust("lambda.amazonaws.com").to_json().unwrap();
    let request = aws.iam().create_role().role_name("f").assume_role_policy_document(trust);
    request.send().await.unwrap().role().unwrap().arn().into()
}

fn code(text: &str) -> Code {
    Code::Files(BTreeMap::from([("main.py".to_owned(), text.to_owned())]))
}

fn function(role: &Arg<String>) -> LambdaFunction {
    let minimal = json!({
        "runtime": "python3.13", "handler": "main.handler", "role_arn": role,
        "code": code("def handler(event, context): pass\n"), "tags": { "team": "backend" },
    });
    serde_json::from_value(minimal).unwrap()
}

/// What is compared of a function: the code is not, AWS gives its digest only.
fn seen(function: &LambdaFunction) -> LambdaFunction {
    let mut function = function.clone();
    function.normalize();
    function
}

/// Updates as the executor does: while AWS is at the last change, it tries again.
async fn update(bench: &Bench, live: &Live<LambdaFunction>, spec: &LambdaFunction) -> Live<LambdaFunction> {
    let mut busy = 0;
    while let Err(failure) = spec.update(&bench.aws, live).await {
        assert_eq!(failure.class, Class::Busy, "{failure}");
        busy += 1;
        assert!(busy < 5, "{failure}");
    }
    assert!(busy > 0, "AWS makes one change at a time");
    LambdaFunction::poll(&bench.aws, &live.id).await.unwrap();
    bench.update(live, spec).await
}

#[tokio::test]
async fn a_function_through_its_life() {
    let bench = Bench::start().await;
    let role = role(&bench.aws).await;
    let live = bench.create("f", &seen(&function(&role))).await;
    assert_eq!(
        (live.id.as_str(), live.spec.log_group.as_ref()),
        ("acme-test-f", Some(&"/aws/lambda/acme-test-f".into()))
    );
    assert_eq!(live.outputs["arn"], format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:acme-test-f"));

    let topic = format!("arn:aws:sns:us-east-1:{ACCOUNT}:t");
    let full = seen(&LambdaFunction {
        description: "all that can change".into(),
        handler: "main.other".into(),
        architecture: Architecture::Arm,
        code: Some(code("x = 2\n")),
        memory_mb: 256,
        timeout_seconds: 30,
        storage_mb: 1024,
        environment: BTreeMap::from([("A".into(), "b".into())]),
        kms_key_arn: Some(format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/x").into()),
        subnets: texts(&["subnet-1"]),
        security_groups: texts(&["sg-1"]),
        log_group: Some("/elsewhere".into()),
        tracing: true,
        reserved_concurrency: Some(0),
        permissions: vec![
            Permission::service("topic", "sns.amazonaws.com", topic.clone().into()),
            Permission {
                name: "account".into(),
                principal: "210987654321".into(),
                source_arn: None,
                source_account: None,
                action: "lambda:InvokeFunction".into(),
            },
        ],
        tags: Tags::new(),
        ..function(&role)
    });
    let live = update(&bench, &live, &full).await;
    assert_eq!(live.spec.log_group, Some("/elsewhere".into()));

    let only = Permission::service("topic", "sns.amazonaws.com", format!("{topic}-2").into());
    let stranger = bench.aws.lambda().add_permission().function_name(&live.id).statement_id("stranger");
    stranger.action("lambda:InvokeFunction").principal("210987654321").send().await.unwrap();
    let fewer = seen(&LambdaFunction { permissions: vec![only], ..function(&role) });
    let live = bench.list::<LambdaFunction>().await.into_iter().find(|found| found.id == live.id).unwrap();
    assert_eq!(live.spec.permissions.len(), 3, "whoever may call it is seen");
    let live = update(&bench, &live, &fewer).await;
    assert_eq!(live.spec.log_group, Some("/aws/lambda/acme-test-f".into()), "the default is written");
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_function_leaves_its_network_before_it_is_deleted() {
    let bench = Bench::start().await;
    let role = role(&bench.aws).await;
    let inside = LambdaFunction { subnets: texts(&["subnet-1"]), security_groups: texts(&["sg-1"]), ..function(&role) };
    let live = bench.create("f", &seen(&inside)).await;
    let failure = LambdaFunction::delete(&bench.aws, &live).await.unwrap_err();
    assert_eq!(failure.class, Class::Busy, "{failure}");
    let now = bench.aws.lambda().get_function_configuration().function_name(&live.id).send().await.unwrap();
    assert!(now.vpc_config().unwrap().subnet_ids().is_empty());
    assert_eq!(LambdaFunction::delete(&bench.aws, &live).await.unwrap_err().class, Class::Busy, "still at it");
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_function_of_others_is_refused() {
    let bench = Bench::start().await;
    let role = role(&bench.aws).await;
    let live = bench.create("f", &seen(&function(&role))).await;
    assert_eq!(bench.try_create("f", &seen(&function(&role))).await.unwrap(), live.id, "ours is found again");
    let taken = LambdaFunction { name: Some(live.id.clone()), ..function(&role) };
    assert_eq!(bench.try_create("g", &taken).await.unwrap_err().code, "NameTaken");
}

fn rule() -> EventRule {
    EventRule {
        name: None,
        description: "what fails".into(),
        event_pattern: Some(Json(Value::from(
            json!({ "source": ["aws.ecs"], "detail": { "x": [{ "prefix": "y" }] } }),
        ))),
        schedule: None,
        enabled: true,
        targets: vec![target("topic")],
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

fn target(name: &str) -> Target {
    Target {
        name: name.into(),
        arn: format!("arn:aws:sns:us-east-1:{ACCOUNT}:{name}").into(),
        role_arn: None,
        input: None,
        transform: None,
        dead_letter_arn: None,
    }
}

#[tokio::test]
async fn a_rule_through_its_life() {
    let bench = Bench::start().await;
    let foreign = bench.aws.events().put_rule().name("acme-test-of-others").schedule_expression("rate(1 day)");
    foreign.send().await.unwrap();
    let live = bench.create("failed", &rule()).await;
    assert_eq!(live.outputs["arn"], format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/acme-test-failed"));

    let transform = Transform {
        paths: BTreeMap::from([("reason".into(), "$.detail.reason".into())]),
        template: "\"It failed: <reason>\"".into(),
    };
    let changed = EventRule {
        description: String::new(),
        enabled: false,
        targets: vec![
            Target { transform: Some(transform), ..target("topic") },
            Target { input: Some(Json(Value::from(json!({ "a": 1 })))), ..target("second") },
        ],
        tags: Tags::new(),
        ..rule()
    };
    let live = bench.update(&live, &changed).await;
    let scheduled = EventRule {
        event_pattern: None,
        schedule: Some("rate(1 day)".into()),
        targets: vec![Target {
            role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/x").into()),
            dead_letter_arn: Some(format!("arn:aws:sqs:us-east-1:{ACCOUNT}:x").into()),
            ..target("second")
        }],
        ..rule()
    };
    let live = bench.update(&live, &scheduled).await;
    // Five others in place of it: more than AWS takes at once.
    let five = EventRule { targets: ["a", "b", "c", "d", "e"].map(target).into(), ..rule() };
    let live = bench.update(&live, &five).await;
    bench.delete(&live).await;
    let left = bench.aws.events().list_rules().send().await.unwrap();
    assert_eq!(left.rules().len(), 1, "that of others stays");
}

#[tokio::test]
async fn a_rule_of_others_is_not_overwritten() {
    let bench = Bench::start().await;
    let foreign = bench.aws.events().put_rule().name("acme-test-failed").schedule_expression("rate(1 day)");
    foreign.send().await.unwrap();
    assert_eq!(bench.try_create("failed", &rule()).await.unwrap_err().code, "NameTaken");
    let kept = bench.aws.events().describe_rule().name("acme-test-failed").send().await.unwrap();
    assert_eq!(kept.schedule_expression(), Some("rate(1 day)"));

    let live = bench.create("other", &rule()).await;
    let changed = EventRule { enabled: false, ..rule() };
    assert_eq!(bench.try_create("other", &changed).await.unwrap(), live.id);
    assert!(!bench.list::<EventRule>().await[0].spec.enabled, "ours is found again");
}
