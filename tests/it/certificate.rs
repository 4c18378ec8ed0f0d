use infra::kind::{Kind, Progress};
use infra::kinds::certificate::{Certificate, KeyAlgorithm, Validation};
use infra::kinds::listener::{Action, FixedResponse, Listener, Protocol};
use infra::tags::Tags;

use crate::network::subnets;
use crate::support::Bench;

fn certificate(domain: &str) -> Certificate {
    Certificate {
        domain: domain.into(),
        alternative_names: [format!("*.{domain}")].into(),
        validation: Validation::Dns,
        key_algorithm: KeyAlgorithm::P256,
        tags: Tags::from([("team".into(), "web".into())]),
    }
}

#[tokio::test]
async fn certificates() {
    let bench = Bench::start().await;
    let foreign = bench.aws.acm().request_certificate().domain_name("example.org").send().await.unwrap();
    let spec = certificate("example.com");
    let id = bench.try_create("other", &certificate("example.net")).await.unwrap();
    let Progress::Early { on, .. } = Certificate::poll(&bench.aws, &id).await.unwrap() else {
        panic!("issued at once")
    };
    assert!(on.contains("CNAME") && on.contains("example.net"), "{on}");
    let other = bench.list::<Certificate>().await.remove(0);
    assert_eq!(other.health, infra::kind::Health::Pending);
    assert!(other.notes[0].text.contains("CNAME") && !other.outputs["validation_1_value"].is_empty(), "{other:?}");
    Certificate::delete(&bench.aws, &other).await.unwrap();

    let live = bench.create("site", &spec).await;
    let plain = Certificate { tags: Tags::new(), ..spec };
    let live = bench.update(&live, &plain).await;
    bench.delete(&live).await;
    let left = bench.aws.acm().describe_certificate().certificate_arn(foreign.certificate_arn().unwrap()).send().await;
    assert!(left.is_ok());
}

#[tokio::test]
async fn certificates_of_a_listener() {
    let bench = Bench::start().await;
    let mut arns = Vec::new();
    for name in ["a", "b", "c"] {
        arns.push(bench.create(name, &certificate(&format!("{name}.example.com"))).await.id);
    }
    let request = bench.aws.elb().create_load_balancer().name("acme-test-web").set_subnets(Some(subnets(&bench).await));
    let balancer = request.send().await.unwrap().load_balancers()[0].load_balancer_arn().unwrap().to_owned();
    let response = FixedResponse { status: 404, content_type: "text/plain".into(), body: String::new() };
    let plain = Listener {
        load_balancer_arn: balancer.as_str().into(),
        port: 80,
        protocol: Protocol::Http,
        certificate_arn: None,
        extra_certificates: Vec::new(),
        ssl_policy: None,
        default_action: Action::FixedResponse(response),
        tags: Tags::new(),
    };
    let secure = |own: &str, extra: &[&str], policy: Option<&str>| Listener {
        port: 443,
        protocol: Protocol::Https,
        certificate_arn: Some(own.into()),
        extra_certificates: extra.iter().map(|arn| (*arn).into()).collect(),
        ssl_policy: policy.map(str::to_owned),
        ..plain.clone()
    };
    let [a, b, c] = &arns[..] else { panic!() };
    let modern = Some("ELBSecurityPolicy-TLS13-1-2-2021-06");
    let live = bench.create("https", &secure(a, &[b], modern)).await;
    let live = bench.update(&live, &secure(a, &[b, c], None)).await;
    // The emulator has one list for the listener's own certificate and the further ones, so they cannot trade places.
    let live = bench.update(&live, &secure(a, &[c], modern)).await;
    let live = bench.update(&live, &plain).await;
    let live = bench.update(&live, &secure(c, &[a, b], modern)).await;
    bench.delete(&live).await;
}
