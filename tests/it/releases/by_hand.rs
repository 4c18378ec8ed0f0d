//! A release without `infra bluegreen`, call by call: shows that what the others rest on loses no request.

use super::site::{Site, until};

const BLUE: usize = 0;
const GREEN: usize = 1;

#[tokio::test]
async fn a_switch_by_hand_loses_no_request() {
    let site = Site::start().await;
    let (first, second) = (site.revision("v1").await, site.revision("v2").await);
    site.scale(BLUE, Some(&first), 2).await;
    until("blue", async || site.healthy(BLUE).await == 2).await;
    site.weigh([100, 0]).await;
    let load = site.load();
    site.scale(GREEN, Some(&second), 2).await;
    until("green", async || site.healthy(GREEN).await == 2).await;
    for weights in [[90, 10], [50, 50], [0, 100]] {
        site.weigh(weights).await;
        let before = load.so_far().answers.len();
        until("some answers", async || load.so_far().answers.len() > before + 100).await;
    }
    site.scale(BLUE, None, 0).await;
    until("the end of blue", async || site.running(BLUE).await == 0).await;
    let report = load.stop().await.faultless();
    let versions = report.versions();
    assert!(versions["v1"] > 100 && versions["v2"] > 100, "{report}");
    assert!(report.last_to("v1") < report.last_to("v2"), "the old version is asked no more");
    println!("a switch by hand: {report}");
    site.converged("test").await;
}
