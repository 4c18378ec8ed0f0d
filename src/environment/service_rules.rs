//! What a schema cannot say about services: Fargate's sizes, health checks, scaling, and routes that meet each other.

use std::collections::BTreeMap;

use super::rules::Rules;
use super::secret_rules;
use super::services::Service;
use crate::diagnostic::Diagnostic;

/// Fargate's sizes: CPU units, then the least, the most and the step of memory in MB.
const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// A rule of a load balancer takes this many hosts and paths together.
const MAX_CONDITIONS: usize = 5;

/// The memory that Fargate offers with so many CPU units, in MB, ascending; nothing if it does not offer the CPU.
#[must_use]
pub fn memory_sizes(cpu: u32) -> Vec<u32> {
    let Some((_, least, most, step)) = SIZES.iter().copied().find(|(units, ..)| *units == cpu) else {
        return Vec::new();
    };
    (least..=most)
        .step_by(step as usize)
        // The smallest tasks come with 512, 1024 and 2048 MB, but not with 1536.
        .filter(|memory| cpu != 256 || memory.is_power_of_two())
        .collect()
}

impl Service {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        check_size(["services", name], (self.cpu, self.memory), rules);
        self.check_count(name, rules);
        self.check_health(name, rules);
        self.check_route(name, rules);
        secret_rules::check(["services", name], (&self.environment, &self.secrets), rules);
        for (field, texts) in [("command", &self.command), ("entrypoint", &self.entrypoint)] {
            let path = ["services", name, field];
            secret_rules::check_arguments(&path, texts.as_deref().unwrap_or_default(), rules);
        }
        for (at, other) in self.egress.iter().enumerate() {
            let (databases, caches) = (rules.names("databases"), rules.names("caches"));
            let cache = caches.contains(&other.as_str()) || (databases.is_empty() && !caches.is_empty());
            let section = if cache { "caches" } else { "databases" };
            rules.known(section, other, &["services", name, "egress", &at.to_string()]);
        }
        for key in self.environment.keys().filter(|key| self.secrets.contains_key(*key)) {
            let message = format!("the variable `{key}` stands in both `environment` and `secrets`");
            let place = |section| rules.tree.key_place_of(&["services", name, section, key]);
            let error =
                Diagnostic::error("variable_twice", message).at(place("secrets"), "").related(place("environment"), "");
            rules.report(error.help("remove one of the two"));
        }
    }

    fn check_count(&self, name: &str, rules: &mut Rules<'_>) {
        let Some(scale) = &self.scale else { return };
        let place = |path: &[&str]| rules.tree.place_of(path);
        let mut errors = Vec::new();
        if self.count.is_some() {
            let error = Diagnostic::error("scale", format!("`services.{name}` has both `count` and `scale`"));
            let error = error.at(rules.tree.key_place_of(&["services", name, "count"]), "");
            let error = error.related(place(&["services", name, "scale"]), "");
            errors.push(error.help("remove `count`: the scaler decides between `min` and `max`"));
        }
        if scale.min > scale.max {
            let message = format!("`min` is {} and `max` is {}", scale.min, scale.max);
            let error =
                Diagnostic::error("scale", message).at(place(&["services", name, "scale", "min"]), "more than `max`");
            errors.push(error.related(place(&["services", name, "scale", "max"]), ""));
        }
        if scale.cpu.is_none() && scale.memory.is_none() && scale.requests.is_none() && scale.min != scale.max {
            let message = format!("`services.{name}.scale` does not say what to scale by");
            let error = Diagnostic::error("scale", message).at(place(&["services", name, "scale"]), "");
            errors.push(error.help("add `cpu: 60`, `memory: 70` or `requests: 1000`"));
        }
        if scale.requests.is_some() && self.route.is_none() {
            let message = "`requests` counts those of a load balancer, and this service has no `route`";
            errors.push(Diagnostic::error("scale", message).at(place(&["services", name, "scale", "requests"]), ""));
        }
        for error in errors {
            rules.report(error);
        }
    }

    fn check_health(&self, name: &str, rules: &mut Rules<'_>) {
        if self.health.timeout < self.health.interval {
            return;
        }
        let place = |field| rules.tree.place_of(&["services", name, "health", field]);
        let (timeout, interval) = (place("timeout"), place("interval"));
        let message = format!(
            "a health check may take {}, but the next one begins after {}",
            self.health.timeout, self.health.interval
        );
        let error = Diagnostic::error("health", message).at(timeout, "");
        let error = if timeout == interval { error } else { error.related(interval, "") };
        rules.report(error.help("`timeout` must be shorter than `interval` (defaults: 5s and 30s)"));
    }

    fn check_route(&self, name: &str, rules: &mut Rules<'_>) {
        let Some(route) = &self.route else { return };
        let path = ["services", name, "route"];
        if self.port.is_none() {
            let error =
                Diagnostic::error("route", format!("`services.{name}` has a `route` but no `port` to send it to"));
            rules.report(error.at(rules.tree.key_place_of(&path), "").help("add `port: 3000`"));
        }
        if route.hosts.len() + route.paths.len() > MAX_CONDITIONS {
            let message = format!("a route takes at most {MAX_CONDITIONS} hosts and paths together");
            let error = Diagnostic::error("route", message);
            rules.report(
                error.at(
                    rules.tree.key_place_of(&path),
                    format!("this one has {}", route.hosts.len() + route.paths.len()),
                ),
            );
        }
        let balancers = rules.names("load_balancers");
        match (&route.load_balancer, balancers.as_slice()) {
            (Some(balancer), _) => {
                rules.known("load_balancers", balancer, &["services", name, "route", "load_balancer"]);
            }
            (None, [_]) => {}
            (None, []) => {
                let message = format!("`services.{name}` has a `route`, but the file has no load balancer");
                let error = Diagnostic::error("route", message).at(rules.tree.key_place_of(&path), "");
                rules.report(error.help("add `load_balancers: { public: {} }`, or remove `route` from a worker"));
            }
            (None, several) => {
                let message = format!("`services.{name}.route` does not say which load balancer it is for");
                let error = Diagnostic::error("route", message).at(rules.tree.key_place_of(&path), "");
                rules.report(error.help(format!("add `load_balancer:` with one of {}", super::check::list(several))));
            }
        }
    }
}

/// Fargate offers certain pairs of CPU and memory.
pub(super) fn check_size(of: [&str; 2], (wanted, much): (u32, u32), rules: &mut Rules<'_>) {
    let offered = memory_sizes(wanted);
    if offered.contains(&much) {
        return;
    }
    let (cpu, memory) = (rules.tree.place_of(&[of[0], of[1], "cpu"]), rules.tree.place_of(&[of[0], of[1], "memory"]));
    let error = if offered.is_empty() {
        let error = Diagnostic::error("fargate_size", format!("Fargate does not offer {wanted} CPU units"));
        error.at(cpu, "256, 512, 1024, 2048, 4096, 8192 or 16384")
    } else {
        let message = format!("Fargate does not offer {much} MB of memory with {wanted} CPU units");
        let error = Diagnostic::error("fargate_size", message);
        let (least, most) = (offered.first().copied().unwrap_or_default(), offered.last().copied().unwrap_or_default());
        let error = error.at(memory, format!("with `cpu: {wanted}` there are {least} to {most}"));
        if cpu == memory { error } else { error.related(cpu, "") }
    };
    let pairs: Vec<String> = nearest_sizes(wanted, much)
        .iter()
        .map(|(cpu, memory)| format!("`cpu: {cpu}` with `memory: {memory}`"))
        .collect();
    rules.report(error.help(format!("the nearest sizes are {}", pairs.join(", "))));
}

/// The sizes nearest to what was asked for: each of the neighbouring CPU sizes with the memory that is nearest.
fn nearest_sizes(cpu: u32, memory: u32) -> Vec<(u32, u32)> {
    let mut sizes: Vec<(u32, u32)> = SIZES
        .iter()
        .filter_map(|(units, ..)| {
            let offered = memory_sizes(*units);
            // What is at least as much comes before what is nearer: a service that asks for 3 GB needs them.
            offered.into_iter().min_by_key(|size| (*size < memory, size.abs_diff(memory))).map(|size| (*units, size))
        })
        .collect();
    sizes.sort_by_key(|(units, size)| (units.abs_diff(cpu), size.abs_diff(memory)));
    sizes.truncate(2);
    sizes.sort_unstable();
    sizes
}

/// What services call each other: one that has a name of its own, which the two colours of a routed one do not have.
pub(super) fn check_calls(services: &BTreeMap<String, Service>, rules: &mut Rules<'_>) {
    for (name, service) in services {
        for (at, callee) in service.calls.iter().enumerate() {
            let at = at.to_string();
            let path = ["services", name, "calls", at.as_str()];
            if !rules.known("services", callee, &path) {
                continue;
            }
            let (why, help) = match services.get(callee) {
                _ if callee == name => ("that is the service itself".to_owned(), "take it out of `calls`".to_owned()),
                Some(other) if other.route.is_some() => {
                    let help = "it is released in two colours, and the load balancer knows which one serves: call its \
                                host, such as `https://api.example.com`, and take it out of `calls`";
                    (format!("`{callee}` has a `route`"), help.to_owned())
                }
                Some(other) if other.port.is_none() => {
                    (format!("`{callee}` listens on no port"), format!("add `port: 8080` to `services.{callee}`"))
                }
                _ => continue,
            };
            let error = Diagnostic::error("calls", format!("`{name}` cannot call `{callee}` by name: {why}"));
            rules.report(error.at(rules.tree.place_of(&path), "").help(help));
        }
    }
}

/// What the services' routes say together: equal priorities and equal requests on one load balancer.
pub(super) fn check_routes(services: &BTreeMap<String, Service>, rules: &mut Rules<'_>) {
    let balancers = rules.names("load_balancers");
    let only = balancers.first().copied().unwrap_or_default();
    let mut priorities: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    let mut requests: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for (name, service) in services {
        let Some(route) = &service.route else { continue };
        let balancer = route.load_balancer.as_deref().unwrap_or(only);
        if let Some(priority) = route.priority
            && let Some(other) = priorities.insert((balancer, priority), name)
        {
            let place = |service: &str| rules.tree.place_of(&["services", service, "route", "priority"]);
            let error = Diagnostic::error(
                "route",
                format!("the routes of `{other}` and `{name}` have the same priority {priority}"),
            );
            let error = error.at(place(name), "").related(place(other), "first used here");
            rules.report(error.help("give each route of a load balancer its own number, or leave them out"));
        }
        let any = |list: &[String], all: &str| if list.is_empty() { vec![all.to_owned()] } else { list.to_vec() };
        for host in any(&route.hosts, "*") {
            for path in any(&route.paths, "/*") {
                let Some(other) = requests.insert((balancer, format!("{}{path}", host.to_lowercase())), name) else {
                    continue;
                };
                let place = |service: &str| rules.tree.place_of(&["services", service, "route"]);
                let what = if other == name {
                    "lists the same requests twice".to_owned()
                } else {
                    format!("takes the same requests as `{other}`")
                };
                let error = Diagnostic::error("route", format!("the route of `{name}` {what}: `{host}{path}`"));
                let error = error.at(place(name), "");
                let error = if other == name { error } else { error.related(place(other), "the other one") };
                rules.report(
                    error.help(
                        "a request goes to the first rule that it fits; give each route hosts or paths of its own",
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fargate_offers_what_aws_documents() {
        assert_eq!(memory_sizes(256), [512, 1024, 2048]);
        assert_eq!(memory_sizes(512), [1024, 2048, 3072, 4096]);
        assert_eq!(memory_sizes(1024).len(), 7);
        assert_eq!(memory_sizes(4096).last(), Some(&30_720));
        assert_eq!(
            memory_sizes(8192),
            [16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60].map(|gigabytes| gigabytes * 1024)
        );
        assert_eq!(memory_sizes(16_384).len(), 12);
        assert!(memory_sizes(300).is_empty());
    }

    #[test]
    fn the_nearest_sizes_have_the_memory() {
        assert_eq!(nearest_sizes(256, 3072), [(256, 2048), (512, 3072)]);
        assert_eq!(nearest_sizes(512, 512), [(256, 512), (512, 1024)]);
        assert_eq!(nearest_sizes(300, 1024), [(256, 1024), (512, 1024)]);
    }
}
