//! `infra bluegreen …`: releases.

mod stage;
mod timeline;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use futures::future::join_all;
use jiff::Timestamp;

use self::stage::Stage;
use self::timeline::Timeline;
use super::session;
use super::{Ended, Format, Source, say};
use crate::bluegreen::{Goal, Phase, Record};
use crate::environment::releases::{Latency, Share};
use crate::environment::types::{Duration, Percent};
use crate::lock::Lock;
use crate::release::{self, Outcome, Release, Wanted, repository};

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
    /// The environment
    env: String,
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// Release this earlier revision of the task definition: its number. For one service
    #[arg(long, value_name = "REVISION")]
    to: Option<u32>,
    #[command(flatten)]
    common: Common,
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
        Command::Switch(one) => go_on(one, Goal::Switched, "switch").await,
        Command::Finish(finish) => {
            let mut one = One {
                env: finish.one.env.clone(),
                service: finish.one.service.clone(),
                common: finish.one.common.clone(),
            };
            if finish.now {
                one.common.policy.keep = Some(Duration(0));
            }
            go_on(&one, Goal::Finished, "finish").await
        }
        Command::Rollback(rollback) => back(rollback).await,
        Command::Status(status) => show(status, false).await,
        Command::Watch(status) => show(status, true).await,
        Command::Promote(promote) => self::promote(promote).await,
    }
}

async fn all_the_way(arguments: &Run, goal: Goal) -> Result<Ended> {
    let Run { env, services, images, tag, force, common } = arguments;
    let stage = Stage::open(&common.source, env, services, &common.policy).await?;
    if let Some(parts) = stage.parts.iter().find(|parts| goal == Goal::Deployed && !parts.has_second()) {
        bail!("{0} has no second set of tasks to deploy to: use `infra bluegreen run {env} {0}`", parts.service);
    }
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
    let verb = if goal == Goal::Deployed { "deploy" } else { "run" };
    let again = format!("infra bluegreen {verb} {} {}", stage.name(), names.join(" "));
    let timeline = Timeline::begin(stage.name(), format);
    let work = async |releases: Vec<Release>| {
        let id = format!(
            "{}-{}",
            Timestamp::now().strftime("%Y%m%d-%H%M%S"),
            crate::address::hex(&rand::random::<[u8; 2]>())
        );
        let mut going = Vec::new();
        for release in releases {
            let image = image_of(&release, images.get(release.service())).await?;
            let wanted = Wanted {
                id: id.clone(),
                image: image.clone(),
                revision: None,
                again: force.again,
                now: force.now,
                back: false,
            };
            if release.begin(&wanted).await? {
                going.push(release);
            } else {
                timeline.note(&format!("{} runs {image} already, in the shape of the file", release.service()));
            }
        }
        for release in going.iter().filter(|_| goal == Goal::Deployed) {
            let begun = release.record().await?.map(|record| record.phase);
            if let Some(phase @ (Phase::Shifting(_) | Phase::Monitoring | Phase::Keeping)) = begun {
                let service = release.service();
                bail!(
                    "this release of {service} has traffic already ({})\n  go on with `infra bluegreen run {} {service}`",
                    release::phase_name(phase),
                    stage.name()
                );
            }
        }
        let goals = [Goal::Deployed, Goal::Switched, Goal::Finished].into_iter();
        let last = goals.clone().position(|one| one == goal).unwrap_or_default();
        for goal in goals.take(last + 1) {
            // Also where one of them fails, the others are brought to an end.
            let outcomes = join_all(going.iter().map(|release| release.reach(goal))).await;
            if outcomes.iter().any(|outcome| !matches!(outcome, Ok(Outcome::Reached))) {
                return together(&going, outcomes, &timeline).await;
            }
        }
        for release in &going {
            timeline.outcome(release.service(), goal, &Outcome::Reached);
        }
        Ok(Ended::Well)
    };
    stage.locked(&again, false, &timeline, work).await
}

/// What is released together is taken back together.
async fn together(going: &[Release], outcomes: Vec<Result<Outcome>>, timeline: &Timeline) -> Result<Ended> {
    let back = going.iter().zip(outcomes).map(async |(release, outcome)| match outcome? {
        Outcome::Reached => Ok(match release.reach(Goal::Back).await? {
            Outcome::TakenBack { .. } => {
                Outcome::TakenBack { why: "another service of this release was not released".to_owned() }
            }
            other => other,
        }),
        other => Ok::<_, anyhow::Error>(other),
    });
    let mut failed = None;
    for (release, outcome) in going.iter().zip(join_all(back).await) {
        match outcome {
            Ok(outcome) => drop(timeline.outcome(release.service(), Goal::Finished, &outcome)),
            Err(error) => {
                if let Some(earlier) = failed.replace(error) {
                    say(&format!("error: {earlier:#}"));
                }
            }
        }
    }
    failed.map_or(Ok(Ended::Failed), Err)
}

/// The image by its digest; where none is asked for, that of the release which is under way, else the one that runs.
async fn image_of(release: &Release, asked: Option<&String>) -> Result<String> {
    if let Some(image) = asked {
        return release::resolve(&release.shared.aws, image).await;
    }
    if let Some(record) = release.record().await?.filter(|record| !record.is_over()) {
        return Ok(record.image);
    }
    match release.running().await? {
        Some((image, _)) => Ok(image),
        None => bail!("{} has never been released: say which image, with --image or --tag", release.service()),
    }
}

async fn go_on(one: &One, goal: Goal, verb: &str) -> Result<Ended> {
    let services = [one.service.clone()];
    let stage = Stage::open(&one.common.source, &one.env, &services, &one.common.policy).await?;
    let timeline = Timeline::begin(stage.name(), one.common.format);
    let work = async |mut releases: Vec<Release>| {
        let release = releases.pop().context("one service")?;
        let begun = release.record().await?.map(|record| record.phase);
        if goal == Goal::Finished && matches!(begun, Some(Phase::Preparing | Phase::Verifying | Phase::Shifting(_))) {
            bail!("{0} is not switched yet: `infra bluegreen switch {1} {0}`", one.service, one.env);
        }
        let outcome = release.reach(goal).await?;
        Ok(timeline.outcome(&one.service, reached(&release, goal).await?, &outcome))
    };
    let command = format!("infra bluegreen {verb} {} {}", one.env, one.service);
    stage.locked(&command, false, &timeline, work).await
}

/// How far a release has come: where nothing keeps the old version, the switch is the end.
async fn reached(release: &Release, goal: Goal) -> Result<Goal> {
    let over = release.record().await?.is_some_and(|record| record.phase == Phase::Finished);
    Ok(if over && goal == Goal::Switched { Goal::Finished } else { goal })
}

/// Back at once where the old version still runs; else it is released again, without a trial.
async fn back(rollback: &Rollback) -> Result<Ended> {
    let Rollback { env, services, to, common } = rollback;
    if to.is_some() && services.len() > 1 {
        bail!("--to is a revision of one service: name one");
    }
    let stage = Stage::open(&common.source, env, services, &common.policy).await?;
    let timeline = Timeline::begin(stage.name(), common.format);
    let work = async |releases: Vec<Release>| {
        let mut ended = Ended::Well;
        for result in join_all(releases.iter().map(|release| back_one(release, *to, &timeline))).await {
            if !matches!(result?, Ended::Well) {
                ended = Ended::Failed;
            }
        }
        Ok(ended)
    };
    let command = format!("infra bluegreen rollback {env} {}", services.join(" "));
    // Whoever watches a release must not keep others from taking it back.
    stage.locked(&command, true, &timeline, work).await
}

async fn back_one(release: &Release, to: Option<u32>, timeline: &Timeline) -> Result<Ended> {
    let (service, record) = (release.service(), release.record().await?);
    let target = to.map(|number| release.shared.parts.task.numbered(number));
    // A way back that was cut off goes on.
    let resumed = record.as_ref().is_some_and(|record| {
        !record.is_over() && record.back && target.as_ref().is_none_or(|target| *target == record.revision)
    });
    if resumed {
        let outcome = release.reach(Goal::Switched).await?;
        return Ok(timeline.outcome(service, Goal::Switched, &outcome));
    }
    // Of one that was taken back, the new colour may still run: a rollback that was cut off left it so.
    if record.as_ref().is_some_and(|record| record.phase != Phase::Finished) {
        let outcome = release.reach(Goal::Back).await?;
        if target.is_none() {
            return Ok(timeline.outcome(service, Goal::Back, &outcome));
        }
    }
    let revision = match (target, record) {
        (Some(target), _) => target,
        (None, Some(record)) => {
            record.from.context("there was no version before this one: name a revision with --to")?
        }
        (None, None) => bail!("there is no release of {service} that could be taken back"),
    };
    let image = release.shared.image_of(&revision).await?;
    let id = format!("{}-back", Timestamp::now().strftime("%Y%m%d-%H%M%S"));
    let wanted = Wanted { id, image, revision: Some(revision.clone()), again: to.is_some(), now: true, back: true };
    if !release.begin(&wanted).await? {
        timeline.note(&format!("{service} runs {} already", release::short(&revision)));
        return Ok(Ended::Well);
    }
    let outcome = release.reach(Goal::Switched).await?;
    Ok(timeline.outcome(service, reached(release, Goal::Switched).await?, &outcome))
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
            if follow && !record.as_ref().is_none_or(Record::is_over) {
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
