//! Repositories, trust in GitHub, and backups.

use std::collections::BTreeSet;

use aws_sdk_ecr::types::ImageTagMutability;
use infra::address::Address;
use infra::kind::{Class, Kind, Scope};
use infra::kinds::backup_plan::{BackupPlan, Copy, Rule, Selection};
use infra::kinds::backup_vault::BackupVault;
use infra::kinds::ecr_repository::{EcrRepository, Lifecycle};
use infra::kinds::oidc_provider::OidcProvider;
use infra::policy::{NO_RESOURCE, allow, document, trust};
use infra::tags::Tags;
use serde_json::json;

use crate::support::{Bench, scope};

const ISSUER: &str = "token.actions.githubusercontent.com";

fn team() -> Tags {
    Tags::from([("team".into(), "backend".into())])
}

fn untagged(days: u32) -> Lifecycle {
    let selection =
        json!({"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days});
    Lifecycle(json!({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}).into())
}

fn repository() -> EcrRepository {
    EcrRepository {
        name: Some("acme/api".into()),
        scan_on_push: true,
        immutable: true,
        movable_tags: ["latest".to_owned()].into(),
        kms_key_arn: None,
        lifecycle: Some(untagged(30)),
        policy: Some(document([allow(&["ecr:BatchGetImage"], NO_RESOURCE).to("AWS", ["210987654321"])])),
        tags: team(),
    }
}

#[tokio::test]
async fn repository_with_images() {
    let bench = Bench::start().await;
    let foreign = bench.aws.ecr().create_repository().repository_name("acme/api-of-others");
    foreign.send().await.unwrap();
    let live = bench.create("api", &repository()).await;
    assert!(live.outputs["url"].ends_with(".dkr.ecr.us-east-1.amazonaws.com/acme/api"), "{:?}", live.outputs);
    let found = bench.aws.ecr().describe_repositories().repository_names("acme/api").send().await.unwrap();
    let found = &found.repositories()[0];
    assert_eq!(found.image_tag_mutability(), Some(&ImageTagMutability::ImmutableWithExclusion));

    let second = EcrRepository { movable_tags: BTreeSet::new(), lifecycle: Some(untagged(7)), ..repository() };
    let live = bench.update(&live, &second).await;
    let third = EcrRepository {
        scan_on_push: false,
        immutable: false,
        lifecycle: None,
        policy: None,
        tags: Tags::new(),
        ..second
    };
    let live = bench.update(&live, &third).await;

    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"});
    let image = bench.aws.ecr().put_image().repository_name("acme/api").image_tag("v1.0.0");
    image.image_manifest(manifest.to_string()).send().await.unwrap();
    bench.delete(&live).await;
    let left = bench.aws.ecr().describe_repositories().send().await.unwrap();
    let names: Vec<_> = left.repositories().iter().filter_map(|repository| repository.repository_name()).collect();
    assert_eq!(names, ["acme/api-of-others"]);
}

#[tokio::test]
async fn repository_with_a_key_and_a_generated_name() {
    let bench = Bench::start().await;
    let key = bench.aws.kms().create_key().send().await.unwrap();
    let arn = key.key_metadata().and_then(|key| key.arn()).unwrap();
    let spec = EcrRepository { name: None, kms_key_arn: Some(arn.into()), ..repository() };
    let live = bench.create("api", &spec).await;
    assert_eq!(live.outputs["name"], "acme-test-api");
    assert_eq!(bench.try_create("api", &spec).await.unwrap(), live.id, "ours is found again");
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_repository_of_others_is_refused_and_one_of_two_is_found_when_the_other_is_gone() {
    let bench = Bench::start().await;
    bench.aws.ecr().create_repository().repository_name("acme/api").send().await.unwrap();
    let failure = bench.try_create("api", &repository()).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    let wanted = ["ecr_repository.api", "ecr_repository.web", "ecr_repository.gone"];
    let names = [("api", "acme/api"), ("web", "acme/web"), ("gone", "acme/gone")];
    let names = names.map(|(name, chosen)| (Address::new(EcrRepository::NAME, name), chosen.to_owned()));
    bench.create("web", &EcrRepository { name: Some("acme/web".into()), ..repository() }).await;
    let found = EcrRepository::list(&bench.aws, &Scope { names: names.into(), ..scope(&wanted) }).await.unwrap();
    let found: Vec<_> = found.iter().map(|live| live.id.as_str()).collect();
    assert_eq!(found, ["acme/web"]);
}

fn provider() -> OidcProvider {
    let client_ids = ["sts.amazonaws.com".to_owned()].into();
    OidcProvider { url: ISSUER.into(), client_ids, thumbprints: None, tags: team() }
}

#[tokio::test]
async fn provider_of_github() {
    let bench = Bench::start().await;
    let foreign = bench.aws.iam().create_open_id_connect_provider().url("https://issuer.example.com");
    foreign.client_id_list("a").send().await.unwrap();
    let live = bench.create("github", &provider()).await;
    assert_eq!(live.id, format!("arn:aws:iam::123456789012:oidc-provider/{ISSUER}"));
    let second = OidcProvider {
        url: format!("https://{ISSUER}"),
        client_ids: ["a", "b"].map(str::to_owned).into(),
        tags: Tags::new(),
        ..provider()
    };
    let live = bench.update(&live, &second).await;
    let thumbprints = Some(["0".repeat(40)].into());
    bench.update(&live, &OidcProvider { thumbprints: thumbprints.clone(), ..second.clone() }).await;
    let live = bench.list::<OidcProvider>().await.remove(0);
    assert_eq!(live.spec.thumbprints, thumbprints);
    assert_eq!(bench.try_create("github", &second).await.unwrap(), live.id, "ours is found again");
    bench.delete(&live).await;
    let left = bench.aws.iam().list_open_id_connect_providers().send().await.unwrap();
    assert_eq!(left.open_id_connect_provider_list().len(), 1, "the foreign one stays");
}

#[tokio::test]
async fn a_provider_of_others_is_refused_with_what_to_do_instead() {
    let bench = Bench::start().await;
    let foreign = bench.aws.iam().create_open_id_connect_provider().url(format!("https://{ISSUER}"));
    foreign.client_id_list("sts.amazonaws.com").send().await.unwrap();
    let failure = bench.try_create("github", &provider()).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("NameTaken", Class::Fatal));
    assert!(failure.message.contains("without `provider`"), "{failure}");
    let elsewhere = Scope { region: "eu-west-1".into(), ..scope(&["oidc_provider.github"]) };
    assert!(OidcProvider::list(&bench.aws, &elsewhere).await.unwrap().is_empty());
}

fn vault() -> BackupVault {
    BackupVault { name: None, region: None, kms_key_arn: None, tags: team() }
}

#[tokio::test]
async fn vault_at_home() {
    let bench = Bench::start().await;
    let foreign = bench.aws.backup().create_backup_vault().backup_vault_name("acme-test-of-others");
    foreign.send().await.unwrap();
    let live = bench.create("main", &vault()).await;
    assert_eq!(live.outputs["name"], "acme-test-main");
    let live = bench.update(&live, &BackupVault { tags: Tags::new(), ..vault() }).await;
    assert_eq!(bench.try_create("main", &BackupVault { tags: Tags::new(), ..vault() }).await.unwrap(), live.id);

    let backup = bench.aws.backup();
    let job = backup.start_backup_job().backup_vault_name("acme-test-main");
    let job =
        job.resource_arn("arn:aws:rds:us-east-1:123456789012:db:main").iam_role_arn("arn:aws:iam::123456789012:role/b");
    let point = job.send().await.unwrap().recovery_point_arn.unwrap();
    let failure = BackupVault::delete(&bench.aws, &live).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("HoldsRecoveryPoints", Class::Fatal));
    assert!(failure.message.contains("holds 1 recovery points, which are never deleted from here"), "{failure}");
    let delete = backup.delete_recovery_point().backup_vault_name("acme-test-main").recovery_point_arn(point);
    delete.send().await.unwrap();
    bench.delete(&live).await;
    let failure = bench.try_create("of-others", &vault()).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    assert_eq!(backup.list_backup_vaults().send().await.unwrap().backup_vault_list().len(), 1);
}

#[tokio::test]
async fn plan_with_a_vault_in_another_region() {
    let bench = Bench::start().await;
    let aws = &bench.aws;
    bench.create("main", &vault()).await;
    let making = |name: &str| infra::kind::Making {
        identity: scope(&[]).identity(&Address::new(BackupVault::NAME, name)),
        account: "123456789012".into(),
        region: "us-east-1".into(),
        partition: "aws".into(),
        token: format!("run1{name}"),
    };
    let far = BackupVault { region: Some("eu-west-1".into()), ..vault() };
    let copy = far.create(aws, &making("copy")).await.unwrap();
    assert!(copy.starts_with("arn:aws:backup:eu-west-1:"), "{copy}");
    assert_eq!(far.create(aws, &making("copy")).await.unwrap(), copy, "ours is found again there");
    assert_eq!(bench.list::<BackupVault>().await.len(), 1, "nothing speaks of the other region yet");
    let spoken = Scope { regions: ["eu-west-1".to_owned()].into(), ..scope(&[]) };
    assert_eq!(BackupVault::list(aws, &spoken).await.unwrap().len(), 2, "the file does");

    let rule = Rule {
        copies: vec![Copy { vault_arn: copy.as_str().into(), delete_after_days: Some(7), cold_after_days: None }],
        delete_after_days: Some(30),
        start_window_minutes: 60,
        ..serde_json::from_value(json!({"name": "daily", "vault_name": "acme-test-main"})).unwrap()
    };
    let role = aws.iam().create_role().role_name("backup");
    let role = role.assume_role_policy_document(trust("backup.amazonaws.com").to_json().unwrap()).send().await.unwrap();
    let role_arn = role.role().unwrap().arn();
    let select = |name: &str| Selection {
        role_arn: role_arn.into(),
        resources: vec![format!("arn:aws:rds:us-east-1:123456789012:db:{name}").into()],
    };
    let first = BackupPlan { name: None, rules: vec![rule.clone()], selections: vec![select("main")], tags: team() };
    let live = bench.create("daily", &first).await;
    let vaults = bench.list::<BackupVault>().await;
    let regions: Vec<_> = vaults.iter().map(|vault| vault.spec.region.as_deref()).collect();
    assert_eq!(regions, [None, Some("eu-west-1")], "a live plan speaks of it");
    assert_eq!(bench.try_create("daily", &first).await.unwrap(), live.id, "ours is found again");

    let second = BackupPlan { selections: vec![select("main"), select("other")], tags: Tags::new(), ..first };
    let live = bench.update(&live, &second).await;
    let rule = Rule { schedule: "cron(0 3 ? * * *)".into(), copies: Vec::new(), delete_after_days: None, ..rule };
    let live =
        bench.update(&live, &BackupPlan { rules: vec![rule], selections: vec![select("other")], ..second }).await;

    let foreign = vaults.into_iter().find(|vault| vault.id == copy).unwrap();
    BackupVault::delete(aws, &foreign).await.unwrap();
    assert!(BackupVault::list(aws, &spoken).await.unwrap().iter().all(|vault| vault.id != copy));
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_role_that_aws_backup_does_not_know_yet_is_waited_for() {
    let bench = Bench::start().await;
    let rule = serde_json::from_value(json!({"name": "daily", "vault_name": "none"})).unwrap();
    let role = "arn:aws:iam::123456789012:role/new";
    let selection =
        Selection { role_arn: role.into(), resources: vec!["arn:aws:rds:us-east-1:123456789012:db:x".into()] };
    let plan = BackupPlan { name: None, rules: vec![rule], selections: Vec::new(), tags: team() };
    let live = bench.create("daily", &plan).await;
    let failure = BackupPlan { selections: vec![selection], ..plan }.update(&bench.aws, &live).await.unwrap_err();
    assert_eq!(failure.class, Class::Busy, "{failure}");
}
