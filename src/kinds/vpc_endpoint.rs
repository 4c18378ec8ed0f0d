//! A VPC endpoint: a way to a service of AWS that leaves out the internet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::{ResourceType, VpcEndpoint as Found, VpcEndpointType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ec2, tagging};
use crate::aws::{self, Aws};
use crate::kind::{Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::policy::Policy;
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::{Arg, Outputs, Unresolved, Value};

/// A VPC endpoint: a way to a service of AWS that leaves out the internet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VpcEndpoint {
    pub vpc_id: Arg<String>,
    /// The service, as in `com.amazonaws.us-east-1.s3`.
    pub service: String,
    pub endpoint_type: EndpointType,
    /// The route tables that get a route to a gateway endpoint.
    #[serde(default)]
    pub route_tables: Vec<Arg<String>>,
    /// The subnets in which an interface endpoint stands, one a zone.
    #[serde(default)]
    pub subnets: Vec<Arg<String>>,
    /// The security groups of an interface endpoint.
    #[serde(default)]
    pub security_groups: Vec<Arg<String>>,
    /// Whether the service's usual name leads to an interface endpoint within the VPC.
    #[serde(default = "yes")]
    pub private_dns: bool,
    /// What may be done through the endpoint; left out, everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    #[serde(default)]
    pub tags: Tags,
}

/// How an endpoint is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointType {
    /// By a route. S3 and DynamoDB only; it costs nothing.
    Gateway,
    /// At an address in each subnet.
    Interface,
}

const fn yes() -> bool {
    true
}

impl Kind for VpcEndpoint {
    const NAME: &'static str = "vpc_endpoint";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeManagedPrefixLists ec2:DescribeVpcEndpoints",
        create: "ec2:CreateTags ec2:CreateVpcEndpoint route53:AssociateVPCWithHostedZone",
        update: "ec2:CreateTags ec2:DeleteTags ec2:ModifyVpcEndpoint",
        delete: "ec2:DeleteVpcEndpoints",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["vpc_id", "service", "endpoint_type"];
    // An interface endpoint has no prefix list, a gateway endpoint no DNS name; those are empty.
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id", "prefix_list_id", "dns_name"];
    const DEADLINE: Duration = Duration::from_secs(15 * 60);
    const MINUTES: (u16, u16) = (2, 2);

    fn normalize(&mut self) {
        for ids in [&mut self.route_tables, &mut self.subnets, &mut self.security_groups] {
            ids.sort();
            ids.dedup();
        }
        if self.endpoint_type == EndpointType::Gateway {
            self.private_dns = true;
        }
        self.policy = self.policy.take().filter(|policy| !lets_everything(policy));
        if let Some(policy) = &mut self.policy {
            policy.normalize();
        }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.policy.iter().flat_map(|policy| policy.check("policy")).collect();
        let gateway = self.endpoint_type == EndpointType::Gateway;
        for (field, given, right) in [
            ("route_tables", !self.route_tables.is_empty(), gateway),
            ("subnets", !self.subnets.is_empty(), !gateway),
            ("security_groups", !self.security_groups.is_empty(), !gateway),
        ] {
            if given && !right {
                let kind = if gateway { "a gateway" } else { "an interface" };
                let problem = Problem::new(field, format!("{kind} endpoint has no `{field}`"));
                problems.push(problem.help("remove this line, or change `endpoint_type`"));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":vpc-endpoint/").await? {
            return Ok(Vec::new());
        }
        let request = aws.ec2().describe_vpc_endpoints().set_filters(Some(ec2::ours(aws, scope)));
        let pages = request.into_paginator().items().send();
        let endpoints = aws.call("ec2:DescribeVpcEndpoints", pages.collect::<Result<Vec<_>, _>>()).await?;
        let lists = if endpoints.iter().any(is_gateway) { prefix_lists(aws, scope).await? } else { Arc::default() };
        let mut found = Vec::new();
        for endpoint in &endpoints {
            let Some(tagged) = scope.tagged(aws, Self::NAME, &ec2::read_tags(endpoint.tags())) else { continue };
            let health = match state(endpoint).as_str() {
                "available" => Health::Ok,
                "deleting" => Health::Tombstone,
                "deleted" => continue,
                "failed" | "rejected" | "expired" => Health::Failed(why(endpoint)),
                _ => Health::Pending,
            };
            let spec = read(endpoint, tagged.user.clone())?;
            let list = lists.get(&spec.service).map(String::as_str).unwrap_or_default();
            let outputs = outputs(endpoint, list);
            let id = endpoint.vpc_endpoint_id().unwrap_or_default();
            found.push(Live { outputs, health, ..Live::new(tagged, id, spec) });
        }
        Ok(found)
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let interface = self.endpoint_type == EndpointType::Interface;
        let kind = if interface { VpcEndpointType::Interface } else { VpcEndpointType::Gateway };
        let policy = self.policy.as_ref().map(Policy::to_json).transpose()?;
        let tags = ec2::specification(ResourceType::VpcEndpoint, &making.identity, &self.tags);
        let request = aws.ec2().create_vpc_endpoint().vpc_id(self.vpc_id.get()?).service_name(&self.service);
        let request = request.vpc_endpoint_type(kind).set_policy_document(policy).client_token(&making.token);
        let request = request.set_route_table_ids(ids(&self.route_tables)?).set_subnet_ids(ids(&self.subnets)?);
        let request = request.set_security_group_ids(ids(&self.security_groups)?).tag_specifications(tags);
        let request = request.set_private_dns_enabled(interface.then_some(self.private_dns));
        let answer = aws.call("ec2:CreateVpcEndpoint", request.send()).await?;
        ec2::made("ec2:CreateVpcEndpoint", answer.vpc_endpoint().and_then(|endpoint| endpoint.vpc_endpoint_id()))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut old, mut new) = (live.spec.clone(), self.clone());
        old.normalize();
        new.normalize();
        let (subnets, tables) = (moved(&old.subnets, &new.subnets)?, moved(&old.route_tables, &new.route_tables)?);
        let groups = moved(&old.security_groups, &new.security_groups)?;
        let dns = (old.private_dns != new.private_dns).then_some(new.private_dns);
        let policy = new.policy.as_ref().filter(|policy| !old.policy.as_ref().is_some_and(|old| old.same(policy)));
        let reset = new.policy.is_none() && old.policy.is_some();
        let none = (None, None);
        if (&subnets, &tables, &groups) != (&none, &none, &none) || dns.is_some() || policy.is_some() || reset {
            let request = aws.ec2().modify_vpc_endpoint().vpc_endpoint_id(&live.id);
            let request = request.set_add_subnet_ids(subnets.0).set_remove_subnet_ids(subnets.1);
            let request = request.set_add_route_table_ids(tables.0).set_remove_route_table_ids(tables.1);
            let request = request.set_add_security_group_ids(groups.0).set_remove_security_group_ids(groups.1);
            let request = request.set_policy_document(policy.map(Policy::to_json).transpose()?);
            let request = request.set_private_dns_enabled(dns).set_reset_policy(reset.then_some(true));
            aws.call("ec2:ModifyVpcEndpoint", request.send()).await?;
        }
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let operation = "ec2:DeleteVpcEndpoints";
        let answer = aws.call(operation, aws.ec2().delete_vpc_endpoints().vpc_endpoint_ids(&live.id).send()).await?;
        match answer.unsuccessful().first().and_then(|failed| failed.error()) {
            Some(error) => Err(aws::partial(operation, error.code(), error.message())),
            None => Ok(()),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let request = aws.ec2().describe_vpc_endpoints().vpc_endpoint_ids(id);
        let answer = aws.call("ec2:DescribeVpcEndpoints", request.send()).await?;
        let Some(endpoint) = answer.vpc_endpoints().first() else { return Ok(Progress::Gone) };
        Ok(match state(endpoint).as_str() {
            "available" => {
                let service = endpoint.service_name().unwrap_or_default();
                let list = if is_gateway(endpoint) { prefix_list(aws, service).await? } else { String::new() };
                Progress::Ready(outputs(endpoint, &list))
            }
            "deleted" => Progress::Gone,
            "failed" | "rejected" | "expired" => Progress::Failed { why: why(endpoint) },
            "pendingacceptance" => Progress::waiting("the service's owner, who must accept the endpoint"),
            other => Progress::waiting(format!("state {other}")),
        })
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }
}

/// The state in lower case: AWS's documentation and its answers differ in that.
fn state(endpoint: &Found) -> String {
    endpoint.state().map(|state| state.as_str().to_ascii_lowercase()).unwrap_or_default()
}

fn why(endpoint: &Found) -> String {
    let error = endpoint.last_error();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let why = error.map(|error| format!("{}: {}", text(error.code()), text(error.message())));
    why.unwrap_or_else(|| format!("state {}", state(endpoint)))
}

fn is_gateway(endpoint: &Found) -> bool {
    endpoint.vpc_endpoint_type() == Some(&VpcEndpointType::Gateway)
}

fn read(endpoint: &Found, tags: Tags) -> Result<VpcEndpoint> {
    let set = |ids: &[String]| ids.iter().map(|id| Arg::Known(id.clone())).collect();
    let policy = match endpoint.policy_document() {
        Some(text) => Some(Policy::from_json(text).map_err(|error| {
            let id = endpoint.vpc_endpoint_id().unwrap_or_default();
            let message = format!("the policy of the endpoint {id}: {error}");
            Failure::new("ec2:DescribeVpcEndpoints", "UnreadablePolicy", message)
        })?),
        None => None,
    };
    let groups = endpoint.groups().iter().filter_map(|group| group.group_id());
    Ok(VpcEndpoint {
        vpc_id: endpoint.vpc_id().unwrap_or_default().into(),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        endpoint_type: if is_gateway(endpoint) { EndpointType::Gateway } else { EndpointType::Interface },
        route_tables: set(endpoint.route_table_ids()),
        subnets: set(endpoint.subnet_ids()),
        security_groups: groups.map(Arg::from).collect(),
        private_dns: endpoint.private_dns_enabled().unwrap_or_default(),
        policy,
        tags,
    })
}

/// Whether this is the policy that AWS gives to an endpoint without one. Its version says nothing here: gateways have one,
/// interfaces answer without any.
fn lets_everything(policy: &Policy) -> bool {
    let Value::Map(mut fields) = policy.0.clone() else { return false };
    fields.remove("Version");
    let stated = Policy(Value::Map(fields));
    [serde_json::json!("*"), serde_json::json!({ "AWS": "*" })].into_iter().any(|principal| {
        let all = serde_json::json!({ "Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*" });
        Policy(serde_json::json!({ "Statement": [all] }).into()).same(&stated)
    })
}

fn outputs(endpoint: &Found, prefix_list: &str) -> Outputs {
    let id = endpoint.vpc_endpoint_id().unwrap_or_default();
    let dns = endpoint.dns_entries().first().and_then(|entry| entry.dns_name()).unwrap_or_default();
    let pairs = [("id", id), ("prefix_list_id", prefix_list), ("dns_name", dns)];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The ids of AWS's own prefix lists by name, which is that of the service.
async fn prefix_lists(aws: &Aws, scope: &Scope) -> Result<Arc<BTreeMap<String, String>>> {
    let read = || async {
        let request = aws.ec2().describe_managed_prefix_lists().filters(ec2::filter("owner-id", ["AWS"]));
        let pages = request.into_paginator().items().send();
        let lists = aws.call("ec2:DescribeManagedPrefixLists", pages.collect::<Result<Vec<_>, _>>()).await?;
        let pair = |list: aws_sdk_ec2::types::ManagedPrefixList| Some((list.prefix_list_name?, list.prefix_list_id?));
        Ok(lists.into_iter().filter_map(pair).collect())
    };
    scope.memo.get("ec2.prefix_lists", read).await
}

async fn prefix_list(aws: &Aws, service: &str) -> Result<String> {
    let request = aws.ec2().describe_managed_prefix_lists().filters(ec2::filter("prefix-list-name", [service]));
    let answer = aws.call("ec2:DescribeManagedPrefixLists", request.send()).await?;
    Ok(answer.prefix_lists().first().and_then(|list| list.prefix_list_id()).unwrap_or_default().to_owned())
}

/// Ids for a request, which leaves out empty lists.
fn ids(args: &[Arg<String>]) -> Result<Option<Vec<String>>, Unresolved> {
    let ids = args.iter().map(|arg| arg.get().cloned()).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(ids).filter(|ids| !ids.is_empty()))
}

type Moved = (Option<Vec<String>>, Option<Vec<String>>);

/// What to add and what to remove, to come from `old` to `new`.
fn moved(old: &[Arg<String>], new: &[Arg<String>]) -> Result<Moved, Unresolved> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
    let only = |of: &BTreeSet<&Arg<String>>, without: &BTreeSet<&Arg<String>>| {
        ids(&of.difference(without).map(|arg| (*arg).clone()).collect::<Vec<_>>())
    };
    Ok((only(&new, &old)?, only(&old, &new)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy;

    /// An endpoint of the file with this policy, as it is compared.
    fn policy_of(text: &str) -> Option<Policy> {
        let policy = Policy::from_json(text).unwrap();
        let fields = serde_json::json!({ "vpc_id": "", "service": "", "endpoint_type": "interface", "policy": policy });
        let mut endpoint: VpcEndpoint = serde_json::from_value(fields).unwrap();
        endpoint.normalize();
        endpoint.policy
    }

    #[test]
    fn a_policy_that_lets_everything_is_none() {
        let statement = r#""Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]"#;
        // AWS's own has a version on gateways and none on interfaces.
        for version in [r#""Version":"2008-10-17","#, r#""Version":"2012-10-17","#, ""] {
            assert_eq!(policy_of(&format!("{{{version}{statement}}}")), None);
        }
        let some = policy::allow(&["s3:GetObject"], ["*".to_owned()]).to("AWS", ["*"]);
        assert!(policy_of(&policy::document([some]).to_json().unwrap()).is_some());
    }

    #[test]
    fn each_type_has_its_own_fields() {
        let endpoint = |endpoint_type| VpcEndpoint {
            vpc_id: "vpc-1".into(),
            service: "com.amazonaws.us-east-1.s3".into(),
            endpoint_type,
            route_tables: vec!["rtb-1".into()],
            subnets: vec!["subnet-1".into()],
            security_groups: Vec::new(),
            private_dns: true,
            policy: None,
            tags: Tags::new(),
        };
        assert_eq!(endpoint(EndpointType::Gateway).check()[0].path, "subnets");
        assert_eq!(endpoint(EndpointType::Interface).check()[0].path, "route_tables");
    }
}
