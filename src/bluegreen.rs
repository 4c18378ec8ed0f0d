//! Releases without downtime: what to do next, from what is seen and nothing else.
//!
//! [`next`] is pure. Whoever carries its moves out may be killed between any two of them: the next call goes on from what
//! is live. Weights say who serves; the [`Record`] says which phase a release is in, and is written before what it speaks
//! of is done. Where the two disagree, the weights win.

mod gate;
pub mod native;
mod observed;
mod policy;
pub mod rolling;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use observed::{Alarm, Both, Colour, Observed, Rollout, Sample, Side, Weights};
pub use policy::{Limits, Over, Policy, Step};

/// A release on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    /// The colour that takes over; none where tasks are replaced one by one.
    pub to: Option<Colour>,
    pub image: String,
    /// The task definition with its revision that `to` is to run.
    pub revision: String,
    /// The one that served before; none at the first release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How many tasks `to` was started with.
    #[serde(default)]
    pub count: u32,
    pub phase: Phase,
    /// When the phase began.
    pub since: Timestamp,
    /// When its tasks were last asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When `to` was given its first traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<Timestamp>,
    /// Whether the job before the release has run.
    #[serde(default)]
    pub migrated: bool,
    /// Whether the watch has been prolonged for want of traffic.
    #[serde(default)]
    pub extended: bool,
    /// Whether this is a way back to an earlier version, which nothing but its own death takes back in turn.
    #[serde(default)]
    pub back: bool,
    /// The alarms that were firing when the traffic moved, which say nothing of this release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// Why it was taken back, or is to be: once it is written, there is no other way on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where ECS itself releases: its last deployment before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<String>,
}

impl Record {
    /// Whether nothing more is to be decided.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::RolledBack)
    }

    /// How long the phase has lasted. A clock that is behind the one that wrote the record has seen nothing of it.
    fn lasted(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.since).max(SignedDuration::ZERO)
    }

    /// How long its tasks have been on their way.
    fn starting(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.started.unwrap_or(self.since)).max(SignedDuration::ZERO)
    }
}

/// How far a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The idle colour starts.
    Preparing,
    /// It is tried through the test rule.
    Verifying,
    /// It is given the share of this step, and after the last one everything.
    Shifting(usize),
    /// It carries everything and is watched.
    Monitoring,
    /// The old colour is kept for a quick way back.
    Keeping,
    Finished,
    RolledBack,
}

/// How far a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The idle colour runs and has been tried.
    Deployed,
    /// It carries the traffic and has been watched.
    Switched,
    /// The old colour has been stopped.
    Finished,
    /// The old colour carries the traffic again.
    Back,
}

/// One thing to do. After it, look again and ask again.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Nothing yet; look again then at the latest.
    Wait {
        until: Timestamp,
        on: String,
    },
    /// Run the job before the release, and note it in the record.
    Migrate,
    /// Let this colour run so many tasks of this revision, its scaler held.
    Start {
        colour: Colour,
        revision: String,
        count: u32,
    },
    /// Lead the test rule to this colour.
    Try(Colour),
    /// Set the weights, unless they are no longer `from`.
    Shift {
        from: Weights,
        to: Weights,
    },
    /// Write this phase into the record.
    Enter(Phase),
    /// Watch as long once more, and note it in the record.
    Extend,
    /// Stop all tasks of this colour, its scaler held.
    Stop(Colour),
    /// Take the release back before it got any traffic.
    Abandon {
        why: String,
    },
    /// Give all traffic back to the old colour at once, unless the weights are no longer `from`.
    RollBack {
        from: Weights,
        to: Weights,
        why: String,
    },
    /// Nothing that a program should decide.
    Halt {
        why: String,
        help: String,
    },
    Done,
}

/// What to do now.
#[must_use]
pub fn next(policy: &Policy, goal: Goal, observed: &Observed, now: Timestamp) -> Move {
    let Some(record) = &observed.record else { return Move::Done };
    let Some(to) = record.to else {
        return Move::Halt {
            why: "the last release replaced tasks one by one, before the service had two colours".to_owned(),
            help: "release again: `infra bluegreen run --again`".to_owned(),
        };
    };
    let policy = &policy.of(record);
    let view = View { policy, goal, observed, record, to, now };
    match record.phase {
        Phase::Finished | Phase::RolledBack => view.ended(),
        _ if record.why.is_some() => view.cut_off(),
        Phase::Preparing | Phase::Verifying if goal == Goal::Back => Move::Abandon { why: ASKED.to_owned() },
        Phase::Preparing => view.untouched().unwrap_or_else(|| view.prepare()),
        Phase::Verifying => view.untouched().unwrap_or_else(|| view.verify()),
        _ if goal == Goal::Back => view.back(ASKED.to_owned()),
        Phase::Shifting(step) => view.shift(step),
        Phase::Monitoring => view.switched().unwrap_or_else(|| view.monitor()),
        Phase::Keeping => view.switched().unwrap_or_else(|| view.keep()),
    }
}

const ASKED: &str = "asked for";

struct View<'a> {
    policy: &'a Policy,
    goal: Goal,
    observed: &'a Observed,
    record: &'a Record,
    to: Colour,
    now: Timestamp,
}

impl View<'_> {
    fn fresh(&self) -> &Side {
        self.observed.sides.of(self.to)
    }

    fn old(&self) -> &Side {
        self.observed.sides.of(self.to.other())
    }

    /// How long the new tasks have been on their way.
    fn starting(&self) -> SignedDuration {
        self.record.starting(self.now)
    }

    /// A rollback that was cut off.
    fn cut_off(&self) -> Move {
        let why = self.record.why.clone().unwrap_or_default();
        if self.observed.weights == Weights::with(self.to, 0) { Move::Enter(Phase::RolledBack) } else { self.back(why) }
    }

    fn elapsed(&self) -> SignedDuration {
        self.record.lasted(self.now)
    }

    /// Waits for the rest of a time that began with the phase.
    fn rest(&self, whole: SignedDuration, on: &str) -> Move {
        let left = whole - self.elapsed();
        Move::Wait { until: self.now + left.min(self.policy.look), on: format!("{on}, {} left", spoken(left)) }
    }

    fn look(&self, on: String) -> Move {
        Move::Wait { until: self.now + self.policy.look, on }
    }

    fn moved(&self, expected: Weights) -> Move {
        let Weights { blue, green } = self.observed.weights;
        Move::Halt {
            why: format!(
                "the traffic is at blue {blue}, green {green}, where this release left it at blue {}, green {}: somebody else has \
                 moved it",
                expected.blue, expected.green
            ),
            help: "look at both colours with `infra bluegreen status`; `infra bluegreen rollback` gives everything back to the old one"
                .to_owned(),
        }
    }

    /// What is wrong where the new colour should have no traffic yet.
    fn untouched(&self) -> Option<Move> {
        let expected = Weights::with(self.to, 0);
        (self.observed.weights != expected).then(|| self.moved(expected))
    }

    /// What is to be done where the new colour should have all traffic and has not.
    fn switched(&self) -> Option<Move> {
        let expected = Weights::with(self.to, 100);
        if self.observed.weights == expected {
            None
        } else if self.observed.weights == Weights::with(self.to, 0) {
            // Somebody went back by hand, or a rollback was cut off before it was noted.
            Some(Move::Enter(Phase::RolledBack))
        } else {
            Some(self.moved(expected))
        }
    }

    fn prepare(&self) -> Move {
        let (new, record) = (self.fresh(), self.record);
        if self.policy.migrate && !record.migrated {
            return Move::Migrate;
        }
        if new.revision != record.revision || new.desired < self.enough() {
            return self.start();
        }
        if let Rollout::Failed(why) = &new.rollout {
            return Move::Abandon { why: format!("the new tasks do not start: {why}") };
        }
        if !new.is_whole() {
            let on = format!("{} of {} tasks to be healthy", new.healthy, new.desired);
            if self.starting() > self.policy.prepare {
                let took = spoken(self.policy.prepare);
                return Move::Abandon { why: format!("after {took}, still waiting for {on}") };
            }
            // ECS calls a deployment complete a while after its tasks are healthy.
            let on = if new.healthy >= new.desired { "ECS to complete the deployment".to_owned() } else { on };
            return self.look(on);
        }
        if self.observed.test == self.to { Move::Enter(Phase::Verifying) } else { Move::Try(self.to) }
    }

    /// As many tasks as serve now, whatever the file says: the load is what it is.
    fn enough(&self) -> u32 {
        self.policy.tasks(self.old().desired)
    }

    fn start(&self) -> Move {
        Move::Start { colour: self.to, revision: self.record.revision.clone(), count: self.enough() }
    }

    /// What is wrong with the new tasks before they get any traffic. Tasks that are on their way are given their time:
    /// more of them start where the old colour has grown.
    fn fit(&self) -> Option<Move> {
        let new = self.fresh();
        if let Rollout::Failed(why) = &new.rollout {
            return Some(Move::Abandon { why: format!("the new tasks died while they were tried: {why}") });
        }
        if new.desired < self.enough() {
            return Some(self.start());
        }
        // What ECS moves to another zone or replaces is no illness, as long as enough are there.
        if new.healthy >= new.desired && new.unhealthy == 0 {
            return None;
        }
        let state = format!("{} of {} tasks", new.healthy, new.desired);
        // Those that nobody has asked for since the trial began take the place of some that have died.
        let asked = self.record.started.is_some_and(|started| started > self.record.since);
        if asked && new.is_growing() && self.starting() <= self.policy.prepare {
            return Some(self.look(format!("{state} to be healthy")));
        }
        Some(Move::Abandon { why: format!("{state} were healthy while they were tried") })
    }

    fn verify(&self) -> Move {
        if let Some(unfit) = self.fit() {
            return unfit;
        }
        match &self.observed.checks {
            Some(Err(why)) => return Move::Abandon { why: format!("a check through the test rule failed: {why}") },
            None if self.policy.checks => return self.look("the checks through the test rule".to_owned()),
            _ => {}
        }
        if self.elapsed() < self.policy.verify {
            return self.rest(self.policy.verify, "the trial through the test rule");
        }
        if self.goal == Goal::Deployed {
            return Move::Done;
        }
        // A first release has no traffic that could suffer.
        let suffers = self.old().desired > 0;
        match gate::no_time(self.policy, &self.observed.alarms).filter(|_| suffers) {
            Some([why, help]) => Move::Halt { why, help },
            None => Move::Enter(Phase::Shifting(0)),
        }
    }

    fn shift(&self, step: usize) -> Move {
        let share = |step: usize| self.policy.steps.get(step).map_or(100, |step| step.share);
        let to = self.to;
        let before = Weights::with(to, step.checked_sub(1).map_or(0, share));
        let after = Weights::with(to, share(step));
        if self.observed.weights != before && self.observed.weights != after {
            return self.moved(after);
        }
        if self.goal == Goal::Deployed {
            return Move::Done;
        }
        if self.observed.weights != after {
            return match self.fit() {
                None => Move::Shift { from: before, to: after },
                Some(Move::Abandon { why }) if step > 0 => self.back(why),
                Some(unfit) => unfit,
            };
        }
        if let Some(why) = gate::tripped(self.policy, self.observed, self.record, self.to) {
            return self.back(why);
        }
        let Some(current) = self.policy.steps.get(step) else { return Move::Enter(Phase::Monitoring) };
        if self.elapsed() < current.hold {
            return self.rest(current.hold, &format!("the step at {} %", current.share));
        }
        // The numbers of the step itself are late. Without any, it is not held for ever.
        let end = self.record.since + current.hold;
        if current.hold.is_positive()
            && gate::known_until(self.policy, self.observed, self.to).is_none_or(|known| known < end)
            && self.elapsed() < current.hold + self.policy.late()
        {
            return self.look(format!("what is known of the step at {} %", current.share));
        }
        match gate::errors_since(self.policy, self.observed, self.record, self.to) {
            Some(why) => self.back(why),
            None => Move::Enter(Phase::Shifting(step + 1)),
        }
    }

    fn monitor(&self) -> Move {
        if let Some(why) = gate::tripped(self.policy, self.observed, self.record, self.to) {
            return self.back(why);
        }
        let whole = if self.record.extended { self.policy.monitor * 2 } else { self.policy.monitor };
        if self.elapsed() < whole {
            return self.rest(whole, "the watch");
        }
        let tried = self.policy.checks && self.observed.checks == Some(Ok(()));
        // Of a first release there is nothing to go back to, and without a watch nothing to be seen.
        let unquestioned = self.record.from.is_none() || self.record.back || !self.policy.monitor.is_positive();
        if tried || unquestioned || self.evidence() {
            Move::Enter(Phase::Keeping)
        } else if self.record.shifted.is_some_and(|shifted| self.now < shifted + self.policy.late()) {
            self.look("what is known of the first minutes".to_owned())
        } else if self.record.extended {
            self.back("nothing shows that it works: no requests in all the time that it was watched".to_owned())
        } else {
            Move::Extend
        }
    }

    fn evidence(&self) -> bool {
        gate::evidence(self.policy, self.observed, self.record, self.to, self.now)
    }

    fn keep(&self) -> Move {
        if let Some(why) = gate::tripped(self.policy, self.observed, self.record, self.to) {
            return self.back(why);
        }
        if self.goal != Goal::Finished {
            return Move::Done;
        }
        if self.elapsed() < self.policy.keep {
            return self.rest(self.policy.keep, "the time for which the old colour is kept");
        }
        if !self.fresh().is_whole() {
            return self.look(format!("{} of {} tasks to be healthy", self.fresh().healthy, self.fresh().desired));
        }
        if self.old().desired > 0 && self.elapsed() < self.policy.settle() {
            return self.rest(self.policy.settle(), "the load balancer to have settled");
        }
        if self.old().desired > 0 { Move::Stop(self.to.other()) } else { Move::Enter(Phase::Finished) }
    }

    fn ended(&self) -> Move {
        let taken_back = self.record.phase == Phase::RolledBack;
        let stopped = if taken_back { self.to } else { self.to.other() };
        if taken_back && *self.observed.weights.of(self.to) > 0 {
            if self.goal == Goal::Back {
                return self.back(ASKED.to_owned());
            }
            return self.moved(Weights::with(self.to, 0));
        }
        if self.goal == Goal::Back && !taken_back {
            return Move::Halt {
                why: format!("{} no longer runs", stopped.name()),
                help: "release the earlier image again: `infra bluegreen rollback --to REVISION`".to_owned(),
            };
        }
        let carries = *self.observed.weights.of(stopped) > 0;
        if self.observed.sides.of(stopped).desired == 0 || carries {
            Move::Done
        } else if self.elapsed() < self.policy.settle() {
            // Every node of the load balancer must have learned of the weights.
            self.rest(self.policy.settle(), "the load balancer to have settled")
        } else {
            Move::Stop(stopped)
        }
    }

    /// All traffic back to the old colour, if that can carry it.
    fn back(&self, why: String) -> Move {
        let help = "look at both colours with `infra bluegreen status`, and release an image that works: `infra bluegreen run --now`";
        let help = help.to_owned();
        let (old, new) = (self.old(), self.fresh());
        if !old.serves() {
            let stays = if new.serves() {
                "the old colour answers nothing, so that the traffic stays where it is"
            } else {
                "neither colour answers"
            };
            return Move::Halt { why: format!("{why}; {stays}"), help };
        }
        // Whoever asks for it has seen both.
        if self.goal != Goal::Back && old.healthy < old.desired && old.healthy < new.healthy {
            let why = format!("{why}; but of the old colour only {} of {} tasks are healthy", old.healthy, old.desired);
            return Move::Halt { why, help };
        }
        Move::RollBack { from: self.observed.weights, to: Weights::with(self.to.other(), 100), why }
    }
}

/// A time as people say it.
#[must_use]
pub fn spoken(time: SignedDuration) -> String {
    let seconds = (time.as_secs() + i64::from(time.subsec_nanos() > 0)).max(0);
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}
