//! `infra forget ENV ADDRESS`

use anyhow::{Result, bail};

use super::identity::{consent, hint, locked, one, tag};
use super::session::{self, Session};
use super::{Ended, Source, print};
use crate::address::Address;
use crate::desired::Desired;
use crate::tags::{self, Tags};

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    /// The address of the resource, as in `vpc.main`
    address: Address,
    #[command(flatten)]
    source: Source,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let Arguments { env, address, source, yes } = arguments;
    let loaded = session::load(source, env)?;
    let (session, desired) = Session::open(&loaded).await?;
    let again = format!("infra forget {env} {address}");
    locked(&session, &desired, &again, forget(&session, &desired, address, *yes, &again)).await?;
    Ok(Ended::Well)
}

async fn forget(session: &Session, desired: &Desired, address: &Address, yes: bool, again: &str) -> Result<()> {
    let snapshot = session.snapshot(&session.scope(desired)).await?;
    let Some(live) = one(&snapshot, address)? else {
        if desired.resources.contains_key(address) {
            print(&format!("{address} is not in AWS: there is nothing to forget."));
            return Ok(());
        }
        let known = snapshot.live.iter().map(|live| live.identity.address.clone());
        bail!("{} has no {address} in AWS{}", desired.environment, hint(address, known));
    };
    print(&format!("{address} ({}) loses the tags of {} and stays as it is.", live.id, desired.environment));
    print(if desired.resources.contains_key(address) {
        "The file still has it: the next plan creates another one, until you take it out of the file."
    } else {
        "The file does not have it: no plan will touch it any more."
    });
    consent("Forget it?", yes)?;
    let keys: Vec<String> = tags::OURS.iter().map(|key| (*key).to_owned()).collect();
    tag(session, live, &Tags::new(), &keys, again).await?;
    print(&format!(
        "{} is nobody's. To take it back: infra adopt {} {address} {}",
        live.id, desired.environment, live.id
    ));
    Ok(())
}
