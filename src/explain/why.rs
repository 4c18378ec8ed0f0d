//! A sentence for what the sections make.

use crate::desired::Resource;

/// Why a section makes this resource. What the user wrote as it is needs no reason.
pub(super) fn why(resource: &Resource) -> Option<String> {
    let section = resource.origin.first()?.as_str();
    let entry = resource.origin.get(1).map_or("", String::as_str);
    let (kind, name) = (resource.address.kind.as_str(), resource.address.name.as_str());
    let rest = name.strip_prefix(entry).unwrap_or(name).trim_start_matches('-');
    match section {
        "network" => network(kind, name).map(str::to_owned),
        "load_balancers" => load_balancer(kind, entry, rest),
        "services" => service(kind, entry, rest),
        "jobs" => job(kind, entry, rest),
        "databases" | "caches" => data(section, kind, entry),
        _ => other(section, entry),
    }
}

fn network(kind: &str, name: &str) -> Option<&'static str> {
    Some(match kind {
        "vpc" => "The network that everything here stands in.",
        "subnet" => match name.split('-').next()? {
            "public" => "A public subnet: for load balancers and NAT gateways only.",
            "private" => "A private subnet: for containers, which go out through NAT and cannot be reached.",
            _ => "A data subnet: for databases and caches, with no way out at all.",
        },
        "internet_gateway" => "The way between the public subnets and the internet.",
        "nat_gateway" => "The way out to the internet for private subnets; nothing comes in by it.",
        "elastic_ip" => "The fixed address with which a NAT gateway goes out.",
        "route_table" => "Where traffic that leaves these subnets goes.",
        "security_group" => "The firewall of the network's endpoints: in from the services, out nothing.",
        "vpc_endpoint" => "A way to a service of AWS that does not go over the internet.",
        "flow_log" => "The record of who connected to whom.",
        "log_group" | "iam_role" => "Keeps the record of who connected to whom.",
        _ => return None,
    })
}

fn load_balancer(kind: &str, entry: &str, rest: &str) -> Option<String> {
    Some(match kind {
        "load_balancer" => format!("The load balancer {entry}: where requests enter."),
        "security_group" => {
            format!("The firewall of load balancer {entry}: in from whom `allow` names, out to the services behind it.")
        }
        "listener" if rest == "https" => "HTTPS; the rules of services say who answers.".to_owned(),
        "listener" => "HTTP, which redirects to HTTPS where there is a certificate.".to_owned(),
        _ => return None,
    })
}

fn service(kind: &str, entry: &str, rest: &str) -> Option<String> {
    let tasks = if rest.is_empty() { "tasks".to_owned() } else { format!("tasks of colour {rest}") };
    Some(match kind {
        "ecs_cluster" => "The cluster in which all services run.".to_owned(),
        "security_group" => {
            format!("The firewall of service {entry}: in from its load balancer, out to its databases and HTTPS.")
        }
        "log_group" => format!("What the containers of service {entry} write."),
        "task_definition" => format!("What a task of service {entry} is: image, size, variables, roles."),
        "iam_role" if rest == "execution" => {
            format!(
                "With this role ECS starts service {entry}: it pulls the image, reads the named secrets, writes logs."
            )
        }
        "iam_role" => format!("The role of the containers of service {entry}: what `policies` allows."),
        "target_group" => format!("The {tasks} of service {entry}, and how their health is told."),
        "listener_rule" if rest == "test" => {
            format!(
                "Leads requests with the test header to the idle colour of service {entry}, for checks before a switch."
            )
        }
        "listener_rule" => format!("Leads the requests of service {entry} to its colours by weight."),
        "ecs_service" => format!("Keeps the {tasks} of service {entry} running."),
        "scalable_target" => format!("Lets the number of {tasks} of service {entry} follow the load."),
        _ => return None,
    })
}

fn job(kind: &str, entry: &str, rest: &str) -> Option<String> {
    Some(match kind {
        "task_definition" => format!("What a run of job {entry} is: image, size, variables, roles."),
        "security_group" => format!("The firewall of job {entry}: in nothing, out to its databases and HTTPS."),
        "log_group" => format!("What job {entry} writes."),
        "iam_role" if rest.ends_with("execution") => format!("With this role ECS starts job {entry}."),
        "iam_role" => format!("What job {entry} may do in AWS."),
        "schedule_group" => "When the jobs run.".to_owned(),
        _ => return None,
    })
}

fn data(section: &str, kind: &str, entry: &str) -> Option<String> {
    let what = if section == "caches" { "cache" } else { "database" };
    Some(match kind {
        "db_instance" | "replication_group" => format!("The {what} {entry}."),
        "security_group" => format!("The firewall of {what} {entry}: in from the services that use it, out nothing."),
        "db_subnet_group" | "cache_subnet_group" => format!("The data subnets in which {what} {entry} may stand."),
        "db_parameter_group" => format!("The settings of database {entry}: TLS only, connections logged."),
        "cache_parameter_group" => format!("The settings of cache {entry}: what goes when its memory is full."),
        "log_group" => format!("The log of {what} {entry}, which AWS would else keep for ever."),
        "metric_alarm" => format!("Tells when {what} {entry} runs short."),
        _ => return None,
    })
}

fn other(section: &str, entry: &str) -> Option<String> {
    let which = |what: &str| format!("{what} {entry}").trim_end().to_owned();
    Some(match section {
        "keys" if entry == "main" => "The key main, which encrypts all data here.".to_owned(),
        "keys" => format!("{}.", which("The key")),
        "secrets" => format!("{}; its value is never in a file.", which("The secret")),
        "certificates" => format!("{}, with which a load balancer proves its name.", which("Part of the certificate")),
        "dns" => format!("{}.", which("Part of the names under")),
        "firewall" => {
            "Part of the web firewall, which limits and filters requests before the load balancers.".to_owned()
        }
        "buckets" => format!("{}.", which("Part of the bucket")),
        "audit" => "Part of the record of every call to AWS's API.".to_owned(),
        "notifications" => format!("{}.", which("Part of how people are told of what is")),
        "alarms" => "Tells when something breaks, or is about to.".to_owned(),
        "dashboards" | "logs" => format!("Part of what `{section}` shows of the environment."),
        "tracing" => "Part of following requests through the services.".to_owned(),
        "registries" => format!("{}, which holds its images.", which("The registry")),
        "pipeline" => "What the pipeline may do here, and who may be the pipeline.".to_owned(),
        "backups" => format!("{}.", which("Part of the backups")),
        _ => return None,
    })
}
