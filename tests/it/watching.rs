use std::collections::BTreeMap;

use infra::kinds::composite_alarm::CompositeAlarm;
use infra::kinds::dashboard::Dashboard;
use infra::kinds::log_group::{LogGroup, MetricFilter, MetricFilters};
use infra::kinds::metric_alarm::{Comparison, MetricAlarm, MissingData};
use infra::kinds::metric_query::{Metric, Query};
use infra::kinds::query_definition::QueryDefinition;
use infra::kinds::task_definition::Owner;
use infra::tags::Tags;
use infra::value::Arg;
use serde_json::json;

use crate::logs::log_group;
use crate::support::Bench;

fn metric() -> Metric {
    Metric {
        namespace: "AWS/RDS".into(),
        name: "CPUUtilization".into(),
        dimensions: BTreeMap::from([("DBInstanceIdentifier".into(), "acme-test-main".into())]),
        statistic: "Average".into(),
        period: 300,
        unit: None,
    }
}

fn alarm() -> MetricAlarm {
    MetricAlarm {
        name: None,
        description: "The processor is busy.\nSeverity: warning".into(),
        metric: Some(metric()),
        metrics: Vec::new(),
        comparison: Comparison::GreaterThanThreshold,
        threshold: 90.0,
        evaluation_periods: 3,
        datapoints_to_alarm: None,
        treat_missing_data: MissingData::Missing,
        actions_enabled: true,
        owner: Owner::File,
        alarm_actions: vec!["arn:aws:sns:us-east-1:123456789012:warning".into()],
        ok_actions: vec!["arn:aws:sns:us-east-1:123456789012:warning".into()],
        insufficient_data_actions: Vec::new(),
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

fn put_foreign(bench: &Bench, name: &str) -> impl Future<Output = ()> + use<> {
    let request = bench.aws.cloudwatch().put_metric_alarm().alarm_name(name).namespace("others").metric_name("m");
    let request = request.statistic(aws_sdk_cloudwatch::types::Statistic::Sum).period(60).evaluation_periods(1);
    let operator = aws_sdk_cloudwatch::types::ComparisonOperator::GreaterThanThreshold;
    let request = request.threshold(1.0).comparison_operator(operator);
    async move { drop(request.send().await.unwrap()) }
}

#[tokio::test]
async fn metric_alarm_on_one_metric_and_on_a_calculation() {
    let bench = Bench::start().await;
    // Its name starts with that of ours.
    put_foreign(&bench, "acme-test-cpu-of-others").await;
    let live = bench.create("cpu", &alarm()).await;
    assert_eq!(live.outputs["name"], "acme-test-cpu");
    let arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:acme-test-cpu";
    assert_eq!(live.outputs["arn"], arn);

    let of = |name: &str, metric| Query {
        id: name.into(),
        expression: None,
        metric: Some(metric),
        label: None,
        return_data: false,
    };
    let sum = Query {
        id: "sum".into(),
        expression: Some("SUM([a, b])".into()),
        metric: None,
        label: Some("both".into()),
        return_data: true,
    };
    let changes = [
        MetricAlarm { threshold: 0.5, comparison: Comparison::LessThanOrEqualToThreshold, ..alarm() },
        MetricAlarm { evaluation_periods: 5, datapoints_to_alarm: Some(3), description: String::new(), ..alarm() },
        MetricAlarm { treat_missing_data: MissingData::NotBreaching, actions_enabled: false, ..alarm() },
        MetricAlarm {
            metric: Some(Metric { statistic: "p99.9".into(), period: 60, unit: Some("Percent".into()), ..metric() }),
            ..alarm()
        },
        MetricAlarm {
            metric: None,
            metrics: vec![
                sum,
                of("b", Metric { name: "ReadIOPS".into(), dimensions: BTreeMap::new(), ..metric() }),
                of("a", metric()),
            ],
            ..alarm()
        },
        MetricAlarm {
            alarm_actions: Vec::new(),
            ok_actions: Vec::new(),
            insufficient_data_actions: vec!["arn:aws:sns:us-east-1:123456789012:error".into()],
            tags: Tags::from([("cost".into(), "42".into())]),
            ..alarm()
        },
        MetricAlarm { owner: Owner::Release, ..alarm() },
        alarm(),
    ];
    let mut live = live;
    for spec in &changes {
        live = bench.update(&live, spec).await;
    }
    bench.delete(&live).await;
    let left = bench.aws.cloudwatch().describe_alarms().send().await.unwrap();
    assert_eq!(left.metric_alarms().len(), 1, "the foreign alarm stays");
}

#[tokio::test]
async fn an_alarm_of_others_is_refused_and_one_of_ours_found_again() {
    let bench = Bench::start().await;
    put_foreign(&bench, "theirs").await;
    let spec = MetricAlarm { name: Some("theirs".into()), ..alarm() };
    let failure = bench.try_create("cpu", &spec).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    let composite = CompositeAlarm { name: Some("theirs".into()), ..composite(&["theirs"]) };
    assert_eq!(bench.try_create("any", &composite).await.unwrap_err().code, "NameTaken");
    let there = bench.aws.cloudwatch().describe_alarms().alarm_names("theirs").send().await.unwrap();
    assert_eq!(there.metric_alarms()[0].namespace(), Some("others"), "it stays as it is");

    let live = bench.create("cpu", &alarm()).await;
    let changed = MetricAlarm { threshold: 95.0, ..alarm() };
    assert_eq!(bench.try_create("cpu", &changed).await.unwrap(), live.id);
    assert!((bench.list::<MetricAlarm>().await[0].spec.threshold - 95.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn what_a_release_switches_is_never_switched_back() {
    let bench = Bench::start().await;
    let spec = MetricAlarm { owner: Owner::Release, actions_enabled: false, ..alarm() };
    let live = bench.create("down", &spec).await;
    bench.aws.cloudwatch().enable_alarm_actions().alarm_names(&live.id).send().await.unwrap();
    // The plan was made before the release.
    let on = MetricAlarm { threshold: 1.0, actions_enabled: true, ..spec.clone() };
    let update = MetricAlarm { threshold: 1.0, ..spec };
    infra::kind::Kind::update(&update, &bench.aws, &live).await.unwrap();
    let [live] = &bench.list::<MetricAlarm>().await[..] else { panic!("one alarm") };
    assert_eq!(crate::support::fields(&live.spec), crate::support::fields(&on));
}

fn composite(names: &[&str]) -> CompositeAlarm {
    CompositeAlarm {
        name: None,
        description: "Something is wrong.".into(),
        any_of: names.iter().map(|name| Arg::from(*name)).collect(),
        rule: None,
        actions_enabled: true,
        alarm_actions: Vec::new(),
        ok_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

#[tokio::test]
async fn composite_alarm_over_others() {
    let bench = Bench::start().await;
    put_foreign(&bench, "a").await;
    put_foreign(&bench, "b").await;
    let live = bench.create("critical", &composite(&["b", "a"])).await;
    let found = bench.aws.cloudwatch().describe_alarms().alarm_names("acme-test-critical");
    let found = found.alarm_types(aws_sdk_cloudwatch::types::AlarmType::CompositeAlarm).send().await.unwrap();
    assert_eq!(found.composite_alarms()[0].alarm_rule(), Some(r#"ALARM("a") OR ALARM("b")"#));
    let topic = "arn:aws:sns:us-east-1:123456789012:critical";
    let changes = [
        composite(&["a"]),
        CompositeAlarm { rule: Some(r#"ALARM("a") AND NOT ALARM("b")"#.into()), ..composite(&[]) },
        CompositeAlarm { alarm_actions: vec![topic.into()], ok_actions: vec![topic.into()], ..composite(&["a"]) },
        CompositeAlarm { actions_enabled: false, tags: Tags::new(), ..composite(&["a"]) },
    ];
    let mut live = live;
    for spec in &changes {
        live = bench.update(&live, spec).await;
    }
    let again = composite(&["b"]);
    assert_eq!(bench.try_create("critical", &again).await.unwrap(), live.id);
    bench.delete(&live).await;
    assert_eq!(bench.aws.cloudwatch().describe_alarms().send().await.unwrap().metric_alarms().len(), 2);
}

fn dashboard(text: &str) -> Dashboard {
    let body = json!({ "widgets": [{ "type": "text", "width": 24, "properties": { "markdown": text } }] });
    Dashboard { name: None, body: body.into(), tags: Tags::from([("team".into(), "backend".into())]) }
}

#[tokio::test]
async fn dashboard_of_widgets() {
    let bench = Bench::start().await;
    let put = |name: &str| bench.aws.cloudwatch().put_dashboard().dashboard_name(name).dashboard_body("{}");
    put("acme-test-theirs").send().await.unwrap();
    let live = bench.create("golden", &dashboard("one")).await;
    assert_eq!(live.outputs["arn"], "arn:aws:cloudwatch::123456789012:dashboard/acme-test-golden");
    let live = bench.update(&live, &dashboard("two")).await;
    let live = bench.update(&live, &Dashboard { tags: Tags::new(), ..dashboard("two") }).await;

    assert_eq!(bench.try_create("golden", &dashboard("three")).await.unwrap(), live.id);
    let failure = bench.try_create("theirs", &dashboard("three")).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    bench.delete(&live).await;
    let left = bench.aws.cloudwatch().get_dashboard().dashboard_name("acme-test-theirs").send().await.unwrap();
    assert_eq!(left.dashboard_body(), Some("{}"), "what is not ours stays as it is");
}

#[tokio::test]
async fn query_definition_in_the_folder_of_its_environment() {
    let bench = Bench::start().await;
    let query = |text: &str, groups: &[&str]| QueryDefinition {
        name: None,
        query: text.into(),
        log_groups: groups.iter().map(|group| Arg::from(*group)).collect(),
    };
    let put = bench.aws.logs().put_query_definition().name("acme/test/theirs").query_string("fields @message");
    put.send().await.unwrap();
    let live = bench.create("errors", &query("fields @message", &["/b", "/a"])).await;
    assert_eq!(live.outputs["name"], "acme/test/errors");
    let live = bench.update(&live, &query("fields @message\n| limit 5", &["/a", "/b"])).await;
    let live = bench.update(&live, &query("fields @message\n| limit 5", &[])).await;

    assert_eq!(bench.try_create("errors", &query("fields @timestamp", &[])).await.unwrap(), live.id);
    let failure = bench.try_create("theirs", &query("fields @timestamp", &[])).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    bench.delete(&live).await;
    let left = bench.aws.logs().describe_query_definitions().send().await.unwrap();
    assert_eq!(left.query_definitions().len(), 1, "what is not ours stays");
}

#[tokio::test]
async fn log_group_with_metric_filters() {
    let bench = Bench::start().await;
    let filter = |value: &str| MetricFilter {
        pattern: r#"{ $.event = "item_created" }"#.into(),
        metric_name: "items-created".into(),
        namespace: "acme/test".into(),
        value: value.into(),
        default_value: Some(0.0),
    };
    let with = |filters: &[(&str, MetricFilter)]| LogGroup {
        metric_filters: filters.iter().map(|(name, filter)| ((*name).to_owned(), filter.clone())).collect(),
        ..log_group()
    };
    let live = bench.create("api", &with(&[("items", filter("1"))])).await;
    let other = MetricFilter { default_value: None, pattern: String::new(), ..filter("$.count") };
    let live = bench.update(&live, &with(&[("items", other), ("users", filter("1"))])).await;

    // What others add to our group is drift, and goes.
    let transformation = aws_sdk_cloudwatchlogs::types::MetricTransformation::builder();
    let transformation = transformation.metric_name("m").metric_namespace("n").metric_value("1").build().unwrap();
    let put = bench.aws.logs().put_metric_filter().log_group_name(&live.id).filter_name("theirs").filter_pattern("");
    put.metric_transformations(transformation).send().await.unwrap();
    let [live] = &bench.list::<LogGroup>().await[..] else { panic!("one group") };
    assert_eq!(live.spec.metric_filters.len(), 3);
    let live = bench.update(live, &with(&[("users", filter("1"))])).await;
    let live = bench.update(&live, &LogGroup { metric_filters: MetricFilters::new(), ..log_group() }).await;
    bench.delete(&live).await;
}
