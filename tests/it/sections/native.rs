//! `release: { strategy: native }`: the deployment that ECS carries out itself, from the file to the end of a release.

use std::process::Stdio;
use std::time::Duration;

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_ecs::types::{
    DeploymentLifecycleHookStage, DeploymentLifecycleHookTargetType, DeploymentStrategy, Service, ServiceDeployment,
    ServiceDeploymentLifecycleStage as Stage, ServiceDeploymentStatus as Status,
};
use infra::aws::Aws;

use crate::end_to_end::site::Site;
use crate::proxy::{Proxy, StopAt};

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
load_balancers: { public: {} }
services:
  api:
    image: acme/api
    port: 3000
    count: 2
    route: {}
    release: { strategy: native, verify: 1s, monitor: 1m, rollback: { alarms: [critical] } }
"#;

const LOOKS: Duration = Duration::from_millis(100);
/// How long until a call must have come.
const DEADLINE: Duration = Duration::from_mins(1);

async fn service(aws: &Aws) -> Service {
    let request = aws.ecs().describe_services().cluster("acme-test-main").services("acme-test-api");
    request.send().await.unwrap().services.unwrap().remove(0)
}

async fn newest(aws: &Aws) -> ServiceDeployment {
    let request = aws.ecs().list_service_deployments().cluster("acme-test-main").service("acme-test-api");
    let newest = request.send().await.unwrap().service_deployments.unwrap().remove(0);
    let request = aws
        .ecs()
        .describe_service_deployments()
        .set_service_deployment_arns(newest.service_deployment_arn.map(|arn| vec![arn]));
    request.send().await.unwrap().service_deployments.unwrap().remove(0)
}

/// The newest deployment, once it is at this stage.
async fn at(aws: &Aws, stage: Stage) -> ServiceDeployment {
    for _ in 0..600 {
        let newest = newest(aws).await;
        if newest.lifecycle_stage() == Some(&stage) && newest.status() == Some(&Status::InProgress) {
            return newest;
        }
        tokio::time::sleep(LOOKS).await;
    }
    panic!("never {stage:?}");
}

/// What was asked of ECS that changes something.
fn writes(proxy: &Proxy) -> Vec<String> {
    let reads = ["Describe", "List"];
    let calls = proxy.calls().into_iter().filter(|call| call.service == "ecs").map(|call| call.operation);
    calls.filter(|operation| !reads.iter().any(|read| operation.starts_with(read))).collect()
}

#[tokio::test]
async fn ecs_releases_what_the_file_leaves_to_it() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let aws = &site.aws;
    let made = service(aws).await;
    let configuration = made.deployment_configuration().unwrap();
    assert_eq!(configuration.strategy(), Some(&DeploymentStrategy::BlueGreen));
    assert_eq!((configuration.bake_time_in_minutes(), made.desired_count()), (Some(1), 0));
    let [hook] = configuration.lifecycle_hooks() else { panic!("{configuration:?}") };
    assert_eq!(hook.target_type(), Some(&DeploymentLifecycleHookTargetType::Pause));
    assert_eq!(hook.lifecycle_stages(), [DeploymentLifecycleHookStage::PostTestTrafficShift]);
    let mut watched = configuration.alarms().unwrap().alarm_names().to_vec();
    watched.sort();
    assert_eq!(watched, ["acme-test-api-down", "acme-test-api-errors", "acme-test-lb-public-errors"]);
    let advanced = made.load_balancers()[0].advanced_configuration().unwrap();
    assert!(made.load_balancers()[0].target_group_arn().unwrap().contains("acme-test-api-blue"));
    assert!(advanced.alternate_target_group_arn().unwrap().contains("acme-test-api-green"));
    assert!(advanced.production_listener_rule() != advanced.test_listener_rule());
    let role = advanced.role_arn().unwrap().rsplit('/').next().unwrap().to_owned();
    let attached = aws.iam().list_attached_role_policies().role_name(&role).send().await.unwrap();
    let policy = "arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers";
    assert_eq!(attached.attached_policies()[0].policy_arn(), Some(policy));
    site.converged("test").await;

    // A first release, and one after it: the traffic moves from one target group to the other.
    for (image, weights) in [("acme/api:1", [0, 100]), ("acme/api:2", [100, 0])] {
        let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
        let ran = site.through(&proxy.endpoint, &format!("bluegreen run test api --image {image}")).await.well();
        assert!(ran.stdout.ends_with("\napi is released\n"), "{}", ran.stdout);
        assert_eq!(writes(&proxy), ["RegisterTaskDefinition", "UpdateService", "ContinueServiceDeployment"]);
        let there = service(aws).await;
        assert_eq!((there.desired_count(), there.running_count()), (2, 2));
        assert_eq!(traffic(aws, advanced.production_listener_rule().unwrap()).await, weights);
        site.converged("test").await;
    }
    let status = site.infra("bluegreen status test api").await.well().stdout;
    assert!(status.contains("tasks  serves") && status.contains("finished"), "{status}");

    site.infra("destroy test --confirm test").await.well();
    let left = site.live("test").await;
    assert!(left.is_empty(), "{:?}", left.iter().map(|live| live.identity.address.to_string()).collect::<Vec<_>>());
    assert!(aws.iam().get_role().role_name(&role).send().await.is_err());
}

/// The weights of blue and green in a rule.
async fn traffic(aws: &Aws, rule: &str) -> [i32; 2] {
    let rules = aws.elb().describe_rules().rule_arns(rule).send().await.unwrap().rules.unwrap();
    let groups = rules[0].actions()[0].forward_config().unwrap().target_groups();
    ["-blue", "-green"].map(|colour| {
        let group = groups.iter().find(|group| group.target_group_arn().unwrap().contains(colour));
        group.unwrap().weight().unwrap()
    })
}

#[tokio::test]
async fn a_release_stands_at_the_pause_and_is_taken_back() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let aws = &site.aws;
    site.infra("bluegreen run test api --image acme/api:1").await.well();
    let first = service(aws).await.task_definition.unwrap();

    // Deployed, looked at by others, then switched.
    let deployed = site.infra("bluegreen deploy test api --image acme/api:2").await.well().stdout;
    assert!(deployed.contains("api is deployed beside what serves"), "{deployed}");
    assert_eq!(newest(aws).await.lifecycle_stage(), Some(&Stage::PostTestTrafficShift));
    site.converged("test").await;
    let status = site.infra("bluegreen status test api").await.well().stdout;
    assert!(status.contains("old    serves") && status.contains("new    idle"), "{status}");
    let again = site.infra("bluegreen deploy test api --image acme/api:2").await.well().stdout;
    assert!(again.contains("api is deployed beside what serves"), "{again}");

    // Back from the pause: one request.
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    let back = site.through(&proxy.endpoint, "bluegreen rollback test api").await.well().stdout;
    assert!(back.contains("api is at its old version"), "{back}");
    assert_eq!(writes(&proxy), ["StopServiceDeployment"]);
    assert_eq!(newest(aws).await.status(), Some(&Status::RollbackSuccessful));
    assert_eq!(service(aws).await.task_definition.as_deref(), Some(first.as_str()));
    site.converged("test").await;
    // What ECS took back is no trouble of a later apply.
    site.edit("test", "    port: 3000\n", "    port: 3000\n    grace: 90s\n");
    site.infra("apply test --yes").await.well();
    let refused = site.infra("bluegreen run test api --image acme/api:2").await;
    assert!(refused.refused().contains("was taken back"), "{}", refused.stderr);

    // Back while ECS watches, from another terminal.
    site.infra("bluegreen deploy test api --image acme/api:2 --again").await.well();
    let (switch, ()) = tokio::join!(site.infra("bluegreen switch test api"), async {
        at(aws, Stage::BakeTime).await;
        site.infra("bluegreen rollback test api").await.well();
    });
    assert_ne!(switch.code, Some(0), "{}", switch.stdout);
    assert_eq!(service(aws).await.task_definition.as_deref(), Some(first.as_str()));

    // ECS itself goes back when an alarm goes off.
    site.infra("bluegreen deploy test api --image acme/api:3").await.well();
    let alarm = aws.cloudwatch().set_alarm_state().alarm_name("acme-test-api-errors").state_reason("test");
    alarm.state_value(StateValue::Alarm).send().await.unwrap();
    let ran = site.infra("bluegreen switch test api").await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains("Taken back: the alarm acme-test-api-errors went off"), "{}", ran.stdout);
    assert_eq!(service(aws).await.task_definition.as_deref(), Some(first.as_str()));

    // After success, the version before is released again.
    let alarm = aws.cloudwatch().set_alarm_state().alarm_name("acme-test-api-errors").state_reason("test");
    alarm.state_value(StateValue::Ok).send().await.unwrap();
    site.infra("bluegreen run test api --image acme/api:4").await.well();
    site.infra("bluegreen rollback test api").await.well();
    assert_eq!(service(aws).await.task_definition.as_deref(), Some(first.as_str()));
    site.converged("test").await;
}

#[tokio::test]
async fn apply_waits_for_nobody_and_leaves_a_release_alone() {
    let site = Site::start().await;
    site.write("test", &FILE.replace("acme/api", "acme/api:1"));
    site.infra("apply test --yes").await.well();
    let aws = &site.aws;
    assert_eq!(service(aws).await.running_count(), 2);
    site.converged("test").await;
    site.edit("test", "    port: 3000\n", "    port: 3000\n    public: true\n");
    site.infra("apply test --yes").await.well();
    let newest = newest(aws).await;
    assert_eq!(
        (newest.status(), newest.deployment_configuration().unwrap().lifecycle_hooks().len()),
        (Some(&Status::Successful), 0)
    );
    let there = service(aws).await;
    assert_eq!((there.running_count(), there.deployment_configuration().unwrap().lifecycle_hooks().len()), (2, 1));
    site.converged("test").await;
    site.edit("test", "monitor: 1m", "monitor: 2m, canary: 10% for 5m");
    site.infra("apply test --yes").await.well();
    let configuration = service(aws).await.deployment_configuration.unwrap();
    assert_eq!(configuration.strategy(), Some(&DeploymentStrategy::Canary));
    assert_eq!(configuration.canary_configuration().unwrap().canary_percent(), Some(10.0));
    site.converged("test").await;
}

#[tokio::test]
async fn a_release_that_is_killed_goes_on() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let stops = [("UpdateService", false), ("UpdateService", true), ("ContinueServiceDeployment", false)];
    for (number, (operation, executed)) in stops.into_iter().chain([("ContinueServiceDeployment", true)]).enumerate() {
        let run = format!("bluegreen run test api --image acme/api:{number}");
        kill(&site, &run, StopAt { operation, nth: 1, executed }).await;
        let ran = site.infra(&run).await.well().stdout;
        assert!(ran.ends_with("\napi is released\n"), "after {operation} {executed}: {ran}");
        let there = service(&site.aws).await;
        assert_eq!((there.desired_count(), there.running_count()), (2, 2), "after {operation} {executed}");
        site.converged("test").await;
    }
    let before = service(&site.aws).await.task_definition;
    for (number, executed) in [false, true].into_iter().enumerate() {
        site.infra(&format!("bluegreen deploy test api --image acme/api:bad{number}")).await.well();
        let back = "bluegreen rollback test api";
        kill(&site, back, StopAt { operation: "StopServiceDeployment", nth: 1, executed }).await;
        site.infra(back).await.well();
        assert_eq!(service(&site.aws).await.task_definition, before);
        site.converged("test").await;
    }
}

/// Runs a command that dies at this call.
async fn kill(site: &Site, arguments: &str, stop: StopAt) {
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
    let mut command = site.command(&proxy.endpoint, arguments);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::timeout(DEADLINE, proxy.stopped.notified()).await.unwrap_or_else(|_| panic!("{stop:?} never came"));
    running.kill().await.unwrap();
}
