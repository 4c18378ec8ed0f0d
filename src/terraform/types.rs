//! Which kind a type of Terraform's AWS provider is, and which of its attributes names it.

use serde_json::Value as Json;

/// Type, kind, and the attribute with its id, ARN or name.
const KINDS: &[(&str, &str, &str)] = &[
    ("aws_acm_certificate", "certificate", "arn"),
    ("aws_alb", "load_balancer", "arn"),
    ("aws_alb_listener", "listener", "arn"),
    ("aws_alb_listener_rule", "listener_rule", "arn"),
    ("aws_alb_target_group", "target_group", "arn"),
    ("aws_appautoscaling_target", "scalable_target", "resource_id"),
    ("aws_backup_plan", "backup_plan", "id"),
    ("aws_backup_vault", "backup_vault", "arn"),
    ("aws_cloudtrail", "trail", "arn"),
    ("aws_cloudwatch_composite_alarm", "composite_alarm", "alarm_name"),
    ("aws_cloudwatch_dashboard", "dashboard", "dashboard_name"),
    ("aws_cloudwatch_event_rule", "event_rule", "name"),
    ("aws_cloudwatch_log_group", "log_group", "name"),
    ("aws_cloudwatch_metric_alarm", "metric_alarm", "alarm_name"),
    ("aws_cloudwatch_query_definition", "query_definition", "query_definition_id"),
    ("aws_db_instance", "db_instance", "identifier"),
    ("aws_db_parameter_group", "db_parameter_group", "name"),
    ("aws_db_subnet_group", "db_subnet_group", "name"),
    ("aws_ecr_repository", "ecr_repository", "name"),
    ("aws_ecs_cluster", "ecs_cluster", "arn"),
    ("aws_ecs_service", "ecs_service", "id"),
    ("aws_ecs_task_definition", "task_definition", "family"),
    ("aws_eip", "elastic_ip", "id"),
    ("aws_elasticache_parameter_group", "cache_parameter_group", "name"),
    ("aws_elasticache_replication_group", "replication_group", "replication_group_id"),
    ("aws_elasticache_subnet_group", "cache_subnet_group", "name"),
    ("aws_flow_log", "flow_log", "id"),
    ("aws_iam_openid_connect_provider", "oidc_provider", "arn"),
    ("aws_iam_role", "iam_role", "name"),
    ("aws_internet_gateway", "internet_gateway", "id"),
    ("aws_kms_key", "kms_key", "key_id"),
    ("aws_lb", "load_balancer", "arn"),
    ("aws_lb_listener", "listener", "arn"),
    ("aws_lb_listener_rule", "listener_rule", "arn"),
    ("aws_lb_target_group", "target_group", "arn"),
    ("aws_nat_gateway", "nat_gateway", "id"),
    ("aws_route53_zone", "hosted_zone", "zone_id"),
    ("aws_route_table", "route_table", "id"),
    ("aws_s3_bucket", "bucket", "bucket"),
    ("aws_scheduler_schedule_group", "schedule_group", "name"),
    ("aws_secretsmanager_secret", "secret", "arn"),
    ("aws_security_group", "security_group", "id"),
    ("aws_service_discovery_http_namespace", "namespace", "arn"),
    ("aws_sns_topic", "sns_topic", "arn"),
    ("aws_subnet", "subnet", "id"),
    ("aws_vpc", "vpc", "id"),
    ("aws_vpc_endpoint", "vpc_endpoint", "id"),
    ("aws_wafv2_ip_set", "ip_set", "arn"),
    ("aws_wafv2_web_acl", "web_acl", "arn"),
    ("aws_xray_group", "trace_group", "group_name"),
    ("aws_xray_sampling_rule", "sampling_rule", "rule_name"),
];

/// How types begin that are a field of something else here, and of what.
const PARTS: &[(&str, &str)] = &[
    ("aws_acm_certificate_validation", "certificate"),
    ("aws_appautoscaling_policy", "scalable target"),
    ("aws_backup_selection", "backup plan"),
    ("aws_cloudwatch_event_target", "event rule"),
    ("aws_cloudwatch_log_metric_filter", "log group"),
    ("aws_ecr_lifecycle_policy", "repository"),
    ("aws_ecr_repository_policy", "repository"),
    ("aws_ecs_cluster_capacity_providers", "cluster"),
    ("aws_iam_role_policy", "role"),
    ("aws_internet_gateway_attachment", "internet gateway"),
    ("aws_kms_alias", "key"),
    ("aws_kms_key_policy", "key"),
    ("aws_lambda_permission", "function"),
    ("aws_lb_listener_certificate", "listener"),
    ("aws_main_route_table_association", "route table"),
    ("aws_route", "route table"),
    ("aws_route_table_association", "route table"),
    ("aws_s3_bucket_", "bucket"),
    ("aws_scheduler_schedule", "schedule group"),
    ("aws_secretsmanager_secret_policy", "secret"),
    ("aws_security_group_rule", "security group"),
    ("aws_sns_topic_policy", "topic"),
    ("aws_sns_topic_subscription", "topic"),
    ("aws_vpc_security_group_egress_rule", "security group"),
    ("aws_vpc_security_group_ingress_rule", "security group"),
    ("aws_wafv2_web_acl_association", "web ACL"),
];

/// Types that are left where they are, each for a reason of its own.
const OTHERS: &[(&str, &str)] = &[
    ("aws_lambda_function", "its code is not in AWS as files: write `lambda_function` by hand, then adopt it"),
    ("aws_secretsmanager_secret_version", "the value stays in Secrets Manager, and is never read"),
    ("aws_secretsmanager_secret_rotation", "rotation stays as it is, and is left alone"),
];

/// The kind that a type of Terraform is.
#[must_use]
pub fn kind(of: &str) -> Option<&'static str> {
    KINDS.iter().find(|(theirs, ..)| *theirs == of).map(|(_, ours, _)| *ours)
}

/// The kind and the id of what has this type and these attributes, or why it becomes no resource of ours.
pub fn find(kind: &str, values: &Json) -> Result<(&'static str, String), String> {
    let text = |name: &str| values.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    if kind == "aws_route53_record" {
        return record(values);
    }
    if let Some((_, why)) = OTHERS.iter().find(|(of, _)| *of == kind) {
        return Err((*why).to_owned());
    }
    if matches!(kind, "aws_lb" | "aws_alb") && text("load_balancer_type").is_some_and(|sort| sort != "application") {
        return Err("only application load balancers are supported".to_owned());
    }
    if let Some((_, ours, id)) = KINDS.iter().find(|(of, ..)| *of == kind) {
        return match text(id) {
            Some(id) => Ok((ours, id.to_owned())),
            None => Err(format!("the state has no `{id}` of it: run `terraform refresh` first")),
        };
    }
    let part = |(of, _): &&(&str, &str)| {
        *of == kind || (of.ends_with('_') || *of == "aws_iam_role_policy") && kind.starts_with(of)
    };
    match PARTS.iter().find(part) {
        Some((_, owner)) => Err(format!("comes with its {owner}")),
        None => Err("there is no such kind: it stays as it is, and nothing here touches it".to_owned()),
    }
}

fn record(values: &Json) -> Result<(&'static str, String), String> {
    let text = |name: &str| values.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    if text("set_identifier").is_some() {
        return Err("records with a routing policy are not supported".to_owned());
    }
    match (text("zone_id"), text("fqdn").or_else(|| text("name")), text("type")) {
        (Some(zone), Some(host), Some(kind)) => {
            Ok(("dns_record", format!("{zone}/{}/{kind}", host.trim_end_matches('.').to_lowercase())))
        }
        _ => Err("the state does not say which record it is".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn every_type_leads_to_a_kind_that_exists() {
        for (of, kind, _) in KINDS {
            assert!(kinds::find(kind).is_some(), "{of}");
        }
        assert!(KINDS.is_sorted() && PARTS.is_sorted());
        let mapped = |name: &str| KINDS.iter().any(|(_, kind, _)| *kind == name);
        let missing: Vec<_> = kinds::ALL.iter().map(|info| info.name).filter(|name| !mapped(name)).collect();
        assert_eq!(missing, ["dns_record", "lambda_function"]);
    }

    #[test]
    fn what_a_type_becomes() {
        let values = serde_json::json!({
            "id": "x-1", "zone_id": "Z1", "name": "Api.example.com.", "type": "A", "load_balancer_type": "network",
        });
        for (kind, found) in [
            ("aws_vpc", Ok(("vpc", "x-1".to_owned()))),
            ("aws_route53_record", Ok(("dns_record", "Z1/api.example.com/A".to_owned()))),
            ("aws_lb", Err("only application load balancers are supported".to_owned())),
            ("aws_ecs_cluster", Err("the state has no `arn` of it: run `terraform refresh` first".to_owned())),
            ("aws_route", Err("comes with its route table".to_owned())),
            ("aws_s3_bucket_versioning", Err("comes with its bucket".to_owned())),
            ("aws_iam_role_policy_attachment", Err("comes with its role".to_owned())),
            (
                "random_password",
                Err("there is no such kind: it stays as it is, and nothing here touches it".to_owned()),
            ),
        ] {
            assert_eq!(find(kind, &values), found, "{kind}");
        }
    }
}
