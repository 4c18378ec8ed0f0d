//! One rule of a security group: its normal form, how AWS writes it, and the changes from live rules to wanted ones.

use std::borrow::Cow;
use std::fmt;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroupRule, UserIdGroupPair};
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::address::Identity;
use crate::kind::{Problem, Result};
use crate::kinds::ec2;
use crate::tags::{self, Tags};
use crate::value::{Arg, Unresolved};

/// What may come in, or go out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub protocol: Protocol,
    /// One port or a range of ports of tcp or udp. Absent means all ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
    /// The type of icmp or icmpv6. Absent means all types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// The code within `icmp_type`. Absent means all codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// Who is at the other end.
    pub peer: Peer,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Rule {
    /// One TCP port.
    #[must_use]
    pub fn tcp(port: u16, peer: Peer, description: &str) -> Self {
        let (protocol, ports) = (Protocol::Tcp, Some(port.into()));
        Self { protocol, ports, icmp_type: None, icmp_code: None, peer, description: description.to_owned() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Icmpv6,
    All,
    /// Another protocol, by its IANA number.
    Number(u8),
}

/// The other end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// A range of IPv4 or IPv6 addresses.
    Cidr(Arg<String>),
    /// What is in a security group, by its id, or by `ACCOUNT/ID` where it is in a peered VPC of another account.
    SecurityGroup(Arg<String>),
    /// The addresses of a prefix list, by its id.
    PrefixList(Arg<String>),
}

/// Ports from and to, both included: `443`, or `3000-3999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    pub from: u16,
    pub to: u16,
}

impl Ports {
    const ALL: Self = Self { from: 0, to: u16::MAX };
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self { from: port, to: port }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { from, to } if from == to => write!(f, "{from}"),
            Self { from, to } => write!(f, "{from}-{to}"),
        }
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.from == self.to { serializer.serialize_u16(self.from) } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Ports;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 0 to 65535, or a range of ports as in 3000-3999")
            }

            fn visit_u64<E: de::Error>(self, port: u64) -> Result<Ports, E> {
                let port = u16::try_from(port);
                port.map(Ports::from).map_err(|_| E::custom("a port is a number from 0 to 65535"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ports, E> {
                let (from, to) = text.split_once('-').unwrap_or((text, text));
                match (from.trim().parse(), to.trim().parse()) {
                    (Ok(from), Ok(to)) if from <= to => Ok(Ports { from, to }),
                    _ => Err(E::custom(format!("`{text}` is no port and no range of ports, as in 443 or 3000-3999"))),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Ports {
    fn schema_name() -> Cow<'static, str> {
        "Ports".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One port, or a range of ports as in 3000-3999.",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65535 },
                { "type": "string", "pattern": "^[0-9]{1,5}( *- *[0-9]{1,5})?$" },
            ],
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::All => f.write_str("everything")?,
            Protocol::Number(number) => write!(f, "protocol {number}")?,
            named => f.write_str(&name(named))?,
        }
        if let Some(ports) = self.ports {
            write!(f, " {ports}")?;
        }
        if let Some(kind) = self.icmp_type {
            write!(f, " type {kind}")?;
        }
        let (Peer::Cidr(peer) | Peer::SecurityGroup(peer) | Peer::PrefixList(peer)) = &self.peer;
        match peer {
            Arg::Known(peer) => write!(f, ", peer {peer}"),
            Arg::Reference(peer) => write!(f, ", peer {peer}"),
        }
    }
}

fn name(protocol: Protocol) -> Cow<'static, str> {
    match protocol {
        Protocol::Tcp => "tcp".into(),
        Protocol::Udp => "udp".into(),
        Protocol::Icmp => "icmp".into(),
        Protocol::Icmpv6 => "icmpv6".into(),
        Protocol::All => "-1".into(),
        Protocol::Number(number) => number.to_string().into(),
    }
}

fn protocol(name: &str) -> Option<Protocol> {
    Some(match name {
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "icmp" | "1" => Protocol::Icmp,
        "icmpv6" | "58" => Protocol::Icmpv6,
        "-1" => Protocol::All,
        number => Protocol::Number(number.parse().ok()?),
    })
}

impl Rule {
    /// Everything, to or from one range.
    pub fn everything(range: &str) -> Self {
        let peer = Peer::Cidr(range.into());
        Self {
            protocol: Protocol::All,
            ports: None,
            icmp_type: None,
            icmp_code: None,
            peer,
            description: String::new(),
        }
    }

    /// What AWS adds to the egress of each new group: everything, to everywhere.
    pub fn is_implicit(&self) -> bool {
        let everywhere = |range: &str| self.same(&Self::everything(range));
        everywhere("0.0.0.0/0") || everywhere("::/0")
    }

    pub fn normalize(&mut self) {
        if let Protocol::Number(number) = self.protocol
            && let Some(named) = protocol(&number.to_string())
        {
            self.protocol = named;
        }
        if self.ports == Some(Ports::ALL) {
            self.ports = None;
        }
        if let Peer::Cidr(range) = &mut self.peer {
            ec2::canonical_range(range);
        }
    }

    /// Whether AWS holds the two for one rule. Their descriptions may differ.
    pub fn same(&self, other: &Self) -> bool {
        let key = |rule: &Self| (rule.protocol, rule.ports, rule.icmp_type, rule.icmp_code);
        key(self) == key(other) && self.peer == other.peer
    }

    pub fn check(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: String, help: &str| {
            problems.push(Problem::new(&format!("{path}.{field}"), message).help(help));
        };
        let mut normal = self.clone();
        normal.normalize();
        if self.ports.is_some() && !matches!(normal.protocol, Protocol::Tcp | Protocol::Udp) {
            problem("ports", "only tcp and udp have ports".into(), "remove `ports`, or name tcp or udp");
        }
        let icmp = matches!(normal.protocol, Protocol::Icmp | Protocol::Icmpv6);
        if self.icmp_type.is_some() && !icmp {
            problem("icmp_type", "only icmp and icmpv6 have types".into(), "remove `icmp_type`");
        }
        if self.icmp_code.is_some() && self.icmp_type.is_none() {
            problem("icmp_code", "a code belongs to a type".into(), "name the type in `icmp_type`");
        }
        if let Peer::Cidr(Arg::Known(range)) = &self.peer
            && range.parse::<IpNet>().is_err()
        {
            let help = "write a range with its prefix length, as in 10.0.0.0/16, or 203.0.113.7/32 for one address";
            problem("peer.cidr", format!("`{range}` is not a range of addresses"), help);
        }
        if !ec2::is_description(&self.description) {
            problem("description", ec2::NOT_A_DESCRIPTION.into(), ec2::DESCRIPTION_HELP);
        }
        problems
    }

    /// The rule as AWS takes it, without a description where it has none.
    pub fn permission(&self) -> Result<IpPermission, Unresolved> {
        let (from, to) = match (self.protocol, self.ports) {
            (Protocol::Tcp | Protocol::Udp, ports) => {
                let Ports { from, to } = ports.unwrap_or(Ports::ALL);
                (Some(from.into()), Some(to.into()))
            }
            (Protocol::Icmp | Protocol::Icmpv6, _) => {
                let or_all = |number: Option<u8>| Some(number.map_or(-1, i32::from));
                (or_all(self.icmp_type), or_all(self.icmp_code))
            }
            _ => (None, None),
        };
        let rule = IpPermission::builder().ip_protocol(name(self.protocol)).set_from_port(from).set_to_port(to);
        let text = Some(self.description.clone()).filter(|text| !text.is_empty());
        let rule = match &self.peer {
            Peer::Cidr(range) if range.get()?.contains(':') => {
                rule.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(range.get()?).set_description(text).build())
            }
            Peer::Cidr(range) => rule.ip_ranges(IpRange::builder().cidr_ip(range.get()?).set_description(text).build()),
            Peer::SecurityGroup(group) => {
                let pair = UserIdGroupPair::builder().set_description(text);
                rule.user_id_group_pairs(match group.get()?.split_once('/') {
                    Some((account, id)) => pair.user_id(account).group_id(id).build(),
                    None => pair.group_id(group.get()?).build(),
                })
            }
            Peer::PrefixList(list) => {
                rule.prefix_list_ids(PrefixListId::builder().prefix_list_id(list.get()?).set_description(text).build())
            }
        };
        Ok(rule.build())
    }
}

/// A rule that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub id: String,
    pub egress: bool,
    pub rule: Rule,
    pub tags: Tags,
}

impl Found {
    /// `None` where AWS answers with something that no rule here can say.
    pub fn read(read: &SecurityGroupRule) -> Option<Self> {
        let protocol = protocol(read.ip_protocol()?)?;
        let port = |port: Option<i32>| u16::try_from(port?).ok();
        let number = |number: Option<i32>| u8::try_from(number?).ok();
        let ports = match (protocol, port(read.from_port()), port(read.to_port())) {
            (Protocol::Tcp | Protocol::Udp, Some(from), Some(to)) => Some(Ports { from, to }),
            _ => None,
        };
        let icmp = matches!(protocol, Protocol::Icmp | Protocol::Icmpv6);
        let range = read.cidr_ipv4().or(read.cidr_ipv6()).map(|range| Peer::Cidr(range.into()));
        let group = || {
            let group = read.referenced_group_info()?;
            let (id, account) = (group.group_id()?, group.user_id());
            let foreign = account.filter(|account| Some(*account) != read.group_owner_id());
            Some(Peer::SecurityGroup(foreign.map_or_else(|| id.to_owned(), |account| format!("{account}/{id}")).into()))
        };
        let peer = range.or_else(group).or_else(|| Some(Peer::PrefixList(read.prefix_list_id()?.into())))?;
        let mut rule = Rule {
            protocol,
            ports,
            icmp_type: number(read.from_port()).filter(|_| icmp),
            icmp_code: number(read.to_port()).filter(|_| icmp),
            peer,
            description: read.description().unwrap_or_default().to_owned(),
        };
        rule.normalize();
        let id = read.security_group_rule_id()?.to_owned();
        Some(Self { id, egress: read.is_egress().unwrap_or_default(), rule, tags: ec2::read_tags(read.tags()) })
    }

    /// Whether the rule carries the identity of its group.
    fn is_tagged(&self, group: &Identity) -> bool {
        tags::decode(&self.tags).is_some_and(|tagged| tagged.identity == *group)
    }

    /// Whether the rule carries no identity at all.
    pub fn is_nobodys(&self) -> bool {
        tags::decode(&self.tags).is_none()
    }

    /// Whether the rule is ours to revoke: made by us, or added by AWS to each new group.
    pub fn is_ours(&self, group: &Identity) -> bool {
        self.is_tagged(group) || self.egress && self.rule.is_implicit() && tags::decode(&self.tags).is_none()
    }
}

/// What brings one direction of a group to its wanted rules, in the order in which it is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub authorise: Vec<Rule>,
    /// The ids of rules of others that say the same as wanted ones, and become ours by a tag.
    pub adopt: Vec<String>,
    /// The ids of rules, and their new descriptions.
    pub describe: Vec<(String, String)>,
    /// The ids of rules to revoke.
    pub revoke: Vec<String>,
}

/// Compares the live rules of one direction of `group` with the wanted ones, both in normal form.
pub fn changes(live: &[Found], wanted: &[Rule], group: &Identity, exclusive: bool) -> Changes {
    let mut changes = Changes::default();
    for rule in wanted {
        let Some(found) = live.iter().find(|found| found.rule.same(rule)) else {
            changes.authorise.push(rule.clone());
            continue;
        };
        if !found.is_tagged(group) {
            changes.adopt.push(found.id.clone());
        }
        if found.rule.description != rule.description {
            changes.describe.push((found.id.clone(), rule.description.clone()));
        }
    }
    let undeclared = live.iter().filter(|found| !wanted.iter().any(|rule| found.rule.same(rule)));
    let ours = undeclared.filter(|found| exclusive || found.is_ours(group));
    changes.revoke = ours.map(|found| found.id.clone()).collect();
    changes
}

#[cfg(test)]
mod tests;
