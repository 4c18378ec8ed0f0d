//! Whether a release must be taken back.

use jiff::{SignedDuration, Timestamp};

use super::{Alarm, Minute, Observed, Over, Policy, Record};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// Metrics that are older than this say nothing about now: CloudWatch is one to three minutes behind.
const LATE: SignedDuration = SignedDuration::from_mins(5);

/// The limit that is passed, in words.
pub fn tripped(policy: &Policy, observed: &Observed, record: &Record) -> Option<String> {
    let new = observed.sides.of(record.to);
    let limits = &policy.limits;
    if !new.serves() {
        return Some("no task of the new colour is healthy".to_owned());
    }
    let missing = f64::from(new.desired.saturating_sub(new.healthy)) / f64::from(new.desired.max(1)) * 100.0;
    if limits.unhealthy.is_some_and(|limit| missing > limit) {
        return Some(format!("{} of {} tasks are healthy", new.healthy, new.desired));
    }
    let shifted = record.shifted?;
    if let Some(alarm) = firing(policy, observed, Some(shifted)) {
        return Some(format!("the alarm {} went off", alarm.name));
    }
    let minutes: Vec<&Minute> = observed.minutes.of(record.to).iter().filter(|minute| minute.at >= shifted).collect();
    let failing = limits.errors.and_then(|over| {
        let window = window(&minutes, over, shifted)?;
        let requests: f64 = window.iter().map(|minute| minute.requests).sum();
        let errors: f64 = window.iter().map(|minute| minute.errors).sum();
        let share = errors / requests.max(1.0) * 100.0;
        (share > over.limit).then(|| format!("{share:.1} % of the requests failed in {} min", over.time.as_mins()))
    });
    failing.or_else(|| {
        let over = limits.latency?;
        let window = window(&minutes, over, shifted)?;
        let slow: Vec<f64> = window.iter().filter_map(|minute| minute.latency).collect();
        let slow_throughout = !slow.is_empty() && slow.iter().all(|latency| *latency > over.limit);
        let fastest = slow.iter().copied().fold(f64::INFINITY, f64::min);
        slow_throughout.then(|| format!("answers took {fastest:.0} ms or more for {} min", over.time.as_mins()))
    })
}

/// The last minutes of a limit's time; nothing before that much time has been seen.
fn window<'a>(minutes: &[&'a Minute], over: Over, shifted: Timestamp) -> Option<Vec<&'a Minute>> {
    let end = minutes.last()?.at + MINUTE;
    let start = end - over.time;
    (start >= shifted).then(|| minutes.iter().copied().filter(|minute| minute.at >= start).collect())
}

/// The first alarm of the policy that is firing; with `since`, only one that began then or later.
pub fn firing<'a>(policy: &Policy, observed: &'a Observed, since: Option<Timestamp>) -> Option<&'a Alarm> {
    let named = |alarm: &Alarm| policy.limits.alarms.iter().any(|name| *name == alarm.name || *name == alarm.severity);
    let began = |alarm: &Alarm| since.is_none_or(|since| alarm.since >= since);
    observed.alarms.iter().find(|alarm| named(alarm) && began(alarm))
}

/// Whether requests have reached the new colour, and are still known to.
pub fn evidence(observed: &Observed, record: &Record, now: Timestamp) -> bool {
    let minutes = observed.minutes.of(record.to).iter();
    let seen = minutes.filter(|minute| record.shifted.is_some_and(|shifted| minute.at >= shifted));
    let busy = seen.filter(|minute| minute.requests > 0.0);
    busy.last().is_some_and(|minute| now.duration_since(minute.at + MINUTE) <= LATE)
}
