//! Plan → AWS → Report. The executor runs steps in the order of the plan's graph, as many at once as it may; a failed
//! step skips only what depends on it. It owns every loop: retries, polling, deadlines.

mod held;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::address::{Address, short_hash};
use crate::kind::{Drivers, Failure, Making, Scope};
use crate::lock::Guard;
use crate::plan::{Plan, Verb};
use crate::value::Outputs;

use step::{Created, Run};

/// What the executor needs beside the plan.
pub struct Context {
    pub drivers: Drivers,
    pub scope: Scope,
    /// Says whether this process may still write.
    pub guard: Guard,
    /// Distinguishes this run's tokens from those of all others.
    pub run: String,
}

impl Context {
    fn making(&self, address: &Address) -> Making {
        Making {
            identity: self.scope.identity(address),
            account: self.scope.account.clone(),
            region: self.scope.region.clone(),
            partition: self.scope.partition.clone(),
            token: format!("{}{}", self.run, short_hash(&address.to_string())),
        }
    }
}

/// Whether to go on. The first interruption starts nothing new; the second drops what is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Run,
    Drain,
    Abort,
}

/// What happens while a plan is applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Started {
        address: Address,
        doing: &'static str,
    },
    Waiting {
        address: Address,
        on: String,
    },
    /// Said now and then of what takes long: what each step has been waiting on.
    Still {
        running: Vec<(Address, Duration)>,
    },
    Finished {
        address: Address,
        doing: &'static str,
        took: Duration,
    },
    Failed {
        address: Address,
        doing: &'static str,
        failure: Failure,
    },
    Skipped {
        address: Address,
        because: Address,
    },
}

/// How an apply ended.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Addresses all of whose steps succeeded.
    pub done: BTreeSet<Address>,
    pub failed: BTreeMap<Address, Failure>,
    /// What was not tried, and the failed address that it depends on.
    pub skipped: BTreeMap<Address, Address>,
    /// What was not started because of an interruption.
    pub not_started: BTreeSet<Address>,
    pub outputs: BTreeMap<Address, Outputs>,
}

impl Report {
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && self.not_started.is_empty()
    }
}

/// What each verb is called while it runs.
#[must_use]
pub fn doing(verb: &Verb) -> &'static str {
    match verb {
        Verb::Create(_) => "create",
        Verb::Fill(_) => "fill",
        Verb::Update { .. } => "update",
        Verb::Empty { .. } => "empty",
        Verb::Depose(_) => "set aside",
        Verb::Delete(_) => "delete",
        Verb::Settle | Verb::Wait(_) => "wait for",
    }
}

/// How often a quiet apply says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(30);

struct Executor<'a> {
    plan: &'a Plan,
    context: Arc<Context>,
    ready: VecDeque<NodeIndex>,
    /// How many steps each step still waits for.
    open: BTreeMap<NodeIndex, usize>,
    running: BTreeMap<tokio::task::Id, (NodeIndex, Instant)>,
    created: BTreeMap<Address, Created>,
    report: Report,
}

/// Applies `plan` with at most `parallel` steps at once.
pub async fn apply(
    plan: &Plan,
    context: Arc<Context>,
    parallel: usize,
    mut signal: watch::Receiver<Signal>,
    mut on: impl FnMut(Event),
) -> Report {
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut executor = Executor::new(plan, context);
    let mut tasks = JoinSet::new();
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.reset();
    loop {
        while *signal.borrow() == Signal::Run && tasks.len() < parallel {
            let Some(node) = executor.ready.pop_front() else { break };
            let run = executor.run(node, sender.clone());
            let step = &plan.steps[node];
            on(Event::Started { address: step.address.clone(), doing: doing(&step.verb) });
            let task = tasks.spawn(run.execute());
            executor.running.insert(task.id(), (node, Instant::now()));
        }
        if tasks.is_empty() {
            break;
        }
        tokio::select! {
            // In one order, so that a run of tests can be repeated.
            biased;
            Ok(()) = signal.changed() => if *signal.borrow() == Signal::Abort { tasks.abort_all() },
            Some(event) = events.recv() => on(event),
            Some(result) = tasks.join_next_with_id() => executor.finish(result, &mut on),
            _ = heartbeat.tick() => on(executor.still()),
        }
    }
    while let Ok(event) = events.try_recv() {
        on(event);
    }
    executor.conclude()
}

impl<'a> Executor<'a> {
    fn new(plan: &'a Plan, context: Arc<Context>) -> Self {
        let waits = |node| plan.steps.neighbors_directed(node, Direction::Incoming).count();
        let open: BTreeMap<NodeIndex, usize> = plan.steps.node_indices().map(|node| (node, waits(node))).collect();
        let ready = open.iter().filter(|(_, waits)| **waits == 0).map(|(node, _)| *node).collect();
        let report = Report { outputs: plan.outputs.clone(), ..Report::default() };
        Self { plan, context, ready, open, running: BTreeMap::new(), created: BTreeMap::new(), report }
    }

    fn run(&mut self, node: NodeIndex, events: mpsc::UnboundedSender<Event>) -> Run {
        let step = self.plan.steps[node].clone();
        self.open.remove(&node);
        Run {
            making: self.context.making(&step.address),
            created: self.created.get(&step.address).cloned(),
            known: self.report.outputs.clone(),
            context: Arc::clone(&self.context),
            step,
            events,
            started: Instant::now(),
            last: std::sync::Mutex::default(),
        }
    }

    fn finish(
        &mut self,
        result: Result<(tokio::task::Id, step::Ended), tokio::task::JoinError>,
        on: &mut impl FnMut(Event),
    ) {
        let (id, ended) = match result {
            Ok((id, ended)) => (id, ended),
            Err(error) => (error.id(), step::Ended::lost(&error)),
        };
        let Some((node, _)) = self.running.remove(&id) else { return };
        let step = &self.plan.steps[node];
        let (address, doing) = (step.address.clone(), doing(&step.verb));
        match ended.result {
            Ok(done) => {
                on(Event::Finished { address: address.clone(), doing, took: ended.took });
                if let Some(outputs) = done.outputs {
                    self.report.outputs.insert(address.clone(), outputs);
                }
                if let Some(created) = done.created {
                    self.created.insert(address, created);
                }
                for next in self.plan.steps.neighbors_directed(node, Direction::Outgoing) {
                    if let Some(waits) = self.open.get_mut(&next) {
                        *waits -= 1;
                        if *waits == 0 {
                            self.ready.push_back(next);
                        }
                    }
                }
            }
            Err(failure) => {
                on(Event::Failed { address: address.clone(), doing, failure: failure.clone() });
                self.report.failed.insert(address.clone(), failure);
                self.skip(node, &address, on);
            }
        }
    }

    fn still(&self) -> Event {
        let running = self.running.values();
        let running = running.map(|(node, since)| (self.plan.steps[*node].address.clone(), since.elapsed()));
        Event::Still { running: running.collect() }
    }

    /// Leaves out everything that waits for a failed step.
    fn skip(&mut self, node: NodeIndex, because: &Address, on: &mut impl FnMut(Event)) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for next in self.plan.steps.neighbors_directed(node, Direction::Outgoing) {
                if self.open.remove(&next).is_some() {
                    let address = self.plan.steps[next].address.clone();
                    if address != *because && self.report.skipped.insert(address.clone(), because.clone()).is_none() {
                        on(Event::Skipped { address, because: because.clone() });
                    }
                    open.push(next);
                }
            }
        }
    }

    fn conclude(mut self) -> Report {
        let left = self.open.keys().map(|node| self.plan.steps[*node].address.clone());
        self.report.not_started = left.filter(|address| !self.report.failed.contains_key(address)).collect();
        let all = self.plan.steps.node_weights().map(|step| step.address.clone());
        let undone = |address: &Address| {
            self.report.failed.contains_key(address)
                || self.report.skipped.contains_key(address)
                || self.report.not_started.contains(address)
        };
        self.report.done = all.filter(|address| !undone(address)).collect();
        self.report
    }
}
