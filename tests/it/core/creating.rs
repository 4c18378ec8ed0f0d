//! What is not there is made, after what it refers to; what cannot be made is refused.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps, try_desired};

#[test]
fn everything() {
    assert_snapshot!(check(NETWORK, ""), @"");
    assert_snapshot!(steps(NETWORK, ""), @"");
}

#[test]
fn nothing() {
    assert_snapshot!(check("", ""), @"");
    assert_snapshot!(check(NETWORK, NETWORK), @"");
}

#[test]
fn what_is_missing_beside_what_is_there() {
    let live = but(NETWORK, "subnet.b", "subnet.c");
    let live = but(&live, "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(NETWORK, &live), @"");
}

#[test]
fn what_is_missing_below_what_is_there() {
    let live = &NETWORK[..NETWORK.find("subnet.a").unwrap()];
    assert_snapshot!(steps(NETWORK, live), @"");
}

#[test]
fn groups_that_name_each_other_are_made_and_then_filled() {
    assert_snapshot!(steps(GROUPS, ""), @"");
}

#[test]
fn a_group_that_joins_another_is_made_before_that_one_is_changed() {
    let alone = but(GROUPS, "security_group: \"${security_group.web.id}\"", "cidr: 10.0.0.0/8");
    let live = &alone[..alone.find("security_group.web").unwrap()];
    assert_snapshot!(steps(GROUPS, live), @"");
}

#[test]
fn a_service_with_all_that_it_needs() {
    assert_snapshot!(check(SERVICE, ""), @"");
    assert_snapshot!(steps(SERVICE, ""), @"");
}

#[test]
fn a_database() {
    assert_snapshot!(check(DATABASE, ""), @"");
    assert_snapshot!(steps(DATABASE, ""), @"");
}

#[test]
fn a_nat_gateway_waits_for_the_internet_gateway_that_it_does_not_name() {
    let more = r#"
internet_gateway.main: { vpc_id: "${vpc.main.id}" }
elastic_ip.nat: {}
nat_gateway.a: { subnet_id: "${subnet.a.id}", allocation_id: "${elastic_ip.nat.id}" }
route_table.b:
  vpc_id: "${vpc.main.id}"
  routes: [{ destination: 0.0.0.0/0, target: { nat_gateway: "${nat_gateway.a.id}" } }]
  subnets: ["${subnet.b.id}"]
"#;
    assert_snapshot!(steps(&format!("{NETWORK}{more}"), ""), @"");
}

#[test]
fn what_the_file_says_comes_later_comes_later() {
    let desired = "elastic_ip.a: {}\nelastic_ip.b: { after: [elastic_ip.a] }\nsecurity_group.c: { vpc_id: vpc-1, description: c, after: [elastic_ip.b] }";
    assert_snapshot!(steps(desired, ""), @"");
}

/// What is wrong, all at once, as `path: message (help)`.
fn wrong(desired: &str) -> String {
    let wrong = try_desired(desired).unwrap_err().into_iter().map(|wrong| {
        let help = wrong.help.map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}: {}{help}", wrong.path.join(" "), wrong.message)
    });
    wrong.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_error_is_told_at_once() {
    let desired = r#"
vpc.main: { cidr: 10.0.0.0/8 }
vpcs.other: { cidr: 10.0.0.0/16 }
subnet.a: { vpc_id: "${vpc.man.id}", cidr: 10.0.0.0/20, zone: a }
subnet.b: { vpc_id: "${vpc.main.arn}", cidr: 10.0.0.0/20, zone: a, after: [vpc.none] }
subnet.c: { vpc_id: "${vpc.main.id}", size: 20 }
"#;
    assert_snapshot!(wrong(desired), @"");
}

#[test]
fn a_circle_is_an_error_where_nothing_can_be_filled_later() {
    let desired = r#"
elastic_ip.a: { tags: { other: "${elastic_ip.b.id}" } }
elastic_ip.b: { after: [elastic_ip.c] }
elastic_ip.c: { after: [elastic_ip.a] }
elastic_ip.d: { after: [elastic_ip.d] }
elastic_ip.e: { after: [elastic_ip.a] }
"#;
    assert_snapshot!(wrong(desired), @"");
}
