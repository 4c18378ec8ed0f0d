//! Plans that are saved, looked at, and applied later.

use super::account;
use super::site::{PRODUCTION, Site, steps};

#[tokio::test]
async fn a_saved_plan_does_what_it_showed_or_nothing() {
    let site = Site::start().await;
    let saved = site.infra("plan production --save first.json").await.well();
    assert!(saved.stderr.contains("infra apply first.json"), "{}", saved.stderr);
    // What the file says by now does not matter: the plan holds what it was made from.
    site.edit(PRODUCTION, "path: /health, interval: 30s", "path: /ready, interval: 30s");
    let applied = site.infra("apply first.json").await.well();
    assert!(applied.stdout.contains("Plan: 72 to create"), "{}", applied.stdout);
    let plan = site.plan(PRODUCTION).await;
    assert_eq!(steps(&plan), ["update target_group.api-blue", "update target_group.api-green"]);

    site.infra("plan production --save second.json").await.well();
    site.infra("plan production --target target_group.api-blue --save part.json").await.well();
    let blue = site.ids(PRODUCTION).await.remove("target_group.api-blue").unwrap();
    let request = site.aws.elb().modify_target_group().target_group_arn(&blue).health_check_path("/other");
    request.send().await.unwrap();
    let before = account::contents(&site.aws).await;
    let path = "  target_group.api-blue: health_check.path was \"/health\", is \"/other\" now\n";
    for (file, told) in [("first.json", "  and 52 more\n"), ("second.json", path), ("part.json", path)] {
        let moved = site.infra(&format!("apply {file}")).await;
        let why = moved.refused();
        assert!(why.contains("the world has moved since this plan was saved; nothing was changed\n  "), "{why}");
        assert!(why.contains(told) && why.ends_with("  plan again: infra plan production\n"), "{why}");
        assert_eq!(moved.stdout, "");
    }
    account::same(&before, &account::contents(&site.aws).await, "it is refused");

    let request = site.aws.elb().modify_target_group().target_group_arn(&blue).health_check_path("/health");
    request.send().await.unwrap();
    let other = site.infra("apply part.json --target vpc.main").await;
    assert!(other.refused().contains("part.json already says which part is applied"), "{other:?}");
    site.infra("apply part.json").await.well();
    assert_eq!(steps(&site.plan(PRODUCTION).await), ["update target_group.api-green"], "only what was selected");
    let moved = site.infra("apply second.json").await;
    assert!(moved.refused().contains("target_group.api-blue: health_check.path was"), "{}", moved.stderr);
}

/// What others and we did since, each told as what it is.
#[tokio::test]
async fn what_has_moved_is_told() {
    let site = Site::applied().await;
    site.edit(PRODUCTION, "path: /health, interval: 30s", "path: /ready, interval: 30s");
    site.edit(PRODUCTION, "description: Signs the sessions", "description: Made sessions");
    site.infra("plan production --save plan.json").await.well();
    let ids = site.ids(PRODUCTION).await;
    let (elb, blue) = (site.aws.elb(), &ids["target_group.api-blue"]);
    elb.modify_target_group().target_group_arn(blue).health_check_path("/ready").send().await.unwrap();
    let green = elb.modify_target_group().target_group_arn(&ids["target_group.api-green"]);
    green.healthy_threshold_count(4).send().await.unwrap();
    site.aws.logs().delete_log_group().log_group_name(&ids["log_group.web"]).send().await.unwrap();
    site.aws.secrets().delete_secret().secret_id(&ids["secret.jwt"]).send().await.unwrap();
    let moved = site.emulator.at_once(site.infra("apply plan.json")).await;
    let why = moved.refused().split_once('\n').unwrap().1;
    insta::assert_snapshot!(why, @r#"
    log_group.web: is gone from AWS
    secret.jwt: is gone from AWS
    target_group.api-blue: health_check.path was "/health", is "/ready" now
    target_group.api-green: health_check.healthy was 2, is 4 now
    plan again: infra plan production
    "#);

    let text = std::fs::read_to_string(site.path("plan.json")).unwrap();
    site.infra("plan production --save plan.json").await.well();
    let now = std::fs::read_to_string(site.path("plan.json")).unwrap();
    assert_ne!(text, now);
    std::fs::write(site.path("plan.json"), now.replace("/ready", "/elsewhere")).unwrap();
    let changed = site.infra("apply plan.json").await;
    assert!(changed.refused().contains("/elsewhere"), "{}", changed.stderr);
}

#[tokio::test]
async fn a_file_that_is_no_plan() {
    let site = Site::start().await;
    std::fs::write(site.path("plan.json"), "{}").unwrap();
    let ran = site.infra("apply plan.json").await;
    assert!(ran.refused().contains("plan.json is not a saved plan"), "{ran:?}");
}
