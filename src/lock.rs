//! One writer for an environment. Every command that writes takes this lock first.
//!
//! A lock is the SSM parameter `/infra/<project>/<environment>/lock/<N>` with the highest N. Whoever creates N+1 without
//! overwriting owns the environment, since SSM lets only one of two do so. The owner renews it; releasing writes that N
//! is free; an owner that has not renewed for [`EXPIRY`], by AWS's own clock, is taken to be dead. An owner that could not
//! renew for [`FENCE`] sends nothing more ([`Guard`]).
//!
//! The lock also lists what its owner is creating where nothing but our tags tells a second one from the first
//! ([`crate::kind::Kind::NAMELESS`]): AWS may show it late, so that whoever comes after a crash looks for it first.

mod guard;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub use self::guard::Guard;
pub use self::store::{Listed, Store, Written};
use crate::address::{Address, hex};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Result};

/// How often an owner renews.
const RENEWAL: Duration = Duration::from_secs(20);
/// After this long without a renewal the owner is dead.
const EXPIRY: SignedDuration = SignedDuration::from_secs(150);
/// An owner that cannot renew for this long sends nothing more: well before others take over.
const FENCE: Duration = Duration::from_secs(90);
/// How often whoever waits for a lock looks.
const LOOK: Duration = Duration::from_secs(3);
/// Locks older than the newest by this many are removed. SSM cannot re-create a name at once, so none is reused.
const KEPT: u64 = 3;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub who: String,
    pub host: String,
    pub process: u32,
    /// Tells apart machines of one name, and containers that see other processes.
    #[serde(default)]
    machine: String,
    pub command: String,
    pub since: Timestamp,
    /// Tells apart two runs of one process.
    #[serde(default)]
    run: String,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this(command: &str) -> Self {
        let variable = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
        Self {
            who: variable(&["GITHUB_ACTOR", "USER", "LOGNAME"]).unwrap_or_else(|| "unknown".to_owned()),
            host: host.or_else(|| variable(&["HOSTNAME"])).unwrap_or_else(|| "unknown".to_owned()),
            process: std::process::id(),
            machine: machine(),
            command: command.to_owned(),
            since: Timestamp::now(),
            run: hex(&rand::random::<[u8; 8]>()),
        }
    }

    /// Whether this is a process of this machine that no longer runs.
    fn is_gone(&self) -> bool {
        !self.machine.is_empty()
            && self.machine == machine()
            && !std::path::Path::new(&format!("/proc/{}", self.process)).exists()
    }
}

/// This boot of this machine and what processes are seen from here; empty where that cannot be told.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let processes = std::fs::read_link("/proc/self/ns/pid");
    match (boot, processes) {
        (Ok(boot), Ok(processes)) => format!("{} {}", boot.trim(), processes.display()),
        _ => String::new(),
    }
}

/// What is written in a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// Nobody, where it is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
    /// What was being created when this was written, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    creating: BTreeMap<Address, Timestamp>,
}

impl Content {
    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Failure::new("ssm:PutParameter", "Defect", error.to_string()))
    }
}

/// The newest lock of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    pub number: u64,
    content: Content,
    /// When it was written last, and how long ago that is, both by AWS's clock.
    renewed: Timestamp,
    age: SignedDuration,
}

impl Newest {
    /// Who holds it, or `None` where it is free or its owner is dead.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        self.content.holder.as_ref().filter(|holder| self.age < EXPIRY && !holder.is_gone())
    }

    #[must_use]
    pub fn renewed(&self) -> Timestamp {
        self.renewed
    }
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "{what} is locked by {who} on {host} (process {process}) with `{command}` since {since}\n  {help}",
        who = holder.who, host = holder.host, process = holder.process, command = holder.command, since = holder.since
    )]
    Held { what: String, holder: Box<Holder>, help: String },
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The lock of one environment, or of the release of a service.
pub struct Lock {
    store: Arc<dyn Store>,
    /// The path of its parameters.
    path: String,
    /// What is locked, and what whoever is refused may do, where N is the number of the lock.
    what: String,
    help: String,
}

/// What earlier owners were creating when they ended, and how long ago that was written at the least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub addresses: Vec<Address>,
    pub age: Duration,
}

/// A lock that this process holds. It is renewed until it is released, or dropped: then it expires.
pub struct Held {
    pub number: u64,
    pub left: Left,
    guard: Guard,
    renewal: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Held {
    /// Turns true when the lock can no longer be relied on. Start nothing then.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.guard.lost()
    }

    #[must_use]
    pub fn guard(&self) -> Guard {
        self.guard.clone()
    }
}

impl Lock {
    #[must_use]
    pub fn of(aws: &Arc<Aws>, project: &str, environment: &str) -> Self {
        Self::on(Arc::new(store::Ssm(Arc::clone(aws))), project, environment)
    }

    /// A lock that is kept elsewhere than in SSM.
    #[must_use]
    pub fn on(store: Arc<dyn Store>, project: &str, environment: &str) -> Self {
        Self {
            store,
            path: format!("/infra/{project}/{environment}/lock"),
            what: environment.to_owned(),
            help: format!(
                "wait for it with --lock-timeout 10m, or, if that process is surely dead, run: infra unlock {environment} N"
            ),
        }
    }

    /// The lock of a service's release, which lasts longer than an apply and stands in nobody else's way.
    #[must_use]
    pub fn of_release(aws: &Arc<Aws>, project: &str, environment: &str, service: &str) -> Self {
        Self {
            store: Arc::new(store::Ssm(Arc::clone(aws))),
            path: format!("/infra/{project}/{environment}/release/{service}/lock"),
            what: format!("the release of {service} in {environment}"),
            help: format!(
                "wait for it, or take the release back, which needs no waiting: infra bluegreen rollback {environment} {service}"
            ),
        }
    }

    fn refused(&self, newest: &Newest, holder: &Holder) -> Refused {
        let help = self.help.replace(" N", &format!(" {}", newest.number));
        Refused::Held { what: self.what.clone(), holder: Box::new(holder.clone()), help }
    }

    /// Takes the lock, or says who holds it.
    pub async fn acquire(&self, holder: Holder) -> Result<Held, Refused> {
        let all = self.read().await?;
        if let Some(newest) = all.last()
            && let Some(holder) = newest.holder()
        {
            return Err(self.refused(newest, holder));
        }
        self.take(holder, all).await
    }

    /// Takes the lock when it becomes free within `patience`. `say` is told who is waited for.
    pub async fn wait(&self, holder: Holder, patience: Duration, say: impl Fn(&Refused)) -> Result<Held, Refused> {
        let until = Instant::now() + patience;
        let mut said = None;
        loop {
            match self.acquire(holder.clone()).await {
                Err(Refused::Held { holder, what, help }) if Instant::now() < until => {
                    let refused = Refused::Held { what, help, holder: holder.clone() };
                    if said.replace(holder.clone()) != Some(holder) {
                        say(&refused);
                    }
                    sleep(LOOK.min(until - Instant::now())).await;
                }
                other => return other,
            }
        }
    }

    /// Takes the lock, whoever holds it: that process learns of it with its next renewal, and stops.
    pub async fn take_over(&self, holder: Holder) -> Result<Held, Refused> {
        let all = self.read().await?;
        self.take(holder, all).await
    }

    async fn take(&self, holder: Holder, all: Vec<Newest>) -> Result<Held, Refused> {
        let newest = all.last();
        let number = newest.map_or(1, |newest| newest.number + 1);
        let creating = newest.map(|newest| newest.content.creating.clone()).unwrap_or_default();
        let age = newest.and_then(|newest| Duration::try_from(newest.age).ok()).unwrap_or_default();
        let left = Left { addresses: creating.keys().cloned().collect(), age };
        let content = Content { holder: Some(holder), creating };
        let taken = (Instant::now(), self.store.clock());
        match self.store.create(&self.name(number), &content.text()?).await {
            Err(failure) if failure.code == "ParameterAlreadyExists" || failure.class == Class::Unanswered => {
                // Somebody was faster by a moment, or an answer to ourselves was lost; the next look says who.
                let all = self.read().await?;
                let newest = all.last();
                if newest.is_none_or(|newest| newest.number != number || newest.content != content) {
                    return Err(match newest.and_then(|newest| Some((newest, newest.holder()?))) {
                        Some((newest, holder)) => self.refused(newest, holder),
                        None => Refused::Failed(failure),
                    });
                }
            }
            other => other?,
        }
        self.clean(&all, number).await;
        let store = Arc::clone(&self.store);
        let (guard, renewals) = Guard::keep(store, self.path.clone(), number, content, taken);
        Ok(Held { number, left, guard, renewal: tokio::spawn(renewals) })
    }

    /// Gives the lock back.
    pub async fn release(&self, mut held: Held) -> Result<()> {
        // A renewal that is on its way must not come after the release.
        held.renewal.abort();
        let _ = (&mut held.renewal).await;
        if *held.lost().borrow() {
            return Ok(());
        }
        self.store.overwrite(&self.name(held.number), &held.guard.left().text()?).await
    }

    /// Declares the lock `number` free, whoever holds it: by a newer one that is free, which no renewal can undo.
    pub async fn force(&self, number: u64) -> Result<()> {
        match self.newest().await? {
            Some(newest) if newest.number == number => {
                let free = Content { holder: None, ..newest.content };
                self.store.create(&self.name(number + 1), &free.text()?).await
            }
            Some(newest) => {
                let message = format!("the newest lock of {} is {}, not {number}", self.what, newest.number);
                Err(Failure::new("ssm:PutParameter", "WrongLock", message))
            }
            None => Err(Failure::new("ssm:PutParameter", "NoLock", format!("{} has no lock", self.what))),
        }
    }

    /// The newest lock, held or not.
    pub async fn newest(&self) -> Result<Option<Newest>> {
        Ok(self.read().await?.pop())
    }

    fn name(&self, number: u64) -> String {
        name(&self.path, number)
    }

    async fn read(&self) -> Result<Vec<Newest>> {
        read(self.store.as_ref(), &self.path).await
    }

    /// Removes locks that nobody can mistake for the newest any more. One that stays does no harm.
    async fn clean(&self, all: &[Newest], number: u64) {
        for old in all.iter().filter(|old| old.number + KEPT < number) {
            if let Err(failure) = self.store.delete(&self.name(old.number)).await {
                tracing::debug!(%failure, "an old lock stays");
            }
        }
    }
}

fn name(path: &str, number: u64) -> String {
    format!("{path}/{number}")
}

async fn read(store: &dyn Store, path: &str) -> Result<Vec<Newest>> {
    let Listed { all, now } = store.list(path).await?;
    let parse = |written: &Written| {
        let number = written.name.parse().ok()?;
        // A value that cannot be read is held by a newer release of this program, say: never take it for free.
        let unreadable = || Holder { who: "unknown".to_owned(), machine: String::new(), ..Holder::this("unknown") };
        let content = serde_json::from_str(&written.value);
        let content = content.unwrap_or_else(|_| Content { holder: Some(unreadable()), ..Content::default() });
        Some(Newest { number, content, renewed: written.at, age: now.duration_since(written.at) })
    };
    let mut all: Vec<Newest> = all.iter().filter_map(parse).collect();
    all.sort_by_key(|newest| newest.number);
    Ok(all)
}
