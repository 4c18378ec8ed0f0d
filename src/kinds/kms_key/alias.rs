//! The alias of a key: it is unique in its region, points at one key, and cannot be tagged.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_kms::types::AliasListEntry;

use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Result, Scope};

pub const LIMIT: usize = 256;
/// What a live key has whose alias is missing.
pub const NONE: &str = "";

pub fn generated(identity: &Identity) -> String {
    format!("alias/{}", identity.aws_name(LIMIT - "alias/".len()))
}

/// The alias that a file's or a tag's words stand for.
pub fn of(chosen: Option<&String>, identity: &Identity) -> String {
    chosen.filter(|alias| *alias != NONE).cloned().unwrap_or_else(|| generated(identity))
}

/// The keys of the aliases of this region.
pub async fn all(aws: &Aws, scope: &Scope) -> Result<Arc<BTreeMap<String, Id>>> {
    let read = || async {
        let pages = aws.kms().list_aliases().into_paginator().items().send();
        let found = aws.call("kms:ListAliases", pages.collect::<Result<Vec<_>, _>>()).await?;
        let pair = |alias: &AliasListEntry| Some((alias.alias_name()?.to_owned(), alias.target_key_id()?.to_owned()));
        Ok(found.iter().filter_map(pair).collect())
    };
    scope.memo.get("kms:aliases", read).await
}

/// Points the alias at the key, unless it does already.
pub async fn make(aws: &Aws, alias: &str, id: &str) -> Result<()> {
    let request = aws.kms().create_alias().alias_name(alias).target_key_id(id);
    let failure = match aws.call("kms:CreateAlias", request.send()).await {
        Err(failure) if failure.code == "AlreadyExistsException" => failure,
        answer => return answer.map(drop),
    };
    let pages = aws.kms().list_aliases().key_id(id).into_paginator().items().send();
    let found = aws.call("kms:ListAliases", pages.collect::<Result<Vec<_>, _>>()).await?;
    if found.iter().any(|found| found.alias_name() == Some(alias)) {
        return Ok(());
    }
    let message = format!(
        "{alias} points at another key: give this one another `alias`, or delete that one with \
         `aws kms delete-alias --alias-name {alias}` where nobody needs it"
    );
    Err(Failure { message, code: "NameTaken".to_owned(), ..failure })
}

pub async fn delete(aws: &Aws, alias: &str) -> Result<()> {
    match aws.call("kms:DeleteAlias", aws.kms().delete_alias().alias_name(alias).send()).await {
        Err(failure) if failure.class != Class::NotFound => Err(failure),
        _ => Ok(()),
    }
}
