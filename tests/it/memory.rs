//! A world in memory behind `Driver`. It enforces what AWS does and emulators do not: nothing is made before what it
//! refers to, nothing is deleted while something refers to it, and no two resources share a unique key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use infra::address::{Address, DEPOSED};
use infra::kind::{Blocker, Class, Driver, Drivers, Failure, Health, Id, Info, Live, Making, Progress, Result, Scope};
use infra::kinds;
use infra::plan::Snapshot;
use infra::tags::Tags;
use infra::value::{Fields, Outputs};

/// Kinds whose deletion AWS allows while others still name them.
const LOOSE: &[&str] = &["iam_role", "log_group", "kms_key", "secret", "task_definition"];
/// Kinds that hold nothing of what they name: definitions, and tables of what goes where.
const LOOSE_USERS: &[&str] = &["task_definition", "iam_role", "secret", "log_group"];
/// Pairs in which AWS deletes the second while the first names it.
const LOOSE_PAIRS: &[(&str, &str)] = &[
    ("route_table", "subnet"),
    ("route_table", "nat_gateway"),
    ("route_table", "internet_gateway"),
    ("dns_record", "certificate"),
];

/// Whether these fields name an output of `target`.
pub fn names(fields: &Fields, target: &Live<Fields>) -> bool {
    let named = |text: &str| {
        target
            .outputs
            .values()
            .any(|output| text == output || (output.ends_with('/') && text.starts_with(output.as_str())))
    };
    let mut found = false;
    fields.values().for_each(|value| value.visit_texts(&mut |text| found |= named(text)));
    found
}

/// Whether AWS refuses to delete `target` as long as `user` is as it is.
pub fn holds(user: &Live<Fields>, target: &Live<Fields>) -> bool {
    let (kind, of) = (user.identity.address.kind.as_str(), target.identity.address.kind.as_str());
    let loose = LOOSE.contains(&of) || LOOSE_USERS.contains(&kind) || LOOSE_PAIRS.contains(&(kind, of));
    !loose && [user, target].iter().all(|live| live.health != Health::Tombstone) && names(&user.spec, target)
}

#[derive(Default)]
pub struct World {
    pub live: BTreeMap<Id, Live<Fields>>,
    /// Every call, as `create vpc.main`.
    pub calls: Vec<String>,
    /// What the next calls with this text answer, in turn.
    pub answers: BTreeMap<String, Vec<Failure>>,
    /// What keeps a resource from being deleted, by address.
    pub blockers: BTreeMap<String, Vec<Blocker>>,
    /// How many polls say that a new resource is not ready.
    pub slowness: u32,
    pub waits: BTreeMap<Id, u32>,
    /// Outputs that moved on. What they name is still there, such as an earlier revision.
    pub past: BTreeSet<String>,
    pub made: u32,
}

pub type Shared = Arc<Mutex<World>>;

pub fn drivers(world: &Shared) -> Drivers {
    kinds::ALL
        .iter()
        .map(|info| (info.name, Box::new(InMemory { info, world: Arc::clone(world) }) as Box<dyn Driver>))
        .collect()
}

pub fn snapshot(world: &Shared) -> Snapshot {
    let mut live: Vec<_> = world.lock().unwrap().live.values().cloned().collect();
    live.sort_by(|a, b| (&a.identity, &a.id).cmp(&(&b.identity, &b.id)));
    Snapshot { live, ..Snapshot::default() }
}

struct InMemory {
    info: &'static Info,
    world: Shared,
}

impl World {
    /// A world that holds these.
    pub fn of(live: Vec<Live<Fields>>) -> Self {
        Self { live: live.into_iter().map(|live| (live.id.clone(), live)).collect(), ..Self::default() }
    }

    fn call(&mut self, verb: &str, address: &Address) -> Result<()> {
        let call = format!("{verb} {address}");
        self.calls.push(call.clone());
        match self.answers.get_mut(&call) {
            Some(answers) if !answers.is_empty() => Err(answers.remove(0)),
            _ => Ok(()),
        }
    }

    /// Whether something uses an early output of this one, which it waits for.
    fn proven(&self, info: &Info, live: &Live<Fields>) -> bool {
        let early: Outputs =
            live.outputs.clone().into_iter().filter(|(name, _)| info.early.contains(&name.as_str())).collect();
        let early = Live { outputs: early, ..live.clone() };
        info.early.is_empty() || self.live.values().any(|user| names(&user.spec, &early))
    }

    /// Texts that look like outputs of this world but belong to nothing live.
    fn dangling(&self, fields: &Fields) -> Option<String> {
        let known: BTreeSet<&str> =
            self.live.values().flat_map(|live| live.outputs.values()).map(String::as_str).collect();
        let mut dangling = None;
        fields.values().for_each(|value| {
            value.visit_texts(&mut |text| {
                if text.starts_with("mem/")
                    && !self.past.contains(text)
                    && !known.iter().any(|name| text.starts_with(name))
                {
                    dangling = Some(text.to_owned());
                }
            });
        });
        dangling
    }

    fn check(&self, info: &Info, fields: &Fields, but: &str) -> Result<()> {
        if let Some(text) = self.dangling(fields) {
            return Err(Failure::new("memory", "ReferenceToNothing", format!("{text} in {}", info.name)));
        }
        let clash = |live: &&Live<Fields>| {
            live.id != but
                && live.identity.address.kind == info.name
                && live.health != Health::Tombstone
                && info.clash(fields, &live.spec)
        };
        match self.live.values().find(clash) {
            Some(live) => {
                Err(Failure::new("memory", "AlreadyExists", format!("{} has these values", live.identity.address)))
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Driver for InMemory {
    async fn list(&self, _: &Scope) -> Result<Vec<Live<Fields>>> {
        let world = self.world.lock().unwrap();
        Ok(world.live.values().filter(|live| live.identity.address.kind == self.info.name).cloned().collect())
    }

    async fn create(&self, fields: &Fields, making: &Making) -> Result<Id> {
        let mut world = self.world.lock().unwrap();
        let address = &making.identity.address;
        let answer = world.call("create", address);
        if let Err(failure) = &answer
            && failure.class != Class::Unanswered
            // What is in the way is what an earlier try of the SDK has made.
            && !failure.is_duplicate()
        {
            return Err(failure.clone());
        }
        world.check(self.info, fields, "")?;
        world.made += 1;
        let id = format!("mem/{}/{}", self.info.name, world.made);
        let outputs: Outputs =
            self.info.outputs.iter().map(|name| ((*name).to_owned(), format!("{id}/{name}/"))).collect();
        let spec = (self.info.shell)(fields).expect("a shell");
        let identity = making.identity.clone();
        let (deposed, health, notes) = (false, Health::Ok, Vec::new());
        let slowness = world.slowness;
        world.waits.insert(id.clone(), slowness);
        world.live.insert(id.clone(), Live { identity, id: id.clone(), spec, outputs, deposed, health, notes });
        answer.map(|()| id)
    }

    async fn update(&self, fields: &Fields, live: &Live<Fields>) -> Result<()> {
        let mut world = self.world.lock().unwrap();
        world.call("update", &live.identity.address)?;
        world.check(self.info, fields, &live.id)?;
        let moving = self.info.moving;
        world.made += 1;
        let revision = world.made;
        let world = &mut *world;
        let found = world.live.get_mut(&live.id).ok_or_else(|| missing(&live.id))?;
        found.spec = fields.clone();
        found.health = Health::Ok;
        for name in moving {
            let moved = found.outputs.insert((*name).to_owned(), format!("mem/{}/{revision}/{name}/", self.info.name));
            world.past.extend(moved);
        }
        Ok(())
    }

    async fn blockers(&self, live: &Live<Fields>) -> Result<Vec<Blocker>> {
        let address = live.identity.address.to_string();
        Ok(self.world.lock().unwrap().blockers.get(&address).cloned().unwrap_or_default())
    }

    async fn delete(&self, live: &Live<Fields>) -> Result<()> {
        let mut world = self.world.lock().unwrap();
        if world.blockers.get(&live.identity.address.to_string()).is_some_and(|held| !held.is_empty()) {
            return Err(Failure::new("memory", "DependencyViolation", "it is in use").class(Class::Busy));
        }
        world.call("delete", &live.identity.address)?;
        if !world.live.contains_key(&live.id) {
            return Ok(());
        }
        let users: Vec<String> = world
            .live
            .values()
            .filter(|user| user.id != live.id && holds(user, &world.live[&live.id]))
            .map(|user| user.identity.address.to_string())
            .collect();
        if !users.is_empty() {
            return Err(Failure::new("memory", "DependencyViolation", format!("used by {}", users.join(", "))));
        }
        let outputs = world.live.remove(&live.id).map(|gone| gone.outputs).unwrap_or_default();
        world.past.extend(self.info.moving.iter().filter_map(|name| outputs.get(*name).cloned()));
        Ok(())
    }

    async fn poll(&self, id: &Id) -> Result<Progress> {
        let mut world = self.world.lock().unwrap();
        let unproven = world.live.get(id).is_some_and(|live| !world.proven(self.info, live));
        let waits = world.waits.get_mut(id).filter(|waits| **waits > 0).map(|waits| *waits -= 1);
        if waits.is_some() || unproven {
            let outputs = world.live.get(id).map(|live| live.outputs.clone()).unwrap_or_default();
            let on = "state pending".to_owned();
            return Ok(if self.info.early.is_empty() {
                Progress::Waiting { on }
            } else {
                Progress::Early { outputs, on }
            });
        }
        let Some(live) = world.live.get_mut(id) else { return Ok(Progress::Gone) };
        live.health = Health::Ok;
        Ok(Progress::Ready(live.outputs.clone()))
    }

    async fn tag(&self, live: &Live<Fields>, tags: &Tags, _gone: &[String]) -> Result<()> {
        let mut world = self.world.lock().unwrap();
        world.call("tag", &live.identity.address)?;
        let found = world.live.get_mut(&live.id).ok_or_else(|| missing(&live.id))?;
        found.deposed |= tags.contains_key(DEPOSED);
        Ok(())
    }
}

fn missing(id: &str) -> Failure {
    Failure::new("memory", "NotFound", id).class(Class::NotFound)
}
