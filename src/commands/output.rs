//! `infra output ENV [NAME]`

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::session::{self, Session};
use super::{Ended, Format, Source, print};
use crate::environment::nearest;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    /// One output, as in `load_balancer.public.dns_name`
    name: Option<String>,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let (session, desired) = Session::open(&loaded).await?;
    let snapshot = session.snapshot(&session.scope(&desired)).await?;
    let outputs: BTreeMap<String, &String> = snapshot
        .live
        .iter()
        .filter(|live| !live.deposed)
        .flat_map(|live| live.outputs.iter().map(|(name, value)| (format!("{}.{name}", live.identity.address), value)))
        .collect();
    match (&arguments.name, arguments.format) {
        (Some(name), _) => {
            if let Some(value) = outputs.get(name) {
                print(value);
            } else {
                let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
                let hint = nearest(name, &names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                bail!("there is no output {name}{hint}")
            }
        }
        (None, Format::Json) => print(&serde_json::to_string_pretty(&outputs)?),
        (None, Format::Text) => {
            let width = outputs.keys().map(String::len).max().unwrap_or_default();
            outputs.iter().for_each(|(name, value)| print(&format!("{name:<width$}  {value}")));
        }
    }
    Ok(Ended::Well)
}
