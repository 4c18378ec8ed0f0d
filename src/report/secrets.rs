//! Secrets as text and as JSON: all but their values.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use super::{BOLD, DIM, GREEN, RED, YELLOW, count, paint};
use crate::secrets::{Pending, Runs, Secret, Status, Use};

const VERSION: u32 = 1;
/// Characters of a version's id that tell it from others.
const SHORT: usize = 8;

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// For a terminal: one line a secret, and a second one for its dates.
#[must_use]
pub fn list_text(environment: &str, secrets: &[Secret], zone: &TimeZone) -> String {
    if secrets.is_empty() {
        return format!("{environment} has no secrets.\n");
    }
    let mut out = String::new();
    let width = |of: fn(&Secret) -> usize| secrets.iter().map(of).max().unwrap_or_default();
    let address = width(|one| one.address.to_string().len());
    let name = width(|one| name(one).len());
    for one in secrets {
        let value = if one.has_value { paint(GREEN, "value   ") } else { paint(RED, "no value") };
        let rotates = one.rotates_every_days.map_or("no rotation".to_owned(), |days| format!("rotates every {days}d"));
        let file = if one.in_file { "" } else { "  (not in the file)" };
        let head = format!("{:<address$}  {:<name$}  {value}  {rotates:<18}", one.address.to_string(), self::name(one));
        let _ = writeln!(out, "{}{file}", format!("{head}  {}", one.description).trim_end());
        let dates = [("changed", one.changed), ("rotated", one.rotated), ("next", one.next_rotation)];
        let dates = dates.into_iter().filter_map(|(word, at)| Some(format!("{word} {}", clock(at?, zone))));
        let dates: Vec<String> = dates.collect();
        if !dates.is_empty() {
            let _ = writeln!(out, "  {}", paint(DIM, &dates.join(", ")));
        }
    }
    out
}

fn name(one: &Secret) -> &str {
    one.name.as_deref().unwrap_or("not in AWS yet")
}

/// For programs.
#[must_use]
pub fn list_json(environment: &str, secrets: &[Secret]) -> Json {
    json!({ "version": VERSION, "environment": environment, "secrets": secrets })
}

/// For a terminal: a paragraph a secret.
#[must_use]
pub fn status_text(environment: &str, all: &[Status], zone: &TimeZone) -> String {
    let mut out = String::new();
    for one in all {
        let _ = writeln!(
            out,
            "{} {}",
            paint(BOLD, &one.secret.address.to_string()),
            paint(DIM, &format!("({})", name(&one.secret)))
        );
        let _ = match &one.current {
            Some(current) => writeln!(out, "  current   version {} since {}", current.id, clock(current.since, zone)),
            None => writeln!(out, "  {}", paint(RED, "it has no value")),
        };
        if let Some(rotation) = &one.rotation {
            out.push_str(&pending(rotation, zone));
        }
        match (one.secret.rotates_every_days, one.secret.next_rotation) {
            (_, Some(next)) => drop(writeln!(out, "  next      rotation until {}", clock(next, zone))),
            (Some(days), None) => drop(writeln!(out, "  next      rotates every {days} days")),
            (None, None) => {}
        }
        let width = one.services.iter().map(|service| service.service.len()).max().unwrap_or_default();
        for service in &one.services {
            let _ = writeln!(out, "  {:<width$}  {}", service.service, runs(service, one));
        }
        if one.services.is_empty() {
            let _ = writeln!(out, "  no service uses it");
        }
    }
    let behind: usize = all.iter().map(|one| one.behind().count()).sum();
    let stuck = all.iter().filter(|one| one.rotation.as_ref().is_some_and(|rotation| rotation.stuck)).count();
    let said = match (behind, stuck) {
        (0, 0) => format!("{environment}: nobody is behind, no rotation is stuck."),
        (behind, stuck) => format!(
            "{environment}: {} behind, {} stuck.",
            count(behind, "service is", "services are"),
            count(stuck, "rotation is", "rotations are")
        ),
    };
    let _ = writeln!(out, "{said}");
    out
}

/// What is said of a rotation that is not done, and what to do.
fn pending(rotation: &Pending, zone: &TimeZone) -> String {
    let Pending { version, since, stuck, why, log_group } = rotation;
    let (style, word) = if *stuck { (RED, "stuck") } else { (YELLOW, "under way") };
    let head = format!("  rotation  {word} since {}: version {version} is pending", clock(*since, zone));
    let why = why.as_ref().map(|why| format!("\n            {why}")).unwrap_or_default();
    let todo = if *stuck {
        format!("\n            to do: look at the log group {log_group}; Secrets Manager tries again by itself")
    } else {
        String::new()
    };
    format!("{}{why}{todo}\n", paint(style, &head))
}

fn runs(service: &Use, of: &Status) -> String {
    match service.runs {
        Runs::Current => paint(GREEN, "current"),
        Runs::Idle => paint(DIM, "idle: it has no tasks"),
        Runs::Behind => {
            let version = match &service.version {
                Some(version) if Some(version) == of.previous.as_ref() => {
                    format!(": runs the former version {}", short(version))
                }
                Some(version) => format!(": runs version {} or an older one", short(version)),
                None => ": has tasks from before this version".to_owned(),
            };
            paint(YELLOW, &format!("behind{version}"))
        }
    }
}

/// For programs.
#[must_use]
pub fn status_json(environment: &str, all: &[Status]) -> Json {
    let well = all.iter().all(Status::is_well);
    json!({ "version": VERSION, "environment": environment, "well": well, "secrets": all })
}
