//! Who may call a function: statements of the policy on the function.

use aws_sdk_lambda::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::kind::{Class, Failure, Result};
use crate::policy::Policy;
use crate::value::{Arg, Fields, Value};

/// Lets a service or an account call the function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// The statement's name: letters, digits, `_` and `-`, at most 100.
    pub name: String,
    /// A service such as `sns.amazonaws.com`, or an account's number.
    pub principal: String,
    /// The ARN of what calls, such as a topic or a rule; left out, whatever the principal has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_arn: Option<Arg<String>>,
    /// The account that owns what calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_account: Option<Arg<String>>,
    /// What is allowed.
    #[serde(default = "invoke")]
    pub action: String,
}

fn invoke() -> String {
    "lambda:InvokeFunction".to_owned()
}

impl Permission {
    /// Lets a service call the function on behalf of one resource.
    #[must_use]
    pub fn service(name: &str, service: &str, source_arn: Arg<String>) -> Self {
        let (name, principal) = (name.to_owned(), service.to_owned());
        Self { name, principal, source_arn: Some(source_arn), source_account: None, action: invoke() }
    }

    /// What a statement of the function's policy says. What others have written may say more; its name is enough to
    /// take it away.
    fn read(statement: &Fields) -> Option<Self> {
        let text = |name: &str| statement.get(name).and_then(first);
        let principal = match statement.get("Principal")? {
            Value::Map(kinds) => kinds.values().find_map(first)?,
            other => first(other)?,
        };
        let conditions = match statement.get("Condition") {
            Some(Value::Map(operators)) => operators.values().collect(),
            _ => Vec::new(),
        };
        let condition = |wanted: &str| {
            conditions.iter().find_map(|keys| match keys {
                Value::Map(keys) => keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)),
                _ => None,
            })
        };
        let arg = |wanted: &str| condition(wanted).and_then(|(_, value)| first(value)).map(Arg::Known);
        Some(Self {
            name: text("Sid")?,
            principal: account_in(&principal),
            source_arn: arg("aws:SourceArn"),
            source_account: arg("aws:SourceAccount"),
            action: text("Action").unwrap_or_else(invoke),
        })
    }

    pub(super) async fn add(&self, aws: &Aws, function: &str) -> Result<()> {
        let client: &Client = aws.lambda();
        let request = client.add_permission().function_name(function).statement_id(&self.name);
        let request = request.action(&self.action).principal(&self.principal);
        let request = request.set_source_arn(self.source_arn.as_ref().map(Arg::get).transpose()?.cloned());
        let request = request.set_source_account(self.source_account.as_ref().map(Arg::get).transpose()?.cloned());
        aws.call("lambda:AddPermission", request.send()).await.map(drop)
    }

    pub(super) async fn remove(&self, aws: &Aws, function: &str) -> Result<()> {
        let request = aws.lambda().remove_permission().function_name(function).statement_id(&self.name);
        match aws.call("lambda:RemovePermission", request.send()).await {
            Err(failure) if failure.class != Class::NotFound => Err(failure),
            _ => Ok(()),
        }
    }
}

/// AWS turns an account's number into the ARN of its root user.
fn account_in(principal: &str) -> String {
    let parts: Vec<&str> = principal.split(':').collect();
    match parts[..] {
        ["arn", _, "iam", _, account, "root"] => account.to_owned(),
        _ => principal.to_owned(),
    }
}

fn first(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::List(items) => items.first().and_then(first),
        _ => None,
    }
}

/// All permissions of a function, by their names.
pub(super) async fn of(aws: &Aws, function: &str) -> Result<Vec<Permission>> {
    let request = aws.lambda().get_policy().function_name(function);
    let answer = match aws.call("lambda:GetPolicy", request.send()).await {
        Err(failure) if failure.class == Class::NotFound => return Ok(Vec::new()),
        answer => answer?,
    };
    read(function, answer.policy().unwrap_or("{}"))
}

fn read(function: &str, text: &str) -> Result<Vec<Permission>> {
    let policy = Policy::from_json(text).map_err(|error| {
        Failure::new("lambda:GetPolicy", "UnreadablePolicy", format!("the policy of {function}: {error}"))
    })?;
    let Value::Map(fields) = policy.0 else { return Ok(Vec::new()) };
    let Some(Value::List(statements)) = fields.get("Statement") else { return Ok(Vec::new()) };
    let statements = statements.iter().filter_map(|statement| match statement {
        Value::Map(statement) => Permission::read(statement),
        _ => None,
    });
    let mut permissions: Vec<Permission> = statements.collect();
    permissions.sort();
    Ok(permissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_from_the_policy_that_aws_makes_of_them() {
        let topic = "arn:aws:sns:us-east-1:123456789012:acme-test-error";
        let policy = serde_json::json!({ "Version": "2012-10-17", "Id": "default", "Statement": [
            { "Sid": "error", "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" },
              "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:x",
              "Condition": { "ArnLike": { "AWS:SourceArn": topic } } },
            { "Sid": "bucket", "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
              "Action": "lambda:InvokeFunction", "Resource": "*", "Condition": {
                "StringEquals": { "AWS:SourceAccount": "123456789012" },
                "ArnLike": { "AWS:SourceArn": "arn:aws:s3:::x" } } },
            { "Sid": "account", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::210987654321:root" },
              "Action": "lambda:*", "Resource": "*" },
        ] });
        let permission = |name: &str, principal: &str| Permission {
            name: name.into(),
            principal: principal.into(),
            source_arn: None,
            source_account: None,
            action: invoke(),
        };
        let expected = [
            Permission { action: "lambda:*".into(), ..permission("account", "210987654321") },
            Permission {
                source_arn: Some("arn:aws:s3:::x".into()),
                source_account: Some("123456789012".into()),
                ..permission("bucket", "s3.amazonaws.com")
            },
            Permission::service("error", "sns.amazonaws.com", topic.into()),
        ];
        assert_eq!(read("x", &policy.to_string()).unwrap(), expected);
    }
}
