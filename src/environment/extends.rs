//! `extends: base.yaml`: a file on top of another one.
//!
//! Maps are merged key by key, all else is replaced, and `null` removes what the base has. Each node keeps its place in
//! the file that it came from.

use std::io;

use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Node, Place, Sources, Tree, parse};

/// How many files may stand on each other.
const MAX_FILES: usize = 8;

/// How a file's text is found.
pub type Read<'a> = &'a dyn Fn(&str) -> io::Result<String>;

/// Reads a file and all that it extends, and merges them.
///
/// # Errors
/// Files that cannot be read or parsed, and chains that are too long or go in a circle.
pub fn read(name: &str, sources: &mut Sources, read: Read<'_>) -> Result<Node, Vec<Diagnostic>> {
    Reader { sources, read, chain: Vec::new() }.file(name, None)
}

struct Reader<'a> {
    sources: &'a mut Sources,
    read: Read<'a>,
    /// The files on the way here, and where each one names its base.
    chain: Vec<(String, Option<Place>)>,
}

impl Reader<'_> {
    fn file(&mut self, name: &str, from: Option<Place>) -> Result<Node, Vec<Diagnostic>> {
        let text = (self.read)(name).map_err(|error| vec![unreadable(name, &error, from, self.sources)])?;
        // What some editors put in front is no part of the text.
        let file = self.sources.add(name, text.strip_prefix('\u{feff}').unwrap_or(&text));
        let mut tree = parse(self.sources, file)?;
        self.chain.push((name.to_owned(), None));
        let Some(extends) = tree.entry("extends").cloned() else { return Ok(tree) };
        // Anything but text is the schema's to complain about.
        let Tree::Text(base) = &extends.value.value else { return Ok(tree) };
        let place = extends.value.place;
        let base = beside(name, base);
        self.check_chain(&base, place).map_err(|error| vec![*error])?;
        if let Some(last) = self.chain.last_mut() {
            last.1 = Some(place);
        }
        let mut below = self.file(&base, Some(place))?;
        if let Tree::Map(entries) = &mut below.value {
            entries.retain(|entry| entry.key != "extends");
        }
        merge(&mut tree, below, &mut Vec::new());
        Ok(tree)
    }

    fn check_chain(&self, base: &str, place: Place) -> Result<(), Box<Diagnostic>> {
        if self.chain.iter().any(|(name, _)| name == base) {
            let message = format!("{base} extends itself");
            let mut error = Diagnostic::error("extends_cycle", message).at(place, "this closes the circle");
            for (name, named) in &self.chain {
                if let Some(named) = named.filter(|named| *named != place) {
                    error = error.related(named, format!("{name} extends this"));
                }
            }
            return Err(Box::new(error.help("let one of these files stand alone")));
        }
        if self.chain.len() >= MAX_FILES {
            let message = format!("more than {MAX_FILES} files extend each other");
            return Err(Box::new(Diagnostic::error("extends_depth", message).at(place, "")));
        }
        Ok(())
    }
}

/// A text from a file's bytes; the error says which line is none.
///
/// # Errors
/// Bytes that are not UTF-8.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not text in UTF-8"))
    })
}

fn unreadable(name: &str, error: &io::Error, from: Option<Place>, sources: &Sources) -> Diagnostic {
    let named = from.map(|place| sources.text(place)).unwrap_or_default();
    let (message, help) = match error.kind() {
        _ if named.contains("://") => ("only a file beside this one can be extended".to_owned(), None),
        io::ErrorKind::NotFound if named.contains('\\') => {
            (format!("there is no file {name}"), Some("write `/` between folders, on Windows too"))
        }
        io::ErrorKind::NotFound => (format!("there is no file {name}"), None),
        io::ErrorKind::IsADirectory => (format!("{name} is a folder"), Some("name the file in it")),
        io::ErrorKind::InvalidData => (format!("cannot read {name}: {error}"), Some("save the file as UTF-8")),
        _ => (format!("cannot read {name}: {error}"), None),
    };
    let error = Diagnostic::error("unreadable", message);
    let error = match from {
        Some(place) => error.at(place, "named here"),
        None => error,
    };
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

/// A path beside a file, without the `.` and `..` in it, so that equal files have equal names.
fn beside(name: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "." => {}
            "" if !parts.is_empty() || folder.is_empty() => {}
            ".." if parts.last().is_some_and(|last| *last != ".." && !last.is_empty()) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Fills a tree with what its base has and it has not.
fn merge(tree: &mut Node, base: Node, path: &mut Vec<String>) {
    let (Tree::Map(entries), Tree::Map(below)) = (&mut tree.value, base.value) else { return };
    // A variable that is null must be given on the command line, which is no removal.
    let removes = path.first().is_none_or(|section| section != "vars");
    let mut merged: Vec<Entry> = Vec::with_capacity(below.len() + entries.len());
    for entry in below {
        match entries.iter().position(|own| own.key == entry.key) {
            None => merged.push(entry),
            Some(at) => {
                let mut own = entries.remove(at);
                if own.value.value == Tree::Null && removes {
                    continue;
                }
                path.push(own.key.clone());
                merge(&mut own.value, entry.value, path);
                path.pop();
                merged.push(own);
            }
        }
    }
    // Removing what the base does not have (any more) changes nothing.
    merged.extend(entries.drain(..).filter(|own| own.value.value != Tree::Null || !removes));
    *entries = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(name: &str) -> io::Result<String> {
        Ok(match name {
            "environments/a.yaml" => {
                "extends: base.yaml\nmap: { one: 1, two: null, list: [3] }\nvars: { must: null }\n".to_owned()
            }
            "environments/base.yaml" => {
                "extends: ../root.yaml\nmap: { two: 2, list: [1, 2], deep: { a: 1 } }\nvars: { must: here }\n"
                    .to_owned()
            }
            "root.yaml" => "map: { deep: { b: 2 } }\nother: 1\n".to_owned(),
            _ => return Err(io::ErrorKind::NotFound.into()),
        })
    }

    #[test]
    fn maps_merge_and_the_rest_is_replaced() {
        let mut sources = Sources::default();
        let tree = read("environments/a.yaml", &mut sources, &files).unwrap();
        let expected = serde_json::json!({
            "other": 1,
            "extends": "base.yaml",
            "map": { "one": 1, "list": [3], "deep": { "a": 1, "b": 2 } },
            "vars": { "must": null },
        });
        assert_eq!(tree.to_json(), expected);
        assert_eq!(sources.files[tree.place_of(&["map", "deep", "b"]).file].name, "root.yaml");
    }

    #[test]
    fn paths_beside_a_file() {
        assert_eq!(beside("environments/a.yaml", "base.yaml"), "environments/base.yaml");
        assert_eq!(beside("environments/a.yaml", "../base.yaml"), "base.yaml");
        assert_eq!(beside("a.yaml", "../base.yaml"), "../base.yaml");
        assert_eq!(beside("/x/a.yaml", "./b.yaml"), "/x/b.yaml");
        assert_eq!(beside("a.yaml", "/b.yaml"), "/b.yaml");
    }
}
