//! What apply and destroy refuse, and that nothing has changed then.

use super::account;
use super::site::{PRODUCTION, Site, steps};

#[tokio::test]
async fn the_wrong_account() {
    let site = Site::start().await;
    let before = account::contents(&site.aws).await;
    site.write(PRODUCTION, &site.read(PRODUCTION).replace("123456789012", "999999999999"));
    for command in [
        "plan production",
        "drift production",
        "history production",
        "apply production --yes",
        "destroy production --confirm production",
        "output production",
        "lock production",
    ] {
        let ran = site.infra(command).await;
        let why = ran.refused();
        assert!(why.contains("the credentials are of account 123456789012, but the file says 999999999999"), "{why}");
        assert_eq!(ran.stdout, "", "{command}");
    }
    account::same(&before, &account::contents(&site.aws).await, "it is refused");
}

#[tokio::test]
async fn nobody_who_is_signed_in() {
    let site = Site::start().await;
    let mut unsigned = site.command(&site.emulator.variables["AWS_ENDPOINT_URL"], "plan production");
    let told = unsigned.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").output().await.unwrap();
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("sts:GetCallerIdentity: NoCredentials: no credentials were found"), "{told}");
    assert!(told.contains("\n  to do: sign in first: `aws sso login`"), "{told}");
}

#[tokio::test]
async fn an_apply_that_nobody_has_consented_to() {
    let site = Site::start().await;
    let before = account::contents(&site.aws).await;
    let apply = site.infra("apply production").await;
    assert!(apply.refused().contains("nobody can answer here; nothing was changed\n  add --yes"), "{}", apply.stderr);
    assert!(apply.stdout.contains("Plan: 72 to create"), "what was asked is shown: {}", apply.stdout);
    account::same(&before, &account::contents(&site.aws).await, "it is refused");
    assert_eq!(site.infra("lock production").await.well().stdout, "production is free\n", "the lock is given back");

    site.infra("apply production --yes --target vpc.main").await.well();
    let before = account::contents(&site.aws).await;
    let destroy = site.infra("destroy production").await;
    assert!(destroy.refused().contains("add --confirm production"), "{}", destroy.stderr);
    let destroy = site.infra("destroy production --confirm staging").await;
    assert!(destroy.refused().contains("--confirm must name the environment: production"), "{}", destroy.stderr);
    account::same(&before, &account::contents(&site.aws).await, "it is refused");
}

/// The program that Lambda is to run is on this machine or nowhere, which shows before anything is made.
#[tokio::test]
async fn a_program_that_lambda_cannot_run() {
    let site = Site::start().await;
    let text = site.read(PRODUCTION);
    site.write(PRODUCTION, &format!("{text}\nrotation: {{ package: ./infra-rotator.exe }}\n"));
    let rotating =
        site.read(PRODUCTION).replacen("databases:\n  main:\n", "databases:\n  main:\n    rotation: 30d\n", 1);
    site.write(PRODUCTION, &rotating);
    let before = account::contents(&site.aws).await;
    for arguments in ["--yes", "--yes --skip-preflight"] {
        let why = site.infra(&format!("apply production {arguments}")).await;
        let expected =
            "the program that rotates credentials cannot be read: ./infra-rotator.exe: No such file or directory";
        assert!(why.refused().contains(expected), "{}", why.stderr);
        assert!(why.refused().contains("\n  nothing was changed\n"), "{}", why.stderr);
    }
    account::same(&before, &account::contents(&site.aws).await, "it is refused");
}

/// Takes the database and all that speaks of it out of the file.
fn remove_the_database(site: &Site) {
    let text = site.read(PRODUCTION);
    let (before, section) = text.split_once("databases:\n").unwrap();
    let (_, after) = section.split_once("secrets:\n").unwrap();
    let kept = before.lines().filter(|line| !line.contains("${databases."));
    let kept = kept.collect::<Vec<_>>().join("\n");
    site.write(PRODUCTION, &format!("{}\nsecrets:\n{after}", kept.replace("    environment:\n", "")));
}

#[tokio::test]
async fn a_loss_of_data_that_is_not_named() {
    let site = Site::applied().await;
    let before = account::contents(&site.aws).await;
    remove_the_database(&site);
    let plan = site.plan(PRODUCTION).await;
    let deleted: Vec<String> = steps(&plan).into_iter().filter(|step| step.starts_with("delete ")).collect();
    assert_eq!(
        deleted,
        [
            "delete db_instance.main",
            "delete db_parameter_group.main",
            "delete db_subnet_group.main",
            "delete log_group.db-main-postgresql",
            "delete metric_alarm.db-main-connections",
            "delete metric_alarm.db-main-cpu",
            "delete metric_alarm.db-main-storage",
            "delete security_group.db-main",
        ]
    );
    site.infra("plan production --save lossy.json").await.well();
    let one = "apply production --yes --allow-data-loss db_instance.main";
    for command in ["apply production --yes", one, "apply lossy.json"] {
        let ran = site.infra(command).await;
        let why = ran.refused();
        assert!(why.contains("this plan destroys data; nothing was changed\n"), "{why}");
        assert!(why.contains("--allow-data-loss log_group.db-main-postgresql"), "{why}");
        assert_eq!(why.contains("--allow-data-loss db_instance.main"), command != one, "{why}");
        account::same(&before, &account::contents(&site.aws).await, command);
    }
    site.infra(&format!("{one} --allow-data-loss log_group.db-main-postgresql")).await.well();
    site.converged(PRODUCTION).await;
    assert!(site.aws.rds().describe_db_instances().send().await.unwrap().db_instances().is_empty());
    let snapshots = site.aws.rds().describe_db_snapshots().snapshot_type("manual").send().await.unwrap();
    assert_eq!(snapshots.db_snapshots().len(), 1, "a final snapshot is taken");
}

#[tokio::test]
async fn a_replacement_of_a_database_that_is_not_named() {
    let site = Site::applied().await;
    let before = account::contents(&site.aws).await;
    site.edit(PRODUCTION, "    name: app\n", "    name: shop\n");
    let plan = site.plan(PRODUCTION).await;
    let database = plan["steps"].as_array().unwrap().iter().find(|step| step["address"] == "db_instance.main").unwrap();
    assert_eq!((&database["action"], &database["harm"]), (&"replace".into(), &"data_loss".into()), "{database:#}");
    let ran = site.infra("apply production --yes").await;
    assert!(ran.refused().contains("--allow-data-loss db_instance.main"), "{}", ran.stderr);
    account::same(&before, &account::contents(&site.aws).await, "it is refused");
    site.infra("apply production --yes --allow-data-loss db_instance.main").await.well();
    site.converged(PRODUCTION).await;
    let instances = site.aws.rds().describe_db_instances().send().await.unwrap();
    assert_eq!(instances.db_instances()[0].db_name(), Some("shop"));
}

/// A file whose region was changed would make all of it once more.
#[tokio::test]
async fn the_wrong_region() {
    let site = Site::applied().await;
    let before = account::contents(&site.aws).await;
    site.edit(PRODUCTION, "region: us-east-1", "region: eu-west-1");
    site.edit(PRODUCTION, "arn:aws:acm:us-east-1", "arn:aws:acm:eu-west-1");
    for command in
        ["plan production", "apply production --yes", "destroy production --confirm production", "drift production"]
    {
        let ran = site.infra(command).await;
        let why = ran.refused();
        assert!(
            why.contains("acme/production is in us-east-1, but the file says eu-west-1; nothing was changed"),
            "{why}"
        );
        assert!(why.contains("put `region: us-east-1` back"), "{why}");
        assert_eq!(ran.stdout, "", "{command}");
    }
    account::same(&before, &account::contents(&site.aws).await, "it is refused");
    site.edit(PRODUCTION, "region: eu-west-1", "region: us-east-1");
    site.edit(PRODUCTION, "arn:aws:acm:eu-west-1", "arn:aws:acm:us-east-1");
    site.infra("destroy production --confirm production").await.well();
    // What is gone, wherever it was, is in nobody's way.
    site.edit(PRODUCTION, "region: us-east-1", "region: eu-west-1");
    site.edit(PRODUCTION, "arn:aws:acm:us-east-1", "arn:aws:acm:eu-west-1");
    let plan = site.infra("plan production").await.well();
    assert!(plan.stdout.contains("Plan: 72 to create"), "{}", plan.stdout);
}

/// `protect: true` is a tag: it holds when the file has forgotten it.
#[tokio::test]
async fn what_is_protected() {
    let site = Site::start().await;
    site.edit(PRODUCTION, "class: db.t4g.medium", "class: db.t4g.medium\n    protect: true");
    site.edit(PRODUCTION, "generate: { length: 64 }", "protect: true, generate: { length: 64 }");
    site.write(
        PRODUCTION,
        &format!("{}\nresources:\n  sns_topic.mine: {{ protect: true, name: mine }}\n", site.read(PRODUCTION)),
    );
    site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
    let protected = ["db_instance.main", "secret.jwt", "sns_topic.mine"];
    let before = account::contents(&site.aws).await;

    let file = site.read(PRODUCTION);
    site.edit(PRODUCTION, "    name: app\n", "    name: shop\n");
    let replaced = site.infra("apply production --yes --allow-data-loss db_instance.main").await;
    assert!(replaced.stdout.contains("blocked db_instance.main: it is protected"), "{}", replaced.stdout);
    assert!(replaced.refused().contains("nothing was changed"), "{}", replaced.stderr);
    site.write(
        PRODUCTION,
        &file
            .split("\nresources:")
            .next()
            .unwrap()
            .replace("  jwt: {", "  other: {")
            .replace("secrets.jwt", "secrets.other"),
    );
    let gone = site.infra("apply production --yes --allow-data-loss secret.jwt").await;
    assert!(gone.refused().contains("nothing was changed"), "{}", gone.stderr);
    for address in &protected[1..] {
        let line = format!("blocked {address}: it is protected (its tag infra:protect says so), and would be deleted");
        assert!(gone.stdout.contains(&line), "{}", gone.stdout);
    }
    let destroyed = site.infra("destroy production --confirm production").await;
    assert!(destroyed.refused().contains("nothing was changed"), "{}", destroyed.stderr);
    for address in protected {
        assert!(destroyed.stdout.contains(&format!("blocked {address}: it is protected")), "{}", destroyed.stdout);
    }
    account::same(&before, &account::contents(&site.aws).await, "it is refused");

    site.write(PRODUCTION, &file.replace("protect: true", "protect: false"));
    let plan = site.plan(PRODUCTION).await;
    assert!(steps(&plan).iter().all(|step| step.starts_with("update ")), "{plan:#}");
    site.infra("apply production --yes").await.well();
    site.infra("destroy production --confirm production").await.well();
    assert_eq!(site.live(PRODUCTION).await.len(), 0);
}

#[tokio::test]
async fn a_deletion_of_more_than_a_third() {
    let site = Site::applied().await;
    let before = account::contents(&site.aws).await;
    let text = site.read(PRODUCTION);
    let (kept, _) = text.split_once("services:\n").unwrap();
    site.write(PRODUCTION, kept);
    let losses = site.infra("apply production --yes").await;
    let allowed = losses.refused().split_once("add: ").unwrap().1.trim().to_owned();
    for command in
        [format!("apply production --yes {allowed}"), format!("apply production --yes --confirm staging {allowed}")]
    {
        let ran = site.infra(&command).await;
        assert!(ran.refused().contains("--confirm"), "{}", ran.stderr);
        account::same(&before, &account::contents(&site.aws).await, &command);
    }
    site.infra(&format!("apply production --yes --confirm production {allowed}")).await.well();
    site.converged(PRODUCTION).await;
}
