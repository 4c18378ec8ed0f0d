//! `infra bluegreen …`: releases.

mod timeline;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use futures::future::{join_all, try_join_all};
use jiff::{SignedDuration, Timestamp};

use self::timeline::Timeline;
use super::session::{self, Session};
use super::{Ended, Format, Source, say};
use crate::bluegreen::{Goal, Phase};
use crate::environment::Loaded;
use crate::environment::releases::{Latency, Share, Strategy};
use crate::environment::types::{Duration, Percent};
use crate::lock::{Held, Holder, Lock};
use crate::release::{self, Outcome, Parts, Release, Wanted, World, repository};

#[derive(Subcommand)]
pub enum Command {
    /// Release: start the new version, try it, move the traffic, watch, keep the old version a while, stop it
    Run(Run),
    /// Start the new version on the idle colour and try it, without traffic
    Deploy(Run),
    /// Move the traffic to what was deployed, and watch it
    Switch(One),
    /// Give the traffic back to the old version at once; later, release it again
    Rollback(Rollback),
    /// Show both colours and the release that is under way
    Status(Status),
    /// Follow a release that another process carries out
    Watch(Status),
    /// Stop the old version once its time is over
    Finish(Finish),
    /// Release in one environment exactly what runs in another
    Promote(Promote),
}

/// How a release is carried out, in place of what the file says.
#[derive(clap::Args, Clone, Default)]
struct Policy {
    /// How long to try the new version before it gets traffic: `2m`
    #[arg(long, value_name = "TIME")]
    verify: Option<Duration>,
    /// How long to watch after the switch: `10m`
    #[arg(long, value_name = "TIME")]
    monitor: Option<Duration>,
    /// How long to keep the old version after that: `30m`
    #[arg(long, value_name = "TIME")]
    keep: Option<Duration>,
    /// Give the new version a part of the traffic first: `10% for 5m`
    #[arg(long, value_name = "SHARE", conflicts_with = "linear")]
    canary: Option<Share>,
    /// Move the traffic in equal steps: `10% for 1m`
    #[arg(long, value_name = "SHARE")]
    linear: Option<Share>,
    /// Move all of the traffic at once, whatever steps the file has
    #[arg(long, conflicts_with_all = ["canary", "linear"])]
    at_once: bool,
    /// Take it back at this share of failed requests: `1% for 5m`
    #[arg(long, value_name = "SHARE")]
    errors: Option<Share>,
    /// Take it back at this response time: `2s for 3m`
    #[arg(long, value_name = "LIMIT")]
    latency: Option<Latency>,
    /// Take it back at this share of unhealthy tasks: `50%`
    #[arg(long, value_name = "PERCENT")]
    unhealthy: Option<Percent>,
    /// Move the traffic though an alarm is firing
    #[arg(long)]
    despite_alarms: bool,
}

#[derive(clap::Args, Clone)]
struct Common {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    policy: Policy,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Run {
    /// The environment
    env: String,
    /// The services; several are released together
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// The image: a whole name, or SERVICE=NAME where there are several services. Default: the one that runs
    #[arg(long = "image", value_name = "IMAGE", conflicts_with = "tag")]
    images: Vec<String>,
    /// The tag of the images, whose repositories are in the file
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args, Clone)]
struct Force {
    /// Release what was taken back, or what runs already, all the same
    #[arg(long)]
    again: bool,
    /// Give up the old version of the release before, which is still kept for a quick way back
    #[arg(long)]
    now: bool,
}

#[derive(clap::Args)]
pub struct One {
    /// The environment
    env: String,
    service: String,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
pub struct Rollback {
    #[command(flatten)]
    one: One,
    /// Release this earlier revision of the task definition: its number
    #[arg(long, value_name = "REVISION")]
    to: Option<u32>,
}

#[derive(clap::Args)]
pub struct Finish {
    #[command(flatten)]
    one: One,
    /// Do not wait until its time is over
    #[arg(long)]
    now: bool,
}

#[derive(clap::Args)]
pub struct Status {
    /// The environment
    env: String,
    /// The services; all of them, if left out
    services: Vec<String>,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Promote {
    /// The environment whose images are taken
    from: String,
    /// The environment in which they are released
    to: String,
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    common: Common,
}

pub async fn run(command: &Command) -> Result<Ended> {
    match command {
        Command::Run(arguments) => all_the_way(arguments, Goal::Finished).await,
        Command::Deploy(arguments) => all_the_way(arguments, Goal::Deployed).await,
        Command::Switch(one) => go_on(one, Goal::Switched, "switch", false).await,
        Command::Finish(finish) => {
            let mut one = One {
                env: finish.one.env.clone(),
                service: finish.one.service.clone(),
                common: finish.one.common.clone(),
            };
            if finish.now {
                one.common.policy.keep = Some(Duration(0));
            }
            go_on(&one, Goal::Finished, "finish", false).await
        }
        Command::Rollback(rollback) => back(rollback).await,
        Command::Status(status) => show(status, false).await,
        Command::Watch(status) => show(status, true).await,
        Command::Promote(promote) => self::promote(promote).await,
    }
}

impl Policy {
    /// What ECS does itself, it does as the file says: none of these reaches it.
    fn suits_native(&self, service: &str) -> Result<()> {
        let given = [
            ("--monitor", self.monitor.is_some()),
            ("--keep", self.keep.is_some_and(|keep| keep.seconds() > 0)),
            ("--canary", self.canary.is_some()),
            ("--linear", self.linear.is_some()),
            ("--at-once", self.at_once),
            ("--errors", self.errors.is_some()),
            ("--latency", self.latency.is_some()),
            ("--unhealthy", self.unhealthy.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => bail!(
                "ECS itself releases {service} (`strategy: native`), as the file says: {flag} would change nothing\n  change `release` in \
                 the file, and run `infra apply`"
            ),
        }
    }

    fn change(&self, release: &mut crate::environment::releases::Release) {
        release.verify = self.verify.unwrap_or(release.verify);
        release.monitor = self.monitor.unwrap_or(release.monitor);
        release.keep = self.keep.unwrap_or(release.keep);
        if self.canary.is_some() || self.linear.is_some() || self.at_once {
            (release.canary, release.linear) = (self.canary, self.linear);
        }
        release.rollback.errors = self.errors.or(release.rollback.errors);
        release.rollback.latency = self.latency.or(release.rollback.latency);
        release.rollback.unhealthy = self.unhealthy.or(release.rollback.unhealthy);
    }
}

/// An environment and some of its services, ready to be released.
struct Stage {
    loaded: Loaded,
    world: World,
    parts: Vec<Arc<Parts>>,
    despite_alarms: bool,
}

impl Stage {
    async fn open(source: &Source, env: &str, services: &[String], policy: &Policy) -> Result<Self> {
        let mut loaded = session::load(source, env)?;
        for name in services {
            release::service(&loaded, name)?;
        }
        for (name, service) in &mut loaded.file.services {
            if services.contains(name) {
                if service.strategy() == Strategy::Native {
                    policy.suits_native(name)?;
                }
                policy.change(&mut service.release);
            }
        }
        let (session, desired) = Session::open(&loaded).await?;
        let world = World::read(&session.aws, session.scope(&desired), desired).await?;
        let parts = services.iter().map(|name| Ok(Arc::new(world.parts(&loaded, name)?))).collect::<Result<_>>()?;
        Ok(Self { loaded, world, parts, despite_alarms: policy.despite_alarms })
    }

    /// The locks of all its services. None is kept where one cannot be had.
    async fn lock(&self, command: &str, by_force: bool) -> Result<Vec<(Lock<'_>, Held)>> {
        let mut locks = Vec::new();
        for parts in &self.parts {
            let desired = &self.world.desired;
            let lock = Lock::of_release(&self.world.aws, &desired.project, &desired.environment, &parts.service);
            let (aws, holder) = (Arc::clone(&self.world.aws), Holder::this(command));
            let held = if by_force { lock.take_over(aws, holder).await } else { lock.acquire(aws, holder).await };
            match held {
                Ok(held) => locks.push((lock, held)),
                Err(refused) => {
                    unlock(locks).await;
                    return Err(refused.into());
                }
            }
        }
        Ok(locks)
    }

    fn releases(&self, locks: &[(Lock<'_>, Held)], timeline: &Arc<Timeline>) -> Result<Vec<Release>> {
        let of = |(parts, (_, held)): (&Arc<Parts>, &(Lock<'_>, Held))| {
            let mut release = Release::of(&self.world, &self.loaded, parts, &timeline.teller())?.until(held.lost());
            release.shared.policy.despite_alarms = self.despite_alarms;
            Ok(release)
        };
        self.parts.iter().zip(locks).map(of).collect()
    }

    fn name(&self) -> &str {
        &self.loaded.name
    }
}

async fn unlock(locks: Vec<(Lock<'_>, Held)>) {
    for (lock, held) in locks {
        if let Err(failure) = lock.release(held).await {
            say(&format!("the lock could not be given back and expires by itself: {failure}"));
        }
    }
}

/// Runs until it is done, or the user has had enough.
async fn guarded<T>(stage: &Stage, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = super::interrupted() => bail!(
            "stopped; the release stands where it is and nobody watches it\n  go on with the same command, or: infra bluegreen rollback {} {}",
            stage.name(),
            stage.parts.iter().map(|parts| parts.service.as_str()).collect::<Vec<_>>().join(" ")
        ),
    }
}

async fn all_the_way(arguments: &Run, goal: Goal) -> Result<Ended> {
    let Run { env, services, images, tag, force, common } = arguments;
    let stage = Stage::open(&common.source, env, services, &common.policy).await?;
    let images = images_of(&stage, images, tag.as_deref())?;
    release_all(&stage, images, force, common.format, goal).await
}

/// The image that is asked for of each service; none where the one that runs is meant.
fn images_of(stage: &Stage, images: &[String], tag: Option<&str>) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for text in images {
        let named = text.split_once('=').filter(|(name, _)| stage.parts.iter().any(|parts| parts.service == *name));
        let (name, image) = match named {
            Some((name, image)) => (name.to_owned(), image.to_owned()),
            None if stage.parts.len() == 1 => (stage.parts[0].service.clone(), text.clone()),
            None => bail!("say which service the image {text} is for: --image SERVICE={text}"),
        };
        found.insert(name, image);
    }
    for parts in &stage.parts {
        let name = &parts.service;
        if parts.task.is_pinned() {
            if found.contains_key(name) || tag.is_some() {
                bail!(
                    "the file says which image {name} runs: {}\n  take the tag out of the file, and releases choose it",
                    parts.task.image()
                );
            }
            found.insert(name.clone(), parts.task.image().to_owned());
        } else if let Some(tag) = tag {
            found.insert(name.clone(), format!("{}:{tag}", parts.task.image()));
        }
    }
    Ok(found)
}

/// Releases these images: every service is deployed before any traffic moves, and where one is taken back, all are.
async fn release_all(
    stage: &Stage,
    images: BTreeMap<String, String>,
    force: &Force,
    format: Format,
    goal: Goal,
) -> Result<Ended> {
    let names: Vec<&str> = stage.parts.iter().map(|parts| parts.service.as_str()).collect();
    let again = format!("infra bluegreen run {} {}", stage.name(), names.join(" "));
    let locks = stage.lock(&again, false).await?;
    let timeline = Timeline::begin(stage.name(), format);
    let ended = guarded(stage, async {
        let id = format!(
            "{}-{}",
            Timestamp::now().strftime("%Y%m%d-%H%M%S"),
            crate::address::hex(&rand::random::<[u8; 2]>())
        );
        let mut going = Vec::new();
        for release in stage.releases(&locks, &timeline)? {
            let image = image_of(&release, images.get(release.service())).await?;
            let wanted =
                Wanted { id: id.clone(), image: image.clone(), revision: None, again: force.again, now: force.now };
            if release.begin(&wanted).await? {
                going.push(release);
            } else {
                timeline.note(&format!("{} runs {image} already, in the shape of the file", release.service()));
            }
        }
        let goals = [Goal::Deployed, Goal::Switched, Goal::Finished].into_iter();
        let last = goals.clone().position(|one| one == goal).unwrap_or_default();
        for goal in goals.take(last + 1) {
            let outcomes = try_join_all(going.iter().map(|release| release.reach(goal))).await?;
            if outcomes.iter().any(|outcome| *outcome != Outcome::Reached) {
                return together(&going, outcomes, &timeline).await;
            }
        }
        for release in &going {
            timeline.outcome(release.service(), goal, &Outcome::Reached);
        }
        Ok(Ended::Well)
    });
    let ended = ended.await;
    unlock(locks).await;
    ended
}

/// What is released together is taken back together.
async fn together(going: &[Release], outcomes: Vec<Outcome>, timeline: &Timeline) -> Result<Ended> {
    let back = going.iter().zip(outcomes).map(async |(release, outcome)| {
        let outcome = match outcome {
            Outcome::Reached => match release.reach(Goal::Back).await? {
                Outcome::TakenBack { .. } => {
                    Outcome::TakenBack { why: "another service of this release was taken back".to_owned() }
                }
                other => other,
            },
            other => other,
        };
        Ok::<_, anyhow::Error>((release, outcome))
    });
    for result in join_all(back).await {
        let (release, outcome) = result?;
        timeline.outcome(release.service(), Goal::Finished, &outcome);
    }
    Ok(Ended::Failed)
}

/// The image by its digest; where none is asked for, the one that runs.
async fn image_of(release: &Release, asked: Option<&String>) -> Result<String> {
    match asked {
        Some(image) => release::resolve(&release.shared.aws, image).await,
        None => match release.running().await? {
            Some((image, _)) => Ok(image),
            None => bail!("{} has never been released: say which image, with --image or --tag", release.service()),
        },
    }
}

async fn go_on(one: &One, goal: Goal, verb: &str, by_force: bool) -> Result<Ended> {
    let services = [one.service.clone()];
    let stage = Stage::open(&one.common.source, &one.env, &services, &one.common.policy).await?;
    let locks = stage.lock(&format!("infra bluegreen {verb} {} {}", one.env, one.service), by_force).await?;
    let timeline = Timeline::begin(stage.name(), one.common.format);
    let ended = guarded(&stage, async {
        let mut releases = stage.releases(&locks, &timeline)?;
        let release = releases.pop().context("one service")?;
        let outcome = release.reach(goal).await?;
        Ok(timeline.outcome(&one.service, reached(&release, goal).await?, &outcome))
    });
    let ended = ended.await;
    unlock(locks).await;
    ended
}

/// How far a release has come: where nothing keeps the old version, the switch is the end.
async fn reached(release: &Release, goal: Goal) -> Result<Goal> {
    let over = release.record().await?.is_some_and(|record| record.phase == Phase::Finished);
    Ok(if over && goal == Goal::Switched { Goal::Finished } else { goal })
}

/// Back at once where the old version still runs; else it is released again, without a trial.
async fn back(rollback: &Rollback) -> Result<Ended> {
    let Rollback { one, to } = rollback;
    let services = [one.service.clone()];
    let stage = Stage::open(&one.common.source, &one.env, &services, &one.common.policy).await?;
    // Whoever watches a release must not keep others from taking it back.
    let locks = stage.lock(&format!("infra bluegreen rollback {} {}", one.env, one.service), true).await?;
    let timeline = Timeline::begin(stage.name(), one.common.format);
    let ended = guarded(&stage, async {
        let mut releases = stage.releases(&locks, &timeline)?;
        let mut release = releases.pop().context("one service")?;
        let record = release.record().await?;
        let ended = |phase: Phase| matches!(phase, Phase::Finished | Phase::RolledBack);
        let over = record.as_ref().is_none_or(|record| ended(record.phase));
        if !over {
            let outcome = release.reach(Goal::Back).await?;
            if to.is_none() || matches!(outcome, Outcome::Halted { .. }) {
                return Ok(timeline.outcome(&one.service, Goal::Back, &outcome));
            }
        }
        let revision = match (to, &record) {
            (Some(number), _) => release.shared.parts.task.numbered(*number),
            (None, Some(record)) if record.phase == Phase::Finished => {
                record.from.clone().context("there was no version before this one: name a revision with --to")?
            }
            (None, Some(_)) => {
                let why = record.and_then(|record| record.why).unwrap_or_default();
                return Ok(timeline.outcome(&one.service, Goal::Back, &Outcome::TakenBack { why }));
            }
            (None, None) => bail!("there is no release of {} that could be taken back", one.service),
        };
        release.shared.policy.verify = SignedDuration::ZERO;
        release.shared.policy.steps.clear();
        release.shared.policy.migrate = false;
        let image = release.shared.image_of(&revision).await?;
        let id = format!("{}-back", Timestamp::now().strftime("%Y%m%d-%H%M%S"));
        let wanted = Wanted { id, image, revision: Some(revision.clone()), again: false, now: true };
        if !release.begin(&wanted).await? {
            timeline.note(&format!("{} runs {} already", one.service, release::short(&revision)));
            return Ok(Ended::Well);
        }
        let outcome = release.reach(Goal::Switched).await?;
        Ok(timeline.outcome(&one.service, reached(&release, Goal::Switched).await?, &outcome))
    });
    let ended = ended.await;
    unlock(locks).await;
    ended
}

async fn show(status: &Status, follow: bool) -> Result<Ended> {
    let mut services = status.services.clone();
    if services.is_empty() {
        let loaded = session::load(&status.source, &status.env)?;
        services = loaded.file.services.keys().cloned().collect();
    }
    let stage = Stage::open(&status.source, &status.env, &services, &Policy::default()).await?;
    let timeline = Timeline::begin(stage.name(), status.format);
    let mut ended = Ended::Well;
    for parts in &stage.parts {
        let release = Release::of(&stage.world, &stage.loaded, parts, &timeline.teller())?;
        loop {
            let event = release.survey().await?;
            let record = release.record().await?;
            let over = record.as_ref().is_none_or(|record| matches!(record.phase, Phase::Finished | Phase::RolledBack));
            if follow && !over {
                timeline.show(&event);
                tokio::time::sleep(std::time::Duration::try_from(release.shared.policy.look).unwrap_or_default()).await;
                continue;
            }
            let desired = &stage.world.desired;
            let lock = Lock::of_release(&stage.world.aws, &desired.project, &desired.environment, &parts.service);
            let newest = lock.newest().await?;
            let watcher = newest.as_ref().and_then(|newest| newest.holder());
            timeline.status(&event, record.as_ref(), watcher);
            if follow && record.is_some_and(|record| record.phase == Phase::RolledBack) {
                ended = Ended::Failed;
            }
            break;
        }
    }
    Ok(ended)
}

/// What runs in one environment, by digest, released in the other.
async fn promote(arguments: &Promote) -> Result<Ended> {
    let Promote { from, to, services, force, common } = arguments;
    let origin = Stage::open(&common.source, from, services, &Policy::default()).await?;
    let stage = Stage::open(&common.source, to, services, &common.policy).await?;
    let timeline = Timeline::begin(from, Format::Json);
    let mut images = BTreeMap::new();
    for (parts, target) in origin.parts.iter().zip(&stage.parts) {
        let release = Release::of(&origin.world, &origin.loaded, parts, &timeline.teller())?;
        let Some((image, digest)) = release.running().await? else { bail!("{} does not run in {from}", parts.service) };
        if target.task.is_pinned() {
            bail!("the file of {to} says which image {} runs: {}", parts.service, target.task.image());
        }
        if repository(&image) != target.task.image() {
            bail!(
                "{from} runs {} from {}, but {to} takes its images from {}\n  let both name one registry",
                parts.service,
                repository(&image),
                target.task.image()
            );
        }
        let exact = digest.map(|digest| format!("{}@{digest}", repository(&image))).unwrap_or(image);
        say(&format!("{}: {exact}", parts.service));
        images.insert(parts.service.clone(), exact);
    }
    release_all(&stage, images, force, common.format, Goal::Finished).await
}
