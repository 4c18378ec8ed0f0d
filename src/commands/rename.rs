//! `infra rename ENV FROM TO`

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::identity::{consent, hint, locked, one, preview, tag};
use super::session::{self, Session};
use super::{Ended, Source, print, say};
use crate::address::Address;
use crate::desired::Desired;
use crate::plan::Snapshot;
use crate::tags::{self, Tags};

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    /// The address that the resource has
    from: Address,
    /// The address that it gets
    to: Address,
    #[command(flatten)]
    source: Source,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let Arguments { env, from, to, source, yes } = arguments;
    if from.kind != to.kind {
        bail!("{from} cannot become {to}: a rename keeps the kind; nothing was changed");
    }
    let loaded = session::load(source, env)?;
    let (session, desired) = Session::open(&loaded).await?;
    let again = format!("infra rename {env} {from} {to}");
    locked(&session, &desired, &again, rename(&session, &desired, (from, to), *yes, &again)).await?;
    Ok(Ended::Well)
}

async fn rename(
    session: &Session,
    desired: &Desired,
    (from, to): (&Address, &Address),
    yes: bool,
    again: &str,
) -> Result<()> {
    let scope = session.scope(desired);
    let snapshot = session.snapshot(&scope).await?;
    let (old, there) = (one(&snapshot, from)?, one(&snapshot, to)?);
    let live = match (old, there) {
        (Some(live), None) => live,
        (None, Some(there)) => {
            print(&format!("{to} is {} already: there is nothing to rename.", there.id));
            return Ok(());
        }
        (Some(_), Some(there)) => bail!(
            "{to} is live already, as {}; nothing was changed\n  let go of that one first: infra forget {} {to}",
            there.id,
            desired.environment
        ),
        (None, None) => {
            let known = snapshot.live.iter().map(|live| live.identity.address.clone());
            bail!("{} has no {from} in AWS{}", desired.environment, hint(from, known));
        }
    };
    print(&format!("{from} ({}) becomes {to}.", live.id));
    if !desired.resources.contains_key(to) {
        say(&format!("The file has no {to} yet: write it there before the next apply."));
    }
    let mut after: Snapshot = snapshot.clone();
    for one in after.live.iter_mut().filter(|one| one.id == live.id && one.identity == live.identity) {
        one.identity = scope.identity(to);
    }
    preview(desired, &after, &BTreeSet::from([from.clone(), to.clone()]))?;
    consent("Rename it?", yes)?;
    tag(session, live, &tags::encode(&scope.identity(to), &Tags::new()), &[], again).await?;
    print(&format!("{} is {to}.", live.id));
    Ok(())
}
