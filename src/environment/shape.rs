//! A JSON schema at one node, with its `$ref` followed and its alternatives apart.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;
use serde_json::{Map, Value};

use super::words::{as_yaml, join, list};
use crate::source::Tree;

/// How many `$ref` and `allOf` lead to a schema at most; more is a circle.
const MAX_LAYERS: usize = 16;

/// Joins the lines of all descriptions: doc comments break where the source does, which a reader should not see.
pub fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
            }
            fields.values_mut().for_each(join_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}

/// A pattern of a schema, made once: to make one takes longer than to use it. A pattern that cannot be compiled is the
/// program's mistake, and a test finds it.
pub fn regex(pattern: &str) -> Option<Regex> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok()).clone()
}

/// A schema that takes everything.
static ANYTHING: Value = Value::Null;

/// A schema as layers: what the field itself says comes before what its type says.
#[derive(Clone, Debug)]
pub struct Shape<'a> {
    root: &'a Value,
    layers: Vec<&'a Map<String, Value>>,
}

impl<'a> Shape<'a> {
    pub fn new(root: &'a Value, schema: &'a Value) -> Self {
        let mut shape = Self { root, layers: Vec::new() };
        shape.add(schema);
        shape
    }

    fn add(&mut self, schema: &'a Value) {
        let Some(layer) = schema.as_object().filter(|_| self.layers.len() < MAX_LAYERS) else { return };
        self.layers.push(layer);
        let target = layer.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        if let Some(schema) = target.and_then(|pointer| self.root.pointer(pointer)) {
            self.add(schema);
        }
        for schema in layer.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.add(schema);
        }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.layers.iter().find_map(|layer| layer.get(key))
    }

    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or_default()
    }

    /// What the type, rather than the field, says of its format.
    pub fn format(&self) -> Option<&'a str> {
        self.layers.get(1..)?.iter().find_map(|layer| layer.get("description")).and_then(Value::as_str)
    }

    pub fn example(&self) -> Option<&'a Value> {
        self.get("examples").and_then(Value::as_array).and_then(|examples| examples.first())
    }

    pub fn sub(&self, schema: &'a Value) -> Self {
        Self::new(self.root, schema)
    }

    /// The alternatives of `oneOf` and `anyOf`, and of theirs; a schema without any is its own only one.
    pub fn alternatives(&self) -> Vec<Self> {
        let Some(branches) = self.get("oneOf").or_else(|| self.get("anyOf")).and_then(Value::as_array) else {
            return vec![self.clone()];
        };
        branches.iter().flat_map(|branch| self.sub(branch).alternatives()).collect()
    }

    fn types(&self) -> Vec<&'a str> {
        match self.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ if self.properties().is_some() => vec!["object"],
            _ => self.words().map(|_| "string").into_iter().collect(),
        }
    }

    /// Whether a value's type fits; a schema without a type takes all.
    pub fn accepts(&self, value: &Tree) -> bool {
        let types = self.types();
        types.is_empty()
            || types.iter().any(|name| match value {
                Tree::Null => *name == "null",
                Tree::Bool(_) => *name == "boolean",
                Tree::Number(number) => *name == "number" || (*name == "integer" && !number.is_f64()),
                Tree::Text(_) => *name == "string",
                Tree::List(_) => *name == "array",
                Tree::Map(_) => *name == "object",
            })
    }

    /// Whether references may stand here: where the type says so, and where the type is not known.
    pub fn takes_references(&self) -> bool {
        self.flag("x-reference") || self.types().is_empty()
    }

    pub fn is(&self, name: &str) -> bool {
        self.types().contains(&name)
    }

    /// The words of an enum.
    pub fn words(&self) -> Option<Vec<&'a str>> {
        match (self.get("enum"), self.get("const")) {
            (Some(Value::Array(words)), _) => Some(words.iter().filter_map(Value::as_str).collect()),
            (_, Some(Value::String(word))) => Some(vec![word]),
            _ => None,
        }
    }

    pub fn properties(&self) -> Option<&'a Map<String, Value>> {
        self.get("properties").and_then(Value::as_object)
    }

    pub fn property(&self, key: &str) -> Option<Self> {
        self.properties().and_then(|fields| fields.get(key)).map(|schema| self.sub(schema))
    }

    /// The schema of keys that are not fields: `None` where they are refused.
    pub fn other(&self, key: &str) -> Option<Self> {
        let patterns = self.get("patternProperties").and_then(Value::as_object);
        let matching =
            patterns.into_iter().flatten().find(|(pattern, _)| regex(pattern).is_some_and(|regex| regex.is_match(key)));
        match (matching, self.get("additionalProperties")) {
            (Some((_, schema)), _) => Some(self.sub(schema)),
            (None, Some(Value::Bool(false))) => None,
            (None, schema) => Some(self.sub(schema.unwrap_or(&ANYTHING))),
        }
    }

    pub fn required(&self) -> Vec<&'a str> {
        self.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// What is expected, in words.
    pub fn describe(&self) -> String {
        let alternatives = self.alternatives();
        let words: Vec<&str> = alternatives.iter().filter_map(Self::words).flatten().collect();
        let mut parts = Vec::new();
        if !words.is_empty() {
            parts.push(list(&words));
        }
        for one in alternatives.iter().filter(|one| one.words().is_none()) {
            for name in one.types() {
                let part = match name {
                    "null" => continue,
                    "integer" => "a whole number",
                    "number" => "a number",
                    "boolean" => "true or false",
                    "array" => "a list",
                    "object" => "a map",
                    _ => one.text("title").unwrap_or("text"),
                };
                if !parts.iter().any(|known| known == part) {
                    parts.push(part.to_owned());
                }
            }
        }
        join(&parts, "or")
    }

    /// An example of a field as it would stand in a file.
    pub fn line(&self, key: &str) -> Option<String> {
        self.example()
            .or_else(|| self.alternatives().iter().find_map(Self::example))
            .map(|example| format!("{key}: {}", as_yaml(example)))
    }
}
