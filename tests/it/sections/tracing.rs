//! `tracing`: X-Ray records a share of the requests, which collectors beside the services' containers report.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::ContainerDefinition;
use infra::aws::Aws;

use crate::end_to_end::site::Site;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
tracing: { sample: 10%, per_second: 2 }
services:
  api: { image: acme/api, port: 3000, environment: { AWS_XRAY_TRACING_NAME: own } }
  web: { image: acme/web:1, port: 4000, policies: [{ actions: ["s3:GetObject"], resources: ["*"] }] }
  mail: { image: acme/mail:1, tracing: false }
jobs:
  migrate: { service: api, command: [migrate] }
"#;

#[tokio::test]
async fn requests_are_traced() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let rules = site.aws.xray().get_sampling_rules().send().await.unwrap().sampling_rule_records.unwrap();
    let mut rules = rules.into_iter().filter_map(|record| record.sampling_rule);
    let rule = rules.find(|rule| rule.rule_name() == Some("acme-test-main")).unwrap();
    assert_eq!((rule.service_name(), rule.host(), rule.url_path()), ("acme-test-*", "*", "*"));
    assert_eq!((rule.fixed_rate().to_string().as_str(), rule.reservoir_size()), ("0.1", 2));
    assert!(rule.priority() < 10_000, "before AWS's own");
    assert_eq!(filter(&site.aws).await, r#"service("acme-test-api") OR service("acme-test-web")"#);
    for (service, name) in [("api", "own"), ("web", "acme-test-web")] {
        let containers = containers(&site.aws, service).await;
        let (own, collector) = (&containers[service], &containers["xray-daemon"]);
        assert_eq!(variables(own)["AWS_XRAY_DAEMON_ADDRESS"], "127.0.0.1:2000");
        assert_eq!(variables(own)["AWS_XRAY_TRACING_NAME"], name);
        assert!(collector.image().unwrap().starts_with("public.ecr.aws/xray/aws-xray-daemon:3."));
        let shares = (own.cpu(), collector.cpu(), collector.memory());
        assert_eq!((collector.essential(), shares), (Some(false), (0, 0, Some(256))), "neither before the other");
        let role = format!("acme-test-{service}-task");
        let policy = site.aws.iam().get_role_policy().role_name(role).policy_name("own").send().await.unwrap();
        assert!(policy.policy_document().contains("xray%3APutTraceSegments"), "{}", policy.policy_document());
    }
    for untraced in ["mail", "job-migrate"] {
        assert_eq!(containers(&site.aws, untraced).await.len(), 1, "{untraced}");
    }
    site.converged("test").await;

    site.edit("test", "acme/web:1,", "acme/web:1, tracing: false,");
    site.edit("test", "sample: 10%", "sample: 0.5%");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    assert_eq!(filter(&site.aws).await, r#"service("acme-test-api")"#);
    assert_eq!(containers(&site.aws, "web").await.len(), 1);
    site.edit("test", "tracing: { sample: 0.5%, per_second: 2 }\n", "");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let left = site.aws.xray().get_groups().send().await.unwrap().groups.unwrap();
    assert_eq!(left.iter().filter_map(|group| group.group_name()).collect::<Vec<_>>(), ["Default"]);
    site.infra("destroy test --confirm test").await.well();
    assert_eq!(site.ids("test").await.len(), 0);
}

async fn filter(aws: &Aws) -> String {
    let groups = aws.xray().get_groups().send().await.unwrap().groups.unwrap();
    let group = groups.iter().find(|group| group.group_name() == Some("acme-test-main")).unwrap();
    group.filter_expression().unwrap().to_owned()
}

async fn containers(aws: &Aws, name: &str) -> BTreeMap<String, ContainerDefinition> {
    let request = aws.ecs().describe_task_definition().task_definition(format!("acme-test-{name}"));
    let containers = request.send().await.unwrap().task_definition.unwrap().container_definitions.unwrap();
    containers.into_iter().map(|container| (container.name().unwrap().to_owned(), container)).collect()
}

fn variables(container: &ContainerDefinition) -> BTreeMap<&str, &str> {
    container.environment().iter().map(|pair| (pair.name().unwrap(), pair.value().unwrap())).collect()
}
