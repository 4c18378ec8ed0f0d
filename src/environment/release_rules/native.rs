//! What ECS's own deployment can do of all that a file may ask of a release.

use crate::diagnostic::Diagnostic;
use crate::environment::rules::Rules;
use crate::environment::services::Service;
use crate::environment::types::{Duration, Percent};

/// ECS counts shares in tenths of a percent; these are hundredths.
const TENTH: u16 = 10;
/// The smallest step of a linear deployment.
const STEP: u16 = 300;
const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

pub(super) fn check(name: &str, service: &Service, rules: &mut Rules<'_>) {
    let release = &service.release;
    let mut errors = Vec::new();
    let mut wrong = |field: &[&str], message: String, help: String| {
        let path: Vec<&str> = ["services", name, "release"].iter().chain(field).copied().collect();
        errors.push(Diagnostic::error("strategy", message).at(rules.tree.place_of(&path), "").help(help));
    };
    let rollback = &release.rollback;
    for (field, given, alarm) in [
        ("errors", rollback.errors.is_some(), "errors"),
        ("latency", rollback.latency.is_some(), "slow"),
        ("unhealthy", rollback.unhealthy.is_some(), "down"),
    ] {
        if given {
            let message =
                format!("`{field}` is not watched with `strategy: native`: ECS watches alarms and nothing else");
            let help =
                format!("name an alarm: `rollback: {{ alarms: [{name}-{alarm}] }}`, or write `strategy: blue_green`");
            wrong(&["rollback", field], message, help);
        }
    }
    if rules.tree.get(&["services", name, "release", "keep"]).is_some() {
        let message = "`keep` has no place in `strategy: native`: ECS stops the old version at the end of `monitor`";
        let help = "remove `keep`, and make `monitor` as long as the old version is to be kept";
        wrong(&["keep"], message.to_owned(), help.to_owned());
    }
    let times = [
        ("monitor", Some(release.monitor)),
        ("canary", release.canary.map(|share| share.over)),
        ("linear", release.linear.map(|share| share.over)),
    ];
    for (field, time) in times {
        if let Some(time) = time.filter(|time| !fits(*time)) {
            let message = format!("ECS counts whole minutes, up to a day, and `{field}` says {time}");
            wrong(&[field], message, format!("write whole minutes, such as `{}`", near(time)));
        }
    }
    for (field, share, least) in [("canary", release.canary, TENTH), ("linear", release.linear, STEP)] {
        let Some(Percent(share)) = share.map(|share| share.percent) else { continue };
        if share > 0 && (share < least || !share.is_multiple_of(TENTH)) {
            let message = format!("ECS does not move {} of the traffic at a time", Percent(share));
            let help = format!("write {} or more, with one decimal at most", Percent(least));
            wrong(&[field], message, help);
        }
    }
    if service.scale.as_ref().is_some_and(|scale| scale.requests.is_some()) {
        let message = "`requests` counts those of one target group, and with `strategy: native` two take turns";
        let place = rules.tree.place_of(&["services", name, "scale", "requests"]);
        let error = Diagnostic::error("strategy", message).at(place, "");
        let error = error.related(rules.tree.place_of(&["services", name, "release", "strategy"]), "");
        errors.push(error.help("scale by `cpu` or `memory`, or write `strategy: blue_green`"));
    }
    for error in errors {
        rules.report(error);
    }
}

fn fits(time: Duration) -> bool {
    time.seconds().is_multiple_of(MINUTE) && time.seconds() <= DAY
}

/// The next whole minutes that ECS takes.
fn near(time: Duration) -> Duration {
    Duration(time.seconds().next_multiple_of(MINUTE).min(DAY))
}
