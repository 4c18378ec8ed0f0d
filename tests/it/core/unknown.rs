//! Outputs that are not known before applying are explained.

use insta::assert_snapshot;

use super::scenario::{DATABASE, GROUPS, NETWORK, SERVICE, but, check, steps};

#[test]
fn an_id_of_what_is_created() {
    let live = but(SERVICE, "security_group.api: { vpc_id: vpc-1, description: api }\n", "");
    let live = but(&live, "[\"${security_group.api.id}\"]", "[sg-1]");
    assert_snapshot!(check(SERVICE, &live), @"");
}

#[test]
fn an_id_of_what_is_replaced() {
    let live = but(NETWORK, "10.0.0.0/16", "10.0.0.0/17");
    assert_snapshot!(check(NETWORK, &live), @"");
}

#[test]
fn a_revision_of_what_is_updated() {
    let desired = but(SERVICE, "api:1", "api:2");
    assert_snapshot!(check(&desired, SERVICE), @"");
    assert_snapshot!(steps(&desired, SERVICE), @"");
}

#[test]
fn a_part_of_a_text() {
    let desired = format!("{DATABASE}{SERVICE}");
    let desired = but(&desired, "image: \"api:1\"", "image: \"api:1\", environment: { URL: \"postgres://${db_instance.main.endpoint}:5432\" }");
    assert_snapshot!(check(&desired, SERVICE), @"");
    let live = but(&desired, "engine: postgres", "is: { failed: incompatible network }\n  engine: postgres");
    assert_snapshot!(check(&desired, &live), @"");
}

#[test]
fn an_output_that_stays_while_its_resource_changes_is_known() {
    let live = format!("{NETWORK}{}", but(GROUPS, "vpc.main: { cidr: 10.0.0.0/16 }", ""));
    let desired = but(&live, "vpc.main: { cidr", "vpc.main: { dns_hostnames: true, cidr");
    assert_snapshot!(check(&desired, &live), @"");
}

#[test]
fn a_rule_with_a_group_that_is_replaced() {
    let desired = but(GROUPS, "description: api", "description: program");
    assert_snapshot!(check(&desired, GROUPS), @"");
}
