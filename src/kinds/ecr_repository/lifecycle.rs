//! A lifecycle policy of ECR: which images expire.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::Problem;
use crate::value::{Fields, Unresolved, Value};

/// Rules that one policy takes, and wildcards in a pattern.
const RULES: usize = 50;
const WILDCARDS: usize = 4;

/// A lifecycle policy in ECR's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lifecycle(pub Value);

impl JsonSchema for Lifecycle {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Lifecycle".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "A lifecycle policy of ECR: a list of `rules`, each with rulePriority, selection and action.",
        })
    }
}

impl Lifecycle {
    fn rules(&self) -> &[Value] {
        match &self.0 {
            Value::Map(fields) => match fields.get("rules") {
                Some(Value::List(rules)) => rules,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// Rules in the order of their priority, without empty lists.
    pub(super) fn normalize(&mut self) {
        let filled = |value: &Value| match value {
            Value::Map(fields) => {
                let fields = fields.iter().filter(|(_, value)| !value.is_empty());
                Value::Map(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
            }
            other => other.clone(),
        };
        let rule = |rule: &Value| match rule {
            Value::Map(fields) => {
                Value::Map(fields.iter().map(|(name, value)| (name.clone(), filled(value))).collect())
            }
            other => other.clone(),
        };
        let mut rules: Vec<Value> = self.rules().iter().map(rule).collect();
        rules.sort_by_key(priority);
        if !rules.is_empty() {
            self.0 = Value::Map(Fields::from([("rules".to_owned(), Value::List(rules))]));
        }
    }

    pub(super) fn to_json(&self) -> Result<String, Unresolved> {
        match self.0.references().first() {
            Some(output) => Err(Unresolved(output.to_string())),
            None => Ok(serde_json::Value::from(&self.0).to_string()),
        }
    }

    pub(super) fn check(&self) -> Vec<Problem> {
        let rules = self.rules();
        if rules.is_empty() || rules.len() > RULES {
            let message = format!("a lifecycle policy has 1 to {RULES} `rules`, not {}", rules.len());
            return vec![Problem::new("lifecycle", message).help("leave `lifecycle` out to keep every image")];
        }
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (at, rule) in rules.iter().enumerate() {
            let path = format!("lifecycle.rules.{at}");
            match priority(rule) {
                Some(number) if seen.insert(number) => {}
                Some(number) => {
                    let message = format!("two rules have the rulePriority {number}");
                    problems.push(Problem::new(&path, message).help("give each rule a number of its own"));
                }
                None => problems.push(Problem::new(&path, "a rule needs a whole number as rulePriority")),
            }
            rule_patterns(rule, |pattern| {
                if pattern.matches('*').count() > WILDCARDS {
                    let message = format!("`{pattern}` has more than {WILDCARDS} `*`");
                    problems.push(Problem::new(&path, message).help("ECR takes at most four in one pattern"));
                }
            });
        }
        problems
    }
}

fn priority(rule: &Value) -> Option<u64> {
    match rule {
        Value::Map(fields) => match fields.get("rulePriority") {
            Some(Value::Number(number)) => number.as_u64(),
            _ => None,
        },
        _ => None,
    }
}

fn rule_patterns(rule: &Value, mut visit: impl FnMut(&str)) {
    if let Value::Map(rule) = rule
        && let Some(Value::Map(selection)) = rule.get("selection")
        && let Some(patterns) = selection.get("tagPatternList")
    {
        patterns.visit_texts(&mut |pattern| visit(pattern));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(json: serde_json::Value) -> Lifecycle {
        Lifecycle(json.into())
    }

    #[test]
    fn the_order_of_rules_means_nothing_beside_their_priority() {
        let rule = |number: u32| serde_json::json!({"rulePriority": number, "selection": {"tagPrefixList": []}});
        let mut one = lifecycle(serde_json::json!({"rules": [rule(2), rule(10), rule(1)]}));
        let mut other = lifecycle(serde_json::json!({"rules": [rule(1), rule(2), rule(10)]}));
        assert_ne!(one, other);
        one.normalize();
        other.normalize();
        assert_eq!(one, other);
        assert!(!one.to_json().unwrap().contains("tagPrefixList"));
    }

    #[test]
    fn mistakes_in_a_lifecycle_policy() {
        let rule = serde_json::json!({"rulePriority": 1, "selection": {"tagPatternList": ["*a*b*c*d*"]}});
        let problems = lifecycle(serde_json::json!({"rules": [rule, rule, {}]})).check();
        let texts: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        let stars = "`*a*b*c*d*` has more than 4 `*`";
        let twice = "two rules have the rulePriority 1";
        assert_eq!(texts, [stars, twice, stars, "a rule needs a whole number as rulePriority"]);
        assert_eq!(lifecycle(serde_json::json!({"rules": []})).check().len(), 1);
    }
}
