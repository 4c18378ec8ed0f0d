//! The life of production, in an account that others use too.

use super::account;
use super::site::{PRODUCTION, Site, steps};

/// From nothing to nothing: each apply leaves nothing to do, each plan shows what differs and only that, and what is not
/// ours stays as it is to the letter: things of others, and another environment with nearly the same name.
#[tokio::test]
async fn from_an_account_of_others_to_the_same_account() {
    let site = Site::start().await;
    site.emulator.at_once(account::make_foreign(&site.aws)).await;
    site.write("production-eu", &site.read(PRODUCTION));
    site.infra("apply production-eu --yes").await.well();
    let before = account::contents(&site.aws).await;
    let neighbour = site.live("production-eu").await;

    let valid = site.infra("validate").await.well();
    assert!(valid.stdout.contains("production: valid, 72 resources\n"), "{}", valid.stdout);
    let plan = site.plan(PRODUCTION).await;
    assert_eq!(plan["summary"], summary(72, 0, 0, 0, 0));
    account::same(&before, &account::contents(&site.aws).await, "a plan changes nothing");

    let applied = site.infra("apply production --yes").await.well();
    assert!(applied.stdout.contains("Plan: 72 to create, 0 unchanged."), "{}", applied.stdout);
    assert!(applied.stdout.contains("\nDone: 72 resources in "), "{}", applied.stdout);
    site.converged(PRODUCTION).await;
    let first = site.ids(PRODUCTION).await;
    assert_eq!(first.len(), 72);
    let value = jwt(&site).await;
    assert_eq!(value.len(), 64);

    site.edit(PRODUCTION, "path: /health, interval: 30s", "path: /ready, interval: 30s");
    let plan = site.plan(PRODUCTION).await;
    assert_eq!(plan["summary"], summary(0, 2, 0, 0, 70));
    assert_eq!(steps(&plan), ["update target_group.api-blue", "update target_group.api-green"]);
    for step in plan["steps"].as_array().unwrap() {
        let change = serde_json::json!([{
            "path": "health_check.path", "before": "/health", "after": "/ready", "forces_replacement": false,
        }]);
        assert_eq!((&step["changes"], &step["harm"]), (&change, &"in_place".into()), "{step:#}");
    }
    let changed = site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
    assert_eq!(site.ids(PRODUCTION).await, first, "a change in place keeps every id");

    let destroyed = site.infra("destroy production --confirm production").await.well();
    assert!(destroyed.stdout.contains("72 to delete"), "{}", destroyed.stdout);
    let left: Vec<String> = site.live(PRODUCTION).await.iter().map(|live| live.identity.address.to_string()).collect();
    assert_eq!(left, [""; 0], "nothing of ours is left");
    account::same(&before, &account::contents(&site.aws).await, "and nothing else has changed");
    assert_eq!(snapshots(&site).await, 1, "a final snapshot is taken");

    let again = site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
    let second = site.ids(PRODUCTION).await;
    for address in ["kms_key.main", "secret.jwt", "secret.payments"] {
        assert_eq!(second[address], first[address], "{address} is restored, not made anew");
    }
    assert_eq!(jwt(&site).await, value, "with its value");
    assert_eq!(site.live("production-eu").await, neighbour);
    for ran in [valid, applied, changed, destroyed, again] {
        assert!(!format!("{ran:?}").contains(&value), "a secret is never printed");
    }
}

fn summary(create: usize, update: usize, replace: usize, delete: usize, unchanged: usize) -> serde_json::Value {
    serde_json::json!({
        "create": create, "update": update, "replace": replace, "delete": delete, "unchanged": unchanged,
    })
}

async fn jwt(site: &Site) -> String {
    let secret = site.aws.secrets().get_secret_value().secret_id("acme-production-jwt").send().await.unwrap();
    secret.secret_string().unwrap().to_owned()
}

async fn snapshots(site: &Site) -> usize {
    let request = site.aws.rds().describe_db_snapshots().snapshot_type("manual").send().await.unwrap();
    let ours = |id: &str| id.starts_with("acme-production-main-final-");
    request.db_snapshots().iter().filter(|snapshot| snapshot.db_snapshot_identifier().is_some_and(ours)).count()
}
