//! Where traffic enters: load balancers, TLS, the web firewall, and who is told when something breaks.

use super::{Context, Hit, Rule, Severity};
use crate::desired::Resource;
use crate::kinds::listener::{Action, Listener, Protocol};
use crate::kinds::listener_rule::ListenerRule;
use crate::kinds::load_balancer::{LoadBalancer, Scheme};
use crate::kinds::nat_gateway::NatGateway;
use crate::reach::{self, End, speaks_of};
use crate::value::Value;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "plain_http",
        severity: Severity::Warning,
        what: "A load balancer on the internet serves requests over plain HTTP, or does not redirect them to HTTPS",
        why: "passwords and sessions can be read and changed by everyone on the way",
        remedy: "give the load balancer a `certificate`: 443 then serves HTTPS, and 80 redirects to it",
        find: plain_http,
    },
    Rule {
        code: "weak_tls",
        severity: Severity::Warning,
        what: "A listener takes TLS 1.0 or 1.1, which AWS's default policy does",
        why: "both have known flaws, and no client of the last ten years needs them",
        remedy: "set `ssl_policy: ELBSecurityPolicy-TLS13-1-2-2021-06`",
        find: weak_tls,
    },
    Rule {
        code: "no_web_firewall",
        severity: Severity::Warning,
        what: "A load balancer that everyone reaches has no web firewall",
        why: "nothing limits how many requests one address sends, and known attacks reach the containers",
        remedy: "add `firewall: {}`",
        find: no_web_firewall,
    },
    Rule {
        code: "no_flow_logs",
        severity: Severity::Warning,
        what: "Nothing records the connections of a network in production",
        why: "after a break-in nobody can tell who connected to what",
        remedy: "add `flow_logs: 30d` to `network`",
        find: no_flow_logs,
    },
    Rule {
        code: "single_nat",
        severity: Severity::Warning,
        what: "In production, private subnets of several zones go out through one NAT gateway",
        why: "when its zone fails, the containers of all zones lose the internet and AWS's own services",
        remedy: "set `nat: per_zone`",
        find: single_nat,
    },
    Rule {
        code: "no_alarm_target",
        severity: Severity::Warning,
        what: "In production, no alarm tells anybody",
        why: "the alarms change their colour in a console that nobody looks at",
        remedy: "add `notifications` with an address for `warning`, `error` and `critical`",
        find: no_alarm_target,
    },
];

/// Parts of the names of TLS policies that begin with TLS 1.2.
const STRONG: &[&str] = &["TLS13-1-2", "TLS13-1-3", "TLS-1-2", "FS-1-2"];

fn plain_http(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    let listeners: Vec<_> = context.each::<Listener>().collect();
    for (balancer, spec) in context.each::<LoadBalancer>() {
        let own = |listener: &Listener| reach::referred(&listener.load_balancer_arn) == Some(&balancer.address);
        let mine = || listeners.iter().filter(|(_, listener)| own(listener));
        let secure = mine().any(|(_, listener)| listener.protocol == Protocol::Https);
        let plain = mine().find(|(resource, listener)| {
            let serves = !matches!(listener.default_action, Action::Redirect(_));
            let forwards = || {
                context.each::<ListenerRule>().any(|(_, rule)| {
                    reach::referred(&rule.listener_arn) == Some(&resource.address)
                        && matches!(rule.action, Action::Forward(_))
                })
            };
            listener.protocol == Protocol::Http && (serves || forwards())
        });
        if let (Some((_, listener)), Scheme::InternetFacing) = (plain, spec.scheme) {
            let message = if secure {
                format!("requests on port {} are not redirected to HTTPS", listener.port)
            } else {
                "it serves plain HTTP only".to_owned()
            };
            hits.push(Hit::new(balancer, "", message));
        }
    }
    hits
}

fn weak_tls(context: &Context) -> Vec<Hit> {
    let hit = |(resource, listener): (_, Listener)| {
        let policy = listener.ssl_policy.as_deref().unwrap_or("ELBSecurityPolicy-2016-08");
        let weak = listener.protocol == Protocol::Https && !STRONG.iter().any(|part| policy.contains(part));
        let field = if listener.ssl_policy.is_some() { "ssl_policy" } else { "" };
        weak.then(|| Hit::new(resource, field, format!("the policy {policy} takes TLS 1.0 and 1.1")))
    };
    context.each::<Listener>().filter_map(hit).collect()
}

fn no_web_firewall(context: &Context) -> Vec<Hit> {
    let balancers = context.each::<LoadBalancer>().filter(|(balancer, spec)| {
        let reached = spec.security_groups.iter().any(|group| match reach::referred(group) {
            Some(group) => !context.firewalls.passages(&End::Internet, &End::Group(group.clone())).is_empty(),
            None => false,
        });
        spec.scheme == Scheme::InternetFacing && reached && !context.speaks("web_acl", &balancer.address)
    });
    balancers
        .map(|(balancer, _)| Hit::new(balancer, "", "everyone reaches it, and no web firewall stands before it"))
        .collect()
}

fn no_flow_logs(context: &Context) -> Vec<Hit> {
    let vpcs = context.all("vpc").filter(|vpc| context.production && !context.speaks("flow_log", &vpc.address));
    vpcs.map(|vpc| Hit::new(vpc, "", "nothing records who connects to whom")).collect()
}

fn single_nat(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (gateway, _) in context.each::<NatGateway>().filter(|_| context.production) {
        let through =
            |table: &&Resource| table.fields.get("routes").is_some_and(|routes| speaks_of(routes, &gateway.address));
        let subnets = context.all("route_table").filter(through).filter_map(|table| table.fields.get("subnets"));
        let zones: std::collections::BTreeSet<_> = subnets
            .flat_map(Value::references)
            .filter_map(|output| context.desired.resources.get(&output.of)?.fields.get("zone")?.as_text())
            .collect();
        if zones.len() > 1 {
            let message = format!("the subnets of {} zones go out through this one gateway", zones.len());
            hits.push(Hit::new(gateway, "", message).near(&["nat"]));
        }
    }
    hits
}

fn no_alarm_target(context: &Context) -> Vec<Hit> {
    let alarms: Vec<_> = context.all("metric_alarm").collect();
    let tells = |alarm: &&Resource| alarm.fields.get("alarm_actions").is_some_and(|actions| !actions.is_empty());
    match alarms.first() {
        Some(first) if context.production && !alarms.iter().any(tells) => {
            let message = format!("neither this alarm nor any other of {} tells anybody", alarms.len());
            vec![Hit::new(first, "", message)]
        }
        _ => Vec::new(),
    }
}
