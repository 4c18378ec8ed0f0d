//! Releases of services without colours: ECS replaces the tasks, and goes back by itself where new ones do not start.

use jiff::{SignedDuration, Timestamp};

use super::{Alarm, Goal, Phase, Policy, Record, Rollout, Side, gate, spoken};

/// What a decision rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The service: what is running counts as healthy.
    pub side: Side,
    pub alarms: Vec<Alarm>,
    pub record: Option<Record>,
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
    /// Let the service run the new revision, and note the count in the record.
    Start {
        count: u32,
    },
    /// Write this phase into the record.
    Enter(Phase),
    /// Let the service run what it ran before; nothing, where that was nothing.
    RollBack {
        why: String,
    },
    /// The old version runs again: note why.
    TakenBack {
        why: String,
    },
    Done,
}

/// What to do now.
#[must_use]
pub fn next(policy: &Policy, goal: Goal, observed: &Observed, now: Timestamp) -> Step {
    let Some(record) = &observed.record else { return Step::Done };
    let side = &observed.side;
    let elapsed = now.duration_since(record.since).max(SignedDuration::ZERO);
    let look = |on: String| Step::Wait { until: now + policy.look, on };
    let replaced = || format!("{} of {} tasks to run", side.running, side.desired);
    let moving = side.rollout == Rollout::InProgress || side.running < side.desired;
    match record.phase {
        Phase::RolledBack if moving => look(replaced()),
        Phase::Finished if goal == Goal::Back => Step::RollBack { why: super::ASKED.to_owned() },
        Phase::Finished | Phase::RolledBack => Step::Done,
        _ if goal == Goal::Back => Step::RollBack { why: super::ASKED.to_owned() },
        Phase::Preparing => {
            if policy.migrate && !record.migrated {
                return Step::Migrate;
            }
            if record.count == 0 {
                return Step::Start { count: if side.desired > 0 { side.desired } else { policy.count.max(1) } };
            }
            if let Rollout::Failed(why) = &side.rollout {
                // Where ECS has gone back already, there is nothing to be done.
                let why = why.clone();
                return if side.revision == record.revision { Step::RollBack { why } } else { Step::TakenBack { why } };
            }
            if side.revision != record.revision {
                return Step::TakenBack {
                    why: "ECS went back to the old version: the new tasks did not start".to_owned(),
                };
            }
            match moving {
                true if elapsed > policy.prepare => {
                    let took = spoken(policy.prepare);
                    Step::RollBack { why: format!("after {took}, still waiting for {}", replaced()) }
                }
                true => look(replaced()),
                false => Step::Enter(Phase::Monitoring),
            }
        }
        _ if side.revision != record.revision => Step::TakenBack { why: "by hand".to_owned() },
        _ => {
            if let Some(alarm) = gate::firing(policy, &observed.alarms, Some(record.since)) {
                return Step::RollBack { why: format!("the alarm {} went off", alarm.name) };
            }
            if side.running == 0 && side.desired > 0 {
                return Step::RollBack { why: "no task runs".to_owned() };
            }
            if elapsed < policy.monitor {
                let left = policy.monitor - elapsed;
                return Step::Wait {
                    until: now + left.min(policy.look),
                    on: format!("the watch, {} left", spoken(left)),
                };
            }
            Step::Enter(Phase::Finished)
        }
    }
}
