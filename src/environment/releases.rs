//! `release` of a service: how a new version takes over, and what undoes it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::services::Route;
use super::types::{Duration, Percent, written_as_text};

/// How a new version takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Default: `blue_green` for a service with a `route`, else `rolling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The job that runs once, with the new image, before the first new task starts: `migrate`. It is one of this
    /// service, or has an image of its own. What it changes must suit the old version too, which goes on serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How long the new version is tried through the test rule before it gets traffic. Default: `2m`.
    #[schemars(extend("x-longest" = "1d"))]
    pub verify: Duration,
    /// Requests through the test rule that must succeed before the new version gets traffic: `[{ path: /health }]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub checks: Vec<Check>,
    /// How long errors and latency are watched after the switch. With `strategy: native`, how long ECS watches its alarms
    /// and keeps the old version, in whole minutes. Default: `10m`.
    #[schemars(extend("x-longest" = "1d"))]
    pub monitor: Duration,
    /// How long the old version keeps running after that, for a quick way back; not with `strategy: native`. Default:
    /// `30m`.
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
            before: None,
            verify: Duration(120),
            checks: Vec::new(),
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
    /// The blue/green deployment that ECS does itself: it waits for `infra bluegreen switch`, moves the traffic, watches
    /// alarms, and stops the old tasks at the end of `monitor`. Needs a `route`. A change to it, or away from it, makes the
    /// service anew, and interrupts it.
    Native,
}

/// A request through the test rule that must succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The path that is asked for, with a query where it needs one: `/health` or `/search?q=shoes`.
    #[schemars(length(max = 1024), regex(pattern = r"^/[!-~]*$"), title = "a path", example = &"/health")]
    pub path: String,
    /// The HTTP status that means success: one (`"200"`), several (`"200,302"`) or a range (`"200-299"`). Default:
    /// `"200-399"`.
    #[serde(default = "success")]
    #[schemars(regex(pattern = r"^[2-4][0-9]{2}([,-][2-4][0-9]{2})*$"), title = "an HTTP status", example = &"200-299")]
    pub status: String,
    /// Text that the answer must hold: `"ok"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub contains: Option<String>,
    /// The host that is asked. Default: the first one of the `route` without a wildcard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9.-]+$"), title = "a host name", example = &"api.example.com")]
    pub host: Option<String>,
}

fn success() -> String {
    "200-399".to_owned()
}

impl Check {
    /// Whether this status means success.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        self.status.split(',').any(|one| {
            let (from, to) = one.split_once('-').unwrap_or((one, one));
            from.parse().is_ok_and(|from: u16| from <= status) && to.parse().is_ok_and(|to: u16| status <= to)
        })
    }

    /// The host that is asked; nothing where the route takes requests for any.
    #[must_use]
    pub fn host<'a>(&'a self, route: &'a Route) -> Option<&'a str> {
        let plain = || route.hosts.iter().find(|host| !host.contains(['*', '?']));
        self.host.as_ref().or_else(plain).map(String::as_str)
    }
}

/// What brings the old version back by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// The share of failed requests, over a time: `1% for 5m`. With `strategy: native`, name an alarm instead.
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
    fn a_check_accepts_what_it_says() {
        let accepts = |status: &str, answer| {
            let check: Check = serde_json::from_value(serde_json::json!({ "path": "/", "status": status })).unwrap();
            check.accepts(answer)
        };
        assert!(accepts("200", 200) && !accepts("200", 201));
        assert!(accepts("200,302", 302) && !accepts("200,302", 301));
        assert!(accepts("200-299,401", 204) && accepts("200-299,401", 401) && !accepts("200-299,401", 400));
        let usual: Check = serde_json::from_str(r#"{ "path": "/" }"#).unwrap();
        assert!(usual.accepts(200) && usual.accepts(399) && !usual.accepts(400) && !usual.accepts(199));
    }

    #[test]
    fn a_check_asks_a_host_of_the_route() {
        let mut check: Check = serde_json::from_str(r#"{ "path": "/" }"#).unwrap();
        let hosts = ["*.example.com", "api.example.com"].map(str::to_owned).to_vec();
        assert_eq!(check.host(&Route { hosts, ..Route::default() }), Some("api.example.com"));
        assert_eq!(check.host(&Route::default()), None);
        check.host = Some("b.example.com".to_owned());
        assert_eq!(check.host(&Route::default()), Some("b.example.com"));
    }

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
