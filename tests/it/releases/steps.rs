//! A release command by command, and ways back to versions that no longer run.

use super::site::Site;

#[tokio::test]
async fn each_step_is_a_command() {
    let site = Site::start().await;
    site.bluegreen(&["run", "test", "api", "--tag", "v1", "--monitor", "1s", "--keep", "0s"]).end().await.well();
    let first = site.running_revision().await;
    let load = site.load();

    let deployed = site.bluegreen(&["deploy", "test", "api", "--tag", "v2"]).end().await.well();
    assert_eq!(deployed.events.last().unwrap()["outcome"], "reached");
    let status = site.bluegreen(&["status", "test", "api"]).end().await.well();
    let status = status.events.last().unwrap();
    assert_eq!((&status["record"]["phase"], &status["unattended"]), (&"verifying".into(), &true.into()), "{status:#}");
    assert!(load.so_far().last_to("v2").is_none(), "it gets no traffic yet");
    site.converged("test").await;

    site.bluegreen(&["switch", "test", "api", "--monitor", "2s"]).end().await.well();
    let weights = site.weights().await;
    assert!(weights == [100, 0] || weights == [0, 100], "{weights:?}");
    assert_eq!([site.healthy(0).await, site.healthy(1).await], [2, 2], "the old one is kept");
    site.bluegreen(&["finish", "test", "api", "--now"]).end().await.well();
    site.serves("v2").await;
    let report = load.stop().await.faultless();
    println!("deploy, switch, finish: {report}");

    let load = site.load();
    site.bluegreen(&["rollback", "test", "api", "--monitor", "1s"]).end().await.well();
    site.bluegreen(&["finish", "test", "api", "--now"]).end().await.well();
    site.serves("v1").await;
    assert_eq!(site.running_revision().await, first, "the very revision that ran before");
    site.bluegreen(&["run", "test", "api", "--tag", "v3", "--monitor", "1s", "--keep", "0s"]).end().await.well();
    let number = first.rsplit(':').next().unwrap();
    site.bluegreen(&["rollback", "test", "api", "--to", number, "--monitor", "1s"]).end().await.well();
    site.bluegreen(&["finish", "test", "api", "--now"]).end().await.well();
    site.serves("v1").await;
    site.converged("test").await;
    let report = load.stop().await.faultless();
    println!("back to a version that no longer ran, and to a revision: {report}");
}
