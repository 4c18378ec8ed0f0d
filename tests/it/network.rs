//! What other kinds of resources stand on, made directly.

use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ProtocolEnum, TargetTypeEnum};

use crate::support::Bench;

async fn vpc(bench: &Bench) -> String {
    let vpcs = bench.aws.ec2().describe_vpcs().send().await.unwrap();
    vpcs.vpcs()[0].vpc_id().unwrap().to_owned()
}

/// Two subnets in two zones.
pub async fn subnets(bench: &Bench) -> Vec<String> {
    let subnets = bench.aws.ec2().describe_subnets().send().await.unwrap();
    subnets.subnets().iter().take(2).map(|subnet| subnet.subnet_id().unwrap().to_owned()).collect()
}

pub async fn security_group(bench: &Bench) -> String {
    let vpc = vpc(bench).await;
    let request = bench.aws.ec2().create_security_group().group_name("app").description("app").vpc_id(vpc);
    request.send().await.unwrap().group_id().unwrap().to_owned()
}

/// A target group behind a listener: ECS takes no other.
pub async fn target_group(bench: &Bench) -> String {
    let vpc = vpc(bench).await;
    let request = bench.aws.elb().create_target_group().name("app").vpc_id(vpc).port(3000);
    let answer = request.protocol(ProtocolEnum::Http).target_type(TargetTypeEnum::Ip).send().await.unwrap();
    let group = answer.target_groups()[0].target_group_arn().unwrap().to_owned();
    let subnets = subnets(bench).await;
    let request = bench.aws.elb().create_load_balancer().name("app").set_subnets(Some(subnets));
    let answer = request.send().await.unwrap();
    let balancer = answer.load_balancers()[0].load_balancer_arn().unwrap();
    let forward = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(&group).build();
    let request = bench.aws.elb().create_listener().load_balancer_arn(balancer).port(80);
    request.protocol(ProtocolEnum::Http).default_actions(forward).send().await.unwrap();
    group
}
