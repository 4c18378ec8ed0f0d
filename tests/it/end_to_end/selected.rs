//! `--target` and `--exclude`.

use super::site::{PRODUCTION, Site, steps};

#[tokio::test]
async fn only_what_is_selected_and_what_that_needs() {
    let site = Site::start().await;
    let target = site.infra("plan production --format json --target nat_gateway.b").await.well().json();
    let needed = [
        "create elastic_ip.nat-b",
        "create internet_gateway.main",
        "create nat_gateway.b",
        "create subnet.public-b",
        "create vpc.main",
    ];
    assert_eq!(steps(&target), needed);
    site.infra("apply production --yes --target nat_gateway.b").await.well();
    assert_eq!(site.ids(PRODUCTION).await.len(), needed.len());

    let excluded = "--exclude db_instance.main --exclude load_balancer.public";
    let plan = site.infra(&format!("plan production --format json {excluded}")).await.well().json();
    let plan = steps(&plan);
    for left in [
        "db_instance.main",
        "load_balancer.public",
        "listener.public-https",
        "listener_rule.api",
        "task_definition.api",
    ] {
        assert!(!plan.contains(&format!("create {left}")), "{left} is excluded, or needs what is: {plan:?}");
    }
    for kept in ["db_subnet_group.main", "target_group.api-blue", "security_group.db-main", "task_definition.web"] {
        assert!(plan.contains(&format!("create {kept}")), "{kept} needs nothing that is excluded: {plan:?}");
    }
    site.infra(&format!("apply production --yes {excluded}")).await.well();
    assert_eq!(site.ids(PRODUCTION).await.len(), needed.len() + plan.len());
    site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
}

#[tokio::test]
async fn an_address_that_does_not_exist() {
    let site = Site::start().await;
    let wrong = site.infra("plan production --target no-address").await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("`no-address` is not an address"), "{}", wrong.stderr);
    for flag in ["--target", "--exclude"] {
        let nobody = site.infra(&format!("apply production --yes {flag} vpc.mian")).await;
        assert!(
            nobody.refused().contains("there is no vpc.mian, neither in the file nor in AWS; did you mean vpc.main?"),
            "{nobody:?}"
        );
    }
    assert!(site.ids(PRODUCTION).await.is_empty());
}
