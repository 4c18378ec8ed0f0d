//! The alarms that nobody has to write.

use std::collections::BTreeMap;

use super::{Alarm, FIVE_MINUTES, Limit, Watch};
use crate::address::Address;
use crate::environment::alarms::Severity;
use crate::environment::databases::Database;
use crate::environment::expand::services::{COLOURS, owner};
use crate::environment::expand::{Expansion, rotation};
use crate::environment::services::Service;
use crate::environment::types::Duration;
use crate::kinds::metric_alarm::MissingData;
use crate::kinds::metric_query::{Metric, Query};
use crate::kinds::task_definition::Owner;
use crate::rotation::ROLL;
use crate::value::Arg;

const GB: f64 = 1024.0 * 1024.0 * 1024.0;
/// Free disk and free connections that are enough.
const FREE_GB: u32 = 10;
const FREE_CONNECTIONS: u32 = 5;

/// The alarms of all services, load balancers and databases.
pub(super) fn alarms(to: &Expansion) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for (name, service) in &to.file.services {
        match to.balancer_of(name) {
            Some(balancer) => {
                alarms.extend([errors(name, &balancer), slow(name, &balancer)]);
                alarms.extend(runs(service).then(|| down(name, service, healthy(name, &balancer))));
            }
            None => alarms.extend(runs(service).then(|| down(name, service, Watch::One(running(name))))),
        }
    }
    alarms.extend(to.file.load_balancers.keys().map(|name| own_errors(name)));
    for (name, database) in &to.file.databases {
        alarms.extend(connections(name, database));
        alarms.extend([storage(name, database), cpu(name)]);
    }
    let rotating = to.file.databases.iter().filter(|(_, database)| database.rotation.is_some());
    let rotating: Vec<&String> = rotating.map(|(name, _)| name).collect();
    alarms.extend(rotating.iter().map(|name| rotation(name)));
    if let (Some(first), false) = (rotating.first(), to.file.services.is_empty()) {
        alarms.push(roll(first));
    }
    alarms
}

/// An alarm to start from.
fn alarm(section: &str, of: &str, name: String, watch: Watch) -> Alarm {
    Alarm {
        name,
        origin: vec![section.to_owned(), of.to_owned()],
        page: String::new(),
        about: String::new(),
        unit: "",
        scale: 1.0,
        watch,
        limit: Limit::Above,
        threshold: 0.0,
        lasts: Duration(FIVE_MINUTES),
        severity: Severity::Warning,
        missing: MissingData::Missing,
        owner: Owner::File,
    }
}

/// Whether at least one task should run.
fn runs(service: &Service) -> bool {
    service.count != Some(0) && service.scale.as_ref().is_none_or(|scale| scale.min > 0)
}

fn errors(name: &str, balancer: &str) -> Alarm {
    let watch = colours(name, balancer, "HTTPCode_Target_5XX_Count", "Sum", "SUM");
    Alarm {
        page: "errors".to_owned(),
        about: format!("Answers of {name} with status 5xx"),
        threshold: 10.0,
        severity: Severity::Critical,
        // AWS counts errors only where there are some.
        missing: MissingData::NotBreaching,
        ..alarm("services", name, format!("{name}-errors"), watch)
    }
}

fn slow(name: &str, balancer: &str) -> Alarm {
    Alarm {
        page: "slow".to_owned(),
        about: format!("Average time that {name} takes to answer"),
        unit: " s",
        threshold: 2.0,
        missing: MissingData::NotBreaching,
        ..alarm(
            "services",
            name,
            format!("{name}-slow"),
            colours(name, balancer, "TargetResponseTime", "Average", "MAX"),
        )
    }
}

fn down(name: &str, service: &Service, watch: Watch) -> Alarm {
    Alarm {
        page: "down".to_owned(),
        about: format!("Healthy tasks of {name}"),
        limit: Limit::Below,
        threshold: 1.0,
        lasts: Duration(120),
        severity: Severity::Critical,
        missing: MissingData::Breaching,
        owner: owner(service),
        ..alarm("services", name, format!("{name}-down"), watch)
    }
}

/// The errors that the load balancer answers with when it reaches nobody.
fn own_errors(name: &str) -> Alarm {
    let metric = metric("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", [balancer(name)]);
    Alarm {
        page: "load-balancer-errors".to_owned(),
        about: format!("Errors (5xx) of load balancer {name} itself"),
        threshold: 10.0,
        severity: Severity::Critical,
        missing: MissingData::NotBreaching,
        ..alarm("load_balancers", name, format!("lb-{name}-errors"), Watch::One(metric))
    }
}

/// Only where it is known how many there can be.
fn connections(name: &str, database: &Database) -> Option<Alarm> {
    let most = database.max_connections()?;
    Some(Alarm {
        page: "database-connections".to_owned(),
        about: format!("Connections to database {name}, which takes {most}"),
        threshold: f64::from(most.saturating_sub(FREE_CONNECTIONS)),
        ..alarm(
            "databases",
            name,
            format!("db-{name}-connections"),
            of_database(name, "DatabaseConnections", "Maximum"),
        )
    })
}

fn storage(name: &str, database: &Database) -> Alarm {
    Alarm {
        page: "database-storage".to_owned(),
        about: format!("Free disk of database {name}"),
        unit: " GB",
        scale: GB,
        limit: Limit::Below,
        threshold: f64::from(FREE_GB.min(database.storage / 5)),
        ..alarm("databases", name, format!("db-{name}-storage"), of_database(name, "FreeStorageSpace", "Minimum"))
    }
}

fn cpu(name: &str) -> Alarm {
    Alarm {
        page: "database-cpu".to_owned(),
        about: format!("Processor of database {name}"),
        unit: " %",
        threshold: 90.0,
        lasts: Duration(3 * FIVE_MINUTES),
        ..alarm("databases", name, format!("db-{name}-cpu"), of_database(name, "CPUUtilization", "Average"))
    }
}

/// What is current works until the next rotation, so there is a month to look.
fn rotation(name: &str) -> Alarm {
    Alarm {
        page: "rotation".to_owned(),
        about: format!("Failed steps of the rotation of database {name}"),
        severity: Severity::Error,
        ..failures(name, format!("db-{name}-rotation"), &rotation::label(name))
    }
}

fn roll(first: &str) -> Alarm {
    Alarm {
        page: "rotation".to_owned(),
        about: "Services that could not be brought to a new version of their secret".to_owned(),
        severity: Severity::Error,
        ..failures(first, "rotation-roll".to_owned(), ROLL)
    }
}

/// Calls of a function that fail.
fn failures(database: &str, name: String, function: &str) -> Alarm {
    let function = Arg::output(&Address::new("lambda_function", function), "name");
    let watch = Watch::One(metric("AWS/Lambda", "Errors", "Sum", [("FunctionName".to_owned(), function)]));
    Alarm { missing: MissingData::NotBreaching, ..alarm("databases", database, name, watch) }
}

fn metric<const N: usize>(
    namespace: &str,
    name: &str,
    statistic: &str,
    dimensions: [(String, Arg<String>); N],
) -> Metric {
    Metric {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dimensions: BTreeMap::from(dimensions),
        statistic: statistic.to_owned(),
        period: 0,
        unit: None,
    }
}

fn of_database(name: &str, what: &str, statistic: &str) -> Watch {
    let id = Arg::output(&Address::new("db_instance", name), "id");
    Watch::One(metric("AWS/RDS", what, statistic, [("DBInstanceIdentifier".to_owned(), id)]))
}

fn balancer(name: &str) -> (String, Arg<String>) {
    ("LoadBalancer".to_owned(), Arg::output(&Address::new("load_balancer", name), "dimension"))
}

/// A metric of the target groups of both colours, joined by `function`. A colour that does nothing counts as 0.
fn colours(name: &str, to: &str, what: &str, statistic: &str, function: &str) -> Watch {
    let of = |colour: &&str| {
        let group = Arg::output(&Address::new("target_group", format!("{name}-{colour}")), "dimension");
        let dimensions = [("TargetGroup".to_owned(), group), balancer(to)];
        Query {
            id: (*colour).to_owned(),
            expression: None,
            metric: Some(metric("AWS/ApplicationELB", what, statistic, dimensions)),
            label: None,
            return_data: false,
        }
    };
    let filled = COLOURS.map(|colour| format!("FILL({colour}, 0)")).join(", ");
    let both = Query {
        id: "both".to_owned(),
        expression: Some(format!("{function}([{filled}])")),
        metric: None,
        label: Some(what.to_owned()),
        return_data: true,
    };
    Watch::Several(COLOURS.iter().map(of).chain([both]).collect())
}

fn healthy(name: &str, balancer: &str) -> Watch {
    colours(name, balancer, "HealthyHostCount", "Minimum", "SUM")
}

/// No load balancer sees these tasks, so ECS counts them.
fn running(name: &str) -> Metric {
    let cluster = Arg::output(&Address::new("ecs_cluster", "main"), "name");
    let service = Arg::output(&Address::new("ecs_service", name), "name");
    let dimensions = [("ClusterName".to_owned(), cluster), ("ServiceName".to_owned(), service)];
    metric("ECS/ContainerInsights", "RunningTaskCount", "Minimum", dimensions)
}
