//! Why a resource is there: which part of the file made it, which of its fields the file says, what it has to do with the
//! others, who reaches it, and what was found on it. Pure.

#[cfg(test)]
mod tests;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::address::Address;
use crate::check::{Checked, is_secret};
use crate::desired::{Desired, Resource};
use crate::diagnostic::Severity;
use crate::environment::Loaded;
use crate::kind::Info;
use crate::kinds;
use crate::reach::{End, Firewalls};
use crate::source::{Node, Place, Tree};
use crate::value::{Fields, Value};

/// All that can be said of one resource.
#[must_use]
pub fn resource(loaded: &Loaded, desired: &Desired, checked: &Checked, resource: &Resource) -> String {
    let address = &resource.address;
    let mut out = format!("{address}\n\n");
    if let Some(why) = why::why(resource) {
        let _ = writeln!(out, "  {why}");
    }
    let kind = kinds::find(&address.kind);
    if let Some(about) = kind.and_then(about) {
        let _ = writeln!(out, "  {}: {about}", address.kind);
    }
    let hidden = checked.of(address).any(|finding| finding.code == "plain_secret");
    place(&mut out, loaded, resource, hidden);
    fields(&mut out, loaded, resource, kind);
    references(&mut out, desired, resource);
    if address.kind == "security_group" {
        reaches(&mut out, desired, address);
    }
    findings(&mut out, checked, address);
    out
}

/// All resources by the part of the file that makes them.
#[must_use]
pub fn environment(loaded: &Loaded, desired: &Desired) -> String {
    let mut made: BTreeMap<&[String], Vec<String>> = BTreeMap::new();
    for resource in desired.resources.values() {
        made.entry(&resource.origin).or_default().push(resource.address.to_string());
    }
    let mut out = String::new();
    for (origin, addresses) in made {
        let (file, line) = loaded.sources.line(loaded.tree.key_place_of(origin));
        let _ = write!(out, "{} ({file}:{line})\n  {}\n", origin.join("."), addresses.join("\n  "));
    }
    out
}

/// The first paragraph of what the kind says of itself.
fn about(info: &'static Info) -> Option<String> {
    let schema = (info.schema)().to_value();
    let text = schema.get("description")?.as_str()?.split("\n\n").next()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Where the file makes it, and which of its bases add to that. A line that holds a secret is not shown.
fn place(out: &mut String, loaded: &Loaded, resource: &Resource, hidden: bool) {
    let place = loaded.tree.key_place_of(&resource.origin);
    let (name, line) = loaded.sources.line(place);
    let _ = write!(out, "\nMade by `{}`, {name}:{line}", resource.origin.join("."));
    let mut others: BTreeMap<usize, Place> = BTreeMap::new();
    if let Some(entry) = loaded.tree.get(&resource.origin) {
        places(entry, &mut others);
    }
    for (_, other) in others.into_iter().filter(|(file, _)| *file != place.file) {
        let (name, line) = loaded.sources.line(other);
        let _ = write!(out, " and {name}:{line}");
    }
    out.push('\n');
    let text = loaded.sources.files.get(place.file).and_then(|file| file.text.lines().nth(line.saturating_sub(1)));
    if let Some(text) = text.filter(|text| !hidden && !is_secret("", text)) {
        let _ = writeln!(out, "  {line} | {}", text.trim_end());
    }
}

/// The first place in each file that holds a part of this node.
fn places(node: &Node, first: &mut BTreeMap<usize, Place>) {
    for entry in node.entries() {
        let place = entry.key_place;
        let known = first.entry(place.file).or_insert(place);
        *known = place.min(*known);
        places(&entry.value, first);
    }
}

/// Who says what a field is.
enum Said {
    File(Place),
    Default,
    Section,
    /// A part of a field, of which the whole is said to come from somewhere.
    Unknown,
}

/// Longer values are laid out over several lines.
const WIDTH: usize = 110;

/// What is known of the fields of one resource.
struct Explain<'a> {
    loaded: &'a Loaded,
    resource: &'a Resource,
    defaults: Fields,
    secret: &'static [&'static str],
}

fn fields(out: &mut String, loaded: &Loaded, resource: &Resource, kind: Option<&'static Info>) {
    out.push_str("\nFields\n");
    let defaults = kind.map(Info::defaults).unwrap_or_default();
    let explain = Explain { loaded, resource, defaults, secret: kind.map_or(&[], |info| info.secret) };
    for (name, value) in &resource.fields {
        explain.field(out, 1, &[name], value);
    }
}

impl Explain<'_> {
    /// A field and where it comes from, over several lines where one is too short.
    fn field(&self, out: &mut String, depth: usize, path: &[&str], value: &Value) {
        let indent = "  ".repeat(depth);
        let name = path.last().copied().unwrap_or_default();
        let said = self.said(path, value);
        if self.secret.contains(&path[0]) {
            let _ = writeln!(out, "{indent}{name}: (not shown){said}");
            return;
        }
        let line = show(name, value);
        if indent.len() + name.len() + line.len() <= WIDTH && !self.parts_stand_in_the_file(path, value) {
            let _ = writeln!(out, "{indent}{name}: {line}{said}");
            return;
        }
        match value {
            Value::List(items) => {
                let _ = writeln!(out, "{indent}{name}:{said}");
                for (at, item) in items.iter().enumerate() {
                    self.field(out, depth + 1, &[path, &[&at.to_string()]].concat(), item);
                }
            }
            Value::Map(fields) => {
                let _ = writeln!(out, "{indent}{name}:{said}");
                for (part, field) in fields.iter().filter(|(_, field)| !field.is_empty()) {
                    self.field(out, depth + 1, &[path, &[part]].concat(), field);
                }
            }
            _ => {
                let _ = writeln!(out, "{indent}{name}: {line}{said}");
            }
        }
    }

    /// Whether the entries of a map, such as variables, have places of their own to show.
    fn parts_stand_in_the_file(&self, path: &[&str], value: &Value) -> bool {
        let Value::Map(fields) = value else { return false };
        let stands = |(part, field): (&String, &Value)| {
            let path = [path, &[part]].concat();
            matches!(said(self.loaded, self.resource, &self.defaults, &path, field), Said::File(_))
        };
        path[0] != "tags" && fields.iter().any(stands)
    }

    fn said(&self, path: &[&str], value: &Value) -> String {
        match said(self.loaded, self.resource, &self.defaults, path, value) {
            Said::File(place) => {
                let (file, line) = self.loaded.sources.line(place);
                format!("  # {file}:{line}")
            }
            Said::Default => "  # default".to_owned(),
            Said::Section => format!("  # section `{}`", self.resource.origin.first().map_or("", |first| first)),
            Said::Unknown => String::new(),
        }
    }
}

/// As far as can be told: a field of a raw resource stands in the file by its name; elsewhere a value that the entry holds
/// under a name like the field's is meant to be the field.
fn said(loaded: &Loaded, resource: &Resource, defaults: &Fields, path: &[&str], value: &Value) -> Said {
    let entry = loaded.tree.get(&resource.origin);
    let name = path.last().copied().unwrap_or_default();
    let top = path.len() == 1;
    if resource.origin.first().is_some_and(|section| section == "resources") {
        return match entry.and_then(|entry| entry.get(path)) {
            Some(node) => Said::File(node.place),
            None if top => Said::Default,
            None => Said::Unknown,
        };
    }
    if path == ["tags"] && loaded.tree.entry("tags").is_some() {
        return Said::File(loaded.tree.key_place_of(&["tags"]));
    }
    if let Some(place) = entry.and_then(|entry| leaf(entry, name, value)) {
        return Said::File(place);
    }
    match top {
        false => Said::Unknown,
        true if defaults.get(name) == Some(value) => Said::Default,
        true => Said::Section,
    }
}

/// The place of a value at or below a node, under a key like this name. A reference is found by its key alone.
fn leaf(node: &Node, name: &str, value: &Value) -> Option<Place> {
    node.entries().iter().find_map(|entry| {
        let key = entry.key.as_str();
        let alike = name == key || name.split('_').any(|word| word == key) || key.split('_').any(|word| word == name);
        let same = match (&entry.value.value, value) {
            (Tree::Text(text), Value::Template(_)) => name == key && text.contains("${"),
            (Tree::Text(text), value) => scalar(value).is_some_and(|value| value == *text),
            (Tree::Number(number), value) => scalar(value).is_some_and(|value| value == number.to_string()),
            (Tree::Bool(flag), value) => *value == Value::Bool(*flag),
            _ => false,
        };
        if alike && same { Some(entry.value.place) } else { leaf(&entry.value, name, value) }
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A value on one line. Variables that hold a secret are not shown.
fn show(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Text(text) if is_secret(name, text) => "(not shown)".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Template(template) if is_secret(name, &template.to_string()) => "(not shown)".to_owned(),
        Value::Template(template) => template.to_string(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|item| show(name, item)).collect::<Vec<_>>().join(", "))
        }
        Value::Map(fields) => {
            let set = fields.iter().filter(|(_, value)| !value.is_empty());
            format!(
                "{{ {} }}",
                set.map(|(name, value)| format!("{name}: {}", show(name, value))).collect::<Vec<_>>().join(", ")
            )
        }
        plain => scalar(plain).unwrap_or_default(),
    }
}

fn references(out: &mut String, desired: &Desired, resource: &Resource) {
    let mut to: BTreeMap<&Address, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in &resource.fields {
        for output in value.references() {
            to.entry(&output.of).or_default().insert(name);
        }
    }
    let mut from: BTreeMap<&Address, BTreeSet<&str>> = BTreeMap::new();
    for other in desired.resources.values().filter(|other| other.address != resource.address) {
        for (name, value) in &other.fields {
            if value.references().iter().any(|output| output.of == resource.address) {
                from.entry(&other.address).or_default().insert(name);
            }
        }
    }
    for (title, links) in [("Refers to", to), ("Referred to by", from)] {
        if links.is_empty() {
            continue;
        }
        let _ = write!(out, "\n{title}\n");
        for (address, fields) in links {
            let _ = writeln!(out, "  {address} ({})", fields.into_iter().collect::<Vec<_>>().join(", "));
        }
    }
}

fn reaches(out: &mut String, desired: &Desired, address: &Address) {
    let firewalls = Firewalls::of(desired);
    let here = End::Group(address.clone());
    let mut others = vec![End::Internet];
    others.extend(firewalls.groups().map(|(group, _)| End::Group(group.clone())));
    for (title, out_of) in [("Reaches", true), ("Is reached by", false)] {
        let _ = write!(out, "\n{title}\n");
        let mut any = false;
        for other in &others {
            let (from, to) = if out_of { (&here, other) } else { (other, &here) };
            let open = firewalls.open(from, to);
            if !open.is_empty() {
                any = true;
                let _ = writeln!(out, "  {other}: {}", open.into_iter().collect::<Vec<_>>().join(", "));
            }
        }
        if !any {
            out.push_str(if out_of { "  nothing\n" } else { "  nobody\n" });
        }
    }
}

fn findings(out: &mut String, checked: &Checked, address: &Address) {
    if checked.of(address).next().is_none() {
        return;
    }
    out.push_str("\nFindings\n");
    for finding in checked.of(address) {
        let severity = match (&finding.allowed, finding.severity) {
            (Some(reason), _) => format!("allowed: {reason}"),
            (None, Severity::Error) => "error".to_owned(),
            (None, Severity::Warning) => "warning".to_owned(),
        };
        let _ = writeln!(out, "  {} ({severity}): {}", finding.code, finding.message);
    }
}
