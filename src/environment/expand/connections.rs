//! `network.endpoints` and `network.flow_logs`: ways to AWS that leave out the internet, and the log of connections.

use std::collections::BTreeSet;

use super::{Expansion, logs};
use crate::address::Address;
use crate::environment::network::{Nat, Network, Tier};
use crate::environment::types::Duration;
use crate::kinds::flow_log::{self, FlowLog, Traffic};
use crate::kinds::iam_role::IamRole;
use crate::kinds::security_group::{Peer, Rule, SecurityGroup};
use crate::kinds::vpc_endpoint::{EndpointType, VpcEndpoint};
use crate::policy;
use crate::tags::Tags;
use crate::value::Arg;

/// The firewall of the interface endpoints.
const FIREWALL: &str = "endpoints";
const FLOW_LOGS: &str = "flow-logs";
const HTTPS: u16 = 443;
/// Services that are reached by a route, which costs nothing.
const GATEWAYS: [&str; 2] = ["s3", "dynamodb"];

pub(super) fn expand(to: &mut Expansion, network: &Network, tables: &[Address]) {
    endpoints(to, network, tables);
    if let Some(keep) = network.flow_logs {
        flow_logs(to, keep);
    }
}

/// The services, as AWS names their endpoints.
fn services(network: &Network) -> BTreeSet<&str> {
    let parts = |name: &'static [&'static str]| name.iter().copied();
    let mut all = BTreeSet::new();
    for name in &network.endpoints {
        match name.as_str() {
            "ecr" => all.extend(parts(&["ecr.api", "ecr.dkr"])),
            other => {
                all.insert(other);
            }
        }
    }
    all
}

fn is_gateway(service: &str) -> bool {
    GATEWAYS.contains(&service)
}

/// The name of an endpoint's resource.
fn label(service: &str) -> String {
    service.replace('.', "-")
}

fn endpoints(to: &mut Expansion, network: &Network, tables: &[Address]) {
    let origin = ["network", "endpoints"];
    let services = services(network);
    let interfaces = services.iter().any(|service| !is_gateway(service));
    let firewall = interfaces.then(|| firewall(to, network));
    let subnets = to.subnets(Tier::Private);
    for service in services {
        let gateway = is_gateway(service);
        let endpoint = VpcEndpoint {
            vpc_id: Arg::output(&Address::new("vpc", "main"), "id"),
            service: format!("com.amazonaws.{}.{service}", to.file.region),
            endpoint_type: if gateway { EndpointType::Gateway } else { EndpointType::Interface },
            route_tables: tables.iter().filter(|_| gateway).map(id).collect(),
            subnets: if gateway { Vec::new() } else { subnets.clone() },
            security_groups: firewall.iter().filter(|_| !gateway).map(id).collect(),
            private_dns: true,
            policy: None,
            tags: Tags::new(),
        };
        to.add(label(service), &origin, &endpoint);
    }
}

/// In: HTTPS from the whole network, in all of which AWS's names lead to the endpoints. Out: nothing.
fn firewall(to: &mut Expansion, network: &Network) -> Address {
    let inside = Rule::tcp(HTTPS, Peer::Cidr(network.cidr.to_string().into()), "the network");
    let group = SecurityGroup {
        vpc_id: id(&Address::new("vpc", "main")),
        name: None,
        description: "Endpoints of AWS services".to_owned(),
        ingress: vec![inside],
        egress: Vec::new(),
        exclusive: false,
        tags: Tags::new(),
    };
    to.add(FIREWALL, &["network", "endpoints"], &group)
}

fn id(of: &Address) -> Arg<String> {
    Arg::output(of, "id")
}

impl Expansion<'_> {
    /// To the endpoint of an AWS service inside the network, or where there is none, to anywhere by HTTPS.
    pub(super) fn https_to(&self, service: &str) -> Vec<Rule> {
        match &self.file.network {
            Some(network) if services(network).contains(service) => {
                let group = id(&Address::new("security_group", FIREWALL));
                vec![Rule::tcp(HTTPS, Peer::SecurityGroup(group), "endpoints of AWS services")]
            }
            _ => self.https_egress(false),
        }
    }

    /// Where may go by HTTPS what has a public address or none: anywhere, or where the network has no way out, to its
    /// endpoints.
    pub(super) fn https_egress(&self, public: bool) -> Vec<Rule> {
        let anywhere = || vec![Rule::tcp(HTTPS, Peer::Cidr("0.0.0.0/0".into()), "AWS and the internet")];
        let Some(network) = &self.file.network else { return anywhere() };
        let services = services(network);
        if public || network.nat != Nat::None || services.is_empty() {
            return anywhere();
        }
        let mut rules = Vec::new();
        if services.iter().any(|service| !is_gateway(service)) {
            let group = id(&Address::new("security_group", FIREWALL));
            rules.push(Rule::tcp(HTTPS, Peer::SecurityGroup(group), "endpoints of AWS services"));
        }
        for service in services.into_iter().filter(|service| is_gateway(service)) {
            let list = Arg::output(&Address::new("vpc_endpoint", label(service)), "prefix_list_id");
            rules.push(Rule::tcp(HTTPS, Peer::PrefixList(list), service));
        }
        rules
    }
}

/// A log group, the role by which AWS writes to it, and the flow log of the whole VPC.
fn flow_logs(to: &mut Expansion, keep: Duration) {
    let origin = ["network", "flow_logs"];
    let group = logs::group(to, format!("/vpc/{}/{FLOW_LOGS}", to.name), u32::try_from(keep.days()).ok());
    let group = to.add(FLOW_LOGS, &origin, &group);
    let (partition, region, account) = (to.partition(), &to.file.region, &to.file.account);
    let flows = format!("arn:{partition}:ec2:{region}:{account}:vpc-flow-log/*");
    let trust = policy::allow(&["sts:AssumeRole"], policy::NO_RESOURCE).to("Service", ["vpc-flow-logs.amazonaws.com"]);
    let trust = trust.when("StringEquals", "aws:SourceAccount", [account.clone()]);
    let write = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"];
    let find: [Arg<String>; 1] = ["*".into()];
    let write = policy::document([
        policy::allow(&write, [logs::streams(&group)]).sid("Write"),
        policy::allow(&["logs:DescribeLogGroups"], find).sid("Find"),
    ]);
    let trust = policy::document([trust.when("ArnLike", "aws:SourceArn", [flows])]);
    let role = IamRole::new(trust, vec![("write", write)]);
    let role = to.add(FLOW_LOGS, &origin, &role);
    let log = FlowLog {
        resource_id: id(&Address::new("vpc", "main")),
        traffic: Traffic::All,
        log_group_name: Some(Arg::output(&group, "name")),
        role_arn: Some(Arg::output(&role, "arn")),
        bucket_arn: None,
        interval_seconds: flow_log::ten_minutes(),
        format: flow_log::format(),
        tags: Tags::new(),
    };
    to.add("main", &origin, &log);
}
