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
    for file in ["first.json", "second.json", "part.json"] {
        let moved = site.infra(&format!("apply {file}")).await;
        assert!(
            moved.refused().contains("the world has moved since this plan was saved; nothing was changed"),
            "{moved:?}"
        );
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
    assert!(moved.refused().contains("the world has moved"), "{moved:?}");
}

#[tokio::test]
async fn a_file_that_is_no_plan() {
    let site = Site::start().await;
    std::fs::write(site.path("plan.json"), "{}").unwrap();
    let ran = site.infra("apply plan.json").await;
    assert!(ran.refused().contains("plan.json is not a saved plan"), "{ran:?}");
}
