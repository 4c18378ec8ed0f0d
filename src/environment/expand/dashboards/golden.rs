//! The page with latency, traffic, errors and saturation of everything.

use serde_json::{Value as Json, json};

use super::Page;
use crate::address::Address;
use crate::environment::databases::Database;
use crate::environment::expand::Expansion;
use crate::environment::expand::services::COLOURS;
use crate::environment::releases::Strategy;
use crate::value::Arg;

/// Alarms that one widget shows.
const ALARMS: usize = 100;
const GRAPH: (u32, u32) = (6, 6);

pub(super) fn page(to: &Expansion) -> Page {
    let mut page = Page::default();
    let file = to.file;
    if file.services.is_empty() && file.load_balancers.is_empty() && file.databases.is_empty() {
        return page;
    }
    page.put("text", (24, 2), json!({ "markdown": head(to) }));
    let alarms: Vec<Arg<String>> = to
        .resources
        .iter()
        .filter(|resource| resource.address.kind == "metric_alarm")
        .take(ALARMS)
        .map(|resource| Arg::output(&resource.address, "arn"))
        .collect();
    if !alarms.is_empty() {
        page.put("alarm", (24, 4), json!({ "title": "Alarms", "alarms": alarms }));
    }
    for name in file.load_balancers.keys() {
        balancer(to, &mut page, name);
    }
    for name in file.services.keys() {
        service(to, &mut page, name);
    }
    for (name, section) in &file.databases {
        database(to, &mut page, name, section);
    }
    if !file.logs.metrics.is_empty() {
        counted(to, &mut page);
    }
    page
}

/// What the page is, and where to look next.
fn head(to: &Expansion) -> String {
    let (project, environment) = (&to.file.project, to.name);
    let mut text = format!("# {project} {environment}\n");
    if let Some(runbooks) = &to.file.runbooks {
        text += &format!("[Runbooks]({runbooks}) · ");
    }
    text += "[Alarms](#alarmsV2:) · [Logs](#logsV2:logs-insights)";
    if !to.file.services.is_empty() {
        text += &format!(" (saved queries: `{project}/{environment}`)");
    }
    text
}

fn title(page: &mut Page, text: &str) {
    page.next_line();
    page.put("text", (24, 1), json!({ "markdown": format!("## {text}") }));
}

/// One graph. Each line is namespace, name and dimensions, and how it is drawn.
fn graph(to: &Expansion, page: &mut Page, title: &str, unit: &str, lines: &[Json], limit: Option<(&str, f64)>) {
    let mut properties = json!({
        "title": title,
        "region": to.file.region,
        "view": "timeSeries",
        "stacked": false,
        "period": 60,
        "metrics": lines,
        "yAxis": { "left": { "min": 0, "label": unit, "showUnits": false } },
    });
    if let (Some((label, value)), Some(fields)) = (limit, properties.as_object_mut()) {
        fields.insert("annotations".to_owned(), json!({ "horizontal": [{ "label": label, "value": value }] }));
    }
    page.put("metric", GRAPH, properties);
}

fn of_balancer(name: &str) -> Arg<String> {
    Arg::output(&Address::new("load_balancer", name), "dimension")
}

fn balancer(to: &Expansion, page: &mut Page, name: &str) {
    title(page, &format!("Load balancer {name}"));
    let line = |metric: &str, stat: &str, label: &str| {
        let how = json!({ "stat": stat, "label": label });
        json!(["AWS/ApplicationELB", metric, "LoadBalancer", of_balancer(name), how])
    };
    let times = ["p50", "p90", "p99"].map(|stat| line("TargetResponseTime", stat, stat));
    graph(to, page, "Latency", "seconds", &times, None);
    graph(to, page, "Traffic", "requests a minute", &[line("RequestCount", "Sum", "requests")], None);
    let errors = [
        line("HTTPCode_ELB_5XX_Count", "Sum", "5xx of its own"),
        line("HTTPCode_Target_5XX_Count", "Sum", "5xx of services"),
        line("HTTPCode_Target_4XX_Count", "Sum", "4xx of services"),
    ];
    graph(to, page, "Errors", "answers a minute", &errors, None);
    let connections = [
        line("ActiveConnectionCount", "Sum", "open"),
        line("RejectedConnectionCount", "Sum", "rejected"),
        line("TargetConnectionErrorCount", "Sum", "failed"),
    ];
    graph(to, page, "Connections", "connections", &connections, None);
}

fn service(to: &Expansion, page: &mut Page, name: &str) {
    title(page, &format!("Service {name}"));
    let balancer = to.balancer_of(name);
    if let Some(balancer) = &balancer {
        let line = |colour: &str, metric: &str, stat: &str, label: &str| {
            let group: Arg<String> =
                Arg::output(&Address::new("target_group", format!("{name}-{colour}")), "dimension");
            let label = format!("{colour} {label}");
            let how = json!({ "stat": stat, "label": label.trim() });
            json!(["AWS/ApplicationELB", metric, "TargetGroup", group, "LoadBalancer", of_balancer(balancer), how])
        };
        let both = |metrics: &[(&str, &str, &str)]| -> Vec<Json> {
            let lines = COLOURS.iter().flat_map(|colour| metrics.iter().map(|(m, s, l)| line(colour, m, s, l)));
            lines.collect()
        };
        let times = both(&[("TargetResponseTime", "p50", "p50"), ("TargetResponseTime", "p99", "p99")]);
        graph(to, page, "Latency", "seconds", &times, None);
        graph(to, page, "Traffic", "requests a minute", &both(&[("RequestCount", "Sum", "")]), None);
        let errors = [("HTTPCode_Target_5XX_Count", "Sum", "5xx"), ("HTTPCode_Target_4XX_Count", "Sum", "4xx")];
        graph(to, page, "Errors", "answers a minute", &both(&errors), None);
    }
    let native = to.file.services.get(name).is_some_and(|service| service.strategy() == Strategy::Native);
    let services: Vec<(String, &str)> = if balancer.is_some() && !native {
        COLOURS.iter().map(|colour| (format!("{name}-{colour}"), *colour)).collect()
    } else {
        vec![(name.to_owned(), "")]
    };
    let mut lines = Vec::new();
    for (service, colour) in &services {
        let cluster: Arg<String> = Arg::output(&Address::new("ecs_cluster", "main"), "name");
        let service: Arg<String> = Arg::output(&Address::new("ecs_service", service), "name");
        for (metric, label) in [("CPUUtilization", "CPU"), ("MemoryUtilization", "memory")] {
            let label = format!("{colour} {label}");
            let how = json!({ "stat": "Average", "label": label.trim() });
            lines.push(json!(["AWS/ECS", metric, "ClusterName", cluster, "ServiceName", service, how]));
        }
    }
    graph(to, page, "Saturation", "percent", &lines, None);
}

fn database(to: &Expansion, page: &mut Page, name: &str, section: &Database) {
    title(page, &format!("Database {name}"));
    let line = |metric: &str, stat: &str, label: &str| {
        let id: Arg<String> = Arg::output(&Address::new("db_instance", name), "id");
        json!(["AWS/RDS", metric, "DBInstanceIdentifier", id, { "stat": stat, "label": label }])
    };
    let times = [line("ReadLatency", "Average", "read"), line("WriteLatency", "Average", "write")];
    graph(to, page, "Latency", "seconds", &times, None);
    let traffic = [line("ReadIOPS", "Average", "reads"), line("WriteIOPS", "Average", "writes")];
    graph(to, page, "Traffic", "operations a second", &traffic, None);
    let most = section.max_connections().map(|most| ("most", f64::from(most)));
    graph(to, page, "Connections", "connections", &[line("DatabaseConnections", "Maximum", "open")], most);
    graph(to, page, "Saturation: CPU", "percent", &[line("CPUUtilization", "Average", "CPU")], None);
    let memory = [line("FreeableMemory", "Minimum", "memory"), line("FreeStorageSpace", "Minimum", "disk")];
    graph(to, page, "Saturation: free memory and disk", "bytes", &memory, None);
}

/// What the file counts in logs.
fn counted(to: &Expansion, page: &mut Page) {
    title(page, "Counted in logs");
    let namespace = format!("{}/{}", to.file.project, to.name);
    for name in to.file.logs.metrics.keys() {
        let line = json!([namespace, name, { "stat": "Sum", "label": name, "period": 3600 }]);
        graph(to, page, name, "an hour", &[line], None);
    }
}
