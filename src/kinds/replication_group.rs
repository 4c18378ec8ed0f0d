//! A cache: a primary node and its replicas.

mod read;

pub use self::read::family;

use std::time::Duration;

use futures::future::{try_join, try_join_all};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, elasticache, rds, tagging};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// As long as an id may be.
const LONGEST_ID: usize = 40;

/// A cache of Valkey or Redis: a primary node and its replicas, all with the same data.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicationGroup {
    /// The id in AWS, in lower case. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default = "description")]
    pub description: String,
    /// `valkey` or `redis`. AWS changes `redis` to `valkey` in place, and never back.
    pub engine: String,
    /// `8.0` for Valkey, `7.1` for Redis. A later minor version that AWS upgraded it to is left alone.
    pub engine_version: String,
    /// The size of each node, as in `cache.t4g.micro`.
    pub node_type: String,
    /// Copies of the primary node, 0 to 5.
    #[serde(default)]
    pub replicas: u8,
    /// Whether a replica takes over when the primary node fails.
    #[serde(default)]
    pub automatic_failover: bool,
    /// Whether the nodes stand in different availability zones. Needs automatic failover.
    #[serde(default)]
    pub multi_az: bool,
    pub subnet_group_name: Arg<String>,
    /// Absent, the default group of the engine's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_group_name: Option<Arg<String>>,
    pub security_groups: Vec<Arg<String>>,
    /// Whether data is encrypted on disk. Default: true.
    #[serde(default = "yes")]
    pub encrypted: bool,
    /// The key of an encrypted cache. Absent, AWS's own key for ElastiCache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    /// Whether clients must use TLS. Default: true.
    #[serde(default = "yes")]
    pub transit_encryption: bool,
    /// Days for which daily snapshots are kept. 0 turns them off.
    #[serde(default)]
    pub snapshot_retention_days: u16,
    /// When the daily snapshot is taken, in UTC, as in `03:00-04:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_window: Option<String>,
    /// When AWS may update the nodes, in UTC, as in `sun:05:00-sun:06:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<String>,
    #[serde(default = "yes")]
    pub auto_minor_version_upgrade: bool,
    /// Whether a snapshot is taken before the cache is deleted.
    #[serde(default = "yes")]
    pub final_snapshot: bool,
    #[serde(default)]
    pub tags: Tags,
}

fn description() -> String {
    "Managed by infra".to_owned()
}

fn yes() -> bool {
    true
}

impl Kind for ReplicationGroup {
    const NAME: &'static str = "replication_group";
    const RIGHTS: Rights = Rights {
        read: "elasticache:DescribeCacheClusters elasticache:DescribeReplicationGroups \
            elasticache:ListTagsForResource",
        create: "elasticache:AddTagsToResource elasticache:CreateReplicationGroup kms:CreateGrant kms:DescribeKey",
        update: "elasticache:AddTagsToResource elasticache:RemoveTagsFromResource elasticache:DecreaseReplicaCount \
            elasticache:IncreaseReplicaCount elasticache:ModifyReplicationGroup",
        delete: "elasticache:CreateSnapshot elasticache:DeleteReplicationGroup",
        links: "elasticache.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] =
        &["name", "subnet_group_name", "encrypted", "kms_key_arn", "transit_encryption"];
    const RESTARTED_BY: &'static [&'static str] = &["engine", "engine_version", "node_type"];
    const OPEN: &'static [&'static str] = &["name", "kms_key_arn", "snapshot_window", "maintenance_window"];
    const OUTPUTS: &'static [&'static str] = &["id", "arn", "endpoint", "reader", "port"];
    const HOLDS_DATA: bool = true;
    const DEADLINE: Duration = Duration::from_secs(3600);
    const MINUTES: (u16, u16) = (8, 6);

    fn normalize(&mut self) {
        self.security_groups.sort();
        self.security_groups.dedup();
    }

    fn take_over(&mut self, live: &Self) {
        if read::satisfies(&live.engine_version, &self.engine_version, self.auto_minor_version_upgrade) {
            self.engine_version.clone_from(&live.engine_version);
        }
    }

    fn check(&self) -> Vec<Problem> {
        check(self)
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":replicationgroup:").await? {
            return Ok(Vec::new());
        }
        let groups = aws.elasticache().describe_replication_groups().into_paginator().items().send();
        let nodes = aws.elasticache().describe_cache_clusters().into_paginator().items().send();
        let (groups, nodes) = try_join(
            aws.call("elasticache:DescribeReplicationGroups", groups.collect::<Result<Vec<_>, _>>()),
            aws.call("elasticache:DescribeCacheClusters", nodes.collect::<Result<Vec<_>, _>>()),
        )
        .await?;
        let candidates = elasticache::Candidates::of(aws, scope, Self::NAME, LONGEST_ID).await?;
        let found = groups.iter().filter(|group| candidates.has(group.arn(), group.replication_group_id()));
        let reads = found.map(async |group| {
            let tags = read::tags(aws, group, candidates.indexed(group.arn().unwrap_or_default())).await?;
            let tagged = scope.tagged(aws, Self::NAME, &tags);
            Ok::<_, Failure>(tagged.map(|tagged| read::live(group, &nodes, &tags, tagged)))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let id = self.name.clone().unwrap_or_else(|| elasticache::generated(&making.identity.aws_name(LONGEST_ID)));
        let tags = elasticache::sdk_tags(&self.all_tags(&making.identity));
        let request = self.creation(aws, &id)?.set_tags(Some(tags));
        match aws.call("elasticache:CreateReplicationGroup", request.send()).await {
            Ok(_) => Ok(id),
            Err(failure) if rds::exists(&failure) => {
                let group = read::describe(aws, &id).await?;
                if group.status() == Some("deleting") {
                    return Err(busy("the old cache of this name to go"));
                }
                let tags = read::tags(aws, &group, None).await?;
                let nodes = read::nodes(aws, &group).await?;
                let found = crate::tags::decode(&tags).map(|tagged| read::live(&group, &nodes, &tags, tagged));
                adopt::adopt(self, aws, making, (&id, found), "elasticache:CreateReplicationGroup").await
            }
            Err(failure) => Err(failure),
        }
    }

    /// Several requests may be needed, each of which AWS takes only when it has done the one before. This makes the first
    /// of them and says that it is busy, so that it is called again; what then is left is read anew.
    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let mut wanted = self.clone();
        wanted.normalize();
        let (before, after) = (live.spec.all_tags(&live.identity), wanted.all_tags(&live.identity));
        elasticache::retag(aws, rds::arn(live)?, &before, &after).await?;
        if wanted.same_machine(&live.spec) {
            return Ok(());
        }
        let group = read::describe(aws, &live.id).await?;
        let nodes = read::nodes(aws, &group).await?;
        let tagged = crate::tags::Tagged { identity: live.identity.clone(), user: Tags::new(), deposed: live.deposed };
        let there = read::live(&group, &nodes, &before, tagged).spec;
        wanted.take_over(&there);
        if wanted.same_machine(&there) {
            return Ok(());
        }
        if group.status() != Some("available") {
            return Err(busy("the change before this one"));
        }
        // Failover needs a replica, so replicas come before it and go after it.
        if wanted.replicas > there.replicas {
            let request = aws.elasticache().increase_replica_count().replication_group_id(&live.id);
            let request = request.new_replica_count(wanted.replicas.into()).apply_immediately(true);
            aws.call("elasticache:IncreaseReplicaCount", request.send()).await?;
            let rest = Self { replicas: wanted.replicas, ..there };
            return if wanted.same_machine(&rest) { Ok(()) } else { Err(busy("the new replicas")) };
        }
        let rest = Self { replicas: wanted.replicas, ..there.clone() };
        if !wanted.same_machine(&rest) {
            wanted.modify(aws, &live.id, &there).await?;
            return if wanted.replicas == there.replicas { Ok(()) } else { Err(busy("the change before this one")) };
        }
        let request = aws.elasticache().decrease_replica_count().replication_group_id(&live.id);
        let request = request.new_replica_count(wanted.replicas.into()).apply_immediately(true);
        aws.call("elasticache:DecreaseReplicaCount", request.send()).await.map(drop)
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        elasticache::write_tags(aws, rds::arn(live)?, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        if live.health == Health::Tombstone {
            return Ok(());
        }
        // What was never made holds nothing, and AWS refuses a snapshot of it.
        let snapshot = live.spec.final_snapshot && !matches!(live.health, Health::Failed(_));
        let name = format!("{}-final-{}", live.id, Timestamp::now().strftime("%Y%m%d%H%M%S"));
        let request = aws.elasticache().delete_replication_group().replication_group_id(&live.id);
        let request = request.set_final_snapshot_identifier(snapshot.then_some(name));
        match aws.call("elasticache:DeleteReplicationGroup", request.send()).await {
            // A try before this one has begun it.
            Err(failure) if failure.class == Class::Busy || failure.code == "SnapshotAlreadyExistsFault" => {
                match read::describe(aws, &live.id).await?.status() {
                    Some("deleting") => Ok(()),
                    _ => Err(failure),
                }
            }
            other => other.map(drop),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(read::progress(&read::describe(aws, id).await?))
    }
}

type Creation = aws_sdk_elasticache::operation::create_replication_group::builders::CreateReplicationGroupFluentBuilder;

impl ReplicationGroup {
    fn creation(&self, aws: &Aws, id: &str) -> Result<Creation> {
        let request = aws.elasticache().create_replication_group().replication_group_id(id);
        let request = request.replication_group_description(&self.description);
        let request = request.engine(&self.engine).engine_version(&self.engine_version).port(read::PORT);
        let request = request
            .cache_node_type(&self.node_type)
            .num_cache_clusters(i32::from(self.replicas) + 1)
            .automatic_failover_enabled(self.automatic_failover)
            .multi_az_enabled(self.multi_az);
        let request = request
            .cache_subnet_group_name(self.subnet_group_name.get()?)
            .set_cache_parameter_group_name(text(self.parameter_group_name.as_ref())?)
            .set_security_group_ids(Some(self.groups()?))
            .at_rest_encryption_enabled(self.encrypted)
            .set_kms_key_id(text(self.kms_key_arn.as_ref())?)
            .transit_encryption_enabled(self.transit_encryption);
        Ok(request
            .snapshot_retention_limit(self.snapshot_retention_days.into())
            .set_snapshot_window(self.snapshot_window.clone())
            .set_preferred_maintenance_window(self.maintenance_window.clone())
            .auto_minor_version_upgrade(self.auto_minor_version_upgrade))
    }

    /// Whether nothing differs but tags and what tags hold.
    fn same_machine(&self, there: &Self) -> bool {
        let plain = |spec: &Self| {
            let mut spec = Self { tags: Tags::new(), final_snapshot: true, name: None, ..spec.clone() };
            spec.snapshot_window = self.snapshot_window.as_ref().and(spec.snapshot_window);
            spec.maintenance_window = self.maintenance_window.as_ref().and(spec.maintenance_window);
            spec.kms_key_arn = self.kms_key_arn.as_ref().and(spec.kms_key_arn);
            spec.normalize();
            crate::value::to_fields(&spec).ok()
        };
        plain(self) == plain(there)
    }

    /// Everything but the number of replicas, in one request.
    async fn modify(&self, aws: &Aws, id: &str, there: &Self) -> Result<()> {
        let request = aws.elasticache().modify_replication_group().replication_group_id(id).apply_immediately(true);
        let mut request = request.set_replication_group_description(changed(&self.description, &there.description));
        if (&self.engine, &self.engine_version) != (&there.engine, &there.engine_version) {
            request = request.set_engine(changed(&self.engine, &there.engine)).engine_version(&self.engine_version);
        }
        if self.parameter_group_name != there.parameter_group_name {
            let group = text(self.parameter_group_name.as_ref())?;
            let default = || read::default_parameter_group(&self.engine, &self.engine_version);
            request = request.cache_parameter_group_name(group.unwrap_or_else(default));
        }
        if self.security_groups != there.security_groups {
            request = request.set_security_group_ids(Some(self.groups()?));
        }
        let window = |wanted: &Option<String>, there: &Option<String>| wanted.clone().filter(|_| wanted != there);
        let request = request
            .set_cache_node_type(changed(&self.node_type, &there.node_type))
            .set_automatic_failover_enabled(changed(&self.automatic_failover, &there.automatic_failover))
            .set_multi_az_enabled(changed(&self.multi_az, &there.multi_az))
            .set_snapshot_retention_limit(
                changed(&self.snapshot_retention_days, &there.snapshot_retention_days).map(i32::from),
            )
            .set_snapshot_window(window(&self.snapshot_window, &there.snapshot_window))
            .set_preferred_maintenance_window(window(&self.maintenance_window, &there.maintenance_window))
            .set_auto_minor_version_upgrade(changed(
                &self.auto_minor_version_upgrade,
                &there.auto_minor_version_upgrade,
            ));
        aws.call("elasticache:ModifyReplicationGroup", request.send()).await.map(drop)
    }

    fn groups(&self) -> Result<Vec<String>> {
        self.security_groups.iter().map(|group| Ok(group.get()?.clone())).collect()
    }
}

fn changed<T: Clone + PartialEq>(wanted: &T, there: &T) -> Option<T> {
    (wanted != there).then(|| wanted.clone())
}

fn text(value: Option<&Arg<String>>) -> Result<Option<String>> {
    Ok(value.map(Arg::get).transpose()?.cloned())
}

fn busy(on: &str) -> Failure {
    Failure::new("elasticache:ModifyReplicationGroup", "InvalidReplicationGroupState", on).class(Class::Busy)
}

fn check(spec: &ReplicationGroup) -> Vec<Problem> {
    let mut problems: Vec<_> = spec.name.iter().filter_map(|name| elasticache::check_name(name, LONGEST_ID)).collect();
    let mut problem = |path: &str, message: String, help: &str| problems.push(Problem::new(path, message).help(help));
    if !["valkey", "redis"].contains(&spec.engine.as_str()) {
        problem(
            "engine",
            format!("`{}` is not an engine of replicated caches", spec.engine),
            "write `valkey` or `redis`",
        );
    }
    if !spec.node_type.starts_with("cache.") {
        problem(
            "node_type",
            format!("`{}` is not a type of nodes", spec.node_type),
            "write it as in `cache.t4g.micro`",
        );
    }
    if spec.replicas > 5 {
        problem("replicas", format!("{} replicas", spec.replicas), "ElastiCache has 5 at most");
    }
    if spec.automatic_failover && spec.replicas == 0 {
        let help = "ask for one replica at least, or turn failover off";
        problem("automatic_failover", "there is no replica that could take over".to_owned(), help);
    }
    if spec.multi_az && !spec.automatic_failover {
        problem("multi_az", "several zones need automatic failover".to_owned(), "write `automatic_failover: true`");
    }
    if spec.security_groups.is_empty() {
        let help = "name the security groups; without any, AWS takes the VPC's default group";
        problem("security_groups", "a cache needs a security group".to_owned(), help);
    }
    if spec.snapshot_retention_days > 35 {
        let days = format!("{} days", spec.snapshot_retention_days);
        problem("snapshot_retention_days", days, "AWS keeps snapshots for 35 days at most");
    }
    let windows = [("snapshot_window", &spec.snapshot_window), ("maintenance_window", &spec.maintenance_window)];
    for (path, window) in windows {
        if window.as_ref().is_some_and(|window| *window != window.to_lowercase() || !window.contains('-')) {
            problem(path, "this is not a window".to_owned(), "write `02:00-03:00` or `sun:05:00-sun:06:00`, in UTC");
        }
    }
    if matches!(&spec.kms_key_arn, Some(Arg::Known(arn)) if !arn.contains(":key/")) {
        let help = "ElastiCache answers with the ARN of the key itself, so write that one and not an alias or an id";
        problem("kms_key_arn", "this is not the ARN of a key".to_owned(), help);
    }
    if spec.kms_key_arn.is_some() && !spec.encrypted {
        problem("kms_key_arn", "a key without encryption".to_owned(), "write `encrypted: true`");
    }
    problems
}
