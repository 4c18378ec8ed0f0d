//! `caches`: a replication group each, with its firewall, subnets and parameters.

use super::Expansion;
use crate::address::Address;
use crate::environment::caches::{Cache, EVICTION, PORT};
use crate::environment::network::Tier;
use crate::environment::types::Scalar;
use crate::kinds::cache_parameter_group::CacheParameterGroup;
use crate::kinds::cache_subnet_group::CacheSubnetGroup;
use crate::kinds::replication_group::{self, ReplicationGroup};
use crate::kinds::security_group::SecurityGroup;
use crate::tags::Tags;
use crate::value::Arg;

pub(super) fn expand(to: &mut Expansion) {
    for (name, cache) in &to.file.caches {
        let firewall = firewall(to, name);
        let subnets = subnets(to, name, cache);
        let parameters = parameters(to, name, cache);
        let spec = ReplicationGroup {
            name: None,
            description: format!("Cache {name}"),
            engine: cache.engine.name().to_owned(),
            engine_version: cache.version(),
            node_type: cache.node.clone(),
            replicas: cache.replicas,
            automatic_failover: cache.replicas > 0,
            multi_az: cache.replicas > 0,
            subnet_group_name: Arg::output(&subnets, "name"),
            parameter_group_name: Some(Arg::output(&parameters, "name")),
            security_groups: vec![Arg::output(&firewall, "id")],
            encrypted: true,
            kms_key_arn: to.main_key(),
            transit_encryption: true,
            snapshot_retention_days: u16::try_from(cache.snapshots.keep.days()).unwrap_or(u16::MAX),
            snapshot_window: cache.snapshots.window.map(|window| window.to_string()),
            maintenance_window: cache.maintenance.map(|window| window.to_string()),
            auto_minor_version_upgrade: true,
            final_snapshot: true,
            tags: Tags::new(),
        };
        to.add(name, &["caches", name], &spec);
    }
}

/// In: the services that use it. Out: nothing.
fn firewall(to: &mut Expansion, name: &str) -> Address {
    let origin = ["caches", name];
    let group = SecurityGroup {
        vpc_id: to.vpc(&origin),
        name: None,
        description: format!("Cache {name}"),
        ingress: to.users_of("caches", name, PORT),
        egress: Vec::new(),
        exclusive: false,
        tags: Tags::new(),
    };
    to.add(format!("cache-{name}"), &origin, &group)
}

fn subnets(to: &mut Expansion, name: &str, cache: &Cache) -> Address {
    let origin = ["caches", name];
    let subnets = to.subnets(Tier::Data);
    if subnets.len() == 1 && cache.replicas > 0 {
        let help = "let `network.zones` be 2 or more, or leave `replicas` out".to_owned();
        to.wrong(&origin, "replicas stand in another zone than the node, and the network has one zone", Some(help));
    }
    let group = CacheSubnetGroup { name: None, description: format!("Cache {name}"), subnets, tags: Tags::new() };
    to.add(name, &origin, &group)
}

fn parameters(to: &mut Expansion, name: &str, cache: &Cache) -> Address {
    let given = cache.parameters.iter().map(|(name, value)| (name.clone(), setting(value)));
    let group = CacheParameterGroup {
        name: None,
        family: replication_group::family(cache.engine.name(), &cache.version()),
        description: format!("Cache {name}"),
        parameters: given.chain([(EVICTION.to_owned(), cache.evict.name().to_owned())]).collect(),
        tags: Tags::new(),
    };
    to.add(name, &["caches", name], &group)
}

/// The engines write switches as yes and no.
fn setting(value: &Scalar) -> String {
    match value {
        Scalar::Flag(on) => if *on { "yes" } else { "no" }.to_owned(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
    }
}
