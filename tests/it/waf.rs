use aws_sdk_wafv2::types::{AllowAction, DefaultAction as SdkDefault, Scope, VisibilityConfig};
use infra::kind::Kind;
use infra::kinds::ip_set::{IpSet, Version};
use infra::kinds::web_acl::{Action, DefaultAction, Managed, Rate, Rule, WebAcl};
use infra::tags::Tags;

use crate::network::subnets;
use crate::support::Bench;

fn rule(name: &str) -> Rule {
    Rule { name: name.into(), action: Action::Block, rate: None, managed: None, addresses: None, foreign: None }
}

fn rate(limit: u32, path: Option<&str>, except: Option<&str>) -> Rule {
    let rate = Rate { limit, window: 60, path: path.map(str::to_owned), except: except.map(Into::into) };
    Rule { rate: Some(rate), ..rule(&format!("rate-{limit}")) }
}

fn acl(rules: Vec<Rule>, resources: &[&str]) -> WebAcl {
    WebAcl {
        name: None,
        default_action: DefaultAction::Allow,
        rules,
        resources: resources.iter().map(|arn| (*arn).into()).collect(),
        tags: Tags::from([("team".into(), "web".into())]),
    }
}

async fn balancer(bench: &Bench, name: &str) -> String {
    let request = bench.aws.elb().create_load_balancer().name(name).set_subnets(Some(subnets(bench).await));
    request.send().await.unwrap().load_balancers()[0].load_balancer_arn().unwrap().to_owned()
}

async fn foreign(bench: &Bench, name: &str) -> String {
    let seen = VisibilityConfig::builder().sampled_requests_enabled(true).cloud_watch_metrics_enabled(true);
    let allow = SdkDefault::builder().allow(AllowAction::builder().build()).build();
    let request = bench.aws.waf().create_web_acl().name(name).scope(Scope::Regional).default_action(allow);
    let request = request.visibility_config(seen.metric_name(name).build().unwrap());
    request.send().await.unwrap().summary.unwrap().arn.unwrap()
}

/// The statements of rules nest, and what reads them goes deep where AWS's crates are built without optimisation.
#[test]
fn web_acls_and_their_load_balancers() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = std::thread::Builder::new().stack_size(16 << 20);
    test.spawn(move || runtime().block_on(life())).unwrap().join().unwrap();
}

async fn life() {
    let bench = Bench::start().await;
    let (public, other) = (balancer(&bench, "public").await, balancer(&bench, "other").await);
    let theirs = foreign(&bench, "theirs").await;
    let set = bench
        .create(
            "office",
            &IpSet {
                name: None,
                version: Version::V4,
                addresses: ["203.0.113.0/24".to_owned()].into(),
                tags: Tags::new(),
            },
        )
        .await;
    let common = Managed { name: "AWSManagedRulesCommonRuleSet".into(), count: vec!["SizeRestrictions_BODY".into()] };
    let rules = vec![
        rate(10, Some("/api/auth/*"), Some(&set.id)),
        rate(100, None, Some(&set.id)),
        Rule { managed: Some(common), ..rule("common") },
        Rule { addresses: Some(set.id.as_str().into()), action: Action::Allow, ..rule("office") },
    ];
    let live = bench.create("main", &acl(rules.clone(), &[&public])).await;
    assert_eq!(live.outputs["name"], "acme-test-main");
    let order: Vec<Rule> = rules.iter().rev().cloned().collect();
    let live = bench.update(&live, &WebAcl { tags: Tags::new(), ..acl(order, &[&public, &other]) }).await;
    let blocking = WebAcl { default_action: DefaultAction::Block, ..acl(vec![rate(200, None, None)], &[&other]) };
    let live = bench.update(&live, &blocking).await;

    // AWS would take the balancer from the web ACL of others without a word.
    let request = bench.aws.waf().associate_web_acl().web_acl_arn(&theirs).resource_arn(&public);
    request.send().await.unwrap();
    let failure = acl(Vec::new(), &[&public, &other]).update(&bench.aws, &live).await.unwrap_err();
    assert!(failure.message.contains("the web ACL theirs of others"), "{failure}");

    let live = bench.update(&live, &acl(Vec::new(), &[])).await;
    let live = bench.update(&live, &acl(Vec::new(), &[&other])).await;
    bench.delete(&live).await;
    bench.delete(&set).await;
    let left = bench.aws.waf().list_resources_for_web_acl().web_acl_arn(&theirs).send().await.unwrap();
    assert_eq!(left.resource_arns(), [public]);
}

#[tokio::test]
async fn names_in_use_are_refused_and_ours_are_found_again() {
    let bench = Bench::start().await;
    foreign(&bench, "shared").await;
    let shared = WebAcl { name: Some("shared".into()), ..acl(Vec::new(), &[]) };
    assert_eq!(bench.try_create("main", &shared).await.unwrap_err().code, "NameTaken");
    let live = bench.create("main", &acl(Vec::new(), &[])).await;
    assert_eq!(bench.try_create("main", &acl(vec![rate(50, None, None)], &[])).await.unwrap(), live.id);
    assert_eq!(bench.list::<WebAcl>().await[0].spec.rules.len(), 1);

    let ranges = |text: &str| IpSet {
        name: None,
        version: Version::V4,
        addresses: [text.to_owned()].into(),
        tags: Tags::from([("team".into(), "web".into())]),
    };
    let live = bench.create("office", &ranges("203.0.113.0/24")).await;
    let live = bench.update(&live, &IpSet { tags: Tags::new(), ..ranges("198.51.100.0/24") }).await;
    assert_eq!(bench.try_create("office", &ranges("198.51.100.7/32")).await.unwrap(), live.id);
    assert!(bench.list::<IpSet>().await[0].spec.addresses.contains("198.51.100.7/32"));
}
