//! A target group: where a load balancer sends requests, and how it finds out who can take them.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    ProtocolEnum, TargetGroup as SdkTargetGroup, TargetGroupAttribute, TargetTypeEnum,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::elb::Protocol;
pub use super::elb::health_check::HealthCheck;
use super::elb::{self, words};
use super::elb_users;
use crate::aws::Aws;
use crate::kind::{Blocker, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// Where a load balancer sends requests. It is checked for health as soon as a listener or rule names it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// Absent, a name is generated. With a name of your own, a replacement deletes before it creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Needed unless the target is a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<Arg<String>>,
    /// Where targets listen that do not say so themselves. Needed unless the target is a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What targets speak. Needed unless the target is a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(default)]
    pub protocol_version: ProtocolVersion,
    #[serde(default)]
    pub target_type: TargetType,
    #[serde(default)]
    pub health_check: HealthCheck,
    /// Seconds that a leaving target gets to finish its requests.
    #[serde(default = "deregistration_delay")]
    pub deregistration_delay: u16,
    /// Seconds over which a new target's share of the requests grows, from 30; 0 is off.
    #[serde(default)]
    pub slow_start: u16,
    /// Whether a client stays with one target. Absent, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<Stickiness>,
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Whether a function gets and gives several values for one header.
    #[serde(default)]
    pub multi_value_headers: bool,
    #[serde(default)]
    pub tags: Tags,
}

/// How a client stays with one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stickiness {
    /// The application's cookie to follow. Absent, the load balancer makes one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// Seconds.
    #[serde(default = "one_day")]
    pub duration: u32,
}

words! {
    ProtocolVersion {
        #[default]
        Http1 = "HTTP1",
        Http2 = "HTTP2",
        Grpc = "GRPC",
    }
}

words! {
    /// What a target is: an instance, an address (containers on Fargate), or a function.
    TargetType {
        #[default]
        Instance = "instance",
        Ip = "ip",
        Lambda = "lambda",
    }
}

words! {
    /// Which target gets the next request.
    Algorithm {
        #[default]
        RoundRobin = "round_robin",
        LeastOutstandingRequests = "least_outstanding_requests",
        WeightedRandom = "weighted_random",
    }
}

fn deregistration_delay() -> u16 {
    300
}
fn one_day() -> u32 {
    86_400
}
impl TargetGroup {
    /// Addresses that speak plain HTTP on this port, with AWS's defaults.
    #[must_use]
    pub fn of_addresses(vpc_id: Arg<String>, port: u16) -> Self {
        Self {
            name: None,
            vpc_id: Some(vpc_id),
            port: Some(port),
            protocol: Some(Protocol::Http),
            protocol_version: ProtocolVersion::default(),
            target_type: TargetType::Ip,
            health_check: HealthCheck::default(),
            deregistration_delay: deregistration_delay(),
            slow_start: 0,
            stickiness: None,
            algorithm: Algorithm::default(),
            multi_value_headers: false,
            tags: Tags::new(),
        }
    }

    fn normal(&self) -> Self {
        let mut normal = self.clone();
        normal.normalize();
        normal
    }

    fn is_function(&self) -> bool {
        self.target_type == TargetType::Lambda
    }

    fn attributes(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::from([
            ("deregistration_delay.timeout_seconds", self.deregistration_delay.to_string()),
            ("slow_start.duration_seconds", self.slow_start.to_string()),
            ("stickiness.enabled", self.stickiness.is_some().to_string()),
            ("load_balancing.algorithm.type", self.algorithm.word().to_owned()),
            ("lambda.multi_value_headers.enabled", self.multi_value_headers.to_string()),
        ]);
        if let Some(Stickiness { cookie, duration }) = &self.stickiness {
            let kind = if cookie.is_some() { "app_cookie" } else { "lb_cookie" };
            all.insert("stickiness.type", kind.to_owned());
            let key = match cookie {
                Some(_) => "stickiness.app_cookie.duration_seconds",
                None => "stickiness.lb_cookie.duration_seconds",
            };
            all.insert(key, duration.to_string());
            all.extend(cookie.as_ref().map(|cookie| ("stickiness.app_cookie.cookie_name", cookie.clone())));
        }
        all
    }

    fn read(live: &SdkTargetGroup, attributes: &BTreeMap<String, String>, tags: Tags) -> Self {
        let text = |key: &str| attributes.get(key).map(String::as_str);
        let flag = |key: &str| text(key) == Some("true");
        let stickiness = || {
            let app = text("stickiness.type") == Some("app_cookie");
            let kind = if app { "app_cookie" } else { "lb_cookie" };
            let duration = text(&format!("stickiness.{kind}.duration_seconds")).and_then(|text| text.parse().ok());
            let cookie = text("stickiness.app_cookie.cookie_name").filter(|_| app).map(str::to_owned);
            Stickiness { cookie, duration: duration.unwrap_or_else(one_day) }
        };
        let number = |key: &str| text(key).and_then(|text| text.parse().ok());
        Self {
            name: live.target_group_name().map(str::to_owned),
            vpc_id: live.vpc_id().filter(|id| !id.is_empty()).map(Arg::from),
            port: live.port().and_then(|port| u16::try_from(port).ok()),
            protocol: live.protocol().map(|protocol| Protocol::read(Some(protocol.as_str()))),
            protocol_version: ProtocolVersion::read(live.protocol_version()),
            target_type: TargetType::read(live.target_type().map(TargetTypeEnum::as_str)),
            health_check: HealthCheck::read(live),
            deregistration_delay: number("deregistration_delay.timeout_seconds").unwrap_or_else(deregistration_delay),
            slow_start: number("slow_start.duration_seconds").unwrap_or_default(),
            stickiness: flag("stickiness.enabled").then(stickiness),
            algorithm: Algorithm::read(text("load_balancing.algorithm.type")),
            multi_value_headers: flag("lambda.multi_value_headers.enabled"),
            tags,
        }
    }

    fn check_target(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (field, given) in
            [("vpc_id", self.vpc_id.is_some()), ("port", self.port.is_some()), ("protocol", self.protocol.is_some())]
        {
            if self.is_function() && given {
                let message = format!("a function has no {field}");
                problems.push(Problem::new(field, message).help("remove the line, or change target_type"));
            } else if !self.is_function() && !given {
                let message = format!("{field} is missing, which AWS asks for unless the target is a function");
                problems.push(Problem::new(field, message));
            }
        }
        if self.port == Some(0) {
            problems.push(Problem::new("port", "0 is not a port"));
        }
        if !self.is_function() && self.health_check.enabled == Some(false) {
            let message = "AWS switches health checks off for functions only";
            problems.push(Problem::new("health_check.enabled", message).help("remove the line"));
        }
        if !self.is_function() && self.multi_value_headers {
            problems.push(Problem::new("multi_value_headers", "only functions have this setting"));
        }
        problems
    }
}

impl Kind for TargetGroup {
    const NAME: &'static str = "target_group";
    const RIGHTS: Rights = Rights {
        read: "elasticloadbalancing:DescribeTags elasticloadbalancing:DescribeTargetGroupAttributes \
            elasticloadbalancing:DescribeTargetGroups",
        create: "elasticloadbalancing:AddTags elasticloadbalancing:CreateTargetGroup",
        update: "elasticloadbalancing:AddTags elasticloadbalancing:RemoveTags elasticloadbalancing:ModifyTargetGroup \
            elasticloadbalancing:ModifyTargetGroupAttributes",
        delete: "elasticloadbalancing:DeleteTargetGroup",
        tells: "elasticloadbalancing:DescribeListeners elasticloadbalancing:DescribeRules",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] =
        &["name", "vpc_id", "port", "protocol", "protocol_version", "target_type"];
    const CREATE_FIRST: bool = true;
    const HELD_BY: &'static [&'static str] = &["listener", "listener_rule"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "dimension"];

    fn normalize(&mut self) {
        self.health_check.fill(self.target_type, self.protocol_version);
    }

    fn shell(&self) -> Self {
        Self {
            deregistration_delay: deregistration_delay(),
            slow_start: 0,
            stickiness: None,
            algorithm: Algorithm::default(),
            multi_value_headers: false,
            ..self.clone()
        }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = elb::check_name(self.name.as_deref()).into_iter().collect();
        problems.extend(self.check_target());
        problems.extend(self.normal().health_check.check());
        problems.extend(elb::check_range("deregistration_delay", self.deregistration_delay, 0, 3600));
        if self.slow_start != 0 {
            problems.extend(elb::check_range("slow_start", self.slow_start, 30, 900));
            if self.algorithm != Algorithm::RoundRobin {
                let message = format!("AWS does not combine slow start with {}", self.algorithm.word());
                problems.push(Problem::new("slow_start", message).help("write 0, or the algorithm round_robin"));
            }
        }
        if let Some(Stickiness { cookie, duration }) = &self.stickiness {
            problems.extend(elb::check_range("stickiness.duration", *duration, 1, 604_800));
            let reserved = |cookie: &str| ["AWSALB", "AWSALBAPP", "AWSALBTG"].contains(&cookie);
            if cookie.as_deref().is_some_and(|cookie| cookie.is_empty() || reserved(cookie)) {
                let message = "the load balancer keeps AWSALB, AWSALBAPP and AWSALBTG for itself";
                problems.push(Problem::new("stickiness.cookie", message).help("name the application's own cookie"));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let all = elb::target_groups(aws, scope).await?;
        let reads = elb::ours::<Self, _>(aws, scope, &all).map(|found| async move {
            let request = aws.elb().describe_target_group_attributes().target_group_arn(&found.arn);
            let answer = elb::found(aws.call("elb:DescribeTargetGroupAttributes", request.send()).await)?;
            Ok::<_, Failure>(answer.map(|answer| (found, answer)))
        });
        let answers = try_join_all(reads).await?;
        let live = answers.iter().flatten().filter_map(|(found, answer)| {
            let pair = |attribute: &TargetGroupAttribute| {
                Some((attribute.key()?.to_owned(), attribute.value().unwrap_or_default().to_owned()))
            };
            let attributes = answer.attributes().iter().filter_map(pair).collect();
            let tagged = scope.tagged(aws, Self::NAME, &found.tags)?;
            let spec = Self::read(&found.item, &attributes, tagged.user.clone());
            let live = Live::new(tagged, &found.arn, spec).output("arn", &found.arn);
            Some(live.output("dimension", elb::dimension(&found.arn)))
        });
        Ok(live.collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let vpc_id = self.vpc_id.as_ref().map(Arg::get).transpose()?;
        let name = self.name.clone().unwrap_or_else(|| {
            let (version, target) = (self.protocol_version, self.target_type);
            let fields = (vpc_id, self.port, self.protocol, version, target);
            elb::generated_name(making, &format!("{fields:?}"))
        });
        // AWS would answer a create with what already has this name, whoever made it.
        let request = aws.elb().describe_target_groups().names(&name);
        let holder = elb::found(aws.call("elb:DescribeTargetGroups", request.send()).await)?;
        if let Some(arn) = holder.as_ref().and_then(|answer| answer.target_groups().first()?.target_group_arn()) {
            return elb::holder(aws, arn, &making.identity, &format!("the target group name `{name}`")).await;
        }
        let HealthCheck { enabled, path, interval, timeout, healthy, unhealthy, matcher: _, port, protocol } =
            self.normal().health_check;
        let mut request = aws
            .elb()
            .create_target_group()
            .name(name)
            .target_type(TargetTypeEnum::from(self.target_type.word()))
            .set_vpc_id(vpc_id.cloned())
            .set_port(self.port.map(i32::from))
            .set_protocol(self.protocol.map(|protocol| ProtocolEnum::from(protocol.word())))
            .set_health_check_enabled(enabled)
            .set_health_check_path(path)
            .set_health_check_interval_seconds(interval.map(i32::from))
            .set_health_check_timeout_seconds(timeout.map(i32::from))
            .healthy_threshold_count(healthy.into())
            .unhealthy_threshold_count(unhealthy.into())
            .matcher(self.normal().health_check.matcher(self.protocol_version))
            .set_tags(Some(elb::tags(&making.identity, &self.tags)));
        if !self.is_function() {
            request = request.protocol_version(self.protocol_version.word());
            request = request.health_check_port(port).health_check_protocol(ProtocolEnum::from(protocol.word()));
        }
        let answer = aws.call("elb:CreateTargetGroup", request.send()).await?;
        let arn = answer.target_groups().first().and_then(SdkTargetGroup::target_group_arn);
        arn.map(str::to_owned).ok_or_else(|| Failure::new("elb:CreateTargetGroup", "NoArn", "the answer holds no ARN"))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let check = self.normal().health_check;
        if check != live.spec.normal().health_check {
            let HealthCheck { enabled, path, interval, timeout, healthy, unhealthy, matcher: _, port, protocol } =
                &check;
            let mut request = aws
                .elb()
                .modify_target_group()
                .target_group_arn(&live.id)
                .set_health_check_enabled(*enabled)
                .set_health_check_path(path.clone())
                .set_health_check_interval_seconds(interval.map(i32::from))
                .set_health_check_timeout_seconds(timeout.map(i32::from))
                .healthy_threshold_count((*healthy).into())
                .unhealthy_threshold_count((*unhealthy).into())
                .matcher(check.matcher(self.protocol_version));
            if !self.is_function() {
                request = request.health_check_port(port).health_check_protocol(ProtocolEnum::from(protocol.word()));
            }
            aws.call("elb:ModifyTargetGroup", request.send()).await?;
        }
        let (have, want) = (live.spec.attributes(), self.attributes());
        let attribute = |(key, value): (&str, &String)| TargetGroupAttribute::builder().key(key).value(value).build();
        let changed: Vec<_> = elb::changed(&have, &want).map(attribute).collect();
        if !changed.is_empty() {
            let request = aws.elb().modify_target_group_attributes().target_group_arn(&live.id);
            aws.call("elb:ModifyTargetGroupAttributes", request.set_attributes(Some(changed)).send()).await?;
        }
        elb::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        elb::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.elb().delete_target_group().target_group_arn(&live.id);
        aws.call("elb:DeleteTargetGroup", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        elb_users::of_group(aws, &live.id).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let request = aws.elb().describe_target_groups().target_group_arns(id);
        let answer = aws.call("elb:DescribeTargetGroups", request.send()).await?;
        Ok(match answer.target_groups() {
            [] => Progress::Gone,
            _ => Progress::ready([("arn", id.clone()), ("dimension", elb::dimension(id))]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(group: &TargetGroup) -> Vec<String> {
        group.check().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn defaults_of_the_health_check_follow_the_target() {
        let group = |json: &str| serde_json::from_str::<TargetGroup>(json).unwrap().normal().health_check;
        let check = group("{}");
        assert_eq!((check.path.as_deref(), check.interval, check.timeout), (Some("/"), Some(30), Some(5)));
        let check = group(r#"{"protocol_version": "GRPC"}"#);
        assert_eq!((check.path.as_deref(), check.matcher.as_deref()), (Some("/AWS.ALB/healthcheck"), Some("12")));
        let check = group(r#"{"target_type": "lambda", "health_check": {"interval": 60}}"#);
        assert_eq!((check.enabled, check.interval, check.timeout), (Some(false), Some(60), Some(30)));
    }

    #[test]
    fn what_aws_refuses_is_found() {
        let good = TargetGroup::of_addresses("vpc-1".into(), 3000);
        assert!(paths(&good).is_empty());
        let function = TargetGroup { target_type: TargetType::Lambda, ..good.clone() };
        assert_eq!(paths(&function), ["vpc_id", "port", "protocol"]);
        let bare = TargetGroup { vpc_id: None, ..good.clone() };
        assert_eq!(paths(&bare), ["vpc_id"]);
        let check = HealthCheck { timeout: Some(30), path: Some("health".into()), ..HealthCheck::default() };
        let slow = TargetGroup { health_check: check, slow_start: 10, ..good };
        assert_eq!(paths(&slow), ["health_check.timeout", "health_check.path", "slow_start"]);
    }
}
