//! `caches`.

use std::collections::BTreeMap;

use aws_sdk_elasticache::types::{AutomaticFailoverStatus, CacheCluster, MultiAzStatus, ReplicationGroup};
use infra::aws::Aws;

use crate::end_to_end::site::Site;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
keys:
  main: {}
services:
  worker:
    image: "acme/worker:1"
    environment: { CACHE: "rediss://${caches.jobs.endpoint}:${caches.jobs.port}" }
  clerk:
    image: "acme/clerk:1"
    egress: [pages]
  other:
    image: "acme/other:1"
caches:
  jobs:
    replicas: 1
    snapshots: { keep: 7d, window: "03:00-04:00" }
    maintenance: "sun:04:00-sun:05:00"
    parameters: { timeout: 300, activedefrag: true }
  pages: { engine: redis, evict: allkeys_lru, snapshots: { keep: 0d } }
"#;

#[tokio::test]
async fn caches() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let ids = site.ids("test").await;
    jobs(&site, &ids).await;
    pages(&site.aws).await;
    firewalls(&site.aws, &ids).await;
    let task = site.aws.ecs().describe_task_definition().task_definition("acme-test-worker").send().await.unwrap();
    let container = &task.task_definition().unwrap().container_definitions()[0];
    let address = container.environment()[0].value().unwrap();
    assert!(address.starts_with("rediss://master.acme-test-jobs.") && address.ends_with(":6379"), "{address}");

    // Each of these takes several requests, between which AWS is busy.
    site.edit("test", "replicas: 1", "replicas: 0");
    site.edit("test", "engine: redis", "engine: valkey");
    site.edit("test", "timeout: 300, ", "");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let (group, _) = cache(&site.aws, "acme-test-jobs").await;
    assert_eq!(
        (group.member_clusters().len(), group.automatic_failover()),
        (1, Some(&AutomaticFailoverStatus::Disabled))
    );
    let (group, node) = cache(&site.aws, "acme-test-pages").await;
    assert_eq!((group.engine(), node.engine_version()), (Some("valkey"), Some("8.0.1")));
    site.edit("test", "replicas: 0", "replicas: 2");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let (group, _) = cache(&site.aws, "acme-test-jobs").await;
    assert_eq!((group.member_clusters().len(), group.multi_az()), (3, Some(&MultiAzStatus::Enabled)));

    let whole = site.read("test");
    site.edit("test", "    egress: [pages]\n", "");
    site.edit("test", "  pages: { engine: valkey, evict: allkeys_lru, snapshots: { keep: 0d } }\n", "");
    let kept = site.infra("apply test --yes").await;
    assert!(kept.refused().contains("--allow-data-loss replication_group.pages"), "{}", kept.stderr);
    site.write("test", &whole);
    site.infra("destroy test --confirm test").await.well();
    assert_eq!(site.live("test").await, []);
    let snapshots = site.aws.elasticache().describe_snapshots().send().await.unwrap();
    let names: Vec<_> = snapshots.snapshots().iter().filter_map(|snapshot| snapshot.snapshot_name()).collect();
    assert!(names.len() == 2 && names.iter().all(|name| name.contains("-final-")), "nothing is lost: {names:?}");
}

async fn cache(aws: &Aws, id: &str) -> (ReplicationGroup, CacheCluster) {
    let request = aws.elasticache().describe_replication_groups().replication_group_id(id);
    let group = request.send().await.unwrap().replication_groups.unwrap().remove(0);
    let request = aws.elasticache().describe_cache_clusters().cache_cluster_id(format!("{id}-001"));
    let node = request.send().await.unwrap().cache_clusters.unwrap().remove(0);
    (group, node)
}

async fn parameters(aws: &Aws, node: &CacheCluster) -> BTreeMap<String, String> {
    let name = node.cache_parameter_group().unwrap().cache_parameter_group_name().unwrap();
    let request = aws.elasticache().describe_cache_parameters().cache_parameter_group_name(name).source("user");
    let set = request.send().await.unwrap().parameters.unwrap();
    set.into_iter().map(|one| (one.parameter_name.unwrap(), one.parameter_value.unwrap())).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn jobs(site: &Site, ids: &BTreeMap<String, String>) {
    let (group, node) = cache(&site.aws, "acme-test-jobs").await;
    assert_eq!((group.engine(), group.cache_node_type()), (Some("valkey"), Some("cache.t4g.micro")));
    assert_eq!(group.member_clusters().len(), 2, "a node and its copy");
    assert_eq!(group.automatic_failover(), Some(&AutomaticFailoverStatus::Enabled));
    assert_eq!(group.multi_az(), Some(&MultiAzStatus::Enabled));
    assert_eq!((group.at_rest_encryption_enabled(), group.transit_encryption_enabled()), (Some(true), Some(true)));
    let key = group.kms_key_id().unwrap();
    assert!(key.ends_with(&ids["kms_key.main"]) || ids["kms_key.main"].ends_with(key), "{key}");
    assert_eq!((group.snapshot_retention_limit(), group.snapshot_window()), (Some(7), Some("03:00-04:00")));
    assert_eq!(node.preferred_maintenance_window(), Some("sun:04:00-sun:05:00"));
    let expected = map(&[("activedefrag", "yes"), ("maxmemory-policy", "noeviction"), ("timeout", "300")]);
    assert_eq!(parameters(&site.aws, &node).await, expected);
    let request = site.aws.elasticache().describe_cache_subnet_groups();
    let request = request.cache_subnet_group_name(node.cache_subnet_group_name().unwrap());
    let placed = request.send().await.unwrap().cache_subnet_groups.unwrap().remove(0);
    let mut subnets: Vec<_> = placed.subnets().iter().map(|subnet| subnet.subnet_identifier().unwrap()).collect();
    subnets.sort_unstable();
    let mut data = [ids["subnet.data-a"].as_str(), ids["subnet.data-b"].as_str()];
    data.sort_unstable();
    assert_eq!(subnets, data);
    let carried: Vec<_> = node.security_groups().iter().map(|group| group.security_group_id().unwrap()).collect();
    assert_eq!(carried, [ids["security_group.cache-jobs"].as_str()]);
}

async fn pages(aws: &Aws) {
    let (group, node) = cache(aws, "acme-test-pages").await;
    assert_eq!((group.engine(), node.engine_version()), (Some("redis"), Some("7.1.0")));
    assert_eq!((group.member_clusters().len(), group.snapshot_retention_limit()), (1, Some(0)));
    assert_eq!(group.automatic_failover(), Some(&AutomaticFailoverStatus::Disabled));
    assert_eq!(group.at_rest_encryption_enabled(), Some(true), "redis too");
    assert_eq!(parameters(aws, &node).await, map(&[("maxmemory-policy", "allkeys-lru")]));
}

/// A cache lets in the service that uses it and nobody else, and reaches nothing.
async fn firewalls(aws: &Aws, ids: &BTreeMap<String, String>) {
    for (cache, user) in [("cache-jobs", "worker"), ("cache-pages", "clerk")] {
        let (cache, user) = (&ids[&format!("security_group.{cache}")], &ids[&format!("security_group.{user}")]);
        let found = aws.ec2().describe_security_groups().group_ids(cache).group_ids(user).send().await.unwrap();
        let group = |id: &String| found.security_groups().iter().find(|group| group.group_id() == Some(id)).unwrap();
        let [rule] = group(cache).ip_permissions() else { panic!("{:?}", group(cache)) };
        assert_eq!((rule.from_port(), rule.to_port()), (Some(6379), Some(6379)));
        let [pair] = rule.user_id_group_pairs() else { panic!("{rule:?}") };
        assert_eq!(pair.group_id(), Some(user.as_str()));
        assert!(group(cache).ip_permissions_egress().is_empty());
        let way = group(user).ip_permissions_egress().iter().find(|rule| rule.from_port() == Some(6379)).unwrap();
        assert_eq!(way.user_id_group_pairs()[0].group_id(), Some(cache.as_str()));
    }
}
