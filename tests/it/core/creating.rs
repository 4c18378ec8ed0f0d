//! What is not there is made, after what it refers to; what cannot be made is refused.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps, try_desired};

#[test]
fn everything() {
    assert_snapshot!(check(NETWORK, ""), @r"
    test (acme, account 123456789012, us-east-1)

      + create  subnet.a  cidr 10.0.0.0/20, zone us-east-1a
      + create  subnet.b  cidr 10.0.16.0/20, zone us-east-1b
      + create  vpc.main  cidr 10.0.0.0/16

    Plan: 3 to create, 0 unchanged.
    ");
    assert_snapshot!(steps(NETWORK, ""), @r"
    create vpc.main
    create subnet.a  after create vpc.main
    create subnet.b  after create vpc.main
    ");
}

#[test]
fn nothing() {
    assert_snapshot!(check("", ""), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 0 resources are as the file says.
    ");
    assert_snapshot!(check(NETWORK, NETWORK), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 3 resources are as the file says.
    ");
}

#[test]
fn what_is_missing_beside_what_is_there() {
    let live = but(NETWORK, "subnet.b", "subnet.c");
    let live = but(&live, "10.0.16.0/20", "10.0.32.0/20");
    assert_snapshot!(check(NETWORK, &live), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.c  no longer in the file
      + create  subnet.b  cidr 10.0.16.0/20, vpc_id vpc.main#id, zone us-east-1b

    Plan: 1 to delete, 1 to create, 2 unchanged.
    ");
}

#[test]
fn what_is_missing_below_what_is_there() {
    let live = &NETWORK[..NETWORK.find("subnet.a").unwrap()];
    assert_snapshot!(steps(NETWORK, live), @r"
    create subnet.a
    create subnet.b
    ");
}

#[test]
fn groups_that_name_each_other_are_made_and_then_filled() {
    assert_snapshot!(steps(GROUPS, ""), @r"
    create vpc.main
    create security_group.api  after create vpc.main
    create security_group.web  after create vpc.main
    fill security_group.api  after create security_group.api, create security_group.web
    fill security_group.web  after create security_group.api, create security_group.web
    ");
}

#[test]
fn a_group_that_joins_another_is_made_before_that_one_is_changed() {
    let alone = but(GROUPS, "security_group: \"${security_group.web.id}\"", "cidr: 10.0.0.0/8");
    let live = &alone[..alone.find("security_group.web:").unwrap()];
    assert_snapshot!(steps(GROUPS, live), @r"
    create security_group.web
    fill security_group.web  after create security_group.web
    update security_group.api  after fill security_group.web
    ");
}

#[test]
fn a_service_with_all_that_it_needs() {
    assert_snapshot!(check(SERVICE, ""), @r"
    test (acme, account 123456789012, us-east-1)

      + create  ecs_cluster.main
      + create  ecs_service.api
      + create  security_group.api   description api, vpc_id vpc-1
      + create  task_definition.api  cpu 256, memory 512

    Plan: 4 to create, 0 unchanged. About 4 minutes.
    ");
    assert_snapshot!(steps(SERVICE, ""), @r"
    create ecs_cluster.main
    create security_group.api
    create task_definition.api
    create ecs_service.api  after create ecs_cluster.main, create security_group.api, create task_definition.api
    ");
}

#[test]
fn a_database() {
    assert_snapshot!(check(DATABASE, ""), @r"
    test (acme, account 123456789012, us-east-1)

      + create  db_instance.main      class db.t4g.micro, engine postgres, port 5432
      + create  db_subnet_group.main
      + create  security_group.db     description db, vpc_id vpc-1

    Plan: 3 to create, 0 unchanged. About 12 minutes.
    ");
    assert_snapshot!(steps(DATABASE, ""), @r"
    create db_subnet_group.main
    create security_group.db
    create db_instance.main  after create db_subnet_group.main, create security_group.db
    ");
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
    assert_snapshot!(steps(&format!("{NETWORK}{more}"), ""), @r"
    create elastic_ip.nat
    create internet_gateway.main
    create vpc.main
    create subnet.a  after create vpc.main
    create subnet.b  after create vpc.main
    fill internet_gateway.main  after create internet_gateway.main, create vpc.main
    create nat_gateway.a  after create elastic_ip.nat, create subnet.a, fill internet_gateway.main
    create route_table.b  after create nat_gateway.a, create subnet.b
    ");
}

#[test]
fn what_the_file_says_comes_later_comes_later() {
    let desired = "elastic_ip.a: {}\nelastic_ip.b: { after: [elastic_ip.a] }\nsecurity_group.c: { vpc_id: vpc-1, description: c, after: [elastic_ip.b] }";
    assert_snapshot!(steps(desired, ""), @r"
    create elastic_ip.a
    create elastic_ip.b  after create elastic_ip.a
    create security_group.c  after create elastic_ip.b
    ");
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
    assert_snapshot!(wrong(desired), @r"
    vpc.main cidr: vpc.main: 10.0.0.0/8 is not between /16 and /28, which AWS asks for
    vpcs.other: there is no kind `vpcs`
    subnet.c: subnet.c: unknown field `size`, expected one of `vpc_id`, `cidr`, `zone`, `public_addresses`, `tags`
    subnet.a: subnet.a refers to vpc.man, which is not in the file (did you mean vpc.main?)
    subnet.b: vpc.main has no output `arn` (it has id)
    subnet.b: subnet.b comes after vpc.none, which is not in the file
    ");
}

#[test]
fn a_circle_is_an_error_where_nothing_can_be_filled_later() {
    let desired = r"
elastic_ip.a: { after: [elastic_ip.b] }
elastic_ip.b: { after: [elastic_ip.c] }
elastic_ip.c: { after: [elastic_ip.a] }
elastic_ip.d: { after: [elastic_ip.d] }
elastic_ip.e: { after: [elastic_ip.a] }
";
    assert_snapshot!(wrong(desired), @r"
    elastic_ip.a: these refer to each other in a circle: elastic_ip.a → elastic_ip.b → elastic_ip.c → elastic_ip.a (take one of the references out; none of them can be made first)
    elastic_ip.d: these refer to each other in a circle: elastic_ip.d → elastic_ip.d (take one of the references out; none of them can be made first)
    ");
}

#[test]
fn a_name_that_another_one_keeps_is_blocked() {
    let live = "security_group.a: { vpc_id: vpc-1, description: a, name: web }\n";
    let desired = "security_group.a: { vpc_id: vpc-1, description: a }\nsecurity_group.b: { vpc_id: vpc-1, description: b, name: web }\n";
    assert_snapshot!(check(desired, live), @r"
    test (acme, account 123456789012, us-east-1)

    blocked security_group.b: security_group.a has its name, port or range, and keeps it
            choose another, or write another one for security_group.a

    1 resource is as the file says.
    ");
}
