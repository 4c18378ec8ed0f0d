//! What AWS cannot change is replaced, first the new one where names allow it, and with it whatever cannot move over.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, planned, steps};

#[test]
fn a_subnet() {
    let desired = but(NETWORK, "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(&desired, NETWORK), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace subnet.b  replacement: AWS cannot change cidr in place; the new one is made first
          ~ cidr: "10.0.16.0/20" → "10.0.32.0/20"  forces replacement

    Plan: 1 to replace, 2 unchanged.
    "#);
    assert_snapshot!(steps(&desired, NETWORK), @r"
    set aside subnet.b
    create subnet.b  after set aside subnet.b
    delete subnet.b  after create subnet.b
    ");
}

#[test]
fn a_network_takes_its_subnets_with_it() {
    let desired = but(&but(NETWORK, "10.0.0.0/16", "10.1.0.0/16"), "10.0.", "10.1.");
    assert_snapshot!(check(&desired, NETWORK), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace subnet.a  replacement: AWS cannot change cidr, vpc_id in place; the old one goes first
          ~ cidr: "10.0.0.0/20" → "10.1.0.0/20"  forces replacement
          ~ vpc_id: "vpc.main#id" → id of vpc.main (replaced in this plan)  forces replacement
      ± replace subnet.b  replacement: AWS cannot change cidr, vpc_id in place; the old one goes first
          ~ cidr: "10.0.16.0/20" → "10.1.16.0/20"  forces replacement
          ~ vpc_id: "vpc.main#id" → id of vpc.main (replaced in this plan)  forces replacement
      ± replace vpc.main  replacement: AWS cannot change cidr in place; the old one goes first
          ~ cidr: "10.0.0.0/16" → "10.1.0.0/16"  forces replacement

    Plan: 3 to replace, 0 unchanged.
    "#);
    assert_snapshot!(steps(&desired, NETWORK), @r"
    delete subnet.a
    delete subnet.b
    delete vpc.main  after delete subnet.a, delete subnet.b
    create vpc.main  after delete vpc.main
    create subnet.a  after create vpc.main
    create subnet.b  after create vpc.main
    ");
}

#[test]
fn a_network_takes_its_groups_and_its_gateway_with_it() {
    let live = format!("{GROUPS}internet_gateway.main: {{ vpc_id: \"${{vpc.main.id}}\" }}\n");
    let desired = but(&live, "10.0.0.0/16", "10.1.0.0/16");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace security_group.api     replacement: AWS cannot change vpc_id in place; the old one goes first
          - ingress: {peer: {security_group: id of security_group.web}, ports: 3000, protocol: "tcp"}
          + ingress: {peer: {security_group: → id of security_group.web (replaced in this plan)}, ports: 3000, protocol: "tcp"}
          ~ vpc_id: "vpc.main#id" → id of vpc.main (replaced in this plan)  forces replacement
      ± replace security_group.web     replacement: AWS cannot change vpc_id in place; the old one goes first
          - egress: {peer: {security_group: id of security_group.api}, ports: 3000, protocol: "tcp"}
          + egress: {peer: {security_group: → id of security_group.api (replaced in this plan)}, ports: 3000, protocol: "tcp"}
          ~ vpc_id: "vpc.main#id" → id of vpc.main (replaced in this plan)  forces replacement
      ± replace vpc.main               replacement: AWS cannot change cidr in place; the old one goes first
          ~ cidr: "10.0.0.0/16" → "10.1.0.0/16"  forces replacement
      ~ update  internet_gateway.main  vpc_id differs
          ~ vpc_id: "vpc.main#id" → id of vpc.main (replaced in this plan)

    Plan: 3 to replace, 1 to update, 0 unchanged.
    "#);
    assert_snapshot!(steps(&desired, &live), @r"
    empty internet_gateway.main
    empty security_group.web
    delete security_group.api  after empty security_group.web
    delete security_group.web  after delete security_group.api
    delete vpc.main  after delete security_group.web, empty internet_gateway.main
    create vpc.main  after delete vpc.main
    create security_group.api  after create vpc.main
    create security_group.web  after create vpc.main
    fill security_group.api  after create security_group.api, create security_group.web
    fill security_group.web  after create security_group.api, create security_group.web
    update internet_gateway.main  after create vpc.main
    ");
}

#[test]
fn a_group_that_others_use_is_made_anew_before_it_goes() {
    let desired = but(SERVICE, "description: api", "description: another");
    assert_snapshot!(check(&desired, SERVICE), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace security_group.api  replacement: AWS cannot change description in place; the new one is made first
          ~ description: "api" → "another"  forces replacement
      ~ update  ecs_service.api     restarts it: security_groups differs
          - security_groups: id of security_group.api
          + security_groups: → id of security_group.api (replaced in this plan)

    Plan: 1 to replace, 1 to update, 2 unchanged.
    "#);
    assert_snapshot!(steps(&desired, SERVICE), @r"
    set aside security_group.api
    create security_group.api  after set aside security_group.api
    update ecs_service.api  after create security_group.api
    delete security_group.api  after update ecs_service.api
    ");
}

#[test]
fn groups_that_name_each_other() {
    let desired = but(GROUPS, "description: web", "description: world");
    assert_snapshot!(check(&desired, GROUPS), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace security_group.web  replacement: AWS cannot change description in place; the new one is made first
          ~ description: "web" → "world"  forces replacement
      ~ update  security_group.api  ingress differs
          - ingress: {peer: {security_group: id of security_group.web}, ports: 3000, protocol: "tcp"}
          + ingress: {peer: {security_group: → id of security_group.web (replaced in this plan)}, ports: 3000, protocol: "tcp"}

    Plan: 1 to replace, 1 to update, 1 unchanged.
    "#);
    assert_snapshot!(steps(&desired, GROUPS), @r"
    set aside security_group.web
    create security_group.web  after set aside security_group.web
    fill security_group.web  after create security_group.web
    update security_group.api  after fill security_group.web
    delete security_group.web  after update security_group.api
    ");
    let both = but(&desired, "description: api", "description: program");
    assert_snapshot!(steps(&both, GROUPS), @r"
    set aside security_group.api
    create security_group.api  after set aside security_group.api
    set aside security_group.web
    create security_group.web  after set aside security_group.web
    fill security_group.api  after create security_group.api, create security_group.web
    fill security_group.web  after create security_group.api, create security_group.web
    empty security_group.web  after fill security_group.api, fill security_group.web
    delete security_group.api  after empty security_group.web
    delete security_group.web  after delete security_group.api
    ");
}

#[test]
fn a_group_that_keeps_its_name_goes_first() {
    let live = but(GROUPS, "description: web", "name: web\n  description: web");
    let desired = but(&live, "description: web", "description: world");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace security_group.web  replacement: AWS cannot change description in place; the old one goes first
          ~ description: "web" → "world"  forces replacement
      ~ update  security_group.api  ingress differs
          - ingress: {peer: {security_group: id of security_group.web}, ports: 3000, protocol: "tcp"}
          + ingress: {peer: {security_group: → id of security_group.web (replaced in this plan)}, ports: 3000, protocol: "tcp"}

    Plan: 1 to replace, 1 to update, 1 unchanged.
    "#);
    assert_snapshot!(steps(&desired, &live), @r"
    empty security_group.api
    delete security_group.web  after empty security_group.api
    create security_group.web  after delete security_group.web
    fill security_group.web  after create security_group.web
    update security_group.api  after fill security_group.web
    ");
    let renamed = but(&desired, "name: web", "name: world");
    assert_snapshot!(steps(&renamed, &live), @r"
    set aside security_group.web
    create security_group.web  after set aside security_group.web
    fill security_group.web  after create security_group.web
    update security_group.api  after fill security_group.web
    delete security_group.web  after update security_group.api
    ");
}

#[test]
fn a_group_that_keeps_its_name_cannot_go_while_a_service_uses_it() {
    let live = but(SERVICE, "description: api", "name: api, description: api");
    let desired = but(&live, "description: api", "description: another");
    assert_snapshot!(check(&desired, &live), @r"
    test (acme, account 123456789012, us-east-1)

    blocked security_group.api: AWS deletes it only when ecs_service.api no longer use it, and they can only move once it is deleted
            apply in two steps: make another one with its own name and range and move them there, then remove this one

    2 resources are as the file says.
    ");
}

#[test]
fn data_is_lost_with_a_database() {
    let desired = but(DATABASE, "master_username: root", "master_username: admin");
    assert_snapshot!(check(&desired, DATABASE), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace db_instance.main  DATA LOSS: AWS cannot change master_username in place; the old one goes first
          ~ master_username: "root" → "admin"  forces replacement

    Plan: 1 to replace, 2 unchanged. About 20 minutes.
    "#);
    assert_snapshot!(steps(&desired, DATABASE), @r"
    delete db_instance.main
    create db_instance.main  after delete db_instance.main
    ");
}

#[test]
fn a_cascade_reaches_the_database() {
    let live = but(DATABASE, "{ subnets", "{ name: one, subnets");
    let desired = but(&live, "name: one", "name: two");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace db_instance.main      DATA LOSS: AWS cannot change subnet_group_name in place; the old one goes first
          ~ subnet_group_name: "db_subnet_group.main#name" → name of db_subnet_group.main (replaced in this plan)  forces replacement
      ± replace db_subnet_group.main  replacement: AWS cannot change name in place; the new one is made first
          ~ name: "one" → "two"  forces replacement

    Plan: 2 to replace, 1 unchanged. About 20 minutes.
    "#);
    assert_snapshot!(steps(&desired, &live), @r"
    delete db_instance.main
    set aside db_subnet_group.main
    create db_subnet_group.main  after set aside db_subnet_group.main
    create db_instance.main  after create db_subnet_group.main, delete db_instance.main
    delete db_subnet_group.main  after create db_subnet_group.main, delete db_instance.main
    ");
    let lost: Vec<_> = planned(&desired, &live).data_losses().map(|planned| planned.address.to_string()).collect();
    assert_eq!(lost, ["db_instance.main"]);
}

#[test]
fn exactly_what_holds_data_is_lost() {
    let live = format!(
        "{DATABASE}log_group.old: {{}}\nlog_group.kept: {{ retention_days: 7 }}\nlog_group.other: {{ class: STANDARD }}\nelastic_ip.old: {{}}\n"
    );
    let desired = but(&live, "log_group.old: {}\n", "");
    let desired = but(&desired, "elastic_ip.old: {}\n", "");
    let desired = but(&desired, "retention_days: 7", "retention_days: 30");
    let desired = but(&desired, "class: STANDARD", "class: INFREQUENT_ACCESS");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      - delete  elastic_ip.old   no longer in the file
      - delete  log_group.old    DATA LOSS: no longer in the file
      ± replace log_group.other  DATA LOSS: AWS cannot change class in place; the old one goes first
          ~ class: "STANDARD" → "INFREQUENT_ACCESS"  forces replacement
      ~ update  log_group.kept   retention_days differs
          ~ retention_days: 7 → 30

    Plan: 2 to delete, 1 to replace, 1 to update, 3 unchanged.
    "#);
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
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace nat_gateway.a  replacement: AWS cannot change subnet_id in place; the old one goes first
          ~ subnet_id: "subnet.a#id" → id of subnet.a (replaced in this plan)  forces replacement
      ± replace subnet.a       replacement: AWS cannot change zone in place; the old one goes first
          ~ zone: "us-east-1a" → "us-east-1c"  forces replacement
      ~ update  route_table.b  routes differs
          - routes: {destination: "0.0.0.0/0", target: {nat_gateway: id of nat_gateway.a}}
          + routes: {destination: "0.0.0.0/0", target: {nat_gateway: → id of nat_gateway.a (replaced in this plan)}}

    Plan: 2 to replace, 1 to update, 3 unchanged. About 4 minutes.
    "#);
    assert_snapshot!(steps(&desired, &live), @r"
    delete nat_gateway.a
    delete subnet.a  after delete nat_gateway.a
    create subnet.a  after delete subnet.a
    create nat_gateway.a  after create subnet.a
    update route_table.b  after create nat_gateway.a
    ");
}

#[test]
fn a_service_moves_to_another_subnet_before_the_old_one_goes() {
    let live = but(
        &format!("{SERVICE}{NETWORK}"),
        "subnets: [subnet-1, subnet-2]",
        "subnets: [\"${subnet.a.id}\", \"${subnet.b.id}\"]",
    );
    let desired = but(&live, "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace subnet.b         replacement: AWS cannot change cidr in place; the new one is made first
          ~ cidr: "10.0.16.0/20" → "10.0.32.0/20"  forces replacement
      ~ update  ecs_service.api  restarts it: subnets differs
          - subnets: id of subnet.b
          + subnets: → id of subnet.b (replaced in this plan)

    Plan: 1 to replace, 1 to update, 5 unchanged.
    "#);
    assert_snapshot!(steps(&desired, &live), @r"
    set aside subnet.b
    create subnet.b  after set aside subnet.b
    update ecs_service.api  after create subnet.b
    delete subnet.b  after update ecs_service.api
    ");
}

#[test]
fn a_service_goes_with_its_cluster() {
    let live = but(SERVICE, "ecs_cluster.main: {}", "ecs_cluster.main: { name: one }");
    let desired = but(&live, "name: one", "name: two");
    assert_snapshot!(steps(&desired, &live), @r"
    delete ecs_service.api
    delete ecs_cluster.main  after delete ecs_service.api
    create ecs_cluster.main  after delete ecs_cluster.main
    create ecs_service.api  after create ecs_cluster.main
    ");
}

#[test]
fn a_group_moves_out_of_a_network_that_goes_first() {
    let live = but(GROUPS, "security_group.api:", "vpc.other: { cidr: 10.2.0.0/16 }\nsecurity_group.api:");
    let desired = but(
        &but(&live, "10.0.0.0/16", "10.1.0.0/16"),
        "vpc_id: \"${vpc.main.id}\"\n  description: api",
        "vpc_id: \"${vpc.other.id}\"\n  description: api",
    );
    assert_snapshot!(steps(&desired, &live), @r"
    empty security_group.web
    set aside security_group.api
    create security_group.api  after set aside security_group.api
    delete security_group.api  after create security_group.api, empty security_group.web
    delete security_group.web  after delete security_group.api
    delete vpc.main  after delete security_group.web
    create vpc.main  after delete vpc.main
    create security_group.web  after create vpc.main
    fill security_group.api  after create security_group.web
    fill security_group.web  after create security_group.web
    ");
}

#[test]
fn what_changes_places_between_two_networks_that_go_first() {
    let live = r#"
vpc.a: { cidr: 10.1.0.0/16 }
vpc.b: { cidr: 10.2.0.0/16 }
subnet.a: { vpc_id: "${vpc.a.id}", cidr: 10.1.0.0/20, zone: us-east-1a }
security_group.b: { vpc_id: "${vpc.b.id}", description: b }
"#;
    let desired = r#"
vpc.a: { cidr: 10.1.0.0/17 }
vpc.b: { cidr: 10.2.0.0/17 }
subnet.a: { vpc_id: "${vpc.b.id}", cidr: 10.2.0.0/20, zone: us-east-1a }
security_group.b: { vpc_id: "${vpc.a.id}", description: b }
"#;
    assert_snapshot!(steps(desired, live), @r"
    delete security_group.b
    delete subnet.a
    delete vpc.a  after delete subnet.a
    create vpc.a  after delete vpc.a
    create security_group.b  after create vpc.a, delete security_group.b
    delete vpc.b  after delete security_group.b
    create vpc.b  after delete vpc.b
    create subnet.a  after create vpc.b, delete subnet.a
    ");
}
