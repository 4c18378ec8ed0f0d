//! `keys`, `secrets` and `certificates`: one resource each.

use super::Expansion;
use crate::environment::secrets::{Charset, Generate, Part};
use crate::kinds::certificate::{Certificate, KeyAlgorithm, Validation};
use crate::kinds::kms_key::KmsKey;
use crate::kinds::secret;
use crate::policy::{self, Policy};
use crate::tags::Tags;
use crate::value::Arg;

pub(super) fn expand(to: &mut Expansion) {
    for (name, key) in &to.file.keys {
        let description = match key.description.as_str() {
            "" => format!("{} {}: {name}", to.file.project, to.name),
            text => text.to_owned(),
        };
        let spec = KmsKey {
            description,
            policy: Some(key_policy(to)),
            enabled: true,
            rotation: true,
            rotation_days: u32::try_from(key.rotation.days()).ok(),
            deletion_window_days: u32::from(key.deletion_window),
            alias: None,
            multi_region: false,
            tags: Tags::new(),
        };
        to.add(name, &["keys", name], &spec);
    }
    for (name, secret) in &to.file.secrets {
        let origin = ["secrets", name];
        let key = secret.key.as_ref().map(|key| to.text(key.as_str(), &["secrets", name, "key"]));
        let json = secret.json.as_ref().map(|parts| {
            let part = |(key, part): (&String, &Part)| {
                let part = match part {
                    Part::Plain(text) => secret::Part::Text(to.text(text.as_str(), &["secrets", name, "json", key])),
                    Part::Generated(part) => secret::Part::Generate(generate(&part.generate)),
                };
                (key.clone(), part)
            };
            parts.iter().map(part).collect()
        });
        let spec = secret::Secret {
            name: None,
            description: secret.description.clone().unwrap_or_default(),
            kms_key_arn: key.or_else(|| to.main_key()),
            generate: secret.generate.as_ref().map(generate),
            json,
            recovery_window_days: 30,
            policy: None,
            rotation: None,
            tags: Tags::new(),
        };
        to.add(name, &origin, &spec);
    }
    for (name, certificate) in &to.file.certificates {
        if let Some(domain) = &certificate.domain {
            let spec = Certificate {
                domain: domain.clone(),
                alternative_names: certificate.names.iter().cloned().collect(),
                validation: Validation::default(),
                key_algorithm: KeyAlgorithm::default(),
                tags: Tags::new(),
            };
            to.add(name, &["certificates", name], &spec);
        }
    }
}

fn generate(generate: &Generate) -> secret::Generate {
    let charset = match generate.charset {
        Charset::Alphanumeric => secret::Charset::Alphanumeric,
        Charset::Ascii => secret::Charset::Ascii,
        Charset::Hex => secret::Charset::Hex,
        Charset::Base64 => secret::Charset::Base64,
    };
    secret::Generate { length: u32::from(generate.length), charset, exclude: generate.exclude.clone() }
}

/// The account's own policies decide who uses the key, and CloudWatch Logs may for the account's log groups.
fn key_policy(to: &Expansion) -> Policy {
    let (account, region) = (&to.file.account, &to.file.region);
    let partition = to.partition();
    let everything: [Arg<String>; 1] = ["*".into()];
    let root: Arg<String> = format!("arn:{partition}:iam::{account}:root").into();
    let groups: Arg<String> = format!("arn:{partition}:logs:{region}:{account}:log-group:*").into();
    let logs = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"];
    let mut statements = vec![
        policy::allow(&["kms:*"], everything.clone()).sid("Account").to("AWS", [root]),
        policy::allow(&logs, everything).sid("Logs").to("Service", [format!("logs.{region}.amazonaws.com")]).when(
            "ArnLike",
            "kms:EncryptionContext:aws:logs:arn",
            [groups],
        ),
    ];
    statements.extend(to.trail_uses_key());
    statements.extend(super::notifications::key_statements(to));
    policy::document(statements)
}
