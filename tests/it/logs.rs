use infra::address::Address;
use infra::kind::{Kind, Making};
use infra::kinds::log_group::{LogClass, LogGroup, MetricFilters};
use infra::tags::Tags;

use crate::support::{Bench, REGION, scope};

pub fn log_group() -> LogGroup {
    LogGroup {
        name: None,
        retention_days: Some(30),
        kms_key_arn: None,
        class: LogClass::Standard,
        metric_filters: MetricFilters::new(),
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

fn making(name: &str) -> Making {
    Making {
        identity: scope(&[]).identity(&Address::new(LogGroup::NAME, name)),
        account: "123456789012".into(),
        region: REGION.into(),
        partition: "aws".into(),
        token: format!("run2{name}"),
    }
}

#[tokio::test]
async fn log_group_with_retention() {
    let bench = Bench::start().await;
    // Its name starts with that of ours.
    let foreign = bench.aws.logs().create_log_group().log_group_name("/infra/acme/test/api-of-others");
    foreign.send().await.unwrap();
    let live = bench.create("api", &log_group()).await;
    assert_eq!(live.outputs["name"], "/infra/acme/test/api");
    assert!(live.outputs["arn"].ends_with(":log-group:/infra/acme/test/api"), "{:?}", live.outputs);

    let live = bench.update(&live, &LogGroup { retention_days: Some(7), tags: Tags::new(), ..log_group() }).await;
    let live = bench.update(&live, &LogGroup { retention_days: None, tags: Tags::new(), ..log_group() }).await;
    bench.delete(&live).await;
    let left = bench.aws.logs().describe_log_groups().send().await.unwrap();
    assert_eq!(left.log_groups().len(), 1, "the foreign group stays");
}

#[tokio::test]
async fn log_group_with_a_key() {
    let bench = Bench::start().await;
    let key = bench.aws.kms().create_key().send().await.unwrap();
    let arn = key.key_metadata().and_then(|key| key.arn()).unwrap();
    let spec = LogGroup { name: Some("/ecs/production/api".into()), kms_key_arn: Some(arn.into()), ..log_group() };
    let live = bench.create("api", &spec).await;
    let live = bench.update(&live, &LogGroup { kms_key_arn: None, ..spec.clone() }).await;
    let live = bench.update(&live, &spec).await;
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_group_that_aws_made_by_itself_is_refused_and_one_of_ours_is_found_again() {
    let bench = Bench::start().await;
    let name = "/aws/lambda/acme";
    bench.aws.logs().create_log_group().log_group_name(name).send().await.unwrap();
    let spec = LogGroup { name: Some(name.into()), ..log_group() };
    let failure = spec.create(&bench.aws, &making("lambda")).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    assert!(failure.message.contains("infra adopt"), "{failure}");

    let live = bench.create("api", &log_group()).await;
    let changed = LogGroup { retention_days: Some(90), ..log_group() };
    assert_eq!(changed.create(&bench.aws, &making("api")).await.unwrap(), live.id);
    assert_eq!(bench.list::<LogGroup>().await[0].spec.retention_days, Some(90));
}
