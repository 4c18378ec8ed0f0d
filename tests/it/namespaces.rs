use infra::kinds::namespace::Namespace;
use infra::tags::Tags;

use crate::support::Bench;

fn namespace() -> Namespace {
    let tags = Tags::from([("team".into(), "backend".into())]);
    Namespace { name: None, description: "How services find each other".into(), tags }
}

#[tokio::test]
async fn namespace_lives_and_dies() {
    let bench = Bench::start().await;
    bench.aws.namespaces().create_http_namespace().name("acme-test-others").send().await.unwrap();
    let live = bench.create("main", &namespace()).await;
    assert_eq!((live.id.as_str(), live.outputs["name"].as_str()), ("acme-test-main", "acme-test-main"));
    assert!(live.outputs["arn"].ends_with(&live.outputs["id"]));
    let live = bench.update(&live, &Namespace { description: "other".into(), ..namespace() }).await;
    let live = bench.update(&live, &Namespace { tags: Tags::new(), ..namespace() }).await;
    // As long as something is in it, AWS keeps it.
    let request = bench.aws.namespaces().create_service().name("s").namespace_id(&live.outputs["id"]);
    let service = request.send().await.unwrap().service.unwrap();
    let failure = <Namespace as infra::kind::Kind>::delete(&bench.aws, &live).await.unwrap_err();
    assert_eq!(failure.class, infra::kind::Class::Busy, "{failure}");
    bench.aws.namespaces().delete_service().id(service.id().unwrap()).send().await.unwrap();
    bench.delete(&live).await;
    let left = bench.aws.namespaces().list_namespaces().send().await.unwrap();
    let left: Vec<_> = left.namespaces().iter().filter_map(|found| found.name()).collect();
    assert_eq!(left, ["acme-test-others"]);
}

#[tokio::test]
async fn a_namespace_of_others_is_not_taken() {
    let bench = Bench::start().await;
    let named = || Namespace { name: Some("shared".into()), ..namespace() };
    bench.create("main", &named()).await;
    // The same run again, after an answer that was lost.
    assert_eq!(bench.try_create("main", &named()).await.unwrap(), "shared");
    let failure = bench.try_create("other", &named()).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken", "{failure}");
    assert!(failure.message.contains("it belongs to namespace.main of acme test"), "{failure}");
}
