//! Buckets, and the trail that writes to one.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Tag, Tagging};
use infra::address::Address;
use infra::kind::{Class, Kind, Live};
use infra::kinds::bucket::{Archive, Bucket, LifecycleRule, Ownership, StorageClass};
use infra::kinds::trail::Trail;
use infra::policy::{self, Policy};
use infra::tags::Tags;

use crate::support::Bench;

const NAME: &str = "acme-test-uploads-123456789012-us-east-1";

fn rule(id: &str) -> LifecycleRule {
    LifecycleRule {
        id: id.into(),
        prefix: String::new(),
        enabled: true,
        expire_days: None,
        old_versions_days: Some(30),
        expired_markers: true,
        abort_uploads_days: Some(7),
        archive: Vec::new(),
    }
}

/// Plain HTTP is refused.
fn tls(name: &str) -> Policy {
    let arns = [format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*")];
    let deny = policy::deny(&["s3:*"], arns).to("AWS", ["*"]);
    policy::document([deny.when("Bool", "aws:SecureTransport", ["false"])])
}

fn bucket() -> Bucket {
    let temporary = LifecycleRule {
        prefix: "tmp/".into(),
        expire_days: Some(365),
        expired_markers: false,
        archive: vec![Archive { days: 90, to: StorageClass::Glacier }],
        ..rule("temporary")
    };
    Bucket {
        name: None,
        versioning: true,
        kms_key_arn: None,
        bucket_key: true,
        public: false,
        ownership: Ownership::BucketOwnerEnforced,
        policy: Some(tls(NAME)),
        lifecycle: vec![temporary, rule("all")],
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

#[tokio::test]
async fn bucket_with_all_its_parts() {
    let bench = Bench::start().await;
    let s3 = bench.aws.s3();
    s3.create_bucket().bucket("acme-test-uploads-of-others").send().await.unwrap();
    let live = bench.create("uploads", &bucket()).await;
    assert_eq!(live.outputs["name"], NAME);
    assert_eq!(live.outputs["arn"], format!("arn:aws:s3:::{NAME}"));
    assert_eq!(live.outputs["domain"], format!("{NAME}.s3.us-east-1.amazonaws.com"));

    let answer = bench.aws.kms().create_key().send().await.unwrap();
    let key = answer.key_metadata().and_then(|key| key.arn()).unwrap();
    let encrypted = Bucket { kms_key_arn: Some(key.into()), bucket_key: false, ..bucket() };
    let live = bench.update(&live, &encrypted).await;
    let live = bench.update(&live, &Bucket { bucket_key: true, ..encrypted.clone() }).await;
    let live = bench.update(&live, &Bucket { versioning: false, lifecycle: vec![rule("all")], ..bucket() }).await;
    let open = Bucket { public: true, ownership: Ownership::ObjectWriter, policy: None, ..bucket() };
    let live = bench.update(&live, &open).await;
    let bare = Bucket { lifecycle: Vec::new(), versioning: false, ..bucket() };
    let live = bench.update(&live, &bare).await;

    // S3 writes all tags at once: those of others survive.
    let mut tags = s3.get_bucket_tagging().bucket(NAME).send().await.unwrap().tag_set;
    tags.push(Tag::builder().key("added-by-others").value("yes").build().unwrap());
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build().unwrap();
    s3.put_bucket_tagging().bucket(NAME).tagging(tagging).send().await.unwrap();
    let live = bench.update(&live, &Bucket { tags: Tags::from([("cost".into(), "42".into())]), ..bare }).await;
    let tags = s3.get_bucket_tagging().bucket(NAME).send().await.unwrap().tag_set;
    let has = |key: &str| tags.iter().any(|tag| tag.key() == key);
    assert!(has("added-by-others") && has("cost") && !has("team"), "{tags:?}");

    bench.delete(&live).await;
    let left = s3.list_buckets().send().await.unwrap();
    assert_eq!(left.buckets().len(), 1, "the foreign bucket stays");
}

#[tokio::test]
async fn a_bucket_is_emptied_a_page_a_try() {
    let bench = Bench::start().await;
    let live = bench.create("uploads", &bucket()).await;
    let s3 = bench.aws.s3();
    for _ in 0..2 {
        s3.put_object().bucket(NAME).key("a b/ü.txt").body(ByteStream::from_static(b"text")).send().await.unwrap();
    }
    s3.put_object().bucket(NAME).key("deleted").body(ByteStream::from_static(b"text")).send().await.unwrap();
    s3.delete_object().bucket(NAME).key("deleted").send().await.unwrap();
    s3.create_multipart_upload().bucket(NAME).key("unfinished").send().await.unwrap();

    let failure = Bucket::delete(&bench.aws, &live).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("BucketNotEmpty", Class::Busy));
    assert!(failure.message.starts_with("5 objects, old versions and unfinished uploads"), "{failure}");
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_bucket_of_ours_is_found_again_and_one_of_others_is_refused() {
    let bench = Bench::start().await;
    bench.aws.s3().create_bucket().bucket(NAME).send().await.unwrap();
    let failure = bench.try_create("uploads", &bucket()).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    bench.aws.s3().delete_bucket().bucket(NAME).send().await.unwrap();

    let live = bench.create("uploads", &bucket()).await;
    let changed = Bucket { versioning: false, ..bucket() };
    assert_eq!(bench.try_create("uploads", &changed).await.unwrap(), live.id);
    assert!(!bench.list::<Bucket>().await[0].spec.versioning);
    // The name is that of another address.
    let named = Bucket { name: Some(NAME.into()), ..bucket() };
    assert_eq!(bench.try_create("other", &named).await.unwrap_err().code, "NameTaken");
}

fn trail(bucket: &str) -> Trail {
    Trail {
        name: None,
        bucket_name: bucket.into(),
        prefix: Some("calls".into()),
        multi_region: true,
        global_events: true,
        log_validation: true,
        kms_key_arn: None,
        logging: true,
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

/// Buckets that CloudTrail may write to.
async fn log_buckets(bench: &Bench) -> Vec<Live<Bucket>> {
    let mut made = Vec::new();
    for name in ["first", "second"] {
        let service = ["cloudtrail.amazonaws.com"];
        let policy = policy::document([
            policy::allow(&["s3:GetBucketAcl"], ["*"]).to("Service", service),
            policy::allow(&["s3:PutObject"], ["*"]).to("Service", service),
        ]);
        let spec = Bucket { policy: Some(policy), lifecycle: Vec::new(), ..bucket() };
        made.push(bench.create(name, &spec).await);
    }
    made
}

#[tokio::test]
async fn trail_that_logs() {
    let bench = Bench::start().await;
    let buckets = log_buckets(&bench).await;
    let other = bench.aws.cloudtrail().create_trail().name("acme-test-main-of-others").s3_bucket_name(&buckets[0].id);
    other.send().await.unwrap();
    let spec = trail(&buckets[0].id);
    let live = bench.create("main", &spec).await;
    assert_eq!(live.outputs["name"], "acme-test-main");
    assert_eq!(live.id, "arn:aws:cloudtrail:us-east-1:123456789012:trail/acme-test-main");
    let status = bench.aws.cloudtrail().get_trail_status().name(&live.id).send().await.unwrap();
    assert_eq!(status.is_logging(), Some(true));

    let live = bench.update(&live, &Trail { logging: false, tags: Tags::new(), ..spec.clone() }).await;
    let answer = bench.aws.kms().create_key().send().await.unwrap();
    let key = answer.key_metadata().and_then(|key| key.arn()).unwrap();
    let moved = Trail { kms_key_arn: Some(key.into()), prefix: None, ..trail(&buckets[1].id) };
    let live = bench.update(&live, &moved).await;
    let plain = Trail { multi_region: false, global_events: false, log_validation: false, ..trail(&buckets[1].id) };
    let live = bench.update(&live, &plain).await;
    bench.delete(&live).await;
    let left = bench.aws.cloudtrail().describe_trails().send().await.unwrap();
    assert_eq!(left.trail_list().len(), 1, "the foreign trail stays");
}

#[tokio::test]
async fn a_trail_waits_for_its_bucket_and_is_adopted_only_if_it_is_ours() {
    let bench = Bench::start().await;
    let closed = bench.create("closed", &Bucket { policy: None, ..bucket() }).await;
    let failure = bench.try_create("main", &trail(&closed.id)).await.unwrap_err();
    assert_eq!(failure.class, Class::Busy, "{failure}");

    let buckets = log_buckets(&bench).await;
    let live = bench.create("main", &trail(&buckets[0].id)).await;
    let stopped = Trail { logging: false, ..trail(&buckets[0].id) };
    assert_eq!(bench.try_create("main", &stopped).await.unwrap(), live.id);
    assert!(!bench.list::<Trail>().await[0].spec.logging);
    let named = Trail { name: Some("acme-test-main".into()), ..trail(&buckets[0].id) };
    assert_eq!(bench.try_create("other", &named).await.unwrap_err().code, "NameTaken");
    assert_eq!(live.identity.address, Address::new(Trail::NAME, "main"));
}
