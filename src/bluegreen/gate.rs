//! Whether a release must be taken back.

use jiff::Timestamp;

use super::{Alarm, Colour, Observed, Over, Policy, Record, Sample};

/// The limit that is passed, in words.
pub fn tripped(policy: &Policy, observed: &Observed, record: &Record, to: Colour) -> Option<String> {
    let new = observed.sides.of(to);
    if record.back {
        return (!new.serves()).then(|| "no task of the new colour is healthy".to_owned());
    }
    let limits = &policy.limits;
    if !new.serves() {
        return Some("no task of the new colour is healthy".to_owned());
    }
    // Tasks that are added for more load take a while, which is no illness.
    let expected = new.desired.min(record.count);
    let missing = percent(expected.saturating_sub(new.healthy), expected);
    let ill = percent(new.unhealthy, new.targets);
    if limits.unhealthy.is_some_and(|limit| missing.max(ill) > limit) {
        return Some(format!("{} of {} tasks are healthy", new.healthy, new.desired));
    }
    let shifted = record.shifted?;
    if let Some(alarm) = firing(policy, &observed.alarms, &record.alarms) {
        return Some(format!("the alarm {} went off", alarm.name));
    }
    let samples = since(observed, to, shifted);
    let failing = limits.errors.and_then(|over| {
        let window = window(policy, &samples, over, shifted)?;
        failed(&window, over)
            .map(|share| format!("{share:.1} % of the requests failed in {}", super::spoken(over.time)))
    });
    failing.or_else(|| {
        let over = limits.latency?;
        let window = window(policy, &samples, over, shifted)?;
        let slow: Vec<f64> = window.iter().filter_map(|sample| sample.latency).collect();
        let slow_throughout = !slow.is_empty() && slow.iter().all(|latency| *latency > over.limit);
        let fastest = slow.iter().copied().fold(f64::INFINITY, f64::min);
        slow_throughout.then(|| format!("answers took {fastest:.0} ms or more for {}", super::spoken(over.time)))
    })
}

/// Too many errors in all the time since the traffic moved, though that may be shorter than the limit's: what a step
/// with part of the traffic is for.
pub fn errors_since(policy: &Policy, observed: &Observed, record: &Record, to: Colour) -> Option<String> {
    let (over, shifted) = (policy.limits.errors.filter(|_| !record.back)?, record.shifted?);
    failed(&since(observed, to, shifted), over)
        .map(|share| format!("{share:.1} % of the requests failed since it has traffic"))
}

/// The end of what is known of a colour.
pub fn known_until(policy: &Policy, observed: &Observed, to: Colour) -> Option<Timestamp> {
    Some(observed.samples.of(to).last()?.at + policy.period)
}

fn since(observed: &Observed, to: Colour, shifted: Timestamp) -> Vec<&Sample> {
    observed.samples.of(to).iter().filter(|sample| sample.at >= shifted).collect()
}

/// The percentage of requests that failed, if it passes the limit.
fn failed(samples: &[&Sample], over: Over) -> Option<f64> {
    let requests: f64 = samples.iter().map(|sample| sample.requests).sum();
    let errors: f64 = samples.iter().map(|sample| sample.errors).sum();
    let share = errors / requests * 100.0;
    (requests > 0.0 && share > over.limit).then_some(share)
}

fn percent(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1)) * 100.0
}

/// The last periods of a limit's time; nothing before that much time has been seen.
fn window<'a>(policy: &Policy, samples: &[&'a Sample], over: Over, shifted: Timestamp) -> Option<Vec<&'a Sample>> {
    let end = samples.last()?.at + policy.period;
    let start = end - over.time;
    (start >= shifted).then(|| samples.iter().copied().filter(|sample| sample.at >= start).collect())
}

/// The first alarm of the policy that is firing and is not one of these.
pub fn firing<'a>(policy: &Policy, alarms: &'a [Alarm], but: &[String]) -> Option<&'a Alarm> {
    let named = |alarm: &Alarm| policy.limits.alarms.iter().any(|name| *name == alarm.name || *name == alarm.severity);
    alarms.iter().find(|alarm| named(alarm) && !but.contains(&alarm.name))
}

/// Why no traffic should move now, and what to do.
pub fn no_time(policy: &Policy, alarms: &[Alarm]) -> Option<[String; 2]> {
    let alarm = firing(policy, alarms, &[]).filter(|_| !policy.despite_alarms)?;
    let why = format!("the alarm {} is firing: this is no time to move traffic", alarm.name);
    let help = "mend that first, and run the same command again; or, if this release mends it: --despite-alarms";
    Some([why, help.to_owned()])
}

/// Whether requests have reached the new colour, and are still known to.
pub fn evidence(policy: &Policy, observed: &Observed, record: &Record, to: Colour, now: Timestamp) -> bool {
    let samples = observed.samples.of(to).iter();
    let seen = samples.filter(|sample| record.shifted.is_some_and(|shifted| sample.at >= shifted));
    let mut busy = seen.filter(|sample| sample.requests > 0.0);
    busy.next_back().is_some_and(|sample| now.duration_since(sample.at + policy.period) <= policy.late())
}
