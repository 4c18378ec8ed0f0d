//! A sentence for what the sections make.

use crate::desired::Resource;

/// Why a section makes this resource. What the user wrote as it is needs no reason.
pub(super) fn why(resource: &Resource) -> Option<String> {
    let section = resource.origin.first()?.as_str();
    let entry = resource.origin.get(1).map_or("", String::as_str);
    let name = resource.address.name.as_str();
    let rest = name.strip_prefix(entry).unwrap_or(name).trim_start_matches('-');
    Some(match (section, resource.address.kind.as_str()) {
        ("network", "vpc") => "The network that everything here stands in.".to_owned(),
        ("network", "subnet") => match name.split('-').next()? {
            "public" => "A public subnet: for load balancers and NAT gateways only.".to_owned(),
            "private" => "A private subnet: for containers, which go out through NAT and cannot be reached.".to_owned(),
            _ => "A data subnet: for databases and caches, with no way out at all.".to_owned(),
        },
        ("network", "internet_gateway") => "The way between the public subnets and the internet.".to_owned(),
        ("network", "nat_gateway") => {
            "The way out to the internet for private subnets; nothing comes in by it.".to_owned()
        }
        ("network", "elastic_ip") => "The fixed address with which a NAT gateway goes out.".to_owned(),
        ("network", "route_table") => "Where traffic that leaves these subnets goes.".to_owned(),
        ("network", "security_group") => {
            "The firewall of the network's endpoints: in from the services, out nothing.".to_owned()
        }
        ("network", "vpc_endpoint") => "A way to a service of AWS that does not go over the internet.".to_owned(),
        ("network", "flow_log") => "The record of who connected to whom.".to_owned(),
        ("load_balancers", "load_balancer") => format!("The load balancer {entry}: where requests enter."),
        ("load_balancers", "security_group") => {
            format!("The firewall of load balancer {entry}: in from whom `allow` names, out to the services behind it.")
        }
        ("load_balancers", "listener") if rest == "https" => "HTTPS; the rules of services say who answers.".to_owned(),
        ("load_balancers", "listener") => "HTTP, which redirects to HTTPS where there is a certificate.".to_owned(),
        ("services", "ecs_cluster") => "The cluster in which all services run.".to_owned(),
        ("services", "security_group") => {
            format!("The firewall of service {entry}: in from its load balancer, out to its databases and HTTPS.")
        }
        ("services", "log_group") => format!("What the containers of service {entry} write."),
        ("services", "task_definition") => format!("What a task of service {entry} is: image, size, variables, roles."),
        ("services", "iam_role") if rest == "execution" => {
            format!(
                "With this role ECS starts service {entry}: it pulls the image, reads the named secrets, writes logs."
            )
        }
        ("services", "iam_role") => format!("The role of the containers of service {entry}: what `policies` allows."),
        ("services", "target_group") => {
            format!("The tasks of colour {rest} of service {entry}, and how their health is told.")
        }
        ("services", "listener_rule") if rest == "test" => {
            format!(
                "Leads requests with the test header to the idle colour of service {entry}, for checks before a switch."
            )
        }
        ("services", "listener_rule") => format!("Leads the requests of service {entry} to its colours by weight."),
        ("services", "ecs_service") if rest.is_empty() => format!("Keeps the tasks of service {entry} running."),
        ("services", "ecs_service") => format!("Keeps the tasks of colour {rest} of service {entry} running."),
        ("services", "scalable_target") => format!("Lets the number of tasks of service {entry} follow the load."),
        ("databases", "db_instance") => format!("The database {entry}."),
        ("databases", "security_group") => {
            format!("The firewall of database {entry}: in from the services that use it, out nothing.")
        }
        ("databases", "db_subnet_group") => format!("The data subnets in which database {entry} may stand."),
        ("databases", "db_parameter_group") => {
            format!("The settings of database {entry}: TLS only, connections logged.")
        }
        ("databases", "log_group") => format!("The log of database {entry}, which RDS would else keep for ever."),
        ("caches", "security_group") => {
            format!("The firewall of cache {entry}: in from the services that use it, out nothing.")
        }
        ("keys", _) => {
            format!("The key {entry}{}.", if entry == "main" { ", which encrypts all data here" } else { "" })
        }
        ("secrets", _) => format!("The secret {entry}; its value is never in a file."),
        ("certificates", _) => format!("The certificate {entry}, with which a load balancer proves its name."),
        _ => return None,
    })
}
