//! An alarm on a metric, or on a calculation over several.

use std::collections::BTreeSet;

use aws_sdk_cloudwatch::operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder as Put;
use aws_sdk_cloudwatch::types::{ComparisonOperator, MetricAlarm as Found, MetricDataQuery, Statistic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric_query::{self, Metric, Query};
use super::task_definition::Owner;
use super::{adopt, alarms};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};
use crate::value::Arg;

/// What AWS has no field for is kept in a tag.
const OWNER: &str = "infra:owner";
/// The longest time that an alarm looks at, in seconds; with periods of an hour or more it is a week.
const DAY: u32 = 86_400;
const HOUR: u32 = 3_600;

/// An alarm on a metric, or on a calculation over several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricAlarm {
    /// The name in AWS, unique among all alarms of the region. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What has happened and what to do; whoever is told of the alarm reads it.
    #[serde(default)]
    pub description: String,
    /// The metric. Either this or `metrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Metrics and calculations over them, of which one returns data: the one that the alarm watches.
    #[serde(default)]
    pub metrics: Vec<Query>,
    /// How the metric compares with `threshold` in an alarm.
    pub comparison: Comparison,
    pub threshold: f64,
    /// How many periods the alarm looks at.
    #[serde(default = "one")]
    pub evaluation_periods: u32,
    /// In how many of them the threshold must be passed. Absent, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapoints_to_alarm: Option<u32>,
    /// What a period without data counts as.
    #[serde(default)]
    pub treat_missing_data: MissingData,
    /// Whether the actions are taken.
    #[serde(default = "yes")]
    pub actions_enabled: bool,
    /// Who chooses `actions_enabled` once the alarm exists.
    #[serde(default)]
    pub owner: Owner,
    /// ARNs of topics and other things that AWS calls when the alarm begins.
    #[serde(default)]
    pub alarm_actions: Vec<Arg<String>>,
    /// What it calls when the alarm is over.
    #[serde(default)]
    pub ok_actions: Vec<Arg<String>>,
    /// What it calls when there is too little data to tell.
    #[serde(default)]
    pub insufficient_data_actions: Vec<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

/// How a metric compares with the threshold in an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Comparison {
    GreaterThanThreshold,
    GreaterThanOrEqualToThreshold,
    LessThanThreshold,
    LessThanOrEqualToThreshold,
}

/// What a period without data counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MissingData {
    /// As nothing: an alarm without any data knows nothing.
    #[default]
    Missing,
    /// As a value within the threshold.
    NotBreaching,
    /// As a value beyond the threshold.
    Breaching,
    /// The state stays as it is.
    Ignore,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl Comparison {
    fn sdk(self) -> ComparisonOperator {
        match self {
            Self::GreaterThanThreshold => ComparisonOperator::GreaterThanThreshold,
            Self::GreaterThanOrEqualToThreshold => ComparisonOperator::GreaterThanOrEqualToThreshold,
            Self::LessThanThreshold => ComparisonOperator::LessThanThreshold,
            Self::LessThanOrEqualToThreshold => ComparisonOperator::LessThanOrEqualToThreshold,
        }
    }

    fn of(operator: Option<&ComparisonOperator>) -> Self {
        match operator {
            Some(ComparisonOperator::GreaterThanOrEqualToThreshold) => Self::GreaterThanOrEqualToThreshold,
            Some(ComparisonOperator::LessThanThreshold) => Self::LessThanThreshold,
            Some(ComparisonOperator::LessThanOrEqualToThreshold) => Self::LessThanOrEqualToThreshold,
            _ => Self::GreaterThanThreshold,
        }
    }
}

impl MissingData {
    fn text(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotBreaching => "notBreaching",
            Self::Breaching => "breaching",
            Self::Ignore => "ignore",
        }
    }

    fn of(text: Option<&str>) -> Self {
        match text {
            Some("notBreaching") => Self::NotBreaching,
            Some("breaching") => Self::Breaching,
            Some("ignore") => Self::Ignore,
            _ => Self::Missing,
        }
    }
}

impl Kind for MetricAlarm {
    const NAME: &'static str = "metric_alarm";
    const RIGHTS: Rights = Rights {
        read: "cloudwatch:DescribeAlarms cloudwatch:ListTagsForResource",
        create: "cloudwatch:PutMetricAlarm cloudwatch:TagResource",
        update: "cloudwatch:PutMetricAlarm cloudwatch:TagResource cloudwatch:UntagResource",
        delete: "cloudwatch:DeleteAlarms",
        on: "cloudwatch:alarm:{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const HELD_BY: &'static [&'static str] = &["composite_alarm"];

    fn normalize(&mut self) {
        self.metrics.sort_by(|a, b| a.id.cmp(&b.id));
        for actions in [&mut self.alarm_actions, &mut self.ok_actions, &mut self.insufficient_data_actions] {
            actions.sort();
            actions.dedup();
        }
        self.datapoints_to_alarm = self.datapoints_to_alarm.filter(|points| *points != self.evaluation_periods);
    }

    fn take_over(&mut self, live: &Self) {
        if self.owner == Owner::Release {
            self.actions_enabled = live.actions_enabled;
        }
    }

    fn check(&self) -> Vec<Problem> {
        let actions = [&self.alarm_actions[..], &self.ok_actions, &self.insufficient_data_actions];
        let mut problems = alarms::check(self.name.as_deref(), &self.description, actions);
        problems.extend(self.check_metrics());
        problems.extend(self.check_periods());
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let found = alarms::ours(aws, scope).await?;
        let ours = found
            .metric
            .iter()
            .filter_map(|(alarm, tags)| Some(live(alarm, scope.tagged(aws, Self::NAME, tags)?, tags)));
        Ok(ours.collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| generated_name(&making.identity));
        // AWS overwrites an alarm that bears the name, whosever it is, and leaves its tags alone.
        let (metric, composite) = alarms::by_name(aws, vec![name.clone()]).await?;
        if let Some(alarm) = metric.first() {
            let tags = alarms::tags(aws, alarm.alarm_arn().unwrap_or_default()).await?.unwrap_or_default();
            let found = tags::decode(&tags).map(|tagged| live(alarm, tagged, &tags));
            return adopt::adopt(self, aws, making, (&name, found), "cloudwatch:PutMetricAlarm").await;
        }
        if !composite.is_empty() {
            return adopt::adopt(self, aws, making, (&name, None), "cloudwatch:PutMetricAlarm").await;
        }
        let tags = alarms::sdk_tags(&self.all_tags(&making.identity));
        let request = self.request(aws.cloudwatch().put_metric_alarm(), &name)?.set_tags(Some(tags));
        aws.call("cloudwatch:PutMetricAlarm", request.send()).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.name = Some(live.id.clone());
        wanted.take_over(&there);
        wanted.normalize();
        there.normalize();
        if !wanted.watches_like(&there) {
            if wanted.owner == Owner::Release
                && let Some(alarm) = look(aws, &live.id).await?
            {
                // A release may have switched them since the plan was made.
                wanted.actions_enabled = alarm.actions_enabled() != Some(false);
            }
            let request = wanted.request(aws.cloudwatch().put_metric_alarm(), &live.id)?;
            aws.call("cloudwatch:PutMetricAlarm", request.send()).await?;
        }
        let change = tags::difference(&there.all_tags(&live.identity), &wanted.all_tags(&live.identity));
        match live.outputs.get("arn") {
            Some(arn) => alarms::retag(aws, arn, change).await,
            None => Ok(()),
        }
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        match live.outputs.get("arn") {
            Some(arn) => alarms::retag(aws, arn, (set.clone(), gone.to_vec())).await,
            None => Ok(()),
        }
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        alarms::delete(aws, &live.id).await
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        alarms::users(aws, &live.id).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(look(aws, id).await?.map_or(Progress::Gone, |alarm| {
            Progress::ready([("arn", alarm.alarm_arn().unwrap_or_default().to_owned()), ("name", id.clone())])
        }))
    }
}

impl MetricAlarm {
    /// Whether all but the tags is the same.
    fn watches_like(&self, other: &Self) -> bool {
        let watched = |alarm: &Self| {
            let alarm = Self { tags: Tags::new(), owner: Owner::File, ..alarm.clone() };
            crate::value::to_fields(&alarm).ok()
        };
        watched(self) == watched(other)
    }

    fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = tags::encode(identity, &self.tags);
        if self.owner == Owner::Release {
            tags.insert(OWNER.to_owned(), "release".to_owned());
        }
        tags
    }

    fn request(&self, request: Put, name: &str) -> Result<Put> {
        let request = request
            .alarm_name(name)
            .alarm_description(&self.description)
            .comparison_operator(self.comparison.sdk())
            .threshold(self.threshold)
            .evaluation_periods(self.evaluation_periods.cast_signed())
            .datapoints_to_alarm(self.datapoints_to_alarm.unwrap_or(self.evaluation_periods).cast_signed())
            .treat_missing_data(self.treat_missing_data.text())
            .actions_enabled(self.actions_enabled)
            .set_alarm_actions(Some(alarms::known(&self.alarm_actions)?))
            .set_ok_actions(Some(alarms::known(&self.ok_actions)?))
            .set_insufficient_data_actions(Some(alarms::known(&self.insufficient_data_actions)?));
        let Some(metric) = &self.metric else {
            let queries = self.metrics.iter().map(Query::sdk).collect::<Result<Vec<MetricDataQuery>>>()?;
            return Ok(request.set_metrics(Some(queries)));
        };
        let request = request
            .namespace(&metric.namespace)
            .metric_name(&metric.name)
            .set_dimensions(Some(metric.dimensions()?))
            .period(metric.period.cast_signed())
            .set_unit(metric.unit());
        Ok(match Statistic::try_parse(&metric.statistic) {
            Err(_) => request.extended_statistic(&metric.statistic),
            Ok(statistic) => request.statistic(statistic),
        })
    }

    fn check_metrics(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (&self.metric, self.metrics.is_empty()) {
            (None, true) => problems.push(Problem::new("metric", "an alarm needs something to watch").help(
                "write `metric: { namespace: AWS/RDS, name: CPUUtilization, ... }`, or `metrics` for a calculation",
            )),
            (Some(_), false) => {
                problems.push(Problem::new("metrics", "an alarm has either `metric` or `metrics`").help("remove one"));
            }
            (Some(metric), true) => problems.extend(metric.check("metric")),
            (None, false) => {
                let returning = self.metrics.iter().filter(|query| query.return_data).count();
                if returning != 1 {
                    let message = format!("{returning} of the metrics return data, where an alarm watches one");
                    let help = "write `return_data: false` for those that only feed the calculation";
                    problems.push(Problem::new("metrics", message).help(help));
                }
                let ids: BTreeSet<&str> = self.metrics.iter().map(|query| query.id.as_str()).collect();
                if ids.len() != self.metrics.len() {
                    problems.push(Problem::new("metrics", "two metrics have the same id").help("rename one"));
                }
                for (at, query) in self.metrics.iter().enumerate() {
                    problems.extend(query.check(&format!("metrics.{at}")));
                }
            }
        }
        problems
    }

    fn check_periods(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let periods = self.metrics.iter().filter_map(Query::period).chain(self.metric.as_ref().map(|m| m.period));
        let period = periods.max().unwrap_or_default();
        let limit = if period >= HOUR { 7 * DAY } else { DAY };
        if self.evaluation_periods == 0 || period.saturating_mul(self.evaluation_periods) > limit {
            let message = format!("{} periods of {period} seconds are not what AWS looks at", self.evaluation_periods);
            let help = "let it be at least one, and a day in all; with periods of an hour or more, a week";
            problems.push(Problem::new("evaluation_periods", message).help(help));
        }
        if self.datapoints_to_alarm.is_some_and(|points| points == 0 || points > self.evaluation_periods) {
            let help = "write 1 to `evaluation_periods`";
            problems.push(Problem::new("datapoints_to_alarm", "there are not so many periods").help(help));
        }
        problems
    }
}

pub(super) fn generated_name(identity: &Identity) -> String {
    identity.aws_name(alarms::NAME_LIMIT)
}

async fn look(aws: &Aws, name: &str) -> Result<Option<Found>> {
    match alarms::by_name(aws, vec![name.to_owned()]).await {
        Ok((mut metric, _)) => Ok(metric.pop()),
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err::<_, Failure>(failure),
    }
}

fn live(alarm: &Found, tagged: Tagged, tags: &Tags) -> Live<MetricAlarm> {
    let name = alarm.alarm_name().unwrap_or_default();
    let natural = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    let metric = alarm.metric_name().map(|metric| Metric {
        namespace: alarm.namespace().unwrap_or_default().to_owned(),
        name: metric.to_owned(),
        dimensions: metric_query::dimensions(alarm.dimensions()),
        statistic: match (alarm.statistic(), alarm.extended_statistic()) {
            (Some(statistic), _) => statistic.as_str().to_owned(),
            (None, Some(extended)) => extended.to_owned(),
            (None, None) => metric_query::average(),
        },
        period: natural(alarm.period()).unwrap_or_default(),
        unit: alarm.unit().map(|unit| unit.as_str().to_owned()),
    });
    let spec = MetricAlarm {
        name: Some(name.to_owned()),
        description: alarm.alarm_description().unwrap_or_default().to_owned(),
        metric,
        metrics: alarm.metrics().iter().map(Query::of).collect(),
        comparison: Comparison::of(alarm.comparison_operator()),
        threshold: alarm.threshold().unwrap_or_default(),
        evaluation_periods: natural(alarm.evaluation_periods()).unwrap_or(1),
        datapoints_to_alarm: natural(alarm.datapoints_to_alarm()),
        treat_missing_data: MissingData::of(alarm.treat_missing_data()),
        actions_enabled: alarm.actions_enabled() != Some(false),
        owner: if tags.contains_key(OWNER) { Owner::Release } else { Owner::File },
        alarm_actions: alarms::args(alarm.alarm_actions()),
        ok_actions: alarms::args(alarm.ok_actions()),
        insufficient_data_actions: alarms::args(alarm.insufficient_data_actions()),
        tags: tagged.user.clone(),
    };
    Live::new(tagged, name, spec).output("arn", alarm.alarm_arn().unwrap_or_default()).output("name", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(text: &str) -> MetricAlarm {
        serde_json::from_str(text).unwrap()
    }

    fn problems(text: &str) -> Vec<String> {
        alarm(text).check().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn an_alarm_watches_one_thing() {
        let metric = r#"{"namespace": "AWS/RDS", "name": "CPUUtilization"}"#;
        let query = r#"{"id": "a", "expression": "b * 2"}"#;
        let rest = r#""comparison": "GreaterThanThreshold", "threshold": 1"#;
        assert_eq!(problems(&format!("{{{rest}}}")), ["metric"]);
        assert_eq!(problems(&format!(r#"{{{rest}, "metric": {metric}}}"#)), [""; 0]);
        assert_eq!(problems(&format!(r#"{{{rest}, "metric": {metric}, "metrics": [{query}]}}"#)), ["metrics"]);
        assert_eq!(problems(&format!(r#"{{{rest}, "metrics": [{query}, {query}]}}"#)), ["metrics", "metrics"]);
    }

    #[test]
    fn an_alarm_looks_at_a_day_at_most() {
        let with = |period: u32, periods: u32| {
            problems(&format!(
                r#"{{"comparison": "LessThanThreshold", "threshold": 1, "evaluation_periods": {periods},
                     "metric": {{"namespace": "a", "name": "b", "period": {period}}}}}"#
            ))
        };
        assert_eq!(with(60, 1440), [""; 0]);
        assert_eq!(with(60, 1441), ["evaluation_periods"]);
        assert_eq!(with(3600, 48), [""; 0]);
        assert_eq!(with(60, 0), ["evaluation_periods"]);
        assert_eq!(with(45, 1), ["metric.period"]);
    }

    #[test]
    fn what_releases_switch_stays_as_it_is() {
        let text = |owner: &str, enabled: bool| {
            alarm(&format!(
                r#"{{"comparison": "LessThanThreshold", "threshold": 1, "owner": "{owner}",
                     "actions_enabled": {enabled}}}"#
            ))
        };
        let mut wanted = text("release", false);
        wanted.take_over(&text("release", true));
        assert!(wanted.actions_enabled);
        let mut wanted = text("file", false);
        wanted.take_over(&text("file", true));
        assert!(!wanted.actions_enabled);
    }
}
