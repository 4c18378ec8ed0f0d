//! `release` of a service: how a new version takes over, and what undoes it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::{Duration, Percent, written_as_text};

/// How a new version takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Default: `blue_green` for a service with a `route`, else `rolling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// How long the new version is tried through the test rule before it gets traffic. Default: `2m`.
    #[schemars(extend("x-longest" = "1d"))]
    pub verify: Duration,
    /// How long errors and latency are watched after the switch. Default: `10m`.
    #[schemars(extend("x-longest" = "1d"))]
    pub monitor: Duration,
    /// How long the old version keeps running after that, for a quick way back. Default: `30m`.
    #[schemars(extend("x-longest" = "7d"))]
    pub keep: Duration,
    /// What brings the old version back by itself.
    pub rollback: Rollback,
    /// Gives the new version a part of the traffic first: `10% for 5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Share>,
    /// Moves the traffic in equal steps: `10% for 1m` moves a tenth each minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear: Option<Share>,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            strategy: None,
            verify: Duration(120),
            monitor: Duration(600),
            keep: Duration(1800),
            rollback: Rollback::default(),
            canary: None,
            linear: None,
        }
    }
}

/// How a new version takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Two sets of tasks; the traffic is switched at once, and back in seconds. Needs a `route`.
    BlueGreen,
    /// Tasks are replaced one by one; ECS goes back when new ones do not start.
    Rolling,
    /// The blue/green deployment that ECS does itself. Needs a `route`.
    Native,
}

/// What brings the old version back by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// The share of failed requests, over a time: `1% for 5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Share>,
    /// The response time, over a time: `2s for 3m` or `500ms for 3m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The share of tasks that fail their health check: `50%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<Percent>,
    /// Alarms, by name or severity: `[critical]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
}

/// A percentage over a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub percent: Percent,
    pub over: Duration,
}

written_as_text!(
    Share,
    "a percentage over a time",
    r"^(100|[0-9]{1,2}(\.[0-9]{1,2})?)% for [0-9]{1,6}[smhd]$",
    "1% for 5m",
    "a percentage and a time: `1% for 5m`"
);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (percent, over) = text.split_once(" for ").ok_or("write it as `1% for 5m`")?;
        Ok(Self { percent: percent.parse()?, over: over.parse()? })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.percent, self.over)
    }
}

/// A response time over a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    pub milliseconds: u32,
    pub over: Duration,
}

written_as_text!(
    Latency,
    "a response time over a time",
    "^([0-9]{1,3}s|[0-9]{1,6}ms) for [0-9]{1,6}[smhd]$",
    "2s for 3m",
    "a response time and a time: `2s for 3m` or `500ms for 3m`"
);

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (limit, over) = text.split_once(" for ").ok_or("write it as `2s for 3m`")?;
        let (digits, unit) = limit.strip_suffix("ms").map_or_else(|| (limit.trim_end_matches('s'), 1000), |ms| (ms, 1));
        let number = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
        let milliseconds = number.ok_or_else(|| format!("`{limit}` is not `2s` or `500ms`"))?;
        Ok(Self { milliseconds, over: over.parse()? })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.milliseconds {
            whole if whole.is_multiple_of(1000) => write!(f, "{}s for {}", whole / 1000, self.over),
            part => write!(f, "{part}ms for {}", self.over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_survive_a_round_trip() {
        for text in ["1% for 5m", "0.5% for 90s"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        for text in ["2s for 3m", "500ms for 3m"] {
            assert_eq!(text.parse::<Latency>().unwrap().to_string(), text);
        }
    }
}
