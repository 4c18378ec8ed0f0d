//! A public IPv4 address that stays the same.

use aws_sdk_ec2::types::{DomainType, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ec2, ec2_users};
use crate::aws::{Aws, one_try};
use crate::kind::{Blocker, Class, Id, Kind, Live, Making, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;

/// A public IPv4 address that stays the same. What uses it (a NAT gateway, a host) refers to its `id`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticIp {
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for ElasticIp {
    const NAME: &'static str = "elastic_ip";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeAddresses",
        create: "ec2:AllocateAddress ec2:CreateTags",
        update: "ec2:CreateTags ec2:DeleteTags",
        delete: "ec2:ReleaseAddress",
        tells: "ec2:DescribeInstances ec2:DescribeNetworkInterfaces",
        ..Rights::NONE
    };
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id", "public_ip"];

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let request = aws.ec2().describe_addresses().set_filters(Some(ec2::ours(aws, scope)));
        let answer = aws.call("ec2:DescribeAddresses", request.send()).await?;
        let read = |address: &aws_sdk_ec2::types::Address| {
            let tagged = scope.tagged(aws, Self::NAME, &ec2::read_tags(address.tags()))?;
            let id = address.allocation_id()?;
            let live = Live::new(tagged.clone(), id, Self { tags: tagged.user });
            Some(live.output("id", id).output("public_ip", address.public_ip().unwrap_or_default()))
        };
        Ok(answer.addresses().iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let tags = ec2::specification(ResourceType::ElasticIp, &making.identity, &self.tags);
        let request = aws.ec2().allocate_address().domain(DomainType::Vpc).tag_specifications(tags).customize();
        let request = request.config_override(aws_sdk_ec2::config::Builder::new().retry_config(one_try()));
        let answer = aws.call("ec2:AllocateAddress", request.send()).await?;
        ec2::made("ec2:AllocateAddress", answer.allocation_id())
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        // While a NAT gateway that is being deleted still holds the address, AWS answers as if the address were another's;
        // a caller without the right gets another code.
        match aws.call("ec2:ReleaseAddress", aws.ec2().release_address().allocation_id(&live.id).send()).await {
            Err(failure) if failure.code == "AuthFailure" => Err(failure.class(Class::Busy)),
            other => other.map(drop),
        }
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let request = aws.ec2().describe_addresses().allocation_ids(&live.id);
        let answer = aws.call("ec2:DescribeAddresses", request.send()).await?;
        match answer.addresses().first().and_then(|address| address.network_interface_id()) {
            Some(interface) => ec2_users::interface(aws, interface).await,
            None => Ok(Vec::new()),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let request = aws.ec2().describe_addresses().allocation_ids(id);
        let answer = aws.call("ec2:DescribeAddresses", request.send()).await?;
        Ok(answer.addresses().first().map_or(Progress::Gone, |address| {
            let public_ip = address.public_ip().unwrap_or_default().to_owned();
            Progress::ready([("id", id.clone()), ("public_ip", public_ip)])
        }))
    }
}
