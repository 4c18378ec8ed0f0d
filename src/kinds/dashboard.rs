//! A page of graphs and notes in CloudWatch. It belongs to the account, not to a region.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{adopt, alarms, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::{Unresolved, Value};

const NAME_LIMIT: usize = 255;
/// Widgets on one page.
const WIDGETS: usize = 500;

/// A page of graphs and notes in CloudWatch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// The name in AWS, unique in the account, in all regions: letters, digits, `-` and `_`. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is on it, as CloudWatch's own editor shows it under "View source": `{ widgets: [...] }`.
    #[schemars(schema_with = "anything")]
    pub body: Value,
    #[serde(default)]
    pub tags: Tags,
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": true })
}

impl Kind for Dashboard {
    const NAME: &'static str = "dashboard";
    const RIGHTS: Rights = Rights {
        read: "cloudwatch:GetDashboard cloudwatch:ListDashboards cloudwatch:ListTagsForResource",
        create: "cloudwatch:PutDashboard cloudwatch:TagResource",
        update: "cloudwatch:PutDashboard cloudwatch:TagResource cloudwatch:UntagResource",
        delete: "cloudwatch:DeleteDashboards",
        on: "cloudwatch:dashboard/{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = &self.name {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(allowed) {
                let help = format!("use 1 to {NAME_LIMIT} letters, digits, - and _");
                problems.push(Problem::new("name", format!("`{name}` is no name for a dashboard")).help(help));
            }
        }
        let widgets = match &self.body {
            Value::Map(body) => match body.get("widgets") {
                Some(Value::List(widgets)) => Some(widgets.len()),
                _ => None,
            },
            _ => None,
        };
        if widgets.is_none_or(|count| count > WIDGETS) {
            let help = format!("write `widgets:` with 0 to {WIDGETS} entries");
            problems.push(Problem::new("body", "the body has no list of widgets that CloudWatch takes").help(help));
        }
        problems
    }

    /// Dashboards belong to no region, so that no region's index is sure to know them: their names find them.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let index = tagging::index(aws, scope).await?;
        let mut names: BTreeSet<String> = prefixed(aws, &scope.prefix()).await?.into_iter().collect();
        names.extend(index.keys().filter_map(|arn| Some(arn.split_once(":dashboard/")?.1.to_owned())));
        let chosen = scope.names.iter().filter(|(address, _)| address.kind == Self::NAME);
        names.extend(chosen.map(|(_, name)| name.clone()));
        let found = try_join_all(names.iter().map(|name| read(aws, name))).await?;
        Ok(found.into_iter().flatten().filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| generated_name(&making.identity));
        // AWS overwrites a dashboard that bears the name, whosever it is, and leaves its tags alone.
        if body(aws, &name).await?.is_some() {
            let found = read(aws, &name).await?;
            return adopt::adopt(self, aws, making, (&name, found), "cloudwatch:PutDashboard").await;
        }
        let tags = alarms::sdk_tags(&tags::encode(&making.identity, &self.tags));
        self.put(aws, &name, Some(tags)).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        if self.body != live.spec.body {
            self.put(aws, &live.id, None).await?;
        }
        let change = tags::change(&live.identity, &live.spec.tags, &self.tags);
        match live.outputs.get("arn") {
            Some(arn) => alarms::retag(aws, arn, change).await,
            None => Ok(()),
        }
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        match live.outputs.get("arn") {
            Some(arn) => alarms::retag(aws, arn, (set.clone(), gone.to_vec())).await,
            None => Ok(()),
        }
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.cloudwatch().delete_dashboards().dashboard_names(&live.id);
        aws.call("cloudwatch:DeleteDashboards", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let found = body(aws, id).await?;
        Ok(found.map_or(Progress::Gone, |(arn, _)| Progress::ready([("arn", arn), ("name", id.clone())])))
    }
}

impl Dashboard {
    async fn put(&self, aws: &Aws, name: &str, tags: Option<Vec<aws_sdk_cloudwatch::types::Tag>>) -> Result<()> {
        if let Some(output) = self.body.references().first() {
            return Err(Unresolved(output.to_string()).into());
        }
        let body = serde_json::Value::from(&self.body).to_string();
        let request = aws.cloudwatch().put_dashboard().dashboard_name(name).dashboard_body(body).set_tags(tags);
        aws.call("cloudwatch:PutDashboard", request.send()).await.map(drop)
    }
}

fn generated_name(identity: &Identity) -> String {
    identity.aws_name(NAME_LIMIT)
}

async fn prefixed(aws: &Aws, prefix: &str) -> Result<Vec<String>> {
    let request = aws.cloudwatch().list_dashboards().dashboard_name_prefix(prefix);
    let pages = request.into_paginator().send();
    let pages = aws.call("cloudwatch:ListDashboards", pages.collect::<Result<Vec<_>, _>>()).await?;
    let entries = pages.into_iter().flat_map(|page| page.dashboard_entries.unwrap_or_default());
    Ok(entries.filter_map(|entry| entry.dashboard_name).collect())
}

/// The ARN and the text of a dashboard, where there is one.
async fn body(aws: &Aws, name: &str) -> Result<Option<(String, String)>> {
    let request = aws.cloudwatch().get_dashboard().dashboard_name(name);
    match aws.call("cloudwatch:GetDashboard", request.send()).await {
        Ok(answer) => Ok(Some((answer.dashboard_arn.unwrap_or_default(), answer.dashboard_body.unwrap_or_default()))),
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn read(aws: &Aws, name: &str) -> Result<Option<Live<Dashboard>>> {
    let Some((arn, text)) = body(aws, name).await? else { return Ok(None) };
    let tagged = alarms::tags(aws, &arn).await?.and_then(|tags| aws.tagged(&tags));
    let Some(tagged) = tagged else { return Ok(None) };
    let body: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        Failure::new("cloudwatch:GetDashboard", "NotJson", format!("the dashboard {name}: {error}"))
    })?;
    let spec = Dashboard { name: Some(name.to_owned()), body: body.into(), tags: tagged.user.clone() };
    Ok(Some(Live::new(tagged, name, spec).output("arn", arn).output("name", name)))
}
