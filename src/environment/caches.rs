//! `caches`: Valkey and Redis on ElastiCache.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::{DailyWindow, Duration, Scalar, WeeklyWindow};
use crate::diagnostic::Diagnostic;

/// A cache: Valkey or Redis in the data subnets, encrypted on disk and on the wire. Clients connect with TLS
/// (`rediss://`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// The engine. Default: `valkey`. `redis` can become `valkey` later, and never back.
    #[serde(default)]
    pub engine: Engine,
    /// The engine's version in quotes, with its minor one: `"8.0"`. Default: valkey `"8.0"`, redis `"7.1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+\.[0-9]+(\.[0-9]+)?$"), title = "a version with its minor one", example = &"8.0")]
    pub version: Option<String>,
    /// The size of each node. Default: `cache.t4g.micro`.
    #[serde(default = "node")]
    #[schemars(regex(pattern = r"^cache\.[a-z0-9-]+\.[a-z0-9-]+$"), title = "a node type", example = &"cache.t4g.micro")]
    pub node: String,
    /// Copies of the node in other zones, 0 to 5; with one or more, a copy takes over when the node fails. Default: 0.
    #[serde(default)]
    #[schemars(range(max = 5), example = 1)]
    pub replicas: u8,
    /// What goes when the memory is full. Default: `noeviction`, writes fail, so that a queue loses nothing.
    #[serde(default)]
    pub evict: Evict,
    /// Daily snapshots.
    #[serde(default)]
    pub snapshots: Snapshots,
    /// When AWS may restart it for updates, at least an hour, in UTC: `sun:04:00-sun:05:00`. Default: AWS chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<WeeklyWindow>,
    /// Settings of the engine: `{ timeout: 300 }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = parameter_names()))]
    pub parameters: BTreeMap<String, Scalar>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// An engine of caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    #[default]
    Valkey,
    Redis,
}

/// What goes when the memory is full: `volatile` ones only take keys that expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evict {
    /// Nothing; writes fail.
    #[default]
    Noeviction,
    /// What was not used for longest. Right for what can be computed again.
    AllkeysLru,
    /// What is used least.
    AllkeysLfu,
    AllkeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    /// What expires next.
    VolatileTtl,
}

/// Daily snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Snapshots {
    /// How long each one is kept, 0d (none are taken) to 35d. Default: `7d`.
    #[schemars(extend("x-longest" = "35d", "x-whole-days" = true))]
    pub keep: Duration,
    /// When, at least an hour, in UTC: `03:00-04:00`. Default: AWS chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<DailyWindow>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { keep: Duration::from_days(7), window: None }
    }
}

fn node() -> String {
    "cache.t4g.micro".to_owned()
}

fn parameter_names() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid parameter name",
        "description": "lower-case letters, digits and `-`",
        "pattern": "^[a-z][a-z0-9-]*$",
    })
}

/// The parameter that `evict` stands for.
pub const EVICTION: &str = "maxmemory-policy";
/// The port of both engines.
pub const PORT: u16 = 6379;
/// The shortest window that ElastiCache takes, in minutes.
const SHORTEST: u16 = 60;

impl Engine {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valkey => "valkey",
            Self::Redis => "redis",
        }
    }
}

impl Evict {
    /// In the spelling of the engines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noeviction => "noeviction",
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysLfu => "allkeys-lfu",
            Self::AllkeysRandom => "allkeys-random",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileRandom => "volatile-random",
            Self::VolatileTtl => "volatile-ttl",
        }
    }
}

impl Cache {
    /// The version, where the file leaves it out.
    #[must_use]
    pub fn version(&self) -> String {
        let usual = match self.engine {
            Engine::Valkey => "8.0",
            Engine::Redis => "7.1",
        };
        self.version.clone().unwrap_or_else(|| usual.to_owned())
    }

    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        let snapshots = rules.tree.place_of(&["caches", name, "snapshots", "window"]);
        let maintenance = rules.tree.place_of(&["caches", name, "maintenance"]);
        let lengths = [
            ("snapshot", self.snapshots.window.map(DailyWindow::minutes), snapshots),
            ("maintenance", self.maintenance.map(WeeklyWindow::minutes), maintenance),
        ];
        for (what, minutes, place) in lengths {
            if let Some(minutes) = minutes.filter(|minutes| *minutes < SHORTEST) {
                let message = format!("the {what} window is {minutes} minutes long; AWS takes an hour or more");
                rules.report(Diagnostic::error("window", message).at(place, ""));
            }
        }
        if let (Some(daily), Some(weekly)) = (self.snapshots.window, self.maintenance)
            && weekly.overlaps(daily)
        {
            let error = Diagnostic::error("window", "the snapshot window and the maintenance window overlap");
            let error = error.at(maintenance, "maintenance").related(snapshots, "the daily snapshot");
            rules.report(error.help("move one of them: AWS refuses windows that share a minute"));
        }
        if self.snapshots.window.is_some() && self.snapshots.keep.days() == 0 {
            let error = Diagnostic::error("window", "a window for snapshots, but `keep: 0d` takes none");
            rules.report(error.at(snapshots, "").help("remove `window`, or keep snapshots for a day or more"));
        }
        if self.parameters.contains_key(EVICTION) {
            let message = format!("`{EVICTION}` has a field of its own");
            let place = rules.tree.key_place_of(&["caches", name, "parameters", EVICTION]);
            let error = Diagnostic::error("parameters", message).at(place, "");
            rules.report(error.help("write `evict: allkeys_lru` beside `parameters`, not in it"));
        }
    }
}
