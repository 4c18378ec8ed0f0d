//! How a service's deployment goes, and why one fails.

use aws_sdk_ecs::types::{
    Deployment, DeploymentRolloutState as State, DeploymentStrategy, DesiredStatus, Service,
    ServiceDeploymentStatus as Status, ServiceEvent, Task,
};
use jiff::Timestamp;

use super::{ecs_autopsy, ecs_deployment};
use crate::aws::Aws;
use crate::kind::{Progress, Result};

/// How long ago a rollback was that still speaks of the change that is being waited for, in seconds.
const RECENT: i64 = 900;
/// Stopped tasks that are looked at. ECS lists them for about an hour.
const STOPPED: i32 = 100;

/// Whether a deployment is under way.
pub fn rolling(service: &Service) -> bool {
    primary(service).and_then(|primary| primary.rollout_state()) == Some(&State::InProgress)
}

/// Why the latest deployment failed, if it did.
pub fn failed(service: &Service) -> Option<String> {
    let primary = primary(service)?;
    let reason = primary.rollout_state_reason().unwrap_or("no reason given");
    (primary.rollout_state() == Some(&State::Failed)).then(|| format!("the last deployment failed: {reason}"))
}

/// One look at a service.
pub async fn progress(aws: &Aws, service: &Service) -> Result<Progress> {
    match service.status() {
        Some("INACTIVE") => return Ok(Progress::Gone),
        Some("DRAINING") => return Ok(Progress::waiting(format!("draining, {} tasks left", service.running_count()))),
        _ => {}
    }
    let outputs = [("arn", service.service_arn()), ("name", service.service_name())];
    let ready = || Progress::ready(outputs.map(|(name, value)| (name, value.unwrap_or_default().to_owned())));
    let Some(primary) = primary(service) else { return Ok(ready()) };
    let strategy = service.deployment_configuration().and_then(|configuration| configuration.strategy());
    if strategy.is_some_and(|strategy| *strategy != DeploymentStrategy::Rolling) {
        match natively(aws, service).await? {
            Natively::Released => return Ok(ready()),
            Natively::Failed(why) => {
                let why = ecs_autopsy::explained(aws, service, Some(why)).await?;
                return Ok(Progress::Failed { why });
            }
            Natively::Applied => {}
        }
    } else if let Some(why) = broken(service, primary, Timestamp::now().as_second()) {
        return Ok(Progress::Failed { why: ecs_autopsy::explained(aws, service, Some(why)).await? });
    }
    if service.desired_count() == 0 && service.running_count() == 0 {
        return Ok(ready());
    }
    let complete = primary.rollout_state().is_none_or(|state| *state == State::Completed);
    if complete && service.running_count() >= service.desired_count() {
        return Ok(ready());
    }
    let mut on = format!("{} of {} tasks running", primary.running_count(), service.desired_count());
    if primary.failed_tasks() > 0 {
        // Without how many, so that each reason is told once.
        match stopped(aws, service).await? {
            Some(task) => on.push_str(&format!("; {}", ecs_autopsy::task_ended(aws, &task).await)),
            None => on.push_str(", some failed"),
        }
    } else if let Some(event) = unable(service) {
        on.push_str(&format!(": {event}"));
    }
    Ok(Progress::Waiting { on })
}

/// Whose the newest deployment is of a service whose traffic ECS moves.
enum Natively {
    /// It waits for somebody on its way, so that it is a release, and the release's to wait for.
    Released,
    Applied,
    /// Of late, and why.
    Failed(String),
}

async fn natively(aws: &Aws, service: &Service) -> Result<Natively> {
    let (cluster, arn) = (service.cluster_arn().unwrap_or_default(), service.service_arn().unwrap_or_default());
    let Some(newest) = ecs_deployment::newest(aws, cluster, arn).await? else { return Ok(Natively::Applied) };
    if ecs_deployment::waits(newest.deployment_configuration()) {
        return Ok(Natively::Released);
    }
    let recent = newest.created_at().is_some_and(|at| Timestamp::now().as_second() - at.secs() < RECENT);
    Ok(match newest.status() {
        Some(Status::Pending | Status::InProgress | Status::Successful) | None => Natively::Applied,
        Some(_) if !recent => Natively::Applied,
        Some(status) => {
            let reason = newest.rollback().and_then(|rollback| rollback.reason()).or(newest.status_reason());
            let reason = reason.unwrap_or("no reason given");
            let word = if *status == Status::Stopped { "stopped" } else { "rolled back" };
            Natively::Failed(format!("the deployment was {word}: {reason}"))
        }
    })
}

fn primary(service: &Service) -> Option<&Deployment> {
    service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"))
}

/// Why the deployment is over without success: it failed, or an older one has taken or takes its place.
fn broken(service: &Service, primary: &Deployment, now: i64) -> Option<String> {
    let reason = primary.rollout_state_reason().unwrap_or_default();
    if primary.rollout_state() == Some(&State::Failed) {
        return Some(format!("the deployment failed: {reason}"));
    }
    let id = primary.id().filter(|id| !id.is_empty())?;
    let back = |event: &&ServiceEvent| {
        let recent = event.created_at().is_some_and(|at| now - at.secs() < RECENT);
        let message = event.message().unwrap_or_default();
        recent && message.contains("rolling back to deployment") && message.contains(id)
    };
    let event = service.events().iter().find(back).and_then(ServiceEvent::message);
    let event = event.or(Some(reason).filter(|reason| reason.contains("rolling back")))?;
    let failed = service.deployments().iter().find(|deployment| deployment.rollout_state() == Some(&State::Failed));
    let cause = failed.and_then(Deployment::rollout_state_reason);
    Some(match cause {
        Some(cause) => format!("the deployment was rolled back: {cause}"),
        None => format!("the deployment was rolled back: {event}"),
    })
}

/// Why ECS has gone back from a deployment, if it has.
pub fn gone_back(service: &Service, now: Timestamp) -> Option<String> {
    broken(service, primary(service)?, now.as_second()).filter(|why| why.contains("rolled back"))
}

/// The deployment whose tasks failed.
fn culprit(service: &Service) -> Option<&Deployment> {
    let failed = |deployment: &&Deployment| deployment.rollout_state() == Some(&State::Failed);
    service.deployments().iter().find(failed).or_else(|| primary(service))
}

/// The newest event that tells why tasks do not even start.
pub fn unable(service: &Service) -> Option<&str> {
    let newest = service.events().first()?.message()?;
    newest.contains("unable to").then_some(newest)
}

/// The newest stopped task of the deployment whose tasks fail, else of the latest one.
pub async fn stopped(aws: &Aws, service: &Service) -> Result<Option<Task>> {
    let Some(deployment) = culprit(service) else { return Ok(None) };
    let cluster = service.cluster_arn().unwrap_or_default();
    let request = aws.ecs().list_tasks().cluster(cluster).set_service_name(service.service_name().map(str::to_owned));
    let request = request.desired_status(DesiredStatus::Stopped).max_results(STOPPED);
    let arns = aws.call("ecs:ListTasks", request.send()).await?.task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Ok(None);
    }
    let request = aws.ecs().describe_tasks().cluster(cluster).set_tasks(Some(arns));
    let tasks = aws.call("ecs:DescribeTasks", request.send()).await?.tasks.unwrap_or_default();
    let own = tasks.into_iter().filter(|task| task.started_by() == deployment.id());
    Ok(own.max_by_key(|task| task.stopped_at().or(task.stopping_at()).map(|at| at.secs())))
}

/// How a task and its containers ended.
pub fn cause(task: &Task) -> String {
    let mut text = format!("a task stopped: {}", task.stopped_reason().unwrap_or("no reason given"));
    for container in task.containers() {
        let name = container.name().unwrap_or_default();
        match (container.exit_code(), container.reason()) {
            (Some(0) | None, None) => {}
            (Some(code), Some(reason)) => text.push_str(&format!("; {name}: exit code {code}, {reason}")),
            (Some(code), None) => text.push_str(&format!("; {name}: exit code {code}")),
            (None, Some(reason)) => text.push_str(&format!("; {name}: {reason}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::Container;
    use aws_smithy_types::DateTime;

    use super::*;

    fn deployment(id: &str, status: &str, state: State, reason: &str) -> Deployment {
        Deployment::builder().id(id).status(status).rollout_state(state).rollout_state_reason(reason).build()
    }

    #[test]
    fn a_rollback_is_a_failure_also_once_it_is_complete() {
        let old = deployment("ecs-svc/1", "PRIMARY", State::Completed, "ECS deployment ecs-svc/1 completed.");
        let event = |at| {
            let event = ServiceEvent::builder().message("(service api) rolling back to deployment ecs-svc/1.");
            event.created_at(DateTime::from_secs(at)).build()
        };
        let service = Service::builder().deployments(old.clone()).events(event(1000)).build();
        assert!(broken(&service, &old, 1100).unwrap().contains("rolled back"));
        assert_eq!(broken(&service, &old, 9000), None, "long ago");
        let next = deployment("ecs-svc/2", "PRIMARY", State::Completed, "ECS deployment ecs-svc/2 completed.");
        let service = Service::builder().deployments(next.clone()).events(event(1000)).build();
        assert_eq!(broken(&service, &next, 1100), None, "a later deployment succeeded");
    }

    #[test]
    fn a_failed_deployment_tells_why() {
        let failed = deployment("ecs-svc/1", "PRIMARY", State::Failed, "tasks failed to start.");
        let service = Service::builder().deployments(failed.clone()).build();
        assert_eq!(broken(&service, &failed, 0).unwrap(), "the deployment failed: tasks failed to start.");
        let app = Container::builder().name("app").exit_code(1).build();
        let task = Task::builder().stopped_reason("Essential container in task exited").containers(app).build();
        assert_eq!(cause(&task), "a task stopped: Essential container in task exited; app: exit code 1");
    }
}
