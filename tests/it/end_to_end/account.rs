//! A whole account as its owner sees it, read with the SDK, and what others have in it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use aws_sdk_cloudwatchlogs::types::LogGroup;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, FixedResponseActionConfig, ProtocolEnum};
use aws_sdk_kms::types::KeyState;
use infra::aws::Aws;

/// Everything in the account, one text a resource, without what waits for its deletion or is gone.
pub async fn contents(aws: &Aws) -> Vec<String> {
    let mut all = network(aws).await;
    all.extend(balancers(aws).await);
    all.extend(services(aws).await);
    all.extend(data(aws).await);
    all.extend(keys(aws).await);
    all.sort();
    all
}

/// Asserts that an account is as it was, and shows only what differs.
#[track_caller]
pub fn same(before: &[String], after: &[String], why: &str) {
    let gone: Vec<&String> = before.iter().filter(|text| !after.contains(text)).collect();
    let new: Vec<&String> = after.iter().filter(|text| !before.contains(text)).collect();
    assert!(gone.is_empty() && new.is_empty(), "{why}\nno longer there: {gone:#?}\nnew: {new:#?}");
}

fn texts<T: Debug>(items: Option<Vec<T>>) -> impl Iterator<Item = String> {
    items.unwrap_or_default().into_iter().map(|item| format!("{item:?}"))
}

async fn network(aws: &Aws) -> Vec<String> {
    let ec2 = aws.ec2();
    let mut all: Vec<String> = Vec::new();
    all.extend(texts(ec2.describe_vpcs().send().await.unwrap().vpcs));
    all.extend(texts(ec2.describe_subnets().send().await.unwrap().subnets));
    all.extend(texts(ec2.describe_security_groups().send().await.unwrap().security_groups));
    all.extend(texts(ec2.describe_security_group_rules().send().await.unwrap().security_group_rules));
    all.extend(texts(ec2.describe_route_tables().send().await.unwrap().route_tables));
    all.extend(texts(ec2.describe_internet_gateways().send().await.unwrap().internet_gateways));
    all.extend(texts(ec2.describe_addresses().send().await.unwrap().addresses));
    all.extend(texts(ec2.describe_network_interfaces().send().await.unwrap().network_interfaces));
    let gateways = ec2.describe_nat_gateways().send().await.unwrap().nat_gateways.unwrap_or_default();
    let there = gateways.into_iter().filter(|gateway| gateway.state().is_none_or(|state| state.as_str() != "deleted"));
    all.extend(texts(Some(there.collect())));
    all
}

async fn balancers(aws: &Aws) -> Vec<String> {
    let elb = aws.elb();
    let mut all = Vec::new();
    let balancers = elb.describe_load_balancers().send().await.unwrap().load_balancers.unwrap_or_default();
    for balancer in &balancers {
        let arn = balancer.load_balancer_arn().unwrap();
        let listeners = elb.describe_listeners().load_balancer_arn(arn).send().await.unwrap().listeners;
        for listener in listeners.iter().flatten() {
            let rules = elb.describe_rules().listener_arn(listener.listener_arn().unwrap()).send().await.unwrap();
            all.extend(texts(rules.rules));
        }
        all.extend(texts(listeners));
        all.extend(texts(elb.describe_tags().resource_arns(arn).send().await.unwrap().tag_descriptions));
    }
    all.extend(texts(Some(balancers)));
    all.extend(texts(elb.describe_target_groups().send().await.unwrap().target_groups));
    all
}

async fn services(aws: &Aws) -> Vec<String> {
    let mut all = Vec::new();
    for arn in aws.ecs().list_clusters().send().await.unwrap().cluster_arns() {
        let cluster = aws.ecs().describe_clusters().clusters(arn).include("TAGS".into()).send().await.unwrap();
        let there = cluster.clusters.unwrap_or_default().into_iter().filter(|one| one.status() != Some("INACTIVE"));
        all.extend(texts(Some(there.collect())));
        let services = aws.ecs().list_services().cluster(arn).send().await.unwrap();
        all.extend(services.service_arns().iter().map(|arn| format!("service {arn}")));
    }
    let definitions = aws.ecs().list_task_definitions().status("ACTIVE".into()).send().await.unwrap();
    all.extend(definitions.task_definition_arns().iter().map(|arn| format!("definition {arn}")));
    let roles = aws.iam().list_roles().send().await.unwrap();
    for role in roles.roles().iter().filter(|role| !role.path().starts_with("/aws-service-role/")) {
        let whole = aws.iam().get_role().role_name(role.role_name()).send().await.unwrap();
        all.push(format!("{:?}", whole.role()));
        let policies = aws.iam().list_role_policies().role_name(role.role_name()).send().await.unwrap();
        all.push(format!("{} {:?}", role.role_name(), policies.policy_names()));
    }
    let groups = aws.logs().describe_log_groups().send().await.unwrap().log_groups;
    // The history of an environment grows with each command, and outlasts a destroy.
    let is_history = |group: &&LogGroup| {
        let name = group.log_group_name().and_then(|name| name.strip_prefix("/infra/"));
        name.is_some_and(|rest| rest.split('/').count() == 2)
    };
    let groups = groups.iter().flatten().filter(|group| !is_history(group));
    all.extend(groups.map(|group| format!("{group:?}")));
    all
}

async fn data(aws: &Aws) -> Vec<String> {
    let rds = aws.rds();
    let mut all: Vec<String> = Vec::new();
    let mut instances = rds.describe_db_instances().send().await.unwrap().db_instances;
    // Moves by itself.
    instances.iter_mut().flatten().for_each(|instance| instance.latest_restorable_time = None);
    all.extend(texts(instances));
    all.extend(texts(rds.describe_db_parameter_groups().send().await.unwrap().db_parameter_groups));
    all.extend(texts(rds.describe_db_subnet_groups().send().await.unwrap().db_subnet_groups));
    all
}

async fn keys(aws: &Aws) -> Vec<String> {
    let mut all = Vec::new();
    for mut secret in aws.secrets().list_secrets().send().await.unwrap().secret_list.unwrap_or_default() {
        // A map without an order.
        let versions = secret.secret_versions_to_stages.take().unwrap_or_default();
        all.push(format!("{secret:?} {:?}", versions.into_iter().collect::<BTreeMap<_, _>>()));
    }
    for key in aws.kms().list_keys().send().await.unwrap().keys() {
        let id = key.key_id().unwrap();
        let whole = aws.kms().describe_key().key_id(id).send().await.unwrap().key_metadata.unwrap();
        let tags = aws.kms().list_resource_tags().key_id(id).send().await.unwrap();
        // One that stays for a final snapshot is as good as gone.
        let kept = tags.tags().iter().any(|tag| tag.tag_key() == "infra:kept-for");
        if whole.key_state() != Some(&KeyState::PendingDeletion) && !kept {
            all.push(format!("{whole:?} {:?}", tags.tags()));
        }
    }
    let aliases = aws.kms().list_aliases().send().await.unwrap();
    let chosen = aliases.aliases().iter().filter(|alias| alias.target_key_id().is_some());
    all.extend(chosen.map(|alias| format!("{:?} {:?}", alias.alias_name(), alias.target_key_id())));
    all
}

fn named(kind: ResourceType, name: &str) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).tags(Tag::builder().key("Name").value(name).build()).build()
}

/// What others made by hand, under names as close to ours as AWS allows.
pub async fn make_foreign(aws: &Aws) {
    let ec2 = aws.ec2();
    // The same range and the same name as ours.
    let vpc =
        ec2.create_vpc().cidr_block("10.0.0.0/16").tag_specifications(named(ResourceType::Vpc, "acme-production-main"));
    let vpc = vpc.send().await.unwrap().vpc.unwrap().vpc_id.unwrap();
    let mut subnets = Vec::new();
    for (block, zone) in [("10.0.0.0/20", "us-east-1a"), ("10.0.16.0/20", "us-east-1b")] {
        let request = ec2.create_subnet().vpc_id(&vpc).cidr_block(block).availability_zone(zone);
        subnets.push(request.send().await.unwrap().subnet.unwrap().subnet_id.unwrap());
    }
    let gateway = ec2.create_internet_gateway().send().await.unwrap().internet_gateway.unwrap();
    let gateway = gateway.internet_gateway_id.unwrap();
    ec2.attach_internet_gateway().vpc_id(&vpc).internet_gateway_id(gateway).send().await.unwrap();
    let group = ec2.create_security_group().vpc_id(&vpc).group_name("acme-production-api").description("foreign");
    group.send().await.unwrap();
    ec2.allocate_address().send().await.unwrap();

    let elb = aws.elb();
    let balancer = elb.create_load_balancer().name("acme-production-other").set_subnets(Some(subnets));
    let balancer = balancer.send().await.unwrap().load_balancers.unwrap().remove(0).load_balancer_arn.unwrap();
    let answer = FixedResponseActionConfig::builder().status_code("200").build();
    let action = Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(answer).build();
    let listener = elb.create_listener().load_balancer_arn(balancer).port(80).protocol(ProtocolEnum::Http);
    listener.default_actions(action).send().await.unwrap();
    let group = elb.create_target_group().name("acme-production-api-blue").port(3000).protocol(ProtocolEnum::Http);
    group.vpc_id(&vpc).send().await.unwrap();

    aws.ecs().create_cluster().cluster_name("acme-production-other").send().await.unwrap();
    let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
    // Elsewhere, and in our own path, but without our tags.
    for (path, name) in [("/other/", "acme-production-other"), ("/infra/acme/production/", "acme-production-stray")] {
        let request = aws.iam().create_role().path(path).role_name(name).assume_role_policy_document(trust);
        request.send().await.unwrap();
    }
    for name in ["/ecs/production/other", "/aws/rds/instance/acme-production-main/upgrade"] {
        aws.logs().create_log_group().log_group_name(name).send().await.unwrap();
    }
    aws.secrets().create_secret().name("acme-production-foreign").secret_string("theirs").send().await.unwrap();
    let key = aws.kms().create_key().description("theirs").send().await.unwrap().key_metadata.unwrap();
    let alias = aws.kms().create_alias().alias_name("alias/acme-production-other").target_key_id(key.key_id());
    alias.send().await.unwrap();
    let group = aws.rds().create_db_parameter_group().db_parameter_group_name("acme-production-other");
    group.db_parameter_group_family("postgres15").description("theirs").send().await.unwrap();
}
