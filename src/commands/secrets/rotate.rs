//! `infra secrets rotate ENV NAME`

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::Place;
use crate::address::{Address, hex};
use crate::commands::history::Under;
use crate::commands::session::{self, Session};
use crate::commands::{Ended, Source, interrupted, print, say};
use crate::rotation::{PREVIOUS, ROLL};
use crate::secrets::{self, Runs, Seen, uses};

const LOOK: Duration = Duration::from_secs(2);
/// The function that rolls has a quarter of an hour for one call.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How far this machine's clock may be from AWS's.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    /// The database, or the secret's name in the file
    name: String,
    #[command(flatten)]
    source: Source,
    /// Show what happens until every service runs the new version. Ctrl-C stops watching, not the rotation
    #[arg(long)]
    watch: bool,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let place = Place::look(&loaded, Session::open(&loaded).await?).await?;
    let address = place.find(&arguments.name)?;
    let seen = place.seen(&address).await?;
    refuse(&place, &address, &seen).await?;
    let under = Under::way(&format!("infra secrets rotate {} {}", arguments.env, address.name));
    let aws = &place.session.aws;
    // The same token when an answer is lost: it rotates once.
    let version = hex(&rand::random::<[u8; 16]>());
    let request = aws.secrets().rotate_secret().secret_id(&seen.arn).client_request_token(&version);
    let begun = aws.call("secretsmanager:RotateSecret", request.send()).await;
    place.record(&under, &address, begun.as_ref().map(|_| version.as_str())).await;
    begun?;
    print(&format!("{address} rotates to version {version}."));
    if !arguments.watch {
        print(&format!("How far it is: infra secrets status {} {}", arguments.env, address.name));
        return Ok(Ended::Well);
    }
    let mut watch = Watch { place: &place, address, arn: seen.arn, version, said: BTreeSet::new() };
    tokio::select! {
        ended = watch.until_done() => ended,
        () = interrupted() => {
            say(&format!("The rotation goes on: infra secrets status {} {}", arguments.env, arguments.name));
            Ok(Ended::Well)
        }
    }
}

/// Refuses what Secrets Manager or the function would.
async fn refuse(place: &Place, address: &Address, seen: &Seen) -> Result<()> {
    let environment = place.environment();
    if !seen.rotates() {
        bail!(
            "{address} does not rotate; nothing was changed\n  \
             give it a new value: infra secrets set {environment} {} --generate",
            address.name
        );
    }
    if let Some(pending) = seen.pending() {
        bail!(
            "{address} rotates since {} (version {} is pending); nothing was changed\n  Secrets Manager tries again by \
             itself what failed: look at the log group {}, and at infra secrets status {environment} {}",
            pending.since,
            pending.id,
            seen.log_group(),
            address.name
        );
    }
    let Some(version) = seen.current() else {
        bail!("{address} has no value that could rotate; nothing was changed");
    };
    let first = seen.version(PREVIOUS).is_none();
    if !rolls(place, address) || first || seen.rolled() == Some(&version.id) {
        return Ok(());
    }
    let uses = uses(&place.session.aws, &version, &place.users().await?).await?;
    let behind: Vec<String> = uses.into_iter().filter(|one| one.runs == Runs::Behind).map(|one| one.service).collect();
    let who = if behind.is_empty() {
        "that all services run its current version is not noted yet".to_owned()
    } else {
        format!("these services are behind its current version: {}", behind.join(", "))
    };
    bail!(
        "{address} cannot rotate, since a new password could lock services out: {who}; nothing was changed\n  the function \
         {ROLL} brings them up to date every 15 minutes, and logs to {}; then rotate again",
        roll_log(place)
    )
}

/// Whether services are rolled after a rotation of this secret.
fn rolls(place: &Place, address: &Address) -> bool {
    place.is_ours(address) && place.in_file(&Address::new("lambda_function", ROLL))
}

/// The log group of the function that rolls.
fn roll_log(place: &Place) -> &str {
    let group = place.desired.resources.get(&Address::new("log_group", ROLL));
    group.and_then(|group| group.fields.get("name")?.as_text()).unwrap_or_default()
}

/// A rotation that is watched.
struct Watch<'a> {
    place: &'a Place,
    address: Address,
    arn: String,
    version: String,
    /// What was said, and the ids of log lines.
    said: BTreeSet<String>,
}

impl Watch<'_> {
    async fn until_done(&mut self) -> Result<Ended> {
        let (begun, end) = (Timestamp::now(), Instant::now() + PATIENCE);
        loop {
            if let Some(ended) = self.look(begun).await? {
                return Ok(ended);
            }
            if Instant::now() > end {
                bail!(
                    "{} is not done after {} minutes; it goes on without being watched\n  \
                     see infra secrets status {} {}",
                    self.address,
                    PATIENCE.as_secs() / 60,
                    self.place.environment(),
                    self.address.name
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Says what is new; how it ended where it did.
    async fn look(&mut self, begun: Timestamp) -> Result<Option<Ended>> {
        let aws = &self.place.session.aws;
        let seen = Seen::look(aws, &self.arn).await?;
        if seen.pending().is_some_and(|pending| pending.id == self.version) {
            self.once(&format!("version {} is pending", self.version));
        }
        let ours = self.place.is_ours(&self.address);
        let lines = if ours { secrets::log(aws, &seen.log_group(), begun - SKEW).await? } else { Vec::new() };
        let own = lines.iter().position(|(_, line)| line.contains(&self.version)).unwrap_or(lines.len());
        lines[own..].iter().for_each(|(id, line)| self.line(id, line));
        let current = seen.current();
        let Some(current) = current.filter(|current| current.id == self.version) else {
            return self.failed(&lines, &seen.log_group());
        };
        self.once(&format!("version {} is current", self.version));
        if rolls(self.place, &self.address) {
            let begins = current.since - SignedDuration::from_secs(1);
            for (id, line) in secrets::log(aws, roll_log(self.place), begins).await? {
                self.line(&id, &line);
            }
        }
        let users = self.place.users().await?;
        let uses = uses(aws, &current, &users).await?;
        for one in uses.iter().filter(|one| one.runs != Runs::Behind) {
            let word = if one.runs == Runs::Idle { "has no tasks" } else { "runs it" };
            self.once(&format!("{} {word}", one.service));
        }
        if !rolls(self.place, &self.address) {
            for one in uses.iter().filter(|one| one.runs == Runs::Behind) {
                self.once(&format!("{} runs the former version until it gets new tasks", one.service));
            }
        } else if seen.rolled() != Some(&self.version) {
            return Ok(None);
        }
        self.once("done");
        Ok(Some(Ended::Well))
    }

    /// Ends where the function has failed.
    fn failed(&mut self, lines: &[(String, String)], group: &str) -> Result<Option<Ended>> {
        let Some(why) = secrets::failure(lines.iter().map(|(_, line)| line.as_str()), &self.version) else {
            return Ok(None);
        };
        bail!(
            "{} has not rotated, and the former version stays current: {why}\n  version {} stays pending, and Secrets \
             Manager tries again by itself; more is in the log group {group}",
            self.address,
            self.version
        )
    }

    fn line(&mut self, id: &str, line: &str) {
        if self.said.insert(id.to_owned()) {
            tell(&format!("  {line}"));
        }
    }

    fn once(&mut self, text: &str) {
        if self.said.insert(text.to_owned()) {
            tell(text);
        }
    }
}

fn tell(text: &str) {
    print(&format!("{}  {text}", Timestamp::now().to_zoned(TimeZone::system()).strftime("%H:%M:%S")));
}
