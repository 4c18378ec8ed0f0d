//! Drift as text, as JSON, and as Markdown for a step summary or an issue.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::text::{Explain, awaits_release};
use super::{BOLD, DIM, GREEN, RED, YELLOW, json, paint};
use crate::diff::Change;
use crate::drift::{Difference, Drift, Foreign, What};
use crate::value::Value;

const VERSION: u32 = 1;
/// Characters of one value in a table.
const CELL: usize = 300;
const ALL: [What; 7] =
    [What::Changed, What::Missing, What::Extra, What::LeftBehind, What::Broken, What::Blocked, What::Follows];

fn word(what: What) -> &'static str {
    match what {
        What::Changed => "differs",
        What::Missing => "missing",
        What::Extra => "extra",
        What::LeftBehind => "left behind",
        What::Broken => "broken",
        What::Blocked => "blocked",
        What::Follows => "follows",
    }
}

/// What is to be said of a difference that is not in its fields.
fn about(one: &Difference) -> String {
    match one.what {
        What::Missing if one.why == "not in AWS" => "the file has it, AWS lacks it".to_owned(),
        What::Missing => "the file has it, in AWS it waits for its deletion".to_owned(),
        What::Extra => "AWS has it with our tags, the file lacks it".to_owned(),
        What::LeftBehind => "a replacement was cut off before it deleted this".to_owned(),
        What::Follows => "it refers to what is missing or cannot stay".to_owned(),
        What::Changed | What::Broken | What::Blocked => one.why.clone(),
    }
}

/// For a terminal: one line a resource, and below it what AWS has and what the file wants.
#[must_use]
pub fn drift_text(drift: &Drift) -> String {
    let plan = drift.plan;
    let place = paint(DIM, &format!("({}, account {}, {})", plan.project, plan.account, plan.region));
    let mut out = format!("{} {place}\n", paint(BOLD, &plan.environment));
    let explain = Explain::of_what_is(plan);
    let width = drift.differences.iter().map(|one| one.address.to_string().len()).max().unwrap_or_default();
    if !drift.differences.is_empty() {
        out.push('\n');
    }
    for one in &drift.differences {
        let (style, about) = (style(one.what), about(one));
        let head = format!("  {:<11} {:<width$}", word(one.what), one.address.to_string());
        let _ = if about.is_empty() {
            writeln!(out, "{}", paint(style, head.trim_end()))
        } else {
            writeln!(out, "{}  {}", paint(style, &head), paint(DIM, &about))
        };
        for change in &one.changes {
            let _ = writeln!(out, "      {}", sentence(change, &explain));
        }
    }
    if !drift.foreign.is_empty() {
        let _ = writeln!(out, "\n{}", paint(BOLD, "Foreign in its network:"));
    }
    for one in &drift.foreign {
        let _ = writeln!(out, "  {}", foreign(one));
    }
    for note in &drift.notes {
        let label = if note.foreign { paint(YELLOW, "foreign") } else { paint(YELLOW, "note") };
        let _ = writeln!(out, "\n{label} {}: {}", note.address, note.text);
    }
    let _ = writeln!(out, "\n{}", summary(drift, BOLD));
    out.push_str(&awaits_release(plan));
    out
}

fn style(what: What) -> anstyle::Style {
    match what {
        What::Changed | What::Follows => YELLOW,
        What::Missing | What::Broken | What::Blocked => RED,
        What::Extra | What::LeftBehind => GREEN,
    }
}

fn sentence(change: &Change, explain: &Explain) -> String {
    let (path, aws, file) = (&change.path, explain.value(&change.before), explain.value(&change.after));
    match (&change.before, &change.after) {
        (Value::Null, _) => format!("{path}: AWS lacks {file}"),
        (_, Value::Null) => format!("{path}: AWS has {aws}, the file does not"),
        _ => format!("{path}: AWS has {aws}, the file wants {file}"),
    }
}

fn foreign(one: &Foreign) -> String {
    let Foreign { what, id, name, made_by, network } = one;
    let name = name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let made_by = made_by.as_ref().map(|who| format!(", made by {who}")).unwrap_or_default();
    format!("{what} {id}{name} in {network}{made_by}")
}

/// `2 differ, 1 missing`, and what puts it right.
fn summary(drift: &Drift, bold: anstyle::Style) -> String {
    if drift.is_none() {
        let fits = super::count(drift.plan.unchanged, "resource is", "resources are");
        return format!("{} {fits} as the file says.", paint(bold, "No drift:"));
    }
    let mut parts: Vec<String> = ALL
        .into_iter()
        .map(|what| (drift.count(what), word(what)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {}", if count > 1 && word == "differs" { "differ" } else { word }))
        .collect();
    let foreign = drift.foreign.len() + drift.notes.iter().filter(|note| note.foreign).count();
    if foreign > 0 {
        parts.push(format!("{foreign} foreign"));
    }
    let environment = &drift.plan.environment;
    let help = if drift.differences.is_empty() {
        "An apply leaves what is foreign alone.".to_owned()
    } else {
        format!("Take what is meant into the file, then bring AWS to it: infra apply {environment}")
    };
    format!("{} {}. {help}", paint(bold, "Drift:"), parts.join(", "))
}

/// For programs. The shape is versioned; fields are only ever added within a version.
#[must_use]
pub fn drift_json(drift: &Drift) -> Json {
    let plan = drift.plan;
    let explain = Explain::of_what_is(plan);
    let difference = |one: &Difference| {
        let change = |change: &Change| {
            let (aws, file) = (json::value(&change.before, &explain), json::value(&change.after, &explain));
            json!({ "path": change.path, "aws": aws, "file": file })
        };
        json!({
            "address": one.address,
            "kind": one.address.kind,
            "what": one.what,
            "why": about(one),
            "changes": one.changes.iter().map(change).collect::<Vec<_>>(),
        })
    };
    json!({
        "version": VERSION,
        "environment": plan.environment,
        "project": plan.project,
        "account": plan.account,
        "region": plan.region,
        "drift": !drift.is_none(),
        "differences": drift.differences.iter().map(difference).collect::<Vec<_>>(),
        "foreign": drift.foreign,
        "notes": drift.notes,
        "awaits_release": plan.awaits_release,
        "unused_ignores": drift.unused,
    })
}

/// For a step summary or an issue.
#[must_use]
pub fn drift_markdown(drift: &Drift) -> String {
    let plan = drift.plan;
    let explain = Explain::of_what_is(plan);
    let mut out = format!(
        "## Drift of {}\n\n{}\n\nProject {}, account {}, {}.\n",
        plan.environment,
        summary(drift, anstyle::Style::new()),
        plan.project,
        plan.account,
        plan.region
    );
    if !drift.differences.is_empty() {
        out.push_str("\n| Resource | | Field | AWS has | The file wants |\n|---|---|---|---|---|\n");
    }
    for one in &drift.differences {
        let head = format!("| {} | {}", code(&one.address.to_string()), word(one.what));
        if one.changes.is_empty() {
            let _ = writeln!(out, "{head} | {} | | |", escaped(&about(one)));
        }
        for change in &one.changes {
            let cell =
                |value: &Value| if *value == Value::Null { "–".to_owned() } else { code(&explain.value(value)) };
            let _ =
                writeln!(out, "{head} | {} | {} | {} |", code(&change.path), cell(&change.before), cell(&change.after));
        }
    }
    if !drift.foreign.is_empty() {
        out.push_str("\n### Foreign in its network\n\n");
    }
    for one in &drift.foreign {
        let _ = writeln!(out, "- {}", escaped(&foreign(one)));
    }
    if !drift.notes.is_empty() {
        out.push_str("\n### Notes\n\n");
    }
    for note in &drift.notes {
        let _ = writeln!(out, "- {}: {}", code(&note.address.to_string()), escaped(&note.text));
    }
    for awaits in &plan.awaits_release {
        let _ = writeln!(out, "\n{} awaits a release, which is no drift: {}", awaits.service, escaped(&awaits.why));
    }
    out
}

/// A text in a cell of a table or in a list, as it is.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for one in text.chars() {
        if "\\|`*_<>[]#".contains(one) {
            out.push('\\');
        }
        out.push(if one.is_control() { ' ' } else { one });
    }
    out
}

/// A value as code, which ends no cell and no code.
fn code(text: &str) -> String {
    let mut short: String = text.chars().take(CELL).map(|one| if one.is_control() { ' ' } else { one }).collect();
    if text.chars().count() > CELL {
        short.push('…');
    }
    let fence = if short.contains('`') { "`` " } else { "`" };
    let end: String = fence.chars().rev().collect();
    format!("{fence}{}{end}", short.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_holds_breaks_no_table() {
        for (text, shown) in [("plain", "`plain`"), ("a|b", "`a\\|b`"), ("a`b\nc", "`` a`b c ``")] {
            assert_eq!(code(text), shown);
        }
        assert_eq!(code(&"x".repeat(400)).chars().count(), CELL + 3);
        assert_eq!(escaped("<b>|*_`\n"), "\\<b\\>\\|\\*\\_\\` ");
    }
}
