//! Releases: looks at what is live, asks the pure core ([`crate::bluegreen`]) what to do, does it, and looks again. A
//! process that is killed anywhere leaves nothing that the same command does not go on from.

mod act;
mod autopsy;
mod checks;
mod family;
mod image;
mod job;
mod observe;
mod parts;
mod record;

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::watch;

use self::checks::Checks;
pub use self::family::short;
pub use self::image::{repository, resolve};
pub use self::parts::{Colours, Parts, Way, World, service};
use crate::aws::Aws;
use crate::bluegreen::{self, Both, Colour, Goal, Move, Observed, Phase, Policy, Record, Sample, Side, Weights};
use crate::environment::Loaded;
use crate::kind::{Class, Failure};

/// Looks that may fail one after the other before a release stops: AWS is then out of reach for minutes.
const PATIENCE: u32 = 20;
/// How long before now metrics are read where nothing else says since when.
const BACK: SignedDuration = SignedDuration::from_mins(10);

/// A release of a service with two colours.
pub struct Release<'a> {
    aws: &'a Aws,
    pub parts: &'a Parts,
    colours: &'a Colours,
    pub policy: Policy,
    checks: Checks,
    record: String,
    /// Turns true when somebody else has taken over.
    lost: Option<watch::Receiver<bool>>,
    tell: &'a (dyn Fn(&Event) + Sync),
    /// Metrics change slowly and are read seldom.
    metrics: Mutex<Option<(Timestamp, Both<Vec<Sample>>)>>,
}

/// What is seen and done, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    pub at: Timestamp,
    pub service: String,
    /// The release's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    pub blue: Shown,
    pub green: Shown,
    /// The colour whose release this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Colour>,
    /// What is done, or waited for.
    pub does: String,
    /// Whether nothing is done but to wait.
    pub waits: bool,
}

/// One colour in an event.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub revision: String,
    pub healthy: u32,
    pub desired: u32,
    pub weight: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// Percent of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<f64>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
}

/// How a release came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As far as was asked.
    Reached,
    /// The old colour serves.
    TakenBack { why: String },
    /// A person must decide.
    Halted { why: String, help: String },
}

/// What is to be released.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The release's id; several services released together share it.
    pub id: String,
    pub image: String,
    /// A revision that exists, in place of one with the file's shape and the image.
    pub revision: Option<String>,
    /// Whether what was taken back, or runs already, is released all the same.
    pub again: bool,
    /// Whether the old colour of the release before is given up at once.
    pub now: bool,
}

/// Everything that a look sees, for decisions and for `status`.
pub struct Seen {
    pub observed: Observed,
    pub at: Timestamp,
}

impl<'a> Release<'a> {
    /// The release of a service, with the policy of the file.
    pub fn of(world: &'a World, loaded: &Loaded, parts: &'a Parts, tell: &'a (dyn Fn(&Event) + Sync)) -> Result<Self> {
        let Way::Colours(colours) = &parts.way else { bail!("{} is replaced task by task", parts.service) };
        let section = service(loaded, &parts.service)?;
        let mut policy = Policy::from(&section.release);
        policy.count = section.scale.as_ref().map(|scale| scale.min).or(section.count).unwrap_or(1);
        let route = section.route.clone().unwrap_or_default();
        Ok(Self {
            aws: &world.aws,
            parts,
            colours,
            policy,
            checks: Checks::of(&section.release.checks, &route),
            record: record::name(&world.desired.project, &world.desired.environment, &parts.service),
            lost: None,
            tell,
            metrics: Mutex::new(None),
        })
    }

    /// Stops as soon as this turns true.
    #[must_use]
    pub fn until(mut self, lost: watch::Receiver<bool>) -> Self {
        self.lost = Some(lost);
        self
    }

    /// The same, with what both colours have done of late.
    pub async fn survey(&self) -> Result<Event, Failure> {
        let Seen { mut observed, at } = self.look().await?;
        let since = observed.record.as_ref().and_then(|record| record.shifted).unwrap_or(at - BACK).max(at - BACK);
        observed.samples = self.samples(since, at).await?;
        let next = bluegreen::next(&self.policy, Goal::Finished, &observed, at);
        Ok(self.event(&observed, at, &next))
    }

    /// The record of the last release.
    pub async fn record(&self) -> Result<Option<Record>, Failure> {
        record::read(self.aws, &self.record).await
    }

    /// Everything that a decision rests on.
    pub async fn look(&self) -> Result<Seen, Failure> {
        let (record, sides, (weights, test)) = tokio::try_join!(
            record::read(self.aws, &self.record),
            observe::sides(self.aws, &self.parts.cluster, self.colours),
            observe::rules(self.aws, self.colours),
        )?;
        let now = Timestamp::now();
        let phase = record.as_ref().map(|record| record.phase);
        let (mut samples, mut alarms, mut checks) = (Both::default(), Vec::new(), None);
        if let Some(record) = &record {
            let since = record.shifted.unwrap_or(now - BACK);
            if matches!(phase, Some(Phase::Shifting(_) | Phase::Monitoring | Phase::Keeping)) {
                (samples, alarms) =
                    tokio::try_join!(self.samples(since, now), observe::alarms(self.aws, &self.parts.alarms))?;
            } else if phase == Some(Phase::Verifying) {
                alarms = observe::alarms(self.aws, &self.parts.alarms).await?;
            }
            if matches!(phase, Some(Phase::Verifying | Phase::Monitoring)) {
                checks = self.checks.ask(&self.colours.door).await;
            }
        }
        Ok(Seen { observed: Observed { sides, weights, test, samples, alarms, checks, record }, at: now })
    }

    async fn samples(&self, since: Timestamp, now: Timestamp) -> Result<Both<Vec<Sample>>, Failure> {
        let fresh = self.policy.period.min(self.policy.look * 3);
        let known = self.metrics.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some((at, samples)) = known
            && now.duration_since(at) < fresh
        {
            return Ok(samples);
        }
        let samples = observe::samples(self.aws, self.colours, since, self.policy.period).await?;
        *self.metrics.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((now, samples.clone()));
        Ok(samples)
    }

    /// Goes on until the goal is reached, or cannot be.
    pub async fn reach(&self, goal: Goal) -> Result<Outcome> {
        self.reach_with(&self.policy, goal).await
    }

    async fn reach_with(&self, policy: &Policy, goal: Goal) -> Result<Outcome> {
        let mut failures = 0;
        loop {
            if self.lost.as_ref().is_some_and(|lost| *lost.borrow()) {
                bail!("somebody else has taken over the release of {}; this process stops", self.parts.service);
            }
            match self.step(policy, goal).await {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => failures = 0,
                Err(error) => {
                    let passing = error.downcast_ref::<Failure>().is_some_and(|failure| failure.class != Class::Fatal);
                    failures += 1;
                    if !passing || failures > PATIENCE {
                        return Err(error.context(format!(
                            "the release of {} stands where it is; run the same command again to go on",
                            self.parts.service
                        )));
                    }
                    tracing::warn!("{error:#}");
                    tokio::time::sleep(wait(self.policy.look)).await;
                }
            }
        }
    }

    async fn step(&self, policy: &Policy, goal: Goal) -> Result<Option<Outcome>> {
        let Seen { observed, at } = self.look().await?;
        let next = bluegreen::next(policy, goal, &observed, at);
        (self.tell)(&self.event(&observed, at, &next));
        let Some(record) = observed.record.clone() else {
            bail!("there is no release of {}: begin one with `infra bluegreen run`", self.parts.service)
        };
        match next {
            Move::Wait { until, .. } => tokio::time::sleep(wait(until.duration_since(at))).await,
            Move::Done if record.phase == Phase::RolledBack => {
                return Ok(Some(Outcome::TakenBack { why: record.why.unwrap_or_else(|| "by hand".to_owned()) }));
            }
            Move::Done => return Ok(Some(Outcome::Reached)),
            Move::Halt { why, help } => return Ok(Some(Outcome::Halted { why, help })),
            next => self.act(next, record, &observed).await?,
        }
        Ok(None)
    }

    async fn act(&self, next: Move, mut record: Record, observed: &Observed) -> Result<()> {
        let (aws, colours, cluster) = (self.aws, self.colours, &self.parts.cluster);
        match next {
            Move::Migrate => match self.migrate(&record).await {
                Ok(()) => record.migrated = true,
                Err(error) if error.downcast_ref::<Failure>().is_some() => return Err(error),
                Err(error) => return self.enter(Phase::RolledBack, record, Some(format!("{error:#}")), observed).await,
            },
            Move::Start { colour, revision, count } => {
                let side = observed.sides.of(colour);
                record.count = count;
                self.write(&record).await?;
                act::hold(aws, colours.scalers.of(colour).as_ref(), true).await?;
                let again = side.revision == revision && side.desired == 0;
                return act::start(aws, cluster, colours.ecs.of(colour), &revision, Some(count), again).await;
            }
            Move::Try(colour) => return act::weigh(aws, colours, &colours.test, Weights::with(colour, 100)).await,
            Move::Shift { from, to } => return self.shift(record, from, to).await,
            Move::Enter(phase) => return self.enter(phase, record, None, observed).await,
            Move::Extend => record.extended = true,
            Move::Stop(colour) => {
                act::hold(aws, colours.scalers.of(colour).as_ref(), true).await?;
                return act::scale(aws, cluster, colours.ecs.of(colour), 0).await;
            }
            Move::Abandon { why } => return self.enter(Phase::RolledBack, record, Some(why), observed).await,
            Move::RollBack { from, to, why } => {
                // Traffic first: everything else can wait.
                if self.rules_are(from).await? {
                    act::weigh(aws, colours, &colours.rule, to).await?;
                    return self.enter(Phase::RolledBack, record, Some(why), observed).await;
                }
                return Ok(());
            }
            Move::Wait { .. } | Move::Halt { .. } | Move::Done => return Ok(()),
        }
        self.write(&record).await
    }

    /// Whether the weights are still those that the decision saw. If not, the next look decides anew.
    async fn rules_are(&self, expected: Weights) -> Result<bool> {
        Ok(observe::rules(self.aws, self.colours).await?.0 == expected)
    }

    async fn shift(&self, mut record: Record, from: Weights, to: Weights) -> Result<()> {
        let (aws, colours) = (self.aws, self.colours);
        if *to.of(record.to) == 100 {
            // Without traffic it would shrink, and could not take the traffic back.
            act::hold(aws, colours.scalers.of(record.to.other()).as_ref(), true).await?;
        }
        if record.shifted.is_none() {
            record.shifted = Some(Timestamp::now());
            self.write(&record).await?;
        }
        // Both again, as late as can be: somebody may have taken the release back meanwhile.
        let (same, now) = tokio::try_join!(
            async { Ok(self.rules_are(from).await?) },
            async { Ok::<_, anyhow::Error>(record::read(aws, &self.record).await?) },
        )?;
        let unchanged = now.is_some_and(|now| now.id == record.id && now.phase == record.phase);
        if same && unchanged { act::weigh(aws, colours, &colours.rule, to).await } else { Ok(()) }
    }

    /// What belongs to a phase is done before the record says that it has begun, so that nothing is left out by a kill.
    async fn enter(&self, phase: Phase, mut record: Record, why: Option<String>, observed: &Observed) -> Result<()> {
        let (aws, colours, to) = (self.aws, self.colours, record.to);
        match phase {
            Phase::Monitoring => act::scalers(aws, &colours.scalers, to).await?,
            Phase::Keeping => {
                self.jobs_follow(&record.image).await?;
                act::awake(aws, self.parts).await?;
            }
            Phase::RolledBack if record.shifted.is_some() => {
                let (new, old) = (observed.sides.of(to), observed.sides.of(to.other()));
                // What the new colour has grown to is what the load needs.
                if old.desired > 0 && new.desired > old.desired {
                    act::scale(aws, &self.parts.cluster, colours.ecs.of(to.other()), new.desired).await?;
                }
                act::scalers(aws, &colours.scalers, to.other()).await?;
                if let (Phase::Keeping, Some(from)) = (record.phase, &record.from) {
                    self.jobs_follow(&self.image_of(from).await?).await?;
                }
            }
            _ => {}
        }
        record.phase = phase;
        record.since = Timestamp::now();
        record.why = why.or(record.why);
        self.write(&record).await
    }

    async fn write(&self, record: &Record) -> Result<()> {
        Ok(record::write(self.aws, &self.record, record).await?)
    }

    async fn migrate(&self, record: &Record) -> Result<()> {
        let Some((job, network)) = &self.parts.before else { return Ok(()) };
        let revision = job.task.revision(self.aws, &record.image).await?;
        let ran = job::run(self.aws, &self.parts.cluster, network, &revision, &record.id).await;
        ran.with_context(|| format!("the job {} before the release failed", job.name))
    }

    /// Jobs of the service run its image.
    async fn jobs_follow(&self, image: &str) -> Result<()> {
        for job in &self.parts.jobs {
            job.task.revision(self.aws, image).await?;
        }
        Ok(())
    }

    pub fn aws(&self) -> &Aws {
        self.aws
    }

    /// The image that serves, and its digest where a running task tells.
    pub async fn running(&self) -> Result<Option<(String, Option<String>)>> {
        let (sides, (weights, _)) = tokio::try_join!(
            observe::sides(self.aws, &self.parts.cluster, self.colours),
            observe::rules(self.aws, self.colours)
        )?;
        let Some(active) = weights.active().filter(|active| sides.of(*active).desired > 0) else { return Ok(None) };
        let image = self.image_of(&sides.of(active).revision).await?;
        let digest = observe::digest(self.aws, &self.parts.cluster, self.colours.ecs.of(active), &self.parts.service).await?;
        Ok(Some((image, digest)))
    }

    /// The image of a revision.
    pub async fn image_of(&self, revision: &str) -> Result<String> {
        let request = self.aws.ecs().describe_task_definition().task_definition(revision);
        let answer = self.aws.call("ecs:DescribeTaskDefinition", request.send()).await?;
        let definition = answer.task_definition.context("the answer holds no task definition")?;
        let own = definition.container_definitions().iter().find(|one| one.name() == Some(self.parts.service.as_str()));
        let image = own.or(definition.container_definitions().first()).and_then(|container| container.image());
        Ok(image.unwrap_or_default().to_owned())
    }

    /// Begins a release, or finds that it is under way. False where what is wanted runs already.
    pub async fn begin(&self, wanted: &Wanted) -> Result<bool> {
        let mut seen = self.look().await?;
        if let Some(record) = &seen.observed.record {
            if self.under_way(record, wanted)? {
                return Ok(true);
            }
            // What the last release left to be done.
            let finish = Policy { keep: SignedDuration::ZERO, ..self.policy.clone() };
            if let Outcome::Halted { why, help } = self.reach_with(&finish, Goal::Finished).await? {
                bail!("{why}\n  {help}");
            }
            seen = self.look().await?;
        }
        let observed = seen.observed;
        let whole = Colour::ALL.into_iter().find(|colour| *observed.weights.of(*colour) == 100);
        let Some(active) = whole else {
            let Weights { blue, green } = observed.weights;
            bail!(
                "the traffic of {} is split by hand: blue {blue}, green {green}; no release has done that\n  give all of it to one \
                 colour in the listener rule, then release again",
                self.parts.service
            );
        };
        let revision = match &wanted.revision {
            Some(revision) => revision.clone(),
            None => self.parts.task.revision(self.aws, &wanted.image).await?,
        };
        let side = observed.sides.of(active);
        if side.revision == revision && side.desired > 0 && !wanted.again {
            return Ok(false);
        }
        if let Some(last) = observed.record.as_ref().filter(|last| last.phase == Phase::RolledBack)
            && last.revision == revision
            && !wanted.again
        {
            bail!(
                "{} was taken back at {}: {}\n  release it all the same with --again",
                short(&revision),
                last.since,
                last.why.as_deref().unwrap_or("by hand")
            );
        }
        let record = Record {
            id: wanted.id.clone(),
            to: active.other(),
            image: wanted.image.clone(),
            revision,
            from: (side.desired > 0).then(|| side.revision.clone()),
            count: 0,
            phase: Phase::Preparing,
            since: Timestamp::now(),
            shifted: None,
            migrated: false,
            extended: false,
            why: None,
        };
        self.write(&record).await?;
        Ok(true)
    }

    /// Whether the last release is the one that is wanted and goes on. Fails where it stands in the way.
    fn under_way(&self, record: &Record, wanted: &Wanted) -> Result<bool> {
        let (service, same) = (&self.parts.service, record.image == wanted.image && wanted.revision.is_none());
        match record.phase {
            Phase::Finished | Phase::RolledBack => Ok(false),
            _ if same => Ok(true),
            Phase::Keeping => {
                let left = self.policy.keep - Timestamp::now().duration_since(record.since);
                if left.is_positive() && !wanted.now {
                    bail!(
                        "the release {} of {service} keeps its old colour for another {}, for a quick way back\n  wait, or give that up \
                         with --now",
                        record.id,
                        bluegreen::spoken(left)
                    );
                }
                Ok(false)
            }
            _ => bail!(
                "a release of {} to {service} is under way ({})\n  take it back first with `infra bluegreen rollback`, or let it \
                 end: run it again with its own image",
                record.image,
                phase_name(record.phase)
            ),
        }
    }

    fn event(&self, observed: &Observed, at: Timestamp, next: &Move) -> Event {
        let shown = |colour: Colour| {
            let side: &Side = observed.sides.of(colour);
            let samples = observed.samples.of(colour);
            let recent = || samples.iter().rev().take(5);
            let requests: f64 = recent().map(|sample| sample.requests).sum();
            let errors: f64 = recent().map(|sample| sample.errors).sum();
            let last = samples.iter().rev().find(|sample| sample.requests > 0.0);
            Shown {
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
        let record = observed.record.as_ref();
        Event {
            at,
            service: self.parts.service.clone(),
            release: record.map(|record| record.id.clone()),
            phase: record.map(|record| record.phase),
            blue: shown(Colour::Blue),
            green: shown(Colour::Green),
            to: record.map(|record| record.to),
            does: self.doing(next),
            waits: matches!(next, Move::Wait { .. }),
        }
    }

    fn doing(&self, next: &Move) -> String {
        match next {
            Move::Wait { on, .. } => on.clone(),
            Move::Migrate => {
                let job = self.parts.before.as_ref().map(|(job, _)| job.name.as_str()).unwrap_or_default();
                format!("run the job {job}")
            }
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
}

/// A phase as people call it.
#[must_use]
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Preparing => "preparing",
        Phase::Verifying => "verifying",
        Phase::Shifting(_) => "shifting",
        Phase::Monitoring => "monitoring",
        Phase::Keeping => "keeping",
        Phase::Finished => "finished",
        Phase::RolledBack => "rolled back",
    }
}

fn wait(time: SignedDuration) -> Duration {
    Duration::try_from(time).unwrap_or_default().max(Duration::from_millis(50))
}
