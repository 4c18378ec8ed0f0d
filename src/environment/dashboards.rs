//! `dashboards`: pages of graphs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::Text;
use crate::diagnostic::Diagnostic;

/// A page of graphs. `golden` comes by itself, with latency, traffic, errors and saturation of all that the file has;
/// widgets of one's own come below, and `golden: { enabled: false }` does without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// Whether there is such a page. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What is on it, from left to right and from top to bottom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 400))]
    pub widgets: Vec<Widget>,
}

/// A graph, or a note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Widget {
    /// What stands above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"Items created")]
    pub title: Option<Text>,
    /// What a graph shows. Either this or `text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Line>,
    /// A note, in Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// How a graph looks. Default: `lines`.
    #[serde(default)]
    pub look: Look,
    /// Columns, of 24 that a page has. Default: 8.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 24))]
    pub width: u8,
    /// Rows. Default: 6.
    #[serde(default = "six")]
    #[schemars(range(min = 1, max = 100))]
    pub height: u8,
}

/// A line of a graph: a metric of CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
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
    /// What the graph calls it. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// How a graph looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    #[default]
    Lines,
    /// Areas upon each other.
    Stacked,
    /// The last value in digits.
    Number,
}

const fn yes() -> bool {
    true
}

const fn eight() -> u8 {
    8
}

const fn six() -> u8 {
    6
}

fn average() -> String {
    "average".to_owned()
}

impl Dashboard {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        for (at, widget) in self.widgets.iter().enumerate() {
            if widget.metrics.is_empty() == widget.text.is_none() {
                let place = rules.tree.place_of(&["dashboards", name, "widgets", &at.to_string()]);
                let error = Diagnostic::error("dashboards", "a widget has either `metrics` or `text`").at(place, "");
                rules.report(error.help("write `metrics: [{ name: items-created, statistic: sum }]`"));
            }
        }
        if self.widgets.is_empty() && self.enabled && name != "golden" {
            let error = Diagnostic::error("dashboards", format!("there is nothing on the page `{name}`"));
            let error = error.at(rules.tree.key_place_of(&["dashboards", name]), "");
            rules.report(error.help("add `widgets: [...]`"));
        }
    }
}
