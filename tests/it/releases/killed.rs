//! A release whose process is killed at each of its writes, and begun again.

use std::time::Duration;

use tokio::time::timeout;

use super::site::Site;
use crate::proxy::{ANY_WRITE, Proxy, StopAt};

/// How long until the write to stop at must have come, or the command have ended.
const DEADLINE: Duration = Duration::from_mins(1);
/// A release without pauses.
pub const QUICK: [&str; 9] = ["run", "test", "api", "--verify", "0s", "--monitor", "0s", "--keep", "0s"];

/// Where the next write would have come, the answer to this one is lost: each is executed, and the process killed there,
/// looked at, and run again, all under load.
#[tokio::test]
async fn killed_at_each_write() {
    let site = Site::start().await;
    site.bluegreen(&[&QUICK[..], &["--tag", "v0"]].concat()).end().await.well();
    let load = site.load();
    let mut writes = Vec::new();
    for nth in 1.. {
        let version = format!("v{nth}");
        let arguments = [&QUICK[..], &["--canary", "50% for 0s", "--tag", &version]].concat();
        let Some(write) = stopped(&site, &arguments, nth).await else { break };
        site.sound(&format!("{version} was killed at {write}")).await;
        let again = site.bluegreen(&arguments).end().await;
        assert_eq!(again.code, Some(0), "killed at {write}: {}\n{:#?}", again.stderr, again.events.last());
        site.serves(&version).await;
        writes.push(write);
    }
    site.converged("test").await;
    let report = load.stop().await.faultless();
    println!("killed at each of {} writes ({}): {report}", writes.len(), writes.join(", "));
    let moves = writes.iter().filter(|write| *write == "ModifyRule").count();
    assert!(writes.len() > 10 && moves >= 3, "the test rule, the canary, all: {writes:?}");
}

/// The same for a rollback.
#[tokio::test]
async fn killed_at_each_write_of_a_rollback() {
    let site = Site::start().await;
    site.bluegreen(&[&QUICK[..], &["--tag", "v0"]].concat()).end().await.well();
    let load = site.load();
    let mut writes = Vec::new();
    for nth in 1.. {
        let version = format!("v{nth}");
        let mut run = site.bluegreen(&["run", "test", "api", "--monitor", "1h", "--tag", &version]);
        run.phase("monitoring").await;
        run.kill().await;
        let back = ["rollback", "test", "api"];
        let Some(write) = stopped(&site, &back, nth).await else { break };
        site.sound(&format!("the rollback of {version} was killed at {write}")).await;
        site.bluegreen(&back).end().await.well();
        site.serves("v0").await;
        writes.push(write);
    }
    site.serves("v0").await;
    site.converged("test").await;
    let report = load.stop().await.faultless();
    println!("rollbacks killed at each of {} writes ({}): {report}", writes.len(), writes.join(", "));
    assert!(writes.len() > 3 && writes.iter().any(|write| *write == "ModifyRule"), "{writes:?}");
}

/// Runs until the write to stop at, and kills the process there. None where it has ended before.
async fn stopped(site: &Site, arguments: &[&str], nth: usize) -> Option<String> {
    let stop = StopAt { operation: ANY_WRITE, nth, executed: true };
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
