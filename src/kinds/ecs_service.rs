//! A service: as many tasks of one definition as are wanted, kept running behind target groups.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecs::types::{
    AssignPublicIp, AvailabilityZoneRebalancing, AwsVpcConfiguration, CapacityProviderStrategyItem, LaunchType,
    LoadBalancer as SdkLoadBalancer, NetworkConfiguration, Service as Found, ServiceConnectConfiguration,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::ecs_connect::{Endpoint, ServiceConnect};
pub use super::ecs_deployment::{CircuitBreaker, Pause, Shift, Stage, Strategy, TrafficStep};
use super::ecs_services::{cluster_of, describe, live, services};
use super::task_definition::Owner;
use super::{adopt, ecs, ecs_rollout, ecs_services, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

/// What AWS has no field for is kept in tags.
pub(super) const OWNER: &str = "infra:owner";
pub(super) const AUTOSCALED: &str = "infra:autoscaled";

/// As many tasks of one definition as are wanted, on Fargate, kept running behind target groups.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcsService {
    /// The name in AWS, unique in the cluster. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub cluster_arn: Arg<String>,
    pub task_definition_arn: Arg<String>,
    #[serde(default = "one")]
    pub desired_count: u32,
    /// Who chooses the task definition's revision and the count once the service exists.
    #[serde(default)]
    pub owner: Owner,
    /// Whether autoscaling chooses the count once the service exists.
    #[serde(default)]
    pub autoscaled: bool,
    pub subnets: Vec<Arg<String>>,
    pub security_groups: Vec<Arg<String>>,
    #[serde(default)]
    pub assign_public_ip: bool,
    #[serde(default)]
    pub load_balancers: Vec<LoadBalancer>,
    /// Seconds after a task's start in which failed health checks do not stop it.
    #[serde(default)]
    pub health_check_grace_seconds: u32,
    /// Tasks that a deployment leaves running at least, in percent of the count.
    #[serde(default = "all")]
    pub minimum_healthy_percent: u32,
    /// Tasks that a deployment runs at most, in percent of the count.
    #[serde(default = "double")]
    pub maximum_percent: u32,
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
    /// How a new revision takes over from the old one.
    #[serde(default)]
    pub deployment_strategy: Strategy,
    /// The traffic that moves at a time, where the strategy is `canary` or `linear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_step: Option<TrafficStep>,
    /// How long the old revision goes on running, for a quick way back, once all of the traffic has moved.
    #[serde(default)]
    pub bake_minutes: u32,
    /// Where a deployment waits until somebody lets it go on.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Names of alarms that bring the old revision back while a deployment lasts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployment_alarms: Vec<Arg<String>>,
    #[serde(default)]
    pub enable_execute_command: bool,
    /// The version of Fargate's platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// Whose tags tasks get.
    #[serde(default)]
    pub propagate_tags: Propagate,
    #[serde(default)]
    pub enable_ecs_managed_tags: bool,
    /// How tasks are spread over capacity providers. Absent, all run on Fargate.
    #[serde(default)]
    pub capacity_providers: Vec<Provider>,
    /// Whether ECS moves tasks when one zone has more than another.
    #[serde(default = "yes")]
    pub availability_zone_rebalancing: bool,
    /// How its tasks find services of a namespace by name, and are found there. It adds a proxy to each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_connect: Option<ServiceConnect>,
    #[serde(default)]
    pub tags: Tags,
}

/// A target group in which tasks are registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    pub target_group_arn: Arg<String>,
    pub container_name: String,
    pub container_port: u16,
    /// How ECS moves the traffic, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Propagate {
    #[default]
    None,
    Service,
    TaskDefinition,
}

/// A share of the tasks on one capacity provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// `FARGATE` or `FARGATE_SPOT`.
    pub provider: String,
    /// The share, relative to the others' weights.
    pub weight: u16,
    /// Tasks that run here before weights count.
    #[serde(default)]
    pub base: u32,
}

fn one() -> u32 {
    1
}

fn all() -> u32 {
    100
}

fn double() -> u32 {
    200
}

fn yes() -> bool {
    true
}

impl Kind for EcsService {
    const NAME: &'static str = "ecs_service";
    const RIGHTS: Rights = Rights {
        read: "ecs:DescribeClusters ecs:DescribeServiceDeployments ecs:DescribeServices ecs:DescribeTasks \
            ecs:ListClusters ecs:ListServiceDeployments ecs:ListServices ecs:ListTasks",
        create: "ecs:CreateService ecs:TagResource",
        update: "ecs:TagResource ecs:UntagResource ecs:UpdateService",
        delete: "ecs:DeleteService ecs:UpdateService",
        tells: "ecs:DescribeTaskDefinition logs:GetLogEvents",
        on: "ecs:service/*/{name} logs:log-group:/ecs/{environment}/*",
        passes: "ecs.amazonaws.com",
        links: "ecs.amazonaws.com",
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "cluster_arn"];
    const RESTARTED_BY: &'static [&'static str] = &[
        "task_definition_arn",
        "subnets",
        "security_groups",
        "assign_public_ip",
        "load_balancers",
        "platform_version",
        "enable_execute_command",
        "propagate_tags",
        "enable_ecs_managed_tags",
        "capacity_providers",
        "service_connect",
    ];
    const LATE: &'static [&'static str] = &["deployment_alarms"];
    const OPEN: &'static [&'static str] = &["name", "platform_version"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const AFTER: &'static [&'static str] = &["iam_role", "listener", "listener_rule", "route_table"];
    const DEADLINE: Duration = Duration::from_secs(1200);
    const MINUTES: (u16, u16) = (4, 3);

    fn normalize(&mut self) {
        self.subnets.sort();
        self.subnets.dedup();
        self.security_groups.sort();
        self.security_groups.dedup();
        self.load_balancers.sort();
        self.capacity_providers.sort();
        self.pauses.sort();
        self.deployment_alarms.sort();
        self.service_connect.iter_mut().for_each(|connect| connect.services.sort());
    }

    fn take_over(&mut self, live: &Self) {
        if self.owner == Owner::Release {
            self.task_definition_arn = live.task_definition_arn.clone();
        }
        if self.owner == Owner::Release || self.autoscaled {
            self.desired_count = live.desired_count;
        }
        if self.platform_version.as_deref() == Some("LATEST") {
            self.platform_version.clone_from(&live.platform_version);
        }
        for balancer in &mut self.load_balancers {
            live.load_balancers.iter().for_each(|there| balancer.take_turn(there));
        }
        self.load_balancers.sort();
    }

    fn shell(&self) -> Self {
        Self { deployment_alarms: Vec::new(), ..self.unheld() }
    }

    fn check(&self) -> Vec<Problem> {
        ecs_services::check(self)
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let (clusters, index) = tokio::try_join!(ecs::clusters(aws, scope), tagging::index(aws, scope))?;
        let ours = clusters.iter().filter_map(|cluster| {
            let tags = ecs::read_tags(cluster.tags());
            scope.ours(super::ecs_cluster::EcsCluster::NAME, &tags)?;
            Some(cluster.cluster_arn()?.to_owned())
        });
        // A service may run in a cluster of another environment, which the index tells.
        let elsewhere = index.keys().filter_map(|arn| cluster_of(arn));
        let wanted: BTreeSet<String> = ours.chain(elsewhere).collect();
        let known = |arn: &String| clusters.iter().any(|cluster| cluster.cluster_arn() == Some(arn));
        let reads = wanted.iter().filter(|arn| known(arn)).map(|cluster| services(aws, cluster));
        let found = try_join_all(reads).await?;
        let read = |service: &Found| {
            let tags = ecs::read_tags(service.tags());
            let tagged = scope.tagged(aws, Self::NAME, &tags)?;
            (service.status() != Some("INACTIVE")).then(|| live(service, &tags, tagged))
        };
        Ok(found.iter().flatten().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(255));
        let strategy = self.strategy()?;
        let request = aws
            .ecs()
            .create_service()
            .cluster(self.cluster_arn.get()?)
            .service_name(&name)
            .client_token(&making.token)
            .task_definition(self.task_definition_arn.get()?)
            .desired_count(number(self.desired_count))
            .network_configuration(self.network()?)
            .set_load_balancers(Some(self.balancers()?))
            .set_health_check_grace_period_seconds(self.grace())
            .deployment_configuration(self.shell().deployment(&self.shell())?)
            .enable_execute_command(self.enable_execute_command)
            .set_platform_version(self.platform_version.clone())
            .propagate_tags(self.propagate_tags.sdk())
            .enable_ecs_managed_tags(self.enable_ecs_managed_tags)
            .set_launch_type(strategy.is_empty().then_some(LaunchType::Fargate))
            .set_capacity_provider_strategy(Some(strategy).filter(|strategy| !strategy.is_empty()))
            .availability_zone_rebalancing(self.rebalancing())
            .set_service_connect_configuration(self.service_connect.as_ref().map(ServiceConnect::sdk).transpose()?)
            .set_tags(Some(ecs::sdk_tags(&self.all_tags(&making.identity))));
        match aws.call("ecs:CreateService", request.send()).await {
            Ok(answer) => {
                let arn = answer.service().and_then(|service| service.service_arn());
                arn.map(str::to_owned)
                    .ok_or_else(|| Failure::new("ecs:CreateService", "NoId", "the answer holds no ARN"))
            }
            Err(failure) if failure.message.contains("not idempotent") => {
                let service = describe(aws, self.cluster_arn.get()?, &name).await?;
                let tags = ecs::read_tags(service.tags());
                let found = tags::decode(&tags).map(|tagged| live(&service, &tags, tagged));
                adopt::adopt(self, aws, making, (&name, found), "ecs:CreateService").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.normalize();
        there.normalize();
        let request = aws.ecs().update_service();
        let empty = request.as_input().clone();
        let request = wanted.change_tasks(request, &there)?;
        // New tasks for another network wait for nobody.
        let held = !wanted.pauses.is_empty() || wanted.bake_minutes > 0;
        if held && *request.as_input() != empty {
            let unheld = there.unheld();
            let request = request.deployment_configuration(unheld.deployment(&there)?);
            send(aws, request, live).await?;
            there = unheld;
            let request = wanted.change_care(aws.ecs().update_service(), &there)?;
            send(aws, request, live).await?;
        } else {
            let request = wanted.change_care(request, &there)?;
            if *request.as_input() != empty {
                send(aws, request, live).await?;
            }
        }
        ecs::retag(aws, &live.id, &there.all_tags(&live.identity), &wanted.all_tags(&live.identity)).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ecs::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let cluster = live.spec.cluster_arn.get()?;
        if live.health == Health::Tombstone {
            return Ok(());
        }
        let request = aws.ecs().update_service().cluster(cluster).service(&live.id).desired_count(0);
        aws.call("ecs:UpdateService", request.send()).await?;
        let request = aws.ecs().delete_service().cluster(cluster).service(&live.id).force(true);
        aws.call("ecs:DeleteService", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let cluster = cluster_of(id).unwrap_or_default();
        match describe(aws, &cluster, id).await {
            Ok(service) => ecs_rollout::progress(aws, &service).await,
            Err(failure) if failure.class == Class::NotFound => Ok(Progress::Gone),
            Err(failure) => Err(failure),
        }
    }
}

async fn send(aws: &Aws, request: Update, live: &Live<EcsService>) -> Result<()> {
    let request = request.cluster(live.spec.cluster_arn.get()?).service(&live.id);
    aws.call("ecs:UpdateService", request.send()).await.map(drop)
}

/// The request of an update.
type Update = aws_sdk_ecs::operation::update_service::builders::UpdateServiceFluentBuilder;

impl EcsService {
    /// What the tasks are and where they run. What releases or autoscaling own is never sent.
    fn change_tasks(&self, mut request: Update, there: &Self) -> Result<Update> {
        let released = self.owner == Owner::Release;
        if !released && self.task_definition_arn != there.task_definition_arn {
            request = request.task_definition(self.task_definition_arn.get()?);
        }
        if !released && !self.autoscaled && self.desired_count != there.desired_count {
            request = request.desired_count(number(self.desired_count));
        }
        let network = (&self.subnets, &self.security_groups, self.assign_public_ip);
        if network != (&there.subnets, &there.security_groups, there.assign_public_ip) {
            request = request.network_configuration(self.network()?);
        }
        if self.load_balancers != there.load_balancers {
            request = request.set_load_balancers(Some(self.balancers()?));
        }
        if self.capacity_providers != there.capacity_providers {
            // Nothing starts on other capacity by itself. An empty list goes back to Fargate.
            request = request.set_capacity_provider_strategy(Some(self.strategy()?)).force_new_deployment(true);
        }
        if self.service_connect != there.service_connect {
            request = request.service_connect_configuration(match &self.service_connect {
                Some(connect) => connect.sdk()?,
                None => ServiceConnectConfiguration::builder().enabled(false).build(),
            });
        }
        if self.platform_version.is_some() && self.platform_version != there.platform_version {
            request = request.set_platform_version(self.platform_version.clone());
        }
        Ok(request)
    }

    /// How ECS looks after the tasks.
    fn change_care(&self, mut request: Update, there: &Self) -> Result<Update> {
        if self.health_check_grace_seconds != there.health_check_grace_seconds {
            request = request.health_check_grace_period_seconds(number(self.health_check_grace_seconds));
        }
        if !self.deploys_as(there) {
            request = request.deployment_configuration(self.deployment(there)?);
        }
        if self.enable_execute_command != there.enable_execute_command {
            // Only new tasks can be entered.
            request = request.enable_execute_command(self.enable_execute_command).force_new_deployment(true);
        }
        if self.propagate_tags != there.propagate_tags {
            request = request.propagate_tags(self.propagate_tags.sdk());
        }
        if self.enable_ecs_managed_tags != there.enable_ecs_managed_tags {
            request = request.enable_ecs_managed_tags(self.enable_ecs_managed_tags);
        }
        if self.availability_zone_rebalancing != there.availability_zone_rebalancing {
            request = request.availability_zone_rebalancing(self.rebalancing());
        }
        Ok(request)
    }

    fn network(&self) -> Result<NetworkConfiguration> {
        let public = if self.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(texts(&self.subnets)?))
            .set_security_groups(Some(texts(&self.security_groups)?))
            .assign_public_ip(public);
        let network = network.build().map_err(|error| Failure::new("ecs", "InvalidRequest", error.to_string()))?;
        Ok(NetworkConfiguration::builder().awsvpc_configuration(network).build())
    }

    fn balancers(&self) -> Result<Vec<SdkLoadBalancer>> {
        self.load_balancers.iter().map(LoadBalancer::sdk).collect()
    }

    fn strategy(&self) -> Result<Vec<CapacityProviderStrategyItem>> {
        let item = |provider: &Provider| {
            let item = CapacityProviderStrategyItem::builder().capacity_provider(&provider.provider);
            let item = item.weight(provider.weight.into()).base(number(provider.base)).build();
            item.map_err(|error| Failure::new("ecs", "InvalidRequest", error.to_string()))
        };
        self.capacity_providers.iter().map(item).collect()
    }

    /// AWS refuses a grace period, even of nothing, where no load balancer checks health.
    fn grace(&self) -> Option<i32> {
        (!self.load_balancers.is_empty()).then(|| number(self.health_check_grace_seconds))
    }

    fn rebalancing(&self) -> AvailabilityZoneRebalancing {
        if self.availability_zone_rebalancing {
            AvailabilityZoneRebalancing::Enabled
        } else {
            AvailabilityZoneRebalancing::Disabled
        }
    }

    /// Identity, the user's tags, and what only a tag can hold.
    fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = tags::encode(identity, &self.tags);
        if self.owner == Owner::Release {
            tags.insert(OWNER.to_owned(), "release".to_owned());
        }
        if self.autoscaled {
            tags.insert(AUTOSCALED.to_owned(), "yes".to_owned());
        }
        tags
    }
}

fn texts(args: &[Arg<String>]) -> Result<Vec<String>> {
    args.iter().map(|arg| Ok(arg.get()?.clone())).collect()
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> EcsService {
        let json = serde_json::json!({
            "cluster_arn": "c", "task_definition_arn": "t:1", "subnets": ["s"], "security_groups": ["g"],
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_plan_keeps_what_releases_and_autoscaling_chose() {
        let live = EcsService { task_definition_arn: "t:9".into(), desired_count: 7, ..service() };
        let taken = |owner, autoscaled| {
            let mut wanted = EcsService { owner, autoscaled, ..service() };
            wanted.take_over(&live);
            (wanted.task_definition_arn.get().unwrap().clone(), wanted.desired_count)
        };
        assert_eq!(taken(Owner::File, false), ("t:1".into(), 1));
        assert_eq!(taken(Owner::File, true), ("t:1".into(), 7));
        assert_eq!(taken(Owner::Release, false), ("t:9".into(), 7));
    }

    #[test]
    fn limits() {
        assert_eq!(service().check(), []);
        let wrong = EcsService { maximum_percent: 100, health_check_grace_seconds: 5, ..service() };
        let paths: Vec<_> = wrong.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["maximum_percent", "availability_zone_rebalancing", "health_check_grace_seconds"]);
    }
}
