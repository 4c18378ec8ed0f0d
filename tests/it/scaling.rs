use std::collections::BTreeMap;

use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace};
use infra::kind::Kind;
use infra::kinds::ecs_cluster::{EcsCluster, Insights};
use infra::kinds::scalable_target::{Metric, Policy, ScalableTarget};
use infra::kinds::task_definition::Owner;
use infra::tags::Tags;

use crate::support::{Bench, scope};

/// A service named `name` with no tasks, made directly; returns what scales it.
async fn service(bench: &Bench, name: &str) -> String {
    let spec = EcsCluster {
        name: Some("main".into()),
        container_insights: Insights::Disabled,
        capacity_providers: vec![],
        tags: Tags::new(),
    };
    bench.try_create("main", &spec).await.unwrap();
    let container = aws_sdk_ecs::types::ContainerDefinition::builder().name("app").image("app:1").memory(128).build();
    let request = bench.aws.ecs().register_task_definition().family(name).container_definitions(container);
    let request = request.cpu("256").memory("512").network_mode(aws_sdk_ecs::types::NetworkMode::Awsvpc);
    request.requires_compatibilities(aws_sdk_ecs::types::Compatibility::Fargate).send().await.unwrap();
    let subnets = crate::network::subnets(bench).await;
    let network = aws_sdk_ecs::types::AwsVpcConfiguration::builder().set_subnets(Some(subnets)).build().unwrap();
    let network = aws_sdk_ecs::types::NetworkConfiguration::builder().awsvpc_configuration(network).build();
    let request = bench.aws.ecs().create_service().cluster("main").service_name(name).task_definition(name);
    request.desired_count(0).network_configuration(network).send().await.unwrap();
    format!("service/main/{name}")
}

fn policy(metric: Metric, target: f64) -> Policy {
    Policy { metric, target, label: None, scale_in_cooldown: 300, scale_out_cooldown: 60, scale_in: true }
}

fn target(id: &str) -> ScalableTarget {
    ScalableTarget {
        resource_id: id.into(),
        min: 1,
        max: 4,
        suspended: false,
        owner: Owner::File,
        policies: BTreeMap::from([("cpu".into(), policy(Metric::Cpu, 60.0))]),
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

#[tokio::test]
async fn scalable_target_lives_and_dies() {
    let bench = Bench::start().await;
    let id = service(&bench, "acme-test-api").await;
    let other = service(&bench, "acme-test-others").await;
    foreign(&bench, &other).await;
    let live = bench.create("api", &target(&id)).await;
    let requests = Policy {
        label: Some("app/lb/1/targetgroup/api/2".into()),
        scale_in: false,
        ..policy(Metric::Requests, 1000.5)
    };
    let policies = BTreeMap::from([("memory".into(), policy(Metric::Memory, 70.0)), ("requests".into(), requests)]);
    let spec = ScalableTarget { min: 0, max: 9, suspended: true, policies, ..target(&id) };
    let live = bench.update(&live, &spec).await;
    // Whose it is and what the user's tags are does not touch what runs; what releases own is not sent.
    let spec = ScalableTarget { owner: Owner::Release, tags: Tags::new(), ..spec };
    let live = bench.update(&live, &spec).await;
    ScalableTarget { suspended: false, ..spec.clone() }.update(&bench.aws, &live).await.unwrap();
    assert!(bench.list::<ScalableTarget>().await[0].spec.suspended);
    // A policy of others within ours is drift.
    let request = bench.aws.autoscaling().put_scaling_policy().policy_name("theirs").resource_id(&id);
    let request = request.service_namespace(ServiceNamespace::Ecs);
    let request = request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
    let step = aws_sdk_applicationautoscaling::types::StepScalingPolicyConfiguration::builder().build();
    let request = request.policy_type(aws_sdk_applicationautoscaling::types::PolicyType::StepScaling);
    request.step_scaling_policy_configuration(step).send().await.unwrap();
    let live = ScalableTarget::list(&bench.aws, &scope(&[])).await.unwrap().remove(0);
    assert_eq!(live.spec.policies["theirs"].metric, Metric::Other);
    let live = bench.update(&live, &spec).await;
    bench.delete(&live).await;
    let left = bench.aws.autoscaling().describe_scalable_targets().service_namespace(ServiceNamespace::Ecs);
    let left = left.send().await.unwrap().scalable_targets.unwrap();
    let left: Vec<_> = left.iter().map(|target| (target.resource_id(), target.max_capacity())).collect();
    assert_eq!(left, [(other.as_str(), 7)], "that of others stays");
}

async fn foreign(bench: &Bench, id: &str) {
    let request = bench.aws.autoscaling().register_scalable_target().resource_id(id).min_capacity(1).max_capacity(7);
    let request = request.service_namespace(ServiceNamespace::Ecs);
    request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount).send().await.unwrap();
}

#[tokio::test]
async fn a_target_of_others_is_not_taken() {
    let bench = Bench::start().await;
    let id = service(&bench, "acme-test-api").await;
    foreign(&bench, &id).await;
    let failure = bench.try_create("api", &target(&id)).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    assert!(bench.list::<ScalableTarget>().await.is_empty());
    // Ours, left by a try whose answer was lost, is taken over and brought to the specification.
    let id = service(&bench, "acme-test-web").await;
    bench.create("web", &target(&id)).await;
    bench.try_create("web", &ScalableTarget { max: 6, ..target(&id) }).await.unwrap();
    assert_eq!(bench.list::<ScalableTarget>().await[0].spec.max, 6);
    // A scaler comes right after its service, which AWS may not see yet.
    let failure = bench.try_create("late", &target("service/main/acme-test-late")).await.unwrap_err();
    assert_eq!(failure.class, infra::kind::Class::Busy, "{failure}");
}
