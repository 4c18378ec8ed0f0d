//! `buckets` and `audit`: S3 buckets, and the trail that writes to one.

use super::Expansion;
use crate::address::{Address, Identity};
use crate::environment::audit::Audit;
use crate::environment::buckets::{self, Bucket as Section};
use crate::environment::types::Duration;
use crate::kinds::bucket::{self, Archive, Bucket, LifecycleRule, Ownership, StorageClass};
use crate::kinds::trail::{self, Trail};
use crate::policy::{self, Statement};
use crate::tags::Tags;
use crate::value::Arg;

/// Days after which uploads that were never finished are given up: what they left costs and is not seen.
const UNFINISHED_DAYS: u32 = 7;
/// The bucket of the section `audit`, and the trail.
const AUDIT: &str = "audit";
const TRAIL: &str = "main";

pub(super) fn expand(to: &mut Expansion) {
    for (name, section) in &to.file.buckets {
        let key = section.key.as_ref().map(|key| to.text(key.as_str(), &["buckets", name, "key"]));
        let lifecycle = lifecycle(section);
        let spec = bucket(to, name, key.or_else(|| to.main_key()), section.versioning, lifecycle, Vec::new());
        to.add(name, &["buckets", name], &spec);
    }
    if let Some(audit) = &to.file.audit {
        audit_log(to, audit);
    }
}

fn bucket(
    to: &Expansion,
    name: &str,
    kms_key_arn: Option<Arg<String>>,
    versioning: bool,
    lifecycle: Vec<LifecycleRule>,
    mut statements: Vec<Statement>,
) -> Bucket {
    let arn = bucket_arn(to, name);
    let resources = [arn.clone(), format!("{arn}/*")];
    let plain = policy::deny(&["s3:*"], resources).sid("TlsOnly").to("AWS", ["*"]);
    statements.push(plain.when("Bool", "aws:SecureTransport", ["false"]));
    Bucket {
        name: None,
        versioning,
        kms_key_arn,
        bucket_key: true,
        public: false,
        ownership: Ownership::BucketOwnerEnforced,
        policy: Some(policy::document(statements)),
        lifecycle,
        tags: Tags::new(),
    }
}

/// The ARN of a bucket before there is one: its own policy names it.
fn bucket_arn(to: &Expansion, name: &str) -> String {
    let address = Address::new("bucket", name);
    let identity = Identity { project: to.file.project.clone(), environment: to.name.to_owned(), address };
    let name = bucket::generated_name(&identity, &to.file.account, &to.file.region);
    format!("arn:{}:s3:::{name}", to.partition())
}

fn lifecycle(section: &Section) -> Vec<LifecycleRule> {
    let all = LifecycleRule {
        expire_days: section.expire.map(days),
        old_versions_days: Some(days(section.old_versions)),
        expired_markers: section.expire.is_none(),
        abort_uploads_days: Some(UNFINISHED_DAYS),
        archive: archives(section.archive.as_ref()),
        ..rule("all")
    };
    let some = section.rules.iter().map(|part| LifecycleRule {
        prefix: part.prefix.clone(),
        expire_days: part.expire.map(days),
        archive: archives(part.archive.as_ref()),
        ..rule(&part.prefix)
    });
    [all].into_iter().chain(some).collect()
}

fn rule(id: &str) -> LifecycleRule {
    LifecycleRule {
        // S3 takes 255 characters, and prefixes may be longer.
        id: if id.len() > 255 { crate::address::short_hash(id) } else { id.to_owned() },
        prefix: String::new(),
        enabled: true,
        expire_days: None,
        old_versions_days: None,
        expired_markers: false,
        abort_uploads_days: None,
        archive: Vec::new(),
    }
}

fn archives(archive: Option<&buckets::Archive>) -> Vec<Archive> {
    let to = |storage| match storage {
        buckets::Storage::InfrequentAccess => StorageClass::InfrequentAccess,
        buckets::Storage::GlacierInstant => StorageClass::GlacierInstant,
        buckets::Storage::Glacier => StorageClass::Glacier,
        buckets::Storage::DeepArchive => StorageClass::DeepArchive,
    };
    archive.iter().map(|archive| Archive { days: days(archive.after), to: to(archive.to) }).collect()
}

fn days(duration: Duration) -> u32 {
    u32::try_from(duration.days()).unwrap_or(u32::MAX)
}

/// The trail, and the bucket that only it may write to.
fn audit_log(to: &mut Expansion, audit: &Audit) {
    let origin = ["audit"];
    let (arn, trail) = (bucket_arn(to, AUDIT), trail_arn(to));
    let service = "cloudtrail.amazonaws.com";
    let look = policy::allow(&["s3:GetBucketAcl"], [arn.clone()]).sid("TrailLooks").to("Service", [service]);
    let files = format!("{arn}/AWSLogs/{}/*", to.file.account);
    let write = policy::allow(&["s3:PutObject"], [files]).sid("TrailWrites").to("Service", [service]);
    let statements = vec![
        look.when("StringEquals", "aws:SourceArn", [trail.clone()]),
        write.when("StringEquals", "aws:SourceArn", [trail]).when(
            "StringEquals",
            "s3:x-amz-acl",
            ["bucket-owner-full-control"],
        ),
    ];
    let lifecycle = LifecycleRule {
        expire_days: audit.keep.map(days),
        old_versions_days: audit.keep.map(days),
        abort_uploads_days: Some(UNFINISHED_DAYS),
        archive: vec![Archive { days: days(audit.hot), to: StorageClass::Glacier }],
        ..rule("all")
    };
    let spec = bucket(to, AUDIT, to.main_key(), true, vec![lifecycle], statements);
    let bucket = to.add(AUDIT, &origin, &spec);
    let trail = Trail {
        name: None,
        bucket_name: Arg::output(&bucket, "name"),
        prefix: None,
        multi_region: true,
        global_events: true,
        log_validation: true,
        kms_key_arn: to.main_key(),
        logging: true,
        tags: Tags::new(),
    };
    to.add(TRAIL, &origin, &trail);
}

/// The ARN of the trail before there is one: policies that let it in name it.
fn trail_arn(to: &Expansion) -> String {
    let address = Address::new("trail", TRAIL);
    let identity = Identity { project: to.file.project.clone(), environment: to.name.to_owned(), address };
    let name = trail::generated_name(&identity);
    format!("arn:{}:cloudtrail:{}:{}:trail/{name}", to.partition(), to.file.region, to.file.account)
}

impl Expansion<'_> {
    /// What the policy of a key says where the file has `audit`: its trail encrypts its files.
    pub(super) fn trail_uses_key(&self) -> Option<Statement> {
        self.file.audit.as_ref()?;
        let actions = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*"];
        let statement = policy::allow(&actions, ["*"]).sid("Trail").to("Service", ["cloudtrail.amazonaws.com"]);
        Some(statement.when("StringEquals", "aws:SourceArn", [trail_arn(self)]))
    }
}
