//! `firewall`: 100 requests a minute from one address, limits of single paths, and AWS's own rules.

use aws_sdk_wafv2::types::{PositionalConstraint, Rule};

use crate::end_to_end::site::{Site, steps};

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
tags: { team: backend }
network: { cidr: 10.0.0.0/16, zones: 2 }
load_balancers:
  public: { deletion_protection: false }
  inside: { scheme: internal, deletion_protection: false }
firewall:
  rate: 100
  paths: { "/api/auth/*": 10 }
  managed: [common, bad_inputs, sql]
  count: { common: [SizeRestrictions_BODY] }
  allow: [203.0.113.0/24]
"#;

fn limit(rule: &Rule) -> (i64, i64) {
    let rate = rule.statement().and_then(|statement| statement.rate_based_statement()).expect("a limit");
    (rate.limit, rate.evaluation_window_sec)
}

#[tokio::test]
async fn it_stands_before_what_the_internet_reaches() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;

    let ids = site.ids("test").await;
    let acl = site.aws.waf().get_web_acl().arn(&ids["web_acl.main"]).send().await.unwrap().web_acl.unwrap();
    assert!(acl.default_action().is_some_and(|action| action.allow().is_some()));
    let names: Vec<&str> = acl.rules().iter().map(|rule| rule.name()).collect();
    assert_eq!(names, ["rate-api-auth-528930", "rate", "common", "bad-inputs", "sql"]);
    let [path, rate, common, ..] = acl.rules() else { panic!("{names:?}") };
    assert_eq!((limit(path), limit(rate)), ((10, 60), (100, 60)));
    assert!([path, rate].iter().all(|rule| rule.action().is_some_and(|action| action.block().is_some())));
    let scope = path.statement().unwrap().rate_based_statement().unwrap().scope_down_statement().unwrap();
    let parts = scope.and_statement().unwrap().statements();
    let matched = parts[0].byte_match_statement().unwrap();
    assert_eq!(matched.search_string.as_ref(), b"/api/auth/");
    assert_eq!(matched.positional_constraint, PositionalConstraint::StartsWith);
    let except = parts[1].not_statement().unwrap().statement().unwrap().ip_set_reference_statement().unwrap();
    assert_eq!(except.arn, ids["ip_set.allowed"]);
    let group = common.statement().unwrap().managed_rule_group_statement().unwrap();
    assert_eq!((group.vendor_name(), group.name()), ("AWS", "AWSManagedRulesCommonRuleSet"));
    assert_eq!(group.rule_action_overrides()[0].name(), "SizeRestrictions_BODY");
    let behind = site.aws.waf().list_resources_for_web_acl().web_acl_arn(acl.arn()).send().await.unwrap();
    assert_eq!(behind.resource_arns(), [ids["load_balancer.public"].clone()]);

    site.edit("test", "rate: 100", "rate: 2000");
    site.edit("test", "  allow: [203.0.113.0/24]\n", "");
    let plan = site.plan("test").await;
    assert_eq!(steps(&plan), ["delete ip_set.allowed", "update web_acl.main"]);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;

    site.infra("destroy test --confirm test").await.well();
    assert!(site.live("test").await.is_empty());
}
