//! Releases that replace tasks one by one: which step does what.

use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;

use super::act::{self, Scaler};
use super::parts::{Rolling, Way};
use super::{Event, Outcome, Serving, Shared, Shown, observe, phase_name, short, wait};
use crate::bluegreen::rolling::{self, Observed, Step};
use crate::bluegreen::{Goal, Phase, Policy, Record, Rollout};
use crate::kind::Failure;
use crate::kinds::{ecs_autopsy, ecs_rollout};

/// ECS's own deployments.
pub struct Method;

#[async_trait]
impl super::Method for Method {
    async fn step(&self, shared: &Shared, policy: &Policy, goal: Goal) -> Result<Option<Outcome>> {
        let (observed, at) = look(shared).await?;
        let next = rolling::next(policy, goal, &observed, at);
        if next != Step::Done {
            (shared.tell)(&event(shared, &observed, at, &next));
        }
        let Some(record) = observed.record.clone() else { return Err(shared.no_release()) };
        match next {
            Step::Wait { until, .. } => tokio::time::sleep(wait(until.duration_since(at))).await,
            Step::Done => return Ok(Some(Outcome::of(record))),
            next => act(shared, next, record, &observed).await?,
        }
        Ok(None)
    }

    async fn survey(&self, shared: &Shared) -> Result<Event, Failure> {
        let (observed, at) = look(shared).await?;
        Ok(event(shared, &observed, at, &rolling::next(&shared.policy, Goal::Finished, &observed, at)))
    }

    async fn serving(&self, shared: &Shared) -> Result<Serving> {
        let (observed, _) = look(shared).await?;
        let side = observed.side;
        let ecs = of(shared)?.ecs.clone();
        Ok(Serving { revision: (side.desired > 0).then_some(side.revision), ecs, next: None })
    }
}

fn of(shared: &Shared) -> Result<&Rolling, Failure> {
    match &shared.parts.way {
        Way::Rolling(rolling) => Ok(rolling),
        Way::Colours(_) | Way::Native(_) => Err(Failure::new("release", "Defect", "the service moves traffic")),
    }
}

async fn look(shared: &Shared) -> Result<(Observed, Timestamp), Failure> {
    let (aws, rolling) = (&shared.aws, of(shared)?);
    let request = aws.ecs().describe_services().cluster(&shared.parts.cluster).services(&rolling.ecs);
    let (services, record) = tokio::try_join!(aws.call("ecs:DescribeServices", request.send()), shared.look())?;
    let missing = || Failure::new("ecs:DescribeServices", "ServiceNotFoundException", rolling.ecs.as_str());
    let service = services.services().first().ok_or_else(missing)?;
    let mut side = observe::side(aws, service, &[]).await?;
    side.healthy = side.running;
    let gone_back = ecs_rollout::gone_back(service, Timestamp::now());
    // Where ECS has gone back, the deployment that failed is no longer the first one.
    if let Some(record) = record.as_ref().filter(|record| record.phase == Phase::Preparing && record.count > 0)
        && side.revision != record.revision
        && gone_back.is_some()
    {
        let why = ecs_autopsy::of(aws, service).await?;
        side.rollout = Rollout::Failed(format!("ECS went back to the old version by itself; {why}"));
    } else if service.deployments().len() > 1 && side.rollout == Rollout::Completed {
        side.rollout = Rollout::InProgress;
    }
    if let Some(why) = gone_back.filter(|_| side.rollout == Rollout::InProgress) {
        side.rollout = Rollout::Failed(why);
    }
    let watched = record.as_ref().is_some_and(|record| matches!(record.phase, Phase::Preparing | Phase::Monitoring));
    let alarms = if watched { observe::alarms(aws, &shared.parts.alarms).await? } else { Vec::new() };
    Ok((Observed { side, alarms, record }, Timestamp::now()))
}

async fn act(shared: &Shared, next: Step, mut record: Record, observed: &Observed) -> Result<()> {
    let (aws, rolling, cluster) = (&shared.aws, of(shared)?, &shared.parts.cluster);
    match next {
        Step::Migrate => shared.migrated(record).await,
        Step::Start { count } => {
            // A scaler that was held until the first release leaves a number within its bounds alone.
            let idle = observed.side.desired == 0;
            let again = observed.side.revision == record.revision;
            act::start(aws, cluster, &rolling.ecs, &record.revision, idle.then_some(count), again).await?;
            (record.count, record.started) = (count, Some(Timestamp::now()));
            record.alarms = observed.alarms.iter().map(|alarm| alarm.name.clone()).collect();
            shared.write(&record).await
        }
        Step::Enter(phase) => {
            if phase == Phase::Finished {
                act::scaler(aws, rolling.scaler.as_ref(), Scaler::Free).await?;
                shared.proven(&record.image).await?;
            }
            shared.note(phase, record, None).await
        }
        Step::RollBack { why } => {
            match &record.from {
                Some(from) => {
                    act::start(aws, cluster, &rolling.ecs, from, None, false).await?;
                    if record.phase == Phase::Finished {
                        shared.jobs_back(from).await?;
                    }
                }
                None => act::scale(aws, cluster, &rolling.ecs, 0).await?,
            }
            shared.note(Phase::RolledBack, record, Some(why)).await
        }
        Step::TakenBack { why } => shared.note(Phase::RolledBack, record, Some(why)).await,
        Step::Wait { .. } | Step::Done => Ok(()),
    }
}

fn event(shared: &Shared, observed: &Observed, at: Timestamp, next: &Step) -> Event {
    let record = observed.record.as_ref();
    let does = match next {
        Step::Wait { on, .. } => on.clone(),
        Step::Migrate => shared.running_job(),
        Step::Start { .. } => {
            let revision = record.map(|record| short(&record.revision)).unwrap_or_default();
            format!("replace the tasks by {revision}")
        }
        Step::Enter(phase) => format!("go on: {}", phase_name(*phase)),
        Step::RollBack { why } => format!("take it back: {why}"),
        Step::TakenBack { why } => format!("it was taken back: {why}"),
        Step::Done => "done".to_owned(),
    };
    let side = &observed.side;
    let shown = Shown::running("tasks", &side.revision, [side.healthy, side.desired], 100);
    shared.event(record, at, vec![shown], does, matches!(next, Step::Wait { .. }))
}
