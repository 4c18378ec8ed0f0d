//! What the kinds of Elastic Load Balancing share: reads, tags, generated names, and who holds a name.
//!
//! No answer of this service holds tags, and an account may have many load balancers of others. So the candidates are
//! those whose name starts as generated names do here (separator included), those with a name that the file chooses,
//! and those that the tagging API lists, for a chosen name may have left the file. `DescribeTags`, twenty a call, then
//! says which are ours.
//!
//! Listeners are read for each load balancer of ours and rules for each listener of ours, with the entries of others
//! among them. Those that we made on a load balancer or listener of others are found through the tagging API.

pub mod action;
pub mod health_check;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::types::{Listener, LoadBalancer, LoadBalancerTypeEnum, Rule, Tag, TargetGroup};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tagging;
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Making, Problem, Result, Scope};
use crate::tags::{self, Tags};

/// The longest name of a load balancer or target group.
const NAME_LIMIT: usize = 32;
/// How much of the start of a generated name survives its shortening: the limit without two hashes and their dashes.
const NAME_START: usize = NAME_LIMIT - 14;
/// As many ARNs as one `DescribeTags` takes.
const TAGGED_AT_ONCE: usize = 20;

/// Defines an enum of AWS's own words, which are also those of the file.
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            /// AWS's word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            /// The value with this word, or AWS's default where there is none.
            #[must_use]
            pub fn read(word: Option<&str>) -> Self {
                match word {
                    $(Some($word) => Self::$variant,)*
                    _ => Self::default(),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    Protocol {
        #[default]
        Http = "HTTP",
        Https = "HTTPS",
    }
}

/// What a read found, with its tags.
pub struct Found<T> {
    pub arn: String,
    pub tags: Tags,
    pub item: T,
}

/// The load balancers that are or may be ours.
pub async fn load_balancers(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<Found<LoadBalancer>>>> {
    let read = || async {
        let pages = aws.elb().describe_load_balancers().into_paginator().items().send();
        let all = aws.call("elb:DescribeLoadBalancers", pages.collect::<Result<Vec<_>, _>>());
        let (all, index) = tokio::try_join!(all, tagging::index(aws, scope))?;
        let candidate = |item: LoadBalancer| {
            let (arn, name) = (item.load_balancer_arn.clone()?, item.load_balancer_name()?);
            let kept = item.r#type() == Some(&LoadBalancerTypeEnum::Application)
                && (index.contains_key(&arn) || may_be_ours(scope, super::load_balancer::LoadBalancer::NAME, name));
            kept.then_some((arn, item))
        };
        with_tags(aws, all.into_iter().filter_map(candidate).collect()).await
    };
    scope.memo.get("elb.load_balancers", read).await
}

/// The target groups that are or may be ours.
pub async fn target_groups(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<Found<TargetGroup>>>> {
    let read = || async {
        let pages = aws.elb().describe_target_groups().into_paginator().items().send();
        let all = aws.call("elb:DescribeTargetGroups", pages.collect::<Result<Vec<_>, _>>());
        let (all, index) = tokio::try_join!(all, tagging::index(aws, scope))?;
        let candidate = |item: TargetGroup| {
            let (arn, name) = (item.target_group_arn.clone()?, item.target_group_name()?);
            (index.contains_key(&arn) || may_be_ours(scope, super::target_group::TargetGroup::NAME, name))
                .then_some((arn, item))
        };
        with_tags(aws, all.into_iter().filter_map(candidate).collect()).await
    };
    scope.memo.get("elb.target_groups", read).await
}

/// All listeners of our load balancers, and of those of others on which we have one.
pub async fn listeners(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<Found<Listener>>>> {
    let read = || async {
        let (balancers, index) = tokio::try_join!(load_balancers(aws, scope), tagging::index(aws, scope))?;
        let ours = ours::<super::load_balancer::LoadBalancer, _>(aws, scope, &balancers);
        let elsewhere = index.keys().filter_map(|arn| parent(arn, "listener", "loadbalancer"));
        let parents: BTreeSet<String> = ours.map(|found| found.arn.clone()).chain(elsewhere).collect();
        let reads = parents.into_iter().map(|arn| async move {
            let pages = aws.elb().describe_listeners().load_balancer_arn(arn).into_paginator().items().send();
            found(aws.call("elb:DescribeListeners", pages.collect::<Result<Vec<_>, _>>()).await)
        });
        let all = try_join_all(reads).await?.into_iter().flatten().flatten();
        with_tags(aws, all.filter_map(|item| Some((item.listener_arn.clone()?, item))).collect()).await
    };
    scope.memo.get("elb.listeners", read).await
}

/// All rules of our listeners but the default ones, and those of listeners of others on which we have one.
pub async fn rules(aws: &Aws, scope: &Scope) -> Result<Arc<Vec<Found<Rule>>>> {
    let read = || async {
        let (listeners, index) = tokio::try_join!(listeners(aws, scope), tagging::index(aws, scope))?;
        let ours = ours::<super::listener::Listener, _>(aws, scope, &listeners);
        let elsewhere = index.keys().filter_map(|arn| listener_of(arn));
        let parents: BTreeSet<String> = ours.map(|found| found.arn.clone()).chain(elsewhere).collect();
        let reads = parents.into_iter().map(|arn| async move { found(rules_of(aws, &arn).await) });
        let all = try_join_all(reads).await?.into_iter().flatten().flatten();
        with_tags(aws, all.filter_map(|item| Some((item.rule_arn.clone()?, item))).collect()).await
    };
    scope.memo.get("elb.rules", read).await
}

/// The rules of one listener but the default one, which is the listener's own.
pub async fn rules_of(aws: &Aws, listener: &str) -> Result<Vec<Rule>> {
    let pages = aws.elb().describe_rules().listener_arn(listener).into_paginator().items().send();
    let mut rules = aws.call("elb:DescribeRules", pages.collect::<Result<Vec<_>, _>>()).await?;
    rules.retain(|rule| !rule.is_default().unwrap_or_default());
    Ok(rules)
}

/// Those that are ours and of the kind `K`.
pub fn ours<'a, K: Kind, T>(aws: &'a Aws, scope: &'a Scope, all: &'a [Found<T>]) -> impl Iterator<Item = &'a Found<T>> {
    all.iter().filter(|found| scope.tagged(aws, K::NAME, &found.tags).is_some())
}

/// The ARN of a rule's listener.
pub fn listener_of(rule: &str) -> Option<String> {
    parent(rule, "listener-rule", "listener")
}

fn parent(arn: &str, kind: &str, parent: &str) -> Option<String> {
    let (start, path) = arn.split_once(&format!(":{kind}/"))?;
    let (path, _) = path.rsplit_once('/')?;
    Some(format!("{start}:{parent}/{path}"))
}

/// How CloudWatch names a load balancer (`app/<name>/<id>`) or a target group (`targetgroup/<name>/<id>`).
pub fn dimension(arn: &str) -> String {
    let path = arn.splitn(6, ':').last().unwrap_or_default();
    path.strip_prefix("loadbalancer/").unwrap_or(path).to_owned()
}

fn may_be_ours(scope: &Scope, kind: &str, name: &str) -> bool {
    if scope.names.iter().any(|(address, chosen)| address.kind == kind && chosen == name) {
        return true;
    }
    let prefix = plain(&scope.prefix());
    match prefix.get(..NAME_START) {
        Some(start) if prefix.len() > NAME_START => name.starts_with(start.trim_end_matches('-')),
        _ => name.starts_with(&prefix),
    }
}

/// Addresses may hold underscores, names of this service may not.
fn plain(name: &str) -> String {
    name.replace('_', "-")
}

/// A name for what these fields replace.
pub fn generated_name(making: &Making, replacing: &str) -> String {
    let identity = &making.identity;
    plain(&identity.versioned_name(&format!("{} {replacing}", identity.address.name), NAME_LIMIT))
}

/// What is wrong with a name that the user wrote.
pub fn check_name(name: Option<&str>) -> Option<Problem> {
    let name = name?;
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let valid = (1..=NAME_LIMIT).contains(&name.len())
        && letters
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.starts_with("internal-");
    let help = "1 to 32 letters, digits and dashes, with no dash at either end, and not starting with `internal-`";
    (!valid).then(|| Problem::new("name", format!("AWS does not accept the name `{name}`")).help(help))
}

/// What is wrong with a number outside AWS's range.
pub fn check_range<N: PartialOrd + std::fmt::Display>(path: &str, value: N, low: N, high: N) -> Option<Problem> {
    let message = || format!("{value} is not between {low} and {high}, which AWS asks for");
    (value < low || value > high).then(|| Problem::new(path, message()))
}

/// Nothing, where AWS says that the thing is not there.
pub fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        other => other.map(Some),
    }
}

async fn with_tags<T>(aws: &Aws, items: Vec<(String, T)>) -> Result<Vec<Found<T>>> {
    let arns: Vec<&str> = items.iter().map(|(arn, _)| arn.as_str()).collect();
    let mut tags = tags_of(aws, &arns).await?;
    let pair = |(arn, item): (String, T)| tags.remove(&arn).map(|tags| Found { arn, tags, item });
    Ok(items.into_iter().filter_map(pair).collect())
}

/// The tags by ARN. What has gone in the meantime is left out.
pub async fn tags_of(aws: &Aws, arns: &[&str]) -> Result<BTreeMap<String, Tags>> {
    let chunks = try_join_all(arns.chunks(TAGGED_AT_ONCE).map(|chunk| describe_tags(aws, chunk))).await?;
    let mut all = BTreeMap::new();
    for (chunk, tags) in arns.chunks(TAGGED_AT_ONCE).zip(chunks) {
        match tags {
            Some(tags) => all.extend(tags),
            // One that has gone fails the whole call, and the answer does not say which one it is.
            None => {
                let each = try_join_all(chunk.iter().map(|arn| describe_tags(aws, std::slice::from_ref(arn)))).await?;
                all.extend(each.into_iter().flatten().flatten());
            }
        }
    }
    Ok(all)
}

async fn describe_tags(aws: &Aws, arns: &[&str]) -> Result<Option<Vec<(String, Tags)>>> {
    let arns = arns.iter().map(|arn| (*arn).to_owned()).collect();
    let request = aws.elb().describe_tags().set_resource_arns(Some(arns));
    let Some(answer) = found(aws.call("elb:DescribeTags", request.send()).await)? else { return Ok(None) };
    let descriptions = answer.tag_descriptions.unwrap_or_default().into_iter();
    let entry = |description: aws_sdk_elasticloadbalancingv2::types::TagDescription| {
        let tags = description.tags.unwrap_or_default().into_iter();
        let tags = tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect();
        Some((description.resource_arn?, tags))
    };
    Ok(Some(descriptions.filter_map(entry).collect()))
}

/// The tags of a create request.
pub fn tags(identity: &Identity, user: &Tags) -> Vec<Tag> {
    sdk_tags(&tags::encode(identity, user))
}

fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Brings the user's tags of a resource from `old` to `new`.
pub async fn retag(aws: &Aws, arn: &str, identity: &Identity, old: &Tags, new: &Tags) -> Result<()> {
    let (set, gone) = tags::change(identity, old, new);
    write_tags(aws, arn, &set, &gone).await
}

/// Writes tags beside those that are there, and removes some.
pub async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: &[String]) -> Result<()> {
    if !set.is_empty() {
        let request = aws.elb().add_tags().resource_arns(arn).set_tags(Some(sdk_tags(set)));
        aws.call("elb:AddTags", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.elb().remove_tags().resource_arns(arn).set_tag_keys(Some(gone.to_vec()));
        aws.call("elb:RemoveTags", request.send()).await?;
    }
    Ok(())
}

/// The holder of a name, port or priority that we need: taken over where it is what we are about to make, waited for
/// where it is another one of ours, which goes or moves in the same run, and refused else. `what` names what is held.
pub async fn holder(aws: &Aws, arn: &str, identity: &Identity, what: &str) -> Result<Id> {
    let tags = tags_of(aws, &[arn]).await?.remove(arn).unwrap_or_default();
    match tags::decode(&tags) {
        Some(tagged) if tagged.identity == *identity && !tagged.deposed => Ok(arn.to_owned()),
        Some(tagged) if same_environment(&tagged.identity, identity) => {
            let message = format!("{what} is still held by {} ({arn})", tagged.identity.address);
            Err(Failure::new("elb:DescribeTags", "HeldByOurs", message).class(Class::Busy))
        }
        _ => {
            let message = format!(
                "{what} is held by {arn}, which does not carry the tags of this environment and is left alone: \
                 choose another, or delete it, or adopt it with `infra adopt {} {} {arn}`",
                identity.environment, identity.address
            );
            Err(Failure::new("elb:DescribeTags", "HeldByOthers", message))
        }
    }
}

/// Whether both are of one environment.
pub fn same_environment(one: &Identity, other: &Identity) -> bool {
    one.project == other.project && one.environment == other.environment
}

/// The attributes to write, to come from `have` to `want`.
pub fn changed<'a>(
    have: &BTreeMap<&'static str, String>,
    want: &'a BTreeMap<&'static str, String>,
) -> impl Iterator<Item = (&'static str, &'a String)> {
    want.iter().filter(|(key, value)| have.get(*key) != Some(value)).map(|(key, value)| (*key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    fn scope(project: &str) -> Scope {
        Scope {
            project: project.into(),
            environment: "production".into(),
            account: "123456789012".into(),
            region: "us-east-1".into(),
            partition: "aws".into(),
            wanted: BTreeSet::new(),
            names: BTreeMap::new(),
            regions: BTreeSet::new(),
            zones: BTreeSet::new(),
            adopting: false,
            memo: crate::aws::Memo::default(),
        }
    }

    #[test]
    fn generated_names_are_candidates_however_long() {
        for project in ["a", "acme", "acme01", "acme012", "acme_data", "the-very-long-name-of-a-company"] {
            let scope = scope(project);
            for address in ["api", "notifications-worker-blue", "a_b"] {
                let making = Making {
                    identity: scope.identity(&Address::new("target_group", address)),
                    account: String::new(),
                    region: String::new(),
                    partition: String::new(),
                    token: String::new(),
                };
                let name = generated_name(&making, "80 HTTP");
                assert!(check_name(Some(&name)).is_none(), "{name}");
                assert!(may_be_ours(&scope, "target_group", &name), "{project} {name}");
            }
        }
        assert!(!may_be_ours(&scope("acme"), "target_group", "acme-production2-api"));
        assert!(!may_be_ours(&scope("acme"), "target_group", "others"));
    }

    #[test]
    fn arns_hold_their_parent_and_their_dimension() {
        let start = "arn:aws:elasticloadbalancing:us-east-1:123456789012";
        let rule = format!("{start}:listener-rule/app/web/50dc/f2f7/9683");
        let listener = listener_of(&rule).unwrap();
        assert_eq!(listener, format!("{start}:listener/app/web/50dc/f2f7"));
        let balancer = parent(&listener, "listener", "loadbalancer").unwrap();
        assert_eq!(balancer, format!("{start}:loadbalancer/app/web/50dc"));
        assert_eq!(parent(&rule, "listener", "loadbalancer"), None);
        assert_eq!(dimension(&balancer), "app/web/50dc");
        assert_eq!(dimension(&format!("{start}:targetgroup/api/6d0e")), "targetgroup/api/6d0e");
    }

    #[test]
    fn names_that_aws_refuses_are_found() {
        assert!(check_name(None).is_none() && check_name(Some("web-1")).is_none());
        for wrong in ["", "-web", "web-", "internal-web", "web_1", "a-name-that-is-longer-than-thirty-two"] {
            assert!(check_name(Some(wrong)).is_some(), "{wrong}");
        }
    }
}
