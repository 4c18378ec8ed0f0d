//! Releases between two colours: which move does what.

use std::sync::Mutex;

use anyhow::{Result, bail};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::act::{self, Scaler};
use super::checks::Checks;
use super::parts::{Colours, Way};
use super::{Event, Outcome, Serving, Shared, Shown, lock, observe, phase_name, short, wait};
use crate::bluegreen::{
    self, Both, Colour, Goal, Move, Observed, Phase, Policy, Record, Rollout, Sample, Side, Weights,
};
use crate::environment::services::Service;
use crate::kind::Failure;
use crate::kinds::ecs_autopsy;

/// How long before now metrics are read where nothing else says since when.
const BACK: SignedDuration = SignedDuration::from_mins(10);

/// Two colours, and one rule that shares the traffic between them.
pub struct Method {
    checks: Checks,
    /// Metrics change slowly and are read seldom.
    metrics: Mutex<Option<(Timestamp, Both<Vec<Sample>>)>>,
    /// Since when the checks have failed.
    failing: Mutex<Option<Timestamp>>,
}

/// A look, and when it was.
struct Seen {
    observed: Observed,
    at: Timestamp,
}

#[async_trait]
impl super::Method for Method {
    async fn step(&self, shared: &Shared, policy: &Policy, goal: Goal) -> Result<Option<Outcome>> {
        let Seen { observed, at } = self.look(shared).await?;
        let next = bluegreen::next(policy, goal, &observed, at);
        if next != Move::Done {
            (shared.tell)(&event(shared, &observed, at, &next));
        }
        let Some(record) = observed.record.clone() else { return Err(shared.no_release()) };
        match next {
            Move::Wait { until, .. } => tokio::time::sleep(wait(until.duration_since(at))).await,
            Move::Done => return Ok(Some(Outcome::of(record))),
            Move::Halt { why, help } => return Ok(Some(Outcome::Halted { why, help })),
            next => act(shared, next, record, &observed).await?,
        }
        Ok(None)
    }

    async fn survey(&self, shared: &Shared) -> Result<Event, Failure> {
        let Seen { mut observed, at } = self.look(shared).await?;
        let since = observed.record.as_ref().and_then(|record| record.shifted).unwrap_or(at - BACK).max(at - BACK);
        observed.samples = self.samples(shared, since, at).await?;
        let next = bluegreen::next(&shared.policy, Goal::Finished, &observed, at);
        Ok(event(shared, &observed, at, &next))
    }

    async fn serving(&self, shared: &Shared) -> Result<Serving> {
        let colours = colours(shared)?;
        let (sides, (weights, _)) = tokio::try_join!(
            observe::sides(&shared.aws, &shared.parts.cluster, colours),
            observe::rules(&shared.aws, colours)
        )?;
        let Some(active) = Colour::ALL.into_iter().find(|colour| *weights.of(*colour) == 100) else {
            let Weights { blue, green } = weights;
            bail!(
                "the traffic of {} is split by hand: blue {blue}, green {green}; no release has done that\n  give all of it to one \
                 colour in the listener rule, then run the same command again",
                shared.parts.service
            );
        };
        let side = sides.of(active);
        Ok(Serving {
            revision: (side.desired > 0).then(|| side.revision.clone()),
            ecs: colours.ecs.of(active).clone(),
            next: Some(active.other()),
        })
    }
}

fn colours(shared: &Shared) -> Result<&Colours, Failure> {
    match &shared.parts.way {
        Way::Colours(colours) => Ok(colours),
        Way::Rolling(_) | Way::Native(_) => Err(Failure::new("release", "Defect", "the service has no colours")),
    }
}

impl Method {
    pub fn of(service: &Service) -> Self {
        let route = service.route.clone().unwrap_or_default();
        Self {
            checks: Checks::of(&service.release.checks, &route),
            metrics: Mutex::new(None),
            failing: Mutex::new(None),
        }
    }

    /// Everything that a decision rests on.
    async fn look(&self, shared: &Shared) -> Result<Seen, Failure> {
        let colours = colours(shared)?;
        let aws = &shared.aws;
        let (record, sides, (weights, test)) = tokio::try_join!(
            shared.look(),
            observe::sides(aws, &shared.parts.cluster, colours),
            observe::rules(aws, colours),
        )?;
        let now = Timestamp::now();
        let phase = record.as_ref().map(|record| record.phase);
        let (mut samples, mut alarms, mut checks) = (Both::default(), Vec::new(), None);
        if let Some(record) = &record {
            let since = record.shifted.unwrap_or(now - BACK);
            if matches!(phase, Some(Phase::Shifting(_) | Phase::Monitoring | Phase::Keeping)) {
                (samples, alarms) =
                    tokio::try_join!(self.samples(shared, since, now), observe::alarms(aws, &shared.parts.alarms))?;
            } else if phase == Some(Phase::Verifying) {
                alarms = observe::alarms(aws, &shared.parts.alarms).await?;
            }
            if matches!(phase, Some(Phase::Verifying | Phase::Monitoring)) {
                checks = self.checks(shared, now).await?;
            }
        }
        Ok(Seen { observed: Observed { sides, weights, test, samples, alarms, checks, record }, at: now })
    }

    /// What the checks say. They have failed only once they have failed for a while: a load balancer takes its time to
    /// learn of a rule, and networks hiccup.
    async fn checks(&self, shared: &Shared, now: Timestamp) -> Result<Option<Result<(), String>>, Failure> {
        let said = self.checks.ask(&colours(shared)?.door).await;
        let mut failing = lock(&self.failing);
        if !matches!(said, Some(Err(_))) {
            *failing = None;
            return Ok(said);
        }
        let since = *failing.get_or_insert(now);
        Ok(said.filter(|_| now.duration_since(since) >= shared.policy.settle()))
    }

    async fn samples(&self, shared: &Shared, since: Timestamp, now: Timestamp) -> Result<Both<Vec<Sample>>, Failure> {
        let fresh = shared.policy.period.min(shared.policy.look * 3);
        let known = lock(&self.metrics).clone();
        if let Some((at, samples)) = known
            && now.duration_since(at) < fresh
        {
            return Ok(samples);
        }
        let samples = observe::samples(&shared.aws, colours(shared)?, since, shared.policy.period).await?;
        *lock(&self.metrics) = Some((now, samples.clone()));
        Ok(samples)
    }
}

async fn act(shared: &Shared, next: Move, mut record: Record, observed: &Observed) -> Result<()> {
    let (aws, colours, cluster) = (&shared.aws, colours(shared)?, &shared.parts.cluster);
    match next {
        Move::Migrate => match shared.migrate(&record).await? {
            Ok(()) => record.migrated = true,
            Err(why) => return enter(shared, Phase::RolledBack, record, Some(why), observed).await,
        },
        Move::Start { colour, revision, count } => {
            let side = observed.sides.of(colour);
            (record.count, record.started) = (count, Some(Timestamp::now()));
            shared.write(&record).await?;
            act::scaler(aws, colours.scalers.of(colour).as_ref(), Scaler::Held).await?;
            let again = side.revision == revision && side.desired == 0;
            return act::start(aws, cluster, colours.ecs.of(colour), &revision, Some(count), again).await;
        }
        Move::Try(colour) => return act::weigh(aws, colours, &colours.test, Weights::with(colour, 100), false).await,
        Move::Shift { from, to } => return shift(shared, record, observed, from, to).await,
        Move::Enter(phase) => return enter(shared, phase, record, None, observed).await,
        Move::Extend => record.extended = true,
        Move::Stop(colour) => {
            act::scaler(aws, colours.scalers.of(colour).as_ref(), Scaler::Held).await?;
            return act::scale(aws, cluster, colours.ecs.of(colour), 0).await;
        }
        Move::Abandon { why } => {
            let why = explained(shared, &record, observed, why).await;
            return enter(shared, Phase::RolledBack, record, Some(why), observed).await;
        }
        Move::RollBack { from, to, why } => {
            if !rules_are(shared, from).await? {
                return Ok(());
            }
            // Traffic first, and beside it the decision, so that whoever goes on after a kill goes on with it.
            let decided = Record { why: Some(why.clone()), ..record };
            let moved = act::weigh(aws, colours, &colours.rule, to, false);
            let (moved, noted) = tokio::join!(moved, shared.write(&decided));
            moved?;
            noted?;
            let why = explained(shared, &decided, observed, why).await;
            return enter(shared, Phase::RolledBack, decided, Some(why), observed).await;
        }
        Move::Wait { .. } | Move::Halt { .. } | Move::Done => return Ok(()),
    }
    shared.write(&record).await
}

/// Where tasks of the new colour are missing, how the last one ended says more. What cannot be read must not keep a release
/// from being taken back.
async fn explained(shared: &Shared, record: &Record, observed: &Observed, why: String) -> String {
    let (Some(to), Ok(colours)) = (record.to, colours(shared)) else { return why };
    let side = observed.sides.of(to);
    // Of a deployment that has failed, the reason tells it already.
    if side.healthy >= side.desired || matches!(side.rollout, Rollout::Failed(_)) {
        return why;
    }
    match ecs_autopsy::of_revision(&shared.aws, &shared.parts.cluster, colours.ecs.of(to), &record.revision).await {
        Ok(Some(ended)) => format!("{why}; {ended}"),
        _ => why,
    }
}

/// Whether the weights are still those that the decision saw. If not, the next look decides anew.
async fn rules_are(shared: &Shared, expected: Weights) -> Result<bool, Failure> {
    Ok(observe::rules(&shared.aws, colours(shared)?).await?.0 == expected)
}

async fn shift(shared: &Shared, mut record: Record, observed: &Observed, from: Weights, to: Weights) -> Result<()> {
    let (aws, colours) = (&shared.aws, colours(shared)?);
    let Some(colour) = record.to else { return Ok(()) };
    if record.shifted.is_none() {
        record.shifted = Some(Timestamp::now());
        record.alarms = observed.alarms.iter().map(|alarm| alarm.name.clone()).collect();
        shared.write(&record).await?;
    }
    // What loses its traffic would shrink, and could not take the traffic back.
    let old = if *to.of(colour) == 100 { Scaler::Held } else { Scaler::Growing };
    act::scaler(aws, colours.scalers.of(colour.other()).as_ref(), old).await?;
    act::scaler(aws, colours.scalers.of(colour).as_ref(), Scaler::Growing).await?;
    // Both again, as late as can be: somebody may have taken the release back meanwhile.
    let (same, now) = tokio::try_join!(rules_are(shared, from), shared.read())?;
    shared.check_lock()?;
    if same && now.as_ref() == Some(&record) { act::weigh(aws, colours, &colours.rule, to, true).await } else { Ok(()) }
}

/// What belongs to a phase is done before the record says that it has begun, so that nothing is left out by a kill.
async fn enter(shared: &Shared, phase: Phase, record: Record, why: Option<String>, observed: &Observed) -> Result<()> {
    let (aws, colours) = (&shared.aws, colours(shared)?);
    let Some(to) = record.to else { return Ok(()) };
    let (new, old) = (colours.scalers.of(to).as_ref(), colours.scalers.of(to.other()).as_ref());
    match phase {
        Phase::Monitoring => {
            act::scaler(aws, old, Scaler::Held).await?;
            act::scaler(aws, new, Scaler::Free).await?;
        }
        Phase::Keeping => {
            shared.proven(&record.image).await?;
        }
        Phase::RolledBack => {
            act::scaler(aws, new, Scaler::Held).await?;
            let (grown, kept) = (observed.sides.of(to).desired, observed.sides.of(to.other()).desired);
            if kept > 0 {
                // What the new colour has grown to is what the load needs.
                if record.shifted.is_some() && grown > kept {
                    act::scale(aws, &shared.parts.cluster, colours.ecs.of(to.other()), grown).await?;
                }
                act::scaler(aws, old, Scaler::Free).await?;
            }
            if let (Phase::Keeping, Some(from)) = (record.phase, &record.from) {
                shared.jobs_back(from).await?;
            }
        }
        _ => {}
    }
    shared.note(phase, record, why).await
}

fn event(shared: &Shared, observed: &Observed, at: Timestamp, next: &Move) -> Event {
    let shown = |colour: Colour| {
        let side: &Side = observed.sides.of(colour);
        let samples = observed.samples.of(colour);
        let recent = || samples.iter().rev().take(5);
        let requests: f64 = recent().map(|sample| sample.requests).sum();
        let errors: f64 = recent().map(|sample| sample.errors).sum();
        let last = samples.iter().rev().find(|sample| sample.requests > 0.0);
        Shown {
            name: colour.name(),
            revision: short(&side.revision).to_owned(),
            healthy: side.healthy,
            desired: side.desired,
            weight: *observed.weights.of(colour),
            requests: (!samples.is_empty()).then_some(requests),
            errors: (requests > 0.0).then(|| errors / requests * 100.0),
            p50: last.and_then(|sample| sample.p50),
            p95: last.and_then(|sample| sample.p95),
        }
    };
    let (sides, waits) = (Colour::ALL.map(shown).to_vec(), matches!(next, Move::Wait { .. }));
    shared.event(observed.record.as_ref(), at, sides, doing(shared, next), waits)
}

fn doing(shared: &Shared, next: &Move) -> String {
    match next {
        Move::Wait { on, .. } => on.clone(),
        Move::Migrate => shared.running_job(),
        Move::Start { colour, revision, count } => format!("start {count} of {} on {}", short(revision), colour.name()),
        Move::Try(colour) => format!("lead the test rule to {}", colour.name()),
        Move::Shift { to, .. } => format!("set the weights to blue {}, green {}", to.blue, to.green),
        Move::Enter(phase) => format!("go on: {}", phase_name(*phase)),
        Move::Extend => "watch as long once more: there was no traffic".to_owned(),
        Move::Stop(colour) => format!("stop {}", colour.name()),
        Move::Abandon { why } => format!("give up before any traffic: {why}"),
        Move::RollBack { to, why, .. } => {
            format!("take it back, weights to blue {}, green {}: {why}", to.blue, to.green)
        }
        Move::Halt { why, .. } => format!("stop here: {why}"),
        Move::Done => "done".to_owned(),
    }
}
