//! `infra validate [ENV]`

use anyhow::Result;

use super::session;
use super::{Ended, Format, Source, print};
use crate::environment::Facts;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment; all of the folder, if left out
    env: Option<String>,
    #[command(flatten)]
    source: Source,
}

pub fn run(arguments: &Arguments) -> Result<Ended> {
    let names = match &arguments.env {
        Some(name) => vec![name.clone()],
        None => session::names(&arguments.source)?,
    };
    let mut ended = Ended::Well;
    for name in names {
        let checked = session::load(&arguments.source, &name).and_then(|loaded| {
            let desired = session::desired(&loaded, &Facts::default())?;
            session::check(&loaded, &desired, Format::Text)?;
            Ok(desired)
        });
        match checked {
            Ok(desired) => print(&format!("{name}: valid, {} resources", desired.resources.len())),
            Err(error) => {
                super::say(&format!("{error:#}"));
                ended = Ended::Failed;
            }
        }
    }
    Ok(ended)
}
