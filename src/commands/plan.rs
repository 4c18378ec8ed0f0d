//! `infra plan ENV`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use super::session::{self, Session};
use super::{Ended, Format, Selection, Source, print, say};
use crate::check::Finding;
use crate::plan::{Plan, Saved};
use crate::report;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    selection: Selection,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Exit with 0 when there is nothing to change, 2 when there is, 1 on an error
    #[arg(long)]
    detailed_exitcode: bool,
    /// Write the plan to a file, for `infra apply FILE`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Reads what `--save` wrote.
pub fn read(path: &Path) -> Result<Saved> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Saved::parse(&text).map_err(|why| anyhow!("{} {why}", path.display()))
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let (session, desired) = Session::open(&loaded).await?;
    let findings = session::check(&loaded, &desired, arguments.format)?.findings;
    let scope = session.scope(&desired);
    let plan = arguments.selection.of(session.plan(&scope, &desired).await?, &desired)?;
    show(&plan, &findings, arguments.format)?;
    if let Some(path) = &arguments.save {
        let Selection { targets, excluded } = arguments.selection.clone();
        let (targets, excluded) = (targets.into_iter().collect(), excluded.into_iter().collect());
        let (digest, basis) = (plan.digest.clone(), plan.basis.clone());
        let saved = Saved::new(digest, basis, targets, excluded, desired);
        std::fs::write(path, serde_json::to_string_pretty(&saved)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("Saved. Apply just this with: infra apply {}", path.display()));
    }
    Ok(match (plan.blocked.is_empty(), plan.is_empty(), arguments.detailed_exitcode) {
        (false, _, _) => Ended::Failed,
        (true, false, true) => Ended::Changes,
        _ => Ended::Well,
    })
}

pub fn show(plan: &Plan, findings: &[Finding], format: Format) -> Result<()> {
    match format {
        Format::Text => print(&report::plan_text(plan)),
        Format::Json => print(&serde_json::to_string_pretty(&report::plan_json(plan, findings))?),
    }
    Ok(())
}
