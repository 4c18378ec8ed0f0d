//! Ctrl-C in the middle of an apply.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use super::site::{PRODUCTION, Site};
use crate::proxy::{Proxy, StopAt};

#[tokio::test]
async fn an_interruption_finishes_what_is_in_flight_and_says_how_to_go_on() {
    let site = Site::start().await;
    let stop = StopAt { operation: "CreateVpc", nth: 1, executed: false };
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
    let mut command = site.command(&proxy.endpoint, "apply production --yes");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    proxy.stopped.notified().await;
    interrupt(child.id().unwrap()).await;
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
    let (_, report) = report.split_once("\nnot started:").unwrap_or_else(|| panic!("{report}"));
    assert!(report.contains("subnet.public-a"), "{report}");
    assert!(report.contains("\nIncomplete: ") && report.contains(" 0 failed, "), "{report}");
    assert!(report.ends_with("go on with: infra apply production\n"), "{report}");
    let ids = site.ids(PRODUCTION).await;
    assert!(ids.contains_key("vpc.main") && !ids.contains_key("subnet.public-a"), "{ids:?}");

    site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
    assert_eq!(site.ids(PRODUCTION).await["vpc.main"], ids["vpc.main"]);
    let history = site.infra("history production --format json").await.well().json();
    let outcomes: Vec<&str> =
        history["records"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["done", "interrupted"]);
}

async fn interrupt(process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {process}")]).status().await.unwrap();
    assert!(sent.success());
}
