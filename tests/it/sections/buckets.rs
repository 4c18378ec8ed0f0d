//! `buckets` and `audit`.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ServerSideEncryption, TransitionStorageClass};
use infra::aws::Aws;

use crate::end_to_end::site::{Site, steps};

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
keys: { main: {} }
buckets:
  uploads: {}
  exports:
    versioning: false
    expire: 90d
    archive: { after: 30d, to: infrequent_access }
    rules: [{ prefix: tmp/, expire: 7d }]
audit: { hot: 90d }
"#;
const UPLOADS: &str = "acme-test-uploads-123456789012-us-east-1";
const EXPORTS: &str = "acme-test-exports-123456789012-us-east-1";
const AUDIT: &str = "acme-test-audit-123456789012-us-east-1";
const TRAIL: &str = "arn:aws:cloudtrail:us-east-1:123456789012:trail/acme-test-main";

/// Which bucket is versioned.
async fn versioned(aws: &Aws, bucket: &str) -> bool {
    let answer = aws.s3().get_bucket_versioning().bucket(bucket).send().await.unwrap();
    answer.status() == Some(&BucketVersioningStatus::Enabled)
}

async fn policy(aws: &Aws, bucket: &str) -> serde_json::Value {
    let answer = aws.s3().get_bucket_policy().bucket(bucket).send().await.unwrap();
    serde_json::from_str(answer.policy().unwrap()).unwrap()
}

/// Each bucket is private, encrypted with the main key, and reached over TLS only.
async fn protected(aws: &Aws, bucket: &str, key: &str) {
    let blocks = aws.s3().get_public_access_block().bucket(bucket).send().await.unwrap();
    let blocks = blocks.public_access_block_configuration().unwrap();
    assert_eq!((blocks.block_public_acls(), blocks.ignore_public_acls()), (Some(true), Some(true)));
    assert_eq!((blocks.block_public_policy(), blocks.restrict_public_buckets()), (Some(true), Some(true)));
    let encryption = aws.s3().get_bucket_encryption().bucket(bucket).send().await.unwrap();
    let rule = &encryption.server_side_encryption_configuration().unwrap().rules()[0];
    let by = rule.apply_server_side_encryption_by_default().unwrap();
    assert_eq!((by.sse_algorithm(), by.kms_master_key_id()), (&ServerSideEncryption::AwsKms, Some(key)));
    assert_eq!(rule.bucket_key_enabled(), Some(true));
    let policy = policy(aws, bucket).await;
    let statements = policy["Statement"].as_array().unwrap();
    let tls = statements.iter().find(|statement| statement["Sid"] == "TlsOnly").unwrap();
    assert_eq!((&tls["Effect"], &tls["Action"]), (&"Deny".into(), &serde_json::json!(["s3:*"])));
    assert_eq!(tls["Condition"], serde_json::json!({ "Bool": { "aws:SecureTransport": ["false"] } }));
}

async fn lifecycle(aws: &Aws, bucket: &str) -> Vec<aws_sdk_s3::types::LifecycleRule> {
    let answer = aws.s3().get_bucket_lifecycle_configuration().bucket(bucket).send().await.unwrap();
    answer.rules().to_vec()
}

#[tokio::test]
async fn buckets_and_audit_from_nothing_to_nothing() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let aws = &site.aws;
    let key = site.ids("test").await["kms_key.main"].clone();
    let key = aws.kms().describe_key().key_id(key).send().await.unwrap();
    let key = key.key_metadata().unwrap().arn().unwrap();
    for bucket in [UPLOADS, EXPORTS, AUDIT] {
        protected(aws, bucket, key).await;
    }
    assert_eq!((versioned(aws, UPLOADS).await, versioned(aws, EXPORTS).await), (true, false));

    let rules = lifecycle(aws, UPLOADS).await;
    let old = rules[0].noncurrent_version_expiration().unwrap().noncurrent_days();
    assert_eq!((rules.len(), rules[0].expiration().unwrap().days(), old), (1, None, Some(30)));
    assert_eq!(rules[0].abort_incomplete_multipart_upload().unwrap().days_after_initiation(), Some(7));
    let rules = lifecycle(aws, EXPORTS).await;
    let days: Vec<_> = rules.iter().map(|rule| rule.expiration().unwrap().days()).collect();
    assert_eq!(days, [Some(90), Some(7)]);
    assert_eq!(rules[0].transitions()[0].storage_class(), Some(&TransitionStorageClass::StandardIa));

    audited(aws, key).await;
    changed_and_destroyed(&site).await;
}

/// All calls of all regions, signed and encrypted, are archived after 90 days and kept.
async fn audited(aws: &Aws, key: &str) {
    let trail = aws.cloudtrail().get_trail().name(TRAIL).send().await.unwrap();
    let trail = trail.trail().unwrap();
    assert_eq!((trail.s3_bucket_name(), trail.kms_key_id()), (Some(AUDIT), Some(key)));
    assert_eq!((trail.is_multi_region_trail(), trail.log_file_validation_enabled()), (Some(true), Some(true)));
    assert_eq!(trail.include_global_service_events(), Some(true));
    let status = aws.cloudtrail().get_trail_status().name(TRAIL).send().await.unwrap();
    assert_eq!(status.is_logging(), Some(true));
    let rules = lifecycle(aws, AUDIT).await;
    assert!(rules[0].expiration().is_none() && rules[0].noncurrent_version_expiration().is_none());
    let moves = rules[0].transitions();
    assert_eq!((moves[0].days(), moves[0].storage_class()), (Some(90), Some(&TransitionStorageClass::Glacier)));

    // Only this trail may write to the bucket and with the key.
    let from = serde_json::json!([TRAIL]);
    let bucket = policy(aws, AUDIT).await;
    let services = bucket["Statement"].as_array().unwrap().iter().filter(|one| one["Effect"] == "Allow");
    let sources: Vec<_> = services.map(|one| &one["Condition"]["StringEquals"]["aws:SourceArn"]).collect();
    assert_eq!(sources, [&from, &from]);
    let answer = aws.kms().get_key_policy().key_id(key).policy_name("default").send().await.unwrap();
    let key: serde_json::Value = serde_json::from_str(answer.policy().unwrap()).unwrap();
    let statement = key["Statement"].as_array().unwrap().iter().find(|one| one["Sid"] == "Trail").unwrap();
    assert_eq!(statement["Condition"]["StringEquals"]["aws:SourceArn"], from);
}

async fn changed_and_destroyed(site: &Site) {
    // Someone stopped the trail and opened a bucket.
    site.aws.cloudtrail().stop_logging().name(TRAIL).send().await.unwrap();
    site.aws.s3().delete_public_access_block().bucket(UPLOADS).send().await.unwrap();
    site.edit("test", "uploads: {}", "uploads: { old_versions: 90d }");
    let plan = site.plan("test").await;
    assert_eq!(steps(&plan), ["update bucket.uploads", "update trail.main"]);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;

    // What leaves the file with data in it is kept until someone names it.
    let put = site.aws.s3().put_object().bucket(EXPORTS).key("report");
    put.body(ByteStream::from_static(b"data")).send().await.unwrap();
    let file = site.read("test");
    let (before, rest) = file.split_once("  exports:\n").unwrap();
    let without = format!("{before}{}", &rest[rest.find("audit:").unwrap()..]);
    site.write("test", &without);
    let refused = site.infra("apply test --yes").await;
    assert!(refused.refused().contains("--allow-data-loss bucket.exports"), "{refused:?}");
    site.infra("apply test --yes --allow-data-loss bucket.exports").await.well();
    assert!(site.aws.s3().head_bucket().bucket(EXPORTS).send().await.is_err());

    site.infra("destroy test --confirm test").await.well();
    assert_eq!(site.live("test").await, []);
    assert_eq!(site.aws.s3().list_buckets().send().await.unwrap().buckets().len(), 0);
}
