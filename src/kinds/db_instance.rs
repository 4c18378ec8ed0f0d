//! A relational database on a machine of its own.

use std::time::Duration;

use aws_sdk_rds::types::CloudwatchLogsExportConfiguration;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, rds, rds_instance};
use crate::aws::Aws;
use crate::kind::{Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// A relational database on a machine of its own. Its master password is made and rotated by RDS, in a secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DbInstance {
    /// The identifier in AWS, in lower case. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `postgres`, `mysql`, `mariadb`, or an edition of Oracle or SQL Server.
    pub engine: String,
    /// A version or a track: `15` takes whichever 15 AWS runs, `15.4` that one or a later 15 which AWS upgraded it to.
    pub engine_version: String,
    /// The size of the machine, as in `db.t4g.medium`.
    pub class: String,
    /// Storage in GiB. It can grow, and never shrink.
    pub storage_gb: u32,
    /// Up to where AWS may grow the storage by itself. Absent, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_storage_gb: Option<u32>,
    #[serde(default = "gp3")]
    pub storage_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// Storage throughput in MiB/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<u32>,
    #[serde(default)]
    pub encrypted: bool,
    /// The key of an encrypted database. Absent, AWS's own key for RDS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    pub master_username: String,
    /// A database that is made within the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// Whether RDS keeps the master password in a secret that it rotates. A new instance must have it so; `false`
    /// leaves an adopted instance's password alone.
    #[serde(default = "yes")]
    pub managed_password: bool,
    /// The key of that secret. Absent, AWS's own key for Secrets Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_secret_kms_key_arn: Option<Arg<String>>,
    pub subnet_group_name: Arg<String>,
    /// Absent, the default group of the engine's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_group_name: Option<Arg<String>>,
    pub security_groups: Vec<Arg<String>>,
    /// Whether a standby in another zone takes over when this one fails.
    #[serde(default)]
    pub multi_az: bool,
    #[serde(default)]
    pub publicly_accessible: bool,
    /// Absent, the engine's usual port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Days for which backups are kept. 0 turns backups and point-in-time recovery off.
    #[serde(default = "one")]
    pub backup_retention_days: u16,
    /// When the daily backup is taken, in UTC, as in `02:00-03:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_window: Option<String>,
    /// When changes that wait are made, in UTC, as in `sun:05:00-sun:06:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<String>,
    #[serde(default)]
    pub deletion_protection: bool,
    #[serde(default)]
    pub copy_tags_to_snapshot: bool,
    /// Logs that go to CloudWatch, as in `postgresql` and `upgrade`.
    #[serde(default)]
    pub log_exports: Vec<String>,
    #[serde(default)]
    pub performance_insights: bool,
    /// Seconds between two readings of enhanced monitoring. 0 turns it off.
    #[serde(default)]
    pub monitoring_interval: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_role_arn: Option<Arg<String>>,
    /// Whether roles and users of IAM may log in with a token.
    #[serde(default)]
    pub iam_authentication: bool,
    /// The certificate authority of the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(default = "yes")]
    pub auto_minor_version_upgrade: bool,
    /// When changes are made.
    #[serde(default)]
    pub apply: Apply,
    /// Whether a snapshot is taken before the instance is deleted.
    #[serde(default = "yes")]
    pub final_snapshot: bool,
    #[serde(default)]
    pub tags: Tags,
}

/// When changes of an instance are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Apply {
    #[default]
    Now,
    /// In the maintenance window. Some changes are made at once all the same.
    Window,
}

fn yes() -> bool {
    true
}

fn one() -> u16 {
    1
}

fn gp3() -> String {
    "gp3".to_owned()
}

impl Kind for DbInstance {
    const NAME: &'static str = "db_instance";
    const RIGHTS: Rights = Rights {
        read: "rds:DescribeDBEngineVersions rds:DescribeDBInstances",
        create: "rds:AddTagsToResource rds:CreateDBInstance kms:CreateGrant kms:Decrypt kms:DescribeKey \
            kms:GenerateDataKey secretsmanager:CreateSecret secretsmanager:TagResource",
        update: "rds:AddTagsToResource rds:ModifyDBInstance rds:RemoveTagsFromResource kms:CreateGrant kms:Decrypt \
            kms:DescribeKey kms:GenerateDataKey secretsmanager:CreateSecret secretsmanager:RotateSecret \
            secretsmanager:TagResource",
        delete: "rds:AddTagsToResource rds:CreateDBSnapshot rds:DeleteDBInstance",
        on: "rds:db:{name} rds:og:* rds:pg:* rds:secgrp:* rds:snapshot:{name}* rds:subgrp:* \
            secretsmanager:secret:rds!*",
        passes: "monitoring.rds.amazonaws.com",
        links: "rds.amazonaws.com",
        tells: "",
    };
    const REPLACED_BY: &'static [&'static str] =
        &["name", "engine", "master_username", "database_name", "encrypted", "kms_key_arn", "subnet_group_name"];
    const RESTARTED_BY: &'static [&'static str] = &["class", "engine_version", "port", "ca"];
    const OPEN: &'static [&'static str] = &[
        "name",
        "iops",
        "throughput",
        "kms_key_arn",
        "database_name",
        "master_secret_kms_key_arn",
        "backup_window",
        "maintenance_window",
        "ca",
    ];
    const OUTPUTS: &'static [&'static str] = &["id", "arn", "endpoint", "port", "master_secret_arn", "resource_id"];
    const AFTER: &'static [&'static str] = &["log_group"];
    const HOLDS_DATA: bool = true;
    const DEADLINE: Duration = Duration::from_secs(3600);
    const MINUTES: (u16, u16) = (12, 8);

    fn normalize(&mut self) {
        self.security_groups.sort();
        self.security_groups.dedup();
        self.log_exports.sort();
        self.log_exports.dedup();
        self.port = self.port.or_else(|| rds_instance::usual_port(&self.engine));
    }

    fn take_over(&mut self, live: &Self) {
        if rds_instance::satisfies(&live.engine_version, &self.engine_version, self.auto_minor_version_upgrade) {
            self.engine_version.clone_from(&live.engine_version);
        }
        if self.max_storage_gb.is_some() && live.storage_gb > self.storage_gb {
            self.storage_gb = live.storage_gb;
        }
        // At the limit RDS no longer shows it: there is nothing left to grow.
        if self.max_storage_gb.is_some_and(|limit| live.storage_gb >= limit) {
            self.max_storage_gb = live.max_storage_gb;
        }
    }

    fn check(&self) -> Vec<Problem> {
        rds_instance::check(self)
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let pages = aws.rds().describe_db_instances().into_paginator().items().send();
        let found = aws.call("rds:DescribeDBInstances", pages.collect::<Result<Vec<_>, _>>()).await?;
        let read = |instance: &aws_sdk_rds::types::DbInstance| {
            let tags = rds::read_tags(instance.tag_list());
            Some(rds_instance::live(instance, &tags, scope.tagged(aws, Self::NAME, &tags)?))
        };
        Ok(found.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        if !self.managed_password {
            let message = "a new instance needs `managed_password: true`, as no password is ever written to a file";
            return Err(Failure::new("rds:CreateDBInstance", "NoPassword", message));
        }
        let name = self.name.clone().unwrap_or_else(|| rds::hyphens(&making.identity.aws_name(63)));
        let request = self.creation(aws, &name)?.set_tags(Some(rds::sdk_tags(&self.all_tags(&making.identity))));
        match aws.call("rds:CreateDBInstance", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if rds::exists(&failure) => {
                let instance = rds_instance::describe(aws, &name).await?;
                let tags = rds::read_tags(instance.tag_list());
                let found = crate::tags::decode(&tags).map(|tagged| rds_instance::live(&instance, &tags, tagged));
                adopt::adopt(self, aws, making, (&name, found), "rds:CreateDBInstance").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.normalize();
        there.normalize();
        // The tags first: they say how the change is applied, and polling reads them.
        let (before, after) = (there.all_tags(&live.identity), wanted.all_tags(&live.identity));
        rds::retag(aws, rds::arn(live)?, &before, &after).await?;
        let (request, changed) = wanted.modification(aws, &there).await?;
        let now = wanted.apply == Apply::Now;
        let major = |version: &str| rds_instance::major(&self.engine, version);
        if !now && major(&wanted.engine_version) != major(&there.engine_version) {
            let message = "a major version cannot wait for its window, since its parameter group has to change with it: \
                           set `apply: now` for this upgrade";
            return Err(Failure::new("rds:ModifyDBInstance", "MajorUpgrade", message));
        }
        // What was left for the window is made with this request too.
        if changed || (now && there.apply == Apply::Window) {
            let request = request.db_instance_identifier(&live.id).apply_immediately(now);
            aws.call("rds:ModifyDBInstance", request.send()).await?;
        }
        Ok(())
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        rds::write_tags(aws, rds::arn(live)?, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        if live.health == Health::Tombstone {
            return Ok(());
        }
        // AWS refuses a snapshot of an instance that has failed.
        let snapshot = live.spec.final_snapshot && !matches!(live.health, Health::Failed(_));
        let name = format!("{}-final-{}", live.id, Timestamp::now().strftime("%Y%m%d%H%M%S"));
        let request = aws.rds().delete_db_instance().db_instance_identifier(&live.id).skip_final_snapshot(!snapshot);
        let request = request.set_final_db_snapshot_identifier(snapshot.then_some(name));
        // Where there can be no final snapshot, the automatic backups are all that is left of the data.
        let request = request.delete_automated_backups(snapshot || !live.spec.final_snapshot);
        let mut answer = aws.call("rds:DeleteDBInstance", request.clone().send()).await.map(drop);
        // Only where AWS says so: a change makes the instance busy, and each further attempt would begin with another one.
        if answer.as_ref().is_err_and(|failure| failure.message.contains("disable deletion protection"))
            && live.spec.deletion_protection
        {
            let off = aws.rds().modify_db_instance().db_instance_identifier(&live.id).deletion_protection(false);
            aws.call("rds:ModifyDBInstance", off.apply_immediately(true).send()).await?;
            answer = aws.call("rds:DeleteDBInstance", request.send()).await.map(drop);
        }
        match answer {
            Err(failure) if failure.message.contains("already being deleted") => Ok(()),
            // The snapshot has the name of this second: the SDK has tried again by itself after an answer was lost.
            Err(failure) if failure.code == "DBSnapshotAlreadyExists" => Ok(()),
            other => other,
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(rds_instance::progress(&rds_instance::describe(aws, id).await?))
    }
}

type Modification = aws_sdk_rds::operation::modify_db_instance::builders::ModifyDBInstanceFluentBuilder;
type Creation = aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder;

impl DbInstance {
    fn creation(&self, aws: &Aws, name: &str) -> Result<Creation> {
        let request = aws.rds().create_db_instance().db_instance_identifier(name);
        let request = request.engine(&self.engine).engine_version(&self.engine_version).db_instance_class(&self.class);
        let request = request
            .allocated_storage(number(self.storage_gb))
            .set_max_allocated_storage(self.max_storage_gb.map(number))
            .storage_type(&self.storage_type)
            .set_iops(self.chosen_iops())
            .set_storage_throughput(self.chosen_throughput())
            .storage_encrypted(self.encrypted)
            .set_kms_key_id(text(self.kms_key_arn.as_ref())?);
        let request = request
            .master_username(&self.master_username)
            .manage_master_user_password(true)
            .set_master_user_secret_kms_key_id(text(self.master_secret_kms_key_arn.as_ref())?)
            .set_db_name(self.database_name.clone());
        let request = request
            .db_subnet_group_name(self.subnet_group_name.get()?)
            .set_vpc_security_group_ids(Some(self.groups()?))
            .multi_az(self.multi_az)
            .publicly_accessible(self.publicly_accessible)
            .set_port(self.port.map(i32::from));
        let request = request
            .set_db_parameter_group_name(text(self.parameter_group_name.as_ref())?)
            .backup_retention_period(self.backup_retention_days.into())
            .set_preferred_backup_window(self.backup_window.clone())
            .set_preferred_maintenance_window(self.maintenance_window.clone())
            .deletion_protection(self.deletion_protection)
            .copy_tags_to_snapshot(self.copy_tags_to_snapshot);
        let request = request
            .set_enable_cloudwatch_logs_exports(Some(self.log_exports.clone()))
            .enable_performance_insights(self.performance_insights)
            .monitoring_interval(self.monitoring_interval.into())
            .set_monitoring_role_arn(text(self.monitoring_role_arn.as_ref())?)
            .enable_iam_database_authentication(self.iam_authentication);
        let request = request.set_ca_certificate_identifier(self.ca.clone());
        Ok(request.auto_minor_version_upgrade(self.auto_minor_version_upgrade))
    }

    /// The request that brings `there` to this specification, and whether it holds anything at all.
    async fn modification(&self, aws: &Aws, there: &Self) -> Result<(Modification, bool)> {
        let request = aws.rds().modify_db_instance();
        let empty = request.as_input().clone();
        let request = self.change_machine(request, there)?;
        let request = self.change_care(request, there)?;
        let group = match (&self.parameter_group_name, &there.parameter_group_name) {
            (wanted, there) if wanted == there => None,
            (Some(wanted), _) => Some(wanted.get()?.clone()),
            (None, _) => Some(rds_instance::default_parameter_group(aws, &self.engine, &self.engine_version).await?),
        };
        let request = request.set_db_parameter_group_name(group);
        let changed = *request.as_input() != empty;
        Ok((request, changed))
    }

    /// What the instance is: machine, storage, engine, network.
    fn change_machine(&self, mut request: Modification, there: &Self) -> Result<Modification> {
        if self.class != there.class {
            request = request.db_instance_class(&self.class);
        }
        if self.engine_version != there.engine_version {
            let major = rds_instance::major(&self.engine, &self.engine_version);
            let other = major != rds_instance::major(&there.engine, &there.engine_version);
            request =
                request.engine_version(&self.engine_version).set_allow_major_version_upgrade(other.then_some(true));
        }
        let (iops, throughput) = (self.chosen_iops(), self.chosen_throughput());
        let other_iops = iops.is_some() && self.iops != there.iops;
        let other_throughput = throughput.is_some() && self.throughput != there.throughput;
        let other_type = self.storage_type != there.storage_type;
        if self.storage_gb != there.storage_gb || other_type || other_iops || other_throughput {
            // AWS wants the size beside each of the others.
            request = request.allocated_storage(number(self.storage_gb)).set_iops(iops);
            request = request.set_storage_throughput(throughput);
            request = request.set_storage_type(other_type.then(|| self.storage_type.clone()));
        }
        if self.max_storage_gb != there.max_storage_gb {
            // A limit at the present size turns growth off.
            request = request.max_allocated_storage(number(self.max_storage_gb.unwrap_or(self.storage_gb)));
        }
        if self.security_groups != there.security_groups {
            request = request.set_vpc_security_group_ids(Some(self.groups()?));
        }
        if self.multi_az != there.multi_az {
            request = request.multi_az(self.multi_az);
        }
        if self.publicly_accessible != there.publicly_accessible {
            request = request.publicly_accessible(self.publicly_accessible);
        }
        if self.port != there.port {
            request = request.set_db_port_number(self.port.map(i32::from));
        }
        Ok(request)
    }

    /// How the instance is looked after: backups, windows, logs, monitoring, its master password.
    fn change_care(&self, mut request: Modification, there: &Self) -> Result<Modification> {
        if self.managed_password != there.managed_password {
            if !self.managed_password {
                let message = "RDS gives the master password up only for a new one, and no password is ever written \
                               to a file: leave `managed_password: true`";
                return Err(Failure::new("rds:ModifyDBInstance", "NoPassword", message));
            }
            request = request.manage_master_user_password(true);
            request = request.set_master_user_secret_kms_key_id(text(self.master_secret_kms_key_arn.as_ref())?);
        }
        let key = &self.master_secret_kms_key_arn;
        if there.managed_password && key.is_some() && *key != there.master_secret_kms_key_arn {
            let message = "RDS cannot change the key of the master password's secret: put the old one back";
            return Err(Failure::new("rds:ModifyDBInstance", "KeyFixed", message));
        }
        if self.backup_retention_days != there.backup_retention_days {
            request = request.backup_retention_period(self.backup_retention_days.into());
        }
        if self.backup_window != there.backup_window {
            request = request.set_preferred_backup_window(self.backup_window.clone());
        }
        if self.maintenance_window != there.maintenance_window {
            request = request.set_preferred_maintenance_window(self.maintenance_window.clone());
        }
        if self.deletion_protection != there.deletion_protection {
            request = request.deletion_protection(self.deletion_protection);
        }
        if self.copy_tags_to_snapshot != there.copy_tags_to_snapshot {
            request = request.copy_tags_to_snapshot(self.copy_tags_to_snapshot);
        }
        if self.log_exports != there.log_exports {
            let only = |these: &[String], those: &[String]| {
                Some(these.iter().filter(|log| !those.contains(log)).cloned().collect())
                    .filter(|logs: &Vec<_>| !logs.is_empty())
            };
            let logs = CloudwatchLogsExportConfiguration::builder()
                .set_enable_log_types(only(&self.log_exports, &there.log_exports))
                .set_disable_log_types(only(&there.log_exports, &self.log_exports));
            request = request.cloudwatch_logs_export_configuration(logs.build());
        }
        if self.performance_insights != there.performance_insights {
            request = request.enable_performance_insights(self.performance_insights);
        }
        let monitoring = (self.monitoring_interval, &self.monitoring_role_arn);
        if monitoring != (there.monitoring_interval, &there.monitoring_role_arn) {
            request = request.monitoring_interval(self.monitoring_interval.into());
            request = request.set_monitoring_role_arn(text(self.monitoring_role_arn.as_ref())?);
        }
        if self.iam_authentication != there.iam_authentication {
            request = request.enable_iam_database_authentication(self.iam_authentication);
        }
        if self.ca != there.ca {
            request = request.set_ca_certificate_identifier(self.ca.clone());
        }
        if self.auto_minor_version_upgrade != there.auto_minor_version_upgrade {
            request = request.auto_minor_version_upgrade(self.auto_minor_version_upgrade);
        }
        Ok(request)
    }

    fn groups(&self) -> Result<Vec<String>> {
        self.security_groups.iter().map(|group| Ok(group.get()?.clone())).collect()
    }

    /// What of the storage's speed AWS lets one say: small gp3 volumes have a fixed one.
    fn chosen_iops(&self) -> Option<i32> {
        self.iops.filter(|_| !rds_instance::fixed_speed(self)).map(number)
    }

    fn chosen_throughput(&self) -> Option<i32> {
        self.throughput.filter(|_| !rds_instance::fixed_speed(self)).map(number)
    }
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn text(value: Option<&Arg<String>>) -> Result<Option<String>> {
    Ok(value.map(Arg::get).transpose()?.cloned())
}
