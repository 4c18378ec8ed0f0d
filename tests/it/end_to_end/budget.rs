//! What looking costs.

use std::collections::BTreeMap;

use super::site::Site;
use crate::proxy::Proxy;

/// The calls of a plan that finds nothing to do, all of production read, and what they are. A new kind or a read that
/// is no longer shared shows here.
const CALLS: usize = 60;
const EMPTY_PLAN: &[(&str, usize)] = &[
    ("ec2:DescribeAddresses", 1),
    ("ec2:DescribeAvailabilityZones", 1),
    ("ec2:DescribeInternetGateways", 1),
    ("ec2:DescribeNatGateways", 1),
    ("ec2:DescribeRouteTables", 1),
    ("ec2:DescribeSecurityGroupRules", 1),
    ("ec2:DescribeSecurityGroups", 1),
    ("ec2:DescribeSubnets", 1),
    ("ec2:DescribeVpcAttribute", 2),
    ("ec2:DescribeVpcs", 1),
    ("ecs:DescribeClusters", 1),
    ("ecs:DescribeServices", 1),
    ("ecs:DescribeTaskDefinition", 2),
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
    ("iam:GetAccountAuthorizationDetails", 1),
    ("iam:ListRoles", 1),
    ("kms:DescribeKey", 1),
    ("kms:GetKeyPolicy", 1),
    ("kms:GetKeyRotationStatus", 1),
    ("kms:ListAliases", 1),
    ("kms:ListResourceTags", 1),
    ("logs:DescribeLogGroups", 1),
    ("logs:ListTagsForResource", 3),
    ("rds:DescribeDBInstances", 1),
    ("rds:DescribeDBParameterGroups", 1),
    ("rds:DescribeDBParameters", 1),
    ("rds:DescribeDBSubnetGroups", 1),
    ("rds:ListTagsForResource", 2),
    ("secretsmanager:DescribeSecret", 2),
    ("secretsmanager:GetResourcePolicy", 2),
    ("secretsmanager:ListSecrets", 1),
    ("sts:GetCallerIdentity", 1),
    ("tagging:GetResources", 4),
];

#[tokio::test]
async fn an_empty_plan_only_reads_and_costs_this_much() {
    let site = Site::applied().await;
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    let plan = site.through(&proxy.endpoint, "plan production --detailed-exitcode").await.well();
    assert!(plan.stdout.contains("No changes"), "{}", plan.stdout);
    let calls = proxy.calls();
    for call in &calls {
        assert!(call.reads(), "a plan changes nothing: {call:?}");
    }
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for call in &calls {
        *counted.entry(format!("{}:{}", call.service, call.operation)).or_default() += 1;
    }
    let counted: Vec<(&str, usize)> = counted.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(counted, EMPTY_PLAN);
    assert_eq!(calls.len(), CALLS);
}
