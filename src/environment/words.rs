//! The wording of complaints: paths, lists, kinds of values, and the nearest known word.

use serde_json::Value;

use crate::source::Tree;

/// A path as a user would write it: `services.api.hosts[0]`.
#[must_use]
pub fn show(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            text.push('[');
            text.push_str(part);
            text.push(']');
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
    }
    text
}

/// `a`, `b` or `c`.
#[must_use]
pub fn list<S: AsRef<str>>(words: &[S]) -> String {
    join(&words.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>(), "or")
}

/// Words with commas, and the last one after `and` or `or`.
#[must_use]
pub fn join(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}

/// How many known words fit into a message before they hide it.
pub const FEW: usize = 8;

/// What other tools call what has another name here: theirs, and the names of ours that it may be.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("args", &["command"]),
    ("availability_zones", &["zones"]),
    ("azs", &["zones"]),
    ("cidr_block", &["cidr"]),
    ("cmd", &["command"]),
    ("cron", &["schedule"]),
    ("desired_count", &["count", "desired_count"]),
    ("domain_name", &["domain"]),
    ("engine_version", &["version"]),
    ("env", &["environment"]),
    ("health_check", &["health"]),
    ("healthcheck", &["health"]),
    ("iam", &["policies"]),
    ("instance_class", &["class"]),
    ("instance_type", &["class", "node"]),
    ("allocated_storage", &["storage"]),
    ("node_type", &["node"]),
    ("replicas", &["count"]),
    ("retention", &["keep"]),
    ("retention_in_days", &["retention_days", "keep"]),
    ("security_group_ids", &["security_groups"]),
    ("subnet_ids", &["subnets"]),
    ("variables", &["vars", "environment"]),
];

/// A word as a message shows it.
#[must_use]
pub fn showing(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        _ if text.is_empty() => "empty".to_owned(),
        Some((at, _)) => format!("`{}...`", &text[..at]),
        None => format!("`{text}`"),
    }
}

/// What to say about an unknown word: a label (the nearest known word, if one is near) and a help text (the known
/// ones).
#[must_use]
pub fn suggest(word: &str, known: &[&str]) -> (String, Option<String>) {
    let near = meant(word, known);
    let label = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
    let help = (!known.is_empty() && (known.len() <= FEW || near.is_none())).then(|| {
        let mut sorted = known.to_vec();
        sorted.sort_unstable();
        if let [one] = sorted.as_slice() {
            format!("only `{one}` is known here")
        } else {
            format!("known here: {}", list(&sorted).replace(" or ", ", "))
        }
    });
    (label, help)
}

/// The known word that this one was probably meant to be, also by the name that other tools have for it.
#[must_use]
pub fn meant<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let elsewhere = || {
        let (_, ours) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word.to_lowercase())?;
        known.iter().find(|known| ours.contains(known)).copied()
    };
    nearest(word, known).or_else(elsewhere)
}

/// The known word that this one was probably meant to be.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(word);
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&wanted, &plain(known)), *known))
        .filter(|(distance, known)| *distance <= known.len().max(wanted.len()).max(3) / 3)
        .min()
        .map(|(_, known)| known)
}

/// What a value is, in words.
#[must_use]
pub fn kind(value: &Tree) -> &'static str {
    match value {
        Tree::Null => "nothing",
        Tree::Bool(true) => "`true`",
        Tree::Bool(false) => "`false`",
        Tree::Number(number) if number.is_f64() => "a number with decimals",
        Tree::Number(_) => "a number",
        Tree::Text(_) => "text",
        Tree::List(_) => "a list",
        Tree::Map(_) => "a map",
    }
}

/// A value of an example as it would stand in a file, on one line.
#[must_use]
pub fn as_yaml(value: &Value) -> String {
    match value {
        // What YAML would not read as this text needs quotes.
        Value::String(text)
            if matches!(crate::source::scalar(text), Tree::Text(_)) && !text.contains([':', '#', '%', '{']) =>
        {
            text.clone()
        }
        other => other.to_string(),
    }
}

/// The first sentence of a description.
#[must_use]
pub fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        let known = ["port", "path", "load_balancers", "deletion_protection", "cpu"];
        assert_eq!(nearest("prot", &known), Some("port"));
        assert_eq!(nearest("loadBalancers", &known), Some("load_balancers"));
        assert_eq!(nearest("deletion-protection", &known), Some("deletion_protection"));
        assert_eq!(nearest("memory", &known), None);
    }

    #[test]
    fn paths_and_lists() {
        assert_eq!(show(&["services", "api", "hosts", "0"].map(str::to_owned)), "services.api.hosts[0]");
        assert_eq!(list(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
