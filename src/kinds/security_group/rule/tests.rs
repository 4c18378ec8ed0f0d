use aws_sdk_ec2::types::ReferencedSecurityGroup;
use aws_sdk_ec2::types::builders::SecurityGroupRuleBuilder;

use super::*;
use crate::address::Address;

fn group() -> Identity {
    Identity { project: "acme".into(), environment: "test".into(), address: Address::new("security_group", "api") }
}

fn rule(text: &str) -> Rule {
    let mut rule: Rule = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    rule.normalize();
    rule
}

fn tcp(ports: &str, peer: &str) -> Rule {
    rule(&format!(r#"{{ "protocol": "tcp", "ports": "{ports}", "peer": {{ "cidr": "{peer}" }} }}"#))
}

fn found(id: &str, rule: Rule, tags: Tags) -> Found {
    Found { id: id.into(), egress: false, rule, tags }
}

fn ours() -> Tags {
    tags::encode(&group(), &Tags::new())
}

#[test]
fn what_is_written_and_what_aws_returns_have_one_normal_form() {
    let read = || SecurityGroupRule::builder().security_group_rule_id("sgr-1").group_owner_id("111122223333");
    let tcp = |from, to| read().ip_protocol("tcp").from_port(from).to_port(to);
    let any = |read: SecurityGroupRuleBuilder| read.cidr_ipv4("0.0.0.0/0");
    let of = |account: &str| ReferencedSecurityGroup::builder().group_id("sg-2").user_id(account).build();
    for (written, read) in [
        (r#"{ "protocol": "tcp", "ports": 443, "peer": { "cidr": "0.0.0.0/0" } }"#, any(tcp(443, 443))),
        (r#"{ "protocol": "tcp", "ports": "443", "peer": { "cidr": "0.0.0.0/0" } }"#, any(tcp(443, 443))),
        (r#"{ "protocol": { "number": 6 }, "ports": "80-90", "peer": { "cidr": "0.0.0.0/0" } }"#, any(tcp(80, 90))),
        (r#"{ "protocol": "tcp", "peer": { "cidr": "0.0.0.0/0" } }"#, any(tcp(0, 65535))),
        (r#"{ "protocol": "tcp", "ports": "0-65535", "peer": { "cidr": "0.0.0.0/0" } }"#, any(tcp(0, 65535))),
        (
            r#"{ "protocol": "tcp", "ports": 22, "peer": { "cidr": "10.1.2.3/16" } }"#,
            tcp(22, 22).cidr_ipv4("10.1.0.0/16"),
        ),
        (r#"{ "protocol": "all", "peer": { "cidr": "2001:DB8:0:0::/32" } }"#, {
            read().ip_protocol("-1").from_port(-1).to_port(-1).cidr_ipv6("2001:db8::/32")
        }),
        (r#"{ "protocol": "icmp", "peer": { "cidr": "0.0.0.0/0" } }"#, {
            any(read().ip_protocol("icmp").from_port(-1).to_port(-1))
        }),
        (r#"{ "protocol": "icmp", "icmp_type": 3, "icmp_code": 4, "peer": { "cidr": "0.0.0.0/0" } }"#, {
            any(read().ip_protocol("icmp").from_port(3).to_port(4))
        }),
        (r#"{ "protocol": { "number": 50 }, "peer": { "prefix_list": "pl-1" } }"#, {
            read().ip_protocol("50").from_port(-1).to_port(-1).prefix_list_id("pl-1")
        }),
        (r#"{ "protocol": "udp", "ports": 53, "peer": { "security_group": "sg-2" }, "description": "names" }"#, {
            let peer = of("111122223333");
            read().ip_protocol("17").from_port(53).to_port(53).referenced_group_info(peer).description("names")
        }),
        (r#"{ "protocol": "tcp", "ports": 22, "peer": { "security_group": "444455556666/sg-2" } }"#, {
            tcp(22, 22).referenced_group_info(of("444455556666"))
        }),
    ] {
        let read = Found::read(&read.build()).unwrap();
        assert_eq!(read.rule, rule(written));
        assert_eq!(rule(&serde_json::to_string(&read.rule).unwrap()), read.rule, "{written}");
    }
}

#[test]
fn ports_are_numbers_or_ranges() {
    for wrong in ["70000", "90-80", "http", "", "-1"] {
        let text = format!(r#"{{ "protocol": "tcp", "ports": "{wrong}", "peer": {{ "cidr": "0.0.0.0/0" }} }}"#);
        assert!(serde_json::from_str::<Rule>(&text).is_err(), "{wrong}");
    }
}

#[test]
fn limits_are_checked() {
    for (text, path) in [
        (r#"{ "protocol": "all", "ports": 1, "peer": { "cidr": "0.0.0.0/0" } }"#, "ingress.0.ports"),
        (r#"{ "protocol": "tcp", "icmp_type": 1, "peer": { "cidr": "0.0.0.0/0" } }"#, "ingress.0.icmp_type"),
        (r#"{ "protocol": "icmp", "icmp_code": 1, "peer": { "cidr": "0.0.0.0/0" } }"#, "ingress.0.icmp_code"),
        (r#"{ "protocol": "tcp", "peer": { "cidr": "203.0.113.7" } }"#, "ingress.0.peer.cidr"),
        (r#"{ "protocol": "tcp", "peer": { "cidr": "0.0.0.0/0" }, "description": "a > b" }"#, "ingress.0.description"),
    ] {
        let problems = rule(text).check("ingress.0");
        assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), [path], "{text}");
    }
    let ports = rule(r#"{ "protocol": { "number": 17 }, "ports": 53, "peer": { "cidr": "0.0.0.0/0" } }"#);
    assert_eq!(ports.check("egress.0"), []);
}

#[test]
fn changes_are_the_fewest_and_leave_rules_of_others_alone() {
    let described = |text: &str| Rule { description: text.into(), ..tcp("443", "0.0.0.0/0") };
    let everything = || Rule::everything("0.0.0.0/0");
    let other = Identity { environment: "production".into(), ..group() };
    let theirs = || tags::encode(&other, &Tags::new());
    let live = |rule, tags| vec![found("sgr-1", rule, tags)];
    let egress = |tags| vec![Found { egress: true, ..found("sgr-1", everything(), tags) }];
    let id = || vec!["sgr-1".to_owned()];
    let none = Changes::default;
    let (web, ssh) = (|| tcp("443", "0.0.0.0/0"), || tcp("22", "0.0.0.0/0"));
    for (case, live, wanted, exclusive, expected) in [
        ("nothing", vec![], vec![], false, none()),
        ("a new rule", vec![], vec![web()], false, Changes { authorise: vec![web()], ..none() }),
        ("it is there", live(web(), ours()), vec![web()], false, none()),
        ("undeclared", live(web(), ours()), vec![], false, Changes { revoke: id(), ..none() }),
        ("another port", live(web(), ours()), vec![ssh()], false, {
            Changes { authorise: vec![ssh()], revoke: id(), ..none() }
        }),
        ("another description", live(described("old"), ours()), vec![described("new")], false, {
            Changes { describe: vec![("sgr-1".into(), "new".into())], ..none() }
        }),
        ("of others", live(ssh(), Tags::new()), vec![], false, none()),
        ("of others, exclusive", live(ssh(), Tags::new()), vec![], true, Changes { revoke: id(), ..none() }),
        ("of another environment", live(ssh(), theirs()), vec![], false, none()),
        ("of others, declared", live(web(), Tags::new()), vec![web()], false, Changes { adopt: id(), ..none() }),
        ("implicit, undeclared", egress(Tags::new()), vec![], false, Changes { revoke: id(), ..none() }),
        ("implicit, declared", egress(Tags::new()), vec![everything()], false, Changes { adopt: id(), ..none() }),
        ("implicit only in egress", live(everything(), Tags::new()), vec![], false, none()),
        ("implicit and tagged by others", egress(theirs()), vec![], false, none()),
    ] {
        assert_eq!(changes(&live, &wanted, &group(), exclusive), expected, "{case}");
    }
}
