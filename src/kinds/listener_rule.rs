//! A rule of a listener: which requests it takes, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{
    HostHeaderConditionConfig, HttpHeaderConditionConfig, HttpRequestMethodConditionConfig, PathPatternConditionConfig,
    QueryStringConditionConfig, QueryStringKeyValuePair, Rule, RuleCondition, RulePriorityPair,
    SourceIpConditionConfig,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::elb;
use super::elb::action::Action;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Remark, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// The lowest and the highest priority.
const PRIORITIES: (u16, u16) = (1, 50_000);
/// As many values as all conditions of a rule may hold together.
const VALUES: usize = 5;

/// A rule of a listener. The rule with the lowest priority whose conditions all hold takes the request.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerRule {
    pub listener_arn: Arg<String>,
    pub priority: u16,
    pub conditions: Conditions,
    pub action: Action,
    #[serde(default)]
    pub tags: Tags,
}

/// Which requests a rule takes. Each condition that is given must hold; of its values, one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Host names; `*` and `?` are wildcards.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// Paths; `*` and `?` are wildcards.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
    /// Values by the name of the header; each header must match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
    /// Ranges of client addresses.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub source_ips: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub query: BTreeSet<Query>,
}

/// A parameter in the query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Absent, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub value: String,
}

fn lower(values: &BTreeSet<String>) -> BTreeSet<String> {
    values.iter().map(|value| value.to_ascii_lowercase()).collect()
}

impl Conditions {
    /// Host and header names are the same in upper and lower case.
    fn normalize(&mut self) {
        self.hosts = lower(&self.hosts);
        let headers = std::mem::take(&mut self.headers).into_iter();
        self.headers = headers.map(|(name, values)| (name.to_ascii_lowercase(), values)).collect();
    }

    fn values(&self) -> usize {
        let plain = [&self.hosts, &self.paths, &self.methods, &self.source_ips];
        plain.into_iter().chain(self.headers.values()).map(BTreeSet::len).sum::<usize>() + self.query.len()
    }

    fn to_sdk(&self) -> Vec<RuleCondition> {
        let list = |values: &BTreeSet<String>| (!values.is_empty()).then(|| values.iter().cloned().collect());
        let field = |name: &str| RuleCondition::builder().field(name);
        let mut all = Vec::new();
        if let Some(values) = list(&self.hosts) {
            let config = HostHeaderConditionConfig::builder().set_values(Some(values)).build();
            all.push(field("host-header").host_header_config(config).build());
        }
        if let Some(values) = list(&self.paths) {
            let config = PathPatternConditionConfig::builder().set_values(Some(values)).build();
            all.push(field("path-pattern").path_pattern_config(config).build());
        }
        for (name, values) in &self.headers {
            let config = HttpHeaderConditionConfig::builder().http_header_name(name).set_values(list(values)).build();
            all.push(field("http-header").http_header_config(config).build());
        }
        if let Some(values) = list(&self.methods) {
            let config = HttpRequestMethodConditionConfig::builder().set_values(Some(values)).build();
            all.push(field("http-request-method").http_request_method_config(config).build());
        }
        if let Some(values) = list(&self.source_ips) {
            let config = SourceIpConditionConfig::builder().set_values(Some(values)).build();
            all.push(field("source-ip").source_ip_config(config).build());
        }
        if !self.query.is_empty() {
            let pair = |query: &Query| {
                QueryStringKeyValuePair::builder().set_key(query.key.clone()).value(&query.value).build()
            };
            let config = QueryStringConditionConfig::builder().set_values(Some(self.query.iter().map(pair).collect()));
            all.push(field("query-string").query_string_config(config.build()).build());
        }
        all
    }

    fn read(live: &[RuleCondition]) -> Self {
        let mut all = Self::default();
        for condition in live {
            // Some fields are told twice, once plainly; older answers hold only the plain values.
            let plain = condition.values();
            let or_plain = |values: Option<&[String]>| -> Vec<String> {
                values.filter(|values| !values.is_empty()).unwrap_or(plain).to_vec()
            };
            match condition.field().unwrap_or_default() {
                "host-header" => {
                    all.hosts.extend(or_plain(condition.host_header_config().map(|config| config.values())));
                }
                "path-pattern" => {
                    all.paths.extend(or_plain(condition.path_pattern_config().map(|config| config.values())));
                }
                "http-request-method" => {
                    let config = condition.http_request_method_config();
                    all.methods.extend(or_plain(config.map(|config| config.values())));
                }
                "source-ip" => {
                    all.source_ips.extend(or_plain(condition.source_ip_config().map(|config| config.values())));
                }
                "http-header" => {
                    let Some(config) = condition.http_header_config() else { continue };
                    let header = all.headers.entry(config.http_header_name().unwrap_or_default().to_owned());
                    header.or_default().extend(config.values().iter().cloned());
                }
                "query-string" => {
                    let pairs = condition.query_string_config().map(|config| config.values()).unwrap_or_default();
                    let query = |pair: &QueryStringKeyValuePair| Query {
                        key: pair.key().filter(|key| !key.is_empty()).map(str::to_owned),
                        value: pair.value().unwrap_or_default().to_owned(),
                    };
                    all.query.extend(pairs.iter().map(query));
                }
                _ => {}
            }
        }
        all
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let problem = |path: &str, message: String| Problem::new(&format!("conditions.{path}"), message);
        let count = self.values();
        if count == 0 {
            let help = "name hosts, paths, headers, methods, source_ips or a query";
            problems.push(Problem::new("conditions", "a rule needs a condition").help(help));
        }
        if count > VALUES {
            let message = format!("{count} values, where AWS takes at most {VALUES} in all conditions of a rule");
            problems.push(Problem::new("conditions", message).help("use a wildcard, or split the rule in two"));
        }
        let too_long = |value: &&String| value.is_empty() || value.len() > 128;
        for (path, values) in [("hosts", &self.hosts), ("paths", &self.paths)] {
            let wrong = values.iter().filter(too_long);
            problems.extend(wrong.map(|value| problem(path, format!("`{value}` does not have 1 to 128 characters"))));
        }
        for (name, values) in &self.headers {
            let path = format!("headers.{name}");
            if values.is_empty() {
                problems.push(problem(&path, "no value is given".to_owned()).help("`*` stands for any"));
            }
            if name.eq_ignore_ascii_case("host") {
                problems.push(problem(&path, "AWS does not match the header Host here".to_owned()).help("use hosts"));
            }
            let wrong = values.iter().filter(too_long);
            problems.extend(wrong.map(|value| problem(&path, format!("`{value}` does not have 1 to 128 characters"))));
        }
        for method in &self.methods {
            let valid = |c: char| c.is_ascii_uppercase() || c == '-' || c == '_';
            if method.is_empty() || method.len() > 40 || !method.chars().all(valid) {
                let message = format!("AWS does not accept the method `{method}`");
                problems.push(problem("methods", message).help("write it in capitals, as in GET"));
            }
        }
        for range in &self.source_ips {
            if range.parse::<ipnet::IpNet>().is_err() {
                let help = "write an address and a length, as in 192.0.2.0/24 or 192.0.2.1/32";
                problems.push(problem("source_ips", format!("`{range}` is not a range of addresses")).help(help));
            }
        }
        problems
    }
}

impl ListenerRule {
    fn read(found: &elb::Found<Rule>, tags: Tags) -> (Self, Vec<Remark>) {
        let (action, notes) = Action::read(found.item.actions());
        let spec = Self {
            listener_arn: elb::listener_of(&found.arn).unwrap_or_default().into(),
            priority: priority(&found.item).unwrap_or_default(),
            conditions: Conditions::read(found.item.conditions()),
            action,
            tags,
        };
        (spec, notes)
    }

    /// Conditions and action, in one request that holds only what differs.
    async fn modify(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let mut request = aws.elb().modify_rule().rule_arn(&live.id);
        let mut differs = false;
        if self.conditions != live.spec.conditions {
            (request, differs) = (request.set_conditions(Some(self.conditions.to_sdk())), true);
        }
        if !self.action.same_but_weights(&live.spec.action) {
            let now = aws.call("elb:DescribeRules", aws.elb().describe_rules().rule_arns(&live.id).send()).await?;
            let now = now.rules().first().map(Rule::actions).unwrap_or_default();
            Action::refuse_foreign("elb:ModifyRule", now)?;
            let (now, _) = Action::read(now);
            let action = self.action.with_live_weights(aws, &now).await?;
            (request, differs) = (request.actions(action.to_sdk()?), true);
        }
        if differs {
            aws.call("elb:ModifyRule", request.send()).await?;
        }
        Ok(())
    }

    /// Gives the rule its priority. Another rule of ours that still holds it moves to a free one beside it in the same
    /// request, until its own turn comes: two rules that trade places would otherwise wait for each other for ever.
    async fn prioritize(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let failure = match set_priorities(aws, &[(&live.id, self.priority)]).await {
            Err(failure) if failure.code == "PriorityInUse" => failure,
            other => return other,
        };
        let rules = elb::rules_of(aws, self.listener_arn.get()?).await?;
        let held = |rule: &&Rule| priority(rule) == Some(self.priority);
        let Some(arn) = rules.iter().find(held).and_then(Rule::rule_arn) else {
            return Err(failure.class(Class::Busy));
        };
        let what = format!("priority {}", self.priority);
        match elb::holder(aws, arn, &live.identity, &what).await {
            Err(failure) if failure.class != Class::Busy => return Err(failure),
            _ => {}
        }
        let taken: BTreeSet<u16> = rules.iter().filter_map(priority).collect();
        let free = beside(self.priority, &taken).ok_or(failure)?;
        let result = set_priorities(aws, &[(&live.id, self.priority), (arn, free)]).await;
        // Somebody else has moved meanwhile: look again.
        result.map_err(|failure| if failure.code == "PriorityInUse" { failure.class(Class::Busy) } else { failure })
    }
}

fn priority(rule: &Rule) -> Option<u16> {
    rule.priority()?.parse().ok()
}

/// The first free priority after this one, so that the order of the rules stays, else the last before it.
fn beside(priority: u16, taken: &BTreeSet<u16>) -> Option<u16> {
    let mut after = priority.saturating_add(1)..=PRIORITIES.1;
    let mut before = (PRIORITIES.0..priority).rev();
    after.find(|free| !taken.contains(free)).or_else(|| before.find(|free| !taken.contains(free)))
}

async fn set_priorities(aws: &Aws, pairs: &[(&str, u16)]) -> Result<()> {
    let pair = |(arn, priority): &(&str, u16)| {
        RulePriorityPair::builder().rule_arn(*arn).priority(i32::from(*priority)).build()
    };
    let request = aws.elb().set_rule_priorities().set_rule_priorities(Some(pairs.iter().map(pair).collect()));
    aws.call("elb:SetRulePriorities", request.send()).await.map(drop)
}

impl Kind for ListenerRule {
    const NAME: &'static str = "listener_rule";
    const RIGHTS: Rights = Rights {
        read: "elasticloadbalancing:DescribeListeners elasticloadbalancing:DescribeLoadBalancers \
            elasticloadbalancing:DescribeRules elasticloadbalancing:DescribeTags",
        create: "elasticloadbalancing:AddTags elasticloadbalancing:CreateRule",
        update: "elasticloadbalancing:AddTags elasticloadbalancing:RemoveTags elasticloadbalancing:ModifyRule \
            elasticloadbalancing:SetRulePriorities",
        delete: "elasticloadbalancing:DeleteRule",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["listener_arn"];
    const CARRIED: &'static [&'static str] = &["action"];
    const UNIQUE: &'static [&'static str] = &["listener_arn", "priority"];
    const OUTPUTS: &'static [&'static str] = &["arn"];

    fn normalize(&mut self) {
        self.conditions.normalize();
        self.action.normalize();
    }

    fn take_over(&mut self, live: &Self) {
        self.action.take_over(&live.action);
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            elb::check_range("priority", self.priority, PRIORITIES.0, PRIORITIES.1).into_iter().collect();
        problems.extend(self.conditions.check());
        problems.extend(self.action.check("action"));
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let all = elb::rules(aws, scope).await?;
        let read = |found: &elb::Found<Rule>| {
            let tagged = scope.tagged(aws, Self::NAME, &found.tags)?;
            let (spec, notes) = Self::read(found, tagged.user.clone());
            let mut live = Live::new(tagged, &found.arn, spec).output("arn", &found.arn);
            live.notes = notes;
            Some(live)
        };
        Ok(all.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let listener = self.listener_arn.get()?;
        let request = aws
            .elb()
            .create_rule()
            .listener_arn(listener)
            .priority(self.priority.into())
            .set_conditions(Some(self.conditions.to_sdk()))
            .actions(self.action.to_sdk()?)
            .set_tags(Some(elb::tags(&making.identity, &self.tags)));
        let answer = match aws.call("elb:CreateRule", request.send()).await {
            Err(failure) if failure.code == "PriorityInUse" => {
                let rules = elb::rules_of(aws, listener).await?;
                let holder = rules.iter().find(|rule| priority(rule) == Some(self.priority)).and_then(Rule::rule_arn);
                let arn = holder.ok_or_else(|| failure.class(Class::Busy))?;
                return elb::holder(aws, arn, &making.identity, &format!("priority {}", self.priority)).await;
            }
            other => other?,
        };
        let arn = answer.rules().first().and_then(Rule::rule_arn);
        arn.map(str::to_owned).ok_or_else(|| Failure::new("elb:CreateRule", "NoArn", "the answer holds no ARN"))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        if self.priority != live.spec.priority {
            self.prioritize(aws, live).await?;
        }
        self.modify(aws, live).await?;
        elb::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        elb::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        aws.call("elb:DeleteRule", aws.elb().delete_rule().rule_arn(&live.id).send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let answer = aws.call("elb:DescribeRules", aws.elb().describe_rules().rule_arns(id).send()).await?;
        Ok(match answer.rules() {
            [] => Progress::Gone,
            _ => Progress::ready([("arn", id.clone())]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(json: &str) -> Conditions {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn conditions_survive_the_way_to_aws_and_back() {
        let mut all = conditions(
            r#"{"hosts": ["API.example.com"], "paths": ["/a*", "/b"], "headers": {"X-Release": ["idle"]},
                "methods": ["GET"], "source_ips": ["192.0.2.0/24"],
                "query": [{"key": "v", "value": "2"}, {"value": "x"}]}"#,
        );
        all.normalize();
        assert_eq!(Conditions::read(&all.to_sdk()), all);
        assert_eq!(all.hosts.first().unwrap(), "api.example.com");
        assert!(all.headers.contains_key("x-release"));
        let old = RuleCondition::builder().field("path-pattern").values("/old").build();
        assert_eq!(Conditions::read(&[old]), conditions(r#"{"paths": ["/old"]}"#));
    }

    #[test]
    fn what_aws_refuses_is_found() {
        for (json, paths) in [
            (r#"{"hosts": ["a.example.com"]}"#, vec![]),
            ("{}", vec!["conditions"]),
            (r#"{"paths": ["/1", "/2", "/3", "/4", "/5", "/6"]}"#, vec!["conditions"]),
            (r#"{"headers": {"Host": ["a"]}}"#, vec!["conditions.headers.Host"]),
            (
                r#"{"methods": ["get"], "source_ips": ["10.0.0.1"]}"#,
                vec!["conditions.methods", "conditions.source_ips"],
            ),
        ] {
            let found: Vec<_> = conditions(json).check().into_iter().map(|problem| problem.path).collect();
            assert_eq!(found, paths, "{json}");
        }
    }

    #[test]
    fn a_rule_in_the_way_moves_to_the_next_free_place() {
        assert_eq!(beside(10, &BTreeSet::from([10, 11, 20])), Some(12));
        assert_eq!(beside(50_000, &BTreeSet::from([50_000])), Some(49_999));
    }
}
