//! A container of a task definition, and how ECS writes it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_ecs::types::{
    ContainerCondition, ContainerDefinition, ContainerDependency, HealthCheck as SdkHealth, KeyValuePair,
    LinuxParameters, LogConfiguration, LogDriver, MountPoint, PortMapping, Secret, TransportProtocol,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{Failure, Result};
use crate::value::{Arg, Part};

/// One container of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    pub name: String,
    /// The image, with a tag or a digest, or without where releases choose it.
    pub image: Arg<String>,
    /// Whether the whole task stops when this container does.
    #[serde(default = "yes")]
    pub essential: bool,
    /// CPU units that are kept for this container, out of the task's.
    #[serde(default)]
    pub cpu: u32,
    /// MiB beyond which the container is killed. Absent, the task's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Arg<String>>,
    /// Plain values, which everyone who may read the task definition sees.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Arg<String>>,
    /// Variables by name, each with the ARN of a secret or a parameter whose value it gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Arg<String>>,
    /// TCP ports on which the container listens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Names of ports, by which Service Connect finds them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub port_names: BTreeMap<String, u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Seconds between the signal to stop and the kill. Absent, 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Whether the root file system is read-only, so that only mounted volumes can be written.
    #[serde(default)]
    pub readonly_root: bool,
    /// Whether an init process reaps what others leave behind. Sessions through `ecs execute-command` want it.
    #[serde(default)]
    pub init_process: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Containers that come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
}

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The name of the log group.
    pub group: Arg<String>,
    pub region: String,
    /// The first part of the names of log streams.
    pub prefix: String,
}

/// How the container itself tells whether it is healthy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// `CMD-SHELL` and a command line, or `CMD` and its parts.
    pub command: Vec<String>,
    /// Seconds between two checks.
    #[serde(default = "interval")]
    pub interval: u16,
    /// Seconds after which a check has failed.
    #[serde(default = "timeout")]
    pub timeout: u16,
    #[serde(default = "retries")]
    pub retries: u16,
    /// Seconds after the start in which failures do not count.
    #[serde(default)]
    pub start_period: u16,
}

/// A volume of the task, in a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub path: String,
    pub volume: String,
    #[serde(default)]
    pub readonly: bool,
}

/// A container that comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    pub container: String,
    pub condition: Condition,
}

/// What a container waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Condition {
    Start,
    Complete,
    Success,
    Healthy,
}

fn yes() -> bool {
    true
}

fn interval() -> u16 {
    30
}

fn timeout() -> u16 {
    5
}

fn retries() -> u16 {
    3
}

impl Container {
    /// The container that has a name and an image, and AWS's defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, image: Arg<String>) -> Self {
        Self {
            name: name.into(),
            image,
            essential: true,
            cpu: 0,
            memory: None,
            entrypoint: Vec::new(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ports: Vec::new(),
            port_names: BTreeMap::new(),
            log: None,
            health: None,
            stop_timeout: None,
            user: None,
            working_directory: None,
            readonly_root: false,
            init_process: false,
            mounts: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    pub(super) fn normalize(&mut self) {
        self.ports.sort_unstable();
        self.ports.dedup();
        self.mounts.sort();
        self.depends_on.sort();
    }

    /// Whether releases choose the image: it has neither a tag nor a digest.
    #[must_use]
    pub fn untagged(&self) -> bool {
        let tail = match &self.image {
            Arg::Known(image) => image.as_str(),
            // A repository's address comes from an output, and a tag is text behind it.
            Arg::Reference(template) => match template.0.last() {
                Some(Part::Text(text)) => text.as_str(),
                _ => "",
            },
        };
        !tail.rsplit('/').next().unwrap_or_default().contains([':', '@'])
    }

    pub(super) fn definition(&self) -> Result<ContainerDefinition> {
        let words = self.command.iter().map(|word| Ok(word.get()?.clone())).collect::<Result<Vec<_>>>()?;
        let definition = ContainerDefinition::builder()
            .name(&self.name)
            .image(self.image.get()?)
            .essential(self.essential)
            .cpu(number(self.cpu))
            .set_memory(self.memory.map(number))
            .set_entry_point(filled(self.entrypoint.clone()))
            .set_command(filled(words))
            .set_environment(filled(pairs(&self.environment, |name, value| {
                KeyValuePair::builder().name(name).value(value).build()
            })?))
            .set_port_mappings(filled(self.ports.iter().map(|port| self.mapping(*port)).collect()));
        let mut secrets = Vec::new();
        for (name, value) in &self.secrets {
            secrets.push(Secret::builder().name(name).value_from(value.get()?).build().map_err(incomplete)?);
        }
        let definition = definition
            .set_secrets(filled(secrets))
            .set_log_configuration(self.log.as_ref().map(Log::configuration).transpose()?)
            .set_health_check(self.health.as_ref().map(HealthCheck::check).transpose()?)
            .set_stop_timeout(self.stop_timeout.map(i32::from))
            .set_user(self.user.clone())
            .set_working_directory(self.working_directory.clone())
            .set_readonly_root_filesystem(self.readonly_root.then_some(true));
        let init = || LinuxParameters::builder().init_process_enabled(true).build();
        let mounts = self.mounts.iter().map(|mount| {
            let point = MountPoint::builder().source_volume(&mount.volume).container_path(&mount.path);
            point.read_only(mount.readonly).build()
        });
        let mut dependencies = Vec::new();
        for dependency in &self.depends_on {
            let first = ContainerDependency::builder().container_name(&dependency.container);
            dependencies.push(first.condition(dependency.condition.sdk()).build().map_err(incomplete)?);
        }
        let definition = definition.set_linux_parameters(self.init_process.then(init));
        Ok(definition.set_mount_points(filled(mounts.collect())).set_depends_on(filled(dependencies)).build())
    }

    fn mapping(&self, port: u16) -> PortMapping {
        let name = self.port_names.iter().find(|(_, named)| **named == port).map(|(name, _)| name.clone());
        // In the network mode of Fargate both ports are the same.
        let mapping = PortMapping::builder().container_port(port.into()).host_port(port.into());
        mapping.protocol(TransportProtocol::Tcp).set_name(name).build()
    }

    pub(super) fn read(found: &ContainerDefinition) -> Self {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let owned = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
        let variable =
            |pair: &KeyValuePair| Some((pair.name()?.to_owned(), Arg::from(pair.value().unwrap_or_default())));
        let mounts = found.mount_points().iter().map(|mount| Mount {
            path: text(mount.container_path()),
            volume: text(mount.source_volume()),
            readonly: mount.read_only().unwrap_or_default(),
        });
        let dependencies = found.depends_on().iter().map(|dependency| Dependency {
            container: dependency.container_name().to_owned(),
            condition: Condition::of(dependency.condition()),
        });
        let port = |mapping: &PortMapping| u16::try_from(mapping.container_port()?).ok();
        let named = |mapping: &PortMapping| Some((owned(mapping.name())?, port(mapping)?));
        let linux = found.linux_parameters();
        Self {
            name: text(found.name()),
            image: text(found.image()).into(),
            essential: found.essential().unwrap_or(true),
            cpu: u32::try_from(found.cpu()).unwrap_or_default(),
            memory: found.memory().and_then(|memory| u32::try_from(memory).ok()),
            entrypoint: found.entry_point().to_vec(),
            command: found.command().iter().map(|word| Arg::from(word.as_str())).collect(),
            environment: found.environment().iter().filter_map(variable).collect(),
            secrets: found.secrets().iter().map(|s| (s.name().to_owned(), s.value_from().into())).collect(),
            ports: found.port_mappings().iter().filter_map(port).collect(),
            port_names: found.port_mappings().iter().filter_map(named).collect(),
            log: found.log_configuration().and_then(Log::of),
            health: found.health_check().map(HealthCheck::of),
            stop_timeout: small(found.stop_timeout()),
            user: owned(found.user()),
            working_directory: owned(found.working_directory()),
            readonly_root: found.readonly_root_filesystem().unwrap_or_default(),
            init_process: linux.and_then(|linux| linux.init_process_enabled()).unwrap_or_default(),
            mounts: mounts.collect(),
            depends_on: dependencies.collect(),
        }
    }
}

impl Log {
    fn configuration(&self) -> Result<LogConfiguration> {
        let options = HashMap::from([
            ("awslogs-group".to_owned(), self.group.get()?.clone()),
            ("awslogs-region".to_owned(), self.region.clone()),
            ("awslogs-stream-prefix".to_owned(), self.prefix.clone()),
        ]);
        let log = LogConfiguration::builder().log_driver(LogDriver::Awslogs).set_options(Some(options));
        log.build().map_err(incomplete)
    }

    fn of(found: &LogConfiguration) -> Option<Self> {
        let option = |name: &str| found.options()?.get(name).cloned();
        Some(Self {
            group: option("awslogs-group")?.into(),
            region: option("awslogs-region").unwrap_or_default(),
            prefix: option("awslogs-stream-prefix").unwrap_or_default(),
        })
    }
}

impl HealthCheck {
    fn check(&self) -> Result<SdkHealth> {
        let check = SdkHealth::builder()
            .set_command(Some(self.command.clone()))
            .interval(self.interval.into())
            .timeout(self.timeout.into())
            .retries(self.retries.into())
            .set_start_period((self.start_period > 0).then_some(self.start_period.into()));
        check.build().map_err(incomplete)
    }

    fn of(found: &SdkHealth) -> Self {
        Self {
            command: found.command().to_vec(),
            interval: small(found.interval()).unwrap_or_else(interval),
            timeout: small(found.timeout()).unwrap_or_else(timeout),
            retries: small(found.retries()).unwrap_or_else(retries),
            start_period: small(found.start_period()).unwrap_or_default(),
        }
    }
}

impl Condition {
    fn sdk(self) -> ContainerCondition {
        match self {
            Self::Start => ContainerCondition::Start,
            Self::Complete => ContainerCondition::Complete,
            Self::Success => ContainerCondition::Success,
            Self::Healthy => ContainerCondition::Healthy,
        }
    }

    fn of(found: &ContainerCondition) -> Self {
        match found {
            ContainerCondition::Complete => Self::Complete,
            ContainerCondition::Success => Self::Success,
            ContainerCondition::Healthy => Self::Healthy,
            _ => Self::Start,
        }
    }
}

fn pairs<T>(map: &BTreeMap<String, Arg<String>>, make: impl Fn(&str, &str) -> T) -> Result<Vec<T>> {
    map.iter().map(|(name, value)| Ok(make(name, value.get()?))).collect()
}

/// A list that says something. ECS keeps an empty one apart from none.
fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn small(value: Option<i32>) -> Option<u16> {
    value.and_then(|value| u16::try_from(value).ok())
}

fn incomplete(error: impl std::fmt::Display) -> Failure {
    Failure::new("ecs:RegisterTaskDefinition", "InvalidRequest", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::value::{Output, Template};

    #[test]
    fn an_image_without_a_tag_belongs_to_releases() {
        let of = |image: Arg<String>| Container::new("app", image).untagged();
        assert!(of("123.dkr.ecr.us-east-1.amazonaws.com/acme/api".into()));
        assert!(of("localhost:5000/api".into()));
        assert!(!of("nginx:1.27".into()));
        assert!(!of("api@sha256:00".into()));
        let output = Output { of: Address::new("registry", "api"), name: "url".into() };
        assert!(of(Arg::output(&output.of, "url")));
        let tagged = Template(vec![Part::Output(output), Part::Text(":v1".into())]);
        assert!(!of(Arg::Reference(tagged)));
    }

    #[test]
    fn what_is_registered_is_what_is_read() {
        let mut container = Container::new("app", "api:1".into());
        container.environment.insert("PORT".into(), "3000".into());
        container.secrets.insert("KEY".into(), "arn:aws:secretsmanager:us-east-1:1:secret:key".into());
        container.ports = vec![3000, 9000];
        container.port_names.insert("http".into(), 3000);
        container.command = vec!["serve".into()];
        container.log = Some(Log { group: "/ecs/api".into(), region: "us-east-1".into(), prefix: "app".into() });
        let command = vec!["CMD-SHELL".into(), "true".into()];
        container.health = Some(HealthCheck { command, interval: 10, timeout: 5, retries: 3, start_period: 20 });
        container.mounts = vec![Mount { path: "/tmp".into(), volume: "tmp".into(), readonly: false }];
        container.depends_on = vec![Dependency { container: "init".into(), condition: Condition::Success }];
        container.init_process = true;
        container.readonly_root = true;
        assert_eq!(Container::read(&container.definition().unwrap()), container);
    }
}
