//! The difference of two sets of fields, field by field, so that a reader sees what would change and nothing else.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::kind::Info;
use crate::value::{Fields, Value};

/// One difference. `before` is `Null` where something is added, `after` where something goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub path: String,
    pub before: Value,
    pub after: Value,
    pub forces_replacement: bool,
}

impl Change {
    /// Leaves the values out.
    pub fn hide(&mut self) {
        for value in [&mut self.before, &mut self.after] {
            if *value != Value::Null {
                *value = Value::text("(hidden)");
            }
        }
    }

    /// The top-level field.
    #[must_use]
    pub fn field(&self) -> &str {
        self.path.split(['.', '[']).next().unwrap_or_default()
    }
}

/// What leads from `live` to `desired`, both in normal form. Fields that the kind leaves open are compared only where
/// the file sets them.
#[must_use]
pub fn diff(info: &Info, live: &Fields, desired: &Fields) -> Vec<Change> {
    let names: BTreeSet<&String> = live.keys().chain(desired.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let before = live.get(name).unwrap_or(&Value::Null);
        let after = desired.get(name).unwrap_or(&Value::Null);
        if after.is_empty() && info.open.contains(&name.as_str()) {
            continue;
        }
        compare(name.clone(), before, after, &mut changes);
    }
    for change in &mut changes {
        change.forces_replacement = info.replaced_by.contains(&change.field());
    }
    changes
}

fn compare(path: String, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    if before == after || (before.is_empty() && after.is_empty()) {
        return;
    }
    match (before, after) {
        (Value::Map(before), Value::Map(after)) => {
            for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                let (before, after) =
                    (before.get(name).unwrap_or(&Value::Null), after.get(name).unwrap_or(&Value::Null));
                compare(format!("{path}.{name}"), before, after, changes);
            }
        }
        (Value::List(before), Value::List(after)) => compare_lists(&path, before, after, changes),
        (Value::Null, Value::List(after)) => compare_lists(&path, &[], after, changes),
        (Value::List(before), Value::Null) => compare_lists(&path, before, &[], changes),
        _ => changes.push(change(path, before.clone(), after.clone())),
    }
}

/// Entries with a name are compared by it, others as a set; where only the order differs, the lists differ as a whole.
fn compare_lists(path: &str, before: &[Value], after: &[Value], changes: &mut Vec<Change>) {
    if let (Some(old), Some(new)) = (names(before), names(after)) {
        for key in old.iter().chain(&new).collect::<BTreeSet<_>>() {
            let find = |names: &[&str], items: &[Value]| {
                names.iter().position(|name| name == key).map_or(Value::Null, |index| items[index].clone())
            };
            compare(format!("{path}[{key}]"), &find(&old, before), &find(&new, after), changes);
        }
        return;
    }
    let gone = without(before, after);
    let new = without(after, before);
    if gone.is_empty() && new.is_empty() {
        changes.push(change(path.to_owned(), Value::List(before.to_vec()), Value::List(after.to_vec())));
    }
    changes.extend(gone.into_iter().map(|item| change(format!("{path}[]"), item, Value::Null)));
    changes.extend(new.into_iter().map(|item| change(format!("{path}[]"), Value::Null, item)));
}

/// The names of the entries, where all have one.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    items.iter().map(name).collect()
}

fn name(item: &Value) -> Option<&str> {
    match item {
        Value::Map(fields) => fields.get("name")?.as_text(),
        _ => None,
    }
}

/// The entries of `items` that `others` lacks, each occurrence counted.
fn without(items: &[Value], others: &[Value]) -> Vec<Value> {
    let mut rest: Vec<&Value> = others.iter().collect();
    let mut missing = Vec::new();
    for item in items {
        match rest.iter().position(|other| *other == item) {
            Some(index) => drop(rest.swap_remove(index)),
            None => missing.push(item.clone()),
        }
    }
    missing
}

fn change(path: String, before: Value, after: Value) -> Change {
    Change { path, before, after, forces_replacement: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    fn fields(json: serde_json::Value) -> Fields {
        match Value::from(json) {
            Value::Map(fields) => fields,
            other => panic!("{other:?}"),
        }
    }

    fn check(live: serde_json::Value, desired: serde_json::Value, expected: &[&str]) {
        let info = kinds::find("vpc").unwrap();
        let text = |value: &Value| serde_json::to_string(value).unwrap();
        let changes = diff(info, &fields(live), &fields(desired));
        let lines = changes.iter().map(|change| {
            let mark = if change.forces_replacement { " !" } else { "" };
            format!("{}: {} -> {}{mark}", change.path, text(&change.before), text(&change.after))
        });
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn differences_are_named_by_the_smallest_part_that_differs() {
        use serde_json::json;
        check(json!({"a": 1}), json!({"a": 1}), &[]);
        check(json!({"a": []}), json!({}), &[]);
        check(json!({"cidr": "x"}), json!({"cidr": "y"}), &[r#"cidr: "x" -> "y" !"#]);
        check(
            json!({"tags": {"a": "1"}}),
            json!({"tags": {"a": "2", "b": "3"}}),
            &[r#"tags.a: "1" -> "2""#, r#"tags.b: null -> "3""#],
        );
        check(json!({"s": [1, 2, 3]}), json!({"s": [3, 4]}), &["s[]: 1 -> null", "s[]: 2 -> null", "s[]: null -> 4"]);
        check(json!({"s": ["a", "b"]}), json!({"s": ["b", "a"]}), &[r#"s: ["a","b"] -> ["b","a"]"#]);
        check(
            json!({"c": [{"name": "app", "cpu": 1}]}),
            json!({"c": [{"name": "app", "cpu": 2}]}),
            &["c[app].cpu: 1 -> 2"],
        );
    }
}
