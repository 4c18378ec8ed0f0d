//! The environments of this repository, as they are: from nothing to nothing.

use std::collections::BTreeMap;

use super::site::Site;
use crate::proxy::Proxy;

/// The calls of a plan that finds nothing to do, by environment.
const CALLS: [(&str, usize); 3] = [("shared", 0), ("staging", 0), ("production", 0)];
/// Those of production, and what they are. A new kind or a read that is no longer shared shows here.
const PRODUCTION: &[(&str, usize)] = &[];

#[tokio::test]
async fn every_environment_is_made_costs_few_calls_to_look_at_and_goes() {
    let site = Site::of_this_repository().await;
    let mut calls = Vec::new();
    let mut counted = BTreeMap::new();
    for (environment, _) in CALLS {
        site.infra(&format!("apply {environment} --yes")).await.well();
        let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
        let plan = site.through(&proxy.endpoint, &format!("plan {environment} --detailed-exitcode")).await.well();
        assert!(plan.stdout.contains("No changes"), "{environment}: {}", plan.stdout);
        for call in proxy.calls() {
            assert!(call.reads(), "a plan changes nothing: {call:?}");
            if environment == "production" {
                *counted.entry(format!("{}:{}", call.service, call.operation)).or_default() += 1;
            }
        }
        calls.push((environment, proxy.calls().len()));
    }
    for (environment, _) in CALLS {
        site.infra(&format!("destroy {environment} --confirm {environment}")).await.well();
        let left: Vec<_> = site.live(environment).await.into_iter().map(|live| live.identity.address).collect();
        assert_eq!(left, [], "nothing of {environment} is left");
    }
    let counted: Vec<(&str, usize)> =
        counted.iter().map(|(name, count): (&String, _)| (name.as_str(), *count)).collect();
    assert_eq!(counted, PRODUCTION);
    assert_eq!(calls, CALLS);
}
