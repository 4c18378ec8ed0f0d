//! `pipeline`: the roles that workflows of GitHub assume. GitHub signs a token that says which repository, and which branch
//! or environment of it, a job belongs to; the roles trust exactly those.

use super::Expansion;
use super::registries::repository_name;
use crate::environment::pipeline::Github;
use crate::kinds::iam_role::IamRole;
use crate::kinds::oidc_provider::OidcProvider;
use crate::policy::{self, Policy, Statement};
use crate::rights::{self, Releases};
use crate::tags::Tags;
use crate::value::Arg;

const ISSUER: &str = "token.actions.githubusercontent.com";
const AUDIENCE: &str = "sts.amazonaws.com";
/// Releases wait for a service to prove itself, and a pipeline may make several.
const SESSION: u32 = 7200;

pub(super) fn expand(to: &mut Expansion) {
    let Some(pipeline) = &to.file.pipeline else { return };
    let origin = ["pipeline"];
    let provider = if pipeline.provider {
        let provider = OidcProvider {
            url: ISSUER.to_owned(),
            client_ids: [AUDIENCE.to_owned()].into(),
            thumbprints: None,
            tags: Tags::new(),
        };
        let provider = to.add("github", &["pipeline", "provider"], &provider);
        Arg::output(&provider, "arn")
    } else {
        format!("arn:{}:iam::{}:oidc-provider/{ISSUER}", to.partition(), to.file.account).into()
    };
    let role = |subjects: Vec<String>, name: &str, statements: Vec<Statement>| IamRole {
        max_session_seconds: SESSION,
        ..IamRole::new(trust(&provider, subjects), vec![(name, policy::document(statements))])
    };
    let github = &pipeline.github;
    let deploy = role(subjects(github), "release", releasing(to));
    to.add("deploy", &origin, &deploy);
    let pull_request = vec![format!("repo:{}:pull_request", github.repository)];
    let plan = role(pull_request, "read", reading(to));
    to.add("plan", &origin, &plan);
}

/// What the token of a job that may release says of it.
fn subjects(github: &Github) -> Vec<String> {
    let repository = &github.repository;
    let branch = |branch: &String| format!("repo:{repository}:ref:refs/heads/{branch}");
    let environment = github.environment.iter().map(|name| format!("repo:{repository}:environment:{name}"));
    environment.chain(github.branches.iter().map(branch)).collect()
}

fn trust(provider: &Arg<String>, subjects: Vec<String>) -> Policy {
    let statement = policy::allow(&["sts:AssumeRoleWithWebIdentity"], policy::NO_RESOURCE);
    let statement = statement.to("Federated", [provider.clone()]);
    let statement = statement.when("StringEquals", &format!("{ISSUER}:aud"), [AUDIENCE]);
    policy::document([statement.when("StringEquals", &format!("{ISSUER}:sub"), subjects)])
}

/// What a release needs.
fn releasing(to: &Expansion) -> Vec<Statement> {
    let file = to.file;
    let own = file.registries.iter().map(|(name, registry)| repository_name(&file.project, name, registry));
    let cluster = to.aws_name("main", 255);
    let releases = Releases {
        project: &file.project,
        environment: to.name,
        account: &file.account,
        region: &file.region,
        cluster: &cluster,
        repositories: own.collect(),
        scheduled: file.jobs.values().any(|job| job.schedule.is_some()),
    };
    releases.statements()
}

/// What `infra plan` reads, and nothing that is secret.
fn reading(to: &Expansion) -> Vec<Statement> {
    let parameters = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"];
    let path = format!("parameter/infra/{}/{}", to.file.project, to.name);
    let arn = |rest: &str| format!("arn:{}:ssm:{}:{}:{path}{rest}", to.partition(), to.file.region, to.file.account);
    let lock = policy::allow(&parameters, [arn(""), arn("/*")]).sid("Lock");
    rights::plan().into_iter().chain([lock]).collect()
}
