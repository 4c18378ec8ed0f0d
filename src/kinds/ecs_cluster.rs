//! A cluster: the place where services and their tasks run.

use aws_sdk_ecs::types::{Cluster, ClusterSetting, ClusterSettingName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, ecs};
use crate::aws::Aws;
use crate::kind::{Blocker, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};

/// A cluster: the place where services and their tasks run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcsCluster {
    /// The name in AWS. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Metrics of containers in CloudWatch.
    #[serde(default)]
    pub container_insights: Insights,
    /// `FARGATE` and `FARGATE_SPOT`, where services choose between them.
    #[serde(default)]
    pub capacity_providers: Vec<String>,
    #[serde(default)]
    pub tags: Tags,
}

/// Metrics of containers in CloudWatch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Insights {
    #[default]
    Disabled,
    Enabled,
    /// With metrics of each task and container.
    Enhanced,
}

impl Insights {
    fn setting(self) -> ClusterSetting {
        let value = match self {
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Enhanced => "enhanced",
        };
        ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value(value).build()
    }

    fn of(cluster: &Cluster) -> Self {
        let insights = |setting: &&ClusterSetting| setting.name() == Some(&ClusterSettingName::ContainerInsights);
        match cluster.settings().iter().find(insights).and_then(|setting| setting.value()) {
            Some("enabled") => Self::Enabled,
            Some("enhanced") => Self::Enhanced,
            _ => Self::Disabled,
        }
    }
}

impl Kind for EcsCluster {
    const NAME: &'static str = "ecs_cluster";
    const RIGHTS: Rights = Rights {
        read: "ecs:DescribeClusters ecs:ListClusters",
        create: "ecs:CreateCluster ecs:TagResource",
        update: "ecs:PutClusterCapacityProviders ecs:TagResource ecs:UntagResource ecs:UpdateCluster",
        delete: "ecs:DeleteCluster",
        on: "ecs:cluster/{name}",
        links: "ecs.amazonaws.com",
        tells: "ecs:ListContainerInstances ecs:ListServices ecs:ListTasks",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];

    fn normalize(&mut self) {
        self.capacity_providers.sort();
        self.capacity_providers.dedup();
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.name.iter().filter_map(|name| ecs::check_name("name", name)).collect();
        for (at, provider) in self.capacity_providers.iter().enumerate() {
            if !["FARGATE", "FARGATE_SPOT"].contains(&provider.as_str()) {
                let problem = Problem::new(&format!("capacity_providers.{at}"), format!("`{provider}` is not offered"));
                problems.push(problem.help("write `FARGATE` or `FARGATE_SPOT`"));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let clusters = ecs::clusters(aws, scope).await?;
        let read = |cluster: &Cluster| {
            let tagged = scope.tagged(aws, Self::NAME, &ecs::read_tags(cluster.tags()))?;
            Some(live(cluster, tagged))
        };
        Ok(clusters.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(255));
        // AWS answers a second creation with the cluster that bears the name, whosever it is.
        let there = ecs::describe_clusters(aws, std::slice::from_ref(&name)).await?;
        if let Some(cluster) = there.iter().find(|cluster| cluster.status() != Some("INACTIVE")) {
            let tagged = tags::decode(&ecs::read_tags(cluster.tags()));
            let found = tagged.map(|tagged| live(cluster, tagged));
            return adopt::adopt(self, aws, making, (&name, found), "ecs:CreateCluster").await;
        }
        let tags = ecs::sdk_tags(&tags::encode(&making.identity, &self.tags));
        let request = aws.ecs().create_cluster().cluster_name(&name).set_tags(Some(tags));
        let request = request.settings(self.container_insights.setting());
        let request = request.set_capacity_providers(Some(self.capacity_providers.clone()));
        let answer = aws.call("ecs:CreateCluster", request.send()).await?;
        let arn = answer.cluster().and_then(|cluster| cluster.cluster_arn());
        arn.map(str::to_owned).ok_or_else(|| Failure::new("ecs:CreateCluster", "NoId", "the answer holds no ARN"))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.normalize();
        there.normalize();
        if wanted.container_insights != there.container_insights {
            let request = aws.ecs().update_cluster().cluster(&live.id).settings(wanted.container_insights.setting());
            aws.call("ecs:UpdateCluster", request.send()).await?;
        }
        if wanted.capacity_providers != there.capacity_providers {
            // The default strategy is for services that name none, and ours all name one.
            let request = aws.ecs().put_cluster_capacity_providers().cluster(&live.id);
            let request = request.set_capacity_providers(Some(wanted.capacity_providers));
            let request = request.set_default_capacity_provider_strategy(Some(Vec::new()));
            aws.call("ecs:PutClusterCapacityProviders", request.send()).await?;
        }
        let encode = |tags| tags::encode(&live.identity, tags);
        ecs::retag(aws, &live.id, &encode(&live.spec.tags), &encode(&self.tags)).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ecs::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        aws.call("ecs:DeleteCluster", aws.ecs().delete_cluster().cluster(&live.id).send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let (ecs, id) = (aws.ecs(), &live.id);
        let (services, tasks, machines) = tokio::try_join!(
            aws.call("ecs:ListServices", ecs.list_services().cluster(id).send()),
            aws.call("ecs:ListTasks", ecs.list_tasks().cluster(id).send()),
            aws.call("ecs:ListContainerInstances", ecs.list_container_instances().cluster(id).send()),
        )?;
        let named = |what: &str, arn: &String| {
            Blocker::new(format!("{what} {}", arn.rsplit_once('/').map_or(arn.as_str(), |(_, name)| name)))
        };
        let services = services.service_arns().iter().map(|arn| named("ECS service", arn));
        let tasks = tasks.task_arns().iter().map(|arn| named("ECS task", arn).passing(true));
        let machines = machines.container_instance_arns().iter().map(|arn| named("container instance", arn));
        Ok(services.chain(tasks).chain(machines).collect())
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let clusters = ecs::describe_clusters(aws, std::slice::from_ref(id)).await?;
        let Some(cluster) = clusters.first() else { return Ok(Progress::Gone) };
        Ok(match (cluster.status().unwrap_or_default(), cluster.attachments_status().unwrap_or_default()) {
            ("INACTIVE", _) => Progress::Gone,
            ("FAILED", _) => Progress::Failed { why: "AWS could not make the cluster's resources".to_owned() },
            (_, "UPDATE_FAILED") => Progress::Failed { why: "AWS could not attach a capacity provider".to_owned() },
            ("ACTIVE", "UPDATE_IN_PROGRESS") => Progress::waiting("capacity providers"),
            ("ACTIVE", _) => {
                let name = cluster.cluster_name().unwrap_or_default();
                Progress::ready([("arn", id.clone()), ("name", name.to_owned())])
            }
            (status, _) => Progress::waiting(format!("status {status}")),
        })
    }
}

fn live(cluster: &Cluster, tagged: Tagged) -> Live<EcsCluster> {
    let name = cluster.cluster_name().unwrap_or_default();
    let spec = EcsCluster {
        name: Some(name.to_owned()),
        container_insights: Insights::of(cluster),
        capacity_providers: cluster.capacity_providers().to_vec(),
        tags: tagged.user.clone(),
    };
    let arn = cluster.cluster_arn().unwrap_or_default();
    let mut live = Live::new(tagged, arn, spec).output("arn", arn).output("name", name);
    live.health = match cluster.status() {
        Some("FAILED") => Health::Failed("AWS could not make the cluster's resources".to_owned()),
        Some("PROVISIONING") => Health::Pending,
        Some("DEPROVISIONING" | "INACTIVE") => Health::Tombstone,
        _ => Health::Ok,
    };
    live
}
