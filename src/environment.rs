//! The environment file: one YAML file that says all that an environment is made of.
//!
//! [`load`] reads it in steps, each of which finds all of its mistakes: text to tree ([`crate::source`]), `extends`,
//! variables, the JSON schema of the types below, and the rules that no schema can say. A file that passes is an
//! [`EnvironmentFile`], and its tree stays at hand so that later steps can point into it.

mod advice;
pub mod alarms;
pub mod allow;
pub mod audit;
pub mod backups;
pub mod buckets;
pub mod caches;
pub mod certificates;
pub mod check;
pub mod dashboards;
pub mod databases;
pub mod decode;
pub mod dns;
pub mod existing;
pub mod expand;
pub mod extends;
mod file;
pub mod firewall;
pub mod jobs;
pub mod keys;
pub mod load_balancers;
pub mod logs;
pub mod network;
pub mod notifications;
pub mod pipeline;
pub mod references;
pub mod registries;
mod release_rules;
pub mod releases;
pub mod rules;
mod secret_rules;
pub mod secrets;
pub mod service_rules;
pub mod services;
mod shape;
pub mod subnets;
#[cfg(test)]
mod tests;
pub mod tracing;
pub mod types;
mod variables;
mod words;

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;

use self::check::Finding;
pub use self::check::check_schema;
pub use self::expand::Facts;
pub use self::file::EnvironmentFile;
pub use self::references::{Piece, ReferenceError, references};
use self::rules::Rules;
pub use self::subnets::plan_subnets;
pub use self::words::nearest;
use crate::desired::{Desired, Wrong};
use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Node, Sources, Tree};

/// A file that passed all checks.
#[derive(Debug)]
pub struct Loaded {
    pub file: EnvironmentFile,
    /// The environment's name: the file's name without folder and `.yaml`.
    pub name: String,
    /// The file with its bases merged and its variables replaced, with places into `sources`.
    pub tree: Node,
    pub sources: Sources,
    pub warnings: Vec<Diagnostic>,
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct Failed {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Reads and checks an environment file. The name is its path; `read` finds the text of it and of the files that it
/// extends.
///
/// # Errors
/// All mistakes at once, as far as one does not hide another.
pub fn load(name: &str, vars: &[(String, String)], read: extends::Read<'_>) -> Result<Loaded, Failed> {
    let mut sources = Sources::default();
    let (tree, diagnostics) = match read_tree(name, &mut sources, read) {
        Ok(tree) => checked(tree, vars, &sources, name),
        Err(diagnostics) => (None, diagnostics),
    };
    match tree {
        Some((file, tree)) if !diagnostics.iter().any(Diagnostic::is_error) => {
            Ok(Loaded { file, name: stem(name).to_owned(), tree, sources, warnings: diagnostics })
        }
        _ => Err(Failed { diagnostics, sources }),
    }
}

/// What a file asks for: every resource, with the references between them.
///
/// # Errors
/// All mistakes in how the parts of the file fit together, each at its place.
pub fn desired(loaded: &Loaded, facts: &Facts) -> Result<Desired, Vec<Diagnostic>> {
    let Loaded { file, name, tree, .. } = loaded;
    let mut expanded = expand::expand(file, name, tree, facts);
    let resources = std::mem::take(&mut expanded.resources);
    let more = match Desired::new(&file.project, name, &file.account, &file.region, resources) {
        Ok(desired) if expanded.wrong.is_empty() && expanded.found.is_empty() => return Ok(desired),
        Ok(_) => Vec::new(),
        Err(more) => more,
    };
    let told = |wrong: &Wrong| wrong.missing.as_ref().is_some_and(|missing| expanded.explains(missing));
    let more: Vec<Wrong> = more.into_iter().filter(|wrong| !told(wrong)).collect();
    let wrong = expanded.wrong.into_iter().chain(more);
    let mut found = expanded.found;
    let diagnostic = |wrong: Wrong| {
        let mention =
            wrong.reference.and_then(|reference| tree.get(&wrong.path)?.mention(&format!("${{{reference}}}")));
        let place = mention.unwrap_or_else(|| tree.place_of(&wrong.path));
        let error = Diagnostic::error("environment", wrong.message).at(place, "");
        match wrong.help {
            Some(help) => error.help(help),
            None => error,
        }
    };
    found.extend(wrong.map(diagnostic));
    Err(found)
}

/// The JSON schema of an environment file, for editors.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<EnvironmentFile>().to_value();
    shape::join_lines(&mut schema);
    schema
}

static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(json_schema);

fn read_tree(name: &str, sources: &mut Sources, read: extends::Read<'_>) -> Result<Node, Vec<Diagnostic>> {
    let tree = extends::read(name, sources, read)?;
    // A newer file may well hold what this binary takes for mistakes, so this comes before all else.
    match unmet_requirement(&tree) {
        Some(error) => Err(vec![error]),
        None => Ok(tree),
    }
}

fn checked(
    mut tree: Node,
    vars: &[(String, String)],
    sources: &Sources,
    name: &str,
) -> (Option<(EnvironmentFile, Node)>, Vec<Diagnostic>) {
    let replaced = variables::replace(&mut tree, vars, sources);
    let mut diagnostics = replaced.diagnostics;
    diagnostics.extend(wrong_name(stem(name)));
    broken_references(&tree, sources, &mut diagnostics);
    let findings = check::findings(&tree, &SCHEMA, &[]);
    let mut wrong = replaced.broken;
    let broken = wrong.len();
    for Finding { path, diagnostic } in findings {
        if !wrong[..broken].contains(&path) {
            let diagnostic = match replaced.filled.get(&path) {
                Some(text) if diagnostic.label.is_empty() => {
                    Diagnostic { label: format!("it is `{text}`"), ..diagnostic }
                }
                _ => diagnostic,
            };
            diagnostics.push(if may_be_secret(&tree, &path) { unshown(diagnostic) } else { diagnostic });
        }
        wrong.push(path);
    }
    // The rules between fields run over what is right, so that a mistake in one service hides none in another.
    let file = match decode::decode::<EnvironmentFile>(&without(&tree, &wrong)) {
        Ok(file) => file,
        Err(error) => {
            diagnostics.push(*error);
            return (None, diagnostics);
        }
    };
    let mut rules = Rules::new(&tree);
    file.check(&wrong, &mut rules);
    diagnostics.extend(rules.into_found());
    (Some((file, tree)), diagnostics)
}

/// Whether something stands where values of secrets would, if files held any. Someone may have put one there.
fn may_be_secret(tree: &Node, path: &[String]) -> bool {
    let known = ["generate", "json", "description", "key", "protect"];
    let there = match path {
        [section, _] => section == "secrets",
        [section, _, field] => section == "secrets" && !known.contains(&field.as_str()),
        _ => false,
    };
    there && tree.get(path).is_some_and(|node| matches!(node.value, Tree::Text(_) | Tree::Number(_)))
}

/// A complaint about what may be a secret does not show it.
fn unshown(diagnostic: Diagnostic) -> Diagnostic {
    let meant = !diagnostic.label.is_empty();
    match diagnostic.code {
        Some("unknown_field") if !meant => diagnostic.help(secrets::INSTEAD).hidden(),
        _ => diagnostic.hidden(),
    }
}

fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml")).unwrap_or(file)
}

/// The environment's name is part of every resource's name, so it follows the same rules as the project's.
fn wrong_name(name: &str) -> Option<Diagnostic> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let right = letters && name.len() <= 24 && name.starts_with(|first: char| first.is_ascii_lowercase());
    if right && !name.contains("--") && !name.ends_with('-') {
        return None;
    }
    let error = Diagnostic::error(
        "environment_name",
        format!("the file's name gives the environment its name, and `{name}` cannot be one"),
    );
    Some(error.help(
        "rename the file: lower-case letters, digits and single `-`, beginning with a letter, at most 24 characters",
    ))
}

fn unmet_requirement(tree: &Node) -> Option<Diagnostic> {
    let node = tree.get(&["requires"])?;
    let numbers = |text: &str| -> Option<Vec<u64>> { text.split('.').map(|part| part.parse().ok()).collect() };
    let wanted = numbers(node.text()?.strip_prefix(">=")?.trim())?;
    let ours = env!("CARGO_PKG_VERSION");
    if numbers(ours.split(['-', '+']).next()?)? >= wanted {
        return None;
    }
    let error = Diagnostic::error("requires", format!("this file needs a newer `infra`; this one is {ours}"));
    Some(error.at(node.place, "").help("install a newer version"))
}

/// References that cannot be read, wherever they stand. What they lead to is for the next stage.
fn broken_references(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) {
    match &node.value {
        Tree::Text(text) => {
            if let Err(error) = references(text) {
                let diagnostic = Diagnostic::error("reference", error.to_string());
                diagnostics.push(diagnostic.at(sources.inside(node, error.range()), "").help(error.help()));
            }
        }
        Tree::List(items) => items.iter().for_each(|item| broken_references(item, sources, diagnostics)),
        Tree::Map(entries) => entries.iter().for_each(|entry| broken_references(&entry.value, sources, diagnostics)),
        _ => {}
    }
}

/// The tree without the parts that hold mistakes: an entry of a section, or a whole section. What the file must have
/// and lacks is filled in, for the sake of the other checks.
fn without(tree: &Node, wrong: &[Vec<String>]) -> Node {
    let mut tree = tree.clone();
    if wrong.is_empty() {
        return tree;
    }
    for path in wrong {
        let Tree::Map(entries) = &mut tree.value else { break };
        let Some(section) = path.first() else { continue };
        let inner = entries.iter_mut().find(|entry| entry.key == *section).map(|entry| &mut entry.value.value);
        match (path.get(1), inner) {
            (Some(name), Some(Tree::Map(inner))) if section != "network" && section != "pipeline" => {
                inner.retain(|entry| entry.key != *name);
            }
            _ => entries.retain(|entry| entry.key != *section),
        }
    }
    let place = tree.place;
    if !matches!(tree.value, Tree::Map(_)) {
        tree.value = Tree::Map(Vec::new());
    }
    if let Tree::Map(entries) = &mut tree.value {
        for key in ["project", "account", "region"] {
            if !entries.iter().any(|entry| entry.key == key) {
                let value = Node { place, value: Tree::Text(String::new()) };
                entries.push(Entry { key: key.to_owned(), key_place: place, value });
            }
        }
    }
    tree
}
