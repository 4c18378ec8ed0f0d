//! The first value of a secret: made of random numbers of the operating system, and handed to the request only.

use std::collections::BTreeMap;

use rand::TryRng;
use rand::rngs::SysRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{Failure, Problem, Result};
use crate::value::Arg;

const MAX_LENGTH: u32 = 4096;
const MIN_LENGTH: u32 = 8;

/// How to make a random text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    #[serde(default = "length")]
    pub length: u32,
    #[serde(default)]
    pub charset: Charset,
    /// Characters that are not used, for readers that cannot take them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub exclude: String,
}

fn length() -> u32 {
    32
}

/// The characters of a random text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Charset {
    #[default]
    Alphanumeric,
    /// Digits and a to f.
    Hex,
    /// Every visible character of ASCII.
    Ascii,
    /// The alphabet of Base64.
    Base64,
}

/// A member of a value that is a JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Generate(Generate),
    /// What is no secret, such as a user's name: it stands in the file and in plans.
    Text(Arg<String>),
}

/// A JSON object of these members.
pub fn object(parts: &BTreeMap<String, Part>) -> Result<String> {
    let member = |(key, part): (&String, &Part)| {
        let text = match part {
            Part::Generate(generate) => generate.random()?,
            Part::Text(text) => text.get()?.clone(),
        };
        Ok((key.clone(), serde_json::Value::String(text)))
    };
    let members = parts.iter().map(member).collect::<Result<serde_json::Map<_, _>>>()?;
    Ok(serde_json::Value::Object(members).to_string())
}

impl Generate {
    fn alphabet(&self) -> Vec<u8> {
        let visible = (b'!'..=b'~').filter(|c| match self.charset {
            Charset::Alphanumeric => c.is_ascii_alphanumeric(),
            Charset::Hex => matches!(c, b'0'..=b'9' | b'a'..=b'f'),
            Charset::Ascii => true,
            Charset::Base64 => c.is_ascii_alphanumeric() || b"+/".contains(c),
        });
        visible.filter(|c| !self.exclude.as_bytes().contains(c)).collect()
    }

    pub fn random(&self) -> Result<String> {
        let alphabet = self.alphabet();
        // A byte above the last whole multiple of the alphabet would favour its first characters, and is thrown away.
        let whole = 256 - 256 % alphabet.len().max(1);
        let mut text = String::new();
        let mut bytes = [0_u8; 256];
        while text.len() < self.length as usize && !alphabet.is_empty() {
            let failed = |error: rand::rngs::SysError| Failure::new("random", "NoRandomNumbers", error.to_string());
            SysRng.try_fill_bytes(&mut bytes).map_err(failed)?;
            let usable = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < whole);
            let missing = self.length as usize - text.len();
            text.extend(usable.map(|byte| char::from(alphabet[byte % alphabet.len()])).take(missing));
        }
        Ok(text)
    }

    pub fn check(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&self.length) {
            let message = format!("{} characters is not between {MIN_LENGTH} and {MAX_LENGTH}", self.length);
            let help = format!("write {}", self.length.clamp(MIN_LENGTH, MAX_LENGTH));
            problems.push(Problem::new(&format!("{path}.length"), message).help(help));
        }
        if self.alphabet().len() < 8 {
            let problem = Problem::new(&format!("{path}.exclude"), "fewer than 8 characters are left to choose from");
            problems.push(problem.help("exclude fewer characters, or choose another charset"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn random_texts_use_their_alphabet_whole_and_differ() {
        let generate = Generate { length: 4000, charset: Charset::Ascii, exclude: "\"@/\\".into() };
        let text = generate.random().unwrap();
        assert_eq!(text.len(), 4000);
        let used: BTreeSet<u8> = text.bytes().collect();
        assert!(used.into_iter().eq(generate.alphabet()), "4000 draws from 90 characters leave none out");
        assert_ne!(text, generate.random().unwrap());
        let hex = Generate { length: 64, charset: Charset::Hex, exclude: String::new() };
        assert!(hex.random().unwrap().bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')));
    }

    #[test]
    fn an_object_keeps_what_is_no_secret() {
        let password = Generate { length: 40, charset: Charset::Alphanumeric, exclude: String::new() };
        let parts = [("username".into(), Part::Text("app".into())), ("password".into(), Part::Generate(password))];
        let text = object(&BTreeMap::from(parts)).unwrap();
        let value: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        assert_eq!((value["username"].as_str(), value["password"].len()), ("app", 40));
    }
}
