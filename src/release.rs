//! Releases: looks at what is live, asks the pure core ([`crate::bluegreen`]) what to do, does it, and looks again. A
//! process that is killed anywhere leaves nothing that the same command does not go on from.

mod act;
mod checks;
mod colours;
mod family;
mod image;
mod job;
mod native;
mod observe;
mod parts;
mod record;
mod rolling;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::watch;

pub use self::family::short;
pub use self::image::{repository, resolve};
use self::parts::Way;
pub use self::parts::{Parts, World, service};
use crate::aws::Aws;
use crate::bluegreen::{Colour, Goal, Phase, Policy, Record};
use crate::environment::Loaded;
use crate::kind::{Class, Failure};

/// Looks that may fail one after the other before a release stops: AWS is then out of reach for minutes.
const PATIENCE: u32 = 20;

/// What is seen and done, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    pub at: Timestamp,
    pub service: String,
    /// The release's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The image that is released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Each set of tasks by its name: `blue` and `green`, `old` and `new` where ECS itself releases, or `tasks` where
    /// there is one.
    pub sides: Vec<Shown>,
    /// What is done, or waited for.
    pub does: String,
    /// Whether nothing is done but to wait.
    pub waits: bool,
}

/// One set of tasks in an event.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub name: &'static str,
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

impl Outcome {
    /// How a release came out with which nothing is left to do.
    fn of(record: Record) -> Self {
        match record.phase {
            Phase::RolledBack => Self::TakenBack { why: record.why.unwrap_or_else(|| "by hand".to_owned()) },
            _ => Self::Reached,
        }
    }
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
    /// Whether this is a way back.
    pub back: bool,
}

/// What serves now, and where the next release goes.
struct Serving {
    /// The revision that serves; none before the first release.
    revision: Option<String>,
    /// The ECS service that it runs in.
    ecs: String,
    /// The colour that the next release goes to.
    next: Option<Colour>,
}

/// What all ways of releasing share.
pub struct Shared {
    pub aws: Arc<Aws>,
    pub parts: Arc<Parts>,
    pub policy: Policy,
    /// The name of the record.
    record: String,
    /// Turns true when somebody else has taken over.
    lost: Option<watch::Receiver<bool>>,
    tell: Tell,
    /// The release that this process carries out.
    id: Mutex<Option<String>>,
    /// The record as the last look saw it, which is what a write replaces.
    seen: Mutex<Option<Record>>,
}

/// Who is told of what happens.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// One way of releasing a service.
#[async_trait]
trait Method: Send + Sync {
    /// Looks once and does what is to be done, until there is an outcome.
    async fn step(&self, shared: &Shared, policy: &Policy, goal: Goal) -> Result<Option<Outcome>>;
    /// What is to be seen, with what happened of late.
    async fn survey(&self, shared: &Shared) -> Result<Event, Failure>;
    async fn serving(&self, shared: &Shared) -> Result<Serving>;
}

/// The release of a service.
pub struct Release {
    pub shared: Shared,
    method: Box<dyn Method>,
}

impl Release {
    /// The release of a service, with the policy of the file.
    pub fn of(world: &World, loaded: &Loaded, parts: &Arc<Parts>, tell: &Tell) -> Result<Self> {
        let section = service(loaded, &parts.service)?;
        let mut policy = Policy::from(&section.release);
        policy.count = section.scale.as_ref().map(|scale| scale.min).or(section.count).unwrap_or(1);
        let method: Box<dyn Method> = match &parts.way {
            Way::Colours(_) => Box::new(colours::Method::of(section)),
            Way::Rolling(_) => Box::new(rolling::Method),
            Way::Native(_) => Box::new(native::Method::of(section)),
        };
        let shared = Shared {
            aws: Arc::clone(&world.aws),
            parts: Arc::clone(parts),
            policy,
            record: record::name(&world.desired.project, &world.desired.environment, &parts.service),
            lost: None,
            tell: Arc::clone(tell),
            id: Mutex::new(None),
            seen: Mutex::new(None),
        };
        Ok(Self { shared, method })
    }

    /// Stops as soon as this turns true.
    #[must_use]
    pub fn until(mut self, lost: watch::Receiver<bool>) -> Self {
        self.shared.lost = Some(lost);
        self
    }

    #[must_use]
    pub fn service(&self) -> &str {
        &self.shared.parts.service
    }

    /// The record of the last release.
    pub async fn record(&self) -> Result<Option<Record>, Failure> {
        self.shared.read().await
    }

    /// What is to be seen, with what happened of late.
    pub async fn survey(&self) -> Result<Event, Failure> {
        self.method.survey(&self.shared).await
    }

    /// Goes on until the goal is reached, or cannot be.
    pub async fn reach(&self, goal: Goal) -> Result<Outcome> {
        self.reach_with(&self.shared.policy, goal).await
    }

    async fn reach_with(&self, policy: &Policy, goal: Goal) -> Result<Outcome> {
        let mut failures = 0;
        loop {
            self.shared.check_lock()?;
            match self.method.step(&self.shared, policy, goal).await {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => failures = 0,
                Err(error) => {
                    let passing = error.downcast_ref::<Failure>().is_some_and(|failure| failure.class != Class::Fatal);
                    failures += 1;
                    if !passing || failures > PATIENCE {
                        let service = self.service();
                        let stands =
                            format!("the release of {service} stands where it is; run the same command again to go on");
                        return Err(error.context(stands));
                    }
                    tracing::warn!("{error:#}");
                    tokio::time::sleep(wait(policy.look)).await;
                }
            }
        }
    }

    /// The image that serves, and its digest where a running task tells.
    pub async fn running(&self) -> Result<Option<(String, Option<String>)>> {
        let (shared, serving) = (&self.shared, self.method.serving(&self.shared).await?);
        let Some(revision) = serving.revision else { return Ok(None) };
        let image = shared.image_of(&revision).await?;
        let digest = observe::digest(&shared.aws, &shared.parts.cluster, &serving.ecs, self.service()).await?;
        Ok(Some((image, digest)))
    }

    /// Begins a release, or finds that it is under way. False where what is wanted runs already.
    pub async fn begin(&self, wanted: &Wanted) -> Result<bool> {
        let shared = &self.shared;
        let last = shared.read().await?;
        if let Some(record) = &last {
            if shared.under_way(record, wanted)? {
                *lock(&shared.id) = Some(record.id.clone());
                return Ok(true);
            }
            // What the last release left to be done. One that is given up is left as it is: the weights say who serves.
            let finish = Policy { keep: SignedDuration::ZERO, ..shared.policy.clone() };
            if (record.is_over() || !wanted.now)
                && let Outcome::Halted { why, help } = self.reach_with(&finish, Goal::Finished).await?
                && !wanted.now
            {
                bail!("{why}\n  {help}");
            }
        }
        let serving = self.method.serving(shared).await?;
        let revision = match &wanted.revision {
            Some(revision) => revision.clone(),
            None => shared.parts.task.revision(&shared.aws, &wanted.image).await?,
        };
        if serving.revision.as_ref() == Some(&revision) && (!wanted.again || wanted.back) {
            return Ok(false);
        }
        if let Some(last) = last.as_ref().filter(|last| last.phase == Phase::RolledBack)
            && last.revision == revision
            && !wanted.again
        {
            let why = last.why.as_deref().unwrap_or("by hand");
            bail!(
                "{} was taken back at {}: {why}\n  release it all the same with --again",
                short(&revision),
                last.since
            );
        }
        let record = Record {
            id: wanted.id.clone(),
            to: serving.next,
            image: wanted.image.clone(),
            revision,
            from: serving.revision,
            count: 0,
            phase: Phase::Preparing,
            since: Timestamp::now(),
            started: None,
            shifted: None,
            migrated: false,
            extended: false,
            back: wanted.back,
            alarms: Vec::new(),
            why: None,
            follows: None,
        };
        shared.check_lock()?;
        record::write(&shared.aws, &shared.record, &record).await?;
        *lock(&shared.id) = Some(record.id);
        Ok(true)
    }
}

impl Shown {
    /// Tasks of which nothing is known but that they run.
    fn running(name: &'static str, revision: &str, [healthy, desired]: [u32; 2], weight: u16) -> Self {
        let revision = short(revision).to_owned();
        Self { name, revision, healthy, desired, weight, requests: None, errors: None, p50: None, p95: None }
    }
}

impl Shared {
    fn event(&self, record: Option<&Record>, at: Timestamp, sides: Vec<Shown>, does: String, waits: bool) -> Event {
        Event {
            at,
            service: self.parts.service.clone(),
            release: record.map(|record| record.id.clone()),
            image: record.map(|record| record.image.clone()),
            phase: record.map(|record| record.phase),
            sides,
            does,
            waits,
        }
    }

    /// How the job before the release is called, where it is about to run.
    fn running_job(&self) -> String {
        format!("run the job {}", self.parts.before.as_ref().map(|(job, _)| job.name.as_str()).unwrap_or_default())
    }

    async fn read(&self) -> Result<Option<Record>, Failure> {
        record::read(&self.aws, &self.record).await
    }

    /// The record, to decide by.
    async fn look(&self) -> Result<Option<Record>, Failure> {
        let record = self.read().await?;
        let ours = lock(&self.id).clone();
        if let (Some(ours), Some(record)) = (&ours, &record)
            && *ours != record.id
        {
            return Err(self.overtaken(format!("the record is of the release {}, not of {ours}", record.id)));
        }
        lock(&self.seen).clone_from(&record);
        Ok(record)
    }

    /// Replaces the record that the last look saw. Where it is another by now, the next look decides anew.
    async fn write(&self, record: &Record) -> Result<()> {
        self.check_lock()?;
        let before = lock(&self.seen).clone();
        if self.read().await? != before {
            return Err(self.overtaken("somebody else has changed the record".to_owned()).into());
        }
        record::write(&self.aws, &self.record, record).await?;
        *lock(&self.seen) = Some(record.clone());
        Ok(())
    }

    fn overtaken(&self, what: String) -> Failure {
        Failure::new("release", "Overtaken", format!("{}: {what}", self.parts.service)).class(Class::Busy)
    }

    fn check_lock(&self) -> Result<()> {
        if self.lost.as_ref().is_some_and(|lost| *lost.borrow()) {
            bail!("somebody else has taken over the release of {}; this process stops", self.parts.service);
        }
        Ok(())
    }

    /// Ends the phase of the record.
    async fn note(&self, phase: Phase, mut record: Record, why: Option<String>) -> Result<()> {
        record.phase = phase;
        record.since = Timestamp::now();
        record.why = why.or(record.why);
        self.write(&record).await
    }

    fn no_release(&self) -> anyhow::Error {
        anyhow::anyhow!("there is no release of {}: begin one with `infra bluegreen run`", self.parts.service)
    }

    /// Runs the job before the release. What AWS refuses is an error, what the job says a reason to go back.
    async fn migrate(&self, record: &Record) -> Result<Result<(), String>> {
        let Some((job, network)) = &self.parts.before else { return Ok(Ok(())) };
        let revision = job.task.revision(&self.aws, &record.image).await?;
        let release = format!("{}/{}", record.id, job.name);
        match job::run(&self.aws, &self.parts.cluster, network, &revision, &release).await {
            Err(error) if error.downcast_ref::<Failure>().is_none() => {
                Ok(Err(format!("the job {} before the release failed: {error:#}", job.name)))
            }
            other => other.map(Ok),
        }
    }

    /// The same where a failure leaves nothing to be put right: the release is over.
    async fn migrated(&self, mut record: Record) -> Result<()> {
        match self.migrate(&record).await? {
            Ok(()) => {
                record.migrated = true;
                self.write(&record).await
            }
            Err(why) => self.note(Phase::RolledBack, record, Some(why)).await,
        }
    }

    /// What follows a release that has proven itself: jobs, and all that waited for the first one.
    async fn proven(&self, image: &str) -> Result<()> {
        self.jobs_follow(image).await?;
        act::awake(&self.aws, &self.parts).await
    }

    /// Jobs run the image of an earlier revision again.
    async fn jobs_back(&self, revision: &str) -> Result<()> {
        self.jobs_follow(&self.image_of(revision).await?).await
    }

    /// Jobs of the service run its image.
    async fn jobs_follow(&self, image: &str) -> Result<()> {
        for job in &self.parts.jobs {
            job.task.revision(&self.aws, image).await?;
        }
        Ok(())
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

    /// Whether the last release is the one that is wanted and goes on. Fails where it stands in the way.
    fn under_way(&self, record: &Record, wanted: &Wanted) -> Result<bool> {
        let service = &self.parts.service;
        let revision = wanted.revision.clone().or_else(|| self.parts.task.known(&wanted.image));
        let same = record.image == wanted.image && revision.as_ref() == Some(&record.revision);
        match record.phase {
            Phase::Finished | Phase::RolledBack => Ok(false),
            _ if same => Ok(true),
            _ if wanted.now => Ok(false),
            Phase::Keeping => {
                let left = self.policy.keep - Timestamp::now().duration_since(record.since);
                if left.is_positive() {
                    bail!(
                        "the release {} of {service} keeps its old version for another {}, for a quick way back\n  wait, or give \
                         that up with --now",
                        record.id,
                        crate::bluegreen::spoken(left)
                    );
                }
                Ok(false)
            }
            _ => bail!(
                "another release of {service} is under way ({}): {} ({})\n  take it back first with `infra bluegreen rollback`, let it \
                 end with `infra bluegreen finish`, or put this one in its place with --now",
                phase_name(record.phase),
                record.image,
                short(&record.revision)
            ),
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(time: SignedDuration) -> Duration {
    Duration::try_from(time).unwrap_or_default().max(Duration::from_millis(50))
}
