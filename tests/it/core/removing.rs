//! What left the file is deleted, after what refers to it; what makes room goes before what takes it.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps};

#[test]
fn everything() {
    assert_snapshot!(check("", NETWORK), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.a  all of the environment goes
      - delete  subnet.b  all of the environment goes
      - delete  vpc.main  all of the environment goes

    Plan: 3 to delete, 0 unchanged.
    ");
    assert_snapshot!(steps("", NETWORK), @r"
    delete subnet.a
    delete subnet.b
    delete vpc.main  after delete subnet.a, delete subnet.b
    ");
}

#[test]
fn groups_that_name_each_other_are_emptied_first() {
    assert_snapshot!(steps("", GROUPS), @r"
    empty security_group.web
    delete security_group.api  after empty security_group.web
    delete security_group.web  after delete security_group.api
    delete vpc.main  after delete security_group.web
    ");
}

#[test]
fn a_group_that_stays_lets_go_of_one_that_goes() {
    let desired = GROUPS[..GROUPS.find("security_group.web:").unwrap()].to_owned();
    let desired = but(&desired, "security_group: \"${security_group.web.id}\"", "cidr: 10.0.0.0/8");
    assert_snapshot!(check(&desired, GROUPS), @r#"
    test (acme, account 123456789012, us-east-1)

      - delete  security_group.web  no longer in the file
      ~ update  security_group.api  ingress differs
          - ingress: {peer: {security_group: id of security_group.web}, ports: 3000, protocol: "tcp"}
          + ingress: {peer: {cidr: "10.0.0.0/8"}, ports: 3000, protocol: "tcp"}

    Plan: 1 to delete, 1 to update, 1 unchanged.
    "#);
    assert_snapshot!(steps(&desired, GROUPS), @r"
    update security_group.api
    delete security_group.web  after update security_group.api
    ");
}

#[test]
fn a_service_and_a_database() {
    assert_snapshot!(steps("", SERVICE), @r"
    delete ecs_service.api
    delete ecs_cluster.main  after delete ecs_service.api
    delete security_group.api  after delete ecs_service.api
    delete task_definition.api  after delete ecs_service.api
    ");
    assert_snapshot!(check("", DATABASE), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  db_instance.main      DATA LOSS: all of the environment goes
      - delete  db_subnet_group.main  all of the environment goes
      - delete  security_group.db     all of the environment goes

    Plan: 3 to delete, 0 unchanged. About 8 minutes.
    ");
    assert_snapshot!(steps("", DATABASE), @r"
    delete db_instance.main
    delete db_subnet_group.main  after delete db_instance.main
    delete security_group.db  after delete db_instance.main
    ");
}

#[test]
fn the_gateway_goes_after_the_nat_gateway_that_does_not_name_it() {
    let more = r#"
internet_gateway.main: { vpc_id: "${vpc.main.id}" }
elastic_ip.nat: {}
nat_gateway.a: { subnet_id: "${subnet.a.id}", allocation_id: "${elastic_ip.nat.id}" }
"#;
    assert_snapshot!(steps("", &format!("{NETWORK}{more}")), @r"
    delete nat_gateway.a
    delete elastic_ip.nat  after delete nat_gateway.a
    delete internet_gateway.main  after delete nat_gateway.a
    delete subnet.a  after delete nat_gateway.a
    delete subnet.b
    delete vpc.main  after delete internet_gateway.main, delete subnet.a, delete subnet.b
    ");
}

#[test]
fn one_part() {
    let desired = &NETWORK[..NETWORK.find("subnet.b").unwrap()];
    assert_snapshot!(check(desired, NETWORK), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.b  no longer in the file

    Plan: 1 to delete, 2 unchanged.
    ");
}

#[test]
fn a_renamed_subnet_makes_room_first() {
    let desired = but(NETWORK, "subnet.b", "subnet.c");
    assert_snapshot!(check(&desired, NETWORK), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.b  no longer in the file
      + create  subnet.c  cidr 10.0.16.0/20, vpc_id vpc.main#id, zone us-east-1b

    Plan: 1 to delete, 1 to create, 2 unchanged.
    ");
    assert_snapshot!(steps(&desired, NETWORK), @r"
    delete subnet.b
    create subnet.c  after delete subnet.b
    ");
}

#[test]
fn subnets_that_trade_their_ranges() {
    let desired = but(NETWORK, "10.0.0.0/20", "10.0.99.0/20");
    let desired = but(&desired, "10.0.16.0/20", "10.0.0.0/20");
    let desired = but(&desired, "10.0.99.0/20", "10.0.16.0/20");
    assert_snapshot!(steps(&desired, NETWORK), @r"
    delete subnet.a
    delete subnet.b
    create subnet.a  after delete subnet.a, delete subnet.b
    create subnet.b  after delete subnet.a, delete subnet.b
    ");
}

#[test]
fn a_renamed_gateway_makes_room_first() {
    let live = format!("{NETWORK}internet_gateway.main: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    assert_snapshot!(steps(&but(&live, "gateway.main", "gateway.other"), &live), @r"
    create internet_gateway.other
    delete internet_gateway.main
    fill internet_gateway.other  after create internet_gateway.other, delete internet_gateway.main
    ");
}

#[test]
fn a_gateway_that_moves_makes_room_first() {
    let live = format!(
        "{NETWORK}vpc.other: {{ cidr: 10.1.0.0/16 }}\ninternet_gateway.a: {{ vpc_id: \"${{vpc.main.id}}\" }}\n"
    );
    let desired = but(&live, "gateway.a: { vpc_id: \"${vpc.main.id}\"", "gateway.a: { vpc_id: \"${vpc.other.id}\"");
    let desired = format!("{desired}internet_gateway.b: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    assert_snapshot!(steps(&desired, &live), @r"
    create internet_gateway.b
    update internet_gateway.a
    fill internet_gateway.b  after create internet_gateway.b, update internet_gateway.a
    ");
}

#[test]
fn a_renamed_nat_gateway_frees_its_address_first() {
    let live = format!(
        "{NETWORK}elastic_ip.nat: {{}}\nnat_gateway.a: {{ subnet_id: \"${{subnet.a.id}}\", allocation_id: \"${{elastic_ip.nat.id}}\" }}\n"
    );
    assert_snapshot!(steps(&but(&live, "nat_gateway.a", "nat_gateway.b"), &live), @r"
    delete nat_gateway.a
    create nat_gateway.b  after delete nat_gateway.a
    ");
}

#[test]
fn a_database_that_was_renamed_but_keeps_its_name() {
    let live = but(DATABASE, "engine: postgres", "name: orders\n  engine: postgres");
    let desired = but(&live, "db_instance.main", "db_instance.orders");
    assert_snapshot!(check(&desired, &live), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  db_instance.main    DATA LOSS: no longer in the file
      + create  db_instance.orders  class db.t4g.micro, engine postgres, name orders

    Plan: 1 to delete, 1 to create, 2 unchanged. About 20 minutes.
    ");
    assert_snapshot!(steps(&desired, &live), @r"
    delete db_instance.main
    create db_instance.orders  after delete db_instance.main
    ");
}

#[test]
fn what_a_replacement_left_behind() {
    let live = format!(
        "{}{}",
        NETWORK, "subnet.a@old: { vpc_id: \"${vpc.main.id}\", cidr: 10.0.64.0/20, zone: us-east-1a, is: deposed }\n"
    );
    assert_snapshot!(check(NETWORK, &live), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.a  left behind by a replacement

    Plan: 1 to delete, 3 unchanged.
    ");
    assert_snapshot!(steps(NETWORK, &live), @"delete subnet.a");
    assert_snapshot!(steps("", &live), @r"
    delete subnet.a
    delete subnet.a
    delete subnet.b
    delete vpc.main  after delete subnet.a, delete subnet.a, delete subnet.b
    ");
}

#[test]
fn what_a_replacement_left_behind_while_others_still_use_it() {
    let old = "security_group.api@old: { vpc_id: vpc-1, description: old, is: deposed }\n";
    let live = but(&format!("{SERVICE}{old}"), "[\"${security_group.api.id}\"]", "[\"${security_group.api@old.id}\"]");
    assert_snapshot!(check(SERVICE, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      - delete  security_group.api  left behind by a replacement
      ~ update  ecs_service.api     restarts it: security_groups differs
          - security_groups: "security_group.api@old#id"
          + security_groups: id of security_group.api

    Plan: 1 to delete, 1 to update, 3 unchanged.
    "#);
    assert_snapshot!(steps(SERVICE, &live), @r"
    update ecs_service.api
    delete security_group.api  after update ecs_service.api
    ");
}

#[test]
fn a_replacement_that_was_interrupted_before_the_new_one_was_made() {
    let live = but(SERVICE, "security_group.api: {", "security_group.api@old: { is: deposed,");
    let live = but(&live, "${security_group.api.id}", "${security_group.api@old.id}");
    assert_snapshot!(check(SERVICE, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      - delete  security_group.api  left behind by a replacement
      ~ update  ecs_service.api     restarts it: security_groups differs
          - security_groups: "security_group.api@old#id"
          + security_groups: → id of security_group.api (created in this plan)
      + create  security_group.api  description api, vpc_id vpc-1

    Plan: 1 to delete, 1 to update, 1 to create, 2 unchanged.
    "#);
    assert_snapshot!(steps(SERVICE, &live), @r"
    create security_group.api
    update ecs_service.api  after create security_group.api
    delete security_group.api  after update ecs_service.api
    ");
}

#[test]
fn what_makes_no_room_before_its_users_have_moved_is_blocked() {
    let live = but(&format!("{SERVICE}{NETWORK}"), "subnets: [subnet-1, subnet-2]", "subnets: [\"${subnet.a.id}\"]");
    assert_snapshot!(check(&but(&live, "subnet.a", "subnet.c"), &live), @r"
    test (acme, account 123456789012, us-east-1)

    blocked subnet.c: subnet.a has its name, port or range, and can only give it up once this one is made
            if it is subnet.a under another address, run `infra rename subnet.a subnet.c`; otherwise apply in two steps

    5 resources are as the file says.
    ");
}
