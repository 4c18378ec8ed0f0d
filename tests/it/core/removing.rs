//! What left the file is deleted, after what refers to it; what makes room goes before what takes it.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps};

#[test]
fn everything() {
    assert_snapshot!(check("", NETWORK), @"");
    assert_snapshot!(steps("", NETWORK), @"");
}

#[test]
fn groups_that_name_each_other_are_emptied_first() {
    assert_snapshot!(steps("", GROUPS), @"");
}

#[test]
fn a_group_that_stays_lets_go_of_one_that_goes() {
    let desired = GROUPS[..GROUPS.find("security_group.web").unwrap()].to_owned();
    let desired = but(&desired, "security_group: \"${security_group.web.id}\"", "cidr: 10.0.0.0/8");
    assert_snapshot!(check(&desired, GROUPS), @"");
    assert_snapshot!(steps(&desired, GROUPS), @"");
}

#[test]
fn a_service_and_a_database() {
    assert_snapshot!(steps("", SERVICE), @"");
    assert_snapshot!(check("", DATABASE), @"");
    assert_snapshot!(steps("", DATABASE), @"");
}

#[test]
fn the_gateway_goes_after_the_nat_gateway_that_does_not_name_it() {
    let more = r#"
internet_gateway.main: { vpc_id: "${vpc.main.id}" }
elastic_ip.nat: {}
nat_gateway.a: { subnet_id: "${subnet.a.id}", allocation_id: "${elastic_ip.nat.id}" }
"#;
    assert_snapshot!(steps("", &format!("{NETWORK}{more}")), @"");
}

#[test]
fn one_part() {
    let desired = &NETWORK[..NETWORK.find("subnet.b").unwrap()];
    assert_snapshot!(check(desired, NETWORK), @"");
}

#[test]
fn a_renamed_subnet_makes_room_first() {
    let desired = but(NETWORK, "subnet.b", "subnet.c");
    assert_snapshot!(check(&desired, NETWORK), @"");
    assert_snapshot!(steps(&desired, NETWORK), @"");
}

#[test]
fn subnets_that_trade_their_ranges() {
    let desired = but(NETWORK, "10.0.0.0/20", "10.0.99.0/20");
    let desired = but(&desired, "10.0.16.0/20", "10.0.0.0/20");
    let desired = but(&desired, "10.0.99.0/20", "10.0.16.0/20");
    assert_snapshot!(steps(&desired, NETWORK), @"");
}

#[test]
fn a_renamed_gateway_makes_room_first() {
    let live = format!("{NETWORK}internet_gateway.main: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    assert_snapshot!(steps(&but(&live, "gateway.main", "gateway.other"), &live), @"");
}

#[test]
fn a_gateway_that_moves_makes_room_first() {
    let live = format!("{NETWORK}vpc.other: {{ cidr: 10.1.0.0/16 }}\ninternet_gateway.a: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    let desired = but(&live, "gateway.a: { vpc_id: \"${vpc.main.id}\"", "gateway.a: { vpc_id: \"${vpc.other.id}\"");
    let desired = format!("{desired}internet_gateway.b: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    assert_snapshot!(steps(&desired, &live), @"");
}

#[test]
fn a_renamed_nat_gateway_frees_its_address_first() {
    let live = format!("{NETWORK}elastic_ip.nat: {{}}\nnat_gateway.a: {{ subnet_id: \"${{subnet.a.id}}\", allocation_id: \"${{elastic_ip.nat.id}}\" }}\n");
    assert_snapshot!(steps(&but(&live, "nat_gateway.a", "nat_gateway.b"), &live), @"");
}

#[test]
fn a_database_that_was_renamed_but_keeps_its_name() {
    let live = but(DATABASE, "engine: postgres", "name: orders\n  engine: postgres");
    let desired = but(&live, "db_instance.main", "db_instance.orders");
    assert_snapshot!(check(&desired, &live), @"");
    assert_snapshot!(steps(&desired, &live), @"");
}

#[test]
fn what_a_replacement_left_behind() {
    let live = format!("{}{}", NETWORK, "subnet.a@old: { vpc_id: \"${vpc.main.id}\", cidr: 10.0.64.0/20, zone: us-east-1a, is: deposed }\n");
    assert_snapshot!(check(NETWORK, &live), @"");
    assert_snapshot!(steps(NETWORK, &live), @"");
    assert_snapshot!(steps("", &live), @"");
}

#[test]
fn what_a_replacement_left_behind_while_others_still_use_it() {
    let old = "security_group.api@old: { vpc_id: vpc-1, description: old, is: deposed }\n";
    let live = but(&format!("{SERVICE}{old}"), "[\"${security_group.api.id}\"]", "[\"${security_group.api@old.id}\"]");
    assert_snapshot!(check(SERVICE, &live), @"");
    assert_snapshot!(steps(SERVICE, &live), @"");
}

#[test]
fn a_replacement_that_was_interrupted_before_the_new_one_was_made() {
    let live = but(SERVICE, "security_group.api: {", "security_group.api@old: { is: deposed,");
    let live = but(&live, "${security_group.api.id}", "${security_group.api@old.id}");
    assert_snapshot!(check(SERVICE, &live), @"");
    assert_snapshot!(steps(SERVICE, &live), @"");
}
