//! `infra adopt ENV --terraform STATE.json`

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use futures::future::join_all;

use super::{AT_ONCE, adopt, locked};
use crate::check::{self, Finding};
use crate::commands::session::{self, Session};
use crate::commands::{Ended, Source, print, say};
use crate::desired::{Desired, Resource};
use crate::diagnostic::Severity;
use crate::environment;
use crate::kind::Live;
use crate::live;
use crate::terraform::{self, File, Found, Left, State};
use crate::value::Fields;

/// Writes the file where there is none, and adopts what is in it.
pub async fn run(env: &str, state: &Path, project: Option<&str>, source: &Source, yes: bool) -> Result<Ended> {
    let text = std::fs::read_to_string(state).with_context(|| format!("cannot read {}", state.display()))?;
    let mut read = terraform::read(&text).with_context(|| format!("{} cannot be read", state.display()))?;
    let path = source.dir.join(format!("{env}.yaml"));
    if path.exists() {
        say(&format!("{} is there and stays as it is.", path.display()));
    } else {
        let Some(project) = project else {
            bail!("there is no {}: to have it written, name the project with --project", path.display())
        };
        write(env, project, &mut read, source, &path).await?;
    }
    for Left { from, why } in &read.left {
        print(&format!("  {from}: {why}"));
    }
    if !read.left.is_empty() {
        print(&format!(
            "These {} are no resources of their own here. What comes with another is adopted with it.\n",
            read.left.len()
        ));
    }
    let loaded = session::load(source, env)?;
    let (session, desired) = Session::open(&loaded).await?;
    let (known, gone): (Vec<_>, Vec<_>) =
        read.found.into_iter().partition(|found| desired.resources.contains_key(&found.address));
    for Found { address, from, .. } in &gone {
        say(&format!("{from} is left out: the file has no {address}"));
    }
    let wanted: Vec<_> = known.into_iter().map(|found| (found.address, found.id)).collect();
    let again = format!("infra adopt {env} --terraform {}", state.display());
    locked(&session, &desired, &again, adopt(&session, &desired, &wanted, yes, &again)).await?;
    Ok(Ended::Well)
}

/// Reads all that the state names from AWS, and writes it down.
async fn write(env: &str, project: &str, state: &mut State, source: &Source, path: &Path) -> Result<()> {
    let unknown = || anyhow!("no ARN in the state says in which account and region the stack is");
    let account = state.account.clone().ok_or_else(unknown)?;
    let region = state.region.clone().ok_or_else(unknown)?;
    let session = Session::connect(&account, &region).await?;
    let nothing = Desired {
        project: project.to_owned(),
        environment: env.to_owned(),
        account: account.clone(),
        region: region.clone(),
        resources: BTreeMap::new(),
    };
    let mut reads = Vec::new();
    for some in state.found.chunks(AT_ONCE) {
        reads.extend(join_all(some.iter().map(|found| one(&session, &nothing, found))).await);
    }
    let mut all = Vec::new();
    for (found, read) in std::mem::take(&mut state.found).into_iter().zip(reads) {
        match read {
            Ok(live) => {
                all.push(live);
                state.found.push(found);
            }
            Err(error) => state.left.push(Left { from: found.from, why: error.to_string() }),
        }
    }
    if all.is_empty() {
        bail!("nothing of this state can be adopted from the account {account} in {region}");
    }
    let head = (project, account.as_str(), region.as_str());
    let (mut file, mut references) = (terraform::environment(head, &all, true, &[])?, true);
    let mut found = errors(path, &file, source);
    if found.is_none() {
        // References that lead in a circle, say. The ids themselves never do.
        references = false;
        file = terraform::environment(head, &all, false, &[])?;
        found = errors(path, &file, source);
    }
    let found = found.unwrap_or_default();
    if !found.is_empty() {
        let pairs: Vec<_> = found.iter().map(|found| (found.address.clone(), found.code)).collect();
        file = terraform::environment(head, &all, references, &pairs)?;
    }
    std::fs::create_dir_all(&source.dir).with_context(|| format!("cannot make {}", source.dir.display()))?;
    std::fs::write(path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
    print(&format!("{} has {} resources now.\n", path.display(), all.len()));
    for Finding { address, code, message, .. } in &found {
        say(&format!("{address}: {message}. The file allows it for now; see `infra explain {code}`."));
    }
    for secret in &file.secrets {
        say(&format!("{secret} looks like a secret and is not in the file: put its value into Secrets Manager."));
    }
    Ok(())
}

/// What the state names, as if it were ours.
async fn one(session: &Session, nothing: &Desired, found: &Found) -> Result<Live<Fields>> {
    let Found { address, id, .. } = found;
    let resource =
        Resource { address: address.clone(), fields: Fields::new(), after: BTreeSet::new(), origin: Vec::new() };
    let mut read = live::adoptable(&session.aws, &session.scope(nothing), &resource, id).await?;
    match (read.pop(), read.is_empty()) {
        (Some(live), true) if live.identity.address == *address => Ok(live),
        (Some(live), true) => {
            let owner = live.identity;
            bail!("it belongs to {} of {} {}", owner.address, owner.project, owner.environment)
        }
        (Some(_), false) => bail!("there are several under the name {id}"),
        (None, _) => bail!("AWS has no {} {id}", address.kind.replace('_', " ")),
    }
}

/// What would refuse this file though it is valid; nothing where it is not.
fn errors(path: &Path, file: &File, source: &Source) -> Option<Vec<Finding>> {
    let read = |_: &str| Ok(file.text.clone());
    let loaded = environment::load(&path.to_string_lossy(), &source.vars, &read).ok()?;
    let desired = environment::desired(&loaded, &environment::Facts::default()).ok()?;
    let mut findings = check::check(&loaded, &desired).findings;
    findings.retain(|finding| finding.severity == Severity::Error && finding.allowed.is_none());
    Some(findings)
}
