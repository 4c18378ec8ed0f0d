//! A tree against a JSON schema: every mistake at once, each with its place and a way out.
//!
//! `serde` stops at the first mistake, and its words are for programmers. This walk finds all, and takes its words (what a
//! field is, what its format is, an example) from the schema, which is also what an editor shows.

use std::ops::Range;

use regex::Regex;
use serde_json::Value;

use super::references::has_reference;
use super::shape::Shape;
use super::types::Duration;
use super::words::{as_yaml, first_sentence, join, kind, nearest, show};
pub use super::words::{list, suggest};
use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Node, Place, Tree};

/// All that is wrong with a node by a schema. The path is the node's own, for the messages.
#[must_use]
pub fn check_schema(node: &Node, schema: &Value, path: &[String]) -> Vec<Diagnostic> {
    findings(node, schema, path).into_iter().map(|finding| finding.diagnostic).collect()
}

/// A diagnostic, and the path of the node that it is about.
#[derive(Debug)]
pub struct Finding {
    pub path: Vec<String>,
    pub diagnostic: Diagnostic,
}

#[must_use]
pub fn findings(node: &Node, schema: &Value, path: &[String]) -> Vec<Finding> {
    let mut checker = Checker { path: path.to_vec(), found: Vec::new() };
    let place = Place { end: node.place.start, ..node.place };
    checker.node(node, place, &Shape::new(schema, schema));
    checker.found
}

struct Checker {
    path: Vec<String>,
    found: Vec<Finding>,
}

impl Checker {
    /// Checks a node. The other place is that of its key, for complaints about all of a map or a list.
    fn node(&mut self, node: &Node, key: Place, shape: &Shape<'_>) {
        let alternatives = shape.alternatives();
        let suitable: Vec<&Shape<'_>> = alternatives.iter().filter(|one| one.accepts(&node.value)).collect();
        // A map that is left empty by mistake would silently count as absent.
        let hollow = node.value == Tree::Null && !shape.flag("x-null") && alternatives.iter().any(|one| one.is("object"));
        let Some(first) = suitable.first().filter(|_| !hollow) else {
            self.wrong_type(node, key, shape);
            return;
        };
        match &node.value {
            Tree::Text(text) => self.text(node.place, text, shape, &suitable),
            Tree::Number(number) => self.number(node.place, number.as_f64().unwrap_or_default(), shape, first),
            Tree::List(items) => self.items(items, key, shape, first),
            Tree::Map(entries) => {
                let known = |one: &Shape<'_>| entries.iter().filter(|entry| one.property(&entry.key).is_some()).count();
                // Of several kinds of maps, the one that shares most keys with this one is meant.
                let best = suitable.iter().rev().max_by_key(|one| known(one)).copied().unwrap_or(first);
                self.entries(entries, key, best, &suitable);
            }
            Tree::Null | Tree::Bool(_) => {}
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(Finding { path: self.path.clone(), diagnostic });
    }

    /// The last part of the path, for an example line.
    fn field(&self) -> &str {
        self.path.iter().rev().find(|part| part.parse::<usize>().is_err()).map_or("value", String::as_str)
    }

    fn wrong_type(&mut self, node: &Node, key: Place, shape: &Shape<'_>) {
        let what = if self.path.is_empty() { "the file".to_owned() } else { format!("`{}`", show(&self.path)) };
        let place = match node.value {
            Tree::Map(_) | Tree::List(_) | Tree::Null => key,
            _ => node.place,
        };
        if node.text().is_some_and(has_reference) {
            self.no_reference(place);
            return;
        }
        let Fix { expected, label, help } = self.fix(node, shape);
        let message = format!("{what} must be {expected}, not {}", kind(&node.value));
        self.report(with_help(Diagnostic::error("wrong_type", message).at(place, label), help));
    }

    /// What to say about a value of the wrong type.
    fn fix(&self, node: &Node, shape: &Shape<'_>) -> Fix {
        let alternatives = shape.alternatives();
        let wants = |name: &str| alternatives.iter().any(|one| one.is(name));
        let fits = |value: &Tree| *value != Tree::Null && alternatives.iter().any(|one| one.accepts(value));
        let field = self.field();
        let example = shape.line(field).map(|line| format!("for instance `{line}`"));
        let about = shape.text("description").map(|text| text.trim_end_matches('.').to_owned());
        let (expected, label, help) = (shape.describe(), String::new(), example.clone().or(about));
        let fix = |label: &str, help: Option<String>| Fix { expected: expected.clone(), label: label.to_owned(), help };
        match &node.value {
            Tree::Number(_) | Tree::Bool(_) if wants("string") => {
                let written = node.to_json().to_string();
                let pattern = shape.text("pattern").or_else(|| alternatives.iter().find_map(|one| one.text("pattern")));
                if pattern.is_none_or(|pattern| mismatch(pattern, &written).is_none()) {
                    return Fix { expected: "text".to_owned(), label: "put it in quotes".to_owned(), help: example };
                }
                let format = shape.format().or_else(|| alternatives.iter().find_map(Shape::format));
                fix(format.unwrap_or_default(), help)
            }
            Tree::Text(text) if fits(&crate::source::scalar(text)) => fix(&format!("remove the quotes: {text}"), None),
            Tree::Text(text) if wants("boolean") && matches!(text.as_str(), "yes" | "on") => fix("write `true`", None),
            Tree::Text(text) if wants("boolean") && matches!(text.as_str(), "no" | "off") => fix("write `false`", None),
            Tree::Null if self.path.is_empty() => fix("the file is empty", Some("begin with `project: NAME`".to_owned())),
            Tree::Null if wants("object") => {
                fix("nothing follows", Some(format!("write `{field}: {{}}` for an empty one, or remove the line")))
            }
            Tree::Null => fix("nothing follows", help),
            Tree::Text(text) if alternatives.iter().all(|one| one.is("array")) => {
                let items: Vec<&str> = text.split([' ', ',']).filter(|item| !item.is_empty()).collect();
                fix("", Some(format!("write `[{}]`", items.join(", "))))
            }
            Tree::List(_) if wants("object") => fix("", Some("write `name: ...` lines in place of `- ...` ones".to_owned())),
            _ => match alternatives.iter().find_map(Shape::properties) {
                Some(fields) => {
                    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                    fix("", Some(format!("it has the fields {}", list(&names).replace(" or ", " and "))))
                }
                None => Fix { expected, label, help },
            },
        }
    }

    fn no_reference(&mut self, place: Place) {
        let message = format!("`{}` takes no reference", show(&self.path));
        let error = Diagnostic::error("no_reference", message).at(place, "");
        self.report(error.help("write the value itself; `$${` stands for a plain `${`"));
    }

    fn text(&mut self, place: Place, text: &str, shape: &Shape<'_>, suitable: &[&Shape<'_>]) {
        if has_reference(text) {
            if !suitable.iter().any(|one| one.flag("x-reference")) {
                self.no_reference(place);
            }
            return;
        }
        let words: Vec<&str> = suitable.iter().filter_map(|one| one.words()).flatten().collect();
        if words.contains(&text) {
            return;
        }
        match suitable.iter().find(|one| one.words().is_none()) {
            Some(free) => self.free_text(place, text, shape, free),
            None => {
                let label = nearest(text, &words).map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                let message = format!("`{}` cannot be `{text}`", show(&self.path));
                self.report(Diagnostic::error("unknown_word", message).at(place, label).help(format!("write {}", list(&words))));
            }
        }
    }

    fn free_text(&mut self, place: Place, text: &str, shape: &Shape<'_>, one: &Shape<'_>) {
        let of = |key: &str| shape.get(key).or_else(|| one.get(key));
        let limit = |key: &str| of(key).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
        let length = text.chars().count();
        let what = show(&self.path);
        if let Some(most) = limit("maxLength").filter(|most| length > *most) {
            let message = format!("`{what}` has {length} characters; at most {most} are allowed");
            self.report(Diagnostic::error("too_long", message).at(place, ""));
        } else if let Some(least) = limit("minLength").filter(|least| length < *least) {
            let message = format!("`{what}` has {length} characters; at least {least} are needed");
            self.report(Diagnostic::error("too_short", message).at(place, ""));
        } else if let Some(pattern) = of("pattern").and_then(Value::as_str)
            && let Some(blame) = mismatch(pattern, text)
        {
            self.wrong_format(place, text, blame, shape, one);
        } else {
            self.duration(place, text, shape);
        }
    }

    fn wrong_format(&mut self, place: Place, text: &str, blame: Blame, shape: &Shape<'_>, one: &Shape<'_>) {
        let what = show(&self.path);
        let message = match shape.text("title").or_else(|| one.text("title")) {
            Some(title) => format!("`{what}` must be {title}, not `{text}`"),
            None => format!("`{what}` cannot be `{text}`"),
        };
        let format = shape.format().or_else(|| one.format());
        let example = shape.example().or_else(|| one.example()).map(|example| format!("for instance `{}`", as_yaml(example)));
        let own = shape.text("description").filter(|own| Some(*own) != format).map(str::to_owned);
        let error = Diagnostic::error("wrong_format", message);
        self.report(match (blame.character, format) {
            (Some(blame), _) => {
                let label = format!("`{}` cannot stand here", &text[blame.clone()]);
                with_help(error.at(part(place, text, blame), label), format.map(str::to_owned).or(own))
            }
            (None, Some(format)) => with_help(error.at(place, format), own.or(example)),
            (None, None) => with_help(error.at(place, example.unwrap_or_default()), own),
        });
    }

    /// The limits of a duration, which JSON schema cannot say.
    fn duration(&mut self, place: Place, text: &str, shape: &Shape<'_>) {
        let Ok(given) = text.parse::<Duration>() else { return };
        let limit = |key: &str| shape.text(key).and_then(|limit| limit.parse::<Duration>().ok());
        let (shortest, longest) = (limit("x-shortest"), limit("x-longest"));
        let label = if longest.is_some_and(|longest| given > longest) {
            "too long"
        } else if shortest.is_some_and(|shortest| given < shortest) {
            "too short"
        } else if shape.flag("x-whole-days") && given.seconds() % 86_400 != 0 {
            let error = Diagnostic::error("out_of_range", format!("`{}` must be whole days", show(&self.path)));
            self.report(error.at(place, "").help(format!("write `{}d`", given.days().max(1))));
            return;
        } else {
            return;
        };
        self.out_of_range(place, label, shortest.map(|limit| limit.to_string()), longest.map(|limit| limit.to_string()), shape);
    }

    fn number(&mut self, place: Place, number: f64, shape: &Shape<'_>, one: &Shape<'_>) {
        let limit = |key: &str| shape.get(key).or_else(|| one.get(key));
        let (least, most) = (limit("minimum"), limit("maximum"));
        let label = if least.and_then(Value::as_f64).is_some_and(|least| number < least) {
            "too small"
        } else if most.and_then(Value::as_f64).is_some_and(|most| number > most) {
            "too large"
        } else {
            return;
        };
        self.out_of_range(place, label, least.map(ToString::to_string), most.map(ToString::to_string), shape);
    }

    fn out_of_range(&mut self, place: Place, label: &str, least: Option<String>, most: Option<String>, shape: &Shape<'_>) {
        let range = match (least, most) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (None, Some(most)) => format!("{most} or less"),
            (None, None) => return,
        };
        let error = Diagnostic::error("out_of_range", format!("`{}` must be {range}", show(&self.path))).at(place, label);
        self.report(with_help(error, shape.text("description").map(str::to_owned)));
    }

    fn items(&mut self, items: &[Node], key: Place, shape: &Shape<'_>, one: &Shape<'_>) {
        let limit = |name: &str| shape.get(name).or_else(|| one.get(name)).and_then(Value::as_u64);
        let count = items.len() as u64;
        let what = show(&self.path);
        let wrong = match (limit("minItems"), limit("maxItems")) {
            (Some(least), _) if count < least => Some(format!("`{what}` needs at least {least}, and has {count}")),
            (_, Some(most)) if count > most => Some(format!("`{what}` takes at most {most}, and has {count}")),
            _ => None,
        };
        if let Some(message) = wrong {
            self.report(Diagnostic::error("count", message).at(key, ""));
        }
        let Some(schema) = one.get("items") else { return };
        for (at, item) in items.iter().enumerate() {
            self.path.push(at.to_string());
            // A map in a list has no key; its first line is the place of what concerns all of it.
            let start = Place { end: item.place.start, ..item.place };
            self.node(item, start, &one.sub(schema));
            self.path.pop();
        }
    }

    fn entries(&mut self, entries: &[Entry], key: Place, shape: &Shape<'_>, all: &[&Shape<'_>]) {
        let names = shape.get("propertyNames").map(|schema| shape.sub(schema));
        for entry in entries {
            self.path.push(entry.key.clone());
            match (shape.property(&entry.key), &names) {
                (Some(field), _) => self.node(&entry.value, entry.key_place, &field),
                (None, names) => match shape.other(&entry.key) {
                    Some(field) => {
                        if let Some(names) = names {
                            self.name(entry, names);
                        }
                        self.node(&entry.value, entry.key_place, &field);
                    }
                    None => self.unknown(entry, all),
                },
            }
            self.path.pop();
        }
        let known: Vec<&str> = shape.properties().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        // A field that only has its name misspelt is not missing as well.
        let given: Vec<&str> = entries
            .iter()
            .filter_map(|entry| if known.contains(&entry.key.as_str()) { Some(entry.key.as_str()) } else { nearest(&entry.key, &known) })
            .collect();
        let missing: Vec<&str> = shape.required().into_iter().filter(|field| !given.contains(field)).collect();
        if !missing.is_empty() {
            self.missing(&missing, key, shape);
        }
        for (bound, wrong) in [("minProperties", "at least"), ("maxProperties", "at most")] {
            let count = entries.len() as u64;
            let Some(limit) = shape.get(bound).and_then(Value::as_u64) else { continue };
            if (bound == "minProperties" && count < limit) || (bound == "maxProperties" && count > limit) {
                let message = format!("`{}` takes {wrong} {limit} entries, and has {count}", show(&self.path));
                self.report(Diagnostic::error("count", message).at(key, ""));
            }
        }
    }

    /// Checks the key of an entry. The path ends in it, which the messages about it need not repeat.
    fn name(&mut self, entry: &Entry, names: &Shape<'_>) {
        let text = &entry.key;
        let length = text.chars().count();
        let title = names.text("title").unwrap_or("a key that is allowed here");
        let description = names.text("description").unwrap_or_default();
        let most = names.get("maxLength").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
        let error = if let Some(most) = most.filter(|most| length > *most) {
            let message = format!("`{text}` has {length} characters; {title} has at most {most}");
            Diagnostic::error("name_too_long", message).at(entry.key_place, "")
        } else if let Some(blame) = names.text("pattern").and_then(|pattern| mismatch(pattern, text)) {
            let error = Diagnostic::error("name", format!("`{text}` is not {title}"));
            match blame.character {
                Some(blame) => {
                    let label = format!("`{}` cannot stand here", &text[blame.clone()]);
                    error.at(part(entry.key_place, text, blame), label)
                }
                None => error.at(entry.key_place, ""),
            }
        } else {
            return;
        };
        self.report(with_help(error, Some(description).filter(|text| !text.is_empty()).map(|text| format!("write {text}"))));
    }

    fn unknown(&mut self, entry: &Entry, all: &[&Shape<'_>]) {
        let known: Vec<&str> = all.iter().filter_map(|one| one.properties()).flatten().map(|(name, _)| name.as_str()).collect();
        let parent = &self.path[..self.path.len() - 1];
        let of = if parent.is_empty() { String::new() } else { format!(" in `{}`", show(parent)) };
        let (label, help) = suggest(&entry.key, &known);
        let error = Diagnostic::error("unknown_field", format!("unknown field `{}`{of}", entry.key)).at(entry.key_place, label);
        self.report(with_help(error, help));
    }

    fn missing(&mut self, missing: &[&str], key: Place, shape: &Shape<'_>) {
        let quoted: Vec<String> = missing.iter().map(|field| format!("`{field}`")).collect();
        let of = if self.path.is_empty() { "the file".to_owned() } else { format!("`{}`", show(&self.path)) };
        let about: Vec<String> = missing
            .iter()
            .filter_map(|name| {
                let field = shape.property(name)?;
                let example = field.line(name).unwrap_or_else(|| format!("{name}: ..."));
                Some(format!("`{example}` ({})", first_sentence(field.text("description").unwrap_or_default())))
            })
            .collect();
        let error = Diagnostic::error("missing_field", format!("{of} lacks {}", join(&quoted, "and"))).at(key, "");
        self.report(error.help(format!("add {}", about.join("\nand "))));
    }
}

/// What to say about a value of the wrong type: what is expected, the label, and the help.
struct Fix {
    expected: String,
    label: String,
    help: Option<String>,
}

fn with_help(diagnostic: Diagnostic, help: Option<String>) -> Diagnostic {
    match help {
        Some(help) => diagnostic.help(help.trim_end_matches('.')),
        None => diagnostic,
    }
}

/// The place of a part of a text, if the text is written as it is, with or without quotes; else that of all of it.
fn part(place: Place, text: &str, part: Range<usize>) -> Place {
    let quote = match (place.end - place.start).checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return place,
    };
    let start = place.start + quote;
    Place { start: start + part.start, end: start + part.end, ..place }
}

/// Why a text does not match a pattern.
struct Blame {
    /// The character that the text would match without, if there is one.
    character: Option<Range<usize>>,
}

/// Why a text does not match a pattern; nothing if it does. A pattern that cannot be compiled is the program's mistake, not the user's, and matches.
fn mismatch(pattern: &str, text: &str) -> Option<Blame> {
    let regex = Regex::new(pattern).ok()?;
    if regex.is_match(text) {
        return None;
    }
    // Digits are left out: a number that is too large would match with any of its digits gone.
    let suspects = || text.char_indices().filter(|(_, char)| !char.is_ascii_digit());
    let once = suspects().find(|(at, char)| regex.is_match(&format!("{}{}", &text[..*at], &text[at + char.len_utf8()..])));
    let blame = once.or_else(|| suspects().find(|(_, char)| regex.is_match(&text.replace(*char, ""))));
    Some(Blame { character: blame.map(|(at, char)| at..at + char.len_utf8()) })
}
