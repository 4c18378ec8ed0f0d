//! The scenario helper: two small YAML texts, and the plan between them.
//!
//! A text holds one resource a line, as in `subnet.a: { vpc_id: "${vpc.main.id}", cidr: 10.0.0.0/20, zone: a }`. On the
//! desired side `${...}` is a reference; on the live side it stands for the output's text, `vpc.main#id`. A live resource
//! may say beside its fields how it `is` (`pending`, `tombstone`, `restorable`, `deposed`, `failed: why`) and have `notes`.
//! `subnet.a@old` is another live resource with the address `subnet.a`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use infra::address::Address;
use infra::apply::{Report, doing};
use infra::desired::{Desired, Resource};
use infra::kind::{Health, Live};
use infra::kinds;
use infra::plan::{Plan, Snapshot, Step, plan};
use infra::value::{Fields, Output, Part, Template, Value};
use petgraph::Direction;
use petgraph::algo::has_path_connecting;
use petgraph::stable_graph::NodeIndex;

use super::order;
use crate::executor;
use crate::memory::{self, Shared, World};
use crate::support::scope;

pub const NETWORK: &str = r#"
vpc.main: { cidr: 10.0.0.0/16 }
subnet.a: { vpc_id: "${vpc.main.id}", cidr: 10.0.0.0/20, zone: us-east-1a }
subnet.b: { vpc_id: "${vpc.main.id}", cidr: 10.0.16.0/20, zone: us-east-1b }
"#;

/// Two groups that name each other, in a network that stands alone.
pub const GROUPS: &str = r#"
vpc.main: { cidr: 10.0.0.0/16 }
security_group.api:
  vpc_id: "${vpc.main.id}"
  description: api
  ingress: [{ protocol: tcp, ports: 3000, peer: { security_group: "${security_group.web.id}" } }]
security_group.web:
  vpc_id: "${vpc.main.id}"
  description: web
  ingress: [{ protocol: tcp, ports: 443, peer: { cidr: 0.0.0.0/0 } }]
  egress: [{ protocol: tcp, ports: 3000, peer: { security_group: "${security_group.api.id}" } }]
"#;

/// A service in a network of others, and a database beside it.
pub const SERVICE: &str = r#"
ecs_cluster.main: {}
security_group.api: { vpc_id: vpc-1, description: api }
task_definition.api: { cpu: 256, memory: 512, containers: [{ name: api, image: "api:1" }] }
ecs_service.api:
  cluster_arn: "${ecs_cluster.main.arn}"
  task_definition_arn: "${task_definition.api.arn}"
  subnets: [subnet-1, subnet-2]
  security_groups: ["${security_group.api.id}"]
"#;

pub const DATABASE: &str = r#"
security_group.db: { vpc_id: vpc-1, description: db }
db_subnet_group.main: { subnets: [subnet-1, subnet-2] }
db_instance.main:
  engine: postgres
  engine_version: "15"
  class: db.t4g.micro
  storage_gb: 20
  master_username: root
  subnet_group_name: "${db_subnet_group.main.name}"
  security_groups: ["${security_group.db.id}"]
"#;

/// The plan as a reader sees it. It is also applied to a world in memory, which must then be as desired.
pub fn check(desired: &str, live: &str) -> String {
    let (desired, snapshot) = (self::desired(desired), self::live(live));
    let plan = plan(&desired, &snapshot).unwrap();
    assert_eq!(order::violations(&plan, &snapshot), Vec::<String>::new());
    if plan.blocked.is_empty() {
        converges(&desired, &snapshot);
    }
    report(&plan)
}

/// The steps of the plan, each with those that it waits for directly, in an order in which they may run.
pub fn steps(desired: &str, live: &str) -> String {
    check(desired, live);
    listing(&planned(desired, live))
}

pub fn planned(desired: &str, live: &str) -> Plan {
    plan(&self::desired(desired), &self::live(live)).unwrap()
}

pub fn report(plan: &Plan) -> String {
    anstream::adapter::strip_str(&infra::report::plan_text(plan)).to_string()
}

/// Applies the plan between the two, and asserts that nothing is left to do.
fn converges(desired: &Desired, snapshot: &Snapshot) {
    let world = Shared::new(World::of(snapshot.live.clone()).into());
    let outcome = run(&plan(desired, snapshot).unwrap(), &world);
    let calls = &world.lock().unwrap().calls.clone();
    assert!(outcome.is_success(), "{outcome:#?} after {calls:#?}");
    let again = plan(desired, &memory::snapshot(&world)).unwrap();
    assert!(again.is_empty(), "after {calls:#?}, still: {}", report(&again));
}

/// Applies the plan under a clock that does not wait.
pub fn run(plan: &Plan, world: &Shared) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let context = infra::apply::Context {
            drivers: memory::drivers(world),
            scope: scope(&[]),
            guard: infra::lock::Guard::none(),
            run: "run1".into(),
        };
        infra::apply::apply(plan, context.into(), 32, executor::go_on(), |_| ()).await
    })
}

pub fn desired(yaml: &str) -> Desired {
    try_desired(yaml).unwrap()
}

pub fn try_desired(yaml: &str) -> Result<Desired, Vec<infra::desired::Wrong>> {
    let resource = |(name, json): (String, serde_json::Value)| {
        let address: Address = name.parse().unwrap();
        let mut fields = fields(json, &|text| template(text));
        let after = fields.remove("after").map(|after| addresses(&after)).unwrap_or_default();
        Resource { origin: vec![address.to_string()], address, fields, after }
    };
    Desired::new("acme", "test", "123456789012", "us-east-1", parse(yaml).into_iter().map(resource))
}

pub fn live(yaml: &str) -> Snapshot {
    let resource = |(id, json): (String, serde_json::Value)| {
        let address: Address = id.split('@').next().unwrap().parse().unwrap();
        let info = kinds::find(&address.kind).unwrap_or_else(|| panic!("no kind {}", address.kind));
        let mut fields = fields(json, &|text| Value::Text(template_text(text)));
        let is = fields.remove("is").unwrap_or(Value::text("ok"));
        let notes = fields.remove("notes").map(|notes| texts(&notes)).unwrap_or_default();
        let notes = notes.into_iter().map(Into::into).collect();
        let outputs = info.outputs.iter().map(|name| ((*name).to_owned(), format!("{id}#{name}"))).collect();
        let spec = (info.normalize)(&fields).unwrap_or_else(|error| panic!("{id}: {error}"));
        let identity = scope(&[]).identity(&address);
        Live { identity, id, spec, outputs, deposed: is.as_text() == Some("deposed"), health: health(&is), notes }
    };
    Snapshot { live: parse(yaml).into_iter().map(resource).collect(), ..Snapshot::default() }
}

fn parse(yaml: &str) -> serde_json::Map<String, serde_json::Value> {
    if yaml.trim().is_empty() {
        return serde_json::Map::new();
    }
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn health(is: &Value) -> Health {
    match is {
        Value::Map(failed) => Health::Failed(failed["failed"].as_text().unwrap().to_owned()),
        is => match is.as_text().unwrap() {
            "ok" | "deposed" => Health::Ok,
            "pending" => Health::Pending,
            "tombstone" => Health::Tombstone,
            "restorable" => Health::Restorable,
            other => panic!("nothing is {other}"),
        },
    }
}

fn fields(json: serde_json::Value, text: &impl Fn(&str) -> Value) -> Fields {
    fn value(of: Value, text: &impl Fn(&str) -> Value) -> Value {
        match of {
            Value::Text(of) => text(&of),
            Value::List(items) => Value::List(items.into_iter().map(|item| value(item, text)).collect()),
            Value::Map(fields) => Value::Map(fields.into_iter().map(|(name, of)| (name, value(of, text))).collect()),
            other => other,
        }
    }
    match value(Value::from(json), text) {
        Value::Map(fields) => fields,
        Value::Null => Fields::new(),
        other => panic!("{other:?} is no map of fields"),
    }
}

/// The text around `${...}`, and what is within.
fn parts(text: &str) -> Vec<Result<&str, &str>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (within, after) = after.split_once('}').unwrap();
        parts.extend((!before.is_empty()).then_some(Ok(before)));
        parts.push(Err(within));
        rest = after;
    }
    parts.extend((!rest.is_empty()).then_some(Ok(rest)));
    parts
}

fn template(text: &str) -> Value {
    let output = |within: &str| {
        let (of, name) = within.rsplit_once('.').unwrap();
        Part::Output(Output { of: of.parse().unwrap(), name: name.to_owned() })
    };
    let parts = parts(text);
    if parts.iter().all(Result::is_ok) {
        return Value::text(text);
    }
    Value::Template(Template(
        parts.into_iter().map(|part| part.map_or_else(output, |text| Part::Text(text.into()))).collect(),
    ))
}

fn template_text(text: &str) -> String {
    let output = |within: &str| within.rsplit_once('.').map(|(id, name)| format!("{id}#{name}")).unwrap();
    parts(text).into_iter().map(|part| part.map_or_else(output, str::to_owned)).collect()
}

fn texts(value: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    value.visit_texts(&mut |text| texts.push(text.to_owned()));
    texts
}

fn addresses(value: &Value) -> BTreeSet<Address> {
    texts(value).iter().map(|text| text.parse().unwrap()).collect()
}

/// `text` with one part of it changed, which must be there.
pub fn but(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "no `{part}` in {text}");
    text.replace(part, by)
}

pub fn name(step: &Step) -> String {
    format!("{} {}", doing(&step.verb), step.address)
}

/// The steps of a plan in an order in which they may run.
pub fn listing(plan: &Plan) -> String {
    let mut left: BTreeSet<NodeIndex> = plan.steps.node_indices().collect();
    let before = |node| plan.steps.neighbors_directed(node, Direction::Incoming);
    let mut out = String::new();
    while !left.is_empty() {
        let free = left.iter().filter(|node| before(**node).all(|before| !left.contains(&before)));
        let next = *free.min_by_key(|node| name(&plan.steps[**node])).unwrap();
        left.remove(&next);
        let all: Vec<NodeIndex> = before(next).collect();
        let implied = |one: &NodeIndex| {
            all.iter().any(|other| other != one && has_path_connecting(&plan.steps, *one, *other, None))
        };
        let mut direct: Vec<_> = all.iter().filter(|one| !implied(one)).map(|one| name(&plan.steps[*one])).collect();
        direct.sort();
        let after = if direct.is_empty() { String::new() } else { format!("  after {}", direct.join(", ")) };
        let _ = writeln!(out, "{}{after}", name(&plan.steps[next]));
    }
    out
}
