//! `tracing`: what X-Ray records, a view of it, and the collector in each task.

use super::Expansion;
use crate::kinds::sampling_rule::SamplingRule;
use crate::kinds::task_container::{Container, Log};
use crate::kinds::trace_group::TraceGroup;
use crate::policy::{self, Statement};
use crate::tags::Tags;
use crate::value::Arg;

const ORIGIN: [&str; 1] = ["tracing"];
/// The collector, and the MiB beyond which it is killed.
const COLLECTOR: &str = "public.ecr.aws/xray/aws-xray-daemon:3.3.13";
const MEMORY: u32 = 256;
/// The containers of a task share one address.
const ADDRESS: &str = "127.0.0.1:2000";
/// Before the rules of others that do not say what matters more.
const PRIORITY: u16 = 1000;

pub(super) fn expand(to: &mut Expansion) {
    let Some(tracing) = &to.file.tracing else { return };
    let rule = SamplingRule {
        name: None,
        priority: PRIORITY,
        fixed_rate: tracing.sample.ratio(),
        reservoir_size: tracing.per_second,
        service_name: service_name(to, "*"),
        service_type: "*".to_owned(),
        host: "*".to_owned(),
        http_method: "*".to_owned(),
        url_path: "*".to_owned(),
        resource_arn: "*".to_owned(),
        attributes: std::collections::BTreeMap::new(),
        tags: Tags::new(),
    };
    to.add("main", &ORIGIN, &rule);
    let traced = to.file.services.iter().filter(|(_, service)| to.traced(service));
    let services: Vec<String> = traced.map(|(name, _)| format!("service(\"{}\")", service_name(to, name))).collect();
    if services.is_empty() {
        return;
    }
    let group = TraceGroup {
        name: None,
        filter_expression: services.join(" OR "),
        insights: false,
        notifications: false,
        tags: Tags::new(),
    };
    to.add("main", &ORIGIN, &group);
}

/// What a service calls itself in its traces.
fn service_name(to: &Expansion, service: &str) -> String {
    format!("{}-{}-{service}", to.file.project, to.name)
}

/// The collector beside a container, which learns where it is.
pub(super) fn collect(to: &Expansion, name: &str, container: &mut Container) -> Container {
    for (variable, value) in
        [("AWS_XRAY_DAEMON_ADDRESS", ADDRESS.to_owned()), ("AWS_XRAY_TRACING_NAME", service_name(to, name))]
    {
        if !container.secrets.contains_key(variable) {
            container.environment.entry(variable.to_owned()).or_insert(Arg::Known(value));
        }
    }
    let log = container.log.as_ref().map(|log| Log { prefix: "xray".to_owned(), ..log.clone() });
    // Without CPU units of its own, of which the service's container has none either: with any, it would come first.
    Container { essential: false, memory: Some(MEMORY), log, ..Container::new("xray-daemon", COLLECTOR.into()) }
}

/// What the collector does with the role of its task. X-Ray knows no resources for these actions.
pub(super) fn statement() -> Statement {
    let actions = [
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:GetSamplingStatisticSummaries",
    ];
    policy::allow(&actions, ["*"]).sid("Tracing")
}
