//! After the traffic has moved.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn watching_after_the_switch() {
    use Phase::Monitoring;
    let slow = |minute: &mut Sample| minute.latency = Some(2001.0);
    let quiet = |minute: &mut Sample| (minute.requests, minute.latency) = (0.0, None);
    let back = |why: &str| format!("roll back 0/100 to 100/0: {why}");
    let errors = back("1.1 % of the requests failed in 5 min");
    let latency = back("answers took 2001 ms or more for 3 min");
    let half = back("1 of 4 tasks are healthy");
    let none = back("no task of the new colour is healthy");
    let alarm = back("the alarm api-errors went off");
    let silent = back("nothing shows that it works: no requests in all the time that it was watched");
    let waits = "wait: the watch, 4 min left";
    table(vec![
        ("all is well", at(Monitoring, 6), waits),
        ("and stays well", at(Monitoring, 10), "enter Keeping"),
        ("the errors are at the limit", at(Monitoring, 6).each(|minute| minute.errors = 10.0), waits),
        ("the errors are above it", at(Monitoring, 6).each(|minute| minute.errors = 11.0), &errors),
        ("not for long enough", at(Monitoring, 6).seen((0..4).map(|at| Sample { errors: 500.0, ..calm(at) })), waits),
        (
            "the time is the limit's, not the last minute's",
            at(Monitoring, 6).seen((0..6).map(|at| Sample { errors: if at == 5 { 49.0 } else { 0.0 }, ..calm(at) })),
            waits,
        ),
        (
            "old errors are forgotten",
            at(Monitoring, 6).seen((0..6).map(|at| Sample { errors: if at == 0 { 900.0 } else { 0.0 }, ..calm(at) })),
            waits,
        ),
        (
            "errors of the old colour before the switch",
            at(Monitoring, 6).seen((-6..0).map(|at| Sample { errors: 500.0, ..calm(at) }).chain((0..6).map(calm))),
            waits,
        ),
        ("slow at the limit", at(Monitoring, 6).each(|minute| minute.latency = Some(2000.0)), waits),
        ("slow above it", at(Monitoring, 6).each(slow), &latency),
        (
            "slow for two minutes",
            at(Monitoring, 6)
                .seen((0..6).map(|at| Sample { latency: Some(if at > 3 { 9000.0 } else { 100.0 }), ..calm(at) })),
            waits,
        ),
        (
            "slow, with a minute without requests",
            at(Monitoring, 6).seen((0..6).map(|at| Sample { latency: (at != 4).then_some(2001.0), ..calm(at) })),
            &latency,
        ),
        ("metrics come late", at(Monitoring, 6).seen((0..3).map(calm)), waits),
        ("no metrics yet", at(Monitoring, 6).seen([]), waits),
        ("half of the tasks are healthy", at(Monitoring, 6).green(|green| green.healthy = 2), waits),
        ("fewer than half", at(Monitoring, 6).green(|green| green.healthy = 1), &half),
        (
            "tasks died, targets are gone",
            at(Monitoring, 6).green(|green| (green.healthy, green.targets, green.running) = (1, 1, 1)),
            &half,
        ),
        ("it grows with the load", at(Monitoring, 6).green(|green| (green.desired, green.starting) = (12, 8)), waits),
        (
            "most targets fail their checks, though enough pass",
            at(Monitoring, 6).green(|green| (green.desired, green.targets, green.unhealthy) = (12, 12, 8)),
            &back("4 of 12 tasks are healthy"),
        ),
        ("all died", at(Monitoring, 6).green(|green| green.healthy = 0), &none),
        ("an alarm", at(Monitoring, 6).alarm("critical"), &alarm),
        (
            "an alarm by its name",
            at(Monitoring, 6).alarm("warning").policy(|policy| policy.limits.alarms = vec!["api-errors".into()]),
            &alarm,
        ),
        ("an alarm that began before", at(Monitoring, 6).firing("old", "critical"), waits),
        ("an alarm that nobody named", at(Monitoring, 6).alarm("warning"), waits),
        ("no limits at all", at(Monitoring, 6).each(slow).policy(|policy| policy.limits = Limits::default()), waits),
        ("no traffic", at(Monitoring, 10).each(quiet), "extend"),
        ("no metrics in all the time", at(Monitoring, 10).seen([]), "extend"),
        ("metrics stopped", at(Monitoring, 10).seen((0..3).map(calm)), "extend"),
        (
            "prolonged",
            at(Monitoring, 12).each(quiet).record(|record| record.extended = true),
            "wait: the watch, 8 min left",
        ),
        (
            "a first release, without traffic",
            at(Monitoring, 10).each(quiet).record(|record| record.from = None),
            "enter Keeping",
        ),
        ("prolonged, and then traffic", at(Monitoring, 20).record(|record| record.extended = true), "enter Keeping"),
        ("prolonged in vain", at(Monitoring, 20).each(quiet).record(|record| record.extended = true), &silent),
        ("no watch at all", at(Monitoring, 0).seen([]).policy(|policy| policy.monitor = minutes(0)), "enter Keeping"),
        (
            "the first numbers are on their way",
            at(Monitoring, 2).seen([]).policy(|policy| policy.monitor = minutes(2)),
            "wait: what is known of the first minutes",
        ),
        (
            "a way back is not taken back",
            at(Monitoring, 6)
                .each(|sample| sample.errors = 500.0)
                .alarm("critical")
                .record(|record| record.back = true),
            waits,
        ),
        (
            "the old colour is half dead",
            at(Monitoring, 6).each(slow).blue(|blue| blue.healthy = 1),
            "halt: answers took 2001 ms or more for 3 min; but of the old colour only 1 of 4 tasks are healthy",
        ),
        (
            "asked back all the same",
            at(Monitoring, 6).blue(|blue| blue.healthy = 1).goal(Goal::Back),
            "roll back 0/100 to 100/0: asked for",
        ),
        ("no traffic, but checks pass", at(Monitoring, 10).each(quiet).checks(Some(Ok(()))), "enter Keeping"),
        (
            "the old colour is gone",
            at(Monitoring, 6).each(slow).blue(|blue| *blue = side("api:1", 0)),
            "halt: answers took 2001 ms or more for 3 min; the old colour answers nothing, so that the traffic stays where it is",
        ),
        (
            "both are gone",
            at(Monitoring, 6).green(|green| green.healthy = 0).blue(|blue| blue.healthy = 0),
            "halt: no task of the new colour is healthy; neither colour answers",
        ),
        ("somebody went back by hand", at(Monitoring, 6).weights(0), "enter RolledBack"),
        ("asked back", at(Monitoring, 6).goal(Goal::Back), "roll back 0/100 to 100/0: asked for"),
        ("a clock that is behind", at(Monitoring, -2), "wait: the watch, 10 min left"),
    ]);
    assert!(at(Monitoring, 6).weights(50).does().ends_with(MOVED));
}

#[test]
fn keeping_and_ending() {
    use Phase::{Finished, Keeping, RolledBack};
    let off = |side: &mut Side| *side = self::side(&side.revision, 0);
    table(vec![
        ("the old colour is kept", at(Keeping, 10), "wait: the time for which the old colour is kept, 20 min left"),
        ("switch ends there", at(Keeping, 0).goal(Goal::Switched), "done"),
        ("the time is over", at(Keeping, 30), "stop blue"),
        (
            "not while the new colour is not whole",
            at(Keeping, 30).green(|green| green.healthy = 3),
            "wait: 3 of 4 tasks to be healthy",
        ),
        ("stopped", at(Keeping, 30).blue(off), "enter Finished"),
        (
            "an alarm while it is kept",
            at(Keeping, 10).alarm("critical"),
            "roll back 0/100 to 100/0: the alarm api-errors went off",
        ),
        ("asked back while it is kept", at(Keeping, 10).goal(Goal::Back), "roll back 0/100 to 100/0: asked for"),
        ("somebody went back by hand", at(Keeping, 10).weights(0), "enter RolledBack"),
        ("finished", at(Finished, 0).blue(off), "done"),
        ("killed before the old colour stopped", at(Finished, 1), "stop blue"),
        ("asked back too late", at(Finished, 0).blue(off).goal(Goal::Back), "halt: blue no longer runs"),
        ("taken back", at(RolledBack, 1), "stop green"),
        ("taken back just now", at(RolledBack, 0), "wait: the load balancer to have settled, 30 s left"),
        ("taken back and stopped", at(RolledBack, 0).green(off), "done"),
        (
            "asked back while somebody gives it traffic again",
            at(RolledBack, 0).weights(20).goal(Goal::Back),
            "roll back 80/20 to 100/0: asked for",
        ),
        (
            "the service had no colours",
            at(Keeping, 1).record(|record| record.to = None),
            "halt: the last release replaced tasks one by one, before the service had two colours",
        ),
        ("asked back twice", at(RolledBack, 0).green(off).goal(Goal::Back), "done"),
    ]);
    assert!(at(RolledBack, 0).weights(20).does().ends_with(MOVED), "what carries traffic is not stopped");
    assert!(at(Keeping, 10).weights(60).does().ends_with(MOVED));
}
