//! Services that no release owns: an apply waits for their tasks, and says why they do not live.

use crate::end_to_end::site::Site;
use crate::support::Emulator;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
services: { worker: { image: "registry.test/api:v3-crash", count: 2, public: true, stop_timeout: 5s } }
"#;

#[tokio::test]
async fn a_service_whose_tasks_die_ends_the_wait_with_their_last_words() {
    let site = Site::on(Emulator::with_data_plane().await).await;
    site.emulator.set("data-plane", r#"{ "health_interval": 0.2, "metric_lag": 0.5, "tick": 0.05 }"#).await;
    site.write("test", FILE);
    let apply = site.infra("apply test --yes").await;
    assert_eq!(apply.code, Some(1), "{apply:?}");
    let words = ["exit code 1", "its last words:", "RuntimeError: cannot start: v3-crash is broken"];
    let (_, report) = apply.stdout.split_once("failed ecs_service.worker").unwrap_or_else(|| panic!("{apply:?}"));
    for word in [&words[..], &["circuit breaker", "the last events of the service:"]].concat() {
        assert!(report.contains(word), "{word:?} is not in {report}");
    }
    // While it waited, each reason was told once.
    let (_, waited) = apply.stderr.split_once("ecs_service.worker waits for").unwrap_or_else(|| panic!("{apply:?}"));
    assert!(words.iter().all(|word| waited.contains(word)), "{waited}");
    assert_eq!(waited.matches("its last words:").count(), 1, "{waited}");

    site.edit("test", "v3-crash", "v4");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
}
