//! What AWS cannot change is replaced, first the new one where names allow it, and with it whatever cannot move over.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, planned, steps};

#[test]
fn a_subnet() {
    let desired = but(NETWORK, "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(&desired, NETWORK), @"");
    assert_snapshot!(steps(&desired, NETWORK), @"");
}

#[test]
fn a_network_takes_its_subnets_with_it() {
    let desired = but(&but(NETWORK, "10.0.0.0/16", "10.1.0.0/16"), "10.0.", "10.1.");
    assert_snapshot!(check(&desired, NETWORK), @"");
    assert_snapshot!(steps(&desired, NETWORK), @"");
}

#[test]
fn a_network_takes_its_groups_and_its_gateway_with_it() {
    let live = format!("{GROUPS}internet_gateway.main: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    let desired = but(&live, "10.0.0.0/16", "10.1.0.0/16");
    assert_snapshot!(check(&desired, &live), @"");
    assert_snapshot!(steps(&desired, &live), @"");
}

#[test]
fn a_group_that_others_use_is_made_anew_before_it_goes() {
    let desired = but(SERVICE, "description: api", "description: another");
    assert_snapshot!(check(&desired, SERVICE), @"");
    assert_snapshot!(steps(&desired, SERVICE), @"");
}

#[test]
fn groups_that_name_each_other() {
    let desired = but(GROUPS, "description: web", "description: world");
    assert_snapshot!(check(&desired, GROUPS), @"");
    assert_snapshot!(steps(&desired, GROUPS), @"");
    let both = but(&desired, "description: api", "description: program");
    assert_snapshot!(steps(&both, GROUPS), @"");
}

#[test]
fn a_group_that_keeps_its_name_goes_first() {
    let live = but(GROUPS, "description: web", "name: web\n  description: web");
    let desired = but(&live, "description: web", "description: world");
    assert_snapshot!(check(&desired, &live), @"");
    assert_snapshot!(steps(&desired, &live), @"");
    let renamed = but(&desired, "name: web", "name: world");
    assert_snapshot!(steps(&renamed, &live), @"");
}

#[test]
fn a_group_that_keeps_its_name_cannot_go_while_a_service_uses_it() {
    let live = but(SERVICE, "description: api", "name: api, description: api");
    let desired = but(&live, "description: api", "description: another");
    assert_snapshot!(check(&desired, &live), @"");
}

#[test]
fn data_is_lost_with_a_database() {
    let desired = but(DATABASE, "master_username: root", "master_username: admin");
    assert_snapshot!(check(&desired, DATABASE), @"");
    assert_snapshot!(steps(&desired, DATABASE), @"");
}

#[test]
fn a_cascade_reaches_the_database() {
    let live = but(DATABASE, "{ subnets", "{ name: one, subnets");
    let desired = but(&live, "name: one", "name: two");
    assert_snapshot!(check(&desired, &live), @"");
    assert_snapshot!(steps(&desired, &live), @"");
    let lost: Vec<_> = planned(&desired, &live).data_losses().map(|planned| planned.address.to_string()).collect();
    assert_eq!(lost, ["db_instance.main"]);
}

#[test]
fn exactly_what_holds_data_is_lost() {
    let live = format!("{DATABASE}log_group.old: {{}}\nlog_group.kept: {{ retention_days: 7 }}\nlog_group.other: {{ class: STANDARD }}\nelastic_ip.old: {{}}\n");
    let desired = but(&live, "log_group.old: {}\n", "");
    let desired = but(&desired, "elastic_ip.old: {}\n", "");
    let desired = but(&desired, "retention_days: 7", "retention_days: 30");
    let desired = but(&desired, "class: STANDARD", "class: INFREQUENT_ACCESS");
    assert_snapshot!(check(&desired, &live), @"");
    let lost: Vec<_> = planned(&desired, &live).data_losses().map(|planned| planned.address.to_string()).collect();
    assert_eq!(lost, ["log_group.old", "log_group.other"]);
}

#[test]
fn a_table_follows_a_subnet_and_a_gateway() {
    let more = r#"
elastic_ip.nat: {}
nat_gateway.a: { subnet_id: "${subnet.a.id}", allocation_id: "${elastic_ip.nat.id}" }
route_table.b:
  vpc_id: "${vpc.main.id}"
  routes: [{ destination: 0.0.0.0/0, target: { nat_gateway: "${nat_gateway.a.id}" } }]
  subnets: ["${subnet.b.id}"]
"#;
    let live = format!("{NETWORK}{more}");
    let desired = but(&live, "us-east-1a", "us-east-1c");
    assert_snapshot!(check(&desired, &live), @"");
    assert_snapshot!(steps(&desired, &live), @"");
}

#[test]
fn a_service_moves_to_another_subnet_before_the_old_one_goes() {
    let live = but(&format!("{SERVICE}{NETWORK}"), "subnets: [subnet-1, subnet-2]", "subnets: [\"${subnet.a.id}\", \"${subnet.b.id}\"]");
    let desired = but(&live, "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(&desired, &live), @"");
    assert_snapshot!(steps(&desired, &live), @"");
}

#[test]
fn a_service_goes_with_its_cluster() {
    let live = but(SERVICE, "ecs_cluster.main: {}", "ecs_cluster.main: { name: one }");
    let desired = but(&live, "name: one", "name: two");
    assert_snapshot!(steps(&desired, &live), @"");
}
