//! The executor against the world in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use infra::apply::{Context, Event, Report, Signal, apply};
use infra::desired::{Desired, Resource};
use infra::kind::{Blocker, Class, Failure};
use infra::lock::Guard;
use infra::plan::plan;
use infra::value::{Fields, Value};
use serde_json::json;
use tokio::sync::watch;

use crate::memory::{self, Shared, World};
use crate::support::scope;

fn fields(json: serde_json::Value) -> Fields {
    match Value::from(json) {
        Value::Map(fields) => fields,
        other => panic!("{other:?}"),
    }
}

fn reference(of: &str, name: &str) -> serde_json::Value {
    json!({ "${}": [{ "output": { "of": of, "name": name } }] })
}

/// Two networks with two subnets each.
fn networks() -> Desired {
    let mut resources = Vec::new();
    for vpc in ["a", "b"] {
        resources.push((format!("vpc.{vpc}"), json!({ "cidr": "10.0.0.0/16" })));
        for zone in ["a", "b"] {
            let block = if zone == "a" { "10.0.0.0/20" } else { "10.0.16.0/20" };
            let subnet = json!({ "vpc_id": reference(&format!("vpc.{vpc}"), "id"), "cidr": block, "zone": zone });
            resources.push((format!("subnet.{vpc}-{zone}"), subnet));
        }
    }
    desired(resources)
}

pub fn desired(resources: impl IntoIterator<Item = (String, serde_json::Value)>) -> Desired {
    let resources = resources.into_iter().map(|(address, json)| Resource {
        address: address.parse().unwrap(),
        fields: fields(json),
        after: BTreeSet::new(),
        origin: Vec::new(),
    });
    Desired::new("acme", "test", "123456789012", "us-east-1", resources).unwrap()
}

async fn run(
    desired: &Desired,
    world: &Shared,
    parallel: usize,
    signal: watch::Receiver<Signal>,
) -> (Report, Vec<Event>) {
    let plan = plan(desired, &memory::snapshot(world)).unwrap();
    let context =
        Context { drivers: memory::drivers(world), scope: scope(&[]), guard: Guard::none(), run: "run1".into() };
    let mut events = Vec::new();
    let report = apply(&plan, Arc::new(context), parallel, signal, |event| events.push(event)).await;
    (report, events)
}

pub fn go_on() -> watch::Receiver<Signal> {
    let (sender, receiver) = watch::channel(Signal::Run);
    std::mem::forget(sender);
    receiver
}

fn addresses<'a>(of: impl IntoIterator<Item = &'a infra::address::Address>) -> Vec<String> {
    of.into_iter().map(ToString::to_string).collect()
}

fn refuse(world: &Shared, call: &str, failure: Failure) {
    world.lock().unwrap().answers.entry(call.to_owned()).or_default().push(failure);
}

#[tokio::test(start_paused = true)]
async fn what_was_applied_plans_empty_and_destroys_to_nothing() {
    let world = Shared::new(World { slowness: 3, ..World::default() }.into());
    let (report, _) = run(&networks(), &world, 32, go_on()).await;
    assert!(report.is_success(), "{report:?}");
    assert!(plan(&networks(), &memory::snapshot(&world)).unwrap().is_empty());
    let (report, _) = run(&desired([]), &world, 32, go_on()).await;
    assert!(report.is_success(), "{report:?}");
    assert!(world.lock().unwrap().live.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_skips_only_what_needs_it() {
    let world = Shared::default();
    refuse(&world, "create vpc.a", Failure::new("ec2:CreateVpc", "VpcLimitExceeded", "too many"));
    let (report, events) = run(&networks(), &world, 32, go_on()).await;
    assert_eq!(addresses(report.failed.keys()), ["vpc.a"]);
    assert_eq!(addresses(report.skipped.keys()), ["subnet.a-a", "subnet.a-b"]);
    assert_eq!(addresses(&report.done), ["subnet.b-a", "subnet.b-b", "vpc.b"]);
    assert!(events.iter().any(|event| matches!(event, Event::Skipped { because, .. } if because.name == "a")));
    let (report, _) = run(&networks(), &world, 32, go_on()).await;
    assert!(report.is_success(), "the next run goes on where this one ended: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_steps_run_at_once_than_allowed_and_independent_ones_run_together() {
    for (parallel, expected) in [(1, 1), (2, 2), (32, 4)] {
        let world = Shared::new(World { slowness: 3, ..World::default() }.into());
        let (report, events) = run(&networks(), &world, parallel, go_on()).await;
        assert!(report.is_success());
        let (mut now, mut most) = (0, 0);
        for event in events {
            match event {
                Event::Started { .. } => now += 1,
                Event::Finished { .. } => now -= 1,
                _ => {}
            }
            most = most.max(now);
        }
        assert_eq!(most, expected, "with {parallel} at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_aws_is_waited_for_and_said() {
    let world = Shared::default();
    for _ in 0..3 {
        let busy = Failure::new("ec2:CreateSubnet", "DependencyViolation", "something is in the way");
        refuse(&world, "create subnet.a-a", busy.class(Class::Busy));
    }
    let (report, events) = run(&networks(), &world, 32, go_on()).await;
    assert!(report.is_success());
    let said = events.iter().filter(|event| matches!(event, Event::Waiting { on, .. } if on.contains("in the way")));
    assert_eq!(said.count(), 1, "each reason is said once");
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_is_found_not_repeated() {
    for lost in [
        Failure::new("ec2:CreateVpc", "NoAnswer", "connection reset").class(Class::Unanswered),
        Failure::new("ec2:CreateVpc", "VpcAlreadyExists", "the SDK tried again by itself"),
        Failure::new("ec2:CreateVpc", "NameTaken", "so it did, and AWS did not yet show whose it is"),
    ] {
        let world = Shared::default();
        refuse(&world, "create vpc.a", lost);
        let (report, _) = run(&networks(), &world, 32, go_on()).await;
        assert!(report.is_success(), "{report:?}");
        assert_eq!(world.lock().unwrap().live.values().filter(|live| live.identity.address.kind == "vpc").count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_gets_ready_fails_at_its_deadline() {
    let world = Shared::new(World { slowness: u32::MAX, ..World::default() }.into());
    let (report, events) = run(&networks(), &world, 32, go_on()).await;
    let codes: BTreeSet<&str> = report.failed.values().map(|failure| failure.code.as_str()).collect();
    assert_eq!(codes, BTreeSet::from(["DeadlineExceeded"]));
    assert!(report.failed.values().all(|failure| failure.message.contains(" by waiting on ")), "{report:?}");
    assert_eq!(report.skipped.len(), 4);
    assert!(events.iter().any(|event| matches!(event, Event::Still { .. })), "a quiet apply says that it is alive");
}

#[tokio::test(start_paused = true)]
async fn what_holds_a_resource_is_named_and_waited_for_only_where_it_passes() {
    let world = Shared::default();
    assert!(run(&networks(), &world, 32, go_on()).await.0.is_success());
    let stays = Blocker::new("instance i-1");
    let passes = Blocker::new("network interface eni-1 of function f").passing(true);
    let held = [("subnet.a-a".to_owned(), vec![stays]), ("subnet.b-a".to_owned(), vec![passes])];
    world.lock().unwrap().blockers = held.into();
    let started = tokio::time::Instant::now();
    let mut ends = Vec::new();
    let plan = plan(&desired([]), &memory::snapshot(&world)).unwrap();
    let context =
        Context { drivers: memory::drivers(&world), scope: scope(&[]), guard: Guard::none(), run: "run1".into() };
    let mut said = Vec::new();
    let report = apply(&plan, Arc::new(context), 32, go_on(), |event| match event {
        Event::Failed { address, failure, .. } => ends.push((address.to_string(), started.elapsed(), failure)),
        Event::Waiting { on, .. } => said.push(on),
        _ => {}
    });
    let report = report.await;
    let [(first, soon, staying), (second, late, passing)] = &ends[..] else { panic!("{ends:?}") };
    assert_eq!((first.as_str(), &*staying.held_by), ("subnet.a-a", &["instance i-1".to_owned()][..]));
    assert!(soon.as_secs() < 60, "nobody waits for what stays: {soon:?}");
    assert_eq!(second, "subnet.b-a");
    assert!(late.as_secs() >= 600 && passing.message.contains("still so after 10 minutes"), "{late:?} {passing}");
    assert_eq!((passing.code.as_str(), passing.held_by.len()), ("DependencyViolation", 1));
    assert!(said.iter().any(|on| on.ends_with("held by network interface eni-1 of function f")), "{said:?}");
    assert_eq!(addresses(report.skipped.keys()), ["vpc.a", "vpc.b"]);
    assert_eq!(addresses(&report.done), ["subnet.a-b", "subnet.b-b"]);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_finishes_what_is_in_flight_and_starts_nothing() {
    let world = Shared::new(World { slowness: 3, ..World::default() }.into());
    let (sender, signal) = watch::channel(Signal::Run);
    let plan = plan(&networks(), &memory::snapshot(&world)).unwrap();
    let context =
        Context { drivers: memory::drivers(&world), scope: scope(&[]), guard: Guard::none(), run: "run1".into() };
    let report = apply(&plan, Arc::new(context), 32, signal, |event| {
        if matches!(event, Event::Waiting { .. }) {
            sender.send_replace(Signal::Drain);
        }
    });
    let report = report.await;
    assert_eq!(addresses(&report.done), ["vpc.a", "vpc.b"]);
    assert_eq!(report.not_started.len(), 4);
    assert!(!report.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_second_interruption_stops_at_once() {
    let world = Shared::new(World { slowness: u32::MAX, ..World::default() }.into());
    let (sender, signal) = watch::channel(Signal::Run);
    let plan = plan(&networks(), &memory::snapshot(&world)).unwrap();
    let context =
        Context { drivers: memory::drivers(&world), scope: scope(&[]), guard: Guard::none(), run: "run1".into() };
    let started = tokio::time::Instant::now();
    let report = apply(&plan, Arc::new(context), 32, signal, |event| {
        if matches!(event, Event::Waiting { .. }) {
            sender.send_replace(Signal::Abort);
        }
    });
    let report = report.await;
    assert!(report.failed.values().all(|failure| failure.code == "Interrupted"), "{report:?}");
    assert!(started.elapsed() < std::time::Duration::from_secs(1));
}
