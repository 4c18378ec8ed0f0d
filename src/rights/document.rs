//! Statements as documents that IAM takes.

use serde_json::Value as Json;

use crate::policy::{self, Statement};
use crate::value::Value;

/// Letters that IAM takes in one managed policy, white space not counted.
pub const LIMIT: usize = 6144;

/// A policy document of one managed policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub json: Json,
    /// How much of the limit it takes.
    pub size: usize,
}

/// The statements in as few documents as IAM's limit allows, in their order.
#[must_use]
pub fn documents(statements: impl IntoIterator<Item = Statement>) -> Vec<Document> {
    let parts = statements.into_iter().flat_map(|statement| fitting(Json::from(&Value::from(statement)), 1));
    let mut all: Vec<Vec<Json>> = Vec::new();
    for statement in parts {
        match all.last_mut() {
            Some(last) if size(&document(last.iter().chain([&statement]))) <= LIMIT => last.push(statement),
            _ => all.push(vec![statement]),
        }
    }
    let whole = |statements: Vec<Json>| {
        let json = document(&statements);
        Document { size: size(&json), json }
    };
    all.into_iter().map(whole).collect()
}

fn document<'a>(statements: impl IntoIterator<Item = &'a Json>) -> Json {
    let statements: Vec<&Json> = statements.into_iter().collect();
    serde_json::json!({ "Version": policy::VERSION, "Statement": statements })
}

fn size(json: &Json) -> usize {
    json.to_string().chars().filter(|letter| !letter.is_whitespace()).count()
}

/// A statement that fits into a document of its own, or its halves, by resources and then by actions.
fn fitting(statement: Json, part: usize) -> Vec<Json> {
    if size(&document([&statement])) <= LIMIT {
        return vec![statement];
    }
    for element in ["Resource", "Action"] {
        let Some(items) = statement[element].as_array().filter(|items| items.len() > 1) else { continue };
        let (one, other) = items.split_at(items.len() / 2);
        let half = |items: &[Json], part: usize| {
            let mut half = statement.clone();
            half[element] = items.into();
            if let Some(sid) = statement["Sid"].as_str() {
                half["Sid"] = format!("{}{part}", sid.trim_end_matches(|c: char| c.is_ascii_digit())).into();
            }
            fitting(half, part)
        };
        return [half(one, part * 2), half(other, part * 2 + 1)].concat();
    }
    vec![statement]
}
