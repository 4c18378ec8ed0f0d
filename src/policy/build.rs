//! A builder of policy documents.

use std::collections::BTreeMap;

use super::Policy;
use crate::value::{Arg, Fields, Value};

/// The version of the policy language.
pub const VERSION: &str = "2012-10-17";

/// A statement under construction.
#[derive(Clone, Debug)]
pub struct Statement {
    effect: &'static str,
    sid: Option<String>,
    actions: Value,
    resources: Value,
    principals: Fields,
    conditions: BTreeMap<String, Fields>,
}

/// For statements of policies that stand on the one resource they speak of, such as a trust policy.
pub const NO_RESOURCE: [&str; 0] = [];

/// A statement that allows these actions on these resources.
#[must_use]
pub fn allow(actions: &[&str], resources: impl IntoIterator<Item = impl Into<Arg<String>>>) -> Statement {
    Statement {
        effect: "Allow",
        sid: None,
        actions: texts(actions.iter().copied()),
        resources: texts(resources),
        principals: Fields::new(),
        conditions: BTreeMap::new(),
    }
}

/// A statement that denies these actions on these resources.
#[must_use]
pub fn deny(actions: &[&str], resources: impl IntoIterator<Item = impl Into<Arg<String>>>) -> Statement {
    Statement { effect: "Deny", ..allow(actions, resources) }
}

impl Statement {
    /// Names the statement.
    #[must_use]
    pub fn sid(self, sid: &str) -> Self {
        Self { sid: Some(sid.to_owned()), ..self }
    }

    /// Whom the policy of a resource speaks of: `kind` is `AWS`, `Service` or `Federated`.
    #[must_use]
    pub fn to(mut self, kind: &str, principals: impl IntoIterator<Item = impl Into<Arg<String>>>) -> Self {
        self.principals.insert(kind.to_owned(), texts(principals));
        self
    }

    /// Adds a condition, as in `when("StringEquals", "aws:SourceAccount", [account])`.
    #[must_use]
    pub fn when(mut self, operator: &str, key: &str, values: impl IntoIterator<Item = impl Into<Arg<String>>>) -> Self {
        self.conditions.entry(operator.to_owned()).or_default().insert(key.to_owned(), texts(values));
        self
    }
}

impl From<Statement> for Value {
    fn from(statement: Statement) -> Self {
        let Statement { effect, sid, actions, resources, principals, conditions } = statement;
        let conditions = conditions.into_iter().map(|(operator, keys)| (operator, Value::Map(keys))).collect();
        let elements = [
            ("Sid", sid.map_or(Value::Null, Value::Text)),
            ("Effect", Value::text(effect)),
            ("Principal", Value::Map(principals)),
            ("Action", actions),
            ("Resource", resources),
            ("Condition", Value::Map(conditions)),
        ];
        let present = elements.into_iter().filter(|(_, value)| !value.is_empty());
        Value::Map(present.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

fn texts(items: impl IntoIterator<Item = impl Into<Arg<String>>>) -> Value {
    let text = |item: Arg<String>| match item {
        Arg::Known(text) => Value::Text(text),
        Arg::Reference(template) => Value::Template(template),
    };
    Value::List(items.into_iter().map(|item| text(item.into())).collect())
}

/// A document of these statements, in normal form.
#[must_use]
pub fn document(statements: impl IntoIterator<Item = Statement>) -> Policy {
    let statements = statements.into_iter().map(Value::from).collect();
    let mut policy = Policy(Value::Map(Fields::from([
        ("Version".to_owned(), Value::text(VERSION)),
        ("Statement".to_owned(), Value::List(statements)),
    ])));
    policy.normalize();
    policy
}

/// The trust policy of a role that the service assumes, as in `ecs-tasks.amazonaws.com`.
#[must_use]
pub fn trust(service: &str) -> Policy {
    document([allow(&["sts:AssumeRole"], NO_RESOURCE).to("Service", [service])])
}
