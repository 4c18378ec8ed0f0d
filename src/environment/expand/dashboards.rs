//! `dashboards`: pages of graphs; one with the golden signals of all that the file has.

mod golden;

use serde_json::{Value as Json, json};

use super::Expansion;
use super::alarms::statistic;
use crate::environment::dashboards::{Line, Look, Widget};
use crate::kinds::dashboard::Dashboard;
use crate::tags::Tags;
use crate::value::Arg;

const GOLDEN: &str = "golden";
/// Columns of a page.
const COLUMNS: u32 = 24;

pub(super) fn expand(to: &mut Expansion) {
    let given = to.file.dashboards.get(GOLDEN);
    if given.is_none_or(|given| given.enabled) {
        let mut page = golden::page(to);
        if !page.widgets.is_empty() || given.is_some() {
            own(to, &mut page, GOLDEN);
            let origin: &[&str] = if given.is_some() { &["dashboards", GOLDEN] } else { &["project"] };
            add(to, GOLDEN, origin, page);
        }
    }
    for (name, _) in to.file.dashboards.iter().filter(|(name, one)| *name != GOLDEN && one.enabled) {
        let mut page = Page::default();
        own(to, &mut page, name);
        add(to, name, &["dashboards", name], page);
    }
}

fn add(to: &mut Expansion, name: &str, origin: &[&str], page: Page) {
    let body = json!({ "widgets": page.widgets });
    to.add(name, origin, &Dashboard { name: None, body: body.into(), tags: Tags::new() });
}

/// Widgets in the order of reading: from left to right, and below where a line is full.
#[derive(Default)]
struct Page {
    widgets: Vec<Json>,
    x: u32,
    y: u32,
    /// The height of the line so far.
    tallest: u32,
}

impl Page {
    fn put(&mut self, kind: &str, (width, height): (u32, u32), properties: Json) {
        if self.x + width > COLUMNS {
            self.next_line();
        }
        self.widgets.push(json!({
            "type": kind, "x": self.x, "y": self.y, "width": width, "height": height, "properties": properties,
        }));
        self.x += width;
        self.tallest = self.tallest.max(height);
    }

    fn next_line(&mut self) {
        (self.x, self.y) = (0, self.y + self.tallest);
        self.tallest = 0;
    }
}

/// The widgets that the file has for this page.
fn own(to: &mut Expansion, page: &mut Page, name: &str) {
    let Some(section) = to.file.dashboards.get(name) else { return };
    page.next_line();
    for (at, widget) in section.widgets.iter().enumerate() {
        let at = at.to_string();
        let path = ["dashboards", name, "widgets", at.as_str()];
        let size = (u32::from(widget.width), u32::from(widget.height));
        match &widget.text {
            Some(text) => {
                let text = text_at(to, text.as_str(), &path, "text");
                page.put("text", size, json!({ "markdown": text }));
            }
            None => {
                let properties = graph(to, widget, &path);
                page.put("metric", size, properties);
            }
        }
    }
}

fn text_at(to: &mut Expansion, text: &str, path: &[&str], field: &str) -> Arg<String> {
    let path: Vec<&str> = path.iter().copied().chain([field]).collect();
    to.text(text, &path)
}

fn graph(to: &mut Expansion, widget: &Widget, path: &[&str]) -> Json {
    let title = widget.title.as_ref().map(|title| text_at(to, title.as_str(), path, "title"));
    let (view, stacked) = match widget.look {
        Look::Lines => ("timeSeries", false),
        Look::Stacked => ("timeSeries", true),
        Look::Number => ("singleValue", false),
    };
    let mut lines = Vec::new();
    for (at, line) in widget.metrics.iter().enumerate() {
        let at = at.to_string();
        let path: Vec<&str> = path.iter().copied().chain(["metrics", at.as_str()]).collect();
        lines.push(line_of(to, line, &path));
    }
    let mut properties = json!({
        "region": to.file.region, "view": view, "stacked": stacked, "period": 60, "metrics": lines,
    });
    if let (Some(title), Some(fields)) = (title, properties.as_object_mut()) {
        fields.insert("title".to_owned(), json!(title));
    }
    properties
}

/// A metric as a page has it: namespace, name, dimensions, then how it is drawn.
fn line_of(to: &mut Expansion, line: &Line, path: &[&str]) -> Json {
    let mut parts = vec![json!(to.namespace(line.namespace.as_ref(), path)), json!(line.name)];
    for (name, value) in to.dimensions(&line.dimensions, path) {
        parts.extend([json!(name), json!(value)]);
    }
    let label = line.label.as_ref().unwrap_or(&line.name);
    parts.push(json!({ "stat": statistic(&line.statistic), "label": label }));
    Json::Array(parts)
}
