//! What happens to the objects of a bucket as they grow old.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule as Sdk, LifecycleRuleFilter,
    NoncurrentVersionExpiration, Transition, TransitionStorageClass,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::invalid;
use super::read::unset;
use crate::aws::Aws;
use crate::kind::{Problem, Result};

const ID_LIMIT: usize = 255;
/// S3 moves nothing to infrequent access that is younger.
const LEAST_INFREQUENT_DAYS: u32 = 30;

/// What happens to objects as they grow old. At least one of the numbers of days, or `expired_markers`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LifecycleRule {
    /// The rule's name within the bucket.
    pub id: String,
    /// How the names of the objects begin that it is for; left out, all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    #[serde(default = "super::yes")]
    pub enabled: bool,
    /// Days after which objects are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_days: Option<u32>,
    /// Days after which what was overwritten or deleted goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_versions_days: Option<u32>,
    /// Whether the marks of deleted objects go once all their versions are gone. With `expire_days` S3 does so anyway.
    #[serde(default)]
    pub expired_markers: bool,
    /// Days after which uploads that were never finished are given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_uploads_days: Option<u32>,
    /// Moves to cheaper storage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<Archive>,
}

/// A move to cheaper storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Days after which objects move.
    pub days: u32,
    pub to: StorageClass,
}

/// Storage for what is seldom read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageClass {
    /// Half the price, and a price for each read.
    InfrequentAccess,
    /// Infrequent access in one zone only: lost with its zone.
    OneZone,
    /// S3 watches what is read and moves each object by itself.
    IntelligentTiering,
    /// A fifth of the price, read at once, for what is read once a quarter.
    GlacierInstant,
    /// A sixth of the price; a read takes minutes to hours.
    Glacier,
    /// A twentieth of the price; a read takes half a day.
    DeepArchive,
}

impl StorageClass {
    const ALL: [Self; 6] = [
        Self::InfrequentAccess,
        Self::OneZone,
        Self::IntelligentTiering,
        Self::GlacierInstant,
        Self::Glacier,
        Self::DeepArchive,
    ];

    fn to_sdk(self) -> TransitionStorageClass {
        match self {
            Self::InfrequentAccess => TransitionStorageClass::StandardIa,
            Self::OneZone => TransitionStorageClass::OnezoneIa,
            Self::IntelligentTiering => TransitionStorageClass::IntelligentTiering,
            Self::GlacierInstant => TransitionStorageClass::GlacierIr,
            Self::Glacier => TransitionStorageClass::Glacier,
            Self::DeepArchive => TransitionStorageClass::DeepArchive,
        }
    }

    fn from_sdk(class: &TransitionStorageClass) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.to_sdk() == *class)
    }
}

impl LifecycleRule {
    pub(super) fn normalize(&mut self) {
        self.archive.sort();
    }

    pub(super) fn to_sdk(&self) -> Result<Sdk> {
        let days = |days: u32| days.cast_signed();
        let expiration = match self.expire_days {
            Some(after) => Some(LifecycleExpiration::builder().days(days(after)).build()),
            None if self.expired_markers => {
                Some(LifecycleExpiration::builder().expired_object_delete_marker(true).build())
            }
            None => None,
        };
        let old = self.old_versions_days;
        let old = old.map(|after| NoncurrentVersionExpiration::builder().noncurrent_days(days(after)).build());
        let abort = self.abort_uploads_days;
        let abort =
            abort.map(|after| AbortIncompleteMultipartUpload::builder().days_after_initiation(days(after)).build());
        let moves = self
            .archive
            .iter()
            .map(|archive| Transition::builder().days(days(archive.days)).storage_class(archive.to.to_sdk()).build());
        let status = if self.enabled { ExpirationStatus::Enabled } else { ExpirationStatus::Disabled };
        let rule = Sdk::builder()
            .id(&self.id)
            .filter(LifecycleRuleFilter::builder().prefix(&self.prefix).build())
            .status(status)
            .set_expiration(expiration)
            .set_noncurrent_version_expiration(old)
            .set_abort_incomplete_multipart_upload(abort)
            .set_transitions(Some(moves.collect::<Vec<_>>()).filter(|moves| !moves.is_empty()));
        rule.build().map_err(|error| invalid("s3:PutBucketLifecycleConfiguration", &error))
    }

    /// The rule as S3 tells it. One that holds what no file can say gets a name that no file has, so that it differs.
    fn from_sdk(rule: &Sdk) -> Self {
        let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
        let expiration = rule.expiration();
        let old = rule.noncurrent_version_expiration();
        let moves = rule.transitions().iter().filter_map(|one| {
            Some(Archive { days: days(one.days())?, to: StorageClass::from_sdk(one.storage_class()?)? })
        });
        #[allow(deprecated, reason = "rules of others may have their prefix in the place that S3 had for it first")]
        let prefix = rule.filter().and_then(|filter| filter.prefix()).or(rule.prefix()).unwrap_or_default();
        let mut own = Self {
            id: rule.id().unwrap_or_default().to_owned(),
            prefix: prefix.to_owned(),
            enabled: *rule.status() == ExpirationStatus::Enabled,
            expire_days: days(expiration.and_then(LifecycleExpiration::days)),
            old_versions_days: days(old.and_then(NoncurrentVersionExpiration::noncurrent_days)),
            expired_markers: expiration.and_then(LifecycleExpiration::expired_object_delete_marker) == Some(true),
            abort_uploads_days: days(
                rule.abort_incomplete_multipart_upload().and_then(|abort| abort.days_after_initiation()),
            ),
            archive: moves.collect(),
        };
        let foreign = rule.filter().is_some_and(|filter| {
            filter.tag().is_some()
                || filter.and().is_some()
                || filter.object_size_greater_than().is_some()
                || filter.object_size_less_than().is_some()
        });
        let dated = expiration.is_some_and(|expiration| expiration.date().is_some());
        let kept = old.is_some_and(|old| old.newer_noncurrent_versions().is_some());
        let moved = own.archive.len() != rule.transitions().len() || !rule.noncurrent_version_transitions().is_empty();
        if foreign || dated || kept || moved {
            own.id = format!("{} (of others)", own.id);
        }
        own
    }
}

/// The rules of a bucket.
pub(super) async fn read(aws: &Aws, name: &str) -> Result<Vec<LifecycleRule>> {
    let request = aws.s3().get_bucket_lifecycle_configuration().bucket(name);
    let answer = aws.call("s3:GetBucketLifecycleConfiguration", request.send()).await;
    let answer = unset(answer, "NoSuchLifecycleConfiguration")?;
    let rules = answer.and_then(|answer| answer.rules).unwrap_or_default();
    Ok(rules.iter().map(LifecycleRule::from_sdk).collect())
}

pub(super) fn check(rules: &[LifecycleRule]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let mut problem = |field: &str, message: String, help: &str| {
            problems.push(Problem::new(&format!("lifecycle.{at}{field}"), message).help(help));
        };
        if rule.id.is_empty() || rule.id.len() > ID_LIMIT {
            problem(".id", "the rule has no name that S3 takes".into(), "write 1 to 255 characters");
        }
        if rules[..at].iter().any(|other| other.id == rule.id) {
            problem(".id", format!("two rules are named `{}`", rule.id), "name each rule once");
        }
        let days = [rule.expire_days, rule.old_versions_days, rule.abort_uploads_days];
        if days.contains(&Some(0)) {
            problem("", "a number of days begins at 1".into(), "write 1 or more, or leave the line out");
        }
        if days == [None; 3] && rule.archive.is_empty() && !rule.expired_markers {
            problem("", "the rule does nothing".into(), "write after how many days it does what, or remove it");
        }
        if rule.expired_markers && rule.expire_days.is_some() {
            problem(
                ".expired_markers",
                "S3 removes the marks by itself where objects expire".into(),
                "remove `expired_markers`",
            );
        }
        for archive in &rule.archive {
            let infrequent = matches!(archive.to, StorageClass::InfrequentAccess | StorageClass::OneZone);
            if infrequent && archive.days < LEAST_INFREQUENT_DAYS {
                let message = format!("S3 moves nothing to infrequent access after {} days", archive.days);
                problem(".archive", message, "write 30 days or more");
            }
            if let Some(expire) = rule.expire_days.filter(|expire| *expire <= archive.days) {
                let message = format!("objects go after {expire} days, before they would move after {}", archive.days);
                problem(".archive", message, "let them move earlier, or go later");
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> LifecycleRule {
        LifecycleRule {
            id: "all".into(),
            prefix: String::new(),
            enabled: true,
            expire_days: None,
            old_versions_days: Some(30),
            expired_markers: true,
            abort_uploads_days: Some(7),
            archive: Vec::new(),
        }
    }

    #[test]
    fn rules_come_back_as_they_were_sent() {
        let archive = StorageClass::ALL.map(|to| Archive { days: 90, to }).to_vec();
        for rule in [
            rule(),
            LifecycleRule { prefix: "logs/".into(), enabled: false, ..rule() },
            LifecycleRule { expire_days: Some(365), expired_markers: false, archive, ..rule() },
        ] {
            assert_eq!(LifecycleRule::from_sdk(&rule.to_sdk().unwrap()), rule);
        }
    }

    #[test]
    fn a_rule_with_what_no_file_can_say_differs() {
        let mut sdk = rule().to_sdk().unwrap();
        sdk.filter = Some(LifecycleRuleFilter::builder().object_size_less_than(1000).build());
        assert_ne!(LifecycleRule::from_sdk(&sdk).id, rule().id);
    }

    #[test]
    fn limits_of_s3() {
        let early = Archive { days: 10, to: StorageClass::InfrequentAccess };
        let late = Archive { days: 90, to: StorageClass::Glacier };
        for (rules, path) in [
            (vec![rule(), rule()], "lifecycle.1.id"),
            (vec![LifecycleRule { expire_days: Some(0), expired_markers: false, ..rule() }], "lifecycle.0"),
            (vec![LifecycleRule { archive: vec![early], ..rule() }], "lifecycle.0.archive"),
            (
                vec![LifecycleRule { expire_days: Some(90), expired_markers: false, archive: vec![late], ..rule() }],
                "lifecycle.0.archive",
            ),
            (vec![LifecycleRule { expire_days: Some(90), ..rule() }], "lifecycle.0.expired_markers"),
        ] {
            let paths: Vec<_> = check(&rules).into_iter().map(|problem| problem.path).collect();
            assert_eq!(paths, [path]);
        }
        assert!(check(&[rule()]).is_empty());
    }
}
