use std::collections::BTreeMap;

use infra::kind::{Kind, Live};
use infra::kinds::db_instance::{Apply, DbInstance};
use infra::kinds::db_parameter_group::DbParameterGroup;
use infra::kinds::db_subnet_group::DbSubnetGroup;
use infra::tags::Tags;

use crate::support::Bench;

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn subnet_group(bench: &Bench) -> Live<DbSubnetGroup> {
    let subnets = crate::network::subnets(bench).await;
    let spec = DbSubnetGroup {
        name: None,
        description: "data".into(),
        subnets: subnets.iter().map(|subnet| subnet.as_str().into()).collect(),
        tags: Tags::from([("team".into(), "backend".into())]),
    };
    bench.create("data", &spec).await
}

#[tokio::test]
async fn subnet_group_lives_and_dies() {
    let bench = Bench::start().await;
    let live = subnet_group(&bench).await;
    assert!(live.id.starts_with("acme-test-data-"), "{}", live.id);
    // The emulator loses a group that is modified, so only its tags change here.
    let spec = DbSubnetGroup { tags: Tags::new(), ..live.spec.clone() };
    let live = bench.update(&live, &spec).await;
    DbSubnetGroup::tag(&bench.aws, &live, &Tags::from([("infra:deposed".into(), "yes".into())]), &[]).await.unwrap();
    let deposed = &bench.list::<DbSubnetGroup>().await[0];
    assert!(deposed.deposed);
    bench.delete(deposed).await;
}

#[tokio::test]
async fn parameter_group_lives_and_dies() {
    let bench = Bench::start().await;
    let spec = DbParameterGroup {
        name: None,
        family: "postgres15".into(),
        description: "main".into(),
        parameters: parameters(&[("log_connections", "1"), ("rds.force_ssl", "1")]),
        tags: Tags::new(),
    };
    let live = bench.create("main", &spec).await;
    let spec = DbParameterGroup { tags: Tags::from([("team".into(), "data".into())]), ..spec };
    let live = bench.update(&live, &spec).await;
    let many: BTreeMap<_, _> = (0..45).map(|n| (format!("parameter_{n}"), n.to_string())).collect();
    let spec = DbParameterGroup { parameters: many, ..spec };
    let live = bench.update(&live, &spec).await;
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_group_of_others_is_not_taken() {
    let bench = Bench::start().await;
    let request = bench.aws.rds().create_db_parameter_group().db_parameter_group_name("shared").description("theirs");
    request.db_parameter_group_family("postgres15").send().await.unwrap();
    let spec = DbParameterGroup {
        name: Some("shared".into()),
        family: "postgres15".into(),
        description: "main".into(),
        parameters: BTreeMap::new(),
        tags: Tags::new(),
    };
    assert_eq!(bench.try_create("main", &spec).await.unwrap_err().code, "NameTaken");
    assert!(bench.list::<DbParameterGroup>().await.is_empty());
}

#[tokio::test]
async fn instance_lives_and_dies() {
    let bench = Bench::start().await;
    let subnets = subnet_group(&bench).await;
    let group = crate::network::security_group(&bench).await;
    let spec: DbInstance = serde_json::from_value(serde_json::json!({
        "engine": "postgres",
        "engine_version": "15.4",
        "class": "db.t4g.medium",
        "storage_gb": 100,
        "max_storage_gb": 200,
        "encrypted": true,
        "master_username": "root",
        "subnet_group_name": subnets.id,
        "security_groups": [group],
        "multi_az": true,
        "backup_retention_days": 7,
        "backup_window": "02:00-03:00",
        "deletion_protection": true,
        "copy_tags_to_snapshot": true,
        "log_exports": ["upgrade", "postgresql"],
        "tags": { "team": "backend" },
    }))
    .unwrap();
    let live = bench.create("main", &spec).await;
    assert_eq!(live.id, "acme-test-main");
    assert_eq!(live.outputs["port"], "5432");
    let spec = DbInstance { class: "db.t4g.large".into(), storage_gb: 120, backup_retention_days: 14, ..spec };
    let live = bench.update(&live, &spec).await;
    let spec = DbInstance { log_exports: vec!["postgresql".into()], apply: Apply::Window, tags: Tags::new(), ..spec };
    let live = bench.update(&live, &spec).await;
    // Its protection is on: who deletes it has consented by then.
    bench.delete(&live).await;
    let snapshots = bench.aws.rds().describe_db_snapshots().send().await.unwrap();
    let name = snapshots.db_snapshots()[0].db_snapshot_identifier().unwrap();
    assert!(name.starts_with("acme-test-main-final-"), "{name}");
}
