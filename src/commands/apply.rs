//! `infra apply ENV` and `infra apply FILE`

mod progress;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use tokio::sync::watch;

use super::history::{self, Under};
use super::plan::{read, show};
use super::session::{self, Session};
use super::{Ended, Format, Selection, Source, give_back, print, say};
use crate::address::Address;
use crate::apply::{Context, Report, Signal, apply};
use crate::check::Finding;
use crate::desired::Desired;
use crate::kind::Scope;
use crate::live;
use crate::lock::{Guard, Held, Holder, Lock};
use crate::plan::Plan;
use crate::preflight::{self, Found};
use crate::report;

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment, or the file of a saved plan
    #[arg(value_name = "ENV|FILE")]
    env: String,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    writing: Writing,
    /// Consent to replace or delete this resource with the data it holds (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    allow_data_loss: Vec<Address>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Consent to a plan that deletes more than a third of the environment: its name once more
    #[arg(long, value_name = "ENV")]
    confirm: Option<String>,
}

/// How a plan is carried out.
#[derive(clap::Args)]
pub struct Writing {
    /// Steps at once
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write without a lock, where SSM cannot be used: name the environment once more
    #[arg(long, value_name = "ENV")]
    no_lock: Option<String>,
    /// Do not ask IAM first whether all of the plan is allowed, nor look at quotas
    #[arg(long)]
    skip_preflight: bool,
    /// How long to wait for another writer, as in 10m
    #[arg(long, value_name = "TIME", default_value = "0s")]
    lock_timeout: SignedDuration,
}

impl Writing {
    fn patience(&self) -> Result<Duration> {
        Duration::try_from(self.lock_timeout).context("--lock-timeout cannot be negative")
    }
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let file = Path::new(&arguments.env);
    let saved = if file.is_file() { Some(read(file)?) } else { None };
    let mut findings = Vec::new();
    let (session, desired, again) = if let Some(saved) = &saved {
        let session = Session::connect(&saved.desired.account, &saved.desired.region).await?;
        (session, saved.desired.clone(), format!("infra apply {}", saved.desired.environment))
    } else {
        let loaded = session::load(&arguments.source, &arguments.env)?;
        let (session, desired) = Session::open(&loaded).await?;
        findings = session::check(&loaded, &desired, arguments.writing.format)?.findings;
        (session, desired, format!("infra apply {}", arguments.env))
    };
    if saved.is_some() && !arguments.selection.is_empty() {
        bail!("{} already says which part is applied: leave --target and --exclude out", file.display());
    }
    let ready = |plan: Plan| {
        let Some(saved) = &saved else { return arguments.selection.of(plan, &desired) };
        let plan = plan.limited_to(&saved.targets, &saved.excluded);
        if saved.digest != plan.digest {
            let moved = report::moved(&saved.basis, &plan);
            bail!(
                "the world has moved since this plan was saved; nothing was changed\n{moved}  plan again: infra plan {}",
                plan.environment
            );
        }
        Ok(plan)
    };
    let consent = |plan: &Plan| {
        refuse_data_loss(plan, &arguments.allow_data_loss)?;
        if saved.is_none() && !arguments.yes {
            ask(&format!("Apply this to {}? Only `yes` goes on: ", plan.environment), "yes", "--yes")?;
        }
        match plan.large_deletion() {
            Some(what) => confirm(&what, &plan.environment, arguments.confirm.as_deref()),
            None => Ok(()),
        }
    };
    let what = What { desired: &desired, scope: session.scope(&desired), findings: &findings, again: &again };
    write(&session, what, &arguments.writing, ready, consent).await
}

fn refuse_data_loss(plan: &Plan, allowed: &[Address]) -> Result<()> {
    let refused: Vec<String> = plan
        .data_losses()
        .filter(|planned| !allowed.contains(&planned.address))
        .map(|planned| format!("--allow-data-loss {}", planned.address))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    bail!("this plan destroys data; nothing was changed\n  if that is wanted, add: {}", refused.join(" "))
}

/// Asks for the environment's name, before what cannot be taken back.
pub fn confirm(what: &str, environment: &str, given: Option<&str>) -> Result<()> {
    match given {
        Some(name) if name == environment => Ok(()),
        Some(_) => bail!("--confirm must name the environment: {environment}"),
        None => {
            let question = format!("This destroys {what} of {environment}. Type {environment} to go on: ");
            ask(&question, environment, &format!("--confirm {environment}"))
        }
    }
}

/// What a writer brings about.
pub struct What<'a> {
    pub desired: &'a Desired,
    /// What is read.
    pub scope: Scope,
    pub findings: &'a [Finding],
    /// The command that goes on where this one ends.
    pub again: &'a str,
}

/// Takes the lock, plans, shows, asks, and carries out.
pub async fn write(
    session: &Session,
    what: What<'_>,
    writing: &Writing,
    ready: impl FnOnce(Plan) -> Result<Plan>,
    consent: impl FnOnce(&Plan) -> Result<()>,
) -> Result<Ended> {
    let What { desired, scope, findings, again } = what;
    let environment = &desired.environment;
    if writing.no_lock.as_ref().is_some_and(|name| name != environment) {
        bail!("--no-lock must name the environment: {environment}");
    }
    let lock = Lock::of(&session.aws, &desired.project, environment);
    let held = match writing.no_lock {
        Some(_) => None,
        None => Some(lock.wait(Holder::this(again), writing.patience()?, |who| say(&format!("Waiting: {who}"))).await?),
    };
    let ended = async {
        if let Some(held) = &held {
            settle(session, &scope, held).await?;
        }
        let plan = ready(session.plan(&scope, desired).await?)?;
        if writing.format == Format::Text {
            show(&plan, findings, Format::Text)?;
        }
        let agreed = match preflight(session, &plan, writing).await {
            Ok(()) => agree(&plan, consent),
            Err(refused) => Err(refused),
        };
        let report = match agreed {
            Ok(()) if plan.is_empty() => Ok(None),
            Ok(()) => Ok(Some(carry_out(session, &plan, scope, writing, again, held.as_ref()).await)),
            Err(refused) => Err(refused),
        };
        if writing.format == Format::Json {
            let report = report.as_ref().ok().and_then(Option::as_ref);
            print(&serde_json::to_string_pretty(&report::apply_json(&plan, findings, report))?);
        }
        Ok(if report?.is_none_or(|report| report.is_success()) { Ended::Well } else { Ended::Failed })
    };
    let ended = ended.await;
    if let Some(held) = held {
        give_back(&lock, held).await;
    }
    ended
}

/// Finds before the first write what AWS would refuse in the middle.
async fn preflight(session: &Session, plan: &Plan, writing: &Writing) -> Result<()> {
    if plan.is_empty() || !plan.blocked.is_empty() {
        return Ok(());
    }
    if let Err(wrong) = preflight::programs(plan) {
        bail!("{wrong}\n  nothing was changed");
    }
    if writing.skip_preflight {
        return Ok(());
    }
    let Found { refused, notes } = preflight::check(&session.aws, &session.place.caller, plan).await;
    notes.iter().for_each(|note| say(note));
    match refused {
        None => Ok(()),
        Some(refused) => bail!(
            "{refused}\n  infra policy {} apply prints what is needed; --skip-preflight applies without asking IAM first",
            plan.environment
        ),
    }
}

/// Waits until AWS shows what a process that ended was making, or until it is sure that nothing was made.
async fn settle(session: &Session, scope: &Scope, held: &Held) -> Result<()> {
    let sought =
        |address: &Address| say(&format!("{address} was being created when its process ended; looking for it"));
    live::settle(&held.left, scope, &session.drivers, sought).await.map_err(session::unread)?;
    held.left.addresses.iter().for_each(|address| held.guard().created(address));
    Ok(())
}

fn agree(plan: &Plan, consent: impl FnOnce(&Plan) -> Result<()>) -> Result<()> {
    if !plan.blocked.is_empty() {
        bail!("some addresses are blocked, see above; nothing was changed");
    }
    if plan.is_empty() { Ok(()) } else { consent(plan) }
}

async fn carry_out(
    session: &Session,
    plan: &Plan,
    scope: Scope,
    writing: &Writing,
    again: &str,
    held: Option<&Held>,
) -> Report {
    // Only from here on is there something in flight: before, an interruption simply ends the program.
    let (signal, listening) = listen(held.map(Held::lost));
    let (started, under) = (Instant::now(), Under::way(again));
    let guard = held.map_or_else(Guard::none, Held::guard);
    let run = crate::address::hex(&rand::random::<[u8; 8]>());
    let (drivers, scope) = (crate::kinds::drivers(&session.aws), scope.afresh());
    let context = Context { drivers, scope, guard, run: run.clone() };
    let mut progress = progress::Progress::new(plan.steps.node_count(), writing.format);
    let report =
        apply(plan, Arc::new(context), usize::from(writing.parallel), signal, |event| progress.show(&event)).await;
    progress.end();
    listening.abort();
    if writing.format == Format::Text {
        print(&report::outcome(&report, &plan.environment, started.elapsed(), again));
        if report.is_success() && !plan.awaits_release.is_empty() {
            print(&report::awaits_release(plan));
        }
    }
    let record = history::of_apply(&under, plan, &report, (held.map(|held| held.number), &run));
    history::record(&session.aws, (&plan.project, &plan.environment), &record).await;
    report
}

/// Turns interruptions of the user, and the loss of the lock, into signals to the executor.
fn listen(lost: Option<watch::Receiver<bool>>) -> (watch::Receiver<Signal>, tokio::task::JoinHandle<()>) {
    let (sender, signal) = watch::channel(Signal::Run);
    let listening = tokio::spawn(async move {
        let lost = async {
            match lost {
                Some(mut lost) => drop(lost.wait_for(|lost| *lost).await),
                None => std::future::pending().await,
            }
        };
        tokio::pin!(lost);
        tokio::select! {
            () = interrupted() => say("Finishing what is in flight; nothing new is started. Once more stops at once."),
            () = &mut lost => say("The lock is lost: another may write. Nothing new is started."),
        }
        sender.send_replace(Signal::Drain);
        interrupted().await;
        sender.send_replace(Signal::Abort);
        // The receiver may not be polled again before this task is dropped; stay until then.
        std::future::pending::<()>().await;
    });
    (signal, listening)
}

async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut stream) => drop(stream.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Asks on the terminal, and accepts one answer only.
pub fn ask(question: &str, answer: &str, flag: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody can answer here; nothing was changed\n  add {flag} to go on without a question");
    }
    say("");
    eprint!("{question}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    if line.trim() != answer {
        bail!("nothing was changed");
    }
    Ok(())
}
