//! `infra adopt ENV ADDRESS ID`

mod terraform;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use futures::future::join_all;

use super::identity::{consent, locked, preview, tag};
use super::session::{self, Session};
use super::{Ended, Source, print};
use crate::address::Address;
use crate::desired::{Desired, Resource};
use crate::kind::{Health, Live};
use crate::kinds;
use crate::live;
use crate::plan::Snapshot;
use crate::tags;
use crate::value::Fields;

/// Resources that are looked for at once: each look has clients of its own.
const AT_ONCE: usize = 8;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    /// The address in the file that it gets, as in `vpc.main`
    #[arg(required_unless_present = "terraform")]
    address: Option<Address>,
    /// Its id, ARN or name in AWS
    #[arg(required_unless_present = "terraform")]
    id: Option<String>,
    /// Adopt all of a Terraform stack, as `terraform show -json` writes it, and write the environment file
    #[arg(long, value_name = "STATE.json", conflicts_with_all = ["address", "id"])]
    terraform: Option<PathBuf>,
    /// The project of the file that is written
    #[arg(long, value_name = "NAME", requires = "terraform")]
    project: Option<String>,
    #[command(flatten)]
    source: Source,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let Arguments { env, address, id, terraform, project, source, yes } = arguments;
    let (address, id) = match (terraform, address, id) {
        (Some(state), ..) => return terraform::run(env, state, project.as_deref(), source, *yes).await,
        (None, Some(address), Some(id)) => (address, id),
        (None, ..) => bail!("name an address of the file and what it is in AWS: infra adopt {env} ADDRESS ID"),
    };
    let loaded = session::load(source, env)?;
    let (session, desired) = Session::open(&loaded).await?;
    let again = format!("infra adopt {env} {address} {id}");
    let wanted = [(address.clone(), id.clone())];
    locked(&session, &desired, &again, adopt(&session, &desired, &wanted, *yes, &again)).await?;
    Ok(Ended::Well)
}

/// Shows what these would become, asks, and makes them ours.
async fn adopt(
    session: &Session,
    desired: &Desired,
    wanted: &[(Address, String)],
    yes: bool,
    again: &str,
) -> Result<()> {
    let mut snapshot = session.snapshot(&session.scope(desired)).await?;
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    let mut looks = Vec::new();
    for some in wanted.chunks(AT_ONCE) {
        let some = some.iter().map(|(address, id)| look(session, desired, &snapshot, address, id));
        looks.extend(join_all(some).await);
    }
    for ((address, id), look) in wanted.iter().zip(looks) {
        match look {
            Ok(Some(live)) => found.push(live),
            Ok(None) => print(&format!("{address} is {id} already.")),
            Err(error) => refused.push(error.to_string()),
        }
    }
    if !refused.is_empty() {
        bail!("nothing was changed:\n  {}", refused.join("\n  "));
    }
    if found.is_empty() {
        return Ok(());
    }
    for live in &found {
        print(&format!("{} is to be {}.", live.identity.address, live.id));
    }
    snapshot.live.extend(found.iter().cloned());
    let addresses: BTreeSet<Address> = found.iter().map(|live| live.identity.address.clone()).collect();
    preview(desired, &snapshot, &addresses)?;
    consent(&format!("Adopt {} into {}?", count(found.len()), desired.environment), yes)?;
    for live in &found {
        let user = desired.resources.get(&live.identity.address).map(Resource::user_tags).unwrap_or_default();
        tag(session, live, &tags::encode(&live.identity, &user), &[], again).await?;
        print(&format!("{} is ours.", live.identity.address));
    }
    Ok(())
}

fn count(number: usize) -> String {
    if number == 1 { "it".to_owned() } else { format!("these {number}") }
}

/// What is to be adopted, where it can be; nothing where it is ours already.
async fn look(
    session: &Session,
    desired: &Desired,
    snapshot: &Snapshot,
    address: &Address,
    id: &str,
) -> Result<Option<Live<Fields>>> {
    let Some(resource) = desired.resources.get(address) else { return Err(not_in_the_file(desired, address)) };
    let mut found = live::adoptable(&session.aws, &session.scope(desired), resource, id).await?;
    let Some(live) = found.pop() else {
        return Err(anyhow!(
            "{address}: there is no {} {id} in {} of the account {}",
            address.kind.replace('_', " "),
            desired.region,
            desired.account
        ));
    };
    if !found.is_empty() {
        return Err(anyhow!("{address}: there are several under the name {id}; name one by its id or ARN"));
    }
    let mine = session.scope(desired).identity(address);
    if live.health == Health::Tombstone || live.health == Health::Restorable {
        return Err(anyhow!("{address}: {id} is being deleted; restore it first, or let apply make a new one"));
    }
    let owner = &live.identity;
    let there = snapshot.live.iter().find(|live| live.identity == mine && live.serves());
    match there {
        Some(there) if there.id == live.id => return Ok(None),
        Some(there) => {
            return Err(anyhow!(
                "{address} is live already, as {}: let go of that one first with `infra forget {} {address}`, or choose \
                 another address",
                there.id,
                desired.environment
            ));
        }
        None => {}
    }
    if *owner == mine && !live.deposed {
        return Ok(Some(live));
    }
    let whose = format!("{} of {} {}", owner.address, owner.project, owner.environment);
    let same = (&owner.project, &owner.environment) == (&mine.project, &mine.environment);
    let help = if live.deposed {
        "a replacement has left it behind, and the next apply deletes it".to_owned()
    } else if same {
        format!("give it the other address with `infra rename {} {} {address}`", desired.environment, owner.address)
    } else {
        format!(
            "it has one owner at a time: let go of it there with `infra forget {} {}`",
            owner.environment, owner.address
        )
    };
    Err(anyhow!("{address}: {id} belongs to {whose}: {help}"))
}

fn not_in_the_file(desired: &Desired, address: &Address) -> anyhow::Error {
    if kinds::find(&address.kind).is_none() {
        return anyhow!("there is no kind {}", address.kind);
    }
    let same: Vec<String> =
        desired.resources.keys().filter(|known| known.kind == address.kind).map(ToString::to_string).collect();
    let known = match &same[..] {
        [] => format!("it has no {}", address.kind),
        all => format!("it has {}", all.join(", ")),
    };
    anyhow!("the file of {} has no {address}; {known}: write it into the file first", desired.environment)
}
