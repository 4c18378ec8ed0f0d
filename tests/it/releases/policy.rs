//! The policy that `infra policy ENV release` prints, against what a release calls.

use super::site::Site;
use crate::end_to_end::policies::covers;
use crate::proxy::Proxy;

#[tokio::test]
async fn a_policy_allows_what_a_release_calls() {
    let site = Site::start().await;
    let policy = site.infra("policy test release --format json").await.well().json();
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    for command in [
        "bluegreen run test api --tag v1",
        "bluegreen run test api --tag v2",
        "bluegreen status test api",
        "bluegreen rollback test api",
    ] {
        site.through(&proxy.endpoint, command).await.well();
    }
    covers(&policy, &proxy.calls(), "the policy of release");
}
