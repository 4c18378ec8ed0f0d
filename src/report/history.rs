//! The history of an environment: one line a command, newest first.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use super::{DIM, GREEN, RED, YELLOW, paint, seconds};
use crate::history::{Counts, Outcome, Record};

/// For a terminal, with times as clocks in `zone` show them.
#[must_use]
pub fn text(environment: &str, records: &[Record], zone: &TimeZone) -> String {
    let mut out = String::new();
    if records.is_empty() {
        let _ = writeln!(out, "No apply, destroy or release of {environment} is recorded.");
    }
    let width = |of: fn(&Record) -> &str| records.iter().map(|one| of(one).chars().count()).max().unwrap_or_default();
    let (who, what) = (width(|one| &one.who), width(|one| &one.command));
    for one in records {
        let at = one.at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
        let (style, word) = match one.outcome {
            Outcome::Done => (GREEN, "done"),
            Outcome::Failed => (RED, "failed"),
            Outcome::Interrupted => (YELLOW, "interrupted"),
        };
        let _ = writeln!(
            out,
            "{}  {:<who$}  {:<what$}  {}{}",
            paint(DIM, &at),
            one.who,
            one.command,
            paint(style, word),
            details(one)
        );
    }
    out
}

fn details(one: &Record) -> String {
    let mut out = format!(" after {}", seconds(Duration::from_secs(one.seconds)));
    let counts: Vec<String> = one
        .counts
        .map(|counts| {
            let Counts { created, updated, replaced, deleted, failed, left } = counts;
            let all = [
                (created, "created"),
                (updated, "updated"),
                (replaced, "replaced"),
                (deleted, "deleted"),
                (failed, "failed"),
                (left, "left"),
            ];
            all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect()
        })
        .unwrap_or_default();
    let images: Vec<String> = one.images.iter().map(|(service, image)| format!("{service} {image}")).collect();
    let versions: Vec<String> = one.versions.iter().map(|(secret, id)| format!("{secret} version {id}")).collect();
    for part in [counts.join(", "), images.join(", "), versions.join(", "), one.why.clone().unwrap_or_default()] {
        if !part.is_empty() {
            out.push_str(": ");
            out.push_str(&part);
        }
    }
    out
}

/// For programs.
#[must_use]
pub fn json(environment: &str, records: &[Record]) -> Json {
    json!({ "version": 1, "environment": environment, "records": records })
}
