//! `logs`: what is counted in the logs of services, and the saved queries.

use std::collections::BTreeMap;

use super::Expansion;
use crate::address::Address;
use crate::environment::types::Scalar;
use crate::kinds::log_group::{LogClass, LogGroup, MetricFilter, MetricFilters};
use crate::kinds::query_definition::QueryDefinition;
use crate::policy::{self, Statement};
use crate::tags::Tags;
use crate::value::{Arg, Part, Template};

/// The queries that come by themselves, and whether each is about requests alone.
const QUERIES: [(&str, bool, &str); 3] = [
    (
        "errors",
        false,
        "fields coalesce(context, message) as what\n\
         | filter level like /(?i)error|fatal|critical/\n\
         | stats count(*) as errors, latest(@timestamp) as last by what\n\
         | sort errors desc\n\
         | limit 100",
    ),
    (
        "response-times",
        true,
        "filter ispresent(duration)\n\
         | stats count(*) as requests, pct(duration, 50) as p50, pct(duration, 90) as p90, pct(duration, 95) as p95, \
         pct(duration, 99) as p99, max(duration) as slowest by path\n\
         | sort p99 desc\n\
         | limit 100",
    ),
    (
        "requests",
        true,
        "filter ispresent(path) and ispresent(status)\n\
         | stats count(*) as requests, sum(status >= 500) as errors by bin(1m)",
    ),
];

pub(super) fn expand(to: &mut Expansion) {
    let every: Vec<String> = to.file.services.keys().cloned().collect();
    let routed: Vec<String> =
        to.file.services.iter().filter(|(_, service)| service.route.is_some()).map(|(name, _)| name.clone()).collect();
    for (name, requests, query) in QUERIES {
        let services = if requests { &routed } else { &every };
        if !services.is_empty() && !to.file.logs.queries.contains_key(name) {
            add(to, name, &["services"], services, query);
        }
    }
    for (name, query) in &to.file.logs.queries {
        let services = if query.services.is_empty() { &every } else { &query.services };
        add(to, name, &["logs", "queries", name], services, &query.query);
    }
}

fn add(to: &mut Expansion, name: &str, origin: &[&str], services: &[String], query: &str) {
    let group = |service: &String| Arg::output(&Address::new("log_group", service), "name");
    let log_groups = services.iter().map(group).collect();
    to.add(name, origin, &QueryDefinition { name: None, query: query.to_owned(), log_groups });
}

/// A log group that the environment's key encrypts.
pub(super) fn group(to: &Expansion, name: String, retention_days: Option<u32>) -> LogGroup {
    let (class, metric_filters, tags) = (LogClass::Standard, MetricFilters::new(), Tags::new());
    LogGroup { name: Some(name), retention_days, kms_key_arn: to.main_key(), class, metric_filters, tags }
}

/// The ARN by which policies name the streams of a log group.
pub(super) fn streams(group: &Address) -> Arg<String> {
    let mut streams = Template::output(group, "arn");
    streams.0.push(Part::Text(":*".to_owned()));
    Arg::Reference(streams)
}

/// Lets a container or a function write to its log group.
pub(super) fn writing(group: &Address) -> Statement {
    policy::allow(&["logs:CreateLogStream", "logs:PutLogEvents"], [streams(group)]).sid("Logs")
}

/// What is counted in the log of a service.
pub(super) fn filters(to: &Expansion, service: &str) -> MetricFilters {
    let mut filters = BTreeMap::new();
    for (name, metric) in to.file.logs.metrics.iter().filter(|(_, metric)| metric.service == service) {
        let value = match &metric.value {
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text.clone(),
            Scalar::Flag(flag) => u8::from(*flag).to_string(),
        };
        let filter = MetricFilter {
            pattern: metric.pattern.clone(),
            metric_name: name.clone(),
            namespace: format!("{}/{}", to.file.project, to.name),
            // What is counted is 0 while nothing matches; what is measured is unknown.
            default_value: value.parse::<f64>().is_ok().then_some(0.0),
            value,
        };
        filters.insert(name.clone(), filter);
    }
    filters
}
