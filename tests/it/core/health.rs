//! What is broken, on its way, gone or going.

use insta::assert_snapshot;

use super::scenario::{DATABASE, NETWORK, but, check, steps};

const GATEWAY: &str = r#"
nat_gateway.a: { subnet_id: subnet-1, connectivity: private }
route_table.a: { vpc_id: vpc-1, routes: [{ destination: 0.0.0.0/0, target: { nat_gateway: "${nat_gateway.a.id}" } }] }
"#;

#[test]
fn what_has_failed_is_replaced() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: { failed: no address left }, subnet_id: subnet-1");
    assert_snapshot!(check(GATEWAY, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace nat_gateway.a  replacement: it has failed: no address left
      ~ update  route_table.a  routes differs
          - routes: {destination: "0.0.0.0/0", target: {nat_gateway: id of nat_gateway.a}}
          + routes: {destination: "0.0.0.0/0", target: {nat_gateway: → id of nat_gateway.a (replaced in this plan)}}

    Plan: 1 to replace, 1 to update, 0 unchanged. About 4 minutes.
    "#);
    assert_snapshot!(steps(GATEWAY, &live), @r"
    delete nat_gateway.a
    create nat_gateway.a  after delete nat_gateway.a
    update route_table.a  after create nat_gateway.a
    ");
}

#[test]
fn what_has_failed_and_left_the_file_is_deleted() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: { failed: no address left }, subnet_id: subnet-1");
    assert_snapshot!(check("", &live), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  nat_gateway.a  all of the environment goes
      - delete  route_table.a  all of the environment goes

    Plan: 2 to delete, 0 unchanged. About 2 minutes.
    ");
}

#[test]
fn what_has_failed_and_has_a_generated_name_is_not_made_beside_itself() {
    let live = but(DATABASE, "{ subnets", "{ is: { failed: broken }, name: acme-test-main-123456, subnets");
    assert_snapshot!(steps(DATABASE, &live), @r"
    delete db_instance.main
    delete db_subnet_group.main  after delete db_instance.main
    create db_subnet_group.main  after delete db_subnet_group.main
    create db_instance.main  after create db_subnet_group.main
    ");
}

#[test]
fn what_is_on_its_way_is_waited_for() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: pending, subnet_id: subnet-1");
    assert_snapshot!(check(GATEWAY, &live), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  nat_gateway.a  not ready yet: waits for it

    Plan: 1 to update, 1 unchanged. About 2 minutes.
    ");
    assert_snapshot!(steps(GATEWAY, &live), @"wait for nat_gateway.a");
}

#[test]
fn what_is_on_its_way_and_differs_is_changed() {
    let live = but(DATABASE, "engine: postgres", "is: pending\n  engine: postgres");
    assert_snapshot!(check(&but(DATABASE, "storage_gb: 20", "storage_gb: 30"), &live), @r"
    test (acme, account 123456789012, us-east-1)

      ~ update  db_instance.main  storage_gb differs
          ~ storage_gb: 20 → 30

    Plan: 1 to update, 2 unchanged.
    ");
}

#[test]
fn what_uses_it_waits_too() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: pending, subnet_id: subnet-1");
    let desired = but(GATEWAY, "destination: 0.0.0.0/0", "destination: 10.0.0.0/8");
    assert_snapshot!(steps(&desired, &live), @r"
    wait for nat_gateway.a
    update route_table.a  after wait for nat_gateway.a
    ");
}

#[test]
fn what_is_gone_is_made_again_whoever_still_shows_it() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: tombstone, subnet_id: subnet-1");
    assert_snapshot!(check(GATEWAY, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  route_table.a  routes differs
          - routes: {destination: "0.0.0.0/0", target: {nat_gateway: "nat_gateway.a#id"}}
          + routes: {destination: "0.0.0.0/0", target: {nat_gateway: → id of nat_gateway.a (created in this plan)}}
      + create  nat_gateway.a  connectivity private, subnet_id subnet-1

    Plan: 1 to update, 1 to create, 0 unchanged. About 2 minutes.
    "#);
    assert_snapshot!(check("", &live), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  route_table.a  all of the environment goes

    Plan: 1 to delete, 0 unchanged.
    ");
}

#[test]
fn what_is_gone_beside_what_is_there() {
    let live = format!(
        "{NETWORK}subnet.a@gone: {{ vpc_id: \"${{vpc.main.id}}\", cidr: 10.0.0.0/20, zone: us-east-1a, is: tombstone }}\n"
    );
    assert_snapshot!(check(NETWORK, &live), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 3 resources are as the file says.
    ");
    assert_snapshot!(check("", &live), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.a  all of the environment goes
      - delete  subnet.b  all of the environment goes
      - delete  vpc.main  all of the environment goes

    Plan: 3 to delete, 0 unchanged.
    ");
}

#[test]
fn what_is_scheduled_for_deletion_is_restored() {
    let desired = "secret.key: { description: a key }\n";
    assert_snapshot!(check(desired, "secret.key: { is: restorable }"), @r#"
    test (acme, account 123456789012, us-east-1)

      + create  secret.key  restored: it was scheduled for deletion
          ~ description: "" → "a key"

    Plan: 1 to create, 0 unchanged.
    "#);
    assert_snapshot!(steps(desired, "secret.key: { is: restorable }"), @"update secret.key");
    assert_snapshot!(check(desired, "secret.key: { is: restorable, description: a key }"), @r"
    test (acme, account 123456789012, us-east-1)

      + create  secret.key  restored: it was scheduled for deletion

    Plan: 1 to create, 0 unchanged.
    ");
    assert_snapshot!(check("", "secret.key: { is: restorable }"), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 0 resources are as the file says.
    ");
}

#[test]
fn what_is_scheduled_for_deletion_under_another_name_is_no_match() {
    assert_snapshot!(check("secret.key: { name: new }", "secret.key: { name: old, is: restorable }"), @r"
    test (acme, account 123456789012, us-east-1)

      + create  secret.key  name new

    Plan: 1 to create, 0 unchanged.
    ");
}

#[test]
fn what_others_added_is_a_note() {
    let live = "security_group.a: { vpc_id: vpc-1, description: a, notes: [others added a rule] }";
    assert_snapshot!(check("security_group.a: { vpc_id: vpc-1, description: a }", live), @r"
    test (acme, account 123456789012, us-east-1)

    note security_group.a: others added a rule

    No changes: 1 resource is as the file says.
    ");
}

#[test]
fn two_with_one_identity_block_it_and_what_depends_on_it() {
    let live = format!("{NETWORK}vpc.main@twin: {{ cidr: 10.0.0.0/16 }}\n");
    let desired = but(&format!("{NETWORK}elastic_ip.a: {{}}\n"), "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(&desired, &live), @r"
    test (acme, account 123456789012, us-east-1)

      + create  elastic_ip.a

    blocked vpc.main: 2 live resources carry this address: vpc.main, vpc.main@twin
            delete the one that nothing uses, or remove its infra: tags

    Plan: 1 to create, 2 unchanged.
    ");
}
