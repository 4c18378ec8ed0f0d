//! Settings of a database engine that differ from its defaults.

use std::collections::BTreeMap;

use aws_sdk_rds::types::{ApplyMethod, DbInstance, DbParameterGroup as Found, Filter, Parameter};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, rds};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};

/// Parameters that one request may change.
const AT_ONCE: usize = 20;

/// Settings of a database engine that differ from its defaults.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DbParameterGroup {
    /// The name in AWS, in lower case. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The engine with its major version, as in `postgres15` or `mysql8.0`.
    pub family: String,
    #[serde(default = "description")]
    pub description: String,
    /// Values by the parameter's name, in the spelling of RDS: `"1"` for a switch that is on. What is not here has the
    /// engine's default. A static parameter takes effect when the instance restarts.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: Tags,
}

fn description() -> String {
    "Managed by infra".to_owned()
}

impl Kind for DbParameterGroup {
    const NAME: &'static str = "db_parameter_group";
    const RIGHTS: Rights = Rights {
        read: "rds:DescribeDBParameterGroups rds:DescribeDBParameters rds:ListTagsForResource",
        create: "rds:AddTagsToResource rds:CreateDBParameterGroup",
        update: "rds:AddTagsToResource rds:ModifyDBParameterGroup rds:RemoveTagsFromResource \
            rds:ResetDBParameterGroup",
        delete: "rds:DeleteDBParameterGroup",
        on: "rds:pg:{name}",
        tells: "rds:DescribeDBInstances",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "family", "description"];
    const CREATE_FIRST: bool = true;
    const HELD_BY: &'static [&'static str] = &["db_instance"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["name", "arn"];

    fn shell(&self) -> Self {
        Self { parameters: BTreeMap::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.name.iter().filter_map(|name| rds::check_name(name, 255)).collect();
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if self.family.is_empty() || !self.family.chars().all(lower) {
            let help = "write the engine and its major version, as in `postgres15`";
            problems.push(Problem::new("family", format!("`{}` is not a family", self.family)).help(help));
        }
        if self.description.is_empty() || self.description.len() > 255 {
            problems.push(Problem::new("description", "a description has 1 to 255 characters"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let pages = aws.rds().describe_db_parameter_groups().into_paginator().items().send();
        let all = aws.call("rds:DescribeDBParameterGroups", pages.collect::<Result<Vec<_>, _>>()).await?;
        let found =
            rds::candidates(aws, scope, all, |group| (group.db_parameter_group_arn(), group.db_parameter_group_name()));
        let reads = found.await?.into_iter().map(async |group| {
            let tags = rds::tags_of(aws, group.db_parameter_group_arn().unwrap_or_default()).await?;
            match scope.tagged(aws, Self::NAME, &tags) {
                Some(tagged) => live(aws, &group, tagged).await.map(Some),
                None => Ok(None),
            }
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let replacing = format!("{} {}", self.family, self.description);
        let generated = || rds::hyphens(&making.identity.versioned_name(&replacing, 255));
        let name = self.name.clone().unwrap_or_else(generated);
        let tags = rds::sdk_tags(&tags::encode(&making.identity, &self.tags));
        let request = aws.rds().create_db_parameter_group().db_parameter_group_name(&name).set_tags(Some(tags));
        let request = request.db_parameter_group_family(&self.family).description(&self.description);
        match aws.call("rds:CreateDBParameterGroup", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if rds::exists(&failure) => {
                let group = describe(aws, &name).await?;
                let tags = rds::tags_of(aws, group.db_parameter_group_arn().unwrap_or_default()).await?;
                let found = match tags::decode(&tags) {
                    Some(tagged) => Some(live(aws, &group, tagged).await?),
                    None => None,
                };
                adopt::adopt(self, aws, making, (&name, found), "rds:CreateDBParameterGroup").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let before = &live.spec.parameters;
        let changed = self.parameters.iter().filter(|(name, value)| before.get(*name) != Some(value));
        let changed: Vec<_> = changed.map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect();
        for some in changed.chunks(AT_ONCE) {
            let parameters = parameters(aws, &live.id, some).await?;
            let request = aws.rds().modify_db_parameter_group().db_parameter_group_name(&live.id);
            let request = request.set_parameters(Some(parameters));
            aws.call("rds:ModifyDBParameterGroup", request.send()).await?;
        }
        let gone = before.keys().filter(|name| !self.parameters.contains_key(*name));
        let gone: Vec<_> = gone.map(|name| (name.as_str(), None)).collect();
        for some in gone.chunks(AT_ONCE) {
            let parameters = parameters(aws, &live.id, some).await?;
            let request = aws.rds().reset_db_parameter_group().db_parameter_group_name(&live.id);
            let request = request.reset_all_parameters(false).set_parameters(Some(parameters));
            aws.call("rds:ResetDBParameterGroup", request.send()).await?;
        }
        let encode = |tags| tags::encode(&live.identity, tags);
        rds::retag(aws, rds::arn(live)?, &encode(&live.spec.tags), &encode(&self.tags)).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        rds::write_tags(aws, rds::arn(live)?, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.rds().delete_db_parameter_group().db_parameter_group_name(&live.id);
        aws.call("rds:DeleteDBParameterGroup", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let uses = |one: &DbInstance| {
            one.db_parameter_groups().iter().any(|group| group.db_parameter_group_name() == Some(&live.id))
        };
        rds::users(aws, uses).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let group = describe(aws, id).await?;
        let arn = group.db_parameter_group_arn().unwrap_or_default();
        Ok(Progress::ready([("name", id.clone()), ("arn", arn.to_owned())]))
    }
}

/// Parameters of a request. AWS takes a dynamic one at once, and refuses that for a static one, so each is looked up.
async fn parameters(aws: &Aws, group: &str, values: &[(&str, Option<&str>)]) -> Result<Vec<Parameter>> {
    let names = values.iter().map(|(name, _)| (*name).to_owned()).collect();
    let only = Filter::builder().name("parameter-name").set_values(Some(names)).build();
    let request = aws.rds().describe_db_parameters().db_parameter_group_name(group).filters(only);
    let pages = request.into_paginator().items().send();
    let known = aws.call("rds:DescribeDBParameters", pages.collect::<Result<Vec<_>, _>>()).await?;
    let dynamic = |name: &str| {
        let known = known.iter().find(|parameter| parameter.parameter_name() == Some(name));
        known.and_then(Parameter::apply_type) == Some("dynamic")
    };
    let parameter = |(name, value): &(&str, Option<&str>)| {
        let method = if dynamic(name) { ApplyMethod::Immediate } else { ApplyMethod::PendingReboot };
        let value = value.map(str::to_owned);
        Parameter::builder().parameter_name(*name).set_parameter_value(value).apply_method(method).build()
    };
    Ok(values.iter().map(parameter).collect())
}

async fn describe(aws: &Aws, name: &str) -> Result<Found> {
    let request = aws.rds().describe_db_parameter_groups().db_parameter_group_name(name);
    let answer = aws.call("rds:DescribeDBParameterGroups", request.send()).await?;
    let missing = || Failure::new("rds:DescribeDBParameterGroups", "DBParameterGroupNotFound", name);
    answer.db_parameter_groups.unwrap_or_default().pop().ok_or_else(|| missing().class(Class::NotFound))
}

async fn live(aws: &Aws, group: &Found, tagged: Tagged) -> Result<Live<DbParameterGroup>> {
    let name = group.db_parameter_group_name().unwrap_or_default();
    let request = aws.rds().describe_db_parameters().db_parameter_group_name(name).source("user");
    let pages = request.into_paginator().items().send();
    let parameters = aws.call("rds:DescribeDBParameters", pages.collect::<Result<Vec<_>, _>>()).await?;
    let pair =
        |parameter: &Parameter| Some((parameter.parameter_name()?.to_owned(), parameter.parameter_value()?.to_owned()));
    let spec = DbParameterGroup {
        name: Some(name.to_owned()),
        family: group.db_parameter_group_family().unwrap_or_default().to_owned(),
        description: group.description().unwrap_or_default().to_owned(),
        parameters: parameters.iter().filter_map(pair).collect(),
        tags: tagged.user.clone(),
    };
    let arn = group.db_parameter_group_arn().unwrap_or_default();
    Ok(Live::new(tagged, name, spec).output("name", name).output("arn", arn))
}
