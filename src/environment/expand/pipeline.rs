//! `pipeline`: the roles that workflows of GitHub assume. GitHub signs a token that says which repository, and which branch
//! or environment of it, a job belongs to; the roles trust exactly those.

mod reads;

use std::collections::BTreeMap;

use super::Expansion;
use super::registries::repository_name;
use crate::address::{Address, ENVIRONMENT, PROJECT};
use crate::environment::pipeline::Github;
use crate::kinds::iam_role::IamRole;
use crate::kinds::oidc_provider::OidcProvider;
use crate::policy::{self, Policy, Statement};
use crate::tags::Tags;
use crate::value::{Arg, Output, Part, Template};

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
/// What a release looks at beside the configuration. These calls name no resource.
const LOOK: &[&str] = &["cloudwatch:GetMetricData", "ecr:GetAuthorizationToken"];
const PARAMETERS: &[&str] = &[
    "ssm:DeleteParameter",
    "ssm:GetParameter",
    "ssm:GetParameterHistory",
    "ssm:GetParameters",
    "ssm:GetParametersByPath",
    "ssm:PutParameter",
];

/// What writes the history, and makes its log group where no apply has yet.
const HISTORY: &[&str] = &[
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "logs:PutRetentionPolicy",
    "logs:TagResource",
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

    /// What generated names of this environment look like, and those of another whose name begins with this one's.
    fn named(&self) -> String {
        format!("{}-{}-*", self.to.file.project, self.to.name)
    }

    fn roles(&self) -> String {
        let (file, environment) = (self.to.file, self.to.name);
        format!("arn:{}:iam::{}:role/infra/{}/{environment}/*", self.to.partition(), file.account, file.project)
    }

    /// Only where the tags say that it is this environment's: `key` is `aws:ResourceTag` or `aws:RequestTag`.
    fn ours(&self, statement: Statement, key: &str) -> Statement {
        statement.when("StringEquals", &format!("{key}/{PROJECT}"), [self.to.file.project.as_str()]).when(
            "StringEquals",
            &format!("{key}/{ENVIRONMENT}"),
            [self.to.name],
        )
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

/// What a release needs: images, task definitions, services, weights, one-off tasks, the alarms and schedules that wait
/// for the first one, the lock and the history. It reads what a plan reads, to know what waits for a release, and can hand
/// over roles of this environment only: to tasks, and that of the scheduler to the scheduler.
fn releasing(to: &Expansion) -> Vec<Statement> {
    let arns = Arns { to };
    let environment = to.name;
    let cluster = to.aws_name("main", 255);
    let definitions = arns.of("ecs", &format!("task-definition/{}", arns.named()));
    let tasks = arns.of("ecs", &format!("task/{cluster}/*"));
    let history = format!("log-group:/infra/{}/{environment}", to.file.project);
    let deployments = arns.of("ecs", &format!("service-deployment/{cluster}/*"));
    let go_on = ["ecs:ContinueServiceDeployment", "ecs:StopServiceDeployment"];
    let mut statements = vec![
        policy::allow(reads::READS, EVERYTHING).sid("Read"),
        policy::allow(LOOK, EVERYTHING).sid("Look"),
        policy::allow(PUSH, arns.repositories()).sid("Images"),
        arns.ours(
            policy::allow(&["ecs:RegisterTaskDefinition"], [definitions.clone()]).sid("Shapes"),
            "aws:RequestTag",
        ),
        policy::allow(&["ecs:UpdateService"], [arns.of("ecs", &format!("service/{cluster}/*"))]).sid("Services"),
        policy::allow(&go_on, [deployments]).sid("Deployments"),
        arns.ours(policy::allow(&["ecs:RunTask"], [definitions.clone()]).sid("Jobs"), "aws:ResourceTag").when(
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
        pass([arns.roles()], "ecs-tasks.amazonaws.com").sid("Roles"),
        arns.ours(
            policy::allow(
                &["elasticloadbalancing:ModifyRule"],
                [arns.of("elasticloadbalancing", "listener-rule/app/*")],
            )
            .sid("Weights"),
            "aws:ResourceTag",
        ),
        policy::allow(&["application-autoscaling:RegisterScalableTarget"], EVERYTHING)
            .sid("Scaling")
            .when("StringEquals", "application-autoscaling:service-namespace", ["ecs"])
            .when("StringEquals", "application-autoscaling:scalable-dimension", ["ecs:service:DesiredCount"]),
        arns.ours(
            policy::allow(
                &["cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions"],
                [arns.of("cloudwatch", &format!("alarm:{}", arns.named()))],
            )
            .sid("Alarms"),
            "aws:ResourceTag",
        ),
        policy::allow(PARAMETERS, arns.parameters()).sid("Lock"),
        policy::allow(
            &["logs:FilterLogEvents", "logs:GetLogEvents"],
            [arns.of("logs", &format!("log-group:/ecs/{environment}/*")), arns.of("logs", &format!("{history}*"))],
        )
        .sid("Logs"),
        policy::allow(HISTORY, [arns.of("logs", &history), arns.of("logs", &format!("{history}:*"))]).sid("History"),
    ];
    if to.file.jobs.values().any(|job| job.schedule.is_some()) {
        let group = Part::Output(Output { of: Address::new("schedule_group", "main"), name: "name".to_owned() });
        let schedules = vec![Part::Text(arns.of("scheduler", "schedule/")), group, Part::Text("/*".to_owned())];
        let schedules = [Arg::Reference(Template(schedules))];
        let role = Arg::<String>::output(&Address::new("iam_role", "scheduler"), "arn");
        statements.push(policy::allow(&["scheduler:UpdateSchedule"], schedules).sid("Schedules"));
        statements.push(pass([role], "scheduler.amazonaws.com").sid("Scheduler"));
    }
    statements
}

/// Handing over these roles to a service.
fn pass(roles: impl IntoIterator<Item = impl Into<Arg<String>>>, service: &str) -> Statement {
    policy::allow(&["iam:PassRole"], roles).when("StringEquals", "iam:PassedToService", [service])
}

/// What `infra plan` reads, and nothing that is secret.
fn reading(to: &Expansion) -> Vec<Statement> {
    let parameters = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"];
    vec![
        policy::allow(reads::READS, EVERYTHING).sid("Read"),
        policy::allow(&parameters, Arns { to }.parameters()).sid("Lock"),
    ]
}
