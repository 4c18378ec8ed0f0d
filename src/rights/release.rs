//! What a release needs, for whoever releases: a person, or the role of a pipeline.

use super::{HISTORY, partition, reads};
use crate::address::{Address, ENVIRONMENT, Identity, PROJECT};
use crate::desired::Desired;
use crate::policy::{self, Statement};

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

/// The releases of an environment.
pub struct Releases<'a> {
    pub project: &'a str,
    pub environment: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    /// The name of the cluster.
    pub cluster: &'a str,
    /// The names of repositories in the file. Those below the project's name are the project's in any case.
    pub repositories: Vec<String>,
    /// Whether there are schedules, whose jobs get the image of a release.
    pub scheduled: bool,
}

/// What `infra bluegreen` needs in this environment.
#[must_use]
pub fn release(desired: &Desired) -> Vec<Statement> {
    let Desired { project, environment, account, region, resources } = desired;
    let name = |address: &Address| resources.get(address)?.fields.get("name")?.as_text().map(str::to_owned);
    let all = |kind: &'static str| resources.keys().filter(move |address| address.kind == kind);
    let main = Address::new("ecs_cluster", "main");
    let generated = Identity { project: project.clone(), environment: environment.clone(), address: main.clone() };
    let releases = Releases {
        project,
        environment,
        account,
        region,
        cluster: &name(&main).unwrap_or_else(|| generated.aws_name(255)),
        repositories: all("ecr_repository").filter_map(name).collect(),
        scheduled: all("schedule_group").next().is_some(),
    };
    releases.statements()
}

impl Releases<'_> {
    /// `rest` of a service in the environment's region and account.
    fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{rest}", partition(self.region), self.region, self.account)
    }

    /// What generated names of this environment look like, and those of another whose name begins with this one's.
    fn named(&self) -> String {
        format!("{}-{}-*", self.project, self.environment)
    }

    fn roles(&self) -> String {
        let path = format!("role/infra/{}/{}/*", self.project, self.environment);
        format!("arn:{}:iam::{}:{path}", partition(self.region), self.account)
    }

    /// Only where the tags say that it is this environment's: `key` is `aws:ResourceTag` or `aws:RequestTag`.
    fn ours(&self, statement: Statement, key: &str) -> Statement {
        let statement = statement.when("StringEquals", &format!("{key}/{PROJECT}"), [self.project]);
        statement.when("StringEquals", &format!("{key}/{ENVIRONMENT}"), [self.environment])
    }

    fn parameters(&self) -> [String; 2] {
        let path = format!("parameter/infra/{}/{}", self.project, self.environment);
        [self.arn("ssm", &path), self.arn("ssm", &format!("{path}/*"))]
    }

    fn repositories(&self) -> Vec<String> {
        let project = format!("{}/", self.project);
        let others = self.repositories.iter().filter(|name| !name.starts_with(&project)).cloned();
        others.chain([format!("{project}*")]).map(|name| self.arn("ecr", &format!("repository/{name}"))).collect()
    }

    /// What a release needs: images, task definitions, services, weights, one-off tasks, the alarms and schedules that wait
    /// for the first one, the lock and the history. It reads what a plan reads, to know what waits for a release, and can hand
    /// over roles of this environment only: to tasks, and that of the scheduler to the scheduler.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        let arns = self;
        let (environment, cluster) = (self.environment, self.cluster);
        let definitions = arns.arn("ecs", &format!("task-definition/{}", arns.named()));
        let tasks = arns.arn("ecs", &format!("task/{cluster}/*"));
        let history = format!("log-group:/infra/{}/{environment}", self.project);
        let deployments = arns.arn("ecs", &format!("service-deployment/{cluster}/*"));
        let go_on = ["ecs:ContinueServiceDeployment", "ecs:StopServiceDeployment"];
        let reads = reads();
        let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
        let mut statements = vec![
            policy::allow(&reads, EVERYTHING).sid("Read"),
            policy::allow(LOOK, EVERYTHING).sid("Look"),
            policy::allow(PUSH, arns.repositories()).sid("Images"),
            arns.ours(
                policy::allow(&["ecs:RegisterTaskDefinition"], [definitions.clone()]).sid("Shapes"),
                "aws:RequestTag",
            ),
            policy::allow(&["ecs:UpdateService"], [arns.arn("ecs", &format!("service/{cluster}/*"))]).sid("Services"),
            policy::allow(&go_on, [deployments]).sid("Deployments"),
            arns.ours(policy::allow(&["ecs:RunTask"], [definitions.clone()]).sid("Jobs"), "aws:ResourceTag").when(
                "ArnEquals",
                "ecs:cluster",
                [arns.arn("ecs", &format!("cluster/{cluster}"))],
            ),
            policy::allow(&["ecs:StopTask"], [tasks.clone()]).sid("Tasks"),
            policy::allow(&["ecs:TagResource"], [definitions, tasks]).sid("Tags").when(
                "StringEquals",
                "ecs:CreateAction",
                ["RegisterTaskDefinition", "RunTask"],
            ),
            pass(arns.roles(), "ecs-tasks.amazonaws.com").sid("Roles"),
            arns.ours(
                policy::allow(
                    &["elasticloadbalancing:ModifyRule"],
                    [arns.arn("elasticloadbalancing", "listener-rule/app/*")],
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
                    [arns.arn("cloudwatch", &format!("alarm:{}", arns.named()))],
                )
                .sid("Alarms"),
                "aws:ResourceTag",
            ),
            policy::allow(PARAMETERS, arns.parameters()).sid("Lock"),
            policy::allow(
                &["logs:FilterLogEvents", "logs:GetLogEvents"],
                [
                    arns.arn("logs", &format!("log-group:/ecs/{environment}/*")),
                    arns.arn("logs", &format!("{history}*")),
                ],
            )
            .sid("Logs"),
            policy::allow(HISTORY, [arns.arn("logs", &history), arns.arn("logs", &format!("{history}:*"))])
                .sid("History"),
        ];
        if self.scheduled {
            let named = |kind: &str, name: &str| {
                let (project, environment) = (self.project.to_owned(), self.environment.to_owned());
                Identity { project, environment, address: Address::new(kind, name) }.aws_name(64)
            };
            let schedules = [arns.arn("scheduler", &format!("schedule/{}/*", named("schedule_group", "main")))];
            statements.push(policy::allow(&["scheduler:UpdateSchedule"], schedules).sid("Schedules"));
            let role = arns.roles().replace('*', &named("iam_role", "scheduler"));
            statements.push(pass(role, "scheduler.amazonaws.com").sid("Scheduler"));
        }
        statements
    }
}

/// Handing over these roles to a service.
fn pass(roles: String, service: &str) -> Statement {
    policy::allow(&["iam:PassRole"], [roles]).when("StringEquals", "iam:PassedToService", [service])
}
