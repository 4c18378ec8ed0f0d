//! What uses a network, a subnet, a security group or an address, and so keeps it from being deleted. AWS says only that
//! something does.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    Filter, Instance, InstanceStateName, NatGatewayState, NetworkInterface, NetworkInterfaceType,
    VpcPeeringConnectionStateReasonCode as Peering,
};

use super::ec2::{filter, read_tags};
use crate::aws::Aws;
use crate::kind::{Blocker, Result};

/// The interfaces that a filter leaves, each as what it belongs to.
pub async fn interfaces(aws: &Aws, within: Filter) -> Result<Vec<Blocker>> {
    let pages = aws.ec2().describe_network_interfaces().filters(within).into_paginator().items().send();
    let found = aws.call("ec2:DescribeNetworkInterfaces", pages.collect::<Result<Vec<_>, _>>()).await?;
    owners(aws, &found).await
}

/// Those of a network that have a public address, which keep its gateway to the internet.
pub async fn public(aws: &Aws, network: &str) -> Result<Vec<Blocker>> {
    let within = filter("vpc-id", [network]);
    let pages = aws.ec2().describe_network_interfaces().filters(within).into_paginator().items().send();
    let mut found = aws.call("ec2:DescribeNetworkInterfaces", pages.collect::<Result<Vec<_>, _>>()).await?;
    found.retain(|one| one.association().is_some_and(|address| address.public_ip().is_some()));
    owners(aws, &found).await
}

/// One interface.
pub async fn interface(aws: &Aws, id: &str) -> Result<Vec<Blocker>> {
    interfaces(aws, filter("network-interface-id", [id])).await
}

/// Everything in a network that AWS wants gone before it.
pub async fn of_network(aws: &Aws, id: &str) -> Result<Vec<Blocker>> {
    let (parts, gates, peerings, interfaces) =
        tokio::try_join!(parts(aws, id), gates(aws, id), peerings(aws, id), interfaces(aws, filter("vpc-id", [id])),)?;
    Ok([parts, gates, peerings, interfaces].concat())
}

/// Subnets, groups and tables.
async fn parts(aws: &Aws, network: &str) -> Result<Vec<Blocker>> {
    let (ec2, within) = (aws.ec2(), || filter("vpc-id", [network]));
    let (subnets, groups, tables) = tokio::try_join!(
        aws.call("ec2:DescribeSubnets", ec2.describe_subnets().filters(within()).send()),
        aws.call("ec2:DescribeSecurityGroups", ec2.describe_security_groups().filters(within()).send()),
        aws.call("ec2:DescribeRouteTables", ec2.describe_route_tables().filters(within()).send()),
    )?;
    let subnets =
        subnets.subnets().iter().map(|one| Blocker::tagged("subnet", one.subnet_id(), None, &read_tags(one.tags())));
    // The default group and the main table go with their network.
    let groups = groups.security_groups().iter().filter(|one| one.group_name() != Some("default"));
    let groups =
        groups.map(|one| Blocker::tagged("security group", one.group_id(), one.group_name(), &read_tags(one.tags())));
    let tables =
        tables.route_tables().iter().filter(|one| !one.associations().iter().any(|held| held.main() == Some(true)));
    let tables = tables.map(|one| Blocker::tagged("route table", one.route_table_id(), None, &read_tags(one.tags())));
    Ok(subnets.chain(groups).chain(tables).collect())
}

/// Gateways and endpoints.
async fn gates(aws: &Aws, network: &str) -> Result<Vec<Blocker>> {
    let (ec2, within) = (aws.ec2(), || filter("vpc-id", [network]));
    let attached = || filter("attachment.vpc-id", [network]);
    let (gateways, nat, endpoints) = tokio::try_join!(
        aws.call("ec2:DescribeInternetGateways", ec2.describe_internet_gateways().filters(attached()).send()),
        aws.call("ec2:DescribeNatGateways", ec2.describe_nat_gateways().filter(within()).send()),
        aws.call("ec2:DescribeVpcEndpoints", ec2.describe_vpc_endpoints().filters(within()).send()),
    )?;
    let gateways = gateways
        .internet_gateways()
        .iter()
        .map(|one| Blocker::tagged("internet gateway", one.internet_gateway_id(), None, &read_tags(one.tags())));
    let nat = nat.nat_gateways().iter().filter(|one| one.state() != Some(&NatGatewayState::Deleted)).map(|one| {
        let named = Blocker::tagged("NAT gateway", one.nat_gateway_id(), None, &read_tags(one.tags()));
        named.passing(one.state() == Some(&NatGatewayState::Deleting))
    });
    let state = |state: Option<&str>| state.unwrap_or_default().to_lowercase();
    let endpoints = endpoints.vpc_endpoints().iter().filter_map(|one| {
        let state = state(one.state().map(|state| state.as_str()));
        let named = Blocker::tagged("endpoint", one.vpc_endpoint_id(), one.service_name(), &read_tags(one.tags()));
        (state != "deleted").then(|| named.passing(state == "deleting"))
    });
    Ok(gateways.chain(nat).chain(endpoints).collect())
}

/// Connections to other networks, whoever asked for them.
async fn peerings(aws: &Aws, network: &str) -> Result<Vec<Blocker>> {
    let asked = |end: &str| aws.ec2().describe_vpc_peering_connections().filters(filter(end, [network])).send();
    let (ours, theirs) = tokio::try_join!(
        aws.call("ec2:DescribeVpcPeeringConnections", asked("requester-vpc-info.vpc-id")),
        aws.call("ec2:DescribeVpcPeeringConnections", asked("accepter-vpc-info.vpc-id")),
    )?;
    let all = ours.vpc_peering_connections().iter().chain(theirs.vpc_peering_connections());
    let lives = all.filter(|one| {
        let state = one.status().and_then(|status| status.code());
        matches!(state, Some(Peering::Active | Peering::PendingAcceptance | Peering::Provisioning | Peering::Deleting))
    });
    let named = lives.map(|one| {
        let named =
            Blocker::tagged("peering connection", one.vpc_peering_connection_id(), None, &read_tags(one.tags()));
        named.passing(one.status().and_then(|status| status.code()) == Some(&Peering::Deleting))
    });
    // A network may be connected with itself.
    Ok(named.collect::<BTreeSet<_>>().into_iter().collect())
}

/// Groups whose rules refer to this one, and what wears it.
pub async fn of_group(aws: &Aws, id: &str) -> Result<Vec<Blocker>> {
    let asked = |end: &str| aws.ec2().describe_security_groups().filters(filter(end, [id])).send();
    let (within, out, worn) = tokio::try_join!(
        aws.call("ec2:DescribeSecurityGroups", asked("ip-permission.group-id")),
        aws.call("ec2:DescribeSecurityGroups", asked("egress.ip-permission.group-id")),
        interfaces(aws, filter("group-id", [id])),
    )?;
    let all = within.security_groups().iter().chain(out.security_groups());
    let others = all.filter(|one| one.group_id() != Some(id));
    let named: BTreeSet<Blocker> = others
        .map(|one| {
            Blocker::tagged("a rule of security group", one.group_id(), one.group_name(), &read_tags(one.tags()))
        })
        .collect();
    Ok(named.into_iter().chain(worn).collect())
}

async fn owners(aws: &Aws, interfaces: &[NetworkInterface]) -> Result<Vec<Blocker>> {
    let instance = |one: &NetworkInterface| one.attachment()?.instance_id().map(str::to_owned);
    let ids: BTreeSet<String> = interfaces.iter().filter_map(instance).filter(|id| id.starts_with("i-")).collect();
    let mut all: BTreeSet<Blocker> = BTreeSet::new();
    if !ids.is_empty() {
        let request = aws.ec2().describe_instances().filters(filter("instance-id", ids.clone()));
        let found = aws.call("ec2:DescribeInstances", request.send()).await?;
        let found = found.reservations().iter().flat_map(|reserved| reserved.instances());
        all.extend(found.map(of_instance));
    }
    let others = interfaces.iter().filter(|one| !instance(one).is_some_and(|id| ids.contains(&id)));
    all.extend(others.map(of_interface));
    Ok(all.into_iter().collect())
}

fn of_instance(one: &Instance) -> Blocker {
    let state = one.state().and_then(|state| state.name());
    let ending = matches!(state, Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated));
    Blocker::tagged("instance", one.instance_id(), None, &read_tags(one.tags())).passing(ending)
}

/// How descriptions of interfaces begin that AWS's services make, and whose they are.
const BEGINNINGS: &[(&str, &str)] = &[
    ("ELB ", "load balancer "),
    ("AWS Lambda VPC ENI-", "function "),
    ("Interface for NAT Gateway ", "NAT gateway "),
    ("VPC Endpoint Interface ", "endpoint "),
    ("EFS mount target for ", "file system "),
    ("RDSNetworkInterface", "an RDS database"),
    ("ElastiCache", "an ElastiCache cluster"),
    ("arn:aws:ecs:", "an ECS task"),
];

/// An interface, with what AWS tells of whose it is.
fn of_interface(one: &NetworkInterface) -> Blocker {
    let about = one.description().unwrap_or_default();
    let tags = read_tags(one.tag_set());
    let owner = BEGINNINGS.iter().find_map(|(start, whose)| {
        let rest = about.strip_prefix(start)?;
        Some(if whose.ends_with(' ') { format!("{whose}{rest}") } else { (*whose).to_owned() })
    });
    let managed = one.requester_managed() == Some(true);
    let owner = owner.or_else(|| one.requester_id().filter(|_| managed).map(str::to_owned));
    let id = one.network_interface_id();
    let named = match &owner {
        Some(_) => Blocker::tagged("network interface", id, None, &tags),
        None => Blocker::tagged("network interface", id, Some(about), &tags),
    };
    // What a service made goes with what it was made for, some time later.
    let lambda = one.interface_type() == Some(&NetworkInterfaceType::Lambda);
    let passing = managed || lambda || owner.is_some();
    match owner {
        Some(owner) => Blocker::new(format!("{} of {owner}", named.what)).passing(passing),
        None => named.passing(passing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_tells_whose_it_is() {
        let one = |about: &str, managed: bool| {
            let one = NetworkInterface::builder().network_interface_id("eni-1").description(about);
            of_interface(&one.requester_managed(managed).requester_id("amazon-rds").build())
        };
        for (about, managed, what, passing) in [
            ("ELB app/acme/1a", true, "network interface eni-1 of load balancer app/acme/1a", true),
            ("AWS Lambda VPC ENI-chat-1-2", true, "network interface eni-1 of function chat-1-2", true),
            ("arn:aws:ecs:us-east-1:1:attachment/2", false, "network interface eni-1 of an ECS task", true),
            ("RDSNetworkInterface", true, "network interface eni-1 of an RDS database", true),
            ("something new", true, "network interface eni-1 of amazon-rds", true),
            ("made by hand", false, "network interface eni-1 \"made by hand\"", false),
            ("", false, "network interface eni-1", false),
        ] {
            assert_eq!(one(about, managed), Blocker::new(what).passing(passing));
        }
    }
}
