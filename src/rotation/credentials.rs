//! What the secret of a database user holds.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// What means something in an address.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
/// What ends the name of the second of two users that alternate.
const CLONE: &str = "_clone";
/// Bytes of a name in `PostgreSQL`, which silently cuts longer ones.
const LONGEST_NAME: usize = 63;

/// The keys are those that AWS's own rotation functions use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub engine: String,
    pub host: String,
    #[serde(default = "port", deserialize_with = "number")]
    pub port: u16,
    pub dbname: String,
    pub username: String,
    pub password: Password,
    /// The ARN of the secret of the master user, who changes the other passwords. Without it the user changes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masterarn: Option<String>,
    /// Whatever else is in the secret stays in it.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Credentials {
    /// All of it as one address, as most programs take it.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { host, port, .. } = self;
        let safe = |text| utf8_percent_encode(text, RESERVED);
        let (user, password, name) = (safe(&self.username), safe(self.password.reveal()), safe(&self.dbname));
        format!("postgresql://{user}:{password}@{host}:{port}/{name}?sslmode=require")
    }
}

/// The name and password of a master user: RDS's own secret holds no more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Login {
    pub username: String,
    pub password: Password,
}

/// A password, which nothing prints.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the login itself, and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The names of two users that alternate: the one that owns what both make, and its clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub base: String,
    pub clone: String,
}

impl Pair {
    /// The pair of which `name` is one.
    ///
    /// # Errors
    /// A clone would have a longer name than the database takes.
    pub fn of(name: &str) -> Result<Self, String> {
        let base = name.strip_suffix(CLONE).unwrap_or(name).to_owned();
        let clone = format!("{base}{CLONE}");
        if clone.len() > LONGEST_NAME {
            return Err(format!("the user {base} cannot alternate: {clone} is longer than {LONGEST_NAME} bytes"));
        }
        Ok(Self { base, clone })
    }

    /// The other one.
    #[must_use]
    pub fn other(&self, name: &str) -> &str {
        if name == self.base { &self.clone } else { &self.base }
    }
}

const fn port() -> u16 {
    5432
}

/// A port as a number, or as the text that a secret of texts holds.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Port {
        Number(u16),
        Text(String),
    }
    match Port::deserialize(deserializer)? {
        Port::Number(port) => Ok(port),
        Port::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_stays_and_no_password_is_printed() {
        let text = r#"{"engine":"postgres","host":"db","port":"5433","dbname":"app","username":"app","password":"s3cret","team":"web"}"#;
        let read: Credentials = serde_json::from_str(text).unwrap();
        assert_eq!((read.port, read.masterarn.as_deref(), read.others["team"].as_str()), (5433, None, Some("web")));
        assert!(!format!("{read:?}").contains("s3cret"));
        assert!(serde_json::to_string(&read).unwrap().contains("s3cret"), "the secret itself holds it");
    }

    #[test]
    fn an_address_holds_what_means_something_in_it() {
        let text =
            r#"{"engine":"postgres","host":"db.example","dbname":"a b","username":"app_clone","password":"p@/:1"}"#;
        let read: Credentials = serde_json::from_str(text).unwrap();
        assert_eq!(read.url(), "postgresql://app_clone:p%40%2F%3A1@db.example:5432/a%20b?sslmode=require");
    }

    #[test]
    fn users_alternate() {
        let pair = Pair::of("app_clone").unwrap();
        assert_eq!(pair, Pair::of("app").unwrap());
        assert_eq!((pair.other("app"), pair.other("app_clone")), ("app_clone", "app"));
        assert!(Pair::of(&"a".repeat(58)).unwrap_err().contains("longer than 63 bytes"));
        assert!(Pair::of(&"a".repeat(57)).is_ok());
    }
}
