//! A job that runs once: before a release.

use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, DesiredStatus, LaunchType, NetworkConfiguration, PropagateTags, Task,
};

use super::short;
use crate::address::short_hash;
use crate::aws::Aws;
use crate::kinds::ecs_autopsy;
use crate::kinds::ecs_service::EcsService;

/// How often a running job is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Runs a job's revision once for a release, in the network of its service, and waits for its end. Asked again for the
/// same release, it finds the task that it has started.
pub async fn run(aws: &Aws, cluster: &str, network: &EcsService, revision: &str, release: &str) -> Result<()> {
    let mut task = match find(aws, cluster, revision, release).await? {
        Some(task) => task,
        None => start(aws, cluster, network, revision, release).await?,
    };
    while task.last_status() != Some("STOPPED") {
        tokio::time::sleep(LOOK).await;
        let arn = task.task_arn().unwrap_or_default().to_owned();
        let request = aws.ecs().describe_tasks().cluster(cluster).tasks(&arn);
        let answer = aws.call("ecs:DescribeTasks", request.send()).await?;
        match answer.tasks.unwrap_or_default().pop() {
            Some(seen) => task = seen,
            None => bail!("the task {arn} is no longer known to ECS; look into its log"),
        }
    }
    let clean = task.containers().iter().all(|container| container.exit_code() == Some(0));
    if !clean || task.containers().is_empty() {
        bail!("{}", ecs_autopsy::task_ended(aws, &task).await);
    }
    Ok(())
}

/// The task that was started for a release. ECS knows a stopped one for about an hour, and filters by who started it only
/// among those that run.
async fn find(aws: &Aws, cluster: &str, revision: &str, release: &str) -> Result<Option<Task>> {
    let family = short(revision).split(':').next().unwrap_or_default();
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let request = aws.ecs().list_tasks().cluster(cluster).family(family).desired_status(status);
        let arns = aws.call("ecs:ListTasks", request.send()).await?.task_arns.unwrap_or_default();
        if arns.is_empty() {
            continue;
        }
        let request = aws.ecs().describe_tasks().cluster(cluster).set_tasks(Some(arns));
        let tasks = aws.call("ecs:DescribeTasks", request.send()).await?.tasks.unwrap_or_default();
        if let Some(task) = tasks.into_iter().find(|task| task.started_by() == Some(release)) {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

async fn start(aws: &Aws, cluster: &str, network: &EcsService, revision: &str, release: &str) -> Result<Task> {
    let texts =
        |args: &[crate::value::Arg<String>]| args.iter().filter_map(|arg| arg.get().ok().cloned()).collect::<Vec<_>>();
    let public = if network.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(texts(&network.subnets)))
        .set_security_groups(Some(texts(&network.security_groups)))
        .assign_public_ip(public)
        .build()?;
    let request = aws
        .ecs()
        .run_task()
        .cluster(cluster)
        .task_definition(revision)
        .count(1)
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
        .propagate_tags(PropagateTags::TaskDefinition)
        .started_by(release)
        // Asked twice, ECS starts it once.
        .client_token(short_hash(release));
    let answer = aws.call("ecs:RunTask", request.send()).await?;
    if let Some(task) = answer.tasks().first() {
        return Ok(task.clone());
    }
    let failures: Vec<String> = answer
        .failures()
        .iter()
        .map(|failure| [failure.reason(), failure.detail()].into_iter().flatten().collect::<Vec<_>>().join(": "))
        .collect();
    bail!("ecs:RunTask started nothing: {}", failures.join("; "))
}
