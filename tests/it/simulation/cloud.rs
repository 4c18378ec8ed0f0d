//! AWS as it behaves on a bad day, around the world in memory: slow, forgetful, late to show, and sometimes silent.
//!
//! A request travels, is executed, and its answer travels back; a process that dies meanwhile does not take it along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use infra::address::Address;
use infra::kind::{Class, Driver, Drivers, Failure, Health, Id, Info, Live, Making, Progress, Result, Scope};
use infra::kinds;
use infra::tags::Tags;
use infra::value::Fields;
use tokio::time::{Instant, sleep, sleep_until};

use super::dice::Dice;
use crate::core::environment::KINDS;
use crate::memory::{self, Shared, World};
use crate::support::scope;

/// How long a request travels at most, and its answer.
const LATENCY: Duration = Duration::from_secs(2);
/// How long reads may lag what was written.
const LAG: Duration = Duration::from_secs(15);
/// How long what takes time may take.
const SLOW: Duration = Duration::from_secs(240);

/// Kinds that may end in a state from which nothing leads back.
const MAY_FAIL: &[&str] = &["db_instance", "nat_gateway"];

/// What everybody sees a part of.
#[derive(Clone)]
pub struct Cloud {
    pub truth: Shared,
    pub dice: Dice,
    since: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Whether anything goes wrong.
    bad: bool,
    /// From when on a new resource is shown.
    shown: BTreeMap<Id, Instant>,
    /// When it can be used.
    ready: BTreeMap<Id, Instant>,
    /// What reads still show instead of the truth, and until when.
    past: BTreeMap<Id, (Live<Fields>, Instant)>,
    /// What may be replaced or deleted with its data.
    consent: BTreeSet<Address>,
    /// The newest writer that has written.
    writer: u64,
    /// What must never happen, and did.
    wrongs: Vec<String>,
}

impl State {
    /// What a read shows of this resource, if anything.
    fn seen<'a>(&'a self, id: &str, truth: &'a World) -> Option<&'a Live<Fields>> {
        let now = Instant::now();
        if self.shown.get(id).is_some_and(|from| *from > now) {
            return None;
        }
        match self.past.get(id) {
            Some((past, until)) if *until > now => Some(past),
            _ => truth.live.get(id),
        }
    }

    /// A copy of it, in the state that it is in by now.
    fn shape(&self, seen: &Live<Fields>) -> Live<Fields> {
        let mut seen = seen.clone();
        if seen.health == Health::Ok && self.ready.get(&seen.id).is_some_and(|ready| *ready > Instant::now()) {
            seen.health = Health::Pending;
        }
        seen
    }
}

/// One run of the program: it may freeze, or die at a call.
#[derive(Clone)]
pub struct Process {
    pub cloud: Cloud,
    /// The number of its lock.
    pub writer: Arc<Mutex<u64>>,
    /// How many calls until it dies.
    pub dies: Arc<Mutex<Option<usize>>>,
    pub died: Arc<tokio::sync::Notify>,
    /// Until when it stands still.
    pub frozen: Arc<Mutex<Option<Instant>>>,
}

/// What becomes of a request.
enum Fate {
    Answered,
    Throttled,
    /// A 5xx: not executed.
    Failed,
    /// Executed, and the answer lost.
    Lost,
}

impl Cloud {
    pub fn new(dice: Dice) -> Self {
        Self { truth: Shared::default(), dice, since: Instant::now(), state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn weather(&self, bad: bool) {
        self.state().bad = bad;
    }

    pub fn is_bad(&self) -> bool {
        self.state().bad
    }

    pub fn consent(&self, addresses: BTreeSet<Address>) {
        self.state().consent = addresses;
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.state().wrongs.clone()
    }

    fn wrong(&self, what: String) {
        self.state().wrongs.push(what);
    }

    /// Reads are tried again below us, so that few of them fail in the end.
    fn fate(&self, reads: bool) -> Fate {
        if !self.is_bad() || (reads && !self.dice.once_in(20)) {
            return Fate::Answered;
        }
        match self.dice.below(30) {
            0 => Fate::Throttled,
            1 => Fate::Failed,
            2 => Fate::Lost,
            _ => Fate::Answered,
        }
    }

    fn latency(&self) -> Duration {
        if self.is_bad() { self.dice.pause(LATENCY) } else { Duration::from_millis(20) }
    }

    fn lag(&self) -> Instant {
        Instant::now() + if self.is_bad() { self.dice.pause(LAG) } else { Duration::ZERO }
    }

    /// Keeps showing what is there now, for a while.
    fn linger(&self, id: &str) {
        let live = self.truth.lock().unwrap().live.get(id).cloned();
        let until = self.lag();
        let mut state = self.state();
        let lags = state.past.get(id).is_some_and(|(_, until)| *until > Instant::now());
        if let Some(live) = live.filter(|_| !lags) {
            state.past.insert(id.to_owned(), (live, until));
        }
    }

    /// What a read shows of this resource, if anything.
    fn seen(&self, id: &str) -> Option<Live<Fields>> {
        let (truth, state) = (self.truth.lock().unwrap(), self.state());
        state.seen(id, &truth).map(|seen| state.shape(seen))
    }

    /// What a read shows of all of this kind that are ours.
    fn all(&self, kind: &str) -> Vec<Live<Fields>> {
        let environment = scope(&[]).environment;
        let ours =
            |live: &&Live<Fields>| live.identity.address.kind == kind && live.identity.environment == environment;
        let (truth, state) = (self.truth.lock().unwrap(), self.state());
        let ids: BTreeSet<&Id> = truth.live.keys().chain(state.past.keys()).collect();
        let seen = ids.into_iter().filter_map(|id| state.seen(id, &truth));
        // There are many kinds, so that only what is asked for is copied.
        seen.filter(ours).map(|seen| state.shape(seen)).collect()
    }

    /// After a create: when it is shown, when it is ready, and whether it fails.
    fn made(&self, info: &Info, id: &Id, address: &Address) {
        let mut truth = self.truth.lock().unwrap();
        let identity = scope(&[]).identity(address);
        let same = |live: &&Live<Fields>| live.identity == identity && !live.deposed;
        if truth.live.values().filter(same).count() > 1 {
            self.wrong(format!("{address} was made twice"));
        }
        let takes = if info.minutes.0 == 0 { Duration::ZERO } else { self.dice.pause(SLOW) };
        let fails = self.is_bad() && MAY_FAIL.contains(&info.name) && self.dice.once_in(8);
        if fails && let Some(live) = truth.live.get_mut(id) {
            live.health = Health::Failed("it could not be made".to_owned());
        }
        drop(truth);
        let shown = self.lag();
        let mut state = self.state();
        state.shown.insert(id.clone(), shown);
        state.ready.insert(id.clone(), shown + takes);
    }
}

impl Process {
    pub fn new(cloud: &Cloud) -> Self {
        Self {
            cloud: cloud.clone(),
            writer: Arc::default(),
            dies: Arc::default(),
            died: Arc::default(),
            frozen: Arc::default(),
        }
    }

    pub fn drivers(&self) -> Drivers {
        let world = memory::drivers(&self.cloud.truth);
        let driver = |(name, world): (&'static str, Box<dyn Driver>)| {
            let info = kinds::find(name).expect("a kind");
            (name, Box::new(Late { info, world: Arc::from(world), process: self.clone() }) as Box<dyn Driver>)
        };
        world.into_iter().filter(|(name, _)| KINDS.contains(name)).map(driver).collect()
    }

    /// Counts a call; the one that it dies at never returns.
    async fn lives(&self) {
        let dies = {
            let mut left = self.dies.lock().unwrap();
            if let Some(left) = left.as_mut() {
                *left = left.saturating_sub(1);
            }
            *left == Some(0)
        };
        if dies {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Stands still as long as it is frozen. Whether it was.
    async fn thaws(&self) -> bool {
        let until = *self.frozen.lock().unwrap();
        match until {
            Some(until) if until > Instant::now() => {
                sleep_until(until).await;
                true
            }
            _ => false,
        }
    }

    pub async fn read<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let fate = self.cloud.fate(true);
        self.call(fate, work).await
    }

    pub async fn write<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let fate = self.cloud.fate(false);
        self.call(fate, work).await
    }

    /// Sends a request and awaits its answer.
    async fn call<T: Send + 'static>(
        &self,
        fate: Fate,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let unanswered = || Failure::new("simulation", "NoAnswer", "nobody knows").class(Class::Unanswered);
        if self.thaws().await {
            // Connections do not survive.
            return Err(unanswered());
        }
        self.lives().await;
        let (there, back) = (self.cloud.latency(), self.cloud.latency());
        // Once sent, it arrives, whatever becomes of us.
        let sent = tokio::spawn(async move {
            sleep(there).await;
            let answer = match fate {
                Fate::Throttled => Err(Failure::new("simulation", "Throttling", "slow down").class(Class::Busy)),
                Fate::Failed => Err(unanswered()),
                Fate::Lost => {
                    let _ = work.await;
                    Err(unanswered())
                }
                Fate::Answered => work.await,
            };
            sleep(back).await;
            answer
        });
        let answer = sent.await.expect("the network does not panic");
        self.lives().await;
        self.thaws().await;
        answer
    }
}

struct Late {
    info: &'static Info,
    world: Arc<dyn Driver>,
    process: Process,
}

impl Late {
    /// A write, which is wrong when a later writer has written.
    async fn write<T: Send + 'static>(
        &self,
        what: String,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (cloud, writer) = (self.process.cloud.clone(), Arc::clone(&self.process.writer));
        let checked = async move {
            let writer = *writer.lock().unwrap();
            let newest = cloud.state().writer;
            if newest > writer {
                cloud.wrong(format!("writer {writer} did {what} after writer {newest}"));
            }
            cloud.state().writer = newest.max(writer);
            let done = work.await;
            if super::replays() {
                eprintln!(
                    "  {:?} {writer}: {what}: {}",
                    Instant::now() - cloud.since,
                    if done.is_ok() { "done" } else { "refused" }
                );
            }
            done
        };
        self.process.write(checked).await
    }
}

#[async_trait]
impl Driver for Late {
    async fn list(&self, _: &Scope) -> Result<Vec<Live<Fields>>> {
        let (cloud, info) = (self.process.cloud.clone(), self.info);
        self.process.read(async move { Ok(cloud.all(info.name)) }).await
    }

    async fn create(&self, fields: &Fields, making: &Making) -> Result<Id> {
        let (cloud, world, info) = (self.process.cloud.clone(), Arc::clone(&self.world), self.info);
        let (fields, making) = (fields.clone(), making.clone());
        let what = format!("create {}", making.identity.address);
        let work = async move {
            let same = |live: &Live<Fields>| live.identity == making.identity && !live.deposed;
            if !info.nameless && cloud.truth.lock().unwrap().live.values().any(same) {
                return Err(Failure::new("simulation", "NameTaken", "there is one of this name"));
            }
            let id = world.create(&fields, &making).await?;
            cloud.made(info, &id, &making.identity.address);
            Ok(id)
        };
        self.write(what, work).await
    }

    async fn update(&self, fields: &Fields, live: &Live<Fields>) -> Result<()> {
        let (cloud, world, fields, live) =
            (self.process.cloud.clone(), Arc::clone(&self.world), fields.clone(), live.clone());
        let what = format!("update {}", live.identity.address);
        let work = async move {
            if cloud.seen(&live.id).is_none() {
                return Err(Failure::new("simulation", "NotFound", &live.id).class(Class::NotFound));
            }
            cloud.linger(&live.id);
            world.update(&fields, &live).await
        };
        self.write(what, work).await
    }

    async fn delete(&self, live: &Live<Fields>) -> Result<()> {
        let (cloud, world, info, live) = (self.process.cloud.clone(), Arc::clone(&self.world), self.info, live.clone());
        let address = live.identity.address.clone();
        let work = async move {
            let truth = cloud.truth.lock().unwrap().live.get(&live.id).cloned();
            if let Some(truth) = truth {
                if truth.identity.environment != scope(&[]).environment {
                    cloud.wrong(format!("{} of others is deleted", live.identity.address));
                }
                if info.holds_data && !cloud.state().consent.contains(&live.identity.address) {
                    cloud.wrong(format!("{} is deleted with its data, and nobody allowed it", live.identity.address));
                }
            }
            cloud.linger(&live.id);
            let deleted = world.delete(&live).await;
            // What uses it may be gone already, and only be shown still.
            match deleted {
                Err(failure) if failure.code == "DependencyViolation" => {
                    cloud.state().past.remove(&live.id);
                    Err(failure.class(Class::Busy))
                }
                other => other,
            }
        };
        self.write(format!("delete {address}"), work).await
    }

    async fn poll(&self, id: &Id) -> Result<Progress> {
        let (cloud, world, id) = (self.process.cloud.clone(), Arc::clone(&self.world), id.clone());
        let work = async move {
            let Some(seen) = cloud.seen(&id) else { return Ok(Progress::Gone) };
            match seen.health {
                Health::Failed(why) => Ok(Progress::Failed { why }),
                Health::Pending => Ok(Progress::Waiting { on: "state pending".to_owned() }),
                _ if cloud.truth.lock().unwrap().live.contains_key(&id) => world.poll(&id).await,
                _ => Ok(Progress::Waiting { on: "state deleting".to_owned() }),
            }
        };
        self.process.read(work).await
    }

    async fn tag(&self, live: &Live<Fields>, set: &Tags, gone: &[String]) -> Result<()> {
        let (world, set, gone, live) = (Arc::clone(&self.world), set.clone(), gone.to_vec(), live.clone());
        let what = format!("tag {}", live.identity.address);
        self.write(what, async move { world.tag(&live, &set, &gone).await }).await
    }
}
