//! What most commands begin with: the file, the account, what is desired and what is live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::{Format, Source, say};
use crate::address::Address;
use crate::aws::Aws;
use crate::check::{self, Checked};
use crate::desired::Desired;
use crate::diagnostic::{self, Diagnostic};
use crate::elsewhere::{self, Elsewhere};
use crate::environment::{self, Facts, Loaded};
use crate::kind::{Drivers, Failure, Live, Scope};
use crate::kinds;
use crate::live::{self, Place};
use crate::plan::{Plan, Snapshot};
use crate::value::{Fields, Outputs};
use crate::{remedy, report};

/// A connection to the account that an environment names.
pub struct Session {
    pub aws: Arc<Aws>,
    pub place: Place,
    pub drivers: Drivers,
}

/// Reads and checks an environment file. The findings have been shown when this fails.
pub fn load(source: &Source, name: &str) -> Result<Loaded> {
    let path = source.dir.join(format!("{name}.yaml"));
    if !path.exists() {
        bail!("there is no {}{}", path.display(), others(source));
    }
    let read = |path: &str| std::fs::read(path).and_then(environment::extends::text);
    match environment::load(&path.to_string_lossy(), &source.vars, &read) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                say(diagnostic::render(&loaded.warnings, &loaded.sources, true).trim_end());
            }
            Ok(loaded)
        }
        Err(failed) => {
            say(diagnostic::render(&failed.diagnostics, &failed.sources, true).trim_end());
            bail!("{} is not valid", path.display())
        }
    }
}

fn others(source: &Source) -> String {
    let names = names(source).unwrap_or_default();
    if names.is_empty() {
        format!("; name the folder of the environment files with --dir (now {})", source.dir.display())
    } else {
        format!("; there are {}", names.join(", "))
    }
}

/// The names of all environments in the folder. A file without a project is a base for others.
pub fn names(source: &Source) -> Result<Vec<String>> {
    let folder = std::fs::read_dir(&source.dir).with_context(|| format!("cannot read {}", source.dir.display()))?;
    let mut names = Vec::new();
    for entry in folder {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml")
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
            && stem != "base"
            && !stem.starts_with("base-")
        {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Expands a file into resources. The findings have been shown when this fails.
pub fn desired(loaded: &Loaded, facts: &Facts) -> Result<Desired> {
    environment::desired(loaded, facts).map_err(|diagnostics: Vec<Diagnostic>| {
        say(diagnostic::render(&diagnostics, &loaded.sources, true).trim_end());
        anyhow::anyhow!("{} is not valid", loaded.name)
    })
}

/// Checks what the file makes. The findings have been shown; one that is an error and not allowed ends the command.
/// Warnings are part of JSON output, and shown only where there is none.
pub fn check(loaded: &Loaded, desired: &Desired, format: Format) -> Result<Checked> {
    let checked = check::check(loaded, desired);
    let shown: Vec<Diagnostic> =
        checked.diagnostics.iter().filter(|one| format == Format::Text || one.is_error()).cloned().collect();
    if !shown.is_empty() {
        say(diagnostic::render(&shown, &loaded.sources, true).trim_end());
    }
    match checked.allowed() {
        0 => {}
        count if format == Format::Text => {
            say(&format!("{count} finding{} allowed by the file", if count == 1 { " is" } else { "s are" }));
        }
        _ => {}
    }
    if checked.has_errors() {
        bail!("{} is refused for what was found; nothing was changed", loaded.name);
    }
    Ok(checked)
}

impl Session {
    /// Connects, and refuses the wrong account.
    pub async fn connect(account: &str, region: &str) -> Result<Self> {
        Self::with(Aws::connect(region).await, account).await
    }

    async fn with(aws: Aws, account: &str) -> Result<Self> {
        let aws = Arc::new(aws);
        let place = Place::find(&aws).await.map_err(unreachable_aws)?;
        if place.account != account {
            bail!(
                "the credentials are of account {}, but the file says {account}; nothing was read or changed\n  \
                 choose the right profile with AWS_PROFILE, or mend `account`",
                place.account
            );
        }
        let drivers = kinds::drivers(&aws);
        Ok(Self { aws, place, drivers })
    }

    /// Connects to where the file points, and expands it with what is found there.
    pub async fn open(loaded: &Loaded) -> Result<(Self, Desired)> {
        Self::connect(&loaded.file.account, &loaded.file.region).await?.expand(loaded).await
    }

    /// The same through clients that cannot write.
    pub async fn look(loaded: &Loaded) -> Result<(Self, Desired)> {
        let aws = Aws::connect(&loaded.file.region).await.reads_only();
        Self::with(aws, &loaded.file.account).await?.expand(loaded).await
    }

    async fn expand(self, loaded: &Loaded) -> Result<(Self, Desired)> {
        let facts = Facts { zones: Some(self.place.zones.clone()), existing: self.existing(loaded).await? };
        let desired = desired(loaded, &facts)?;
        Ok((self, desired))
    }

    /// The outputs of what the file refers to in other environments of the project.
    async fn existing(&self, loaded: &Loaded) -> Result<BTreeMap<String, Outputs>> {
        let mut found = BTreeMap::new();
        for (name, existing) in &loaded.file.existing {
            let (Some(environment), Some(address)) = (&existing.environment, &existing.address) else { continue };
            let address: Address = address.parse()?;
            let Some(driver) = self.drivers.get(address.kind.as_str()) else {
                bail!("existing.{name}: there is no kind {}", address.kind);
            };
            let theirs = Desired {
                project: loaded.file.project.clone(),
                environment: environment.clone(),
                account: loaded.file.account.clone(),
                region: loaded.file.region.clone(),
                resources: BTreeMap::new(),
            };
            let all = driver.list(&self.scope(&theirs)).await?;
            let mut same = all.into_iter().filter(|live| live.identity.address == address && !live.deposed);
            match same.next() {
                Some(live) => drop(found.insert(name.clone(), live.outputs)),
                None => bail!("existing.{name}: {environment} has no {address} in AWS; apply it first"),
            }
        }
        Ok(found)
    }

    /// The scope of one environment.
    pub fn scope(&self, desired: &Desired) -> Scope {
        live::scope(&self.place, desired)
    }

    /// Everything of the environment that is live.
    pub async fn snapshot(&self, scope: &Scope) -> Result<Snapshot> {
        live::snapshot(scope, &self.drivers).await.map_err(unread)
    }

    /// The plan from what is live to `desired`.
    pub async fn plan(&self, scope: &Scope, desired: &Desired) -> Result<Plan> {
        Ok(self.compare(scope, desired).await?.0)
    }

    /// The plan, and what is live.
    pub async fn compare(&self, scope: &Scope, desired: &Desired) -> Result<(Plan, Vec<Live<Fields>>)> {
        let mut snapshot = self.snapshot(scope).await?;
        if elsewhere::is_possible(desired, &snapshot.live) {
            self.refuse_elsewhere(scope).await?;
        }
        let unread = crate::plan::unread(desired, &snapshot.live);
        snapshot.revisions = live::revisions(&self.aws, unread).await?;
        Ok((crate::plan::plan(desired, &snapshot)?, snapshot.live))
    }

    /// Refuses a file whose region is not that of its environment.
    async fn refuse_elsewhere(&self, scope: &Scope) -> Result<()> {
        let found = match elsewhere::find(&self.aws, scope).await {
            Ok(found) => found,
            Err(failure) => {
                say(&format!("Whether {} is in another region is not known: {failure}", scope.environment));
                None
            }
        };
        let Some(Elsewhere { region, live }) = found else { return Ok(()) };
        let some = live.iter().take(3).map(|live| format!("{} ({})", live.identity.address, live.id));
        let (project, environment) = (&scope.project, &scope.environment);
        bail!(
            "{project}/{environment} is in {region}, but the file says {}; nothing was changed\n  there are {} resources \
             of it: {} ...\n  put `region: {region}` back; to move it, destroy it there first, or give this one another name",
            scope.region,
            live.len(),
            some.collect::<Vec<_>>().join(", "),
        )
    }
}

/// What to say when AWS could not be read.
pub fn unread(failures: Vec<Failure>) -> anyhow::Error {
    let lines: BTreeSet<String> = failures.iter().map(ToString::to_string).collect();
    let remedies = failures.iter().filter_map(|failure| remedy::of(failure, None, None));
    let remedies: BTreeSet<String> = remedies.map(|remedy| format!("to do: {remedy}")).collect();
    let lines: Vec<String> = lines.iter().chain(&remedies).cloned().collect();
    anyhow::anyhow!("AWS could not be read, so nothing is planned:\n  {}", lines.join("\n  "))
}

fn unreachable_aws(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("AWS did not say who we are: {}", report::error(&failure, None))
}
