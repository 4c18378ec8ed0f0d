//! A plan for a terminal: what is destroyed first, one line an address, and below it only what differs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{BOLD, DIM, RED, YELLOW, action, count, harm, paint, symbol};
use crate::address::Address;
use crate::diff::Change;
use crate::kind::Info;
use crate::kinds;
use crate::plan::{Action, Awaits, Basis, Moved, Plan, Planned, Verb};
use crate::value::{Fields, Output, Part, Template, Value};

const WIDTH: usize = 80;
/// How many lines say what has moved.
const MOVED: usize = 20;

/// The whole plan.
#[must_use]
pub fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} {}",
        paint(BOLD, &plan.environment),
        paint(DIM, &format!("({}, account {}, {})", plan.project, plan.account, plan.region))
    );
    let explain = Explain::new(plan);
    let mut resources: Vec<&Planned> = plan.resources.iter().collect();
    resources.sort_by_key(|planned| (planned.action, &planned.address));
    let width = resources.iter().map(|planned| planned.address.to_string().len()).max().unwrap_or_default();
    if !resources.is_empty() {
        out.push('\n');
    }
    for planned in resources {
        line(&mut out, planned, width, &explain);
    }
    for blocked in &plan.blocked {
        let _ = writeln!(out, "\n{} {}: {}", paint(RED, "blocked"), blocked.address, blocked.why);
        let _ = writeln!(out, "        {}", blocked.help);
    }
    for note in &plan.notes {
        let _ = writeln!(out, "\n{} {}: {}", paint(YELLOW, "note"), note.address, note.text);
    }
    out.push('\n');
    out.push_str(&summary(plan));
    out.push_str(&awaits_release(plan));
    out
}

/// What is no longer as it was when a plan was saved, a line each.
#[must_use]
pub fn moved(saved: &Basis, now: &Plan) -> String {
    let explain = Explain::new(now);
    let all = saved.moved(&now.basis);
    let mut out = String::new();
    for (address, moved) in all.iter().take(MOVED) {
        let what = match moved {
            Moved::Appeared => "is in AWS now".to_owned(),
            Moved::Gone => "is gone from AWS".to_owned(),
            Moved::Another { was, is } => format!("was {was}, is {is} now"),
            Moved::Field { path, was, is } => {
                format!("{} was {}, is {} now", path.trim_end_matches("[]"), explain.value(was), explain.value(is))
            }
            Moved::Otherwise { is } => format!("now: {is}"),
        };
        let _ = writeln!(out, "  {address}: {what}");
    }
    match all.len().checked_sub(MOVED) {
        _ if all.is_empty() => {
            "  AWS is as it was; the file is of another version, or was changed by hand\n".to_owned()
        }
        Some(more) if more > 0 => format!("{out}  and {more} more\n"),
        _ => out,
    }
}

/// What the next releases bring, and how to make them. Nothing where nothing waits.
#[must_use]
pub fn awaits_release(plan: &Plan) -> String {
    let mut out = String::new();
    if !plan.awaits_release.is_empty() {
        let _ = writeln!(out, "\n{}", paint(BOLD, "Awaits release:"));
    }
    for Awaits { service, why, command, .. } in &plan.awaits_release {
        let _ = writeln!(out, "  {service}: {why}. Run: {command}");
    }
    out
}

fn line(out: &mut String, planned: &Planned, width: usize, explain: &Explain) {
    let (symbol, style) = symbol(planned.action);
    let head = format!("  {symbol} {:<7} {:<width$}", action(planned.action), planned.address.to_string());
    let rest = WIDTH.saturating_sub(head.chars().count() + 2).max(20);
    let harm = harm(planned.harm);
    let mut about = match planned.action {
        Action::Create => explain.gist(&planned.address, rest).unwrap_or_else(|| planned.reason.clone()),
        _ => planned.reason.clone(),
    };
    if !harm.is_empty() {
        about = format!("{}: {about}", paint(RED, harm));
    }
    let _ = if about.is_empty() {
        writeln!(out, "{}", paint(style, head.trim_end()))
    } else {
        writeln!(out, "{}  {}", paint(style, &head), paint(DIM, &about))
    };
    for change in &planned.changes {
        let _ = writeln!(out, "      {}", explain.change(change));
    }
}

fn summary(plan: &Plan) -> String {
    let parts: Vec<String> = [Action::Delete, Action::Replace, Action::Update, Action::Create]
        .into_iter()
        .filter(|kind| plan.count(*kind) > 0)
        .map(|kind| format!("{} to {}", plan.count(kind), action(kind)))
        .collect();
    if parts.is_empty() {
        let all = count(plan.unchanged, "resource is", "resources are");
        let fits = if plan.blocked.is_empty() { "No changes: " } else { "" };
        return format!("{}{all} as the file says.\n", paint(BOLD, fits));
    }
    let minutes = plan.minutes();
    let takes = if minutes > 0 { format!(" About {}.", count(minutes, "minute", "minutes")) } else { String::new() };
    format!("{} {}, {} unchanged.{takes}\n", paint(BOLD, "Plan:"), parts.join(", "), plan.unchanged)
}

/// Says where unknown values come from, and what a new resource is about.
pub(super) struct Explain<'a> {
    actions: BTreeMap<&'a Address, Action>,
    created: BTreeMap<&'a Address, &'a Fields>,
    names: &'a BTreeMap<String, Output>,
    /// How a value that nobody knows yet is said.
    how: fn(Option<Action>) -> &'static str,
}

impl<'a> Explain<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        // What a replacement left behind has the address of what is there now, which is the one that is meant.
        let kept = plan.resources.iter().filter(|planned| planned.action != Action::Delete);
        let actions = kept.map(|planned| (&planned.address, planned.action)).collect();
        let created = plan.steps.node_weights().filter_map(|step| match &step.verb {
            Verb::Create(fields) => Some((&step.address, fields)),
            _ => None,
        });
        let how = |action| match action {
            Some(Action::Create) => "created in this plan",
            Some(Action::Replace) => "replaced in this plan",
            Some(Action::Update) => "updated in this plan",
            _ => "not known yet",
        };
        Self { actions, created: created.collect(), names: &plan.names, how }
    }

    /// For whoever looks at what is, not at what a plan would do.
    pub fn of_what_is(plan: &'a Plan) -> Self {
        let how = |action| match action {
            Some(Action::Create) => "which AWS lacks",
            Some(Action::Replace) => "which cannot stay as it is",
            Some(Action::Update) => "which differs too",
            _ => "not known yet",
        };
        Self { how, ..Self::new(plan) }
    }

    /// The plain fields of a new resource that fit into `width`, without those that have the kind's default; nothing
    /// where it is not made but restored.
    fn gist(&self, address: &Address, width: usize) -> Option<String> {
        let fields = self.created.get(address)?;
        let defaults = kinds::find(&address.kind).map(Info::defaults).unwrap_or_default();
        let secret = kinds::find(&address.kind).map_or(&[][..], |info| info.secret);
        let chosen = fields.iter().filter(|(name, value)| defaults.get(*name) != Some(*value));
        let chosen = chosen.filter(|(name, _)| !secret.contains(&name.as_str()));
        let plain = chosen.filter_map(|(name, value)| match value {
            Value::Text(text) if text.len() <= 40 => Some(format!("{name} {text}")),
            Value::Number(number) => Some(format!("{name} {number}")),
            Value::Bool(true) => Some(name.clone()),
            _ => None,
        });
        let mut gist = String::new();
        for part in plain {
            if gist.len() + part.len() + 2 <= width {
                if !gist.is_empty() {
                    gist.push_str(", ");
                }
                gist.push_str(&part);
            }
        }
        Some(gist)
    }

    fn change(&self, change: &Change) -> String {
        let path = change.path.trim_end_matches("[]");
        let forced = if change.forces_replacement { paint(RED, "  forces replacement") } else { String::new() };
        let body = match (&change.before, &change.after) {
            (Value::Null, after) => format!("{} {path}: {}", paint(super::GREEN, "+"), self.value(after)),
            (before, Value::Null) => format!("{} {path}: {}", paint(RED, "-"), self.value(before)),
            // The id that is there, not whose it is: the new one is often of the same address.
            (Value::Text(before), Value::Template(after)) => {
                let after = self.template(after);
                format!("{} {path}: {before:?} → {}", paint(YELLOW, "~"), after.trim_start_matches("→ "))
            }
            (before, after) => format!("{} {path}: {} → {}", paint(YELLOW, "~"), self.value(before), self.value(after)),
        };
        body + &forced
    }

    pub fn value(&self, value: &Value) -> String {
        match value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(text) => match self.names.get(text) {
                Some(output) => format!("{} of {}", output.name, output.of),
                None => format!("{text:?}"),
            },
            Value::List(items) => {
                format!("[{}]", items.iter().map(|item| self.value(item)).collect::<Vec<_>>().join(", "))
            }
            Value::Map(fields) => {
                let set = fields.iter().filter(|(_, value)| !value.is_empty());
                let pairs = set.map(|(name, value)| format!("{name}: {}", self.value(value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
            Value::Template(template) => self.template(template),
        }
    }

    /// A lone reference is explained; one within a text is named in it.
    fn template(&self, template: &Template) -> String {
        match &template.0[..] {
            [Part::Output(output)] => self.output(output),
            _ => format!("\"{template}\""),
        }
    }

    fn output(&self, output: &Output) -> String {
        let how = (self.how)(self.actions.get(&output.of).copied());
        format!("→ {} of {} ({how})", output.name, output.of)
    }
}
