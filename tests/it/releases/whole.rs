//! Releases from their beginning to their end.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::operator::{Told, phase, side};
use super::site::Site;

const PHASES: [&str; 5] = ["preparing", "verifying", "shifting", "monitoring", "keeping"];

/// The first release of a service that nobody has released, the next one with a canary step, and one in steps.
#[tokio::test]
async fn a_whole_release_loses_no_request() {
    let site = Site::start().await;
    let first = site.bluegreen(&["run", "test", "api", "--tag", "v1"]).end().await.well();
    assert_eq!(first.phases(), PHASES);
    site.converged("test").await;

    let load = site.load();
    let mut second = site.bluegreen(&["run", "test", "api", "--tag", "v2", "--canary", "10% for 3s"]);
    let canary = second.event("the canary", |event| shares(event) == (90, 10) || shares(event) == (10, 90)).await;
    site.converged("test").await;
    assert_eq!(phase(&canary), "shifting");
    second.phase("monitoring").await;
    site.converged("test").await;
    second.phase("keeping").await;
    site.converged("test").await;
    let second = second.end().await.well();
    assert_eq!(second.phases(), PHASES);
    stopped_after_its_time(&second);
    site.converged("test").await;
    let report = load.stop().await.faultless();
    let versions = report.versions();
    assert_eq!(versions.keys().copied().collect::<Vec<_>>(), ["v1", "v2"], "{report}");
    println!("a release with a canary step: {report}");

    let load = site.load();
    let third = site.bluegreen(&["run", "test", "api", "--tag", "v3", "--linear", "25% for 1s"]).end().await.well();
    let seen: Vec<u64> = third.events.iter().map(|event| shares(event).0.min(shares(event).1)).collect();
    assert!([25, 50, 0].iter().all(|share| seen.contains(share)), "{seen:?}");
    stopped_after_its_time(&third);
    let report = load.stop().await.faultless();
    assert!(report.versions().keys().eq(["v2", "v3"].iter()), "{report}");
    println!("a release in steps: {report}");

    let again = site.bluegreen(&["run", "test", "api", "--tag", "v3"]).end().await.well();
    let note = again.events.iter().find_map(|event| event["note"].as_str()).expect("it says so");
    assert!(note.contains("runs registry.test/api:v3 already"), "{note}");
    site.converged("test").await;

    let history = site.infra("history test --format json").await.well().json();
    let records: Vec<&Json> = history["records"].as_array().unwrap().iter().collect();
    // The newest one found that nothing was to be done; the oldest is the apply that made the environment.
    let told = |one: &&Json| format!("{} {}", one["command"].as_str().unwrap(), one["outcome"].as_str().unwrap());
    let run = "infra bluegreen run test api done";
    assert_eq!(records.iter().map(told).collect::<Vec<_>>(), [run, run, run, run, "infra apply test done"]);
    assert_eq!(records[1]["images"]["api"], "registry.test/api:v3");
    assert_eq!(records[1]["run"], third.events[0]["release"], "the id of the release");
}

/// The weights of blue and green.
fn shares(event: &Json) -> (u64, u64) {
    let of = |colour: &str| side(event, colour)["weight"].as_u64().unwrap_or_default();
    (of("blue"), of("green"))
}

/// The old colour ran on until its time was over.
fn stopped_after_its_time(told: &Told) {
    let at = |event: &Json| event["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let events: Vec<_> = told.events.iter().filter(|event| event["at"].is_string()).collect();
    // The last look before it was kept, and the first one after it was stopped.
    let watched = events.iter().rfind(|event| phase(event) == "monitoring").expect("it was watched");
    let old = if shares(watched) == (0, 100) { "blue" } else { "green" };
    let stopped = events.iter().find(|event| at(event) > at(watched) && side(event, old)["desired"] == 0);
    let kept = at(stopped.expect("it was stopped")).duration_since(at(watched));
    assert!(kept >= SignedDuration::from_secs(2), "{kept:?}");
    let before = events.iter().filter(|event| phase(event) == "monitoring" || phase(event) == "shifting");
    before.for_each(|event| assert_eq!(side(event, old)["healthy"], 2, "{event:#}"));
}
