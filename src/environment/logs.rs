//! `logs`: how long logs are kept, what is counted in them, and queries that are saved.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::{Duration, Scalar, names};
use crate::diagnostic::Diagnostic;
use crate::kinds::log_group::RETENTIONS;

/// The logs of services. What is counted in them, and the queries that come by themselves, expect one JSON object a
/// line, with the fields `level` (text), `context` or else `message`, and for each request that was answered `path`,
/// `status` and `duration` (milliseconds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// How long logs of services are kept; AWS knows 1d, 3d, 5d, 7d, 14d, 30d, 60d, 90d, 180d, 365d and a few more.
    /// Default: `30d`.
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "3653d", "x-whole-days" = true))]
    pub keep: Duration,
    /// Numbers counted in the logs, by the metric's name; CloudWatch has them under `<project>/<environment>`.
    #[schemars(extend("propertyNames" = names()))]
    pub metrics: BTreeMap<String, LogMetric>,
    /// Saved queries of CloudWatch Logs Insights, by name. By themselves come `errors` (grouped by context),
    /// `response-times` (percentiles) and `requests` (a minute); one of these names replaces that one.
    #[schemars(extend("propertyNames" = names()))]
    pub queries: BTreeMap<String, LogQuery>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { keep: Duration::from_days(30), metrics: BTreeMap::new(), queries: BTreeMap::new() }
    }
}

/// A number counted in the log of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogMetric {
    /// The service in whose log it is counted.
    #[schemars(example = &"api")]
    pub service: String,
    /// Which events count, in the words of CloudWatch: `'{ $.event = "item_created" }'`.
    #[serde(rename = "match")]
    #[schemars(length(max = 1024), example = &"{ $.event = \"item_created\" }")]
    pub pattern: String,
    /// What each event adds: a number, or a field of the event such as `$.count`. Default: 1.
    #[serde(default = "one")]
    pub value: Scalar,
}

/// A saved query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// The services whose logs it searches: `[api]`. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// The query: `fields @timestamp | filter duration > 1000`.
    #[schemars(length(min = 1, max = 9700), example = &"fields @timestamp | filter duration > 1000")]
    pub query: String,
}

fn one() -> Scalar {
    Scalar::Number(1.into())
}

impl Logs {
    /// Whole days.
    #[must_use]
    pub fn days(&self) -> u32 {
        u32::try_from(self.keep.days()).unwrap_or(u32::MAX)
    }

    pub(super) fn check(&self, rules: &mut Rules<'_>) {
        let days = self.days();
        if !RETENTIONS.contains(&days) {
            let nearest = RETENTIONS.iter().min_by_key(|known| known.abs_diff(days)).copied().unwrap_or(days);
            let message = format!("AWS cannot keep logs for {days} days, only for certain numbers of days");
            let error = Diagnostic::error("logs", message).at(rules.tree.place_of(&["logs", "keep"]), "");
            rules.report(error.help(format!("write `{nearest}d`, the nearest")));
        }
        for (name, metric) in &self.metrics {
            rules.known("services", &metric.service, &["logs", "metrics", name, "service"]);
            let right = match &metric.value {
                Scalar::Flag(_) => false,
                Scalar::Number(_) => true,
                Scalar::Text(text) => text.starts_with('$') || text.parse::<f64>().is_ok(),
            };
            if !right {
                let error = Diagnostic::error("logs", "an event can add a number or one of its fields");
                let error = error.at(rules.tree.place_of(&["logs", "metrics", name, "value"]), "");
                rules.report(error.help("write `value: 1`, or a field such as `value: $.count`"));
            }
        }
        for (name, query) in &self.queries {
            for (at, service) in query.services.iter().enumerate() {
                rules.known("services", service, &["logs", "queries", name, "services", &at.to_string()]);
            }
        }
    }
}
