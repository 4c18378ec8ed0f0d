//! A rule of EventBridge on the default bus, with its targets.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eventbridge::types::{DeadLetterConfig, InputTransformer, RuleState, Tag, Target as SdkTarget};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, tagging};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::{Arg, Unresolved, Value};

const NAME_LIMIT: usize = 64;
const DESCRIPTION_LIMIT: usize = 512;
const PATTERN_LIMIT: usize = 2048;
/// Targets that a rule may have.
const TARGETS: usize = 5;

/// A rule of EventBridge on the default bus, with its targets: what is not here is removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    /// The rule's name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Which events it takes, in AWS's own words: `{ source: [aws.ecs], detail-type: [...] }`. Either this or `schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_pattern: Option<Json>,
    /// When it acts by itself: `rate(5 minutes)` or `cron(0 2 * * ? *)`, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Whether it acts.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where events go.
    #[serde(default)]
    pub targets: Vec<Target>,
    #[serde(default)]
    pub tags: Tags,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name within the rule: letters, digits and `._-`, at most 64.
    pub name: String,
    /// A topic, function, queue, log group, ...
    pub arn: Arg<String>,
    /// The role that EventBridge takes, for targets that do not let it in by a policy of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<Arg<String>>,
    /// What is sent in place of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// What is made of the event and sent in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// The ARN of the queue for events that could not be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_arn: Option<Arg<String>>,
}

/// What is made of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Parts of the event by name: `{ reason: $.detail.reason }`.
    #[serde(default)]
    pub paths: BTreeMap<String, String>,
    /// The text, in which `<reason>` stands for a part.
    pub template: String,
}

/// JSON, in which texts may hold references.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(pub Value);

impl JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "JSON, in which texts may hold references." })
    }
}

impl Json {
    fn text(&self) -> Result<String, Unresolved> {
        match self.0.references().first() {
            Some(output) => Err(Unresolved(output.to_string())),
            None => Ok(serde_json::Value::from(&self.0).to_string()),
        }
    }

    /// What AWS has, which is the text as it was written.
    fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_else(|_| Value::text(text)))
    }
}

fn yes() -> bool {
    true
}

impl Kind for EventRule {
    const NAME: &'static str = "event_rule";
    const RIGHTS: Rights = Rights {
        read: "events:DescribeRule events:ListTagsForResource events:ListTargetsByRule",
        create: "events:PutRule events:TagResource",
        update: "events:PutRule events:PutTargets events:RemoveTargets events:TagResource events:UntagResource",
        delete: "events:DeleteRule events:RemoveTargets",
        on: "events:rule/{name}",
        passes: "events.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const LATE: &'static [&'static str] = &["targets"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const UNIQUE: &'static [&'static str] = &["name"];

    fn normalize(&mut self) {
        self.targets.sort_by(|one, other| one.name.cmp(&other.name));
    }

    fn shell(&self) -> Self {
        Self { targets: Vec::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = &self.name {
            problems.extend(check_name("name", name));
        }
        if self.description.chars().count() > DESCRIPTION_LIMIT {
            let message = format!("a description has at most {DESCRIPTION_LIMIT} characters");
            problems.push(Problem::new("description", message).help("make it shorter"));
        }
        match (&self.event_pattern, &self.schedule) {
            (None, None) => {
                let problem = Problem::new("event_pattern", "a rule needs events to take, or a time to act");
                problems.push(problem.help("write `event_pattern: { source: [aws.ecs] }`, or `schedule: rate(1 day)`"));
            }
            (Some(_), Some(_)) => {
                let problem = Problem::new("schedule", "a rule takes events or acts at a time, not both");
                problems.push(problem.help("make two rules of it"));
            }
            (None, Some(schedule)) if !["rate(", "cron("].iter().any(|word| schedule.starts_with(word)) => {
                let problem = Problem::new("schedule", format!("`{schedule}` is no time to act"));
                problems
                    .push(problem.help("write `rate(5 minutes)`, or `cron(0 2 * * ? *)` for each day at 02:00 UTC"));
            }
            _ => {}
        }
        // A reference is longer in the file than in the end, or shorter: what is resolved is seen by AWS.
        if let Some(Ok(text)) = self.event_pattern.as_ref().map(Json::text)
            && text.len() > PATTERN_LIMIT
        {
            let problem = Problem::new("event_pattern", format!("a pattern has at most {PATTERN_LIMIT} characters"));
            problems.push(problem.help("make two rules of it"));
        }
        problems.extend(self.check_targets());
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":events:").await? {
            return Ok(Vec::new());
        }
        let index = tagging::index(aws, scope).await?;
        let known = index.iter().filter(|(_, tags)| scope.ours(Self::NAME, tags).is_some());
        let mut names: BTreeSet<String> = known.filter_map(|(arn, _)| Some(name_in(arn)?.to_owned())).collect();
        // The index learns late of what was made just now.
        names.extend(scope.wanted(Self::NAME).map(|identity| {
            scope.names.get(&identity.address).cloned().unwrap_or_else(|| identity.aws_name(NAME_LIMIT))
        }));
        let found = try_join_all(names.iter().map(|name| find(aws, name))).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    /// `PutRule` overwrites what has the name already, whosever it is, so that the name is looked up before.
    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        if describe(aws, &name).await?.is_some() {
            let found = find(aws, &name).await?;
            return adopt::adopt(self, aws, making, (&name, found), "events:PutRule").await;
        }
        self.put(aws, &name, Some(sdk_tags(&tags::encode(&making.identity, &self.tags))?)).await?;
        Ok(name)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (new, old) = (self, &live.spec);
        let same = new.description == old.description
            && new.event_pattern == old.event_pattern
            && new.schedule == old.schedule
            && new.enabled == old.enabled;
        if !same {
            self.put(aws, &live.id, None).await?;
        }
        self.aim(aws, live).await?;
        let (set, gone) = tags::change(&live.identity, &old.tags, &new.tags);
        write_tags(aws, live, &set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let targets: Vec<String> = targets(aws, &live.id).await?.into_iter().map(|target| target.id).collect();
        remove(aws, &live.id, targets).await?;
        aws.call("events:DeleteRule", aws.events().delete_rule().name(&live.id).send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let found = describe(aws, id).await?;
        Ok(found.map_or(Progress::Gone, |rule| {
            Progress::ready([("arn", rule.arn().unwrap_or_default().to_owned()), ("name", id.clone())])
        }))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, live, set, gone.to_vec()).await
    }
}

impl EventRule {
    fn check_targets(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.targets.len() > TARGETS {
            let problem = Problem::new("targets", format!("a rule has at most {TARGETS} targets"));
            problems.push(problem.help("let one target be a topic, and subscribe the others to it"));
        }
        for (at, target) in self.targets.iter().enumerate() {
            problems.extend(check_name(&format!("targets.{at}.name"), &target.name));
            if self.targets[..at].iter().any(|before| before.name == target.name) {
                let path = format!("targets.{at}.name");
                let problem = Problem::new(&path, format!("two targets have the name `{}`", target.name));
                problems.push(problem.help("give one of them another name"));
            }
            if target.input.is_some() && target.transform.is_some() {
                let path = format!("targets.{at}.transform");
                let problem = Problem::new(&path, "a target gets a fixed input or what is made of the event, not both");
                problems.push(problem.help("take one of them out"));
            }
        }
        problems
    }

    /// Writes the whole rule, since what such a request leaves out is reset. Only a new rule takes tags with it.
    async fn put(&self, aws: &Aws, name: &str, tags: Option<Vec<Tag>>) -> Result<()> {
        let state = if self.enabled { RuleState::Enabled } else { RuleState::Disabled };
        let request = aws.events().put_rule().name(name).state(state).set_tags(tags);
        let request = request.set_event_pattern(self.event_pattern.as_ref().map(Json::text).transpose()?);
        let request = request.set_schedule_expression(self.schedule.clone());
        let request = request.set_description(Some(self.description.clone()).filter(|text| !text.is_empty()));
        aws.call("events:PutRule", request.send()).await.map(drop)
    }

    /// Adds and changes targets, and then removes those that are not wanted; the other way round where all of them
    /// together are more than AWS allows.
    async fn aim(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let gone = live.spec.targets.iter().map(|target| &target.name);
        let gone = gone.filter(|name| !self.targets.iter().any(|target| target.name == **name));
        let gone: Vec<String> = gone.cloned().collect();
        let new = self.targets.iter().filter(|target| !live.spec.targets.contains(target));
        let new = new.map(Target::sdk).collect::<Result<Vec<_>>>()?;
        let crowded = gone.len() + self.targets.len() > TARGETS;
        if crowded {
            remove(aws, &live.id, gone.clone()).await?;
        }
        if !new.is_empty() {
            let request = aws.events().put_targets().rule(&live.id).set_targets(Some(new));
            let answer = aws.call("events:PutTargets", request.send()).await?;
            let failed = answer.failed_entries().first();
            let failed = failed.map(|entry| (entry.target_id(), entry.error_code(), entry.error_message()));
            refuse("events:PutTargets", answer.failed_entry_count(), failed)?;
        }
        if crowded { Ok(()) } else { remove(aws, &live.id, gone).await }
    }
}

impl Target {
    /// One that gets events as they are.
    pub fn new(name: &str, arn: Arg<String>) -> Self {
        Self { name: name.to_owned(), arn, role_arn: None, input: None, transform: None, dead_letter_arn: None }
    }

    fn sdk(&self) -> Result<SdkTarget> {
        let invalid = |error: aws_smithy_types::error::operation::BuildError| {
            Failure::new("events:PutTargets", "InvalidRequest", error.to_string())
        };
        let transform = self.transform.as_ref().map(|transform| {
            let paths = Some(transform.paths.clone().into_iter().collect()).filter(|_| !transform.paths.is_empty());
            InputTransformer::builder().set_input_paths_map(paths).input_template(&transform.template).build()
        });
        let dead_letter = self.dead_letter_arn.as_ref().map(Arg::get).transpose()?;
        let target = SdkTarget::builder().id(&self.name).arn(self.arn.get()?);
        let target = target.set_role_arn(self.role_arn.as_ref().map(Arg::get).transpose()?.cloned());
        let target = target.set_input(self.input.as_ref().map(Json::text).transpose()?);
        let target = target.set_input_transformer(transform.transpose().map_err(invalid)?);
        let target = target.set_dead_letter_config(dead_letter.map(|arn| DeadLetterConfig::builder().arn(arn).build()));
        target.build().map_err(invalid)
    }

    fn read(target: &SdkTarget) -> Self {
        Self {
            name: target.id().to_owned(),
            arn: target.arn().into(),
            role_arn: target.role_arn().map(Arg::from),
            input: target.input().map(Json::read),
            transform: target.input_transformer().map(|transform| Transform {
                paths: transform.input_paths_map().cloned().unwrap_or_default().into_iter().collect(),
                template: transform.input_template().to_owned(),
            }),
            dead_letter_arn: target.dead_letter_config().and_then(|config| config.arn()).map(Arg::from),
        }
    }
}

fn check_name(path: &str, name: &str) -> Option<Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(allowed) {
        return None;
    }
    let help = format!("use 1 to {NAME_LIMIT} letters, digits and ._-");
    Some(Problem::new(path, format!("EventBridge does not take the name `{name}`")).help(help))
}

/// The name of a rule of the default bus in its ARN, or `None` where the ARN is that of something else.
fn name_in(arn: &str) -> Option<&str> {
    let (_, name) = arn.split_once(":events:")?.1.split_once(":rule/")?;
    (!name.contains('/')).then_some(name)
}

/// These calls succeed even where AWS did not do all that they ask for.
fn refuse(operation: &str, count: i32, first: Option<(Option<&str>, Option<&str>, Option<&str>)>) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let (target, code, message) = first.unwrap_or_default();
    let message = format!("target {}: {}", target.unwrap_or("?"), message.unwrap_or("AWS does not say why"));
    let failure = Failure::new(operation, code.unwrap_or("FailedEntry"), message);
    Err(if failure.code == "ConcurrentModificationException" { failure.class(Class::Busy) } else { failure })
}

type Rule = aws_sdk_eventbridge::operation::describe_rule::DescribeRuleOutput;

async fn describe(aws: &Aws, name: &str) -> Result<Option<Rule>> {
    match aws.call("events:DescribeRule", aws.events().describe_rule().name(name).send()).await {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        other => other.map(Some),
    }
}

async fn targets(aws: &Aws, rule: &str) -> Result<Vec<SdkTarget>> {
    let answer = aws.call("events:ListTargetsByRule", aws.events().list_targets_by_rule().rule(rule).send()).await?;
    Ok(answer.targets.unwrap_or_default())
}

async fn remove(aws: &Aws, rule: &str, names: Vec<String>) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let request = aws.events().remove_targets().rule(rule).set_ids(Some(names));
    let answer = aws.call("events:RemoveTargets", request.send()).await?;
    let failed = answer.failed_entries().first();
    let failed = failed.map(|entry| (entry.target_id(), entry.error_code(), entry.error_message()));
    refuse("events:RemoveTargets", answer.failed_entry_count(), failed)
}

/// The rule as ours, where it exists and its tags say so. The index's own tags may be old.
async fn find(aws: &Aws, name: &str) -> Result<Option<Live<EventRule>>> {
    let Some(rule) = describe(aws, name).await? else { return Ok(None) };
    let arn = rule.arn().unwrap_or_default();
    let request = aws.events().list_tags_for_resource().resource_arn(arn);
    let read = aws.call("events:ListTagsForResource", request.send());
    let (answer, targets) = tokio::try_join!(read, targets(aws, name))?;
    let tags: Tags = answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let spec = EventRule {
        name: Some(name.to_owned()),
        description: rule.description().unwrap_or_default().to_owned(),
        event_pattern: rule.event_pattern().map(Json::read),
        schedule: rule.schedule_expression().map(str::to_owned),
        enabled: rule.state() != Some(&RuleState::Disabled),
        targets: targets.iter().map(Target::read).collect(),
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, name, spec).output("arn", arn).output("name", name)))
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| {
        let tag = Tag::builder().key(key).value(value).build();
        tag.map_err(|error| Failure::new("events:TagResource", "InvalidRequest", error.to_string()))
    };
    tags.iter().map(tag).collect()
}

async fn write_tags(aws: &Aws, live: &Live<EventRule>, set: &Tags, gone: Vec<String>) -> Result<()> {
    let arn = live.outputs.get("arn").map(String::as_str).unwrap_or_default();
    if !set.is_empty() {
        let request = aws.events().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)?));
        aws.call("events:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.events().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        aws.call("events:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> EventRule {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn limits_of_event_bridge() {
        let target = serde_json::json!({ "name": "a b", "arn": "x", "input": {}, "transform": { "template": "x" } });
        let one = serde_json::json!({ "name": "a", "arn": "x" });
        let spec = rule(serde_json::json!({
            "name": "a/b", "description": "x".repeat(513), "schedule": "daily",
            "targets": [target, one, one, one, one, one],
        }));
        let paths: Vec<_> = spec.check().into_iter().map(|problem| problem.path).collect();
        let expected = ["name", "description", "schedule", "targets", "targets.0.name", "targets.0.transform"];
        assert_eq!(paths[..6], expected);
        assert_eq!(paths[6], "targets.2.name", "two of one name");
        assert_eq!(rule(serde_json::json!({})).check()[0].path, "event_pattern");
        let both = rule(serde_json::json!({ "event_pattern": { "source": ["x"] }, "schedule": "rate(1 day)" }));
        assert_eq!(both.check()[0].path, "schedule");
        let long = rule(serde_json::json!({ "event_pattern": { "source": ["x".repeat(2048)] } }));
        assert_eq!(long.check()[0].path, "event_pattern");
    }

    #[test]
    fn names_come_from_arns_of_rules_of_the_default_bus_only() {
        let arn = "arn:aws:events:us-east-1:123456789012";
        assert_eq!(name_in(&format!("{arn}:rule/acme-test-x")), Some("acme-test-x"));
        assert_eq!(name_in(&format!("{arn}:rule/other-bus/acme-test-x")), None);
        assert_eq!(name_in(&format!("{arn}:event-bus/x")), None);
    }

    #[test]
    fn what_aws_did_not_do_is_a_failure() {
        assert!(refuse("events:PutTargets", 0, None).is_ok());
        let entry = (Some("topic"), Some("AccessDenied"), Some("no"));
        let failure = refuse("events:PutTargets", 1, Some(entry)).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("AccessDenied", "target topic: no"));
        let entry = (Some("topic"), Some("ConcurrentModificationException"), None);
        assert_eq!(refuse("events:PutTargets", 1, Some(entry)).unwrap_err().class, Class::Busy);
    }
}
