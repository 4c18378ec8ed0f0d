//! A NAT gateway, through which private subnets reach other networks.

use std::time::Duration;

use aws_sdk_ec2::types::{ConnectivityType, NatGatewayState, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ec2;
use crate::aws::Aws;
use crate::kind::{Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// A NAT gateway, through which private subnets reach other networks without being reached from there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatGateway {
    /// The subnet it stands in: for a public one, a subnet with a route to an internet gateway.
    pub subnet_id: Arg<String>,
    /// The elastic IP address of a public gateway, by its allocation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<Arg<String>>,
    #[serde(default)]
    pub connectivity: Connectivity,
    #[serde(default)]
    pub tags: Tags,
}

/// Where a NAT gateway leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// To the internet, from an elastic IP address.
    #[default]
    Public,
    /// To other VPCs and networks of your own, from an address of the subnet.
    Private,
}

impl Kind for NatGateway {
    const NAME: &'static str = "nat_gateway";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeNatGateways",
        create: "ec2:CreateNatGateway ec2:CreateTags",
        update: "ec2:CreateTags ec2:DeleteTags",
        delete: "ec2:DeleteNatGateway",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["subnet_id", "allocation_id", "connectivity"];
    // The public address of a private gateway is empty.
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id", "public_ip"];
    const UNIQUE: &'static [&'static str] = &["allocation_id"];
    const AFTER: &'static [&'static str] = &["internet_gateway"];
    const DEADLINE: Duration = Duration::from_secs(15 * 60);
    const MINUTES: (u16, u16) = (2, 2);

    fn check(&self) -> Vec<Problem> {
        let problem = match (self.connectivity, &self.allocation_id) {
            (Connectivity::Public, None) => {
                Problem::new("allocation_id", "a public NAT gateway needs an elastic IP address")
                    .help("refer to one, as in ${elastic_ip.NAME.id}, or write `connectivity: private`")
            }
            (Connectivity::Private, Some(_)) => {
                Problem::new("allocation_id", "a private NAT gateway has no elastic IP address")
                    .help("remove this line, or `connectivity: private`")
            }
            _ => return Vec::new(),
        };
        vec![problem]
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let states = ["pending", "available", "failed", "deleting"];
        let filters = ec2::ours(aws, scope).into_iter().chain([ec2::filter("state", states)]).collect();
        let pages = aws.ec2().describe_nat_gateways().set_filter(Some(filters)).into_paginator().items().send();
        let gateways = aws.call("ec2:DescribeNatGateways", pages.collect::<Result<Vec<_>, _>>()).await?;
        let read = |gateway: &aws_sdk_ec2::types::NatGateway| {
            let tagged = scope.tagged(aws, Self::NAME, &ec2::read_tags(gateway.tags()))?;
            let health = match gateway.state()? {
                NatGatewayState::Available => Health::Ok,
                NatGatewayState::Failed => Health::Failed(why(gateway)),
                NatGatewayState::Deleting => Health::Tombstone,
                NatGatewayState::Deleted => return None,
                _ => Health::Pending,
            };
            let id = gateway.nat_gateway_id().unwrap_or_default();
            let connectivity = match gateway.connectivity_type() {
                Some(ConnectivityType::Private) => Connectivity::Private,
                _ => Connectivity::Public,
            };
            let spec = Self {
                subnet_id: gateway.subnet_id().unwrap_or_default().into(),
                allocation_id: primary(gateway).and_then(|address| address.allocation_id()).map(Arg::from),
                connectivity,
                tags: tagged.user.clone(),
            };
            let live = Live::new(tagged, id, spec).output("id", id).output("public_ip", public_ip(gateway));
            Some(Live { health, ..live })
        };
        Ok(gateways.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let connectivity = match self.connectivity {
            Connectivity::Public => ConnectivityType::Public,
            Connectivity::Private => ConnectivityType::Private,
        };
        let allocation = self.allocation_id.as_ref().map(Arg::get).transpose()?.cloned();
        let tags = ec2::specification(ResourceType::Natgateway, &making.identity, &self.tags);
        let request = aws.ec2().create_nat_gateway().subnet_id(self.subnet_id.get()?).set_allocation_id(allocation);
        let request = request.connectivity_type(connectivity).client_token(&making.token).tag_specifications(tags);
        let answer = aws.call("ec2:CreateNatGateway", request.send()).await?;
        ec2::made("ec2:CreateNatGateway", answer.nat_gateway().and_then(|gateway| gateway.nat_gateway_id()))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        aws.call("ec2:DeleteNatGateway", aws.ec2().delete_nat_gateway().nat_gateway_id(&live.id).send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let request = aws.ec2().describe_nat_gateways().nat_gateway_ids(id);
        let answer = aws.call("ec2:DescribeNatGateways", request.send()).await?;
        let Some(gateway) = answer.nat_gateways().first() else { return Ok(Progress::Gone) };
        Ok(match gateway.state() {
            Some(NatGatewayState::Available) => {
                Progress::ready([("id", id.clone()), ("public_ip", public_ip(gateway).to_owned())])
            }
            Some(NatGatewayState::Deleted) => Progress::Gone,
            Some(NatGatewayState::Failed) => Progress::Failed { why: why(gateway) },
            state => Progress::waiting(format!("state {}", state.map_or("unknown", NatGatewayState::as_str))),
        })
    }
}

/// The address that the gateway was made with. Others can be added to it later.
fn primary(gateway: &aws_sdk_ec2::types::NatGateway) -> Option<&aws_sdk_ec2::types::NatGatewayAddress> {
    let addresses = gateway.nat_gateway_addresses();
    addresses.iter().find(|address| address.is_primary() == Some(true)).or_else(|| addresses.first())
}

fn public_ip(gateway: &aws_sdk_ec2::types::NatGateway) -> &str {
    primary(gateway).and_then(|address| address.public_ip()).unwrap_or_default()
}

fn why(gateway: &aws_sdk_ec2::types::NatGateway) -> String {
    let (code, message) = (gateway.failure_code().unwrap_or("failed"), gateway.failure_message().unwrap_or_default());
    format!("{code}: {message}").trim_end_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_gateway_has_an_address_and_a_private_one_has_none() {
        let gateway = |connectivity, address: Option<&str>| NatGateway {
            subnet_id: "subnet-1".into(),
            allocation_id: address.map(Arg::from),
            connectivity,
            tags: Tags::new(),
        };
        for (connectivity, address, problems) in [
            (Connectivity::Public, Some("eipalloc-1"), 0),
            (Connectivity::Public, None, 1),
            (Connectivity::Private, None, 0),
            (Connectivity::Private, Some("eipalloc-1"), 1),
        ] {
            assert_eq!(gateway(connectivity, address).check().len(), problems, "{connectivity:?} {address:?}");
        }
    }
}
