//! Releases that ECS carries out itself: which step does what.

use anyhow::Result;
use async_trait::async_trait;
use aws_sdk_ecs::types::{
    DeploymentLifecycleHookAction as Action, DeploymentLifecycleHookDetail as Hook,
    DeploymentLifecycleHookStatus as HookStatus, DeploymentLifecycleHookTargetType as Target, ServiceDeployment,
    ServiceDeploymentStatus as Status, ServiceRevisionSummary as Revision, StopServiceDeploymentStopType as StopType,
};
use jiff::Timestamp;

use super::checks::Checks;
use super::parts::{Native, Way};
use super::{Event, Outcome, Serving, Shared, Shown, act, observe, phase_name, short, wait};
use crate::aws::Aws;
use crate::bluegreen::native::{self, Deployment, Observed, State, Step};
use crate::bluegreen::{Goal, Phase, Policy, Record};
use crate::environment::services::Service;
use crate::kind::Failure;
use crate::kinds::{ecs_autopsy, ecs_deployment};

/// ECS's own blue/green deployments.
pub struct Method {
    checks: Checks,
}

/// A look, and when it was.
struct Seen {
    observed: Observed,
    at: Timestamp,
    /// What ECS wants to hear before it goes on.
    hook: Option<String>,
    /// The newest deployment, as ECS shows it.
    found: Option<ServiceDeployment>,
}

#[async_trait]
impl super::Method for Method {
    async fn step(&self, shared: &Shared, policy: &Policy, goal: Goal) -> Result<Option<Outcome>> {
        let seen = self.look(shared).await?;
        let next = native::next(policy, goal, &seen.observed, seen.at);
        (shared.tell)(&event(shared, &seen, &next));
        let Some(record) = seen.observed.record.clone() else { return Err(shared.no_release()) };
        match next {
            Step::Wait { until, .. } => tokio::time::sleep(wait(until.duration_since(seen.at))).await,
            Step::Done => return Ok(Some(Outcome::of(record))),
            Step::Halt { why, help } => return Ok(Some(Outcome::Halted { why, help })),
            next => act(shared, next, record, &seen).await?,
        }
        Ok(None)
    }

    async fn survey(&self, shared: &Shared) -> Result<Event, Failure> {
        let seen = self.look(shared).await?;
        Ok(event(shared, &seen, &native::next(&shared.policy, Goal::Finished, &seen.observed, seen.at)))
    }

    async fn serving(&self, shared: &Shared) -> Result<Serving> {
        let seen = self.look(shared).await?;
        let ecs = of(shared)?.ecs.clone();
        let side = &seen.observed.side;
        // What somebody else deploys does not serve before the traffic has moved.
        let moving = |newest: &Deployment| matches!(newest.state, State::Starting | State::Paused | State::Shifting);
        let source = seen.found.as_ref().and_then(|found| found.source_service_revisions().first());
        let revision = match (seen.observed.newest.as_ref().filter(|newest| moving(newest)), source) {
            (Some(_), Some(source)) => revision(&shared.aws, Some(source)).await?,
            _ => side.revision.clone(),
        };
        Ok(Serving { revision: (side.desired > 0).then_some(revision), ecs, next: None })
    }
}

fn of(shared: &Shared) -> Result<&Native, Failure> {
    match &shared.parts.way {
        Way::Native(native) => Ok(native),
        Way::Colours(_) | Way::Rolling(_) => {
            Err(Failure::new("release", "Defect", "ECS does not release the service itself"))
        }
    }
}

impl Method {
    pub fn of(service: &Service) -> Self {
        let route = service.route.clone().unwrap_or_default();
        Self { checks: Checks::of(&service.release.checks, &route) }
    }

    async fn look(&self, shared: &Shared) -> Result<Seen, Failure> {
        let (aws, native, cluster) = (&shared.aws, of(shared)?, &shared.parts.cluster);
        let request = aws.ecs().describe_services().cluster(cluster).services(&native.ecs);
        let (services, found, record) = tokio::try_join!(
            aws.call("ecs:DescribeServices", request.send()),
            ecs_deployment::newest(aws, cluster, &native.ecs),
            shared.look(),
        )?;
        let missing = || Failure::new("ecs:DescribeServices", "ServiceNotFoundException", native.ecs.as_str());
        let service = services.services().first().ok_or_else(missing)?;
        let mut side = observe::side(aws, service, &[]).await?;
        side.healthy = side.running;
        let hook = found.as_ref().and_then(waiting);
        let newest = match &found {
            Some(found) => Some(deployment(shared, found, hook.is_some()).await?),
            None => None,
        };
        let verifies = record.as_ref().is_some_and(|record| record.phase == Phase::Verifying);
        let alarms = if verifies { observe::alarms(aws, &shared.parts.alarms).await? } else { Vec::new() };
        let checks = if verifies && hook.is_some() { self.checks.ask(&native.door).await } else { None };
        let waits = ecs_deployment::waits(service.deployment_configuration());
        let observed = Observed { side, waits, newest, alarms, checks, record };
        Ok(Seen { observed, at: Timestamp::now(), hook: hook.map(str::to_owned), found })
    }
}

/// The pause that waits for an answer.
fn waiting(found: &ServiceDeployment) -> Option<&str> {
    let asks =
        |hook: &&Hook| hook.target_type() == Some(&Target::Pause) && hook.status() == Some(&HookStatus::AwaitingAction);
    found.lifecycle_hook_details().iter().find(asks)?.hook_id()
}

async fn deployment(shared: &Shared, found: &ServiceDeployment, paused: bool) -> Result<Deployment, Failure> {
    let target = found.target_service_revision();
    let revision = revision(&shared.aws, target).await?;
    let state = match found.status() {
        Some(Status::Successful) => State::Succeeded,
        Some(Status::StopRequested | Status::RollbackRequested | Status::RollbackInProgress) => {
            State::GoingBack(why(shared, found, &revision).await?)
        }
        Some(Status::RollbackSuccessful) => State::WentBack(why(shared, found, &revision).await?),
        Some(Status::RollbackFailed | Status::Stopped) => State::Broken(why(shared, found, &revision).await?),
        _ if paused => State::Paused,
        _ => match found.lifecycle_stage().map(|stage| stage.as_str()).unwrap_or_default() {
            "PRE_PRODUCTION_TRAFFIC_SHIFT" | "PRODUCTION_TRAFFIC_SHIFT" | "POST_PRODUCTION_TRAFFIC_SHIFT" => {
                State::Shifting
            }
            "BAKE_TIME" | "CLEAN_UP" => State::Baking,
            _ => State::Starting,
        },
    };
    let natural = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    Ok(Deployment {
        id: found.service_deployment_arn().unwrap_or_default().to_owned(),
        revision,
        state,
        running: natural(target.map(|target| target.running_task_count())),
        wanted: natural(target.map(|target| target.requested_task_count())),
    })
}

/// The task definition of a revision of the service.
async fn revision(aws: &Aws, of: Option<&Revision>) -> Result<String, Failure> {
    let Some(arn) = of.and_then(|revision| revision.arn()) else { return Ok(String::new()) };
    let request = aws.ecs().describe_service_revisions().service_revision_arns(arn);
    let answer = aws.call("ecs:DescribeServiceRevisions", request.send()).await?;
    let found = answer.service_revisions.unwrap_or_default().pop();
    Ok(found.and_then(|found| found.task_definition).unwrap_or_default())
}

/// Why ECS has gone back, with the last words of a task that died.
async fn why(shared: &Shared, found: &ServiceDeployment, revision: &str) -> Result<String, Failure> {
    let fired = found.alarms().map(|alarms| alarms.triggered_alarm_names()).unwrap_or_default();
    if !fired.is_empty() {
        return Ok(format!("the alarm {} went off", fired.join(", ")));
    }
    let reason = found.rollback().and_then(|rollback| rollback.reason()).or(found.status_reason());
    let mut why = format!("ECS went back: {}", reason.unwrap_or("no reason given"));
    let breaker = found.deployment_circuit_breaker().is_some_and(|breaker| breaker.failure_count() > 0);
    if breaker
        && let Some(ended) =
            ecs_autopsy::of_revision(&shared.aws, &shared.parts.cluster, &of(shared)?.ecs, revision).await?
    {
        why.push_str(&format!("; {ended}"));
    }
    Ok(why)
}

async fn act(shared: &Shared, next: Step, mut record: Record, seen: &Seen) -> Result<()> {
    let (aws, native, cluster) = (&shared.aws, of(shared)?, &shared.parts.cluster);
    let side = &seen.observed.side;
    match next {
        Step::Migrate => shared.migrated(record).await,
        Step::Start { count } => {
            record.count = count;
            record.since = Timestamp::now();
            record.follows = seen.observed.newest.as_ref().map(|newest| newest.id.clone());
            shared.write(&record).await?;
            let idle = (side.desired == 0).then_some(count);
            act::start(aws, cluster, &native.ecs, &record.revision, idle, side.revision == record.revision).await
        }
        Step::Enter(phase) => {
            if phase == Phase::Finished {
                act::scaler(aws, native.scaler.as_ref(), act::Scaler::Free).await?;
                shared.proven(&record.image).await?;
            }
            shared.note(phase, record, None).await
        }
        Step::Continue => {
            let (Some(found), Some(hook)) = (&seen.found, &seen.hook) else { return Ok(()) };
            if record.shifted.is_none() {
                record.shifted = Some(Timestamp::now());
                shared.write(&record).await?;
            }
            let request = aws.ecs().continue_service_deployment().hook_id(hook).action(Action::Continue);
            let request = request.set_service_deployment_arn(found.service_deployment_arn.clone());
            Ok(aws.call("ecs:ContinueServiceDeployment", request.send()).await.map(drop)?)
        }
        Step::Stop { why } => {
            let arn = seen.found.as_ref().and_then(|found| found.service_deployment_arn.clone());
            let request = aws.ecs().stop_service_deployment().set_service_deployment_arn(arn);
            let request = request.stop_type(StopType::Rollback);
            match aws.call("ecs:StopServiceDeployment", request.send()).await {
                Ok(_) => taken_back(shared, record, why).await,
                // It has just ended: the next look decides anew.
                Err(failure) if failure.code == "ConflictException" => Ok(()),
                Err(failure) => Err(failure.into()),
            }
        }
        Step::Return { why } => {
            if let Some(from) = &record.from {
                give_back(shared, native, from).await?;
                if record.phase == Phase::Finished {
                    shared.jobs_back(from).await?;
                }
            }
            taken_back(shared, record, why).await
        }
        Step::TakenBack { why } => taken_back(shared, record, why).await,
        Step::Wait { .. } | Step::Halt { .. } | Step::Done => Ok(()),
    }
}

/// Of a first release there is nothing that ECS could go back to.
async fn taken_back(shared: &Shared, record: Record, why: String) -> Result<()> {
    if record.from.is_none() {
        act::scale(&shared.aws, &shared.parts.cluster, &of(shared)?.ecs, 0).await?;
    }
    shared.note(Phase::RolledBack, record, Some(why)).await
}

/// Deploys an earlier revision that needs no trial. The service is then set to wait again; where a kill keeps it from that,
/// a plan shows it, and no release begins before.
async fn give_back(shared: &Shared, native: &Native, revision: &str) -> Result<()> {
    let (aws, live, cluster) = (&shared.aws, &native.live, &shared.parts.cluster);
    let unheld = live.unheld();
    let request = aws.ecs().update_service().cluster(cluster).service(&native.ecs).task_definition(revision);
    let request = request.deployment_configuration(unheld.deployment(live)?);
    aws.call("ecs:UpdateService", request.send()).await?;
    let request = aws.ecs().update_service().cluster(cluster).service(&native.ecs);
    let request = request.deployment_configuration(live.deployment(&unheld)?);
    aws.call("ecs:UpdateService", request.send()).await?;
    Ok(())
}

fn event(shared: &Shared, seen: &Seen, next: &Step) -> Event {
    let Seen { observed, at, found, .. } = seen;
    let record = observed.record.as_ref();
    let does = match next {
        Step::Wait { on, .. } => on.clone(),
        Step::Migrate => shared.running_job(),
        Step::Start { .. } => {
            let revision = record.map(|record| short(&record.revision)).unwrap_or_default();
            format!("let ECS start {revision}")
        }
        Step::Enter(phase) => format!("go on: {}", phase_name(*phase)),
        Step::Continue => "let ECS move the traffic".to_owned(),
        Step::Stop { why } => format!("let ECS go back: {why}"),
        Step::Return { why } => format!("release the old version again: {why}"),
        Step::TakenBack { why } => format!("it was taken back: {why}"),
        Step::Halt { why, .. } => format!("stop here: {why}"),
        Step::Done => "done".to_owned(),
    };
    shared.event(record, *at, sides(observed, found.as_ref()), does, matches!(next, Step::Wait { .. }))
}

/// While a deployment lasts, the old tasks and the new ones; else the tasks.
fn sides(observed: &Observed, found: Option<&ServiceDeployment>) -> Vec<Shown> {
    let lasts =
        |newest: &&Deployment| !matches!(newest.state, State::Succeeded | State::WentBack(_) | State::Broken(_));
    let side = &observed.side;
    let (Some(newest), Some(found)) = (observed.newest.as_ref().filter(lasts), found) else {
        return vec![Shown::running("tasks", &side.revision, [side.healthy, side.desired], 100)];
    };
    let new = found.target_service_revision().map_or(0, weight);
    let mut sides = Vec::new();
    if let Some(old) = found.source_service_revisions().first() {
        let natural = |value: i32| u32::try_from(value).unwrap_or_default();
        let from = observed.record.as_ref().and_then(|record| record.from.as_deref()).unwrap_or_default();
        let (running, wanted) = (natural(old.running_task_count()), natural(old.requested_task_count()));
        sides.push(Shown::running("old", from, [running, wanted], weight(old)));
    }
    sides.push(Shown::running("new", &newest.revision, [newest.running, newest.wanted], new));
    sides
}

/// The share of the traffic, in whole percent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage is between 0 and 100")]
fn weight(of: &Revision) -> u16 {
    of.requested_production_traffic_weight().unwrap_or_default().clamp(0.0, 100.0).round() as u16
}
