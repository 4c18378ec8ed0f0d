//! Plans, progress and outcomes as text and as JSON. Pure: the caller writes them out.

mod drift;
mod history;
mod json;
mod outcome;
mod secrets;
mod text;

pub use drift::{drift_json, drift_markdown, drift_text};
pub use history::{json as history_json, text as history_text};
pub use json::{apply as apply_json, plan as plan_json};
pub use outcome::{error, event, outcome};
pub use secrets::{
    list_json as secrets_json, list_text as secrets_text, status_json as secrets_status_json,
    status_text as secrets_status_text,
};
pub use text::{awaits_release, moved, plan as plan_text};

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::plan::{Action, Harm};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// `text` in a style. Whoever prints to something that is no terminal strips the codes.
fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn symbol(action: Action) -> (&'static str, Style) {
    match action {
        Action::Delete => ("-", RED),
        Action::Replace => ("±", RED),
        Action::Update => ("~", YELLOW),
        Action::Create => ("+", GREEN),
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Delete => "delete",
        Action::Replace => "replace",
        Action::Update => "update",
        Action::Create => "create",
    }
}

/// What a harm means to whoever uses the resource; nothing where there is none to speak of.
fn harm(harm: Harm) -> &'static str {
    match harm {
        Harm::None | Harm::InPlace | Harm::Deletion => "",
        Harm::Restart => "restarts it",
        Harm::Replacement => "replacement",
        Harm::DataLoss => "DATA LOSS",
    }
}

/// A duration as a person says it: `0.4s`, `12s`, `3m 05s`.
fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds}s"),
        seconds => format!("{}m {:02}s", seconds / 60, seconds % 60),
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
