//! `infra secrets list | status | set | rotate`

mod rotate;
mod set;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use futures::future::try_join_all;
use jiff::tz::TimeZone;

use super::history::{self, Under};
use super::session::{self, Session};
use super::{Ended, Format, Source, print};
use crate::address::Address;
use crate::desired::Desired;
use crate::environment::{Loaded, nearest};
use crate::history::Outcome;
use crate::kind::{Failure, Live};
use crate::kinds::secret;
use crate::report;
use crate::rotation::users::{self, User};
use crate::secrets::{Secret, Seen, Status};
use crate::value::{Fields, from_fields};

#[derive(clap::Subcommand)]
pub enum Command {
    /// List the secrets: names, rotations, dates, whether they have a value. Reads no value
    List(Listing),
    /// Show versions, rotations under way, and which services are behind; exits with 2 where one is behind or stuck
    Status(Asking),
    /// Put a new value, which services get when their next tasks start
    Set(set::Arguments),
    /// Rotate the credentials of a database now
    Rotate(rotate::Arguments),
}

#[derive(clap::Args)]
pub struct Listing {
    /// The environment
    env: String,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Asking {
    /// The environment
    env: String,
    /// One secret: its name in the file, or that of a database whose credentials rotate
    name: Option<String>,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub async fn run(command: &Command) -> Result<Ended> {
    match command {
        Command::List(listing) => list(listing).await,
        Command::Status(asking) => status(asking).await,
        Command::Set(arguments) => set::run(arguments).await,
        Command::Rotate(arguments) => rotate::run(arguments).await,
    }
}

/// An environment, looked at for its secrets.
struct Place {
    session: Session,
    desired: Desired,
    /// The secrets of databases whose credentials rotate, by the database's name.
    databases: BTreeMap<String, Address>,
    live: BTreeMap<Address, Live<Fields>>,
}

impl Place {
    async fn look(loaded: &Loaded, (session, desired): (Session, Desired)) -> Result<Self> {
        let rotating = loaded.file.databases.iter().filter(|(_, database)| database.rotation.is_some());
        let databases = rotating.map(|(name, _)| (name.clone(), address(&crate::rotation::secret_of(name)))).collect();
        let live = all(&session, &desired, "secret").await?;
        let live = live.into_iter().map(|live| (live.identity.address.clone(), live)).collect();
        Ok(Self { session, desired, databases, live })
    }

    fn environment(&self) -> &str {
        &self.desired.environment
    }

    fn in_file(&self, address: &Address) -> bool {
        self.desired.resources.contains_key(address)
    }

    /// All secrets, of the file and of AWS.
    fn addresses(&self) -> BTreeSet<Address> {
        let file = self.desired.resources.keys().filter(|address| address.kind == "secret");
        file.chain(self.live.keys()).cloned().collect()
    }

    /// What a name means: a secret's, an address, or a database's.
    fn find(&self, name: &str) -> Result<Address> {
        let all = self.addresses();
        let wanted = address(name.strip_prefix("secret.").unwrap_or(name));
        if all.contains(&wanted) {
            return Ok(wanted);
        }
        if let Some(of_database) = self.databases.get(name) {
            return Ok(of_database.clone());
        }
        let names: Vec<&str> =
            all.iter().map(|one| one.name.as_str()).chain(self.databases.keys().map(String::as_str)).collect();
        if names.is_empty() {
            bail!("{} has no secrets", self.environment());
        }
        let near = nearest(name, &names);
        let listed: Vec<&str> =
            near.into_iter().chain(names.iter().copied().filter(|one| Some(*one) != near)).collect();
        bail!("{} has no secret {name}; there are {}", self.environment(), listed.join(", "))
    }

    /// What AWS has of a secret that is there.
    async fn seen(&self, address: &Address) -> Result<Seen> {
        let Some(live) = self.live.get(address) else {
            bail!("{address} is not in AWS yet: make it first with infra apply {}", self.environment())
        };
        Ok(Seen::look(&self.session.aws, &live.id).await?)
    }

    /// Whether the function that rotates it is ours, so that its log holds no secrets.
    fn is_ours(&self, address: &Address) -> bool {
        self.databases.values().any(|one| one == address)
    }

    /// The services of the environment's clusters.
    async fn users(&self) -> Result<Vec<User>> {
        let mut found = Vec::new();
        for cluster in all(&self.session, &self.desired, "ecs_cluster").await? {
            found.extend(users::users(&self.session.aws, &cluster.id).await?);
        }
        Ok(found)
    }

    /// Leaves a record of what became of a new version.
    async fn record(&self, under: &Under, address: &Address, put: Result<&str, &Failure>) {
        let record = match put {
            Ok(version) => history::Record {
                versions: [(address.to_string(), version.to_owned())].into(),
                ..under.ends(Outcome::Done, None)
            },
            Err(failure) => under.ends(Outcome::Failed, Some(format!("{address}: {}", history::cause(failure)))),
        };
        history::record(&self.session.aws, (&self.desired.project, &self.desired.environment), &record).await;
    }

    async fn status(&self, address: &Address, all: &[User]) -> Result<Status> {
        if !self.live.contains_key(address) {
            let secret = self.missing(address)?;
            return Ok(Status {
                secret,
                current: None,
                previous: None,
                rotation: None,
                rolled: None,
                services: Vec::new(),
            });
        }
        let (seen, ours) = (self.seen(address).await?, self.is_ours(address));
        Ok(seen.status(&self.session.aws, (address.clone(), self.in_file(address)), all, ours).await?)
    }

    async fn listed(&self, address: &Address) -> Result<Secret> {
        if !self.live.contains_key(address) {
            return self.missing(address);
        }
        Ok(self.seen(address).await?.listed(address.clone(), self.in_file(address)))
    }

    /// One that only the file has.
    fn missing(&self, address: &Address) -> Result<Secret> {
        let spec = self.spec(address)?;
        Ok(Secret {
            address: address.clone(),
            name: None,
            in_file: true,
            description: spec.as_ref().map(|spec| spec.description.clone()).unwrap_or_default(),
            rotates_every_days: spec.and_then(|spec| spec.rotation).map(|rotation| rotation.days.into()),
            has_value: false,
            changed: None,
            rotated: None,
            next_rotation: None,
        })
    }

    /// What the file says.
    fn spec(&self, address: &Address) -> Result<Option<secret::Secret>> {
        let resource = self.desired.resources.get(address);
        Ok(resource.map(|resource| from_fields(&resource.fields)).transpose()?)
    }
}

fn address(name: &str) -> Address {
    Address::new("secret", name)
}

/// All of a kind that serve.
async fn all(session: &Session, desired: &Desired, kind: &str) -> Result<Vec<Live<Fields>>> {
    let Some(driver) = session.drivers.get(kind) else { bail!("there is no kind {kind}") };
    let found =
        driver.list(&session.scope(desired)).await.map_err(|failure: Failure| session::unread(vec![failure]))?;
    Ok(found.into_iter().filter(Live::serves).collect())
}

async fn list(listing: &Listing) -> Result<Ended> {
    let loaded = session::load(&listing.source, &listing.env)?;
    let place = Place::look(&loaded, Session::look(&loaded).await?).await?;
    let addresses = place.addresses();
    let secrets: Vec<Secret> = try_join_all(addresses.iter().map(|address| place.listed(address))).await?;
    match listing.format {
        Format::Text => print(&report::secrets_text(place.environment(), &secrets, &TimeZone::system())),
        Format::Json => print(&serde_json::to_string_pretty(&report::secrets_json(place.environment(), &secrets))?),
    }
    Ok(Ended::Well)
}

async fn status(asking: &Asking) -> Result<Ended> {
    let loaded = session::load(&asking.source, &asking.env)?;
    let place = Place::look(&loaded, Session::look(&loaded).await?).await?;
    let addresses = match &asking.name {
        Some(name) => [place.find(name)?].into(),
        None => place.addresses(),
    };
    let users = place.users().await?;
    let all: Vec<Status> = try_join_all(addresses.iter().map(|address| place.status(address, &users))).await?;
    match asking.format {
        Format::Text => print(&report::secrets_status_text(place.environment(), &all, &TimeZone::system())),
        Format::Json => print(&serde_json::to_string_pretty(&report::secrets_status_json(place.environment(), &all))?),
    }
    Ok(if all.iter().all(Status::is_well) { Ended::Well } else { Ended::Changes })
}
