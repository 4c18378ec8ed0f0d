use std::collections::BTreeMap;

use super::*;
use crate::address::Identity;
use crate::kind::{Health, Live};
use crate::value::{Fields, Value};

#[test]
fn modules_counts_and_keys_make_names() {
    let resource = |address: &str, kind: &str| {
        serde_json::json!({ "address": address, "mode": "managed", "type": kind, "name": "x", "values": {
            "id": address, "arn": "arn:aws:ec2:eu-west-1:123456789012:x/y",
        } })
    };
    let state = serde_json::json!({ "format_version": "1.0", "values": { "root_module": {
        "resources": [
            resource("aws_vpc.main", "aws_vpc"),
            resource("aws_subnet.private[0]", "aws_subnet"),
            resource("aws_subnet.private-0", "aws_subnet"),
            { "address": "data.aws_vpc.other", "mode": "data", "type": "aws_vpc", "name": "other", "values": {} },
        ],
        "child_modules": [{ "resources": [
            resource("module.net[\"A b\"].aws_subnet.private[\"eu-west-1a\"]", "aws_subnet"),
            resource("module.net[\"A b\"].aws_instance.old", "aws_instance"),
        ] }],
    } } });
    let state = read(&state.to_string()).unwrap();
    let found: Vec<String> = state.found.iter().map(|found| found.address.to_string()).collect();
    assert_eq!(found, ["vpc.main", "subnet.private-0", "subnet.private-0-2", "subnet.net-a-b-private-eu-west-1a"]);
    assert_eq!((state.account.as_deref(), state.region.as_deref()), (Some("123456789012"), Some("eu-west-1")));
    assert_eq!(state.left.len(), 1);
    let odd = resource("aws_vpc.", "aws_vpc");
    let state_of_odd = serde_json::json!({ "values": { "root_module": { "resources": [odd] } } }).to_string();
    assert_eq!(read(&state_of_odd).unwrap().found[0].address.to_string(), "vpc.main");
    assert!(matches!(read("{}"), Err(Unreadable::Empty)));
    assert!(matches!(read("resource {}"), Err(Unreadable::Json(_))));
}

fn live(address: &str, fields: serde_json::Value, outputs: &[(&str, &str)]) -> Live<Fields> {
    let Value::Map(spec) = Value::from(fields) else { unreachable!() };
    let address: Address = address.parse().unwrap();
    Live {
        identity: Identity { project: "acme".into(), environment: "test".into(), address },
        id: "x".into(),
        spec,
        outputs: outputs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        deposed: false,
        health: Health::Ok,
        notes: Vec::new(),
    }
}

#[test]
fn the_file_refers_and_leaves_out_defaults_and_secrets() {
    let found = [
        live(
            "vpc.main",
            serde_json::json!({ "cidr": "10.0.0.0/16", "dns_support": true, "dns_hostnames": true }),
            &[("id", "vpc-0123456789abcdef0")],
        ),
        live(
            "subnet.a",
            serde_json::json!({ "vpc_id": "vpc-0123456789abcdef0", "cidr": "10.0.0.0/20", "zone": "eu-west-1a", "public_addresses": false }),
            &[("id", "subnet-0123456789abcdef0")],
        ),
        live(
            "log_group.api",
            serde_json::json!({ "name": "/ecs/${x}", "retention_days": 30, "class": "STANDARD" }),
            &[("name", "/ecs/${x}")],
        ),
    ];
    let file = environment(("acme", "123456789012", "eu-west-1"), &found, true, &[]).unwrap();
    insta::assert_snapshot!(file.text, @r#"
    project: acme
    account: "123456789012"
    region: eu-west-1
    resources:
      vpc.main:
        cidr: 10.0.0.0/16
        dns_hostnames: true
      subnet.a:
        cidr: 10.0.0.0/20
        vpc_id: ${vpc.main.id}
        zone: eu-west-1a
      log_group.api:
        name: /ecs/$${x}
        retention_days: 30
    "#);
    let secret = live(
        "task_definition.api",
        serde_json::json!({ "containers": [{ "environment": { "DB_PASSWORD": "hunter2", "A": "b" } }] }),
        &[],
    );
    let file = environment(("acme", "123456789012", "eu-west-1"), &[secret], true, &[]).unwrap();
    assert!(!file.text.contains("hunter2"), "{}", file.text);
    assert_eq!(file.secrets, ["task_definition.api.containers.0.environment.DB_PASSWORD"]);
}
