//! `pipeline`: the roles that workflows of GitHub assume. GitHub signs a token that says which repository, and which branch
//! or environment of it, a job belongs to; the roles trust exactly those.

mod reads;

use std::collections::BTreeMap;

use super::Expansion;
use super::registries::repository_name;
use crate::environment::pipeline::Github;
use crate::environment::releases::Strategy;
use crate::kinds::iam_role::IamRole;
use crate::kinds::oidc_provider::OidcProvider;
use crate::policy::{self, Policy, Statement};
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
        name: None,
        trust: trust(&provider, subjects),
        policies: BTreeMap::from([(name.to_owned(), policy::document(statements))]),
        attached: Vec::new(),
        max_session_seconds: SESSION,
        permissions_boundary: None,
        tags: Tags::new(),
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

const EVERYTHING: [&str; 1] = ["*"];
const PUSH: &[&str] = &[
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:DescribeImageScanFindings",
    "ecr:DescribeRepositories",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:ListImages",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
];
/// What a release looks at. These calls name no resource, or all of them.
const LOOK: &[&str] = &[
    "application-autoscaling:Describe*",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ecr:GetAuthorizationToken",
    "ecs:Describe*",
    "ecs:List*",
    "ecs:RegisterTaskDefinition",
    "elasticloadbalancing:Describe*",
    "logs:DescribeLogGroups",
    "tag:GetResources",
];
const PARAMETERS: &[&str] = &[
    "ssm:DeleteParameter",
    "ssm:GetParameter",
    "ssm:GetParameterHistory",
    "ssm:GetParameters",
    "ssm:GetParametersByPath",
    "ssm:PutParameter",
];

/// ARNs of an environment.
struct Arns<'a> {
    to: &'a Expansion<'a>,
}

impl Arns<'_> {
    /// `rest` of a service in the environment's region and account.
    fn of(&self, service: &str, rest: &str) -> String {
        let file = self.to.file;
        format!("arn:{}:{service}:{}:{}:{rest}", self.to.partition(), file.region, file.account)
    }

    fn parameters(&self) -> [String; 2] {
        let path = format!("parameter/infra/{}/{}", self.to.file.project, self.to.name);
        [self.of("ssm", &path), self.of("ssm", &format!("{path}/*"))]
    }

    /// The repositories of the project, and those of the file under another name.
    fn repositories(&self) -> Vec<String> {
        let project = &self.to.file.project;
        let own = self.to.file.registries.iter().map(|(name, registry)| repository_name(project, name, registry));
        let others = own.filter(|name| !name.starts_with(&format!("{project}/")));
        let all = others.chain([format!("{project}/*")]);
        all.map(|name| self.of("ecr", &format!("repository/{name}"))).collect()
    }
}

/// What a release needs: images, task definitions, services, weights, one-off tasks, the lock and the history. It can
/// hand over roles of this environment to tasks only.
fn releasing(to: &Expansion) -> Vec<Statement> {
    let arns = Arns { to };
    let (project, environment) = (&to.file.project, to.name);
    let cluster = to.aws_name("main", 255);
    let definitions = arns.of("ecs", &format!("task-definition/{project}-{environment}-*"));
    let tasks = arns.of("ecs", &format!("task/{cluster}/*"));
    let roles = format!("arn:{}:iam::{}:role/infra/{project}/{environment}/*", to.partition(), to.file.account);
    let history = format!("log-group:/infra/{project}/{environment}");
    let native = to.file.services.values().any(|service| service.strategy() == Strategy::Native);
    let deployments = arns.of("ecs", &format!("service-deployment/{cluster}/*"));
    let natively = ["ecs:ContinueServiceDeployment", "ecs:StopServiceDeployment"];
    let natively = native.then(|| policy::allow(&natively, [deployments]).sid("Deployments"));
    let mut statements = vec![
        policy::allow(LOOK, EVERYTHING).sid("Look"),
        policy::allow(PUSH, arns.repositories()).sid("Images"),
        policy::allow(&["ecs:UpdateService"], [arns.of("ecs", &format!("service/{cluster}/*"))]).sid("Services"),
        policy::allow(&["ecs:RunTask"], [definitions.clone()]).sid("Jobs").when(
            "ArnEquals",
            "ecs:cluster",
            [arns.of("ecs", &format!("cluster/{cluster}"))],
        ),
        policy::allow(&["ecs:StopTask"], [tasks.clone()]).sid("Tasks"),
        policy::allow(&["ecs:TagResource"], [definitions, tasks]).sid("Tags").when(
            "StringEquals",
            "ecs:CreateAction",
            ["RegisterTaskDefinition", "RunTask"],
        ),
        policy::allow(&["iam:PassRole"], [roles]).sid("Roles").when(
            "StringEquals",
            "iam:PassedToService",
            ["ecs-tasks.amazonaws.com"],
        ),
        policy::allow(&["elasticloadbalancing:ModifyRule"], EVERYTHING)
            .sid("Weights")
            .when("StringEquals", "aws:ResourceTag/infra:project", [project.as_str()])
            .when("StringEquals", "aws:ResourceTag/infra:environment", [environment]),
        policy::allow(&["application-autoscaling:RegisterScalableTarget"], EVERYTHING).sid("Scaling").when(
            "StringEquals",
            "application-autoscaling:service-namespace",
            ["ecs"],
        ),
        policy::allow(PARAMETERS, arns.parameters()).sid("Lock"),
        policy::allow(
            &["logs:FilterLogEvents", "logs:GetLogEvents"],
            [arns.of("logs", &format!("log-group:/ecs/{environment}/*")), arns.of("logs", &format!("{history}*"))],
        )
        .sid("Logs"),
        policy::allow(&["logs:CreateLogStream", "logs:PutLogEvents"], [arns.of("logs", &format!("{history}:*"))])
            .sid("History"),
    ];
    statements.extend(natively);
    statements
}

/// What `infra plan` reads, and nothing that is secret.
fn reading(to: &Expansion) -> Vec<Statement> {
    let parameters = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"];
    vec![
        policy::allow(reads::READS, EVERYTHING).sid("Read"),
        policy::allow(&parameters, Arns { to }.parameters()).sid("Lock"),
    ]
}
