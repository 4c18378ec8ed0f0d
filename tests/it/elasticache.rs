use std::collections::BTreeMap;

use infra::kind::{Class, Health, Kind, Live};
use infra::kinds::cache_parameter_group::CacheParameterGroup;
use infra::kinds::cache_subnet_group::CacheSubnetGroup;
use infra::kinds::replication_group::ReplicationGroup;
use infra::tags::Tags;

use crate::support::Bench;

async fn subnet_group(bench: &Bench) -> Live<CacheSubnetGroup> {
    let subnets = crate::network::subnets(bench).await;
    let spec = CacheSubnetGroup {
        name: None,
        description: "data".into(),
        subnets: subnets.iter().map(|subnet| subnet.as_str().into()).collect(),
        tags: Tags::from([("team".into(), "backend".into())]),
    };
    bench.create("data", &spec).await
}

fn parameter_group(parameters: &[(&str, &str)]) -> CacheParameterGroup {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    CacheParameterGroup {
        name: None,
        family: "valkey8".into(),
        description: "main".into(),
        parameters: parameters.iter().map(pair).collect(),
        tags: Tags::new(),
    }
}

#[tokio::test]
async fn subnet_group_lives_and_dies() {
    let bench = Bench::start().await;
    let live = subnet_group(&bench).await;
    assert_eq!(live.id, "acme-test-data");
    let spec = CacheSubnetGroup { subnets: live.spec.subnets[..1].to_vec(), tags: Tags::new(), ..live.spec.clone() };
    let live = bench.update(&live, &spec).await;
    CacheSubnetGroup::tag(&bench.aws, &live, &Tags::from([("infra:deposed".into(), "yes".into())]), &[]).await.unwrap();
    let deposed = &bench.list::<CacheSubnetGroup>().await[0];
    assert!(deposed.deposed);
    bench.delete(deposed).await;
}

#[tokio::test]
async fn parameter_group_lives_and_dies() {
    let bench = Bench::start().await;
    let spec = parameter_group(&[("maxmemory-policy", "noeviction"), ("timeout", "300")]);
    let live = bench.create("main", &spec).await;
    assert!(live.id.starts_with("acme-test-main-"), "{}", live.id);
    let again = bench.try_create("main", &spec).await;
    assert_eq!(again.unwrap(), live.id, "what a lost answer left is taken over");
    let many: BTreeMap<_, _> = (0..45).map(|n| (format!("parameter-{n}"), n.to_string())).collect();
    let spec = CacheParameterGroup { parameters: many, tags: Tags::from([("team".into(), "data".into())]), ..spec };
    let live = bench.update(&live, &spec).await;
    bench.delete(&live).await;
}

#[tokio::test]
async fn groups_of_others_are_not_taken() {
    let bench = Bench::start().await;
    let request = bench.aws.elasticache().create_cache_parameter_group().cache_parameter_group_name("shared");
    request.cache_parameter_group_family("valkey8").description("theirs").send().await.unwrap();
    let spec = CacheParameterGroup { name: Some("shared".into()), ..parameter_group(&[]) };
    assert_eq!(bench.try_create("main", &spec).await.unwrap_err().code, "NameTaken");
    assert!(bench.list::<CacheParameterGroup>().await.is_empty());
}

fn cache(subnets: &Live<CacheSubnetGroup>, group: &str) -> ReplicationGroup {
    let fields = serde_json::json!({
        "engine": "valkey",
        "engine_version": "8.0",
        "node_type": "cache.t4g.micro",
        "replicas": 1,
        "automatic_failover": true,
        "multi_az": true,
        "subnet_group_name": subnets.id,
        "security_groups": [group],
        "snapshot_retention_days": 7,
        "snapshot_window": "03:00-04:00",
        "tags": { "team": "backend" },
    });
    serde_json::from_value(fields).unwrap()
}

#[tokio::test]
async fn cache_lives_and_dies() {
    let bench = Bench::start().await;
    let subnets = subnet_group(&bench).await;
    let group = crate::network::security_group(&bench).await;
    // AWS answers with the patch too, which a plan takes over from it.
    let spec = ReplicationGroup { engine_version: "8.0.1".into(), ..cache(&subnets, &group) };
    let live = bench.create("main", &spec).await;
    assert_eq!(live.id, "acme-test-main");
    assert!(live.outputs["endpoint"].starts_with("master.acme-test-main."), "{:?}", live.outputs);
    assert!(live.outputs["reader"].starts_with("replica.acme-test-main."), "{:?}", live.outputs);
    assert_eq!(live.outputs["port"], "6379");
    let parameters = bench.create("main", &parameter_group(&[("maxmemory-policy", "noeviction")])).await;
    let spec = ReplicationGroup {
        description: "jobs".into(),
        engine_version: "8.1.0".into(),
        node_type: "cache.t4g.small".into(),
        parameter_group_name: Some(parameters.id.as_str().into()),
        snapshot_retention_days: 0,
        maintenance_window: Some("sun:04:00-sun:05:00".into()),
        auto_minor_version_upgrade: false,
        ..spec
    };
    let live = bench.update(&live, &spec).await;
    assert_eq!(live.spec.maintenance_window.as_deref(), Some("sun:04:00-sun:05:00"));
    let spec = ReplicationGroup { replicas: 3, tags: Tags::new(), final_snapshot: false, ..spec };
    let live = bench.update(&live, &spec).await;
    bench.delete(&live).await;
    let snapshots = bench.aws.elasticache().describe_snapshots().send().await.unwrap();
    assert!(snapshots.snapshots().is_empty(), "none was wanted");
}

#[tokio::test]
async fn a_cache_in_motion_is_busy_and_one_of_others_is_left() {
    let bench = Bench::start().await;
    let subnets = subnet_group(&bench).await;
    let group = crate::network::security_group(&bench).await;
    let spec = cache(&subnets, &group);
    bench.try_create("main", &spec).await.unwrap();
    // AWS tells nobody's tags while it makes the cache; the index does.
    let live = &bench.list::<ReplicationGroup>().await[0];
    assert_eq!(live.health, Health::Pending);
    let larger = ReplicationGroup { node_type: "cache.t4g.small".into(), ..live.spec.clone() };
    let busy = larger.update(&bench.aws, live).await.unwrap_err();
    assert_eq!(busy.class, Class::Busy, "{busy}");

    let request = bench.aws.elasticache().create_replication_group().replication_group_id("shared");
    request.replication_group_description("theirs").cache_node_type("cache.t4g.micro").send().await.unwrap();
    let taken = ReplicationGroup { name: Some("shared".into()), ..spec };
    assert_eq!(bench.try_create("other", &taken).await.unwrap_err().class, Class::Busy, "whose it is shows later");
    bench.settled::<ReplicationGroup>("shared").await;
    assert_eq!(bench.try_create("other", &taken).await.unwrap_err().code, "NameTaken");
}
