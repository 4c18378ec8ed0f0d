//! `infra secrets set ENV NAME`

use std::collections::BTreeSet;
use std::fmt;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value as Json};

use super::Place;
use crate::address::{Address, hex};
use crate::commands::history::Under;
use crate::commands::identity::{consent, locked};
use crate::commands::session::{self, Session};
use crate::commands::{Ended, Source, print};
use crate::environment::nearest;
use crate::kind::Failure;
use crate::kinds::secret::{Charset, Generate};
use crate::rotation::ROLL;
use crate::rotation::users::{self, User};
use crate::secrets::{Runs, Seen, uses};

/// Bytes of a value.
const LARGEST: usize = 65536;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("value").required(true).args(["stdin", "file", "generate"])))]
pub struct Arguments {
    /// The environment
    env: String,
    /// The secret's name in the file
    name: String,
    #[command(flatten)]
    source: Source,
    /// Read the value from standard input, without the newline at its end
    #[arg(long)]
    stdin: bool,
    /// Read the value from this file, as it is
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Make a random value
    #[arg(long)]
    generate: bool,
    /// Characters of a random value
    #[arg(long, default_value_t = 32, value_name = "N", requires = "generate")]
    length: u32,
    /// The characters that a random value is made of
    #[arg(long, value_enum, default_value_t, requires = "generate")]
    charset: Charset,
    /// Set one key of a JSON secret, and leave the others as they are
    #[arg(long)]
    key: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// A value. Nothing shows it.
struct Hidden(String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

pub async fn run(arguments: &Arguments) -> Result<Ended> {
    let loaded = session::load(&arguments.source, &arguments.env)?;
    let value = read(arguments)?;
    let place = Place::look(&loaded, Session::open(&loaded).await?).await?;
    let address = place.find(&arguments.name)?;
    let again = format!("infra secrets set {} {}", arguments.env, address.name);
    let work = set(&place, &address, arguments, value, &again);
    locked(&place.session, &place.desired, &again, work).await?;
    Ok(Ended::Well)
}

/// The new value, before anything is asked of AWS.
fn read(arguments: &Arguments) -> Result<Hidden> {
    let not_text = "the value is not text in UTF-8; nothing was changed";
    let value = if arguments.generate {
        let generate = Generate { length: arguments.length, charset: arguments.charset, exclude: String::new() };
        if let Some(problem) = generate.check("--generate").first() {
            bail!("{}: {}; nothing was changed", problem.path, problem.message);
        }
        generate.random()?
    } else if let Some(path) = &arguments.file {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        String::from_utf8(bytes).ok().context(not_text)?
    } else {
        if std::io::stdin().is_terminal() {
            bail!(
                "a value typed here would be seen; nothing was changed\n  \
                 pipe it: pass show payments | infra secrets set {} {} --stdin --yes",
                arguments.env,
                arguments.name
            );
        }
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes).ok().context(not_text)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        text.strip_suffix('\r').unwrap_or(text).to_owned()
    };
    if value.is_empty() {
        bail!("the value is empty; nothing was changed");
    }
    Ok(Hidden(value))
}

async fn set(place: &Place, address: &Address, arguments: &Arguments, value: Hidden, again: &str) -> Result<()> {
    let seen = place.seen(address).await?;
    if seen.rotates() {
        bail!(
            "{address} rotates, so that its value belongs to its function; nothing was changed\n  \
             for a new one now: infra secrets rotate {} {}",
            arguments.env,
            address.name
        );
    }
    let value = whole(place, address, &seen, arguments.key.as_deref(), value).await?;
    if value.0.len() > LARGEST {
        bail!("the value has {} bytes, and Secrets Manager takes {LARGEST}; nothing was changed", value.0.len());
    }
    let users = place.users().await?;
    let part = arguments.key.as_ref().map(|key| format!(" of its key {key}")).unwrap_or_default();
    print(&format!("{address} ({}) gets a new value{part}.", seen.secret.name().unwrap_or_default()));
    let using: Vec<&str> = users.iter().filter(|user| user.secrets.contains(&seen.arn)).map(User::name).collect();
    if !using.is_empty() {
        print(&format!("Its next tasks will start with it: {}.", using.join(", ")));
    }
    consent("Set it?", arguments.yes)?;
    let under = Under::way(again);
    let put = put(place, &seen.arn, &value).await;
    place.record(&under, address, put.as_ref().map(String::as_str)).await;
    let version = put?;
    print(&format!("{address} has version {version}."));
    after(place, &seen.arn, &users).await
}

/// The value to write: what was given, or the current one with one key changed.
async fn whole(place: &Place, address: &Address, seen: &Seen, key: Option<&str>, value: Hidden) -> Result<Hidden> {
    let keys: Option<BTreeSet<String>> =
        place.spec(address)?.and_then(|spec| spec.json).map(|json| json.into_keys().collect());
    let Some(key) = key else {
        if let Some(keys) = keys {
            same_keys(address, &keys, &value)?;
        }
        return Ok(value);
    };
    if let Some(keys) = keys.as_ref().filter(|keys| !keys.contains(key)) {
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let near = nearest(key, &names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        bail!("the file gives {address} the keys {}, not {key}{near}; nothing was changed", names.join(", "));
    }
    let mut object = match seen.current() {
        None => Map::new(),
        Some(_) => {
            let request = place.session.aws.secrets().get_secret_value().secret_id(&seen.arn);
            let current = place.session.aws.call("secretsmanager:GetSecretValue", request.send()).await?;
            // What serde says of a text that it cannot read may quote it.
            let object = current.secret_string().and_then(|text| serde_json::from_str(text).ok());
            object.with_context(|| {
                format!("the value of {address} is no JSON object, so that it has no keys; nothing was changed")
            })?
        }
    };
    object.insert(key.to_owned(), Json::String(value.0));
    Ok(Hidden(Json::Object(object).to_string()))
}

fn same_keys(address: &Address, keys: &BTreeSet<String>, value: &Hidden) -> Result<()> {
    let names = keys.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let Ok(object) = serde_json::from_str::<Map<String, Json>>(&value.0) else {
        bail!(
            "the file says that {address} is a JSON object with the keys {names}, and the new value is none; nothing \
             was changed\n  write all of them, or one with --key KEY"
        )
    };
    let given: BTreeSet<String> = object.keys().cloned().collect();
    let list = |keys: Vec<&String>| keys.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let (missing, unknown) = (list(keys.difference(&given).collect()), list(given.difference(keys).collect()));
    if missing.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    let lacks = if missing.is_empty() { String::new() } else { format!("\n  it lacks {missing}") };
    let more = if unknown.is_empty() { String::new() } else { format!("\n  the file does not have {unknown}") };
    bail!("the new value of {address} has not the keys of the file, {names}; nothing was changed{lacks}{more}")
}

/// Makes it current. The answer is the version.
async fn put(place: &Place, arn: &str, value: &Hidden) -> Result<String, Failure> {
    let aws = &place.session.aws;
    // The same token when an answer is lost: the value is put once.
    let request =
        aws.secrets().put_secret_value().secret_id(arn).client_request_token(hex(&rand::random::<[u8; 16]>()));
    match aws.call("secretsmanager:PutSecretValue", request.secret_string(&value.0).send()).await {
        Ok(answer) => Ok(answer.version_id.unwrap_or_default()),
        // A refusal may repeat what it refuses.
        Err(failure) if failure.message.contains(&value.0) => Err(Failure { message: String::new(), ..failure }),
        Err(failure) => Err(failure),
    }
}

/// Who runs the former value, and how they get the new one.
async fn after(place: &Place, arn: &str, users: &[User]) -> Result<()> {
    let Some(version) = users::current(&place.session.aws, arn).await? else { return Ok(()) };
    let behind: Vec<String> = uses(&place.session.aws, &version, users)
        .await?
        .into_iter()
        .filter(|one| one.runs == Runs::Behind)
        .map(|one| one.service)
        .collect();
    if behind.is_empty() {
        print("No service runs with the former value.");
        return Ok(());
    }
    let environment = place.environment();
    print(&format!("These still run with the former value, until new tasks start: {}", behind.join(", ")));
    for user in users.iter().filter(|user| behind.iter().any(|one| one == user.name())) {
        let cluster = user.ecs.cluster_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
        print(&format!(
            "  aws ecs update-service --region {} --cluster {cluster} --service {} --force-new-deployment",
            place.desired.region,
            user.name()
        ));
    }
    let released: BTreeSet<String> =
        users.iter().filter(|user| behind.iter().any(|one| one == user.name())).map(User::of).collect();
    for service in released {
        print(&format!("  or release it once more: infra bluegreen run {environment} {service} --again"));
    }
    if place.in_file(&Address::new("lambda_function", ROLL)) {
        print(&format!("The function `{ROLL}` starts new tasks for secrets that rotate only."));
    }
    print(&format!("Afterwards: infra secrets status {environment}"));
    Ok(())
}
