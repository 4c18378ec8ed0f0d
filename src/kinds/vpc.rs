//! A virtual private cloud.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, VpcAttributeName, VpcState};
use futures::future::try_join_all;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ec2, ec2_users};
use crate::aws::{Aws, one_try};
use crate::kind::{Blocker, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;

/// A virtual private cloud.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vpc {
    /// The IPv4 range, between /16 and /28.
    #[schemars(with = "String", example = "10.0.0.0/16")]
    pub cidr: Ipv4Net,
    /// Whether the network resolves names through AWS's DNS server.
    #[serde(default = "yes")]
    pub dns_support: bool,
    /// Whether instances with a public address get a public DNS name. Interface endpoints need it.
    #[serde(default)]
    pub dns_hostnames: bool,
    #[serde(default)]
    pub tags: Tags,
}

fn yes() -> bool {
    true
}

impl Kind for Vpc {
    const NAME: &'static str = "vpc";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeVpcAttribute ec2:DescribeVpcs",
        create: "ec2:CreateTags ec2:CreateVpc",
        update: "ec2:CreateTags ec2:DeleteTags ec2:ModifyVpcAttribute",
        delete: "ec2:DeleteVpc",
        tells: "ec2:DescribeInstances ec2:DescribeInternetGateways ec2:DescribeNatGateways \
            ec2:DescribeNetworkInterfaces ec2:DescribeRouteTables ec2:DescribeSecurityGroups ec2:DescribeSubnets \
            ec2:DescribeVpcEndpoints ec2:DescribeVpcPeeringConnections",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["cidr"];
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id"];

    fn shell(&self) -> Self {
        Self { dns_support: true, dns_hostnames: false, ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(16..=28).contains(&self.cidr.prefix_len()) {
            problems
                .push(Problem::new("cidr", format!("{} is not between /16 and /28, which AWS asks for", self.cidr)));
        }
        if self.cidr != self.cidr.trunc() {
            let help = format!("write {}", self.cidr.trunc());
            problems.push(Problem::new("cidr", format!("{} has bits set outside its prefix", self.cidr)).help(help));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let pages = aws.ec2().describe_vpcs().set_filters(Some(ec2::ours(aws, scope))).into_paginator().items().send();
        let vpcs = aws.call("ec2:DescribeVpcs", pages.collect::<Result<Vec<_>, _>>()).await?;
        let reads = vpcs.iter().filter_map(|vpc| {
            let tags = ec2::read_tags(vpc.tags());
            let tagged = scope.tagged(aws, Self::NAME, &tags)?;
            Some(async move {
                let id = vpc.vpc_id().unwrap_or_default();
                let support = attribute(aws, id, VpcAttributeName::EnableDnsSupport);
                let hostnames = attribute(aws, id, VpcAttributeName::EnableDnsHostnames);
                let (dns_support, dns_hostnames) = tokio::try_join!(support, hostnames)?;
                let cidr = vpc.cidr_block().unwrap_or_default();
                let cidr = cidr.parse().map_err(|_| Failure::new("ec2:DescribeVpcs", "UnreadableCidr", cidr))?;
                let spec = Self { cidr, dns_support, dns_hostnames, tags: tagged.user.clone() };
                Ok(Live::new(tagged, id, spec).output("id", id))
            })
        });
        try_join_all(reads).await
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let tags = ec2::specification(ResourceType::Vpc, &making.identity, &self.tags);
        let request = aws.ec2().create_vpc().cidr_block(self.cidr.to_string()).tag_specifications(tags).customize();
        let request = request.config_override(aws_sdk_ec2::config::Builder::new().retry_config(one_try()));
        let answer = aws.call("ec2:CreateVpc", request.send()).await?;
        ec2::made("ec2:CreateVpc", answer.vpc().and_then(|vpc| vpc.vpc_id()))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = || aws.ec2().modify_vpc_attribute().vpc_id(&live.id);
        let flag = |value| AttributeBooleanValue::builder().value(value).build();
        if self.dns_support != live.spec.dns_support {
            let request = request().enable_dns_support(flag(self.dns_support));
            aws.call("ec2:ModifyVpcAttribute", request.send()).await?;
        }
        if self.dns_hostnames != live.spec.dns_hostnames {
            let request = request().enable_dns_hostnames(flag(self.dns_hostnames));
            aws.call("ec2:ModifyVpcAttribute", request.send()).await?;
        }
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        aws.call("ec2:DeleteVpc", aws.ec2().delete_vpc().vpc_id(&live.id).send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        ec2_users::of_network(aws, &live.id).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let answer = aws.call("ec2:DescribeVpcs", aws.ec2().describe_vpcs().vpc_ids(id).send()).await?;
        Ok(match answer.vpcs().first().and_then(|vpc| vpc.state()) {
            None => Progress::Gone,
            Some(VpcState::Available) => Progress::ready([("id", id.clone())]),
            Some(state) => Progress::waiting(format!("state {}", state.as_str())),
        })
    }
}

async fn attribute(aws: &Aws, id: &str, name: VpcAttributeName) -> Result<bool> {
    let request = aws.ec2().describe_vpc_attribute().vpc_id(id).attribute(name.clone());
    let answer = aws.call("ec2:DescribeVpcAttribute", request.send()).await?;
    let value = match name {
        VpcAttributeName::EnableDnsSupport => answer.enable_dns_support(),
        _ => answer.enable_dns_hostnames(),
    };
    Ok(value.and_then(AttributeBooleanValue::value).unwrap_or_default())
}
