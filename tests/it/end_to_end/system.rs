//! The environments of this repository, as they are: from nothing to nothing.

use std::collections::BTreeMap;

use super::site::Site;
use crate::proxy::Proxy;

/// The calls of a plan that finds nothing to do, by environment.
const CALLS: [(&str, usize); 3] = [("shared", 53), ("staging", 141), ("production", 155)];
/// Those of production, and what they are. A new kind or a read that is no longer shared shows here.
const PRODUCTION: &[(&str, usize)] = &[
    ("acm:DescribeCertificate", 1),
    ("acm:ListTagsForCertificate", 1),
    ("application-autoscaling:DescribeScalableTargets", 1),
    ("application-autoscaling:DescribeScalingPolicies", 1),
    ("application-autoscaling:ListTagsForResource", 4),
    ("backup:GET backup plans", 2),
    ("backup:GET backup plans selections", 2),
    ("backup:GET backup-vaults", 2),
    ("backup:GET tags", 3),
    ("ec2:DescribeAddresses", 1),
    ("ec2:DescribeAvailabilityZones", 1),
    ("ec2:DescribeFlowLogs", 1),
    ("ec2:DescribeInternetGateways", 1),
    ("ec2:DescribeManagedPrefixLists", 1),
    ("ec2:DescribeNatGateways", 1),
    ("ec2:DescribeRouteTables", 1),
    ("ec2:DescribeSecurityGroupRules", 1),
    ("ec2:DescribeSecurityGroups", 1),
    ("ec2:DescribeSubnets", 1),
    ("ec2:DescribeVpcAttribute", 2),
    ("ec2:DescribeVpcEndpoints", 1),
    ("ec2:DescribeVpcs", 1),
    ("ecs:DescribeClusters", 1),
    ("ecs:DescribeServices", 1),
    ("ecs:DescribeTaskDefinition", 4),
    ("ecs:ListClusters", 1),
    ("ecs:ListServices", 1),
    ("ecs:ListTaskDefinitionFamilies", 1),
    ("elasticloadbalancing:DescribeListenerCertificates", 1),
    ("elasticloadbalancing:DescribeListeners", 1),
    ("elasticloadbalancing:DescribeLoadBalancerAttributes", 1),
    ("elasticloadbalancing:DescribeLoadBalancers", 1),
    ("elasticloadbalancing:DescribeRules", 2),
    ("elasticloadbalancing:DescribeTags", 4),
    ("elasticloadbalancing:DescribeTargetGroupAttributes", 4),
    ("elasticloadbalancing:DescribeTargetGroups", 1),
    ("events:DescribeRule", 4),
    ("events:ListTagsForResource", 4),
    ("events:ListTargetsByRule", 4),
    ("iam:GetAccountAuthorizationDetails", 1),
    ("iam:ListRoles", 1),
    ("kms:DescribeKey", 1),
    ("kms:GetKeyPolicy", 1),
    ("kms:GetKeyRotationStatus", 1),
    ("kms:ListAliases", 1),
    ("kms:ListResourceTags", 1),
    ("lambda:GET functions", 3),
    ("lambda:GET functions policy", 3),
    ("logs:DescribeLogGroups", 1),
    ("logs:DescribeMetricFilters", 1),
    ("logs:DescribeQueryDefinitions", 1),
    ("logs:ListTagsForResource", 7),
    ("monitoring:DescribeAlarms", 1),
    ("monitoring:GetDashboard", 1),
    ("monitoring:ListDashboards", 1),
    ("monitoring:ListTagsForResource", 14),
    ("rds:DescribeDBInstances", 1),
    ("rds:DescribeDBParameterGroups", 1),
    ("rds:DescribeDBParameters", 1),
    ("rds:DescribeDBSubnetGroups", 1),
    ("rds:ListTagsForResource", 2),
    ("route53:GET hostedzone", 2),
    ("route53:GET hostedzone rrset", 1),
    ("route53:POST tags hostedzone", 1),
    ("scheduler:GET schedule-groups", 1),
    ("scheduler:GET schedules", 1),
    ("scheduler:GET schedules cleanup", 1),
    ("scheduler:GET tags", 1),
    ("secretsmanager:DescribeSecret", 4),
    ("secretsmanager:GetResourcePolicy", 4),
    ("secretsmanager:ListSecrets", 1),
    ("sns:GetTopicAttributes", 3),
    ("sns:ListSubscriptionsByTopic", 3),
    ("sns:ListTagsForResource", 3),
    ("sts:GetCallerIdentity", 1),
    ("tagging:GetResources", 8),
    ("wafv2:GetWebACL", 1),
    ("wafv2:ListResourcesForWebACL", 1),
    ("wafv2:ListTagsForResource", 1),
    ("xray:POST GetSamplingRules", 1),
    ("xray:POST Groups", 1),
    ("xray:POST ListTagsForResource", 2),
];

#[tokio::test]
async fn every_environment_is_made_costs_few_calls_to_look_at_and_goes() {
    let site = Site::of_this_repository().await;
    let mut calls = Vec::new();
    let mut counted = BTreeMap::new();
    for (environment, _) in CALLS {
        site.infra(&format!("apply {environment} --yes")).await.well();
        let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
        // Once the index has followed: where it knows nothing of a kind yet, that is listed, which is another call.
        let arguments = format!("plan {environment} --detailed-exitcode");
        let plan = site.emulator.at_once(site.through(&proxy.endpoint, &arguments)).await.well();
        assert!(plan.stdout.contains("No changes"), "{environment}: {}", plan.stdout);
        for call in proxy.calls() {
            assert!(call.reads(), "a plan changes nothing: {call:?}");
            if environment == "production" {
                *counted.entry(format!("{}:{}", call.service, call.operation)).or_default() += 1;
            }
        }
        calls.push((environment, proxy.calls().len()));
    }
    assert_eq!(statements_logged(&site).await, ["acme-staging"], "the log of queries is staging's alone");
    for (environment, _) in CALLS {
        site.infra(&format!("destroy {environment} --confirm {environment}")).await.well();
        let left: Vec<_> = site.live(environment).await.into_iter().map(|live| live.identity.address).collect();
        assert_eq!(left, [], "nothing of {environment} is left");
    }
    let counted: Vec<(&str, usize)> =
        counted.iter().map(|(name, count): (&String, _)| (name.as_str(), *count)).collect();
    assert_eq!(counted, PRODUCTION);
    assert_eq!(calls, CALLS);
}

/// The environments whose databases log every statement.
async fn statements_logged(site: &Site) -> Vec<String> {
    let groups = site.aws.rds().describe_db_parameter_groups().send().await.unwrap().db_parameter_groups.unwrap();
    let mut logged = Vec::new();
    for name in groups.iter().filter_map(|group| group.db_parameter_group_name()) {
        let request = site.aws.rds().describe_db_parameters().db_parameter_group_name(name).source("user");
        let set = request.send().await.unwrap();
        if set.parameters().iter().any(|one| one.parameter_name() == Some("log_statement")) {
            logged.push(name.rsplitn(3, '-').nth(2).unwrap_or(name).to_owned());
        }
    }
    logged
}
