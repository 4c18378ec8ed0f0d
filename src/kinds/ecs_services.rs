//! Reads services: those of a cluster, one, and what each says. And the limits that AWS states for them.

use aws_sdk_ecs::types::{
    AssignPublicIp, AvailabilityZoneRebalancing, CapacityProviderStrategyItem, PropagateTags, Service as Found,
    ServiceField,
};
use futures::future::try_join_all;

use super::ecs_service::{AUTOSCALED, CircuitBreaker, EcsService, LoadBalancer, OWNER, Propagate, Provider, Strategy};
use super::task_definition::Owner;
use super::{ecs, ecs_connect, ecs_deployment, ecs_rollout};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Live, Problem, Result};
use crate::rotation::RUNS;
use crate::tags::{Tagged, Tags};
use crate::value::Arg;

/// Services that one request may describe.
const AT_ONCE: usize = 10;

/// All services of a cluster, with tags.
pub async fn services(aws: &Aws, cluster: &str) -> Result<Vec<Found>> {
    let pages = aws.ecs().list_services().cluster(cluster).max_results(100).into_paginator().items().send();
    let arns = aws.call("ecs:ListServices", pages.collect::<Result<Vec<_>, _>>()).await?;
    let reads = arns.chunks(AT_ONCE).map(async |some| {
        let request = aws.ecs().describe_services().cluster(cluster).set_services(Some(some.to_vec()));
        let answer = aws.call("ecs:DescribeServices", request.include(ServiceField::Tags).send()).await?;
        Ok::<_, Failure>(answer.services.unwrap_or_default())
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

pub async fn describe(aws: &Aws, cluster: &str, service: &str) -> Result<Found> {
    let request = aws.ecs().describe_services().cluster(cluster).services(service).include(ServiceField::Tags);
    let answer = aws.call("ecs:DescribeServices", request.send()).await?;
    let missing = || Failure::new("ecs:DescribeServices", "ServiceNotFoundException", service).class(Class::NotFound);
    answer.services.unwrap_or_default().pop().ok_or_else(missing)
}

/// The ARN of the cluster in which the service with this ARN runs.
pub fn cluster_of(service: &str) -> Option<String> {
    let (start, path) = service.split_once(":service/")?;
    let (cluster, _) = path.split_once('/')?;
    start.contains(":ecs:").then(|| format!("{start}:cluster/{cluster}"))
}

pub fn live(found: &Found, tags: &Tags, tagged: Tagged) -> Live<EcsService> {
    let name = found.service_name().unwrap_or_default();
    let network = found.network_configuration().and_then(|network| network.awsvpc_configuration());
    let provider = |item: &CapacityProviderStrategyItem| Provider {
        provider: item.capacity_provider().to_owned(),
        weight: u16::try_from(item.weight()).unwrap_or_default(),
        base: natural(item.base()),
    };
    let spec = EcsService {
        name: Some(name.to_owned()),
        cluster_arn: found.cluster_arn().unwrap_or_default().into(),
        task_definition_arn: found.task_definition().unwrap_or_default().into(),
        desired_count: natural(found.desired_count()),
        owner: if tags.contains_key(OWNER) { Owner::Release } else { Owner::File },
        autoscaled: tags.contains_key(AUTOSCALED),
        subnets: args(network.map(|network| network.subnets()).unwrap_or_default()),
        security_groups: args(network.map(|network| network.security_groups()).unwrap_or_default()),
        assign_public_ip: network.and_then(|network| network.assign_public_ip()) == Some(&AssignPublicIp::Enabled),
        load_balancers: found.load_balancers().iter().map(LoadBalancer::read).collect(),
        health_check_grace_seconds: found.health_check_grace_period_seconds().map_or(0, natural),
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        circuit_breaker: CircuitBreaker::default(),
        deployment_strategy: Strategy::Rolling,
        traffic_step: None,
        bake_minutes: 0,
        pauses: Vec::new(),
        deployment_alarms: Vec::new(),
        enable_execute_command: found.enable_execute_command(),
        platform_version: found.platform_version().map(str::to_owned),
        propagate_tags: Propagate::of(found.propagate_tags()),
        enable_ecs_managed_tags: found.enable_ecs_managed_tags(),
        capacity_providers: found.capacity_provider_strategy().iter().map(provider).collect(),
        availability_zone_rebalancing: found.availability_zone_rebalancing()
            == Some(&AvailabilityZoneRebalancing::Enabled),
        service_connect: ecs_connect::read(found),
        tags: tagged.user.clone(),
    };
    let spec = spec.read_deployment(found.deployment_configuration());
    let arn = found.service_arn().unwrap_or_default();
    let owner = spec.owner;
    let mut live = Live::new(tagged, arn, spec).output("arn", arn).output("name", name);
    let runs = tags.iter().filter(|(key, _)| key.starts_with(RUNS));
    live.outputs.extend(runs.map(|(key, version)| (key.clone(), version.clone())));
    live.health = match found.status() {
        Some("DRAINING" | "INACTIVE") => Health::Tombstone,
        // The rollout of a release is the release's to wait for.
        _ if owner == Owner::File && ecs_rollout::rolling(found) => Health::Pending,
        _ => Health::Ok,
    };
    live.notes.extend(ecs_rollout::failed(found).map(Into::into));
    live
}

impl Propagate {
    pub(super) fn sdk(self) -> PropagateTags {
        match self {
            Self::None => PropagateTags::None,
            Self::Service => PropagateTags::Service,
            Self::TaskDefinition => PropagateTags::TaskDefinition,
        }
    }

    fn of(found: Option<&PropagateTags>) -> Self {
        match found {
            Some(PropagateTags::Service) => Self::Service,
            Some(PropagateTags::TaskDefinition) => Self::TaskDefinition,
            _ => Self::None,
        }
    }
}

fn args(texts: &[String]) -> Vec<Arg<String>> {
    texts.iter().map(|text| Arg::from(text.as_str())).collect()
}

fn natural(value: i32) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

pub fn check(spec: &EcsService) -> Vec<Problem> {
    let mut problems: Vec<_> = spec.name.iter().filter_map(|name| ecs::check_name("name", name)).collect();
    let mut problem = |path: &str, message: &str, help: &str| problems.push(Problem::new(path, message).help(help));
    if spec.subnets.is_empty() || spec.subnets.len() > 16 {
        problem("subnets", "a service needs 1 to 16 subnets", "name those in which its tasks run");
    }
    if spec.security_groups.is_empty() || spec.security_groups.len() > 5 {
        let help = "without one, AWS takes the VPC's default group";
        problem("security_groups", "a service needs 1 to 5 security groups", help);
    }
    if spec.minimum_healthy_percent >= 100 && spec.maximum_percent <= 100 {
        let help = "allow more than 100 % or require less, else a deployment may neither start nor stop a task";
        problem("maximum_percent", "no deployment can go on with these percentages", help);
    }
    if spec.availability_zone_rebalancing && spec.maximum_percent <= 100 {
        let help = "raise `maximum_percent` above 100, or write `availability_zone_rebalancing: false`";
        problem("availability_zone_rebalancing", "moving tasks needs room for one more", help);
    }
    if spec.health_check_grace_seconds > 0 && spec.load_balancers.is_empty() {
        let help = "leave it out: only a load balancer's health checks have a grace period";
        problem("health_check_grace_seconds", "no load balancer checks these tasks", help);
    }
    if spec.circuit_breaker.rollback && !spec.circuit_breaker.enable {
        problem("circuit_breaker.rollback", "a breaker that is off rolls nothing back", "write `enable: true`");
    }
    if !spec.capacity_providers.is_empty() && spec.capacity_providers.iter().all(|provider| provider.weight == 0) {
        problem("capacity_providers", "no provider has a weight", "give one of them a weight of 1 at least");
    }
    if spec.capacity_providers.iter().filter(|provider| provider.base > 0).count() > 1 {
        problem("capacity_providers", "more than one provider has a base", "leave `base` to one of them");
    }
    problems.extend(ecs_deployment::check(spec));
    problems.extend(spec.service_connect.iter().flat_map(ecs_connect::check));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_knows_its_cluster() {
        let arn = "arn:aws:ecs:us-east-1:1:service/main/api";
        assert_eq!(cluster_of(arn).as_deref(), Some("arn:aws:ecs:us-east-1:1:cluster/main"));
        assert_eq!(cluster_of("arn:aws:ecs:us-east-1:1:cluster/main"), None);
    }
}
