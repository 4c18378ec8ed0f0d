//! What a create does where AWS already has something under the name.

use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Failure, Id, Kind, Live, Making, Result};

/// Takes over what a lost answer of an earlier try has left under our name, and refuses what is not ours. `found` is
/// what bears the name, where it carries tags of ours at all.
pub async fn adopt<K: Kind>(
    spec: &K,
    aws: &Aws,
    making: &Making,
    (name, found): (&str, Option<Live<K>>),
    operation: &str,
) -> Result<Id> {
    match found {
        Some(live) if live.identity == making.identity && !live.deposed => {
            spec.update(aws, &live).await?;
            Ok(live.id)
        }
        other => Err(taken(operation, K::NAME, name, other.map(|live| owner(&live.identity)))),
    }
}

fn owner(identity: &Identity) -> String {
    format!("{} of {} {}", identity.address, identity.project, identity.environment)
}

fn taken(operation: &str, kind: &str, name: &str, owner: Option<String>) -> Failure {
    let owner =
        owner.map_or_else(|| "nothing says that it is ours".to_owned(), |owner| format!("it belongs to {owner}"));
    let kind = kind.replace('_', " ");
    let message = format!(
        "the {kind} {name} exists, and {owner}: give this one another `name`, delete the other, or take it over \
         with `infra adopt`"
    );
    Failure::new(operation, "NameTaken", message)
}
