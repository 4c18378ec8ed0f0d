//! Releases that ECS carries out itself: it starts the new tasks beside the old ones, leads the test rule to them and
//! waits; told to go on, it moves the traffic, watches its alarms, and stops the old tasks. Until then it can be told to go
//! back.

use jiff::{SignedDuration, Timestamp};

use super::{Alarm, Goal, Phase, Policy, Record, Side, gate, spoken};

/// What a decision rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The service as it is to be.
    pub side: Side,
    /// Whether ECS is set to wait before it moves the traffic.
    pub waits: bool,
    /// The newest deployment that there is.
    pub newest: Option<Deployment>,
    pub alarms: Vec<Alarm>,
    /// What the checks through the test rule said last, where the policy has some.
    pub checks: Option<Result<(), String>>,
    pub record: Option<Record>,
}

/// A deployment of ECS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub id: String,
    /// The task definition with its revision that it brings.
    pub revision: String,
    pub state: State,
    /// Its tasks: those that run, and those that are wanted.
    pub running: u32,
    pub wanted: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The new tasks start, and the test rule is led to them.
    Starting,
    /// It waits until it is told to go on.
    Paused,
    /// The traffic moves.
    Shifting,
    /// The new tasks carry it, and the old ones still run.
    Baking,
    Succeeded,
    /// ECS goes back, or has gone back; and why.
    GoingBack(String),
    WentBack(String),
    /// It stands, and ECS does nothing more.
    Broken(String),
}

/// One thing to do. After it, look again and ask again.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Wait {
        until: Timestamp,
        on: String,
    },
    /// Run the job before the release, and note it in the record.
    Migrate,
    /// Note which deployment came before this release, and let the service run the new revision.
    Start {
        count: u32,
    },
    /// Write this phase into the record.
    Enter(Phase),
    /// Tell ECS to go on.
    Continue,
    /// Tell ECS to go back, and note why.
    Stop {
        why: String,
    },
    /// Let the service run what it ran before, and note why: there is no deployment that could go back.
    Return {
        why: String,
    },
    /// The old version runs, or soon will: note why.
    TakenBack {
        why: String,
    },
    /// Nothing that a program should decide.
    Halt {
        why: String,
        help: String,
    },
    Done,
}

/// How long ECS may take to show a deployment that it was asked for.
const APPEARS: SignedDuration = SignedDuration::from_mins(1);

/// What to do now.
#[must_use]
pub fn next(policy: &Policy, goal: Goal, observed: &Observed, now: Timestamp) -> Step {
    let Some(record) = &observed.record else { return Step::Done };
    // The last release was one between two colours.
    if record.to.is_some() {
        return Step::Done;
    }
    let newest = observed.newest.as_ref().filter(|newest| record.follows.as_ref() != Some(&newest.id));
    let policy = &policy.of(record);
    let view = View { policy, goal, observed, record, newest, now };
    match record.phase {
        Phase::RolledBack => view.ended(),
        Phase::Finished if goal == Goal::Back => Step::Return { why: super::ASKED.to_owned() },
        Phase::Finished => Step::Done,
        Phase::Preparing if record.count == 0 => view.begin(),
        _ => match view.newest {
            None => view.missing(),
            Some(newest) if newest.revision != record.revision => {
                Step::TakenBack { why: "another deployment has taken its place".to_owned() }
            }
            Some(newest) => view.go_on(newest),
        },
    }
}

struct View<'a> {
    policy: &'a Policy,
    goal: Goal,
    observed: &'a Observed,
    record: &'a Record,
    /// The newest deployment, where it came after the release began.
    newest: Option<&'a Deployment>,
    now: Timestamp,
}

impl View<'_> {
    fn elapsed(&self) -> SignedDuration {
        self.record.lasted(self.now)
    }

    fn look(&self, on: impl Into<String>) -> Step {
        Step::Wait { until: self.now + self.policy.look, on: on.into() }
    }

    /// Waits for the rest of a time that began with the phase.
    fn rest(&self, whole: SignedDuration, on: &str) -> Step {
        let left = whole - self.elapsed();
        Step::Wait { until: self.now + left.min(self.policy.look), on: format!("{on}, {} left", spoken(left)) }
    }

    fn start(&self) -> Step {
        Step::Start { count: self.policy.tasks(self.observed.side.desired) }
    }

    fn begin(&self) -> Step {
        if self.goal == Goal::Back {
            return Step::TakenBack { why: super::ASKED.to_owned() };
        }
        if self.policy.migrate && !self.record.migrated {
            return Step::Migrate;
        }
        if !self.observed.waits {
            return Step::Halt {
                why: "ECS is not set to wait before it moves the traffic".to_owned(),
                help: "run `infra apply`, then the same command again".to_owned(),
            };
        }
        self.start()
    }

    /// The release has begun, and ECS shows nothing of it.
    fn missing(&self) -> Step {
        let asked_for = self.observed.side.revision == self.record.revision;
        if asked_for && self.elapsed() < APPEARS {
            return self.look("ECS to begin");
        }
        match (self.goal, self.record.phase) {
            (Goal::Back, _) => Step::TakenBack { why: super::ASKED.to_owned() },
            (_, Phase::Preparing) => self.start(),
            _ => Step::TakenBack { why: "ECS no longer knows of its deployment".to_owned() },
        }
    }

    fn go_on(&self, deployment: &Deployment) -> Step {
        match &deployment.state {
            State::GoingBack(why) | State::WentBack(why) => return Step::TakenBack { why: why.clone() },
            State::Broken(why) => return Step::Return { why: why.clone() },
            State::Succeeded if self.goal == Goal::Back => return Step::Return { why: super::ASKED.to_owned() },
            _ if self.goal == Goal::Back => return Step::Stop { why: super::ASKED.to_owned() },
            _ => {}
        }
        match (self.record.phase, &deployment.state) {
            (Phase::Preparing, State::Starting) => self.starting(deployment),
            (Phase::Preparing, State::Paused) => Step::Enter(Phase::Verifying),
            (Phase::Verifying, State::Paused) => self.verify(deployment),
            (Phase::Verifying, State::Starting) => self.look("ECS to wait"),
            // Somebody else may have told ECS to go on.
            (Phase::Preparing | Phase::Verifying, _) => Step::Enter(Phase::Shifting(0)),
            (Phase::Shifting(_), State::Paused) => self.unfit(deployment).unwrap_or(Step::Continue),
            (Phase::Shifting(_), State::Starting | State::Shifting) => self.look("ECS to move the traffic"),
            (Phase::Shifting(_), _) => Step::Enter(Phase::Monitoring),
            (_, State::Succeeded) => Step::Enter(Phase::Finished),
            _ if self.elapsed() < self.policy.monitor => self.rest(self.policy.monitor, "the watch by ECS"),
            _ => self.look("ECS to stop the old tasks"),
        }
    }

    fn starting(&self, deployment: &Deployment) -> Step {
        let on = match (deployment.running, deployment.wanted) {
            (running, wanted) if running < wanted => format!("{running} of {wanted} tasks to run"),
            _ => "the new tasks to be healthy, and the test rule to lead to them".to_owned(),
        };
        if self.elapsed() > self.policy.prepare {
            let took = spoken(self.policy.prepare);
            return Step::Stop { why: format!("after {took}, still waiting for {on}") };
        }
        self.look(on)
    }

    /// What is wrong with the new tasks before they get any traffic. ECS replaces those that die.
    fn unfit(&self, deployment: &Deployment) -> Option<Step> {
        let (running, wanted) = (deployment.running, deployment.wanted);
        if running >= wanted {
            return None;
        }
        if self.elapsed() > self.policy.prepare.max(self.policy.verify) {
            return Some(Step::Stop { why: format!("{running} of {wanted} tasks ran while they were tried") });
        }
        Some(self.look(format!("{running} of {wanted} tasks to run")))
    }

    fn verify(&self, deployment: &Deployment) -> Step {
        if let Some(unfit) = self.unfit(deployment) {
            return unfit;
        }
        match &self.observed.checks {
            Some(Err(why)) => return Step::Stop { why: format!("a check through the test rule failed: {why}") },
            None if self.policy.checks => return self.look("the checks through the test rule"),
            _ => {}
        }
        if self.elapsed() < self.policy.verify {
            return self.rest(self.policy.verify, "the trial through the test rule");
        }
        if self.goal == Goal::Deployed {
            return Step::Done;
        }
        // A first release has no traffic that could suffer.
        let suffers = self.record.from.is_some();
        match gate::no_time(self.policy, &self.observed.alarms).filter(|_| suffers) {
            Some([why, help]) => Step::Halt { why, help },
            None => Step::Enter(Phase::Shifting(0)),
        }
    }

    /// Taken back: until the old tasks carry everything again.
    fn ended(&self) -> Step {
        let side = &self.observed.side;
        match self.observed.newest.as_ref().map(|newest| &newest.state) {
            Some(State::GoingBack(_)) => self.look("ECS to go back"),
            Some(State::Starting | State::Shifting | State::Baking) if self.returns() => self.look("the old version"),
            _ if side.running < side.desired && self.returns() => {
                self.look(format!("{} of {} tasks to run", side.running, side.desired))
            }
            _ => Step::Done,
        }
    }

    /// Whether the service is told to run what it ran before.
    fn returns(&self) -> bool {
        self.record.from.as_ref() == Some(&self.observed.side.revision)
    }
}

#[cfg(test)]
mod tests;
