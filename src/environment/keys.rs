//! `keys`: KMS keys that encrypt the environment's data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// A symmetric KMS key with an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What the key is for; the AWS console shows it.
    #[serde(default)]
    #[schemars(length(max = 8192))]
    pub description: String,
    /// How often AWS makes new key material, 90d to 2560d. Default: `365d`.
    #[serde(default = "yearly")]
    #[schemars(extend("x-shortest" = "90d", "x-longest" = "2560d", "x-whole-days" = true))]
    pub rotation: Duration,
    /// How many days a deleted key can be restored, 7 to 30. Default: 30.
    #[serde(default = "month")]
    #[schemars(range(min = 7, max = 30))]
    pub deletion_window: u8,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

const fn yearly() -> Duration {
    Duration::from_days(365)
}

const fn month() -> u8 {
    30
}
