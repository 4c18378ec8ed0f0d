//! Policy documents: what AWS may give back in place of what was sent is the same, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use infra::policy::{Policy, canonical};
use infra::value::Value;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use crate::fuzz;

/// What a statement means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    allow: bool,
    sid: Option<&'static str>,
    not_action: bool,
    actions: BTreeSet<&'static str>,
    resources: BTreeSet<&'static str>,
    principals: BTreeSet<&'static str>,
    conditions: BTreeMap<(&'static str, &'static str), BTreeSet<&'static str>>,
}

const ACTIONS: &[&str] = &["s3:GetObject", "s3:getobject", "sns:Publish", "*", "kms:*", "iam:PassRole"];
const RESOURCES: &[&str] = &["*", "arn:aws:s3:::a", "arn:aws:s3:::A", "arn:aws:s3:::a/*", "arn:aws:sns:us-east-1:1:é"];
const PRINCIPALS: &[&str] =
    &["123456789012", "210987654321", "*", "arn:aws:iam::123456789012:role/root", "AROAEXAMPLE"];
const OPERATORS: &[&str] =
    &["StringEquals", "Bool", "NumericLessThan", "ForAnyValue:StringLikeIfExists", "Null", "Odd:Operator"];
const KEYS: &[&str] = &["aws:SourceArn", "aws:RequestTag/Team", "aws:RequestTag/team", "kms:ViaService", "odd:Key"];
const VALUES: &[&str] = &["true", "false", "3600", "3600.5", "a", "A", "", "é", "arn:aws:iam::123456789012:root"];

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let set = |of: &'static [&'static str], least| btree_set(select(of), least..4);
    let conditions = btree_map((select(OPERATORS), select(KEYS)), set(VALUES, 1), 0..3);
    let sid = select(&[None, Some("Read"), Some("Read1"), Some("a b")][..]);
    let statement = (any::<(bool, bool)>(), sid, set(ACTIONS, 1), set(RESOURCES, 1), set(PRINCIPALS, 0), conditions);
    let statement = statement.prop_map(|((allow, not_action), sid, actions, resources, principals, conditions)| {
        Statement { allow, sid, not_action, actions, resources, principals, conditions }
    });
    vec(statement, 1..4)
}

/// A way of writing: each decision takes one of these numbers.
struct Hand<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Hand<'_> {
    fn one_of(&mut self, count: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % count
    }

    /// A set in some order, with repetitions, and as a text where it is one.
    fn set(&mut self, items: &BTreeSet<&str>, spell: fn(&mut Self, &str) -> Json) -> Json {
        let mut out: Vec<Json> = Vec::new();
        for item in items {
            for _ in 0..=self.one_of(2) {
                let at = self.one_of(out.len() + 1);
                let item = spell(self, item);
                out.insert(at, item);
            }
        }
        if out.len() == 1 && self.one_of(2) == 0 { out.remove(0) } else { Json::Array(out) }
    }

    fn case(&mut self, text: &str) -> String {
        match self.one_of(3) {
            0 => text.to_lowercase(),
            1 => text.to_uppercase(),
            _ => text.to_owned(),
        }
    }

    fn action(&mut self, text: &str) -> Json {
        match text.split_once(':') {
            Some((service, action)) => json!(format!("{}:{action}", self.case(service))),
            None => json!(text),
        }
    }

    fn principal(&mut self, text: &str) -> Json {
        let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_account && self.one_of(2) == 0 { json!(format!("arn:aws:iam::{text}:root")) } else { json!(text) }
    }

    fn value(&mut self, text: &str) -> Json {
        match serde_json::from_str::<Json>(text) {
            Ok(value @ (Json::Bool(_) | Json::Number(_))) if self.one_of(2) == 0 => value,
            _ => json!(text),
        }
    }

    fn key(&mut self, text: &str) -> String {
        let (base, tag) = text.split_at(text.find('/').unwrap_or(text.len()));
        if base.starts_with("odd") { text.to_owned() } else { format!("{}{tag}", self.case(base)) }
    }

    fn operator(&mut self, text: &str) -> String {
        if text.starts_with("Odd") { text.to_owned() } else { self.case(text) }
    }

    fn statement(&mut self, meant: &Statement) -> Json {
        let mut out = json!({ "Effect": if meant.allow { "Allow" } else { "Deny" } });
        match (meant.sid, self.one_of(3)) {
            (Some(sid), _) => out["Sid"] = json!(sid),
            (None, 0) => out["Sid"] = json!(""),
            (None, 1) => out["Sid"] = json!("17"),
            (None, _) => {}
        }
        out[if meant.not_action { "NotAction" } else { "Action" }] = self.set(&meant.actions, Self::action);
        out["Resource"] = self.set(&meant.resources, |_, text| json!(text));
        if !meant.principals.is_empty() {
            out["Principal"] = json!({ "AWS": self.set(&meant.principals, Self::principal) });
        }
        // One spelling of an operator for each statement: two would be two entries.
        let mut spelled: BTreeMap<&str, String> = BTreeMap::new();
        let mut conditions = serde_json::Map::new();
        for ((operator, key), values) in &meant.conditions {
            let operator = spelled.entry(operator).or_insert_with(|| self.operator(operator)).clone();
            let (key, values) = (self.key(key), self.set(values, Self::value));
            conditions.entry(operator).or_insert_with(|| json!({}))[key] = values;
        }
        if !conditions.is_empty() || self.one_of(2) == 0 {
            out["Condition"] = Json::Object(conditions);
        }
        out
    }

    fn document(&mut self, meant: &[Statement]) -> Value {
        let mut statements: Vec<Json> = meant.iter().map(|one| self.statement(one)).collect();
        let alone = statements.len() == 1 && self.one_of(2) == 0;
        let statements = if alone { statements.remove(0) } else { Json::Array(statements) };
        json!({ "Version": "2012-10-17", "Statement": statements }).into()
    }
}

fn hand(numbers: &[u8]) -> Hand<'_> {
    Hand(numbers.iter().cycle())
}

fn numbers() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..64)
}

#[test]
fn what_means_the_same_is_the_same_however_it_is_written() {
    fuzz(1000, &(statements(), numbers(), numbers()), |(meant, one, other)| {
        let (one, other) = (hand(&one).document(&meant), hand(&other).document(&meant));
        prop_assert_eq!(canonical(&one), canonical(&other), "{:?}\n{:?}", one, other);
        prop_assert_eq!(canonical(&canonical(&one)), canonical(&one));
        prop_assert!(Policy(one).same(&Policy(other)));
        Ok(())
    });
}

/// Two statements that differ in one thing, since others differ anyway.
fn neighbours() -> impl Strategy<Value = (Vec<Statement>, Vec<Statement>)> {
    (statements(), statements(), any::<u8>()).prop_map(|(one, other, what)| {
        let mut changed = one.clone();
        let (here, there) = (&mut changed[0], &other[0]);
        match what % 8 {
            0 => here.allow = there.allow,
            1 => here.sid = there.sid,
            2 => here.not_action = there.not_action,
            3 => here.actions.clone_from(&there.actions),
            4 => here.resources.clone_from(&there.resources),
            5 => here.principals.clone_from(&there.principals),
            6 => here.conditions.clone_from(&there.conditions),
            _ => changed.reverse(),
        }
        (one, changed)
    })
}

#[test]
fn what_means_something_else_stays_different() {
    fuzz(1000, &(neighbours(), numbers(), numbers()), |((one, other), left, right)| {
        let (left, right) = (hand(&left).document(&one), hand(&right).document(&other));
        prop_assert_eq!(one == other, canonical(&left) == canonical(&right), "{:?}\n{:?}", left, right);
        Ok(())
    });
}

/// Any JSON, with the words of policies here and there.
pub fn any_json() -> impl Strategy<Value = Json> {
    const WORDS: &[&str] = &[
        "Statement",
        "Action",
        "NotAction",
        "Resource",
        "Principal",
        "NotPrincipal",
        "AWS",
        "Condition",
        "Sid",
        "Version",
        "Effect",
        "StringEquals",
        "ForAllValues:",
        ":IfExists",
        "IfExists",
        "ıfexists",
        "aws:/",
        "/",
        ":",
        "arn::iam:::root",
        "${}",
        "${",
        "é",
        "\u{0}",
        "",
    ];
    let text = prop_oneof![select(WORDS).prop_map(str::to_owned), ".{0,12}", "[a-zA-Z:/*]{0,20}"];
    let leaf = prop_oneof![
        text.clone().prop_map(Json::String),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<i32>().prop_map(|number| json!(f64::from(number) / 8.0)),
        Just(Json::Null),
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Json::Array),
            vec((text.clone(), inner), 0..5).prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

#[test]
fn any_json_has_one_normal_form() {
    fuzz(1000, &any_json(), |json| {
        for document in [json.clone(), json!({ "Statement": json }), json!({ "Statement": [{ "Condition": json }] })] {
            let once = canonical(&document.clone().into());
            prop_assert_eq!(canonical(&once), once.clone(), "{}", document);
            let text = serde_json::to_string(&once).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(canonical(&read), once, "{}", document);
        }
        Ok(())
    });
}

#[test]
fn any_text_is_a_policy_or_none() {
    fuzz(1000, &prop_oneof![".{0,60}", "[%A-F0-9{}\":\\[\\],]{0,60}"], |text| {
        for policy in [Policy::from_json(&text), Policy::from_encoded(&text)].into_iter().flatten() {
            let mut normal = policy.clone();
            normal.normalize();
            prop_assert!(normal.same(&policy));
            drop(policy.check("policy"));
        }
        Ok(())
    });
}
