//! What `terraform show -json` tells, as addresses and ids of ours, and the environment file of what was found there.
//!
//! Of the state only types, names and ids are read. What the file says of a resource comes from AWS, so that its plan is
//! empty and no secret of the state can get into it.

mod file;
mod types;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::address::Address;
pub use file::{File, environment};
pub use types::kind;

/// A state, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Those of the first ARN that has them.
    pub account: Option<String>,
    pub region: Option<String>,
    pub found: Vec<Found>,
    pub left: Vec<Left>,
}

/// A resource of the state that becomes one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: Address,
    /// Its id, ARN or name in AWS.
    pub id: String,
    /// Terraform's address.
    pub from: String,
}

/// A resource of the state that becomes none, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub from: String,
    pub why: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error(
        "line {0} is not what `terraform show -json` writes: run `terraform show -json > state.json` in the folder of the stack"
    )]
    Json(usize),
    #[error("this state holds no resources: run `terraform show -json > state.json` in the folder of the stack")]
    Empty,
}

#[derive(Deserialize)]
struct Shown {
    values: Option<Values>,
}

#[derive(Deserialize)]
struct Values {
    root_module: Module,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Module {
    resources: Vec<Resource>,
    child_modules: Vec<Module>,
}

#[derive(Deserialize)]
struct Resource {
    address: String,
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    values: Json,
}

/// Reads a state.
pub fn read(text: &str) -> Result<State, Unreadable> {
    let shown: Shown = serde_json::from_str(text).map_err(|error| Unreadable::Json(error.line()))?;
    let mut state = State::default();
    let mut taken = BTreeSet::new();
    let root = shown.values.ok_or(Unreadable::Empty)?.root_module;
    gather(root, &mut state, &mut taken);
    if state.found.is_empty() && state.left.is_empty() {
        return Err(Unreadable::Empty);
    }
    Ok(state)
}

fn gather(module: Module, state: &mut State, taken: &mut BTreeSet<Address>) {
    for resource in module.resources.into_iter().filter(|resource| resource.mode == "managed") {
        place(&resource, state);
        match types::find(&resource.kind, &resource.values) {
            Ok((kind, id)) => {
                let address = unique(kind, &name(&resource), taken);
                state.found.push(Found { address, id, from: resource.address });
            }
            Err(why) => state.left.push(Left { from: resource.address, why }),
        }
    }
    module.child_modules.into_iter().for_each(|child| gather(child, state, taken));
}

/// Where the stack is.
fn place(resource: &Resource, state: &mut State) {
    let Some(arn) = resource.values.get("arn").and_then(Json::as_str) else { return };
    let mut parts = arn.split(':').skip(3);
    let some = |part: Option<&str>| part.filter(|part| !part.is_empty()).map(str::to_owned);
    let (region, account) = (some(parts.next()), some(parts.next()));
    // What is global has no region, and what AWS owns another account.
    if let (Some(region), Some(account)) =
        (region, account.filter(|account| account.chars().all(|c| c.is_ascii_digit())))
    {
        state.region.get_or_insert(region);
        state.account.get_or_insert(account);
    }
}

/// `module.net.aws_subnet.private["a"]` is called `net-private-a`.
fn name(resource: &Resource) -> String {
    let path = resource.address.replacen(&format!("{}.", resource.kind), "", 1).replace("module.", "");
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let plain: String = path.chars().map(letter).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(60).collect();
    // A name of nothing but signs or letters of other alphabets leaves none.
    if name.is_empty() { "main".to_owned() } else { name }
}

fn unique(kind: &str, name: &str, taken: &mut BTreeSet<Address>) -> Address {
    let mut address = Address::new(kind, name);
    let mut number = 2;
    while !taken.insert(address.clone()) {
        address = Address::new(kind, format!("{name}-{number}"));
        number += 1;
    }
    address
}

#[cfg(test)]
mod tests;
