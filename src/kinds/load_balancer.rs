//! An application load balancer.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{
    IpAddressType as SdkIpAddressType, LoadBalancer as SdkLoadBalancer, LoadBalancerAttribute, LoadBalancerSchemeEnum,
    LoadBalancerStateEnum, LoadBalancerTypeEnum,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::elb::{self, Found, words};
use crate::aws::Aws;
use crate::kind::{Failure, Health, Id, Kind, Live, Making, Problem, Progress, Remark, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// An application load balancer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// Absent, a name is generated. With a name of your own, a change of the scheme deletes before it creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub scheme: Scheme,
    /// At least two, each in another zone.
    pub subnets: Vec<Arg<String>>,
    pub security_groups: Vec<Arg<String>>,
    #[serde(default)]
    pub ip_address_type: IpAddressType,
    /// Seconds after which a silent connection is closed. Targets should keep theirs open for longer.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: u16,
    /// Seconds after which the connection of a client is closed at the latest.
    #[serde(default = "client_keep_alive")]
    pub client_keep_alive: u32,
    #[serde(default = "yes")]
    pub http2: bool,
    /// Whether headers with names outside letters, digits and dashes are removed before they reach the targets.
    #[serde(default)]
    pub drop_invalid_header_fields: bool,
    #[serde(default)]
    pub preserve_host_header: bool,
    #[serde(default)]
    pub desync_mitigation: DesyncMitigation,
    #[serde(default)]
    pub xff_header_processing: XffHeaderProcessing,
    /// Whether `X-Forwarded-For` holds the client's port too.
    #[serde(default)]
    pub xff_client_port: bool,
    /// Whether the negotiated TLS version and cipher are added as headers.
    #[serde(default)]
    pub tls_headers: bool,
    /// Whether requests pass when the web firewall does not answer.
    #[serde(default)]
    pub waf_fail_open: bool,
    #[serde(default)]
    pub zonal_shift: bool,
    #[serde(default)]
    pub deletion_protection: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_logs: Option<Logs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_logs: Option<Logs>,
    #[serde(default)]
    pub tags: Tags,
}

/// Where logs go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// A bucket in the same region, whose policy lets the log delivery in.
    pub bucket: Arg<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

words! {
    /// Whether the load balancer has public addresses.
    Scheme {
        #[default]
        InternetFacing = "internet-facing",
        Internal = "internal",
    }
}

words! {
    IpAddressType {
        #[default]
        Ipv4 = "ipv4",
        Dualstack = "dualstack",
        DualstackWithoutPublicIpv4 = "dualstack-without-public-ipv4",
    }
}

words! {
    /// How requests that may be smuggled are treated.
    DesyncMitigation {
        Monitor = "monitor",
        #[default]
        Defensive = "defensive",
        Strictest = "strictest",
    }
}

words! {
    /// What is done to the header `X-Forwarded-For`.
    XffHeaderProcessing {
        #[default]
        Append = "append",
        Preserve = "preserve",
        Remove = "remove",
    }
}

fn yes() -> bool {
    true
}
fn idle_timeout() -> u16 {
    60
}
fn client_keep_alive() -> u32 {
    3600
}

impl LoadBalancer {
    /// A load balancer with AWS's defaults.
    #[must_use]
    pub fn new(scheme: Scheme, subnets: Vec<Arg<String>>, security_groups: Vec<Arg<String>>) -> Self {
        Self {
            name: None,
            scheme,
            subnets,
            security_groups,
            ip_address_type: IpAddressType::default(),
            idle_timeout: idle_timeout(),
            client_keep_alive: client_keep_alive(),
            http2: true,
            drop_invalid_header_fields: false,
            preserve_host_header: false,
            desync_mitigation: DesyncMitigation::default(),
            xff_header_processing: XffHeaderProcessing::default(),
            xff_client_port: false,
            tls_headers: false,
            waf_fail_open: false,
            zonal_shift: false,
            deletion_protection: false,
            access_logs: None,
            connection_logs: None,
            tags: Tags::new(),
        }
    }

    fn attributes(&self) -> Result<BTreeMap<&'static str, String>> {
        let mut all = BTreeMap::from([
            ("idle_timeout.timeout_seconds", self.idle_timeout.to_string()),
            ("client_keep_alive.seconds", self.client_keep_alive.to_string()),
            ("routing.http2.enabled", self.http2.to_string()),
            ("routing.http.drop_invalid_header_fields.enabled", self.drop_invalid_header_fields.to_string()),
            ("routing.http.preserve_host_header.enabled", self.preserve_host_header.to_string()),
            ("routing.http.desync_mitigation_mode", self.desync_mitigation.word().to_owned()),
            ("routing.http.xff_header_processing.mode", self.xff_header_processing.word().to_owned()),
            ("routing.http.xff_client_port.enabled", self.xff_client_port.to_string()),
            ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", self.tls_headers.to_string()),
            ("waf.fail_open.enabled", self.waf_fail_open.to_string()),
            ("zonal_shift.config.enabled", self.zonal_shift.to_string()),
            ("deletion_protection.enabled", self.deletion_protection.to_string()),
            ("access_logs.s3.enabled", self.access_logs.is_some().to_string()),
            ("connection_logs.s3.enabled", self.connection_logs.is_some().to_string()),
        ]);
        if let Some(logs) = &self.access_logs {
            all.insert("access_logs.s3.bucket", logs.bucket.get()?.clone());
            all.insert("access_logs.s3.prefix", logs.prefix.clone().unwrap_or_default());
        }
        if let Some(logs) = &self.connection_logs {
            all.insert("connection_logs.s3.bucket", logs.bucket.get()?.clone());
            all.insert("connection_logs.s3.prefix", logs.prefix.clone().unwrap_or_default());
        }
        Ok(all)
    }

    fn read(live: &SdkLoadBalancer, attributes: &BTreeMap<String, String>, tags: Tags) -> Self {
        let text = |key: &str| attributes.get(key).map(String::as_str);
        let flag = |key: &str, default: bool| text(key).map_or(default, |value| value == "true");
        let logs = |kind: &str| {
            let bucket = text(&format!("{kind}.s3.bucket")).unwrap_or_default();
            let prefix = text(&format!("{kind}.s3.prefix")).filter(|prefix| !prefix.is_empty());
            flag(&format!("{kind}.s3.enabled"), false)
                .then(|| Logs { bucket: bucket.into(), prefix: prefix.map(str::to_owned) })
        };
        let subnets = live.availability_zones().iter().filter_map(|zone| zone.subnet_id());
        Self {
            name: live.load_balancer_name().map(str::to_owned),
            scheme: Scheme::read(live.scheme().map(LoadBalancerSchemeEnum::as_str)),
            subnets: subnets.map(Arg::from).collect(),
            security_groups: live.security_groups().iter().map(|group| group.as_str().into()).collect(),
            ip_address_type: IpAddressType::read(live.ip_address_type().map(SdkIpAddressType::as_str)),
            idle_timeout: number(text("idle_timeout.timeout_seconds"), idle_timeout()),
            client_keep_alive: number(text("client_keep_alive.seconds"), client_keep_alive()),
            http2: flag("routing.http2.enabled", true),
            drop_invalid_header_fields: flag("routing.http.drop_invalid_header_fields.enabled", false),
            preserve_host_header: flag("routing.http.preserve_host_header.enabled", false),
            desync_mitigation: DesyncMitigation::read(text("routing.http.desync_mitigation_mode")),
            xff_header_processing: XffHeaderProcessing::read(text("routing.http.xff_header_processing.mode")),
            xff_client_port: flag("routing.http.xff_client_port.enabled", false),
            tls_headers: flag("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", false),
            waf_fail_open: flag("waf.fail_open.enabled", false),
            zonal_shift: flag("zonal_shift.config.enabled", false),
            deletion_protection: flag("deletion_protection.enabled", false),
            access_logs: logs("access_logs"),
            connection_logs: logs("connection_logs"),
            tags,
        }
    }
}

fn number<N: std::str::FromStr>(text: Option<&str>, default: N) -> N {
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn texts(args: &[Arg<String>]) -> Result<Vec<String>> {
    args.iter().map(|arg| Ok(arg.get()?.clone())).collect()
}

impl Kind for LoadBalancer {
    const NAME: &'static str = "load_balancer";
    const RIGHTS: Rights = Rights {
        read: "elasticloadbalancing:DescribeListeners elasticloadbalancing:DescribeLoadBalancerAttributes \
            elasticloadbalancing:DescribeLoadBalancers elasticloadbalancing:DescribeTags",
        create: "elasticloadbalancing:AddTags elasticloadbalancing:CreateLoadBalancer",
        update: "elasticloadbalancing:AddTags elasticloadbalancing:RemoveTags \
            elasticloadbalancing:ModifyLoadBalancerAttributes elasticloadbalancing:SetIpAddressType \
            elasticloadbalancing:SetSecurityGroups elasticloadbalancing:SetSubnets",
        delete: "elasticloadbalancing:DeleteLoadBalancer",
        links: "elasticloadbalancing.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "scheme"];
    const CREATE_FIRST: bool = true;
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "dns_name", "zone_id", "dimension"];
    const AFTER: &'static [&'static str] = &["internet_gateway", "route_table"];
    const DEADLINE: Duration = Duration::from_secs(900);
    const MINUTES: (u16, u16) = (3, 1);

    fn normalize(&mut self) {
        for set in [&mut self.subnets, &mut self.security_groups] {
            set.sort();
            set.dedup();
        }
        for logs in [&mut self.access_logs, &mut self.connection_logs].into_iter().flatten() {
            logs.prefix = logs.prefix.take().filter(|prefix| !prefix.is_empty());
        }
    }

    fn shell(&self) -> Self {
        Self {
            name: self.name.clone(),
            ip_address_type: self.ip_address_type,
            tags: self.tags.clone(),
            ..Self::new(self.scheme, self.subnets.clone(), self.security_groups.clone())
        }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = elb::check_name(self.name.as_deref()).into_iter().collect();
        if self.subnets.len() < 2 {
            let help = "name a subnet in each of at least two zones";
            problems.push(Problem::new("subnets", "AWS asks for subnets in two zones or more").help(help));
        }
        if self.security_groups.is_empty() {
            let help = "name at least one; without one AWS would take the default group of the VPC";
            problems.push(Problem::new("security_groups", "no security group is named").help(help));
        }
        if self.scheme == Scheme::Internal && self.ip_address_type == IpAddressType::DualstackWithoutPublicIpv4 {
            let message = "an internal load balancer has no public addresses to go without";
            problems.push(Problem::new("ip_address_type", message).help("write ipv4 or dualstack"));
        }
        problems.extend(elb::check_range("idle_timeout", self.idle_timeout, 1, 4000));
        problems.extend(elb::check_range("client_keep_alive", self.client_keep_alive, 60, 604_800));
        for (field, logs) in [("access_logs", &self.access_logs), ("connection_logs", &self.connection_logs)] {
            let prefix = logs.as_ref().and_then(|logs| logs.prefix.as_deref()).unwrap_or_default();
            if prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains("AWSLogs") {
                let help = "write it without a slash at either end; AWS appends AWSLogs/<account> itself";
                let message = format!("AWS does not accept the prefix `{prefix}`");
                problems.push(Problem::new(&format!("{field}.prefix"), message).help(help));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let (all, listeners) = tokio::try_join!(elb::load_balancers(aws, scope), elb::listeners(aws, scope))?;
        let reads = elb::ours::<Self, _>(aws, scope, &all).map(|found| async move {
            let request = aws.elb().describe_load_balancer_attributes().load_balancer_arn(&found.arn);
            let answer = elb::found(aws.call("elb:DescribeLoadBalancerAttributes", request.send()).await)?;
            Ok::<_, Failure>(answer.map(|answer| (found, answer)))
        });
        let answers = try_join_all(reads).await?;
        let live = answers.iter().flatten().filter_map(|(found, answer)| {
            let pair = |attribute: &LoadBalancerAttribute| {
                Some((attribute.key()?.to_owned(), attribute.value().unwrap_or_default().to_owned()))
            };
            let attributes = answer.attributes().iter().filter_map(pair).collect();
            let tagged = scope.tagged(aws, Self::NAME, &found.tags)?;
            let spec = Self::read(&found.item, &attributes, tagged.user.clone());
            let mut live = Live::new(tagged, &found.arn, spec);
            (live.outputs, live.health) = (outputs(&found.item), health(&found.item));
            live.notes = notes(scope, found, &listeners);
            Some(live)
        });
        Ok(live.collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| elb::generated_name(making, self.scheme.word()));
        // AWS would answer a create with what already has this name, whoever made it.
        let request = aws.elb().describe_load_balancers().names(&name);
        let holder = elb::found(aws.call("elb:DescribeLoadBalancers", request.send()).await)?;
        if let Some(arn) = holder.as_ref().and_then(|answer| answer.load_balancers().first()?.load_balancer_arn()) {
            return elb::holder(aws, arn, &making.identity, &format!("the load balancer name `{name}`")).await;
        }
        let request = aws
            .elb()
            .create_load_balancer()
            .name(name)
            .r#type(LoadBalancerTypeEnum::Application)
            .scheme(LoadBalancerSchemeEnum::from(self.scheme.word()))
            .set_subnets(Some(texts(&self.subnets)?))
            .set_security_groups(Some(texts(&self.security_groups)?))
            .ip_address_type(SdkIpAddressType::from(self.ip_address_type.word()))
            .set_tags(Some(elb::tags(&making.identity, &self.tags)));
        let answer = aws.call("elb:CreateLoadBalancer", request.send()).await?;
        let arn = answer.load_balancers().first().and_then(SdkLoadBalancer::load_balancer_arn);
        arn.map(str::to_owned).ok_or_else(|| Failure::new("elb:CreateLoadBalancer", "NoArn", "the answer holds no ARN"))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let ip_address_type = SdkIpAddressType::from(self.ip_address_type.word());
        if self.subnets != live.spec.subnets {
            // Both at once, for the type of addresses depends on what the subnets have.
            let request = aws.elb().set_subnets().load_balancer_arn(&live.id).ip_address_type(ip_address_type);
            aws.call("elb:SetSubnets", request.set_subnets(Some(texts(&self.subnets)?)).send()).await?;
        } else if self.ip_address_type != live.spec.ip_address_type {
            let request = aws.elb().set_ip_address_type().load_balancer_arn(&live.id).ip_address_type(ip_address_type);
            aws.call("elb:SetIpAddressType", request.send()).await?;
        }
        if self.security_groups != live.spec.security_groups {
            let groups = texts(&self.security_groups)?;
            let request = aws.elb().set_security_groups().load_balancer_arn(&live.id).set_security_groups(Some(groups));
            aws.call("elb:SetSecurityGroups", request.send()).await?;
        }
        modify(aws, &live.id, &live.spec.attributes()?, &self.attributes()?).await?;
        elb::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        elb::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        const PROTECTION: &str = "deletion_protection.enabled";
        if live.spec.deletion_protection {
            let (on, off) = (BTreeMap::new(), BTreeMap::from([(PROTECTION, false.to_string())]));
            modify(aws, &live.id, &on, &off).await?;
        }
        let request = aws.elb().delete_load_balancer().load_balancer_arn(&live.id);
        aws.call("elb:DeleteLoadBalancer", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let request = aws.elb().describe_load_balancers().load_balancer_arns(id);
        let answer = aws.call("elb:DescribeLoadBalancers", request.send()).await?;
        let Some(live) = answer.load_balancers().first() else { return Ok(Progress::Gone) };
        Ok(match health(live) {
            Health::Pending => Progress::waiting("state provisioning"),
            Health::Failed(why) => Progress::Failed { why },
            _ => Progress::Ready(outputs(live)),
        })
    }
}

async fn modify(
    aws: &Aws,
    arn: &str,
    have: &BTreeMap<&'static str, String>,
    want: &BTreeMap<&'static str, String>,
) -> Result<()> {
    let attribute = |(key, value): (&str, &String)| LoadBalancerAttribute::builder().key(key).value(value).build();
    let changed: Vec<_> = elb::changed(have, want).map(attribute).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let request = aws.elb().modify_load_balancer_attributes().load_balancer_arn(arn).set_attributes(Some(changed));
    aws.call("elb:ModifyLoadBalancerAttributes", request.send()).await.map(drop)
}

fn outputs(live: &SdkLoadBalancer) -> crate::value::Outputs {
    let arn = live.load_balancer_arn().unwrap_or_default();
    let pairs = [
        ("arn", arn.to_owned()),
        ("dns_name", live.dns_name().unwrap_or_default().to_owned()),
        ("zone_id", live.canonical_hosted_zone_id().unwrap_or_default().to_owned()),
        ("dimension", elb::dimension(arn)),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn health(live: &SdkLoadBalancer) -> Health {
    let state = live.state();
    match state.and_then(|state| state.code()) {
        Some(LoadBalancerStateEnum::Provisioning) => Health::Pending,
        Some(LoadBalancerStateEnum::Failed) => {
            let reason = state.and_then(|state| state.reason()).unwrap_or("AWS gives no reason");
            Health::Failed(format!("the load balancer could not be set up: {reason}"))
        }
        _ => Health::Ok,
    }
}

fn notes(
    scope: &Scope,
    balancer: &Found<SdkLoadBalancer>,
    listeners: &[Found<aws_sdk_elasticloadbalancingv2::types::Listener>],
) -> Vec<Remark> {
    let state = balancer.item.state();
    let impaired = state.and_then(|state| state.code()) == Some(&LoadBalancerStateEnum::ActiveImpaired);
    let reason = state.and_then(|state| state.reason()).unwrap_or_default();
    let impaired = impaired.then(|| format!("it works, but AWS cannot scale it: {reason}"));
    let foreign = listeners.iter().filter(|listener| {
        listener.item.load_balancer_arn() == Some(&balancer.arn)
            && scope.ours(super::listener::Listener::NAME, &listener.tags).is_none()
    });
    let note = |listener: &Found<aws_sdk_elasticloadbalancingv2::types::Listener>| {
        let port = listener.item.port().unwrap_or_default();
        Remark::foreign(format!("the listener on port {port} was added by others"))
    };
    impaired.into_iter().map(Remark::from).chain(foreign.map(note)).collect()
}
