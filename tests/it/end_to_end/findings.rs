//! Findings stop a plan and an apply, unless the file allows them; `explain` says what they are about.

use serde_json::{Value as Json, json};

use super::site::Site;

fn of<'a>(plan: &'a Json, code: &str) -> Vec<&'a Json> {
    plan["findings"].as_array().unwrap().iter().filter(|finding| finding["code"] == code).collect()
}

#[tokio::test]
async fn an_error_stops_and_an_allowance_lets_pass() {
    let site = Site::start().await;
    site.edit("production", "keep: 7d }", "keep: 0d }");
    for command in ["validate", "plan production", "plan production --format json", "apply production --yes"] {
        let said = site.infra(command).await;
        assert!(said.refused().contains("error[no_backups]: db_instance.main: it has no backups"), "{said:?}");
        assert!(
            said.stderr.contains("keep: 0d }")
                && said.stderr.contains("allow: { db_instance.main: [no_backups: ...] }")
        );
    }
    assert_eq!(
        site.aws
            .ec2()
            .describe_vpcs()
            .send()
            .await
            .unwrap()
            .vpcs()
            .iter()
            .filter(|vpc| vpc.is_default != Some(true))
            .count(),
        0
    );

    site.edit("production", "\nallow:\n", "\nallow:\n  db_instance.main: [no_backups: it holds a copy]\n");
    let said = site.infra("validate production").await.well();
    assert!(
        said.stderr.contains("2 findings are allowed by the file") && !said.stderr.contains("no_backups"),
        "{said:?}"
    );
    let said = site.infra("plan production --format json").await.well();
    let plan = said.json();
    assert_eq!(said.stderr, "", "programs read findings in the document");
    let [finding] = of(&plan, "no_backups")[..] else { panic!("{plan}") };
    assert_eq!((&finding["address"], &finding["allowed"]), (&json!("db_instance.main"), &json!("it holds a copy")));
    assert_eq!((&finding["severity"], &finding["path"]), (&json!("error"), &json!("backup_retention_days")));

    // What is mended needs no allowance, which says so.
    site.edit("production", "keep: 0d }", "keep: 7d }");
    let said = site.infra("plan production").await.well();
    assert!(said.stderr.contains("warning[stale_allowance]: db_instance.main has no finding `no_backups`"), "{said:?}");
}

#[tokio::test]
async fn explain_needs_no_aws() {
    let site = Site::start().await;
    let nowhere = "http://127.0.0.1:9";
    let said = site.through(nowhere, "explain production security_group.db-main").await.well().stdout;
    assert!(said.contains("The firewall of database main: in from the services that use it, out nothing."), "{said}");
    assert!(said.contains("Reaches\n  nothing\n\nIs reached by\n  security_group.api: tcp 5432\n"), "{said}");
    let said = site.through(nowhere, "explain production").await.well().stdout;
    assert!(said.contains("databases.main (environments/production.yaml:"), "{said}");
    let said = site.through(nowhere, "explain production security_group.db-mian").await;
    assert!(said.refused().contains("did you mean security_group.db-main?"), "{said:?}");
    let said = site.through(nowhere, "explain no_backups").await.well().stdout;
    assert!(
        said.contains("cannot be undone") && said.contains("allow: { ADDRESS: [no_backups: the reason] }"),
        "{said}"
    );
    let said = site.through(nowhere, "explain no_backup").await;
    assert!(said.refused().contains("did you mean no_backups?"), "{said:?}");
}
