//! `secrets`: values that live in AWS Secrets Manager and reach containers as environment variables.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::Text;
use crate::diagnostic::Diagnostic;

/// What to do in place of writing down the value of a secret.
pub(super) const INSTEAD: &str = "the value of a secret does not stand in a file: write `{}` and set the value in Secrets Manager, \
     or `{ generate: {} }` to have one made; what stood here is no secret any more";

/// A secret. Without `generate` and `json` its value is set by hand, in Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-instead" = INSTEAD))]
pub struct Secret {
    /// Makes a random value once; `generate: {}` takes all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    /// A JSON object of several values under one secret, each plain text or generated:
    /// `json: { username: app, password: { generate: {} } }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("propertyNames" = json_keys()))]
    pub json: Option<BTreeMap<String, Part>>,
    /// What the secret is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub description: Option<String>,
    /// The KMS key that encrypts it, such as `${keys.main.arn}`. Default: the key that AWS manages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Text>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// One value of a JSON secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Part {
    /// Not secret itself: a user name, a host.
    Plain(Text),
    /// A random value.
    Generated(Generated),
}

/// A random value in a JSON secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generated {
    /// How to make it; `{}` takes all defaults.
    #[schemars(example = serde_json::json!({}))]
    pub generate: Generate,
}

/// How to make a random value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Characters, 8 to 4096. Default: 32.
    #[serde(default = "length")]
    #[schemars(range(min = 8, max = 4096))]
    pub length: u16,
    /// Which characters. Default: `alphanumeric`.
    #[serde(default)]
    pub charset: Charset,
    /// Characters to leave out, for programs that cannot bear them: `exclude: "@/\""`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub exclude: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Charset {
    /// A-Z, a-z and 0-9.
    #[default]
    Alphanumeric,
    /// All printable ASCII characters but the space.
    Ascii,
    /// 0-9 and a-f.
    Hex,
    /// The standard Base64 alphabet.
    Base64,
}

const fn length() -> u16 {
    32
}

fn json_keys() -> serde_json::Value {
    serde_json::json!({
        "title": "a valid key of a JSON secret",
        "description": "letters, digits, `_`, `.` and `-`",
        "pattern": "^[A-Za-z0-9_.-]{1,128}$",
    })
}

impl Charset {
    /// The characters that a value is made of.
    #[must_use]
    pub fn characters(self) -> Vec<char> {
        let of = |pass: fn(&char) -> bool| ('!'..='~').filter(pass).collect();
        match self {
            Self::Alphanumeric => of(char::is_ascii_alphanumeric),
            Self::Ascii => of(|_| true),
            Self::Hex => of(|char| matches!(char, '0'..='9' | 'a'..='f')),
            Self::Base64 => of(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/')),
        }
    }
}

impl Secret {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        if self.generate.is_some() && self.json.is_some() {
            let message = format!("`secrets.{name}` has both `generate` and `json`");
            let error = Diagnostic::error("secret", message)
                .at(
                    rules.tree.key_place_of(&["secrets", name, "json"]),
                    "a secret is one value or a JSON object of several",
                )
                .help("put `generate` into the entry of `json` that it is for");
            rules.report(error);
        }
        if let Some(generate) = &self.generate {
            generate.check(&["secrets", name, "generate"], rules);
        }
        for (key, part) in self.json.iter().flatten() {
            if let Part::Generated(part) = part {
                part.generate.check(&["secrets", name, "json", key, "generate"], rules);
            }
        }
    }
}

impl Generate {
    fn check(&self, path: &[&str], rules: &mut Rules<'_>) {
        let left = self.charset.characters().into_iter().filter(|char| !self.exclude.contains(*char)).count();
        if left < 10 {
            let mut path = path.to_vec();
            path.push("exclude");
            let message = format!("only {left} characters are left to generate a secret from; at least 10 are needed");
            let error = Diagnostic::error("secret", message).at(rules.tree.place_of(&path), "");
            rules.report(error.help("exclude fewer characters, or choose a larger `charset`"));
        }
    }
}
