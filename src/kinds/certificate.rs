//! A certificate of AWS Certificate Manager, requested and renewed by AWS once its domains are proven to be ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_sdk_acm::types::{
    CertificateDetail, CertificateStatus, DomainStatus, DomainValidation, Filters, KeyAlgorithm as SdkKeyAlgorithm,
    Tag, ValidationMethod,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::elb::words;
use super::tagging;
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Outputs;

/// How far back a certificate is looked for that the tagging API does not list yet.
const RECENT: Duration = Duration::from_secs(2 * 60 * 60);
/// As many alternative names as AWS allows at most; the quota of an account starts at 10.
const NAMES: usize = 100;

/// A certificate that AWS issues and renews. It is ready when its domains are proven to be yours.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// As in `example.com` or `*.example.com`.
    pub domain: String,
    /// Further domains, beside `domain`.
    #[serde(default)]
    pub alternative_names: BTreeSet<String>,
    /// How you prove that the domains are yours: by a DNS record, with which AWS also renews, or by mail.
    #[serde(default)]
    pub validation: Validation,
    #[serde(default)]
    pub key_algorithm: KeyAlgorithm,
    #[serde(default)]
    pub tags: Tags,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    #[default]
    Dns,
    Email,
}

words! {
    KeyAlgorithm {
        #[default]
        Rsa2048 = "RSA_2048",
        Rsa3072 = "RSA_3072",
        Rsa4096 = "RSA_4096",
        P256 = "EC_prime256v1",
        P384 = "EC_secp384r1",
        P521 = "EC_secp521r1",
    }
}

const OUTPUTS: &[&str] = &[
    "arn",
    "validation_1_name",
    "validation_1_value",
    "validation_2_name",
    "validation_2_value",
    "validation_3_name",
    "validation_3_value",
    "validation_4_name",
    "validation_4_value",
    "validation_5_name",
    "validation_5_value",
    "validation_6_name",
    "validation_6_value",
    "validation_7_name",
    "validation_7_value",
    "validation_8_name",
    "validation_8_value",
    "validation_9_name",
    "validation_9_value",
    "validation_10_name",
    "validation_10_value",
];

/// What `list` and `poll` say of one certificate.
fn state(live: &CertificateDetail) -> Progress {
    let reason = live.failure_reason().map_or("AWS gives no reason", |reason| reason.as_str());
    let failed = |why: String| Progress::Failed { why };
    match live.status() {
        Some(CertificateStatus::Issued) => Progress::Ready(outputs(live)),
        Some(CertificateStatus::ValidationTimedOut) => failed(format!(
            "nobody has proven within 72 hours that {} is ours, and AWS has given up",
            live.domain_name().unwrap_or_default()
        )),
        Some(CertificateStatus::Failed) => failed(format!("the certificate was refused: {reason}")),
        Some(CertificateStatus::Revoked) => failed("the certificate was revoked".to_owned()),
        Some(CertificateStatus::Expired) => failed("the certificate has expired".to_owned()),
        _ => {
            let domains = live.domain_validation_options();
            let on = proof(domains);
            let named = !domains.is_empty() && domains.iter().all(|domain| domain.resource_record().is_some());
            if named { Progress::Early { outputs: outputs(live), on } } else { Progress::Waiting { on } }
        }
    }
}

/// What is left to do by whoever owns the domains.
fn proof(domains: &[DomainValidation]) -> String {
    let open = || domains.iter().filter(|domain| domain.validation_status() != Some(&DomainStatus::Success));
    let record = |domain: &DomainValidation| {
        let record = domain.resource_record()?;
        Some(format!("{} -> {}", record.name(), record.value()))
    };
    // A domain and its wildcard share one record.
    let records: BTreeSet<String> = open().filter_map(record).collect();
    if !records.is_empty() {
        let records = records.into_iter().collect::<Vec<_>>().join(", ");
        return format!("the proof of the domain by DNS; it needs the CNAME {records}");
    }
    if open().any(|domain| domain.validation_method() == Some(&ValidationMethod::Email)) {
        let addresses: BTreeSet<&str> =
            open().flat_map(DomainValidation::validation_emails).map(String::as_str).collect();
        let addresses = addresses.into_iter().collect::<Vec<_>>().join(", ");
        return format!("the proof of the domain by mail; somebody must follow the link that AWS sent to {addresses}");
    }
    "the record that proves the domain, which AWS has not named yet".to_owned()
}

fn outputs(live: &CertificateDetail) -> Outputs {
    let arn = live.certificate_arn().unwrap_or_default();
    let mut outputs = Outputs::from([("arn".to_owned(), arn.to_owned())]);
    // A domain and its wildcard share one record.
    let records: BTreeMap<&str, _> = live
        .domain_validation_options()
        .iter()
        .filter_map(|domain| Some((proven(domain.domain_name()), domain.resource_record()?)))
        .collect();
    for (number, record) in records.values().enumerate() {
        outputs.insert(format!("validation_{}_name", number + 1), record.name().to_owned());
        outputs.insert(format!("validation_{}_value", number + 1), record.value().to_owned());
    }
    outputs
}

/// The domain whose record proves this one: a wildcard's is that of its parent. The outputs `validation_1_...`,
/// `validation_2_...` are the records of a certificate's domains, each once, in alphabetical order.
pub fn proven(domain: &str) -> &str {
    domain.strip_prefix("*.").unwrap_or(domain)
}

impl Certificate {
    fn from_live(live: &CertificateDetail, tags: Tags) -> Self {
        let mail = |domain: &DomainValidation| domain.validation_method() == Some(&ValidationMethod::Email);
        // Answers spell it RSA-2048 where requests spell it RSA_2048.
        let algorithm = live.key_algorithm().map(|algorithm| algorithm.as_str().replace('-', "_"));
        Self {
            domain: live.domain_name().unwrap_or_default().to_owned(),
            alternative_names: live.subject_alternative_names().iter().cloned().collect(),
            validation: if live.domain_validation_options().iter().any(mail) {
                Validation::Email
            } else {
                Validation::Dns
            },
            key_algorithm: KeyAlgorithm::read(algorithm.as_deref()),
            tags,
        }
    }

    async fn read(aws: &Aws, scope: &Scope, arn: &str) -> Result<Option<Live<Self>>> {
        let tags = async {
            let request = aws.acm().list_tags_for_certificate().certificate_arn(arn);
            aws.call("acm:ListTagsForCertificate", request.send()).await
        };
        let (tags, detail) = match tokio::try_join!(tags, describe(aws, arn)) {
            Err(failure) if failure.class == Class::NotFound => return Ok(None),
            other => other?,
        };
        let pair = |tag: &Tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned());
        let Some(tagged) = scope.tagged(aws, Self::NAME, &tags.tags().iter().map(pair).collect()) else {
            return Ok(None);
        };
        let spec = Self::from_live(&detail, tagged.user.clone());
        let mut live = Live::new(tagged, arn, spec);
        live.outputs = outputs(&detail);
        match state(&detail) {
            Progress::Waiting { on } | Progress::Early { on, .. } => {
                live.health = Health::Pending;
                live.notes.push(format!("it waits for {on}").into());
            }
            Progress::Failed { why } => live.health = Health::Failed(why),
            Progress::Ready(_) | Progress::Gone => {}
        }
        Ok(Some(live))
    }
}

async fn describe(aws: &Aws, arn: &str) -> Result<CertificateDetail> {
    let request = aws.acm().describe_certificate().certificate_arn(arn);
    let answer = aws.call("acm:DescribeCertificate", request.send()).await?;
    let missing =
        || Failure::new("acm:DescribeCertificate", "NoCertificate", "the answer is empty").class(Class::NotFound);
    answer.certificate.ok_or_else(missing)
}

/// The certificates of the last hours, of which the tagging API may not know yet. They have no name to look for.
async fn recent(aws: &Aws) -> Result<Vec<String>> {
    // Without this filter AWS leaves out all but RSA_2048.
    let types = SdkKeyAlgorithm::values().iter().map(|name| SdkKeyAlgorithm::from(*name)).collect();
    let filter = Filters::builder().set_key_types(Some(types)).build();
    let pages = aws.acm().list_certificates().includes(filter).into_paginator().items().send();
    let all = aws.call("acm:ListCertificates", pages.collect::<Result<Vec<_>, _>>()).await?;
    let since = SystemTime::now() - RECENT;
    let new = all.into_iter().filter(|summary| {
        let made = summary.created_at().and_then(|time| SystemTime::try_from(*time).ok());
        made.is_none_or(|made| made >= since)
    });
    Ok(new.filter_map(|summary| summary.certificate_arn).collect())
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    let wrong = |error: aws_sdk_acm::error::BuildError| Failure::new("acm:tags", "InvalidTag", error.to_string());
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(wrong)
}

fn check_domain(path: &str, domain: &str) -> Option<Problem> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let rest = domain.strip_prefix("*.").unwrap_or(domain);
    let valid = domain.len() <= 253 && rest.contains('.') && rest.split('.').all(label);
    let help = "write a name such as example.com or *.example.com, with a wildcard only in front";
    (!valid).then(|| Problem::new(path, format!("`{domain}` is not a domain that AWS certifies")).help(help))
}

impl Kind for Certificate {
    const NAME: &'static str = "certificate";
    const RIGHTS: Rights = Rights {
        read: "acm:DescribeCertificate acm:ListCertificates acm:ListTagsForCertificate",
        create: "acm:AddTagsToCertificate acm:RequestCertificate",
        update: "acm:AddTagsToCertificate acm:RemoveTagsFromCertificate",
        delete: "acm:DeleteCertificate",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["domain", "alternative_names", "validation", "key_algorithm"];
    const CREATE_FIRST: bool = true;
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = OUTPUTS;
    const HELD_BY: &'static [&'static str] = &["listener"];
    // What is left is all that its proof needs.
    const EARLY: &'static [&'static str] = OUTPUTS.split_at(1).1;
    const DEADLINE: Duration = Duration::from_secs(45 * 60);
    const MINUTES: (u16, u16) = (5, 0);

    fn normalize(&mut self) {
        self.domain.make_ascii_lowercase();
        self.alternative_names = self.alternative_names.iter().map(|name| name.to_ascii_lowercase()).collect();
        // AWS counts the domain among them.
        self.alternative_names.remove(&self.domain);
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = check_domain("domain", &self.domain).into_iter().collect();
        if self.domain.len() > 64 {
            let message = format!("{} characters, where AWS takes at most 64 in the first domain", self.domain.len());
            problems.push(Problem::new("domain", message).help("put a shorter one first and this one beside it"));
        }
        for (index, name) in self.alternative_names.iter().enumerate() {
            problems.extend(check_domain(&format!("alternative_names.{index}"), name));
        }
        if self.alternative_names.len() >= NAMES {
            let message = format!("{} names, where AWS takes fewer than {NAMES}", self.alternative_names.len());
            problems.push(Problem::new("alternative_names", message).help("use a wildcard, or two certificates"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let index = tagging::index(aws, scope).await?;
        let known: Vec<&String> =
            index.keys().filter(|arn| arn.contains(":acm:") && arn.contains(":certificate/")).collect();
        let reads = known.iter().map(|arn| Self::read(aws, scope, arn));
        let mut live: Vec<_> = try_join_all(reads).await?.into_iter().flatten().collect();
        if scope.wanted(Self::NAME).any(|wanted| !live.iter().any(|live| live.identity == wanted)) {
            let new = recent(aws).await?;
            let reads = new.iter().filter(|arn| !known.contains(arn)).map(|arn| Self::read(aws, scope, arn));
            live.extend(try_join_all(reads).await?.into_iter().flatten());
        }
        Ok(live)
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let names: Vec<_> = self.alternative_names.iter().filter(|name| **name != self.domain).cloned().collect();
        let method = match self.validation {
            Validation::Dns => ValidationMethod::Dns,
            Validation::Email => ValidationMethod::Email,
        };
        let request = aws
            .acm()
            .request_certificate()
            .domain_name(&self.domain)
            .set_subject_alternative_names((!names.is_empty()).then_some(names))
            .validation_method(method)
            .key_algorithm(SdkKeyAlgorithm::from(self.key_algorithm.word()))
            .idempotency_token(&making.token)
            .set_tags(Some(sdk_tags(&tags::encode_named(&making.identity, &self.tags))?));
        let answer = aws.call("acm:RequestCertificate", request.send()).await?;
        let missing = || Failure::new("acm:RequestCertificate", "NoArn", "the answer holds no ARN");
        answer.certificate_arn.ok_or_else(missing)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        Self::tag(aws, live, &set, &gone).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        if !set.is_empty() {
            let request = aws.acm().add_tags_to_certificate().certificate_arn(&live.id);
            aws.call("acm:AddTagsToCertificate", request.set_tags(Some(sdk_tags(set)?)).send()).await?;
        }
        if !gone.is_empty() {
            // The value must be left out, or AWS removes the tag only where it has that value.
            let gone: Result<Vec<Tag>, _> = gone.iter().map(|key| Tag::builder().key(key).build()).collect();
            let gone = gone.map_err(|error| Failure::new("acm:tags", "InvalidTag", error.to_string()))?;
            let request = aws.acm().remove_tags_from_certificate().certificate_arn(&live.id);
            aws.call("acm:RemoveTagsFromCertificate", request.set_tags(Some(gone)).send()).await?;
        }
        Ok(())
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.acm().delete_certificate().certificate_arn(&live.id);
        aws.call("acm:DeleteCertificate", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let detail = describe(aws, &live.id).await?;
        // ACM forgets late who has used a certificate.
        Ok(detail.in_use_by().iter().map(|arn| Blocker::new(arn).passing(true)).collect())
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        describe(aws, id).await.map(|detail| state(&detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_acm::types::{RecordType, ResourceRecord};

    fn domain(name: &str, record: Option<(&str, &str)>, status: DomainStatus) -> DomainValidation {
        let record = record.map(|(name, value)| {
            ResourceRecord::builder().name(name).value(value).r#type(RecordType::Cname).build().unwrap()
        });
        let domain = DomainValidation::builder().domain_name(name).set_resource_record(record);
        domain.validation_status(status).validation_method(ValidationMethod::Dns).build().unwrap()
    }

    #[test]
    fn the_missing_records_are_told_once_each() {
        let record = ("_a.example.com.", "_b.acm-validations.aws.");
        let domains = [
            domain("example.com", Some(record), DomainStatus::PendingValidation),
            domain("*.example.com", Some(record), DomainStatus::PendingValidation),
            domain("example.org", Some(("_c.example.org.", "_d.aws.")), DomainStatus::Success),
        ];
        let live = CertificateDetail::builder().domain_name("example.com").certificate_arn("arn");
        let live = live.set_domain_validation_options(Some(domains.to_vec()));
        let waiting = state(&live.clone().status(CertificateStatus::PendingValidation).build());
        let expected = "the proof of the domain by DNS; it needs the CNAME _a.example.com. -> _b.acm-validations.aws.";
        let Progress::Ready(outputs) = state(&live.status(CertificateStatus::Issued).build()) else { panic!() };
        assert_eq!(outputs["validation_1_name"], "_a.example.com.");
        assert_eq!(outputs["validation_2_name"], "_c.example.org.");
        assert_eq!(waiting, Progress::Early { outputs, on: expected.to_owned() });

        let early = [domain("example.com", None, DomainStatus::PendingValidation)];
        assert!(proof(&early).contains("not named yet"));
    }

    #[test]
    fn domains_are_checked_and_compared_in_lower_case() {
        let json =
            r#"{"domain": "Example.com", "alternative_names": ["example.com", "*.Example.com", "a.*.com", "a"]}"#;
        let mut certificate: Certificate = serde_json::from_str(json).unwrap();
        let problems: Vec<_> = certificate.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(problems, ["alternative_names.1", "alternative_names.2"]);
        certificate.normalize();
        assert_eq!(certificate.domain, "example.com");
        assert!(certificate.alternative_names.contains("*.example.com"));
        assert!(!certificate.alternative_names.contains("example.com"));
    }
}
