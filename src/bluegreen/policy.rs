//! The policy of a release, in numbers.

use jiff::SignedDuration;

use super::Record;
use crate::environment::releases::Release;

/// A limit over a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Over {
    pub limit: f64,
    pub time: SignedDuration,
}

/// What takes a release back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Percent of the requests that fail.
    pub errors: Option<Over>,
    /// Milliseconds of an average answer.
    pub latency: Option<Over>,
    /// Percent of the tasks that are not healthy.
    pub unhealthy: Option<f64>,
    /// Alarms by name or severity.
    pub alarms: Vec<String>,
}

/// A share of the traffic, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Percent, below 100.
    pub share: u16,
    pub hold: SignedDuration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How long the new tasks may take to become healthy.
    pub prepare: SignedDuration,
    pub verify: SignedDuration,
    pub monitor: SignedDuration,
    pub keep: SignedDuration,
    /// How often to look where nothing else says when.
    pub look: SignedDuration,
    /// The period of the metrics.
    pub period: SignedDuration,
    /// The tasks of a first release; later ones have as many as serve.
    pub count: u32,
    /// The steps before everything.
    pub steps: Vec<Step>,
    pub limits: Limits,
    /// Whether traffic is moved though an alarm is firing.
    pub despite_alarms: bool,
    /// Whether a job runs first.
    pub migrate: bool,
    /// Whether there are requests that must succeed through the test rule.
    pub checks: bool,
}

/// The periods of metrics shorter than a minute that CloudWatch knows, in seconds. Load balancers tell minutes, which then
/// stand at their beginning.
const PERIODS: [i64; 4] = [30, 10, 5, 1];
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const LOOK: SignedDuration = SignedDuration::from_secs(5);

/// Time for new tasks to start, to pull a large image, and to pass their health checks.
const PREPARE: SignedDuration = SignedDuration::from_mins(15);

impl Policy {
    /// The policy of one release. A way back has been tried before, and is what mends an alarm.
    #[must_use]
    pub(super) fn of(&self, record: &Record) -> Self {
        let policy = self.clone();
        if !record.back {
            return policy;
        }
        let steps = Vec::new();
        Self { verify: SignedDuration::ZERO, steps, migrate: false, checks: false, despite_alarms: true, ..policy }
    }

    /// How many tasks the new version gets: as many as serve, and those of a first release where none do.
    #[must_use]
    pub fn tasks(&self, serving: u32) -> u32 {
        if serving > 0 { serving } else { self.count.max(1) }
    }

    /// After so long what CloudWatch knows of a time is complete, and clocks that differ do not matter any more.
    #[must_use]
    pub fn late(&self) -> SignedDuration {
        self.period * 6
    }

    /// How long a load balancer may take to learn of new weights.
    #[must_use]
    pub fn settle(&self) -> SignedDuration {
        self.look * 6
    }
}

impl From<&Release> for Policy {
    fn from(release: &Release) -> Self {
        let time = |duration: crate::environment::types::Duration| {
            SignedDuration::from_secs(i64::try_from(duration.seconds()).unwrap_or(i64::MAX))
        };
        let rollback = &release.rollback;
        let canary = release.canary.map(|share| Step { share: whole(share.percent.ratio()), hold: time(share.over) });
        let linear = release.linear.map(|share| {
            let part = whole(share.percent.ratio());
            let shares = (1..).map(move |number| number * part).take_while(|share| *share < 100);
            shares.map(|share_now| Step { share: share_now, hold: time(share.over) }).collect::<Vec<_>>()
        });
        let limits = [rollback.errors.map(|share| share.over), rollback.latency.map(|latency| latency.over)];
        let holds = canary.iter().chain(linear.iter().flatten()).map(|step| step.hold);
        let limits = limits.into_iter().flatten().map(time);
        let times = [release.verify, release.monitor].map(time).into_iter().chain(limits.clone());
        let shortest = limits.min().unwrap_or(MINUTE);
        Self {
            prepare: PREPARE,
            look: times.chain(holds).filter(|time| time.is_positive()).map(|time| time / 10).fold(LOOK, Ord::min),
            period: period(shortest),
            count: 1,
            verify: time(release.verify),
            monitor: time(release.monitor),
            keep: time(release.keep),
            steps: canary.into_iter().chain(linear.unwrap_or_default()).collect(),
            limits: Limits {
                errors: rollback
                    .errors
                    .map(|share| Over { limit: share.percent.ratio() * 100.0, time: time(share.over) }),
                latency: rollback
                    .latency
                    .map(|latency| Over { limit: f64::from(latency.milliseconds), time: time(latency.over) }),
                unhealthy: rollback.unhealthy.map(|percent| percent.ratio() * 100.0),
                alarms: rollback.alarms.clone(),
            },
            despite_alarms: false,
            migrate: release.before.is_some(),
            checks: !release.checks.is_empty(),
        }
    }
}

/// The longest period of metrics that shows a limit's time twice.
fn period(shortest: SignedDuration) -> SignedDuration {
    if shortest >= MINUTE {
        return MINUTE;
    }
    let fits = PERIODS.into_iter().find(|period| period * 2 <= shortest.as_secs());
    SignedDuration::from_secs(fits.unwrap_or(1))
}

/// Whole percent of a part of one. The load balancer takes shares no finer.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage is between 0 and 100")]
fn whole(ratio: f64) -> u16 {
    ((ratio * 100.0).round() as u16).clamp(1, 99)
}
