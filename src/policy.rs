//! Policy documents: their normal form, in which two that mean the same are equal, and a builder of statements.
//!
//! AWS gives a document back as it was sent, or changed in ways that mean nothing: lists of one as text, sets in
//! another order, an account's id as the ARN of its root user, a number as `Sid` that nobody wrote. The normal form
//! undoes all of that, and keeps what has a meaning: the `Version`, the order of statements, and the ids that stand for
//! principals that are gone.

mod build;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use build::{NO_RESOURCE, Statement, VERSION, allow, deny, document, trust};

use crate::kind::Problem;
use crate::value::{Fields, Unresolved, Value};

/// A policy document in AWS's own words, written as YAML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policy(pub Value);

impl JsonSchema for Policy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Policy".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "A policy document: Version, and a list of Statement. Texts may hold references.",
        })
    }
}

impl Policy {
    /// A document as most services answer it.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// A document as IAM answers it, which is percent-encoded.
    pub fn from_encoded(text: &str) -> Result<Self, serde_json::Error> {
        Self::from_json(&percent_decode_str(text).decode_utf8_lossy())
    }

    /// The text for a request.
    pub fn to_json(&self) -> Result<String, Unresolved> {
        match self.0.references().first() {
            Some(output) => Err(Unresolved(output.to_string())),
            None => Ok(serde_json::Value::from(&self.0).to_string()),
        }
    }

    pub fn normalize(&mut self) {
        self.0 = canonical(&self.0);
    }

    /// Whether both mean the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        canonical(&self.0) == canonical(&other.0)
    }

    /// What is wrong with the document's outer form.
    #[must_use]
    pub fn check(&self, path: &str) -> Vec<Problem> {
        let help = "write Version: \"2012-10-17\" and a list of Statement, as AWS documents it";
        let message = match &self.0 {
            Value::Template(_) => return Vec::new(),
            Value::Map(fields) => match fields.get("Statement") {
                Some(Value::Map(_) | Value::List(_)) => return Vec::new(),
                _ => "a policy document needs a Statement",
            },
            _ => "a policy document is a map",
        };
        vec![Problem::new(path, message).help(help)]
    }
}

/// Elements of a statement whose value is a set of texts.
const SETS: &[&str] = &["Action", "NotAction", "Resource", "NotResource"];

/// The normal form of a document. Texts around references stay as they are.
#[must_use]
pub fn canonical(document: &Value) -> Value {
    let Value::Map(fields) = document else { return document.clone() };
    let element = |(name, value): (&String, &Value)| {
        let value =
            if name == "Statement" { Value::List(listed(value).map(statement).collect()) } else { value.clone() };
        (name.clone(), value)
    };
    Value::Map(fields.iter().map(element).collect())
}

fn statement(value: &Value) -> Value {
    let Value::Map(fields) = value else { return value.clone() };
    let mut out = Fields::new();
    for (name, value) in fields {
        let value = match name.as_str() {
            "Sid" if value.as_text().is_some_and(|sid| sid.chars().all(|c| c.is_ascii_digit())) => continue,
            "Condition" if value.is_empty() => continue,
            "Condition" => conditions(value),
            "Principal" | "NotPrincipal" => principals(value),
            "Action" | "NotAction" => set(value, lower_service),
            name if SETS.contains(&name) => set(value, keep),
            _ => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    Value::Map(out)
}

fn principals(value: &Value) -> Value {
    let Value::Map(fields) = value else { return value.clone() };
    let sets = fields.iter().map(|(kind, value)| {
        let change = if kind == "AWS" { account } else { keep };
        (kind.clone(), set(value, change))
    });
    Value::Map(sets.collect())
}

fn conditions(value: &Value) -> Value {
    let Value::Map(operators) = value else { return value.clone() };
    let keys = |value: &Value| match value {
        Value::Map(keys) => Value::Map(spelled(keys, key, |value| set(value, keep))),
        other => other.clone(),
    };
    Value::Map(spelled(operators, operator, keys))
}

/// The map with its keys in AWS's spelling. Where two would then be one, which AWS refuses anyway, neither is lost.
fn spelled(fields: &Fields, spelling: fn(&str) -> String, change: impl Fn(&Value) -> Value) -> Fields {
    let right = |name: &str| spelling(name) == name;
    let mut out: Fields =
        fields.iter().filter(|(name, _)| right(name)).map(|(name, value)| (name.clone(), change(value))).collect();
    for (name, value) in fields.iter().filter(|(name, _)| !right(name)) {
        let better = spelling(name);
        let name = if out.contains_key(&better) { name.clone() } else { better };
        out.insert(name, change(value));
    }
    out
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
    .iter()
}

/// A set of texts: a list in order, without repetition. Numbers and booleans are texts to AWS.
fn set(value: &Value, change: fn(&str) -> String) -> Value {
    let text = |item: &Value| match item {
        Value::Text(text) => Value::Text(change(text)),
        Value::Bool(value) => Value::Text(value.to_string()),
        Value::Number(value) => Value::Text(change(&value.to_string())),
        other => other.clone(),
    };
    let mut items: Vec<Value> = listed(value).map(text).collect();
    items.sort_by_cached_key(|item| match item {
        Value::Text(text) => (0, text.clone()),
        other => (1, serde_json::Value::from(other).to_string()),
    });
    items.dedup();
    Value::List(items)
}

fn keep(text: &str) -> String {
    text.to_owned()
}

/// `SNS:Publish` is `sns:Publish`.
fn lower_service(action: &str) -> String {
    match action.split_once(':') {
        Some((service, action)) => format!("{}:{action}", service.to_ascii_lowercase()),
        None => action.to_owned(),
    }
}

/// The ARN of an account's root user is the account's id, which has the advantage to name no partition.
fn account(principal: &str) -> String {
    let id = || {
        let (_partition, rest) = principal.strip_prefix("arn:")?.split_once(":iam::")?;
        rest.strip_suffix(":root").filter(|id| is_account(id))
    };
    id().unwrap_or(principal).to_owned()
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.chars().all(|c| c.is_ascii_digit())
}

const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "Null",
];

const QUALIFIERS: &[&str] = &["ForAllValues", "ForAnyValue"];
const IF_EXISTS: &str = "IfExists";

/// Condition keys with capitals that policies of this program's kinds use. What follows `/` is a tag's key.
const KEYS: &[&str] = &[
    "aws:CalledVia",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalOrgID",
    "aws:PrincipalServiceName",
    "aws:PrincipalTag",
    "aws:RequestTag",
    "aws:RequestedRegion",
    "aws:ResourceAccount",
    "aws:ResourceOrgID",
    "aws:ResourceTag",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIp",
    "aws:SourceOrgID",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:TagKeys",
    "aws:ViaAWSService",
    "iam:PassedToService",
    "iam:PermissionsBoundary",
    "kms:CallerAccount",
    "kms:GrantIsForAWSResource",
    "kms:ViaService",
    "secretsmanager:SecretId",
    "secretsmanager:VersionStage",
];

fn spelling(known: &[&str], text: &str) -> Option<String> {
    known.iter().find(|known| known.eq_ignore_ascii_case(text)).map(|&known| known.to_owned())
}

/// An operator in AWS's spelling; one that is not known stays as it is.
fn operator(name: &str) -> String {
    let known = || {
        let (qualifier, rest) = match name.split_once(':') {
            Some((qualifier, rest)) => (spelling(QUALIFIERS, qualifier)? + ":", rest),
            None => (String::new(), name),
        };
        let cut = rest.len().checked_sub(IF_EXISTS.len()).filter(|&cut| rest.is_char_boundary(cut));
        let (base, suffix) = match cut.map(|cut| rest.split_at(cut)) {
            Some((base, end)) if end.eq_ignore_ascii_case(IF_EXISTS) => (base, IF_EXISTS),
            _ => (rest, ""),
        };
        Some(qualifier + &spelling(OPERATORS, base)? + suffix)
    };
    known().unwrap_or_else(|| name.to_owned())
}

/// A condition key in AWS's spelling; one that is not known stays as it is.
fn key(name: &str) -> String {
    let (base, tag) = name.split_at(name.find('/').unwrap_or(name.len()));
    spelling(KEYS, base).map_or_else(|| name.to_owned(), |base| base + tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::address::Address;
    use crate::value::{Arg, Template};

    fn one(statement: serde_json::Value) -> Value {
        canonical(&json!({ "Statement": statement }).into())
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        for (left, right) in [
            (json!({ "Action": "s3:Get" }), json!([{ "Action": ["s3:Get"] }])),
            (json!({ "Action": ["b:B", "a:A", "b:B"] }), json!({ "Action": ["a:A", "b:B"] })),
            (json!({ "NotAction": "SNS:Publish" }), json!({ "NotAction": ["sns:Publish"] })),
            (json!({ "Resource": "*" }), json!({ "Resource": ["*"] })),
            (json!({ "Sid": "1" }), json!({})),
            (json!({ "Sid": "" }), json!({})),
            (json!({ "Condition": {} }), json!({})),
            (
                json!({ "Principal": { "AWS": "arn:aws-cn:iam::123456789012:root" } }),
                json!({ "Principal": { "AWS": ["123456789012"] } }),
            ),
            (
                json!({ "Condition": { "bool": { "AWS:SecureTransport": false } } }),
                json!({ "Condition": { "Bool": { "aws:SecureTransport": ["false"] } } }),
            ),
            (
                json!({ "Condition": { "forAnyValue:stringlikeifexists": { "aws:requesttag/Team": "x" } } }),
                json!({ "Condition": { "ForAnyValue:StringLikeIfExists": { "aws:RequestTag/Team": ["x"] } } }),
            ),
            (
                json!({ "Condition": { "NumericLessThan": { "aws:Other": 3600 } } }),
                json!({ "Condition": { "NumericLessThan": { "aws:Other": "3600" } } }),
            ),
        ] {
            assert_eq!(one(left.clone()), one(right), "{left}");
        }
    }

    #[test]
    fn what_means_something_else_stays_different() {
        for (left, right) in [
            (json!({ "Sid": "Read1" }), json!({})),
            (json!({ "Resource": "arn:aws:s3:::a" }), json!({ "Resource": "arn:aws:s3:::A" })),
            (json!({ "Principal": { "AWS": "AROAEXAMPLE" } }), json!({ "Principal": { "AWS": "123456789012" } })),
            (
                json!({ "Principal": { "AWS": "arn:aws:iam::123456789012:role/root" } }),
                json!({ "Principal": { "AWS": "123456789012" } }),
            ),
            (
                json!({ "Condition": { "StringEquals": { "aws:RequestTag/Team": "x" } } }),
                json!({ "Condition": { "StringEquals": { "aws:RequestTag/team": "x" } } }),
            ),
            (
                json!([{ "Effect": "Deny" }, { "Effect": "Allow" }]),
                json!([{ "Effect": "Allow" }, { "Effect": "Deny" }]),
            ),
        ] {
            assert_ne!(one(left.clone()), one(right), "{left}");
        }
        let version = json!({ "Version": "2012-10-17", "Statement": [] });
        assert_ne!(canonical(&version.into()), canonical(&json!({ "Statement": [] }).into()));
    }

    #[test]
    fn two_spellings_of_a_key_lose_nothing() {
        let twice = json!({ "Condition": { "StringEquals": { "AWS:sourcearn": "a", "aws:SourceArn": "b" } } });
        let once = one(twice);
        assert_eq!(once.clone(), canonical(&once));
        let mut texts = Vec::new();
        once.visit_texts(&mut |text| texts.push(text));
        assert_eq!(texts, ["a", "b"]);
    }

    #[test]
    fn iam_answers_percent_encoded() {
        let text = "%7B%22Statement%22%3A%7B%22Action%22%3A%22a%3AB%2B%22%7D%7D";
        assert_eq!(Policy::from_encoded(text).unwrap().0, json!({ "Statement": { "Action": "a:B+" } }).into());
    }

    #[test]
    fn a_document_is_built_with_references() {
        let bucket = Address::new("bucket", "data");
        let policy = document([allow(&["s3:PutObject"], [Arg::output(&bucket, "arn")])
            .sid("Write")
            .to("Service", ["logs.amazonaws.com"])
            .when("StringEquals", "aws:SourceAccount", ["123456789012"])]);
        let Value::Map(fields) = &policy.0 else { panic!() };
        let expected = json!({
            "Sid": "Write",
            "Effect": "Allow",
            "Principal": { "Service": ["logs.amazonaws.com"] },
            "Action": ["s3:PutObject"],
            "Resource": [Value::Template(Template::output(&bucket, "arn"))],
            "Condition": { "StringEquals": { "aws:SourceAccount": ["123456789012"] } },
        });
        assert_eq!(fields["Statement"], Value::List(vec![expected.into()]));
        assert_eq!(policy.to_json().unwrap_err().0, "bucket.data.arn");
        assert!(policy.check("policy").is_empty());

        let expected = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": ["ecs-tasks.amazonaws.com"] },
            "Action": ["sts:AssumeRole"],
        }] });
        let text = trust("ecs-tasks.amazonaws.com").to_json().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
        assert_eq!(Policy(Value::text("x")).check("trust")[0].path, "trust");
    }

    /// Documents of the elements that the normal form looks at, holding anything.
    fn documents() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[a-z]{0,2}:[A-Z*]{0,2}",
            "[0-9]{0,13}",
            Just("arn:aws:iam::123456789012:root".to_owned()),
            Just("*".to_owned()),
        ];
        let leaf = prop_oneof![
            text.prop_map(Value::Text),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(|number| Value::Number(number.into())),
            Just(Value::Null),
            Just(Value::Template(Template::output(&Address::new("vpc", "main"), "id"))),
        ];
        let names = prop::sample::select(vec![
            "Statement",
            "Sid",
            "Action",
            "Resource",
            "Principal",
            "AWS",
            "Condition",
            "bool",
            "ForAllValues:STRINGLIKEIFEXISTS",
            "AWS:sourcearn",
            "aws:SourceArn",
        ]);
        let value = leaf.prop_recursive(5, 40, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..4).prop_map(Value::Map),
            ]
        });
        value.prop_map(|inner| Value::Map(Fields::from([("Statement".to_owned(), inner)])))
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own_normal_form(document in documents()) {
            let once = canonical(&document);
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
