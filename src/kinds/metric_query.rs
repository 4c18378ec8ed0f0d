//! A metric, and a calculation over metrics, as alarms have them.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{Dimension, Metric as SdkMetric, MetricDataQuery, MetricStat, StandardUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{Problem, Result};
use crate::value::Arg;

/// Dimensions that a metric may have.
const DIMENSIONS: usize = 30;

/// A series of numbers in CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Whose metric, as in `AWS/RDS`.
    pub namespace: String,
    /// The metric's name, as in `CPUUtilization`.
    pub name: String,
    /// Which of them: `{ DBInstanceIdentifier: main }`. All of a metric's dimensions are needed.
    #[serde(default)]
    pub dimensions: BTreeMap<String, Arg<String>>,
    /// What is made of the values of a period: `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount`, or a percentile
    /// such as `p99`.
    #[serde(default = "average")]
    pub statistic: String,
    /// Seconds: 10, 30 or a multiple of 60.
    #[serde(default = "minute")]
    pub period: u32,
    /// Only values with this unit, as in `Seconds`. Absent, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A metric or a calculation, under an id by which other calculations know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// A small letter, then letters, digits and `_`.
    pub id: String,
    /// A calculation, as in `SUM([blue, green])`. Either this or `metric`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// What graphs call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether the alarm watches it, rather than another one that is calculated from it.
    #[serde(default = "yes")]
    pub return_data: bool,
}

pub fn average() -> String {
    "Average".to_owned()
}

const fn minute() -> u32 {
    60
}

const fn yes() -> bool {
    true
}

impl Metric {
    pub fn dimensions(&self) -> Result<Vec<Dimension>> {
        let dimension =
            |(name, value): (&String, &Arg<String>)| Ok(Dimension::builder().name(name).value(value.get()?).build());
        self.dimensions.iter().map(dimension).collect()
    }

    pub fn unit(&self) -> Option<StandardUnit> {
        self.unit.as_deref().map(StandardUnit::from)
    }

    pub fn check(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let period = self.period;
        if !(matches!(period, 10 | 20 | 30) || (period > 0 && period.is_multiple_of(60))) {
            let message = format!("{period} seconds are not a period that AWS knows");
            problems.push(Problem::new(&format!("{path}.period"), message).help("write 10, 30 or a multiple of 60"));
        }
        let percentile = |text: &str| {
            let number = text.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
            number.is_some_and(|number| (0.0..=100.0).contains(&number))
        };
        let known = ["Average", "Sum", "Minimum", "Maximum", "SampleCount", "IQM"];
        let trimmed = ["tm", "wm", "tc", "ts", "TM(", "WM(", "PR(", "TC(", "TS("];
        let statistic = self.statistic.as_str();
        if !known.contains(&statistic)
            && !percentile(statistic)
            && !trimmed.iter().any(|start| statistic.starts_with(start))
        {
            let message = format!("`{statistic}` is not a statistic");
            let help = "write Average, Sum, Minimum, Maximum, SampleCount or a percentile such as p99";
            problems.push(Problem::new(&format!("{path}.statistic"), message).help(help));
        }
        if self.dimensions.len() > DIMENSIONS {
            let message = format!("a metric has at most {DIMENSIONS} dimensions");
            problems.push(Problem::new(&format!("{path}.dimensions"), message));
        }
        problems
    }
}

impl Query {
    /// The period of its metric; that of a calculation follows from its metrics.
    pub fn period(&self) -> Option<u32> {
        self.metric.as_ref().map(|metric| metric.period)
    }

    pub fn sdk(&self) -> Result<MetricDataQuery> {
        let query = MetricDataQuery::builder()
            .id(&self.id)
            .set_expression(self.expression.clone())
            .set_label(self.label.clone())
            .return_data(self.return_data);
        let Some(metric) = &self.metric else { return Ok(query.build()) };
        let of = SdkMetric::builder().namespace(&metric.namespace).metric_name(&metric.name);
        let of = of.set_dimensions(Some(metric.dimensions()?)).build();
        let stat = MetricStat::builder()
            .metric(of)
            .period(metric.period.cast_signed())
            .stat(&metric.statistic)
            .set_unit(metric.unit());
        Ok(query.metric_stat(stat.build()).build())
    }

    pub fn of(query: &MetricDataQuery) -> Self {
        let metric = query.metric_stat().map(|stat| {
            let metric = stat.metric();
            Metric {
                namespace: metric.and_then(SdkMetric::namespace).unwrap_or_default().to_owned(),
                name: metric.and_then(SdkMetric::metric_name).unwrap_or_default().to_owned(),
                dimensions: dimensions(metric.map(SdkMetric::dimensions).unwrap_or_default()),
                statistic: stat.stat().map_or_else(average, str::to_owned),
                period: stat.period().and_then(|period| u32::try_from(period).ok()).unwrap_or_default(),
                unit: stat.unit().map(|unit| unit.as_str().to_owned()),
            }
        });
        Self {
            id: query.id().unwrap_or_default().to_owned(),
            expression: query.expression().map(str::to_owned),
            metric,
            label: query.label().map(str::to_owned),
            return_data: query.return_data() != Some(false),
        }
    }

    pub fn check(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let id = self.id.as_str();
        let letters = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !id.starts_with(|first: char| first.is_ascii_lowercase()) || !letters || id.len() > 255 {
            let help = "begin with a small letter, and use letters, digits and _";
            problems.push(Problem::new(&format!("{path}.id"), format!("`{id}` cannot be an id")).help(help));
        }
        if self.expression.is_some() == self.metric.is_some() {
            let message = format!("`{id}` must be either a metric or an expression");
            problems.push(Problem::new(path, message).help("write `metric` or `expression`, and not both"));
        }
        problems.extend(self.metric.iter().flat_map(|metric| metric.check(&format!("{path}.metric"))));
        problems
    }
}

pub fn dimensions(found: &[Dimension]) -> BTreeMap<String, Arg<String>> {
    let dimension = |dimension: &Dimension| {
        let (name, value) = (dimension.name().unwrap_or_default(), dimension.value().unwrap_or_default());
        (name.to_owned(), Arg::from(value))
    };
    found.iter().map(dimension).collect()
}
