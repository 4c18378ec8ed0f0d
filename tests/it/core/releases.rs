//! What waits for a release is told and is no change.

use infra::plan::Verb;
use insta::assert_snapshot;

use super::scenario::{but, check, desired, live, planned, report};

/// A service in two colours, of which the blue one serves.
const COLOURS: &str = r#"
ecs_cluster.main: {}
target_group.api-blue: { vpc_id: vpc-1, port: 80, protocol: HTTP, target_type: ip }
target_group.api-green: { vpc_id: vpc-1, port: 80, protocol: HTTP, target_type: ip }
listener_rule.api:
  listener_arn: listener-1
  priority: 100
  conditions: { paths: ["/*"] }
  action:
    forward:
      - { target_group_arn: "${target_group.api-blue.arn}", weight: 100 }
      - { target_group_arn: "${target_group.api-green.arn}", weight: 0 }
task_definition.api:
  cpu: 256
  memory: 512
  image_owner: release
  containers: [{ name: api, image: acme/api, environment: { LOG_LEVEL: info }, secrets: { KEY: "arn:aws:secretsmanager:us-east-1:1:secret:key-AbCdEf" } }]
  execution_role_arn: role-1
ecs_service.api-blue:
  cluster_arn: "${ecs_cluster.main.arn}"
  task_definition_arn: "${task_definition.api.arn}"
  owner: release
  desired_count: 0
  subnets: [subnet-1]
  security_groups: [group-1]
  load_balancers: [{ target_group_arn: "${target_group.api-blue.arn}", container_name: api, container_port: 80 }]
ecs_service.api-green:
  cluster_arn: "${ecs_cluster.main.arn}"
  task_definition_arn: "${task_definition.api.arn}"
  owner: release
  desired_count: 0
  subnets: [subnet-1]
  security_groups: [group-1]
  load_balancers: [{ target_group_arn: "${target_group.api-green.arn}", container_name: api, container_port: 80 }]
"#;

/// The same, after green was released, while blue still holds the revision before that.
fn green_serves() -> String {
    let live = but(COLOURS, "image: acme/api,", "image: \"acme/api:7\",");
    let live = but(&live, "-blue.arn}\", weight: 100", "-blue.arn}\", weight: 10");
    let live = but(&live, "-green.arn}\", weight: 0", "-green.arn}\", weight: 90");
    let (start, green) = live.split_once("ecs_service.api-green").unwrap();
    let start = but(start, "\"${task_definition.api.arn}\"", "task_definition.api:1");
    format!("{start}ecs_service.api-green{}", but(green, "desired_count: 0", "desired_count: 3"))
}

/// A plan where the serving colour runs another revision than the latest.
fn behind(desired: &str, running: &str) -> String {
    let live = but(&green_serves(), "\"${task_definition.api.arn}\"", "task_definition.api:2");
    let mut snapshot = self::live(&live);
    let desired = self::desired(desired);
    let unread = infra::plan::unread(&desired, &snapshot.live);
    assert_eq!(unread.into_iter().collect::<Vec<_>>(), ["task_definition.api:2"], "only what serves");
    let running = self::live(running).live.into_iter().find(|live| live.identity.address.kind == "task_definition");
    snapshot.revisions = [("task_definition.api:2".to_owned(), running.unwrap().spec)].into();
    report(&infra::plan::plan(&desired, &snapshot).unwrap())
}

#[test]
fn what_was_never_released() {
    assert_snapshot!(check(COLOURS, COLOURS), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 7 resources are as the file says.

    Awaits release:
      api: never released. Run: infra bluegreen run test api --image IMAGE
    ");
    let first = planned(COLOURS, "");
    assert_eq!(first.awaits_release.len(), 1);
    assert_eq!(first.awaits_release[0].why, "never released");
    let chosen =
        but(&but(COLOURS, "image: acme/api,", "image: \"acme/api:1\","), "image_owner: release", "image_owner: file");
    assert_eq!(planned(&chosen, "").awaits_release, [], "the file says what starts");
}

#[test]
fn what_serves_is_as_the_file_says() {
    assert_eq!(infra::plan::unread(&desired(COLOURS), &live(&green_serves()).live), [].into());
    assert_snapshot!(check(COLOURS, &green_serves()), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 7 resources are as the file says.
    ");
}

#[test]
fn a_shape_that_this_plan_makes() {
    let desired = but(&but(COLOURS, "cpu: 256", "cpu: 512"), "memory: 512", "memory: 1024");
    assert_snapshot!(check(&but(&desired, "LOG_LEVEL: info", "LOG_LEVEL: debug"), &green_serves()), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  task_definition.api  containers, cpu, memory differ
          ~ containers[api].environment.LOG_LEVEL: "info" → "debug"
          ~ cpu: 256 → 512
          ~ memory: 512 → 1024

    Plan: 1 to update, 6 unchanged.

    Awaits release:
      api: cpu 256 → 512, memory 512 → 1024, environment LOG_LEVEL. Run: infra bluegreen run test api
    "#);
    let without =
        planned(&desired, &green_serves()).limited_to(&[].into(), &["task_definition.api".parse().unwrap()].into());
    assert_eq!(without.awaits_release, [], "what is left out waits for no release");
}

#[test]
fn a_shape_that_an_earlier_apply_made() {
    let running = but(&but(COLOURS, "image: acme/api,", "image: \"acme/api:6\","), "cpu: 256", "cpu: 512");
    assert_snapshot!(behind(COLOURS, &running), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 7 resources are as the file says.

    Awaits release:
      api: cpu 512 → 256. Run: infra bluegreen run test api
    ");
}

#[test]
fn another_image_or_version_of_a_secret_waits_for_nothing() {
    let running = but(&but(COLOURS, "image: acme/api,", "image: \"acme/api:6\","), "key-AbCdEf", "key-AbCdEf:::v-1");
    assert_snapshot!(behind(COLOURS, &running), @r"
    test (acme, account 123456789012, us-east-1)

    No changes: 7 resources are as the file says.
    ");
}

#[test]
fn an_image_of_the_file_waits_for_a_release() {
    let desired =
        but(&but(COLOURS, "image: acme/api,", "image: \"acme/api:8\","), "image_owner: release", "image_owner: file");
    let live = but(&green_serves(), "image_owner: release", "image_owner: file");
    assert_snapshot!(check(&desired, &live), @r#"
    test (acme, account 123456789012, us-east-1)

      ~ update  task_definition.api  containers differs
          ~ containers[api].image: "acme/api:7" → "acme/api:8"

    Plan: 1 to update, 6 unchanged.

    Awaits release:
      api: image acme/api:7 → acme/api:8. Run: infra bluegreen run test api
    "#);
}

/// A port cannot be changed, so that both target groups are replaced, and what they share is shared by their successors.
#[test]
fn weights_go_over_to_new_target_groups() {
    let desired = COLOURS.replace("port: 80,", "port: 81,");
    assert_snapshot!(check(&desired, &green_serves()), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace target_group.api-blue   replacement: AWS cannot change port in place; the new one is made first
          ~ port: 80 → 81  forces replacement
      ± replace target_group.api-green  replacement: AWS cannot change port in place; the new one is made first
          ~ port: 80 → 81  forces replacement
      ~ update  ecs_service.api-blue    restarts it: load_balancers differs
          - load_balancers: {container_name: "api", container_port: 80, target_group_arn: arn of target_group.api-blue}
          + load_balancers: {container_name: "api", container_port: 80, target_group_arn: → arn of target_group.api-blue (replaced in this plan)}
      ~ update  ecs_service.api-green   restarts it: load_balancers differs
          - load_balancers: {container_name: "api", container_port: 80, target_group_arn: arn of target_group.api-green}
          + load_balancers: {container_name: "api", container_port: 80, target_group_arn: → arn of target_group.api-green (replaced in this plan)}
      ~ update  listener_rule.api       action differs
          - action.forward: {target_group_arn: arn of target_group.api-blue, weight: 10}
          - action.forward: {target_group_arn: arn of target_group.api-green, weight: 90}
          + action.forward: {target_group_arn: → arn of target_group.api-blue (replaced in this plan), weight: 10}
          + action.forward: {target_group_arn: → arn of target_group.api-green (replaced in this plan), weight: 90}

    Plan: 2 to replace, 3 to update, 2 unchanged.
    "#);
    let desired = but(&desired, "listener_arn: listener-1", "listener_arn: listener-2");
    assert_snapshot!(check(&desired, &green_serves()), @r#"
    test (acme, account 123456789012, us-east-1)

      ± replace listener_rule.api       replacement: AWS cannot change listener_arn in place; the old one goes first
          - action.forward: {target_group_arn: arn of target_group.api-blue, weight: 10}
          - action.forward: {target_group_arn: arn of target_group.api-green, weight: 90}
          + action.forward: {target_group_arn: → arn of target_group.api-blue (replaced in this plan), weight: 10}
          + action.forward: {target_group_arn: → arn of target_group.api-green (replaced in this plan), weight: 90}
          ~ listener_arn: "listener-1" → "listener-2"  forces replacement
      ± replace target_group.api-blue   replacement: AWS cannot change port in place; the new one is made first
          ~ port: 80 → 81  forces replacement
      ± replace target_group.api-green  replacement: AWS cannot change port in place; the new one is made first
          ~ port: 80 → 81  forces replacement
      ~ update  ecs_service.api-blue    restarts it: load_balancers differs
          - load_balancers: {container_name: "api", container_port: 80, target_group_arn: arn of target_group.api-blue}
          + load_balancers: {container_name: "api", container_port: 80, target_group_arn: → arn of target_group.api-blue (replaced in this plan)}
      ~ update  ecs_service.api-green   restarts it: load_balancers differs
          - load_balancers: {container_name: "api", container_port: 80, target_group_arn: arn of target_group.api-green}
          + load_balancers: {container_name: "api", container_port: 80, target_group_arn: → arn of target_group.api-green (replaced in this plan)}

    Plan: 3 to replace, 2 to update, 2 unchanged.
    "#);
    let plan = planned(&desired, &green_serves());
    let made = plan.steps.node_weights().find_map(|step| match &step.verb {
        Verb::Create(fields) if step.address.kind == "listener_rule" => Some(&fields["action"]),
        _ => None,
    });
    let groups = serde_json::Value::from(made.unwrap())["forward"].clone();
    let weights: Vec<_> = groups.as_array().unwrap().iter().map(|group| group["weight"].as_u64().unwrap()).collect();
    assert_eq!(weights, [10, 90], "the new rule serves as the old one did");
}

#[test]
fn much_that_differs_is_counted() {
    let more = "LOG_LEVEL: info, A: a, B: b, C: c, D: d, E: e, F: f";
    let desired = but(&but(COLOURS, "LOG_LEVEL: info", more), "cpu: 256", "cpu: 1024");
    let desired = but(&desired, "memory: 512", "memory: 2048");
    assert_eq!(
        planned(&desired, &green_serves()).awaits_release[0].why,
        "cpu 256 → 1024, memory 512 → 2048, environment A, environment B, environment C, environment D and 2 more"
    );
}
