use infra::kind::Kind;
use infra::kinds::ecs_cluster::{EcsCluster, Insights};
use infra::kinds::ecs_service::{CircuitBreaker, EcsService, LoadBalancer, Propagate, Provider, Strategy};
use infra::kinds::task_container::{Condition, Container, Dependency, HealthCheck, Log, Mount};
use infra::kinds::task_definition::{Architecture, Owner, TaskDefinition};
use infra::tags::Tags;

use crate::support::{Bench, scope};

fn cluster() -> EcsCluster {
    EcsCluster { name: None, container_insights: Insights::Disabled, capacity_providers: vec![], tags: Tags::new() }
}

fn task(image: &str) -> TaskDefinition {
    let mut app = Container::new("app", image.into());
    app.ports = vec![3000];
    app.environment.insert("PORT".into(), "3000".into());
    app.secrets.insert("KEY".into(), "arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf".into());
    app.log = Some(Log { group: "/ecs/api".into(), region: "us-east-1".into(), prefix: "app".into() });
    app.stop_timeout = Some(60);
    app.readonly_root = true;
    app.mounts = vec![Mount { path: "/tmp".into(), volume: "tmp".into(), readonly: false }];
    app.depends_on = vec![Dependency { container: "agent".into(), condition: Condition::Healthy }];
    let mut agent = Container::new("agent", "agent:1".into());
    agent.essential = false;
    agent.user = Some("1000".into());
    let command = vec!["CMD-SHELL".into(), "true".into()];
    agent.health = Some(HealthCheck { command, interval: 30, timeout: 5, retries: 3, start_period: 0 });
    TaskDefinition {
        family: None,
        cpu: 256,
        memory: 512,
        architecture: Architecture::Arm,
        execution_role_arn: Some("arn:aws:iam::123456789012:role/execution".into()),
        task_role_arn: None,
        containers: vec![app, agent],
        volumes: ["tmp".to_owned()].into(),
        ephemeral_storage_gb: 20,
        image_owner: Owner::File,
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

#[tokio::test]
async fn cluster_lives_and_dies() {
    let bench = Bench::start().await;
    let live = bench.create("main", &cluster()).await;
    let spec = EcsCluster { container_insights: Insights::Enhanced, ..cluster() };
    let live = bench.update(&live, &spec).await;
    let spec = EcsCluster {
        capacity_providers: vec!["FARGATE_SPOT".into(), "FARGATE".into()],
        tags: Tags::from([("team".into(), "backend".into())]),
        ..spec
    };
    let live = bench.update(&live, &spec).await;
    let live = bench.update(&live, &cluster()).await;
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_cluster_of_others_is_not_taken() {
    let bench = Bench::start().await;
    bench.aws.ecs().create_cluster().cluster_name("acme-test-main").send().await.unwrap();
    let failure = bench.try_create("main", &cluster()).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    assert!(bench.list::<EcsCluster>().await.is_empty());
    // Ours, left by a try whose answer was lost, is taken over and brought to the specification.
    let live = bench.create("second", &cluster()).await;
    let spec = EcsCluster { container_insights: Insights::Enabled, ..cluster() };
    assert_eq!(bench.try_create("second", &spec).await.unwrap(), live.id);
    assert_eq!(bench.list::<EcsCluster>().await[0].spec.container_insights, Insights::Enabled);
}

#[tokio::test]
async fn a_task_definition_is_a_family_of_revisions() {
    let bench = Bench::start().await;
    let first = bench.create("api", &task("api:1")).await;
    assert_eq!(first.id, "acme-test-api");
    let second = bench.update(&first, &task("api:2")).await;
    assert_ne!(first.outputs["arn"], second.outputs["arn"]);
    // Tags alone make no revision.
    let spec = TaskDefinition { tags: Tags::new(), image_owner: Owner::Release, ..task("api:2") };
    let third = bench.update(&second, &spec).await;
    assert_eq!(second.outputs["arn"], third.outputs["arn"]);
    // Creation of a family that is there adds to it, where it is ours.
    assert_eq!(bench.try_create("api", &spec).await.unwrap(), first.id);
    let failure =
        bench.try_create("other", &TaskDefinition { family: Some(first.id.clone()), ..spec }).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    bench.delete(&third).await;
    let left = bench.aws.ecs().list_task_definitions().send().await.unwrap();
    assert!(left.task_definition_arns().is_empty());
}

fn service([cluster, task, group, target]: [&str; 4], subnets: &[String]) -> EcsService {
    EcsService {
        name: None,
        cluster_arn: cluster.into(),
        task_definition_arn: task.into(),
        desired_count: 1,
        owner: Owner::File,
        autoscaled: false,
        subnets: subnets.iter().map(|subnet| subnet.as_str().into()).collect(),
        security_groups: vec![group.into()],
        assign_public_ip: false,
        load_balancers: vec![LoadBalancer {
            target_group_arn: target.into(),
            container_name: "app".into(),
            container_port: 3000,
            shift: None,
        }],
        health_check_grace_seconds: 30,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        circuit_breaker: CircuitBreaker { enable: true, rollback: true },
        deployment_strategy: Strategy::Rolling,
        traffic_step: None,
        bake_minutes: 0,
        pauses: vec![],
        deployment_alarms: vec![],
        enable_execute_command: false,
        platform_version: None,
        propagate_tags: Propagate::Service,
        enable_ecs_managed_tags: true,
        capacity_providers: vec![],
        availability_zone_rebalancing: true,
        service_connect: None,
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

#[tokio::test]
async fn service_lives_and_dies() {
    let bench = Bench::start().await;
    let cluster = bench.create("main", &cluster()).await;
    let first = bench.create("api", &task("api:1")).await;
    let subnets = crate::network::subnets(&bench).await;
    let group = crate::network::security_group(&bench).await;
    let target = crate::network::target_group(&bench).await;
    let spec = service([&cluster.id, &first.outputs["arn"], &group, &target], &subnets);
    let live = bench.create("api", &spec).await;
    assert_eq!(live.outputs["name"], "acme-test-api");
    let second = bench.update(&first, &task("api:2")).await;
    let spec = EcsService {
        task_definition_arn: second.outputs["arn"].as_str().into(),
        desired_count: 2,
        minimum_healthy_percent: 50,
        health_check_grace_seconds: 0,
        tags: Tags::new(),
        ..spec
    };
    let live = bench.update(&live, &spec).await;
    let providers = vec![Provider { provider: "FARGATE_SPOT".into(), weight: 1, base: 0 }];
    let spec = EcsService {
        enable_execute_command: true,
        propagate_tags: Propagate::None,
        enable_ecs_managed_tags: false,
        availability_zone_rebalancing: false,
        circuit_breaker: CircuitBreaker::default(),
        capacity_providers: providers,
        autoscaled: true,
        ..spec
    };
    let live = bench.update(&live, &spec).await;
    // What releases own is not sent.
    let released = EcsService {
        owner: Owner::Release,
        task_definition_arn: first.outputs["arn"].as_str().into(),
        desired_count: 9,
        ..spec.clone()
    };
    released.update(&bench.aws, &live).await.unwrap();
    let there = &EcsService::list(&bench.aws, &scope(&[])).await.unwrap()[0];
    assert_eq!((there.spec.owner, there.spec.desired_count), (Owner::Release, 2));
    assert_eq!(there.spec.task_definition_arn, spec.task_definition_arn);
    bench.delete(there).await;
}
