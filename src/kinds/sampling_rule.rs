//! Which requests X-Ray records.

use std::collections::BTreeMap;

use aws_sdk_xray::types::{SamplingRule as Found, SamplingRuleUpdate};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, tagging, xray};
use crate::aws::Aws;
use crate::kind::{Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};

/// Says which requests are recorded: some each second, and a share of the rest. Of several rules that fit, the one with
/// the lowest priority counts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplingRule {
    /// The name in AWS, unique in the region. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// 1 to 9999; the lowest is tried first.
    pub priority: u16,
    /// The share of requests beyond the reservoir: 0.05 are five percent.
    pub fixed_rate: f64,
    /// Requests each second that are recorded before the share counts.
    pub reservoir_size: u32,
    /// The names that services give themselves; `*` and `?` stand for anything.
    #[serde(default = "any")]
    pub service_name: String,
    /// What services run on, as in `AWS::ECS::Container`.
    #[serde(default = "any")]
    pub service_type: String,
    #[serde(default = "any")]
    pub host: String,
    #[serde(default = "any")]
    pub http_method: String,
    #[serde(default = "any")]
    pub url_path: String,
    #[serde(default = "any")]
    pub resource_arn: String,
    /// Attributes of requests and the values that they must have.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: Tags,
}

fn any() -> String {
    "*".to_owned()
}

impl Kind for SamplingRule {
    const NAME: &'static str = "sampling_rule";
    const RIGHTS: Rights = Rights {
        read: "xray:GetSamplingRules xray:ListTagsForResource",
        create: "xray:CreateSamplingRule xray:TagResource",
        update: "xray:TagResource xray:UntagResource xray:UpdateSamplingRule",
        delete: "xray:DeleteSamplingRule",
        on: "xray:sampling-rule/{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.name.iter().filter_map(|name| xray::check_name(name)).collect();
        if !(1..=9999).contains(&self.priority) {
            let message = format!("{} is outside 1 to 9999", self.priority);
            problems.push(Problem::new("priority", message).help("the rule `Default` of AWS itself has 10000"));
        }
        if !(0.0..=1.0).contains(&self.fixed_rate) {
            let message = format!("{} is no share", self.fixed_rate);
            problems.push(Problem::new("fixed_rate", message).help("write `0.05` for five percent"));
        }
        if self.attributes.len() > 5 {
            problems.push(Problem::new("attributes", "a rule takes at most 5 attributes"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":sampling-rule/").await? {
            return Ok(Vec::new());
        }
        let (all, index) = tokio::try_join!(rules(aws), tagging::index(aws, scope))?;
        let candidates = all.iter().filter(|rule| {
            let named = (rule.rule_arn().unwrap_or_default(), rule.rule_name().unwrap_or_default());
            tagging::candidate(&index, scope, Self::NAME, named, xray::NAME_LIMIT)
        });
        let found = try_join_all(candidates.map(|rule| read(aws, rule))).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(xray::NAME_LIMIT));
        // The refusal of a second rule of one name has no code of its own.
        if let Some(rule) = look(aws, &name).await? {
            let found = read(aws, &rule).await?;
            return adopt::adopt(self, aws, making, (&name, found), "xray:CreateSamplingRule").await;
        }
        let rule = Found::builder()
            .rule_name(&name)
            .version(1)
            .priority(self.priority.into())
            .fixed_rate(self.fixed_rate)
            .reservoir_size(number(self.reservoir_size))
            .service_name(&self.service_name)
            .service_type(&self.service_type)
            .host(&self.host)
            .http_method(&self.http_method)
            .url_path(&self.url_path)
            .resource_arn(&self.resource_arn)
            .set_attributes(Some(self.attributes.clone().into_iter().collect()))
            .build();
        let request = aws.xray().create_sampling_rule().sampling_rule(rule.map_err(|error| xray::invalid(&error))?);
        let request = request.set_tags(Some(xray::sdk_tags(tags::encode(&making.identity, &self.tags))?));
        aws.call("xray:CreateSamplingRule", request.send()).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let there = &live.spec;
        let (wanted, is) = (self.without_tags(), there.without_tags());
        if wanted != is {
            let change = SamplingRuleUpdate::builder()
                .rule_name(&live.id)
                .priority(self.priority.into())
                .fixed_rate(self.fixed_rate)
                .reservoir_size(number(self.reservoir_size))
                .service_name(&self.service_name)
                .service_type(&self.service_type)
                .host(&self.host)
                .http_method(&self.http_method)
                .url_path(&self.url_path)
                .resource_arn(&self.resource_arn)
                .set_attributes(Some(self.attributes.clone().into_iter().collect()));
            let request = aws.xray().update_sampling_rule().sampling_rule_update(change.build());
            aws.call("xray:UpdateSamplingRule", request.send()).await?;
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
        let request = aws.xray().delete_sampling_rule().rule_name(&live.id);
        aws.call("xray:DeleteSamplingRule", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let ready = |rule: Found| {
            let arn = rule.rule_arn().unwrap_or_default().to_owned();
            Progress::ready([("arn", arn), ("name", id.clone())])
        };
        Ok(look(aws, id).await?.map_or(Progress::Gone, ready))
    }
}

impl SamplingRule {
    fn without_tags(&self) -> impl PartialEq + use<> {
        let texts = [&self.service_name, &self.service_type, &self.host, &self.http_method, &self.url_path];
        let texts = texts.map(Clone::clone);
        (self.priority, self.fixed_rate, self.reservoir_size, texts, self.resource_arn.clone(), self.attributes.clone())
    }
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

async fn rules(aws: &Aws) -> Result<Vec<Found>> {
    let pages = aws.xray().get_sampling_rules().into_paginator().items().send();
    let records = aws.call("xray:GetSamplingRules", pages.collect::<Result<Vec<_>, _>>()).await?;
    Ok(records.into_iter().filter_map(|record| record.sampling_rule).collect())
}

async fn look(aws: &Aws, name: &str) -> Result<Option<Found>> {
    Ok(rules(aws).await?.into_iter().find(|rule| rule.rule_name() == Some(name)))
}

/// The rule as ours, where its tags say so. The index's own tags may be old.
async fn read(aws: &Aws, rule: &Found) -> Result<Option<Live<SamplingRule>>> {
    let (arn, name) = (rule.rule_arn().unwrap_or_default(), rule.rule_name().unwrap_or_default());
    let Some(tagged) = xray::tagged(aws, arn).await? else { return Ok(None) };
    let spec = SamplingRule {
        name: Some(name.to_owned()),
        priority: u16::try_from(rule.priority()).unwrap_or_default(),
        fixed_rate: rule.fixed_rate(),
        reservoir_size: u32::try_from(rule.reservoir_size()).unwrap_or_default(),
        service_name: rule.service_name().to_owned(),
        service_type: rule.service_type().to_owned(),
        host: rule.host().to_owned(),
        http_method: rule.http_method().to_owned(),
        url_path: rule.url_path().to_owned(),
        resource_arn: rule.resource_arn().to_owned(),
        attributes: rule.attributes().cloned().unwrap_or_default().into_iter().collect(),
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, name, spec).output("arn", arn).output("name", name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let json = serde_json::json!({ "priority": 1000, "fixed_rate": 0.05, "reservoir_size": 1 });
        let rule: SamplingRule = serde_json::from_value(json).unwrap();
        assert_eq!(rule.check(), []);
        let wrong = SamplingRule { name: Some("x".repeat(33)), priority: 10_000, fixed_rate: 5.0, ..rule };
        let paths: Vec<_> = wrong.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["name", "priority", "fixed_rate"]);
    }
}
