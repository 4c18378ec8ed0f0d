//! What a destroy leaves, and must.

use aws_sdk_kms::types::KeyState;

use super::site::Site;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2 }
keys: { main: {} }
databases:
  main: { engine: postgres, version: "15", class: db.t4g.micro, storage: 20 }
"#;

async fn state(site: &Site, key: &str) -> Option<KeyState> {
    let answer = site.aws.kms().describe_key().key_id(key).send().await.unwrap();
    answer.key_metadata.and_then(|key| key.key_state)
}

#[tokio::test]
async fn the_key_of_a_final_snapshot_stays_as_long_as_that() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let key = site.ids("test").await["kms_key.main"].clone();

    site.infra("destroy test --confirm test").await.well();
    assert_eq!(state(&site, &key).await, Some(KeyState::Enabled), "nobody could open the snapshot otherwise");
    site.infra("destroy test --confirm test").await.well();
    assert_eq!(state(&site, &key).await, Some(KeyState::Enabled), "asked twice");

    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    assert_eq!(site.ids("test").await["kms_key.main"], key, "its address has it back");
    site.infra("destroy test --confirm test").await.well();

    let manual = site.aws.rds().describe_db_snapshots().snapshot_type("manual").send().await.unwrap();
    for snapshot in manual.db_snapshots() {
        let name = snapshot.db_snapshot_identifier().unwrap();
        site.aws.rds().delete_db_snapshot().db_snapshot_identifier(name).send().await.unwrap();
    }
    site.infra("destroy test --confirm test").await.well();
    assert_eq!(state(&site, &key).await, Some(KeyState::PendingDeletion), "nothing needs it any more");
}
