//! What differs is changed in place, and nothing else is said.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps};

#[test]
fn one_field() {
    assert_snapshot!(check(&but(NETWORK, "{ cidr: 10.0.0.0/16", "{ dns_hostnames: true, cidr: 10.0.0.0/16"), NETWORK), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  vpc.main  dns_hostnames differs
          ~ dns_hostnames: false → true

    Plan: 1 to update, 2 unchanged.
    ");
}

#[test]
fn a_line_that_left_the_file_goes_back_to_the_default() {
    let live = but(NETWORK, "{ cidr: 10.0.0.0/16", "{ dns_hostnames: true, dns_support: false, cidr: 10.0.0.0/16");
    assert_snapshot!(check(NETWORK, &live), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  vpc.main  dns_hostnames, dns_support differ
          ~ dns_hostnames: true → false
          ~ dns_support: false → true

    Plan: 1 to update, 2 unchanged.
    ");
}

#[test]
fn a_default_that_the_file_spells_out_is_no_change() {
    let desired = but(NETWORK, "{ cidr: 10.0.0.0/16", "{ dns_hostnames: false, dns_support: true, cidr: 10.0.0.0/16");
    assert_snapshot!(check(&desired, NETWORK), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 3 resources are as the file says.
    ");
}

#[test]
fn tags_one_by_one() {
    let desired = "elastic_ip.a: { tags: { team: web, stage: live } }";
    let live = "elastic_ip.a: { tags: { team: api, owner: me } }";
    assert_snapshot!(check(desired, live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  elastic_ip.a  tags differs
          - tags.owner: "me"
          + tags.stage: "live"
          ~ tags.team: "api" → "web"

    Plan: 1 to update, 0 unchanged.
    "#);
}

#[test]
fn the_order_of_a_set_is_no_change() {
    let live = but(SERVICE, "[subnet-1, subnet-2]", "[subnet-2, subnet-1, subnet-2]");
    assert_snapshot!(check(SERVICE, &live), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 4 resources are as the file says.
    ");
}

#[test]
fn entries_of_a_set() {
    assert_snapshot!(check(&but(SERVICE, "[subnet-1, subnet-2]", "[subnet-3, subnet-2]"), SERVICE), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api  restarts it: subnets differs
          - subnets: "subnet-1"
          + subnets: "subnet-3"

    Plan: 1 to update, 3 unchanged.
    "#);
}

#[test]
fn rules_of_a_group_are_compared_in_their_normal_form() {
    let rule = |range: &str| {
        format!(
            "security_group.a: {{ vpc_id: vpc-1, description: a, ingress: [{{ protocol: tcp, ports: 443, peer: {{ cidr: {range} }} }}] }}"
        )
    };
    assert_snapshot!(check(&rule("10.1.2.3/8"), &rule("10.0.0.0/8")), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 1 resource is as the file says.
    ");
    assert_snapshot!(check(&rule("11.0.0.0/8"), &rule("10.0.0.0/8")), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  security_group.a  ingress differs
          - ingress: {peer: {cidr: "10.0.0.0/8"}, ports: 443, protocol: "tcp"}
          + ingress: {peer: {cidr: "11.0.0.0/8"}, ports: 443, protocol: "tcp"}

    Plan: 1 to update, 0 unchanged.
    "#);
}

#[test]
fn a_rule_that_names_another_group_shows_its_id_where_it_is_known() {
    let live = but(GROUPS, "ports: 443", "ports: 80");
    let live = but(&live, "{ security_group: \"${security_group.web.id}\" }", "{ cidr: 10.0.0.0/8 }");
    assert_snapshot!(check(GROUPS, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  security_group.api  ingress differs
          - ingress: {peer: {cidr: "10.0.0.0/8"}, ports: 3000, protocol: "tcp"}
          + ingress: {peer: {security_group: id of security_group.web}, ports: 3000, protocol: "tcp"}
      ~ update  security_group.web  ingress differs
          - ingress: {peer: {cidr: "0.0.0.0/0"}, ports: 80, protocol: "tcp"}
          + ingress: {peer: {cidr: "0.0.0.0/0"}, ports: 443, protocol: "tcp"}

    Plan: 2 to update, 1 unchanged.
    "#);
}

#[test]
fn a_container_by_its_name() {
    let desired = but(SERVICE, "image: \"api:1\"", "image: \"api:2\", environment: { LEVEL: debug }");
    let desired = but(&desired, "containers: [", "containers: [{ name: sidecar, image: \"proxy:1\" }, ");
    assert_snapshot!(check(&desired, SERVICE), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  ecs_service.api      restarts it: task_definition_arn differs
          ~ task_definition_arn: "task_definition.api#arn" → arn of task_definition.api (updated in this plan)
      ~ update  task_definition.api  containers differs
          + containers[api].environment: {LEVEL: "debug"}
          ~ containers[api].image: "api:1" → "api:2"
          + containers[sidecar]: {cpu: 0, essential: true, image: "proxy:1", init_process: false, name: "sidecar", readonly_root: false}

    Plan: 2 to update, 2 unchanged.
    "#);
    assert_snapshot!(steps(&desired, SERVICE), @r"
    update task_definition.api
    update ecs_service.api  after update task_definition.api
    ");
}

#[test]
fn what_restarts_says_so() {
    assert_snapshot!(check(&but(DATABASE, "db.t4g.micro", "db.t4g.small"), DATABASE), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  db_instance.main  restarts it: class differs
          ~ class: "db.t4g.micro" → "db.t4g.small"

    Plan: 1 to update, 2 unchanged.
    "#);
    assert_snapshot!(check(&but(DATABASE, "storage_gb: 20", "storage_gb: 40"), DATABASE), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  db_instance.main  storage_gb differs
          ~ storage_gb: 20 → 40

    Plan: 1 to update, 2 unchanged.
    ");
}

#[test]
fn a_field_that_the_file_leaves_open_may_be_anything() {
    let live = but(DATABASE, "{ subnets", "{ name: acme-test-main-123456, subnets");
    let live = but(&live, "engine: postgres", "name: acme-test-main\n  backup_window: 01:00-02:00\n  engine: postgres");
    assert_snapshot!(check(DATABASE, &live), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 3 resources are as the file says.
    ");
    let desired = but(DATABASE, "engine: postgres", "backup_window: 03:00-04:00\n  engine: postgres");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  db_instance.main  backup_window differs
          ~ backup_window: "01:00-02:00" → "03:00-04:00"

    Plan: 1 to update, 2 unchanged.
    "#);
}

#[test]
fn a_user_changes_after_what_it_uses() {
    let desired = but(SERVICE, "ecs_cluster.main: {}", "ecs_cluster.main: { container_insights: enabled }");
    let desired = but(&desired, "subnets: [subnet-1, subnet-2]", "subnets: [subnet-3]");
    assert_snapshot!(steps(&desired, SERVICE), @r"
    update ecs_cluster.main
    update ecs_service.api  after update ecs_cluster.main
    ");
}

#[test]
fn a_reference_to_another_of_the_same_kind() {
    let network = format!(
        "{NETWORK}vpc.other: {{ cidr: 10.1.0.0/16 }}\ninternet_gateway.main: {{ vpc_id: \"${{vpc.main.id}}\" }}\n"
    );
    let desired = but(
        &network,
        "internet_gateway.main: { vpc_id: \"${vpc.main.id}\" }",
        "internet_gateway.main: { vpc_id: \"${vpc.other.id}\" }",
    );
    assert_snapshot!(check(&desired, &network), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  internet_gateway.main  vpc_id differs
          ~ vpc_id: id of vpc.main → id of vpc.other

    Plan: 1 to update, 4 unchanged.
    ");
}

#[test]
fn a_gateway_moves_before_its_old_network_goes() {
    let live = r#"
vpc.old: { cidr: 10.1.0.0/16 }
vpc.new: { cidr: 10.2.0.0/16 }
internet_gateway.main: { vpc_id: "${vpc.old.id}" }
"#;
    let desired = but(&but(live, "vpc.old.id", "vpc.new.id"), "vpc.old: { cidr: 10.1.0.0/16 }\n", "");
    assert_snapshot!(steps(&desired, live), @r"
    update internet_gateway.main
    delete vpc.old  after update internet_gateway.main
    ");
}
