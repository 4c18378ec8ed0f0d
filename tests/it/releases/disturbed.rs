//! Releases that something else gets in the way of.

use aws_sdk_cloudwatch::types::StateValue;

use super::killed::QUICK;
use super::operator::side;
use super::site::{CLUSTER, Site};
use crate::proxy::{Behaviour, Fault, Proxy, first_answer_lost};

#[tokio::test]
async fn what_happens_during_a_release() {
    let site = Site::start().await;
    let quick = ["run", "test", "api", "--monitor", "1s", "--keep", "0s", "--tag"];
    site.bluegreen(&[&quick[..], &["v1"]].concat()).end().await.well();

    let load = site.load();
    let mut run = site.bluegreen(&["run", "test", "api", "--tag", "v2", "--monitor", "1h"]);
    run.phase("monitoring").await;
    alarm(&site, StateValue::Alarm).await;
    let told = run.end().await;
    assert!(told.taken_back().contains("alarm"), "{}", told.taken_back());
    println!("an alarm while monitoring: {}", told.taken_back());
    site.serves("v1").await;

    // While it fires, no other release moves traffic.
    let told = site.bluegreen(&["run", "test", "api", "--tag", "v3"]).end().await;
    assert!(told.refused().contains("is firing"), "{}", told.refused());
    alarm(&site, StateValue::Ok).await;
    let mut run = site.bluegreen(&["run", "test", "api", "--tag", "v3", "--keep", "0s"]);
    // One of two tasks ends for a reason that is nobody's fault.
    let event = run.phase("monitoring").await;
    let colour = usize::from(side(&event, "green")["weight"] == 100);
    let tasks = site.aws.ecs().list_tasks().cluster(CLUSTER).service_name(&site.services[colour]);
    let task = tasks.send().await.unwrap().task_arns()[0].clone();
    site.aws.ecs().stop_task().cluster(CLUSTER).task(task).send().await.unwrap();
    run.end().await.well();
    site.serves("v3").await;
    let report = load.stop().await.faultless();
    println!("an alarm, a release taken back, another one, a task stopped: {report}");

    let load = site.load();
    let mut run = site.bluegreen(&["run", "test", "api", "--tag", "v4", "--monitor", "1h"]);
    run.phase("monitoring").await;
    site.weigh([50, 50]).await;
    let told = run.end().await;
    assert!(told.refused().contains("somebody else has moved it"), "{}", told.refused());
    assert_eq!(site.weights().await, [50, 50], "they are left as somebody wanted them");
    site.converged("test").await;
    site.bluegreen(&["rollback", "test", "api"]).end().await.well();
    site.serves("v3").await;
    let report = load.stop().await.faultless();
    println!("somebody else moved the weights: {report}");
    site.converged("test").await;
}

/// What was done is sent again by the SDK, or seen at the next look.
#[tokio::test]
async fn answers_are_lost() {
    let site = Site::start().await;
    site.bluegreen(&[&QUICK[..], &["--tag", "v1"]].concat()).end().await.well();
    let behaviour = Behaviour { judge: Some(Box::new(|_, call| first_answer_lost(call))), ..Behaviour::default() };
    let proxy = Proxy::with(&site.emulator.variables["AWS_ENDPOINT_URL"], behaviour).await;
    let load = site.load();
    let canary = [&QUICK[..], &["--canary", "50% for 0s", "--tag", "v2"]].concat();
    site.bluegreen_through(&proxy.endpoint, &canary).end().await.well();
    site.serves("v2").await;

    let mut run = site.bluegreen_through(&proxy.endpoint, &["run", "test", "api", "--monitor", "1h", "--tag", "v3"]);
    run.phase("monitoring").await;
    run.kill().await;
    site.bluegreen_through(&proxy.endpoint, &["rollback", "test", "api"]).end().await.well();
    site.serves("v2").await;
    site.converged("test").await;
    let report = load.stop().await.faultless();
    let lost: Vec<_> = proxy
        .calls()
        .into_iter()
        .filter(|call| first_answer_lost(call) == Fault::Unanswered)
        .map(|call| call.operation)
        .collect();
    println!("{} answers were lost ({}): {report}", lost.len(), lost.join(", "));
    assert!(
        lost.iter().filter(|write| *write == "ModifyRule").count() > 3,
        "the canary, all, and the way back: {lost:?}"
    );
}

/// Sets an alarm that the policy names.
async fn alarm(site: &Site, state: StateValue) {
    let alarms = site.aws.cloudwatch().describe_alarms().send().await.unwrap();
    let mut names = alarms.metric_alarms().iter().filter_map(|alarm| alarm.alarm_name());
    let name = names.find(|name| name.contains("api-down")).expect("the service has alarms");
    let set = site.aws.cloudwatch().set_alarm_state().alarm_name(name).state_value(state).state_reason("a test");
    set.send().await.unwrap();
}
