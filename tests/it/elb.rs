use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types as sdk;
use infra::kind::{Class, Kind, Live, Remark};
use infra::kinds::listener::{Action, FixedResponse, Listener, Protocol, Redirect, WeightedGroup};
use infra::kinds::listener_rule::{Conditions, ListenerRule, Query};
use infra::kinds::load_balancer::{DesyncMitigation, LoadBalancer, Scheme, XffHeaderProcessing};
use infra::kinds::target_group::{Algorithm, HealthCheck, ProtocolVersion, Stickiness, TargetGroup, TargetType};
use infra::tags::Tags;
use infra::value::Arg;

use crate::network::{security_group, subnets};
use crate::support::Bench;

fn args(texts: &[String]) -> Vec<Arg<String>> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn team(name: &str) -> Tags {
    Tags::from([("team".into(), name.into())])
}

async fn load_balancer(bench: &Bench, group: &str) -> LoadBalancer {
    LoadBalancer::new(Scheme::InternetFacing, args(&subnets(bench).await), vec![group.into()])
}

async fn vpc(bench: &Bench) -> Arg<String> {
    bench.aws.ec2().describe_vpcs().send().await.unwrap().vpcs()[0].vpc_id().unwrap().into()
}

async fn target_group(bench: &Bench, name: &str) -> Live<TargetGroup> {
    bench.create(name, &TargetGroup::of_addresses(vpc(bench).await, 3000)).await
}

fn weighted(groups: &[(&str, u16)]) -> Action {
    let group = |(arn, weight): &(&str, u16)| WeightedGroup { target_group_arn: (*arn).into(), weight: *weight };
    Action::Forward(groups.iter().map(group).collect())
}

fn not_found() -> Action {
    Action::FixedResponse(FixedResponse { status: 404, content_type: "text/plain".into(), body: "not found".into() })
}

fn listener(balancer: &str, port: u16, default_action: Action) -> Listener {
    Listener {
        load_balancer_arn: balancer.into(),
        port,
        protocol: Protocol::Http,
        certificate_arn: None,
        extra_certificates: Vec::new(),
        ssl_policy: None,
        default_action,
        tags: Tags::new(),
    }
}

fn rule(listener: &str, priority: u16, path: &str, action: Action) -> ListenerRule {
    ListenerRule {
        listener_arn: listener.into(),
        priority,
        conditions: Conditions { paths: [path.to_owned()].into(), ..Conditions::default() },
        action,
        tags: Tags::new(),
    }
}

/// A load balancer with our prefix in its name, made by others.
async fn foreign_balancer(bench: &Bench, name: &str) -> String {
    let request = bench.aws.elb().create_load_balancer().name(name).set_subnets(Some(subnets(bench).await));
    let answer = request.send().await.unwrap();
    answer.load_balancers()[0].load_balancer_arn().unwrap().to_owned()
}

async fn foreign_listener(bench: &Bench, balancer: &str, port: i32) -> String {
    let config = sdk::FixedResponseActionConfig::builder().status_code("503").build();
    let action = sdk::Action::builder().r#type(sdk::ActionTypeEnum::FixedResponse).fixed_response_config(config);
    let request = bench.aws.elb().create_listener().load_balancer_arn(balancer).port(port);
    let request = request.protocol(sdk::ProtocolEnum::Http).default_actions(action.build());
    request.send().await.unwrap().listeners()[0].listener_arn().unwrap().to_owned()
}

async fn attributes(bench: &Bench, arn: &str) -> BTreeMap<String, String> {
    let answer = bench.aws.elb().describe_load_balancer_attributes().load_balancer_arn(arn).send().await.unwrap();
    let pair = |attribute: &sdk::LoadBalancerAttribute| {
        (attribute.key().unwrap().to_owned(), attribute.value().unwrap_or_default().to_owned())
    };
    answer.attributes().iter().map(pair).collect()
}

#[tokio::test]
async fn load_balancers() {
    let bench = Bench::start().await;
    let group = security_group(&bench).await;
    let foreign = foreign_balancer(&bench, "acme-test-others").await;
    let spec = load_balancer(&bench, &group).await;
    let live = bench.create("public", &LoadBalancer { idle_timeout: 120, tags: team("web"), ..spec.clone() }).await;
    assert!(live.spec.name.as_deref().unwrap().starts_with("acme-test-public-"), "{:?}", live.spec.name);
    assert!(live.outputs["arn"].ends_with(&live.outputs["dimension"]) && live.outputs["dimension"].starts_with("app/"));

    let all = bench.aws.ec2().describe_subnets().send().await.unwrap();
    let all: Vec<_> = all.subnets().iter().take(3).map(|subnet| subnet.subnet_id().unwrap().into()).collect();
    let everything = LoadBalancer {
        subnets: all,
        client_keep_alive: 600,
        http2: false,
        drop_invalid_header_fields: true,
        preserve_host_header: true,
        desync_mitigation: DesyncMitigation::Strictest,
        xff_header_processing: XffHeaderProcessing::Preserve,
        xff_client_port: true,
        tls_headers: true,
        waf_fail_open: true,
        zonal_shift: true,
        deletion_protection: true,
        tags: team("api"),
        ..spec.clone()
    };
    let live = bench.update(&live, &everything).await;
    let live = bench.update(&live, &LoadBalancer { deletion_protection: true, ..spec.clone() }).await;
    assert_eq!(attributes(&bench, &live.id).await["routing.http2.enabled"], "true");

    foreign_listener(&bench, &live.id, 8080).await;
    let noted = &bench.list::<LoadBalancer>().await[0];
    assert_eq!(noted.notes, [Remark::foreign("the listener on port 8080 was added by others")]);
    bench.delete(&live).await;
    let left = bench.aws.elb().describe_load_balancers().send().await.unwrap();
    assert_eq!(left.load_balancers()[0].load_balancer_arn(), Some(foreign.as_str()));
}

#[tokio::test]
async fn target_groups() {
    let bench = Bench::start().await;
    let spec = TargetGroup::of_addresses(vpc(&bench).await, 3000);
    let live = bench.create("api-blue", &TargetGroup { slow_start: 60, tags: team("web"), ..spec.clone() }).await;
    assert!(live.outputs["dimension"].starts_with("targetgroup/acme-test-api-blue-"), "{:?}", live.outputs);
    let check = HealthCheck {
        path: Some("/health".into()),
        interval: Some(10),
        timeout: Some(3),
        healthy: 2,
        unhealthy: 3,
        matcher: Some("200-299".into()),
        port: "8080".into(),
        ..HealthCheck::default()
    };
    let everything = TargetGroup {
        health_check: check,
        deregistration_delay: 30,
        stickiness: Some(Stickiness { cookie: Some("session".into()), duration: 600 }),
        algorithm: Algorithm::LeastOutstandingRequests,
        ..spec.clone()
    };
    let live = bench.update(&live, &everything).await;
    let by_balancer = Some(Stickiness { cookie: None, duration: 60 });
    let live = bench.update(&live, &TargetGroup { stickiness: by_balancer, ..everything }).await;
    let live = bench.update(&live, &spec).await;
    bench.delete(&live).await;

    let grpc = TargetGroup { protocol_version: ProtocolVersion::Grpc, ..spec.clone() };
    let live = bench.create("grpc", &grpc).await;
    bench.delete(&live).await;
    let instances = TargetGroup { target_type: TargetType::Instance, name: Some("chosen".into()), ..spec };
    let live = bench.create("instances", &instances).await;
    assert_eq!(live.spec.name.as_deref(), Some("chosen"));
    bench.delete(&live).await;
}

#[tokio::test]
async fn names_in_use_are_adopted_or_refused() {
    let bench = Bench::start().await;
    let group = security_group(&bench).await;
    let foreign = foreign_balancer(&bench, "web").await;
    let named = LoadBalancer { name: Some("web".into()), ..load_balancer(&bench, &group).await };
    let failure = bench.try_create("public", &named).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("HeldByOthers", Class::Fatal), "{failure}");
    assert!(bench.list::<LoadBalancer>().await.is_empty());

    let spec = TargetGroup::of_addresses(vpc(&bench).await, 3000);
    let live = bench.create("api", &spec).await;
    assert_eq!(bench.try_create("api", &spec).await.unwrap(), live.id, "a lost answer");
    let mark = Tags::from([("infra:deposed".into(), "true".into())]);
    TargetGroup::tag(&bench.aws, &live, &mark, &[]).await.unwrap();
    assert!(bench.list::<TargetGroup>().await[0].deposed);
    assert_eq!(bench.try_create("api", &spec).await.unwrap_err().class, Class::Busy);

    let theirs = foreign_listener(&bench, &foreign, 80).await;
    let failure = bench.try_create("http", &listener(&foreign, 80, not_found())).await.unwrap_err();
    assert!(failure.code == "HeldByOthers" && failure.message.contains(&theirs), "{failure}");
}

#[tokio::test]
async fn listeners_and_rules() {
    let bench = Bench::start().await;
    let group = security_group(&bench).await;
    let balancer = bench.create("public", &load_balancer(&bench, &group).await).await.id;
    let (blue, green) = (target_group(&bench, "api-blue").await.id, target_group(&bench, "api-green").await.id);
    let plain = listener(&balancer, 80, not_found());
    let live = bench.create("http", &plain).await;
    assert_eq!(bench.try_create("http", &plain).await.unwrap(), live.id, "a lost answer");
    let https = Redirect {
        protocol: "HTTPS".into(),
        port: "443".into(),
        host: "#{host}".into(),
        path: "/#{path}".into(),
        query: "#{query}".into(),
        status_code: 301,
    };
    let live = bench.update(&live, &listener(&balancer, 8080, Action::Redirect(https))).await;
    let live = bench
        .update(&live, &Listener { tags: team("web"), ..listener(&balancer, 80, Action::forward(blue.as_str())) })
        .await;
    let parent = live.id.clone();

    let spec = rule(&parent, 10, "/api*", weighted(&[(&blue, 100), (&green, 0)]));
    let first = bench.create("api", &spec).await;
    assert_eq!(bench.try_create("api", &spec).await.unwrap(), first.id, "a lost answer");
    assert_eq!(bench.try_create("web", &spec).await.unwrap_err().class, Class::Busy);
    let conditions = Conditions {
        hosts: ["api.example.com".to_owned()].into(),
        headers: [("x-release".to_owned(), ["idle".to_owned()].into())].into(),
        methods: ["GET".to_owned()].into(),
        source_ips: ["192.0.2.0/24".to_owned()].into(),
        query: [Query { key: Some("v".into()), value: "2".into() }].into(),
        ..Conditions::default()
    };
    let changed = ListenerRule { conditions, priority: 20, tags: team("api"), ..spec.clone() };
    let first = bench.update(&first, &changed).await;
    let first = bench.update(&first, &ListenerRule { action: not_found(), ..spec }).await;
    bench.delete(&first).await;
    bench.delete(&live).await;
}

/// The weights of each target group, as traffic sees them.
fn weights(action: &Action) -> Vec<u16> {
    let Action::Forward(groups) = action else { panic!("{action:?}") };
    groups.iter().map(|group| group.weight).collect()
}

#[tokio::test]
async fn a_release_is_never_undone() {
    let bench = Bench::start().await;
    let group = security_group(&bench).await;
    let balancer = bench.create("public", &load_balancer(&bench, &group).await).await.id;
    let mut arns = Vec::new();
    for name in ["api-blue", "api-green", "api-third"] {
        arns.push(target_group(&bench, name).await.id);
    }
    arns.sort();
    let [blue, green, third] = &arns[..] else { panic!() };
    let parent = bench.create("http", &listener(&balancer, 80, weighted(&[(blue, 100), (green, 0)]))).await;
    let spec = rule(&parent.id, 10, "/*", weighted(&[(blue, 100), (green, 0)]));
    let planned = bench.create("api", &spec).await;

    // A release between plan and apply.
    let switched = weighted(&[(blue, 0), (green, 100)]).to_sdk().unwrap();
    let request = bench.aws.elb().modify_rule().rule_arn(&planned.id).actions(switched.clone());
    request.send().await.unwrap();
    bench.aws.elb().modify_listener().listener_arn(&parent.id).default_actions(switched).send().await.unwrap();

    let moved = rule(&parent.id, 20, "/api*", weighted(&[(blue, 100), (green, 0)]));
    moved.update(&bench.aws, &planned).await.unwrap();
    let wider = rule(&parent.id, 20, "/api*", weighted(&[(blue, 100), (green, 0), (third, 7)]));
    let live = bench.list::<ListenerRule>().await.remove(0);
    assert_eq!((weights(&live.spec.action), live.spec.priority), (vec![0, 100], 20));
    wider.update(&bench.aws, &Live { spec: moved, ..live }).await.unwrap();
    let live = bench.list::<ListenerRule>().await.remove(0);
    assert_eq!(weights(&live.spec.action), [0, 100, 7]);

    let wider = listener(&balancer, 80, weighted(&[(blue, 100), (green, 0), (third, 0)]));
    wider.update(&bench.aws, &parent).await.unwrap();
    assert_eq!(weights(&bench.list::<Listener>().await[0].spec.default_action), [0, 100, 0]);
    let mut plan = wider.clone();
    plan.take_over(&bench.list::<Listener>().await[0].spec);
    assert_eq!(weights(&plan.default_action), [0, 100, 0]);
}

#[tokio::test]
async fn a_replaced_target_group_keeps_its_share() {
    let bench = Bench::start().await;
    let group = security_group(&bench).await;
    let balancer = bench.create("public", &load_balancer(&bench, &group).await).await.id;
    let (blue, green) = (target_group(&bench, "api-blue").await, target_group(&bench, "api-green").await);
    let spec = listener(&balancer, 80, weighted(&[(&blue.id, 0), (&green.id, 100)]));
    let live = bench.create("http", &spec).await;
    let mark = Tags::from([("infra:deposed".into(), "true".into())]);
    TargetGroup::tag(&bench.aws, &green, &mark, &[]).await.unwrap();
    let other = TargetGroup { port: Some(4000), ..green.spec.clone() };
    let new = bench.try_create("api-green", &TargetGroup { name: None, ..other }).await.unwrap();
    assert_ne!(new, green.id);
    let to_new = listener(&balancer, 80, weighted(&[(&blue.id, 100), (&new, 0)]));
    to_new.update(&bench.aws, &live).await.unwrap();
    let live = bench.list::<Listener>().await.remove(0);
    let Action::Forward(groups) = &live.spec.default_action else { panic!() };
    let share = |arn: &str| groups.iter().find(|group| group.target_group_arn == arn.into()).unwrap().weight;
    assert_eq!((share(&blue.id), share(&new)), (0, 100));
}

#[tokio::test]
async fn rules_trade_places() {
    let bench = Bench::start().await;
    let group = security_group(&bench).await;
    let balancer = bench.create("public", &load_balancer(&bench, &group).await).await.id;
    let parent = bench.create("http", &listener(&balancer, 80, not_found())).await.id;
    let (a, b) = (rule(&parent, 10, "/a", not_found()), rule(&parent, 20, "/b", not_found()));
    let (live_a, live_b) = (bench.create("a", &a).await, bench.create("b", &b).await);
    // The emulator refuses to renumber two rules at once when one takes the place of the other, as AWS allows.
    let moved = bench.update(&live_b, &ListenerRule { priority: 15, ..b.clone() }).await;
    let live_a = bench.update(&live_a, &ListenerRule { priority: 20, ..a.clone() }).await;
    bench.update(&moved, &ListenerRule { priority: 10, ..b }).await;

    let request = bench.aws.elb().create_rule().listener_arn(&parent).priority(30);
    let condition = sdk::RuleCondition::builder().field("path-pattern").values("/others").build();
    request.conditions(condition).actions(not_found().to_sdk().unwrap()).send().await.unwrap();
    assert_eq!(
        bench.list::<Listener>().await[0].notes,
        [Remark::foreign("the rule with priority 30 was added by others")]
    );
    let failure = ListenerRule { priority: 30, ..a }.update(&bench.aws, &live_a).await.unwrap_err();
    assert_eq!(failure.code, "HeldByOthers", "{failure}");
}

#[tokio::test]
async fn a_listener_and_rules_on_a_load_balancer_of_others() {
    let bench = Bench::start().await;
    let foreign = foreign_balancer(&bench, "shared").await;
    let theirs = foreign_listener(&bench, &foreign, 80).await;
    let ours = bench.create("http", &listener(&foreign, 8080, not_found())).await;
    let rule = bench.create("api", &rule(&theirs, 10, "/api*", not_found())).await;
    assert!(bench.list::<LoadBalancer>().await.is_empty());
    bench.delete(&rule).await;
    bench.delete(&ours).await;
    let left = bench.aws.elb().describe_listeners().load_balancer_arn(foreign).send().await.unwrap();
    assert_eq!(left.listeners().len(), 1);
}
