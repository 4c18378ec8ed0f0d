//! A release whose process is killed at each of its writes, and begun again.

use std::time::Duration;

use tokio::time::timeout;

use super::site::Site;
use crate::proxy::{ANY_WRITE, Proxy, StopAt};

/// How long until the write to stop at must have come, or the command have ended.
const DEADLINE: Duration = Duration::from_mins(1);
const QUICK: [&str; 9] = ["run", "test", "api", "--verify", "0s", "--monitor", "1s", "--keep", "0s"];

#[tokio::test]
async fn killed_before_each_write() {
    killed(false).await;
}

#[tokio::test]
async fn killed_after_each_write() {
    killed(true).await;
}

/// A release for each write: killed there, looked at, and run again, all under load.
async fn killed(executed: bool) {
    let site = Site::start().await;
    site.bluegreen(&[&QUICK[..], &["--tag", "v0"]].concat()).end().await.well();
    let load = site.load();
    let mut writes = Vec::new();
    for nth in 1.. {
        let version = format!("v{nth}");
        let arguments = [&QUICK[..], &["--canary", "50% for 1s", "--tag", &version]].concat();
        let stop = StopAt { operation: ANY_WRITE, nth, executed };
        let Some(write) = stopped(&site, &arguments, stop).await else { break };
        site.sound(&format!("{version} was killed at {write}")).await;
        let again = site.bluegreen(&arguments).end().await;
        assert_eq!(again.code, Some(0), "killed at {write}: {}\n{:#?}", again.stderr, again.events.last());
        site.serves(&version).await;
        writes.push(write);
    }
    site.converged("test").await;
    let report = load.stop().await;
    println!(
        "killed {} each of {} writes ({}): {report}",
        if executed { "after" } else { "before" },
        writes.len(),
        writes.join(", ")
    );
    assert!(writes.len() > 10 && writes.iter().filter(|write| *write == "ModifyRule").count() >= 3, "{writes:?}");
    report.faultless();
}

/// Runs until the write to stop at, and kills the process there. None where it has ended before.
async fn stopped(site: &Site, arguments: &[&str], stop: StopAt) -> Option<String> {
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
    let mut run = site.bluegreen_through(&proxy.endpoint, arguments);
    let ended = async {
        while !run.has_ended() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let held = timeout(DEADLINE, async {
        tokio::select! {
            () = proxy.stopped.notified() => true,
            () = ended => false,
        }
    });
    if held.await.expect("it neither ends nor writes") {
        run.kill().await;
        Some(proxy.held())
    } else {
        run.end().await.well();
        None
    }
}
