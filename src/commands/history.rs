//! `infra history ENV`, and the record that each command leaves which changes something.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::session::{self, Session};
use super::{Ended, Format, Source, print, say};
use crate::apply::Report;
use crate::aws::Aws;
use crate::environment::types::Duration;
pub use crate::history::Record;
use crate::history::{self, Counts, Outcome, VERSION};
use crate::kind::Failure;
use crate::lock::Holder;
use crate::plan::{Action, Plan};
use crate::report;

/// Characters of a cause. What follows is in the output of the command itself.
const CAUSE: usize = 200;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    #[command(flatten)]
    source: Source,
    /// At most this many, the newest
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Only what ended within this time: `7d`
    #[arg(long, value_name = "TIME")]
    since: Option<Duration>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let file = &loaded.file;
    let session = Session::connect(&file.account, &file.region).await?;
    let since = arguments.since.and_then(|since| {
        let since = SignedDuration::try_from(std::time::Duration::from(since)).ok()?;
        Timestamp::now().checked_sub(since).ok()
    });
    let limit = usize::try_from(arguments.limit)?;
    let records = history::read(&session.aws, &file.project, &loaded.name, limit, since).await?;
    match arguments.format {
        Format::Text => print(&report::history_text(&loaded.name, &records, &TimeZone::system())),
        Format::Json => print(&serde_json::to_string_pretty(&report::history_json(&loaded.name, &records))?),
    }
    Ok(Ended::Well)
}

/// A command that is under way.
pub struct Under {
    command: String,
    started: Instant,
}

impl Under {
    pub fn way(command: &str) -> Self {
        Self { command: command.to_owned(), started: Instant::now() }
    }

    /// What is recorded of it now that it ends.
    pub fn ends(&self, outcome: Outcome, why: Option<String>) -> Record {
        let Holder { who, host, .. } = Holder::this(&self.command);
        Record {
            version: VERSION,
            at: Timestamp::now(),
            seconds: self.started.elapsed().as_secs(),
            who,
            host,
            command: self.command.clone(),
            outcome,
            why,
            digest: None,
            counts: None,
            locks: Vec::new(),
            run: None,
            images: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }
}

/// Writes a record. Where that fails, the command does not: a line says so.
pub async fn record(aws: &Aws, (project, environment): (&str, &str), record: &Record) {
    if let Err(failure) = history::write(aws, project, environment, record).await {
        say(&format!("the history of {environment} lacks this command: {failure}"));
    }
}

/// What is recorded of an apply.
pub fn of_apply(under: &Under, plan: &Plan, report: &Report, (lock, run): (Option<u64>, &str)) -> Record {
    let done = |action| {
        let done = plan.resources.iter().filter(|one| one.action == action && report.done.contains(&one.address));
        done.count()
    };
    let counts = Counts {
        created: done(Action::Create),
        updated: done(Action::Update),
        replaced: done(Action::Replace),
        deleted: done(Action::Delete),
        failed: report.failed.len(),
        left: report.skipped.len() + report.not_started.len(),
    };
    let first = report.failed.iter().next();
    let why = first.map(|(address, failure)| format!("{address}: {}", cause(failure)));
    let outcome = match (report.is_success(), &why) {
        (true, _) => Outcome::Done,
        (false, Some(_)) => Outcome::Failed,
        (false, None) => Outcome::Interrupted,
    };
    Record {
        digest: Some(plan.digest.clone()),
        counts: Some(counts),
        locks: lock.into_iter().collect(),
        run: Some(run.to_owned()),
        ..under.ends(outcome, why)
    }
}

/// What AWS answered, without its message: that may repeat what it was sent.
pub fn cause(failure: &Failure) -> String {
    let request = failure.request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
    format!("{} answered {}{request}", failure.operation, failure.code)
}

/// The cause of an error in one line, without lines of logs and without what AWS repeats of a request.
pub fn why(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Failure>() {
        Some(failure) => cause(failure),
        None => first_line(&error.to_string()),
    }
}

pub fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(CAUSE).collect()
}
