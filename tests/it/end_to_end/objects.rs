//! Every object of production by its address, row by row of what the system demands, and what each is in AWS, read with
//! the SDK.

use super::site::{PRODUCTION, Site, steps};
use super::{balancing, compute, data, firewalls, network};

/// All addresses, by what demands them.
const OBJECTS: &[&[&str]] = &[
    // Network: one VPC over three zones.
    &["vpc.main"],
    // Public subnets hold the load balancer and the NAT gateways only, and reach the internet.
    &["subnet.public-a", "subnet.public-b", "subnet.public-c", "internet_gateway.main", "route_table.public"],
    // Private subnets hold the containers, which reach out through the NAT gateway of their own zone.
    &["subnet.private-a", "subnet.private-b", "subnet.private-c"],
    &["route_table.private-a", "route_table.private-b", "route_table.private-c"],
    &["nat_gateway.a", "nat_gateway.b", "nat_gateway.c", "elastic_ip.nat-a", "elastic_ip.nat-b", "elastic_ip.nat-c"],
    // Data subnets hold the database and have no default route.
    &["subnet.data-a", "subnet.data-b", "subnet.data-c", "route_table.data"],
    // Firewalls: load balancer → containers → database, in both directions, and nothing else.
    &["security_group.lb-public", "security_group.api", "security_group.web", "security_group.db-main"],
    // AWS's own services are reached inside the network; connections are logged.
    &[
        "vpc_endpoint.s3",
        "vpc_endpoint.ecr-api",
        "vpc_endpoint.ecr-dkr",
        "vpc_endpoint.logs",
        "vpc_endpoint.secretsmanager",
    ],
    &["security_group.endpoints", "flow_log.main", "log_group.flow-logs", "iam_role.flow-logs"],
    // Load balancer: HTTPS with TLS 1.3 on 443, 80 redirects, health checks, two colours a service with weights.
    &["load_balancer.public", "listener.public-https", "listener.public-http", "certificate.site"],
    &["target_group.api-blue", "target_group.api-green", "target_group.web-blue", "target_group.web-green"],
    &["listener_rule.api", "listener_rule.api-test", "listener_rule.web", "listener_rule.web-test"],
    // Its names.
    &["hosted_zone.example_com", "dns_record.example_com-proof"],
    &["dns_record.example_com-a", "dns_record.www_example_com-a", "dns_record.api_example_com-a"],
    // Web firewall.
    &["web_acl.main"],
    // Compute: a Fargate cluster with `api` on 3000 and `web` on 4000, two colours each, scaled by load.
    &["ecs_cluster.main", "task_definition.api", "task_definition.web"],
    &["ecs_service.api-blue", "ecs_service.api-green", "ecs_service.web-blue", "ecs_service.web-green"],
    &["scalable_target.api-blue", "scalable_target.api-green", "scalable_target.web-blue", "scalable_target.web-green"],
    // One-off and scheduled jobs.
    &["task_definition.job-migrate", "task_definition.job-cleanup", "schedule_group.main", "iam_role.scheduler"],
    // Least privilege: for each service a role that starts it and one for its containers.
    &["iam_role.api-execution", "iam_role.api-task", "iam_role.web-execution", "iam_role.web-task"],
    // Logs: 30 days for services, 7 for the database; saved queries.
    &["log_group.api", "log_group.web", "log_group.db-main-postgresql"],
    &["query_definition.errors", "query_definition.requests", "query_definition.response-times"],
    // Metrics and tracing.
    &["dashboard.golden", "sampling_rule.main", "trace_group.main"],
    // Alarms: errors, slowness and what is down of each service; connections, disk and CPU of the database.
    &["metric_alarm.api-errors", "metric_alarm.api-slow", "metric_alarm.api-down"],
    &["metric_alarm.web-errors", "metric_alarm.web-slow", "metric_alarm.web-down", "metric_alarm.lb-public-errors"],
    &["metric_alarm.db-main-connections", "metric_alarm.db-main-storage", "metric_alarm.db-main-cpu"],
    &["composite_alarm.critical"],
    // Escalation: a topic a severity, the chat's function, and events that are worth a message.
    &["sns_topic.warning", "sns_topic.error", "sns_topic.critical", "event_rule.deployments", "event_rule.databases"],
    &["lambda_function.chat", "iam_role.lambda-chat", "log_group.lambda-chat"],
    // Database: PostgreSQL 15, Multi-AZ, encrypted, TLS enforced; copies in another region.
    &["db_instance.main", "db_subnet_group.main", "db_parameter_group.main"],
    &["backup_vault.main", "backup_vault.copy", "backup_plan.daily", "iam_role.backup"],
    // Secrets, and the key that encrypts them, the database and the logs.
    &["secret.jwt", "secret.payments", "secret.chat", "kms_key.main"],
    // The database's credentials rotate, and services follow, one at a time.
    &["secret.db-main-app", "lambda_function.rotate-main", "iam_role.rotate-main", "log_group.rotate-main"],
    &["security_group.rotate-main", "metric_alarm.db-main-rotation", "metric_alarm.rotation-roll"],
    &["lambda_function.roll", "iam_role.roll", "log_group.roll", "event_rule.roll", "event_rule.roll-again"],
    // Delivery: without stored keys.
    &["iam_role.deploy", "iam_role.plan"],
];

#[tokio::test]
async fn each_object_of_production_is_what_the_system_demands() {
    let site = Site::of_this_repository().await;
    let mut expected: Vec<String> = OBJECTS.concat().iter().map(|address| format!("create {address}")).collect();
    expected.sort();
    assert_eq!(expected.len(), 125);
    assert_eq!(steps(&site.plan(PRODUCTION).await), expected);
    site.infra("apply production --yes").await.well();

    let network = network::check(&site.aws).await;
    let groups = firewalls::check(&site.aws, &network.vpc).await;
    balancing::check(&site.aws, &network, &groups).await;
    let key = data::check(&site.aws, &network, &groups).await;
    compute::check(&site.aws, &network, &groups, &key).await;
}
