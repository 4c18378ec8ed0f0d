//! Which resource of which environment: [`Address`] and [`Identity`].
//!
//! An address is `kind.name`, as in `subnet.private-a`. Together with the project and the environment it is a
//! resource's identity, and three tags on the live resource hold it. Nothing else says what is ours.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The tag with the project's name.
pub const PROJECT: &str = "infra:project";
/// The tag with the environment's name.
pub const ENVIRONMENT: &str = "infra:environment";
/// The tag with the resource's address within its environment.
pub const ADDRESS: &str = "infra:address";
/// The tag that marks what a create-first replacement leaves behind to be deleted.
pub const DEPOSED: &str = "infra:deposed";
/// The tag that remembers which other tags we wrote, so that tags of others are left alone.
pub const TAGS: &str = "infra:tags";
/// On what is not deleted as long as it carries this, whatever the file says.
pub const PROTECT: &str = "infra:protect";

/// `kind.name`: one resource within an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Address {
    pub kind: String,
    pub name: String,
}

impl Address {
    pub fn new(kind: &str, name: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), name: name.into() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.kind, self.name))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an address: write KIND.NAME, for instance subnet.private-a")]
pub struct NotAnAddress(String);

impl TryFrom<String> for Address {
    type Error = NotAnAddress;
    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let valid = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        };
        match text.split_once('.') {
            Some((kind, name)) if valid(kind) && valid(name) => Ok(Self::new(kind, name)),
            _ => Err(NotAnAddress(text.to_owned())),
        }
    }
}

/// A resource's full identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    pub project: String,
    pub environment: String,
    pub address: Address,
}

impl Identity {
    /// The name of the resource in AWS, `<project>-<environment>-<name>`. Where that is longer than AWS allows, it is
    /// cut, and a hash of the whole keeps it unique.
    #[must_use]
    pub fn aws_name(&self, limit: usize) -> String {
        shorten(&format!("{}-{}-{}", self.project, self.environment, self.address.name), limit)
    }

    /// Like [`Self::aws_name`], ending in a hash of the fields that replace the resource, so that the new one can be
    /// made while the old one still holds its name.
    #[must_use]
    pub fn versioned_name(&self, replacing: &str, limit: usize) -> String {
        let base = shorten(&format!("{}-{}-{}", self.project, self.environment, self.address.name), limit - 7);
        format!("{base}-{}", short_hash(replacing))
    }
}

/// Six letters and digits that depend on all of `text`.
#[must_use]
pub fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))[..6].to_owned()
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn shorten(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    format!("{}-{}", name[..limit - 7].trim_end_matches('-'), short_hash(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> Identity {
        Identity {
            project: "acme".into(),
            environment: "production".into(),
            address: Address::new("target_group", name),
        }
    }

    #[test]
    fn addresses_are_kind_and_name() {
        assert_eq!("subnet.private-a".parse::<Address>().unwrap(), Address::new("subnet", "private-a"));
        for wrong in ["subnet", "subnet.", ".a", "Subnet.a", "subnet.a.b", "subnet.a b"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_stay_within_the_limit_and_unique() {
        assert_eq!(identity("api").aws_name(32), "acme-production-api");
        let long = identity("notifications-worker-blue").aws_name(32);
        assert_eq!(long.len(), 32);
        assert_ne!(long, identity("notifications-worker-green").aws_name(32));
        assert_ne!(identity("api").versioned_name("3000", 32), identity("api").versioned_name("3001", 32));
        assert!(identity("notifications-worker-blue").versioned_name("3000", 32).len() <= 32);
    }
}
