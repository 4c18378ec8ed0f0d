//! What happens during an apply, and how it ended.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{BOLD, DIM, GREEN, RED, YELLOW, count, paint, seconds};
use crate::apply::{Event, Report};
use crate::kind::Failure;
use crate::remedy;

/// One event as a line, with the time since the start. `None` for what only a live display shows.
#[must_use]
pub fn event(event: &Event, elapsed: Duration) -> Option<String> {
    let at = paint(DIM, &format!("{:>7}", seconds(elapsed)));
    Some(match event {
        Event::Started { .. } => return None,
        Event::Waiting { address, on } => {
            format!("{at}  {} {address} waits for {}", paint(YELLOW, "…"), on.replace('\n', "\n         "))
        }
        Event::Still { running } => {
            let them = running.iter().map(|(address, since)| format!("{address} ({})", seconds(*since)));
            format!("{at}  {} still at it: {}", paint(YELLOW, "…"), them.collect::<Vec<_>>().join(", "))
        }
        Event::Finished { address, doing, took } => {
            let took = paint(DIM, &format!("({})", seconds(*took)));
            format!("{at}  {} {doing} {address} {took}", paint(GREEN, "✓"))
        }
        Event::Failed { address, doing, failure } => {
            let message = failure.message.lines().next().unwrap_or_default();
            format!("{at}  {} {doing} {address}: {}: {message}{}", paint(RED, "✗"), failure.code, failure.held())
        }
        Event::Skipped { address, because } => {
            format!("{at}  {} {address} is left out because of {because}", paint(YELLOW, "-"))
        }
    })
}

/// A failure outside of an apply: what AWS answered to what, and what to do.
#[must_use]
pub fn error(failure: &Failure, environment: Option<&str>) -> String {
    let remedy = remedy::of(failure, environment, None).map(|remedy| format!("\n  to do: {remedy}"));
    format!("{failure}{}", remedy.unwrap_or_default())
}

/// The end of an apply: the cause of each failure once, what was done, what was not and why, and how to go on.
#[must_use]
pub fn outcome(report: &Report, environment: &str, elapsed: Duration, again: &str) -> String {
    let mut out = String::new();
    for (address, failure) in &report.failed {
        let _ = writeln!(out, "\n{} {address}", paint(RED, "failed"));
        // What the executor says itself was no answer of AWS.
        let _ = match failure.operation.as_str() {
            "apply" => writeln!(out, "  {}", failure.message),
            operation => writeln!(out, "  {operation} answered {}: {}", failure.code, failure.message),
        };
        for holder in &failure.held_by {
            let _ = writeln!(out, "  held by {holder}");
        }
        if let Some(remedy) = remedy::of(failure, Some(environment), Some(address)) {
            let _ = writeln!(out, "  to do: {remedy}");
        }
        if let Some(id) = &failure.request_id {
            let _ = writeln!(out, "  request id {id}");
        }
        let waiting: Vec<String> = report
            .skipped
            .iter()
            .filter(|(_, because)| *because == address)
            .map(|(address, _)| address.to_string())
            .collect();
        if !waiting.is_empty() {
            let _ = writeln!(out, "  left out because of it: {}", waiting.join(", "));
        }
    }
    if !report.not_started.is_empty() {
        let left: Vec<String> = report.not_started.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "\n{} {}", paint(YELLOW, "not started:"), left.join(", "));
    }
    let done = count(report.done.len(), "resource", "resources");
    if report.is_success() {
        let _ = writeln!(out, "\n{} {done} in {}.", paint(BOLD, "Done:"), seconds(elapsed));
    } else {
        let left = report.skipped.len() + report.not_started.len();
        let _ = writeln!(
            out,
            "\n{} {done} done, {} failed, {left} left, after {}.",
            paint(BOLD, "Incomplete:"),
            report.failed.len(),
            seconds(elapsed)
        );
        let _ = writeln!(out, "Nothing is lost. Mend the cause, then go on with: {again}");
    }
    out
}

/// The end of an apply for programs.
pub(super) fn json(report: &Report, environment: &str) -> Json {
    let failed = report.failed.iter().map(|(address, failure)| {
        json!({
            "address": address,
            "operation": failure.operation,
            "code": failure.code,
            "message": failure.message,
            "request_id": failure.request_id,
            "held_by": failure.held_by,
            "remedy": remedy::of(failure, Some(environment), Some(address)),
        })
    });
    let skipped = report.skipped.iter().map(|(address, because)| json!({ "address": address, "because": because }));
    json!({
        "version": 1,
        "success": report.is_success(),
        "done": report.done,
        "failed": failed.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "not_started": report.not_started,
    })
}
