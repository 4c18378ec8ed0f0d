//! Settings of a cache engine that differ from its defaults.

use std::collections::BTreeMap;

use aws_sdk_elasticache::types::{CacheCluster, CacheParameterGroup as Found, Parameter, ParameterNameValue};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, elasticache, rds, tagging};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};

/// Parameters that one request may change.
const AT_ONCE: usize = 20;

/// Settings of a cache engine that differ from its defaults.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheParameterGroup {
    /// The name in AWS, in lower case. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The engine with its major version, as in `valkey8`, `redis7` or `redis6.x`.
    pub family: String,
    #[serde(default = "description")]
    pub description: String,
    /// Values by the parameter's name, in the spelling of ElastiCache: `yes` for a switch that is on. What is not here
    /// has the engine's default.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: Tags,
}

fn description() -> String {
    "Managed by infra".to_owned()
}

impl Kind for CacheParameterGroup {
    const NAME: &'static str = "cache_parameter_group";
    const RIGHTS: Rights = Rights {
        read: "elasticache:DescribeCacheParameterGroups elasticache:DescribeCacheParameters \
            elasticache:ListTagsForResource",
        create: "elasticache:AddTagsToResource elasticache:CreateCacheParameterGroup",
        update: "elasticache:AddTagsToResource elasticache:RemoveTagsFromResource \
            elasticache:ModifyCacheParameterGroup elasticache:ResetCacheParameterGroup",
        delete: "elasticache:DeleteCacheParameterGroup",
        tells: "elasticache:DescribeCacheClusters",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "family", "description"];
    const CREATE_FIRST: bool = true;
    const HELD_BY: &'static [&'static str] = &["replication_group"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["name", "arn"];

    fn shell(&self) -> Self {
        Self { parameters: BTreeMap::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.name.iter().filter_map(|name| elasticache::check_name(name, 255)).collect();
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
        if self.family.is_empty() || !self.family.chars().all(lower) {
            let help = "write the engine and its major version, as in `valkey8`";
            problems.push(Problem::new("family", format!("`{}` is not a family", self.family)).help(help));
        }
        if self.description.is_empty() || self.description.len() > 255 {
            problems.push(Problem::new("description", "a description has 1 to 255 characters"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":parametergroup:").await? {
            return Ok(Vec::new());
        }
        let pages = aws.elasticache().describe_cache_parameter_groups().into_paginator().items().send();
        let all = aws.call("elasticache:DescribeCacheParameterGroups", pages.collect::<Result<Vec<_>, _>>()).await?;
        let candidates = elasticache::Candidates::of(aws, scope, Self::NAME, 255).await?;
        let found = all.iter().filter(|group| candidates.has(group.arn(), group.cache_parameter_group_name()));
        let reads = found.map(async |group| {
            let tags = elasticache::tags_of(aws, group.arn().unwrap_or_default()).await?;
            match scope.tagged(aws, Self::NAME, &tags) {
                Some(tagged) => live(aws, group, tagged).await.map(Some),
                None => Ok(None),
            }
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let replacing = format!("{} {}", self.family, self.description);
        let generated = || elasticache::generated(&making.identity.versioned_name(&replacing, 255));
        let name = self.name.clone().unwrap_or_else(generated);
        let tags = elasticache::sdk_tags(&tags::encode(&making.identity, &self.tags));
        let request = aws.elasticache().create_cache_parameter_group().cache_parameter_group_name(&name);
        let request = request.cache_parameter_group_family(&self.family).description(&self.description);
        match aws.call("elasticache:CreateCacheParameterGroup", request.set_tags(Some(tags)).send()).await {
            Ok(_) => Ok(name),
            Err(failure) if rds::exists(&failure) => {
                let group = describe(aws, &name).await?;
                let tags = elasticache::tags_of(aws, group.arn().unwrap_or_default()).await?;
                let found = match tags::decode(&tags) {
                    Some(tagged) => Some(live(aws, &group, tagged).await?),
                    None => None,
                };
                adopt::adopt(self, aws, making, (&name, found), "elasticache:CreateCacheParameterGroup").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let before = &live.spec.parameters;
        let pair = |name: &String, value: Option<&String>| {
            ParameterNameValue::builder().parameter_name(name).set_parameter_value(value.cloned()).build()
        };
        let changed = self.parameters.iter().filter(|(name, value)| before.get(*name) != Some(value));
        let changed: Vec<_> = changed.map(|(name, value)| pair(name, Some(value))).collect();
        for some in changed.chunks(AT_ONCE) {
            let request = aws.elasticache().modify_cache_parameter_group().cache_parameter_group_name(&live.id);
            let request = request.set_parameter_name_values(Some(some.to_vec()));
            aws.call("elasticache:ModifyCacheParameterGroup", request.send()).await?;
        }
        let gone = before.keys().filter(|name| !self.parameters.contains_key(*name));
        let gone: Vec<_> = gone.map(|name| pair(name, None)).collect();
        for some in gone.chunks(AT_ONCE) {
            let request = aws.elasticache().reset_cache_parameter_group().cache_parameter_group_name(&live.id);
            let request = request.reset_all_parameters(false).set_parameter_name_values(Some(some.to_vec()));
            aws.call("elasticache:ResetCacheParameterGroup", request.send()).await?;
        }
        let encode = |tags| tags::encode(&live.identity, tags);
        elasticache::retag(aws, rds::arn(live)?, &encode(&live.spec.tags), &encode(&self.tags)).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        elasticache::write_tags(aws, rds::arn(live)?, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.elasticache().delete_cache_parameter_group().cache_parameter_group_name(&live.id);
        aws.call("elasticache:DeleteCacheParameterGroup", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let uses = |one: &CacheCluster| {
            one.cache_parameter_group().and_then(|group| group.cache_parameter_group_name()) == Some(&live.id)
        };
        elasticache::users(aws, uses).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let group = describe(aws, id).await?;
        Ok(Progress::ready([("name", id.clone()), ("arn", group.arn().unwrap_or_default().to_owned())]))
    }
}

async fn describe(aws: &Aws, name: &str) -> Result<Found> {
    let request = aws.elasticache().describe_cache_parameter_groups().cache_parameter_group_name(name);
    let answer = aws.call("elasticache:DescribeCacheParameterGroups", request.send()).await?;
    let missing = || Failure::new("elasticache:DescribeCacheParameterGroups", "CacheParameterGroupNotFound", name);
    answer.cache_parameter_groups.unwrap_or_default().pop().ok_or_else(|| missing().class(Class::NotFound))
}

async fn live(aws: &Aws, group: &Found, tagged: Tagged) -> Result<Live<CacheParameterGroup>> {
    let name = group.cache_parameter_group_name().unwrap_or_default();
    let request = aws.elasticache().describe_cache_parameters().cache_parameter_group_name(name).source("user");
    let pages = request.into_paginator().send();
    let pages = aws.call("elasticache:DescribeCacheParameters", pages.collect::<Result<Vec<_>, _>>()).await?;
    let pair =
        |parameter: &Parameter| Some((parameter.parameter_name()?.to_owned(), parameter.parameter_value()?.to_owned()));
    let spec = CacheParameterGroup {
        name: Some(name.to_owned()),
        family: group.cache_parameter_group_family().unwrap_or_default().to_owned(),
        description: group.description().unwrap_or_default().to_owned(),
        parameters: pages.iter().flat_map(|page| page.parameters()).filter_map(pair).collect(),
        tags: tagged.user.clone(),
    };
    Ok(Live::new(tagged, name, spec).output("name", name).output("arn", group.arn().unwrap_or_default()))
}
