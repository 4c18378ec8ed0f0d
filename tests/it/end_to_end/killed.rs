//! An apply that is killed at a call, and run again.

use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use super::account;
use super::same::world;
use super::site::{Site, scope};
use crate::proxy::{Proxy, StopAt};

/// How long until the call to stop at must have come.
const DEADLINE: Duration = Duration::from_mins(1);

/// Creates that nothing but our tags protects from being done twice: executed, and the answer lost.
#[tokio::test]
async fn killed_after_a_create_that_has_no_name() {
    let stops = [("CreateVpc", 1), ("CreateKey", 1), ("AllocateAddress", 2), ("CreateNatGateway", 3)];
    go_on_after(&stops.map(|(operation, nth)| StopAt { operation, nth, executed: true })).await;
}

/// Early, late and between, before the call is executed and after it.
#[tokio::test]
async fn killed_here_and_there() {
    go_on_after(&[
        StopAt { operation: "AuthorizeSecurityGroupIngress", nth: 2, executed: false },
        StopAt { operation: "CreateLoadBalancer", nth: 1, executed: true },
        StopAt { operation: "CreateDBInstance", nth: 1, executed: true },
        StopAt { operation: "CreateService", nth: 3, executed: false },
    ])
    .await;
}

/// Kills an apply at each stop, in an environment of its own, and applies again at once: the lock of a dead process is no
/// obstacle. Then each environment is as one whose apply was left alone.
async fn go_on_after(stops: &[StopAt]) {
    let site = Site::start().await;
    site.write("calm", &site.read("production"));
    let empty = account::contents(&site.aws).await.len();
    site.infra("apply calm --yes").await.well();
    let one = account::contents(&site.aws).await.len() - empty;
    let calm = world(&site.live("calm").await, "calm");
    for (number, stop) in stops.iter().enumerate() {
        let environment = format!("cut{number}");
        site.write(&environment, &site.read("production"));
        kill(&site, &environment, *stop).await;
        let again = site.infra(&format!("apply {environment} --yes")).await;
        assert_eq!(again.code, Some(0), "after {stop:?}: {}\n{}", again.stdout, again.stderr);
        site.converged(&environment).await;
        let cut = world(&site.live(&environment).await, &environment);
        for (cut, calm) in cut.iter().zip(&calm) {
            assert_eq!(cut, calm, "after {stop:?}");
        }
        assert_eq!(cut.len(), calm.len(), "after {stop:?}");
        assert_eq!(counts(&site, &environment).await, [1, 1, 3, 3, 1, 1], "after {stop:?}");
    }
    let all = account::contents(&site.aws).await.len();
    assert_eq!(all - empty, one * (stops.len() + 1), "each is as many objects in the account: there is no orphan");
}

/// Applies until the call to stop at, and kills the process there.
async fn kill(site: &Site, environment: &str, stop: StopAt) {
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
    let mut command = site.command(&proxy.endpoint, &format!("apply {environment} --yes"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::select! {
        stopped = timeout(DEADLINE, proxy.stopped.notified()) => stopped.unwrap(),
        ended = child.wait() => panic!("{stop:?} has not come: {ended:?}"),
    }
    child.kill().await.unwrap();
}

/// Networks, gateways, addresses, NAT gateways, load balancers and keys that carry the environment's tags, counted
/// without our own reader.
async fn counts(site: &Site, environment: &str) -> [usize; 6] {
    let (aws, scope) = (&site.aws, scope(environment));
    let tagged = |name: &str| aws_sdk_ec2::types::Filter::builder().name(format!("tag:{name}"));
    let ours = [
        tagged("infra:project").values(&scope.project).build(),
        tagged("infra:environment").values(environment).build(),
    ];
    let ours = Some(ours.to_vec());
    let vpcs = aws.ec2().describe_vpcs().set_filters(ours.clone()).send().await.unwrap();
    let gateways = aws.ec2().describe_internet_gateways().set_filters(ours.clone()).send().await.unwrap();
    let addresses = aws.ec2().describe_addresses().set_filters(ours.clone()).send().await.unwrap();
    let nats = aws.ec2().describe_nat_gateways().set_filter(ours).send().await.unwrap();
    let balancers = aws.elb().describe_load_balancers().send().await.unwrap();
    let prefix = format!("acme-{environment}-");
    let named = |name: Option<&str>| name.is_some_and(|name| name.starts_with(&prefix));
    let balancers = balancers.load_balancers().iter().filter(|balancer| named(balancer.load_balancer_name()));
    let mut keys = 0;
    for key in aws.kms().list_keys().send().await.unwrap().keys() {
        let tags = aws.kms().list_resource_tags().key_id(key.key_id().unwrap()).send().await.unwrap();
        let whose = tags.tags().iter().find(|tag| tag.tag_key() == "infra:environment");
        keys += usize::from(whose.is_some_and(|tag| tag.tag_value() == environment));
    }
    [
        vpcs.vpcs().len(),
        gateways.internet_gateways().len(),
        addresses.addresses().len(),
        nats.nat_gateways().len(),
        balancers.count(),
        keys,
    ]
}
