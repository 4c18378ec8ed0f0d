use std::collections::BTreeMap;

use infra::address::Address;
use infra::kind::{Kind, Making};
use infra::kinds::iam_role::IamRole;
use infra::policy::{allow, document, trust};
use infra::tags::Tags;

use crate::support::{Bench, Emulator, REGION, scope};

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/acme-boundary";

pub fn role() -> IamRole {
    let read = document([allow(&["s3:GetObject"], ["arn:aws:s3:::acme-data/*"]).when(
        "Bool",
        "aws:SecureTransport",
        ["true"],
    )]);
    IamRole {
        name: None,
        trust: trust("ecs-tasks.amazonaws.com"),
        policies: BTreeMap::from([("read".into(), read)]),
        attached: Vec::new(),
        max_session_seconds: 3600,
        permissions_boundary: None,
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

fn making(name: &str) -> Making {
    Making {
        identity: scope(&[]).identity(&Address::new(IamRole::NAME, name)),
        account: "123456789012".into(),
        region: REGION.into(),
        partition: "aws".into(),
        token: format!("run2{name}"),
    }
}

/// A managed policy to attach.
async fn managed(bench: &Bench, name: &str) -> String {
    let text = document([allow(&["logs:PutLogEvents"], ["*"])]).to_json().unwrap();
    let answer = bench.aws.iam().create_policy().policy_name(name).policy_document(text).send().await.unwrap();
    answer.policy().unwrap().arn().unwrap().to_owned()
}

#[tokio::test]
async fn role_with_policies() {
    let bench = Bench::start().await;
    let logs = managed(&bench, "acme-logs").await;
    let traces = managed(&bench, "acme-traces").await;
    managed(&bench, "acme-boundary").await;
    let first = IamRole { attached: vec![traces.as_str().into(), logs.as_str().into()], ..role() };
    let live = bench.create("api", &first).await;
    assert_eq!(live.outputs["name"], "acme-test-api");
    assert!(live.outputs["arn"].ends_with(":role/infra/acme/test/acme-test-api"), "{:?}", live.outputs);

    let write = document([allow(&["s3:PutObject", "s3:GetObject"], ["arn:aws:s3:::acme-data/*"])]);
    let second = IamRole {
        trust: trust("lambda.amazonaws.com"),
        policies: BTreeMap::from([("write".into(), write)]),
        attached: vec![logs.as_str().into()],
        max_session_seconds: 7200,
        permissions_boundary: Some(BOUNDARY.into()),
        tags: Tags::new(),
        ..first
    };
    let live = bench.update(&live, &second).await;
    let live = bench.update(&live, &IamRole { permissions_boundary: None, ..second }).await;

    // What others added to our role goes with it.
    let text = document([allow(&["s3:*"], ["*"])]).to_json().unwrap();
    let added = bench.aws.iam().put_role_policy().role_name(&live.id).policy_name("added").policy_document(text);
    added.send().await.unwrap();
    assert_eq!(bench.list::<IamRole>().await[0].spec.policies.len(), 2);
    bench.delete(&live).await;
}

/// What is listed already, other reads may not know yet.
#[tokio::test]
async fn a_role_that_was_made_just_now_is_listed() {
    let emulator = Emulator::strict().await;
    emulator.set("strict", r#"{ "lag": 60 }"#).await;
    let aws = emulator.aws().await;
    let id = role().create(&aws, &making("api")).await.unwrap();
    assert!(aws.iam().get_role().role_name(&id).send().await.is_err(), "it does not show by name");
    let roles = IamRole::list(&aws, &scope(&[])).await.unwrap();
    assert_eq!(roles.iter().map(|live| &live.id).collect::<Vec<_>>(), [&id]);
}

#[tokio::test]
async fn a_role_of_others_is_refused_and_one_of_ours_is_found_again() {
    let bench = Bench::start().await;
    let foreign = bench.aws.iam().create_role().role_name("acme-test-api");
    foreign.assume_role_policy_document(trust("ec2.amazonaws.com").to_json().unwrap()).send().await.unwrap();
    let failure = role().create(&bench.aws, &making("api")).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    assert!(bench.list::<IamRole>().await.is_empty());

    let wanted = IamRole::list(&bench.aws, &scope(&["iam_role.api", "iam_role.none"])).await.unwrap();
    assert!(wanted.is_empty(), "a name proves nothing");

    let live = bench.create("web", &role()).await;
    let changed = IamRole { trust: trust("ec2.amazonaws.com"), policies: BTreeMap::new(), ..role() };
    assert_eq!(changed.create(&bench.aws, &making("web")).await.unwrap(), live.id);
    let live = bench.update(&live, &changed).await;
    bench.delete(&live).await;
    assert!(bench.aws.iam().get_role().role_name("acme-test-api").send().await.is_ok(), "the foreign role stays");
}
