//! Ctrl-C and SIGTERM in the middle of an apply.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use super::site::{PRODUCTION, Site};
use crate::proxy::{Proxy, StopAt};

#[tokio::test]
async fn an_interruption_finishes_what_is_in_flight_and_says_how_to_go_on() {
    let site = Site::start().await;
    let report = interrupted(&site, "CreateVpc", "INT").await;
    let (_, left) = report.split_once("\nnot started:").unwrap_or_else(|| panic!("{report}"));
    assert!(left.contains("subnet.public-a"), "{report}");
    let ids = site.ids(PRODUCTION).await;
    assert!(ids.contains_key("vpc.main") && !ids.contains_key("subnet.public-a"), "{ids:?}");

    // As systems stop processes, and pipelines their jobs.
    let report = interrupted(&site, "CreateSubnet", "TERM").await;
    assert!(report.contains("\nnot started:"), "{report}");
    let ids = site.ids(PRODUCTION).await;
    assert!(ids.contains_key("subnet.public-a") && !ids.contains_key("nat_gateway.a"), "{ids:?}");

    site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
    let again = site.ids(PRODUCTION).await;
    assert!(ids.iter().all(|(address, id)| again[address] == *id), "{ids:?} {again:?}");
    let history = site.infra("history production --format json").await.well().json();
    let outcomes: Vec<&str> =
        history["records"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["done", "interrupted", "interrupted"]);
}

/// Applies, sends a signal while the first call of an operation is in flight, and returns the report.
async fn interrupted(site: &Site, operation: &'static str, signal: &str) -> String {
    let stop = StopAt { operation, nth: 1, executed: false };
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
    let mut command = site.command(&proxy.endpoint, "apply production --yes");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    proxy.stopped.notified().await;
    send(signal, child.id().unwrap()).await;
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = said.next_line().await.unwrap() {
        if line.starts_with("Finishing what is in flight") {
            break;
        }
    }
    proxy.release();
    while said.next_line().await.unwrap().is_some() {}
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(1), "{report}");
    assert!(report.contains("\nIncomplete: ") && report.contains(" 0 failed, "), "{report}");
    assert!(report.ends_with("go on with: infra apply production\n"), "{report}");
    report
}

#[tokio::test]
async fn a_second_interruption_stops_at_once_and_the_lock_is_free() {
    let site = Site::start().await;
    let stop = StopAt { operation: "CreateVpc", nth: 1, executed: false };
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
    let mut command = site.command(&proxy.endpoint, "apply production --yes");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    proxy.stopped.notified().await;
    let process = child.id().unwrap();
    send("TERM", process).await;
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    while !said.next_line().await.unwrap().expect("it says so").starts_with("Finishing what is in flight") {}
    // The call is still held: only this ends the wait for it.
    send("TERM", process).await;
    while said.next_line().await.unwrap().is_some() {}
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(1), "{report}");
    assert!(report.contains("failed vpc.main\n") && report.contains("stopped while it was in flight"), "{report}");
    assert_eq!(site.infra("lock production").await.well().stdout, "production is free\n");
    proxy.release();
}

async fn send(signal: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {process}")]).status().await.unwrap();
    assert!(sent.success());
}
