//! What the parser refuses, in words of our own: the parser's are for those who write parsers.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::Place;
use crate::diagnostic::Diagnostic;

/// How deep maps and lists may nest.
pub const MAX_DEPTH: usize = 64;

/// What git leaves at the beginning of the lines of a merge that it could not make.
const CONFLICT: &str = "<<<<<<< ";

/// The parser's error as a diagnostic.
pub fn explain(error: &ScanError, text: &str, file: usize) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    // An error at the end of the file points behind the last line; its last character is more use.
    let mut start = if at == text.len() { text.trim_end().len() } else { at };
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let (above, line, line_start) = lines(text, start);
    let place = Place { file, start, end: start };
    if let Some(at) = conflict(text) {
        let error = Diagnostic::error("conflict", "the file holds a merge that git left to you");
        let help = "keep one of the two sides, and remove the lines that begin with `<<<<<<<`, `=======` and `>>>>>>>`";
        return error.at(Place { file, start: at, end: at + CONFLICT.len() - 1 }, "it begins here").help(help);
    }
    if let Some((at, char)) = line.char_indices().find(|(_, char)| is_invisible(*char)) {
        let start = line_start + at;
        return invisible(char, Place { file, start, end: start + char.len_utf8() });
    }
    let (label, help) = words(error.kind(), above, line);
    let error = Diagnostic::error("yaml", "the file is not valid YAML").at(place, label);
    match help {
        _ if bare_reference(line) => {
            error.help("put text that holds `${...}` in quotes when it stands in `{ }` or `[ ]`")
        }
        Some(help) => error.help(help),
        None => error.help("check the indentation, the quotes and the brackets of this line and the one above"),
    }
}

/// The line above an offset, its own line, and where that begins.
fn lines(text: &str, at: usize) -> (&str, &str, usize) {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let above = text[..start].lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    (above, text[start..].lines().next().unwrap_or_default(), start)
}

fn conflict(text: &str) -> Option<usize> {
    if text.starts_with(CONFLICT) { Some(0) } else { text.find(&format!("\n{CONFLICT}")).map(|at| at + 1) }
}

/// What stands under the place, and what to do.
fn words(kind: &ErrorKind, above: &str, line: &str) -> (String, Option<String>) {
    use ErrorKind as Kind;
    match kind {
        Kind::UnexpectedCharacter { character } if character.is_control() => {
            let label = format!("this character ({}) cannot stand in a file", code_point(*character));
            (label, Some("remove it: it cannot be seen in most editors".to_owned()))
        }
        Kind::UnexpectedCharacter { character } => {
            let sign = if *character == '`' { "a backquote".to_owned() } else { format!("`{character}`") };
            let label = format!("{sign} has a meaning of its own in YAML");
            (label, Some("put text that begins with this in quotes".to_owned()))
        }
        Kind::RecursionLimitExceeded => {
            let label = format!("maps and lists stand in each other more than {MAX_DEPTH} deep");
            (label, Some("no environment needs that: is a bracket too many?".to_owned()))
        }
        Kind::MismatchedFlowCollectionEnd { open, close } => {
            let label = format!("this `{open}` is closed by `{close}`");
            (label, Some(format!("close it with `{}`", if *open == '[' { ']' } else { '}' })))
        }
        Kind::UnclosedFlowCollection { open } => {
            let label = format!("this `{open}` is not closed");
            (label, Some(format!("close it with `{}`", if *open == '[' { ']' } else { '}' })))
        }
        _ => match fixed(kind, above, line) {
            Some((label, help)) => (label.to_owned(), Some(help.to_owned())),
            None => (String::new(), None),
        },
    }
}

/// The words that are always the same.
fn fixed(kind: &ErrorKind, above: &str, line: &str) -> Option<(&'static str, &'static str)> {
    use ErrorKind as Kind;
    Some(match kind {
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabAtBlockScalarStart
        | Kind::TabInPlainScalar => ("a tab", "indent with spaces; YAML does not allow tabs there"),
        Kind::UnclosedQuotedScalar => ("the quote has no end", "close the quote on this line, or further down"),
        Kind::UnknownAnchor => (
            "there is no anchor of this name above",
            "define the anchor above with `&name`, or put text that begins with `*` in quotes",
        ),
        Kind::MisplacedFlowCollectionEnd => ("nothing is open that this closes", "remove the bracket"),
        Kind::ExpectedFlowMappingSeparator
        | Kind::ExpectedFlowSequenceSeparator
        | Kind::UnexpectedEofFlowMapping
        | Kind::UnexpectedEofFlowSequence
        | Kind::UnexpectedEofImplicitFlowMapping
        | Kind::InvalidFlowScalarIndent => {
            ("a bracket above is still open here", "close the `{` or `[` before this, or put a `,` between its entries")
        }
        Kind::UnknownQuotedScalarEscape | Kind::InvalidQuotedScalarHexEscape | Kind::InvalidUnicodeEscape => (
            "a `\\` in double quotes begins an escape, and this is none",
            "write `\\\\` for a plain `\\`, or use single quotes",
        ),
        Kind::InvalidTrailingSingleQuotedScalar => (
            "the text in quotes has ended before this",
            "write `''` for a quote within single quotes, or put all of the text in double quotes",
        ),
        Kind::InvalidTrailingDoubleQuotedScalar => (
            "the text in quotes has ended before this",
            "write `\\\"` for a quote within double quotes, or put all of the text in quotes",
        ),
        Kind::MissingDocumentEndBeforeDirective => {
            ("a line cannot begin with `%`", "remove the `%`; `#` begins a comment")
        }
        Kind::ExpectedBlockMappingKey | Kind::ExpectedBlockSequenceEntry | Kind::InvalidIndentation => (
            "this line is indented otherwise than those that it belongs to",
            "give all entries of a map or a list the same indentation",
        ),
        Kind::BlockSequenceEntryNotAllowed | Kind::BlockEntryInFlowCollection => {
            ("a `- ` cannot stand here", "begin the list on a line of its own, or write it as `[a, b]`")
        }
        Kind::SimpleKeyExpected | Kind::InvalidSimpleKey => {
            ("neither a key nor an entry of a list", "write `name: value`, or `- value` in a list")
        }
        Kind::MappingValueNotAllowed if glued(above) => {
            ("the line above is no `name: value`", "write a space after the `:` of the line above")
        }
        Kind::MappingValueNotAllowed if glued(line) => ("", "write a space after each `:`"),
        Kind::MappingValueNotAllowed => (
            "a second `:` cannot stand here",
            "put text that holds `: ` in quotes, and check the indentation of this line and the one above",
        ),
        _ => return None,
    })
}

/// Whether a line is `name:value`, which YAML takes for one text.
fn glued(line: &str) -> bool {
    let line = line.trim().trim_start_matches("- ");
    line.split_once(':').is_some_and(|(name, rest)| {
        !rest.is_empty()
            && !rest.starts_with([' ', '/', ':'])
            && !line.contains(": ")
            && name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.'))
    })
}

/// Whether a line has a `${` that no quote opens before: the braces then end the text inside of `{ }` and `[ ]`.
fn bare_reference(line: &str) -> bool {
    line.find("${").is_some_and(|at| line[..at].matches(['"', '\'']).count().is_multiple_of(2))
}

/// `U+00A0`.
pub fn code_point(char: char) -> String {
    format!("U+{:04X}", u32::from(char))
}

/// Whether a character takes up no ink and is no plain space: it comes from web pages and chats, and nobody sees it.
pub const fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{2064}' | '\u{3000}'
    )
}

/// An invisible character in text that has no quotes around it.
pub fn invisible(char: char, place: Place) -> Diagnostic {
    let message = format!("an invisible character ({}) stands here", code_point(char));
    let error = Diagnostic::error("invisible_character", message).at(place, "");
    error.help("remove it, or write a plain space; where a text needs it, put the text in quotes")
}

/// Whether a quote is one of those that word processors and chats make of plain ones.
pub const fn is_curly(char: char) -> bool {
    matches!(char, '\u{2018}'..='\u{201f}' | '«' | '»')
}

/// A text that begins with such a quote.
pub fn curly(char: char, place: Place) -> Diagnostic {
    let message = format!("`{char}` is no quote of YAML, but a part of the text");
    let error = Diagnostic::error("curly_quote", message).at(place, "");
    error.help("write plain quotes: `\"` or `'`")
}
