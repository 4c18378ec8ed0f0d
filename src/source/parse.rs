//! From the parser's events to a [`Node`].

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Number;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag, options};

use super::syntax::{self, MAX_DEPTH};
use super::{Entry, Node, Place, Sources, Tree};
use crate::diagnostic::Diagnostic;

/// A file beyond this is not an environment.
const MAX_BYTES: usize = 4 << 20;
/// How many nodes a file may have once its aliases are filled in: an alias of aliases grows without bound.
const MAX_NODES: usize = 100_000;

/// Reads one file's text as a tree, or says all that is wrong with it.
///
/// # Errors
/// A mistake in the YAML itself ends the reading. Equal keys, keys that are not text and the like are all collected.
pub fn parse(sources: &Sources, file: usize) -> Result<Node, Vec<Diagnostic>> {
    let text = sources.files.get(file).map_or("", |file| file.text.as_str());
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        let error = Diagnostic::error("too_large", message).at(Place { file, start: 0, end: 0 }, "");
        return Err(vec![error.help("name the file of an environment: such a file is no larger than a few pages")]);
    }
    let limits = options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let parser = Parser::new_from_str_with_options(text, limits);
    let mut builder = Builder { parser, text, file, anchors: HashMap::new(), nodes: 0, found: Vec::new() };
    match builder.document() {
        Ok(node) if builder.found.is_empty() => Ok(node),
        Ok(_) => Err(builder.found),
        Err(fatal) => {
            builder.found.push(*fatal);
            Err(builder.found)
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    file: usize,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    found: Vec<Diagnostic>,
}

/// Ends the reading of the file.
type Fatal = Box<Diagnostic>;

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, Fatal> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "the file holds more than one YAML document";
                    let error = Diagnostic::error("several_documents", message);
                    return Err(Box::new(
                        error
                            .at(self.place(&span), "the second one begins here")
                            .help("keep one environment in a file and remove the `---`"),
                    ));
                }
                event if starts_node(&event) => root = Some(self.node(event, &span)?),
                _ => {}
            }
        }
        let empty = Node { place: Place { file: self.file, start: 0, end: 0 }, value: Tree::Null };
        Ok(root.unwrap_or(empty))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fatal> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(Box::new(syntax::explain(&error, self.text, self.file))),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> Result<Node, Fatal> {
        let place = self.place(span);
        self.nodes += 1;
        self.within_budget(place)?;
        let anchor = event.anchor_id();
        self.tag(event.tag(), place);
        let node = match event {
            Event::Scalar(text, style, _, tag) => {
                self.letters(&text, style, place);
                Node { place, value: value_of(text, style, tag.as_deref()) }
            }
            Event::SequenceStart(..) => self.list(place)?,
            Event::MappingStart(..) => self.map(place)?,
            Event::Alias(id) => return self.alias(id, place),
            _ => Node { place, value: Tree::Null },
        };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Characters that stand in a text by mistake.
    fn letters(&mut self, text: &str, style: ScalarStyle, place: Place) {
        let written = self.text.get(place.start..place.end).unwrap_or_default();
        let wrong = match style {
            ScalarStyle::Plain => written.char_indices().find_map(|(at, char)| {
                let start = place.start + at;
                let place = Place { start, end: start + char.len_utf8(), ..place };
                match char {
                    char if syntax::is_invisible(char) => Some(syntax::invisible(char, place)),
                    char if at == 0 && syntax::is_curly(char) => Some(syntax::curly(char, place)),
                    _ => None,
                }
            }),
            // Nobody means the bell of `C:\app`, but `\x07` is meant.
            ScalarStyle::DoubleQuoted if text.contains(['\0', '\u{7}', '\u{8}', '\u{b}', '\u{c}']) => {
                let escape = ["\\a", "\\b", "\\v", "\\f", "\\0"].iter().filter_map(|one| written.find(one)).min();
                escape.map(|at| {
                    let start = place.start + at;
                    let message =
                        "a `\\` in double quotes begins an escape, and this one stands for a control character";
                    let error = Diagnostic::error("escape", message);
                    let error = error.at(Place { start, end: start + 2, ..place }, "");
                    error.help("write `\\\\` for a plain `\\`, or use single quotes")
                })
            }
            _ => None,
        };
        self.found.extend(wrong);
    }

    fn list(&mut self, mut place: Place) -> Result<Node, Fatal> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                // A block's end is where the next thing begins; only brackets have an end of their own.
                place.end = items.last().map_or(place.end, |last: &Node| last.place.end).max(self.bracket(&span));
                return Ok(Node { place, value: Tree::List(items) });
            }
            items.push(self.node(event, &span)?);
        }
    }

    fn map(&mut self, mut place: Place) -> Result<Node, Fatal> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                place.end = place.end.max(self.bracket(&span));
                self.merge(&mut entries, merges);
                return Ok(Node { place, value: Tree::Map(entries) });
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, &span)?;
            let (event, span) = self.next()?;
            let value = self.node(event, &span)?;
            place.end = place.end.max(value.place.end);
            if is_merge {
                merges.push(value);
            } else if let Some(text) = self.key(&key) {
                self.insert(&mut entries, Entry { key: text, key_place: key.place, value });
            }
        }
    }

    /// The text of a key, or a complaint.
    fn key(&mut self, key: &Node) -> Option<String> {
        let what = match &key.value {
            Tree::Text(text) => return Some(text.clone()),
            Tree::Null => "empty",
            Tree::Bool(_) => "true or false",
            Tree::Number(_) => "a number",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a map",
        };
        let written = self.text.get(key.place.start..key.place.end).unwrap_or_default();
        let error = Diagnostic::error("key", format!("a key must be text, but this one is {what}")).at(key.place, "");
        self.found.push(match &key.value {
            Tree::Bool(_) | Tree::Number(_) => error.help(format!("put it in quotes: \"{written}\"")),
            _ => error,
        });
        None
    }

    /// Adds an entry; of two equal keys the first one stays, and the second one is reported.
    fn insert(&mut self, entries: &mut Vec<Entry>, entry: Entry) {
        match entries.iter().find(|other| other.key == entry.key) {
            Some(first) => self.found.push(
                Diagnostic::error("duplicate_key", format!("the key {} is given twice", shown(&entry.key)))
                    .at(entry.key_place, "given again here")
                    .related(first.key_place, "first given here")
                    .help("YAML keeps only one of the two; remove the other"),
            ),
            None => entries.push(entry),
        }
    }

    /// What `<<: *base` brings: the entries whose keys are not there yet.
    fn merge(&mut self, entries: &mut Vec<Entry>, merges: Vec<Node>) {
        for merge in merges {
            let sources = match merge.value {
                Tree::List(items) => items,
                value => vec![Node { place: merge.place, value }],
            };
            for source in sources {
                let Tree::Map(more) = source.value else {
                    let error = Diagnostic::error("merge_key", "`<<` takes a map or a list of maps");
                    let help = match source.value {
                        Tree::Text(text) => format!("write `*{text}`, where `&{text}` stands before a map above"),
                        _ => "write `<<: *name`, where `&name` stands before a map above".to_owned(),
                    };
                    self.found.push(error.at(source.place, "this is neither").help(help));
                    continue;
                };
                for entry in more {
                    if !entries.iter().any(|other| other.key == entry.key) {
                        entries.push(entry);
                    }
                }
            }
        }
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Fatal> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            let error = Diagnostic::error("alias", "an alias stands inside of what it repeats");
            let error = error.at(place, "its anchor is not finished here");
            return Err(Box::new(error.help("take the alias out: what repeats itself has no end")));
        };
        self.nodes += size(&node);
        self.within_budget(place)?;
        Ok(node)
    }

    fn within_budget(&self, place: Place) -> Result<(), Fatal> {
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let message = format!("the file has more than {MAX_NODES} values once its aliases are filled in");
        let error = Diagnostic::error("too_large", message).at(place, "");
        Err(Box::new(error.help("repeat less with `*name`: each alias counts as all that it repeats")))
    }

    fn tag(&mut self, tag: Option<&Tag>, place: Place) {
        let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema_tag("str")) else { return };
        let error = Diagnostic::error("tag", format!("the YAML tag `{}` has no meaning here", tag.original()));
        self.found.push(error.at(place, "").help("remove the tag; a reference is written `${section.name.output}`"));
    }

    fn place(&self, span: &Span) -> Place {
        let range = span.byte_range().unwrap_or(0..0);
        let start = range.start.min(self.text.len());
        let end = range.end.clamp(start, self.text.len());
        let written = self.text.get(start..end).unwrap_or_default();
        // A block of text reaches to the next line; an underline should not.
        Place { file: self.file, start, end: start + written.trim_end().len() }
    }

    /// Where a collection's closing bracket ends; zero for a block, which has none.
    fn bracket(&self, end: &Span) -> usize {
        let place = self.place(end);
        let written = self.text.get(place.start..place.end).unwrap_or_default();
        if written.starts_with([']', '}']) { place.end } else { 0 }
    }
}

/// A key as a message shows it.
fn shown(key: &str) -> String {
    if key.is_empty() { "\"\"".to_owned() } else { format!("`{key}`") }
}

const fn starts_node(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_))
}

fn size(node: &Node) -> usize {
    match &node.value {
        Tree::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Tree::Map(entries) => 1 + entries.iter().map(|entry| size(&entry.value)).sum::<usize>(),
        _ => 1,
    }
}

fn value_of(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Tree {
    if style == ScalarStyle::Plain && tag.is_none() { scalar(&text) } else { Tree::Text(text.into_owned()) }
}

/// What a word without quotes means, by YAML 1.2's core schema: nothing, true or false, a number, or text. Infinity and
/// not-a-number stay text, since no field takes them.
#[must_use]
pub fn scalar(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Tree::Null,
        "true" | "True" | "TRUE" => return Tree::Bool(true),
        "false" | "False" | "FALSE" => return Tree::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok());
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Tree::Number(number.into());
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        || !digits.ends_with(|last: char| last.is_ascii_digit() || last == '.')
        || !digits.contains(|any: char| any.is_ascii_digit())
    {
        return Tree::Text(text.to_owned());
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    let whole = plain.parse::<i64>().map(Number::from).or_else(|_| plain.parse::<u64>().map(Number::from)).ok();
    match whole.or_else(|| plain.parse::<f64>().ok().and_then(Number::from_f64)) {
        Some(number) => Tree::Number(number),
        None => Tree::Text(text.to_owned()),
    }
}
