//! `databases`: RDS instances.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::{DailyWindow, Duration, Scalar, WeeklyWindow};
use crate::diagnostic::Diagnostic;

/// A database: an RDS instance in the data subnets, encrypted, TLS enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The engine. It cannot be changed later.
    pub engine: Engine,
    /// The engine's version in quotes: `"15"` takes the newest 15, `"15.7"` exactly that one.
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]+)*(-[A-Za-z0-9.]+)?$"), title = "a version", example = &"15")]
    pub version: String,
    /// The instance class, such as `db.t4g.medium`.
    #[schemars(regex(pattern = r"^db\.[a-z0-9-]+\.[a-z0-9-]+$"), title = "an instance class", example = &"db.t4g.medium")]
    pub class: String,
    /// Disk in GB (gp3), 20 to 65536. Default: 20. It can grow and never shrink.
    #[serde(default = "storage")]
    #[schemars(range(min = 20, max = 65536), example = 100)]
    pub storage: u32,
    /// How far the disk may grow by itself, in GB; at least a tenth more than `storage`. Default: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 22, max = 65536))]
    pub max_storage: Option<u32>,
    /// Disk operations a second, 3000 to 64000; more than 3000 need 400 GB. Default: what the disk includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3000, max = 64000))]
    pub iops: Option<u32>,
    /// Disk throughput in MB/s, 125 to 4000; more than 125 needs 400 GB. Default: what the disk includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 125, max = 4000))]
    pub throughput: Option<u32>,
    /// Whether a standby in another zone takes over when this one fails. Default: false.
    #[serde(default)]
    pub multi_az: bool,
    /// Daily backups, and recovery to any moment since the oldest one.
    #[serde(default)]
    pub backup: Backup,
    /// When AWS may restart it for updates, at least 30 minutes, in UTC: `sun:03:00-sun:04:00`. Default: AWS chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<WeeklyWindow>,
    /// Settings of the engine: `{ log_min_duration_statement: 1000 }`. Default: TLS only, connections are logged, and
    /// `max_connections` is 100 for each GB of memory (at most 5000), so that an alarm can say how many are left.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = parameter_names()))]
    pub parameters: BTreeMap<String, Scalar>,
    /// Whether AWS refuses to delete it. Default: true.
    #[serde(default = "yes")]
    pub deletion_protection: bool,
    /// How often the password of the application's user `app` changes by itself, 1d to 1000d: `30d`. The user is made, and
    /// `${databases.NAME.app.url}` (or `username`, `password`, `host`, `port`, `dbname`) is its secret. Default: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "1000d", "x-whole-days" = true))]
    pub rotation: Option<Duration>,
    /// The database inside of the instance. Default: none is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = "^[A-Za-z][A-Za-z0-9_]*$"), title = "a valid database name", example = &"app")]
    pub name: Option<String>,
    /// The superuser's name. Default: `root_user`. It cannot be changed later.
    #[serde(default = "username")]
    #[schemars(length(max = 16), regex(pattern = "^[A-Za-z][A-Za-z0-9_]*$"), title = "a valid user name", example = &"root_user")]
    pub username: String,
    /// Logs to collect. Default: postgres `[postgresql]`, mysql and mariadb `[error]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Vec<Log>>,
    /// Whether AWS records which queries cost time, kept for 7 days. Default: false.
    #[serde(default)]
    pub performance_insights: bool,
    /// The authority that signs the server's certificate. Default: `rds-ca-rsa2048-g1`.
    #[serde(default = "ca")]
    #[schemars(regex(pattern = "^rds-ca-[a-z0-9-]+$"), title = "a certificate authority of RDS", example = &"rds-ca-rsa2048-g1")]
    pub ca: String,
    /// When changes that restart it are made. Default: `window`.
    #[serde(default)]
    pub apply: Apply,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// How credentials of databases rotate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The path of the program `infra-rotator` for Linux, from the working directory on. Default: that beside `infra`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// A database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    Postgres,
    Mysql,
    Mariadb,
}

/// Daily backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// When, at least 30 minutes, in UTC: `02:00-03:00`. Default: AWS chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<DailyWindow>,
    /// How long each one is kept, 0d (no backups) to 35d. Default: `7d`.
    #[schemars(extend("x-longest" = "35d", "x-whole-days" = true))]
    pub keep: Duration,
}

impl Default for Backup {
    fn default() -> Self {
        Self { window: None, keep: Duration::from_days(7) }
    }
}

/// A log of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// The log of postgres.
    Postgresql,
    /// What postgres writes while it is updated.
    Upgrade,
    Audit,
    Error,
    General,
    Slowquery,
}

/// When changes are made that restart a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Apply {
    /// At once.
    Now,
    /// In the next maintenance window.
    #[default]
    Window,
}

const fn storage() -> u32 {
    20
}

const fn yes() -> bool {
    true
}

fn username() -> String {
    "root_user".to_owned()
}

fn ca() -> String {
    "rds-ca-rsa2048-g1".to_owned()
}

fn parameter_names() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid parameter name",
        "description": "lower-case letters, digits, `_` and `.`",
        "pattern": "^[a-z][a-z0-9_.]*$",
    })
}

impl Engine {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }

    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mysql | Self::Mariadb => 3306,
        }
    }

    /// The logs that the engine can send.
    #[must_use]
    pub const fn logs(self) -> &'static [Log] {
        match self {
            Self::Postgres => &[Log::Postgresql, Log::Upgrade],
            Self::Mysql | Self::Mariadb => &[Log::Error, Log::Audit, Log::General, Log::Slowquery],
        }
    }
}

impl Log {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Upgrade => "upgrade",
            Self::Audit => "audit",
            Self::Error => "error",
            Self::General => "general",
            Self::Slowquery => "slowquery",
        }
    }
}

pub const MAX_CONNECTIONS: &str = "max_connections";

/// The memory of an instance class in GB, as far as its name tells.
fn memory(class: &str) -> Option<u32> {
    let (family, size) = class.strip_prefix("db.")?.split_once('.')?;
    let digits = family.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let large = match &family[..family.len() - digits.len()] {
        "t" | "m" => 8,
        "r" => 16,
        _ => return None,
    };
    match size {
        "micro" if large == 8 => Some(1),
        "small" if large == 8 => Some(2),
        "medium" if large == 8 => Some(4),
        "large" => Some(large),
        "xlarge" => Some(large * 2),
        _ => size.strip_suffix("xlarge")?.parse::<u32>().ok().and_then(|times| times.checked_mul(large * 2)),
    }
}

/// From this many GB on, RDS lets a gp3 disk have more operations and throughput than are included.
const TUNABLE: u32 = 400;

impl Database {
    /// The logs to send, which are the engine's main one unless the file says otherwise.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.logs.clone().unwrap_or_else(|| self.engine.logs().iter().copied().take(1).collect())
    }

    /// How many connections there can be, where the file or the memory of the class says so.
    #[must_use]
    pub fn max_connections(&self) -> Option<u32> {
        match self.parameters.get(MAX_CONNECTIONS) {
            Some(Scalar::Number(number)) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Some(Scalar::Text(text)) => text.parse().ok(),
            Some(Scalar::Flag(_)) => None,
            None => memory(&self.class).map(|gb| (gb * 100).min(5000)),
        }
    }

    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        self.check_windows(name, rules);
        self.check_storage(name, rules);
        for (at, log) in self.logs.iter().flatten().enumerate() {
            if !self.engine.logs().contains(log) {
                let message = format!("{} has no log `{}`", self.engine.name(), log.name());
                let known: Vec<String> = self.engine.logs().iter().map(|log| format!("`{}`", log.name())).collect();
                let place = rules.tree.place_of(&["databases", name, "logs", &at.to_string()]);
                let error = Diagnostic::error("logs", message).at(place, "");
                rules.report(error.help(format!("it has {}", known.join(", "))));
            }
        }
        if self.rotation.is_some() && self.name.is_none() {
            let message = format!("`databases.{name}` rotates a password but has no database to log in to");
            let error = Diagnostic::error("rotation", message)
                .at(rules.tree.key_place_of(&["databases", name, "rotation"]), "");
            rules.report(error.help("add `name: app`"));
        }
    }

    fn check_windows(&self, name: &str, rules: &mut Rules<'_>) {
        let backup = rules.tree.place_of(&["databases", name, "backup", "window"]);
        let maintenance = rules.tree.place_of(&["databases", name, "maintenance"]);
        let short = |what: &str, minutes: u16| {
            let message = format!("the {what} window is {minutes} minutes long; AWS takes 30 minutes or more");
            Diagnostic::error("window", message)
        };
        if let Some(window) = self.backup.window.filter(|window| window.minutes() < 30) {
            rules.report(short("backup", window.minutes()).at(backup, ""));
        }
        if let Some(window) = self.maintenance.filter(|window| window.minutes() < 30) {
            rules.report(short("maintenance", window.minutes()).at(maintenance, ""));
        }
        if let (Some(daily), Some(weekly)) = (self.backup.window, self.maintenance)
            && weekly.overlaps(daily)
        {
            let error = Diagnostic::error("window", "the backup window and the maintenance window overlap");
            let error = error.at(maintenance, "maintenance").related(backup, "the daily backup");
            rules.report(error.help("move one of them: AWS refuses windows that share a minute"));
        }
    }

    fn check_storage(&self, name: &str, rules: &mut Rules<'_>) {
        let place = |field| rules.tree.place_of(&["databases", name, field]);
        let (storage, max) = (place("storage"), place("max_storage"));
        let tuned = [("iops", self.iops, 3000), ("throughput", self.throughput, 125)];
        let mut errors = Vec::new();
        if let Some(limit) = self.max_storage.filter(|limit| u64::from(*limit) * 10 < u64::from(self.storage) * 11) {
            let message = format!(
                "`max_storage` is {limit} GB, which is not a tenth more than the {} GB of `storage`",
                self.storage
            );
            let least = (u64::from(self.storage) * 11).div_ceil(10);
            let error = Diagnostic::error("storage", message).at(max, format!("at least {least}"));
            errors.push(
                error.related(storage, "").help(format!("write `max_storage: {least}` or more, or leave it out")),
            );
        }
        for (field, value, included) in tuned {
            if let Some(value) = value.filter(|value| *value > included && self.storage < TUNABLE) {
                let message =
                    format!("`{field}: {value}` needs {TUNABLE} GB of storage; smaller disks have {included}");
                let error = Diagnostic::error("storage", message).at(place(field), "").related(storage, "");
                errors.push(error.help(format!("remove `{field}`, or raise `storage` to {TUNABLE}")));
            }
        }
        for error in errors {
            rules.report(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_classes_tell_their_memory() {
        for (class, gb) in [
            ("db.t3.micro", Some(1)),
            ("db.t4g.medium", Some(4)),
            ("db.m6g.large", Some(8)),
            ("db.r6gd.large", Some(16)),
            ("db.r5.2xlarge", Some(64)),
            ("db.m5.4xlarge", Some(64)),
            ("db.x2g.large", None),
            ("db.serverless.v2", None),
            ("db.r5.micro", None),
        ] {
            assert_eq!(memory(class), gb, "{class}");
        }
    }
}
