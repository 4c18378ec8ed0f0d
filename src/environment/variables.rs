//! `${var.NAME}`: values from `--var NAME=VALUE`, over the defaults under `vars:`.

use std::collections::{BTreeMap, BTreeSet};

use super::references::{has_reference, next_mark};
use super::words::suggest;
use crate::diagnostic::Diagnostic;
use crate::source::{Node, Place, Sources, Tree, scalar};

/// What the replacement left behind.
pub struct Replaced {
    pub diagnostics: Vec<Diagnostic>,
    /// The nodes whose variables have no value: complaints about these nodes' types would only repeat that.
    pub broken: Vec<Vec<String>>,
    /// The nodes that are one variable and nothing else, and its value as it was written.
    pub filled: BTreeMap<Vec<String>, String>,
}

struct Variable {
    /// Nothing where the declaration is wrong, about which there is a complaint already.
    value: Option<Tree>,
    /// How the value is written, which is what stands in for it within other text: `1.10` stays `1.10`.
    text: String,
}

/// Replaces all variables in a tree.
pub fn replace(tree: &mut Node, given: &[(String, String)], sources: &Sources) -> Replaced {
    let declared: Vec<(String, Place, Node)> = tree
        .entry("vars")
        .map(|vars| {
            vars.value.entries().iter().map(|entry| (entry.key.clone(), entry.key_place, entry.value.clone())).collect()
        })
        .unwrap_or_default();
    let mut known: BTreeMap<String, Variable> = BTreeMap::new();
    for (name, _, node) in &declared {
        let text = match &node.value {
            Tree::Text(text) => text.clone(),
            Tree::Null => continue,
            _ => sources.text(node.place).to_owned(),
        };
        let wrong = match &node.value {
            Tree::Text(text) => has_reference(text),
            Tree::List(_) | Tree::Map(_) => true,
            _ => false,
        };
        known.insert(name.clone(), Variable { value: (!wrong).then(|| node.value.clone()), text });
    }
    for (name, text) in given {
        known.insert(name.clone(), Variable { value: Some(scalar(text)), text: text.clone() });
    }
    let mut walk = Walk {
        known: &known,
        sources,
        path: Vec::new(),
        used: BTreeSet::new(),
        undefined: BTreeMap::new(),
        broken: Vec::new(),
        filled: BTreeMap::new(),
    };
    if let Tree::Map(entries) = &mut tree.value {
        for entry in entries.iter_mut().filter(|entry| !matches!(entry.key.as_str(), "vars" | "extends" | "requires")) {
            walk.path.push(entry.key.clone());
            walk.node(&mut entry.value);
            walk.path.pop();
        }
    }
    let Walk { used, undefined, broken, filled, .. } = walk;
    let mentioned = |name: &str| {
        let sections = tree.entries().iter().filter(|entry| entry.key != "vars");
        sections.into_iter().any(|entry| mentions(&entry.value, name))
    };
    let names: Vec<&str> = declared.iter().map(|(name, ..)| name.as_str()).collect();
    let mut diagnostics = undefined_variables(undefined, &names);
    for (name, place, node) in &declared {
        if node.value == Tree::Null && !known.contains_key(name) {
            let error = Diagnostic::error("variable_without_value", format!("the variable `{name}` has no value"));
            diagnostics.push(error.at(*place, "it has no default").help(format!("pass `--var {name}=VALUE`")));
        } else if !used.contains(name) && !mentioned(name) {
            let warning = Diagnostic::warning("unused_variable", format!("nothing uses the variable `{name}`"));
            diagnostics
                .push(warning.at(*place, "").help(format!("remove it, or write `${{var.{name}}}` where it belongs")));
        }
    }
    for (name, _) in given.iter().filter(|(name, _)| !used.contains(name) && !names.contains(&name.as_str())) {
        let known: Vec<&str> =
            names.iter().copied().chain(used.iter().map(String::as_str)).collect::<BTreeSet<_>>().into_iter().collect();
        let error =
            Diagnostic::error("unused_variable", format!("`--var {name}` is given, but the file has no such variable"));
        let (label, help) = suggest(name, &known);
        let help =
            [Some(label).filter(|label| !label.is_empty()), help].into_iter().flatten().collect::<Vec<_>>().join("; ");
        diagnostics.push(if help.is_empty() { error } else { error.help(help) });
    }
    Replaced { diagnostics, broken, filled }
}

/// Whether a text still names the variable: in a reference that cannot be read, which is a mistake of its own.
fn mentions(node: &Node, name: &str) -> bool {
    let within = |text: &str| {
        text.match_indices("var.").any(|(at, mark)| {
            text[at + mark.len()..]
                .strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_'))
        })
    };
    match &node.value {
        Tree::Text(text) => has_reference(text) && within(text),
        Tree::List(items) => items.iter().any(|item| mentions(item, name)),
        Tree::Map(entries) => entries.iter().any(|entry| mentions(&entry.value, name)),
        _ => false,
    }
}

/// One complaint for each name, with all places that use it. A declared variable without a value has its own one.
fn undefined_variables(undefined: BTreeMap<String, Vec<Place>>, names: &[&str]) -> Vec<Diagnostic> {
    let unknown = undefined.into_iter().filter(|(name, _)| !names.contains(&name.as_str()));
    unknown
        .filter_map(|(name, places)| {
            let (first, others) = places.split_first()?;
            let (label, _) = suggest(&name, names);
            let mut error =
                Diagnostic::error("undefined_variable", format!("there is no variable `{name}`")).at(*first, label);
            for place in others {
                error = error.related(*place, "used here too");
            }
            Some(error.help(format!("pass `--var {name}=VALUE`, or give it a default under `vars:`")))
        })
        .collect()
}

struct Walk<'a> {
    known: &'a BTreeMap<String, Variable>,
    sources: &'a Sources,
    path: Vec<String>,
    used: BTreeSet<String>,
    undefined: BTreeMap<String, Vec<Place>>,
    broken: Vec<Vec<String>>,
    filled: BTreeMap<Vec<String>, String>,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Tree::Map(entries) => {
                for entry in entries {
                    self.path.push(entry.key.clone());
                    self.node(&mut entry.value);
                    self.path.pop();
                }
            }
            Tree::List(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.path.push(at.to_string());
                    self.node(item);
                    self.path.pop();
                }
            }
            Tree::Text(_) => {
                if let Some(value) = self.text(node) {
                    node.value = value;
                }
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => {}
        }
    }

    /// The value that stands in for a text, if the text has variables.
    fn text(&mut self, node: &Node) -> Option<Tree> {
        let text = node.text()?;
        let mut replaced = String::new();
        let (mut from, mut copied) = (0, 0);
        while let Some((at, plain)) = next_mark(text, from) {
            from = at + 2;
            let Some(length) = text[at..].find('}').filter(|_| !plain && text[at..].starts_with("${var.")) else {
                continue;
            };
            let range = at..at + length + 1;
            let name = &text[at + "${var.".len()..at + length];
            from = range.end;
            let Some(variable) = self.known.get(name) else {
                let place = self.sources.inside(node, range);
                self.undefined.entry(name.to_owned()).or_default().push(place);
                self.used.insert(name.to_owned());
                self.broken.push(self.path.clone());
                continue;
            };
            self.used.insert(name.to_owned());
            let Some(value) = &variable.value else {
                self.broken.push(self.path.clone());
                continue;
            };
            if range == (0..text.len()) {
                self.filled.insert(self.path.clone(), variable.text.clone());
                return Some(value.clone());
            }
            replaced.push_str(&text[copied..at]);
            replaced.push_str(&variable.text);
            copied = from;
        }
        (copied > 0).then(|| {
            replaced.push_str(&text[copied..]);
            Tree::Text(replaced)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::parse;

    #[test]
    fn a_variable_alone_keeps_its_type() {
        let mut sources = Sources::default();
        let text = "vars: { port: 80, version: 1.10, host: a }\nport: ${var.port}\nurl: http://${var.host}:${var.port}/v${var.version}/$${var.x}\n";
        let file = sources.add("a.yaml", text);
        let mut tree = parse(&sources, file).unwrap();
        let replaced = replace(&mut tree, &[("port".to_owned(), "8080".to_owned())], &sources);
        assert_eq!(replaced.diagnostics, []);
        assert_eq!(tree.get(&["port"]).unwrap().to_json(), serde_json::json!(8080));
        assert_eq!(tree.get(&["url"]).unwrap().text(), Some("http://a:8080/v1.10/$${var.x}"));
    }
}
