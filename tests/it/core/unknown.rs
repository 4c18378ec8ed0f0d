//! Outputs that are not known before applying are explained.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps};

#[test]
fn an_id_of_what_is_created() {
    let live = but(SERVICE, "security_group.api: { vpc_id: vpc-1, description: api }\n", "");
    let live = but(&live, "[\"${security_group.api.id}\"]", "[sg-1]");
    assert_snapshot!(check(SERVICE, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api     restarts it: security_groups differs
          - security_groups: "sg-1"
          + security_groups: → id of security_group.api (created in this plan)
      + create  security_group.api  description api, vpc_id vpc-1

    Plan: 1 to update, 1 to create, 2 unchanged.
    "#);
}

#[test]
fn an_id_of_what_is_replaced() {
    let live = but(NETWORK, "10.0.0.0/16", "10.0.0.0/17");
    assert_snapshot!(check(NETWORK, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace subnet.a  replacement: AWS cannot change vpc_id in place; the old one goes first
          ~ vpc_id: "vpc.main#id" → id of vpc.main (replaced in this plan)  forces replacement
      ± replace subnet.b  replacement: AWS cannot change vpc_id in place; the old one goes first
          ~ vpc_id: "vpc.main#id" → id of vpc.main (replaced in this plan)  forces replacement
      ± replace vpc.main  replacement: AWS cannot change cidr in place; the old one goes first
          ~ cidr: "10.0.0.0/17" → "10.0.0.0/16"  forces replacement

    Plan: 3 to replace, 0 unchanged.
    "#);
}

#[test]
fn a_revision_of_what_is_updated() {
    let desired = but(SERVICE, "api:1", "api:2");
    assert_snapshot!(check(&desired, SERVICE), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api      restarts it: task_definition_arn differs
          ~ task_definition_arn: "task_definition.api#arn" → arn of task_definition.api (updated in this plan)
      ~ update  task_definition.api  containers differs
          ~ containers[api].image: "api:1" → "api:2"

    Plan: 2 to update, 2 unchanged.
    "#);
    assert_snapshot!(steps(&desired, SERVICE), @r"
    update task_definition.api
    update ecs_service.api  after update task_definition.api
    ");
}

#[test]
fn a_part_of_a_text() {
    let desired = format!("{DATABASE}{SERVICE}");
    let desired = but(
        &desired,
        "image: \"api:1\"",
        "image: \"api:1\", environment: { URL: \"postgres://${db_instance.main.endpoint}:5432\" }",
    );
    assert_snapshot!(check(&desired, SERVICE), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api       restarts it: task_definition_arn differs
          ~ task_definition_arn: "task_definition.api#arn" → arn of task_definition.api (updated in this plan)
      ~ update  task_definition.api   containers differs
          + containers[api].environment: {URL: "postgres://${db_instance.main.endpoint}:5432"}
      + create  db_instance.main      class db.t4g.micro, engine postgres, port 5432
      + create  db_subnet_group.main
      + create  security_group.db     description db, vpc_id vpc-1

    Plan: 2 to update, 3 to create, 2 unchanged. About 12 minutes.
    "#);
    let live = but(&desired, "engine: postgres", "is: { failed: incompatible network }\n  engine: postgres");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace db_instance.main     DATA LOSS: it has failed: incompatible network
      ~ update  ecs_service.api      restarts it: task_definition_arn differs
          ~ task_definition_arn: "task_definition.api#arn" → arn of task_definition.api (updated in this plan)
      ~ update  task_definition.api  containers differs
          ~ containers[api].environment.URL: "postgres://db_instance.main#endpoint:5432" → "postgres://${db_instance.main.endpoint}:5432"

    Plan: 1 to replace, 2 to update, 4 unchanged. About 20 minutes.
    "#);
}

#[test]
fn an_output_that_stays_while_its_resource_changes_is_known() {
    let live = format!("{NETWORK}{}", but(GROUPS, "vpc.main: { cidr: 10.0.0.0/16 }", ""));
    let desired = but(&live, "vpc.main: { cidr", "vpc.main: { dns_hostnames: true, cidr");
    assert_snapshot!(check(&desired, &live), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  vpc.main  dns_hostnames differs
          ~ dns_hostnames: false → true

    Plan: 1 to update, 4 unchanged.
    ");
}

#[test]
fn a_rule_with_a_group_that_is_replaced() {
    let desired = but(GROUPS, "description: api", "description: program");
    assert_snapshot!(check(&desired, GROUPS), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace security_group.api  replacement: AWS cannot change description in place; the new one is made first
          ~ description: "api" → "program"  forces replacement
      ~ update  security_group.web  egress differs
          - egress: {peer: {security_group: id of security_group.api}, ports: 3000, protocol: "tcp"}
          + egress: {peer: {security_group: → id of security_group.api (replaced in this plan)}, ports: 3000, protocol: "tcp"}

    Plan: 1 to replace, 1 to update, 1 unchanged.
    "#);
}
