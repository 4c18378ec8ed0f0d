//! `infra destroy ENV`

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::apply::{self, What, Writing, confirm};
use super::session::{self, Session};
use super::{Ended, Source};
use crate::desired::Desired;
use crate::environment::{self, Facts};

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    writing: Writing,
    /// Consent, where nobody can answer: the environment's name once more
    #[arg(long, value_name = "ENV")]
    confirm: Option<String>,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    if arguments.confirm.as_ref().is_some_and(|name| *name != loaded.name) {
        bail!("--confirm must name the environment: {}", loaded.name);
    }
    let file = &loaded.file;
    let session = Session::connect(&file.account, &file.region).await?;
    let nothing = Desired {
        project: file.project.clone(),
        environment: loaded.name.clone(),
        account: file.account.clone(),
        region: file.region.clone(),
        resources: BTreeMap::new(),
    };
    let consent = |_: &_| confirm("all", &loaded.name, arguments.confirm.as_deref());
    let again = format!("infra destroy {}", arguments.env);
    // The file says where to look: names that it chooses, other regions.
    let known = environment::desired(&loaded, &Facts::default());
    let scope = session.scope(known.as_ref().unwrap_or(&nothing));
    let what = What { desired: &nothing, scope, findings: &[], again: &again };
    apply::write(&session, what, &arguments.writing, Ok, consent).await
}
