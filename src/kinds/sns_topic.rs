//! An SNS topic with its subscriptions, which AWS neither tags nor shows before they are confirmed.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sns::types::{Subscription, Tag};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, tagging};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Remark, Result, Scope};
use crate::policy::{self, Policy};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::{Arg, Value};

const NAME_LIMIT: usize = 256;
const DISPLAY_NAME_LIMIT: usize = 100;
/// What stands for the ARN of a subscription that nobody has confirmed yet.
const PENDING: &str = "PendingConfirmation";
/// What stands for the ARN of a subscription that its receiver has cancelled, until AWS forgets it.
const DELETED: &str = "Deleted";

/// An SNS topic with its subscriptions: `email`, `https`, `functions` and `queues` together are all there are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnsTopic {
    /// The topic's name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The sender that e-mails show, at most 100 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// The ARN of the key that encrypts messages at rest; left out, they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    /// Who may publish and subscribe; left out, whom IAM policies of the account allow to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Addresses that get an e-mail. Each is asked once whether it wants them.
    #[serde(default)]
    pub email: BTreeSet<Arg<String>>,
    /// Addresses that are posted to, as in `https://events.pagerduty.com/integration/KEY/enqueue`.
    #[serde(default)]
    pub https: BTreeSet<Arg<String>>,
    /// The ARNs of Lambda functions that are called. Their `permissions` must let `sns.amazonaws.com` do so.
    #[serde(default)]
    pub functions: BTreeSet<Arg<String>>,
    /// The ARNs of SQS queues that messages are sent to.
    #[serde(default)]
    pub queues: BTreeSet<Arg<String>>,
    /// Endpoints that wait for their confirmation. AWS can neither change nor delete these; it forgets them after days.
    #[serde(default)]
    #[schemars(skip)]
    pub pending: BTreeSet<String>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for SnsTopic {
    const NAME: &'static str = "sns_topic";
    const RIGHTS: Rights = Rights {
        read: "sns:GetTopicAttributes sns:ListSubscriptionsByTopic sns:ListTagsForResource",
        create: "sns:CreateTopic sns:TagResource",
        update: "sns:SetTopicAttributes sns:Subscribe sns:TagResource sns:Unsubscribe sns:UntagResource",
        delete: "sns:DeleteTopic",
        on: "sns:{name}",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const LATE: &'static [&'static str] = &["functions", "queues"];
    const OPEN: &'static [&'static str] = &["name", "pending"];
    const SECRET: &'static [&'static str] = &["https", "pending"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const UNIQUE: &'static [&'static str] = &["name"];

    fn normalize(&mut self) {
        self.policy.iter_mut().for_each(Policy::normalize);
    }

    /// A subscription that is not wanted any more and that nobody has confirmed goes by itself; nothing else removes it.
    fn take_over(&mut self, live: &Self) {
        for (ours, theirs) in [(&mut self.email, &live.email), (&mut self.https, &live.https)] {
            let waits = |arg: &&Arg<String>| matches!(arg, Arg::Known(endpoint) if live.pending.contains(endpoint));
            ours.extend(theirs.iter().filter(waits).cloned());
        }
    }

    fn shell(&self) -> Self {
        let none = BTreeSet::new;
        Self { email: none(), https: none(), functions: none(), queues: none(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = &self.name {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(allowed) {
                let help = format!("use 1 to {NAME_LIMIT} letters, digits, _ and -");
                problems.push(Problem::new("name", format!("`{name}` is no name for a topic")).help(help));
            }
        }
        if self.display_name.chars().count() > DISPLAY_NAME_LIMIT {
            let message = format!("a display name has at most {DISPLAY_NAME_LIMIT} characters");
            problems.push(Problem::new("display_name", message).help("make it shorter"));
        }
        problems.extend(self.policy.iter().flat_map(|policy| policy.check("policy")));
        if self.https.iter().any(|arg| matches!(arg, Arg::Known(url) if !url.starts_with("https://"))) {
            let problem = Problem::new("https", "an address does not begin with https://");
            problems.push(problem.help("messages are sent encrypted only: write https://..."));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":sns:").await? {
            return Ok(Vec::new());
        }
        let index = tagging::index(aws, scope).await?;
        let known = index.iter().filter(|(arn, tags)| arn.contains(":sns:") && scope.ours(Self::NAME, tags).is_some());
        let mut arns: BTreeSet<String> = known.map(|(arn, _)| arn.clone()).collect();
        // The index learns late of what was made just now.
        arns.extend(scope.wanted(Self::NAME).map(|identity| {
            let name = scope.names.get(&identity.address).cloned();
            let name = name.unwrap_or_else(|| identity.aws_name(NAME_LIMIT));
            arn_of(&scope.partition, &scope.region, &scope.account, &name)
        }));
        let found = try_join_all(arns.iter().map(|arn| find(aws, arn))).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    /// `CreateTopic` answers with what has the name already, whosever it is, so that the name is looked up before.
    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let arn = arn_of(&making.partition, &making.region, &making.account, &name);
        if attributes(aws, &arn).await?.is_some() {
            let found = find(aws, &arn).await?;
            return adopt::adopt(self, aws, making, (&name, found), "sns:CreateTopic").await;
        }
        let request = aws.sns().create_topic().name(&name);
        let request = request.set_tags(Some(sdk_tags(&tags::encode(&making.identity, &self.tags))?));
        let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?.cloned();
        let policy = self.policy.as_ref().map(Policy::to_json).transpose()?;
        let display_name = Some(self.display_name.clone()).filter(|text| !text.is_empty());
        let attributes = [("KmsMasterKeyId", key), ("Policy", policy), ("DisplayName", display_name)];
        let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let answer = aws.call("sns:CreateTopic", request.set_attributes(Some(attributes)).send()).await?;
        Ok(answer.topic_arn().unwrap_or(&arn).to_owned())
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let arn = &live.id;
        if self.kms_key_arn != live.spec.kms_key_arn {
            let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?;
            set(aws, arn, "KmsMasterKeyId", key.map_or("", String::as_str)).await?;
        }
        match (&self.policy, &live.spec.policy) {
            (None, None) => {}
            (Some(new), Some(old)) if new.same(old) => {}
            (Some(new), _) => set(aws, arn, "Policy", &new.to_json()?).await?,
            (None, Some(_)) => set(aws, arn, "Policy", &default_policy(arn).to_json()?).await?,
        }
        if self.display_name != live.spec.display_name {
            set(aws, arn, "DisplayName", &self.display_name).await?;
        }
        self.subscribe(aws, live).await?;
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        write_tags(aws, arn, &set, gone).await
    }

    /// Its subscriptions go with it, those too that wait for a confirmation.
    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        aws.call("sns:DeleteTopic", aws.sns().delete_topic().topic_arn(&live.id).send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let found = attributes(aws, id).await?;
        Ok(found.map_or(Progress::Gone, |_| Progress::ready([("arn", id.clone()), ("name", name_in(id).to_owned())])))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set, gone.to_vec()).await
    }
}

impl SnsTopic {
    /// Its subscriptions by the protocol that AWS knows them under.
    const fn endpoints(&self) -> [(&'static str, &BTreeSet<Arg<String>>); 4] {
        [("email", &self.email), ("https", &self.https), ("lambda", &self.functions), ("sqs", &self.queues)]
    }

    /// Subscribes what is missing, and then unsubscribes what is not wanted. What waits for its confirmation counts as
    /// there, so that nobody is asked twice.
    async fn subscribe(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let pairs = || self.endpoints().into_iter().zip(live.spec.endpoints());
        for ((protocol, wanted), (_, there)) in pairs() {
            for endpoint in wanted.difference(there) {
                let request = aws.sns().subscribe().topic_arn(&live.id).protocol(protocol).endpoint(endpoint.get()?);
                let request = request.return_subscription_arn(true);
                aws.call("sns:Subscribe", request.send()).await.map_err(|failure| without(failure, endpoint))?;
            }
        }
        let mut gone = BTreeSet::new();
        for ((protocol, wanted), (_, there)) in pairs() {
            for endpoint in there.difference(wanted) {
                gone.insert((protocol.to_owned(), endpoint.get()?.clone()));
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        for subscription in subscriptions(aws, &live.id).await? {
            let is = (text(subscription.protocol()), text(subscription.endpoint()));
            let arn = subscription.subscription_arn().unwrap_or_default();
            if gone.contains(&is) && arn.starts_with("arn:") {
                let request = aws.sns().unsubscribe().subscription_arn(arn);
                aws.call("sns:Unsubscribe", request.send()).await?;
            }
        }
        Ok(())
    }
}

/// AWS repeats the endpoint in what it says of one that it does not take, and an endpoint may hold a key.
fn without(failure: Failure, endpoint: &Arg<String>) -> Failure {
    let Arg::Known(endpoint) = endpoint else { return failure };
    let message = failure.message.replace(endpoint.as_str(), "(hidden)");
    Failure { message, ..failure }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn arn_of(partition: &str, region: &str, account: &str, name: &str) -> String {
    format!("arn:{partition}:sns:{region}:{account}:{name}")
}

fn name_in(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

/// The policy of a topic that was made without one.
fn default_policy(arn: &str) -> Policy {
    let actions = [
        "SNS:GetTopicAttributes",
        "SNS:SetTopicAttributes",
        "SNS:AddPermission",
        "SNS:RemovePermission",
        "SNS:DeleteTopic",
        "SNS:Subscribe",
        "SNS:ListSubscriptionsByTopic",
        "SNS:Publish",
    ];
    let account = arn.split(':').nth(4).unwrap_or_default();
    let statement = policy::allow(&actions, [arn]).sid("__default_statement_ID").to("AWS", ["*"]);
    let mut policy = policy::document([statement.when("StringEquals", "AWS:SourceOwner", [account])]);
    if let Value::Map(fields) = &mut policy.0 {
        fields.insert("Version".to_owned(), Value::text("2008-10-17"));
        fields.insert("Id".to_owned(), Value::text("__default_policy_ID"));
    }
    policy
}

/// Whether AWS wrote this policy: its one statement lets the owner do everything. The list of actions has grown with
/// the years.
fn is_default(policy: &Policy, arn: &str) -> bool {
    let bare = |policy: &Policy| {
        let mut policy = policy.clone();
        policy.normalize();
        if let Value::Map(fields) = &mut policy.0
            && let Some(Value::List(statements)) = fields.get_mut("Statement")
        {
            for statement in statements.iter_mut() {
                if let Value::Map(elements) = statement {
                    elements.remove("Action");
                }
            }
        }
        policy
    };
    bare(policy) == bare(&default_policy(arn))
}

/// The attributes of a topic, or `None` where there is none.
async fn attributes(aws: &Aws, arn: &str) -> Result<Option<BTreeMap<String, String>>> {
    let request = aws.sns().get_topic_attributes().topic_arn(arn);
    match aws.call("sns:GetTopicAttributes", request.send()).await {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
        Ok(answer) => Ok(Some(answer.attributes.unwrap_or_default().into_iter().collect())),
    }
}

async fn subscriptions(aws: &Aws, arn: &str) -> Result<Vec<Subscription>> {
    let pages = aws.sns().list_subscriptions_by_topic().topic_arn(arn).into_paginator().items().send();
    let found = aws.call("sns:ListSubscriptionsByTopic", pages.collect::<Result<Vec<_>, _>>()).await?;
    Ok(found.into_iter().filter(|subscription| subscription.subscription_arn() != Some(DELETED)).collect())
}

/// The topic as ours, where it exists and its tags say so. The index's own tags may be old.
async fn find(aws: &Aws, arn: &str) -> Result<Option<Live<SnsTopic>>> {
    let Some(attributes) = attributes(aws, arn).await? else { return Ok(None) };
    let request = aws.sns().list_tags_for_resource().resource_arn(arn);
    let (tags, subscriptions) =
        tokio::try_join!(aws.call("sns:ListTagsForResource", request.send()), subscriptions(aws, arn),)?;
    let tags: Tags = tags.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let spec = spec(arn, &attributes, &subscriptions, tagged.user.clone())?;
    let mut notes: Vec<Remark> = waiting(&spec).into_iter().map(Remark::from).collect();
    let known: Vec<&str> = spec.endpoints().into_iter().map(|(protocol, _)| protocol).collect();
    let others = subscriptions.iter().filter_map(Subscription::protocol).filter(|protocol| !known.contains(protocol));
    notes.extend(
        others.map(|protocol| Remark::foreign(format!("has a subscription of others ({protocol}), which stays"))),
    );
    let mut live = Live::new(tagged, arn, spec).output("arn", arn).output("name", name_in(arn));
    live.notes = notes;
    Ok(Some(live))
}

fn spec(
    arn: &str,
    attributes: &BTreeMap<String, String>,
    subscriptions: &[Subscription],
    tags: Tags,
) -> Result<SnsTopic> {
    let attribute = |name: &str| attributes.get(name).filter(|value| !value.is_empty());
    let unreadable = |error: serde_json::Error| {
        Failure::new("sns:GetTopicAttributes", "UnreadablePolicy", format!("the policy of {arn}: {error}"))
    };
    let policy = attribute("Policy").map(|text| Policy::from_json(text)).transpose().map_err(unreadable)?;
    let of = |protocol: &'static str| {
        let same = move |subscription: &&Subscription| subscription.protocol() == Some(protocol);
        subscriptions.iter().filter(same).filter_map(Subscription::endpoint).map(Arg::from).collect::<BTreeSet<_>>()
    };
    let waits = |subscription: &&Subscription| subscription.subscription_arn() == Some(PENDING);
    Ok(SnsTopic {
        name: Some(name_in(arn).to_owned()),
        display_name: attribute("DisplayName").cloned().unwrap_or_default(),
        kms_key_arn: attribute("KmsMasterKeyId").cloned().map(Arg::Known),
        policy: policy.filter(|policy| !is_default(policy, arn)),
        email: of("email"),
        https: of("https"),
        functions: of("lambda"),
        queues: of("sqs"),
        pending: subscriptions.iter().filter(waits).filter_map(|one| one.endpoint().map(str::to_owned)).collect(),
        tags,
    })
}

/// Who has not confirmed yet. The address of an HTTPS endpoint may hold a key, so that only its host is named.
fn waiting(spec: &SnsTopic) -> Vec<String> {
    let shown = |endpoint: &String| match endpoint.strip_prefix("https://") {
        Some(rest) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority.rsplit('@').next().unwrap_or_default().to_owned()
        }
        None => endpoint.clone(),
    };
    spec.pending.iter().map(|endpoint| format!("waits for confirmation by {}", shown(endpoint))).collect()
}

async fn set(aws: &Aws, arn: &str, name: &str, value: &str) -> Result<()> {
    let request = aws.sns().set_topic_attributes().topic_arn(arn).attribute_name(name).attribute_value(value);
    aws.call("sns:SetTopicAttributes", request.send()).await.map(drop)
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| {
        let tag = Tag::builder().key(key).value(value).build();
        tag.map_err(|error| Failure::new("sns:TagResource", "InvalidRequest", error.to_string()))
    };
    tags.iter().map(tag).collect()
}

async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: Vec<String>) -> Result<()> {
    if !set.is_empty() {
        let request = aws.sns().tag_resource().resource_arn(arn).set_tags(Some(sdk_tags(set)?));
        aws.call("sns:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.sns().untag_resource().resource_arn(arn).set_tag_keys(Some(gone));
        aws.call("sns:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sns:us-east-1:123456789012:acme-test-error";

    fn topic(json: serde_json::Value) -> SnsTopic {
        serde_json::from_value(json).unwrap()
    }

    fn live(subscriptions: &[(&str, &str, &str)]) -> SnsTopic {
        let subscription = |(protocol, endpoint, arn): &(&str, &str, &str)| {
            Subscription::builder().protocol(*protocol).endpoint(*endpoint).subscription_arn(*arn).build()
        };
        let subscriptions: Vec<_> = subscriptions.iter().map(subscription).collect();
        spec(ARN, &BTreeMap::new(), &subscriptions, Tags::new()).unwrap()
    }

    #[test]
    fn what_waits_for_its_confirmation_is_neither_asked_again_nor_removed() {
        let confirmed = format!("{ARN}:1");
        let live = live(&[
            ("email", "a@example.com", PENDING),
            ("email", "b@example.com", PENDING),
            ("email", "c@example.com", &confirmed),
            ("https", "https://key@example.com/secret?token=1", PENDING),
        ]);
        let mut wanted = topic(serde_json::json!({ "email": ["a@example.com"] }));
        wanted.take_over(&live);
        let expected: BTreeSet<Arg<String>> = ["a@example.com", "b@example.com"].map(Arg::from).into();
        assert_eq!(wanted.email, expected, "the confirmed one is removed, those that wait stay");
        assert_eq!(wanted.https, live.https);
        let notes = waiting(&live).join("; ");
        assert!(
            notes.contains("a@example.com")
                && !notes.contains("secret")
                && !notes.contains("token")
                && !notes.contains("key")
        );
        assert!(notes.ends_with("by example.com"), "{notes}");
    }

    #[test]
    fn the_policy_that_aws_writes_is_none() {
        let mut attributes = BTreeMap::from([("Policy".to_owned(), default_policy(ARN).to_json().unwrap())]);
        assert!(spec(ARN, &attributes, &[], Tags::new()).unwrap().policy.is_none());
        let longer = attributes["Policy"].replace("SNS:Publish", "SNS:Publish\",\"SNS:Receive");
        attributes.insert("Policy".to_owned(), longer);
        assert!(spec(ARN, &attributes, &[], Tags::new()).unwrap().policy.is_none(), "with one action more");
        let other = attributes["Policy"].replace("SourceOwner", "PrincipalOrgID");
        attributes.insert("Policy".to_owned(), other);
        assert!(spec(ARN, &attributes, &[], Tags::new()).unwrap().policy.is_some());
    }

    #[test]
    fn limits_of_sns() {
        let spec = topic(serde_json::json!({
            "name": "with space", "display_name": "x".repeat(101), "policy": "x", "https": ["http://example.com"],
        }));
        let paths: Vec<_> = spec.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["name", "display_name", "policy", "https"]);
        assert!(!format!("{:?}", spec.check()).contains("example.com"), "an address may hold a key");
    }
}
