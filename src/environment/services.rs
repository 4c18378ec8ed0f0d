//! `services`: containers on ECS Fargate.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::releases::Release;
use super::types::{Duration, Text};

/// A service: copies of one container, kept running on Fargate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The image, such as `${registries.api.url}`. Without a tag, releases decide which one runs.
    #[schemars(example = &"${registries.api.url}")]
    pub image: Text,
    /// The port that the container listens on, 1 to 65535. Needed with `route`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), example = 3000)]
    pub port: Option<u16>,
    /// CPU units of a task: 256, 512, 1024 (one core), 2048, 4096, 8192 or 16384. Default: 256.
    #[serde(default = "cpu")]
    #[schemars(example = 512)]
    pub cpu: u32,
    /// Memory of a task in MB; Fargate offers a few sizes for each `cpu`. Default: 512.
    #[serde(default = "memory")]
    #[schemars(example = 1024)]
    pub memory: u32,
    /// How many tasks run, 0 to 5000. Default: 1. Not together with `scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 5000))]
    pub count: Option<u32>,
    /// Lets the number of tasks follow the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Which requests of a load balancer come here. Without it, the service is a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// How the load balancer tells a healthy task.
    #[serde(default)]
    pub health: Health,
    /// Environment variables; values may hold references: `DATABASE_HOST: "${databases.main.endpoint}"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = variable_names()))]
    pub environment: BTreeMap<String, Text>,
    /// Environment variables from secrets: `JWT_KEY: "${secrets.jwt}"`. The value is read when a task starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = variable_names()))]
    pub secrets: BTreeMap<String, Text>,
    /// The arguments, in place of the image's own: `[node, worker.js]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<Text>>,
    /// The program, in place of the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<Text>>,
    /// How a new version takes over.
    #[serde(default)]
    pub release: Release,
    /// What the containers may do in AWS: IAM statements for the role of this service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Statement>,
    /// How long a task may take to stop before it is killed, 0s to 120s. Default: `30s`.
    #[serde(default = "half_a_minute")]
    #[schemars(extend("x-longest" = "120s"))]
    pub stop_timeout: Duration,
    /// How long failing health checks are ignored after a task's start. Default: `60s`.
    #[serde(default = "a_minute")]
    #[schemars(extend("x-longest" = "7d"))]
    pub grace: Duration,
    /// The processor that the image is built for. Default: `x86_64`.
    #[serde(default)]
    pub architecture: Architecture,
    /// Scratch disk of a task in GB, 21 to 200. Default: the 20 GB that are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 21, max = 200))]
    pub ephemeral_storage: Option<u16>,
    /// The services that it calls by name: with `calls: [orders]`, `http://orders:8080` reaches `orders`, which listens
    /// on 8080. What it calls needs a `port` and no `route`. It adds a small proxy to each task of both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
    /// Whether its requests are traced, where the file has `tracing`. Default: true.
    #[serde(default = "yes")]
    pub tracing: bool,
    /// The databases and caches that it connects to, by name; their firewalls open for it: `[main]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<String>,
    /// Whether tasks stand in the public subnets with an address of their own. Default: false.
    #[serde(default)]
    pub public: bool,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// Lets the number of tasks follow the load. At least one of `cpu`, `memory` and `requests` says which load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The fewest tasks, 0 to 5000. A service starts with so many.
    #[schemars(range(max = 5000), example = 2)]
    pub min: u32,
    /// The most tasks, 1 to 5000.
    #[schemars(range(min = 1, max = 5000), example = 10)]
    pub max: u32,
    /// The average CPU use to aim at, 1 to 100 percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100), example = 60)]
    pub cpu: Option<u8>,
    /// The average memory use to aim at, 1 to 100 percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100), example = 70)]
    pub memory: Option<u8>,
    /// The requests a minute for each task to aim at. Needs a `route`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000), example = 1000)]
    pub requests: Option<u32>,
}

/// Which requests of a load balancer come to a service. Without `hosts` and `paths`, all do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The load balancer's name. Default: the only one that the file has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<String>,
    /// Host names, `*` and `?` allowed: `[api.example.com]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9.*?-]+$")))]
    pub hosts: Vec<String>,
    /// Paths, `*` and `?` allowed: `[/api/*]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1, max = 128), regex(pattern = r#"^/[A-Za-z0-9_.$/~"'@:+&*?-]*$"#)))]
    pub paths: Vec<String>,
    /// Which rule is tried first: 1 before 25000. Default: routes with a host and a longer path come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 25000), example = 100)]
    pub priority: Option<u32>,
}

/// How the load balancer tells a healthy task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// The path that is asked. Default: `/`.
    #[schemars(length(max = 1024), regex(pattern = "^/"), title = "a path", example = &"/health")]
    pub path: String,
    /// Time between two checks, 5s to 300s. Default: `30s`.
    #[schemars(extend("x-shortest" = "5s", "x-longest" = "300s"))]
    pub interval: Duration,
    /// How long an answer may take, 2s to 120s and shorter than `interval`. Default: `5s`.
    #[schemars(extend("x-shortest" = "2s", "x-longest" = "120s"))]
    pub timeout: Duration,
    /// Successes in a row until a task counts as healthy, 2 to 10. Default: 2.
    #[schemars(range(min = 2, max = 10))]
    pub healthy: u8,
    /// Failures in a row until it counts as unhealthy, 2 to 10. Default: 3.
    #[schemars(range(min = 2, max = 10))]
    pub unhealthy: u8,
    /// The HTTP status that means healthy: one (`"200"`), several (`"200,302"`) or a range (`"200-299"`). Default:
    /// `"200"`.
    #[schemars(regex(pattern = r"^[2-4][0-9]{2}([,-][2-4][0-9]{2})*$"), title = "an HTTP status", example = &"200-299")]
    pub matcher: String,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            interval: Duration(30),
            timeout: Duration(5),
            healthy: 2,
            unhealthy: 3,
            matcher: "200".to_owned(),
        }
    }
}

/// An IAM statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Whether the actions are allowed or denied. Default: `allow`.
    #[serde(default)]
    pub effect: Effect,
    /// The actions, such as `[s3:GetObject]`.
    #[schemars(length(min = 1), inner(regex(pattern = r"^(\*|[a-z0-9-]+:[A-Za-z0-9*?]+)$")))]
    pub actions: Vec<String>,
    /// The ARNs that they are for, such as `["${buckets.files.arn}/*"]`.
    #[schemars(length(min = 1))]
    pub resources: Vec<Text>,
    /// Conditions: operator, key, values: `{ StringEquals: { "aws:SourceVpc": ["${network.vpc_id}"] } }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, BTreeMap<String, Vec<Text>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    #[default]
    Allow,
    Deny,
}

/// A processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Intel and AMD.
    #[default]
    #[serde(rename = "x86_64")]
    X86,
    /// AWS Graviton, about a fifth cheaper.
    Arm64,
}

pub(super) fn variable_names() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid name of an environment variable",
        "description": "letters, digits and `_`, not beginning with a digit",
        "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
        "maxLength": 255,
    })
}

const fn yes() -> bool {
    true
}

const fn cpu() -> u32 {
    256
}

const fn memory() -> u32 {
    512
}

const fn half_a_minute() -> Duration {
    Duration(30)
}

const fn a_minute() -> Duration {
    Duration(60)
}
