//! `tracing`: X-Ray.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Percent;

/// Traces requests through the services with X-Ray. Each service gets a collector beside its container, the address of
/// the collector in `AWS_XRAY_DAEMON_ADDRESS`, and its name in `AWS_XRAY_TRACING_NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tracing {
    /// The share of requests that are recorded. Default: `5%`.
    pub sample: Percent,
    /// Requests each second that are recorded before the share counts. Default: 1.
    #[schemars(range(max = 10000))]
    pub per_second: u32,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { sample: Percent(500), per_second: 1 }
    }
}
