//! What differs is changed in place, and nothing else is said.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps};

#[test]
fn one_field() {
    assert_snapshot!(check(&but(NETWORK, "{ cidr: 10.0.0.0/16", "{ dns_hostnames: true, cidr: 10.0.0.0/16"), NETWORK), @"");
}

#[test]
fn a_line_that_left_the_file_goes_back_to_the_default() {
    let live = but(NETWORK, "{ cidr: 10.0.0.0/16", "{ dns_hostnames: true, dns_support: false, cidr: 10.0.0.0/16");
    assert_snapshot!(check(NETWORK, &live), @"");
}

#[test]
fn a_default_that_the_file_spells_out_is_no_change() {
    let desired = but(NETWORK, "{ cidr: 10.0.0.0/16", "{ dns_hostnames: false, dns_support: true, cidr: 10.0.0.0/16");
    assert_snapshot!(check(&desired, NETWORK), @"");
}

#[test]
fn tags_one_by_one() {
    let desired = "elastic_ip.a: { tags: { team: web, stage: live } }";
    let live = "elastic_ip.a: { tags: { team: api, owner: me } }";
    assert_snapshot!(check(desired, live), @"");
}

#[test]
fn the_order_of_a_set_is_no_change() {
    let live = but(SERVICE, "[subnet-1, subnet-2]", "[subnet-2, subnet-1, subnet-2]");
    assert_snapshot!(check(SERVICE, &live), @"");
}

#[test]
fn entries_of_a_set() {
    assert_snapshot!(check(&but(SERVICE, "[subnet-1, subnet-2]", "[subnet-3, subnet-2]"), SERVICE), @"");
}

#[test]
fn rules_of_a_group_are_compared_in_their_normal_form() {
    let rule = |range: &str| {
        format!("security_group.a: {{ vpc_id: vpc-1, description: a, ingress: [{{ protocol: tcp, ports: 443, peer: {{ cidr: {range} }} }}] }}")
    };
    assert_snapshot!(check(&rule("10.1.2.3/8"), &rule("10.0.0.0/8")), @"");
    assert_snapshot!(check(&rule("11.0.0.0/8"), &rule("10.0.0.0/8")), @"");
}

#[test]
fn a_rule_that_names_another_group_shows_its_id_where_it_is_known() {
    let live = but(GROUPS, "ports: 443", "ports: 80");
    let live = but(&live, "{ security_group: \"${security_group.web.id}\" }", "{ cidr: 10.0.0.0/8 }");
    assert_snapshot!(check(GROUPS, &live), @"");
}

#[test]
fn a_container_by_its_name() {
    let desired = but(SERVICE, "image: \"api:1\"", "image: \"api:2\", environment: { LEVEL: debug }");
    let desired = but(&desired, "containers: [", "containers: [{ name: sidecar, image: \"proxy:1\" }, ");
    assert_snapshot!(check(&desired, SERVICE), @"");
    assert_snapshot!(steps(&desired, SERVICE), @"");
}

#[test]
fn what_restarts_says_so() {
    assert_snapshot!(check(&but(DATABASE, "db.t4g.micro", "db.t4g.small"), DATABASE), @"");
    assert_snapshot!(check(&but(DATABASE, "storage_gb: 20", "storage_gb: 40"), DATABASE), @"");
}

#[test]
fn a_field_that_the_file_leaves_open_may_be_anything() {
    let live = but(DATABASE, "{ subnets", "{ name: acme-test-main-123456, subnets");
    let live = but(&live, "engine: postgres", "name: acme-test-main\n  backup_window: 01:00-02:00\n  engine: postgres");
    assert_snapshot!(check(DATABASE, &live), @"");
    let desired = but(DATABASE, "engine: postgres", "backup_window: 03:00-04:00\n  engine: postgres");
    assert_snapshot!(check(&desired, &live), @"");
}

#[test]
fn a_user_changes_after_what_it_uses() {
    let desired = but(SERVICE, "ecs_cluster.main: {}", "ecs_cluster.main: { container_insights: enabled }");
    let desired = but(&desired, "subnets: [subnet-1, subnet-2]", "subnets: [subnet-3]");
    assert_snapshot!(steps(&desired, SERVICE), @"");
}

#[test]
fn a_reference_to_another_of_the_same_kind() {
    let network = format!("{NETWORK}vpc.other: {{ cidr: 10.1.0.0/16 }}\ninternet_gateway.main: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    let desired = but(&network, "internet_gateway.main: { vpc_id: \"${vpc.main.id}\" }", "internet_gateway.main: { vpc_id: \"${vpc.other.id}\" }");
    assert_snapshot!(check(&desired, &network), @"");
}

#[test]
fn a_gateway_moves_before_its_old_network_goes() {
    let live = format!("vpc.old: {{ cidr: 10.1.0.0/16 }}\nvpc.new: {{ cidr: 10.2.0.0/16 }}\ninternet_gateway.main: {{ vpc_id: \"${{vpc.old.id}}\" }}\n");
    let desired = but(&but(&live, "vpc.old.id", "vpc.new.id"), "vpc.old: { cidr: 10.1.0.0/16 }\n", "");
    assert_snapshot!(steps(&desired, &live), @"");
}
