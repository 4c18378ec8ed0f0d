//! One writer for an environment. Every command that writes takes this lock first.
//!
//! A lock is the SSM parameter `/infra/<project>/<environment>/lock/<N>` with the highest N. Whoever creates N+1 without
//! overwriting owns the environment, since SSM lets only one of two do so. The owner renews it; releasing writes that N
//! is free; an owner that has not renewed for [`EXPIRY`] is taken to be dead.

use std::time::Duration;

use aws_sdk_ssm::types::ParameterType;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aws::Aws;
use crate::kind::{Class, Failure, Result};

/// How often an owner renews.
const RENEWAL: Duration = Duration::from_secs(20);
/// After this long without a renewal the owner is dead. Clocks may differ by a part of it.
const EXPIRY: SignedDuration = SignedDuration::from_secs(150);
/// An owner that cannot renew for this long starts nothing more: well before others take over.
const FENCE: Duration = Duration::from_secs(90);
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Free,
    Held(Holder),
}

/// The newest lock of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    pub number: u64,
    content: Content,
    renewed: Timestamp,
}

impl Newest {
    /// Who holds it, or `None` where it is free or its owner is dead.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match &self.content {
            Content::Held(holder) if Timestamp::now().duration_since(self.renewed) < EXPIRY && !holder.is_gone() => {
                Some(holder)
            }
            _ => None,
        }
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
pub struct Lock<'a> {
    aws: &'a Aws,
    /// The path of its parameters.
    path: String,
    /// What is locked, and what whoever is refused may do, where N is the number of the lock.
    what: String,
    help: String,
}

/// A lock that this process holds. It is renewed until it is released.
pub struct Held {
    pub number: u64,
    renewal: JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

impl Held {
    /// Turns true when the lock can no longer be relied on. Start nothing then.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }
}

impl<'a> Lock<'a> {
    #[must_use]
    pub fn of(aws: &'a Aws, project: &str, environment: &str) -> Self {
        Self {
            aws,
            path: format!("/infra/{project}/{environment}/lock"),
            what: environment.to_owned(),
            help: format!("wait for it, or, if that process is surely dead, run: infra unlock {environment} N"),
        }
    }

    /// The lock of a service's release, which lasts longer than an apply and stands in nobody else's way.
    #[must_use]
    pub fn of_release(aws: &'a Aws, project: &str, environment: &str, service: &str) -> Self {
        Self {
            aws,
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
    pub async fn acquire(&self, aws: std::sync::Arc<Aws>, holder: Holder) -> Result<Held, Refused> {
        let all = self.read().await?;
        if let Some(newest) = all.last()
            && let Some(holder) = newest.holder()
        {
            return Err(self.refused(newest, holder));
        }
        self.take(aws, holder, all).await
    }

    /// Takes the lock, whoever holds it: that process learns of it with its next renewal, and stops.
    pub async fn take_over(&self, aws: std::sync::Arc<Aws>, holder: Holder) -> Result<Held, Refused> {
        let all = self.read().await?;
        self.take(aws, holder, all).await
    }

    async fn take(&self, aws: std::sync::Arc<Aws>, holder: Holder, all: Vec<Newest>) -> Result<Held, Refused> {
        let newest = all.last();
        let number = newest.map_or(1, |newest| newest.number + 1);
        let content = Content::Held(holder);
        match write(self.aws, &self.name(number), &content, false).await {
            Err(failure) if failure.code == "ParameterAlreadyExists" => {
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
        let (sender, lost) = watch::channel(false);
        let renewal = tokio::spawn(renew(aws, self.path.clone(), number, content, sender));
        Ok(Held { number, renewal, lost })
    }

    /// Gives the lock back.
    pub async fn release(&self, held: Held) -> Result<()> {
        // A renewal that is on its way must not come after the release.
        held.renewal.abort();
        let _ = held.renewal.await;
        if *held.lost.borrow() {
            return Ok(());
        }
        write(self.aws, &self.name(held.number), &Content::Free, true).await
    }

    /// Declares the lock `number` free, whoever holds it: by a newer one that is free, which no renewal can undo.
    pub async fn force(&self, number: u64) -> Result<()> {
        match self.newest().await? {
            Some(newest) if newest.number == number => {
                write(self.aws, &self.name(number + 1), &Content::Free, false).await
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
        format!("{}/{number}", self.path)
    }

    async fn read(&self) -> Result<Vec<Newest>> {
        read(self.aws, &self.path).await
    }

    /// Removes locks that nobody can mistake for the newest any more. One that stays does no harm.
    async fn clean(&self, all: &[Newest], number: u64) {
        for old in all.iter().filter(|old| old.number + KEPT < number) {
            let request = self.aws.ssm().delete_parameter().name(self.name(old.number));
            if let Err(failure) = self.aws.call("ssm:DeleteParameter", request.send()).await {
                tracing::debug!(%failure, "an old lock stays");
            }
        }
    }
}

async fn read(aws: &Aws, path: &str) -> Result<Vec<Newest>> {
    let pages = aws.ssm().get_parameters_by_path().path(path).into_paginator().send();
    let pages = aws.call("ssm:GetParametersByPath", pages.collect::<Result<Vec<_>, _>>()).await?;
    let parameters = pages.iter().flat_map(|page| page.parameters());
    let parse = |parameter: &aws_sdk_ssm::types::Parameter| {
        let number = parameter.name()?.rsplit('/').next()?.parse().ok()?;
        // A value that cannot be read is held by a newer release of this program, say: never take it for free.
        let unreadable = || Content::Held(Holder { who: "unknown".to_owned(), ..Holder::this("unknown") });
        let content = serde_json::from_str(parameter.value()?).unwrap_or_else(|_| unreadable());
        let renewed = Timestamp::from_second(parameter.last_modified_date()?.secs()).ok()?;
        Some(Newest { number, content, renewed })
    };
    let mut all: Vec<Newest> = parameters.filter_map(parse).collect();
    all.sort_by_key(|newest| newest.number);
    Ok(all)
}

async fn write(aws: &Aws, name: &str, content: &Content, overwrite: bool) -> Result<()> {
    let value = serde_json::to_string(content)
        .map_err(|error| Failure::new("ssm:PutParameter", "Defect", error.to_string()))?;
    let request = aws.ssm().put_parameter().name(name).value(value).r#type(ParameterType::String).overwrite(overwrite);
    aws.call("ssm:PutParameter", request.send()).await.map(drop)
}

/// Renews until somebody else holds a newer lock, or until renewing has failed for too long.
async fn renew(aws: std::sync::Arc<Aws>, path: String, number: u64, content: Content, lost: watch::Sender<bool>) {
    let mut renewed = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(RENEWAL).await;
        let renewing = async {
            let all = read(&aws, &path).await?;
            let overtaken = all.last().is_none_or(|newest| newest.number != number || newest.content != content);
            if !overtaken {
                write(&aws, &format!("{path}/{number}"), &content, true).await?;
            }
            Ok::<_, Failure>(overtaken)
        };
        // A network that hangs must not keep us from noticing that the time is up.
        let overtaken = match tokio::time::timeout(RENEWAL, renewing).await {
            Ok(Ok(overtaken)) => {
                renewed = tokio::time::Instant::now();
                overtaken
            }
            Ok(Err(_)) | Err(_) => false,
        };
        if overtaken || renewed.elapsed() > FENCE {
            lost.send_replace(true);
            return;
        }
    }
}

/// Whether a failure says that the caller may not use the lock at all.
#[must_use]
pub fn is_denied(failure: &Failure) -> bool {
    failure.class == Class::Fatal && failure.code.contains("AccessDenied")
}
