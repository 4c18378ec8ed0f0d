//! A subnet of a VPC, in one availability zone.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, SubnetState};
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ec2, ec2_users};
use crate::aws::{Aws, one_try};
use crate::kind::{Blocker, Id, Kind, Live, Making, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// A subnet of a VPC, in one availability zone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    pub vpc_id: Arg<String>,
    /// The IPv4 range, within that of the VPC.
    #[schemars(with = "String", example = "10.0.0.0/20")]
    pub cidr: Ipv4Net,
    /// The availability zone, as in `us-east-1a`.
    pub zone: String,
    /// Whether what starts here gets a public address without asking.
    #[serde(default)]
    pub public_addresses: bool,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for Subnet {
    const NAME: &'static str = "subnet";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeSubnets",
        create: "ec2:CreateSubnet ec2:CreateTags",
        update: "ec2:CreateTags ec2:DeleteTags ec2:ModifySubnetAttribute",
        delete: "ec2:DeleteSubnet",
        tells: "ec2:DescribeInstances ec2:DescribeNetworkInterfaces",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["vpc_id", "cidr", "zone"];
    const CREATE_FIRST: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id"];
    const HELD_BY: &'static [&'static str] =
        &["cache_subnet_group", "db_subnet_group", "ecs_service", "lambda_function", "load_balancer", "vpc_endpoint"];

    const CLASH: Option<fn(&Self, &Self) -> bool> = Some(|one, other| {
        let overlap = one.cidr.contains(&other.cidr) || other.cidr.contains(&one.cidr);
        one.vpc_id == other.vpc_id && overlap
    });

    fn shell(&self) -> Self {
        Self { public_addresses: false, ..self.clone() }
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let pages =
            aws.ec2().describe_subnets().set_filters(Some(ec2::ours(aws, scope))).into_paginator().items().send();
        let subnets = aws.call("ec2:DescribeSubnets", pages.collect::<Result<Vec<_>, _>>()).await?;
        let read = |subnet: &aws_sdk_ec2::types::Subnet| {
            let tagged = scope.tagged(aws, Self::NAME, &ec2::read_tags(subnet.tags()))?;
            let id = subnet.subnet_id().unwrap_or_default();
            let spec = Self {
                vpc_id: subnet.vpc_id().unwrap_or_default().into(),
                cidr: subnet.cidr_block().unwrap_or_default().parse().ok()?,
                zone: subnet.availability_zone().unwrap_or_default().to_owned(),
                public_addresses: subnet.map_public_ip_on_launch().unwrap_or_default(),
                tags: tagged.user.clone(),
            };
            Some(Live::new(tagged, id, spec).output("id", id))
        };
        Ok(subnets.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let request = aws.ec2().create_subnet().vpc_id(self.vpc_id.get()?).cidr_block(self.cidr.to_string());
        let tags = ec2::specification(ResourceType::Subnet, &making.identity, &self.tags);
        let request = request.availability_zone(&self.zone).tag_specifications(tags).customize();
        let request = request.config_override(aws_sdk_ec2::config::Builder::new().retry_config(one_try()));
        let answer = aws.call("ec2:CreateSubnet", request.send()).await?;
        ec2::made("ec2:CreateSubnet", answer.subnet().and_then(|subnet| subnet.subnet_id()))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        if self.public_addresses != live.spec.public_addresses {
            let flag = AttributeBooleanValue::builder().value(self.public_addresses).build();
            let request = aws.ec2().modify_subnet_attribute().subnet_id(&live.id).map_public_ip_on_launch(flag);
            aws.call("ec2:ModifySubnetAttribute", request.send()).await?;
        }
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        aws.call("ec2:DeleteSubnet", aws.ec2().delete_subnet().subnet_id(&live.id).send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        ec2_users::interfaces(aws, ec2::filter("subnet-id", [&live.id])).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let answer = aws.call("ec2:DescribeSubnets", aws.ec2().describe_subnets().subnet_ids(id).send()).await?;
        Ok(match answer.subnets().first().and_then(|subnet| subnet.state()) {
            None => Progress::Gone,
            Some(SubnetState::Available) => Progress::ready([("id", id.clone())]),
            Some(state) => Progress::waiting(format!("state {}", state.as_str())),
        })
    }
}
