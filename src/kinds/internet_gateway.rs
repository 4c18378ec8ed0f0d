//! The gateway between a VPC and the internet.

use aws_sdk_ec2::types::{AttachmentStatus, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ec2, ec2_users};
use crate::aws::{Aws, one_try};
use crate::kind::{Blocker, Class, Id, Kind, Live, Making, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// The gateway between a VPC and the internet.
///
/// AWS makes it first and attaches it in a second call, so that one without a VPC is a create that was interrupted;
/// the next apply attaches it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InternetGateway {
    /// The VPC it is attached to. A VPC has at most one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for InternetGateway {
    const NAME: &'static str = "internet_gateway";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeInternetGateways",
        create: "ec2:CreateInternetGateway ec2:CreateTags",
        update: "ec2:AttachInternetGateway ec2:CreateTags ec2:DeleteTags ec2:DetachInternetGateway",
        delete: "ec2:DeleteInternetGateway ec2:DetachInternetGateway",
        tells: "ec2:DescribeInstances ec2:DescribeNetworkInterfaces",
        ..Rights::NONE
    };
    // A VPC can only be deleted once its gateway is detached.
    const LATE: &'static [&'static str] = &["vpc_id"];
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id"];
    const UNIQUE: &'static [&'static str] = &["vpc_id"];

    fn shell(&self) -> Self {
        Self { vpc_id: None, ..self.clone() }
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let request = aws.ec2().describe_internet_gateways().set_filters(Some(ec2::ours(aws, scope)));
        let pages = request.into_paginator().items().send();
        let gateways = aws.call("ec2:DescribeInternetGateways", pages.collect::<Result<Vec<_>, _>>()).await?;
        let read = |gateway: &aws_sdk_ec2::types::InternetGateway| {
            let tagged = scope.tagged(aws, Self::NAME, &ec2::read_tags(gateway.tags()))?;
            let id = gateway.internet_gateway_id().unwrap_or_default();
            let vpc_id = vpc_of(gateway).map(Arg::from);
            Some(Live::new(tagged.clone(), id, Self { vpc_id, tags: tagged.user }).output("id", id))
        };
        Ok(gateways.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let tags = ec2::specification(ResourceType::InternetGateway, &making.identity, &self.tags);
        let request = aws.ec2().create_internet_gateway().tag_specifications(tags).customize();
        let request = request.config_override(aws_sdk_ec2::config::Builder::new().retry_config(one_try()));
        let answer = aws.call("ec2:CreateInternetGateway", request.send()).await?;
        let id = answer.internet_gateway().and_then(|gateway| gateway.internet_gateway_id());
        ec2::made("ec2:CreateInternetGateway", id)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        if self.vpc_id != live.spec.vpc_id {
            if let Some(vpc) = &live.spec.vpc_id {
                detach(aws, &live.id, vpc.get()?).await?;
            }
            if let Some(vpc) = &self.vpc_id {
                attach(aws, &live.id, vpc.get()?).await?;
            }
        }
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        // AWS refuses this while public addresses are mapped in the VPC; it is tried again until they are gone.
        if let Some(vpc) = &live.spec.vpc_id {
            detach(aws, &live.id, vpc.get()?).await?;
        }
        let request = aws.ec2().delete_internet_gateway().internet_gateway_id(&live.id);
        aws.call("ec2:DeleteInternetGateway", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        match &live.spec.vpc_id {
            Some(network) => ec2_users::public(aws, network.get()?).await,
            None => Ok(Vec::new()),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let gateway = look(aws, id).await?;
        Ok(gateway.map_or(Progress::Gone, |_| Progress::ready([("id", id.clone())])))
    }
}

async fn look(aws: &Aws, id: &str) -> Result<Option<aws_sdk_ec2::types::InternetGateway>> {
    let request = aws.ec2().describe_internet_gateways().internet_gateway_ids(id);
    let answer = aws.call("ec2:DescribeInternetGateways", request.send()).await?;
    Ok(answer.internet_gateways.unwrap_or_default().into_iter().next())
}

fn vpc_of(gateway: &aws_sdk_ec2::types::InternetGateway) -> Option<&str> {
    let leaving = |state: &AttachmentStatus| matches!(state, AttachmentStatus::Detaching | AttachmentStatus::Detached);
    gateway.attachments().iter().find(|attachment| !attachment.state().is_some_and(leaving))?.vpc_id()
}

async fn attach(aws: &Aws, id: &str, vpc: &str) -> Result<()> {
    let request = aws.ec2().attach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
    let Err(failure) = aws.call("ec2:AttachInternetGateway", request.send()).await else { return Ok(()) };
    // A repeated request, or one whose answer was lost, finds its own work done.
    if failure.code == "Resource.AlreadyAssociated" && look(aws, id).await?.as_ref().and_then(vpc_of) == Some(vpc) {
        return Ok(());
    }
    Err(failure)
}

async fn detach(aws: &Aws, id: &str, vpc: &str) -> Result<()> {
    let request = aws.ec2().detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
    match aws.call("ec2:DetachInternetGateway", request.send()).await {
        Err(failure) if failure.class != Class::NotFound => Err(failure),
        _ => Ok(()),
    }
}
