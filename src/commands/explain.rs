//! `infra explain ENV [ADDRESS]` and `infra explain CODE`

use anyhow::{Result, bail};

use super::session;
use super::{Ended, Source, print};
use crate::address::Address;
use crate::environment::{Facts, nearest};
use crate::{check, explain};

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment, or the code of a finding such as `open_ssh`
    #[arg(value_name = "ENV|CODE")]
    what: String,
    /// The resource; all of them by the part of the file that makes them, if left out
    address: Option<Address>,
    #[command(flatten)]
    source: Source,
}

/// Reads the file only: nothing of this needs AWS.
pub fn run(arguments: &Arguments) -> Result<Ended> {
    if arguments.address.is_none() && !exists(arguments) {
        print(&of_code(&arguments.what)?);
        return Ok(Ended::Well);
    }
    let loaded = session::load(&arguments.source, &arguments.what)?;
    let desired = session::desired(&loaded, &Facts::default())?;
    let Some(address) = &arguments.address else {
        print(&explain::environment(&loaded, &desired));
        return Ok(Ended::Well);
    };
    let Some(resource) = desired.resources.get(address) else {
        let known: Vec<String> = desired.resources.keys().map(ToString::to_string).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = match nearest(&address.to_string(), &known) {
            Some(near) => format!("; did you mean {near}?"),
            None => format!("; `infra explain {}` lists all", arguments.what),
        };
        bail!("{} makes no {address}{hint}", arguments.what);
    };
    let checked = check::check(&loaded, &desired);
    print(&explain::resource(&loaded, &desired, &checked, resource));
    Ok(Ended::Well)
}

fn exists(arguments: &Arguments) -> bool {
    arguments.source.dir.join(format!("{}.yaml", arguments.what)).exists()
}

fn of_code(code: &str) -> Result<String> {
    if let Some(rule) = check::rule(code) {
        return Ok(check::explain(rule));
    }
    let codes: Vec<&str> = check::rules().map(|rule| rule.code).collect();
    let hint = nearest(code, &codes).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    bail!("`{code}` is neither an environment nor the code of a finding{hint}")
}
