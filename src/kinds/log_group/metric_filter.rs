//! What counts events of a log group: a metric for those that match a pattern.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_sdk_cloudwatchlogs::types::MetricFilter as Found;
use aws_sdk_cloudwatchlogs::types::MetricTransformation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::kind::{Class, Failure, Problem, Result, Scope};

/// Metric filters that one log group may have.
const LIMIT: usize = 100;
const PATTERN_LIMIT: usize = 1024;

pub type MetricFilters = BTreeMap<String, MetricFilter>;

/// A metric that events of a log group feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricFilter {
    /// Which events count: `{ $.event = "item_created" }`. Empty, all.
    #[serde(default)]
    pub pattern: String,
    /// The name of the metric.
    pub metric_name: String,
    /// The namespace of the metric, not beginning with `AWS/`.
    pub namespace: String,
    /// What each event adds: a number, or a part of the event such as `$.count`.
    #[serde(default = "one")]
    pub value: String,
    /// The value while events come and none of them matches. Absent, there is none then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<f64>,
}

fn one() -> String {
    "1".to_owned()
}

/// All metric filters of the account's log groups, by group and name: they come in few calls, groups do not.
pub async fn all(aws: &Aws, scope: &Scope) -> Result<Arc<HashMap<String, MetricFilters>>> {
    scope.memo.get("logs.metric_filters", || read(aws, None)).await
}

pub async fn of_group(aws: &Aws, group: &str) -> Result<MetricFilters> {
    match read(aws, Some(group.to_owned())).await {
        Ok(mut filters) => Ok(filters.remove(group).unwrap_or_default()),
        Err(failure) if failure.class == Class::NotFound => Ok(MetricFilters::new()),
        Err(failure) => Err(failure),
    }
}

async fn read(aws: &Aws, group: Option<String>) -> Result<HashMap<String, MetricFilters>> {
    let request = aws.logs().describe_metric_filters().set_log_group_name(group);
    let pages = request.into_paginator().items().send();
    let found = aws.call("logs:DescribeMetricFilters", pages.collect::<Result<Vec<_>, _>>()).await?;
    let mut filters: HashMap<String, MetricFilters> = HashMap::new();
    for filter in &found {
        if let Some((group, name, filter)) = understood(filter) {
            filters.entry(group).or_default().insert(name, filter);
        }
    }
    Ok(filters)
}

fn understood(found: &Found) -> Option<(String, String, MetricFilter)> {
    let transformation = found.metric_transformations().first()?;
    let filter = MetricFilter {
        pattern: found.filter_pattern().unwrap_or_default().to_owned(),
        metric_name: transformation.metric_name().to_owned(),
        namespace: transformation.metric_namespace().to_owned(),
        value: transformation.metric_value().to_owned(),
        default_value: transformation.default_value(),
    };
    Some((found.log_group_name()?.to_owned(), found.filter_name()?.to_owned(), filter))
}

/// Brings the filters of a group from `there` to `wanted`.
pub async fn change(aws: &Aws, group: &str, there: &MetricFilters, wanted: &MetricFilters) -> Result<()> {
    for (name, filter) in wanted.iter().filter(|(name, filter)| there.get(*name) != Some(*filter)) {
        let transformation = MetricTransformation::builder()
            .metric_name(&filter.metric_name)
            .metric_namespace(&filter.namespace)
            .metric_value(&filter.value)
            .set_default_value(filter.default_value);
        let transformation = transformation
            .build()
            .map_err(|error| Failure::new("logs:PutMetricFilter", "InvalidRequest", error.to_string()))?;
        let request = aws.logs().put_metric_filter().log_group_name(group).filter_name(name);
        let request = request.filter_pattern(&filter.pattern).metric_transformations(transformation);
        aws.call("logs:PutMetricFilter", request.send()).await?;
    }
    for name in there.keys().filter(|name| !wanted.contains_key(*name)) {
        let request = aws.logs().delete_metric_filter().log_group_name(group).filter_name(name);
        match aws.call("logs:DeleteMetricFilter", request.send()).await {
            Err(failure) if failure.class != Class::NotFound => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}

pub fn check(filters: &MetricFilters) -> Vec<Problem> {
    let mut problems = Vec::new();
    if filters.len() > LIMIT {
        let message = format!("a log group has at most {LIMIT} metric filters");
        problems.push(Problem::new("metric_filters", message));
    }
    for (name, filter) in filters {
        let path = |field: &str| format!("metric_filters.{name}{field}");
        if name.is_empty() || name.len() > 512 || name.contains([':', '*']) {
            let help = "use 1 to 512 characters other than : and *";
            problems.push(Problem::new(&path(""), format!("`{name}` is no name for a metric filter")).help(help));
        }
        if filter.pattern.len() > PATTERN_LIMIT {
            let message = format!("the pattern has more than {PATTERN_LIMIT} characters");
            problems.push(Problem::new(&path(".pattern"), message));
        }
        if filter.namespace.is_empty() || filter.namespace.starts_with("AWS/") {
            let help = "choose another; those that begin with AWS/ are for AWS";
            problems.push(
                Problem::new(&path(".namespace"), format!("`{}` cannot be its namespace", filter.namespace)).help(help),
            );
        }
        if filter.value.parse::<f64>().is_err() && !filter.value.starts_with('$') {
            let message = format!("`{}` is neither a number nor a part of an event", filter.value);
            problems.push(Problem::new(&path(".value"), message).help("write `1`, or a part such as `$.count`"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_number_or_a_part_of_the_event() {
        let filter = |value: &str, namespace: &str| {
            let filter = MetricFilter {
                pattern: String::new(),
                metric_name: "items".into(),
                namespace: namespace.into(),
                value: value.into(),
                default_value: None,
            };
            check(&MetricFilters::from([("items".into(), filter)])).into_iter().map(|p| p.path).collect::<Vec<_>>()
        };
        assert_eq!(filter("1", "acme/test"), [""; 0]);
        assert_eq!(filter("$.count", "acme/test"), [""; 0]);
        assert_eq!(filter("count", "acme/test"), ["metric_filters.items.value"]);
        assert_eq!(filter("1", "AWS/ECS"), ["metric_filters.items.namespace"]);
    }
}
