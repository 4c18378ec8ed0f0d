//! What stands in the networks of an environment and is nobody's: without the tags of this or any other environment.
//! What AWS makes by itself (the default group, the main route table) and what belongs to a resource that is read anyway
//! (the interfaces of a load balancer, of a task) is left out.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    Filter, Instance, InstanceStateName, NatGateway, NatGatewayState, NetworkInterface, RouteTable, SecurityGroup,
    Subnet, VpcEndpoint,
};
use aws_sdk_elasticloadbalancingv2::types::LoadBalancer;

use crate::aws::Aws;
use crate::drift::Foreign;
use crate::kind::Result;
use crate::kinds::ec2::read_tags;
use crate::kinds::elb;
use crate::tags::{self, Tags};

/// Everything in some networks.
#[derive(Default)]
struct Found {
    subnets: Vec<Subnet>,
    groups: Vec<SecurityGroup>,
    tables: Vec<RouteTable>,
    gateways: Vec<NatGateway>,
    endpoints: Vec<VpcEndpoint>,
    instances: Vec<Instance>,
    interfaces: Vec<NetworkInterface>,
    balancers: Vec<(LoadBalancer, Tags)>,
}

/// What is foreign in these networks, sorted.
pub async fn read(aws: &Aws, networks: &BTreeSet<String>) -> Result<Vec<Foreign>> {
    if networks.is_empty() {
        return Ok(Vec::new());
    }
    let within =
        || Some(vec![Filter::builder().name("vpc-id").set_values(Some(networks.iter().cloned().collect())).build()]);
    let ec2 = aws.ec2();
    let subnets = ec2.describe_subnets().set_filters(within()).into_paginator().items().send();
    let groups = ec2.describe_security_groups().set_filters(within()).into_paginator().items().send();
    let tables = ec2.describe_route_tables().set_filters(within()).into_paginator().items().send();
    let gateways = ec2.describe_nat_gateways().set_filter(within()).into_paginator().items().send();
    let endpoints = ec2.describe_vpc_endpoints().set_filters(within()).into_paginator().items().send();
    let instances = ec2.describe_instances().set_filters(within()).into_paginator().items().send();
    let interfaces = ec2.describe_network_interfaces().set_filters(within()).into_paginator().items().send();
    let (subnets, groups, tables, gateways, endpoints, instances, interfaces, balancers) = tokio::try_join!(
        aws.call("ec2:DescribeSubnets", subnets.collect::<Result<Vec<_>, _>>()),
        aws.call("ec2:DescribeSecurityGroups", groups.collect::<Result<Vec<_>, _>>()),
        aws.call("ec2:DescribeRouteTables", tables.collect::<Result<Vec<_>, _>>()),
        aws.call("ec2:DescribeNatGateways", gateways.collect::<Result<Vec<_>, _>>()),
        aws.call("ec2:DescribeVpcEndpoints", endpoints.collect::<Result<Vec<_>, _>>()),
        aws.call("ec2:DescribeInstances", instances.collect::<Result<Vec<_>, _>>()),
        aws.call("ec2:DescribeNetworkInterfaces", interfaces.collect::<Result<Vec<_>, _>>()),
        balancers(aws, networks),
    )?;
    let instances = instances.into_iter().flat_map(|reserved| reserved.instances.unwrap_or_default()).collect();
    Ok(judge(&Found { subnets, groups, tables, gateways, endpoints, instances, interfaces, balancers }))
}

async fn balancers(aws: &Aws, networks: &BTreeSet<String>) -> Result<Vec<(LoadBalancer, Tags)>> {
    let pages = aws.elb().describe_load_balancers().into_paginator().items().send();
    let all = aws.call("elb:DescribeLoadBalancers", pages.collect::<Result<Vec<_>, _>>()).await?;
    let within = |one: &LoadBalancer| one.vpc_id().is_some_and(|network| networks.contains(network));
    let all: Vec<LoadBalancer> = all.into_iter().filter(within).collect();
    let arns: Vec<&str> = all.iter().filter_map(LoadBalancer::load_balancer_arn).collect();
    let mut known = elb::tags_of(aws, &arns).await?;
    let tagged = |one: LoadBalancer| {
        let tags = one.load_balancer_arn().and_then(|arn| known.remove(arn)).unwrap_or_default();
        (one, tags)
    };
    Ok(all.into_iter().map(tagged).collect())
}

/// Whether some environment has it. Each speaks for its own.
fn is_of_an_environment(tags: &Tags) -> bool {
    tags::decode(tags).is_some()
}

fn foreign(what: &'static str, id: Option<&str>, network: Option<&str>, tags: &Tags) -> Option<Foreign> {
    (!is_of_an_environment(tags)).then(|| Foreign {
        what,
        id: id.unwrap_or_default().to_owned(),
        name: tags.get("Name").filter(|name| !name.is_empty()).cloned(),
        made_by: tags::maker(tags),
        network: network.unwrap_or_default().to_owned(),
    })
}

fn judge(found: &Found) -> Vec<Foreign> {
    let subnets =
        found.subnets.iter().filter_map(|one| foreign("subnet", one.subnet_id(), one.vpc_id(), &read_tags(one.tags())));
    let groups = found.groups.iter().filter(|one| one.group_name() != Some("default")).filter_map(|one| {
        let made = foreign("security group", one.group_id(), one.vpc_id(), &read_tags(one.tags()))?;
        Some(Foreign { name: one.group_name().map(str::to_owned), ..made })
    });
    let is_main = |one: &&RouteTable| one.associations().iter().any(|held| held.main() == Some(true));
    let tables = found.tables.iter().filter(|one| !is_main(one));
    let tables =
        tables.filter_map(|one| foreign("route table", one.route_table_id(), one.vpc_id(), &read_tags(one.tags())));
    let gone = [Some(&NatGatewayState::Deleted), Some(&NatGatewayState::Deleting)];
    let gateways = found.gateways.iter().filter(|one| !gone.contains(&one.state()));
    let gateways =
        gateways.filter_map(|one| foreign("NAT gateway", one.nat_gateway_id(), one.vpc_id(), &read_tags(one.tags())));
    let is_deleted =
        |one: &&VpcEndpoint| one.state().is_some_and(|state| state.as_str().eq_ignore_ascii_case("deleted"));
    let endpoints = found.endpoints.iter().filter(|one| !is_deleted(one)).filter_map(|one| {
        let made = foreign("endpoint", one.vpc_endpoint_id(), one.vpc_id(), &read_tags(one.tags()))?;
        let name = made.name.clone().or_else(|| one.service_name().map(str::to_owned));
        let requested = (one.requester_managed() == Some(true)).then(|| "an AWS service".to_owned());
        Some(Foreign { name, made_by: made.made_by.clone().or(requested), ..made })
    });
    let ended = |one: &&Instance| {
        let state = one.state().and_then(|state| state.name());
        matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown))
    };
    let instances = found.instances.iter().filter(|one| !ended(one));
    let instances =
        instances.filter_map(|one| foreign("instance", one.instance_id(), one.vpc_id(), &read_tags(one.tags())));
    let balancers = found.balancers.iter().filter_map(|(one, tags)| {
        let made = foreign("load balancer", one.load_balancer_arn(), one.vpc_id(), tags)?;
        Some(Foreign { name: one.load_balancer_name().map(str::to_owned), ..made })
    });
    let interfaces = found.interfaces.iter().filter(|one| !has_owner(one, found)).filter_map(|one| {
        let made = foreign("network interface", one.network_interface_id(), one.vpc_id(), &read_tags(one.tag_set()))?;
        let name = made.name.clone().or_else(|| one.description().filter(|text| !text.is_empty()).map(str::to_owned));
        let managed = one.requester_managed() == Some(true);
        let requester = one.requester_id().filter(|_| managed).map(str::to_owned);
        Some(Foreign { name, made_by: made.made_by.clone().or(requester), ..made })
    });
    let all = subnets.chain(groups).chain(tables).chain(gateways).chain(endpoints).chain(instances);
    let mut all: Vec<Foreign> = all.chain(balancers).chain(interfaces).collect();
    all.sort_by(|a, b| (&a.network, a.what, &a.id).cmp(&(&b.network, b.what, &b.id)));
    all
}

/// Whether an interface is part of something that is looked at itself, or was made by a service of AWS for what wears a
/// firewall of ours: a task, a database, a cache, a function. AWS says of those only which service made them.
fn has_owner(interface: &NetworkInterface, found: &Found) -> bool {
    let id = interface.network_interface_id().unwrap_or_default();
    let about = interface.description().unwrap_or_default();
    let instance = interface.attachment().and_then(|attachment| attachment.instance_id());
    let of_instance = instance.is_some_and(|id| found.instances.iter().any(|one| one.instance_id() == Some(id)));
    let of_gateway = found
        .gateways
        .iter()
        .flat_map(|one| one.nat_gateway_addresses())
        .any(|address| address.network_interface_id() == Some(id));
    let of_endpoint = found.endpoints.iter().flat_map(|one| one.network_interface_ids()).any(|one| one == id);
    // Described as `ELB app/NAME/ID`, which is how the ARN ends.
    let of_balancer = about.strip_prefix("ELB ").is_some_and(|end| {
        found
            .balancers
            .iter()
            .any(|(one, _)| one.load_balancer_arn().is_some_and(|arn| arn.ends_with(&format!("/{end}"))))
    });
    let managed = interface.requester_managed() == Some(true) || about.starts_with("arn:aws:ecs:");
    let ours = |id: &str| {
        let group = found.groups.iter().find(|group| group.group_id() == Some(id));
        group.is_some_and(|group| is_of_an_environment(&read_tags(group.tags())))
    };
    let for_ours = managed && interface.groups().iter().filter_map(|group| group.group_id()).any(ours);
    of_instance || of_gateway || of_endpoint || of_balancer || for_ours
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what cannot be built fails the test")]
mod tests {
    use aws_sdk_ec2::types::{GroupIdentifier, NatGatewayAddress, NetworkInterfaceAttachment, Tag};

    use super::*;

    fn tagged(address: &str) -> Vec<Tag> {
        let pairs = [("infra:project", "acme"), ("infra:environment", "test"), ("infra:address", address)];
        pairs.map(|(key, value)| Tag::builder().key(key).value(value).build()).to_vec()
    }

    fn interface(id: &str, managed: bool, about: &str, group: &str) -> NetworkInterface {
        let interface = NetworkInterface::builder().network_interface_id(id).requester_managed(managed);
        let interface = interface.requester_id("amazon-rds").description(about).vpc_id("vpc-1");
        interface.groups(GroupIdentifier::builder().group_id(group).build()).build()
    }

    /// AWS makes interfaces for nearly everything; those are told with what they belong to, or not at all.
    #[test]
    fn interfaces_belong_to_what_they_are_of() {
        let ours =
            SecurityGroup::builder().group_id("sg-ours").group_name("ours").set_tags(Some(tagged("security_group.a")));
        let theirs = SecurityGroup::builder().group_id("sg-theirs").group_name("theirs");
        let standard = SecurityGroup::builder().group_id("sg-default").group_name("default");
        let address = NatGatewayAddress::builder().network_interface_id("eni-nat").build();
        let gateway = NatGateway::builder().nat_gateway_id("nat-1").nat_gateway_addresses(address);
        let balancer = LoadBalancer::builder().load_balancer_arn("arn:aws:elb:::loadbalancer/app/web/50dc6c495c0c9188");
        let attached = NetworkInterfaceAttachment::builder().instance_id("i-1").build();
        let task = "arn:aws:ecs:us-east-1:123456789012:attachment/6b1b";
        let mut of_instance = interface("eni-instance", false, "", "sg-theirs");
        of_instance.attachment = Some(attached);
        let found = Found {
            groups: vec![ours.build(), theirs.build(), standard.build()],
            gateways: vec![gateway.set_tags(Some(tagged("nat_gateway.a"))).build()],
            endpoints: vec![
                VpcEndpoint::builder()
                    .network_interface_ids("eni-endpoint")
                    .set_tags(Some(tagged("vpc_endpoint.a")))
                    .build(),
            ],
            instances: vec![Instance::builder().instance_id("i-1").build()],
            balancers: vec![(balancer.build(), read_tags(&tagged("load_balancer.web")))],
            interfaces: vec![
                interface("eni-nat", false, "Interface for NAT Gateway nat-1", "sg-default"),
                interface("eni-endpoint", true, "VPC Endpoint Interface vpce-1", "sg-ours"),
                interface("eni-balancer", true, "ELB app/web/50dc6c495c0c9188", "sg-theirs"),
                interface("eni-other-balancer", true, "ELB classic", "sg-theirs"),
                interface("eni-database", true, "RDSNetworkInterface", "sg-ours"),
                interface("eni-other-database", true, "RDSNetworkInterface", "sg-theirs"),
                interface("eni-task", false, task, "sg-ours"),
                interface("eni-by-hand", false, "", "sg-ours"),
                of_instance,
            ],
            ..Found::default()
        };
        let told = judge(&found);
        let told: Vec<_> = told.iter().map(|one| format!("{} {} {:?}", one.what, one.id, one.made_by)).collect();
        let mut expected = [
            "instance i-1 None",
            "network interface eni-by-hand None",
            "network interface eni-other-balancer Some(\"amazon-rds\")",
            "network interface eni-other-database Some(\"amazon-rds\")",
            "security group sg-theirs None",
        ];
        let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
}
