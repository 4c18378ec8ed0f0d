//! `alarms`: those that services, load balancers and databases have by themselves, those of the file, and one over all
//! that are critical.

mod usual;

use std::collections::BTreeMap;

use serde_json::Number;

use super::Expansion;
use crate::address::Address;
use crate::environment::alarms::{self as section, Missing, Severity};
use crate::environment::types::{Duration, Text};
use crate::kinds::composite_alarm::CompositeAlarm;
use crate::kinds::metric_alarm::{Comparison, MetricAlarm, MissingData};
use crate::kinds::metric_query::{Metric, Query};
use crate::kinds::task_definition::Owner;
use crate::source::Node;
use crate::tags::Tags;
use crate::value::Arg;

const MINUTE: u64 = 60;
const FIVE_MINUTES: u64 = 300;

/// An alarm before it is one of AWS.
#[derive(Clone, Debug)]
struct Alarm {
    name: String,
    origin: Vec<String>,
    /// The page of the runbooks that is about its kind of trouble.
    page: String,
    /// What is too much or too little.
    about: String,
    /// What stands behind the threshold.
    unit: &'static str,
    /// What the threshold is multiplied with for CloudWatch.
    scale: f64,
    watch: Watch,
    limit: Limit,
    threshold: f64,
    lasts: Duration,
    severity: Severity,
    missing: MissingData,
    /// Who switches the actions on and off.
    owner: Owner,
}

#[derive(Clone, Debug)]
enum Watch {
    One(Metric),
    /// A calculation, whose result is the query that returns data.
    Several(Vec<Query>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Above,
    Below,
}

pub(super) fn expand(to: &mut Expansion, tree: &Node) {
    let mut alarms = usual::alarms(to);
    for alarm in &mut alarms {
        if let Some(change) = to.file.alarms.get(&alarm.name) {
            alarm.change(change);
        }
    }
    for (name, own) in &to.file.alarms {
        // A name without a metric that no part of the file makes an alarm of has been told of already.
        if let Some(metric) = &own.metric
            && !alarms.iter().any(|alarm| alarm.name == *name)
        {
            let alarm = own_alarm(to, name, own, metric);
            alarms.push(alarm);
        }
    }
    let enabled = |alarm: &Alarm| to.file.alarms.get(&alarm.name).is_none_or(|change| change.enabled);
    alarms.retain(enabled);
    let (mut critical, mut all) = (Vec::new(), Vec::new());
    for alarm in alarms {
        let spec = alarm.spec(to, tree);
        let origin: Vec<&str> = alarm.origin.iter().map(String::as_str).collect();
        let address = to.add(&alarm.name, &origin, &spec);
        if alarm.severity == Severity::Critical {
            critical.push(Arg::output(&address, "name"));
        }
        all.push((address, alarm.severity.name()));
    }
    to.watch(&all);
    if !critical.is_empty() {
        let spec = CompositeAlarm {
            name: None,
            description: format!("Any critical alarm of {} {}. Releases watch it.", to.file.project, to.name),
            any_of: critical,
            rule: None,
            actions_enabled: true,
            // Each of the alarms tells for itself.
            alarm_actions: Vec::new(),
            ok_actions: Vec::new(),
            insufficient_data_actions: Vec::new(),
            tags: Tags::new(),
        };
        let origin = if to.file.services.is_empty() { "alarms" } else { "services" };
        to.add("critical", &[origin], &spec);
    }
}

impl Alarm {
    fn change(&mut self, change: &section::Alarm) {
        let threshold = match self.limit {
            Limit::Above => &change.above,
            Limit::Below => &change.below,
        };
        self.threshold = threshold.as_ref().and_then(Number::as_f64).unwrap_or(self.threshold);
        self.lasts = change.lasts.unwrap_or(self.lasts);
        self.severity = change.severity.unwrap_or(self.severity);
        self.missing = change.missing.map_or(self.missing, missing);
        if let Some(about) = &change.about {
            self.about.clone_from(about);
        }
    }

    fn spec(&self, to: &Expansion, tree: &Node) -> MetricAlarm {
        let (period, evaluation_periods) = periods(self.sums(), self.lasts);
        let (metric, metrics) = match self.watch.clone() {
            Watch::One(metric) => (Some(Metric { period, ..metric }), Vec::new()),
            Watch::Several(queries) => {
                let timed = |query: Query| Query { metric: query.metric.map(|m| Metric { period, ..m }), ..query };
                (None, queries.into_iter().map(timed).collect())
            }
        };
        let topic: Vec<Arg<String>> = to.topic(self.severity).into_iter().collect();
        MetricAlarm {
            name: None,
            description: self.description(to, tree),
            metric,
            metrics,
            comparison: match self.limit {
                Limit::Above => Comparison::GreaterThanThreshold,
                Limit::Below => Comparison::LessThanThreshold,
            },
            threshold: self.threshold * self.scale,
            evaluation_periods,
            datapoints_to_alarm: None,
            treat_missing_data: self.missing,
            // What was never released is down, and nobody needs to be told. The first release switches it on.
            actions_enabled: self.owner == Owner::File,
            owner: self.owner,
            alarm_actions: topic.clone(),
            ok_actions: topic,
            insufficient_data_actions: Vec::new(),
            tags: Tags::new(),
        }
    }

    fn sums(&self) -> bool {
        let sum = |metric: &Metric| matches!(metric.statistic.as_str(), "Sum" | "SampleCount");
        match &self.watch {
            Watch::One(metric) => sum(metric),
            Watch::Several(queries) => queries.iter().filter_map(|query| query.metric.as_ref()).any(sum),
        }
    }

    /// What has happened, how bad it is, and where it is written what to do.
    fn description(&self, to: &Expansion, tree: &Node) -> String {
        let limit = match self.limit {
            Limit::Above => "more",
            Limit::Below => "less",
        };
        let span = if self.sums() { "in" } else { "for" };
        let mut text = format!("{}: {limit} than {}{} {span} {}", self.about, self.threshold, self.unit, self.lasts);
        text += &format!("\nSeverity: {}", self.severity.name());
        let told = to.told(self.severity).unwrap_or(self.severity);
        if let Some(respond) = tree.get(&["notifications", told.name(), "respond"]).and_then(Node::text) {
            text += &format!("\nAnswer within: {respond}");
        }
        if let Some(runbooks) = &to.file.runbooks {
            text += &format!("\nRunbook: {}/{}", runbooks.trim_end_matches('/'), self.page);
        }
        text
    }
}

/// The length of a period and how many of them. A sum is that of one long period; all else must last through short ones.
fn periods(sums: bool, lasts: Duration) -> (u32, u32) {
    let seconds = lasts.seconds();
    let period = match seconds {
        _ if sums => seconds,
        _ if seconds >= FIVE_MINUTES && seconds.is_multiple_of(FIVE_MINUTES) => FIVE_MINUTES,
        _ => MINUTE,
    };
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    (number(period), number(seconds / period.max(1)))
}

fn missing(missing: Missing) -> MissingData {
    match missing {
        Missing::Ok => MissingData::NotBreaching,
        Missing::Breaching => MissingData::Breaching,
        Missing::Ignore => MissingData::Ignore,
        Missing::Unknown => MissingData::Missing,
    }
}

fn own_alarm(to: &mut Expansion, name: &str, own: &section::Alarm, metric: &section::Metric) -> Alarm {
    let path = ["alarms", name, "metric"];
    let (limit, threshold) = match &own.below {
        Some(below) => (Limit::Below, below.as_f64()),
        None => (Limit::Above, own.above.as_ref().and_then(Number::as_f64)),
    };
    let watch = Metric {
        namespace: to.namespace(metric.namespace.as_ref(), &path),
        name: metric.name.clone(),
        dimensions: to.dimensions(&metric.dimensions, &path),
        statistic: statistic(&metric.statistic),
        period: 0,
        unit: None,
    };
    Alarm {
        name: name.to_owned(),
        origin: ["alarms", name].map(str::to_owned).to_vec(),
        page: name.to_owned(),
        about: own.about.clone().unwrap_or_else(|| format!("{} ({})", metric.name, metric.statistic)),
        unit: "",
        scale: 1.0,
        watch: Watch::One(watch),
        limit,
        threshold: threshold.unwrap_or_default(),
        lasts: own.lasts.unwrap_or(Duration(FIVE_MINUTES)),
        severity: own.severity.unwrap_or(Severity::Warning),
        missing: missing(own.missing.unwrap_or(Missing::Unknown)),
        owner: Owner::File,
    }
}

/// A statistic in AWS's spelling.
pub(super) fn statistic(name: &str) -> String {
    match name {
        "sum" => "Sum",
        "average" => "Average",
        "minimum" => "Minimum",
        "maximum" => "Maximum",
        "count" => "SampleCount",
        percentile => percentile,
    }
    .to_owned()
}

impl Expansion<'_> {
    /// Whose topic is told of an alarm of this severity.
    fn told(&self, severity: Severity) -> Option<Severity> {
        let there = |severity: &Severity| {
            let topic = Address::new("sns_topic", severity.name());
            self.resources.iter().any(|resource| resource.address == topic)
        };
        severity.told().into_iter().find(there)
    }

    /// The topic that is told of what is so bad.
    pub(super) fn topic(&self, severity: Severity) -> Option<Arg<String>> {
        let told = self.told(severity)?;
        Some(Arg::output(&Address::new("sns_topic", told.name()), "arn"))
    }

    /// The namespace of a metric; without one, that of the numbers that are counted in logs.
    pub(super) fn namespace(&mut self, namespace: Option<&Text>, path: &[&str]) -> String {
        let Some(text) = namespace else { return format!("{}/{}", self.file.project, self.name) };
        let path: Vec<&str> = path.iter().copied().chain(["namespace"]).collect();
        match self.text(text.as_str(), &path) {
            Arg::Known(text) => text,
            Arg::Reference(_) => {
                let help = "write it out; `${project}` and `${environment}` are known".to_owned();
                self.wrong(&path, "a namespace must be known beforehand", Some(help));
                text.to_string()
            }
        }
    }

    pub(super) fn dimensions(
        &mut self,
        dimensions: &BTreeMap<String, Text>,
        path: &[&str],
    ) -> BTreeMap<String, Arg<String>> {
        let mut found = BTreeMap::new();
        for (name, text) in dimensions {
            let path: Vec<&str> = path.iter().copied().chain(["dimensions", name.as_str()]).collect();
            found.insert(name.clone(), self.text(text.as_str(), &path));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_one_period_and_a_state_lasts_through_several() {
        let minutes = |minutes: u64| Duration(minutes * 60);
        assert_eq!(periods(true, minutes(5)), (300, 1));
        assert_eq!(periods(true, minutes(60)), (3600, 1));
        assert_eq!(periods(false, minutes(2)), (60, 2));
        assert_eq!(periods(false, minutes(5)), (300, 1));
        assert_eq!(periods(false, minutes(7)), (60, 7));
        assert_eq!(periods(false, minutes(15)), (300, 3));
        assert_eq!(periods(false, minutes(1440)), (300, 288));
    }
}
