//! An environment of every kind, with a fault at every call of its apply.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex};

use aws_sdk_ssm::types::ParameterType;
use futures::FutureExt as _;
use infra::kinds;
use serde_json::Value as Json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::account;
use super::same::world;
use super::site::{PRODUCTION, Site, repository};
use crate::proxy::{Behaviour, Call, Fault, Judge, Proxy, first_answer_lost};
use crate::support::Emulator;

const FILE: &str = include_str!("../../every-kind.yaml");
/// How many recoveries run at once.
const AT_ONCE: usize = 8;

/// With `INFRA_PRODUCTION=1` it is this repository's production that is disturbed.
static ENVIRONMENT: LazyLock<&str> = LazyLock::new(|| match std::env::var_os("INFRA_PRODUCTION") {
    Some(_) => PRODUCTION,
    None => "test",
});

async fn site() -> Site {
    on(Emulator::strict().await).await
}

async fn on(emulator: Emulator) -> Site {
    let site = Site::on(emulator).await;
    site.write("test", FILE);
    for name in ["base", PRODUCTION] {
        let file = repository().join(format!("environments/{name}.yaml"));
        site.write(name, &std::fs::read_to_string(file).unwrap());
    }
    site
}

fn apply_it() -> String {
    format!("apply {} --yes", *ENVIRONMENT)
}

/// The file with something else in nearly each kind that can change in place.
fn changed() -> String {
    let mut text = FILE.to_owned();
    for (old, new) in [
        ("rotation: true", "rotation: false"),
        ("Set by hand", "Set by somebody"),
        ("retention_days: 7", "retention_days: 14"),
        ("display_name: acme", "display_name: shop"),
        ("logging: true", "logging: false"),
        ("dns_hostnames: true", "dns_hostnames: false"),
        ("ports: 443", "ports: 8443"),
        ("logs:PutLogEvents", "logs:CreateLogStream"),
        ("client_ids: [sts.amazonaws.com]", "client_ids: [sts.amazonaws.com, shop]"),
        ("ttl: 300", "ttl: 60"),
        ("status: 404", "status: 503"),
        ("hosts: [example.com]", "hosts: [www.example.com]"),
        ("192.0.2.0/24", "198.51.100.0/24"),
        ("action: block", "action: count"),
        ("memory: 512", "memory: 1024"),
        ("desired_count: 1", "desired_count: 2"),
        ("target: 60", "target: 70"),
        ("cron(30 1", "cron(45 1"),
        ("return event", "return None"),
        ("source: [aws.ecr]", "source: [aws.ecs]"),
        ("log_connections: \"1\"", "log_connections: \"0\""),
        ("storage_gb: 20", "storage_gb: 30"),
        ("cache.t4g.micro", "cache.t4g.small"),
        ("delete_after_days: 7", "delete_after_days: 14"),
        ("threshold: 90", "threshold: 80"),
        ("body: { widgets: [] }", "body: { widgets: [], start: -PT3H }"),
        ("status >= 500", "status >= 400"),
        ("fixed_rate: 0.05", "fixed_rate: 0.1"),
        ("acme-api", "acme-web"),
    ] {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    text
}

fn destroy_it() -> String {
    format!("destroy {0} --confirm {0}", *ENVIRONMENT)
}

/// What is there after an apply that nothing disturbs.
async fn calm() -> (Vec<String>, Vec<String>) {
    let site = site().await;
    // Whoever is quick is refused a role that services do not know yet: no matter of the order.
    site.emulator.set("strict", r#"{ "lag": 0 }"#).await;
    let endpoint = &site.emulator.variables["AWS_ENDPOINT_URL"];
    let proxy = Proxy::start(endpoint, None).await;
    site.through(&proxy.endpoint, &apply_it()).await.well();
    site.converged(&ENVIRONMENT).await;
    let refused: BTreeMap<_, _> = proxy
        .calls()
        .into_iter()
        .filter(|call| !call.reads() && call.status >= 400)
        .map(|call| (format!("{} {}", call.service, call.operation), call.status))
        .collect();
    // The history's log group is made when it is missed.
    let missed = BTreeMap::from([("logs PutLogEvents".to_owned(), 400)]);
    assert_eq!(refused, missed, "the order of calls is one that AWS takes");
    seen(&site).await
}

/// What is there: of ours, and in the account as a whole.
async fn seen(site: &Site) -> (Vec<String>, Vec<String>) {
    (world(&site.live(&ENVIRONMENT).await, &ENVIRONMENT), sorts(site).await)
}

#[test]
fn each_kind_is_there() {
    for kind in kinds::ALL {
        assert!(FILE.contains(&format!("\n  {}.", kind.name)), "{} is in tests/every-kind.yaml", kind.name);
    }
}

/// The account as it is after each write of an apply, which is all that a killed process leaves behind, since it keeps
/// nothing itself. From each, the same command brings about what an undisturbed one does.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_each_write_an_apply_goes_on() {
    let expected = Arc::new(calm().await);
    let site = Arc::new(site().await);
    let cuts = Arc::new(Mutex::new(Vec::new()));
    let after = {
        let (site, cuts) = (Arc::clone(&site), Arc::clone(&cuts));
        move |call: Call| {
            let (site, cuts) = (Arc::clone(&site), Arc::clone(&cuts));
            async move {
                if !call.reads() {
                    let copy = site.emulator.copy().await;
                    cuts.lock().unwrap().push((call, copy));
                }
            }
            .boxed()
        }
    };
    let behaviour = Behaviour { after: Some(Box::new(after)), ..Behaviour::default() };
    let proxy = Proxy::with(&site.emulator.variables["AWS_ENDPOINT_URL"], behaviour).await;
    site.through(&proxy.endpoint, &apply_it()).await.well();
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    println!("{} points at which an apply was cut off", cuts.len());
    let (mut recoveries, slots) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for (call, copy) in cuts {
        let (slots, expected) = (Arc::clone(&slots), Arc::clone(&expected));
        recoveries.spawn(async move {
            let _slot = slots.acquire().await.expect("never closed");
            recover(copy, &call, &expected).await;
        });
    }
    recoveries.join_all().await;
}

/// Goes on in an account whose writer has just died, after `call`.
async fn recover(emulator: Emulator, call: &Call, expected: &(Vec<String>, Vec<String>)) {
    let site = on(emulator).await;
    bury(&site).await;
    let again = site.infra(&apply_it()).await;
    assert_eq!(again.code, Some(0), "after {call:?}: {}\n{}", again.stdout, again.stderr);
    same(&site, expected, &format!("after {call:?}")).await;
}

/// Asserts that there is what there is after an apply that nothing disturbs.
async fn same(site: &Site, (calm, sorts): &(Vec<String>, Vec<String>), why: &str) {
    let (now, now_sorts) = seen(site).await;
    account::same(calm, &now, why);
    account::same(sorts, &now_sorts, &format!("{why} there is an orphan"));
}

/// What sorts of things there are in the account, ours or not, and how many of each.
async fn sorts(site: &Site) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for text in site.emulator.at_once(account::contents(&site.aws)).await {
        let sort = text.split([' ', '(']).next().unwrap_or_default().to_owned();
        // Unheard, a revision is registered once more, which is the latest one then and serves as well.
        if sort == "definition" {
            continue;
        }
        *counts.entry(sort).or_insert(0) += 1;
    }
    counts.into_iter().map(|(sort, count)| format!("{count} {sort}")).collect()
}

/// Whoever holds the lock is a process that has ended, a minute ago: what it made shows by now, if it was sent at all.
async fn bury(site: &Site) {
    site.emulator.set("strict", r#"{ "ahead": 60 }"#).await;
    let mut ended = std::process::Command::new("true").stdout(Stdio::null()).spawn().unwrap();
    ended.wait().unwrap();
    let path = format!("/infra/acme/{}/lock", *ENVIRONMENT);
    let locks = site.aws.ssm().get_parameters_by_path().path(path).send().await.unwrap();
    for lock in locks.parameters() {
        let mut content: Json = serde_json::from_str(lock.value().unwrap()).unwrap();
        let Some(holder) = content.get_mut("holder") else { continue };
        holder["process"] = ended.id().into();
        let put = site.aws.ssm().put_parameter().name(lock.name().unwrap()).value(content.to_string());
        put.r#type(ParameterType::String).overwrite(true).send().await.unwrap();
    }
}

/// Applies with one fault in so many calls, as often as it takes until each call has had it.
async fn despite(fault: Fault, shares: usize) {
    let expected = calm().await;
    for share in 0..shares {
        let judge: Judge = Box::new(move |number, _| if number % shares == share { fault } else { Fault::None });
        apply(judge, &expected, &format!("{fault:?} at each call {share} of {shares}")).await;
    }
}

async fn apply(judge: Judge, expected: &(Vec<String>, Vec<String>), why: &str) -> (Site, Proxy) {
    let site = site().await;
    let behaviour = Behaviour { judge: Some(judge), ..Behaviour::default() };
    let proxy = Proxy::with(&site.emulator.variables["AWS_ENDPOINT_URL"], behaviour).await;
    let applied = site.through(&proxy.endpoint, &apply_it()).await;
    assert_eq!(applied.code, Some(0), "{why}: {}\n{}", applied.stdout, applied.stderr);
    same(&site, expected, why).await;
    println!("{why}: {} calls were executed", proxy.calls().len());
    (site, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_lost_at_each_call() {
    despite(Fault::Unanswered, 6).await;
}

/// What the SDK sends again by itself meets what its first try has made, changed or deleted. With `INFRA_LIVES=N` also in N
/// lives that lose half of all answers, sooner or later.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_sent_again() {
    const AT_MOST: usize = 3;
    let lives = std::env::var("INFRA_LIVES").map_or(0, |lives| lives.parse::<usize>().unwrap());
    let changed = changed();
    let site = site().await;
    site.infra(&apply_it()).await.well();
    let made = seen(&site).await;
    site.write("test", &changed);
    site.infra(&apply_it()).await.well();
    let altered = seen(&site).await;
    site.infra(&destroy_it()).await.well();
    let left = sorts(&site).await;
    let lives = (0..=lives).map(async |life| {
        let judge: Judge = Box::new(move |_, call| match life {
            0 => first_answer_lost(call),
            _ if call.attempt <= AT_MOST && rand::random() => Fault::Unanswered,
            _ => Fault::None,
        });
        let (site, proxy) = apply(judge, &made, &format!("answers are lost, {life}")).await;
        site.write("test", &changed);
        site.through(&proxy.endpoint, &apply_it()).await.well();
        same(&site, &altered, "all of it is changed").await;
        site.through(&proxy.endpoint, &destroy_it()).await.well();
        account::same(&left, &sorts(&site).await, "all of it is destroyed");
    });
    futures::future::join_all(lives).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_throttled() {
    despite(Fault::Throttled, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn some_calls_never_arrive_and_some_break() {
    let judge = |number, _: &Call| match number % 10 {
        3 => Fault::Unsent,
        7 => Fault::Broken,
        _ => Fault::None,
    };
    apply(Box::new(judge), &calm().await, "three of ten calls go wrong").await;
}
