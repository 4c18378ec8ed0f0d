//! What a release sees: the two colours as they are, its own record, metrics and alarms.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One of the two sets of tasks of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    Blue,
    Green,
}

impl Colour {
    pub const ALL: [Self; 2] = [Self::Blue, Self::Green];

    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

/// A value for each colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Both<T> {
    pub blue: T,
    pub green: T,
}

impl<T> Both<T> {
    pub const fn of(&self, colour: Colour) -> &T {
        match colour {
            Colour::Blue => &self.blue,
            Colour::Green => &self.green,
        }
    }

    pub const fn of_mut(&mut self, colour: Colour) -> &mut T {
        match colour {
            Colour::Blue => &mut self.blue,
            Colour::Green => &mut self.green,
        }
    }
}

/// The shares of the traffic, as the production rule has them.
pub type Weights = Both<u16>;

impl Weights {
    /// `share` percent to `colour`, the rest to the other one.
    #[must_use]
    pub const fn with(colour: Colour, share: u16) -> Self {
        let rest = 100 - share;
        match colour {
            Colour::Blue => Self { blue: share, green: rest },
            Colour::Green => Self { blue: rest, green: share },
        }
    }

    /// The colour that carries most of the traffic; none where both carry as much.
    #[must_use]
    pub fn active(&self) -> Option<Colour> {
        match self.blue.cmp(&self.green) {
            std::cmp::Ordering::Greater => Some(Colour::Blue),
            std::cmp::Ordering::Less => Some(Colour::Green),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// How ECS gets on with the tasks of a colour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollout {
    #[default]
    Completed,
    InProgress,
    /// And why: the stopped reason, the exit code, the last lines of the log.
    Failed(String),
}

/// The tasks of one colour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The task definition with its revision.
    pub revision: String,
    pub desired: u32,
    pub running: u32,
    /// Tasks that are not yet running, or whose health is not yet known.
    pub starting: u32,
    /// Targets that the load balancer finds healthy or unhealthy, of all that it sends to or is about to.
    pub healthy: u32,
    pub unhealthy: u32,
    pub targets: u32,
    pub rollout: Rollout,
}

impl Side {
    /// Whether it could carry all of the traffic: every task that it should have is there and healthy.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.desired > 0
            && self.healthy >= self.desired
            && self.targets == self.healthy
            && self.rollout == Rollout::Completed
    }

    /// Whether all that it lacks are tasks that are on their way.
    #[must_use]
    pub fn is_growing(&self) -> bool {
        self.healthy < self.desired && self.unhealthy == 0 && self.healthy + self.starting >= self.desired
    }

    /// Whether it answers at all.
    #[must_use]
    pub const fn serves(&self) -> bool {
        self.healthy > 0
    }
}

/// What a colour did in one period of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When the period began.
    pub at: Timestamp,
    pub requests: f64,
    /// Requests that failed, on the service's side or because it could not be reached.
    pub errors: f64,
    /// The average time of an answer in milliseconds; none without requests.
    pub latency: Option<f64>,
    /// How the times are spread.
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

impl Sample {
    /// A period in which nothing is known to have happened.
    #[must_use]
    pub const fn at(at: Timestamp) -> Self {
        Self { at, requests: 0.0, errors: 0.0, latency: None, p50: None, p95: None }
    }
}

/// An alarm that is firing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub name: String,
    pub severity: String,
}

/// Everything that a decision rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub sides: Both<Side>,
    pub weights: Weights,
    /// The colour that the test rule leads to.
    pub test: Colour,
    /// Periods that are complete, by colour, in order. CloudWatch knows of them a few minutes late.
    pub samples: Both<Vec<Sample>>,
    pub alarms: Vec<Alarm>,
    /// What the checks through the test rule said last, where the policy has some.
    pub checks: Option<Result<(), String>>,
    pub record: Option<super::Record>,
}
