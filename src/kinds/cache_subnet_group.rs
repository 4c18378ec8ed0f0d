//! The subnets in which a cache may have its nodes.

use aws_sdk_elasticache::types::{CacheCluster, CacheSubnetGroup as Found};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, elasticache, rds, tagging};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};
use crate::value::Arg;

/// The subnets in which a cache may have its nodes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheSubnetGroup {
    /// The name in AWS, in lower case. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default = "description")]
    pub description: String,
    /// The subnets, of one VPC. Nodes in several availability zones need one in each.
    pub subnets: Vec<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

fn description() -> String {
    "Managed by infra".to_owned()
}

impl Kind for CacheSubnetGroup {
    const NAME: &'static str = "cache_subnet_group";
    const RIGHTS: Rights = Rights {
        read: "elasticache:DescribeCacheSubnetGroups elasticache:ListTagsForResource",
        create: "elasticache:AddTagsToResource elasticache:CreateCacheSubnetGroup",
        update: "elasticache:AddTagsToResource elasticache:RemoveTagsFromResource elasticache:ModifyCacheSubnetGroup",
        delete: "elasticache:DeleteCacheSubnetGroup",
        links: "elasticache.amazonaws.com",
        tells: "elasticache:DescribeCacheClusters",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const CREATE_FIRST: bool = true;
    const HELD_BY: &'static [&'static str] = &["replication_group"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["name", "arn"];

    fn normalize(&mut self) {
        self.subnets.sort();
        self.subnets.dedup();
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.name.iter().filter_map(|name| elasticache::check_name(name, 255)).collect();
        if self.name.as_deref() == Some("default") {
            problems.push(Problem::new("name", "the group `default` is AWS's own").help("choose another name"));
        }
        if self.subnets.is_empty() {
            problems.push(Problem::new("subnets", "a group without subnets").help("name one at least"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":subnetgroup:").await? {
            return Ok(Vec::new());
        }
        let pages = aws.elasticache().describe_cache_subnet_groups().into_paginator().items().send();
        let all = aws.call("elasticache:DescribeCacheSubnetGroups", pages.collect::<Result<Vec<_>, _>>()).await?;
        let candidates = elasticache::Candidates::of(aws, scope, Self::NAME, 255).await?;
        let found = all.iter().filter(|group| candidates.has(group.arn(), group.cache_subnet_group_name()));
        let reads = found.map(async |group| {
            let tags = elasticache::tags_of(aws, group.arn().unwrap_or_default()).await?;
            Ok::<_, Failure>(scope.tagged(aws, Self::NAME, &tags).map(|tagged| live(group, tagged)))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| elasticache::generated(&making.identity.aws_name(255)));
        let tags = elasticache::sdk_tags(&tags::encode(&making.identity, &self.tags));
        let request = aws.elasticache().create_cache_subnet_group().cache_subnet_group_name(&name);
        let request = request.cache_subnet_group_description(&self.description).set_tags(Some(tags));
        let request = request.set_subnet_ids(Some(self.subnet_ids()?));
        match aws.call("elasticache:CreateCacheSubnetGroup", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if rds::exists(&failure) => {
                let group = describe(aws, &name).await?;
                let tags = elasticache::tags_of(aws, group.arn().unwrap_or_default()).await?;
                let found = tags::decode(&tags).map(|tagged| live(&group, tagged));
                adopt::adopt(self, aws, making, (&name, found), "elasticache:CreateCacheSubnetGroup").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.normalize();
        there.normalize();
        if (&wanted.subnets, &wanted.description) != (&there.subnets, &there.description) {
            let request = aws.elasticache().modify_cache_subnet_group().cache_subnet_group_name(&live.id);
            let request = request.cache_subnet_group_description(&self.description);
            let request = request.set_subnet_ids(Some(self.subnet_ids()?));
            aws.call("elasticache:ModifyCacheSubnetGroup", request.send()).await?;
        }
        let encode = |tags| tags::encode(&live.identity, tags);
        elasticache::retag(aws, rds::arn(live)?, &encode(&live.spec.tags), &encode(&self.tags)).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        elasticache::write_tags(aws, rds::arn(live)?, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.elasticache().delete_cache_subnet_group().cache_subnet_group_name(&live.id);
        aws.call("elasticache:DeleteCacheSubnetGroup", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let uses = |one: &CacheCluster| one.cache_subnet_group_name() == Some(&live.id);
        elasticache::users(aws, uses).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let group = describe(aws, id).await?;
        Ok(Progress::ready([("name", id.clone()), ("arn", group.arn().unwrap_or_default().to_owned())]))
    }
}

impl CacheSubnetGroup {
    fn subnet_ids(&self) -> Result<Vec<String>> {
        self.subnets.iter().map(|subnet| Ok(subnet.get()?.clone())).collect()
    }
}

async fn describe(aws: &Aws, name: &str) -> Result<Found> {
    let request = aws.elasticache().describe_cache_subnet_groups().cache_subnet_group_name(name);
    let answer = aws.call("elasticache:DescribeCacheSubnetGroups", request.send()).await?;
    let missing = || Failure::new("elasticache:DescribeCacheSubnetGroups", "CacheSubnetGroupNotFoundFault", name);
    answer.cache_subnet_groups.unwrap_or_default().pop().ok_or_else(|| missing().class(Class::NotFound))
}

fn live(group: &Found, tagged: Tagged) -> Live<CacheSubnetGroup> {
    let name = group.cache_subnet_group_name().unwrap_or_default();
    let subnets = group.subnets().iter().filter_map(|subnet| subnet.subnet_identifier());
    let spec = CacheSubnetGroup {
        name: Some(name.to_owned()),
        description: group.cache_subnet_group_description().unwrap_or_default().to_owned(),
        subnets: subnets.map(Arg::from).collect(),
        tags: tagged.user.clone(),
    };
    Live::new(tagged, name, spec).output("name", name).output("arn", group.arn().unwrap_or_default())
}
