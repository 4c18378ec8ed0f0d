//! What the commands share that change nothing but whose a resource is: `adopt`, `forget` and `rename`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::apply::ask;
use super::session::Session;
use super::{give_back, print, say};
use crate::address::Address;
use crate::desired::Desired;
use crate::environment::nearest;
use crate::kind::{Failure, Live};
use crate::lock::{Holder, Lock};
use crate::plan::{Action, Harm, Snapshot, whole};
use crate::report;
use crate::tags::Tags;
use crate::value::Fields;

/// Does `work` while this process holds the lock of the environment.
pub async fn locked(
    session: &Session,
    desired: &Desired,
    again: &str,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let lock = Lock::of(&session.aws, &desired.project, &desired.environment);
    let held = lock.acquire(Holder::this(again)).await?;
    let mut lost = held.lost();
    let done = tokio::select! {
        done = work => done,
        _ = lost.wait_for(|lost| *lost) => Err(anyhow::anyhow!("the lock is lost: another may write. Run this again: {again}")),
    };
    give_back(&lock, held).await;
    done
}

/// Asks, unless the caller has consented already.
pub fn consent(question: &str, yes: bool) -> Result<()> {
    if yes { Ok(()) } else { ask(&format!("{question} Only `yes` goes on: "), "yes", "--yes") }
}

/// The one live resource at this address.
pub fn one<'a>(snapshot: &'a Snapshot, address: &Address) -> Result<Option<&'a Live<Fields>>> {
    let mut all = snapshot.live.iter().filter(|live| live.identity.address == *address && live.serves());
    let first = all.next();
    if let (Some(first), Some(second)) = (first, all.next()) {
        bail!(
            "{address} is there twice, as {} and as {}; nothing was changed\n  delete one of them first",
            first.id,
            second.id
        );
    }
    Ok(first)
}

/// Writes and removes tags of one resource.
pub async fn tag(session: &Session, live: &Live<Fields>, set: &Tags, gone: &[String], again: &str) -> Result<()> {
    let address = &live.identity.address;
    let Some(driver) = session.drivers.get(address.kind.as_str()) else { bail!("there is no kind {}", address.kind) };
    let told = |failure: Failure| {
        anyhow::anyhow!(
            "the tags of {address} ({}) could not be written: {failure}\n  run this again: {again}",
            live.id
        )
    };
    driver.tag(live, set, gone).await.map_err(told)
}

/// Shows what an apply would do with these addresses if `snapshot` were live, and what of it cannot be undone.
pub fn preview(desired: &Desired, snapshot: &Snapshot, addresses: &BTreeSet<Address>) -> Result<()> {
    let (whole, _) = whole(desired, snapshot)?;
    let mut part = whole.clone().limited_to(addresses, &BTreeSet::new());
    part.resources = whole.resources.into_iter().filter(|planned| addresses.contains(&planned.address)).collect();
    part.notes.retain(|note| addresses.contains(&note.address));
    part.blocked.retain(|blocked| addresses.contains(&blocked.address));
    part.awaits_release.clear();
    let live = snapshot.live.iter().filter(|live| addresses.contains(&live.identity.address) && live.serves());
    let same = |address: &Address| !part.resources.iter().any(|planned| planned.address == *address);
    part.unchanged = live.filter(|live| same(&live.identity.address)).count();
    print(&format!("Then the next apply does with {}:\n", if addresses.len() == 1 { "it" } else { "them" }));
    print(&report::plan_text(&part));
    for planned in &part.resources {
        let does = match (planned.action, planned.harm) {
            (Action::Delete, _) => "DELETES",
            (Action::Replace, Harm::DataLoss) => "REPLACES, WITH ALL ITS DATA,",
            (Action::Replace, _) => "REPLACES",
            _ => continue,
        };
        say(&format!(
            "The next apply {does} {}. Let the file say what is there, if you want to keep it.",
            planned.address
        ));
    }
    Ok(())
}

/// Which of `known` was meant.
pub fn hint(address: &Address, known: impl Iterator<Item = Address>) -> String {
    let known: Vec<String> = known.map(|address| address.to_string()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    nearest(&address.to_string(), &known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}
