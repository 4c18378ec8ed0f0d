//! `infra drift ENV`

use std::collections::BTreeSet;

use anyhow::Result;
use clap::ValueEnum;

use super::session::{self, Session};
use super::{Ended, Source, print, say};
use crate::drift::Drift;
use crate::foreign;
use crate::report;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    #[command(flatten)]
    source: Source,
    /// Leave out a resource, one field of it, or a foreign resource by its id (repeatable)
    #[arg(long, value_name = "ADDRESS[.PATH]|ID")]
    ignore: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    format: Shape,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Shape {
    #[default]
    Text,
    Json,
    Markdown,
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let (session, desired) = Session::look(&loaded).await?;
    let scope = session.scope(&desired);
    let (plan, live) = session.compare(&scope, &desired).await?;
    let networks: BTreeSet<String> =
        live.iter().filter(|live| live.identity.address.kind == "vpc").map(|live| live.id.clone()).collect();
    let foreign = foreign::read(&session.aws, &networks).await?;
    let drift = Drift::find(&plan, foreign, &arguments.ignore);
    match arguments.format {
        Shape::Text => print(&report::drift_text(&drift)),
        Shape::Json => print(&serde_json::to_string_pretty(&report::drift_json(&drift))?),
        Shape::Markdown => print(&report::drift_markdown(&drift)),
    }
    for unused in &drift.unused {
        say(&format!("--ignore {unused} leaves out nothing: nothing differs there"));
    }
    Ok(if drift.is_none() { Ended::Well } else { Ended::Changes })
}
