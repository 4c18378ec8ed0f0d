//! `network.endpoints` and `network.flow_logs`.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{SecurityGroupRule, VpcEndpoint, VpcEndpointType};
use infra::aws::Aws;

use crate::end_to_end::site::{Site, steps};

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
keys: { main: {} }
network:
  cidr: 10.0.0.0/16
  zones: [a, b]
  nat: none
  endpoints: [s3, ecr, logs, secretsmanager]
  flow_logs: 30d
services:
  worker: { image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/worker:1" }
  relay: { image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/relay:1", public: true }
jobs:
  report: { image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/report:1" }
"#;

async fn endpoints(aws: &Aws) -> Vec<VpcEndpoint> {
    let answer = aws.ec2().describe_vpc_endpoints().send().await.unwrap();
    let serving = |endpoint: &VpcEndpoint| endpoint.state().is_some_and(|state| state.as_str() == "available");
    answer.vpc_endpoints().iter().filter(|endpoint| serving(endpoint)).cloned().collect()
}

async fn rules(aws: &Aws, group: &str, egress: bool) -> Vec<SecurityGroupRule> {
    let filter = aws_sdk_ec2::types::Filter::builder().name("group-id").values(group).build();
    let answer = aws.ec2().describe_security_group_rules().filters(filter).send().await.unwrap();
    answer.security_group_rules().iter().filter(|rule| rule.is_egress() == Some(egress)).cloned().collect()
}

fn set(ids: &[String]) -> BTreeSet<&str> {
    ids.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn a_network_without_a_way_out() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let aws = &site.aws;
    let ids = site.ids("test").await;

    let found = endpoints(aws).await;
    let names: BTreeSet<_> = found.iter().filter_map(|one| one.service_name()?.rsplit("us-east-1.").next()).collect();
    assert_eq!(names, BTreeSet::from(["s3", "ecr.api", "ecr.dkr", "logs", "secretsmanager"]));
    for endpoint in &found {
        if endpoint.vpc_endpoint_type() == Some(&VpcEndpointType::Gateway) {
            let tables = [ids["route_table.private-a"].as_str(), ids["route_table.private-b"].as_str()];
            assert_eq!(set(endpoint.route_table_ids()), tables.into(), "gateways serve the private tier only");
        } else {
            let subnets = [ids["subnet.private-a"].as_str(), ids["subnet.private-b"].as_str()];
            assert_eq!(set(endpoint.subnet_ids()), subnets.into());
            assert_eq!(endpoint.private_dns_enabled(), Some(true));
            assert_eq!(endpoint.groups()[0].group_id(), Some(ids["security_group.endpoints"].as_str()));
        }
    }

    // The containers reach the endpoints by HTTPS and nothing else; the endpoints reach nobody.
    let (worker, firewall) = (&ids["security_group.worker"], &ids["security_group.endpoints"]);
    let group = |rule: &SecurityGroupRule| Some(rule.referenced_group_info()?.group_id()?.to_owned());
    let out = rules(aws, worker, true).await;
    assert!(out.iter().all(|rule| (rule.from_port(), rule.to_port()) == (Some(443), Some(443))), "{out:?}");
    assert!(out.iter().all(|rule| rule.cidr_ipv4().is_none()), "{out:?}");
    assert_eq!(out.iter().filter_map(group).collect::<Vec<_>>(), [firewall.as_str()]);
    let lists: Vec<_> = out.iter().filter_map(SecurityGroupRule::prefix_list_id).collect();
    let known = aws.ec2().describe_managed_prefix_lists().send().await.unwrap();
    let s3 = known.prefix_lists().iter().find(|list| list.prefix_list_name() == Some("com.amazonaws.us-east-1.s3"));
    assert_eq!(lists, [s3.unwrap().prefix_list_id().unwrap()]);
    let in_ = rules(aws, firewall, false).await;
    let inside: Vec<_> = in_.iter().map(|rule| (rule.cidr_ipv4(), rule.from_port(), rule.to_port())).collect();
    assert_eq!(inside, [(Some("10.0.0.0/16"), Some(443), Some(443))], "AWS's names lead there in the whole network");
    assert_eq!(rules(aws, firewall, true).await, []);

    flow_logged(aws, &ids["vpc.main"]).await;
    changed_and_destroyed(&site).await;
}

async fn flow_logged(aws: &Aws, vpc: &str) {
    let logs = aws.ec2().describe_flow_logs().send().await.unwrap();
    let [log] = logs.flow_logs() else { panic!("one flow log, not {logs:?}") };
    assert_eq!((log.resource_id(), log.log_group_name()), (Some(vpc), Some("/vpc/test/flow-logs")));
    assert_eq!(log.deliver_logs_status(), Some("SUCCESS"));
    let groups = aws.logs().describe_log_groups().log_group_name_prefix("/vpc/").send().await.unwrap();
    let group = &groups.log_groups()[0];
    assert_eq!(group.retention_in_days(), Some(30));
    assert!(group.kms_key_id().is_some());
    let role = aws.iam().get_role().role_name("acme-test-flow-logs").send().await.unwrap();
    let role = role.role().unwrap();
    assert_eq!(log.deliver_logs_permission_arn(), Some(role.arn()));
    let trust = role.assume_role_policy_document().unwrap();
    assert!(trust.contains("vpc-flow-logs.amazonaws.com") && trust.contains("aws%3ASourceAccount"), "{trust}");
}

/// Without `ecr`, with a NAT gateway: services may go anywhere again.
async fn changed_and_destroyed(site: &Site) {
    site.edit("test", "nat: none", "nat: single");
    site.edit("test", "[s3, ecr, logs, secretsmanager]", "[s3, logs]");
    site.edit("test", "flow_logs: 30d", "flow_logs: 60d");
    let plan = site.plan("test").await;
    let kinds = ["vpc_endpoint", "log_group", "flow_log", "security_group"];
    let steps: Vec<String> =
        steps(&plan).into_iter().filter(|step| kinds.iter().any(|kind| step.contains(kind))).collect();
    let expected = [
        "delete vpc_endpoint.ecr-api",
        "delete vpc_endpoint.ecr-dkr",
        "delete vpc_endpoint.secretsmanager",
        "update log_group.flow-logs",
        "update security_group.job-report",
        "update security_group.worker",
    ];
    assert_eq!(steps.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected.into());
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    assert_eq!(endpoints(&site.aws).await.len(), 2);
    let out = rules(&site.aws, &site.ids("test").await["security_group.worker"], true).await;
    assert_eq!(out.iter().filter_map(SecurityGroupRule::cidr_ipv4).collect::<Vec<_>>(), ["0.0.0.0/0"]);

    site.infra("destroy test --confirm test").await.well();
    assert_eq!(site.live("test").await, []);
    assert_eq!(endpoints(&site.aws).await.len(), 0);
}
