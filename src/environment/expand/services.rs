//! `services`: containers on Fargate, each with its firewall, roles, logs and task definition, and, where a load balancer
//! routes to it, with two colours.

pub(super) mod native;
pub(super) mod roles;
mod routes;
mod scaling;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{Expansion, logs, tracing};
use crate::address::Address;
use crate::environment::caches;
use crate::environment::network::Tier;
use crate::environment::releases::Strategy;
use crate::environment::services::{Architecture, Service};
use crate::environment::types::Text;
use crate::kinds::ecs_cluster::{EcsCluster, Insights};
use crate::kinds::ecs_service::{self, CircuitBreaker, EcsService, Endpoint, LoadBalancer, Propagate, ServiceConnect};
use crate::kinds::log_group::LogGroup;
use crate::kinds::namespace::Namespace;
use crate::kinds::security_group::{Peer, Rule, SecurityGroup};
use crate::kinds::task_container::{Container, Log};
use crate::kinds::task_definition::{self, Owner, TaskDefinition};
use crate::tags::Tags;
use crate::value::Arg;

pub(super) const COLOURS: [&str; 2] = ["blue", "green"];

pub(super) fn expand(to: &mut Expansion) {
    if to.file.services.is_empty() && to.file.jobs.is_empty() {
        return;
    }
    let cluster = EcsCluster {
        name: None,
        container_insights: Insights::Enabled,
        capacity_providers: Vec::new(),
        tags: Tags::new(),
    };
    let section = if to.file.services.is_empty() { "jobs" } else { "services" };
    let cluster = to.add("main", &[section], &cluster);
    if to.file.services.values().any(|service| !service.calls.is_empty()) {
        let name = Some(format!("{}-{}", to.file.project, to.name));
        let description = "How services find each other".to_owned();
        to.add("main", &["services"], &Namespace { name, description, tags: Tags::new() });
    }
    for (name, service) in &to.file.services {
        let path = ["services", name.as_str()];
        let firewall = firewall(to, name, service, path);
        let logs = log_group(to, name, name, path);
        let task = task(to, name, service, &logs, path);
        let shape = Shape { cluster: &cluster, task: &task, firewall: &firewall };
        if service.strategy() == Strategy::Native {
            let groups = routes::expand(to, name, service);
            native::expand(to, name, service, &shape, groups);
        } else if service.route.is_some() {
            let groups = routes::expand(to, name, service);
            for (colour, group) in COLOURS.iter().zip(groups) {
                let spec = ecs_service(to, name, service, &shape, Some((*colour, group.clone())));
                let made = to.add(format!("{name}-{colour}"), &path, &spec);
                after_called(to, name, service);
                scaling::expand(to, name, service, &scaling::Scaled { of: &made, spec: &spec, group: Some(&group) });
            }
        } else {
            let spec = ecs_service(to, name, service, &shape, None);
            let made = to.add(name, &path, &spec);
            after_called(to, name, service);
            scaling::expand(to, name, service, &scaling::Scaled { of: &made, spec: &spec, group: None });
        }
    }
}

/// Where the output of a service goes, or of a job that has all of its own.
pub(super) fn log_group(to: &mut Expansion, name: &str, folder: &str, origin: [&str; 2]) -> Address {
    let group = logs::group(to, format!("/ecs/{}/{folder}", to.name), Some(to.file.logs.days()));
    let group = LogGroup { metric_filters: logs::filters(to, name), ..group };
    to.add(name, &origin, &group)
}

/// What all ECS services of a service share.
struct Shape<'a> {
    cluster: &'a Address,
    task: &'a Address,
    firewall: &'a Address,
}

/// In: its load balancer, and the services that call it. Out: the services that it calls, its databases and caches, and
/// HTTPS, which AWS's own services need. `name` is that of its resources, `origin` the part of the file that they come
/// from.
pub(super) fn firewall(to: &mut Expansion, name: &str, service: &Service, origin: [&str; 2]) -> Address {
    let group = |name: String| Peer::SecurityGroup(Arg::output(&Address::new("security_group", name), "id"));
    let mut ingress = Vec::new();
    if let (Some(balancer), Some(port)) = (to.balancer_of(name), service.port) {
        ingress.push(Rule::tcp(port, group(format!("lb-{balancer}")), &format!("load balancer {balancer}")));
    }
    if let Some(port) = service.port {
        let callers = to.file.services.iter().filter(|(_, other)| other.calls.contains(&name.to_owned()));
        ingress.extend(callers.map(|(caller, _)| Rule::tcp(port, group(caller.clone()), &format!("service {caller}"))));
    }
    let mut egress = to.https_egress(service.public);
    for database in to.used_by(name, "databases", to.file.databases.keys()) {
        let port = to.file.databases[&database].engine.port();
        egress.push(Rule::tcp(port, group(format!("db-{database}")), &format!("database {database}")));
    }
    for callee in service.calls.iter().collect::<BTreeSet<_>>() {
        let port = to.file.services.get(callee).and_then(|callee| callee.port);
        egress.extend(port.map(|port| Rule::tcp(port, group(callee.clone()), &format!("service {callee}"))));
    }
    for cache in to.used_by(name, "caches", to.file.caches.keys()) {
        egress.push(Rule::tcp(caches::PORT, group(format!("cache-{cache}")), &format!("cache {cache}")));
    }
    let kind = if origin[0] == "jobs" { "Job" } else { "Service" };
    let group = SecurityGroup {
        vpc_id: to.vpc(&origin),
        name: None,
        description: format!("{kind} {}", origin[1]),
        ingress,
        egress,
        exclusive: false,
        tags: Tags::new(),
    };
    to.add(name, &origin, &group)
}

pub(super) fn task(to: &mut Expansion, name: &str, service: &Service, logs: &Address, origin: [&str; 2]) -> Address {
    let mut container = container(to, service, logs, origin);
    // Named also where nobody calls it yet, so that a first caller changes nothing about what runs.
    if service.route.is_none() && origin[0] == "services" {
        container.port_names = service.port.into_iter().map(|port| (name.to_owned(), port)).collect();
    }
    let (execution, own) = roles::expand(to, name, service, (&container.secrets, &container.image, logs), origin);
    let collector = to.traced(service).then(|| tracing::collect(to, name, &mut container));
    let spec = TaskDefinition {
        containers: [container].into_iter().chain(collector).collect(),
        image_owner: owner(service),
        ..definition(service, [&execution, &own])
    };
    to.add(name, &origin, &spec)
}

/// The task of a service or a job, without its containers.
pub(super) fn definition(service: &Service, [execution, own]: [&Address; 2]) -> TaskDefinition {
    TaskDefinition {
        family: None,
        cpu: service.cpu,
        memory: service.memory,
        architecture: match service.architecture {
            Architecture::X86 => task_definition::Architecture::X86,
            Architecture::Arm64 => task_definition::Architecture::Arm,
        },
        execution_role_arn: Some(Arg::output(execution, "arn")),
        task_role_arn: Some(Arg::output(own, "arn")),
        containers: Vec::new(),
        volumes: BTreeSet::new(),
        ephemeral_storage_gb: service.ephemeral_storage.unwrap_or(20),
        image_owner: Owner::File,
        tags: Tags::new(),
    }
}

/// The container, named as the part of the file at `origin`.
pub(super) fn container(to: &mut Expansion, service: &Service, logs: &Address, origin: [&str; 2]) -> Container {
    let environment = variables(to, "environment", &service.environment, origin);
    let secrets = variables(to, "secrets", &service.secrets, origin);
    let image = to.text(service.image.as_str(), &[origin[0], origin[1], "image"]);
    let command = arguments(to, service.command.as_deref(), origin);
    let entrypoint = service.entrypoint.iter().flatten().map(|text| text.as_str().to_owned()).collect();
    let log = Log { group: Arg::output(logs, "name"), region: to.file.region.clone(), prefix: origin[1].to_owned() };
    Container {
        command,
        entrypoint,
        environment,
        secrets,
        ports: service.port.into_iter().collect(),
        log: Some(log),
        stop_timeout: u16::try_from(service.stop_timeout.seconds()).ok(),
        init_process: true,
        ..Container::new(origin[1], image)
    }
}

/// Environment variables with their references found.
pub(super) fn variables(
    to: &mut Expansion,
    what: &str,
    texts: &BTreeMap<String, Text>,
    [section, name]: [&str; 2],
) -> BTreeMap<String, Arg<String>> {
    let texts = texts.iter();
    texts.map(|(key, text)| (key.clone(), to.text(text.as_str(), &[section, name, what, key]))).collect()
}

/// A command's words with their references found.
pub(super) fn arguments(to: &mut Expansion, words: Option<&[Text]>, [section, name]: [&str; 2]) -> Vec<Arg<String>> {
    let words = words.into_iter().flatten().enumerate();
    words.map(|(at, text)| to.text(text.as_str(), &[section, name, "command", &at.to_string()])).collect()
}

/// Releases choose an image that has neither a tag nor a digest in the file.
pub(super) fn owner(service: &Service) -> Owner {
    if service.names_version() { Owner::File } else { Owner::Release }
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
    let count = service.scale.as_ref().map(|scale| scale.min).or(service.count).unwrap_or(1);
    let first = colour.as_ref().is_none_or(|(colour, _)| *colour == COLOURS[0]);
    let tier = if service.public { Tier::Public } else { Tier::Private };
    let coloured = colour.is_some();
    let load_balancers = colour.into_iter().map(|(_, group)| LoadBalancer {
        target_group_arn: Arg::output(&group, "arn"),
        container_name: name.to_owned(),
        container_port: service.port.unwrap_or_default(),
        shift: None,
    });
    let grace = if coloured { u32::try_from(service.grace.seconds()).unwrap_or(u32::MAX) } else { 0 };
    EcsService {
        name: None,
        cluster_arn: Arg::output(shape.cluster, "arn"),
        task_definition_arn: Arg::output(shape.task, "arn"),
        // Nothing can start before a release has named an image.
        desired_count: if pinned && first { count } else { 0 },
        owner: if coloured || !pinned { Owner::Release } else { Owner::File },
        autoscaled: service.scale.is_some(),
        subnets: to.subnets(tier),
        security_groups: vec![Arg::output(shape.firewall, "id")],
        assign_public_ip: service.public,
        load_balancers: load_balancers.collect(),
        health_check_grace_seconds: grace,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        // A failed colour stays as it is for whoever released it; a rolling deployment goes back by itself.
        circuit_breaker: CircuitBreaker { enable: true, rollback: !coloured },
        deployment_strategy: ecs_service::Strategy::Rolling,
        traffic_step: None,
        bake_minutes: 0,
        pauses: Vec::new(),
        deployment_alarms: Vec::new(),
        enable_execute_command: false,
        platform_version: None,
        propagate_tags: Propagate::Service,
        enable_ecs_managed_tags: true,
        capacity_providers: Vec::new(),
        availability_zone_rebalancing: true,
        service_connect: connect(to, name, service),
        tags: Tags::new(),
    }
}

/// Who calls a service by name finds it in the namespace; so does who only calls.
fn connect(to: &Expansion, name: &str, service: &Service) -> Option<ServiceConnect> {
    let called = to.file.services.values().any(|other| other.calls.contains(&name.to_owned()));
    let endpoint = |port: u16| Endpoint {
        port_name: name.to_owned(),
        discovery_name: name.to_owned(),
        host: name.to_owned(),
        port,
    };
    (called || !service.calls.is_empty()).then(|| ServiceConnect {
        namespace_arn: Arg::output(&Address::new("namespace", "main"), "arn"),
        services: service.port.filter(|_| called).map(endpoint).into_iter().collect(),
    })
}

/// Tasks know the names that were there when they started, so that what is called comes first, unless both call each
/// other.
fn after_called(to: &mut Expansion, name: &str, service: &Service) {
    let mut after: BTreeSet<Address> = BTreeSet::new();
    for callee in &service.calls {
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        let mut next = vec![callee];
        while let Some(one) = next.pop() {
            if seen.insert(one) {
                next.extend(to.file.services.get(one).iter().flat_map(|service| &service.calls));
            }
        }
        if !seen.iter().any(|one| *one == name) && to.file.services.contains_key(callee) {
            after.insert(Address::new("ecs_service", callee.clone()));
        }
    }
    if let Some(caller) = to.resources.last_mut() {
        caller.after = after;
    }
}

impl Expansion<'_> {
    /// What the resources of this name belong to: a service, or a job that has all of its own.
    pub(super) fn workload(&self, name: &str) -> Option<Cow<'_, Service>> {
        if let Some(service) = self.file.services.get(name) {
            return Some(Cow::Borrowed(service));
        }
        self.file.jobs.get(name.strip_prefix("job-")?)?.as_service().map(Cow::Owned)
    }

    /// The names of all workloads' resources.
    pub(super) fn workloads(&self) -> Vec<String> {
        let own = self.file.jobs.iter().filter(|(_, job)| job.image.is_some());
        self.file.services.keys().cloned().chain(own.map(|(name, _)| format!("job-{name}"))).collect()
    }

    /// Which of these entries of a section a service, or a job, connects to: those that it lists, and those that its
    /// variables speak of. What a job of a service speaks of is the service's too, whose firewall it has.
    pub(super) fn used_by<'a>(
        &self,
        name: &str,
        section: &str,
        entries: impl IntoIterator<Item = &'a String>,
    ) -> Vec<String> {
        let Some(workload) = self.workload(name) else { return Vec::new() };
        let jobs = self.file.jobs.values().filter(|job| job.service.as_deref() == Some(name));
        let texts = workload.environment.values().chain(workload.secrets.values());
        let texts: Vec<&str> = texts.chain(jobs.flat_map(|job| job.environment.values())).map(Text::as_str).collect();
        let speaks = |entry: &&String| {
            workload.egress.contains(*entry)
                || texts.iter().any(|text| text.contains(&format!("${{{section}.{entry}.")))
        };
        entries.into_iter().filter(speaks).cloned().collect()
    }

    /// Rules that let in, on this port, every service and job that connects to this entry of a section.
    pub(super) fn users_of(&self, section: &str, entry: &str, port: u16) -> Vec<Rule> {
        let entry = entry.to_owned();
        let users = self.workloads().into_iter().filter(|user| !self.used_by(user, section, [&entry]).is_empty());
        let rule = |user: String| {
            let group = Arg::output(&Address::new("security_group", user.clone()), "id");
            Rule::tcp(port, Peer::SecurityGroup(group), &user)
        };
        users.map(rule).collect()
    }

    /// Whether the requests of a service are traced.
    pub(super) fn traced(&self, service: &Service) -> bool {
        self.file.tracing.is_some() && service.tracing
    }
}
