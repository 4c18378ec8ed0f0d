//! `${...}` in text: the pieces of a text, where each reference stands, and what is wrong with one.

use std::ops::Range;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is; a `$${` of the file is a `${` here.
    Literal(String),
    /// `${databases.main.endpoint}`: the path, and the bytes of the text from `$` to `}`.
    Reference { path: Vec<String>, range: Range<usize> },
}

/// Why a text's references cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("the reference has no end")]
    Unterminated { range: Range<usize> },
    #[error("the reference is empty")]
    Empty { range: Range<usize> },
    #[error("`{character}` cannot stand in a reference")]
    Character { character: char, range: Range<usize> },
    #[error("a part of the reference is empty")]
    EmptyPart { range: Range<usize> },
}

impl ReferenceError {
    /// Where in the text.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Unterminated { range } | Self::Empty { range } | Self::Character { range, .. } | Self::EmptyPart { range } => {
                range.clone()
            }
        }
    }

    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Unterminated { .. } => "close it with `}`, or write `$${` for a plain `${`",
            Self::Empty { .. } | Self::EmptyPart { .. } | Self::Character { .. } => {
                "a reference is `${section.name.output}`, such as `${databases.main.endpoint}`; write `$${` for a plain `${`"
            }
        }
    }
}

/// The next `${` of a text from an offset on, and whether a `$` before it makes it plain text.
pub(super) fn next_mark(text: &str, from: usize) -> Option<(usize, bool)> {
    let at = from + text.get(from..)?.find("${")?;
    Some((at, at > from && text.as_bytes().get(at - 1) == Some(&b'$')))
}

/// Whether a text holds a reference.
#[must_use]
pub fn has_reference(text: &str) -> bool {
    let mut from = 0;
    while let Some((at, plain)) = next_mark(text, from) {
        if !plain {
            return true;
        }
        from = at + 2;
    }
    false
}

/// Cuts a text into literals and references.
///
/// # Errors
/// The first reference that has no end, no content or a character that no name has.
pub fn references(text: &str) -> Result<Vec<Piece>, ReferenceError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut from = 0;
    while let Some((at, plain)) = next_mark(text, from) {
        if plain {
            literal.push_str(&text[from..at - 1]);
            literal.push_str("${");
            from = at + 2;
            continue;
        }
        literal.push_str(&text[from..at]);
        let Some(length) = text[at..].find('}') else {
            return Err(ReferenceError::Unterminated { range: at..text.len() });
        };
        let range = at..at + length + 1;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Reference { path: path(text, &range)?, range: range.clone() });
        from = range.end;
    }
    literal.push_str(&text[from..]);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn path(text: &str, range: &Range<usize>) -> Result<Vec<String>, ReferenceError> {
    let inner = &text[range.start + 2..range.end - 1];
    if inner.is_empty() {
        return Err(ReferenceError::Empty { range: range.clone() });
    }
    let wrong = inner.char_indices().find(|(_, char)| !(char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-')));
    if let Some((at, character)) = wrong {
        let start = range.start + 2 + at;
        return Err(ReferenceError::Character { character, range: start..start + character.len_utf8() });
    }
    if inner.split('.').any(str::is_empty) {
        return Err(ReferenceError::EmptyPart { range: range.clone() });
    }
    Ok(inner.split('.').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_of_a_text() {
        let text = "https://${load_balancers.public.dns_name}/$${x}";
        let path = ["load_balancers", "public", "dns_name"].map(str::to_owned).to_vec();
        assert_eq!(
            references(text).unwrap(),
            [
                Piece::Literal("https://".to_owned()),
                Piece::Reference { path, range: 8..41 },
                Piece::Literal("/${x}".to_owned()),
            ]
        );
        assert_eq!(references("").unwrap(), [Piece::Literal(String::new())]);
        assert!(has_reference("$${a}${b}"));
        assert!(!has_reference("$${a} $b {c}"));
    }

    #[test]
    fn what_is_no_reference() {
        assert_eq!(references("a ${b").unwrap_err(), ReferenceError::Unterminated { range: 2..5 });
        assert_eq!(references("${}").unwrap_err(), ReferenceError::Empty { range: 0..3 });
        assert_eq!(references("${a b}").unwrap_err(), ReferenceError::Character { character: ' ', range: 3..4 });
        assert_eq!(references("${a..b}").unwrap_err(), ReferenceError::EmptyPart { range: 0..7 });
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[$a.{} é]{0,20}") {
            match references(&text) {
                Ok(pieces) => for piece in pieces {
                    if let Piece::Reference { path, range } = piece {
                        prop_assert_eq!(&text[range], format!("${{{}}}", path.join(".")));
                    }
                },
                Err(error) => prop_assert!(text.get(error.range()).is_some()),
            }
        }
    }
}
