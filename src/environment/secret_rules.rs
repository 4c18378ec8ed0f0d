//! Where secrets may stand: values of secrets reach containers under `secrets`, and nowhere else.

use std::collections::BTreeMap;

use super::rules::Rules;
use super::types::Text;
use super::{Piece, references};
use crate::diagnostic::Diagnostic;

/// Looks at the variables of a service or a job.
pub(super) fn check(
    of: [&str; 2],
    (environment, secrets): (&BTreeMap<String, Text>, &BTreeMap<String, Text>),
    rules: &mut Rules<'_>,
) {
    let [section, name] = of;
    for (key, text) in environment {
        if let Some(reference) = secret(text) {
            let message = format!("`${{{reference}}}` is no value here: what is under `environment` is no secret");
            let error = Diagnostic::error("secret", message);
            let error = error.at(rules.tree.place_of(&[section, name, "environment", key]), "");
            rules.report(error.help(format!("move `{key}` to `secrets` of `{section}.{name}`")));
        }
    }
    for (key, text) in secrets {
        let Some(what) = no_secret(text) else { continue };
        let message = format!("`{section}.{name}.secrets.{key}` {what}");
        let error = Diagnostic::error("secret", message);
        let error = error.at(rules.tree.place_of(&[section, name, "secrets", key]), "").hidden();
        rules.report(error.help(
            "name the secret and nothing else, such as `\"${secrets.jwt}\"`; what is no secret goes under `environment`",
        ));
    }
}

/// Looks at the arguments of a container.
pub(super) fn check_arguments(of: &[&str], texts: &[Text], rules: &mut Rules<'_>) {
    for (at, text) in texts.iter().enumerate() {
        if let Some(reference) = secret(text) {
            let message =
                format!("`${{{reference}}}` is no value here: everyone who lists tasks reads their arguments");
            let at = at.to_string();
            let path: Vec<&str> = of.iter().copied().chain([at.as_str()]).collect();
            let error = Diagnostic::error("secret", message).at(rules.tree.place_of(&path), "");
            rules.report(error.help("make it a variable under `secrets`, and read that in the program"));
        }
    }
}

/// The first reference of a text that means the value of a secret.
fn secret(text: &Text) -> Option<String> {
    references(text.as_str()).ok()?.into_iter().find_map(|piece| {
        let Piece::Reference { path, .. } = piece else { return None };
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let is_secret = match words.as_slice() {
            ["secrets", _] | ["databases", _, "master", "username" | "password"] | ["databases", _, "app", _] => true,
            ["secrets", _, what] => !matches!(*what, "arn" | "name"),
            _ => false,
        };
        is_secret.then(|| path.join("."))
    })
}

/// What a text is that does not name a secret.
fn no_secret(text: &Text) -> Option<&'static str> {
    let Ok(pieces) = references(text.as_str()) else { return None };
    match pieces.as_slice() {
        [Piece::Literal(text)] if text.is_empty() => Some("is empty"),
        [Piece::Literal(text), ..] if text.starts_with("arn:") => None,
        [Piece::Literal(_)] => Some("is a text, and not the name of a secret"),
        [Piece::Literal(_), ..] => Some("has text around the secret"),
        [Piece::Reference { path, .. }] if path.len() == 1 => Some("is no secret"),
        _ => None,
    }
}
