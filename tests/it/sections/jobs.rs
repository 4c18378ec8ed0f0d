//! `jobs`: tasks that run once, with what their service has or with all of their own, and what starts them.

use aws_sdk_ecs::types::{ContainerDefinition, TaskDefinition};
use aws_sdk_scheduler::operation::get_schedule::GetScheduleOutput;
use aws_sdk_scheduler::types::{AssignPublicIp, ScheduleState};
use infra::aws::Aws;
use serde_json::{Value as Json, json};

use crate::end_to_end::site::{Site, steps};

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
secrets:
  jwt: { generate: { length: 64 } }
databases:
  main: { engine: postgres, version: "15", class: db.t4g.medium, storage: 20, deletion_protection: false }
services:
  api:
    image: acme/api
    port: 3000
    cpu: 512
    memory: 1024
    environment: { MODE: live }
    secrets: { JWT_KEY: "${secrets.jwt}" }
jobs:
  migrate: { service: api, command: [npm, run, migrate] }
  tidy:
    service: api
    command: [npm, run, tidy]
    memory: 2048
    schedule: rate(1 day)
    environment: { MODE: tidy, DATABASE_HOST: "${databases.main.endpoint}" }
  report:
    image: acme/report:1.4
    command: [report]
    schedule: cron(0 3 * * ? *)
    timezone: Europe/Berlin
    egress: [main]
    policies: [{ actions: ["s3:PutObject"], resources: ["arn:aws:s3:::reports/*"] }]
"#;

#[tokio::test]
async fn jobs_run_once() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    tasks(&site.aws).await;
    let (api, report) = (group(&site.aws, "api").await, group(&site.aws, "job-report").await);
    // Both may speak with the database; the job of a service through the service's firewall.
    assert_eq!(callers(&site.aws, "db-main").await, sorted([&api, &report]));
    let tidy = schedule(&site.aws, "tidy").await;
    assert_eq!(tidy.state(), Some(&ScheduleState::Disabled), "no release has chosen an image");
    check_target(&tidy, "tidy", &api);
    let nightly = schedule(&site.aws, "report").await;
    assert_eq!(nightly.state(), Some(&ScheduleState::Enabled));
    assert_eq!(nightly.schedule_expression(), Some("cron(0 3 * * ? *)"));
    assert_eq!(nightly.schedule_expression_timezone(), Some("Europe/Berlin"));
    check_target(&nightly, "report", &report);
    role(&site.aws).await;
    site.converged("test").await;

    // The first release of the service lets its job run.
    let request = site.aws.scheduler().update_schedule().group_name("acme-test-main").name("tidy");
    let request = request.schedule_expression("rate(1 day)").set_target(tidy.target.clone());
    let request = request.set_flexible_time_window(tidy.flexible_time_window.clone());
    request.state(ScheduleState::Enabled).send().await.unwrap();
    site.converged("test").await;

    site.edit("test", "cron(0 3 * * ? *)", "cron(0 4 * * ? *)");
    assert_eq!(steps(&site.plan("test").await), ["update schedule_group.main"]);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    assert_eq!(schedule(&site.aws, "report").await.schedule_expression(), Some("cron(0 4 * * ? *)"));
    assert_eq!(schedule(&site.aws, "tidy").await.state(), Some(&ScheduleState::Enabled));

    let (before, rest) = FILE.split_once("  tidy:").unwrap();
    let (_, report) = rest.split_once("  report:").unwrap();
    site.write("test", &format!("{before}  report:{report}"));
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let left = site.aws.scheduler().list_schedules().send().await.unwrap();
    assert_eq!(left.schedules().iter().filter_map(|schedule| schedule.name()).collect::<Vec<_>>(), ["report"]);

    site.infra("destroy test --confirm test").await.well();
    let left: Vec<String> = site.live("test").await.iter().map(|live| live.identity.address.to_string()).collect();
    assert_eq!(left, [""; 0]);
    assert!(site.aws.scheduler().list_schedules().send().await.unwrap().schedules().is_empty());
}

fn sorted(texts: [&String; 2]) -> Vec<String> {
    let mut texts = texts.map(Clone::clone);
    texts.sort();
    texts.to_vec()
}

async fn definition(aws: &Aws, name: &str) -> (TaskDefinition, ContainerDefinition) {
    let request = aws.ecs().describe_task_definition().task_definition(format!("acme-test-{name}"));
    let definition = request.send().await.unwrap().task_definition.unwrap();
    let [container] = definition.container_definitions() else { panic!("{definition:?}") };
    let container = container.clone();
    (definition, container)
}

async fn tasks(aws: &Aws) {
    let (api, its) = definition(aws, "api").await;
    let variable = |container: &ContainerDefinition, name: &str| {
        let found = container.environment().iter().find(|pair| pair.name() == Some(name));
        found.and_then(|pair| pair.value()).map(str::to_owned)
    };
    for (job, memory, mode) in [("migrate", "1024", "live"), ("tidy", "2048", "tidy")] {
        let (task, container) = definition(aws, &format!("job-{job}")).await;
        assert_eq!((task.execution_role_arn(), task.task_role_arn()), (api.execution_role_arn(), api.task_role_arn()));
        assert_eq!((task.cpu(), task.memory()), (Some("512"), Some(memory)));
        assert_eq!((container.image(), container.secrets()), (its.image(), its.secrets()));
        assert_eq!(container.command(), ["npm", "run", job]);
        assert!(container.port_mappings().is_empty());
        assert_eq!(variable(&container, "MODE").as_deref(), Some(mode));
        let log = container.log_configuration().unwrap().options().unwrap();
        assert_eq!((log["awslogs-group"].as_str(), log["awslogs-stream-prefix"].as_str()), ("/ecs/test/api", job));
    }
    let (task, container) = definition(aws, "job-report").await;
    assert_eq!((task.cpu(), task.memory()), (Some("256"), Some("512")));
    assert!(task.task_role_arn().unwrap().ends_with("/acme-test-job-report-task"));
    assert_eq!(container.log_configuration().unwrap().options().unwrap()["awslogs-group"], "/ecs/test/jobs/report");
    let policy = aws.iam().get_role_policy().role_name("acme-test-job-report-task").policy_name("own").send().await;
    let policy = decoded(policy.unwrap().policy_document());
    assert_eq!(policy["Statement"][0]["Action"], json!(["s3:PutObject"]));
}

fn check_target(schedule: &GetScheduleOutput, job: &str, firewall: &str) {
    let target = schedule.target().unwrap();
    assert_eq!(target.arn(), "arn:aws:ecs:us-east-1:123456789012:cluster/acme-test-main");
    assert_eq!(target.retry_policy().unwrap().maximum_retry_attempts(), Some(2));
    let task = target.ecs_parameters().unwrap();
    // Without a revision: what a release registers runs next.
    let family = format!("arn:aws:ecs:us-east-1:123456789012:task-definition/acme-test-job-{job}");
    assert_eq!((task.task_definition_arn(), task.launch_type().unwrap().as_str()), (family.as_str(), "FARGATE"));
    let network = task.network_configuration().unwrap().awsvpc_configuration().unwrap();
    assert_eq!(network.assign_public_ip(), Some(&AssignPublicIp::Disabled));
    assert_eq!((network.security_groups(), network.subnets().len()), (&[firewall.to_owned()][..], 2));
}

/// The scheduler may start the scheduled jobs, with the roles that they have, and nothing else.
async fn role(aws: &Aws) {
    let role = aws.iam().get_role().role_name("acme-test-scheduler").send().await.unwrap().role.unwrap();
    let trust = &decoded(role.assume_role_policy_document().unwrap())["Statement"];
    let arn = "arn:aws:scheduler:us-east-1:123456789012:schedule-group/acme-test-main";
    assert_eq!(trust[0]["Principal"], json!({ "Service": ["scheduler.amazonaws.com"] }));
    let when = json!({ "StringEquals": { "aws:SourceAccount": ["123456789012"], "aws:SourceArn": [arn] } });
    assert_eq!((&trust[0]["Condition"], trust.as_array().unwrap().len()), (&when, 1));
    let request = aws.iam().get_role_policy().role_name("acme-test-scheduler").policy_name("start");
    let policy = decoded(request.send().await.unwrap().policy_document());
    let allowed = |action: &str| {
        let statements = policy["Statement"].as_array().unwrap().iter();
        let of: Vec<_> = statements.filter(|statement| statement["Action"] == json!([action])).collect();
        assert_eq!(of.len(), 1, "{policy:#}");
        of[0]["Resource"].clone()
    };
    let family = |job: &str, behind: &str| {
        format!("arn:aws:ecs:us-east-1:123456789012:task-definition/acme-test-job-{job}{behind}")
    };
    let families = [family("report", ""), family("report", ":*"), family("tidy", ""), family("tidy", ":*")];
    assert_eq!(allowed("ecs:RunTask"), json!(families));
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/infra/acme/test/acme-test-{name}");
    let roles = ["api-execution", "api-task", "job-report-execution", "job-report-task"].map(role);
    assert_eq!(allowed("iam:PassRole"), json!(roles));
    assert_eq!(allowed("ecs:TagResource"), json!(["arn:aws:ecs:us-east-1:123456789012:task/acme-test-main/*"]));
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 3);
}

async fn schedule(aws: &Aws, name: &str) -> GetScheduleOutput {
    aws.scheduler().get_schedule().group_name("acme-test-main").name(name).send().await.unwrap()
}

async fn group(aws: &Aws, address: &str) -> String {
    let value = format!("security_group.{address}");
    let filter = aws_sdk_ec2::types::Filter::builder().name("tag:infra:address").values(value).build();
    let groups = aws.ec2().describe_security_groups().filters(filter).send().await.unwrap();
    groups.security_groups()[0].group_id().unwrap().to_owned()
}

/// The groups that a group lets in.
async fn callers(aws: &Aws, address: &str) -> Vec<String> {
    let id = group(aws, address).await;
    let groups = aws.ec2().describe_security_groups().group_ids(id).send().await.unwrap().security_groups.unwrap();
    let pairs = groups[0].ip_permissions().iter().flat_map(|rule| rule.user_id_group_pairs());
    let mut callers: Vec<String> = pairs.map(|pair| pair.group_id().unwrap().to_owned()).collect();
    callers.sort();
    callers
}

fn decoded(document: &str) -> Json {
    let text = percent_encoding::percent_decode_str(document).decode_utf8().unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
