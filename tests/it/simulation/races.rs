//! Two writers who want the lock at once, in every order in which their calls can reach SSM.
//!
//! Each call waits at a gate. A schedule says who goes first wherever both wait, which calls lose their answer, and where
//! a writer dies; all schedules are tried, one after the other.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use infra::kind::{Class, Failure, Result};
use infra::lock::{Holder, Listed, Lock, Store};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::parameters::Parameters;

/// The choices of one run: which of how many, in turn.
#[derive(Default)]
struct Schedule {
    choices: Vec<(usize, usize)>,
    next: usize,
}

impl Schedule {
    fn choose(&mut self, of: usize) -> usize {
        if self.next == self.choices.len() {
            self.choices.push((0, of));
        }
        let (choice, options) = self.choices[self.next];
        assert_eq!(options, of, "a run repeats exactly");
        self.next += 1;
        choice
    }

    /// The next schedule, or `None` after the last.
    fn advance(mut self) -> Option<Self> {
        while let Some((choice, of)) = self.choices.pop() {
            if choice + 1 < of {
                self.choices.push((choice + 1, of));
                return Some(Self { choices: self.choices, next: 0 });
            }
        }
        None
    }
}

/// What the gate does with a call.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Through,
    /// Executed, but the answer is lost.
    Lost,
}

#[derive(Default)]
struct Gates {
    waiting: [Option<oneshot::Sender<Pass>>; 2],
    /// Who is at work under the lock.
    inside: Vec<usize>,
}

struct Gated {
    parameters: Parameters,
    gates: Arc<Mutex<Gates>>,
    who: usize,
}

impl Gated {
    async fn gate(&self) -> Pass {
        let (sender, receiver) = oneshot::channel();
        self.gates.lock().unwrap().waiting[self.who] = Some(sender);
        match receiver.await {
            Ok(pass) => pass,
            Err(_) => std::future::pending().await,
        }
    }

    async fn call<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let pass = self.gate().await;
        let done = work();
        match pass {
            Pass::Through => done,
            Pass::Lost => Err(Failure::new("ssm", "NoAnswer", "nobody knows").class(Class::Unanswered)),
        }
    }
}

#[async_trait]
impl Store for Gated {
    async fn list(&self, path: &str) -> Result<Listed> {
        self.call(|| Ok(self.parameters.list(path))).await
    }

    async fn create(&self, name: &str, value: &str) -> Result<()> {
        self.call(|| self.parameters.put(name, value, false)).await
    }

    async fn overwrite(&self, name: &str, value: &str) -> Result<()> {
        self.call(|| self.parameters.put(name, value, true)).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.call(|| {
            self.parameters.delete(name);
            Ok(())
        })
        .await
    }

    fn clock(&self) -> Timestamp {
        self.parameters.now()
    }
}

/// What goes wrong, at most once in a run.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    LostAnswers,
    Deaths,
}

/// One writer: takes the lock, is alone with it for a while, gives it back.
async fn writer(store: Arc<Gated>) -> bool {
    let lock = Lock::on(Arc::clone(&store) as Arc<dyn Store>, "acme", "test");
    let Ok(held) = lock.acquire(Holder::this("race")).await else { return false };
    store.gates.lock().unwrap().inside.push(store.who);
    store.gate().await;
    assert_eq!(store.gates.lock().unwrap().inside, [store.who], "one writer is alone");
    store.gates.lock().unwrap().inside.clear();
    lock.release(held).await.is_ok()
}

/// One run. Says who had the lock and gave it back.
async fn run(schedule: &mut Schedule, before: u64, trouble: Trouble) -> [Option<bool>; 2] {
    let parameters = Parameters::new();
    for number in 1..=before {
        parameters.put(&format!("/infra/acme/test/lock/{number}"), "{}", false).unwrap();
    }
    let gates = Arc::<Mutex<Gates>>::default();
    let mut writers = [0, 1].map(|who| {
        let store = Gated { parameters: parameters.clone(), gates: Arc::clone(&gates), who };
        Some(tokio::spawn(writer(Arc::new(store))))
    });
    let (mut ended, mut troubled) = ([None; 2], trouble == Trouble::None);
    loop {
        // Until everybody who can go on has gone on.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        for who in 0..2 {
            if let Some(writer) = writers[who].take_if(|writer| writer.is_finished()) {
                ended[who] = Some(writer.await.expect("a writer is alone under the lock"));
            }
        }
        let ready: Vec<usize> = (0..2).filter(|who| gates.lock().unwrap().waiting[*who].is_some()).collect();
        if ready.is_empty() {
            break;
        }
        let who = ready[schedule.choose(ready.len())];
        let gate = gates.lock().unwrap().waiting[who].take().unwrap();
        let strikes = !troubled && schedule.choose(2) == 1;
        troubled |= strikes;
        if strikes && trouble == Trouble::Deaths {
            writers[who].take().unwrap().abort();
            gates.lock().unwrap().inside.retain(|inside| *inside != who);
            continue;
        }
        let _ = gate.send(if strikes { Pass::Lost } else { Pass::Through });
    }
    ended
}

/// All runs that there are. Says how many, and in how many both were refused.
fn explore(before: u64, trouble: Trouble) -> (usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (mut runs, mut nobody) = (0, 0);
    let mut next = Some(Schedule::default());
    while let Some(mut schedule) = next {
        let ended = runtime.block_on(run(&mut schedule, before, trouble));
        runs += 1;
        nobody += usize::from(!ended.contains(&Some(true)));
        next = schedule.advance();
    }
    (runs, nobody)
}

#[test]
fn two_writers_are_never_both_under_the_lock() {
    for before in [0, 1, 6] {
        let (runs, nobody) = explore(before, Trouble::None);
        assert!(runs > 20, "{runs} orders");
        assert_eq!(nobody, 0, "one of them has had it, in each of {runs} orders after {before} locks");
        let (runs, _) = explore(before, Trouble::LostAnswers);
        let (died, _) = explore(before, Trouble::Deaths);
        println!("after {before} locks: {runs} orders with a lost answer, {died} with a death");
    }
}
