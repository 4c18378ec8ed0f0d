//! Who can reach whom through the firewalls: [`Firewalls`] over the security groups of an environment. Pure.
//!
//! Only firewalls are looked at, not routes: what a group lets in may still have no way there. A connection between two
//! groups needs both, a rule that lets it out of the one and a rule that lets it into the other; answers need none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::{IpNet, Ipv4Net};

use crate::address::Address;
use crate::desired::Desired;
use crate::kinds::security_group::{Peer, Ports, Protocol, Rule, SecurityGroup};
use crate::kinds::subnet::Subnet;
use crate::kinds::vpc::Vpc;
use crate::value::{self, Arg, Value};

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// What is in a security group of the environment.
    Group(Address),
    /// Everyone.
    Internet,
    /// A range of addresses outside of the environment.
    Range(IpNet),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(address) => address.fmt(f),
            Self::Internet => f.pad("internet"),
            Self::Range(range) => range.fmt(f),
        }
    }
}

/// Rules by which a connection is possible, and on which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage<'a> {
    pub protocol: Protocol,
    pub ports: Ports,
    /// The rule that lets it out, where the near end is a group.
    pub out: Option<&'a Rule>,
    /// The rule that lets it in, where the far end is a group.
    pub into: Option<&'a Rule>,
}

/// Whether a connection is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    Yes(Passage<'a>),
    /// And why not.
    No(String),
}

impl Reach<'_> {
    #[must_use]
    pub fn is_possible(&self) -> bool {
        matches!(self, Self::Yes(_))
    }
}

/// The security groups of an environment, and the addresses that stand behind each.
#[derive(Clone, Debug, Default)]
pub struct Firewalls {
    groups: BTreeMap<Address, SecurityGroup>,
    /// Empty where nothing in the environment says them.
    addresses: BTreeMap<Address, Vec<IpNet>>,
}

impl Firewalls {
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        let of_kind = |kind: &'static str| desired.resources.values().filter(move |one| one.address.kind == kind);
        let groups: BTreeMap<Address, SecurityGroup> = of_kind("security_group")
            .filter_map(|group| Some((group.address.clone(), value::from_fields(&group.fields).ok()?)))
            .collect();
        let places = Places::of(desired);
        let addresses = groups.iter().map(|(address, group)| (address.clone(), places.behind(desired, address, group)));
        Self { addresses: addresses.collect(), groups }
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&Address, &SecurityGroup)> {
        self.groups.iter()
    }

    #[must_use]
    pub fn group(&self, address: &Address) -> Option<&SecurityGroup> {
        self.groups.get(address)
    }

    /// Whether a TCP connection to a port is possible: by which rules, or why not.
    #[must_use]
    pub fn can_reach(&self, from: &End, to: &End, port: u16) -> Reach<'_> {
        let tcp = |passage: &Passage| {
            matches!(passage.protocol, Protocol::Tcp | Protocol::All) && within(port, passage.ports)
        };
        if let Some(passage) = self.passages(from, to).into_iter().find(tcp) {
            return Reach::Yes(passage);
        }
        let opens = |rules: Vec<&Rule>| {
            let rule =
                |rule: &&Rule| matches!(rule.protocol, Protocol::Tcp | Protocol::All) && within(port, ports(rule));
            rules.iter().any(rule)
        };
        Reach::No(match (opens_of(from), self.leaving(from, to).map(opens), self.entering(from, to).map(opens)) {
            (_, Some(false), _) => format!("{from} lets nothing out to {to} on {port}"),
            (_, _, Some(false)) => format!("{to} lets nothing in from {from} on {port}"),
            (false, None, None) => format!("neither {from} nor {to} is a firewall of this environment"),
            _ => format!("no two rules of {from} and {to} meet on {port}"),
        })
    }

    /// All ways from one end to the other.
    #[must_use]
    pub fn passages(&self, from: &End, to: &End) -> Vec<Passage<'_>> {
        let plain = |rule: &&Rule| !matches!(rule.protocol, Protocol::Icmp | Protocol::Icmpv6 | Protocol::Number(_));
        let one = |out: Option<&'_ Rule>, into: Option<&'_ Rule>| {
            let known = out.or(into)?;
            let other = into.unwrap_or(known);
            let protocol = both_protocols(known.protocol, other.protocol)?;
            Some((protocol, both_ports(ports(known), ports(other))?))
        };
        let passage = |out, into| one(out, into).map(|(protocol, ports)| Passage { protocol, ports, out, into });
        match (self.leaving(from, to), self.entering(from, to)) {
            (None, None) => Vec::new(),
            (Some(out), None) => out.into_iter().filter(plain).filter_map(|rule| passage(Some(rule), None)).collect(),
            (None, Some(into)) => into.into_iter().filter(plain).filter_map(|rule| passage(None, Some(rule))).collect(),
            (Some(out), Some(into)) => {
                let pairs = out.into_iter().filter(plain).flat_map(|out| into.iter().map(move |into| (out, *into)));
                pairs.filter(|(_, into)| plain(into)).filter_map(|(out, into)| passage(Some(out), Some(into))).collect()
            }
        }
    }

    /// What is open from one end to the other, in words: `tcp 443`.
    #[must_use]
    pub fn open(&self, from: &End, to: &End) -> BTreeSet<String> {
        let words = |passage: Passage| match (passage.protocol, passage.ports) {
            (Protocol::All, _) => "everything".to_owned(),
            (protocol, Ports { from: 0, to: u16::MAX }) => format!("{} all ports", word(protocol)),
            (protocol, ports) => format!("{} {ports}", word(protocol)),
        };
        self.passages(from, to).into_iter().map(words).collect()
    }

    /// The rules of the near end that let something out to the far end; nothing where the near end has no firewall here.
    fn leaving(&self, from: &End, to: &End) -> Option<Vec<&Rule>> {
        let End::Group(address) = from else { return None };
        Some(self.rules_for(&self.groups.get(address)?.egress, to))
    }

    fn entering(&self, from: &End, to: &End) -> Option<Vec<&Rule>> {
        let End::Group(address) = to else { return None };
        Some(self.rules_for(&self.groups.get(address)?.ingress, from))
    }

    /// Those of the rules that speak of this end.
    fn rules_for<'a>(&self, rules: &'a [Rule], end: &End) -> Vec<&'a Rule> {
        rules.iter().filter(|rule| self.is_meant(&rule.peer, end)).collect()
    }

    /// Whether the peer of a rule is this end: this group, a range that holds all of that range, or one that holds some
    /// of what is behind that group.
    fn is_meant(&self, peer: &Peer, end: &End) -> bool {
        match (peer, end) {
            (Peer::SecurityGroup(Arg::Reference(template)), End::Group(address)) => {
                template.references().any(|output| output.of == *address)
            }
            (Peer::Cidr(Arg::Known(range)), end) => {
                let Ok(range) = range.parse::<IpNet>() else { return false };
                match end {
                    End::Internet => is_world(range),
                    End::Range(asked) => range.contains(asked),
                    End::Group(address) => match self.addresses.get(address).map(Vec::as_slice) {
                        None | Some([]) => is_world(range),
                        Some(behind) => behind.iter().any(|net| range.contains(net) || net.contains(&range)),
                    },
                }
            }
            _ => false,
        }
    }
}

/// Whether an end can have rules here.
fn opens_of(end: &End) -> bool {
    matches!(end, End::Group(_))
}

/// Whether a range is so large that it is everyone: no private range is larger than a /8.
#[must_use]
pub fn is_world(range: IpNet) -> bool {
    match range {
        IpNet::V4(range) => range.prefix_len() < 8,
        IpNet::V6(range) => range.prefix_len() < 16,
    }
}

/// The ports that a rule opens.
#[must_use]
pub fn ports(rule: &Rule) -> Ports {
    rule.ports.unwrap_or(Ports { from: 0, to: u16::MAX })
}

fn within(port: u16, ports: Ports) -> bool {
    (ports.from..=ports.to).contains(&port)
}

fn word(protocol: Protocol) -> &'static str {
    if protocol == Protocol::Udp { "udp" } else { "tcp" }
}

fn both_ports(one: Ports, other: Ports) -> Option<Ports> {
    let (from, to) = (one.from.max(other.from), one.to.min(other.to));
    (from <= to).then_some(Ports { from, to })
}

fn both_protocols(one: Protocol, other: Protocol) -> Option<Protocol> {
    match (one, other) {
        (Protocol::All, other) => Some(other),
        (one, Protocol::All) => Some(one),
        (one, other) => (one == other).then_some(one),
    }
}

/// Where the ranges of networks and subnets are.
struct Places {
    vpcs: BTreeMap<Address, IpNet>,
    subnets: BTreeMap<Address, IpNet>,
    /// The subnets that the groups of databases and caches name.
    grouped: BTreeMap<Address, BTreeSet<Address>>,
}

impl Places {
    fn of(desired: &Desired) -> Self {
        let mut places = Self { vpcs: BTreeMap::new(), subnets: BTreeMap::new(), grouped: BTreeMap::new() };
        for resource in desired.resources.values() {
            let address = resource.address.clone();
            match address.kind.as_str() {
                "vpc" => {
                    if let Ok(vpc) = value::from_fields::<Vpc>(&resource.fields) {
                        places.vpcs.insert(address, net(vpc.cidr));
                    }
                }
                "subnet" => {
                    if let Ok(subnet) = value::from_fields::<Subnet>(&resource.fields) {
                        places.subnets.insert(address, net(subnet.cidr));
                    }
                }
                "db_subnet_group" | "cache_subnet_group" => {
                    let subnets = resource.fields.get("subnets").map(Value::references).unwrap_or_default();
                    places.grouped.insert(address, subnets.into_iter().map(|output| output.of.clone()).collect());
                }
                _ => {}
            }
        }
        places
    }

    /// The subnets of what is in a group; where nothing is, those of its network.
    fn behind(&self, desired: &Desired, address: &Address, group: &SecurityGroup) -> Vec<IpNet> {
        let members = desired
            .resources
            .values()
            .filter(|resource| resource.fields.get("security_groups").is_some_and(|groups| speaks_of(groups, address)));
        let mut subnets = BTreeSet::new();
        for member in members {
            for output in
                member.fields.iter().filter(|(name, _)| name.contains("subnet")).flat_map(|(_, one)| one.references())
            {
                match self.grouped.get(&output.of) {
                    Some(grouped) => subnets.extend(grouped.iter()),
                    None => drop(subnets.insert(&output.of)),
                }
            }
        }
        let nets: Vec<IpNet> = subnets.into_iter().filter_map(|subnet| self.subnets.get(subnet).copied()).collect();
        if nets.is_empty() {
            referred(&group.vpc_id).and_then(|vpc| self.vpcs.get(vpc)).copied().into_iter().collect()
        } else {
            nets
        }
    }
}

fn net(range: Ipv4Net) -> IpNet {
    IpNet::V4(range)
}

/// The resource whose output an argument is.
#[must_use]
pub fn referred(value: &Arg<String>) -> Option<&Address> {
    match value {
        Arg::Reference(template) => template.references().next().map(|output| &output.of),
        Arg::Known(_) => None,
    }
}

/// Whether a value refers to a resource.
#[must_use]
pub fn speaks_of(value: &Value, address: &Address) -> bool {
    value.references().iter().any(|output| output.of == *address)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::environment::{Facts, desired, load};

    const PRODUCTION: &str = include_str!("../environments/production.yaml");
    const PORTS: [u16; 7] = [22, 80, 443, 3000, 4000, 5432, 6379];

    fn firewalls(text: &str) -> Firewalls {
        let read = |_: &str| Ok(text.to_owned());
        let loaded = load("environments/production.yaml", &[], &read).unwrap();
        Firewalls::of(&desired(&loaded, &Facts::default()).unwrap())
    }

    fn production() -> Firewalls {
        let read = |path: &str| {
            let base = path.ends_with("base.yaml");
            let text = if base { include_str!("../environments/base.yaml") } else { PRODUCTION };
            Ok(text.to_owned())
        };
        let loaded = load("environments/production.yaml", &[], &read).unwrap();
        Firewalls::of(&desired(&loaded, &Facts::default()).unwrap())
    }

    fn end(text: &str) -> End {
        match text {
            "internet" => End::Internet,
            range if range.contains('/') => End::Range(range.parse().unwrap()),
            name => End::Group(Address::new("security_group", name)),
        }
    }

    /// The chain of the system: the internet to the load balancer, that to the containers, those to the database, and
    /// the database to nobody.
    #[test]
    fn the_firewalls_of_production() {
        let firewalls = production();
        let reach = |from: &str, to: &str, port| firewalls.can_reach(&end(from), &end(to), port).is_possible();
        for (from, to, ports) in [
            ("internet", "lb-public", &[80, 443][..]),
            ("internet", "api", &[]),
            ("internet", "web", &[]),
            ("internet", "db-main", &[]),
            ("203.0.113.0/24", "lb-public", &[80, 443]),
            ("lb-public", "api", &[3000]),
            ("lb-public", "web", &[4000]),
            ("lb-public", "db-main", &[]),
            ("lb-public", "internet", &[]),
            ("api", "db-main", &[5432]),
            ("api", "web", &[]),
            ("api", "internet", &[443]),
            ("api", "203.0.113.0/24", &[443]),
            ("web", "api", &[]),
            ("web", "db-main", &[]),
            ("web", "internet", &[443]),
            ("db-main", "api", &[]),
            ("db-main", "web", &[]),
            ("db-main", "lb-public", &[]),
            ("db-main", "internet", &[]),
            ("db-main", "10.0.0.0/16", &[]),
        ] {
            let open: Vec<u16> = PORTS.into_iter().filter(|port| reach(from, to, *port)).collect();
            assert_eq!(open, ports, "{from} to {to}");
        }
    }

    #[test]
    fn all_pairs_of_production() {
        let firewalls = production();
        let mut ends = vec![End::Internet];
        ends.extend(firewalls.groups().map(|(address, _)| End::Group(address.clone())));
        let short = |end: &End| end.to_string().replace("security_group.", "");
        let mut matrix = format!("{:<12}", "from \\ to");
        ends.iter().for_each(|to| write!(matrix, "{:<12}", short(to)).unwrap());
        for from in &ends {
            write!(matrix, "\n{:<12}", short(from)).unwrap();
            for to in &ends {
                let open = PORTS.into_iter().filter(|port| firewalls.can_reach(from, to, *port).is_possible());
                let open = open.map(|port| port.to_string()).collect::<Vec<_>>().join(",");
                write!(matrix, "{:<12}", if open.is_empty() { "-" } else { &open }).unwrap();
            }
        }
        let matrix = matrix.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(matrix, @r"
        from \ to   internet    api         db-main     endpoints   lb-public   rotate-main web
        internet    -           -           -           -           80,443      -           -
        api         443         -           5432        443         443         -           -
        db-main     -           -           -           -           -           -           -
        endpoints   -           -           -           -           -           -           -
        lb-public   -           3000        -           -           -           -           4000
        rotate-main -           -           5432        443         -           -           -
        web         443         -           -           443         443         -           -
        ");
    }

    const SMALL: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2 }
resources:
  security_group.a:
    vpc_id: "${network.vpc_id}"
    description: a
    ingress: [{ protocol: tcp, ports: 8000-8100, peer: { cidr: 198.51.100.0/24 } }]
    egress:
      - { protocol: tcp, ports: 5000-6000, peer: { cidr: 10.0.0.0/8 } }
      - { protocol: all, peer: { cidr: 192.0.2.0/24 } }
  security_group.b:
    vpc_id: "${network.vpc_id}"
    description: b
    ingress:
      - { protocol: tcp, ports: 5432-7000, peer: { security_group: "${security_group.a.id}" } }
      - { protocol: udp, ports: 5353, peer: { security_group: "${security_group.a.id}" } }
  security_group.c:
    vpc_id: "${network.vpc_id}"
    description: c
    ingress: [{ protocol: all, peer: { cidr: 10.0.0.0/16 } }]
    egress: [{ protocol: tcp, ports: 443, peer: { cidr: 172.16.0.0/12 } }]
"#;

    #[test]
    fn both_sides_must_open_the_same_port() {
        let firewalls = firewalls(SMALL);
        let open =
            |from: &str, to: &str| firewalls.open(&end(from), &end(to)).into_iter().collect::<Vec<_>>().join(" ");
        // The ports that both rules open, of the protocol that both name.
        assert_eq!(open("a", "b"), "tcp 5432-6000");
        // A range that holds the network holds what is in a group, and everything is also TCP.
        assert_eq!(open("a", "c"), "tcp 5000-6000");
        assert_eq!(open("b", "c"), "", "b lets nothing out");
        assert_eq!(open("c", "a"), "", "a range beside the network");
        assert_eq!(open("198.51.100.0/25", "a"), "tcp 8000-8100", "a part of the range");
        assert_eq!(open("198.51.0.0/16", "a"), "", "more than the range");
        assert_eq!(open("a", "192.0.2.7/32"), "everything");
        assert_eq!(open("internet", "198.51.100.0/25"), "");
    }

    #[test]
    fn what_is_shut_says_by_whom() {
        let firewalls = firewalls(SMALL);
        let why = |from: &str, to: &str, port| match firewalls.can_reach(&end(from), &end(to), port) {
            Reach::Yes(passage) => panic!("{passage:?}"),
            Reach::No(why) => why,
        };
        assert_eq!(why("b", "c", 80), "security_group.b lets nothing out to security_group.c on 80");
        assert_eq!(why("a", "b", 5000), "security_group.b lets nothing in from security_group.a on 5000");
        assert_eq!(why("internet", "a", 8000), "security_group.a lets nothing in from internet on 8000");
        assert_eq!(
            why("internet", "192.0.2.7/32", 1),
            "neither internet nor 192.0.2.7/32 is a firewall of this environment"
        );
    }
}
