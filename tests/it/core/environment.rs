//! Random environments: a row of small numbers says what is in one, so that an edit is another number in one place.

use infra::desired::Desired;
use serde_json::{Value, json};

use crate::executor;

/// How many numbers an environment has.
pub const SIZE: usize = 67;
/// Each is below this.
pub const RANGE: u8 = 8;

/// The kinds that there may be.
pub const KINDS: &[&str] = &[
    "db_instance",
    "db_parameter_group",
    "db_subnet_group",
    "ecs_cluster",
    "ecs_service",
    "elastic_ip",
    "internet_gateway",
    "kms_key",
    "log_group",
    "nat_gateway",
    "route_table",
    "security_group",
    "subnet",
    "task_definition",
    "vpc",
];

const NETWORKS: usize = 2;
const SUBNETS: usize = 5;
const GROUPS: usize = 4;
const SERVICES: usize = 2;

/// Reads the numbers one after the other.
struct Numbers<'a>(std::slice::Iter<'a, u8>);

impl Numbers<'_> {
    fn below(&mut self, limit: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % limit
    }

    /// True as a rule.
    fn mostly(&mut self) -> bool {
        self.below(8) < 6
    }

    fn seldom(&mut self) -> bool {
        self.below(8) == 7
    }
}

fn reference(address: &str, output: &str) -> Value {
    json!({ "${}": [{ "output": { "of": address, "name": output } }] })
}

#[derive(Default)]
struct Environment {
    resources: Vec<(String, Value)>,
    /// The subnets by their network, and their ids.
    subnets: Vec<(usize, Value)>,
    groups: Vec<(usize, Value)>,
}

/// The environment that the numbers stand for.
pub fn decode(numbers: &[u8]) -> Desired {
    let mut numbers = Numbers(numbers.iter());
    let mut made = Environment::default();
    for network in 0..NETWORKS {
        let prefix = if numbers.seldom() { 17 } else { 16 };
        let vpc = json!({ "cidr": format!("10.{network}.0.0/{prefix}"), "dns_hostnames": numbers.seldom() });
        made.add(format!("vpc.{network}"), vpc);
    }
    made.subnets(&mut numbers);
    made.groups(&mut numbers);
    made.gateways(&mut numbers);
    made.services(&mut numbers);
    made.database(&mut numbers);
    made.logs(&mut numbers);
    executor::desired(made.resources)
}

impl Environment {
    fn add(&mut self, address: String, fields: Value) {
        self.resources.push((address, fields));
    }

    /// Their addresses and ranges change hands, so that one has to make room for another.
    fn subnets(&mut self, numbers: &mut Numbers) {
        let mut taken = Vec::new();
        for subnet in 0..SUBNETS {
            let (there, network, slot) = (numbers.mostly(), numbers.below(8) / 6, numbers.below(8));
            let zone = ["a", "b"][numbers.below(8) / 5];
            if !there || taken.contains(&(network, slot)) {
                continue;
            }
            taken.push((network, slot));
            let range = format!("10.{network}.{}.0/20", slot * 16);
            let fields = json!({ "vpc_id": reference(&format!("vpc.{network}"), "id"), "cidr": range, "zone": zone });
            self.add(format!("subnet.{subnet}"), fields);
            self.subnets.push((network, reference(&format!("subnet.{subnet}"), "id")));
        }
    }

    /// Groups whose rules name each other, some with a name of their own.
    fn groups(&mut self, numbers: &mut Numbers) {
        let all: Vec<_> = (0..GROUPS).map(|_| (numbers.mostly(), numbers.below(8) / 7)).collect();
        let present = |group: usize| all[group].0;
        for (group, (there, network)) in all.iter().enumerate() {
            let (text, named) = (numbers.below(3), numbers.seldom());
            let peers = [numbers.below(GROUPS), numbers.below(GROUPS)];
            if !there {
                continue;
            }
            let rule = |peer: &usize| {
                let to = if present(*peer) {
                    json!({ "security_group": reference(&format!("security_group.{peer}"), "id") })
                } else {
                    json!({ "cidr": "10.0.0.0/8" })
                };
                json!([{ "protocol": "tcp", "ports": 3000 + peer, "peer": to }])
            };
            let mut fields =
                json!({ "vpc_id": reference(&format!("vpc.{network}"), "id"), "description": text.to_string() });
            fields["ingress"] = rule(&peers[0]);
            fields["egress"] = rule(&peers[1]);
            if named {
                fields["name"] = json!(format!("group-{}", group / 2 * 2 + text % 2));
            }
            self.add(format!("security_group.{group}"), fields);
            self.groups.push((*network, reference(&format!("security_group.{group}"), "id")));
        }
        self.distinct_names();
    }

    /// No two groups have one name: the second one has it generated.
    fn distinct_names(&mut self) {
        let mut seen = Vec::new();
        for (_, fields) in &mut self.resources {
            let Some(name) = fields.get("name").cloned() else { continue };
            if seen.contains(&name) {
                fields.as_object_mut().unwrap().remove("name");
            } else {
                seen.push(name);
            }
        }
    }

    /// A gateway that moves between networks, an address, a NAT gateway under changing names, and a table.
    fn gateways(&mut self, numbers: &mut Numbers) {
        let (gateway, network) = (numbers.below(3), numbers.below(2));
        let vpc = |network: usize| reference(&format!("vpc.{network}"), "id");
        if gateway > 0 {
            self.add(format!("internet_gateway.{gateway}"), json!({ "vpc_id": vpc(network) }));
        }
        if gateway == 2 {
            self.add("internet_gateway.other".to_owned(), json!({ "vpc_id": vpc(1 - network) }));
        }
        self.add("elastic_ip.nat".to_owned(), json!({}));
        let (nat, place, table) = (numbers.below(3), numbers.below(8), numbers.mostly());
        let mut routes = json!([]);
        if nat > 0 && !self.subnets.is_empty() {
            let subnet = self.subnets[place % self.subnets.len()].1.clone();
            self.add(
                format!("nat_gateway.{nat}"),
                json!({ "subnet_id": subnet, "allocation_id": reference("elastic_ip.nat", "id") }),
            );
            let target = json!({ "nat_gateway": reference(&format!("nat_gateway.{nat}"), "id") });
            routes = json!([{ "destination": "0.0.0.0/0", "target": target }]);
        }
        if table {
            let subnets: Vec<_> = self.subnets.iter().filter(|(of, _)| *of == 0).map(|(_, id)| id).collect();
            self.add("route_table.main".to_owned(), json!({ "vpc_id": vpc(0), "routes": routes, "subnets": subnets }));
        }
    }

    fn services(&mut self, numbers: &mut Numbers) {
        let cluster = if numbers.seldom() { "one" } else { "two" };
        self.add("ecs_cluster.main".to_owned(), json!({ "name": cluster }));
        for service in 0..SERVICES {
            let (there, image, family) = (numbers.below(8) < 4, numbers.below(3), numbers.seldom());
            let (owner, count) = (["file", "release"][numbers.below(2)], numbers.below(3));
            let (subnet, group) = (numbers.below(8), numbers.below(8));
            if !there || self.subnets.is_empty() || self.groups.is_empty() {
                continue;
            }
            let mut task = json!({ "cpu": 256, "memory": 512, "containers": [{ "name": "app", "image": format!("app:{image}") }] });
            if family {
                task["family"] = json!(format!("family-{service}"));
            }
            self.add(format!("task_definition.{service}"), task);
            let fields = json!({
                "cluster_arn": reference("ecs_cluster.main", "arn"),
                "task_definition_arn": reference(&format!("task_definition.{service}"), "arn"),
                "subnets": [self.subnets[subnet % self.subnets.len()].1],
                "security_groups": [self.groups[group % self.groups.len()].1],
                "owner": owner,
                "desired_count": count,
            });
            self.add(format!("ecs_service.{service}"), fields);
        }
    }

    fn database(&mut self, numbers: &mut Numbers) {
        let (there, name, family) = (numbers.below(8) < 4, numbers.below(2), numbers.below(2));
        let (named, user, group) = (numbers.seldom(), numbers.below(2), numbers.below(8));
        if !there || self.subnets.len() < 2 || self.groups.is_empty() {
            return;
        }
        let subnets: Vec<_> = self.subnets[..2].iter().map(|(_, id)| id).collect();
        let group_name = format!("group-{name}");
        let subnet_group = json!({ "name": group_name, "subnets": subnets });
        let mut parameters = json!({ "family": format!("postgres1{family}") });
        if named {
            parameters["name"] = json!("parameters");
        }
        let database = json!({
            "engine": "postgres", "engine_version": "15", "class": "db.t4g.micro", "storage_gb": 20,
            "master_username": format!("user{user}"),
            "subnet_group_name": reference("db_subnet_group.main", "name"),
            "parameter_group_name": reference("db_parameter_group.main", "name"),
            "security_groups": [self.groups[group % self.groups.len()].1],
        });
        self.add("db_subnet_group.main".to_owned(), subnet_group);
        self.add("db_parameter_group.main".to_owned(), parameters);
        self.add("db_instance.main".to_owned(), database);
    }

    /// A log group, encrypted with a key of our own or not.
    fn logs(&mut self, numbers: &mut Numbers) {
        let (key, there, days) = (numbers.mostly(), numbers.mostly(), [7, 14, 30][numbers.below(3)]);
        if key {
            self.add("kms_key.main".to_owned(), json!({}));
        }
        if there {
            let mut fields = json!({ "name": "/app", "retention_days": days });
            if key {
                fields["kms_key_arn"] = reference("kms_key.main", "arn");
            }
            self.add("log_group.app".to_owned(), fields);
        }
    }
}
