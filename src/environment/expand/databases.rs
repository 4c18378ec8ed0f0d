//! `databases`: an RDS instance each, with its firewall, subnets, parameters and logs.

use std::collections::BTreeMap;

use super::{Expansion, logs, rotation};
use crate::address::Address;
use crate::environment::databases::{Apply, Database, Engine, MAX_CONNECTIONS};
use crate::environment::network::Tier;
use crate::environment::types::Scalar;
use crate::kinds::db_instance::{self, DbInstance};
use crate::kinds::db_parameter_group::DbParameterGroup;
use crate::kinds::db_subnet_group::DbSubnetGroup;
use crate::kinds::security_group::{Peer, Rule, SecurityGroup};
use crate::tags::Tags;
use crate::value::Arg;

/// Days for which the logs of a database are kept.
const LOG_DAYS: u32 = 7;

pub(super) fn expand(to: &mut Expansion) {
    for (name, database) in &to.file.databases {
        let firewall = firewall(to, name, database);
        let subnets = subnets(to, name);
        let parameters = parameters(to, name, database);
        for log in database.logs() {
            // RDS fixes this name.
            let group = format!("/aws/rds/instance/{}/{}", to.aws_name(name, 63), log.name());
            let group = logs::group(to, group, Some(LOG_DAYS));
            to.add(format!("db-{name}-{}", log.name()), &["databases", name], &group);
        }
        let instance = instance(to, database, &firewall, &subnets, &parameters);
        to.add(name, &["databases", name], &instance);
    }
}

/// In: the services that use it, and what rotates its credentials. Out: nothing.
fn firewall(to: &mut Expansion, name: &str, database: &Database) -> Address {
    let origin = ["databases", name];
    let mut ingress = to.users_of("databases", name, database.engine.port());
    if database.rotation.is_some() {
        let group = Arg::output(&rotation::firewall_of(name), "id");
        ingress.push(Rule::tcp(database.engine.port(), Peer::SecurityGroup(group), "rotation"));
    }
    let group = SecurityGroup {
        vpc_id: to.vpc(&origin),
        name: None,
        description: format!("Database {name}"),
        ingress,
        egress: Vec::new(),
        exclusive: false,
        tags: Tags::new(),
    };
    to.add(format!("db-{name}"), &origin, &group)
}

fn subnets(to: &mut Expansion, name: &str) -> Address {
    let origin = ["databases", name];
    let subnets = to.subnets(Tier::Data);
    if subnets.len() == 1 {
        let help = "let `network.zones` be 2 or more; `multi_az` decides whether there is a standby".to_owned();
        to.wrong(&origin, "RDS asks for subnets in two zones at least", Some(help));
    }
    let group = DbSubnetGroup { name: None, description: format!("Database {name}"), subnets, tags: Tags::new() };
    to.add(name, &origin, &group)
}

/// TLS is enforced and connections are logged, unless the file says otherwise.
fn parameters(to: &mut Expansion, name: &str, database: &Database) -> Address {
    let given: &[(&str, &str)] = match database.engine {
        Engine::Postgres => &[("rds.force_ssl", "1"), ("log_connections", "1"), ("log_disconnections", "1")],
        Engine::Mysql | Engine::Mariadb => &[("require_secure_transport", "1")],
    };
    let mut parameters: BTreeMap<String, String> =
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    if let Some(connections) = database.max_connections() {
        parameters.insert(MAX_CONNECTIONS.to_owned(), connections.to_string());
    }
    parameters.extend(database.parameters.iter().map(|(name, value)| (name.clone(), setting(value))));
    let group = DbParameterGroup {
        name: None,
        family: family(database),
        description: format!("Database {name}"),
        parameters,
        tags: Tags::new(),
    };
    to.add(name, &["databases", name], &group)
}

/// RDS writes switches as 1 and 0.
fn setting(value: &Scalar) -> String {
    match value {
        Scalar::Flag(on) => u8::from(*on).to_string(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
    }
}

/// The engine with the part of its version that decides on parameters: `postgres15`, `mysql8.0`.
fn family(database: &Database) -> String {
    let numbers: Vec<&str> = database.version.split('.').collect();
    let parts = if database.engine == Engine::Postgres { 1 } else { 2 };
    format!("{}{}", database.engine.name(), numbers[..parts.min(numbers.len())].join("."))
}

fn instance(
    to: &Expansion,
    database: &Database,
    firewall: &Address,
    subnets: &Address,
    parameters: &Address,
) -> DbInstance {
    DbInstance {
        name: None,
        engine: database.engine.name().to_owned(),
        engine_version: database.version.clone(),
        class: database.class.clone(),
        storage_gb: database.storage,
        max_storage_gb: database.max_storage,
        storage_type: "gp3".to_owned(),
        iops: database.iops,
        throughput: database.throughput,
        encrypted: true,
        kms_key_arn: to.main_key(),
        master_username: database.username.clone(),
        database_name: database.name.clone(),
        managed_password: true,
        master_secret_kms_key_arn: to.main_key(),
        subnet_group_name: Arg::output(subnets, "name"),
        parameter_group_name: Some(Arg::output(parameters, "name")),
        security_groups: vec![Arg::output(firewall, "id")],
        multi_az: database.multi_az,
        publicly_accessible: false,
        port: Some(database.engine.port()),
        backup_retention_days: u16::try_from(database.backup.keep.days()).unwrap_or(u16::MAX),
        backup_window: database.backup.window.map(|window| window.to_string()),
        maintenance_window: database.maintenance.map(|window| window.to_string()),
        deletion_protection: database.deletion_protection,
        copy_tags_to_snapshot: true,
        log_exports: database.logs().iter().map(|log| log.name().to_owned()).collect(),
        performance_insights: database.performance_insights,
        monitoring_interval: 0,
        monitoring_role_arn: None,
        iam_authentication: false,
        ca: Some(database.ca.clone()),
        auto_minor_version_upgrade: true,
        apply: match database.apply {
            Apply::Now => db_instance::Apply::Now,
            Apply::Window => db_instance::Apply::Window,
        },
        final_snapshot: true,
        tags: Tags::new(),
    }
}
