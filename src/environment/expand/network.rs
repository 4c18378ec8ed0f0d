//! `network`: a VPC, its subnets in three tiers, and the ways out of it.

use super::{Expansion, connections};
use crate::address::Address;
use crate::environment::network::{Nat, Network, Tier, Zones};
use crate::environment::subnets::plan_subnets;
use crate::kinds::elastic_ip::ElasticIp;
use crate::kinds::internet_gateway::InternetGateway;
use crate::kinds::nat_gateway::{Connectivity, NatGateway};
use crate::kinds::route_table::{Route, RouteTable, Target};
use crate::kinds::subnet::Subnet;
use crate::kinds::vpc::Vpc;
use crate::tags::Tags;
use crate::value::Arg;

const ORIGIN: [&str; 1] = ["network"];
const ANYWHERE: &str = "0.0.0.0/0";

pub(super) fn expand(to: &mut Expansion) {
    let Some(network) = to.file.network.clone() else { return };
    let zones = zones(to, &network);
    // What is wrong with the addresses has been reported when the file was checked.
    let Ok(subnets) = plan_subnets(network.cidr, zones.len(), &network.subnets) else { return };
    let vpc = Vpc { cidr: network.cidr, dns_support: true, dns_hostnames: true, tags: Tags::new() };
    let vpc = to.add("main", &ORIGIN, &vpc);
    let gateway = InternetGateway { vpc_id: Some(id(&vpc)), tags: Tags::new() };
    let gateway = to.add("main", &ORIGIN, &gateway);
    for (tier, zone, cidr) in subnets {
        let zone = &zones[zone];
        let subnet = Subnet {
            vpc_id: id(&vpc),
            cidr,
            zone: zone.clone(),
            public_addresses: false,
            tags: Tags::from([("tier".to_owned(), tier.name().to_owned())]),
        };
        to.add(format!("{}-{}", tier.name(), letter(zone)), &ORIGIN, &subnet);
    }
    let nats = nats(to, network.nat, &zones);
    let mut table = |name: String, target: Option<Target>, subnets: Vec<Arg<String>>| {
        let routes = target.map(|target| Route { destination: ANYWHERE.into(), target }).into_iter().collect();
        to.add(name, &ORIGIN, &RouteTable { vpc_id: id(&vpc), routes, subnets, tags: Tags::new() })
    };
    table("public".to_owned(), Some(Target::InternetGateway(id(&gateway))), subnet_ids(Tier::Public, &zones));
    let mut private = Vec::new();
    for (at, zone) in zones.iter().enumerate() {
        let nat = nats.get(at).or(nats.first()).map(|nat| Target::NatGateway(id(nat)));
        let subnet = Address::new("subnet", format!("private-{}", letter(zone)));
        private.push(table(format!("private-{}", letter(zone)), nat, vec![id(&subnet)]));
    }
    table("data".to_owned(), None, subnet_ids(Tier::Data, &zones));
    connections::expand(to, &network, &private);
}

/// The gateways through which private subnets reach out, in the order of the zones.
fn nats(to: &mut Expansion, nat: Nat, zones: &[String]) -> Vec<Address> {
    let zones = match nat {
        Nat::None => &zones[..0],
        Nat::Single => &zones[..1.min(zones.len())],
        Nat::PerZone => zones,
    };
    let mut gateways = Vec::new();
    for zone in zones {
        let letter = letter(zone);
        let address = to.add(format!("nat-{letter}"), &ORIGIN, &ElasticIp { tags: Tags::new() });
        let gateway = NatGateway {
            subnet_id: id(&Address::new("subnet", format!("public-{letter}"))),
            allocation_id: Some(id(&address)),
            connectivity: Connectivity::Public,
            tags: Tags::new(),
        };
        gateways.push(to.add(letter, &ORIGIN, &gateway));
    }
    gateways
}

/// The names of the zones to use. Those that the region lacks are reported.
fn zones(to: &mut Expansion, network: &Network) -> Vec<String> {
    let region = to.file.region.clone();
    let there = to.facts.zones.clone();
    let list = |zones: &[String]| zones.join(", ");
    match &network.zones {
        Zones::Count(count) => {
            let count = usize::from(*count);
            let zones = there.unwrap_or_else(|| ('a'..='f').map(|letter| format!("{region}{letter}")).collect());
            if zones.len() < count {
                let message = format!("{region} has {} zones for this account, not {count}", zones.len());
                to.wrong(&["network", "zones"], message, Some(format!("it has {}", list(&zones))));
            }
            zones.into_iter().take(count).collect()
        }
        Zones::Named(names) => {
            let full = |name: &str| if name.len() == 1 { format!("{region}{name}") } else { name.to_owned() };
            let zones: Vec<String> = names.iter().map(|zone| full(&zone.0)).collect();
            for (at, zone) in zones.iter().enumerate() {
                if let Some(there) = &there
                    && !there.contains(zone)
                {
                    let message = format!("{region} has no zone {zone} for this account");
                    to.wrong(&["network", "zones", &at.to_string()], message, Some(format!("it has {}", list(there))));
                }
            }
            zones
        }
    }
}

fn letter(zone: &str) -> &str {
    &zone[zone.len().saturating_sub(1)..]
}

fn id(of: &Address) -> Arg<String> {
    Arg::output(of, "id")
}

fn subnet_ids(tier: Tier, zones: &[String]) -> Vec<Arg<String>> {
    zones.iter().map(|zone| id(&Address::new("subnet", format!("{}-{}", tier.name(), letter(zone))))).collect()
}

impl Expansion<'_> {
    /// The VPC, for a part of the file that stands in it. Without one, that is reported.
    pub(super) fn vpc(&mut self, origin: &[&str]) -> Arg<String> {
        if self.file.network.is_none() {
            let message = format!("`{}` needs a network", origin.join("."));
            self.wrong(origin, message, Some("add `network: { cidr: 10.0.0.0/16, zones: 3 }`".to_owned()));
            self.broken.insert(Address::new("vpc", "main"));
        }
        id(&Address::new("vpc", "main"))
    }

    /// The subnets of a tier.
    pub(super) fn subnets(&mut self, tier: Tier) -> Vec<Arg<String>> {
        let Some(network) = self.file.network.clone() else { return Vec::new() };
        let wrong = self.wrong.len();
        let zones = zones(self, &network);
        // What is wrong with the zones has been reported once, for the network itself.
        self.wrong.truncate(wrong);
        subnet_ids(tier, &zones)
    }
}
