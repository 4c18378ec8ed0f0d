//! The environment file of resources that are live.

use serde_json::{Map, Value as Json};

use crate::address::Address;
use crate::check::is_secret;
use crate::kind::{Info, Live};
use crate::kinds;
use crate::value::{Fields, Template, Value};

/// An environment file, and what is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub text: String,
    /// Values that were left out, since the file is no place for secrets.
    pub secrets: Vec<String>,
}

/// Writes the file of these resources: each field by field, with references where one names another by its id or ARN,
/// and without what is the default. `allowed` are findings that would refuse it as it is, by address and code.
pub fn environment(
    (project, account, region): (&str, &str, &str),
    live: &[Live<Fields>],
    references: bool,
    allowed: &[(Address, &str)],
) -> Result<File, serde_saphyr::SerializeError> {
    let mut secrets = Vec::new();
    let mut resources = Map::new();
    for one in live {
        let address = &one.identity.address;
        let Some(info) = kinds::find(&address.kind) else { continue };
        let mut fields = written(info, one);
        for (name, value) in &mut fields {
            withhold(value, name, &format!("{address}.{name}"), &mut secrets);
        }
        if references {
            refer(info, address, &mut fields, live);
        }
        let fields = fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        resources.insert(address.to_string(), Json::Object(fields));
    }
    let mut allow = Map::new();
    for (address, code) in allowed {
        let reasons = allow.entry(address.to_string()).or_insert_with(|| Json::Array(Vec::new()));
        if let Json::Array(reasons) = reasons {
            reasons.push(serde_json::json!({ *code: "it was so when it was adopted" }));
        }
    }
    let mut file = serde_json::json!({ "project": project, "account": account, "region": region });
    if !allow.is_empty() {
        file["allow"] = Json::Object(allow);
    }
    file["resources"] = Json::Object(resources);
    Ok(File { text: serde_saphyr::to_string(&file)?, secrets })
}

/// The fields that the file has to name.
fn written(info: &Info, live: &Live<Fields>) -> Fields {
    let defaults = info.defaults();
    let named = live.spec.iter().filter(|(name, value)| {
        !value.is_empty() && defaults.get(*name) != Some(*value) && !info.secret.contains(&name.as_str())
    });
    let mut fields: Fields = named.map(|(name, value)| (name.clone(), value.clone())).collect();
    // A default that is something is written as nothing where there is nothing.
    for (name, default) in defaults.iter().filter(|(name, value)| !value.is_empty() && !live.spec.contains_key(*name)) {
        if info.open.contains(&name.as_str()) {
            continue;
        }
        let nothing = match default {
            Value::List(_) => Value::List(Vec::new()),
            Value::Map(_) => Value::Map(Fields::new()),
            _ => Value::Null,
        };
        fields.insert(name.clone(), nothing);
    }
    fields
}

/// Takes out what looks like a secret.
fn withhold(value: &mut Value, name: &str, path: &str, secrets: &mut Vec<String>) {
    match value {
        Value::Text(text) if is_secret(name, text) => {
            secrets.push(path.to_owned());
            *value = Value::Null;
        }
        Value::List(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                withhold(item, "", &format!("{path}.{at}"), secrets);
            }
            items.retain(|item| *item != Value::Null);
        }
        Value::Map(fields) => {
            for (name, value) in fields.iter_mut() {
                withhold(value, name, &format!("{path}.{name}"), secrets);
            }
            fields.retain(|_, value| *value != Value::Null);
        }
        _ => {}
    }
}

/// Puts references in place of ids and ARNs of the others, in fields that take them.
fn refer(info: &Info, own: &Address, fields: &mut Fields, live: &[Live<Fields>]) {
    let others = live.iter().filter(|other| other.identity.address != *own);
    for other in others {
        for name in ["id", "arn"] {
            let Some(text) = other.outputs.get(name).filter(|text| is_unmistakable(text)) else { continue };
            let (old, new) = (Value::text(text), Value::Template(Template::output(&other.identity.address, name)));
            for field in fields.keys().cloned().collect::<Vec<_>>() {
                let mut changed = fields.clone();
                let Some(value) = changed.get_mut(&field) else { continue };
                value.replace(&old, &new);
                if changed != *fields && (info.normalize)(&changed).is_ok() {
                    *fields = changed;
                }
            }
        }
    }
}

/// An ARN, or an id of EC2, KMS or Route 53. Names may be the same as many another word.
fn is_unmistakable(text: &str) -> bool {
    let hex = |part: &str| part.len() >= 8 && part.chars().all(|c| c.is_ascii_hexdigit());
    text.starts_with("arn:")
        || text.rsplit_once('-').is_some_and(|(_, end)| hex(end))
        || text.len() >= 12
            && text.starts_with('Z')
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// As it stands in the file, where `${` begins a reference.
fn plain(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::String(text.replace("${", "$${")),
        Value::Template(template) => Json::String(template.to_string()),
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Map(fields) => Json::Object(fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect()),
        other => other.into(),
    }
}
