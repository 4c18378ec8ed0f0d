//! One route of a table: how it is written, read from AWS, compared and changed.

use aws_sdk_ec2::types::{Route as Read, RouteOrigin};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::kind::{Class, Problem, Result};
use crate::kinds::ec2;
use crate::value::{Arg, Unresolved};

/// Where packets for one destination go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// An IPv4 or IPv6 range, or a prefix list (`pl-...`).
    #[schemars(example = "0.0.0.0/0")]
    pub destination: Arg<String>,
    pub target: Target,
}

/// The target of a route, by its id. AWS keeps a route to an instance as one to its network interface, so that is how
/// it is written here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    InternetGateway(Arg<String>),
    NatGateway(Arg<String>),
    /// A gateway for IPv6 that lets nothing in.
    EgressOnlyGateway(Arg<String>),
    VpnGateway(Arg<String>),
    TransitGateway(Arg<String>),
    /// A peering connection with another VPC.
    Peering(Arg<String>),
    NetworkInterface(Arg<String>),
    /// A gateway load balancer endpoint.
    Endpoint(Arg<String>),
    CarrierGateway(Arg<String>),
    LocalGateway(Arg<String>),
    /// The ARN of a core network.
    CoreNetwork(Arg<String>),
}

/// Sets the target's own field on a `CreateRoute` or a `ReplaceRoute`, which are different types with the same fields.
macro_rules! aim {
    ($request:expr, $target:expr) => {
        match $target {
            Target::InternetGateway(id) | Target::VpnGateway(id) => $request.gateway_id(id.get()?),
            Target::NatGateway(id) => $request.nat_gateway_id(id.get()?),
            Target::EgressOnlyGateway(id) => $request.egress_only_internet_gateway_id(id.get()?),
            Target::TransitGateway(id) => $request.transit_gateway_id(id.get()?),
            Target::Peering(id) => $request.vpc_peering_connection_id(id.get()?),
            Target::NetworkInterface(id) => $request.network_interface_id(id.get()?),
            Target::Endpoint(id) => $request.vpc_endpoint_id(id.get()?),
            Target::CarrierGateway(id) => $request.carrier_gateway_id(id.get()?),
            Target::LocalGateway(id) => $request.local_gateway_id(id.get()?),
            Target::CoreNetwork(arn) => $request.core_network_arn(arn.get()?),
        }
    };
}

/// Sets the field for the kind of destination that this is.
macro_rules! towards {
    ($request:expr, $route:expr) => {{
        let destination = $route.destination()?;
        match destination {
            list if list.starts_with("pl-") => $request.destination_prefix_list_id(list),
            range if range.contains(':') => $request.destination_ipv6_cidr_block(range),
            range => $request.destination_cidr_block(range),
        }
    }};
}

impl Route {
    pub fn normalize(&mut self) {
        ec2::canonical_range(&mut self.destination);
    }

    fn destination(&self) -> Result<&String, Unresolved> {
        self.destination.get()
    }

    pub fn check(&self, path: &str) -> Option<Problem> {
        let Arg::Known(destination) = &self.destination else { return None };
        if destination.starts_with("pl-") || destination.parse::<IpNet>().is_ok() {
            return None;
        }
        let problem =
            Problem::new(&format!("{path}.destination"), format!("`{destination}` is not a range of addresses"));
        Some(problem.help("write a range with its prefix length, as in 0.0.0.0/0, or the id of a prefix list"))
    }

    /// Makes the route, or turns it to its target where the table has its destination already.
    pub async fn create(&self, aws: &Aws, table: &str) -> Result<()> {
        let request = aim!(aws.ec2().create_route().route_table_id(table), &self.target);
        match aws.call("ec2:CreateRoute", towards!(request, self).send()).await {
            Err(failure) if failure.code == "RouteAlreadyExists" => self.replace(aws, table).await,
            other => other.map(drop),
        }
    }

    /// Turns the route that has this destination to this target, without a gap.
    pub async fn replace(&self, aws: &Aws, table: &str) -> Result<()> {
        let request = aim!(aws.ec2().replace_route().route_table_id(table), &self.target);
        aws.call("ec2:ReplaceRoute", towards!(request, self).send()).await.map(drop)
    }

    pub async fn delete(&self, aws: &Aws, table: &str) -> Result<()> {
        let request = aws.ec2().delete_route().route_table_id(table);
        match aws.call("ec2:DeleteRoute", towards!(request, self).send()).await {
            Err(failure) if failure.class == Class::NotFound => Ok(()),
            // A route of the VPC's own range can be turned elsewhere but not deleted, only turned back.
            Err(failure) if failure.message.contains("local route") => {
                let request = aws.ec2().replace_route().route_table_id(table).local_target(true);
                aws.call("ec2:ReplaceRoute", towards!(request, self).send()).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}

/// A route of a live table.
pub enum Found {
    /// AWS made it: the VPC's own range, a gateway endpoint's prefix list, or what a gateway propagates.
    Automatic,
    Route(Route),
    /// To a kind of target that a file cannot name; the destination.
    Unknown(String),
}

pub fn read(route: &Read) -> Found {
    let gateway = route.gateway_id();
    let by_endpoint = route.destination_prefix_list_id().is_some() && gateway.is_some_and(|id| id.starts_with("vpce-"));
    let propagated =
        matches!(route.origin(), Some(RouteOrigin::EnableVgwRoutePropagation | RouteOrigin::Advertisement));
    if gateway == Some("local") || by_endpoint || propagated {
        return Found::Automatic;
    }
    let destination = route.destination_cidr_block().or(route.destination_ipv6_cidr_block());
    let destination = destination.or(route.destination_prefix_list_id()).unwrap_or_default();
    match target(route) {
        Some(target) => Found::Route(Route { destination: destination.into(), target }),
        None => Found::Unknown(destination.to_owned()),
    }
}

fn target(route: &Read) -> Option<Target> {
    let gateway = |id: &str| match id {
        id if id.starts_with("vgw-") => Target::VpnGateway(id.into()),
        id if id.starts_with("vpce-") => Target::Endpoint(id.into()),
        id => Target::InternetGateway(id.into()),
    };
    let of = |id: Option<&str>, target: fn(Arg<String>) -> Target| id.map(|id| target(id.into()));
    (route.gateway_id().map(gateway))
        .or_else(|| of(route.nat_gateway_id(), Target::NatGateway))
        .or_else(|| of(route.egress_only_internet_gateway_id(), Target::EgressOnlyGateway))
        .or_else(|| of(route.transit_gateway_id(), Target::TransitGateway))
        .or_else(|| of(route.vpc_peering_connection_id(), Target::Peering))
        .or_else(|| of(route.carrier_gateway_id(), Target::CarrierGateway))
        .or_else(|| of(route.local_gateway_id(), Target::LocalGateway))
        .or_else(|| of(route.core_network_arn(), Target::CoreNetwork))
        .or_else(|| of(route.network_interface_id(), Target::NetworkInterface))
}

/// What brings the routes of a table from `live` to `wanted`: those to create, to turn to another target, to delete.
pub fn changes<'a>(live: &'a [Route], wanted: &'a [Route]) -> (Vec<&'a Route>, Vec<&'a Route>, Vec<&'a Route>) {
    let same = |a: &Route, b: &Route| a.destination == b.destination;
    let (known, create): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|route| live.iter().any(|other| same(other, route)));
    let replace = known.into_iter().filter(|route| !live.contains(route)).collect();
    let delete = live.iter().filter(|route| !wanted.iter().any(|other| same(other, route))).collect();
    (create, replace, delete)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nat(destination: &str, id: &str) -> Route {
        let mut route = Route { destination: destination.into(), target: Target::NatGateway(id.into()) };
        route.normalize();
        route
    }

    #[test]
    fn a_new_target_turns_a_route_and_never_leaves_a_gap() {
        let live = [nat("0.0.0.0/0", "nat-1"), nat("10.1.0.0/16", "nat-1"), nat("10.2.0.0/16", "nat-1")];
        let wanted = [nat("0.0.0.0/0", "nat-2"), nat("10.1.77.0/16", "nat-1"), nat("10.3.0.0/16", "nat-1")];
        let (create, replace, delete) = changes(&live, &wanted);
        assert_eq!((create, replace, delete), (vec![&wanted[2]], vec![&wanted[0]], vec![&live[2]]));
    }

    #[test]
    fn what_aws_makes_itself_is_left_out() {
        let route = || Read::builder().destination_cidr_block("10.0.0.0/16");
        let list = || Read::builder().destination_prefix_list_id("pl-1");
        let text = |read: &Read| match super::read(read) {
            Found::Automatic => "automatic".to_owned(),
            Found::Route(route) => serde_json::to_string(&route.target).unwrap(),
            Found::Unknown(destination) => format!("unknown {destination}"),
        };
        for (read, expected) in [
            (route().gateway_id("local"), "automatic"),
            (list().gateway_id("vpce-1"), "automatic"),
            (route().gateway_id("vgw-1").origin(RouteOrigin::EnableVgwRoutePropagation), "automatic"),
            (route().gateway_id("vgw-1"), r#"{"vpn_gateway":"vgw-1"}"#),
            (route().gateway_id("vpce-1"), r#"{"endpoint":"vpce-1"}"#),
            (route().gateway_id("igw-1"), r#"{"internet_gateway":"igw-1"}"#),
            (list().transit_gateway_id("tgw-1"), r#"{"transit_gateway":"tgw-1"}"#),
            (route().instance_id("i-1").network_interface_id("eni-1"), r#"{"network_interface":"eni-1"}"#),
            (route(), "unknown 10.0.0.0/16"),
        ] {
            assert_eq!(text(&read.build()), expected);
        }
    }
}
