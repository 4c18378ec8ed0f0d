//! What AWS tells of a cache: its live form, its progress, and the rules of versions.

use aws_sdk_elasticache::types::{
    AutomaticFailoverStatus, CacheCluster as Node, MultiAzStatus, PendingAutomaticFailoverStatus,
    ReplicationGroup as Found,
};

use super::ReplicationGroup;
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Live, Progress, Result};
use crate::kinds::elasticache;
use crate::tags::{self, Tagged, Tags};
use crate::value::{Arg, Outputs};

pub const PORT: i32 = 6379;

/// What AWS has no field for is kept in a tag.
const FINAL_SNAPSHOT: &str = "infra:final-snapshot";

impl ReplicationGroup {
    /// Identity, the user's tags, and the choice that only a tag can hold.
    pub(super) fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = tags::encode(identity, &self.tags);
        if !self.final_snapshot {
            tags.insert(FINAL_SNAPSHOT.to_owned(), "no".to_owned());
        }
        tags
    }
}

pub async fn describe(aws: &Aws, id: &str) -> Result<Found> {
    let request = aws.elasticache().describe_replication_groups().replication_group_id(id);
    let answer = aws.call("elasticache:DescribeReplicationGroups", request.send()).await?;
    let missing = || Failure::new("elasticache:DescribeReplicationGroups", "ReplicationGroupNotFoundFault", id);
    answer.replication_groups.unwrap_or_default().pop().ok_or_else(|| missing().class(Class::NotFound))
}

/// One node of a group, which has what all of them share.
pub async fn nodes(aws: &Aws, group: &Found) -> Result<Vec<Node>> {
    let Some(first) = group.member_clusters().first() else { return Ok(Vec::new()) };
    let request = aws.elasticache().describe_cache_clusters().cache_cluster_id(first);
    let answer = aws.call("elasticache:DescribeCacheClusters", request.send()).await?;
    Ok(answer.cache_clusters.unwrap_or_default())
}

/// The tags of a group. While it changes AWS does not tell them, and what the index says has to do.
pub async fn tags(aws: &Aws, group: &Found, indexed: Option<&Tags>) -> Result<Tags> {
    match (elasticache::tags_of(aws, group.arn().unwrap_or_default()).await, indexed) {
        (Err(failure), Some(indexed)) if failure.code == "InvalidReplicationGroupState" => Ok(indexed.clone()),
        // It is gone by now.
        (Err(failure), _) if failure.class == Class::NotFound => Ok(Tags::new()),
        (Err(failure), None) if failure.code == "InvalidReplicationGroupState" => {
            let (id, status) = (group.replication_group_id().unwrap_or_default(), group.status().unwrap_or_default());
            let message = format!(
                "the cache {id} is {status}, and AWS does not tell whose it is before that is done: try again in a \
                 few minutes"
            );
            Err(Failure { message, ..failure })
        }
        (other, _) => other,
    }
}

pub fn live(group: &Found, nodes: &[Node], all: &Tags, tagged: Tagged) -> Live<ReplicationGroup> {
    let id = group.replication_group_id().unwrap_or_default();
    let own = |node: &&Node| node.replication_group_id() == Some(id);
    let node = nodes.iter().find(own);
    let mut live = Live::new(tagged.clone(), id, spec(group, node, all, tagged.user));
    live.outputs = outputs(group);
    live.health = match group.status().unwrap_or_default() {
        "deleting" => Health::Tombstone,
        "create-failed" => Health::Failed(FAILED.to_owned()),
        "available" | "snapshotting" => Health::Ok,
        _ => Health::Pending,
    };
    let waits =
        node.and_then(|node| node.cache_parameter_group()).filter(|group| !group.cache_node_ids_to_reboot().is_empty());
    if let Some(group) = waits {
        let name = group.cache_parameter_group_name().unwrap_or_default();
        live.notes.push(format!("changed parameters of {name} take effect when the nodes restart").into());
    }
    live
}

const FAILED: &str = "AWS could not create the cache: it may lack machines of this type in these zones";

fn spec(group: &Found, node: Option<&Node>, all: &Tags, user: Tags) -> ReplicationGroup {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let pending = node.and_then(|node| node.pending_modified_values());
    let failover = match group.pending_modified_values().and_then(|pending| pending.automatic_failover_status()) {
        Some(pending) => *pending == PendingAutomaticFailoverStatus::Enabled,
        None => matches!(
            group.automatic_failover(),
            Some(AutomaticFailoverStatus::Enabled | AutomaticFailoverStatus::Enabling)
        ),
    };
    let version = pending.and_then(|pending| pending.engine_version());
    let parameters = node.and_then(|node| node.cache_parameter_group()?.cache_parameter_group_name());
    let security = node.map(|node| node.security_groups()).unwrap_or_default();
    let security = security.iter().filter(|group| group.status() != Some("removing"));
    ReplicationGroup {
        name: group.replication_group_id().map(str::to_owned),
        description: text(group.description()),
        engine: text(group.engine().or(node.and_then(|node| node.engine()))),
        engine_version: text(version.or(node.and_then(|node| node.engine_version()))),
        node_type: text(pending.and_then(|pending| pending.cache_node_type()).or(group.cache_node_type())),
        replicas: u8::try_from(group.member_clusters().len().saturating_sub(1)).unwrap_or(u8::MAX),
        automatic_failover: failover,
        multi_az: group.multi_az() == Some(&MultiAzStatus::Enabled),
        subnet_group_name: text(node.and_then(|node| node.cache_subnet_group_name())).into(),
        parameter_group_name: parameters.filter(|name| !name.starts_with("default.")).map(Arg::from),
        security_groups: security.filter_map(|group| group.security_group_id()).map(Arg::from).collect(),
        encrypted: group.at_rest_encryption_enabled().unwrap_or_default(),
        kms_key_arn: group.kms_key_id().map(Arg::from),
        transit_encryption: group.transit_encryption_enabled().unwrap_or_default(),
        snapshot_retention_days: group
            .snapshot_retention_limit()
            .and_then(|days| u16::try_from(days).ok())
            .unwrap_or_default(),
        snapshot_window: group.snapshot_window().map(str::to_owned),
        maintenance_window: node.and_then(|node| node.preferred_maintenance_window()).map(str::to_owned),
        auto_minor_version_upgrade: group.auto_minor_version_upgrade().unwrap_or_default(),
        final_snapshot: !all.contains_key(FINAL_SNAPSHOT),
        tags: user,
    }
}

fn outputs(group: &Found) -> Outputs {
    let shard = group.node_groups().first();
    let primary = shard.and_then(|shard| shard.primary_endpoint());
    let reader = shard.and_then(|shard| shard.reader_endpoint()).or(primary);
    let values = [
        ("id", group.replication_group_id().map(str::to_owned)),
        ("arn", group.arn().map(str::to_owned)),
        ("endpoint", primary.and_then(|endpoint| endpoint.address()).map(str::to_owned)),
        ("reader", reader.and_then(|endpoint| endpoint.address()).map(str::to_owned)),
        ("port", primary.and_then(|endpoint| endpoint.port()).map(|port| port.to_string())),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// How far a group is on its way.
pub fn progress(group: &Found) -> Progress {
    match group.status().unwrap_or_default() {
        "available" => Progress::Ready(outputs(group)),
        "create-failed" => Progress::Failed { why: FAILED.to_owned() },
        status => Progress::waiting(format!("status {status}")),
    }
}

/// The first two numbers of a version, which are all that an engine's users see of it.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// Whether the live version is what was asked for: that one with any patch, or a later minor one where AWS upgrades.
pub fn satisfies(live: &str, wanted: &str, upgrades: bool) -> bool {
    let track = live == wanted || live.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'));
    let later = || {
        let (live, wanted) = (numbers(live)?, numbers(wanted)?);
        Some(live.0 == wanted.0 && live.1 > wanted.1)
    };
    track || (upgrades && later().unwrap_or_default())
}

/// The engine with the part of its version that decides on parameters: `valkey8`, `redis7`, `redis6.x`.
pub fn family(engine: &str, version: &str) -> String {
    let major = version.split('.').next().unwrap_or_default();
    match (engine, major) {
        ("redis", "6") => "redis6.x".to_owned(),
        ("redis", "2" | "3" | "4" | "5") => {
            format!("redis{}", version.split('.').take(2).collect::<Vec<_>>().join("."))
        }
        _ => format!("{engine}{major}"),
    }
}

/// The group that nodes have when none is chosen.
pub fn default_parameter_group(engine: &str, version: &str) -> String {
    format!("default.{}", family(engine, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_track() {
        for (live, wanted, upgrades, same) in [
            ("8.0.1", "8.0", false, true),
            ("8.1.0", "8.0", true, true),
            ("8.1.0", "8.0", false, false),
            ("7.2.6", "8.0", true, false),
            ("8.0.1", "7.2", true, false),
            ("8.0.1", "8.1", true, false),
            ("7.10.0", "7.1", false, false),
            ("7.1.0", "7.1.0", false, true),
        ] {
            assert_eq!(satisfies(live, wanted, upgrades), same, "{live} for {wanted}");
        }
    }

    #[test]
    fn families_follow_the_version() {
        for (engine, version, name) in [
            ("valkey", "8.0", "valkey8"),
            ("valkey", "7.2", "valkey7"),
            ("redis", "7.1", "redis7"),
            ("redis", "6.2", "redis6.x"),
            ("redis", "5.0.6", "redis5.0"),
        ] {
            assert_eq!(family(engine, version), name);
        }
    }

    #[test]
    fn a_change_of_failover_counts_as_made() {
        let pending = aws_sdk_elasticache::types::ReplicationGroupPendingModifiedValues::builder()
            .automatic_failover_status(PendingAutomaticFailoverStatus::Enabled)
            .build();
        let group = Found::builder()
            .replication_group_id("main")
            .status("modifying")
            .automatic_failover(AutomaticFailoverStatus::Disabled)
            .pending_modified_values(pending)
            .build();
        assert!(spec(&group, None, &Tags::new(), Tags::new()).automatic_failover);
        assert_eq!(progress(&group), Progress::waiting("status modifying"));
    }
}
