//! Every way that a release can go, as a table: what is seen, and what is done about it.

use jiff::{SignedDuration, Timestamp};

use super::*;

mod after;

/// Eight o'clock, when the phase began.
fn since() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn policy() -> Policy {
    Policy {
        prepare: minutes(15),
        verify: minutes(2),
        monitor: minutes(10),
        keep: minutes(30),
        look: SignedDuration::from_secs(5),
        period: minutes(1),
        count: 1,
        steps: Vec::new(),
        limits: Limits {
            errors: Some(Over { limit: 1.0, time: minutes(5) }),
            latency: Some(Over { limit: 2000.0, time: minutes(3) }),
            unhealthy: Some(50.0),
            alarms: vec!["critical".into()],
        },
        despite_alarms: false,
        migrate: false,
        checks: false,
    }
}

fn side(revision: &str, tasks: u32) -> Side {
    Side {
        revision: revision.into(),
        desired: tasks,
        running: tasks,
        starting: 0,
        healthy: tasks,
        unhealthy: 0,
        targets: tasks,
        rollout: Rollout::Completed,
    }
}

/// A moment of a release from blue to green.
struct Case {
    policy: Policy,
    goal: Goal,
    observed: Observed,
    now: Timestamp,
}

/// In this phase, all being well, so many minutes after it began.
fn at(phase: Phase, after: i64) -> Case {
    let share = match phase {
        Phase::Preparing | Phase::Verifying | Phase::RolledBack | Phase::Shifting(_) => 0,
        Phase::Monitoring | Phase::Keeping | Phase::Finished => 100,
    };
    let watched = matches!(phase, Phase::Monitoring | Phase::Keeping);
    let now = since() + minutes(after);
    let seen = (0..after).map(calm).filter(|_| watched).collect();
    let record = Record {
        id: "r1".into(),
        to: Some(Colour::Green),
        image: "api:2".into(),
        revision: "api:2".into(),
        from: Some("api:1".into()),
        count: 4,
        phase,
        since: since(),
        started: None,
        shifted: watched.then(since),
        migrated: false,
        extended: false,
        back: false,
        alarms: vec!["old".into()],
        why: None,
        follows: None,
    };
    let test = if phase == Phase::Preparing { Colour::Blue } else { Colour::Green };
    let observed = Observed {
        sides: Both { blue: side("api:1", 4), green: side("api:2", 4) },
        weights: Weights::with(Colour::Green, share),
        test,
        samples: Both { blue: Vec::new(), green: seen },
        alarms: Vec::new(),
        checks: None,
        record: Some(record),
    };
    Case { policy: policy(), goal: Goal::Finished, observed, now }
}

/// An ordinary minute.
fn calm(minute: i64) -> Sample {
    Sample { requests: 1000.0, latency: Some(120.0), ..Sample::at(since() + minutes(minute)) }
}

impl Case {
    fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    fn green(mut self, change: impl FnOnce(&mut Side)) -> Self {
        change(&mut self.observed.sides.green);
        self
    }

    fn blue(mut self, change: impl FnOnce(&mut Side)) -> Self {
        change(&mut self.observed.sides.blue);
        self
    }

    fn weights(mut self, green: u16) -> Self {
        self.observed.weights = Weights::with(Colour::Green, green);
        self
    }

    fn record(mut self, change: impl FnOnce(&mut Record)) -> Self {
        change(self.observed.record.as_mut().unwrap());
        self
    }

    fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn seen(mut self, minutes: impl IntoIterator<Item = Sample>) -> Self {
        self.observed.samples.green = minutes.into_iter().collect();
        self
    }

    /// Each minute changed.
    fn each(mut self, change: impl Fn(&mut Sample)) -> Self {
        self.observed.samples.green.iter_mut().for_each(change);
        self
    }

    fn alarm(self, severity: &str) -> Self {
        self.firing("api-errors", severity)
    }

    fn firing(mut self, name: &str, severity: &str) -> Self {
        self.observed.alarms.push(Alarm { name: name.into(), severity: severity.into() });
        self
    }

    fn checks(mut self, said: Option<Result<(), String>>) -> Self {
        self.policy.checks = true;
        self.observed.checks = said;
        self
    }

    /// The steps 10 % and 50 %, five minutes each.
    fn steps(mut self) -> Self {
        self.policy.steps = vec![Step { share: 10, hold: minutes(5) }, Step { share: 50, hold: minutes(5) }];
        self
    }

    fn on_step(self, green: u16) -> Self {
        let shifted = self.steps().weights(green).record(|record| record.shifted = Some(since()));
        let after = shifted.now.duration_since(since()).as_mins();
        shifted.seen((0..after).map(calm))
    }

    fn does(&self) -> String {
        let percent = |weights: Weights| format!("{}/{}", weights.blue, weights.green);
        match next(&self.policy, self.goal, &self.observed, self.now) {
            Move::Wait { on, until } => {
                assert!(until > self.now, "it waits for a time to come");
                format!("wait: {on}")
            }
            Move::Migrate => "migrate".into(),
            Move::Start { colour, revision, count } => format!("start {count} of {revision} on {}", colour.name()),
            Move::Try(colour) => format!("try {}", colour.name()),
            Move::Shift { from, to } => format!("shift {} to {}", percent(from), percent(to)),
            Move::Enter(phase) => format!("enter {phase:?}"),
            Move::Extend => "extend".into(),
            Move::Stop(colour) => format!("stop {}", colour.name()),
            Move::Abandon { why } => format!("abandon: {why}"),
            Move::RollBack { from, to, why } => format!("roll back {} to {}: {why}", percent(from), percent(to)),
            Move::Halt { why, .. } => format!("halt: {why}"),
            Move::Done => "done".into(),
        }
    }
}

#[track_caller]
fn table(cases: Vec<(&str, Case, &str)>) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, case, expected)| {
            let does = case.does();
            (does != *expected).then(|| format!("{name}\n  expected {expected}\n  does     {does}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const MOVED: &str = "somebody else has moved it";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn before_any_traffic() {
    use Phase::{Preparing, Verifying};
    let unstarted = |side: &mut Side| *side = self::side("api:1", 0);
    let starting = |side: &mut Side| {
        side.healthy = 1;
        side.rollout = Rollout::InProgress;
    };
    let failed = |side: &mut Side| side.rollout = Rollout::Failed("exit code 1".into());
    table(vec![
        (
            "the idle colour starts with as many as serve",
            at(Preparing, 0).green(unstarted),
            "start 4 of api:2 on green",
        ),
        ("live count, not the file's", at(Preparing, 0).blue(|blue| blue.desired = 7), "start 7 of api:2 on green"),
        (
            "a first release has nothing to copy",
            at(Preparing, 0).green(unstarted).blue(unstarted),
            "start 1 of api:2 on green",
        ),
        (
            "another revision runs there",
            at(Preparing, 0).green(|green| green.revision = "api:0".into()),
            "start 4 of api:2 on green",
        ),
        ("more than needed is fine", at(Preparing, 0).green(|green| *green = side("api:2", 5)), "try green"),
        ("the job comes first", at(Preparing, 0).green(unstarted).policy(|policy| policy.migrate = true), "migrate"),
        (
            "the job has run",
            at(Preparing, 0).policy(|policy| policy.migrate = true).record(|record| record.migrated = true),
            "try green",
        ),
        ("tasks start", at(Preparing, 1).green(starting), "wait: 1 of 4 tasks to be healthy"),
        (
            "targets register late",
            at(Preparing, 1).green(|green| (green.healthy, green.targets) = (0, 0)),
            "wait: 0 of 4 tasks to be healthy",
        ),
        (
            "an old target drains",
            at(Preparing, 1).green(|green| green.targets = 5),
            "wait: ECS to complete the deployment",
        ),
        (
            "for too long",
            at(Preparing, 16).green(starting),
            "abandon: after 15 min, still waiting for 1 of 4 tasks to be healthy",
        ),
        ("a crash loop", at(Preparing, 1).green(failed), "abandon: the new tasks do not start: exit code 1"),
        ("all healthy: the test rule moves", at(Preparing, 1), "try green"),
        (
            "the clock of another machine is ahead",
            at(Preparing, -3).green(starting),
            "wait: 1 of 4 tasks to be healthy",
        ),
        (
            "killed after the test rule moved",
            {
                let mut case = at(Preparing, 1);
                case.observed.test = Colour::Green;
                case
            },
            "enter Verifying",
        ),
        ("the trial lasts", at(Verifying, 1), "wait: the trial through the test rule, 1 min left"),
        ("the trial is over", at(Verifying, 2), "enter Shifting(0)"),
        ("deploy ends there", at(Verifying, 2).goal(Goal::Deployed), "done"),
        ("but not before", at(Verifying, 1).goal(Goal::Deployed), "wait: the trial through the test rule, 1 min left"),
        (
            "health flaps",
            at(Verifying, 1).green(|green| green.healthy = 3),
            "abandon: 3 of 4 tasks were healthy while they were tried",
        ),
        (
            "a task dies",
            at(Verifying, 1).green(failed),
            "abandon: the new tasks died while they were tried: exit code 1",
        ),
        (
            "tasks died and are replaced",
            at(Verifying, 1).green(|green| (green.healthy, green.targets, green.starting) = (2, 4, 2)),
            "abandon: 2 of 4 tasks were healthy while they were tried",
        ),
        (
            "a check fails",
            at(Verifying, 1).checks(Some(Err("GET / said 500".into()))),
            "abandon: a check through the test rule failed: GET / said 500",
        ),
        ("a check has not answered", at(Verifying, 3).checks(None), "wait: the checks through the test rule"),
        ("checks pass", at(Verifying, 3).checks(Some(Ok(()))), "enter Shifting(0)"),
        (
            "an alarm of before",
            at(Verifying, 3).alarm("critical"),
            "halt: the alarm api-errors is firing: this is no time to move traffic",
        ),
        (
            "the release mends it",
            at(Verifying, 3).alarm("critical").policy(|policy| policy.despite_alarms = true),
            "enter Shifting(0)",
        ),
        (
            "a way back is what mends it",
            at(Verifying, 3).alarm("critical").record(|record| record.back = true),
            "enter Shifting(0)",
        ),
        (
            "ECS moves a task to another zone",
            at(Verifying, 3).green(|green| (green.targets, green.rollout) = (5, Rollout::InProgress)),
            "enter Shifting(0)",
        ),
        (
            "a long job, and then the tasks start",
            at(Preparing, 40).green(starting).record(|record| record.started = Some(since() + minutes(39))),
            "wait: 1 of 4 tasks to be healthy",
        ),
        ("an alarm before the first release", at(Verifying, 3).alarm("critical").blue(unstarted), "enter Shifting(0)"),
        (
            "the old colour has grown meanwhile",
            at(Verifying, 1).blue(|blue| *blue = side("api:1", 6)),
            "start 6 of api:2 on green",
        ),
        (
            "and the new one follows",
            at(Verifying, 1)
                .green(|green| (green.desired, green.starting) = (6, 2))
                .record(|record| record.started = Some(since() + minutes(1))),
            "wait: 4 of 6 tasks to be healthy",
        ),
        ("an alarm that the policy does not name", at(Verifying, 3).alarm("warning"), "enter Shifting(0)"),
        ("an alarm, but only a deploy", at(Verifying, 3).alarm("critical").goal(Goal::Deployed), "done"),
        ("asked back", at(Verifying, 1).goal(Goal::Back), "abandon: asked for"),
        ("asked back at once", at(Preparing, 0).goal(Goal::Back), "abandon: asked for"),
    ]);
    for phase in [Preparing, Verifying] {
        assert!(at(phase, 1).weights(10).does().ends_with(MOVED), "{phase:?}");
    }
    let mut none = at(Preparing, 0);
    none.observed.record = None;
    assert_eq!(none.does(), "done", "without a release there is nothing to do");
}

#[test]
fn moving_the_traffic() {
    use Phase::Shifting;
    table(vec![
        ("at once", at(Shifting(0), 0), "shift 100/0 to 0/100"),
        ("killed after the weights moved", at(Shifting(0), 0).weights(100), "enter Monitoring"),
        (
            "the new colour fell ill meanwhile",
            at(Shifting(0), 0).green(|green| green.healthy = 3),
            "abandon: 3 of 4 tasks were healthy while they were tried",
        ),
        ("the first step", at(Shifting(0), 0).steps(), "shift 100/0 to 90/10"),
        ("the first step holds", at(Shifting(0), 3).on_step(10), "wait: the step at 10 %, 2 min left"),
        ("and is over", at(Shifting(0), 5).on_step(10), "enter Shifting(1)"),
        ("the second step", at(Shifting(1), 0).on_step(10), "shift 90/10 to 50/50"),
        ("everything", at(Shifting(2), 0).on_step(50), "shift 50/50 to 0/100"),
        ("and everything is there", at(Shifting(2), 0).on_step(100), "enter Monitoring"),
        (
            "errors in less time than the limit's are seen at the end of a step",
            at(Shifting(0), 2)
                .on_step(10)
                .each(|sample| sample.errors = 11.0)
                .policy(|policy| policy.steps[0].hold = minutes(2)),
            "roll back 90/10 to 100/0: 1.1 % of the requests failed since it has traffic",
        ),
        (
            "what is known of a step is late",
            at(Shifting(0), 5).on_step(10).seen((0..3).map(calm)),
            "wait: what is known of the step at 10 %",
        ),
        ("or never comes", at(Shifting(0), 11).on_step(10).seen([]), "enter Shifting(1)"),
        ("a deploy moves nothing", at(Shifting(0), 0).goal(Goal::Deployed), "done"),
        (
            "a rollback was cut off after it had moved the traffic",
            at(Shifting(0), 1).record(|record| record.why = Some("errors".into())),
            "enter RolledBack",
        ),
        (
            "a rollback was cut off before",
            at(Shifting(0), 1).on_step(10).record(|record| record.why = Some("errors".into())),
            "roll back 90/10 to 100/0: errors",
        ),
        (
            "errors on a step",
            at(Shifting(0), 5).on_step(10).each(|minute| minute.errors = 11.0),
            "roll back 90/10 to 100/0: 1.1 % of the requests failed in 5 min",
        ),
        (
            "an alarm on a step",
            at(Shifting(1), 2).on_step(50).alarm("critical"),
            "roll back 50/50 to 100/0: the alarm api-errors went off",
        ),
        (
            "ill before the second step",
            at(Shifting(1), 0).on_step(10).green(|green| green.healthy = 3),
            "roll back 90/10 to 100/0: 3 of 4 tasks were healthy while they were tried",
        ),
        (
            "asked back on a step",
            at(Shifting(1), 1).on_step(50).goal(Goal::Back),
            "roll back 50/50 to 100/0: asked for",
        ),
        ("asked back before the first", at(Shifting(0), 0).goal(Goal::Back), "roll back 100/0 to 100/0: asked for"),
    ]);
    assert!(at(Shifting(0), 1).on_step(37).does().ends_with(MOVED));
    assert!(at(Shifting(1), 1).on_step(100).does().ends_with(MOVED));
}

#[test]
fn a_policy_comes_from_the_file() {
    let release: crate::environment::releases::Release = serde_json::from_value(serde_json::json!({
        "strategy": "blue_green", "verify": "2m", "monitor": "10m", "keep": "30m", "canary": "10% for 5m",
        "rollback": { "errors": "1% for 5m", "latency": "2s for 3m", "unhealthy": "50%", "alarms": ["critical"] },
    }))
    .unwrap();
    let steps = vec![Step { share: 10, hold: minutes(5) }];
    assert_eq!(Policy::from(&release), Policy { steps, ..policy() });
    let linear: crate::environment::releases::Release =
        serde_json::from_value(serde_json::json!({ "linear": "30% for 1m" })).unwrap();
    assert_eq!(Policy::from(&linear).steps.iter().map(|step| step.share).collect::<Vec<_>>(), [30, 60, 90]);
}
