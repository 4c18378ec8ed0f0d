//! `services.*.scale`: both colours and workers follow the load, and plans leave alone what the scaler and releases do.

use std::collections::BTreeMap;

use aws_sdk_applicationautoscaling::types::{
    MetricType, ScalableDimension, ScalableTarget, ScalingPolicy, ServiceNamespace, SuspendedState,
};
use infra::aws::Aws;

use crate::end_to_end::site::Site;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
load_balancers:
  public: {}
services:
  api:
    image: acme/api:1
    port: 3000
    route: {}
    scale: { min: 2, max: 10, cpu: 60, memory: 70, requests: 1000 }
  mail: { image: acme/mail, scale: { min: 1, max: 3, cpu: 50 } }
  queue: { image: acme/queue:1, scale: { min: 1, max: 3, cpu: 50 } }
"#;

#[tokio::test]
async fn scale_follows_the_load() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let targets = targets(&site.aws).await;
    let bounds = |name: &str| {
        let target: &ScalableTarget = &targets[name];
        (target.min_capacity(), target.max_capacity(), suspended(target))
    };
    assert_eq!(targets.len(), 4);
    assert_eq!(bounds("api-blue"), (2, 10, false));
    assert_eq!(bounds("api-green"), (2, 10, true), "the colour that waits stays at no tasks");
    assert_eq!(bounds("mail"), (1, 3, true), "no release has chosen an image");
    assert_eq!(bounds("queue"), (1, 3, false));
    assert_eq!([count(&site.aws, "api-blue").await, count(&site.aws, "api-green").await], [2, 0]);
    policies_of_api(&site.aws).await;
    site.converged("test").await;

    // A release has moved on to green, and the load has risen.
    desire(&site.aws, "api-blue", 0).await;
    desire(&site.aws, "api-green", 5).await;
    desire(&site.aws, "queue", 3).await;
    suspend(&site.aws, "api-blue", true).await;
    suspend(&site.aws, "api-green", false).await;
    site.converged("test").await;
    site.edit("test", "max: 10, cpu: 60, memory: 70", "max: 20, cpu: 65");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let targets = self::targets(&site.aws).await;
    assert_eq!([suspended(&targets["api-blue"]), suspended(&targets["api-green"])], [true, false]);
    assert_eq!(targets["api-green"].max_capacity(), 20);
    let names: Vec<_> = policies(&site.aws, "api-green").await.into_keys().collect();
    assert_eq!(names, ["cpu", "requests"]);
    assert_eq!([count(&site.aws, "api-green").await, count(&site.aws, "queue").await], [5, 3]);

    site.edit("test", "acme/queue:1, scale: { min: 1, max: 3, cpu: 50 }", "acme/queue:1, count: 2");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    assert_eq!(count(&site.aws, "queue").await, 2, "without a scaler, the file decides");
    assert!(!self::targets(&site.aws).await.contains_key("queue"));
    site.infra("destroy test --confirm test").await.well();
    assert!(self::targets(&site.aws).await.is_empty());
}

async fn policies_of_api(aws: &Aws) {
    let balancer = aws.elb().describe_load_balancers().send().await.unwrap().load_balancers.unwrap().remove(0);
    let groups = aws.elb().describe_target_groups().send().await.unwrap().target_groups.unwrap();
    let after = |arn: &str, mark: &str| arn.split_once(mark).unwrap().1.to_owned();
    let balancer = after(balancer.load_balancer_arn().unwrap(), ":loadbalancer/");
    for colour in ["api-blue", "api-green"] {
        let group = groups.iter().map(|group| group.target_group_arn().unwrap()).find(|arn| arn.contains(colour));
        let label = format!("{balancer}/targetgroup/{}", after(group.unwrap(), ":targetgroup/"));
        let policies = policies(aws, colour).await;
        let read = |policy: &ScalingPolicy| {
            let tracking = policy.target_tracking_scaling_policy_configuration().unwrap();
            assert_eq!((tracking.scale_in_cooldown(), tracking.scale_out_cooldown()), (Some(300), Some(60)));
            let metric = tracking.predefined_metric_specification().unwrap();
            let label = metric.resource_label().map(str::to_owned);
            (metric.predefined_metric_type().clone(), tracking.target_value(), label)
        };
        let found: Vec<_> = policies.values().map(read).collect();
        let expected = [
            (MetricType::EcsServiceAverageCpuUtilization, 60.0, None),
            (MetricType::EcsServiceAverageMemoryUtilization, 70.0, None),
            (MetricType::AlbRequestCountPerTarget, 1000.0, Some(label)),
        ];
        assert_eq!(found, expected, "{colour}");
    }
}

fn id(service: &str) -> String {
    format!("service/acme-test-main/acme-test-{service}")
}

/// Scalable targets by the service's name.
async fn targets(aws: &Aws) -> BTreeMap<String, ScalableTarget> {
    let request = aws.autoscaling().describe_scalable_targets().service_namespace(ServiceNamespace::Ecs);
    let targets = request.send().await.unwrap().scalable_targets.unwrap().into_iter();
    let start = id("");
    targets.map(|target| (target.resource_id().strip_prefix(&start).unwrap().to_owned(), target)).collect()
}

async fn policies(aws: &Aws, service: &str) -> BTreeMap<String, ScalingPolicy> {
    let request = aws.autoscaling().describe_scaling_policies().service_namespace(ServiceNamespace::Ecs);
    let policies = request.resource_id(id(service)).send().await.unwrap().scaling_policies.unwrap().into_iter();
    policies.map(|policy| (policy.policy_name().to_owned(), policy)).collect()
}

fn suspended(target: &ScalableTarget) -> bool {
    let state = target.suspended_state().unwrap();
    let flags = [
        state.dynamic_scaling_in_suspended(),
        state.dynamic_scaling_out_suspended(),
        state.scheduled_scaling_suspended(),
    ];
    assert!(flags.iter().all(|flag| *flag == flags[0]), "{state:?}");
    flags[0].unwrap()
}

async fn suspend(aws: &Aws, service: &str, all: bool) {
    let state = SuspendedState::builder().dynamic_scaling_in_suspended(all).dynamic_scaling_out_suspended(all);
    let request = aws.autoscaling().register_scalable_target().resource_id(id(service));
    let request = request.service_namespace(ServiceNamespace::Ecs);
    let request = request.scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
    request.suspended_state(state.scheduled_scaling_suspended(all).build()).send().await.unwrap();
}

async fn count(aws: &Aws, service: &str) -> i32 {
    let request = aws.ecs().describe_services().cluster("acme-test-main").services(format!("acme-test-{service}"));
    request.send().await.unwrap().services.unwrap()[0].desired_count()
}

async fn desire(aws: &Aws, service: &str, count: i32) {
    let request = aws.ecs().update_service().cluster("acme-test-main").service(format!("acme-test-{service}"));
    request.desired_count(count).send().await.unwrap();
}
