//! The way from a load balancer to the two colours of a service: target groups, the weighted rule, the test rule.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::COLOURS;
use crate::address::Address;
use crate::environment::expand::Expansion;
use crate::environment::services::{Route, Service};
use crate::kinds::listener::{Action, WeightedGroup};
use crate::kinds::listener_rule::{Conditions, ListenerRule};
use crate::kinds::target_group::{Algorithm, HealthCheck, Protocol, ProtocolVersion, TargetGroup, TargetType};
use crate::tags::Tags;
use crate::value::Arg;

/// The rules of production have priorities above this, and their test rules the same number below: the test rules are
/// tried first, in the same order.
const PRODUCTION: u16 = 25_000;
/// Priorities of one class of routes: 65 lengths of paths, and slots in each.
const CLASS: u16 = 6_200;
const SLOTS: u16 = 95;
const LONGEST: usize = 64;

/// The target groups of the colours, in order.
pub(super) fn expand(to: &mut Expansion, name: &str, service: &Service) -> [Address; 2] {
    let origin = ["services", name];
    let vpc_id = to.vpc(&origin);
    let health = &service.health;
    let seconds = |duration: crate::environment::types::Duration| u16::try_from(duration.seconds()).ok();
    let check = HealthCheck {
        path: Some(health.path.clone()),
        interval: seconds(health.interval),
        timeout: seconds(health.timeout),
        healthy: health.healthy,
        unhealthy: health.unhealthy,
        matcher: Some(health.matcher.clone()),
        ..HealthCheck::default()
    };
    let groups = COLOURS.map(|colour| {
        let group = TargetGroup {
            name: None,
            vpc_id: Some(vpc_id.clone()),
            port: service.port,
            protocol: Some(Protocol::Http),
            protocol_version: ProtocolVersion::Http1,
            target_type: TargetType::Ip,
            health_check: check.clone(),
            // Long enough for requests in flight, and short enough for a release.
            deregistration_delay: 30,
            slow_start: 0,
            stickiness: None,
            algorithm: Algorithm::RoundRobin,
            multi_value_headers: false,
            tags: Tags::new(),
        };
        to.add(format!("{name}-{colour}"), &origin, &group)
    });
    if let (Some(balancer), Some(route)) = (to.balancer_of(name), &service.route) {
        let conditions = Conditions { hosts: set(&route.hosts), paths: set(&route.paths), ..Conditions::default() };
        let conditions = if route.hosts.is_empty() && route.paths.is_empty() {
            Conditions { paths: ["/*".to_owned()].into(), ..conditions }
        } else {
            conditions
        };
        let listener = to.serving_listener(&balancer);
        let priority = to.priority(name);
        let rule = |priority: u16, conditions, weights: [u16; 2]| ListenerRule {
            listener_arn: Arg::output(&listener, "arn"),
            priority,
            conditions,
            action: Action::Forward(
                groups
                    .iter()
                    .zip(weights)
                    .map(|(group, weight)| WeightedGroup { target_group_arn: Arg::output(group, "arn"), weight })
                    .collect(),
            ),
            tags: Tags::new(),
        };
        to.add(name, &origin, &rule(PRODUCTION + priority, conditions.clone(), [100, 0]));
        let header =
            to.file.load_balancers.get(&balancer).map(|section| section.test_header.clone()).unwrap_or_default();
        let headers = [(header, ["true".to_owned()].into())].into();
        let test = rule(priority, Conditions { headers, ..conditions }, [0, 100]);
        to.add(format!("{name}-test"), &origin, &test);
    }
    groups
}

fn set(texts: &[String]) -> BTreeSet<String> {
    texts.iter().cloned().collect()
}

impl Expansion<'_> {
    /// A service's place among the routes: what the file says, else the more exact the earlier. It does not depend on
    /// the other services unless two would meet in one slot.
    fn priority(&self, service: &str) -> u16 {
        let routes =
            self.file.services.iter().filter_map(|(name, section)| Some((name.as_str(), section.route.as_ref()?)));
        priorities(routes).get(service).copied().unwrap_or(1)
    }
}

/// The priority of each route. What the file says comes before all others find their slots.
fn priorities<'a>(routes: impl Iterator<Item = (&'a str, &'a Route)> + Clone) -> BTreeMap<&'a str, u16> {
    let said = routes.clone().filter_map(|(name, route)| Some((name, given(route)?)));
    let mut priorities: BTreeMap<&str, u16> = said.collect();
    for (name, route) in routes.filter(|(_, route)| given(route).is_none()) {
        let mut priority = exactness(name, route);
        while priorities.values().any(|taken| *taken == priority) {
            priority += 1;
        }
        priorities.insert(name, priority);
    }
    priorities
}

fn given(route: &Route) -> Option<u16> {
    u16::try_from(route.priority?).ok()
}

fn exactness(name: &str, route: &Route) -> u16 {
    let class = match (route.hosts.is_empty(), route.paths.is_empty()) {
        (false, false) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (true, true) => 3,
    };
    let longest = route.paths.iter().map(String::len).max().unwrap_or_default().min(LONGEST);
    let shorter = u16::try_from(LONGEST - longest).unwrap_or_default();
    let slot = u16::from(Sha256::digest(name.as_bytes())[0]) % SLOTS;
    1 + class * CLASS + shorter * SLOTS + slot
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(hosts: &[&str], paths: &[&str]) -> Route {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Route { hosts: list(hosts), paths: list(paths), ..Route::default() }
    }

    #[test]
    fn the_more_exact_route_is_tried_first() {
        let order = [
            route(&["a"], &["/api/v1/*"]),
            route(&["a"], &["/api/*"]),
            route(&[], &["/api/*"]),
            route(&["a"], &[]),
            route(&[], &[]),
        ];
        let priorities: Vec<u16> = order.iter().map(|route| exactness("api", route)).collect();
        assert!(priorities.is_sorted(), "{priorities:?}");
        assert!(priorities.iter().all(|priority| (1..PRODUCTION).contains(priority)));
    }

    #[test]
    fn a_priority_of_the_file_is_free_for_it() {
        let (plain, mut said) = (route(&["a"], &["/x"]), route(&[], &[]));
        said.priority = Some(u32::from(exactness("api", &plain)));
        for later in ["web", "aaa"] {
            let all = priorities([("api", &plain), (later, &said)].into_iter());
            assert_eq!((all[later], all["api"]), (exactness("api", &plain), exactness("api", &plain) + 1));
        }
    }
}
