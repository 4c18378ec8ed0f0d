//! A web ACL of AWS WAF: rules that each request to a load balancer passes through.

mod rule;

use std::collections::BTreeSet;

use aws_sdk_wafv2::types::{
    AllowAction, BlockAction, DefaultAction as SdkDefault, ResourceType, Scope as WafScope, WebAcl as Sdk,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::rule::{Action, GROUPS, Managed, Rate, Rule};
use super::waf::{NAME_LIMIT, Named};
use super::{adopt, waf};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

/// Units of rules that AWS takes in one web ACL.
const UNITS: u32 = 5000;
const WINDOWS: &[u32] = &[60, 120, 300, 600];

/// Rules that each request to a load balancer passes through, in their order. One load balancer has one web ACL.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebAcl {
    /// The name in AWS, which its metric has too; left out, it is made of project, environment and address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What happens to a request that no rule takes.
    #[serde(default)]
    pub default_action: DefaultAction,
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// The ARNs of the load balancers that it protects.
    #[serde(default)]
    pub resources: Vec<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefaultAction {
    #[default]
    Allow,
    Block,
}

impl Kind for WebAcl {
    const NAME: &'static str = "web_acl";
    const RIGHTS: Rights = Rights {
        read: "wafv2:GetWebACL wafv2:GetWebACLForResource wafv2:ListResourcesForWebACL wafv2:ListTagsForResource \
            wafv2:ListWebACLs elasticloadbalancing:DescribeWebACLAssociation \
            elasticloadbalancing:GetLoadBalancerWebACL",
        create: "wafv2:CreateWebACL wafv2:TagResource",
        update: "wafv2:AssociateWebACL wafv2:DisassociateWebACL wafv2:TagResource wafv2:UntagResource \
            wafv2:UpdateWebACL elasticloadbalancing:CreateWebACLAssociation \
            elasticloadbalancing:DeleteWebACLAssociation elasticloadbalancing:SetWebAcl",
        delete: "wafv2:DeleteWebACL wafv2:DisassociateWebACL elasticloadbalancing:DeleteWebACLAssociation \
            elasticloadbalancing:SetWebAcl",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    // The load balancers move from the old one to the new one, and are never without.
    const CREATE_FIRST: bool = true;
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];

    fn normalize(&mut self) {
        self.resources.sort_by_key(|arn| format!("{arn:?}"));
        self.resources.dedup();
        for rule in &mut self.rules {
            if let Some(path) = rule.rate.as_mut().and_then(|rate| rate.path.as_mut()) {
                path.make_ascii_lowercase();
            }
            if let Some(group) = &mut rule.managed {
                group.count.sort();
            }
        }
    }

    fn shell(&self) -> Self {
        Self { resources: Vec::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            self.rules.iter().enumerate().flat_map(|(at, rule)| check_rule(at, rule)).collect();
        let mut names = BTreeSet::new();
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| !names.insert(rule.name.as_str())) {
            let problem = Problem::new(&format!("rules.{at}.name"), format!("two rules have the name `{}`", rule.name));
            problems.push(problem.help("give one of them another name"));
        }
        let units: u32 = self.rules.iter().map(Rule::units).sum();
        if units > UNITS {
            let message = format!("the rules take {units} units, where AWS gives a web ACL {UNITS}");
            problems.push(Problem::new("rules", message).help("leave some of them out"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        waf::list(aws, scope).await
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let request = aws.waf().create_web_acl().name(&name).scope(WafScope::Regional);
        let request = request.default_action(self.default_action.to_aws()).set_rules(Some(self.rules_for_aws()?));
        let request = request.visibility_config(rule::visibility(&name)?);
        let request = request.set_tags(Some(waf::sdk_tags(&tags::encode(&making.identity, &self.tags))?));
        match aws.call("waf:CreateWebACL", request.send()).await {
            Ok(answer) => {
                let missing = || Failure::new("waf:CreateWebACL", "NoArn", "the answer holds no ARN");
                answer.summary.and_then(|summary| summary.arn).ok_or_else(missing)
            }
            Err(failure) if failure.code == "WAFDuplicateItemException" => {
                adopt::adopt(self, aws, making, (&name, waf::find(aws, &name).await?), "waf:CreateWebACL").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let was = &live.spec;
        if (&self.rules, self.default_action) != (&was.rules, was.default_action) {
            let (now, token) = get(aws, &live.id).await?;
            let mut now = Self::from_live(now, Vec::new(), Tags::new());
            now.normalize();
            // A try whose answer was lost may have done it, after which its token is refused.
            if (&self.rules, self.default_action) != (&now.rules, now.default_action) {
                let (name, id) = waf::name_and_id(&live.id);
                let request = aws.waf().update_web_acl().name(name).id(id).scope(WafScope::Regional);
                let request = request.lock_token(token).default_action(self.default_action.to_aws());
                let request = request.set_rules(Some(self.rules_for_aws()?));
                aws.call("waf:UpdateWebACL", request.visibility_config(rule::visibility(name)?).send()).await?;
            }
        }
        for arn in self.resources.iter().filter(|arn| !was.resources.contains(arn)) {
            associate(aws, live, arn.get()?).await?;
        }
        for arn in was.resources.iter().filter(|arn| !self.resources.contains(arn)) {
            disassociate(aws, arn.get()?).await?;
        }
        let (set, gone) = tags::change(&live.identity, &was.tags, &self.tags);
        waf::write_tags(aws, &live.id, &set, gone).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        waf::write_tags(aws, &live.id, set, gone.to_vec()).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        for arn in resources(aws, &live.id).await? {
            disassociate(aws, &arn).await?;
        }
        let (name, id) = waf::name_and_id(&live.id);
        let token = get(aws, &live.id).await?.1;
        let request = aws.waf().delete_web_acl().name(name).id(id).scope(WafScope::Regional).lock_token(token);
        aws.call("waf:DeleteWebACL", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let (acl, _) = get(aws, id).await?;
        Ok(Progress::ready([("arn", acl.arn), ("name", acl.name)]))
    }
}

impl DefaultAction {
    fn to_aws(self) -> SdkDefault {
        match self {
            Self::Allow => SdkDefault::builder().allow(AllowAction::builder().build()).build(),
            Self::Block => SdkDefault::builder().block(BlockAction::builder().build()).build(),
        }
    }
}

impl WebAcl {
    fn rules_for_aws(&self) -> Result<Vec<aws_sdk_wafv2::types::Rule>> {
        self.rules.iter().enumerate().map(|(at, rule)| rule.to_aws(at)).collect()
    }

    fn from_live(acl: Sdk, resources: Vec<String>, tags: Tags) -> Self {
        let mut rules = acl.rules.unwrap_or_default();
        rules.sort_by_key(|rule| rule.priority);
        let blocks = acl.default_action.is_some_and(|action| action.block.is_some());
        Self {
            name: Some(acl.name),
            default_action: if blocks { DefaultAction::Block } else { DefaultAction::Allow },
            rules: rules.iter().map(Rule::from_aws).collect(),
            resources: resources.into_iter().map(Arg::from).collect(),
            tags,
        }
    }
}

impl Named for WebAcl {
    const SORT: &'static str = ":regional/webacl/";

    async fn all(aws: &Aws) -> Result<Vec<String>> {
        let mut arns = Vec::new();
        let mut marker = None;
        loop {
            let request = aws.waf().list_web_acls().scope(WafScope::Regional).limit(waf::PAGE).set_next_marker(marker);
            let page = aws.call("waf:ListWebACLs", request.send()).await?;
            arns.extend(page.web_acls.unwrap_or_default().into_iter().filter_map(|summary| summary.arn));
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(arns);
            }
        }
    }

    async fn read(aws: &Aws, arn: &str) -> Result<Option<Live<Self>>> {
        let reads = async { tokio::try_join!(waf::tags_of(aws, arn), get(aws, arn), resources(aws, arn)) };
        let (tags, (acl, _), resources) = match reads.await {
            Err(failure) if failure.class == Class::NotFound => return Ok(None),
            other => other?,
        };
        let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
        let name = acl.name.clone();
        let mut spec = Self::from_live(acl, resources, tagged.user.clone());
        spec.normalize();
        Ok(Some(Live::new(tagged, arn, spec).output("arn", arn).output("name", name)))
    }
}

/// The web ACL, and what an update must give so that it overwrites no other.
async fn get(aws: &Aws, arn: &str) -> Result<(Sdk, String)> {
    let answer = aws.call("waf:GetWebACL", aws.waf().get_web_acl().arn(arn).send()).await?;
    let missing = || Failure::new("waf:GetWebACL", "NotFound", format!("{arn} is gone")).class(Class::NotFound);
    Ok((answer.web_acl.ok_or_else(missing)?, answer.lock_token.unwrap_or_default()))
}

async fn resources(aws: &Aws, arn: &str) -> Result<Vec<String>> {
    let request = aws.waf().list_resources_for_web_acl().web_acl_arn(arn);
    let request = request.resource_type(ResourceType::ApplicationLoadBalancer);
    let answer = aws.call("waf:ListResourcesForWebACL", request.send()).await?;
    Ok(answer.resource_arns.unwrap_or_default())
}

/// Puts a load balancer behind this web ACL. AWS would silently take it from another one, so that is looked at first.
async fn associate(aws: &Aws, live: &Live<WebAcl>, resource: &str) -> Result<()> {
    let request = aws.waf().get_web_acl_for_resource().resource_arn(resource);
    let now = aws.call("waf:GetWebACLForResource", request.send()).await?.web_acl;
    if let Some(other) = now.filter(|other| other.arn != live.id) {
        let owner = tags::decode(&waf::tags_of(aws, &other.arn).await?).map(|tagged| tagged.identity);
        if owner.as_ref() != Some(&live.identity) {
            let message = format!(
                "the load balancer {resource} is behind the web ACL {} of others; take it out there first, or leave \
                 the load balancer out of this one",
                other.name
            );
            return Err(Failure::new("waf:AssociateWebACL", "Taken", message));
        }
    }
    let request = aws.waf().associate_web_acl().web_acl_arn(&live.id).resource_arn(resource);
    aws.call("waf:AssociateWebACL", request.send()).await.map(drop)
}

async fn disassociate(aws: &Aws, resource: &str) -> Result<()> {
    let request = aws.waf().disassociate_web_acl().resource_arn(resource);
    match aws.call("waf:DisassociateWebACL", request.send()).await {
        Err(failure) if failure.class != Class::NotFound => Err(failure),
        // The load balancer is gone, and its place here with it.
        _ => Ok(()),
    }
}

fn check_rule(at: usize, rule: &Rule) -> Vec<Problem> {
    let path = |field: &str| format!("rules.{at}.{field}");
    let mut problems = Vec::new();
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if rule.name.is_empty() || rule.name.len() > NAME_LIMIT || !rule.name.chars().all(valid) {
        let problem = Problem::new(&path("name"), format!("`{}` is no name for a rule", rule.name));
        problems.push(problem.help(format!("use 1 to {NAME_LIMIT} letters, digits, - and _")));
    }
    let forms = [rule.rate.is_some(), rule.managed.is_some(), rule.addresses.is_some()];
    if rule.foreign.is_some() || forms.iter().filter(|form| **form).count() != 1 {
        let problem = Problem::new(&format!("rules.{at}"), format!("the rule `{}` has no single form", rule.name));
        problems.push(problem.help("give exactly one of `rate`, `managed` and `addresses`"));
    }
    if rule.action == Action::Allow && rule.addresses.is_none() {
        let problem = Problem::new(&path("action"), "only a rule with `addresses` can allow");
        problems.push(problem.help("write `block` or `count`"));
    }
    let Some(rate) = &rule.rate else { return problems };
    if !(10..=2_000_000_000).contains(&rate.limit) {
        let problem = Problem::new(&path("rate.limit"), format!("AWS cannot limit to {} requests", rate.limit));
        problems.push(problem.help("10 is the least"));
    }
    if !WINDOWS.contains(&rate.window) {
        let problem = Problem::new(&path("rate.window"), format!("AWS cannot count over {} seconds", rate.window));
        problems.push(problem.help("write 60, 120, 300 or 600"));
    }
    if let Some(text) = &rate.path {
        let inner = text.strip_suffix('*').unwrap_or(text);
        if !text.starts_with('/') || inner.contains('*') || inner.len() > 200 {
            let problem = Problem::new(&path("rate.path"), format!("`{text}` is not a path that AWS can compare"));
            problems.push(problem.help("begin with `/`, with a `*` only at the end, such as /api/*"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told() {
        let acl: WebAcl = serde_json::from_value(serde_json::json!({ "rules": [
            { "name": "a b", "rate": { "limit": 9, "window": 61, "path": "/a/*/b" } },
            { "name": "c", "action": "allow", "managed": { "name": "AWSManagedRulesCommonRuleSet" } },
            { "name": "c", "addresses": "arn", "action": "allow" },
            { "name": "d" },
        ]}))
        .unwrap();
        let paths: Vec<_> = acl.check().into_iter().map(|problem| problem.path).collect();
        let rate = ["rules.0.name", "rules.0.rate.limit", "rules.0.rate.window", "rules.0.rate.path"];
        assert_eq!(paths, [&rate[..], &["rules.1.action", "rules.3", "rules.2.name"]].concat());
    }
}
