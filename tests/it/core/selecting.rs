//! Parts of a plan, and the digest that says whether the world has moved.

use std::collections::BTreeSet;

use infra::address::Address;
use insta::assert_snapshot;

use super::scenario::{DATABASE, NETWORK, SERVICE, but, planned, report};

fn limited(desired: &str, live: &str, targets: &[&str], excluded: &[&str]) -> String {
    let set = |texts: &[&str]| texts.iter().map(|text| text.parse::<Address>().unwrap()).collect::<BTreeSet<_>>();
    report(&planned(desired, live).limited_to(&set(targets), &set(excluded)))
}

#[test]
fn a_target_comes_with_what_it_needs() {
    assert_snapshot!(limited(NETWORK, "", &["subnet.b"], &[]), @r"
    test (acme, account 123456789012, us-east-1)

      + create  subnet.b  cidr 10.0.16.0/20, zone us-east-1b
      + create  vpc.main  cidr 10.0.0.0/16

    Plan: 2 to create, 0 unchanged.
    ");
    assert_snapshot!(limited(NETWORK, "", &["vpc.main"], &[]), @r"
    test (acme, account 123456789012, us-east-1)

      + create  vpc.main  cidr 10.0.0.0/16

    Plan: 1 to create, 0 unchanged.
    ");
}

#[test]
fn what_is_excluded_goes_with_what_needs_it() {
    assert_snapshot!(limited(NETWORK, "", &[], &["subnet.b"]), @r"
    test (acme, account 123456789012, us-east-1)

      + create  subnet.a  cidr 10.0.0.0/20, zone us-east-1a
      + create  vpc.main  cidr 10.0.0.0/16

    Plan: 2 to create, 0 unchanged.
    ");
    assert_snapshot!(limited(NETWORK, "", &[], &["vpc.main"]), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 0 resources are as the file says.
    ");
}

#[test]
fn a_target_without_a_part_of_what_it_needs() {
    let all = format!("{SERVICE}{DATABASE}");
    assert_snapshot!(limited(&all, "", &["ecs_service.api", "db_instance.main"], &["ecs_cluster.main"]), @r"
    test (acme, account 123456789012, us-east-1)

      + create  db_instance.main      class db.t4g.micro, engine postgres, port 5432
      + create  db_subnet_group.main
      + create  security_group.api    description api, vpc_id vpc-1
      + create  security_group.db     description db, vpc_id vpc-1
      + create  task_definition.api   cpu 256, memory 512

    Plan: 5 to create, 0 unchanged. About 12 minutes.
    ");
}

#[test]
fn a_deletion_comes_with_what_uses_it() {
    assert_snapshot!(limited("", NETWORK, &["vpc.main"], &[]), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.a  all of the environment goes
      - delete  subnet.b  all of the environment goes
      - delete  vpc.main  all of the environment goes

    Plan: 3 to delete, 0 unchanged.
    ");
    assert_snapshot!(limited("", NETWORK, &["subnet.a"], &[]), @r"
    test (acme, account 123456789012, us-east-1)

      - delete  subnet.a  all of the environment goes

    Plan: 1 to delete, 0 unchanged.
    ");
}

#[test]
fn half_a_replacement_is_never_made() {
    let desired = but(SERVICE, "description: api", "description: another");
    assert_snapshot!(limited(&desired, SERVICE, &["security_group.api"], &[]), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace security_group.api  replacement: AWS cannot change description in place; the new one is made first
          ~ description: "api" → "another"  forces replacement
      ~ update  ecs_service.api     restarts it: security_groups differs
          - security_groups: id of security_group.api
          + security_groups: → id of security_group.api (replaced in this plan)

    Plan: 1 to replace, 1 to update, 2 unchanged.
    "#);
    assert_snapshot!(limited(&desired, SERVICE, &[], &["ecs_service.api"]), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 2 resources are as the file says.
    ");
}

#[test]
fn what_is_not_there_selects_nothing() {
    assert_snapshot!(limited(NETWORK, NETWORK, &["subnet.a"], &[]), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 3 resources are as the file says.
    ");
}

#[test]
fn the_same_world_has_the_same_digest() {
    let desired = but(NETWORK, "10.0.16.0/20", "10.0.32.0/20");
    let digest = |desired: &str, live: &str| planned(desired, live).digest;
    assert_eq!(digest(&desired, NETWORK), digest(&desired, NETWORK));
    let turned = NETWORK.trim().lines().rev().collect::<Vec<_>>().join("\n");
    assert_eq!(digest(&desired, NETWORK), digest(&desired, &turned), "the order of reading is nothing");
    let noted = but(NETWORK, "zone: us-east-1a", "zone: us-east-1a, notes: [something]");
    assert_eq!(digest(&desired, NETWORK), digest(&desired, &noted), "a note is nothing that a plan rests on");
}

#[test]
fn a_world_that_moved_has_another_digest() {
    let desired = but(NETWORK, "10.0.16.0/20", "10.0.32.0/20");
    let digest = |desired: &str, live: &str| planned(desired, live).digest;
    let mut digests = vec![digest(&desired, NETWORK), digest(NETWORK, NETWORK)];
    digests.push(digest(&desired, &but(NETWORK, "us-east-1b", "us-east-1c")));
    digests.push(digest(&desired, &but(NETWORK, "subnet.b", "subnet.b@other")));
    digests.push(digest(&desired, &but(NETWORK, "us-east-1a", "us-east-1c")));
    digests.push(digest(&desired, ""));
    let deposed = "subnet.a@old: { vpc_id: vpc-1, cidr: 10.9.0.0/20, zone: us-east-1a, is: deposed }\n";
    digests.push(digest(&desired, &format!("{NETWORK}{deposed}")));
    digests.push(digest(&desired, &format!("{NETWORK}{}", but(deposed, "@old", "@older"))));
    let distinct: BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn what_runs_own_is_not_in_the_digest() {
    let desired = but(SERVICE, "cluster_arn", "owner: release\n  cluster_arn");
    let changed = but(&desired, "subnets: [subnet-1, subnet-2]", "subnets: [subnet-1]");
    let scaled = but(&desired, "cluster_arn", "desired_count: 9\n  cluster_arn");
    assert_eq!(planned(&changed, &desired).digest, planned(&changed, &scaled).digest);
}
