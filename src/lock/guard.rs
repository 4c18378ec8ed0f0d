//! The lock as its holder uses it: renewed in the background, asked before each write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{Content, FENCE, Holder, RENEWAL, Store, read};
use crate::address::Address;
use crate::kind::{Class, Failure, Result};

/// Says whether this process may still write, and writes down in the lock what it is making.
#[derive(Clone)]
pub struct Guard(Option<Arc<Kept>>);

struct Kept {
    store: Arc<dyn Store>,
    path: String,
    number: u64,
    holder: Holder,
    state: Mutex<State>,
    lost: watch::Sender<bool>,
    /// Asks for a renewal at once.
    asks: mpsc::UnboundedSender<oneshot::Sender<Result<()>>>,
}

struct State {
    /// When the last renewal that succeeded was sent, by both clocks: one stands still while a laptop sleeps, the other
    /// can be set.
    renewed: (Instant, Timestamp),
    creating: BTreeMap<Address, Timestamp>,
}

impl Guard {
    /// For those who write without a lock.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A lock that was just taken, and what keeps it.
    pub(super) fn keep(
        store: Arc<dyn Store>,
        path: String,
        number: u64,
        content: Content,
        taken: (Instant, Timestamp),
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (asks, asked) = mpsc::unbounded_channel();
        let Content { holder, creating } = content;
        let holder = holder.unwrap_or_else(|| Holder::this(""));
        let state = Mutex::new(State { renewed: taken, creating });
        let kept = Kept { store, path, number, holder, state, lost: watch::Sender::new(false), asks };
        let kept = Arc::new(kept);
        (Self(Some(Arc::clone(&kept))), async move { kept.renewals(asked).await })
    }

    /// Fails when another process may be writing by now. Asked right before each write.
    pub fn check(&self) -> Result<()> {
        match &self.0 {
            Some(kept) if !kept.is_valid() => Err(gone()),
            _ => Ok(()),
        }
    }

    /// Writes down that `address` is about to be created, so that whoever comes after a crash looks for it first.
    pub async fn creating(&self, address: &Address) -> Result<()> {
        let Some(kept) = &self.0 else { return Ok(()) };
        kept.state().creating.insert(address.clone(), kept.store.clock());
        let (sender, answer) = oneshot::channel();
        if kept.asks.send(sender).is_err() {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// What became of `address` is known: nobody has to look for it.
    pub fn created(&self, address: &Address) {
        if let Some(kept) = &self.0 {
            kept.state().creating.remove(address);
        }
    }

    pub(super) fn lost(&self) -> watch::Receiver<bool> {
        self.0.as_ref().map_or_else(|| watch::channel(false).1, |kept| kept.lost.subscribe())
    }

    /// What stands in the lock when nobody holds it any more.
    pub(super) fn left(&self) -> Content {
        let creating = self.0.as_ref().map(|kept| kept.state().creating.clone());
        Content { holder: None, creating: creating.unwrap_or_default() }
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_valid(&self) -> bool {
        let (by_timer, by_clock) = self.state().renewed;
        let slept = self.store.clock().duration_since(by_clock);
        let in_time = by_timer.elapsed() < FENCE && slept < SignedDuration::try_from(FENCE).unwrap_or_default();
        in_time && !*self.lost.borrow()
    }

    /// Renews until somebody else holds a newer lock, or until renewing has failed for too long.
    async fn renewals(&self, mut asked: mpsc::UnboundedReceiver<oneshot::Sender<Result<()>>>) {
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                biased;
                Some(answer) = asked.recv() => waiting.push(answer),
                () = sleep(RENEWAL) => {}
            }
            while let Ok(answer) = asked.try_recv() {
                waiting.push(answer);
            }
            // A network that hangs must not keep us from noticing that the time is up.
            let renewed = match timeout(RENEWAL, self.renew()).await {
                Ok(renewed) => renewed,
                Err(_) => Err(Failure::new("ssm:PutParameter", "NoAnswer", "the lock was not renewed in time")
                    .class(Class::Unanswered)),
            };
            let overtaken = matches!(renewed, Ok(false));
            if overtaken || !self.is_valid() {
                self.lost.send_replace(true);
                return;
            }
            for answer in waiting {
                // Whoever asked may have been stopped meanwhile.
                let _ = answer.send(renewed.clone().map(drop));
            }
        }
    }

    /// Whether the lock is still ours, which is then written anew.
    async fn renew(&self) -> Result<bool> {
        let now = (Instant::now(), self.store.clock());
        let all = read(self.store.as_ref(), &self.path).await?;
        let ours = |newest: &super::Newest| {
            newest.number == self.number && newest.content.holder.as_ref() == Some(&self.holder)
        };
        if !all.last().is_some_and(ours) || !self.is_valid() {
            return Ok(false);
        }
        let content = Content { holder: Some(self.holder.clone()), creating: self.state().creating.clone() };
        self.store.overwrite(&super::name(&self.path, self.number), &content.text()?).await?;
        self.state().renewed = now;
        Ok(true)
    }
}

fn gone() -> Failure {
    let message = "the lock is no longer ours: it was taken over, or could not be renewed; another may be writing, so nothing more is sent";
    Failure::new("infra lock", "LockLost", message)
}
