//! Whole files: one that uses everything is read as it is meant, and no text at all makes the reader panic.

use std::io;

use proptest::prelude::*;
use serde_json::Value;

use super::network::{Nat, Zones};
use super::releases::Strategy as Release;
use super::types::{Duration, Text};
use super::*;
use crate::diagnostic::render;

const FULL: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
requires: ">=0.1"
vars: { domain: example.com, tasks: 2 }
tags: { team: platform, "cost:center": "12" }
network: { cidr: 10.0.0.0/16, zones: [a, us-east-1b, c], nat: single, endpoints: [s3, ecr], flow_logs: 30d }
certificates:
  site: { domain: "${var.domain}", names: ["*.${var.domain}"] }
  old: { arn: arn:aws:acm:us-east-1:123456789012:certificate/0a1b }
load_balancers:
  public:
    certificate: "${certificates.site.arn}"
    certificates: ["${certificates.old.arn}"]
    idle_timeout: 2m
    allow: [203.0.113.0/24, 0.0.0.0/0]
services:
  api: &api
    image: "${registries.api.url}"
    port: 3000
    cpu: 512
    memory: 1024
    scale: { min: "${var.tasks}", max: 10, cpu: 60 }
    route: { hosts: ["api.${var.domain}"] }
    health: { path: /health, interval: 30s, timeout: 5s, healthy: 2, unhealthy: 3 }
    environment: { DATABASE_HOST: "${databases.main.endpoint}", PLAIN: "$${var.domain}" }
    secrets: { JWT_KEY: "${secrets.jwt}" }
    release:
      strategy: blue_green
      before: migrate
      verify: 2m
      checks: [{ path: /health, contains: '"ok"' }, { path: /old, status: "301" }]
      monitor: 10m
      keep: 30m
      rollback: { errors: 1% for 5m, latency: 2s for 3m, unhealthy: 50%, alarms: [critical] }
    policies:
      - { actions: ["s3:GetObject"], resources: ["${buckets.files.arn}/*"], conditions: { Bool: { "aws:SecureTransport": ["true"] } } }
    egress: [main]
  web:
    <<: *api
    route: { hosts: ["${var.domain}", "www.${var.domain}"], priority: 10 }
  worker: { image: worker, command: [node, worker.js], count: 1, architecture: arm64, release: { strategy: rolling } }
jobs:
  migrate: { image: migrations, command: [up] }
databases:
  main:
    engine: postgres
    version: "15"
    class: db.t4g.medium
    storage: 100
    iops: 3000
    multi_az: true
    backup: { window: "02:00-03:00", keep: 7d }
    maintenance: "sun:03:00-sun:04:00"
    parameters: { log_connections: true, work_mem: 8192, timezone: UTC }
    name: app
    rotation: 30d
secrets:
  jwt: { generate: { length: 64 } }
  app: { json: { username: app, host: "${databases.main.endpoint}", password: { generate: {} } } }
  stripe: { description: The key of our payments account, key: "${keys.main.arn}" }
keys:
  main: { rotation: 365d, deletion_window: 7 }
existing:
  zone: { kind: hosted_zone, id: Z0123456789 }
  shared: { environment: shared, address: ecr_repository.api }
resources:
  security_group.bastion: { vpc: "${network.vpc_id}", rules: [{ port: 22 }] }
"#;

fn loaded(text: &str, vars: &[(&str, &str)]) -> Result<Loaded, String> {
    let vars: Vec<(String, String)> = vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let read = |_: &str| -> io::Result<String> { Ok(text.to_owned()) };
    load("environments/production.yaml", &vars, &read)
        .map_err(|failed| render(&failed.diagnostics, &failed.sources, false))
}

#[test]
fn a_full_file_is_read_as_it_is_meant() {
    let loaded = loaded(FULL, &[("tasks", "3")]).unwrap_or_else(|message| panic!("{message}"));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.name, "production");
    let file = &loaded.file;
    let network = file.network.as_ref().unwrap();
    assert!(matches!(&network.zones, Zones::Named(zones) if zones.len() == 3));
    assert_eq!((network.nat, network.flow_logs), (Nat::Single, Some(Duration::from_days(30))));
    let api = &file.services["api"];
    assert_eq!(api.scale.as_ref().unwrap().min, 3);
    assert_eq!(api.environment["PLAIN"], Text::from("$${var.domain}"));
    assert_eq!(api.release.rollback.latency.unwrap().milliseconds, 2000);
    assert_eq!(api.release.checks[1].status, "301");
    assert_eq!(file.services["web"].route.as_ref().unwrap().hosts, ["example.com", "www.example.com"]);
    assert_eq!(file.services["web"].port, Some(3000));
    assert_eq!(file.services["worker"].strategy(), Release::Rolling);
    assert_eq!(loaded.sources.text(loaded.tree.place_of(&["databases", "main", "class"])), "db.t4g.medium");
}

#[test]
fn the_smallest_file_is_fine() {
    let text = "project: a\naccount: \"000000000000\"\nregion: eu-central-1\n";
    assert!(loaded(text, &[]).is_ok_and(|loaded| loaded.warnings.is_empty()));
}

/// Editors show descriptions, and messages quote them, so each field needs one.
#[test]
fn each_field_has_a_description() {
    fn walk(schema: &Value, path: &str, bare: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if field["description"].as_str().is_none_or(str::is_empty) {
                bare.push(format!("{path}.{name}"));
            }
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            walk(definition, name, bare);
        }
    }
    let schema = json_schema();
    let mut bare = Vec::new();
    walk(&schema, "EnvironmentFile", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

/// A pattern that does not compile would silently let everything through.
#[test]
fn each_pattern_compiles_and_takes_its_example() {
    fn walk(schema: &Value, patterns: &mut usize) {
        match schema {
            Value::Object(fields) => {
                if let Some(Value::String(pattern)) = fields.get("pattern") {
                    let regex = regex::Regex::new(pattern).unwrap();
                    for example in fields.get("examples").and_then(Value::as_array).into_iter().flatten() {
                        assert!(regex.is_match(example.as_str().unwrap()), "{pattern} does not take {example}");
                    }
                    *patterns += 1;
                }
                fields.values().for_each(|value| walk(value, patterns));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, patterns)),
            _ => {}
        }
    }
    let mut patterns = 0;
    walk(&json_schema(), &mut patterns);
    assert!(patterns > 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A file with a piece cut out or put in is read or refused with a message, whatever the piece.
    #[test]
    fn no_text_makes_it_panic(from in 0..FULL.len(), length in 0_usize..40, piece in r#"[-a-z0-9 :{}\[\]"'$&*!|>%@\n\t#.é]{0,12}"#) {
        let to = (from + length).min(FULL.len());
        let text = format!("{}{piece}{}", &FULL[..from], &FULL[to..]);
        match loaded(&text, &[]) {
            Ok(loaded) => prop_assert!(loaded.warnings.iter().all(|warning| !warning.is_error())),
            Err(message) => prop_assert!(message.contains("error")),
        }
    }
}
