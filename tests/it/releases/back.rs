//! Back by hand, at each stage of a release.

use super::operator::phase;
use super::site::Site;
use crate::proxy::Proxy;

/// Stages, and what makes each last until it is cut short.
const STAGES: [(&str, &[&str]); 4] = [
    ("verifying", &["--verify", "1h"]),
    ("shifting", &["--canary", "20% for 1h"]),
    ("monitoring", &["--monitor", "1h"]),
    ("keeping", &["--monitor", "1s", "--keep", "1h"]),
];

#[tokio::test]
async fn a_rollback_at_each_stage_loses_no_request() {
    let site = Site::start().await;
    site.bluegreen(&["run", "test", "api", "--tag", "v1", "--monitor", "1s", "--keep", "0s"]).end().await.well();
    for (number, (stage, flags)) in STAGES.iter().enumerate() {
        let load = site.load();
        let version = format!("v{}", number + 2);
        let mut arguments = vec!["run", "test", "api", "--tag", &version];
        arguments.extend_from_slice(flags);
        let mut run = site.bluegreen(&arguments);
        // It lasts: the first wait in the stage is not its beginning.
        let waits = |event: &serde_json::Value| phase(event) == *stage && event["waits"] == true;
        run.event(stage, waits).await;
        let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
        let back = site.bluegreen_through(&proxy.endpoint, &["rollback", "test", "api"]).end().await.well();
        assert_eq!(back.events.last().unwrap()["outcome"], "rolled_back");
        let moves = proxy.calls().iter().filter(|call| call.operation == "ModifyRule").count();
        assert_eq!(moves, usize::from(*stage != "verifying"), "{stage}: one call takes the traffic back");
        let told = run.end().await;
        assert_eq!(told.code, Some(1), "who ran the release is told: {}", told.stderr);
        let report = load.stop().await.faultless();
        assert_eq!(report.versions().contains_key(version.as_str()), *stage != "verifying", "{stage}: {report}");
        assert!(report.last_to("v1") > report.last_to(&version), "{stage}: {report}");
        println!("taken back while {stage}: {report}");
        site.serves("v1").await;
        site.converged("test").await;
        let again = site.bluegreen(&["run", "test", "api", "--tag", &version]).end().await;
        assert!(again.refused().contains("was taken back"), "{}", again.stderr);
    }
}
