//! Permissions asked of EC2 itself, where IAM does not let us ask: a call with `DryRun` is judged and not carried out.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{DomainType, ResourceType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures::future::{BoxFuture, join_all};

use crate::address::{Address, Identity};
use crate::aws::Aws;
use crate::kind::{Live, Result};
use crate::kinds::ec2;
use crate::plan::{Plan, Step, Verb};
use crate::tags::Tags;
use crate::value::{Fields, Value};

/// What EC2 answers to a dry run that would be allowed.
const ALLOWED: &str = "DryRunOperation";
const REFUSED: &str = "UnauthorizedOperation";

/// What was asked, and which of it EC2 refuses.
#[derive(Default)]
pub struct Asked {
    pub count: usize,
    pub refused: BTreeMap<String, BTreeSet<Address>>,
}

/// Asks for what needs nothing that this plan makes first. An answer that is neither yes nor no counts as unasked.
pub async fn ask(aws: &Aws, plan: &Plan) -> Asked {
    let calls = plan.steps.node_weights().filter_map(|step| Some((&step.address, call(aws, plan, step)?)));
    let answers = join_all(calls.map(async |(address, call)| Some((address, call.await.err()?)))).await;
    let mut asked = Asked::default();
    for (address, failure) in answers.into_iter().flatten() {
        if failure.code == REFUSED {
            asked.refused.entry(failure.operation).or_default().insert(address.clone());
        }
        asked.count += usize::from([ALLOWED, REFUSED].contains(&failure.code.as_str()));
    }
    asked
}

fn call<'a>(aws: &'a Aws, plan: &Plan, step: &'a Step) -> Option<BoxFuture<'a, Result<()>>> {
    match &step.verb {
        Verb::Create(fields) => create(aws, plan, &step.address, fields),
        Verb::Delete(live) => delete(aws, live),
        _ => None,
    }
}

fn create<'a>(aws: &'a Aws, plan: &Plan, address: &Address, fields: &Fields) -> Option<BoxFuture<'a, Result<()>>> {
    let identity =
        Identity { project: plan.project.clone(), environment: plan.environment.clone(), address: address.clone() };
    let tags = |kind| ec2::specification(kind, &identity, &own_tags(fields));
    let ec2 = aws.ec2();
    Some(match address.kind.as_str() {
        "vpc" => {
            let request = ec2.create_vpc().dry_run(true).tag_specifications(tags(ResourceType::Vpc));
            let request = request.cidr_block(fields.get("cidr")?.as_text()?);
            asking(aws, "ec2:CreateVpc", request.send())
        }
        "internet_gateway" => {
            let tags = tags(ResourceType::InternetGateway);
            let request = ec2.create_internet_gateway().dry_run(true).tag_specifications(tags);
            asking(aws, "ec2:CreateInternetGateway", request.send())
        }
        "elastic_ip" => {
            let request = ec2.allocate_address().dry_run(true).domain(DomainType::Vpc);
            let request = request.tag_specifications(tags(ResourceType::ElasticIp));
            asking(aws, "ec2:AllocateAddress", request.send())
        }
        _ => return None,
    })
}

fn delete<'a>(aws: &'a Aws, live: &'a Live<Fields>) -> Option<BoxFuture<'a, Result<()>>> {
    let (ec2, id) = (aws.ec2(), &live.id);
    Some(match live.identity.address.kind.as_str() {
        "vpc" => asking(aws, "ec2:DeleteVpc", ec2.delete_vpc().dry_run(true).vpc_id(id).send()),
        "subnet" => asking(aws, "ec2:DeleteSubnet", ec2.delete_subnet().dry_run(true).subnet_id(id).send()),
        "security_group" => {
            let request = ec2.delete_security_group().dry_run(true).group_id(id);
            asking(aws, "ec2:DeleteSecurityGroup", request.send())
        }
        "internet_gateway" => {
            let request = ec2.delete_internet_gateway().dry_run(true).internet_gateway_id(id);
            asking(aws, "ec2:DeleteInternetGateway", request.send())
        }
        "nat_gateway" => {
            let request = ec2.delete_nat_gateway().dry_run(true).nat_gateway_id(id);
            asking(aws, "ec2:DeleteNatGateway", request.send())
        }
        "elastic_ip" => {
            let request = ec2.release_address().dry_run(true).allocation_id(id);
            asking(aws, "ec2:ReleaseAddress", request.send())
        }
        "route_table" => {
            let request = ec2.delete_route_table().dry_run(true).route_table_id(id);
            asking(aws, "ec2:DeleteRouteTable", request.send())
        }
        _ => return None,
    })
}

/// One call, whose answer is all that counts.
fn asking<'a, T: Send, E>(
    aws: &'a Aws,
    operation: &'static str,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'a,
) -> BoxFuture<'a, Result<()>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    Box::pin(async move { aws.call(operation, request).await.map(drop) })
}

/// The file's own tags, which policies may ask for.
fn own_tags(fields: &Fields) -> Tags {
    let Some(Value::Map(own)) = fields.get("tags") else { return Tags::new() };
    own.iter().filter_map(|(key, value)| Some((key.clone(), value.as_text()?.to_owned()))).collect()
}
