//! Releases of services without colours: ECS replaces the tasks, and goes back by itself where new ones do not start.

use jiff::Timestamp;

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
    let view = View { policy: &policy.of(record), goal, observed, record, now };
    let asked = || Step::RollBack { why: super::ASKED.to_owned() };
    match record.phase {
        Phase::RolledBack => view.taken_back(),
        Phase::Finished if goal == Goal::Back => asked(),
        Phase::Finished => Step::Done,
        _ if goal == Goal::Back => asked(),
        Phase::Preparing => view.prepare(),
        _ => view.monitor(),
    }
}

struct View<'a> {
    policy: &'a Policy,
    goal: Goal,
    observed: &'a Observed,
    record: &'a Record,
    now: Timestamp,
}

impl View<'_> {
    fn look(&self, on: impl Into<String>) -> Step {
        Step::Wait { until: self.now + self.policy.look, on: on.into() }
    }

    fn is_moving(&self) -> bool {
        let side = &self.observed.side;
        side.rollout == Rollout::InProgress || side.running < side.desired
    }

    /// What is waited for while tasks are replaced.
    fn replaced(&self) -> String {
        let Side { running, desired, .. } = self.observed.side;
        if running < desired {
            format!("{running} of {desired} tasks to run")
        } else {
            "ECS to complete the deployment".to_owned()
        }
    }

    fn alarmed(&self) -> Option<Step> {
        let alarm = gate::firing(self.policy, &self.observed.alarms, &self.record.alarms)?;
        Some(Step::RollBack { why: format!("the alarm {} went off", alarm.name) })
    }

    fn prepare(&self) -> Step {
        let (record, side) = (self.record, &self.observed.side);
        if self.policy.migrate && !record.migrated {
            return Step::Migrate;
        }
        // There is no place beside what serves where the new version could wait.
        if self.goal == Goal::Deployed {
            return Step::Done;
        }
        if record.count == 0 {
            return Step::Start { count: self.policy.tasks(side.desired) };
        }
        if let Rollout::Failed(why) = &side.rollout {
            // Where ECS has gone back already, there is nothing to be done.
            let why = why.clone();
            return if side.revision == record.revision { Step::RollBack { why } } else { Step::TakenBack { why } };
        }
        if let Some(back) = self.alarmed() {
            return back;
        }
        let elapsed = record.starting(self.now);
        if side.revision != record.revision {
            // Without a reason for it, the answer may be of before the change.
            return if elapsed < self.policy.settle() * 2 {
                self.look("ECS to begin")
            } else {
                Step::TakenBack { why: "somebody has given it another version".to_owned() }
            };
        }
        if !self.is_moving() {
            return Step::Enter(Phase::Monitoring);
        }
        if elapsed <= self.policy.prepare {
            return self.look(self.replaced());
        }
        let took = spoken(self.policy.prepare);
        Step::RollBack { why: format!("after {took}, still waiting for {}", self.replaced()) }
    }

    fn monitor(&self) -> Step {
        let side = &self.observed.side;
        if side.revision != self.record.revision {
            return Step::TakenBack { why: "by hand".to_owned() };
        }
        if let Some(back) = self.alarmed() {
            return back;
        }
        if side.running == 0 && side.desired > 0 {
            return Step::RollBack { why: "no task runs".to_owned() };
        }
        let left = self.policy.monitor - self.record.lasted(self.now);
        if left.is_positive() {
            let until = self.now + left.min(self.policy.look);
            return Step::Wait { until, on: format!("the watch, {} left", spoken(left)) };
        }
        Step::Enter(Phase::Finished)
    }

    fn taken_back(&self) -> Step {
        // The first answers after a change may be of before it.
        let old = self.record.from.as_ref().is_none_or(|from| *from == self.observed.side.revision);
        let settled = self.record.lasted(self.now) >= self.policy.settle();
        if self.is_moving() || !(old || settled) { self.look(self.replaced()) } else { Step::Done }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn policy() -> Policy {
        let release =
            serde_json::json!({ "before": "migrate", "monitor": "10m", "rollback": { "alarms": ["critical"] } });
        let release: crate::environment::releases::Release = serde_json::from_value(release).unwrap();
        Policy { count: 2, ..Policy::from(&release) }
    }

    fn since() -> Timestamp {
        "2026-03-02T08:00:00Z".parse().unwrap()
    }

    fn at(phase: Phase, minutes: i64, change: impl FnOnce(&mut Observed)) -> (Observed, Timestamp) {
        let record = Record {
            id: "r1".into(),
            to: None,
            image: "mail:2".into(),
            revision: "mail:2".into(),
            from: Some("mail:1".into()),
            count: 3,
            phase,
            since: since(),
            started: None,
            shifted: None,
            migrated: true,
            extended: false,
            back: false,
            alarms: vec!["old".into()],
            why: None,
            follows: None,
        };
        let side = Side { revision: "mail:2".into(), desired: 3, running: 3, healthy: 3, ..Side::default() };
        let mut observed = Observed { side, alarms: Vec::new(), record: Some(record) };
        change(&mut observed);
        (observed, since() + SignedDuration::from_mins(minutes))
    }

    fn does((observed, now): (Observed, Timestamp), goal: Goal) -> String {
        match next(&policy(), goal, &observed, now) {
            Step::Wait { on, until } => {
                assert!(until > now);
                format!("wait: {on}")
            }
            Step::RollBack { why } => format!("roll back: {why}"),
            Step::TakenBack { why } => format!("taken back: {why}"),
            other => format!("{other:?}"),
        }
    }

    fn alarm(name: &str) -> Alarm {
        Alarm { name: name.into(), severity: "critical".into() }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn every_way_that_it_can_go() {
        use Phase::{Finished, Monitoring, Preparing, RolledBack};
        let record = |change: fn(&mut Record)| move |observed: &mut Observed| change(observed.record.as_mut().unwrap());
        let rolling =
            |observed: &mut Observed| (observed.side.rollout, observed.side.running) = (Rollout::InProgress, 1);
        let failed = |observed: &mut Observed| observed.side.rollout = Rollout::Failed("exit code 1".into());
        let old = |observed: &mut Observed| observed.side.revision = "mail:1".into();
        let end = Goal::Finished;
        for (name, case, goal, expected) in [
            ("the job comes first", at(Preparing, 0, record(|record| record.migrated = false)), end, "Migrate"),
            ("as many as run", at(Preparing, 0, record(|record| record.count = 0)), end, "Start { count: 3 }"),
            (
                "a first release",
                at(Preparing, 0, |observed| {
                    observed.side.desired = 0;
                    observed.record.as_mut().unwrap().count = 0;
                }),
                end,
                "Start { count: 2 }",
            ),
            ("a deploy does not replace", at(Preparing, 0, record(|record| record.count = 0)), Goal::Deployed, "Done"),
            ("tasks are replaced", at(Preparing, 1, rolling), end, "wait: 1 of 3 tasks to run"),
            (
                "old tasks end",
                at(Preparing, 1, |observed| observed.side.rollout = Rollout::InProgress),
                end,
                "wait: ECS to complete the deployment",
            ),
            (
                "for too long",
                at(Preparing, 16, rolling),
                end,
                "roll back: after 15 min, still waiting for 1 of 3 tasks to run",
            ),
            ("it failed and stays", at(Preparing, 1, failed), end, "roll back: exit code 1"),
            (
                "ECS has gone back",
                at(Preparing, 1, |observed| {
                    old(observed);
                    failed(observed);
                }),
                end,
                "taken back: exit code 1",
            ),
            ("replaced", at(Preparing, 1, |_| ()), end, "Enter(Monitoring)"),
            (
                "an alarm while they are replaced",
                at(Preparing, 1, |observed| observed.alarms.push(alarm("a"))),
                end,
                "roll back: the alarm a went off",
            ),
            ("an answer of before the start", at(Preparing, 0, old), end, "wait: ECS to begin"),
            ("somebody else deploys", at(Preparing, 2, old), end, "taken back: somebody has given it another version"),
            ("asked back while it starts", at(Preparing, 1, rolling), Goal::Back, "roll back: asked for"),
            ("the watch", at(Monitoring, 4, |_| ()), end, "wait: the watch, 6 min left"),
            (
                "an alarm",
                at(Monitoring, 4, |observed| observed.alarms.push(alarm("a"))),
                end,
                "roll back: the alarm a went off",
            ),
            (
                "an alarm of before",
                at(Monitoring, 4, |observed| observed.alarms.push(alarm("old"))),
                end,
                "wait: the watch, 6 min left",
            ),
            ("all tasks died", at(Monitoring, 4, |observed| observed.side.running = 0), end, "roll back: no task runs"),
            ("somebody went back", at(Monitoring, 4, old), end, "taken back: by hand"),
            ("the watch is over", at(Monitoring, 10, |_| ()), end, "Enter(Finished)"),
            ("asked back", at(Monitoring, 4, |_| ()), Goal::Back, "roll back: asked for"),
            ("finished", at(Finished, 0, |_| ()), end, "Done"),
            ("another service was taken back", at(Finished, 0, |_| ()), Goal::Back, "roll back: asked for"),
            ("taken back, the old ones start", at(RolledBack, 0, rolling), end, "wait: 1 of 3 tasks to run"),
            (
                "taken back, an answer of before",
                at(RolledBack, 0, |_| ()),
                Goal::Back,
                "wait: ECS to complete the deployment",
            ),
            ("taken back", at(RolledBack, 0, old), Goal::Back, "Done"),
            ("no release", at(Preparing, 0, |observed| observed.record = None), end, "Done"),
        ] {
            assert_eq!(does(case, goal), expected, "{name}");
        }
    }
}
