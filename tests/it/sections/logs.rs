//! `logs`, and dashboards of one's own.

use std::collections::BTreeMap;

use crate::end_to_end::site::Site;

const FILE: &str = r##"
project: acme
account: "123456789012"
region: us-east-1
tags: { team: backend }
network: { cidr: 10.0.0.0/16, zones: 2 }
load_balancers:
  public: {}
services:
  api: { image: "registry/api:1", port: 3000, route: {} }
  worker: { image: "registry/worker:1" }
logs:
  keep: 90d
  metrics:
    items-created: { service: api, match: '{ $.event = "item_created" }' }
    active-users: { service: api, match: '{ $.event = "activity" }', value: $.users }
    duplicate-requests: { service: worker, match: '{ $.event = "duplicate" }', value: 2 }
  queries:
    slow-requests: { services: [api], query: "fields @timestamp | filter duration > 1000" }
dashboards:
  golden: { enabled: false }
  business:
    widgets:
      - { title: "Items of ${project}", metrics: [{ name: items-created, statistic: sum, label: items }], look: number }
      - { text: "# ${services.api.log_group}", width: 16, height: 2 }
      - metrics: [{ namespace: AWS/SQS, name: ApproximateAgeOfOldestMessage, statistic: maximum, dimensions: { QueueName: jobs } }]
alarms:
  items-stalled: { metric: { name: items-created, statistic: sum }, below: 1, for: 1h, missing: breaching }
"##;

#[tokio::test]
async fn logs_are_kept_counted_and_searched() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;

    let groups = site.aws.logs().describe_log_groups().log_group_name_prefix("/ecs/test/").send().await.unwrap();
    let kept: Vec<_> = groups.log_groups().iter().map(|group| group.retention_in_days()).collect();
    assert_eq!(kept, [Some(90), Some(90)]);
    let worker = r#"{ $.event = "duplicate" } -> acme/test duplicate-requests 2 Some(0.0)"#;
    let expected = [
        ("/ecs/test/api active-users", r#"{ $.event = "activity" } -> acme/test active-users $.users None"#),
        ("/ecs/test/api items-created", r#"{ $.event = "item_created" } -> acme/test items-created 1 Some(0.0)"#),
        ("/ecs/test/worker duplicate-requests", worker),
    ];
    assert_eq!(filters(&site).await, expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into());

    let found = queries(&site).await;
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let folder = ["errors", "requests", "response-times", "slow-requests"].map(|name| format!("acme/test/{name}"));
    assert_eq!(names, folder);
    assert_eq!(found["acme/test/errors"].0, ["/ecs/test/api", "/ecs/test/worker"]);
    assert!(found["acme/test/errors"].1.contains("stats count(*) as errors"));
    assert_eq!(found["acme/test/requests"].0, ["/ecs/test/api"]);
    assert!(found["acme/test/requests"].1.contains("bin(1m)"));
    assert!(found["acme/test/response-times"].1.contains("pct(duration, 99)"));
    assert_eq!(
        found["acme/test/slow-requests"].1,
        "# infra: acme test query_definition.slow-requests\nfields @timestamp | filter duration > 1000"
    );
    check_page(&site).await;

    site.edit("test", "keep: 90d", "keep: 14d");
    site.edit("test", "value: $.users", "value: 1");
    site.edit("test", "    slow-requests: { services: [api]", "    errors: { services: [worker]");
    site.edit("test", "    duplicate-requests: { service: worker", "    duplicates: { service: api");
    site.edit("test", "title: \"Items of ${project}\", ", "");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let filters = filters(&site).await;
    assert!(filters["/ecs/test/api active-users"].ends_with("active-users 1 Some(0.0)"), "{filters:?}");
    assert!(filters.contains_key("/ecs/test/api duplicates") && filters.len() == 3, "{filters:?}");
    let found = queries(&site).await;
    assert_eq!(found["acme/test/errors"].0, ["/ecs/test/worker"]);
    assert!(found["acme/test/errors"].1.ends_with("duration > 1000") && found.len() == 3, "{found:?}");

    site.infra("destroy test --confirm test").await.well();
    assert_eq!(queries(&site).await.len(), 0);
    assert_eq!(site.live("test").await.len(), 0);
}

async fn filters(site: &Site) -> BTreeMap<String, String> {
    let found = site.aws.logs().describe_metric_filters().send().await.unwrap();
    let told = found.metric_filters().iter().map(|filter| {
        let to = &filter.metric_transformations()[0];
        let name = format!("{} {}", filter.log_group_name().unwrap(), filter.filter_name().unwrap());
        let (namespace, metric, value) = (to.metric_namespace(), to.metric_name(), to.metric_value());
        let pattern = filter.filter_pattern().unwrap();
        (name, format!("{pattern} -> {namespace} {metric} {value} {:?}", to.default_value()))
    });
    told.collect()
}

/// The log groups and the text of each query.
async fn queries(site: &Site) -> BTreeMap<String, (Vec<String>, String)> {
    let found = site.aws.logs().describe_query_definitions().send().await.unwrap();
    let told = found.query_definitions().iter().map(|query| {
        let groups = query.log_group_names().to_vec();
        (query.name().unwrap().to_owned(), (groups, query.query_string().unwrap().to_owned()))
    });
    told.collect()
}

async fn check_page(site: &Site) {
    let pages = site.aws.cloudwatch().list_dashboards().send().await.unwrap();
    let names: Vec<_> = pages.dashboard_entries().iter().filter_map(|entry| entry.dashboard_name()).collect();
    assert_eq!(names, ["acme-test-business"]);
    let expected = serde_json::json!({ "widgets": [
        { "type": "metric", "x": 0, "y": 0, "width": 8, "height": 6, "properties": {
            "title": "Items of acme", "region": "us-east-1", "view": "singleValue", "stacked": false, "period": 60,
            "metrics": [["acme/test", "items-created", { "stat": "Sum", "label": "items" }]],
        } },
        { "type": "text", "x": 8, "y": 0, "width": 16, "height": 2, "properties": { "markdown": "# /ecs/test/api" } },
        { "type": "metric", "x": 0, "y": 6, "width": 8, "height": 6, "properties": {
            "region": "us-east-1", "view": "timeSeries", "stacked": false, "period": 60,
            "metrics": [["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", "jobs",
                { "stat": "Maximum", "label": "ApproximateAgeOfOldestMessage" }]],
        } },
    ] });
    assert_eq!(super::alarms::page(site, names[0]).await, expected);
}
