//! What is wrong with a file, and where: [`Diagnostic`] and how it reads on a terminal.
//!
//! Every stage collects all of its diagnostics before anything is shown, so that a user mends a file in one go.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::source::{Place, Sources};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong, with the place to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A stable word for this class of mistake, such as `unknown_field`.
    pub code: Option<&'static str>,
    pub message: String,
    pub place: Option<Place>,
    /// What stands under the underlined text; may be empty.
    pub label: String,
    /// Other places that explain this one, such as the first of two equal keys.
    pub related: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
    /// Whether the line is named and not shown, because it may hold a secret.
    pub hidden: bool,
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    const fn new(severity: Severity, code: &'static str, message: String) -> Self {
        Self {
            severity,
            code: Some(code),
            message,
            place: None,
            label: String::new(),
            related: Vec::new(),
            help: None,
            hidden: false,
        }
    }

    /// Puts the diagnostic at a place, with a label under it.
    #[must_use]
    pub fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.place = Some(place);
        self.label = label.into();
        self
    }

    #[must_use]
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names the place without showing what stands there.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        // The label stands under the line.
        let label = std::mem::take(&mut self.label);
        if !label.is_empty() {
            self.help = Some(self.help.map_or_else(|| label.clone(), |help| format!("{label}; {help}")));
        }
        self
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// All diagnostics in the order of their places, and a closing line that counts them.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    // What has no place (a wrong flag, a wrong file name) concerns the whole run and comes first. The sort is stable,
    // so that several findings at one place stay in the order in which they were found.
    sorted.sort_by_key(|one| one.place.map(|place| (place.file, place.start)));
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in sorted {
        text.push_str(renderer.render(&groups(diagnostic, sources)).trim_end());
        text.push_str("\n\n");
    }
    if let Some(count) = count(diagnostics) {
        text.push_str(&count);
        if let Some(file) = sources.files.first() {
            text.push_str(" in ");
            text.push_str(&file.name);
        }
        text.push('\n');
    }
    text
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut title = level.primary_title(diagnostic.message.as_str());
    if let Some(code) = diagnostic.code {
        title = title.id(code);
    }
    let mut group = Group::with_title(title);
    if let Some(place) = diagnostic.place.filter(|_| diagnostic.hidden) {
        let (file, line) = sources.line(place);
        group = group.element(Origin::path(file).line(line));
    } else if let Some(place) = diagnostic.place
        && let Some(snippet) = snippet(place, sources)
    {
        let mut main = snippet.annotation(annotation(AnnotationKind::Primary, place, &diagnostic.label));
        let (near, far): (Vec<_>, Vec<_>) = diagnostic.related.iter().partition(|(other, _)| other.file == place.file);
        for (other, label) in near {
            main = main.annotation(annotation(AnnotationKind::Context, *other, label));
        }
        group = group.element(main);
        for (other, label) in far {
            if let Some(snippet) = self::snippet(*other, sources) {
                group = group.element(snippet.annotation(annotation(AnnotationKind::Context, *other, label)));
            }
        }
    }
    match &diagnostic.help {
        Some(help) if diagnostic.place.is_some() => vec![group.element(Level::HELP.message(help.as_str()))],
        // Without a snippet there is no margin for the help to hang on.
        Some(help) => vec![group, Group::with_title(Level::HELP.secondary_title(help.as_str()))],
        None => vec![group],
    }
}

fn snippet<T: Clone>(place: Place, sources: &Sources) -> Option<Snippet<'_, T>> {
    let file = sources.files.get(place.file)?;
    Some(Snippet::source(file.text.as_str()).path(file.name.as_str()))
}

fn annotation(kind: AnnotationKind, place: Place, label: &str) -> annotate_snippets::Annotation<'_> {
    let annotation = kind.span(place.start..place.end);
    if label.is_empty() { annotation } else { annotation.label(label) }
}

/// `2 errors and 1 warning`, or nothing where there is nothing to count.
fn count(diagnostics: &[Diagnostic]) -> Option<String> {
    let errors = diagnostics.iter().filter(|one| one.is_error()).count();
    let parts: Vec<String> = [(errors, "error"), (diagnostics.len() - errors, "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}
