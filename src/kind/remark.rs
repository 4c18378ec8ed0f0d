//! What a read says of a live resource beside its fields.

/// A line about a live resource that calls for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub text: String,
    /// Whether others added to what is ours, which an apply leaves alone and `infra drift` reports.
    pub foreign: bool,
}

impl Remark {
    /// Something that others added.
    pub fn foreign(text: impl Into<String>) -> Self {
        Self { text: text.into(), foreign: true }
    }
}

impl From<String> for Remark {
    fn from(text: String) -> Self {
        Self { text, foreign: false }
    }
}

impl From<&str> for Remark {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
