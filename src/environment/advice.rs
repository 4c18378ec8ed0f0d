//! What to say about a value of the wrong type: what is expected, and how to write what was probably meant.

use std::borrow::Cow;

use serde_json::Value;

use super::check::mismatch;
use super::shape::Shape;
use super::words::{as_yaml, first_sentence, list};
use crate::source::{Node, Tree, scalar};

pub struct Fix {
    pub expected: String,
    pub label: String,
    pub help: Option<String>,
}

/// Looks at a node at a path of the file, of which the last part that is no index is `field`.
pub fn fix(node: &Node, shape: &Shape<'_>, field: Option<&str>) -> Fix {
    let alternatives = shape.alternatives();
    let wants = |name: &str| alternatives.iter().any(|one| one.is(name));
    let example = shape.line(field.unwrap_or("value")).map(|line| format!("for instance `{line}`"));
    let about = shape.text("description").map(|text| text.trim_end_matches('.').to_owned());
    let help = example.clone().or_else(|| about.clone());
    let expected = shape.describe();
    let fix = |label: &str, help: Option<String>| Fix { expected: expected.clone(), label: label.to_owned(), help };
    match &node.value {
        Tree::Null if field.is_none() => fix("", Some("begin with `project: NAME`".to_owned())),
        Tree::Null => fix("nothing follows", nothing(shape, &alternatives, field.unwrap_or("value")).or(help)),
        Tree::Number(_) | Tree::Bool(_) if wants("string") => match quoted(node, shape, &alternatives) {
            Quoted::Right => Fix { expected: "text".to_owned(), label: "put it in quotes".to_owned(), help: example },
            Quoted::Wrong(format) => fix(format.unwrap_or_default(), help),
        },
        Tree::Text(text) if fits(&scalar(text), &alternatives) => fix(&format!("remove the quotes: {text}"), None),
        Tree::Text(_) | Tree::Number(_) if wants("boolean") => match truth(node) {
            Some(word) => fix(&format!("write `{word}`"), None),
            None => fix("", help),
        },
        Tree::Number(number) if wants("integer") => match number.as_f64().filter(|number| number.fract() == 0.0) {
            Some(whole) => fix(&format!("write `{whole}`"), None),
            None => fix("", with_meaning(help, about)),
        },
        Tree::Text(text) if wants("integer") => match whole(text) {
            Some(number) => fix(&format!("write `{number}`"), None),
            None => fix("", with_meaning(help, about)),
        },
        Tree::Text(text) if alternatives.iter().all(|one| one.is("array")) => {
            let items: Vec<&str> = text.split([' ', ',']).filter(|item| !item.is_empty()).collect();
            fix("", Some(format!("write `[{}]`", items.join(", "))))
        }
        Tree::Map(_) if wants("array") && !wants("object") => {
            fix("", Some("begin each entry of the list with `- `, or put `[ ]` around it".to_owned()))
        }
        value if wants("object") => {
            let instead = shape.text("x-instead").map(str::to_owned);
            // A description that shows how it is written says more than a guess.
            let shown = about.filter(|about| about.contains('`') && shape.properties().is_none());
            fix("", instead.or(shown).or_else(|| map(value, &alternatives, field)).or(help))
        }
        _ => fix("", help),
    }
}

fn fits(value: &Tree, alternatives: &[Shape<'_>]) -> bool {
    *value != Tree::Null && alternatives.iter().any(|one| one.accepts(value))
}

/// What to do about a key with nothing behind it.
fn nothing(shape: &Shape<'_>, alternatives: &[Shape<'_>], field: &str) -> Option<String> {
    if !alternatives.iter().any(|one| one.is("object")) {
        return None;
    }
    let required = alternatives.iter().find(|one| one.is("object")).map(Shape::required).unwrap_or_default();
    Some(match (required.as_slice(), shape.properties()) {
        ([], _) => format!("write `{field}: {{}}` for an empty one, or remove the line"),
        (required, _) => format!("it needs {}; or remove the line", list(required).replace(" or ", " and ")),
    })
}

enum Quoted<'a> {
    /// The value would be right if it stood in quotes.
    Right,
    /// Not even then, since it has another format.
    Wrong(Option<&'a str>),
}

fn quoted<'a>(node: &Node, shape: &Shape<'a>, alternatives: &[Shape<'a>]) -> Quoted<'a> {
    let written = node.to_json().to_string();
    let texts: Vec<&Shape<'_>> = alternatives.iter().filter(|one| one.is("string")).collect();
    let pattern = shape.text("pattern").or_else(|| texts.iter().find_map(|one| one.text("pattern")));
    // An account's number may begin with a zero, which a number of YAML loses.
    let twelve = if written.len() > 8 { format!("{written:0>12}") } else { written.clone() };
    let words: Vec<&str> = texts.iter().filter_map(|one| one.words()).flatten().collect();
    let right = words.is_empty() || words.contains(&written.as_str());
    if right && pattern.is_none_or(|one| mismatch(one, &written).is_none() || mismatch(one, &twelve).is_none()) {
        return Quoted::Right;
    }
    let format = shape.format().or_else(|| alternatives.iter().find_map(Shape::format));
    Quoted::Wrong(format.filter(|_| words.is_empty()))
}

/// What people write for true and false elsewhere.
fn truth(node: &Node) -> Option<&'static str> {
    let written = match &node.value {
        Tree::Text(text) => Cow::Borrowed(text.as_str()),
        Tree::Number(number) => Cow::Owned(number.to_string()),
        _ => return None,
    };
    match written.to_lowercase().as_str() {
        "yes" | "on" | "y" | "1" | "true" | "enabled" => Some("true"),
        "no" | "off" | "n" | "0" | "false" | "disabled" | "none" => Some("false"),
        _ => None,
    }
}

/// The number in `1_024`, `1,024`, `60%` or `"80"`.
fn whole(text: &str) -> Option<i64> {
    text.trim().trim_end_matches('%').replace(['_', ',', ' '], "").parse().ok()
}

/// An example, and what the number counts: `1GB` is not written in megabytes.
fn with_meaning(help: Option<String>, about: Option<String>) -> Option<String> {
    match (help, about) {
        (Some(help), Some(about)) if help != about => Some(format!("{help}: {}", first_sentence(&about))),
        (help, _) => help,
    }
}

/// How something else is written as a map.
fn map(value: &Tree, alternatives: &[Shape<'_>], field: Option<&str>) -> Option<String> {
    if let Some(fields) = alternatives.iter().find_map(Shape::properties) {
        let field = field.unwrap_or("value");
        let word = |(name, schema): (&String, &Value)| {
            let text = value_text(value)?;
            let one = alternatives.iter().find(|one| one.properties().is_some())?.sub(schema);
            let words: Vec<&str> = one.alternatives().iter().filter_map(Shape::words).flatten().collect();
            words.contains(&text).then(|| format!("write `{field}: {{ {name}: {text} }}`"))
        };
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let all = || format!("it has the fields {}", list(&names).replace(" or ", " and "));
        return Some(fields.iter().find_map(word).unwrap_or_else(all));
    }
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    match value {
        Tree::List(items) => {
            let first = items.first()?;
            if let Some(name) = first.entry("name").and_then(|entry| entry.value.text()).filter(|name| is_name(name)) {
                return Some(format!("write `{name}:` in place of `- name: {name}`, and the rest below it"));
            }
            let text = first.text()?;
            Some(match text.split_once('=') {
                Some((name, value)) if is_name(name) => {
                    format!("write `{name}: {}` in place of `- {text}`", as_yaml(&Value::String(value.to_owned())))
                }
                _ if is_name(text) => format!("write `{text}: ...` in place of `- {text}`"),
                _ => "write `name: ...` lines in place of `- ...` ones".to_owned(),
            })
        }
        Tree::Text(text) if is_name(text) => Some(format!("write `{}: {{ {text}: ... }}`", field.unwrap_or("value"))),
        _ => None,
    }
}

fn value_text(value: &Tree) -> Option<&str> {
    match value {
        Tree::Text(text) => Some(text),
        _ => None,
    }
}
