//! `services`: containers on Fargate, each with its firewall, roles, logs and task definition, and, where a load balancer
//! routes to it, with two colours.

mod roles;
mod routes;

use std::collections::{BTreeMap, BTreeSet};

use super::{Expansion, logs};
use crate::address::Address;
use crate::environment::network::Tier;
use crate::environment::releases::Strategy;
use crate::environment::services::{Architecture, Service};
use crate::kinds::ecs_cluster::{EcsCluster, Insights};
use crate::kinds::ecs_service::{CircuitBreaker, EcsService, LoadBalancer, Propagate};
use crate::kinds::log_group::{LogClass, LogGroup};
use crate::kinds::security_group::{Peer, Rule, SecurityGroup};
use crate::kinds::task_container::{Container, Log};
use crate::kinds::task_definition::{self, Owner, TaskDefinition};
use crate::tags::Tags;
use crate::value::Arg;

pub(super) const COLOURS: [&str; 2] = ["blue", "green"];

pub(super) fn expand(to: &mut Expansion) {
    if to.file.services.is_empty() {
        return;
    }
    let cluster = EcsCluster {
        name: None,
        container_insights: Insights::Enabled,
        capacity_providers: Vec::new(),
        tags: Tags::new(),
    };
    let cluster = to.add("main", &["services"], &cluster);
    for (name, service) in &to.file.services {
        let path = ["services", name.as_str()];
        if service.scale.is_some() {
            to.not_yet(&["services", name, "scale"], "scaling by load (use `count`)");
        }
        if service.release.strategy == Some(Strategy::Native) {
            to.not_yet(&["services", name, "release", "strategy"], "the strategy `native`");
        }
        let firewall = firewall(to, name, service);
        let group = LogGroup {
            name: Some(format!("/ecs/{}/{name}", to.name)),
            retention_days: Some(to.file.logs.days()),
            kms_key_arn: to.main_key(),
            class: LogClass::Standard,
            metric_filters: logs::filters(to, name),
            tags: Tags::new(),
        };
        let logs = to.add(name, &path, &group);
        let task = task(to, name, service, &logs);
        let shape = Shape { cluster: &cluster, task: &task, firewall: &firewall };
        if service.route.is_some() {
            let groups = routes::expand(to, name, service);
            for (colour, group) in COLOURS.iter().zip(groups) {
                let spec = ecs_service(to, name, service, &shape, Some((*colour, group)));
                to.add(format!("{name}-{colour}"), &path, &spec);
            }
        } else {
            let spec = ecs_service(to, name, service, &shape, None);
            to.add(name, &path, &spec);
        }
    }
}

/// What all ECS services of a service share.
struct Shape<'a> {
    cluster: &'a Address,
    task: &'a Address,
    firewall: &'a Address,
}

/// In: its load balancer. Out: its databases, and HTTPS, which AWS's own services need.
fn firewall(to: &mut Expansion, name: &str, service: &Service) -> Address {
    let group = |name: String| Peer::SecurityGroup(Arg::output(&Address::new("security_group", name), "id"));
    let mut ingress = Vec::new();
    if let (Some(balancer), Some(port)) = (to.balancer_of(name), service.port) {
        ingress.push(Rule::tcp(port, group(format!("lb-{balancer}")), &format!("load balancer {balancer}")));
    }
    let mut egress = vec![Rule::tcp(443, Peer::Cidr("0.0.0.0/0".into()), "AWS and the internet")];
    for database in to.databases_of(name) {
        let port = to.file.databases[&database].engine.port();
        egress.push(Rule::tcp(port, group(format!("db-{database}")), &format!("database {database}")));
    }
    let origin = ["services", name];
    let group = SecurityGroup {
        vpc_id: to.vpc(&origin),
        name: None,
        description: format!("Service {name}"),
        ingress,
        egress,
        exclusive: false,
        tags: Tags::new(),
    };
    to.add(name, &origin, &group)
}

fn task(to: &mut Expansion, name: &str, service: &Service, logs: &Address) -> Address {
    let mut texts = |what: &str, texts: &BTreeMap<String, crate::environment::types::Text>| {
        let text = |(variable, text): (&String, &crate::environment::types::Text)| {
            (variable.clone(), to.text(text.as_str(), &["services", name, what, variable]))
        };
        texts.iter().map(text).collect::<BTreeMap<String, Arg<String>>>()
    };
    let environment = texts("environment", &service.environment);
    let secrets = texts("secrets", &service.secrets);
    let image = to.text(service.image.as_str(), &["services", name, "image"]);
    let mut list = |what: &str, items: &Option<Vec<crate::environment::types::Text>>| -> Vec<Arg<String>> {
        let items = items.iter().flatten().enumerate();
        items.map(|(at, text)| to.text(text.as_str(), &["services", name, what, &at.to_string()])).collect()
    };
    let command = list("command", &service.command);
    let entrypoint = service.entrypoint.iter().flatten().map(|text| text.as_str().to_owned()).collect();
    let (execution, own) = roles::expand(to, name, service, &secrets, &image, logs);
    let container = Container {
        command,
        entrypoint,
        environment,
        secrets,
        ports: service.port.into_iter().collect(),
        log: Some(Log { group: Arg::output(logs, "name"), region: to.file.region.clone(), prefix: name.to_owned() }),
        stop_timeout: u16::try_from(service.stop_timeout.seconds()).ok(),
        init_process: true,
        ..Container::new(name, image)
    };
    let spec = TaskDefinition {
        family: None,
        cpu: service.cpu,
        memory: service.memory,
        architecture: match service.architecture {
            Architecture::X86 => task_definition::Architecture::X86,
            Architecture::Arm64 => task_definition::Architecture::Arm,
        },
        execution_role_arn: Some(Arg::output(&execution, "arn")),
        task_role_arn: Some(Arg::output(&own, "arn")),
        containers: vec![container],
        volumes: BTreeSet::new(),
        ephemeral_storage_gb: service.ephemeral_storage.unwrap_or(20),
        image_owner: owner(service),
        tags: Tags::new(),
    };
    to.add(name, &["services", name], &spec)
}

/// Releases choose an image that has neither a tag nor a digest in the file.
pub(super) fn owner(service: &Service) -> Owner {
    let last = service.image.as_str().rsplit('/').next().unwrap_or_default();
    // A reference such as `${registries.api.url}` has no tag, and may hold a colon in no place.
    let last = last.rsplit('}').next().unwrap_or_default();
    if last.contains([':', '@']) { Owner::File } else { Owner::Release }
}

/// One ECS service. Of two colours, the first one starts with the tasks; afterwards releases decide.
fn ecs_service(
    to: &mut Expansion,
    name: &str,
    service: &Service,
    shape: &Shape,
    colour: Option<(&str, Address)>,
) -> EcsService {
    let pinned = owner(service) == Owner::File;
    let count = service.count.unwrap_or(1);
    let first = colour.as_ref().is_none_or(|(colour, _)| *colour == COLOURS[0]);
    let tier = if service.public { Tier::Public } else { Tier::Private };
    let coloured = colour.is_some();
    let load_balancers = colour.into_iter().map(|(_, group)| LoadBalancer {
        target_group_arn: Arg::output(&group, "arn"),
        container_name: name.to_owned(),
        container_port: service.port.unwrap_or_default(),
    });
    let grace = if coloured { u32::try_from(service.grace.seconds()).unwrap_or(u32::MAX) } else { 0 };
    EcsService {
        name: None,
        cluster_arn: Arg::output(shape.cluster, "arn"),
        task_definition_arn: Arg::output(shape.task, "arn"),
        // Nothing can start before a release has named an image.
        desired_count: if pinned && first { count } else { 0 },
        owner: if coloured || !pinned { Owner::Release } else { Owner::File },
        autoscaled: false,
        subnets: to.subnets(tier),
        security_groups: vec![Arg::output(shape.firewall, "id")],
        assign_public_ip: service.public,
        load_balancers: load_balancers.collect(),
        health_check_grace_seconds: grace,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        // A failed colour stays as it is for whoever released it; a rolling deployment goes back by itself.
        circuit_breaker: CircuitBreaker { enable: true, rollback: !coloured },
        enable_execute_command: false,
        platform_version: None,
        propagate_tags: Propagate::Service,
        enable_ecs_managed_tags: true,
        capacity_providers: Vec::new(),
        availability_zone_rebalancing: true,
        tags: Tags::new(),
    }
}
