//! Load balancer: TLS, redirect, health checks, and two colours with weights.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, Listener, LoadBalancerSchemeEnum, Rule, TargetGroupStickinessConfig,
};
use infra::aws::Aws;

use super::firewalls::Groups;
use super::network::Network;

pub async fn check(aws: &Aws, network: &Network, groups: &Groups) {
    let balancers = aws.elb().describe_load_balancers().send().await.unwrap().load_balancers.unwrap();
    let [balancer] = &balancers[..] else { panic!("{balancers:?}") };
    assert!(balancer.load_balancer_name().unwrap().starts_with("acme-production-public-"));
    assert_eq!(balancer.scheme(), Some(&LoadBalancerSchemeEnum::InternetFacing));
    assert_eq!(balancer.security_groups(), [groups["lb-public"].clone()]);
    let zones = balancer.availability_zones().iter();
    let mut subnets: Vec<String> = zones.map(|zone| zone.subnet_id().unwrap().to_owned()).collect();
    subnets.sort();
    assert_eq!(subnets, network.tier("public"));

    let arn = balancer.load_balancer_arn().unwrap();
    let listeners = aws.elb().describe_listeners().load_balancer_arn(arn).send().await.unwrap().listeners.unwrap();
    let by_port: BTreeMap<i32, &Listener> = listeners.iter().map(|one| (one.port().unwrap(), one)).collect();
    assert_eq!(by_port.keys().collect::<Vec<_>>(), [&80, &443]);
    let secure = by_port[&443];
    assert_eq!(secure.protocol().unwrap().as_str(), "HTTPS");
    assert_eq!(secure.ssl_policy(), Some("ELBSecurityPolicy-TLS13-1-2-2021-06"), "TLS 1.3");
    let certificates = aws.acm().list_certificates().send().await.unwrap().certificate_summary_list.unwrap();
    let ours = certificates.iter().find(|one| one.domain_name() == Some("example.com") && one.in_use() == Some(true));
    let ours = ours.expect("a certificate that is used").certificate_arn();
    assert_eq!(secure.certificates()[0].certificate_arn(), ours);
    let nothing = secure.default_actions()[0].fixed_response_config().unwrap();
    assert_eq!(nothing.status_code(), Some("404"), "what no service takes");
    redirects(by_port[&80]);

    let targets = targets(aws, network).await;
    rules(aws, secure.listener_arn().unwrap(), &targets).await;
}

fn redirects(plain: &Listener) {
    assert_eq!(plain.protocol().unwrap().as_str(), "HTTP");
    let redirect = plain.default_actions()[0].redirect_config().unwrap();
    let to = [redirect.protocol(), redirect.port(), redirect.host(), redirect.path(), redirect.query()];
    assert_eq!(to.map(Option::unwrap), ["HTTPS", "443", "#{host}", "/#{path}", "#{query}"]);
    assert_eq!(redirect.status_code().unwrap().as_str(), "HTTP_301");
}

/// The names of the target groups by ARN.
async fn targets(aws: &Aws, network: &Network) -> BTreeMap<String, String> {
    let groups = aws.elb().describe_target_groups().send().await.unwrap().target_groups.unwrap();
    let mut names = BTreeMap::new();
    for group in &groups {
        let name = group.target_group_name().unwrap().strip_prefix("acme-production-").unwrap();
        let (name, _) = name.rsplit_once('-').unwrap();
        assert_eq!(group.vpc_id(), Some(network.vpc.as_str()));
        assert_eq!(group.port(), Some(if name.starts_with("api-") { 3000 } else { 4000 }));
        assert_eq!(group.protocol().unwrap().as_str(), "HTTP", "plain HTTP behind the load balancer");
        assert_eq!(group.target_type().unwrap().as_str(), "ip");
        assert_eq!(group.health_check_path(), Some("/health"));
        let check = [
            group.health_check_interval_seconds(),
            group.health_check_timeout_seconds(),
            group.healthy_threshold_count(),
            group.unhealthy_threshold_count(),
        ];
        assert_eq!(check, [30, 5, 2, 3].map(Some), "every 30 s, 5 s to answer, 2 make healthy, 3 unhealthy");
        assert_eq!(group.matcher().unwrap().http_code(), Some("200"));
        names.insert(group.target_group_arn().unwrap().to_owned(), name.to_owned());
    }
    let mut all: Vec<&str> = names.values().map(String::as_str).collect();
    all.sort_unstable();
    assert_eq!(all, ["api-blue", "api-green", "web-blue", "web-green"]);
    names
}

async fn rules(aws: &Aws, listener: &str, targets: &BTreeMap<String, String>) {
    let rules = aws.elb().describe_rules().listener_arn(listener).send().await.unwrap().rules.unwrap();
    let mut rules: Vec<&Rule> = rules.iter().filter(|rule| rule.is_default() != Some(true)).collect();
    let priority = |rule: &&Rule| rule.priority().unwrap().parse::<u32>().unwrap();
    rules.sort_by_key(priority);
    let said: Vec<String> =
        rules.iter().map(|rule| format!("{} → {}", conditions(rule), weights(rule.actions(), targets))).collect();
    // In the order in which they are tried: the checks before a switch, then everybody.
    assert_eq!(
        said,
        [
            "host api.example.com, x-infra-test: true → api-blue 0, api-green 100",
            "host example.com www.example.com, x-infra-test: true → web-blue 0, web-green 100",
            "host api.example.com → api-blue 100, api-green 0",
            "host example.com www.example.com → web-blue 100, web-green 0",
        ]
    );
}

fn conditions(rule: &Rule) -> String {
    let condition = |condition: &aws_sdk_elasticloadbalancingv2::types::RuleCondition| {
        if let Some(header) = condition.http_header_config() {
            return format!("{}: {}", header.http_header_name().unwrap(), header.values().join(" "));
        }
        let hosts = condition.host_header_config().map(|hosts| format!("host {}", hosts.values().join(" ")));
        hosts.unwrap_or_else(|| format!("path {}", condition.path_pattern_config().unwrap().values().join(" ")))
    };
    let mut conditions: Vec<String> = rule.conditions().iter().map(condition).collect();
    conditions.sort();
    conditions.join(", ")
}

fn weights(actions: &[Action], targets: &BTreeMap<String, String>) -> String {
    let [action] = actions else { panic!("{actions:?}") };
    let forward = action.forward_config().unwrap();
    let sticky = forward.target_group_stickiness_config().and_then(TargetGroupStickinessConfig::enabled);
    assert_ne!(sticky, Some(true), "a switch moves everybody");
    let weight = |group: &aws_sdk_elasticloadbalancingv2::types::TargetGroupTuple| {
        format!("{} {}", targets[group.target_group_arn().unwrap()], group.weight().unwrap())
    };
    let mut weights: Vec<String> = forward.target_groups().iter().map(weight).collect();
    weights.sort();
    weights.join(", ")
}
