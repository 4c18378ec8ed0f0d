//! The two roles of a service: one for ECS, which starts it, and one for the containers themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::environment::expand::references::whole_secret;
use crate::environment::expand::{Expansion, logs, tracing};
use crate::environment::services::{Effect, Service};
use crate::kinds::iam_role::IamRole;
use crate::policy::{self, Statement};
use crate::value::Arg;

/// The role for ECS and the role of the containers.
pub(super) fn expand(
    to: &mut Expansion,
    name: &str,
    service: &Service,
    (secrets, image, logs): (&BTreeMap<String, Arg<String>>, &Arg<String>, &Address),
    origin: [&str; 2],
) -> (Address, Address) {
    let role = |policies| IamRole::new(policy::trust("ecs-tasks.amazonaws.com"), policies);
    let start = policy::document(starting(to, service, secrets, image, logs));
    let execution = role(vec![("start", start)]);
    let execution = to.add(format!("{name}-execution"), &origin, &execution);
    let mut own = own(to, service, origin);
    if to.traced(service) {
        own.push(tracing::statement());
    }
    let policies = if own.is_empty() { Vec::new() } else { vec![("own", policy::document(own))] };
    let task = to.add(format!("{name}-task"), &origin, &role(policies));
    (execution, task)
}

/// What ECS needs to start a task: its image, its log group, and the secrets that the service names.
fn starting(
    to: &mut Expansion,
    service: &Service,
    secrets: &BTreeMap<String, Arg<String>>,
    image: &Arg<String>,
    logs: &Address,
) -> Vec<Statement> {
    let mut statements = vec![logs::writing(logs)];
    if let Some(repository) = repository(image, to.partition()) {
        let pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
        let everything: [Arg<String>; 1] = ["*".into()];
        statements.push(policy::allow(&["ecr:GetAuthorizationToken"], everything).sid("Registry"));
        statements.push(policy::allow(&pull, [repository]).sid("Image"));
    }
    let parameter = |value: &&Arg<String>| matches!(value, Arg::Known(arn) if arn.contains(":ssm:"));
    let parameters: BTreeSet<Arg<String>> = secrets.values().filter(parameter).cloned().collect();
    let read = secrets.values().filter(|value| !parameter(value));
    let read: BTreeSet<Arg<String>> = read.map(whole_secret).collect();
    let foreign = foreign_keys(parameters.iter().chain(&read), to.partition());
    if !parameters.is_empty() {
        statements.push(policy::allow(&["ssm:GetParameters"], parameters).sid("Parameters"));
    }
    if !read.is_empty() {
        statements.push(policy::allow(&["secretsmanager:GetSecretValue"], read).sid("Secrets"));
        let mut keys: BTreeSet<Arg<String>> = to.main_key().into_iter().collect();
        keys.extend(keys_of(to, service));
        if !keys.is_empty() {
            statements.push(policy::allow(&["kms:Decrypt"], keys).sid("Keys"));
        }
    }
    statements.extend(foreign);
    statements
}

/// Nothing says which keys encrypt the secrets and parameters of others: any key of their account, as long as it is the
/// service that keeps them which uses it.
fn foreign_keys<'a>(values: impl Iterator<Item = &'a Arg<String>>, partition: &str) -> Option<Statement> {
    let (mut keys, mut services) = (BTreeSet::new(), BTreeSet::new());
    for value in values {
        let Arg::Known(arn) = value else { continue };
        let ["arn", _, service, region, account, ..] = arn.split(':').collect::<Vec<_>>()[..] else { continue };
        keys.insert(format!("arn:{partition}:kms:{region}:{account}:key/*"));
        services.insert(format!("{service}.{region}.amazonaws.com"));
    }
    let allow = policy::allow(&["kms:Decrypt"], keys.clone()).sid("KeysOfOthers");
    (!keys.is_empty()).then(|| allow.when("StringEquals", "kms:ViaService", services))
}

/// The keys, other than the main one, of the secrets that a service names.
fn keys_of(to: &mut Expansion, service: &Service) -> Vec<Arg<String>> {
    let named = |secret: &&String| {
        service.secrets.values().any(|text| {
            text.as_str().contains(&format!("${{secrets.{secret}}}"))
                || text.as_str().contains(&format!("${{secrets.{secret}."))
        })
    };
    let secrets = &to.file.secrets;
    let own: Vec<_> = secrets.keys().filter(named).filter_map(|name| secrets[name].key.as_ref()).collect();
    // What is wrong with a key has been reported at its secret.
    let wrong = to.wrong.len();
    let keys: Vec<_> = own.into_iter().map(|key| to.text(key.as_str(), &["secrets"])).collect();
    to.wrong.truncate(wrong);
    // A policy names keys by ARN only.
    keys.into_iter().filter(|key| !matches!(key, Arg::Known(key) if !key.starts_with("arn:"))).collect()
}

/// The ARN of the repository of an image in ECR.
fn repository(image: &Arg<String>, partition: &str) -> Option<Arg<String>> {
    let image = match image {
        Arg::Known(image) => image,
        Arg::Reference(template) => {
            let mut outputs = template.references().map(|output| &output.of);
            return outputs.find(|of| of.kind == "ecr_repository").map(|of| Arg::output(of, "arn"));
        }
    };
    let (registry, path) = image.split_once('/')?;
    let [account, "dkr", "ecr", region, ..] = registry.split('.').collect::<Vec<_>>()[..] else { return None };
    let name = path.split(['@', ':']).next()?;
    Some(format!("arn:{partition}:ecr:{region}:{account}:repository/{name}").into())
}

/// What the file lets the containers do.
fn own(to: &mut Expansion, service: &Service, [section, name]: [&str; 2]) -> Vec<Statement> {
    let mut statements = Vec::new();
    for (at, given) in service.policies.iter().enumerate() {
        let at = at.to_string();
        let path = [section, name, "policies", at.as_str(), "resources"];
        let resources: Vec<Arg<String>> = given.resources.iter().map(|text| to.text(text.as_str(), &path)).collect();
        let actions: Vec<&str> = given.actions.iter().map(String::as_str).collect();
        let mut statement = match given.effect {
            Effect::Allow => policy::allow(&actions, resources),
            Effect::Deny => policy::deny(&actions, resources),
        };
        for (operator, keys) in &given.conditions {
            for (key, values) in keys {
                let path = [section, name, "policies", at.as_str(), "conditions"];
                let values: Vec<Arg<String>> = values.iter().map(|text| to.text(text.as_str(), &path)).collect();
                statement = statement.when(operator, key, values);
            }
        }
        statements.push(statement);
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Part, Template};

    #[test]
    fn an_image_in_ecr_leads_to_its_repository() {
        for (image, expected) in [
            (
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/api:1.2",
                Some("arn:aws:ecr:eu-west-1:123456789012:repository/team/api"),
            ),
            ("nginx:1.27", None),
            ("ghcr.io/acme/api", None),
        ] {
            let expected = expected.map(Arg::from);
            assert_eq!(repository(&image.into(), "aws"), expected, "{image}");
        }
    }

    #[test]
    fn an_image_in_a_registry_of_the_file_leads_to_its_repository() {
        let api = Address::new("ecr_repository", "api");
        let image = |output: &str| {
            let url = Part::Output(crate::value::Output { of: api.clone(), name: output.to_owned() });
            Arg::Reference(Template(vec![url, Part::Text(":v1.2.0".to_owned())]))
        };
        assert_eq!(repository(&image("url"), "aws"), Some(Arg::output(&api, "arn")));
        let other = Arg::output(&Address::new("secret", "api"), "arn");
        assert_eq!(repository(&other, "aws"), None);
    }

    #[test]
    fn secrets_of_others_are_decrypted_by_the_service_that_keeps_them_only() {
        let ours: Arg<String> = Arg::output(&Address::new("secret", "jwt"), "arn");
        assert!(foreign_keys([&ours, &"<existing.x.arn>".into()].into_iter(), "aws").is_none());
        let theirs = "arn:aws:secretsmanager:eu-west-1:210987654321:secret:jwt-AbCdEf".into();
        let statement = foreign_keys([&ours, &theirs].into_iter(), "aws").unwrap();
        let written = crate::policy::document([statement]).to_json().unwrap();
        assert!(written.contains("arn:aws:kms:eu-west-1:210987654321:key/*"), "{written}");
        assert!(written.contains(r#""kms:ViaService":["secretsmanager.eu-west-1.amazonaws.com"]"#), "{written}");
    }
}
