//! What holds data: that it is encrypted, out of reach, backed up, and not deleted by accident.

use super::{Context, Hit, Rule, Severity};
use crate::address::Address;
use crate::desired::Resource;
use crate::kinds::db_instance::DbInstance;
use crate::kinds::db_parameter_group::DbParameterGroup;
use crate::kinds::db_subnet_group::DbSubnetGroup;
use crate::kinds::kms_key::KmsKey;
use crate::kinds::load_balancer::LoadBalancer;
use crate::kinds::log_group::LogGroup;
use crate::kinds::route_table::{RouteTable, Target};
use crate::reach::{self, speaks_of};
use crate::value::Value;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "public_database",
        severity: Severity::Error,
        what: "A database has a public address",
        why: "one wrong rule of its firewall, and the internet reaches it",
        remedy: "set `publicly_accessible: false`, and reach it through a service or an SSM session",
        find: public_database,
    },
    Rule {
        code: "unencrypted_database",
        severity: Severity::Error,
        what: "The disk of a database is not encrypted",
        why: "so are its snapshots and copies then, and it can never be changed in place: only a new database is encrypted",
        remedy: "set `encrypted: true` before there is data in it",
        find: unencrypted_database,
    },
    Rule {
        code: "public_bucket",
        severity: Severity::Error,
        what: "The public access to a bucket is not blocked",
        why: "one policy or one object's rights, and everyone reads what is in it",
        remedy: "block all public access; serve public files through CloudFront",
        find: public_bucket,
    },
    Rule {
        code: "no_backups",
        severity: Severity::Error,
        what: "A database in production has no backups",
        why: "a wrong DELETE, a bad migration or a lost disk cannot be undone",
        remedy: "let `backup.keep` be 7d or more",
        find: no_backups,
    },
    Rule {
        code: "no_final_snapshot",
        severity: Severity::Error,
        what: "A database in production is deleted without a last snapshot",
        why: "its automatic backups go with it, so that nothing is left",
        remedy: "take `final_snapshot: false` out",
        find: no_final_snapshot,
    },
    Rule {
        code: "short_backups",
        severity: Severity::Warning,
        what: "Backups of a database in production are kept for less than 7 days",
        why: "damage is often noticed only after a weekend or a holiday",
        remedy: "let `backup.keep` be 7d or more",
        find: short_backups,
    },
    Rule {
        code: "database_in_public_subnet",
        severity: Severity::Warning,
        what: "A database stands in subnets that have a way to the internet",
        why: "only its firewall then stands between it and the internet",
        remedy: "name the data subnets, which have no way out",
        find: database_in_public_subnet,
    },
    Rule {
        code: "tls_not_enforced",
        severity: Severity::Warning,
        what: "A database or cache takes connections without TLS",
        why: "queries, answers and the password itself cross the network readable",
        remedy: "take the setting out: TLS is enforced unless the file says otherwise",
        find: tls_not_enforced,
    },
    Rule {
        code: "unencrypted_cache",
        severity: Severity::Warning,
        what: "The data of a cache are not encrypted where they are stored",
        why: "its snapshots hold sessions and jobs in readable form",
        remedy: "encrypt it, before there is data in it: this cannot be changed later",
        find: unencrypted_cache,
    },
    Rule {
        code: "single_zone",
        severity: Severity::Warning,
        what: "A database or cache in production stands in one zone",
        why: "when that zone fails, or the machine is patched, the service is down for minutes to hours",
        remedy: "set `multi_az: true` for a database, `replicas: 1` for a cache",
        find: single_zone,
    },
    Rule {
        code: "deletion_protection_off",
        severity: Severity::Warning,
        what: "AWS would delete a database or a load balancer of production without a second question",
        why: "one click in the console, or one wrong call, is enough",
        remedy: "take `deletion_protection: false` out",
        find: deletion_protection_off,
    },
    Rule {
        code: "no_versioning",
        severity: Severity::Warning,
        what: "A bucket in production keeps no old versions of its objects",
        why: "what is overwritten or deleted by mistake is gone",
        remedy: "take `versioning: false` out",
        find: no_versioning,
    },
    Rule {
        code: "no_log_retention",
        severity: Severity::Warning,
        what: "A log group keeps everything for ever",
        why: "storage is billed for good, and so are personal data kept that should have gone",
        remedy: "set `retention_days`",
        find: no_log_retention,
    },
    Rule {
        code: "no_key_rotation",
        severity: Severity::Warning,
        what: "A key's material is never renewed",
        why: "whoever once got hold of it reads everything that is ever encrypted with it",
        remedy: "set `rotation: true`; AWS keeps the old material for what is encrypted already",
        find: no_key_rotation,
    },
    Rule {
        code: "key_not_used",
        severity: Severity::Warning,
        what: "The environment has a key of its own, and something that holds data does not use it",
        why: "that data stays readable to whoever has the right in AWS, though the key's policy or its deletion should decide",
        remedy: "name the key: `${keys.main.arn}`",
        find: key_not_used,
    },
    Rule {
        code: "unused_secret",
        severity: Severity::Warning,
        what: "Nothing in the environment uses a secret",
        why: "a secret that nobody reads is paid for, and is one more that can leak; or a service lacks it",
        remedy: "name it under the `secrets` of the service that needs it, or take it out",
        find: unused_secret,
    },
];

/// What is wrong with some databases, at a field of the kind and in the words of the section.
fn databases(
    context: &Context,
    field: &'static str,
    near: &'static [&'static str],
    wrong: impl Fn(&DbInstance) -> Option<String>,
) -> Vec<Hit> {
    let each = context.each::<DbInstance>();
    each.filter_map(|(resource, spec)| Some(Hit::new(resource, field, wrong(&spec)?).near(near))).collect()
}

fn public_database(context: &Context) -> Vec<Hit> {
    let wrong = |one: &DbInstance| one.publicly_accessible.then(|| "it has a public address".to_owned());
    databases(context, "publicly_accessible", &[], wrong)
}

fn unencrypted_database(context: &Context) -> Vec<Hit> {
    let wrong = |one: &DbInstance| (!one.encrypted).then(|| "its disk is not encrypted".to_owned());
    databases(context, "encrypted", &[], wrong)
}

fn no_backups(context: &Context) -> Vec<Hit> {
    let wrong = |one: &DbInstance| {
        (context.production && one.backup_retention_days == 0).then(|| "it has no backups".to_owned())
    };
    databases(context, "backup_retention_days", &["backup", "keep"], wrong)
}

fn short_backups(context: &Context) -> Vec<Hit> {
    let wrong = |one: &DbInstance| {
        let days = one.backup_retention_days;
        let text = || format!("its backups are kept for {days} day{}", if days == 1 { "" } else { "s" });
        (context.production && (1..7).contains(&days)).then(text)
    };
    databases(context, "backup_retention_days", &["backup", "keep"], wrong)
}

fn no_final_snapshot(context: &Context) -> Vec<Hit> {
    let wrong = |one: &DbInstance| {
        (context.production && !one.final_snapshot).then(|| "it is deleted without a last snapshot".to_owned())
    };
    databases(context, "final_snapshot", &[], wrong)
}

fn database_in_public_subnet(context: &Context) -> Vec<Hit> {
    let tables: Vec<RouteTable> = context.each::<RouteTable>().map(|(_, table)| table).collect();
    let public = |subnet: &Address| {
        tables.iter().any(|table| {
            table.subnets.iter().any(|one| reach::referred(one) == Some(subnet))
                && table.routes.iter().any(|route| matches!(route.target, Target::InternetGateway(_)))
        })
    };
    let mut hits = Vec::new();
    for (resource, instance) in context.each::<DbInstance>() {
        let group = reach::referred(&instance.subnet_group_name).and_then(|of| context.desired.resources.get(of));
        let Some(group) = group.and_then(|group| crate::value::from_fields::<DbSubnetGroup>(&group.fields).ok()) else {
            continue;
        };
        if let Some(subnet) = group.subnets.iter().filter_map(reach::referred).find(|subnet| public(subnet)) {
            let message = format!("it stands in {subnet}, which has a way to the internet");
            hits.push(Hit::new(resource, "subnet_group_name", message));
        }
    }
    hits
}

fn tls_not_enforced(context: &Context) -> Vec<Hit> {
    let off = |value: &str| matches!(value.to_lowercase().as_str(), "0" | "off" | "false");
    let mut hits = Vec::new();
    for (resource, group) in context.each::<DbParameterGroup>() {
        for name in ["rds.force_ssl", "require_secure_transport"] {
            if group.parameters.get(name).is_some_and(|value| off(value)) {
                let hit = Hit::new(resource, "parameters", format!("{name} is off: connections without TLS are taken"));
                hits.push(hit.near(&["parameters"]));
            }
        }
    }
    hits.extend(switched_off(context, "replication_group", "transit_encryption", "connections without TLS are taken"));
    hits
}

fn unencrypted_cache(context: &Context) -> Vec<Hit> {
    switched_off(context, "replication_group", "encrypted", "its data are not encrypted where they are stored")
}

/// Resources of a kind in which this switch is off.
fn switched_off(context: &Context, kind: &'static str, field: &'static str, message: &str) -> Vec<Hit> {
    let off = context.all(kind).filter(|resource| resource.fields.get(field) == Some(&Value::Bool(false)));
    off.map(|resource| Hit::new(resource, field, message)).collect()
}

fn single_zone(context: &Context) -> Vec<Hit> {
    if !context.production {
        return Vec::new();
    }
    let wrong = |one: &DbInstance| (!one.multi_az).then(|| "it stands in one zone, and nothing takes over".to_owned());
    let mut hits = databases(context, "multi_az", &["multi_az"], wrong);
    hits.extend(switched_off(
        context,
        "replication_group",
        "multi_az",
        "it stands in one zone, and nothing takes over",
    ));
    hits
}

fn deletion_protection_off(context: &Context) -> Vec<Hit> {
    if !context.production {
        return Vec::new();
    }
    let message = "nothing keeps AWS from deleting it at one call";
    let mut hits =
        databases(context, "deletion_protection", &[], |one| (!one.deletion_protection).then(|| message.to_owned()));
    let open = context.each::<LoadBalancer>().filter(|(_, spec)| !spec.deletion_protection);
    hits.extend(open.map(|(resource, _)| Hit::new(resource, "deletion_protection", message)));
    hits
}

fn public_bucket(context: &Context) -> Vec<Hit> {
    let open = context.all("bucket").filter(|bucket| bucket.fields.get("public") == Some(&Value::Bool(true)));
    open.map(|bucket| Hit::new(bucket, "public", "public access is not blocked")).collect()
}

fn no_versioning(context: &Context) -> Vec<Hit> {
    let off = |bucket: &&Resource| bucket.fields.get("versioning") == Some(&Value::Bool(false));
    let buckets = context.all("bucket").filter(|_| context.production).filter(off);
    buckets.map(|one| Hit::new(one, "versioning", "it keeps no old versions of its objects")).collect()
}

fn no_log_retention(context: &Context) -> Vec<Hit> {
    let groups = context.each::<LogGroup>().filter(|(_, group)| group.retention_days.is_none());
    groups.map(|(one, _)| Hit::new(one, "retention_days", "it keeps everything for ever")).collect()
}

fn no_key_rotation(context: &Context) -> Vec<Hit> {
    let keys = context.each::<KmsKey>().filter(|(_, key)| key.enabled && !key.rotation);
    keys.map(|(one, _)| Hit::new(one, "rotation", "its material is never renewed")).collect()
}

/// Kinds that hold data and can be encrypted with a key of one's own.
const ENCRYPTABLE: &[&str] =
    &["bucket", "db_instance", "ecr_repository", "log_group", "replication_group", "secret", "sns_topic"];

fn key_not_used(context: &Context) -> Vec<Hit> {
    let main = Address::new("kms_key", "main");
    if !context.desired.resources.contains_key(&main) {
        return Vec::new();
    }
    let plain = |resource: &&Resource| resource.fields.get("kms_key_arn").is_none_or(Value::is_empty);
    let kinds = ENCRYPTABLE.iter().flat_map(|kind| context.all(kind)).filter(plain);
    kinds.map(|one| Hit::new(one, "", format!("{main} encrypts this environment, but not this"))).collect()
}

fn unused_secret(context: &Context) -> Vec<Hit> {
    let used = |secret: &Resource| {
        let others = context.desired.resources.values().filter(|other| other.address != secret.address);
        others.flat_map(|other| other.fields.values()).any(|value| speaks_of(value, &secret.address))
    };
    let unused = context.all("secret").filter(|secret| !used(secret));
    unused.map(|secret| Hit::new(secret, "", "nothing here uses it")).collect()
}
