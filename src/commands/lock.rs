//! `infra lock ENV`

use anyhow::Result;

use super::session::{self, Session};
use super::{Ended, Source, print};
use crate::lock::Lock;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    #[command(flatten)]
    source: Source,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let session = Session::connect(&loaded.file.account, &loaded.file.region).await?;
    let newest = Lock::of(&session.aws, &loaded.file.project, &loaded.name).newest().await?;
    let held = newest.as_ref().and_then(|newest| newest.holder().map(|holder| (newest, holder)));
    match held {
        Some((newest, holder)) => print(&format!(
            "{} is locked: number {}\n  by       {} on {} (process {})\n  command  {}\n  since    {}\n  renewed  {}",
            loaded.name,
            newest.number,
            holder.who,
            holder.host,
            holder.process,
            holder.command,
            holder.since,
            newest.renewed()
        )),
        None => print(&format!("{} is free", loaded.name)),
    }
    Ok(Ended::Well)
}
