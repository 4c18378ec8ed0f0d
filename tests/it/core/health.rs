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
    assert_snapshot!(check(GATEWAY, &live), @"");
    assert_snapshot!(steps(GATEWAY, &live), @"");
}

#[test]
fn what_has_failed_and_left_the_file_is_deleted() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: { failed: no address left }, subnet_id: subnet-1");
    assert_snapshot!(check("", &live), @"");
}

#[test]
fn what_has_failed_and_has_a_generated_name_is_not_made_beside_itself() {
    let live = but(DATABASE, "{ subnets", "{ is: { failed: broken }, name: acme-test-main-123456, subnets");
    assert_snapshot!(steps(DATABASE, &live), @"");
}

#[test]
fn what_is_on_its_way_is_waited_for() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: pending, subnet_id: subnet-1");
    assert_snapshot!(check(GATEWAY, &live), @"");
    assert_snapshot!(steps(GATEWAY, &live), @"");
}

#[test]
fn what_is_on_its_way_and_differs_is_changed() {
    let live = but(DATABASE, "engine: postgres", "is: pending\n  engine: postgres");
    assert_snapshot!(check(&but(DATABASE, "storage_gb: 20", "storage_gb: 30"), &live), @"");
}

#[test]
fn what_uses_it_waits_too() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: pending, subnet_id: subnet-1");
    let desired = but(GATEWAY, "destination: 0.0.0.0/0", "destination: 10.0.0.0/8");
    assert_snapshot!(steps(&desired, &live), @"");
}

#[test]
fn what_is_gone_is_made_again_whoever_still_shows_it() {
    let live = but(GATEWAY, "subnet_id: subnet-1", "is: tombstone, subnet_id: subnet-1");
    assert_snapshot!(check(GATEWAY, &live), @"");
    assert_snapshot!(check("", &live), @"");
}

#[test]
fn what_is_gone_beside_what_is_there() {
    let live = format!("{NETWORK}subnet.a@gone: {{ vpc_id: \"${{vpc.main.id}}\", cidr: 10.0.0.0/20, zone: us-east-1a, is: tombstone }}\n");
    assert_snapshot!(check(NETWORK, &live), @"");
    assert_snapshot!(check("", &live), @"");
}

#[test]
fn what_is_scheduled_for_deletion_is_restored() {
    let desired = "secret.key: { description: a key }\n";
    assert_snapshot!(check(desired, "secret.key: { is: restorable }"), @"");
    assert_snapshot!(steps(desired, "secret.key: { is: restorable }"), @"");
    assert_snapshot!(check(desired, "secret.key: { is: restorable, description: a key }"), @"");
    assert_snapshot!(check("", "secret.key: { is: restorable }"), @"");
}

#[test]
fn what_is_scheduled_for_deletion_under_another_name_is_no_match() {
    assert_snapshot!(check("secret.key: { name: new }", "secret.key: { name: old, is: restorable }"), @"");
}

#[test]
fn what_others_added_is_a_note() {
    let live = "security_group.a: { vpc_id: vpc-1, description: a, notes: [others added a rule] }";
    assert_snapshot!(check("security_group.a: { vpc_id: vpc-1, description: a }", live), @"");
}

#[test]
fn two_with_one_identity_block_it_and_what_depends_on_it() {
    let live = format!("{NETWORK}vpc.main@twin: {{ cidr: 10.0.0.0/16 }}\n");
    let desired = but(&format!("{NETWORK}elastic_ip.a: {{}}\n"), "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(&desired, &live), @"");
}
