//! `infra policy ENV plan|apply|release|secrets`

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use super::session;
use super::{Ended, Format, Source, print, say};
use crate::environment::Facts;
use crate::rights::{self, Document, LIMIT};

#[derive(clap::Args)]
pub struct Arguments {
    /// The environment
    env: String,
    /// What it shall allow; `apply` allows `destroy` too
    #[arg(value_enum)]
    what: What,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Plan,
    Apply,
    Release,
    Secrets,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Release => "release",
            Self::Secrets => "secrets",
        }
    }
}

/// Reads the file only: nothing of this needs AWS.
pub fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let desired = session::desired(&loaded, &Facts::default())?;
    let statements = match arguments.what {
        What::Plan => rights::plan(),
        What::Apply => rights::apply(&desired),
        What::Release => rights::release(&desired),
        What::Secrets => rights::secrets(&desired),
    };
    let documents = rights::documents(statements);
    let count = documents.len();
    let name = |at: usize| {
        let name = format!("infra-{}-{}-{}", desired.project, desired.environment, arguments.what.word());
        if count == 1 { name } else { format!("{name}-{}", at + 1) }
    };
    match (arguments.format, &documents[..]) {
        (Format::Json, _) => {
            let all = documents.iter().enumerate();
            let all: Vec<_> =
                all.map(|(at, one)| json!({ "name": name(at), "size": one.size, "document": one.json })).collect();
            print(&serde_json::to_string_pretty(&all)?);
        }
        // On its own it can be given to AWS as it is.
        (Format::Text, [Document { json, .. }]) => print(&serde_json::to_string_pretty(json)?),
        (Format::Text, all) => {
            for (at, one) in all.iter().enumerate() {
                print(&format!("# {}: {} of {LIMIT} characters", name(at), one.size));
                print(&serde_json::to_string_pretty(&one.json)?);
            }
        }
    }
    if arguments.format == Format::Text {
        if count > 1 {
            say(&format!("IAM takes {LIMIT} characters a managed policy: make {count} and attach them all."));
        }
        if arguments.what == What::Apply {
            say(
                "It is for the kinds in the file: what the last resource of a kind needs to go is no longer in it once \
                 the file has none, so apply first, and take the rights away after.",
            );
        }
    }
    Ok(Ended::Well)
}
