//! The rules of a web ACL. Each is one of three forms; what AWS holds in any other form is shown as foreign.

use aws_sdk_wafv2::types::{
    AllowAction, AndStatement, BlockAction, ByteMatchStatement, CountAction, FieldToMatch, IpSetReferenceStatement,
    ManagedRuleGroupStatement, NoneAction, NotStatement, OverrideAction, PositionalConstraint, RateBasedStatement,
    RateBasedStatementAggregateKeyType, Rule as Sdk, RuleAction, RuleActionOverride, Statement, TextTransformation,
    TextTransformationType, UriPath, VisibilityConfig,
};
use aws_smithy_types::Blob;
use aws_smithy_types::error::operation::BuildError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{Failure, Result};
use crate::value::Arg;

/// Who makes the groups of rules that AWS keeps up to date.
const AWS: &str = "AWS";

/// A rule: exactly one of `rate`, `managed` and `addresses`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which its metric has too.
    pub name: String,
    /// What happens to a request that it matches. For `managed`, `block` is what each rule of the group says.
    #[serde(default)]
    pub action: Action,
    /// Matches what comes from an address that asks too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Matches what a group of rules of AWS matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,
    /// Matches what comes from the addresses of the IP set with this ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Arg<String>>,
    /// A rule of others, in a form that is not one of these. It cannot be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Allow,
    #[default]
    Block,
    /// Only counts, and lets later rules decide.
    Count,
}

/// How many requests one address may make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// As many requests in `window` pass, 10 to 2,000,000,000.
    pub limit: u32,
    /// Seconds: 60, 120, 300 or 600.
    #[serde(default = "five_minutes")]
    pub window: u32,
    /// Only requests of this path count; a `*` at its end stands for the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The ARN of an IP set whose addresses are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<Arg<String>>,
}

const fn five_minutes() -> u32 {
    300
}

/// A group of rules that AWS keeps up to date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Managed {
    /// As in `AWSManagedRulesCommonRuleSet`.
    pub name: String,
    /// Rules of the group that only count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub count: Vec<String>,
}

impl Rule {
    /// What the rule takes of the 5000 units that a web ACL has.
    #[must_use]
    pub fn units(&self) -> u32 {
        let rate = self.rate.as_ref().map_or(0, |rate| {
            let path = if rate.path.is_some() { 2 + 10 * TRANSFORMATIONS.len() } else { 0 };
            2 + u32::try_from(path).unwrap_or_default() + u32::from(rate.except.is_some())
        });
        let managed = self
            .managed
            .as_ref()
            .map_or(0, |group| GROUPS.iter().find(|(name, _)| *name == group.name).map_or(0, |(_, units)| *units));
        rate + managed + u32::from(self.addresses.is_some())
    }

    /// The rule as AWS takes it. Rules are tried in the order of their priorities, which is that of the file.
    pub(super) fn to_aws(&self, priority: usize) -> Result<Sdk> {
        let rule = Sdk::builder().name(&self.name).priority(i32::try_from(priority).unwrap_or(i32::MAX));
        let rule = rule.statement(self.statement()?).visibility_config(visibility(&self.name)?);
        let count = || CountAction::builder().build();
        let rule = match (self.action, self.managed.is_some()) {
            (Action::Count, true) => rule.override_action(OverrideAction::builder().count(count()).build()),
            (_, true) => rule.override_action(OverrideAction::builder().none(NoneAction::builder().build()).build()),
            (Action::Count, false) => rule.action(RuleAction::builder().count(count()).build()),
            (Action::Allow, false) => rule.action(RuleAction::builder().allow(AllowAction::builder().build()).build()),
            (Action::Block, false) => rule.action(RuleAction::builder().block(BlockAction::builder().build()).build()),
        };
        rule.build().map_err(invalid)
    }

    fn statement(&self) -> Result<Statement> {
        let statement = Statement::builder();
        Ok(match (&self.rate, &self.managed, &self.addresses) {
            (Some(rate), ..) => statement.rate_based_statement(rate.to_aws()?).build(),
            (_, Some(group), _) => statement.managed_rule_group_statement(group.to_aws()?).build(),
            (_, _, Some(set)) => addresses(set.get()?)?,
            _ => {
                return Err(Failure::new("waf:rule", "InvalidRule", format!("the rule {} matches nothing", self.name)));
            }
        })
    }

    /// A live rule, or what it is where none of our forms says all of it.
    pub(super) fn from_aws(live: &Sdk) -> Self {
        let priority = usize::try_from(live.priority).unwrap_or_default();
        let known = Self::known(live).filter(|rule| {
            rule.to_aws(priority).is_ok_and(|same| {
                let same = (same.statement, same.action, same.override_action, same.rule_labels);
                let live = live.clone();
                let labels = live.rule_labels.filter(|labels| !labels.is_empty());
                same == (live.statement.map(without_empty), live.action, live.override_action, labels)
            })
        });
        known.unwrap_or_else(|| Self {
            foreign: Some("in a form that is not known here".to_owned()),
            ..Self::named(&live.name)
        })
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), action: Action::Block, rate: None, managed: None, addresses: None, foreign: None }
    }

    fn known(live: &Sdk) -> Option<Self> {
        let statement = live.statement()?;
        let counts = live.override_action().is_some_and(|action| action.count().is_some());
        let action = match live.action() {
            Some(action) if action.allow().is_some() => Action::Allow,
            Some(action) if action.count().is_some() => Action::Count,
            None if counts => Action::Count,
            _ => Action::Block,
        };
        Some(Self {
            action,
            rate: statement.rate_based_statement().map(Rate::from_aws),
            managed: statement.managed_rule_group_statement().map(|group| Managed {
                name: group.name.clone(),
                count: group.rule_action_overrides().iter().map(|one| one.name.clone()).collect(),
            }),
            addresses: statement.ip_set_reference_statement().map(|set| set.arn.as_str().into()),
            ..Self::named(&live.name)
        })
    }
}

impl Rate {
    fn to_aws(&self) -> Result<RateBasedStatement> {
        let rate = RateBasedStatement::builder().limit(i64::from(self.limit));
        let rate = rate.evaluation_window_sec(i64::from(self.window));
        let rate = rate.aggregate_key_type(RateBasedStatementAggregateKeyType::Ip);
        let path = self.path.as_deref().map(path_matches).transpose()?;
        let except = self.except.as_ref().map(|set| {
            let not = NotStatement::builder().statement(addresses(set.get()?)?).build();
            Ok::<_, Failure>(Statement::builder().not_statement(not).build())
        });
        let scope = match (path, except.transpose()?) {
            (Some(path), Some(except)) => {
                let both = AndStatement::builder().statements(path).statements(except).build().map_err(invalid)?;
                Some(Statement::builder().and_statement(both).build())
            }
            (one, other) => one.or(other),
        };
        rate.set_scope_down_statement(scope.map(Box::new)).build().map_err(invalid)
    }

    fn from_aws(live: &RateBasedStatement) -> Self {
        let scope = live.scope_down_statement();
        let parts = match scope.and_then(Statement::and_statement) {
            Some(both) => both.statements().iter().collect(),
            None => scope.into_iter().collect::<Vec<&Statement>>(),
        };
        let path = parts.iter().find_map(|part| {
            let path = part.byte_match_statement()?;
            let text = String::from_utf8_lossy(path.search_string.as_ref()).into_owned();
            Some(if path.positional_constraint == PositionalConstraint::StartsWith { format!("{text}*") } else { text })
        });
        let except = parts.iter().find_map(|part| {
            Some(part.not_statement()?.statement()?.ip_set_reference_statement()?.arn.as_str().into())
        });
        Self {
            limit: live.limit.try_into().unwrap_or(u32::MAX),
            window: live.evaluation_window_sec.try_into().unwrap_or_default(),
            path,
            except,
        }
    }
}

impl Managed {
    fn to_aws(&self) -> Result<ManagedRuleGroupStatement> {
        let count = |name: &String| {
            let action = RuleAction::builder().count(CountAction::builder().build()).build();
            RuleActionOverride::builder().name(name).action_to_use(action).build()
        };
        let count = self.count.iter().map(count).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let group = ManagedRuleGroupStatement::builder().vendor_name(AWS).name(&self.name);
        let group = group.set_rule_action_overrides((!count.is_empty()).then_some(count));
        group.build().map_err(invalid)
    }
}

/// What is undone before a path is compared: tricks with `%2f`, `//` and capital letters.
const TRANSFORMATIONS: [TextTransformationType; 3] =
    [TextTransformationType::UrlDecode, TextTransformationType::NormalizePath, TextTransformationType::Lowercase];

fn path_matches(path: &str) -> Result<Statement> {
    let (text, how) = match path.strip_suffix('*') {
        Some(start) => (start, PositionalConstraint::StartsWith),
        None => (path, PositionalConstraint::Exactly),
    };
    let transformations = TRANSFORMATIONS.into_iter().enumerate().map(|(at, kind)| {
        TextTransformation::builder().priority(i32::try_from(at).unwrap_or_default()).r#type(kind).build()
    });
    let transformations = transformations.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    let matches = ByteMatchStatement::builder().search_string(Blob::new(text)).positional_constraint(how);
    let matches = matches.field_to_match(FieldToMatch::builder().uri_path(UriPath::builder().build()).build());
    let matches = matches.set_text_transformations(Some(transformations)).build().map_err(invalid)?;
    Ok(Statement::builder().byte_match_statement(matches).build())
}

fn addresses(arn: &str) -> Result<Statement> {
    let set = IpSetReferenceStatement::builder().arn(arn).build().map_err(invalid)?;
    Ok(Statement::builder().ip_set_reference_statement(set).build())
}

/// Metrics and samples under this name.
pub(super) fn visibility(name: &str) -> Result<VisibilityConfig> {
    let config = VisibilityConfig::builder().sampled_requests_enabled(true).cloud_watch_metrics_enabled(true);
    config.metric_name(name).build().map_err(invalid)
}

/// A statement without the empty lists that answers may hold.
fn without_empty(mut statement: Statement) -> Statement {
    if let Some(group) = &mut statement.managed_rule_group_statement {
        group.excluded_rules = group.excluded_rules.take().filter(|list| !list.is_empty());
        group.rule_action_overrides = group.rule_action_overrides.take().filter(|list| !list.is_empty());
        group.managed_rule_group_configs = group.managed_rule_group_configs.take().filter(|list| !list.is_empty());
    }
    if let Some(rate) = &mut statement.rate_based_statement {
        rate.custom_keys = rate.custom_keys.take().filter(|list| !list.is_empty());
    }
    statement
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(super) fn invalid(error: BuildError) -> Failure {
    Failure::new("waf:rule", "InvalidRule", error.to_string())
}

/// The groups that AWS makes for everybody, and the units that each takes.
pub const GROUPS: &[(&str, u32)] = &[
    ("AWSManagedRulesAdminProtectionRuleSet", 100),
    ("AWSManagedRulesAmazonIpReputationList", 25),
    ("AWSManagedRulesAnonymousIpList", 50),
    ("AWSManagedRulesCommonRuleSet", 700),
    ("AWSManagedRulesKnownBadInputsRuleSet", 200),
    ("AWSManagedRulesLinuxRuleSet", 200),
    ("AWSManagedRulesPHPRuleSet", 100),
    ("AWSManagedRulesSQLiRuleSet", 200),
    ("AWSManagedRulesUnixRuleSet", 100),
    ("AWSManagedRulesWindowsRuleSet", 200),
    ("AWSManagedRulesWordPressRuleSet", 100),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(path: Option<&str>, except: Option<&str>) -> Rule {
        let rate = Rate { limit: 10, window: 60, path: path.map(str::to_owned), except: except.map(Into::into) };
        Rule { rate: Some(rate), ..Rule::named("rate") }
    }

    fn managed(count: &[&str]) -> Rule {
        let count = count.iter().map(|name| (*name).to_owned()).collect();
        let group = Managed { name: "AWSManagedRulesCommonRuleSet".to_owned(), count };
        Rule { managed: Some(group), ..Rule::named("common") }
    }

    #[test]
    fn each_form_is_read_as_it_is_written() {
        let set = Rule { addresses: Some("arn:1".into()), action: Action::Allow, ..Rule::named("office") };
        for rule in [
            rate(None, None),
            rate(Some("/api/*"), None),
            rate(Some("/login"), Some("arn:1")),
            rate(None, Some("arn:1")),
            managed(&[]),
            managed(&["SizeRestrictions_BODY"]),
            Rule { action: Action::Count, ..managed(&[]) },
            Rule { action: Action::Count, ..rate(None, None) },
            set,
        ] {
            let mut live = rule.to_aws(3).unwrap();
            assert_eq!(Rule::from_aws(&live), rule);
            live.rule_labels = Some(Vec::new());
            assert_eq!(Rule::from_aws(&live), rule, "with lists that are empty");
        }
    }

    #[test]
    fn a_rule_that_says_more_than_our_forms_is_foreign() {
        let mut live = managed(&[]).to_aws(0).unwrap();
        let group = live.statement.as_mut().and_then(|statement| statement.managed_rule_group_statement.as_mut());
        group.unwrap().version = Some("Version_1.0".to_owned());
        assert!(Rule::from_aws(&live).foreign.is_some());
        let mut live = rate(None, None).to_aws(0).unwrap();
        live.statement.as_mut().and_then(|one| one.rate_based_statement.as_mut()).unwrap().aggregate_key_type =
            RateBasedStatementAggregateKeyType::ForwardedIp;
        assert!(Rule::from_aws(&live).foreign.is_some());
    }

    #[test]
    fn units_are_counted() {
        assert_eq!(rate(None, None).units(), 2);
        assert_eq!(rate(Some("/a"), Some("arn")).units(), 35);
        assert_eq!(managed(&[]).units(), 700);
    }
}
