//! Why tasks do not live: what ECS says, how their containers ended, and what they wrote last.

use aws_sdk_ecs::types::{DesiredStatus, LogDriver, Service, Task};

use super::ecs_rollout;
use crate::aws::Aws;
use crate::kind::Result;

/// Lines of a log that are shown.
const LINES: i32 = 10;
/// Events of a service that are shown.
const EVENTS: usize = 3;

/// What is known of a service whose deployment failed.
pub async fn of(aws: &Aws, service: &Service) -> Result<String> {
    explained(aws, service, ecs_rollout::failed(service)).await
}

/// Why a deployment failed, with how its newest task ended, and what ECS says of the service.
pub async fn explained(aws: &Aws, service: &Service, why: Option<String>) -> Result<String> {
    let cause = match ecs_rollout::stopped(aws, service).await? {
        Some(task) => Some(task_ended(aws, &task).await),
        None => ecs_rollout::unable(service).map(str::to_owned),
    };
    let why = why.map(|why| why.trim_end_matches('.').to_owned());
    let known: Vec<String> = why.into_iter().chain(cause).collect();
    let mut text = if known.is_empty() { "ECS does not say why".to_owned() } else { known.join("; ") };
    let events: Vec<&str> = service.events().iter().take(EVENTS).filter_map(|event| event.message()).collect();
    if !events.is_empty() {
        text.push_str("\n  the last events of the service:");
        events.iter().rev().for_each(|event| text.push_str(&format!("\n    {event}")));
    }
    Ok(text)
}

/// How the newest stopped task of a revision ended.
pub async fn of_revision(aws: &Aws, cluster: &str, ecs: &str, revision: &str) -> Result<Option<String>> {
    let name = ecs.rsplit('/').next().unwrap_or(ecs);
    let request = aws.ecs().list_tasks().cluster(cluster).service_name(name).desired_status(DesiredStatus::Stopped);
    let arns = aws.call("ecs:ListTasks", request.send()).await?.task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Ok(None);
    }
    let request = aws.ecs().describe_tasks().cluster(cluster).set_tasks(Some(arns));
    let tasks = aws.call("ecs:DescribeTasks", request.send()).await?.tasks.unwrap_or_default();
    let own = tasks.iter().filter(|task| task.task_definition_arn() == Some(revision));
    match own.max_by_key(|task| task.stopped_at().or(task.stopping_at()).map(|at| at.secs())) {
        Some(task) => Ok(Some(task_ended(aws, task).await)),
        None => Ok(None),
    }
}

/// How a task ended, with its last words. A log that cannot be read is said to be so: what is known is worth more.
pub async fn task_ended(aws: &Aws, task: &Task) -> String {
    let mut text = ecs_rollout::cause(task);
    match last_words(aws, task).await {
        Ok(lines) if lines.is_empty() => text.push_str("; it wrote no log"),
        Ok(lines) => {
            text.push_str("\n  its last words:");
            lines.iter().for_each(|line| text.push_str(&format!("\n    {line}")));
        }
        Err(failure) => text.push_str(&format!("; its log could not be read: {failure}")),
    }
    text
}

async fn last_words(aws: &Aws, task: &Task) -> Result<Vec<String>> {
    let revision = task.task_definition_arn().unwrap_or_default();
    let request = aws.ecs().describe_task_definition().task_definition(revision);
    let definition = aws.call("ecs:DescribeTaskDefinition", request.send()).await?.task_definition;
    let id = task.task_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
    let containers = definition.iter().flat_map(|definition| definition.container_definitions());
    // The container that ended badly, else the first one.
    let ended = |name: Option<&str>| {
        task.containers().iter().any(|one| one.name() == name && one.exit_code().is_some_and(|code| code != 0))
    };
    let mut containers: Vec<_> = containers.collect();
    containers.sort_by_key(|container| !ended(container.name()));
    for container in containers {
        let Some(log) = container.log_configuration().filter(|log| *log.log_driver() == LogDriver::Awslogs) else {
            continue;
        };
        let option = |name: &str| log.options().and_then(|options| options.get(name)).cloned().unwrap_or_default();
        let stream = format!("{}/{}/{id}", option("awslogs-stream-prefix"), container.name().unwrap_or_default());
        let request = aws.logs().get_log_events().log_group_name(option("awslogs-group")).log_stream_name(stream);
        let request = request.limit(LINES).start_from_head(false);
        return match aws.call("logs:GetLogEvents", request.send()).await {
            Ok(answer) => Ok(answer
                .events()
                .iter()
                .filter_map(|event| event.message().map(|text| text.trim_end().to_owned()))
                .collect()),
            Err(failure) if failure.class == crate::kind::Class::NotFound => Ok(Vec::new()),
            Err(failure) => Err(failure),
        };
    }
    Ok(Vec::new())
}
