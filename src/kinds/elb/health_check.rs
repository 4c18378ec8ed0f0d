//! How a load balancer finds out which targets of a group can take requests.

use aws_sdk_elasticloadbalancingv2::types::{Matcher, ProtocolEnum, TargetGroup as SdkTargetGroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Protocol, check_range};
use crate::kind::Problem;
use crate::kinds::target_group::{ProtocolVersion, TargetType};

/// How the load balancer finds out which targets can take requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// Absent, on; for a function, off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Absent, `/`; for gRPC, `/AWS.ALB/healthcheck`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Seconds between two checks of one target. Absent, 30; for a function, 35.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u16>,
    /// Seconds after which silence is a failure. Absent, 5; for a function, 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u16>,
    /// Successes in a row that make a target healthy.
    #[serde(default = "five")]
    pub healthy: u8,
    /// Failures in a row that make a target unhealthy.
    #[serde(default = "two")]
    pub unhealthy: u8,
    /// The codes of success, as in `200-299` or `200,302`. Absent, `200`; for gRPC, `12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matcher: Option<String>,
    /// A port, or `traffic-port` for the one that gets the requests.
    #[serde(default = "traffic_port")]
    pub port: String,
    #[serde(default)]
    pub protocol: Protocol,
}

fn five() -> u8 {
    5
}
fn two() -> u8 {
    2
}
fn traffic_port() -> String {
    "traffic-port".into()
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: None,
            path: None,
            interval: None,
            timeout: None,
            healthy: five(),
            unhealthy: two(),
            matcher: None,
            port: traffic_port(),
            protocol: Protocol::Http,
        }
    }
}

impl HealthCheck {
    /// Writes out the defaults, which depend on what the targets are.
    pub fn fill(&mut self, target: TargetType, version: ProtocolVersion) {
        let (lambda, grpc) = (target == TargetType::Lambda, version == ProtocolVersion::Grpc);
        self.enabled.get_or_insert(!lambda);
        self.path.get_or_insert_with(|| if grpc { "/AWS.ALB/healthcheck" } else { "/" }.to_owned());
        self.interval.get_or_insert(if lambda { 35 } else { 30 });
        self.timeout.get_or_insert(if lambda { 30 } else { 5 });
        self.matcher.get_or_insert_with(|| if grpc { "12" } else { "200" }.to_owned());
    }

    pub fn matcher(&self, version: ProtocolVersion) -> Matcher {
        let (matcher, codes) = (Matcher::builder(), self.matcher.clone());
        match version {
            ProtocolVersion::Grpc => matcher.set_grpc_code(codes).build(),
            _ => matcher.set_http_code(codes).build(),
        }
    }

    pub fn read(live: &SdkTargetGroup) -> Self {
        let seconds = |value: Option<i32>| value.and_then(|value| u16::try_from(value).ok());
        let count = |value: Option<i32>, default| value.and_then(|value| u8::try_from(value).ok()).unwrap_or(default);
        let codes = live.matcher().and_then(|matcher| matcher.http_code().or(matcher.grpc_code()));
        Self {
            enabled: live.health_check_enabled(),
            path: live.health_check_path().map(str::to_owned),
            interval: seconds(live.health_check_interval_seconds()),
            timeout: seconds(live.health_check_timeout_seconds()),
            healthy: count(live.healthy_threshold_count(), five()),
            unhealthy: count(live.unhealthy_threshold_count(), two()),
            matcher: codes.map(str::to_owned),
            port: live.health_check_port().map_or_else(traffic_port, str::to_owned),
            protocol: Protocol::read(live.health_check_protocol().map(ProtocolEnum::as_str)),
        }
    }

    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (interval, timeout) = (self.interval.unwrap_or(30), self.timeout.unwrap_or(5));
        problems.extend(check_range("health_check.interval", interval, 5, 300));
        problems.extend(check_range("health_check.timeout", timeout, 2, 120));
        problems.extend(check_range("health_check.healthy", self.healthy, 2, 10));
        problems.extend(check_range("health_check.unhealthy", self.unhealthy, 2, 10));
        if timeout >= interval {
            let message = format!("a check may take {timeout} s, but the next one starts after {interval} s");
            let help = "make the timeout shorter than the interval";
            problems.push(Problem::new("health_check.timeout", message).help(help));
        }
        if self.path.as_ref().is_some_and(|path| !path.starts_with('/') || path.len() > 1024) {
            let message = "the path must start with `/` and have at most 1024 characters";
            problems.push(Problem::new("health_check.path", message));
        }
        if self.port != traffic_port() && !self.port.parse::<u16>().is_ok_and(|port| port > 0) {
            let help = "write a number from 1 to 65535, or traffic-port";
            problems.push(Problem::new("health_check.port", format!("`{}` is not a port", self.port)).help(help));
        }
        let code = |c: char| c.is_ascii_digit() || c == ',' || c == '-';
        if self.matcher.as_ref().is_some_and(|matcher| matcher.is_empty() || !matcher.chars().all(code)) {
            let message = "the codes of success are numbers, ranges and commas";
            problems.push(Problem::new("health_check.matcher", message).help("as in `200-299` or `200,302`"));
        }
        problems
    }
}
