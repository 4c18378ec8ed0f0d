//! YAML text as a tree that knows where each part stands in its file.
//!
//! The parser is the library's; this module only builds the tree, so that every later complaint has a place. Anchors,
//! aliases and merge keys work within a file. What has no meaning in an environment file is refused: tags other than
//! `!!str`, keys that are not text, and a second document.

mod parse;
pub mod syntax;

use std::ops::Range;

use serde_json::Number;

pub use parse::{parse, scalar};

/// The texts that places point into, in the order in which they were read: the first one is the file that was asked
/// for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub files: Vec<File>,
}

#[derive(Clone, Debug)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// A range of bytes in one of the [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub place: Place,
    pub value: Tree,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

/// Where a path leads: the node, the entry that holds it (none at the top and in lists), and how much of the path
/// exists.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub node: &'a Node,
    pub entry: Option<&'a Entry>,
    pub depth: usize,
}

impl Sources {
    /// Adds a file and returns its index for [`Place::file`].
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.files.push(File { name: name.into(), text: text.into() });
        self.files.len() - 1
    }

    /// The text at a place, as it is written in the file.
    #[must_use]
    pub fn text(&self, place: Place) -> &str {
        self.files.get(place.file).and_then(|file| file.text.get(place.start..place.end)).unwrap_or_default()
    }

    /// The file of a place, and its line, counted from 1.
    #[must_use]
    pub fn line(&self, place: Place) -> (&str, usize) {
        let Some(file) = self.files.get(place.file) else { return ("", 0) };
        let before = file.text.get(..place.start).unwrap_or_default();
        (&file.name, before.bytes().filter(|byte| *byte == b'\n').count() + 1)
    }

    /// The place of a part of a node's text. Escapes, folded lines and variables make the text differ from what is
    /// written; the place is then that of the whole node, which is always true.
    #[must_use]
    pub fn inside(&self, node: &Node, part: Range<usize>) -> Place {
        let Tree::Text(text) = &node.value else { return node.place };
        let written = self.text(node.place);
        let quote = usize::from(written.starts_with(['"', '\'']));
        if written.get(quote..quote + text.len()) != Some(text.as_str()) || part.end > text.len() {
            return node.place;
        }
        let start = node.place.start + quote;
        Place { start: start + part.start, end: start + part.end, ..node.place }
    }
}

impl Node {
    /// The entry of a map with this key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Follows keys and list indices as far as they exist.
    #[must_use]
    pub fn find<S: AsRef<str>>(&self, path: &[S]) -> Found<'_> {
        let mut found = Found { node: self, entry: None, depth: 0 };
        for part in path {
            let part = part.as_ref();
            let next = match &found.node.value {
                Tree::Map(_) => found.node.entry(part).map(|entry| (&entry.value, Some(entry))),
                Tree::List(items) => part.parse().ok().and_then(|at: usize| items.get(at)).map(|item| (item, None)),
                _ => None,
            };
            let Some((node, entry)) = next else { break };
            found = Found { node, entry, depth: found.depth + 1 };
        }
        found
    }

    /// The node at a path, if all of the path exists.
    #[must_use]
    pub fn get<S: AsRef<str>>(&self, path: &[S]) -> Option<&Self> {
        let found = self.find(path);
        (found.depth == path.len()).then_some(found.node)
    }

    /// Where to point for a path: at the value, or at the key of what spans several lines, or at the nearest thing
    /// above where the path does not exist.
    #[must_use]
    pub fn place_of<S: AsRef<str>>(&self, path: &[S]) -> Place {
        self.find(path).place()
    }

    /// Where to point for the key at the end of a path.
    #[must_use]
    pub fn key_place_of<S: AsRef<str>>(&self, path: &[S]) -> Place {
        let found = self.find(path);
        found.entry.map_or_else(|| found.place(), |entry| entry.key_place)
    }

    /// The first text at or below this node that holds `part`.
    #[must_use]
    pub fn mention(&self, part: &str) -> Option<Place> {
        match &self.value {
            Tree::Text(text) => text.contains(part).then_some(self.place),
            Tree::List(items) => items.iter().find_map(|item| item.mention(part)),
            Tree::Map(entries) => entries.iter().find_map(|entry| entry.value.mention(part)),
            _ => None,
        }
    }

    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            Tree::Null => Value::Null,
            Tree::Bool(flag) => Value::Bool(*flag),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => items.iter().map(Self::to_json).collect(),
            Tree::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
        }
    }
}

impl Found<'_> {
    /// Where to point for this: see [`Node::place_of`].
    #[must_use]
    pub fn place(&self) -> Place {
        match (&self.node.value, self.entry) {
            (Tree::Map(_) | Tree::List(_) | Tree::Null, Some(entry)) => entry.key_place,
            // The whole file: its beginning, rather than an underline through all of it.
            (Tree::Map(_), None) if self.depth == 0 => Place { end: self.node.place.start, ..self.node.place },
            _ => self.node.place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> (Node, Sources) {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text);
        (parse(&sources, file).unwrap(), sources)
    }

    #[test]
    fn places_are_the_written_text() {
        let (root, sources) = tree("a: &x { b: \"one ${two}\", c: [1, true, ~] }\nd: *x\n");
        assert_eq!(sources.text(root.place_of(&["a", "b"])), "\"one ${two}\"");
        assert_eq!(sources.text(root.place_of(&["a", "c", "1"])), "true");
        assert_eq!(sources.text(root.place_of(&["a", "c"])), "c");
        assert_eq!(sources.text(root.place_of(&["a", "none", "deeper"])), "a");
        assert_eq!(sources.text(sources.inside(root.get(&["a", "b"]).unwrap(), 4..10)), "${two}");
        assert_eq!(root.get(&["d", "b"]).unwrap().text(), Some("one ${two}"));
        let json = serde_json::json!({ "b": "one ${two}", "c": [1, true, null] });
        assert_eq!(root.to_json(), serde_json::json!({ "a": json, "d": json }));
    }

    #[test]
    fn merge_keys_add_what_is_not_there() {
        let (root, _) = tree("base: &base { a: 1, b: 1 }\nmine:\n  b: 2\n  <<: *base\n");
        assert_eq!(root.get(&["mine"]).unwrap().to_json(), serde_json::json!({ "b": 2, "a": 1 }));
    }

    #[test]
    fn an_expanding_alias_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let last = level - 1;
            let line = format!("a{level}: &a{level} [*a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}]\n");
            text.push_str(&line);
        }
        let mut sources = Sources::default();
        let file = sources.add("bomb.yaml", text);
        assert!(parse(&sources, file).unwrap_err()[0].message.contains("100000"));
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        for (text, value) in [
            ("1", serde_json::json!(1)),
            ("-5", serde_json::json!(-5)),
            ("0x1f", serde_json::json!(31)),
            ("1.5", serde_json::json!(1.5)),
            ("1e3", serde_json::json!(1000.0)),
            ("1.2.3", serde_json::json!("1.2.3")),
            ("yes", serde_json::json!("yes")),
            ("True", serde_json::json!(true)),
            ("~", serde_json::json!(null)),
            ("", serde_json::json!(null)),
            ("infinity", serde_json::json!("infinity")),
        ] {
            let place = Place { file: 0, start: 0, end: 0 };
            assert_eq!(Node { place, value: scalar(text) }.to_json(), value, "{text}");
        }
    }
}
