//! A tree against a JSON schema: every mistake at once, each with its place and a way out.
//!
//! `serde` stops at the first mistake, and its words are for programmers. This walk finds all, and takes its words
//! (what a field is, what its format is, an example) from the schema, which is also what an editor shows.

use std::ops::Range;

use serde_json::Value;

use super::advice::{Fix, fix};
use super::references::has_reference;
use super::shape::{Shape, regex};
use super::types::Duration;
use super::words::{FEW, as_yaml, first_sentence, join, kind, meant, nearest, show, showing};
pub use super::words::{list, suggest};
use crate::diagnostic::Diagnostic;
use crate::source::syntax::code_point;
use crate::source::{Entry, Node, Place, Tree};

/// All that is wrong with a node by a schema, of which the lines of descriptions are joined. The path is the node's own, for the messages.
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
        let hollow =
            node.value == Tree::Null && !shape.flag("x-null") && alternatives.iter().any(|one| one.is("object"));
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

    /// The last part of the path that is no index, for an example line; nothing at the top.
    fn field(&self) -> Option<&str> {
        let named = self.path.iter().rev().find(|part| part.parse::<usize>().is_err());
        named.or(self.path.last()).map(String::as_str)
    }

    fn wrong_type(&mut self, node: &Node, key: Place, shape: &Shape<'_>) {
        let what = if self.path.is_empty() { "the file".to_owned() } else { format!("`{}`", show(&self.path)) };
        let place = match node.value {
            Tree::Map(_) | Tree::List(_) | Tree::Null => key,
            _ => node.place,
        };
        if !self.path.is_empty() && node.text().is_some_and(has_reference) {
            self.no_reference(place);
            return;
        }
        if self.too_large(node, shape) {
            return;
        }
        let Fix { expected, label, help } = fix(node, shape, self.field());
        let message = match &node.value {
            Tree::Null if self.path.is_empty() => "the file is empty".to_owned(),
            Tree::Number(number) if shape.text("title").is_some() && expected != "text" => {
                format!("{what} must be {expected}, not the number {number}")
            }
            value => format!("{what} must be {expected}, not {}", kind(value)),
        };
        self.report(with_help(Diagnostic::error("wrong_type", message).at(place, label), help));
    }

    /// A number beyond all whole numbers is one that is too large, rather than one with decimals.
    fn too_large(&mut self, node: &Node, shape: &Shape<'_>) -> bool {
        let Tree::Number(number) = &node.value else { return false };
        let Some(number) = number.as_f64().filter(|number| number.abs() > 1e15) else { return false };
        let found = self.found.len();
        if let Some(one) = shape.alternatives().iter().find(|one| one.is("integer")) {
            self.number(node.place, number, shape, one);
        }
        self.found.len() > found
    }

    fn no_reference(&mut self, place: Place) {
        let message = format!("`{}` takes no reference", show(&self.path));
        let error = Diagnostic::error("no_reference", message).at(place, "");
        self.report(error.help("write the value itself; `$${` stands for a plain `${`"));
    }

    fn text(&mut self, place: Place, text: &str, shape: &Shape<'_>, suitable: &[&Shape<'_>]) {
        if has_reference(text) {
            if !suitable.iter().any(|one| one.takes_references()) {
                self.no_reference(place);
            }
            return;
        }
        let words: Vec<&str> = suitable.iter().filter_map(|one| one.words()).flatten().collect();
        if words.contains(&text) {
            return;
        }
        if let Some(free) = suitable.iter().find(|one| one.words().is_none()) {
            self.free_text(place, text, shape, free);
            return;
        }
        let label = nearest(text, &words).map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        let error = Diagnostic::error("unknown_word", format!("`{}` cannot be {}", show(&self.path), showing(text)));
        self.report(error.at(place, label).help(format!("write {}", list(&words))));
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
        let title = shape.text("title").or_else(|| one.text("title"));
        let message = match title {
            Some(title) => format!("`{what}` must be {title}, not {}", showing(text)),
            None => format!("`{what}` cannot be {}", showing(text)),
        };
        let format = shape.format().or_else(|| one.format());
        let example =
            shape.example().or_else(|| one.example()).map(|example| format!("for instance `{}`", as_yaml(example)));
        let own = shape.text("description").filter(|own| Some(*own) != format).map(str::to_owned);
        let error = Diagnostic::error("wrong_format", message);
        self.report(match (blame.character, format) {
            (Some(blame), _) => {
                let label = cannot_stand(&text[blame.clone()]);
                with_help(error.at(part(place, text, blame), label), format.map(str::to_owned).or(own))
            }
            (None, Some(_)) if title.is_some_and(|title| title.contains("range")) && is_address(text) => {
                error.at(place, format!("one address is `{text}/32`"))
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
        self.out_of_range(
            place,
            label,
            shortest.map(|limit| limit.to_string()),
            longest.map(|limit| limit.to_string()),
            shape,
        );
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

    fn out_of_range(
        &mut self,
        place: Place,
        label: &str,
        least: Option<String>,
        most: Option<String>,
        shape: &Shape<'_>,
    ) {
        let range = match (least, most) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (None, Some(most)) => format!("{most} or less"),
            (None, None) => return,
        };
        let error =
            Diagnostic::error("out_of_range", format!("`{}` must be {range}", show(&self.path))).at(place, label);
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
        let mut listed = false;
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
                    None => listed |= self.unknown(entry, all, listed),
                },
            }
            self.path.pop();
        }
        let known: Vec<&str> = shape.properties().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        // A field that only has its name misspelt is not missing as well.
        let given: Vec<&str> = entries
            .iter()
            .filter_map(|entry| {
                if known.contains(&entry.key.as_str()) { Some(entry.key.as_str()) } else { meant(&entry.key, &known) }
            })
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
            let message = if text.is_empty() {
                format!("the name is empty, which is not {title}")
            } else {
                format!("`{text}` is not {title}")
            };
            let error = Diagnostic::error("name", message);
            match blame.character {
                Some(blame) => {
                    let label = cannot_stand(&text[blame.clone()]);
                    error.at(part(entry.key_place, text, blame), label)
                }
                None => error.at(entry.key_place, ""),
            }
        } else {
            return;
        };
        self.report(with_help(
            error,
            Some(description).filter(|text| !text.is_empty()).map(|text| format!("write {text}")),
        ));
    }

    /// Reports a field that is not known. Returns whether the known ones were listed, which is enough once a map.
    fn unknown(&mut self, entry: &Entry, all: &[&Shape<'_>], listed: bool) -> bool {
        let known: Vec<&str> =
            all.iter().filter_map(|one| one.properties()).flatten().map(|(name, _)| name.as_str()).collect();
        let parent = &self.path[..self.path.len() - 1];
        let of = if parent.is_empty() { String::new() } else { format!(" in `{}`", show(parent)) };
        let (label, help) = suggest(&entry.key, &known);
        let error = Diagnostic::error("unknown_field", format!("unknown field {}{of}", showing(&entry.key)))
            .at(entry.key_place, label);
        let help = help.filter(|_| !listed || known.len() <= FEW);
        let lists = help.is_some();
        self.report(with_help(error, help));
        lists
    }

    fn missing(&mut self, missing: &[&str], key: Place, shape: &Shape<'_>) {
        let quoted: Vec<String> = missing.iter().map(|field| format!("`{field}`")).collect();
        let of = if self.path.is_empty() { "the file".to_owned() } else { format!("`{}`", show(&self.path)) };
        let about: Vec<String> = missing
            .iter()
            .filter_map(|name| {
                let field = shape.property(name)?;
                let example = field.line(name).unwrap_or_else(|| format!("{name}: ..."));
                let about = first_sentence(field.text("description").unwrap_or_default());
                Some(if about.is_empty() { format!("`{example}`") } else { format!("`{example}` ({about})") })
            })
            .collect();
        let error = Diagnostic::error("missing_field", format!("{of} lacks {}", join(&quoted, "and"))).at(key, "");
        self.report(error.help(format!("add {}", about.join("\nand "))));
    }
}

/// Letters of other alphabets look like ours.
fn cannot_stand(letter: &str) -> String {
    match letter.chars().next() {
        Some(char) if !char.is_ascii() => format!("`{char}` ({}) cannot stand here", code_point(char)),
        _ => format!("`{letter}` cannot stand here"),
    }
}

/// Whether this is one address, rather than the beginning of a range.
fn is_address(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok() && !text.ends_with(".0")
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
pub(super) struct Blame {
    /// The character that the text would match without, if there is one.
    character: Option<Range<usize>>,
}

/// Why a text does not match a pattern; nothing if it does. A pattern that cannot be compiled is the program's mistake,
/// not the user's, and matches.
pub(super) fn mismatch(pattern: &str, text: &str) -> Option<Blame> {
    let regex = regex(pattern)?;
    if regex.is_match(text) {
        return None;
    }
    // To try all of a text that is no word of a file takes too long.
    if text.len() > 300 {
        return Some(Blame { character: None });
    }
    // Digits are left out: a number that is too large would match with any of its digits gone.
    let suspects = || text.char_indices().filter(|(_, char)| !char.is_ascii_digit());
    let without = |at: usize, char: char| format!("{}{}", &text[..at], &text[at + char.len_utf8()..]);
    let once = suspects().find(|(at, char)| regex.is_match(&without(*at, *char)));
    let blame = once.or_else(|| suspects().find(|(_, char)| regex.is_match(&text.replace(*char, ""))));
    Some(Blame { character: blame.map(|(at, char)| at..at + char.len_utf8()) })
}
