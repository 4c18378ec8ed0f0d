//! VPC endpoints and flow logs.

use infra::kinds::flow_log::{self, FlowLog, Traffic};
use infra::kinds::route_table::RouteTable;
use infra::kinds::security_group::SecurityGroup;
use infra::kinds::vpc_endpoint::{EndpointType, VpcEndpoint};
use infra::policy;
use infra::tags::Tags;

use crate::gateways::subnet;
use crate::support::Bench;
use crate::vpc::vpc;

fn team() -> Tags {
    Tags::from([("team".into(), "backend".into())])
}

fn endpoint(vpc: &str, service: &str, endpoint_type: EndpointType) -> VpcEndpoint {
    VpcEndpoint {
        vpc_id: vpc.into(),
        service: format!("com.amazonaws.us-east-1.{service}"),
        endpoint_type,
        route_tables: Vec::new(),
        subnets: Vec::new(),
        security_groups: Vec::new(),
        private_dns: true,
        policy: None,
        tags: team(),
    }
}

fn table(vpc: &str) -> RouteTable {
    RouteTable { vpc_id: vpc.into(), routes: Vec::new(), subnets: Vec::new(), tags: Tags::new() }
}

#[tokio::test]
async fn gateway_endpoint() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let first = bench.create("first", &table(&vpc.id)).await;
    let second = bench.create("second", &table(&vpc.id)).await;
    let foreign = bench.aws.ec2().create_vpc_endpoint().vpc_id(&vpc.id);
    foreign.service_name("com.amazonaws.us-east-1.dynamodb").send().await.unwrap();

    let spec =
        VpcEndpoint { route_tables: vec![first.id.as_str().into()], ..endpoint(&vpc.id, "s3", EndpointType::Gateway) };
    let live = bench.create("s3", &spec).await;
    assert!(live.outputs["prefix_list_id"].starts_with("pl-"), "{:?}", live.outputs);
    let both = [&first, &second].map(|table| table.id.as_str().into()).to_vec();
    let live = bench.update(&live, &VpcEndpoint { route_tables: both, tags: Tags::new(), ..spec.clone() }).await;
    let read = policy::document([policy::allow(&["s3:GetObject"], ["*"]).to("AWS", ["*"])]);
    let narrow = VpcEndpoint { policy: Some(read), ..spec.clone() };
    let live = bench.update(&live, &narrow).await;
    let live = bench.update(&live, &spec).await;
    // Its routes in the tables are not the tables' own.
    assert!(bench.list::<RouteTable>().await.iter().all(|table| table.spec.routes.is_empty()));
    bench.delete(&live).await;
    let left = bench.aws.ec2().describe_vpc_endpoints().send().await.unwrap();
    let serving = |endpoint: &&aws_sdk_ec2::types::VpcEndpoint| {
        endpoint.state().is_some_and(|state| state.as_str().eq_ignore_ascii_case("available"))
    };
    assert_eq!(left.vpc_endpoints().iter().filter(serving).count(), 1, "the foreign endpoint stays");
}

#[tokio::test]
async fn interface_endpoint() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let a = bench.create("a", &subnet(&vpc.id, "10.0.0.0/24", "us-east-1a")).await;
    let b = bench.create("b", &subnet(&vpc.id, "10.0.1.0/24", "us-east-1b")).await;
    let group = SecurityGroup {
        vpc_id: vpc.id.as_str().into(),
        name: None,
        description: "Endpoints".into(),
        ingress: Vec::new(),
        egress: Vec::new(),
        exclusive: false,
        tags: Tags::new(),
    };
    let group = bench.create("endpoints", &group).await;
    let spec = VpcEndpoint {
        subnets: vec![a.id.as_str().into()],
        security_groups: vec![group.id.as_str().into()],
        ..endpoint(&vpc.id, "secretsmanager", EndpointType::Interface)
    };
    let live = bench.create("secretsmanager", &spec).await;
    assert!(live.outputs["dns_name"].contains(".secretsmanager."), "{:?}", live.outputs);
    assert_eq!(live.outputs["prefix_list_id"], "");
    let moved = VpcEndpoint { subnets: vec![b.id.as_str().into()], private_dns: false, ..spec.clone() };
    let live = bench.update(&live, &moved).await;
    let both = VpcEndpoint { subnets: vec![b.id.as_str().into(), a.id.as_str().into()], ..spec };
    let live = bench.update(&live, &both).await;
    let interfaces = bench.aws.ec2().describe_network_interfaces().send().await.unwrap();
    assert_eq!(interfaces.network_interfaces().len(), 2);
    bench.delete(&live).await;
}

#[tokio::test]
async fn flow_log_to_a_log_group() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    bench.aws.logs().create_log_group().log_group_name("/vpc/test").send().await.unwrap();
    let spec = FlowLog {
        resource_id: vpc.id.as_str().into(),
        traffic: Traffic::Rejected,
        log_group_name: Some("/vpc/test".into()),
        role_arn: Some("arn:aws:iam::123456789012:role/flow-logs".into()),
        bucket_arn: None,
        interval_seconds: 60,
        format: flow_log::format(),
        tags: team(),
    };
    let live = bench.create("main", &spec).await;
    assert!(live.notes.is_empty(), "{:?}", live.notes);
    let live = bench.update(&live, &FlowLog { tags: Tags::new(), ..spec.clone() }).await;
    // A lost answer: the same token makes nothing new, and another one is told that there is one already.
    let failure = bench.try_create("other", &spec).await.unwrap_err();
    assert_eq!(failure.code, "FlowLogAlreadyExists");
    bench.delete(&live).await;
}

#[tokio::test]
async fn flow_log_to_a_bucket() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let spec = |bucket: &str| FlowLog {
        resource_id: vpc.id.as_str().into(),
        traffic: Traffic::All,
        log_group_name: None,
        role_arn: None,
        bucket_arn: Some(format!("arn:aws:s3:::{bucket}").into()),
        interval_seconds: 600,
        format: "${srcaddr} ${dstaddr} ${action}".into(),
        tags: team(),
    };
    let failure = bench.try_create("other", &spec("acme-none")).await.unwrap_err();
    assert!(failure.message.contains("does not exist"), "a failure within a success is one: {failure}");
    bench.aws.s3().create_bucket().bucket("acme-flow").send().await.unwrap();
    let live = bench.create("main", &spec("acme-flow")).await;
    bench.delete(&live).await;
}
