//! One environment's life: edits, and applies of them on bad days by processes that freeze, die, and race each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use infra::apply::{Context, Signal, apply};
use infra::desired::Desired;
use infra::kind::{Health, Live};
use infra::live;
use infra::lock::{Holder, Lock};
use infra::plan::{Plan, Snapshot, plan};
use infra::value::Fields;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::cloud::{Cloud, Process};
use super::dice::Dice;
use super::parameters::{Parameters, Reached};
use crate::core::environment::{RANGE, SIZE, decode};
use crate::executor;
use crate::memory::{self, holds};
use crate::support::scope;

/// How long a writer waits for another.
const PATIENCE: Duration = Duration::from_secs(400);
/// After this long, everything shows.
const QUIET: Duration = Duration::from_mins(10);

/// How a run of the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Applied,
    /// Something failed, and says so.
    Failed,
    /// The plan is blocked, or would destroy data that nobody gave up.
    Refused,
    Died,
}

pub struct Life {
    pub dice: Dice,
    pub cloud: Cloud,
    parameters: Parameters,
    foreign: Vec<Live<Fields>>,
    decoded: Mutex<BTreeMap<Vec<u8>, Arc<Desired>>>,
    /// How each run ended.
    pub ends: Vec<End>,
}

impl Life {
    pub fn new(seed: u64) -> Self {
        let dice = Dice::of(seed);
        let cloud = Cloud::new(dice.clone());
        let foreign = foreign();
        cloud.truth.lock().unwrap().live.extend(foreign.iter().map(|live| (live.id.clone(), live.clone())));
        Self { dice, cloud, parameters: Parameters::new(), foreign, decoded: Mutex::default(), ends: Vec::new() }
    }

    /// What the numbers stand for. Two runs of three want what another one wanted.
    fn desired(&self, numbers: &[u8]) -> Arc<Desired> {
        let mut decoded = self.decoded.lock().unwrap();
        Arc::clone(decoded.entry(numbers.to_vec()).or_insert_with(|| decode(numbers).into()))
    }

    fn lock(&self, process: &Process) -> Lock {
        let store = Reached { parameters: self.parameters.clone(), process: process.clone() };
        Lock::on(Arc::new(store), "acme", "test")
    }

    /// Acquires, looks for what was cut off, reads, plans, applies, releases: what `infra apply` does.
    async fn run(&self, process: &Process, desired: &Desired, consents: bool) -> End {
        let lock = self.lock(process);
        let Ok(held) = lock.wait(Holder::this("simulation"), PATIENCE, |_| ()).await else { return End::Failed };
        *process.writer.lock().unwrap() = held.number;
        let drivers = process.drivers();
        if super::replays() {
            eprintln!("writer {} follows {:?}", held.number, held.left);
        }
        let ended = async {
            if live::settle(&held.left, &scope(&[]), &drivers, |_| ()).await.is_err() {
                return End::Failed;
            }
            held.left.addresses.iter().for_each(|address| held.guard().created(address));
            let Ok(snapshot) = live::snapshot(&scope(&[]), &drivers).await else { return End::Failed };
            let plan = plan(desired, &snapshot).unwrap_or_else(|deadlock| panic!("{deadlock}"));
            if !plan.blocked.is_empty() || !self.consented(&plan, &snapshot, consents) {
                return End::Refused;
            }
            let signal = self.signal(held.lost());
            let run = format!("run{}", held.number);
            let context = Context { drivers: process.drivers(), scope: scope(&[]), guard: held.guard(), run };
            let report = apply(&plan, Arc::new(context), 32, signal, |_| ()).await;
            for (address, failure) in report.failed.iter().filter(|_| super::replays()) {
                eprintln!("writer {}: {address}: {failure}", held.number);
            }
            if report.is_success() { End::Applied } else { End::Failed }
        };
        let ended = ended.await;
        let _ = lock.release(held).await;
        ended
    }

    /// Whether the user gives up the data that this plan destroys. What has failed at its creation holds none.
    fn consented(&self, plan: &Plan, snapshot: &Snapshot, consents: bool) -> bool {
        let failed = |live: &Live<Fields>| matches!(live.health, Health::Failed(_));
        let failed: BTreeSet<_> =
            snapshot.live.iter().filter(|live| failed(live)).map(|live| &live.identity.address).collect();
        let losses: BTreeSet<_> = plan.data_losses().map(|planned| planned.address.clone()).collect();
        let allowed = consents || losses.iter().all(|address| failed.contains(address));
        self.cloud.consent(if allowed { losses } else { BTreeSet::new() });
        allowed
    }

    /// Now and then somebody presses Ctrl-C, once or twice.
    fn signal(&self, lost: watch::Receiver<bool>) -> watch::Receiver<Signal> {
        let (sender, signal) = watch::channel(Signal::Run);
        let interrupted = (self.cloud.is_bad() && self.dice.once_in(8)).then(|| self.dice.pause(QUIET));
        let twice = self.dice.once_in(2);
        tokio::spawn(async move {
            let mut lost = lost;
            let pressed = async {
                match interrupted {
                    Some(after) => sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = sender.closed() => return,
                () = async { drop(lost.wait_for(|lost| *lost).await) } => {}
                () = pressed => {}
            }
            sender.send_replace(Signal::Drain);
            sleep(Duration::from_secs(1)).await;
            if twice && interrupted.is_some() {
                sender.send_replace(Signal::Abort);
            }
            sender.closed().await;
        });
        signal
    }

    /// A run on a bad day: it may freeze, or die at any call or at any time between.
    async fn try_run(&self, desired: &Desired, consents: bool) -> End {
        let process = Process::new(&self.cloud);
        let since = Instant::now();
        if self.cloud.is_bad() {
            if self.dice.once_in(3) {
                *process.dies.lock().unwrap() = Some(1 + self.dice.below(250));
            }
            if self.dice.once_in(6) {
                let freezes = Instant::now() + self.dice.pause(Duration::from_mins(4));
                let length = self.dice.pause(Duration::from_mins(8));
                let frozen = Arc::clone(&process.frozen);
                tokio::spawn(async move {
                    tokio::time::sleep_until(freezes).await;
                    *frozen.lock().unwrap() = Some(freezes + length);
                });
            }
        }
        let killed = if self.cloud.is_bad() && self.dice.once_in(6) { self.dice.pause(QUIET) } else { QUIET * 1000 };
        let end = tokio::select! {
            biased;
            () = process.died.notified() => End::Died,
            () = sleep(killed) => End::Died,
            end = self.run(&process, desired, consents) => end,
        };
        if super::replays() {
            eprintln!("writer {} ends as {end:?} after {:?}", process.writer.lock().unwrap(), since.elapsed());
        }
        end
    }

    /// Edits, each applied until something comes of it, and at the end on a good day.
    pub async fn live(&mut self) -> Result<(), String> {
        let mut numbers: Vec<u8> = (0..SIZE).map(|_| u8::try_from(self.dice.below(RANGE.into())).unwrap()).collect();
        self.cloud.weather(true);
        for _ in 0..5 + self.dice.below(16) {
            let before = numbers.clone();
            for _ in 0..=self.dice.below(4) {
                numbers[self.dice.below(SIZE)] = u8::try_from(self.dice.below(RANGE.into())).unwrap();
            }
            let end = self.edit(&before, &numbers).await;
            self.ends.push(end);
            if end == End::Refused {
                numbers = before;
            }
            if self.dice.once_in(6) {
                self.somebody_deletes();
            }
            self.sound()?;
        }
        self.converge(&self.desired(&numbers)).await?;
        self.converge(&executor::desired([])).await
    }

    /// One edit, now and then by two at once, who do not know of each other.
    async fn edit(&self, before: &[u8], numbers: &[u8]) -> End {
        let (desired, consents) = (self.desired(numbers), self.dice.once_in(2));
        if self.dice.once_in(4) {
            let other = self.desired(before);
            let late = self.dice.pause(Duration::from_mins(2));
            let second = async {
                sleep(late).await;
                self.try_run(&other, consents).await
            };
            return tokio::join!(biased; self.try_run(&desired, consents), second).0;
        }
        self.try_run(&desired, consents).await
    }

    /// Somebody deletes one of our resources by hand, where AWS lets them.
    fn somebody_deletes(&self) {
        let mut truth = self.cloud.truth.lock().unwrap();
        let free = truth.live.values().filter(|live| {
            live.identity.environment == scope(&[]).environment
                && !truth.live.values().any(|user| user.id != live.id && holds(user, live))
        });
        let free: Vec<String> = free.map(|live| live.id.clone()).collect();
        if !free.is_empty() {
            let gone = truth.live.remove(&free[self.dice.below(free.len())]);
            // Revisions that something runs stay.
            truth.past.extend(gone.into_iter().flat_map(|gone| gone.outputs.into_values()));
        }
    }

    /// What holds at every moment.
    fn sound(&self) -> Result<(), String> {
        if let Some(wrong) = self.cloud.wrongs().first() {
            return Err(wrong.clone());
        }
        let truth = self.cloud.truth.lock().unwrap();
        match self.foreign.iter().find(|foreign| truth.live.get(&foreign.id) != Some(foreign)) {
            Some(foreign) => Err(format!("{} of others was touched", foreign.id)),
            None => Ok(()),
        }
    }

    /// On a good day one apply brings everything to what is desired, unless no order of steps can.
    async fn converge(&mut self, desired: &Desired) -> Result<(), String> {
        sleep(QUIET).await;
        self.cloud.weather(false);
        let end = self.try_run(desired, true).await;
        self.ends.push(end);
        self.sound()?;
        match end {
            End::Applied => self.settled(desired),
            // Told before anything is done. The user goes on in another way.
            End::Refused if self.is_blocked(desired) => Ok(()),
            end => Err(format!("an undisturbed apply ended as {end:?}")),
        }
    }

    fn is_blocked(&self, desired: &Desired) -> bool {
        plan(desired, &self.ours()).is_ok_and(|plan| !plan.blocked.is_empty())
    }

    fn ours(&self) -> Snapshot {
        let mut snapshot = memory::snapshot(&self.cloud.truth);
        snapshot.live.retain(|live| live.identity.environment == scope(&[]).environment);
        snapshot
    }

    /// Nothing is left to do, and nothing is left over.
    fn settled(&self, desired: &Desired) -> Result<(), String> {
        let ours = self.ours();
        let again = plan(desired, &ours).map_err(|deadlock| deadlock.to_string())?;
        if again.is_empty() && ours.live.len() == desired.resources.len() && !ours.live.iter().any(|live| live.deposed)
        {
            return Ok(());
        }
        Err(format!("not settled: {}", crate::core::scenario::report(&again)))
    }
}

/// What others have in the same account, under the addresses that we use.
fn foreign() -> Vec<Live<Fields>> {
    let mut live = crate::core::scenario::live(
        r#"
vpc.main: { cidr: 10.0.0.0/16 }
subnet.0: { vpc_id: "${vpc.main.id}", cidr: 10.0.0.0/20, zone: a }
security_group.0: { vpc_id: "${vpc.main.id}", description: api }
elastic_ip.nat: {}
"#,
    )
    .live;
    live.iter_mut().for_each(|live| "other".clone_into(&mut live.identity.environment));
    live
}
