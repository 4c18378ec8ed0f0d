//! Who may connect to whom.

use super::{Context, Hit, Rule, Severity};
use crate::address::Address;
use crate::desired::Resource;
use crate::kinds::security_group::{self, Peer, Ports, Protocol, SecurityGroup};
use crate::reach::{self, End, speaks_of};
use crate::value::Arg;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "all_ports",
        severity: Severity::Error,
        what: "Everyone may connect to every port",
        why: "whatever listens on any port, also by mistake, is open to the internet, where it is found within minutes",
        remedy: "name the ports, and who may connect to each",
        find: all_ports,
    },
    Rule {
        code: "open_ssh",
        severity: Severity::Error,
        what: "Everyone may connect to a port of remote administration: 22 (SSH) or 3389 (RDP)",
        why: "these ports are tried with stolen and guessed passwords all day long",
        remedy: "open the port to your own addresses only, or close it and use SSM sessions, which need no open port",
        find: open_ssh,
    },
    Rule {
        code: "open_database",
        severity: Severity::Error,
        what: "Everyone may connect to the port of a database, cache or search engine",
        why: "a database on the internet is one weak password or one flaw away from being read, or held to ransom",
        remedy: "open the port to the security groups of the services that use it",
        find: open_database,
    },
    Rule {
        code: "open_to_world",
        severity: Severity::Warning,
        what: "Everyone may connect to a port other than 80 and 443 of something that is no load balancer",
        why: "traffic that goes past the load balancer goes past its TLS, its health checks and its web firewall",
        remedy: "open the port to the load balancer's security group, or to the addresses that need it",
        find: open_to_world,
    },
    Rule {
        code: "open_egress",
        severity: Severity::Warning,
        what: "A firewall lets everything out to everywhere",
        why: "whoever breaks in can then send out what they find, by any way they like",
        remedy: "name the ports: mostly 443 to everywhere, and each database by its security group",
        find: open_egress,
    },
    Rule {
        code: "database_reaches_out",
        severity: Severity::Warning,
        what: "The firewall of a database or a cache lets it connect to others",
        why: "a database answers and never calls; what it may reach is a way out for data",
        remedy: "take all `egress` rules out of this group: answers need none",
        find: database_reaches_out,
    },
    Rule {
        code: "one_sided_rule",
        severity: Severity::Warning,
        what: "A rule lets traffic out to a group that does not let it in, or in from a group that does not let it out",
        why: "the connection is refused all the same, and times out without a word",
        remedy: "add the rule of the other side, or take this one out",
        find: one_sided_rule,
    },
];

const ADMINISTRATION: &[(u16, &str)] = &[(22, "SSH"), (3389, "RDP")];
const DATABASES: &[(u16, &str)] = &[
    (1433, "SQL Server"),
    (1521, "Oracle"),
    (2379, "etcd"),
    (3306, "MySQL"),
    (5432, "PostgreSQL"),
    (6379, "Redis"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (9200, "Elasticsearch"),
    (11211, "memcached"),
    (27017, "MongoDB"),
];

/// A rule that lets everyone in to some ports of TCP or UDP.
struct Open<'a> {
    group: &'a Resource,
    at: usize,
    ports: Ports,
    protocol: Protocol,
    peer: String,
}

impl Open<'_> {
    fn is_everything(&self) -> bool {
        self.protocol == Protocol::All || (self.ports.from <= 1 && self.ports.to == u16::MAX)
    }

    fn holds(&self, port: u16) -> bool {
        !self.is_everything() && (self.ports.from..=self.ports.to).contains(&port)
    }

    fn hit(&self, what: &str) -> Hit {
        let message = format!("{what} is open to everyone ({})", self.peer);
        Hit::new(self.group, &format!("ingress.{}", self.at), message)
    }
}

fn everyone(peer: &Peer) -> Option<&str> {
    match peer {
        Peer::Cidr(Arg::Known(range)) => range.parse().is_ok_and(reach::is_world).then_some(range),
        _ => None,
    }
}

fn open<'a>(context: &Context<'a>) -> Vec<Open<'a>> {
    let mut open = Vec::new();
    for (group, spec) in context.each::<SecurityGroup>() {
        for (at, rule) in spec.ingress.iter().enumerate() {
            let Some(peer) = everyone(&rule.peer) else { continue };
            if matches!(rule.protocol, Protocol::Tcp | Protocol::Udp | Protocol::All) {
                let (ports, protocol) = (reach::ports(rule), rule.protocol);
                open.push(Open { group, at, ports, protocol, peer: peer.to_owned() });
            }
        }
    }
    open
}

fn all_ports(context: &Context) -> Vec<Hit> {
    open(context).iter().filter(|open| open.is_everything()).map(|open| open.hit("every port")).collect()
}

fn named(context: &Context, ports: &[(u16, &str)]) -> Vec<Hit> {
    let hit = |open: Open| {
        let (port, name) = ports.iter().find(|(port, _)| open.holds(*port))?;
        Some(open.hit(&format!("port {port} ({name})")))
    };
    open(context).into_iter().filter_map(hit).collect()
}

fn open_ssh(context: &Context) -> Vec<Hit> {
    named(context, ADMINISTRATION)
}

fn open_database(context: &Context) -> Vec<Hit> {
    named(context, DATABASES)
}

fn open_to_world(context: &Context) -> Vec<Hit> {
    let usual = |open: &Open| {
        let known = ADMINISTRATION.iter().chain(DATABASES).any(|(port, _)| open.holds(*port));
        let web = open.ports.from == open.ports.to && matches!(open.ports.from, 80 | 443);
        known || web || open.is_everything()
    };
    let balancer = |open: &Open| {
        let group = &open.group.address;
        context.all("load_balancer").any(|one| stands_in(one, group))
    };
    let left = open(context).into_iter().filter(|open| !usual(open) && !balancer(open));
    left.map(|open| open.hit(&format!("port {}", open.ports))).collect()
}

fn open_egress(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (group, spec) in context.each::<SecurityGroup>() {
        for (at, rule) in spec.egress.iter().enumerate() {
            if rule.protocol == Protocol::All && everyone(&rule.peer).is_some() && !guards_data(context, &group.address)
            {
                hits.push(Hit::new(group, &format!("egress.{at}"), "everything may go out, to everywhere"));
            }
        }
    }
    hits
}

fn stands_in(resource: &Resource, group: &Address) -> bool {
    resource.fields.get("security_groups").is_some_and(|groups| speaks_of(groups, group))
}

fn guards_data(context: &Context, group: &Address) -> bool {
    let mut data = context.all("db_instance").chain(context.all("replication_group"));
    data.any(|resource| stands_in(resource, group))
}

fn database_reaches_out(context: &Context) -> Vec<Hit> {
    let groups = context.each::<SecurityGroup>().filter(|(group, _)| guards_data(context, &group.address));
    let open = groups.filter(|(_, spec)| !spec.egress.is_empty());
    open.map(|(group, _)| Hit::new(group, "egress", "the database's firewall lets it connect to others")).collect()
}

fn one_sided_rule(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, spec) in context.each::<SecurityGroup>() {
        let here = End::Group(resource.address.clone());
        for (field, rules) in [("egress", &spec.egress), ("ingress", &spec.ingress)] {
            for (at, rule) in rules.iter().enumerate() {
                let Peer::SecurityGroup(peer) = &rule.peer else { continue };
                let Some(other) = reach::referred(peer).filter(|other| context.firewalls.group(other).is_some()) else {
                    continue;
                };
                let there = End::Group(other.clone());
                if matches!(rule.protocol, Protocol::Icmp | Protocol::Icmpv6 | Protocol::Number(_)) {
                    continue;
                }
                let out = field == "egress";
                let (from, to) = if out { (&here, &there) } else { (&there, &here) };
                let met = context.firewalls.passages(from, to).into_iter().any(|passage| {
                    let mine: Option<&security_group::Rule> = if out { passage.out } else { passage.into };
                    mine == Some(rule)
                });
                if !met {
                    let message = if out {
                        format!("{other} does not let in what this lets out to it ({rule})")
                    } else {
                        format!("{other} does not let out what this lets in from it ({rule})")
                    };
                    hits.push(Hit::new(resource, &format!("{field}.{at}"), message));
                }
            }
        }
    }
    hits
}
