//! A namespace in which services find each other by name: Cloud Map, as ECS Service Connect uses it.

use aws_sdk_servicediscovery::types::{
    FilterCondition, HttpNamespaceChange, NamespaceFilter, NamespaceFilterName, NamespaceSummary, NamespaceType,
    ServiceFilter, ServiceFilterName, ServiceSummary, Tag,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, tagging};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};

/// The longest name of an HTTP namespace.
const NAME_LIMIT: usize = 1024;

/// A namespace in which services find each other by name, without DNS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// The name in AWS, unique in the region. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for Namespace {
    const NAME: &'static str = "namespace";
    const RIGHTS: Rights = Rights {
        read: "servicediscovery:ListNamespaces servicediscovery:ListTagsForResource",
        create: "servicediscovery:CreateHttpNamespace servicediscovery:TagResource",
        update: "servicediscovery:TagResource servicediscovery:UntagResource servicediscovery:UpdateHttpNamespace",
        delete: "servicediscovery:DeleteNamespace",
        tells: "servicediscovery:ListServices",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "id", "name"];
    const HELD_BY: &'static [&'static str] = &["ecs_service"];

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let letters = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if let Some(name) = self.name.as_ref().filter(|name| !name.chars().all(letters) || name.len() > NAME_LIMIT) {
            let help = format!("use up to {NAME_LIMIT} letters, digits, hyphens, underscores and dots");
            problems.push(Problem::new("name", format!("`{name}` is no name for a namespace")).help(help));
        }
        if self.description.len() > 1024 {
            problems.push(Problem::new("description", "the description has more than 1024 characters"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":servicediscovery:").await? {
            return Ok(Vec::new());
        }
        let (all, index) = tokio::try_join!(namespaces(aws, None), tagging::index(aws, scope))?;
        let candidates = all.iter().filter(|found| {
            let (arn, name) = (found.arn().unwrap_or_default(), found.name().unwrap_or_default());
            tagging::candidate(&index, scope, Self::NAME, (arn, name), NAME_LIMIT)
        });
        let found = try_join_all(candidates.map(|found| read(aws, found))).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    /// AWS makes it in its own time, and tells the id afterwards; until then the name stands for it.
    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let request = aws.namespaces().create_http_namespace().name(&name).creator_request_id(&making.token);
        let request = request.set_description(Some(self.description.clone()).filter(|text| !text.is_empty()));
        let request = request.set_tags(Some(sdk_tags(tags::encode(&making.identity, &self.tags))?));
        match aws.call("servicediscovery:CreateHttpNamespace", request.send()).await {
            Ok(_) => Ok(name),
            // The answer to the first try was lost.
            Err(failure) if failure.code == "DuplicateRequest" => Ok(name),
            Err(failure) if failure.code == "NamespaceAlreadyExists" => {
                let found = match look(aws, &name).await? {
                    Some(found) => read(aws, &found).await?,
                    None => None,
                };
                adopt::adopt(self, aws, making, (&name, found), "servicediscovery:CreateHttpNamespace").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        if self.description != live.spec.description {
            let change = HttpNamespaceChange::builder().description(&self.description).build();
            let change = change.map_err(|error| invalid(&error))?;
            let request = aws.namespaces().update_http_namespace().id(output(live, "id")).namespace(change);
            aws.call("servicediscovery:UpdateHttpNamespace", request.send()).await?;
        }
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        Self::tag(aws, live, &set, &gone).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        let arn = output(live, "arn");
        if !set.is_empty() {
            let request = aws.namespaces().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set.clone())?));
            aws.call("servicediscovery:TagResource", request.send()).await?;
        }
        if !gone.is_empty() {
            let request = aws.namespaces().untag_resource().resource_arn(arn).set_tag_keys(Some(gone.to_vec()));
            aws.call("servicediscovery:UntagResource", request.send()).await?;
        }
        Ok(())
    }

    /// ECS takes its own services out of the namespace when they are gone; until then AWS says that it is in use.
    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.namespaces().delete_namespace().id(output(live, "id"));
        match aws.call("servicediscovery:DeleteNamespace", request.send()).await {
            // An earlier delete of it is under way.
            Err(failure) if failure.code == "DuplicateRequest" => Ok(()),
            other => other.map(drop),
        }
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        let within = ServiceFilter::builder().name(ServiceFilterName::NamespaceId).values(output(live, "id")).build();
        let within = within.map_err(|error| invalid(&error))?;
        let request = aws.namespaces().list_services().filters(within);
        let answer = aws.call("servicediscovery:ListServices", request.send()).await?;
        let named = |one: &ServiceSummary| Blocker::tagged("service", one.id(), one.name(), &Tags::new());
        Ok(answer.services().iter().map(named).collect())
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let ready = |found: &NamespaceSummary| {
            let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
            Progress::ready([("arn", text(found.arn())), ("id", text(found.id())), ("name", id.clone())])
        };
        Ok(look(aws, id).await?.as_ref().map_or(Progress::Gone, ready))
    }
}

fn output<'a>(live: &'a Live<Namespace>, name: &str) -> &'a str {
    live.outputs.get(name).map(String::as_str).unwrap_or_default()
}

fn invalid(error: &impl ToString) -> Failure {
    Failure::new("servicediscovery", "InvalidRequest", error.to_string())
}

fn sdk_tags(tags: Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().map_err(|error| invalid(&error));
    tags.into_iter().map(tag).collect()
}

/// The HTTP namespaces of the region, or those of them with one name.
async fn namespaces(aws: &Aws, name: Option<&str>) -> Result<Vec<NamespaceSummary>> {
    let filter = |by, value: &str| {
        let filter = NamespaceFilter::builder().name(by).values(value).condition(FilterCondition::Eq).build();
        filter.map_err(|error| invalid(&error))
    };
    let mut filters = vec![filter(NamespaceFilterName::Type, NamespaceType::Http.as_str())?];
    if let Some(name) = name {
        filters.push(filter(NamespaceFilterName::Name, name)?);
    }
    let pages = aws.namespaces().list_namespaces().set_filters(Some(filters)).into_paginator().send();
    let pages = aws.call("servicediscovery:ListNamespaces", pages.collect::<Result<Vec<_>, _>>()).await?;
    Ok(pages.into_iter().flat_map(|page| page.namespaces.unwrap_or_default()).collect())
}

async fn look(aws: &Aws, name: &str) -> Result<Option<NamespaceSummary>> {
    Ok(namespaces(aws, Some(name)).await?.into_iter().find(|found| found.name() == Some(name)))
}

/// The namespace as ours, where its tags say so. The index's own tags may be old.
async fn read(aws: &Aws, found: &NamespaceSummary) -> Result<Option<Live<Namespace>>> {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let (arn, id, name) = (text(found.arn()), text(found.id()), text(found.name()));
    let request = aws.namespaces().list_tags_for_resource().resource_arn(&arn);
    let tags = match aws.call("servicediscovery:ListTagsForResource", request.send()).await {
        Ok(answer) => answer.tags.unwrap_or_default(),
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let tags: Tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let description = text(found.description());
    let spec = Namespace { name: Some(name.clone()), description, tags: tagged.user.clone() };
    Ok(Some(Live::new(tagged, name.clone(), spec).output("arn", arn).output("id", id).output("name", name)))
}
