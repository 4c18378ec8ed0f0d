//! The command line: one file a command, which joins the steps of the pipeline.

mod adopt;
mod apply;
mod bluegreen;
mod destroy;
mod drift;
mod explain;
mod forget;
mod history;
mod identity;
mod lock;
mod output;
mod plan;
mod policy;
mod rename;
mod schema;
mod secrets;
mod session;
mod unlock;
mod validate;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::address::Address;
use crate::desired::Desired;
use crate::environment::nearest;
use crate::kind::Failure;
use crate::lock::{Held, Lock};
use crate::plan::Plan;
use crate::remedy;

/// Bytes of stack of a worker: AWS's crates read nested answers, such as rules of a web ACL, in deep recursion.
const STACK: usize = 8 << 20;

/// Plans, applies and releases AWS environments from one YAML file each, with live AWS as the only state.
#[derive(Parser)]
#[command(name = "infra", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check environment files without AWS
    Validate(validate::Arguments),
    /// Show what apply would change
    Plan(plan::Arguments),
    /// Change AWS to what the file says
    Apply(apply::Arguments),
    /// Release new versions without downtime, and take them back
    #[command(subcommand)]
    Bluegreen(bluegreen::Command),
    /// Show where AWS differs from the file, and what is foreign in its network; writes nothing
    Drift(drift::Arguments),
    /// Delete everything of an environment
    Destroy(destroy::Arguments),
    /// Print what AWS tells of the environment's resources: ids, ARNs, names, endpoints
    Output(output::Arguments),
    /// Say why a resource is there and where its fields come from, or what a finding means
    Explain(explain::Arguments),
    /// Print the least IAM policy that a command needs in an environment
    Policy(policy::Arguments),
    /// Print the JSON Schema of environment files
    Schema,
    /// Show secrets and who runs with which version of them, set their values, rotate them
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Show who applied, destroyed and released what, and how it ended
    History(history::Arguments),
    /// Take over what exists in AWS: it gets our tags, after its difference from the file was shown
    Adopt(adopt::Arguments),
    /// Let go of a resource: it loses our tags, and stays as it is
    Forget(forget::Arguments),
    /// Give a live resource another address
    Rename(rename::Arguments),
    /// Show who is writing to an environment
    Lock(lock::Arguments),
    /// Declare a lock free whose owner is surely dead
    Unlock(unlock::Arguments),
}

/// Which environment, and with which variables.
#[derive(Args, Clone)]
pub struct Source {
    /// Folder of the environment files
    #[arg(long, default_value = "environments", value_name = "FOLDER")]
    dir: PathBuf,
    /// Set a variable of the file (repeatable)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Which part of a plan.
#[derive(Args, Clone, Default)]
struct Selection {
    /// Only this address and what it needs (repeatable)
    #[arg(long = "target", value_name = "ADDRESS")]
    targets: Vec<Address>,
    /// Not this address, nor what needs it (repeatable)
    #[arg(long = "exclude", value_name = "ADDRESS")]
    excluded: Vec<Address>,
}

impl Selection {
    fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.excluded.is_empty()
    }

    /// The part of a plan, where every address is one that the file or AWS knows.
    fn of(&self, plan: Plan, desired: &Desired) -> anyhow::Result<Plan> {
        let blocked = plan.blocked.iter().map(|blocked| &blocked.address);
        let live = plan.resources.iter().map(|planned| &planned.address).chain(blocked);
        let known: BTreeSet<&Address> = desired.resources.keys().chain(live).collect();
        if let Some(unknown) = self.targets.iter().chain(&self.excluded).find(|address| !known.contains(address)) {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let near = nearest(&unknown.to_string(), &known);
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            anyhow::bail!("there is no {unknown}, neither in the file nor in AWS{hint}");
        }
        let all = |addresses: &[Address]| addresses.iter().cloned().collect();
        Ok(plan.limited_to(&all(&self.targets), &all(&self.excluded)))
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// How a command ended when nothing went wrong in running it.
enum Ended {
    Well,
    /// There are changes, and the caller asked to be told by the exit status.
    Changes,
    /// The report says what failed.
    Failed,
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::from_env("INFRA_LOG");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Validate(arguments) => validate::run(&arguments),
            Command::Plan(arguments) => plan::run(&arguments).await,
            Command::Apply(arguments) => apply::run(&arguments).await,
            Command::Bluegreen(command) => bluegreen::run(&command).await,
            Command::Drift(arguments) => drift::run(&arguments).await,
            Command::Destroy(arguments) => destroy::run(&arguments).await,
            Command::Output(arguments) => output::run(&arguments).await,
            Command::Explain(arguments) => explain::run(&arguments),
            Command::Policy(arguments) => policy::run(&arguments),
            Command::Schema => schema::run(),
            Command::Secrets(command) => secrets::run(&command).await,
            Command::History(arguments) => history::run(&arguments).await,
            Command::Adopt(arguments) => adopt::run(&arguments).await,
            Command::Forget(arguments) => forget::run(&arguments).await,
            Command::Rename(arguments) => rename::run(&arguments).await,
            Command::Lock(arguments) => lock::run(&arguments).await,
            Command::Unlock(arguments) => unlock::run(&arguments).await,
        }
    });
    match result {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Changes) => ExitCode::from(2),
        Ok(Ended::Failed) => ExitCode::FAILURE,
        Err(error) => {
            let style = anstyle::AnsiColor::Red.on_default().bold();
            // What carries its remedy already is no failure of AWS by itself.
            let remedy = error.downcast_ref::<Failure>().and_then(|failure| remedy::of(failure, None, None));
            let remedy = remedy.map(|remedy| format!("\n  to do: {remedy}")).unwrap_or_default();
            say(&format!("{style}error{style:#}: {error:#}{remedy}"));
            ExitCode::FAILURE
        }
    }
}

/// Waits for the user, or whoever stops processes, to interrupt this one.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Prints a result on standard output. A reader that has gone away is no reason to fail.
fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { writeln!(out) });
}

/// Prints a line about what happens on standard error.
fn say(text: &str) {
    let mut out = anstream::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// Gives a lock back; where that fails it expires by itself, which is no failure of the command.
async fn give_back(lock: &Lock, held: Held) {
    if let Err(failure) = lock.release(held).await {
        say(&format!("the lock could not be given back and expires by itself: {failure}"));
    }
}
