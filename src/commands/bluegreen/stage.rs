//! An environment and the services that are released in it: read, locked, and ready.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::Policy;
use super::timeline::Timeline;
use crate::commands::history::{self, Under};
use crate::commands::session::{self, Session};
use crate::commands::{Ended, Source, give_back};
use crate::environment::Loaded;
use crate::environment::releases::Strategy;
use crate::history::{Outcome, Record};
use crate::lock::{Held, Holder, Lock};
use crate::release::{self, Parts, Release, World};

impl Policy {
    /// Whether it says something that only two colours can do.
    fn is_about_traffic(&self) -> bool {
        let times = self.verify.is_some() || self.keep.is_some();
        let steps = self.canary.is_some() || self.linear.is_some() || self.at_once;
        let limits = self.errors.is_some() || self.latency.is_some() || self.unhealthy.is_some();
        times || steps || limits || self.despite_alarms
    }

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
pub struct Stage {
    pub loaded: Loaded,
    pub world: World,
    pub parts: Vec<Arc<Parts>>,
    despite_alarms: bool,
}

impl Stage {
    pub async fn open(source: &Source, env: &str, services: &[String], policy: &Policy) -> Result<Self> {
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
        let parts: Vec<_> =
            services.iter().map(|name| Ok(Arc::new(world.parts(&loaded, name)?))).collect::<Result<_>>()?;
        if let Some(parts) = parts.iter().find(|parts| policy.is_about_traffic() && !parts.has_second()) {
            bail!(
                "the tasks of {} are replaced one by one: of the flags for a release only --monitor is about that",
                parts.service
            );
        }
        Ok(Self { loaded, world, parts, despite_alarms: policy.despite_alarms })
    }

    /// Does work on the releases of all its services under their locks, and gives the locks back. An interruption of the
    /// user ends it where it stands.
    pub async fn locked(
        &self,
        command: &str,
        by_force: bool,
        timeline: &Arc<Timeline>,
        work: impl AsyncFnOnce(Vec<Release>) -> Result<Ended>,
    ) -> Result<Ended> {
        let under = Under::way(command);
        let locks = self.lock(command, by_force).await?;
        let working = async { work(self.releases(&locks, timeline)?).await };
        let (done, interrupted) = tokio::select! {
            done = working => (done, false),
            () = crate::commands::interrupted() => (Err(self.interrupted()), true),
        };
        let numbers = locks.iter().map(|(_, held)| held.number).collect();
        unlock(locks).await;
        let (outcome, why) = match &done {
            Ok(Ended::Well | Ended::Changes) => (Outcome::Done, None),
            Ok(Ended::Failed) => (Outcome::Failed, timeline.why()),
            Err(_) if interrupted => (Outcome::Interrupted, None),
            Err(error) => (Outcome::Failed, Some(history::why(error))),
        };
        let (run, images) = timeline.released();
        let record = Record { locks: numbers, run, images, ..under.ends(outcome, why) };
        let desired = &self.world.desired;
        history::record(&self.world.aws, (&desired.project, &desired.environment), &record).await;
        done
    }

    fn interrupted(&self) -> anyhow::Error {
        let services: Vec<&str> = self.parts.iter().map(|parts| parts.service.as_str()).collect();
        anyhow::anyhow!(
            "stopped; the release stands where it is and nobody watches it\n  go on with the same command, or: infra bluegreen rollback \
             {} {}",
            self.name(),
            services.join(" ")
        )
    }

    /// The locks of all its services. None is kept where one cannot be had.
    async fn lock(&self, command: &str, by_force: bool) -> Result<Vec<(Lock, Held)>> {
        let mut locks = Vec::new();
        for parts in &self.parts {
            let desired = &self.world.desired;
            let lock = Lock::of_release(&self.world.aws, &desired.project, &desired.environment, &parts.service);
            let holder = Holder::this(command);
            let held = if by_force { lock.take_over(holder).await } else { lock.acquire(holder).await };
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

    fn releases(&self, locks: &[(Lock, Held)], timeline: &Arc<Timeline>) -> Result<Vec<Release>> {
        let of = |(parts, (_, held)): (&Arc<Parts>, &(Lock, Held))| {
            let mut release = Release::of(&self.world, &self.loaded, parts, &timeline.teller())?.until(held.lost());
            release.shared.policy.despite_alarms = self.despite_alarms;
            Ok(release)
        };
        self.parts.iter().zip(locks).map(of).collect()
    }

    pub fn name(&self) -> &str {
        &self.loaded.name
    }
}

async fn unlock(locks: Vec<(Lock, Held)>) {
    for (lock, held) in locks {
        give_back(&lock, held).await;
    }
}
