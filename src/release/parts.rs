//! Where the parts of a service are in AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};

use super::family::Family;
use crate::address::Address;
use crate::aws::Aws;
use crate::bluegreen::{Both, Colour};
use crate::desired::Desired;
use crate::environment::Loaded;
use crate::environment::nearest;
use crate::environment::releases::Strategy;
use crate::environment::services::Service;
use crate::kind::{Live, Scope};
use crate::kinds;
use crate::kinds::composite_alarm::CompositeAlarm;
use crate::kinds::ecs_service::EcsService;
use crate::kinds::listener::Listener;
use crate::kinds::listener_rule::ListenerRule;
use crate::kinds::metric_alarm::MetricAlarm;
use crate::kinds::schedule_group::{Schedule, ScheduleGroup};
use crate::live;
use crate::value::{Arg, Fields, Outputs, from_fields};

/// The kinds that a release reads, beside those that its task definitions refer to.
const KINDS: [&str; 10] = [
    "ecs_service",
    "listener",
    "listener_rule",
    "load_balancer",
    "metric_alarm",
    "scalable_target",
    "schedule_group",
    "security_group",
    "target_group",
    "task_definition",
];

/// What is live of an environment, as far as releases need it.
pub struct World {
    pub aws: Arc<Aws>,
    pub scope: Scope,
    pub desired: Desired,
    live: BTreeMap<Address, Live<Fields>>,
}

/// A service and what surrounds it.
pub struct Parts {
    pub service: String,
    /// The cluster's ARN.
    pub cluster: String,
    pub task: Family,
    /// The job that runs before new tasks start, and where.
    pub before: Option<(Job, EcsService)>,
    /// Everything else that runs the service's image.
    pub jobs: Vec<Job>,
    pub alarms: Alarms,
    /// Its schedules that wait for a first release, as that leaves them: the group, the name, the schedule.
    pub schedules: Vec<(String, String, Schedule)>,
    pub way: Way,
}

/// How a new version takes over.
pub enum Way {
    Colours(Box<Colours>),
    Rolling(Rolling),
    Native(Box<Native>),
}

/// What a release that replaces tasks changes.
pub struct Rolling {
    /// The ECS service's ARN.
    pub ecs: String,
    /// The resource id of its scaler.
    pub scaler: Option<String>,
}

/// What ECS releases itself.
pub struct Native {
    /// The ECS service's ARN.
    pub ecs: String,
    pub live: EcsService,
    /// The resource id of its scaler.
    pub scaler: Option<String>,
    pub door: Door,
}

/// What a release between two colours moves.
pub struct Colours {
    pub ecs: Both<String>,
    pub groups: Both<Group>,
    pub scalers: Both<Option<String>>,
    /// ARNs of the rule of production and of the test rule.
    pub rule: String,
    pub test: String,
    pub door: Door,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub arn: String,
    /// As CloudWatch knows it.
    pub dimension: String,
}

/// Where the test rule is reached.
pub struct Door {
    pub secure: bool,
    pub dns: String,
    pub port: u16,
    pub header: String,
    /// The load balancer as CloudWatch knows it.
    pub dimension: String,
}

/// A job.
pub struct Job {
    pub name: String,
    pub task: Family,
}

/// The alarms that concern a release.
#[derive(Default)]
pub struct Alarms {
    /// Those that take it back, by name in AWS, as the policy calls them.
    pub watched: BTreeMap<String, String>,
    /// Those that wait for a first release.
    pub waiting: Vec<String>,
}

impl Parts {
    /// Whether the service has a second set of tasks.
    #[must_use]
    pub fn has_second(&self) -> bool {
        !matches!(self.way, Way::Rolling(_))
    }
}

impl World {
    /// Reads what releases need.
    pub async fn read(aws: &Arc<Aws>, scope: Scope, desired: Desired) -> Result<Self> {
        let tasks = desired.resources.values().filter(|resource| resource.address.kind == "task_definition");
        let named = tasks.flat_map(|task| task.fields.values().flat_map(|value| value.references()));
        let mut wanted: BTreeSet<&str> = named.map(|output| output.of.kind.as_str()).collect();
        wanted.extend(KINDS);
        let here: BTreeSet<&str> = desired.resources.keys().map(|address| address.kind.as_str()).collect();
        let mut drivers = kinds::drivers(aws);
        drivers.retain(|kind, _| wanted.contains(kind) && here.contains(kind));
        let snapshot = live::snapshot(&scope, &drivers).await.map_err(|failures| {
            let lines: BTreeSet<String> = failures.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("AWS could not be read:\n  {}", lines.into_iter().collect::<Vec<_>>().join("\n  "))
        })?;
        let serving = snapshot.live.into_iter().filter(|live| !live.deposed);
        let live = serving.map(|live| (live.identity.address.clone(), live)).collect();
        Ok(Self { aws: Arc::clone(aws), scope, desired, live })
    }

    pub fn live(&self, kind: &str, name: &str) -> Result<&Live<Fields>> {
        let address = Address::new(kind, name);
        let missing = || format!("{address} is not in AWS yet: run `infra apply {}` first", self.desired.environment);
        self.live.get(&address).with_context(missing)
    }

    pub fn outputs(&self, address: &Address) -> Option<&Outputs> {
        self.live.get(address).map(|live| &live.outputs)
    }

    fn output(&self, kind: &str, name: &str, output: &str) -> Result<String> {
        let value = self.live(kind, name)?.outputs.get(output).cloned();
        value.with_context(|| format!("{kind}.{name} has no {output} yet"))
    }

    fn spec<T: serde::de::DeserializeOwned>(&self, kind: &str, name: &str) -> Result<T> {
        Ok(from_fields(&self.live(kind, name)?.spec)?)
    }

    /// The parts of one service.
    pub fn parts(&self, loaded: &Loaded, name: &str) -> Result<Parts> {
        let service = service(loaded, name)?;
        let scaler = || self.live.get(&Address::new("scalable_target", name)).map(|live| live.id.clone());
        let ecs = || self.output("ecs_service", name, "arn");
        let way = match service.strategy() {
            Strategy::Rolling => Way::Rolling(Rolling { ecs: ecs()?, scaler: scaler() }),
            Strategy::BlueGreen => Way::Colours(Box::new(self.colours(loaded, service, name)?)),
            Strategy::Native => {
                let (live, door) = (self.spec("ecs_service", name)?, self.door(loaded, service, name)?);
                Way::Native(Box::new(Native { ecs: ecs()?, live, scaler: scaler(), door }))
            }
        };
        let mut jobs = Vec::new();
        for (job, section) in &loaded.file.jobs {
            if section.service.as_deref() == Some(name) {
                jobs.push(Job { name: job.clone(), task: self.family(&format!("job-{job}"))? });
            }
        }
        let first = self.desired.resources.keys().find(|address| address.kind == "ecs_service" && owns(address, name));
        let first = first.with_context(|| format!("{name} has no tasks that could be released"))?;
        let network: EcsService = self.spec("ecs_service", &first.name)?;
        let before = service.release.before.as_ref().map(|job| self.before(loaded, job, &network)).transpose()?;
        Ok(Parts {
            service: name.to_owned(),
            cluster: network.cluster_arn.get()?.clone(),
            task: self.family(name)?,
            before,
            schedules: self.schedules(&jobs)?,
            jobs,
            alarms: self.alarms(service, name)?,
            way,
        })
    }

    /// The job that runs first: in the network of its service, or in its own.
    fn before(&self, loaded: &Loaded, name: &str, network: &EcsService) -> Result<(Job, EcsService)> {
        let job = Job { name: name.to_owned(), task: self.family(&format!("job-{name}"))? };
        let mut network = network.clone();
        if loaded.file.jobs.get(name).is_some_and(|section| section.image.is_some()) {
            network.security_groups = vec![self.output("security_group", &format!("job-{name}"), "id")?.into()];
        }
        Ok((job, network))
    }

    fn colours(&self, loaded: &Loaded, service: &Service, name: &str) -> Result<Colours> {
        let each = |kind: &str, output: &str| {
            let of = |colour: Colour| self.output(kind, &format!("{name}-{}", colour.name()), output);
            Ok::<_, anyhow::Error>(Both { blue: of(Colour::Blue)?, green: of(Colour::Green)? })
        };
        let (arns, dimensions) = (each("target_group", "arn")?, each("target_group", "dimension")?);
        let scaler = |colour: Colour| {
            let address = Address::new("scalable_target", format!("{name}-{}", colour.name()));
            self.live.get(&address).map(|live| live.id.clone())
        };
        Ok(Colours {
            ecs: each("ecs_service", "arn")?,
            groups: Both {
                blue: Group { arn: arns.blue, dimension: dimensions.blue },
                green: Group { arn: arns.green, dimension: dimensions.green },
            },
            scalers: Both { blue: scaler(Colour::Blue), green: scaler(Colour::Green) },
            rule: self.live("listener_rule", name)?.id.clone(),
            test: self.live("listener_rule", &format!("{name}-test"))?.id.clone(),
            door: self.door(loaded, service, name)?,
        })
    }

    /// The way to the test rule of a service.
    fn door(&self, loaded: &Loaded, service: &Service, name: &str) -> Result<Door> {
        let rule: ListenerRule = self.spec("listener_rule", name)?;
        let listener = rule.listener_arn.get()?;
        let is_it = |live: &&Live<Fields>| live.identity.address.kind == "listener" && live.id == *listener;
        let listener = self.live.values().find(is_it).context("the listener of the rule is not in AWS")?;
        let listener: Listener = from_fields(&listener.spec)?;
        let balancer = service.route.as_ref().and_then(|route| route.load_balancer.clone());
        let balancer = balancer.or_else(|| loaded.file.load_balancers.keys().next().cloned());
        let balancer = balancer.context("there is no load balancer")?;
        Ok(Door {
            secure: listener.is_secure(),
            dns: self.output("load_balancer", &balancer, "dns_name")?,
            port: listener.port,
            header: loaded.file.load_balancers[&balancer].test_header.clone(),
            dimension: self.output("load_balancer", &balancer, "dimension")?,
        })
    }

    /// The family of task definitions at this name, with what the file wants of it.
    pub fn family(&self, name: &str) -> Result<Family> {
        let address = Address::new("task_definition", name);
        let wanted =
            &self.desired.resources.get(&address).with_context(|| format!("the file has no {address}"))?.fields;
        let latest = self.live("task_definition", name)?;
        let known = |output: &crate::value::Output| self.outputs(&output.of)?.get(&output.name).cloned();
        let fields = crate::value::resolve(wanted, &known);
        if let Some(missing) = fields.values().flat_map(|value| value.references()).next() {
            bail!("{missing} is not known in AWS yet: run `infra apply {}` first", self.desired.environment);
        }
        Ok(Family {
            spec: from_fields(&fields)?,
            latest: from_fields(&latest.spec)?,
            arn: latest.outputs.get("arn").cloned().unwrap_or_default(),
            identity: latest.identity.clone(),
            name: latest.id.clone(),
            registered: Mutex::default(),
        })
    }

    fn alarms(&self, service: &Service, name: &str) -> Result<Alarms> {
        let mut alarms = Alarms::default();
        let own = |address: &&Address| address.kind == "metric_alarm" && address.name == format!("{name}-down");
        for address in self.live.keys().filter(own) {
            let spec: MetricAlarm = self.spec("metric_alarm", &address.name)?;
            if !spec.actions_enabled {
                alarms.waiting.push(self.output("metric_alarm", &address.name, "name")?);
            }
        }
        for word in &service.release.rollback.alarms {
            let mut of = vec![word.clone()];
            if let ("critical", Some(all)) =
                (word.as_str(), self.desired.resources.get(&Address::new("composite_alarm", "critical")))
            {
                let all: CompositeAlarm = from_fields(&all.fields)?;
                let named = |arg: &Arg<String>| match arg {
                    Arg::Reference(template) => template.references().next().map(|output| output.of.name.clone()),
                    Arg::Known(_) => None,
                };
                of = all.any_of.iter().filter_map(named).collect();
            }
            for alarm in of {
                // One whose actions wait for a first release is in alarm and says nothing.
                let spec: MetricAlarm = self.spec("metric_alarm", &alarm)?;
                if spec.actions_enabled {
                    alarms.watched.insert(self.output("metric_alarm", &alarm, "name")?, word.clone());
                }
            }
        }
        Ok(alarms)
    }

    fn schedules(&self, jobs: &[Job]) -> Result<Vec<(String, String, Schedule)>> {
        let Ok(group) = self.live("schedule_group", "main") else { return Ok(Vec::new()) };
        let spec: ScheduleGroup = from_fields(&group.spec)?;
        let wanted = self.desired.resources.get(&group.identity.address);
        let wanted = wanted.map(|wanted| from_fields::<ScheduleGroup>(&wanted.fields)).transpose()?;
        let released = |name: &String| {
            let schedule = wanted.as_ref().and_then(|wanted| wanted.schedules.get(name));
            schedule.is_some_and(|schedule| schedule.owner == kinds::task_definition::Owner::Release)
        };
        let waiting = spec.schedules.iter().filter(|(name, schedule)| !schedule.enabled && released(name));
        let own = waiting.filter(|(name, _)| jobs.iter().any(|job| job.name == **name));
        let awake = |schedule: &Schedule| Schedule { enabled: true, ..schedule.clone() };
        Ok(own.map(|(name, schedule)| (group.id.clone(), name.clone(), awake(schedule))).collect())
    }
}

/// A service of the file.
pub fn service<'a>(loaded: &'a Loaded, name: &str) -> Result<&'a Service> {
    loaded.file.services.get(name).with_context(|| {
        let names: Vec<&str> = loaded.file.services.keys().map(String::as_str).collect();
        let hint = nearest(name, &names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("{} has no service {name}{hint} (there are: {})", loaded.name, names.join(", "))
    })
}

fn owns(address: &Address, service: &str) -> bool {
    address.name == service || Colour::ALL.iter().any(|colour| address.name == format!("{service}-{}", colour.name()))
}
