//! What each kind finds that keeps a resource of its own from being deleted.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Statistic};
use aws_sdk_ec2::types::{IpPermission, UserIdGroupPair};
use aws_sdk_ecs::types::{AwsVpcConfiguration, LaunchType, NetworkConfiguration};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, LoadBalancer, PathPatternConditionConfig, ProtocolEnum, RuleCondition,
};
use infra::kind::{Kind, Live};
use infra::kinds::{
    ecs_cluster::EcsCluster, elastic_ip::ElasticIp, metric_alarm::MetricAlarm, namespace::Namespace,
    security_group::SecurityGroup, subnet::Subnet, target_group::TargetGroup, vpc::Vpc,
};
use serde_json::{Value as Json, json};

use crate::support::Bench;

async fn made<K: Kind>(bench: &Bench, spec: Json) -> Live<K> {
    let spec: K = serde_json::from_value(spec).expect("a specification");
    let id = bench.try_create("main", &spec).await.expect("create");
    bench.settled::<K>(&id).await;
    bench.list::<K>().await.into_iter().find(|live| live.id == id).expect("it is there")
}

/// What holds it, with nothing in place of ids that nobody knows beforehand.
async fn holders<K: Kind>(bench: &Bench, live: &Live<K>) -> Vec<String> {
    let found = K::blockers(&bench.aws, live).await.expect("it can be asked");
    let id = regex::Regex::new(r"\b(subnet|sg|eni|rtb|igw|pcx|srv|main)-[0-9a-z]+").expect("an expression");
    let mut texts: Vec<String> = found.into_iter().map(|one| id.replace_all(&one.what, "$1").into_owned()).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn of_a_network_and_its_parts() {
    let bench = Bench::start().await;
    let ec2 = bench.aws.ec2();
    let vpc: Live<Vpc> = made(&bench, json!({ "cidr": "10.0.0.0/16" })).await;
    assert_eq!(holders(&bench, &vpc).await, [""; 0]);
    let other = ec2.create_vpc().cidr_block("10.1.0.0/16").send().await.unwrap().vpc.unwrap().vpc_id.unwrap();
    ec2.create_vpc_peering_connection().vpc_id(&other).peer_vpc_id(&vpc.id).send().await.unwrap();
    ec2.create_route_table().vpc_id(&vpc.id).send().await.unwrap();
    let gateway = ec2.create_internet_gateway().send().await.unwrap().internet_gateway.unwrap();
    let attach = ec2.attach_internet_gateway().set_internet_gateway_id(gateway.internet_gateway_id);
    attach.vpc_id(&vpc.id).send().await.unwrap();
    let group: Live<SecurityGroup> = made(&bench, json!({ "vpc_id": vpc.id, "description": "ours" })).await;
    let spec = json!({ "vpc_id": vpc.id, "cidr": "10.0.0.0/24", "zone": "us-east-1a" });
    let subnet: Live<Subnet> = made(&bench, spec).await;
    let address: Live<ElasticIp> = made(&bench, json!({})).await;
    let interface = ec2.create_network_interface().subnet_id(&subnet.id).groups(&group.id).description("by hand");
    let interface = interface.send().await.unwrap().network_interface.unwrap().network_interface_id;
    let associate = ec2.associate_address().allocation_id(&address.id).set_network_interface_id(interface);
    associate.send().await.unwrap();
    let legacy = ec2.create_security_group().group_name("legacy").description("old").vpc_id(&vpc.id);
    let legacy = legacy.send().await.unwrap().group_id;
    let pair = UserIdGroupPair::builder().group_id(&group.id).build();
    let rule = IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(1).user_id_group_pairs(pair).build();
    ec2.authorize_security_group_egress().set_group_id(legacy).ip_permissions(rule).send().await.unwrap();

    let interface = "network interface eni \"by hand\"";
    assert_eq!(holders(&bench, &subnet).await, [interface]);
    assert_eq!(holders(&bench, &address).await, [interface]);
    assert_eq!(holders(&bench, &group).await, ["a rule of security group sg \"legacy\"", interface]);
    assert_eq!(
        holders(&bench, &vpc).await,
        [
            "internet gateway igw",
            interface,
            "peering connection pcx",
            "route table rtb",
            "security group sg \"acme-test-main\" (security_group.main of acme test)",
            "security group sg \"legacy\"",
            "subnet subnet \"acme-test-main\" (subnet.main of acme test)",
        ]
    );
}

#[tokio::test]
async fn of_target_groups_clusters_namespaces_and_alarms() {
    let bench = Bench::start().await;
    let vpc: Live<Vpc> = made(&bench, json!({ "cidr": "10.0.0.0/16" })).await;
    let mut subnets = Vec::new();
    for (cidr, zone) in [("10.0.0.0/24", "us-east-1a"), ("10.0.1.0/24", "us-east-1b")] {
        let subnet = bench.aws.ec2().create_subnet().vpc_id(&vpc.id).cidr_block(cidr).availability_zone(zone);
        subnets.push(subnet.send().await.unwrap().subnet.unwrap().subnet_id.unwrap());
    }
    let group: Live<TargetGroup> =
        made(&bench, json!({ "vpc_id": vpc.id, "port": 80, "protocol": "HTTP", "target_type": "ip" })).await;
    routed(&bench, &group.id, &subnets).await;
    assert_eq!(
        holders(&bench, &group).await,
        [
            "the default rule of port 80 of load balancer theirs",
            "the rule with priority 7 of port 80 of load balancer theirs"
        ]
    );

    let cluster: Live<EcsCluster> = made(&bench, json!({})).await;
    let task = bench.aws.ecs().register_task_definition().family("theirs");
    let container = aws_sdk_ecs::types::ContainerDefinition::builder().name("app").image("app");
    task.container_definitions(container.memory(512).build()).send().await.unwrap();
    let network = AwsVpcConfiguration::builder().set_subnets(Some(subnets)).build().unwrap();
    let service = bench.aws.ecs().create_service().cluster(&cluster.id).service_name("theirs");
    let service = service.task_definition("theirs").desired_count(0).launch_type(LaunchType::Fargate);
    let network = NetworkConfiguration::builder().awsvpc_configuration(network).build();
    service.network_configuration(network).send().await.unwrap();
    assert_eq!(holders(&bench, &cluster).await, ["ECS service theirs"]);

    let namespace: Live<Namespace> = made(&bench, json!({})).await;
    let service = bench.aws.namespaces().create_service().name("theirs").namespace_id(&namespace.outputs["id"]);
    service.send().await.unwrap();
    assert_eq!(holders(&bench, &namespace).await, ["service srv \"theirs\""]);

    for name in ["ours", "ours-too"] {
        let alarm = bench.aws.cloudwatch().put_metric_alarm().alarm_name(name).namespace("theirs").metric_name("m");
        let alarm = alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold).threshold(1.0).period(60);
        alarm.evaluation_periods(1).statistic(Statistic::Sum).send().await.unwrap();
    }
    for (name, rule) in [("theirs", "ALARM(\"ours\") OR ALARM(\"ours-too\")"), ("others", "ALARM(\"ours-too\")")] {
        bench.aws.cloudwatch().put_composite_alarm().alarm_name(name).alarm_rule(rule).send().await.unwrap();
    }
    let spec = json!({ "comparison": "GreaterThanThreshold", "threshold": 1.0 });
    let spec: MetricAlarm = serde_json::from_value(spec).expect("a specification");
    let identity = infra::address::Identity {
        project: "acme".into(),
        environment: "test".into(),
        address: "metric_alarm.main".parse().unwrap(),
    };
    let tagged = infra::tags::Tagged { identity, user: infra::tags::Tags::new(), deposed: false };
    assert_eq!(holders(&bench, &Live::new(tagged, "ours", spec)).await, ["composite alarm theirs"]);
}

/// A load balancer of others that leads to the target group, by default and by a rule.
async fn routed(bench: &Bench, group: &str, subnets: &[String]) {
    let elb = bench.aws.elb();
    let balancer = elb.create_load_balancer().name("theirs").set_subnets(Some(subnets.to_vec())).send().await.unwrap();
    let balancer = balancer.load_balancers().first().and_then(LoadBalancer::load_balancer_arn).unwrap().to_owned();
    let action = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group).build();
    let listener = elb.create_listener().load_balancer_arn(balancer).port(80).protocol(ProtocolEnum::Http);
    let listener = listener.default_actions(action.clone()).send().await.unwrap();
    let listener = listener.listeners()[0].listener_arn().unwrap().to_owned();
    let path = PathPatternConditionConfig::builder().values("/old/*").build();
    let condition = RuleCondition::builder().field("path-pattern").path_pattern_config(path).build();
    let rule = elb.create_rule().listener_arn(listener).priority(7).conditions(condition).actions(action);
    rule.send().await.unwrap();
}
