//! Releases that must not be: each is taken back by itself, says why, and leaves the old version where it was.

use std::time::Instant;

use super::load::Report;
use super::operator::Told;
use super::site::Site;

/// A version that answers badly once it has traffic.
#[tokio::test]
async fn versions_that_answer_badly_are_taken_back() {
    let site = Site::start().await;
    site.bluegreen(&["run", "test", "api", "--tag", "v1", "--monitor", "1s", "--keep", "0s"]).end().await.well();
    // It would find them before they get any traffic.
    site.edit("test", "checks: [{ path: /health }]", "checks: []");

    let (told, report) = release(&site, "v2-errors5", &[]).await;
    assert!(told.taken_back().contains("of the requests failed in 3 s"), "{}", told.taken_back());
    assert!(report.failures().iter().all(|answer| answer.version() == "v2-errors5"), "{report}");
    took("5 % errors", report.first_to("v2-errors5"), report.last_to("v2-errors5"), &report);

    let (told, report) = release(&site, "v3-slow3000", &["--canary", "10% for 1h"]).await;
    assert!(told.taken_back().contains("answers took"), "{}", told.taken_back());
    assert!(report.failures().is_empty(), "slow is not wrong: {report}");
    took("3 s latency", report.first_to("v3-slow3000"), report.last_to("v3-slow3000"), &report);

    // All its tasks die at once, while it has all traffic.
    let (told, report) = release(&site, "v4-crash8", &["--monitor", "1h"]).await;
    for reason in ["healthy", "exit code 1", "RuntimeError: cannot start: v4-crash8 is broken"] {
        assert!(told.taken_back().contains(reason), "{}", told.taken_back());
    }
    let ended = report.failures().iter().map(|answer| answer.sent + answer.took).min();
    took("death after the switch", ended, report.failures().iter().map(|answer| answer.sent).max(), &report);
}

/// A version that does not come up, or that a job or a check finds wanting: it gets no traffic.
#[tokio::test]
async fn versions_that_do_not_come_up_get_no_traffic() {
    let site = Site::start().await;
    site.bluegreen(&["run", "test", "api", "--tag", "v1", "--monitor", "1s", "--keep", "0s"]).end().await.well();
    let cases: [(&str, &[&str]); 5] = [
        ("v2-badjob", &["the job migrate", "exit code 1", "relation \"orders\" does not exist"]),
        ("v3-crash", &["exit code 1", "RuntimeError: cannot start: v3-crash is broken"]),
        ("v4-unhealthy", &["health checks"]),
        ("v5-errors100", &["check through the test rule", "/health", "500"]),
        ("v6-missing", &["CannotPullContainerError"]),
    ];
    for (version, reasons) in cases {
        let (told, report) = release(&site, version, &[]).await;
        let why = told.taken_back();
        for reason in reasons {
            assert!(why.contains(reason), "{version}: {reason:?} is not in {why}");
        }
        let history = site.infra("history test --limit 1 --format json").await.well().json();
        let record = &history["records"][0];
        let (told, first) = (record["why"].as_str().unwrap(), why.lines().next().unwrap());
        assert_eq!(record["outcome"], "failed");
        assert!(told.starts_with("api: ") && first.contains(told.trim_start_matches("api: ")), "{told:?} {why}");
        let report = report.faultless();
        assert!(report.versions().keys().eq(["v1"].iter()), "{report}");
        println!("{version}: {report}");
        if version == "v2-badjob" {
            // It would fail in place of the others.
            site.edit("test", "      before: migrate\n", "");
        }
    }
}

/// Releases a version under load. In the end the first version serves alone, and nothing is left to do.
async fn release(site: &Site, version: &str, flags: &[&str]) -> (Told, Report) {
    let load = site.load();
    let mut arguments = vec!["run", "test", "api", "--tag", version];
    arguments.extend_from_slice(flags);
    let told = site.bluegreen(&arguments).end().await;
    let report = load.stop().await;
    println!("{version} ends: {}", told.refused());
    site.serves("v1").await;
    site.converged("test").await;
    (told, report)
}

/// From the first request that met the bad version, or the first failure, until the old version had all traffic.
fn took(what: &str, first: Option<Instant>, last: Option<Instant>, report: &Report) {
    let took = last.unwrap().saturating_duration_since(first.unwrap());
    println!("{what}: the old version had all traffic again after {took:.1?}: {report}");
}
