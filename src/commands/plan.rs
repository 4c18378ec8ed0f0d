//! `infra plan ENV`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::session::{self, Session};
use super::{Ended, Format, Selection, Source, print, say};
use crate::address::Address;
use crate::check::Finding;
use crate::desired::Desired;
use crate::plan::{Basis, Plan};
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

/// What `--save` writes: enough to plan again and see whether the world has moved.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    pub digest: String,
    pub basis: Basis,
    pub targets: BTreeSet<Address>,
    pub excluded: BTreeSet<Address>,
    pub desired: Desired,
}

const VERSION: u32 = 2;

impl Saved {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).map_err(|why| anyhow!("{} {why}", path.display()))
    }

    /// Reads a saved plan, or says what the file is instead. What it desires is checked like that of a file: nobody
    /// knows who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        const AGAIN: &str = "save one with: infra plan ENV --save FILE";
        let json: serde_json::Value =
            serde_json::from_str(text).map_err(|_| format!("is not a saved plan\n  {AGAIN}"))?;
        match Version::deserialize(&json) {
            Ok(Version { version: VERSION }) => {}
            Ok(Version { version }) => {
                return Err(format!("is a plan of version {version}; this program reads {VERSION}\n  {AGAIN}"));
            }
            Err(_) => return Err(format!("is not a saved plan\n  {AGAIN}")),
        }
        let saved =
            Self::deserialize(&json).map_err(|_| format!("was a saved plan, and has been changed since\n  {AGAIN}"))?;
        let Desired { project, environment, account, region, resources } = saved.desired;
        let desired = Desired::new(&project, &environment, &account, &region, resources.into_values());
        let desired = desired.map_err(|wrong| {
            let what = wrong.first().map(|wrong| wrong.message.as_str()).unwrap_or_default();
            format!("was a saved plan, and has been changed since: {what}\n  {AGAIN}")
        })?;
        Ok(Self { desired, ..saved })
    }
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
        let saved = Saved { version: VERSION, digest, basis, targets, excluded, desired };
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
