//! What a kind of resource is: the trait [`Kind`], written once per kind, and [`Driver`], the same with its type erased.
//!
//! The pure half (names of fields, normal form, limits) is [`Info`]; planning sees nothing else of a kind. The other half
//! talks to AWS and is reached through [`Driver`], which tests replace by a driver in memory.

mod blocker;
mod failure;
mod problem;
mod remark;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::{Address, Identity};
use crate::aws::Aws;
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::{self, Fields, Outputs};

pub use blocker::Blocker;
pub use failure::{Class, Failure};
pub use problem::Problem;
pub use remark::Remark;

/// How AWS names a resource within its kind: an id, an ARN or a name.
pub type Id = String;

/// A resource that exists and carries our tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Live<T> {
    pub identity: Identity,
    pub id: Id,
    pub spec: T,
    pub outputs: Outputs,
    /// Left behind by a create-first replacement, to be deleted.
    pub deposed: bool,
    pub health: Health,
    /// What a reader should know, such as an entry of others within our resource, or a change that waits for its window.
    pub notes: Vec<Remark>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Ok,
    /// On its way to a state in which it can be used.
    Pending,
    /// Broken for good, and why.
    Failed(String),
    /// Gone or going, and only still visible.
    Tombstone,
    /// Scheduled for deletion under our name, and restored rather than created again.
    Restorable,
}

impl<T> Live<T> {
    /// A healthy resource whose tags have been read.
    pub fn new(tagged: crate::tags::Tagged, id: impl Into<Id>, spec: T) -> Self {
        Self {
            identity: tagged.identity,
            id: id.into(),
            spec,
            outputs: Outputs::new(),
            deposed: tagged.deposed,
            health: Health::Ok,
            notes: Vec::new(),
        }
    }

    /// Whether it holds its address: it is neither gone, nor waiting for its deletion, nor left behind by a replacement.
    #[must_use]
    pub fn serves(&self) -> bool {
        !self.deposed && !matches!(self.health, Health::Tombstone | Health::Restorable)
    }

    #[must_use]
    pub fn output(mut self, name: &str, value: impl Into<String>) -> Self {
        self.outputs.insert(name.to_owned(), value.into());
        self
    }
}

/// What one look at a resource in motion says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Ready(Outputs),
    Waiting {
        on: String,
    },
    /// Not ready, but the outputs in [`Kind::EARLY`] are known: what it waits for may need them.
    Early {
        outputs: Outputs,
        on: String,
    },
    Gone,
    Failed {
        why: String,
    },
}

impl Progress {
    pub fn ready<const N: usize>(outputs: [(&str, String); N]) -> Self {
        Self::Ready(outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub fn waiting(on: impl Into<String>) -> Self {
        Self::Waiting { on: on.into() }
    }
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Whose resources are read, and where.
#[derive(Debug)]
pub struct Scope {
    pub project: String,
    pub environment: String,
    pub account: String,
    pub region: String,
    pub partition: String,
    /// The addresses in the file: what an index may not know yet is looked up once by its deterministic name.
    pub wanted: BTreeSet<Address>,
    /// Their names in AWS where the file chooses them (the field `name`, of a key `alias`, of a task definition `family`);
    /// all others are generated.
    pub names: BTreeMap<Address, String>,
    /// Further regions that the file speaks of, in fields named `region`.
    pub regions: BTreeSet<String>,
    /// The zones of Route 53 that the file names by id, in fields named `zone_id`.
    pub zones: BTreeSet<String>,
    /// Whether one of others is looked for, to be adopted: then what has another identity is let through too.
    pub adopting: bool,
    pub memo: crate::aws::Memo,
}

impl Scope {
    /// The identity of `address` here.
    #[must_use]
    pub fn identity(&self, address: &Address) -> Identity {
        Identity { project: self.project.clone(), environment: self.environment.clone(), address: address.clone() }
    }

    /// The identity that tags hold, where it is of this environment and of the kind `kind`.
    #[must_use]
    pub fn ours(&self, kind: &str, tags: &Tags) -> Option<crate::tags::Tagged> {
        crate::tags::decode(tags).filter(|tagged| self.owns(kind, &tagged.identity))
    }

    /// The identity that the tags of a live resource hold, as [`Self::ours`]; while something is being adopted, that of
    /// what is nobody's too.
    #[must_use]
    pub fn tagged(&self, aws: &Aws, kind: &str, tags: &Tags) -> Option<crate::tags::Tagged> {
        aws.tagged(tags).filter(|tagged| self.owns(kind, &tagged.identity))
    }

    /// Whether this is an identity of this environment and of the kind `kind`.
    #[must_use]
    pub fn owns(&self, kind: &str, identity: &Identity) -> bool {
        identity.address.kind == kind && (self.adopting || *identity == self.identity(&identity.address))
    }

    /// The identities in the file of the kind `kind`.
    pub fn wanted(&self, kind: &str) -> impl Iterator<Item = Identity> {
        self.wanted.iter().filter(move |address| address.kind == kind).map(|address| self.identity(address))
    }

    /// The same scope, with nothing remembered.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let Self { project, environment, account, region, partition, wanted, names, regions, zones, adopting, memo: _ } =
            self;
        Self {
            project: project.clone(),
            environment: environment.clone(),
            account: account.clone(),
            region: region.clone(),
            partition: partition.clone(),
            wanted: wanted.clone(),
            names: names.clone(),
            regions: regions.clone(),
            zones: zones.clone(),
            adopting: *adopting,
            memo: crate::aws::Memo::default(),
        }
    }

    /// How generated names start, separator included.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}-{}-", self.project, self.environment)
    }
}

/// What a create needs beside the specification.
#[derive(Clone, Debug)]
pub struct Making {
    pub identity: Identity,
    pub account: String,
    pub region: String,
    pub partition: String,
    /// The same for each try within one run, another in the next run: at most 32 letters and digits.
    pub token: String,
}

/// One kind of resource. Its fields are those of the implementing struct.
pub trait Kind: Clone + Serialize + DeserializeOwned + schemars::JsonSchema + Send + Sync + 'static {
    const NAME: &'static str;
    /// What IAM must allow whoever plans and applies it.
    const RIGHTS: Rights;
    /// Fields that AWS cannot change in place.
    const REPLACED_BY: &'static [&'static str] = &[];
    /// Whether a replacement is made before the old one goes, which needs a name that can differ.
    const CREATE_FIRST: bool = false;
    /// Fields in which what runs own stands beside what they refer to. What replaces that takes it over too.
    const CARRIED: &'static [&'static str] = &[];
    /// Fields whose change restarts what runs.
    const RESTARTED_BY: &'static [&'static str] = &[];
    /// Fields filled after create and emptied before delete, through which references may form a cycle.
    const LATE: &'static [&'static str] = &[];
    /// Fields that, absent from the file, may have any value. All others are then AWS's default, which is written.
    const OPEN: &'static [&'static str] = &[];
    /// Fields whose values no reader of a plan may see.
    const SECRET: &'static [&'static str] = &[];
    /// What others may refer to.
    const OUTPUTS: &'static [&'static str];
    /// Outputs that are known before it is ready, and that what it waits for may need.
    const EARLY: &'static [&'static str] = &[];
    /// Kinds that AWS orders before this one though no field says so. Deletes go the other way round.
    const AFTER: &'static [&'static str] = &[];
    /// Fields that no two live resources may share together: what frees them goes first.
    const UNIQUE: &'static [&'static str] = &[];
    /// Whether AWS refuses to have both at once, beyond a shared `name` and what `UNIQUE` says.
    const CLASH: Option<fn(&Self, &Self) -> bool> = None;
    /// Kinds that keep one of this kind from being deleted as long as they name it.
    const HELD_BY: &'static [&'static str] = &[];
    /// Outputs that an update changes, such as a task definition's revision.
    const MOVING: &'static [&'static str] = &[];
    /// Whether nothing but our tags tells a second one from the first: AWS gives it an id, and no name or range is in the way.
    const NAMELESS: bool = false;
    const HOLDS_DATA: bool = false;
    const DEADLINE: Duration = Duration::from_secs(600);
    /// Minutes that a create usually takes, and a delete.
    const MINUTES: (u16, u16) = (0, 0);

    /// The normal form, in which live and desired are compared: sets sorted, policies canonical.
    fn normalize(&mut self) {}
    /// Takes over from the live resource what releases and autoscaling own at run time, so that no plan changes it.
    fn take_over(&mut self, _live: &Self) {}
    /// What `create` leaves behind, where that is less than the whole. `update` is called for the rest.
    #[must_use]
    fn shell(&self) -> Self {
        self.clone()
    }
    /// Limits that AWS states and that need no AWS to check.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// All of ours, in as few calls as AWS allows.
    fn list(aws: &Aws, scope: &Scope) -> impl Future<Output = Result<Vec<Live<Self>>>> + Send;
    /// The tagged shell, in one request.
    fn create(&self, aws: &Aws, making: &Making) -> impl Future<Output = Result<Id>> + Send;
    /// Brings the live resource to this specification, also right after its creation.
    fn update(&self, aws: &Aws, live: &Live<Self>) -> impl Future<Output = Result<()>> + Send;
    /// Deletes. What is not found is deleted.
    fn delete(aws: &Aws, live: &Live<Self>) -> impl Future<Output = Result<()>> + Send;
    /// Looks once; the executor owns loops.
    fn poll(aws: &Aws, id: &Id) -> impl Future<Output = Result<Progress>> + Send;
    /// What keeps it from being deleted, asked once AWS has refused that.
    fn blockers(_aws: &Aws, _live: &Live<Self>) -> impl Future<Output = Result<Vec<Blocker>>> + Send {
        async { Ok(Vec::new()) }
    }
    /// Writes tags on the live resource, and removes those with the keys `gone`, whether they are there or not.
    fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> impl Future<Output = Result<()>> + Send;
}

/// What planning knows of a kind.
#[derive(Clone, Copy)]
pub struct Info {
    pub name: &'static str,
    pub rights: Rights,
    pub replaced_by: &'static [&'static str],
    pub create_first: bool,
    pub carried: &'static [&'static str],
    pub restarted_by: &'static [&'static str],
    pub late: &'static [&'static str],
    pub open: &'static [&'static str],
    pub secret: &'static [&'static str],
    pub outputs: &'static [&'static str],
    pub early: &'static [&'static str],
    pub after: &'static [&'static str],
    pub unique: &'static [&'static str],
    pub held_by: &'static [&'static str],
    pub moving: &'static [&'static str],
    pub nameless: bool,
    pub holds_data: bool,
    pub deadline: Duration,
    pub minutes: (u16, u16),
    pub normalize: fn(&Fields) -> Result<Fields, serde_json::Error>,
    pub take_over: fn(&Fields, &Fields) -> Result<Fields, serde_json::Error>,
    pub excludes: fn(&Fields, &Fields) -> bool,
    pub shell: fn(&Fields) -> Result<Fields, serde_json::Error>,
    pub check: fn(&Fields) -> Result<Vec<Problem>, serde_json::Error>,
    pub schema: fn() -> schemars::Schema,
    pub driver: fn(Arc<Aws>) -> Box<dyn Driver>,
}

impl Info {
    #[must_use]
    pub const fn of<K: Kind>() -> Self {
        Self {
            name: K::NAME,
            rights: K::RIGHTS,
            replaced_by: K::REPLACED_BY,
            create_first: K::CREATE_FIRST,
            carried: K::CARRIED,
            restarted_by: K::RESTARTED_BY,
            late: K::LATE,
            open: K::OPEN,
            secret: K::SECRET,
            outputs: K::OUTPUTS,
            early: K::EARLY,
            after: K::AFTER,
            unique: K::UNIQUE,
            held_by: K::HELD_BY,
            moving: K::MOVING,
            nameless: K::NAMELESS,
            holds_data: K::HOLDS_DATA,
            deadline: K::DEADLINE,
            minutes: K::MINUTES,
            normalize: |fields| edit::<K>(fields, Kind::normalize),
            take_over: |desired, live| {
                let live: K = value::from_fields(live)?;
                edit::<K>(desired, |spec| {
                    spec.take_over(&live);
                    spec.normalize();
                })
            },
            excludes: |one, other| {
                let Some(clash) = K::CLASH else { return false };
                let specs = value::from_fields::<K>(one).ok().zip(value::from_fields::<K>(other).ok());
                specs.is_some_and(|(one, other)| clash(&one, &other))
            },
            shell: |fields| edit::<K>(fields, |spec| *spec = spec.shell()),
            check: |fields| Ok(value::from_fields::<K>(fields)?.check()),
            schema: || schemars::schema_for!(K),
            driver: |aws| Box::new(OnAws::<K> { aws, kind: PhantomData }),
        }
    }
}

impl Info {
    /// What the fields are when the file does not say.
    #[must_use]
    pub fn defaults(&self) -> Fields {
        let schema = (self.schema)().to_value();
        let fields = schema.get("properties").and_then(|fields| fields.as_object());
        let fields = fields.into_iter().flatten();
        fields.filter_map(|(name, field)| Some((name.clone(), field.get("default")?.clone().into()))).collect()
    }

    /// Whether AWS refuses to have two of this kind with these fields at once.
    #[must_use]
    pub fn clash(&self, one: &Fields, other: &Fields) -> bool {
        let same = |names: &[&str]| {
            !names.is_empty() && names.iter().all(|name| one.contains_key(*name) && one.get(*name) == other.get(*name))
        };
        same(&["name"]) || same(self.unique) || (self.excludes)(one, other)
    }
}

fn edit<K: Kind>(fields: &Fields, change: impl FnOnce(&mut K)) -> Result<Fields, serde_json::Error> {
    let mut spec: K = value::from_fields(fields)?;
    change(&mut spec);
    value::to_fields(&spec)
}

/// The drivers by the kind's name.
pub type Drivers = BTreeMap<&'static str, Box<dyn Driver>>;

/// [`Kind`] with its type erased.
#[async_trait]
pub trait Driver: Send + Sync {
    async fn list(&self, scope: &Scope) -> Result<Vec<Live<Fields>>>;
    async fn create(&self, fields: &Fields, making: &Making) -> Result<Id>;
    async fn update(&self, fields: &Fields, live: &Live<Fields>) -> Result<()>;
    async fn delete(&self, live: &Live<Fields>) -> Result<()>;
    async fn poll(&self, id: &Id) -> Result<Progress>;
    async fn tag(&self, live: &Live<Fields>, set: &Tags, gone: &[String]) -> Result<()>;
    async fn blockers(&self, _live: &Live<Fields>) -> Result<Vec<Blocker>> {
        Ok(Vec::new())
    }
}

struct OnAws<K> {
    aws: Arc<Aws>,
    kind: PhantomData<fn() -> K>,
}

fn typed<K: Kind>(fields: &Fields) -> Result<K> {
    value::from_fields(fields).map_err(|error| Failure::new(K::NAME, "InvalidSpecification", error.to_string()))
}

fn typed_live<K: Kind>(live: &Live<Fields>) -> Result<Live<K>> {
    let Live { identity, id, spec, outputs, deposed, health, notes } = live.clone();
    Ok(Live { identity, id, spec: typed(&spec)?, outputs, deposed, health, notes })
}

#[async_trait]
impl<K: Kind> Driver for OnAws<K> {
    async fn list(&self, scope: &Scope) -> Result<Vec<Live<Fields>>> {
        let erase = |live: Live<K>| {
            let Live { identity, id, mut spec, outputs, deposed, health, notes } = live;
            spec.normalize();
            let spec = value::to_fields(&spec)
                .map_err(|error| Failure::new(K::NAME, "InvalidSpecification", error.to_string()))?;
            Ok(Live { identity, id, spec, outputs, deposed, health, notes })
        };
        K::list(&self.aws, scope).await?.into_iter().map(erase).collect()
    }

    async fn create(&self, fields: &Fields, making: &Making) -> Result<Id> {
        typed::<K>(fields)?.create(&self.aws, making).await
    }

    async fn update(&self, fields: &Fields, live: &Live<Fields>) -> Result<()> {
        typed::<K>(fields)?.update(&self.aws, &typed_live(live)?).await
    }

    async fn delete(&self, live: &Live<Fields>) -> Result<()> {
        let failure = match K::delete(&self.aws, &typed_live(live)?).await {
            Err(failure) if failure.class == Class::NotFound => return Ok(()),
            Err(failure) if failure.class == Class::Fatal => failure,
            other => return other,
        };
        // Services have many words for what an earlier try of the SDK has deleted, whose answer was lost.
        if matches!(self.poll(&live.id).await, Ok(Progress::Gone)) { Ok(()) } else { Err(failure) }
    }

    async fn tag(&self, live: &Live<Fields>, set: &Tags, gone: &[String]) -> Result<()> {
        K::tag(&self.aws, &typed_live(live)?, set, gone).await
    }

    async fn blockers(&self, live: &Live<Fields>) -> Result<Vec<Blocker>> {
        K::blockers(&self.aws, &typed_live(live)?).await
    }

    async fn poll(&self, id: &Id) -> Result<Progress> {
        match K::poll(&self.aws, id).await {
            Err(failure) if failure.class == Class::NotFound => Ok(Progress::Gone),
            other => other,
        }
    }
}
