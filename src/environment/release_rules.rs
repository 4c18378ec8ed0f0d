//! What a schema cannot say about releases: what suits a strategy, the job before, and the checks through the test rule.

mod native;

use std::collections::BTreeMap;

use regex::Regex;

use super::alarms;
use super::jobs::Job;
use super::releases::{Check, Strategy};
use super::rules::Rules;
use super::services::{Route, Service};
use crate::diagnostic::Diagnostic;

impl Service {
    /// The strategy, where the file leaves it out.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        let usual = if self.route.is_some() { Strategy::BlueGreen } else { Strategy::Rolling };
        self.release.strategy.unwrap_or(usual)
    }

    /// Whether the file chooses the image, by a tag or a digest. Otherwise releases do.
    #[must_use]
    pub fn names_version(&self) -> bool {
        let last = self.image.as_str().rsplit('/').next().unwrap_or_default();
        // A reference such as `${registries.api.url}` has no tag, and may hold a colon in no place.
        let last = last.rsplit('}').next().unwrap_or_default();
        last.contains([':', '@'])
    }
}

/// What the services say of their releases.
pub(super) fn check(services: &BTreeMap<String, Service>, jobs: &BTreeMap<String, Job>, rules: &mut Rules<'_>) {
    for (name, service) in services {
        check_strategy(name, service, rules);
        if service.strategy() == Strategy::Native {
            native::check(name, service, rules);
        }
        for (at, alarm) in service.release.rollback.alarms.iter().enumerate() {
            let path = ["services", name, "release", "rollback", "alarms", &at.to_string()];
            alarms::check_name(alarm, &path, rules);
        }
        if let Some(before) = &service.release.before {
            check_before((name, service), (before, jobs.get(before)), rules);
        }
        if service.strategy() == Strategy::Rolling {
            continue;
        }
        if let Some(route) = &service.route {
            for (at, check) in service.release.checks.iter().enumerate() {
                check_reach((name, at), check, route, rules);
            }
        }
    }
}

fn check_strategy(name: &str, service: &Service, rules: &mut Rules<'_>) {
    let release = &service.release;
    let place = |field| rules.tree.place_of(&["services", name, "release", field]);
    let key_place = |field| rules.tree.key_place_of(&["services", name, "release", field]);
    let mut errors = Vec::new();
    if service.route.is_none() && matches!(release.strategy, Some(Strategy::BlueGreen | Strategy::Native)) {
        let message = format!("`services.{name}` has no `route`, so there is no traffic to switch");
        let error = Diagnostic::error("strategy", message).at(place("strategy"), "needs a `route`");
        errors.push(error.help("write `strategy: rolling` for a worker, or add a `route`"));
    }
    if service.route.is_some() && release.strategy == Some(Strategy::Rolling) {
        let message = format!("`services.{name}` has a `route`, so its traffic can be switched, and back");
        let error = Diagnostic::error("strategy", message).at(place("strategy"), "replaces tasks one by one");
        errors.push(error.help("remove `strategy`: `rolling` is for workers"));
    }
    if release.canary.is_some() && release.linear.is_some() {
        let error = Diagnostic::error("strategy", "`canary` and `linear` are two ways to move the traffic");
        errors.push(error.at(place("linear"), "").related(place("canary"), "").help("keep one of them"));
    }
    let rolling = service.strategy() == Strategy::Rolling;
    for (field, given) in [("canary", release.canary), ("linear", release.linear)] {
        if given.is_some() && rolling {
            let message = format!("`{field}` moves traffic step by step, which `strategy: rolling` does not");
            let error = Diagnostic::error("strategy", message).at(place(field), "");
            errors.push(error.help(format!("remove `{field}`")));
        }
        if given.is_some_and(|share| share.percent.0 == 0 || share.percent.0 == 10_000) {
            let error = Diagnostic::error(
                "strategy",
                format!("`{field}` must move a part of the traffic: more than 0%, less than 100%"),
            );
            errors.push(error.at(place(field), ""));
        }
    }
    if rolling && !release.checks.is_empty() {
        let message = "`checks` go through the test rule, where with `strategy: rolling` nothing waits to be tried";
        let error = Diagnostic::error("strategy", message).at(key_place("checks"), "");
        errors.push(error.help("remove `checks`"));
    }
    for error in errors {
        rules.report(error);
    }
}

/// The job before a release runs the image that is released, or one of its own.
fn check_before((name, service): (&str, &Service), (before, job): (&str, Option<&Job>), rules: &mut Rules<'_>) {
    let path = ["services", name, "release", "before"];
    if !rules.known("jobs", before, &path) {
        return;
    }
    let place = rules.tree.place_of(&path);
    if let Some(other) = job.and_then(|job| job.service.as_deref()).filter(|other| *other != name) {
        let message = format!("`jobs.{before}` runs the image of `{other}`, not the one that `{name}` is to run");
        let error = Diagnostic::error("before", message).at(place, "");
        let error = error.related(rules.tree.place_of(&["jobs", before, "service"]), "");
        rules.report(error.help(format!("name a job with `service: {name}`, or with an `image` of its own")));
    }
    if service.names_version() && service.route.is_none() {
        let message =
            format!("`{before}` runs before a release, and `{name}` has none: apply itself changes its image");
        let error = Diagnostic::error("before", message).at(place, "");
        let error = error.related(rules.tree.place_of(&["services", name, "image"]), "named with its version");
        rules.report(error.help("leave the version out of `image`, so that releases choose it, or remove `before`"));
    }
}

/// A check that the test rule does not take would be answered by somebody else.
fn check_reach((name, at): (&str, usize), check: &Check, route: &Route, rules: &mut Rules<'_>) {
    let at = at.to_string();
    let place = |field| rules.tree.place_of(&["services", name, "release", "checks", &at, field]);
    let mut errors = Vec::new();
    let route_place = |field| rules.tree.place_of(&["services", name, "route", field]);
    match check.host(route) {
        None if !route.hosts.is_empty() => {
            let error =
                Diagnostic::error("checks", format!("the check of `{}` does not say which host to ask", check.path));
            let error = error.at(place("path"), "").related(route_place("hosts"), "only wildcards");
            errors.push(error.help("add `host:` with a name that the `route` takes"));
        }
        Some(host) if !takes(&route.hosts, host, true) => {
            let error = Diagnostic::error("checks", format!("the `route` of `{name}` takes no requests for `{host}`"));
            let error = error.at(place("host"), "").related(route_place("hosts"), "");
            errors.push(error.help("name a host that the route takes"));
        }
        _ => {}
    }
    let path = check.path.split('?').next().unwrap_or_default();
    if !takes(&route.paths, path, false) {
        let error = Diagnostic::error("checks", format!("the `route` of `{name}` takes no requests for `{path}`"));
        let error = error.at(place("path"), "").related(route_place("paths"), "");
        errors.push(error.help("name a path of the route: the test rule takes what the route takes"));
    }
    for error in errors {
        rules.report(error);
    }
}

/// Whether one of these, with `*` and `?` for any text and any letter, is this text. None of them takes everything.
fn takes(patterns: &[String], text: &str, any_case: bool) -> bool {
    let fits = |pattern: &String| {
        let pattern = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
        let case = if any_case { "(?i)" } else { "" };
        Regex::new(&format!("{case}^{pattern}$")).is_ok_and(|regex| regex.is_match(text))
    };
    patterns.is_empty() || patterns.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_takes_what_its_wildcards_take() {
        let takes = |pattern: &str, text: &str, any_case| takes(&[pattern.to_owned()], text, any_case);
        assert!(takes("*.example.com", "API.example.com", true) && !takes("*.example.com", "example.com", true));
        assert!(takes("/api/*", "/api/health", false) && !takes("/api/*", "/API/health", false));
        assert!(takes("/v?/x", "/v1/x", false) && !takes("/v.x", "/v1x", false));
    }
}
