//! `alarms`: what is wrong, and who is told. Services, load balancers and databases have alarms without a word here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::rules::Rules;
use super::types::{Duration, Text};
use super::words::{nearest, suggest};
use crate::diagnostic::Diagnostic;

/// A change of an alarm that comes by itself, or an alarm of one's own, which has a `metric`.
///
/// By themselves come, for each service behind a load balancer, `NAME-errors` (more than 10 answers with 5xx in 5
/// minutes, critical), `NAME-slow` (answers take more than 2 seconds on average over 5 minutes, warning) and
/// `NAME-down` (no healthy task for 2 minutes, critical); for other services `NAME-down`; for each load balancer
/// `lb-NAME-errors` (more than 10 errors of its own in 5 minutes, critical); for each database `db-NAME-connections`
/// (fewer than 5 left, warning), `db-NAME-storage` (less than 10 GB free, or than a fifth of a disk below 50 GB,
/// warning) and `db-NAME-cpu` (above 90 % for 15 minutes, warning).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// Whether there is such an alarm. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The most that is well. What a default alarm counts: answers, seconds, connections, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 20)]
    pub above: Option<Number>,
    /// The least that is well. What a default alarm counts: healthy tasks, GB of free disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1)]
    pub below: Option<Number>,
    /// How long it must last, 1m to 1d; a sum is that of all this time. Default: that of the default alarm, else `5m`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1m", "x-longest" = "1d"))]
    pub lasts: Option<Duration>,
    /// How bad it is, which decides who is told. Default: that of the default alarm, else `warning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What it means when no values come. Default: that of the default alarm, else `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// What has happened, for whoever is told: `No order for an hour`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub about: Option<String>,
    /// What an alarm of one's own watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
}

/// A metric of CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Whose metric, such as `AWS/SQS`. Default: `<project>/<environment>`, where `logs.metrics` are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub namespace: Option<Text>,
    /// Its name, such as `items-created`.
    #[schemars(length(min = 1, max = 255), example = &"items-created")]
    pub name: String,
    /// What is made of the values: `sum`, `average`, `minimum`, `maximum`, `count`, or a percentile such as `p99`.
    /// Default: `average`.
    #[serde(default = "average")]
    #[schemars(regex(pattern = r"^(sum|average|minimum|maximum|count|p([0-9]{1,2}(\.[0-9]{1,2})?|100))$"), title = "a statistic", example = &"sum")]
    pub statistic: String,
    /// Which of them, such as `{ QueueName: jobs }`. A metric is found only with all of its dimensions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, Text>,
}

/// How bad an alarm is. It goes to the topic of its severity in `notifications`; where there is none, to that of the
/// next worse one, else of the next milder one, so that no alarm is answered later than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look at it in working hours.
    Warning,
    /// Somebody should look at it soon.
    Error,
    /// Users suffer now.
    Critical,
}

/// What it means when no values come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// That all is well.
    Ok,
    /// That something is wrong.
    Breaching,
    /// Nothing: the alarm stays as it is.
    Ignore,
    /// That nobody knows; nobody is told either.
    Unknown,
}

const fn yes() -> bool {
    true
}

fn average() -> String {
    "average".to_owned()
}

/// The schema of the names of alarms, which are longer than other names by what is behind that of a service.
pub(super) fn names() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid name of an alarm",
        "description": "lower-case letters, digits and `-`, beginning with a letter, at most 64 characters",
        "pattern": "^[a-z][a-z0-9-]{0,63}$",
        "maxLength": 64,
        "examples": ["api-errors"],
    })
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Warning, Self::Error, Self::Critical];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// Whose topic is told, the first that there is.
    #[must_use]
    pub const fn told(self) -> [Self; 3] {
        match self {
            Self::Warning => [Self::Warning, Self::Error, Self::Critical],
            Self::Error => [Self::Error, Self::Critical, Self::Warning],
            Self::Critical => [Self::Critical, Self::Error, Self::Warning],
        }
    }
}

/// Reports the name of an alarm that nobody has. A severity stands for all alarms of it.
pub(super) fn check_name(name: &str, path: &[&str], rules: &mut Rules<'_>) {
    let usual = usual(rules);
    let mut known: Vec<&str> = Severity::ALL.map(Severity::name).to_vec();
    known.extend(usual.iter().map(|(name, _)| name.as_str()));
    known.extend(rules.names("alarms"));
    if known.contains(&name) {
        return;
    }
    let (label, help) = suggest(name, &known);
    let error = Diagnostic::error("unknown_name", format!("there is no alarm `{name}`"));
    let error = error.at(rules.tree.place_of(path), label);
    rules.report(error.help(help.unwrap_or_else(|| "name an alarm, or a severity such as `critical`".to_owned())));
}

/// The names of the alarms that come by themselves, and whether each is one on too little.
fn usual(rules: &Rules<'_>) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    for service in rules.names("services") {
        if rules.tree.get(&["services", service, "route"]).is_some() {
            names.extend([(format!("{service}-errors"), false), (format!("{service}-slow"), false)]);
        }
        names.push((format!("{service}-down"), true));
    }
    names.extend(rules.names("load_balancers").iter().map(|name| (format!("lb-{name}-errors"), false)));
    for database in rules.names("databases") {
        let of = |what: &str| format!("db-{database}-{what}");
        names.extend([(of("connections"), false), (of("storage"), true), (of("cpu"), false)]);
        if rules.tree.get(&["databases", database, "rotation"]).is_some() {
            names.extend([(of("rotation"), false), ("rotation-roll".to_owned(), false)]);
        }
    }
    names
}

impl Alarm {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        let usual = usual(rules);
        match usual.iter().find(|(known, _)| known == name) {
            Some((_, below)) => self.check_change(name, *below, rules),
            None => self.check_own(name, &usual, rules),
        }
        if let Some(lasts) = self.lasts.filter(|lasts| lasts.seconds() % 60 != 0) {
            let error = Diagnostic::error("for", format!("`{lasts}` is not whole minutes"));
            let error = error.at(rules.tree.place_of(&["alarms", name, "for"]), "");
            rules.report(error.help(format!("write `{}`", Duration(lasts.seconds().div_ceil(60) * 60))));
        }
    }

    /// A default alarm has its metric and its direction.
    fn check_change(&self, name: &str, below: bool, rules: &mut Rules<'_>) {
        let place = |field| rules.tree.key_place_of(&["alarms", name, field]);
        let mut errors = Vec::new();
        if self.metric.is_some() {
            let error = Diagnostic::error("alarms", format!("`{name}` is a default alarm, which has its metric"));
            errors.push(error.at(place("metric"), "").help("choose another name for an alarm of your own"));
        }
        let (field, other, wrong) =
            if below { ("above", "below", &self.above) } else { ("below", "above", &self.below) };
        if wrong.is_some() {
            let much = if below { "too little" } else { "too much" };
            let message = format!("`{name}` tells of {much}, of which `{field}` says nothing");
            errors.push(Diagnostic::error("alarms", message).at(place(field), "").help(format!("write `{other}`")));
        }
        errors.into_iter().for_each(|error| rules.report(error));
    }

    /// An alarm of one's own needs a metric and a limit.
    fn check_own(&self, name: &str, usual: &[(String, bool)], rules: &mut Rules<'_>) {
        let key = rules.tree.key_place_of(&["alarms", name]);
        let error = |message: String| Diagnostic::error("alarms", message).at(key, "");
        if name == "critical" {
            let error = error("`critical` is the alarm over all critical alarms".to_owned());
            return rules.report(error.help("choose another name"));
        }
        if self.metric.is_none() {
            let names: Vec<&str> = usual.iter().map(|(name, _)| name.as_str()).collect();
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add `metric: { name: ... }` for an alarm of your own".to_owned(),
            };
            rules.report(error(format!("no default alarm is called `{name}`, and it has no `metric`")).help(help));
        } else if self.above.is_some() == self.below.is_some() {
            let what = if self.above.is_some() { "both `above` and `below`" } else { "neither `above` nor `below`" };
            rules.report(error(format!("`{name}` has {what}")).help("write one of them: `above: 10` or `below: 1`"));
        }
    }
}
