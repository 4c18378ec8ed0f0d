//! `alarms` and `dashboards`.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{AlarmType, CompositeAlarm, Dimension, MetricAlarm};
use serde_json::Value as Json;

use crate::end_to_end::site::Site;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
tags: { team: backend }
network: { cidr: 10.0.0.0/16, zones: 2 }
load_balancers:
  public: {}
services:
  api: { image: "registry/api:1", port: 3000, route: {} }
  web: { image: registry/web, port: 4000, route: { hosts: [www.example.com] } }
  worker: { image: "registry/worker:1" }
databases:
  main: { engine: postgres, version: "15", class: db.t4g.medium, storage: 100, deletion_protection: false }
runbooks: https://wiki.example.com/runbooks/
alarms:
  web-slow: { enabled: false }
  worker-down: { severity: error, about: Nobody does the work }
  orders-stalled:
    metric: { name: orders, statistic: sum }
    below: 1
    for: 1h
    missing: breaching
    severity: error
    about: No order for an hour
"#;

type Alarms = (BTreeMap<String, MetricAlarm>, Vec<CompositeAlarm>);

async fn alarms(site: &Site) -> Alarms {
    let request = site.aws.cloudwatch().describe_alarms().max_records(100);
    let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
    let found = request.send().await.unwrap();
    let short = |alarm: MetricAlarm| {
        let name = alarm.alarm_name().unwrap().strip_prefix("acme-test-").unwrap().to_owned();
        (name, alarm)
    };
    (found.metric_alarms.unwrap().into_iter().map(short).collect(), found.composite_alarms.unwrap())
}

/// Namespace, metric, statistic, how it compares, threshold, period, periods, what is missing.
fn watched(alarm: &MetricAlarm) -> String {
    let (namespace, metric, statistic, period) = match alarm.metrics().first().and_then(|query| query.metric_stat()) {
        None => (
            alarm.namespace().unwrap(),
            alarm.metric_name().unwrap(),
            alarm.statistic().unwrap().as_str(),
            alarm.period().unwrap(),
        ),
        Some(stat) => (
            stat.metric().unwrap().namespace().unwrap(),
            stat.metric().unwrap().metric_name().unwrap(),
            stat.stat().unwrap(),
            stat.period().unwrap(),
        ),
    };
    let expression = alarm.metrics().iter().find_map(|query| query.expression()).unwrap_or_default();
    let comparison = alarm.comparison_operator().unwrap().as_str().trim_end_matches("Threshold");
    format!(
        "{namespace} {metric} {statistic} {expression} {comparison} {} {period}x{} {}",
        alarm.threshold().unwrap(),
        alarm.evaluation_periods().unwrap(),
        alarm.treat_missing_data().unwrap(),
    )
}

fn dimensions(found: &[Dimension]) -> BTreeMap<&str, &str> {
    found.iter().map(|dimension| (dimension.name().unwrap(), dimension.value().unwrap())).collect()
}

#[tokio::test]
async fn alarms_come_by_themselves_and_change() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let (found, composite) = alarms(&site).await;
    check_alarms(&found);
    check_dimensions(&site, &found).await;
    check_texts(&found, &composite);
    check_page(&page(&site, "acme-test-golden").await);

    site.edit("test", "  web-slow: { enabled: false }", "  api-errors: { above: 20, for: 10m, severity: warning }");
    site.edit("test", "  worker: { image: \"registry/worker:1\" }\n", "");
    site.edit("test", "  worker-down: { severity: error, about: Nobody does the work }\n", "");
    site.edit("test", "below: 1\n", "above: 5\n");
    // A release has switched this one on.
    site.aws.cloudwatch().enable_alarm_actions().alarm_names("acme-test-web-down").send().await.unwrap();
    site.infra("apply test --yes --allow-data-loss log_group.worker").await.well();
    site.converged("test").await;
    let (found, composite) = alarms(&site).await;
    assert!(!found.contains_key("worker-down") && found.contains_key("web-slow"), "{:?}", found.keys());
    assert!(watched(&found["api-errors"]).ends_with("GreaterThan 20 600x1 notBreaching"));
    assert!(watched(&found["orders-stalled"]).ends_with("GreaterThan 5 3600x1 breaching"));
    assert_eq!(found["web-down"].actions_enabled(), Some(true));
    let rule = composite[0].alarm_rule().unwrap();
    assert!(!rule.contains("api-errors") && rule.contains("ALARM(\"acme-test-api-down\")"), "{rule}");

    site.infra("destroy test --confirm test").await.well();
    assert_eq!(alarms(&site).await, Alarms::default());
    assert_eq!(site.aws.cloudwatch().list_dashboards().send().await.unwrap().dashboard_entries().len(), 0);
    assert_eq!(site.live("test").await.len(), 0);
}

fn check_alarms(found: &BTreeMap<String, MetricAlarm>) {
    let lb = "AWS/ApplicationELB";
    let both = |function: &str| format!("{function}([FILL(blue, 0), FILL(green, 0)])");
    let errors = format!("{lb} HTTPCode_Target_5XX_Count Sum {} GreaterThan 10 300x1 notBreaching", both("SUM"));
    let slow = format!("{lb} TargetResponseTime Average {} GreaterThan 2 300x1 notBreaching", both("MAX"));
    let down = format!("{lb} HealthyHostCount Minimum {} LessThan 1 60x2 breaching", both("SUM"));
    let expected = [
        ("api-down", down.as_str()),
        ("api-errors", &errors),
        ("api-slow", &slow),
        ("db-main-connections", "AWS/RDS DatabaseConnections Maximum  GreaterThan 395 300x1 missing"),
        ("db-main-cpu", "AWS/RDS CPUUtilization Average  GreaterThan 90 300x3 missing"),
        ("db-main-storage", "AWS/RDS FreeStorageSpace Minimum  LessThan 10737418240 300x1 missing"),
        ("lb-public-errors", "AWS/ApplicationELB HTTPCode_ELB_5XX_Count Sum  GreaterThan 10 300x1 notBreaching"),
        ("orders-stalled", "acme/test orders Sum  LessThan 1 3600x1 breaching"),
        ("web-down", &down),
        ("web-errors", &errors),
        ("worker-down", "ECS/ContainerInsights RunningTaskCount Minimum  LessThan 1 60x2 breaching"),
    ];
    let told: Vec<(&str, String)> = found.iter().map(|(name, alarm)| (name.as_str(), watched(alarm))).collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(told, expected);
    // web was never released, so that nobody needs to be told that it is down.
    let off: Vec<&String> =
        found.iter().filter(|(_, alarm)| alarm.actions_enabled() == Some(false)).map(|(name, _)| name).collect();
    assert_eq!(off, ["web-down"]);
}

/// The alarms watch what is there: by the ids that AWS gave.
async fn check_dimensions(site: &Site, found: &BTreeMap<String, MetricAlarm>) {
    let groups = site.aws.elb().describe_target_groups().send().await.unwrap();
    let group = |name: &str| {
        let groups = groups.target_groups().iter();
        let arn = groups.filter_map(|group| group.target_group_arn()).find(|arn| arn.contains(name)).unwrap();
        arn.rsplit_once(':').unwrap().1.to_owned()
    };
    let balancers = site.aws.elb().describe_load_balancers().send().await.unwrap();
    let balancer = balancers.load_balancers()[0].load_balancer_arn().unwrap().split_once(":loadbalancer/").unwrap().1;
    let stat = |id: &str| {
        let query = found["api-errors"].metrics().iter().find(|query| query.id() == Some(id)).unwrap();
        query.metric_stat().unwrap().metric().unwrap()
    };
    for colour in ["blue", "green"] {
        let group = group(&format!("acme-test-api-{colour}"));
        let expected = BTreeMap::from([("LoadBalancer", balancer), ("TargetGroup", group.as_str())]);
        assert_eq!(dimensions(stat(colour).dimensions()), expected);
    }
    assert_eq!(dimensions(found["lb-public-errors"].dimensions()), BTreeMap::from([("LoadBalancer", balancer)]));
    let worker = BTreeMap::from([("ClusterName", "acme-test-main"), ("ServiceName", "acme-test-worker")]);
    assert_eq!(dimensions(found["worker-down"].dimensions()), worker);
    let database = BTreeMap::from([("DBInstanceIdentifier", "acme-test-main")]);
    assert_eq!(dimensions(found["db-main-storage"].dimensions()), database);
    // The alarm on connections holds because the limit is set, not left to AWS.
    let groups = site.aws.rds().describe_db_parameter_groups().send().await.unwrap();
    let ours = |name: &&str| name.starts_with("acme-test");
    let group = groups.db_parameter_groups().iter().filter_map(|group| group.db_parameter_group_name()).find(ours);
    let parameters = site.aws.rds().describe_db_parameters().set_db_parameter_group_name(group.map(str::to_owned));
    let parameters = parameters.source("user").send().await.unwrap();
    let most = parameters.parameters().iter().find(|one| one.parameter_name() == Some("max_connections")).unwrap();
    assert_eq!(most.parameter_value(), Some("400"));
}

fn check_texts(found: &BTreeMap<String, MetricAlarm>, composite: &[CompositeAlarm]) {
    let text = |name: &str| found[name].alarm_description().unwrap();
    assert_eq!(
        text("api-errors"),
        "Answers of api with status 5xx: more than 10 in 5m\nSeverity: critical\n\
         Runbook: https://wiki.example.com/runbooks/errors"
    );
    assert_eq!(
        text("db-main-storage"),
        "Free disk of database main: less than 10 GB for 5m\nSeverity: warning\n\
         Runbook: https://wiki.example.com/runbooks/database-storage"
    );
    assert_eq!(
        text("orders-stalled"),
        "No order for an hour: less than 1 in 1h\nSeverity: error\n\
         Runbook: https://wiki.example.com/runbooks/orders-stalled"
    );
    assert!(text("worker-down").starts_with("Nobody does the work: less than 1 for 2m\nSeverity: error\n"));
    let [critical] = composite else { panic!("one composite alarm") };
    assert_eq!(critical.alarm_name(), Some("acme-test-critical"));
    let names = ["api-down", "api-errors", "lb-public-errors", "web-down", "web-errors"];
    let rule = names.map(|name| format!("ALARM(\"acme-test-{name}\")")).join(" OR ");
    assert_eq!(critical.alarm_rule(), Some(rule.as_str()));
    assert!(critical.alarm_actions().is_empty());
}

/// What a dashboard holds.
pub async fn page(site: &Site, name: &str) -> Json {
    let found = site.aws.cloudwatch().get_dashboard().dashboard_name(name).send().await.unwrap();
    serde_json::from_str(found.dashboard_body().unwrap()).unwrap()
}

/// The golden signals of everything, no two widgets upon each other, and no reference left.
fn check_page(page: &Json) {
    let widgets = page["widgets"].as_array().unwrap();
    let titles: Vec<&str> = widgets
        .iter()
        .filter_map(|widget| widget["properties"]["title"].as_str().or(widget["properties"]["markdown"].as_str()))
        .collect();
    for title in ["## Load balancer public", "## Service api", "## Service worker", "## Database main"] {
        assert!(titles.contains(&title), "{title}: {titles:?}");
    }
    for title in ["Latency", "Traffic", "Errors", "Saturation", "Connections", "Saturation: CPU", "Alarms"] {
        assert!(titles.contains(&title), "{title}: {titles:?}");
    }
    let text = page.to_string();
    assert!(!text.contains("${"), "{text}");
    assert!(text.contains("acme-test-web-green") && text.contains("arn:aws:cloudwatch:us-east-1:123456789012:alarm:"));
    let mut taken = std::collections::BTreeSet::new();
    for widget in widgets {
        let of = |field: &str| widget[field].as_u64().unwrap();
        assert!(of("x") + of("width") <= 24, "{widget}");
        for (x, y) in (0..of("width")).flat_map(|x| (0..of("height")).map(move |y| (x, y))) {
            assert!(taken.insert((of("x") + x, of("y") + y)), "{widget}");
        }
    }
}
