//! A call to AWS that failed, and what that means for whoever made it.

use crate::value::Unresolved;

/// A call to AWS that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {code}: {message}{}", request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default())]
pub struct Failure {
    /// Service and operation, as in `ec2:CreateVpc`.
    pub operation: String,
    pub code: String,
    pub message: String,
    pub request_id: Option<String>,
    /// What keeps the resource from being deleted, each as one text.
    pub held_by: Box<[String]>,
    pub class: Class,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The thing is not there. Deleting it has succeeded.
    NotFound,
    /// Something else has to finish first (a dependency, another change, a new role): try again until the deadline.
    Busy,
    /// No answer came, so that the call may have been executed: look before trying again.
    Unanswered,
    /// Nothing that waiting would mend.
    Fatal,
}

impl Failure {
    /// A failure of our own, found before or between calls.
    pub fn new(operation: &str, code: &str, message: impl Into<String>) -> Self {
        Self {
            operation: operation.to_owned(),
            code: code.to_owned(),
            message: message.into(),
            request_id: None,
            held_by: Box::default(),
            class: Class::Fatal,
        }
    }

    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// What holds the resource, as the end of a sentence; nothing where that is not known.
    #[must_use]
    pub fn held(&self) -> String {
        if self.held_by.is_empty() { String::new() } else { format!("; held by {}", self.held_by.join(", ")) }
    }

    /// Whether a policy was in the way.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        ["AccessDenied", "Unauthorized", "NotAuthorized", "AuthorizationError"]
            .into_iter()
            .any(|part| self.code.contains(part))
    }

    /// Whether something of this name is there already: others', or our own, made by a try whose answer was lost.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        let says = |part: &str| self.code.contains(part) || self.message.contains(part);
        ["AlreadyExist", "already exist", "Duplicate", "NameTaken"].into_iter().any(says)
    }
}

impl From<Unresolved> for Failure {
    fn from(error: Unresolved) -> Self {
        Self::new("resolve", "UnresolvedReference", error.to_string())
    }
}
