//! What AWS tells of a database instance: its live form, its progress, and the rules of engines and versions.

use aws_sdk_rds::types::{DbInstance as Found, PendingModifiedValues};

use super::db_instance::{Apply, DbInstance};
use super::rds;
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Live, Problem, Progress, Result};
use crate::tags::{self, Tagged, Tags};
use crate::value::{Arg, Outputs};

/// What AWS has no field for is kept in tags.
const APPLY: &str = "infra:apply";
const FINAL_SNAPSHOT: &str = "infra:final-snapshot";

impl DbInstance {
    /// Identity, the user's tags, and the choices that only a tag can hold.
    pub(super) fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = tags::encode(identity, &self.tags);
        if self.apply == Apply::Window {
            tags.insert(APPLY.to_owned(), "window".to_owned());
        }
        if !self.final_snapshot {
            tags.insert(FINAL_SNAPSHOT.to_owned(), "no".to_owned());
        }
        tags
    }
}

pub async fn describe(aws: &Aws, name: &str) -> Result<Found> {
    let request = aws.rds().describe_db_instances().db_instance_identifier(name);
    let answer = aws.call("rds:DescribeDBInstances", request.send()).await?;
    let missing = || Failure::new("rds:DescribeDBInstances", "DBInstanceNotFound", name).class(Class::NotFound);
    answer.db_instances.unwrap_or_default().pop().ok_or_else(missing)
}

/// The group that an instance has when none is chosen. Its name holds the family, which only AWS knows.
pub async fn default_parameter_group(aws: &Aws, engine: &str, version: &str) -> Result<String> {
    let request = aws.rds().describe_db_engine_versions().engine(engine).engine_version(version);
    let answer = aws.call("rds:DescribeDBEngineVersions", request.send()).await?;
    let family = answer.db_engine_versions().iter().find_map(|version| version.db_parameter_group_family());
    let unknown =
        || Failure::new("rds:DescribeDBEngineVersions", "NoFamily", format!("{engine} {version} has no family"));
    Ok(format!("default.{}", family.ok_or_else(unknown)?))
}

/// An instance as it is, or will be once its pending changes are made.
pub fn live(found: &Found, all: &Tags, tagged: Tagged) -> Live<DbInstance> {
    let id = found.db_instance_identifier().unwrap_or_default();
    let spec = spec(found, all, tagged.user.clone());
    let mut live = Live::new(tagged, id, spec);
    live.outputs = outputs(found);
    let status = found.db_instance_status().unwrap_or_default();
    live.health = match status {
        "deleting" => Health::Tombstone,
        "failed" | "incompatible-create" | "incompatible-restore" | "restore-error" => {
            Health::Failed(meaning(status).unwrap_or_default())
        }
        status if working(status) => Health::Ok,
        status if meaning(status).is_some() => Health::Ok,
        _ => Health::Pending,
    };
    if live.health == Health::Ok {
        live.notes.extend(meaning(status).map(Into::into));
        live.notes.extend(notes(found).into_iter().map(Into::into));
    }
    live
}

fn spec(found: &Found, all: &Tags, user: Tags) -> DbInstance {
    let pending = found.pending_modified_values();
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let changing = |of: fn(&PendingModifiedValues) -> Option<&str>, now: Option<&str>| {
        pending.and_then(of).or(now).unwrap_or_default().to_owned()
    };
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    let small = |value: Option<i32>| value.and_then(|value| u16::try_from(value).ok());
    let storage_gb = number(pending.and_then(|p| p.allocated_storage()).or(found.allocated_storage())).unwrap_or(0);
    let groups = found.vpc_security_groups().iter().filter(|group| group.status() != Some("removing"));
    let group = found.db_parameter_groups().first().and_then(|group| group.db_parameter_group_name());
    let subnets = found.db_subnet_group().and_then(|group| group.db_subnet_group_name());
    let secret = found.master_user_secret();
    let port =
        found.endpoint().and_then(|endpoint| endpoint.port()).or(found.db_instance_port().filter(|port| *port > 0));
    DbInstance {
        name: found.db_instance_identifier().map(str::to_owned),
        engine: text(found.engine()),
        engine_version: changing(|p| p.engine_version(), found.engine_version()),
        class: changing(|p| p.db_instance_class(), found.db_instance_class()),
        storage_gb,
        max_storage_gb: number(found.max_allocated_storage()).filter(|limit| *limit > storage_gb),
        storage_type: changing(|p| p.storage_type(), found.storage_type()),
        iops: number(pending.and_then(|p| p.iops()).or(found.iops())),
        throughput: number(pending.and_then(|p| p.storage_throughput()).or(found.storage_throughput())),
        encrypted: found.storage_encrypted().unwrap_or_default(),
        kms_key_arn: found.kms_key_id().map(Arg::from),
        master_username: text(found.master_username()),
        database_name: found.db_name().map(str::to_owned),
        managed_password: secret.is_some(),
        master_secret_kms_key_arn: secret.and_then(|secret| secret.kms_key_id()).map(Arg::from),
        subnet_group_name: changing(|p| p.db_subnet_group_name(), subnets).into(),
        parameter_group_name: group.filter(|name| !name.starts_with("default.")).map(Arg::from),
        security_groups: groups.filter_map(|group| group.vpc_security_group_id()).map(Arg::from).collect(),
        multi_az: pending.and_then(|p| p.multi_az()).or(found.multi_az()).unwrap_or_default(),
        publicly_accessible: found.publicly_accessible().unwrap_or_default(),
        port: small(pending.and_then(|p| p.port()).or(port)),
        backup_retention_days: small(
            pending.and_then(|p| p.backup_retention_period()).or(found.backup_retention_period()),
        )
        .unwrap_or_default(),
        backup_window: found.preferred_backup_window().map(str::to_owned),
        maintenance_window: found.preferred_maintenance_window().map(str::to_owned),
        deletion_protection: found.deletion_protection().unwrap_or_default(),
        copy_tags_to_snapshot: found.copy_tags_to_snapshot().unwrap_or_default(),
        log_exports: log_exports(found),
        performance_insights: found.performance_insights_enabled().unwrap_or_default(),
        monitoring_interval: small(found.monitoring_interval()).unwrap_or_default(),
        monitoring_role_arn: found.monitoring_role_arn().map(Arg::from),
        iam_authentication: pending
            .and_then(|p| p.iam_database_authentication_enabled())
            .or(found.iam_database_authentication_enabled())
            .unwrap_or_default(),
        ca: pending
            .and_then(|p| p.ca_certificate_identifier())
            .or(found.ca_certificate_identifier())
            .map(str::to_owned),
        auto_minor_version_upgrade: found.auto_minor_version_upgrade().unwrap_or_default(),
        apply: apply(all),
        final_snapshot: !all.contains_key(FINAL_SNAPSHOT),
        tags: user,
    }
}

fn apply(tags: &Tags) -> Apply {
    if tags.contains_key(APPLY) { Apply::Window } else { Apply::Now }
}

/// The logs that are exported once pending changes are made.
fn log_exports(found: &Found) -> Vec<String> {
    let pending = found.pending_modified_values().and_then(|pending| pending.pending_cloudwatch_logs_exports());
    let enabled = found.enabled_cloudwatch_logs_exports();
    // The API's two lists are named after what still has to happen to them.
    let (enabling, disabling) =
        pending.map(|logs| (logs.log_types_to_enable(), logs.log_types_to_disable())).unwrap_or_default();
    let mut logs: Vec<_> = enabled.iter().chain(enabling).filter(|log| !disabling.contains(log)).cloned().collect();
    logs.sort();
    logs.dedup();
    logs
}

fn outputs(found: &Found) -> Outputs {
    let endpoint = found.endpoint();
    let secret = found.master_user_secret().and_then(|secret| secret.secret_arn());
    let values = [
        ("id", found.db_instance_identifier().map(str::to_owned)),
        ("arn", found.db_instance_arn().map(str::to_owned)),
        ("endpoint", endpoint.and_then(|endpoint| endpoint.address()).map(str::to_owned)),
        ("port", endpoint.and_then(|endpoint| endpoint.port()).map(|port| port.to_string())),
        ("master_secret_arn", secret.map(str::to_owned)),
        ("resource_id", found.dbi_resource_id().map(str::to_owned)),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What waits, each as a sentence.
fn notes(found: &Found) -> Vec<String> {
    let mut notes: Vec<_> = waiting(found)
        .into_iter()
        .map(|(name, value)| format!("{name} {value} waits for the maintenance window"))
        .collect();
    for group in found.db_parameter_groups() {
        if group.parameter_apply_status() == Some("pending-reboot") {
            let name = group.db_parameter_group_name().unwrap_or_default();
            notes.push(format!("changed parameters of {name} take effect when the instance restarts"));
        }
    }
    if found.db_instance_status() == Some("stopped") {
        notes.push("the instance is stopped, and AWS starts it again after seven days".to_owned());
    }
    notes
}

/// Fields with a change that AWS has not made yet, and the value that they will have.
fn waiting(found: &Found) -> Vec<(&'static str, String)> {
    let Some(pending) = found.pending_modified_values() else { return Vec::new() };
    let text = |value: Option<&str>| value.map(str::to_owned);
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let flag = |value: Option<bool>| value.map(|value| value.to_string());
    let values = [
        ("class", text(pending.db_instance_class())),
        ("storage_gb", number(pending.allocated_storage())),
        ("storage_type", text(pending.storage_type())),
        ("iops", number(pending.iops())),
        ("throughput", number(pending.storage_throughput())),
        ("engine_version", text(pending.engine_version())),
        ("multi_az", flag(pending.multi_az())),
        ("port", number(pending.port())),
        ("backup_retention_days", number(pending.backup_retention_period())),
        ("iam_authentication", flag(pending.iam_database_authentication_enabled())),
        ("subnet_group_name", text(pending.db_subnet_group_name())),
        ("ca", text(pending.ca_certificate_identifier())),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Whether an instance in this status serves and takes changes, soon at least.
fn working(status: &str) -> bool {
    matches!(
        status,
        "available" | "backing-up" | "maintenance" | "stopped" | "storage-optimization" | "storage-initialization"
    )
}

/// What a status that nothing mends by waiting means.
fn meaning(status: &str) -> Option<String> {
    let why = match status {
        "failed" => "the instance has failed and AWS cannot recover it: restore its latest backup into a new one",
        "incompatible-create" => "AWS could not create the instance with these settings",
        "incompatible-network" => "the subnets of its group have no free address, or their VPC is gone",
        "incompatible-restore" => "AWS could not restore the backup with these settings",
        "restore-error" => "AWS could not restore the instance to that point in time",
        "incompatible-credentials" => "RDS has no access to the credentials in Secrets Manager",
        "incompatible-option-group" => "an option of its option group does not fit this version of the engine",
        "incompatible-parameters" => "a parameter of its parameter group does not fit its class or version: reset it",
        "insufficient-capacity" => "AWS has no machine of this class in this zone at the moment: choose another class",
        "storage-full" => "the storage is full and the database has stopped: raise `storage_gb`",
        "inaccessible-encryption-credentials" => "its KMS key cannot be used any more: restore a backup",
        "inaccessible-encryption-credentials-recoverable" => {
            "its KMS key cannot be used: enable the key, then start the instance within seven days"
        }
        _ => return None,
    };
    Some(format!("status {status}: {why}"))
}

/// How far an instance is on its way.
pub fn progress(found: &Found) -> Progress {
    let status = found.db_instance_status().unwrap_or_default();
    let waiting = waiting(found);
    let applying = found.db_parameter_groups().iter().any(|group| group.parameter_apply_status() == Some("applying"));
    let secret = found.master_user_secret().and_then(|secret| secret.secret_status());
    if let Some(why) = meaning(status) {
        // The way out of full storage is more of it, which AWS has been asked for by then.
        let growing = status == "storage-full" && waiting.iter().any(|(name, _)| *name == "storage_gb");
        return if growing { Progress::waiting("status storage-full, growing") } else { Progress::Failed { why } };
    }
    if !working(status) || status == "backing-up" {
        return Progress::waiting(format!("status {status}"));
    }
    if applying {
        return Progress::waiting("changed parameters");
    }
    if secret == Some("creating") {
        return Progress::waiting("the secret of the master password");
    }
    // A change that is made at once shows as pending for a moment, before the status says so.
    match waiting.first() {
        Some((name, value)) if apply(&rds::read_tags(found.tag_list())) == Apply::Now && status == "available" => {
            Progress::waiting(format!("{name} {value}"))
        }
        _ => Progress::Ready(outputs(found)),
    }
}

pub fn usual_port(engine: &str) -> Option<u16> {
    Some(match engine.split('-').next()? {
        "postgres" => 5432,
        "mysql" | "mariadb" => 3306,
        "oracle" | "custom" => 1521,
        "sqlserver" => 1433,
        "db2" => 50000,
        _ => return None,
    })
}

/// Whether the live version is what was asked for: that version, one of that track, or one that AWS upgraded it to.
pub fn satisfies(live: &str, wanted: &str, upgrades: bool) -> bool {
    let numbers = |version: &str| version.split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    let track = live == wanted || live.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'));
    let later = || {
        let (live, wanted) = (numbers(live)?, numbers(wanted)?);
        let last = wanted.len().checked_sub(1).filter(|last| *last > 0)?;
        Some(live.len() == wanted.len() && live[..last] == wanted[..last] && live[last] > wanted[last])
    };
    track || (upgrades && later().unwrap_or_default())
}

/// The part of a version that only a major upgrade changes.
pub fn major(engine: &str, version: &str) -> String {
    let parts = if engine.starts_with("mysql") || engine.starts_with("mariadb") { 2 } else { 1 };
    version.split('.').take(parts).collect::<Vec<_>>().join(".")
}

/// Whether the storage's speed follows from its size, and cannot be chosen.
pub fn fixed_speed(spec: &DbInstance) -> bool {
    let striped = ["postgres", "mysql", "mariadb"].contains(&spec.engine.as_str());
    spec.storage_type == "gp2" || (spec.storage_type == "gp3" && striped && spec.storage_gb < 400)
}

pub fn check(spec: &DbInstance) -> Vec<Problem> {
    let mut problems: Vec<_> = spec.name.iter().filter_map(|name| rds::check_name(name, 63)).collect();
    let mut problem = |path: &str, message: String, help: &str| problems.push(Problem::new(path, message).help(help));
    if spec.engine != spec.engine.to_lowercase() || spec.engine.starts_with("aurora") {
        let help = "write `postgres`, `mysql` or `mariadb` in lower case; Aurora is a cluster, which this kind is not";
        problem("engine", format!("`{}` is not an engine of single instances", spec.engine), help);
    }
    if !spec.class.starts_with("db.") {
        problem("class", format!("`{}` is not a class", spec.class), "write it as in `db.t4g.medium`");
    }
    if !(20..=65536).contains(&spec.storage_gb) {
        problem("storage_gb", format!("{} GiB is outside 20 to 65536", spec.storage_gb), "ask for 20 at least");
    }
    if spec.max_storage_gb.is_some_and(|limit| limit <= spec.storage_gb) {
        let help = "name a limit above `storage_gb` (AWS asks for 10 % at least), or leave it out";
        problem("max_storage_gb", "the limit of growth is not above the size".to_owned(), help);
    }
    let usual = [("iops", spec.iops, 3000), ("throughput", spec.throughput, 125)];
    for (path, value, usual) in usual {
        if value.is_some_and(|value| value != usual) && spec.storage_type == "gp3" && fixed_speed(spec) {
            let help = "leave it out, or ask for 400 GiB";
            problem(path, format!("gp3 storage below 400 GiB has {usual} {path}, and no other"), help);
        }
    }
    if spec.security_groups.is_empty() {
        let help = "name the security groups; without any, AWS takes the VPC's default group";
        problem("security_groups", "an instance needs a security group".to_owned(), help);
    }
    if spec.backup_retention_days > 35 {
        problem(
            "backup_retention_days",
            format!("{} days", spec.backup_retention_days),
            "AWS keeps backups for 35 days at most",
        );
    }
    if ![0, 1, 5, 10, 15, 30, 60].contains(&spec.monitoring_interval) {
        problem(
            "monitoring_interval",
            format!("{} seconds", spec.monitoring_interval),
            "use 0, 1, 5, 10, 15, 30 or 60",
        );
    }
    if (spec.monitoring_interval > 0) != spec.monitoring_role_arn.is_some() {
        let help = "enhanced monitoring needs both an interval above 0 and a role";
        problem("monitoring_role_arn", "the interval and the role do not go together".to_owned(), help);
    }
    for (path, window) in [("backup_window", &spec.backup_window), ("maintenance_window", &spec.maintenance_window)] {
        if window.as_ref().is_some_and(|window| *window != window.to_lowercase() || !window.contains('-')) {
            problem(path, "this is not a window".to_owned(), "write `02:00-03:00` or `sun:05:00-sun:06:00`, in UTC");
        }
    }
    for (path, key) in
        [("kms_key_arn", &spec.kms_key_arn), ("master_secret_kms_key_arn", &spec.master_secret_kms_key_arn)]
    {
        if matches!(key, Some(Arg::Known(arn)) if !arn.contains(":key/")) {
            let help = "RDS answers with the ARN of the key itself, so write that one and not an alias or an id";
            problem(path, "this is not the ARN of a key".to_owned(), help);
        }
    }
    if spec.kms_key_arn.is_some() && !spec.encrypted {
        problem("kms_key_arn", "a key without encryption".to_owned(), "write `encrypted: true`");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_track() {
        for (live, wanted, upgrades, same) in [
            ("15.4", "15", false, true),
            ("15.4", "15.4", false, true),
            ("15.4", "16", true, false),
            ("16.1", "15", true, false),
            ("15.6", "15.4", true, true),
            ("15.6", "15.4", false, false),
            ("15.10", "15.9", true, true),
            ("15.3", "15.4", true, false),
            ("150.1", "15", false, false),
            ("8.0.36", "8.0", false, true),
            ("8.4.1", "8.0", true, false),
        ] {
            assert_eq!(satisfies(live, wanted, upgrades), same, "{live} for {wanted}");
        }
        assert_eq!((major("postgres", "15.4"), major("mysql", "8.0.36")), ("15".into(), "8.0".into()));
    }

    #[test]
    fn a_pending_change_is_shown_as_made_with_a_note() {
        let pending = PendingModifiedValues::builder().db_instance_class("db.t4g.large").build();
        let found = Found::builder()
            .db_instance_identifier("main")
            .db_instance_class("db.t4g.medium")
            .db_instance_status("available")
            .pending_modified_values(pending)
            .build();
        let tags = Tags::from([(APPLY.into(), "window".into())]);
        let spec = spec(&found, &tags, Tags::new());
        assert_eq!((spec.class.as_str(), spec.apply), ("db.t4g.large", Apply::Window));
        assert_eq!(notes(&found), ["class db.t4g.large waits for the maintenance window"]);
        assert!(matches!(progress(&found), Progress::Waiting { .. }), "changes made at once are awaited");
    }

    #[test]
    fn statuses_are_understood() {
        let with = |status: &str| progress(&Found::builder().db_instance_status(status).build());
        assert!(matches!(with("available"), Progress::Ready(_)));
        assert!(matches!(with("storage-optimization"), Progress::Ready(_)));
        assert!(matches!(with("creating"), Progress::Waiting { .. }));
        assert!(matches!(with("storage-full"), Progress::Failed { .. }));
        assert!(matches!(with("incompatible-parameters"), Progress::Failed { .. }));
    }
}
