use std::collections::BTreeMap;

use infra::kinds::sampling_rule::SamplingRule;
use infra::kinds::trace_group::TraceGroup;
use infra::tags::Tags;

use crate::support::Bench;

fn rule() -> SamplingRule {
    let any = || "*".to_owned();
    SamplingRule {
        name: None,
        priority: 1000,
        fixed_rate: 0.05,
        reservoir_size: 1,
        service_name: "acme-test-*".into(),
        service_type: any(),
        host: any(),
        http_method: any(),
        url_path: any(),
        resource_arn: any(),
        attributes: BTreeMap::new(),
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

fn group() -> TraceGroup {
    TraceGroup {
        name: None,
        filter_expression: "service(\"acme-test-api\")".into(),
        insights: false,
        notifications: false,
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

#[tokio::test]
async fn sampling_rule_lives_and_dies() {
    let bench = Bench::start().await;
    let live = bench.create("main", &rule()).await;
    assert_eq!(live.outputs["name"], "acme-test-main");
    let text = |text: &str| text.to_owned();
    let spec = SamplingRule {
        priority: 9,
        fixed_rate: 1.0,
        reservoir_size: 0,
        service_name: text("api"),
        service_type: text("AWS::ECS::Container"),
        host: text("api.example.com"),
        http_method: text("POST"),
        url_path: text("/orders/*"),
        resource_arn: text("arn:*"),
        attributes: BTreeMap::from([(text("tenant"), text("big"))]),
        ..rule()
    };
    let live = bench.update(&live, &spec).await;
    let live = bench.update(&live, &SamplingRule { attributes: BTreeMap::new(), tags: Tags::new(), ..spec }).await;
    // Ours, left by a try whose answer was lost, is brought to the specification; that of others is not taken.
    bench.try_create("main", &SamplingRule { tags: Tags::new(), ..rule() }).await.unwrap();
    assert_eq!(bench.list::<SamplingRule>().await[0].spec.priority, 1000);
    let taken = SamplingRule { name: Some(live.id.clone()), ..rule() };
    assert_eq!(bench.try_create("other", &taken).await.unwrap_err().code, "NameTaken");
    bench.delete(&live).await;
    let left = bench.aws.xray().get_sampling_rules().send().await.unwrap();
    assert_eq!(left.sampling_rule_records().len(), 1, "AWS's own stays");
}

#[tokio::test]
async fn trace_group_lives_and_dies() {
    let bench = Bench::start().await;
    let live = bench.create("main", &group()).await;
    let spec = TraceGroup { filter_expression: "fault".into(), insights: true, notifications: true, ..group() };
    let live = bench.update(&live, &spec).await;
    let live = bench.update(&live, &TraceGroup { tags: Tags::new(), ..group() }).await;
    bench.try_create("main", &TraceGroup { filter_expression: "error".into(), ..group() }).await.unwrap();
    assert_eq!(bench.list::<TraceGroup>().await[0].spec.filter_expression, "error");
    bench.aws.xray().create_group().group_name("acme-test-theirs").send().await.unwrap();
    let taken = TraceGroup { name: Some("acme-test-theirs".into()), ..group() };
    assert_eq!(bench.try_create("other", &taken).await.unwrap_err().code, "NameTaken");
    bench.delete(&live).await;
    let left = bench.aws.xray().get_groups().send().await.unwrap();
    let left: Vec<_> = left.groups().iter().filter_map(|group| group.group_name()).collect();
    assert_eq!(left, ["Default", "acme-test-theirs"]);
}
