//! The subnets in which a database may have its network interface.

use aws_sdk_rds::types::{DbInstance, DbSubnetGroup as Found};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, rds};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};
use crate::value::Arg;

/// The subnets in which a database may have its network interface.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DbSubnetGroup {
    /// The name in AWS, in lower case. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default = "description")]
    pub description: String,
    /// The subnets, of one VPC and in two availability zones at least.
    pub subnets: Vec<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

fn description() -> String {
    "Managed by infra".to_owned()
}

impl Kind for DbSubnetGroup {
    const NAME: &'static str = "db_subnet_group";
    const RIGHTS: Rights = Rights {
        read: "rds:DescribeDBSubnetGroups rds:ListTagsForResource",
        create: "rds:AddTagsToResource rds:CreateDBSubnetGroup",
        update: "rds:AddTagsToResource rds:ModifyDBSubnetGroup rds:RemoveTagsFromResource",
        delete: "rds:DeleteDBSubnetGroup",
        on: "rds:subgrp:{name}",
        links: "rds.amazonaws.com",
        tells: "rds:DescribeDBInstances",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const CREATE_FIRST: bool = true;
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["name", "arn"];

    fn normalize(&mut self) {
        self.subnets.sort();
        self.subnets.dedup();
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = &self.name {
            let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._ -".contains(c);
            if name.is_empty() || name.len() > 255 || name == "default" || !name.chars().all(letters) {
                let help = "use up to 255 lower-case letters, digits, dots, hyphens and underscores, but not `default`";
                problems.push(Problem::new("name", format!("RDS does not take the name `{name}`")).help(help));
            }
        }
        if self.subnets.len() < 2 {
            let help = "name one subnet in each of two availability zones at least, also for a single instance";
            problems.push(Problem::new("subnets", "RDS asks for subnets in two zones").help(help));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let pages = aws.rds().describe_db_subnet_groups().into_paginator().items().send();
        let all = aws.call("rds:DescribeDBSubnetGroups", pages.collect::<Result<Vec<_>, _>>()).await?;
        let found =
            rds::candidates(aws, scope, all, |group| (group.db_subnet_group_arn(), group.db_subnet_group_name()));
        let reads = found.await?.into_iter().map(async |group| {
            let tags = rds::tags_of(aws, group.db_subnet_group_arn().unwrap_or_default()).await?;
            Ok::<_, Failure>(scope.tagged(aws, Self::NAME, &tags).map(|tagged| live(&group, tagged)))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let subnets = self.subnet_ids()?;
        let generated = || rds::hyphens(&making.identity.versioned_name(&subnets.join(" "), 255));
        let name = self.name.clone().unwrap_or_else(generated);
        let tags = rds::sdk_tags(&tags::encode(&making.identity, &self.tags));
        let request = aws.rds().create_db_subnet_group().db_subnet_group_name(&name).set_subnet_ids(Some(subnets));
        let request = request.db_subnet_group_description(&self.description).set_tags(Some(tags));
        match aws.call("rds:CreateDBSubnetGroup", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if rds::exists(&failure) => {
                let group = describe(aws, &name).await?;
                let tags = rds::tags_of(aws, group.db_subnet_group_arn().unwrap_or_default()).await?;
                let found = tags::decode(&tags).map(|tagged| live(&group, tagged));
                adopt::adopt(self, aws, making, (&name, found), "rds:CreateDBSubnetGroup").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.normalize();
        there.normalize();
        if (&wanted.subnets, &wanted.description) != (&there.subnets, &there.description) {
            let request = aws.rds().modify_db_subnet_group().db_subnet_group_name(&live.id);
            let request =
                request.set_subnet_ids(Some(self.subnet_ids()?)).db_subnet_group_description(&self.description);
            aws.call("rds:ModifyDBSubnetGroup", request.send()).await?;
        }
        let encode = |tags| tags::encode(&live.identity, tags);
        rds::retag(aws, rds::arn(live)?, &encode(&live.spec.tags), &encode(&self.tags)).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        rds::write_tags(aws, rds::arn(live)?, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.rds().delete_db_subnet_group().db_subnet_group_name(&live.id);
        aws.call("rds:DeleteDBSubnetGroup", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let uses =
            |one: &DbInstance| one.db_subnet_group().and_then(|group| group.db_subnet_group_name()) == Some(&live.id);
        rds::users(aws, uses).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let group = describe(aws, id).await?;
        let arn = group.db_subnet_group_arn().unwrap_or_default();
        Ok(Progress::ready([("name", id.clone()), ("arn", arn.to_owned())]))
    }
}

impl DbSubnetGroup {
    fn subnet_ids(&self) -> Result<Vec<String>> {
        self.subnets.iter().map(|subnet| Ok(subnet.get()?.clone())).collect()
    }
}

async fn describe(aws: &Aws, name: &str) -> Result<Found> {
    let request = aws.rds().describe_db_subnet_groups().db_subnet_group_name(name);
    let answer = aws.call("rds:DescribeDBSubnetGroups", request.send()).await?;
    let missing = || Failure::new("rds:DescribeDBSubnetGroups", "DBSubnetGroupNotFoundFault", name);
    answer.db_subnet_groups.unwrap_or_default().pop().ok_or_else(|| missing().class(Class::NotFound))
}

fn live(group: &Found, tagged: Tagged) -> Live<DbSubnetGroup> {
    let name = group.db_subnet_group_name().unwrap_or_default();
    let subnets = group.subnets().iter().filter_map(|subnet| subnet.subnet_identifier());
    let spec = DbSubnetGroup {
        name: Some(name.to_owned()),
        description: group.db_subnet_group_description().unwrap_or_default().to_owned(),
        subnets: subnets.map(Arg::from).collect(),
        tags: tagged.user.clone(),
    };
    let arn = group.db_subnet_group_arn().unwrap_or_default();
    Live::new(tagged, name, spec).output("name", name).output("arn", arn)
}
