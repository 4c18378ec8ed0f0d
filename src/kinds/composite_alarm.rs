//! An alarm on the states of other alarms.

use aws_sdk_cloudwatch::operation::put_composite_alarm::builders::PutCompositeAlarmFluentBuilder as Put;
use aws_sdk_cloudwatch::types::CompositeAlarm as Found;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, alarms, metric_alarm};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};
use crate::value::{self, Arg};

/// Alarms that one composite alarm may name.
const CHILDREN: usize = 100;

/// An alarm on the states of other alarms.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompositeAlarm {
    /// The name in AWS, unique among all alarms of the region. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What has happened and what to do; whoever is told of the alarm reads it.
    #[serde(default)]
    pub description: String,
    /// Names of alarms: it is an alarm as long as any of them is one. Either this or `rule`.
    #[serde(default)]
    pub any_of: Vec<Arg<String>>,
    /// Another rule, as in `ALARM("a") AND NOT ALARM("b")`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arg<String>>,
    /// Whether the actions are taken.
    #[serde(default = "yes")]
    pub actions_enabled: bool,
    /// ARNs of topics and other things that AWS calls when the alarm begins.
    #[serde(default)]
    pub alarm_actions: Vec<Arg<String>>,
    /// What it calls when the alarm is over.
    #[serde(default)]
    pub ok_actions: Vec<Arg<String>>,
    /// What it calls when there is too little data to tell.
    #[serde(default)]
    pub insufficient_data_actions: Vec<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

const fn yes() -> bool {
    true
}

impl Kind for CompositeAlarm {
    const NAME: &'static str = "composite_alarm";
    const RIGHTS: Rights = Rights {
        read: "cloudwatch:DescribeAlarms cloudwatch:ListTagsForResource",
        create: "cloudwatch:PutCompositeAlarm cloudwatch:TagResource",
        update: "cloudwatch:PutCompositeAlarm cloudwatch:TagResource cloudwatch:UntagResource",
        delete: "cloudwatch:DeleteAlarms",
        on: "cloudwatch:alarm:{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const AFTER: &'static [&'static str] = &["metric_alarm"];
    const HELD_BY: &'static [&'static str] = &["composite_alarm"];

    fn normalize(&mut self) {
        for args in
            [&mut self.any_of, &mut self.alarm_actions, &mut self.ok_actions, &mut self.insufficient_data_actions]
        {
            args.sort();
            args.dedup();
        }
        if let Some(Arg::Known(rule)) = &self.rule
            && let Some(names) = any_of(rule)
        {
            self.any_of = names.iter().map(|name| Arg::from(name.as_str())).collect();
            self.any_of.sort();
            self.rule = None;
        }
    }

    fn check(&self) -> Vec<Problem> {
        let actions = [&self.alarm_actions[..], &self.ok_actions, &self.insufficient_data_actions];
        let mut problems = alarms::check(self.name.as_deref(), &self.description, actions);
        if self.any_of.is_empty() == self.rule.is_none() {
            let message = "a composite alarm has either `any_of` or `rule`";
            problems.push(Problem::new("any_of", message).help("write the names of the alarms that it watches"));
        }
        if self.any_of.len() > CHILDREN {
            let message = format!("a composite alarm watches at most {CHILDREN} others");
            problems.push(Problem::new("any_of", message).help("make several, and one that watches these"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let found = alarms::ours(aws, scope).await?;
        Ok(found
            .composite
            .iter()
            .filter_map(|(alarm, tags)| Some(live(alarm, scope.tagged(aws, Self::NAME, tags)?)))
            .collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| metric_alarm::generated_name(&making.identity));
        // AWS overwrites an alarm that bears the name, whosever it is, and leaves its tags alone.
        let (metric, composite) = alarms::by_name(aws, vec![name.clone()]).await?;
        if !metric.is_empty() || !composite.is_empty() {
            let found = match composite.first() {
                Some(alarm) => {
                    let tags = alarms::tags(aws, alarm.alarm_arn().unwrap_or_default()).await?.unwrap_or_default();
                    tags::decode(&tags).map(|tagged| live(alarm, tagged))
                }
                None => None,
            };
            return adopt::adopt(self, aws, making, (&name, found), "cloudwatch:PutCompositeAlarm").await;
        }
        let tags = alarms::sdk_tags(&tags::encode(&making.identity, &self.tags));
        let request = self.request(aws.cloudwatch().put_composite_alarm(), &name)?.set_tags(Some(tags));
        aws.call("cloudwatch:PutCompositeAlarm", request.send()).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.name = Some(live.id.clone());
        wanted.normalize();
        there.normalize();
        let watched = |alarm: &Self| value::to_fields(&Self { tags: Tags::new(), ..alarm.clone() }).ok();
        if watched(&wanted) != watched(&there) {
            let request = wanted.request(aws.cloudwatch().put_composite_alarm(), &live.id)?;
            aws.call("cloudwatch:PutCompositeAlarm", request.send()).await?;
        }
        let change = tags::change(&live.identity, &there.tags, &wanted.tags);
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
        alarms::delete(aws, &live.id).await
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        alarms::users(aws, &live.id).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let found = match alarms::by_name(aws, vec![id.clone()]).await {
            Ok((_, mut composite)) => composite.pop(),
            Err(failure) if failure.class == Class::NotFound => None,
            Err(failure) => return Err::<_, Failure>(failure),
        };
        Ok(found.map_or(Progress::Gone, |alarm| {
            Progress::ready([("arn", alarm.alarm_arn().unwrap_or_default().to_owned()), ("name", id.clone())])
        }))
    }
}

impl CompositeAlarm {
    fn request(&self, request: Put, name: &str) -> Result<Put> {
        let rule = match &self.rule {
            Some(rule) => rule.get()?.clone(),
            None => rule(&alarms::known(&self.any_of)?),
        };
        Ok(request
            .alarm_name(name)
            .alarm_description(&self.description)
            .alarm_rule(rule)
            .actions_enabled(self.actions_enabled)
            .set_alarm_actions(Some(alarms::known(&self.alarm_actions)?))
            .set_ok_actions(Some(alarms::known(&self.ok_actions)?))
            .set_insufficient_data_actions(Some(alarms::known(&self.insufficient_data_actions)?)))
    }
}

/// The rule by which any of these alarms is enough.
fn rule(names: &[String]) -> String {
    names.iter().map(|name| format!("ALARM(\"{name}\")")).collect::<Vec<_>>().join(" OR ")
}

/// The names in a rule of that form, or `None` where it says anything else.
fn any_of(rule: &str) -> Option<Vec<String>> {
    let name = |part: &str| {
        let name = part.trim().strip_prefix("ALARM(\"")?.strip_suffix("\")")?;
        (!name.contains('"')).then(|| name.to_owned())
    };
    rule.split(" OR ").map(name).collect()
}

fn live(alarm: &Found, tagged: Tagged) -> Live<CompositeAlarm> {
    let name = alarm.alarm_name().unwrap_or_default();
    let mut spec = CompositeAlarm {
        name: Some(name.to_owned()),
        description: alarm.alarm_description().unwrap_or_default().to_owned(),
        any_of: Vec::new(),
        rule: alarm.alarm_rule().map(Arg::from),
        actions_enabled: alarm.actions_enabled() != Some(false),
        alarm_actions: alarms::args(alarm.alarm_actions()),
        ok_actions: alarms::args(alarm.ok_actions()),
        insufficient_data_actions: alarms::args(alarm.insufficient_data_actions()),
        tags: tagged.user.clone(),
    };
    // The names of its alarms, each in a field of its own, are what deletes are ordered by.
    spec.normalize();
    Live::new(tagged, name, spec).output("arn", alarm.alarm_arn().unwrap_or_default()).output("name", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_alternatives_is_read_as_the_names_in_it() {
        let names = ["acme-test-api-down".to_owned(), "acme-test-lb OR lb".to_owned()];
        assert_eq!(rule(&names[..1]), r#"ALARM("acme-test-api-down")"#);
        assert_eq!(any_of(&rule(&names[..1])).unwrap(), names[..1]);
        assert_eq!(any_of(r#"ALARM("a") OR ALARM("b")"#).unwrap(), ["a", "b"]);
        for other in [r#"ALARM("a") AND ALARM("b")"#, r#"NOT ALARM("a")"#, r#"OK("a")"#, "FALSE"] {
            assert_eq!(any_of(other), None, "{other}");
        }
    }
}
