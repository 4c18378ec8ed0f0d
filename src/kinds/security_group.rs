//! A security group, with its rules.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, SecurityGroupRuleDescription, Tag, TagSpecification};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod rule;

pub use rule::{Peer, Ports, Protocol, Rule};

use self::rule::{Changes, Found};
use super::{ec2, ec2_users};
use crate::address::{ADDRESS, Identity};
use crate::aws::Aws;
use crate::kind::{Blocker, Class, Failure, Id, Kind, Live, Making, Problem, Progress, Remark, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

/// The tag that remembers that a group's rules are exclusive, which is nothing that AWS knows.
const EXCLUSIVE: &str = "infra:exclusive";
/// The number of values that AWS takes in one filter.
const FILTER_VALUES: usize = 200;

/// A security group, with its rules.
///
/// Each rule carries the identity of its group as tags. A rule with these tags that is not in the file is revoked; so
/// is the rule that AWS adds to each new group and that lets everything out. Rules of others, without these tags, are
/// left alone and shown, unless the group is `exclusive`. One that says what the file says becomes ours: it is tagged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroup {
    pub vpc_id: Arg<String>,
    /// The name, unique within the VPC. Absent, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the group is for. AWS cannot change it, so that another description means another group.
    pub description: String,
    /// What may come in. Answers to what may go out come in without a rule.
    #[serde(default)]
    pub ingress: Vec<Rule>,
    /// What may go out. None means nothing.
    #[serde(default)]
    pub egress: Vec<Rule>,
    /// Whether rules of others are revoked.
    #[serde(default)]
    pub exclusive: bool,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for SecurityGroup {
    const NAME: &'static str = "security_group";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeSecurityGroupRules ec2:DescribeSecurityGroups",
        create: "ec2:CreateSecurityGroup ec2:CreateTags",
        update: "ec2:AuthorizeSecurityGroupEgress ec2:AuthorizeSecurityGroupIngress ec2:CreateTags ec2:DeleteTags \
            ec2:RevokeSecurityGroupEgress ec2:RevokeSecurityGroupIngress \
            ec2:UpdateSecurityGroupRuleDescriptionsEgress ec2:UpdateSecurityGroupRuleDescriptionsIngress",
        delete: "ec2:DeleteSecurityGroup",
        tells: "ec2:DescribeInstances ec2:DescribeNetworkInterfaces",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["vpc_id", "name", "description"];
    const CREATE_FIRST: bool = true;
    const LATE: &'static [&'static str] = &["ingress", "egress"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["id"];
    const HELD_BY: &'static [&'static str] =
        &["db_instance", "ecs_service", "lambda_function", "load_balancer", "replication_group", "vpc_endpoint"];

    fn normalize(&mut self) {
        for rules in [&mut self.ingress, &mut self.egress] {
            rules.iter_mut().for_each(Rule::normalize);
            rules.sort();
            rules.dedup();
        }
    }

    fn shell(&self) -> Self {
        Self { ingress: Vec::new(), egress: vec![Rule::everything("0.0.0.0/0")], ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.description.is_empty() || !ec2::is_description(&self.description) {
            problems.push(Problem::new("description", ec2::NOT_A_DESCRIPTION).help(ec2::DESCRIPTION_HELP));
        }
        if let Some(name) = &self.name {
            if name.is_empty() || !ec2::is_description(name) {
                problems.push(Problem::new("name", "AWS does not take this as a name").help(ec2::DESCRIPTION_HELP));
            }
            if name.to_lowercase().starts_with("sg-") {
                let problem =
                    Problem::new("name", "a name that starts with `sg-` would look like an id, and AWS refuses it");
                problems.push(problem.help("choose another name, or leave `name` out to have one generated"));
            }
        }
        problems.extend(check_rules("ingress", &self.ingress));
        problems.extend(check_rules("egress", &self.egress));
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let request = aws.ec2().describe_security_groups().set_filters(Some(ec2::ours(aws, scope)));
        let pages = request.into_paginator().items().send();
        let groups = aws.call("ec2:DescribeSecurityGroups", pages.collect::<Result<Vec<_>, _>>()).await?;
        let ours = groups.iter().filter_map(|group| {
            let tags = ec2::read_tags(group.tags());
            Some((group, scope.tagged(aws, Self::NAME, &tags)?, tags.contains_key(EXCLUSIVE)))
        });
        let ours: Vec<_> = ours.collect();
        let ids: Vec<_> = ours.iter().filter_map(|(group, ..)| group.group_id()).collect();
        let mut rules = rules_of(aws, &ids).await?;
        let read = ours.into_iter().map(|(group, tagged, exclusive)| {
            let id = group.group_id().unwrap_or_default();
            let mut spec = Self {
                vpc_id: group.vpc_id().unwrap_or_default().into(),
                name: group.group_name().map(str::to_owned),
                description: group.description().unwrap_or_default().to_owned(),
                ingress: Vec::new(),
                egress: Vec::new(),
                exclusive,
                tags: tagged.user.clone(),
            };
            let notes = spec.take_rules(aws, rules.remove(id).unwrap_or_default(), &tagged.identity);
            Live { notes, ..Live::new(tagged, id, spec).output("id", id) }
        });
        Ok(read.collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let vpc = self.vpc_id.get()?;
        let name = self.name.clone().unwrap_or_else(|| generated_name(making, vpc, &self.description));
        let mut tags = tags::encode_named(&making.identity, &self.tags);
        if self.exclusive {
            tags.insert(EXCLUSIVE.to_owned(), "true".to_owned());
        }
        let request = aws.ec2().create_security_group().vpc_id(vpc).group_name(&name).description(&self.description);
        let request = request.tag_specifications(specification(ResourceType::SecurityGroup, &tags));
        match aws.call("ec2:CreateSecurityGroup", request.send()).await {
            Err(failure) if failure.code == "InvalidGroup.Duplicate" => {
                adopt(aws, &making.identity, vpc, &name, failure).await
            }
            answer => ec2::made("ec2:CreateSecurityGroup", answer?.group_id()),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let mut wanted = self.clone();
        wanted.normalize();
        // The rules are read again, so that the one which AWS adds to a new group is seen, and that a second try finds
        // what the first one has done.
        let found = rules_of(aws, &[&live.id]).await?.remove(&live.id).unwrap_or_default();
        let (egress, ingress): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.egress);
        let changes = |found: &[Found], rules| rule::changes(found, rules, &live.identity, self.exclusive);
        let (come, go) = (changes(&ingress, &wanted.ingress), changes(&egress, &wanted.egress));
        tokio::try_join!(
            authorise(aws, live, Direction::Ingress, &come.authorise),
            authorise(aws, live, Direction::Egress, &go.authorise),
            describe(aws, &live.id, Direction::Ingress, &come.describe),
            describe(aws, &live.id, Direction::Egress, &go.describe),
            tag_rules(aws, &live.identity, [&come, &go]),
        )?;
        tokio::try_join!(
            revoke(aws, &live.id, Direction::Ingress, &come.revoke),
            revoke(aws, &live.id, Direction::Egress, &go.revoke),
            revoke_unseen(aws, live, &egress, &wanted.egress),
        )?;
        if self.exclusive != live.spec.exclusive {
            mark_exclusive(aws, &live.id, self.exclusive).await?;
        }
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        let mut ids = vec![live.id.clone()];
        // Its rules carry the same identity, and go with it.
        if set.contains_key(ADDRESS) || gone.iter().any(|key| key == ADDRESS) {
            let rules = rules_of(aws, &[&live.id]).await?.remove(&live.id).unwrap_or_default();
            let go = |found: &&Found| found.is_nobodys() || found.is_ours(&live.identity);
            ids.extend(rules.iter().filter(go).map(|found| found.id.clone()));
        }
        for id in &ids {
            ec2::write_tags(aws, id, set, gone).await?;
        }
        Ok(())
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.ec2().delete_security_group().group_id(&live.id);
        aws.call("ec2:DeleteSecurityGroup", request.send()).await.map(drop)
    }

    async fn blockers(aws: &Aws, live: &Live<Self>) -> Result<Vec<Blocker>> {
        ec2_users::of_group(aws, &live.id).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let request = aws.ec2().describe_security_groups().group_ids(id);
        let answer = aws.call("ec2:DescribeSecurityGroups", request.send()).await?;
        Ok(answer.security_groups().first().map_or(Progress::Gone, |_| Progress::ready([("id", id.clone())])))
    }
}

impl SecurityGroup {
    /// Takes the rules that are ours, or all of an exclusive group, and returns a note for each of the others. Those of
    /// nobody come with a group that is being adopted.
    fn take_rules(&mut self, aws: &Aws, rules: Vec<Found>, group: &Identity) -> Vec<Remark> {
        let come = |found: &Found| aws.tagged(&found.tags).is_some_and(|tagged| tagged.identity == *group);
        let is_ours = |found: &Found| self.exclusive || found.is_ours(group) || come(found);
        let (ours, others): (Vec<_>, _) = rules.into_iter().partition(is_ours);
        let (egress, ingress): (Vec<_>, Vec<_>) = ours.into_iter().partition(|found| found.egress);
        self.ingress = ingress.into_iter().map(|found| found.rule).collect();
        self.egress = egress.into_iter().map(|found| found.rule).collect();
        let note = |Found { id, egress, rule, .. }: &Found| {
            let direction = if *egress { "egress" } else { "ingress" };
            Remark::foreign(format!(
                "others added {direction} rule {id} ({rule}), which is left alone; `exclusive: true` would revoke it"
            ))
        };
        others.iter().map(note).collect()
    }
}

fn check_rules(field: &str, rules: &[Rule]) -> Vec<Problem> {
    let mut normal = rules.to_vec();
    normal.iter_mut().for_each(Rule::normalize);
    let mut problems = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("{field}.{index}");
        problems.extend(rule.check(&path));
        if normal[..index].iter().any(|earlier| earlier.same(&normal[index])) {
            let problem = Problem::new(&path, "another rule says the same");
            problems
                .push(problem.help("AWS holds two rules that differ only in their description for one: remove one"));
        }
    }
    problems
}

/// Ends in a hash of what replaces the group, so that the new one can be made beside the old one.
fn generated_name(making: &Making, vpc: &str, description: &str) -> String {
    let name = making.identity.versioned_name(&format!("{vpc} {description}"), 250);
    // A name that looks like an id is refused.
    if name.starts_with("sg-") { format!("for-{name}") } else { name }
}

fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(ec2::sdk_tags(tags))).build()
}

/// The id of the group that has our name already, where it is ours, as when the answer to a create was lost.
async fn adopt(aws: &Aws, identity: &Identity, vpc: &str, name: &str, failure: Failure) -> Result<Id> {
    // Wildcards in a filter's value match more than the name, so that the answer is compared once more.
    let filters = vec![ec2::filter("vpc-id", [vpc]), ec2::filter("group-name", [name])];
    let request = aws.ec2().describe_security_groups().set_filters(Some(filters));
    let answer = aws.call("ec2:DescribeSecurityGroups", request.send()).await?;
    let Some(group) = answer.security_groups().iter().find(|group| group.group_name() == Some(name)) else {
        let message =
            format!("{vpc} has another group named `{name}` but for upper and lower case: choose another `name`");
        return Err(Failure { message, ..failure });
    };
    let id = group.group_id().unwrap_or_default();
    match tags::decode(&ec2::read_tags(group.tags())) {
        Some(tagged) if tagged.identity == *identity && !tagged.deposed => Ok(id.to_owned()),
        Some(tagged) if tagged.identity == *identity => {
            let message = format!("{id}, which is replaced and about to be deleted, still has the name `{name}`");
            Err(Failure { message, class: Class::Busy, ..failure })
        }
        _ => {
            let (environment, address) = (&identity.environment, &identity.address);
            let remedy =
                format!("choose another `name`, or take it over with `infra adopt {environment} {address} {id}`");
            Err(Failure {
                message: format!("{id} in {vpc}, which is not ours, has the name `{name}`: {remedy}"),
                ..failure
            })
        }
    }
}

/// The rules of these groups, by group.
async fn rules_of(aws: &Aws, groups: &[&str]) -> Result<BTreeMap<String, Vec<Found>>> {
    let reads = groups.chunks(FILTER_VALUES).map(|groups| async move {
        let filter = ec2::filter("group-id", groups.iter().copied());
        let pages = aws.ec2().describe_security_group_rules().filters(filter).into_paginator().items().send();
        aws.call("ec2:DescribeSecurityGroupRules", pages.collect::<Result<Vec<_>, _>>()).await
    });
    let mut rules: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for read in try_join_all(reads).await?.iter().flatten() {
        if let Some(found) = Found::read(read) {
            rules.entry(read.group_id().unwrap_or_default().to_owned()).or_default().push(found);
        }
    }
    Ok(rules)
}

#[derive(Clone, Copy)]
enum Direction {
    Ingress,
    Egress,
}

async fn authorise(aws: &Aws, live: &Live<SecurityGroup>, direction: Direction, rules: &[Rule]) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let rules = Some(rules.iter().map(Rule::permission).collect::<Result<Vec<_>, _>>()?);
    let tags = specification(ResourceType::SecurityGroupRule, &tags::encode(&live.identity, &Tags::new()));
    let done = match direction {
        Direction::Ingress => {
            let request = aws.ec2().authorize_security_group_ingress().group_id(&live.id).tag_specifications(tags);
            let request = request.set_ip_permissions(rules);
            aws.call("ec2:AuthorizeSecurityGroupIngress", request.send()).await.map(drop)
        }
        Direction::Egress => {
            let request = aws.ec2().authorize_security_group_egress().group_id(&live.id).tag_specifications(tags);
            let request = request.set_ip_permissions(rules);
            aws.call("ec2:AuthorizeSecurityGroupEgress", request.send()).await.map(drop)
        }
    };
    // A rule that the read did not show yet is there when the executor looks again, and is then adopted if need be.
    done.map_err(|failure| match failure.code.as_str() {
        "InvalidPermission.Duplicate" => failure.class(Class::Busy),
        _ => failure,
    })
}

async fn describe(aws: &Aws, group: &str, direction: Direction, rules: &[(String, String)]) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let description = |(id, text): &(String, String)| {
        let text = Some(text.clone()).filter(|text| !text.is_empty());
        SecurityGroupRuleDescription::builder().security_group_rule_id(id).set_description(text).build()
    };
    let rules = Some(rules.iter().map(description).collect());
    match direction {
        Direction::Ingress => {
            let request = aws.ec2().update_security_group_rule_descriptions_ingress().group_id(group);
            let request = request.set_security_group_rule_descriptions(rules);
            aws.call("ec2:UpdateSecurityGroupRuleDescriptionsIngress", request.send()).await.map(drop)
        }
        Direction::Egress => {
            let request = aws.ec2().update_security_group_rule_descriptions_egress().group_id(group);
            let request = request.set_security_group_rule_descriptions(rules);
            aws.call("ec2:UpdateSecurityGroupRuleDescriptionsEgress", request.send()).await.map(drop)
        }
    }
}

async fn tag_rules(aws: &Aws, group: &Identity, changes: [&Changes; 2]) -> Result<()> {
    let ids: Vec<_> = changes.iter().flat_map(|changes| changes.adopt.iter().cloned()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let tags = ec2::sdk_tags(&tags::encode(group, &Tags::new()));
    let request = aws.ec2().create_tags().set_resources(Some(ids)).set_tags(Some(tags));
    aws.call("ec2:CreateTags", request.send()).await.map(drop)
}

async fn revoke(aws: &Aws, group: &str, direction: Direction, rules: &[String]) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let rules = Some(rules.to_vec());
    match direction {
        Direction::Ingress => {
            let request = aws.ec2().revoke_security_group_ingress().group_id(group).set_security_group_rule_ids(rules);
            aws.call("ec2:RevokeSecurityGroupIngress", request.send()).await.map(drop)
        }
        Direction::Egress => {
            let request = aws.ec2().revoke_security_group_egress().group_id(group).set_security_group_rule_ids(rules);
            aws.call("ec2:RevokeSecurityGroupEgress", request.send()).await.map(drop)
        }
    }
}

/// Revokes what AWS adds to a new group by what it says, where a read right after the create does not show it yet.
async fn revoke_unseen(aws: &Aws, live: &Live<SecurityGroup>, egress: &[Found], wanted: &[Rule]) -> Result<()> {
    let implicit = Rule::everything("0.0.0.0/0");
    let expected = live.spec.egress.iter().any(|rule| rule.same(&implicit));
    let seen = egress.iter().any(|found| found.rule.same(&implicit));
    if !expected || seen || wanted.iter().any(|rule| rule.same(&implicit)) {
        return Ok(());
    }
    let request = aws.ec2().revoke_security_group_egress().group_id(&live.id).ip_permissions(implicit.permission()?);
    match aws.call("ec2:RevokeSecurityGroupEgress", request.send()).await {
        Err(failure) if failure.code == "InvalidPermission.NotFound" => Ok(()),
        other => other.map(drop),
    }
}

async fn mark_exclusive(aws: &Aws, group: &str, exclusive: bool) -> Result<()> {
    let tag = Tag::builder().key(EXCLUSIVE);
    if exclusive {
        let request = aws.ec2().create_tags().resources(group).tags(tag.value("true").build());
        aws.call("ec2:CreateTags", request.send()).await.map(drop)
    } else {
        let request = aws.ec2().delete_tags().resources(group).tags(tag.build());
        aws.call("ec2:DeleteTags", request.send()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_a_set() {
        let rule =
            |port: u16| Rule { protocol: Protocol::Tcp, ports: Some(port.into()), ..Rule::everything("10.0.0.1/8") };
        let group = |ingress: Vec<Rule>| SecurityGroup {
            vpc_id: "vpc-1".into(),
            name: None,
            description: "containers".into(),
            ingress,
            egress: Vec::new(),
            exclusive: false,
            tags: Tags::new(),
        };
        let (mut one, mut other) = (group(vec![rule(80), rule(443), rule(80)]), group(vec![rule(443), rule(80)]));
        let paths: Vec<_> = one.check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["ingress.2"]);
        one.normalize();
        other.normalize();
        assert_eq!(one.ingress, other.ingress);
        let wrong = SecurityGroup { name: Some("sg-api".into()), description: "a > b".into(), ..other };
        assert_eq!(wrong.check().len(), 2);
    }
}
