//! A view of X-Ray on the traces of some services.

use aws_sdk_xray::types::{GroupSummary, InsightsConfiguration};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, tagging, xray};
use crate::aws::Aws;
use crate::kind::{Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};

/// The longest filter expression.
const EXPRESSION_LIMIT: usize = 2000;

/// The traces that a filter finds, with a service map and metrics of their own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceGroup {
    /// The name in AWS, unique in the region. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which traces: `service("api") AND fault = true`.
    pub filter_expression: String,
    /// Whether X-Ray looks for anomalies. It costs extra.
    #[serde(default)]
    pub insights: bool,
    /// Whether it sends them as events.
    #[serde(default)]
    pub notifications: bool,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for TraceGroup {
    const NAME: &'static str = "trace_group";
    const RIGHTS: Rights = Rights {
        read: "xray:GetGroups xray:ListTagsForResource",
        create: "xray:CreateGroup xray:TagResource",
        update: "xray:TagResource xray:UntagResource xray:UpdateGroup",
        delete: "xray:DeleteGroup",
        on: "xray:group/{name}/*",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.name.iter().filter_map(|name| xray::check_name(name)).collect();
        let length = self.filter_expression.len();
        if !(1..=EXPRESSION_LIMIT).contains(&length) {
            let message = format!("a filter has 1 to {EXPRESSION_LIMIT} characters, and this one has {length}");
            problems.push(Problem::new("filter_expression", message).help("write `service(\"api\")`"));
        }
        if self.notifications && !self.insights {
            let help = "write `insights: true`, or leave out `notifications`";
            problems.push(Problem::new("notifications", "there are no insights to tell of").help(help));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":xray:").await? {
            return Ok(Vec::new());
        }
        let (all, index) = tokio::try_join!(groups(aws), tagging::index(aws, scope))?;
        let candidates = all.iter().filter(|group| {
            let named = (group.group_arn().unwrap_or_default(), group.group_name().unwrap_or_default());
            tagging::candidate(&index, scope, Self::NAME, named, xray::NAME_LIMIT)
        });
        let found = try_join_all(candidates.map(|group| read(aws, group))).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(xray::NAME_LIMIT));
        // The refusal of a second group of one name has no code of its own.
        if let Some(group) = look(aws, &name).await? {
            let found = read(aws, &group).await?;
            return adopt::adopt(self, aws, making, (&name, found), "xray:CreateGroup").await;
        }
        let request = aws.xray().create_group().group_name(&name).filter_expression(&self.filter_expression);
        let request = request.insights_configuration(self.insights());
        let request = request.set_tags(Some(xray::sdk_tags(tags::encode(&making.identity, &self.tags))?));
        aws.call("xray:CreateGroup", request.send()).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let there = &live.spec;
        let wanted = (&self.filter_expression, self.insights, self.notifications);
        if wanted != (&there.filter_expression, there.insights, there.notifications) {
            let request = aws.xray().update_group().group_name(&live.id).filter_expression(&self.filter_expression);
            let request = request.insights_configuration(self.insights());
            aws.call("xray:UpdateGroup", request.send()).await?;
        }
        xray::retag(aws, &live.outputs, tags::change(&live.identity, &there.tags, &self.tags)).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        xray::retag(aws, &live.outputs, (set.clone(), gone.to_vec())).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        if look(aws, &live.id).await?.is_none() {
            return Ok(());
        }
        let request = aws.xray().delete_group().group_name(&live.id);
        aws.call("xray:DeleteGroup", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let ready = |group: GroupSummary| {
            let arn = group.group_arn().unwrap_or_default().to_owned();
            Progress::ready([("arn", arn), ("name", id.clone())])
        };
        Ok(look(aws, id).await?.map_or(Progress::Gone, ready))
    }
}

impl TraceGroup {
    fn insights(&self) -> InsightsConfiguration {
        let insights = InsightsConfiguration::builder().insights_enabled(self.insights);
        insights.notifications_enabled(self.notifications).build()
    }
}

async fn groups(aws: &Aws) -> Result<Vec<GroupSummary>> {
    let pages = aws.xray().get_groups().into_paginator().items().send();
    aws.call("xray:GetGroups", pages.collect::<Result<Vec<_>, _>>()).await
}

async fn look(aws: &Aws, name: &str) -> Result<Option<GroupSummary>> {
    Ok(groups(aws).await?.into_iter().find(|group| group.group_name() == Some(name)))
}

/// The group as ours, where its tags say so. The index's own tags may be old.
async fn read(aws: &Aws, group: &GroupSummary) -> Result<Option<Live<TraceGroup>>> {
    let (arn, name) = (group.group_arn().unwrap_or_default(), group.group_name().unwrap_or_default());
    let Some(tagged) = xray::tagged(aws, arn).await? else { return Ok(None) };
    let insights = group.insights_configuration();
    let spec = TraceGroup {
        name: Some(name.to_owned()),
        filter_expression: group.filter_expression().unwrap_or_default().to_owned(),
        insights: insights.and_then(|insights| insights.insights_enabled()).unwrap_or_default(),
        notifications: insights.and_then(|insights| insights.notifications_enabled()).unwrap_or_default(),
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, name, spec).output("arn", arn).output("name", name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let json = serde_json::json!({ "filter_expression": "service(\"api\")" });
        let group: TraceGroup = serde_json::from_value(json).unwrap();
        assert_eq!(group.check(), []);
        let wrong = TraceGroup { name: Some("Default".into()), notifications: true, ..group };
        let paths: Vec<_> = wrong.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["name", "notifications"]);
    }
}
