//! `services.*.release`: apply makes the shape that the file asks for, says what waits for a release, and leaves alone
//! what serves.

use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple};
use infra::aws::Aws;
use serde_json::json;

use crate::end_to_end::site::Site;
use crate::proxy::Proxy;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
load_balancers: { public: {} }
services:
  api:
    image: acme/api:1
    port: 3000
    cpu: 256
    route: { hosts: [api.example.com] }
    release: { before: migrate, checks: [{ path: /health, contains: ok }] }
  web:
    image: acme/web
    port: 4000
    route: {}
jobs:
  migrate: { service: api, command: [migrate] }
"#;

const NEVER: &str = "  web: never released. Run: infra bluegreen run test web --image IMAGE\n";
const WAITS: &str =
    "  api: cpu 256 → 512, memory 512 → 1024, environment LOG_LEVEL. Run: infra bluegreen run test api\n";

#[tokio::test]
async fn a_shape_waits_for_its_release() {
    let site = Site::start().await;
    site.write("test", FILE);
    let applied = site.infra("apply test --yes").await.well().stdout;
    assert!(applied.ends_with(&format!("\nAwaits release:\n{NEVER}")), "{applied}");
    let before = runs(&site.aws, "api-blue").await;
    assert!(before.ends_with(":1"), "{before}");

    site.edit("test", "    cpu: 256\n", "    cpu: 512\n    memory: 1024\n    environment: { LOG_LEVEL: s3cret }\n");
    let applied = site.infra("apply test --yes").await.well().stdout;
    assert!(applied.ends_with(&format!("\nAwaits release:\n{WAITS}{NEVER}")), "{applied}");
    assert_eq!(runs(&site.aws, "api-blue").await, before, "what serves goes on");
    let latest = latest(&site.aws, "api").await;
    assert!(latest.ends_with(":2"), "{latest}");
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    let plan = site.through(&proxy.endpoint, "plan test --detailed-exitcode").await.well().stdout;
    assert!(plan.contains("No changes") && plan.ends_with(&format!("\nAwaits release:\n{WAITS}{NEVER}")), "{plan}");
    let described = proxy.calls().iter().filter(|call| call.operation == "DescribeTaskDefinition").count();
    assert_eq!(described, 4, "three families, and the revision that serves");
    let waits = &site.plan("test").await["awaits_release"];
    let web =
        json!({ "service": "web", "why": "never released", "command": "infra bluegreen run test web --image IMAGE" });
    assert_eq!((waits.as_array().unwrap().len(), &waits[1]), (2, &web));

    // A release has begun to move the traffic.
    weigh(&site.aws, [90, 10]).await;
    site.converged("test").await;
    // It is through, and nothing waits any more, although blue keeps the old revision.
    run(&site.aws, "api-green", &latest).await;
    weigh(&site.aws, [0, 100]).await;
    let plan = site.infra("plan test --detailed-exitcode").await.well().stdout;
    assert!(plan.contains("No changes") && plan.ends_with(&format!("\nAwaits release:\n{NEVER}")), "{plan}");
    assert_eq!(runs(&site.aws, "api-blue").await, before);
}

/// The revision that a service runs.
async fn runs(aws: &Aws, service: &str) -> String {
    let request = aws.ecs().describe_services().cluster("acme-test-main").services(format!("acme-test-{service}"));
    request.send().await.unwrap().services.unwrap().remove(0).task_definition.unwrap()
}

async fn run(aws: &Aws, service: &str, revision: &str) {
    let request = aws.ecs().update_service().cluster("acme-test-main").service(format!("acme-test-{service}"));
    request.task_definition(revision).desired_count(1).send().await.unwrap();
}

async fn latest(aws: &Aws, family: &str) -> String {
    let request = aws.ecs().describe_task_definition().task_definition(format!("acme-test-{family}"));
    request.send().await.unwrap().task_definition.unwrap().task_definition_arn.unwrap()
}

/// Gives blue and green their shares of the requests for `api`.
async fn weigh(aws: &Aws, weights: [i32; 2]) {
    let groups = aws.elb().describe_target_groups().send().await.unwrap().target_groups.unwrap();
    let arn = |colour: &str| {
        let name = format!("acme-test-api-{colour}");
        groups.iter().find(|group| group.target_group_name().unwrap().starts_with(&name)).unwrap().target_group_arn()
    };
    let tuples = ["blue", "green"].into_iter().zip(weights).map(|(colour, weight)| {
        TargetGroupTuple::builder().target_group_arn(arn(colour).unwrap()).weight(weight).build()
    });
    let forward = ForwardActionConfig::builder().set_target_groups(Some(tuples.collect())).build();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(forward).build();
    let rule = rule(aws).await;
    aws.elb().modify_rule().rule_arn(rule).actions(action).send().await.unwrap();
}

/// The rule of `api` that takes everybody's requests.
async fn rule(aws: &Aws) -> String {
    let balancer = aws.elb().describe_load_balancers().send().await.unwrap().load_balancers.unwrap().remove(0);
    let listeners = aws.elb().describe_listeners().load_balancer_arn(balancer.load_balancer_arn.unwrap());
    for listener in listeners.send().await.unwrap().listeners.unwrap() {
        let rules = aws.elb().describe_rules().listener_arn(listener.listener_arn.unwrap()).send().await.unwrap();
        for rule in rules.rules.unwrap() {
            let fields: Vec<_> = rule.conditions().iter().filter_map(|condition| condition.field()).collect();
            if fields == ["host-header"] {
                return rule.rule_arn.unwrap();
            }
        }
    }
    panic!("no rule of api")
}
