//! `infra unlock ENV N`

use anyhow::Result;

use super::session::{self, Session};
use super::{Ended, Source, print};
use crate::lock::Lock;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    /// The number that `infra lock` shows
    number: u64,
    #[command(flatten)]
    source: Source,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let session = Session::connect(&loaded.file.account, &loaded.file.region).await?;
    Lock::of(&session.aws, &loaded.file.project, &loaded.name).force(arguments.number).await?;
    print(&format!("{} is free", loaded.name));
    Ok(Ended::Well)
}
