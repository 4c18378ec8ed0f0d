//! One writer at a time.

use std::process::Stdio;

use super::site::{PRODUCTION, Site};
use crate::proxy::{Proxy, StopAt};

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_is_gone() {
    let site = Site::start().await;
    let free = site.infra("lock production").await.well();
    assert_eq!(free.stdout, "production is free\n");
    let stop = StopAt { operation: "CreateVpc", nth: 1, executed: false };
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
    let mut first = site.command(&proxy.endpoint, "apply production --yes");
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    proxy.stopped.notified().await;

    let process = format!("(process {})", first.id().unwrap());
    for writer in ["apply production --yes", "destroy production --confirm production"] {
        let second = site.infra(writer).await;
        let why = second.refused();
        for part in
            ["production is locked by tester on ", &process, "`infra apply production`", "infra unlock production 1"]
        {
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(second.stdout, "", "nothing is planned either");
    }
    assert!(!site.ids(PRODUCTION).await.contains_key("vpc.main"), "a refused writer writes nothing");
    let held = site.infra("lock production").await.well().stdout;
    assert!(held.starts_with("production is locked: number 1\n") && held.contains(&process), "{held}");
    site.infra("plan production").await.well();

    let wrong = site.infra("unlock production 7").await;
    assert!(wrong.refused().contains("the newest lock of production is 1, not 7"), "{wrong:?}");
    let unlocked = site.infra("unlock production 1").await.well();
    assert_eq!(unlocked.stdout, "production is free\n");
    assert_eq!(site.infra("lock production").await.well().stdout, "production is free\n");

    first.kill().await.unwrap();
    site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
}

#[tokio::test]
async fn without_a_lock_the_environment_is_named_once_more() {
    let site = Site::start().await;
    let wrong = site.infra("apply production --yes --no-lock staging").await;
    assert!(wrong.refused().contains("--no-lock must name the environment: production"), "{wrong:?}");
    assert!(site.ids(PRODUCTION).await.is_empty());
    site.infra("apply production --yes --no-lock production --target vpc.main").await.well();
    let parameters = site.aws.ssm().describe_parameters().send().await.unwrap();
    assert!(parameters.parameters().is_empty(), "{parameters:?}");
}
