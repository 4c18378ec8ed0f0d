//! Resources that become ours, or nobody's, or somebody else's, by their tags alone.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use infra::desired::Resource;
use infra::kind::Live;
use infra::kinds;
use infra::live::adoptable;
use infra::tags::{self, Tags};
use infra::value::Fields;

use super::site::{PRODUCTION, Site, scope, steps};

/// Kinds of which none is in the environments of this repository.
const REST: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.9.0.0/16, zones: 2, nat: none }
caches: { jobs: { replicas: 1, parameters: { timeout: "300" } } }
resources:
  namespace.calls: {}
  ip_set.blocked: { addresses: [203.0.113.0/24] }
"#;

fn keys() -> Vec<String> {
    tags::OURS.iter().map(|key| (*key).to_owned()).collect()
}

fn resource(live: &Live<Fields>) -> Resource {
    let Live { identity, spec, .. } = live.clone();
    Resource { address: identity.address, fields: spec, after: BTreeSet::new(), origin: Vec::new() }
}

/// What has lost its tags is found again by its id, read as if it were ours, and is ours once they are written.
#[tokio::test]
async fn every_kind_is_let_go_and_adopted_again() {
    let site = Site::of_this_repository().await;
    let mut kinds_seen = BTreeSet::new();
    site.write("rest", REST);
    for environment in ["rest", "shared", PRODUCTION] {
        site.infra(&format!("apply {environment} --yes")).await.well();
        let before = site.live(environment).await;
        let drivers = kinds::drivers(&site.aws);
        let tag = async |live: &Live<Fields>, set: &Tags, gone: &[String]| {
            let kind = live.identity.address.kind.as_str();
            drivers[kind].tag(live, set, gone).await.map_err(|failure| format!("{}: {failure}", live.identity.address))
        };
        let (none, gone) = (Tags::new(), keys());
        let failed: Vec<String> = join_all(before.iter().map(|live| tag(live, &none, &gone)))
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect();
        assert_eq!(failed, [""; 0]);
        let left: Vec<_> =
            site.live(environment).await.into_iter().map(|live| live.identity.address.to_string()).collect();
        assert_eq!(left, [""; 0], "nothing is ours any more");

        let here = scope(environment);
        let mut wrong = Vec::new();
        for live in &before {
            kinds_seen.insert(live.identity.address.kind.clone());
            let resource = resource(live);
            let read = adoptable(&site.aws, &here, &resource, &live.id).await;
            match read.as_deref() {
                Ok([found]) if found.identity == live.identity => {}
                other => wrong.push(format!("{} {}: {other:?}", live.identity.address, live.id)),
            }
        }
        assert_eq!(wrong, [""; 0], "each is found by its id");
        for live in &before {
            let user: Tags = live
                .spec
                .get("tags")
                .and_then(|tags| serde_json::to_value(tags).ok())
                .and_then(|tags| serde_json::from_value(tags).ok())
                .unwrap_or_default();
            tag(live, &tags::encode(&live.identity, &user), &[]).await.unwrap();
        }
        let after: BTreeMap<_, _> = site.ids(environment).await;
        let ids: BTreeMap<_, _> =
            before.iter().map(|live| (live.identity.address.to_string(), live.id.clone())).collect();
        assert_eq!(after, ids);
        // What is only remembered in tags, such as a window of deletion, is written again.
        let plan = site.plan(environment).await;
        let harmful: Vec<_> = steps(&plan).into_iter().filter(|step| !step.starts_with("update ")).collect();
        assert_eq!(harmful, [""; 0], "{plan:#}");
        site.infra(&format!("apply {environment} --yes")).await.well();
        site.converged(environment).await;
    }
    let missing: Vec<_> = kinds::ALL.iter().map(|info| info.name).filter(|name| !kinds_seen.contains(*name)).collect();
    assert_eq!(missing, [""; 0], "these kinds are adopted nowhere");
}

/// The commands themselves, and what they refuse.
#[tokio::test]
async fn a_resource_has_one_owner_at_a_time() {
    let site = Site::applied().await;
    let ids = site.ids(PRODUCTION).await;
    let vpc = &ids["vpc.main"];

    let refused = site.infra("forget production vpc.main").await;
    assert!(refused.refused().contains("add --yes"), "{refused:?}");
    let forgotten = site.infra("forget production vpc.main --yes").await.well();
    assert!(forgotten.stdout.contains("the next plan creates another one"), "{}", forgotten.stdout);
    let again = site.infra("forget production vpc.main --yes").await.well();
    assert!(again.stdout.contains("nothing to forget"), "{}", again.stdout);

    for (command, why) in [
        (format!("adopt production vpc.other {vpc} --yes"), "it has vpc.main"),
        ("adopt production vpc.main vpc-0123456789 --yes".to_owned(), "there is no vpc vpc-0123456789"),
        (format!("adopt production vpc.main {} --yes", ids["subnet.private-a"]), "there is no vpc subnet-"),
        (format!("adopt production subnet.private-a {} --yes", ids["subnet.private-b"]), "is live already"),
        ("rename production vpc.main subnet.main --yes".to_owned(), "keeps the kind"),
        ("rename production subnet.nobody subnet.else --yes".to_owned(), "has no subnet.nobody in AWS"),
        ("rename production subnet.private-a subnet.private-b --yes".to_owned(), "is live already"),
        ("forget production subnet.privat-a --yes".to_owned(), "did you mean subnet.private-a?"),
    ] {
        let ran = site.infra(&command).await;
        assert!(ran.refused().contains(why), "{command}: {}", ran.stderr);
    }
    assert!(steps(&site.plan(PRODUCTION).await).contains(&"create vpc.main".to_owned()));

    let adopted = site.infra(&format!("adopt production vpc.main {vpc} --yes")).await.well();
    assert!(adopted.stdout.contains(&format!("vpc.main is to be {vpc}.")), "{}", adopted.stdout);
    assert!(adopted.stdout.contains("No changes: 1 resource is as the file says."), "{}", adopted.stdout);
    site.converged(PRODUCTION).await;
    let again = site.infra(&format!("adopt production vpc.main {vpc} --yes")).await.well();
    assert!(again.stdout.contains(&format!("vpc.main is {vpc} already.")), "{}", again.stdout);

    // Another environment of the same shape wants it.
    site.write("staging", &site.read(PRODUCTION));
    let taken = site.infra(&format!("adopt staging vpc.main {vpc} --yes")).await;
    assert!(taken.refused().contains("belongs to vpc.main of acme production"), "{}", taken.stderr);
    assert!(taken.stderr.contains("infra forget production vpc.main"), "{}", taken.stderr);

    // A name that the file has changed.
    let renamed = site.infra("rename production secret.jwt secret.token --yes").await.well();
    assert!(renamed.stderr.contains("The file has no secret.token yet"), "{renamed:?}");
    assert!(renamed.stderr.contains("The next apply DELETES secret.token"), "{renamed:?}");
    let plan = site.plan(PRODUCTION).await;
    let steps = steps(&plan);
    assert!(steps.contains(&"delete secret.token".to_owned()), "{steps:?}");
    let taken = site.infra(&format!("adopt production secret.jwt {} --yes", ids["secret.jwt"])).await;
    assert!(taken.refused().contains("infra rename production secret.token secret.jwt"), "{}", taken.stderr);
    site.infra("rename production secret.token secret.jwt --yes").await.well();
    let again = site.infra("rename production secret.token secret.jwt --yes").await.well();
    assert!(again.stdout.contains("nothing to rename"), "{again:?}");
    site.converged(PRODUCTION).await;
    assert_eq!(site.ids(PRODUCTION).await, ids);
}

/// A difference is shown before anything is written, loudly where it cannot be undone.
#[tokio::test]
async fn the_difference_is_shown_first() {
    let site = Site::applied().await;
    let ids = site.ids(PRODUCTION).await;
    site.infra("forget production vpc.main --yes").await.well();
    site.edit(PRODUCTION, "cidr: 10.0.0.0/16", "cidr: 10.1.0.0/16");
    let ran = site.infra(&format!("adopt production vpc.main {}", ids["vpc.main"])).await;
    assert!(ran.refused().contains("add --yes"), "{ran:?}");
    assert!(ran.stdout.contains("10.0.0.0/16\" → \"10.1.0.0/16"), "{ran:?}");
    assert!(ran.stderr.contains("The next apply REPLACES vpc.main."), "{ran:?}");
    let left = site.ids(PRODUCTION).await;
    assert!(!left.contains_key("vpc.main"), "nothing is written without consent");
}
