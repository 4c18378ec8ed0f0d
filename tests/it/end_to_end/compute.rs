//! Compute: cluster, services, what they run, what they may, and their logs.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::{ClusterField, Compatibility, LaunchType, LogDriver, NetworkMode};
use infra::aws::Aws;
use serde_json::{Value as Json, json};

use super::firewalls::Groups;
use super::network::Network;

const CLUSTER: &str = "acme-production-main";

pub async fn check(aws: &Aws, network: &Network, groups: &Groups, key: &str) {
    let request = aws.ecs().describe_clusters().clusters(CLUSTER).include(ClusterField::Settings);
    let cluster = request.send().await.unwrap().clusters.unwrap().remove(0);
    assert_eq!(cluster.settings()[0].value(), Some("enabled"), "Container Insights");
    services(aws, network, groups).await;
    let secrets = secrets(aws).await;
    definition(aws, "api", 3000, &secrets).await;
    definition(aws, "web", 4000, &BTreeMap::new()).await;
    roles(aws, key, &secrets).await;
    for (group, days) in [
        ("/ecs/production/api", 30),
        ("/ecs/production/web", 30),
        ("/aws/rds/instance/acme-production-main/postgresql", 7),
    ] {
        let found = aws.logs().describe_log_groups().log_group_name_prefix(group).send().await.unwrap();
        let [found] = found.log_groups() else { panic!("{found:?}") };
        assert_eq!((found.log_group_name(), found.retention_in_days()), (Some(group), Some(days)));
        assert_eq!(found.kms_key_id(), Some(key), "{group}");
    }
}

const TASKS: &str = "ecs-tasks.amazonaws.com";

/// Where the api's secrets come from: variable → what ECS reads.
async fn secrets(aws: &Aws) -> BTreeMap<String, String> {
    let app = aws.secrets().describe_secret().secret_id("acme-production-db-main-app").send().await.unwrap();
    let app = app.arn().unwrap();
    let mut from = BTreeMap::from([
        ("DATABASE_USER".to_owned(), format!("{app}:username::")),
        ("DATABASE_PASSWORD".to_owned(), format!("{app}:password::")),
    ]);
    for (variable, name) in [("JWT_KEY", "jwt"), ("PAYMENTS_KEY", "payments")] {
        let secret = aws.secrets().describe_secret().secret_id(format!("acme-production-{name}")).send().await.unwrap();
        from.insert(variable.to_owned(), secret.arn().unwrap().to_owned());
    }
    from
}

async fn services(aws: &Aws, network: &Network, groups: &Groups) {
    let names = ["api-blue", "api-green", "web-blue", "web-green"].map(|name| format!("acme-production-{name}"));
    let request = aws.ecs().describe_services().cluster(CLUSTER).set_services(Some(names.to_vec()));
    let services = request.send().await.unwrap().services.unwrap();
    assert_eq!(services.len(), 4);
    let targets = aws.elb().describe_target_groups().send().await.unwrap().target_groups.unwrap();
    for service in &services {
        let name = service.service_name().unwrap();
        let of = name.strip_prefix("acme-production-").unwrap().split('-').next().unwrap();
        assert_eq!((service.status(), service.launch_type()), (Some("ACTIVE"), Some(&LaunchType::Fargate)), "{name}");
        // No release has chosen an image yet.
        assert_eq!(service.desired_count(), 0, "{name}");
        let [balancer] = service.load_balancers() else { panic!("{service:?}") };
        let port = if of == "api" { 3000 } else { 4000 };
        assert_eq!((balancer.container_name(), balancer.container_port()), (Some(of), Some(port)));
        let target = targets.iter().find(|target| target.target_group_arn() == balancer.target_group_arn()).unwrap();
        assert!(target.target_group_name().unwrap().starts_with(&format!("{name}-")), "the group of its own colour");
        let place = service.network_configuration().unwrap().awsvpc_configuration().unwrap();
        assert_eq!(place.assign_public_ip().unwrap().as_str(), "DISABLED");
        assert_eq!(place.security_groups(), [groups[of].clone()]);
        let mut subnets = place.subnets().to_vec();
        subnets.sort();
        assert_eq!(subnets, network.tier("private"), "{name}");
        assert!(service.deployment_configuration().unwrap().deployment_circuit_breaker().unwrap().enable());
        assert!(service.task_definition().unwrap().contains(&format!("/acme-production-{of}:")), "{name}");
    }
}

async fn definition(aws: &Aws, name: &str, port: i32, secrets: &BTreeMap<String, String>) {
    let request = aws.ecs().describe_task_definition().task_definition(format!("acme-production-{name}"));
    let definition = request.send().await.unwrap().task_definition.unwrap();
    assert_eq!((definition.cpu(), definition.memory()), (Some("512"), Some("1024")));
    assert_eq!(definition.network_mode(), Some(&NetworkMode::Awsvpc));
    assert_eq!(definition.requires_compatibilities(), [Compatibility::Fargate]);
    let role =
        |kind: &str| format!("arn:aws:iam::123456789012:role/infra/acme/production/acme-production-{name}-{kind}");
    assert_eq!(definition.execution_role_arn(), Some(role("execution").as_str()));
    assert_eq!(definition.task_role_arn(), Some(role("task").as_str()));
    let container = definition.container_definitions().iter().find(|container| container.name() == Some(name)).unwrap();
    assert_eq!(container.port_mappings()[0].container_port(), Some(port));
    assert_eq!(container.image(), Some(format!("123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/{name}").as_str()));
    let log = container.log_configuration().unwrap();
    assert_eq!(log.log_driver(), &LogDriver::Awslogs);
    assert_eq!(log.options().unwrap()["awslogs-group"], format!("/ecs/production/{name}"));
    let injected: BTreeMap<String, String> =
        container.secrets().iter().map(|secret| (secret.name().to_owned(), secret.value_from().to_owned())).collect();
    assert_eq!(injected, *secrets);
    let plain: BTreeMap<&str, &str> =
        container.environment().iter().map(|pair| (pair.name().unwrap(), pair.value().unwrap())).collect();
    let own = if name == "api" { &["DATABASE_HOST", "DATABASE_NAME"][..] } else { &["API_URL"] };
    let plain: Vec<&str> = plain.keys().copied().filter(|name| !name.starts_with("AWS_XRAY_")).collect();
    assert_eq!(plain, own);
}

/// Least privilege: a service reads the secrets that it names and no others, and writes its own log.
async fn roles(aws: &Aws, key: &str, secrets: &BTreeMap<String, String>) {
    let whole = |from: &String| from.splitn(8, ':').take(7).collect::<Vec<_>>().join(":");
    let mut named: Vec<String> = secrets.values().map(whole).collect();
    named.sort();
    named.dedup();
    assert_eq!(named.len(), 3, "database, jwt, payments");
    let api = BTreeMap::from([
        (
            "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer".to_owned(),
            vec![repository("api")],
        ),
        ("ecr:GetAuthorizationToken".to_owned(), vec!["*".to_owned()]),
        ("kms:Decrypt".to_owned(), vec![key.to_owned()]),
        ("logs:CreateLogStream logs:PutLogEvents".to_owned(), vec![log("api")]),
        ("secretsmanager:GetSecretValue".to_owned(), named),
    ]);
    let mut web = api.clone();
    web.retain(|actions, _| !actions.starts_with("secretsmanager:") && !actions.starts_with("kms:"));
    for resource in web.values_mut().flatten() {
        *resource = resource.replace("/api", "/web");
    }
    assert_eq!(statements(aws, "api-execution", TASKS).await, api);
    assert_eq!(statements(aws, "web-execution", TASKS).await, web);
    let traces = "xray:GetSamplingRules xray:GetSamplingStatisticSummaries xray:GetSamplingTargets \
                  xray:PutTelemetryRecords xray:PutTraceSegments";
    for task in ["api-task", "web-task"] {
        let only = BTreeMap::from([(traces.to_owned(), vec!["*".to_owned()])]);
        assert_eq!(statements(aws, task, TASKS).await, only, "the file lets {task} do nothing but send traces");
    }
}

fn repository(name: &str) -> String {
    format!("arn:aws:ecr:us-east-1:123456789012:repository/acme/{name}")
}

fn log(name: &str) -> String {
    format!("arn:aws:logs:us-east-1:123456789012:log-group:/ecs/production/{name}:*")
}

/// Actions → resources of all policies of a role, which only one service may take on.
pub async fn statements(aws: &Aws, name: &str, service: &str) -> BTreeMap<String, Vec<String>> {
    let name = format!("acme-production-{name}");
    let role = aws.iam().get_role().role_name(&name).send().await.unwrap().role.unwrap();
    assert_eq!(role.path(), "/infra/acme/production/");
    let trust = decoded(role.assume_role_policy_document().unwrap());
    assert_eq!(texts(&trust["Statement"][0]["Principal"]["Service"]), [service]);
    assert_eq!(trust["Statement"].as_array().unwrap().len(), 1);
    let attached = aws.iam().list_attached_role_policies().role_name(&name).send().await.unwrap();
    assert!(attached.attached_policies().is_empty());
    let mut all = BTreeMap::new();
    let policies = aws.iam().list_role_policies().role_name(&name).send().await.unwrap();
    for policy in policies.policy_names() {
        let policy = aws.iam().get_role_policy().role_name(&name).policy_name(policy).send().await.unwrap();
        for statement in decoded(policy.policy_document()).get("Statement").and_then(Json::as_array).unwrap() {
            assert_eq!(statement["Effect"], json!("Allow"));
            all.insert(texts(&statement["Action"]).join(" "), texts(&statement["Resource"]));
        }
    }
    all
}

fn decoded(document: &str) -> Json {
    let text = percent_encoding::percent_decode_str(document).decode_utf8().unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A text or a list of them, sorted.
fn texts(json: &Json) -> Vec<String> {
    let list = json.as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
    let mut texts: Vec<String> = list.iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}
