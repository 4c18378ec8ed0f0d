//! What happens to a file by accident, and what an enemy would write.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[derive(Clone, Debug)]
pub enum Edit {
    Flip(Index, u8),
    DropLine(Index),
    CopyLine(Index, Index),
    SwapLines(Index, Index),
    Indent(Index, bool),
    /// A word becomes another one of all files.
    Word(Index, Index),
    Insert(Index, &'static str),
    Cut(Index),
    /// So many of one bracket or one level.
    Nest(Index, &'static str, u16),
}

const PIECES: &[&str] = &[
    "${",
    "${var.",
    "${var.x}",
    "${secrets.jwt}",
    "${region}",
    "$${",
    "}",
    "{",
    "[",
    "]",
    ": ",
    ":",
    ",",
    "\"",
    "'",
    "#",
    " #",
    "- ",
    "<<: *a",
    "<<: ",
    "&a ",
    "*a",
    "!Ref ",
    "!!int ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "|\n",
    ">-\n",
    "? ",
    "~",
    "null",
    "true",
    "yes",
    "99999999999999999999999",
    "-1",
    "1e400",
    "0x1f",
    "0o17",
    "010",
    ".nan",
    ".inf",
    "1_000",
    "\t",
    "\r\n",
    "\n",
    "\u{feff}",
    "\u{a0}",
    "\u{200b}",
    "é",
    "🚀",
    "\u{0}",
    "\u{7}",
    "\\",
    "extends: base.yaml\n",
    "extends: production.yaml\n",
    "requires: \">=99.0\"\n",
    "vars: { x: \"${var.x}\" }\n",
    "resources:\n",
    "services:\n",
    "10.0.0.0/33",
    "2001:db8::/32",
    "999999d",
    "-5m",
    "arn:aws:",
    "=",
    "*",
];

pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let index = any::<Index>;
    let edit = prop_oneof![
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Edit::Flip(at, byte)),
        2 => index().prop_map(Edit::DropLine),
        2 => (index(), index()).prop_map(|(from, to)| Edit::CopyLine(from, to)),
        2 => (index(), index()).prop_map(|(one, other)| Edit::SwapLines(one, other)),
        2 => (index(), any::<bool>()).prop_map(|(at, more)| Edit::Indent(at, more)),
        8 => (index(), index()).prop_map(|(at, word)| Edit::Word(at, word)),
        4 => (index(), select(PIECES)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        1 => index().prop_map(Edit::Cut),
        1 => (index(), select(&["[", "{a: ", "- ", "\"[\"", "${", "*", "{\"a\":"][..]), 1_u16..3000)
            .prop_map(|(at, what, times)| Edit::Nest(at, what, times)),
    ];
    vec(edit, 1..6)
}

/// The words of a text: what stands between spaces, quotes and brackets.
pub fn words(text: &str) -> Vec<Range<usize>> {
    let inside = |char: char| char.is_alphanumeric() || "_.-/${}%".contains(char);
    let mut found = Vec::new();
    let mut start = None;
    for (at, char) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, inside(char)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The text after all edits, as bytes, since it need not be text any more.
pub fn edited(text: &str, edits: &[Edit], all_words: &[String]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for edit in edits.iter().filter(|_| !text.is_empty()) {
        apply(&mut bytes, edit, all_words);
    }
    bytes
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit, all_words: &[String]) {
    let position = |at: &Index| at.index(bytes.len() + 1);
    match edit {
        Edit::Flip(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        Edit::Insert(at, piece) => drop(bytes.splice(position(at)..position(at), piece.bytes())),
        Edit::Nest(at, what, times) => {
            drop(bytes.splice(position(at)..position(at), what.repeat(usize::from(*times)).into_bytes()));
        }
        Edit::Cut(at) => bytes.truncate(position(at)),
        Edit::Word(at, word) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let words = words(&text);
            if !words.is_empty() {
                let place = words[at.index(words.len())].clone();
                *bytes = format!("{}{}{}", &text[..place.start], word.get(all_words), &text[place.end..]).into_bytes();
            }
        }
        Edit::DropLine(_) | Edit::CopyLine(..) | Edit::SwapLines(..) | Edit::Indent(..) => lines(bytes, edit),
        Edit::Flip(..) => {}
    }
}

fn lines(bytes: &mut Vec<u8>, edit: &Edit) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return;
    }
    let of = |at: &Index| at.index(lines.len());
    match edit {
        Edit::DropLine(at) => drop(lines.remove(of(at))),
        Edit::CopyLine(from, to) => {
            let (line, to) = (lines[of(from)].clone(), of(to));
            lines.insert(to, line);
        }
        Edit::SwapLines(one, other) => {
            let (one, other) = (of(one), of(other));
            lines.swap(one, other);
        }
        Edit::Indent(at, true) => {
            let at = of(at);
            lines[at].splice(0..0, *b"  ");
        }
        Edit::Indent(at, false) => {
            let at = of(at);
            if lines[at].starts_with(b" ") {
                lines[at].remove(0);
            }
        }
        _ => {}
    }
    *bytes = lines.concat();
}
