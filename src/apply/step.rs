//! One step: the call, its retries, and the wait until AWS has done it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::held::Holders;
use super::{Context, Event};
use crate::address::{Address, DEPOSED};
use crate::kind::{Class, Driver, Failure, Health, Id, Info, Live, Making, Progress, Result};
use crate::kinds;
use crate::plan::{Step, Verb};
use crate::tags::Tags;
use crate::value::{Fields, Output, Outputs, resolve};

/// The first pause between two looks or tries; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: what the rate limits of the services bear with many resources waiting at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long AWS may not know yet what it has just made.
const VISIBILITY: Duration = Duration::from_secs(120);
/// How long to look for what an unanswered create may have made, before it is tried again.
const LOOK: Duration = Duration::from_secs(30);
/// How long to look whether what is there already is ours.
const GLANCE: Duration = Duration::from_secs(10);
/// Tries of a call whose answer was lost, beyond the SDK's own.
const UNANSWERED_TRIES: u32 = 3;

/// A resource as its create step left it.
#[derive(Clone, Debug)]
pub(super) struct Created {
    id: Id,
    fields: Fields,
    outputs: Outputs,
}

pub(super) struct Done {
    pub outputs: Option<Outputs>,
    pub created: Option<Created>,
}

pub(super) struct Ended {
    pub result: Result<Done>,
    pub took: Duration,
}

impl Ended {
    /// The end of a task that was dropped or has panicked.
    pub fn lost(error: &tokio::task::JoinError) -> Self {
        let (code, message) = if error.is_cancelled() {
            ("Interrupted", "stopped while it was in flight: it may or may not have been done".to_owned())
        } else {
            ("Defect", error.to_string())
        };
        Self { result: Err(Failure::new("apply", code, message)), took: Duration::ZERO }
    }
}

pub(super) struct Run {
    pub step: Step,
    pub context: Arc<Context>,
    pub making: Making,
    pub created: Option<Created>,
    pub known: BTreeMap<Address, Outputs>,
    pub events: mpsc::UnboundedSender<Event>,
    pub started: Instant,
    pub last: Mutex<Last>,
}

/// What is known when the deadline comes.
#[derive(Default)]
pub(super) struct Last {
    /// Why AWS refused the latest try.
    refused: Option<Failure>,
    /// What it was waiting for.
    on: Option<String>,
}

/// Growing pauses.
struct Pause(Duration);

impl Pause {
    async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 3 / 2).min(LONGEST_PAUSE);
    }
}

impl Run {
    pub async fn execute(self) -> Ended {
        let started = self.started;
        let result =
            match (kinds::find(&self.step.address.kind), self.context.drivers.get(self.step.address.kind.as_str())) {
                (Some(info), Some(driver)) => {
                    match timeout_at(started + info.deadline, self.verb(info, driver.as_ref())).await {
                        Ok(result) => result,
                        Err(_) => Err(self.overdue(info.deadline)),
                    }
                }
                _ => Err(Failure::new("apply", "UnknownKind", format!("there is no kind {}", self.step.address.kind))),
            };
        Ended { result, took: started.elapsed() }
    }

    /// The end of a step that took too long: the last refusal of AWS, or what was waited for in vain.
    fn overdue(&self, deadline: Duration) -> Failure {
        let mut last = self.last();
        let minutes = deadline.as_secs() / 60;
        if let Some(refused) = last.refused.take() {
            let message = format!("{} (still so after {minutes} minutes)", refused.message);
            return Failure { message, ..refused };
        }
        let on = last.on.take().map(|on| format!(" on {on}")).unwrap_or_default();
        let message = format!("not done after {minutes} minutes, of which the last went by waiting{on}");
        Failure::new("apply", "DeadlineExceeded", message)
    }

    async fn verb(&self, info: &Info, driver: &dyn Driver) -> Result<Done> {
        let outputs = match &self.step.verb {
            Verb::Create(fields) => return self.create(info, driver, fields).await,
            Verb::Settle => {
                let created = self.created.as_ref().ok_or_else(|| defect("there is nothing to wait for"))?;
                Some(self.ready(driver, &created.id).await?)
            }
            Verb::Fill(fields) => {
                let created = self.created.as_ref().ok_or_else(|| defect("there is nothing to fill"))?;
                let live = self.live(created.id.clone(), created.fields.clone(), created.outputs.clone());
                Some(self.update(info, driver, &live, fields).await?)
            }
            Verb::Update { live, fields } => {
                let outputs = self.update(info, driver, live, fields).await?;
                return Ok(Self::done(live, outputs));
            }
            Verb::Empty { live, fields } => {
                self.update(info, driver, live, fields).await?;
                None
            }
            Verb::Depose(live) => {
                let mark = Tags::from([(DEPOSED.to_owned(), "true".to_owned())]);
                self.write(|| driver.tag(live, &mark, &[])).await?;
                None
            }
            Verb::Delete(live) => {
                let deleted = self.write(|| driver.delete(live)).await;
                if let Err(mut failure) = deleted {
                    Holders::of(driver, live).conclude(&mut failure).await;
                    return Err(failure);
                }
                self.gone(driver, &live.id).await?;
                None
            }
            Verb::Wait(live) => return Ok(Self::done(live, self.usable(info, driver, &live.id).await?)),
        };
        Ok(Done { outputs, created: None })
    }

    async fn create(&self, info: &Info, driver: &dyn Driver, fields: &Fields) -> Result<Done> {
        let fields = self.resolved(info, fields)?;
        let (id, mut outputs) = self.make(info, driver, &fields).await?;
        let shell = (info.shell)(&fields).map_err(|error| defect(error.to_string()))?;
        if shell != fields {
            let live = self.live(id.clone(), shell, outputs);
            self.write(|| driver.update(&fields, &live)).await?;
            outputs = self.usable(info, driver, &id).await?;
        }
        Ok(Done { outputs: Some(outputs.clone()), created: Some(Created { id, fields, outputs }) })
    }

    /// Creates the shell. What nothing but tags protects from being made twice stands in the lock until AWS shows it.
    async fn make(&self, info: &Info, driver: &dyn Driver, fields: &Fields) -> Result<(Id, Outputs)> {
        let address = &self.step.address;
        if info.nameless {
            self.retry(|| self.context.guard.creating(address)).await?;
        }
        let id = match self.make_once(driver, fields).await {
            Ok(id) => id,
            Err(failure) => {
                if failure.class != Class::Unanswered {
                    self.context.guard.created(address);
                }
                return Err(failure);
            }
        };
        let outputs = self.usable(info, driver, &id).await?;
        self.context.guard.created(address);
        Ok((id, outputs))
    }

    /// After a lost answer it looks for the resource by its tags before it tries again.
    async fn make_once(&self, driver: &dyn Driver, fields: &Fields) -> Result<Id> {
        let create = || async {
            self.context.guard.check()?;
            driver.create(fields, &self.making).await
        };
        let mut tries = UNANSWERED_TRIES;
        loop {
            tries -= 1;
            match self.retry_busy(create).await {
                Err(failure) if failure.class == Class::Unanswered => {
                    self.waiting(format!("a look at what a lost answer made ({})", failure.code));
                    match self.find(driver, LOOK).await? {
                        Some(id) => return Ok(id),
                        None if tries == 0 => return Err(failure),
                        None => {}
                    }
                }
                // The SDK may have tried again by itself after an answer was lost, and AWS not shown yet whose it is.
                Err(failure) if failure.is_duplicate() => {
                    return self.find(driver, GLANCE).await?.ok_or(failure);
                }
                other => return other,
            }
        }
    }

    /// Looks for that long. The last look begins when the time is over: one that was slow may show what was there before.
    async fn find(&self, driver: &dyn Driver, within: Duration) -> Result<Option<Id>> {
        let until = Instant::now() + within;
        let mut pause = Pause(FIRST_PAUSE);
        loop {
            let last = Instant::now() >= until;
            // Not all of its reads may know yet what one of them lists.
            let found = self.retry(|| async { driver.list(&self.context.scope.afresh()).await }).await?;
            if let Some(live) = found.iter().find(|live| live.identity == self.making.identity && live.serves()) {
                return Ok(Some(live.id.clone()));
            }
            if last {
                return Ok(None);
            }
            pause.wait().await;
        }
    }

    async fn update(&self, info: &Info, driver: &dyn Driver, live: &Live<Fields>, fields: &Fields) -> Result<Outputs> {
        let fields = self.resolved(info, fields)?;
        self.write(|| driver.update(&fields, live)).await?;
        self.usable(info, driver, &live.id).await
    }

    /// The end of a step on what was there: a later step may settle it.
    fn done(live: &Live<Fields>, outputs: Outputs) -> Done {
        let created = Created { id: live.id.clone(), fields: live.spec.clone(), outputs: outputs.clone() };
        Done { outputs: Some(outputs), created: Some(created) }
    }

    fn live(&self, id: Id, spec: Fields, outputs: Outputs) -> Live<Fields> {
        let identity = self.making.identity.clone();
        Live { identity, id, spec, outputs, deposed: false, health: Health::Ok, notes: Vec::new() }
    }

    /// The fields with all references replaced, in normal form.
    fn resolved(&self, info: &Info, fields: &Fields) -> Result<Fields> {
        let known = |output: &Output| self.known.get(&output.of)?.get(&output.name).cloned();
        let fields = resolve(fields, &known);
        if let Some(output) = fields.values().flat_map(|value| value.references()).next() {
            return Err(defect(format!("{output} is not known")));
        }
        (info.normalize)(&fields).map_err(|error| defect(error.to_string()))
    }

    async fn ready(&self, driver: &dyn Driver, id: &Id) -> Result<Outputs> {
        self.until(driver, id, false).await
    }

    /// Waits until it is ready or, of a kind with early outputs, until these are known.
    async fn usable(&self, info: &Info, driver: &dyn Driver, id: &Id) -> Result<Outputs> {
        self.until(driver, id, !info.early.is_empty()).await
    }

    async fn until(&self, driver: &dyn Driver, id: &Id, early: bool) -> Result<Outputs> {
        let mut pause = Pause(FIRST_PAUSE);
        let mut said = BTreeSet::new();
        let invisible = Instant::now() + VISIBILITY;
        loop {
            let on = match self.retry(|| driver.poll(id)).await? {
                Progress::Ready(outputs) => return Ok(outputs),
                Progress::Failed { why } => return Err(Failure::new("apply", "Failed", why)),
                Progress::Gone if Instant::now() > invisible => {
                    return Err(Failure::new("apply", "Vanished", format!("{id} does not exist any more")));
                }
                Progress::Gone => "AWS to show it".to_owned(),
                Progress::Early { outputs, .. } if early => return Ok(outputs),
                Progress::Waiting { on } | Progress::Early { on, .. } => on,
            };
            // What follows the first line is told with it: it differs each time, as logs do.
            if said.insert(on.lines().next().unwrap_or_default().to_owned()) {
                self.waiting(on);
            } else {
                self.last().on = Some(on);
            }
            pause.wait().await;
        }
    }

    async fn gone(&self, driver: &dyn Driver, id: &Id) -> Result<()> {
        let mut pause = Pause(FIRST_PAUSE);
        let mut said = false;
        loop {
            let on = match self.retry(|| driver.poll(id)).await? {
                Progress::Gone => return Ok(()),
                Progress::Waiting { on } => format!("AWS to finish the delete: {on}"),
                _ => "AWS to finish the delete".to_owned(),
            };
            if std::mem::replace(&mut said, true) {
                self.last().on = Some(on);
            } else {
                self.waiting(on);
            }
            pause.wait().await;
        }
    }

    /// Sends what changes something, as long as this process may.
    async fn write<F: Future<Output = Result<()>>>(&self, call: impl Fn() -> F) -> Result<()> {
        let write = || async {
            self.context.guard.check()?;
            call().await
        };
        self.retry(write).await
    }

    /// Tries again while AWS is busy, and a few times after a lost answer: for calls that may be repeated.
    async fn retry<T, F: Future<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        for _ in 1..UNANSWERED_TRIES {
            match self.retry_busy(&call).await {
                Err(failure) if failure.class == Class::Unanswered => {
                    self.waiting(format!("an answer ({})", failure.code));
                }
                other => return other,
            }
        }
        self.retry_busy(call).await
    }

    async fn retry_busy<T, F: Future<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        let mut pause = Pause(FIRST_PAUSE);
        let mut said = (String::new(), Box::default());
        let mut holders = self.holders();
        let invisible = Instant::now() + VISIBILITY;
        loop {
            let mut failure = match call().await {
                Err(failure) if failure.class == Class::Busy => failure,
                // What was made a moment ago may not be visible to the service that needs it.
                Err(failure) if failure.class == Class::NotFound && Instant::now() < invisible => failure,
                other => {
                    self.refused(None);
                    return other;
                }
            };
            if let Some(holders) = &mut holders
                && failure.class == Class::Busy
                && holders.explain(&mut failure).await
            {
                return Err(failure);
            }
            if (&failure.code, &failure.held_by) != (&said.0, &said.1) {
                self.waiting(format!("{} ({}){}", failure.message, failure.code, failure.held()));
                said = (failure.code.clone(), failure.held_by.clone());
            }
            self.refused(Some(failure));
            pause.wait().await;
        }
    }

    /// Who finds what is in the way, where something is deleted or emptied for that.
    fn holders(&self) -> Option<Holders<'_>> {
        let (Verb::Delete(live) | Verb::Empty { live, .. }) = &self.step.verb else { return None };
        Some(Holders::of(self.context.drivers.get(self.step.address.kind.as_str())?.as_ref(), live))
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, failure: Option<Failure>) {
        self.last().refused = failure;
    }

    fn waiting(&self, on: String) {
        self.last().on = Some(on.clone());
        // The receiver outlives all steps, except after a second interruption, when nobody reads.
        let _ = self.events.send(Event::Waiting { address: self.step.address.clone(), on });
    }
}

fn defect(message: impl Into<String>) -> Failure {
    Failure::new("apply", "Defect", message)
}
