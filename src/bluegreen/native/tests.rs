//! Every way that a deployment of ECS can go, as a table: what is seen, and what is done about it.

use super::*;
use crate::bluegreen::{Colour, Limits, Rollout};

/// Eight o'clock, when the phase began.
fn since() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// A moment of a release of api:2 where api:1 serves.
struct Case {
    policy: Policy,
    goal: Goal,
    observed: Observed,
    now: Timestamp,
}

/// In this phase, with the deployment in this state, so many minutes after the phase began.
fn at(phase: Phase, state: Option<State>, after: i64) -> Case {
    let policy = Policy {
        prepare: minutes(15),
        verify: minutes(2),
        monitor: minutes(10),
        keep: minutes(30),
        look: SignedDuration::from_secs(5),
        period: minutes(1),
        count: 2,
        steps: Vec::new(),
        limits: Limits { alarms: vec!["critical".into()], ..Limits::default() },
        despite_alarms: false,
        migrate: false,
        checks: false,
    };
    let record = Record {
        id: "1".into(),
        to: None,
        image: "api:2".into(),
        revision: "api:2".into(),
        from: Some("api:1".into()),
        count: 3,
        phase,
        since: since(),
        started: None,
        shifted: None,
        migrated: false,
        extended: false,
        back: false,
        alarms: Vec::new(),
        why: None,
        follows: Some("d1".into()),
    };
    let side = Side {
        revision: "api:2".into(),
        desired: 3,
        running: 3,
        starting: 0,
        healthy: 3,
        unhealthy: 0,
        targets: 0,
        rollout: Rollout::InProgress,
    };
    let deployment = |state| Deployment { id: "d2".into(), revision: "api:2".into(), state, running: 3, wanted: 3 };
    let before =
        Deployment { id: "d1".into(), revision: "api:1".into(), state: State::Succeeded, running: 3, wanted: 3 };
    let newest = state.map_or(before, deployment);
    let observed =
        Observed { side, waits: true, newest: Some(newest), alarms: Vec::new(), checks: None, record: Some(record) };
    Case { policy, goal: Goal::Finished, observed, now: since() + minutes(after) }
}

impl Case {
    fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    fn record(mut self, change: impl FnOnce(&mut Record)) -> Self {
        change(self.observed.record.as_mut().unwrap());
        self
    }

    fn side(mut self, change: impl FnOnce(&mut Side)) -> Self {
        change(&mut self.observed.side);
        self
    }

    fn newest(mut self, change: impl FnOnce(&mut Deployment)) -> Self {
        change(self.observed.newest.as_mut().unwrap());
        self
    }

    fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn seen(mut self, change: impl FnOnce(&mut Observed)) -> Self {
        change(&mut self.observed);
        self
    }

    fn alarm(self, severity: &str) -> Self {
        let alarm = Alarm { name: "api-errors".into(), severity: severity.into() };
        self.seen(|seen| seen.alarms.push(alarm))
    }

    fn does(&self) -> String {
        match next(&self.policy, self.goal, &self.observed, self.now) {
            Step::Wait { until, on } => format!("wait {} s for {on}", until.duration_since(self.now).as_secs()),
            Step::Start { count } => format!("start {count}"),
            Step::Enter(phase) => format!("enter {phase:?}"),
            Step::Stop { why } => format!("stop: {why}"),
            Step::Return { why } => format!("return: {why}"),
            Step::TakenBack { why } => format!("taken back: {why}"),
            Step::Halt { why, .. } => format!("halt: {why}"),
            step @ (Step::Migrate | Step::Continue | Step::Done) => format!("{step:?}").to_lowercase(),
        }
    }
}

fn table(cases: Vec<(&str, Case, &str)>) {
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|(name, case, expected)| {
            let does = case.does();
            (does != expected).then(|| format!("{name}\n  expected {expected}\n  does     {does}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Before anything was asked of ECS.
fn new() -> Case {
    let fresh = |record: &mut Record| {
        record.count = 0;
        record.follows = None;
    };
    at(Phase::Preparing, None, 0).record(fresh).side(|side| side.revision = "api:1".into())
}

#[test]
fn beginning() {
    use Phase::Preparing;
    let idle = |side: &mut Side| {
        side.desired = 0;
        side.running = 0;
    };
    let unseen = |after| at(Preparing, None, after);
    table(vec![
        ("no release", new().seen(|seen| seen.record = None), "done"),
        ("the last one had colours", new().record(|record| record.to = Some(Colour::Green)), "done"),
        ("as many as serve", new(), "start 3"),
        ("a first release", new().side(idle), "start 2"),
        (
            "a first release of a service that should be empty",
            new().side(idle).policy(|policy| policy.count = 0),
            "start 1",
        ),
        ("the job first", new().policy(|policy| policy.migrate = true), "migrate"),
        (
            "after the job",
            new().policy(|policy| policy.migrate = true).record(|record| record.migrated = true),
            "start 3",
        ),
        (
            "ECS would not wait",
            new().seen(|seen| seen.waits = false),
            "halt: ECS is not set to wait before it moves the traffic",
        ),
        ("asked back before it began", new().goal(Goal::Back), "taken back: asked for"),
        ("killed before the request", unseen(0).side(|side| side.revision = "api:1".into()), "start 3"),
        ("killed after the request", unseen(0), "wait 5 s for ECS to begin"),
        ("the same revision again, killed before the request", unseen(2), "start 3"),
        ("asked back after the request", unseen(0).goal(Goal::Back), "wait 5 s for ECS to begin"),
        ("asked back after a request that never arrived", unseen(2).goal(Goal::Back), "taken back: asked for"),
        ("a clock that is behind", unseen(-5), "wait 5 s for ECS to begin"),
    ]);
}

#[test]
fn starting_and_trying() {
    use Phase::{Preparing, Verifying};
    let starting = |after| at(Preparing, Some(State::Starting), after);
    let paused = |after| at(Verifying, Some(State::Paused), after);
    let two = |newest: &mut Deployment| newest.running = 2;
    let failed = |seen: &mut Observed| seen.checks = Some(Err("/health: 500".into()));
    let passed = |seen: &mut Observed| seen.checks = Some(Ok(()));
    let checks = |policy: &mut Policy| policy.checks = true;
    table(vec![
        ("tasks start", starting(1).newest(two), "wait 5 s for 2 of 3 tasks to run"),
        ("tasks run", starting(1), "wait 5 s for the new tasks to be healthy, and the test rule to lead to them"),
        (
            "tasks that never start",
            starting(16).newest(two),
            "stop: after 15 min, still waiting for 2 of 3 tasks to run",
        ),
        ("paused", at(Preparing, Some(State::Paused), 1), "enter Verifying"),
        ("somebody told it to go on", at(Preparing, Some(State::Baking), 1), "enter Shifting(0)"),
        ("it is through before it is seen", at(Preparing, Some(State::Succeeded), 1), "enter Shifting(0)"),
        ("the trial", paused(0), "wait 5 s for the trial through the test rule, 2 min left"),
        ("the end of the trial", paused(2), "enter Shifting(0)"),
        ("deployed is far enough", paused(2).goal(Goal::Deployed), "done"),
        (
            "the trial comes first",
            paused(1).goal(Goal::Deployed),
            "wait 5 s for the trial through the test rule, 1 min left",
        ),
        (
            "a check fails",
            paused(0).policy(checks).seen(failed),
            "stop: a check through the test rule failed: /health: 500",
        ),
        ("checks that were not asked yet", paused(2).policy(checks), "wait 5 s for the checks through the test rule"),
        ("checks that pass", paused(2).policy(checks).seen(passed), "enter Shifting(0)"),
        ("a task died meanwhile", paused(2).newest(two), "wait 5 s for 2 of 3 tasks to run"),
        ("and does not come back", paused(16).newest(two), "stop: 2 of 3 tasks ran while they were tried"),
        (
            "an alarm fires",
            paused(2).alarm("critical"),
            "halt: the alarm api-errors is firing: this is no time to move traffic",
        ),
        ("an alarm that nobody watches", paused(2).alarm("warning"), "enter Shifting(0)"),
        (
            "an alarm that this release mends",
            paused(2).alarm("critical").policy(|policy| policy.despite_alarms = true),
            "enter Shifting(0)",
        ),
        (
            "an alarm at a first release",
            paused(2).alarm("critical").record(|record| record.from = None),
            "enter Shifting(0)",
        ),
        ("not yet, or no longer, paused", at(Verifying, Some(State::Starting), 1), "wait 5 s for ECS to wait"),
        ("somebody told it to go on while it was tried", at(Verifying, Some(State::Shifting), 1), "enter Shifting(0)"),
    ]);
}

#[test]
fn moving_and_watching() {
    use Phase::{Finished, Monitoring, Shifting};
    let moving = |state| at(Shifting(0), Some(state), 0);
    let watched = |state, after| at(Monitoring, Some(state), after);
    table(vec![
        ("tell it", moving(State::Paused), "continue"),
        ("a task died", moving(State::Paused).newest(|newest| newest.running = 2), "wait 5 s for 2 of 3 tasks to run"),
        ("told", moving(State::Starting), "wait 5 s for ECS to move the traffic"),
        ("the traffic moves", moving(State::Shifting), "wait 5 s for ECS to move the traffic"),
        ("it has moved", moving(State::Baking), "enter Monitoring"),
        ("it has moved long ago", moving(State::Succeeded), "enter Monitoring"),
        ("ECS watches", watched(State::Baking, 4), "wait 5 s for the watch by ECS, 6 min left"),
        ("ECS cleans up", watched(State::Baking, 11), "wait 5 s for ECS to stop the old tasks"),
        ("the end", watched(State::Succeeded, 10), "enter Finished"),
        ("switched is finished", watched(State::Succeeded, 10).goal(Goal::Switched), "enter Finished"),
        ("finished", at(Finished, Some(State::Succeeded), 0), "done"),
        (
            "finished, and others deploy",
            at(Finished, Some(State::Starting), 0).newest(|n| n.revision = "api:3".into()),
            "done",
        ),
    ]);
}

#[test]
fn going_back() {
    use Phase::{Finished, Monitoring, Preparing, RolledBack, Shifting, Verifying};
    let asked = |phase, state| at(phase, Some(state), 1).goal(Goal::Back);
    let alarm = || "the alarm api-errors went off".to_owned();
    let back = |state| at(RolledBack, Some(state), 1).side(|side| side.revision = "api:1".into());
    let two = |side: &mut Side| side.running = 2;
    table(vec![
        ("while tasks start", asked(Preparing, State::Starting), "stop: asked for"),
        ("while it is paused", asked(Verifying, State::Paused), "stop: asked for"),
        ("while the traffic moves", asked(Shifting(0), State::Shifting), "stop: asked for"),
        ("while ECS watches", asked(Monitoring, State::Baking), "stop: asked for"),
        ("as ECS has ended", asked(Monitoring, State::Succeeded), "return: asked for"),
        ("after the end", asked(Finished, State::Succeeded), "return: asked for"),
        ("asked twice", asked(Monitoring, State::GoingBack(alarm())), "taken back: the alarm api-errors went off"),
        (
            "ECS goes back",
            at(Monitoring, Some(State::GoingBack(alarm())), 1),
            "taken back: the alarm api-errors went off",
        ),
        (
            "ECS went back while tasks started",
            at(Preparing, Some(State::WentBack(alarm())), 1),
            "taken back: the alarm api-errors went off",
        ),
        (
            "ECS went back from the pause",
            at(Verifying, Some(State::WentBack(alarm())), 1),
            "taken back: the alarm api-errors went off",
        ),
        ("ECS could not go back", at(Monitoring, Some(State::Broken("no role".into())), 1), "return: no role"),
        (
            "another deployment",
            at(Verifying, Some(State::Starting), 1).newest(|newest| newest.revision = "api:3".into()),
            "taken back: another deployment has taken its place",
        ),
        (
            "another deployment, and asked back",
            asked(Verifying, State::Starting).newest(|newest| newest.revision = "api:3".into()),
            "taken back: another deployment has taken its place",
        ),
        ("ECS forgot it", at(Monitoring, None, 2), "taken back: ECS no longer knows of its deployment"),
        ("on the way back", back(State::GoingBack(alarm())), "wait 5 s for ECS to go back"),
        ("back", back(State::WentBack(alarm())), "done"),
        ("back, and asked for once more", back(State::WentBack(alarm())).goal(Goal::Back), "done"),
        ("back, and tasks lack", back(State::WentBack(alarm())).side(two), "wait 5 s for 2 of 3 tasks to run"),
        (
            "released again",
            back(State::Starting).newest(|n| n.revision = "api:1".into()),
            "wait 5 s for the old version",
        ),
        ("released again, done", back(State::Succeeded).newest(|n| n.revision = "api:1".into()), "done"),
        ("a first release", back(State::WentBack(alarm())).record(|r| r.from = None).side(two), "done"),
    ]);
}
