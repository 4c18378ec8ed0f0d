//! What releases and autoscaling own at run time is shown and never planned.

use insta::assert_snapshot;

use super::scenario::{SERVICE, but, check, steps};

fn released() -> String {
    but(SERVICE, "cluster_arn", "owner: release\n  cluster_arn")
}

#[test]
fn a_release_chose_the_count_and_the_definition() {
    let live = but(&released(), "\"${task_definition.api.arn}\"", "task_definition.api:7\n  desired_count: 5");
    assert_snapshot!(check(&released(), &live), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 4 resources are as the file says.
    ");
}

#[test]
fn a_new_definition_does_not_restart_what_a_release_chose() {
    let desired = but(&released(), "memory: 512", "memory: 1024");
    assert_snapshot!(check(&desired, &released()), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  task_definition.api  memory differs
          ~ memory: 512 → 1024

    Plan: 1 to update, 3 unchanged.

    Awaits release:
      api: memory 512 → 1024. Run: infra bluegreen run test api
    ");
    assert_snapshot!(steps(&desired, &released()), @"update task_definition.api");
}

#[test]
fn a_new_definition_restarts_what_the_file_chose() {
    let desired = but(SERVICE, "memory: 512", "memory: 1024");
    assert_snapshot!(check(&desired, SERVICE), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api      restarts it: task_definition_arn differs
          ~ task_definition_arn: "task_definition.api#arn" → arn of task_definition.api (updated in this plan)
      ~ update  task_definition.api  memory differs
          ~ memory: 512 → 1024

    Plan: 2 to update, 2 unchanged.
    "#);
    assert_snapshot!(steps(&desired, SERVICE), @r"
    update task_definition.api
    update ecs_service.api  after update task_definition.api
    ");
}

#[test]
fn a_count_under_autoscaling() {
    let desired = but(SERVICE, "cluster_arn", "autoscaled: true\n  cluster_arn");
    let live = but(&desired, "autoscaled: true", "autoscaled: true\n  desired_count: 9");
    assert_snapshot!(check(&desired, &live), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 4 resources are as the file says.
    ");
    let live = but(SERVICE, "cluster_arn", "desired_count: 9\n  cluster_arn");
    assert_snapshot!(check(SERVICE, &live), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api  desired_count differs
          ~ desired_count: 9 → 1

    Plan: 1 to update, 3 unchanged.
    ");
}

#[test]
fn a_released_service_is_changed_where_no_release_owns_it() {
    let live = but(&released(), "\"${task_definition.api.arn}\"", "task_definition.api:7\n  desired_count: 5");
    let desired = but(&released(), "subnets: [subnet-1, subnet-2]", "subnets: [subnet-1]");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api  restarts it: subnets differs
          - subnets: "subnet-2"

    Plan: 1 to update, 3 unchanged.
    "#);
}

#[test]
fn an_image_without_a_tag_is_the_releases() {
    let desired = but(SERVICE, "image: \"api:1\" }]", "image: api }], image_owner: release");
    let live = but(&desired, "image: api", "image: \"api:4711\"");
    assert_snapshot!(check(&desired, &live), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 4 resources are as the file says.
    ");
    assert_snapshot!(check(&but(&desired, "memory: 512", "memory: 1024"), &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api      restarts it: task_definition_arn differs
          ~ task_definition_arn: "task_definition.api#arn" → arn of task_definition.api (updated in this plan)
      ~ update  task_definition.api  memory differs
          ~ memory: 512 → 1024

    Plan: 2 to update, 2 unchanged.
    "#);
}

#[test]
fn a_database_that_aws_upgraded_and_grew() {
    let database = r#"
db_instance.main: { engine: postgres, engine_version: "15.4", class: db.t4g.micro, storage_gb: 20, max_storage_gb: 100, master_username: root, subnet_group_name: main, security_groups: [sg-1] }
"#;
    let live = but(&but(database, "15.4", "15.7"), "storage_gb: 20", "storage_gb: 35");
    assert_snapshot!(check(database, &live), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 1 resource is as the file says.
    ");
    assert_snapshot!(check(&but(database, "15.4", "16.1"), &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  db_instance.main  restarts it: engine_version differs
          ~ engine_version: "15.7" → "16.1"

    Plan: 1 to update, 0 unchanged.
    "#);
}

#[test]
fn a_secret_keeps_the_value_that_it_has() {
    assert_snapshot!(check("secret.key: { generate: { length: 40 } }", "secret.key: {}"), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 1 resource is as the file says.
    ");
}
