//! `jobs`: containers that run once and end.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::secret_rules;
use super::service_rules::check_size;
use super::services::{Architecture, Health, Service, Statement, variable_names};
use super::types::{Duration, Text};
use crate::diagnostic::Diagnostic;

/// A container that runs once and ends: on a schedule, or when it is called for, such as before a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The service whose image, variables, secrets, rights and firewall it has: `api`. Its image is the one that was
    /// last released. Instead of `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The image, of a job that has all of its own. Without a tag, releases decide which one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"${registries.report.url}:1.4")]
    pub image: Option<Text>,
    /// The arguments, in place of the image's own: `[npm, run, migrate]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<Text>>,
    /// The program, in place of the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<Text>>,
    /// When it runs: `cron(0 3 * * ? *)` (minute, hour, day, month, weekday, year), `rate(1 hour)`, or once
    /// `at(2030-01-01T00:00:00)`. Default: only when it is called for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(cron\(\S+( \S+){5}\)|rate\([1-9][0-9]* (minute|hour|day)s?\)|at\([0-9-]{10}T[0-9:]{8}\))$"), title = "a schedule", example = &"cron(0 3 * * ? *)")]
    pub schedule: Option<String>,
    /// The time zone of the schedule, such as `Europe/Berlin`. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9_+/-]{1,50}$"), title = "a time zone", example = &"Europe/Berlin")]
    pub timezone: Option<String>,
    /// Whether the schedule starts it. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How often the schedule tries again where the task cannot be started, 0 to 185. What the job itself does is not
    /// looked at. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 185))]
    pub retries: Option<u32>,
    /// CPU units, as in a service. Default: those of its service, else 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 512)]
    pub cpu: Option<u32>,
    /// Memory in MB, as in a service. Default: that of its service, else 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1024)]
    pub memory: Option<u32>,
    /// Environment variables, beside those of its service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = variable_names()))]
    pub environment: BTreeMap<String, Text>,
    /// Environment variables from secrets: `API_KEY: "${secrets.partner}"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = variable_names()))]
    pub secrets: BTreeMap<String, Text>,
    /// What the container may do in AWS: IAM statements for its role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Statement>,
    /// The processor that the image is built for. Default: that of its service, else `x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// The databases that it connects to, by name; their firewalls open for it: `[main]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<String>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

impl Job {
    /// A job that has all of its own, as what it shares with services.
    #[must_use]
    pub fn as_service(&self) -> Option<Service> {
        Some(Service {
            image: self.image.clone()?,
            port: None,
            cpu: self.cpu.unwrap_or(256),
            memory: self.memory.unwrap_or(512),
            count: None,
            scale: None,
            route: None,
            health: Health::default(),
            environment: self.environment.clone(),
            secrets: self.secrets.clone(),
            command: self.command.clone(),
            entrypoint: self.entrypoint.clone(),
            release: super::releases::Release::default(),
            policies: self.policies.clone(),
            stop_timeout: Duration(30),
            grace: Duration(0),
            architecture: self.architecture.unwrap_or_default(),
            ephemeral_storage: None,
            calls: Vec::new(),
            tracing: false,
            egress: self.egress.clone(),
            public: false,
            protect: self.protect,
        })
    }

    pub(super) fn check(&self, name: &str, services: &BTreeMap<String, Service>, rules: &mut Rules<'_>) {
        let of = ["jobs", name];
        match (&self.service, &self.image) {
            (Some(_), Some(_)) => {
                let error = Diagnostic::error("job", format!("`jobs.{name}` has both `service` and `image`"));
                let error = error.at(rules.tree.key_place_of(&["jobs", name, "image"]), "");
                let error = error.related(rules.tree.key_place_of(&["jobs", name, "service"]), "");
                rules.report(error.help("a job of a service has its image: remove one of the two"));
            }
            (None, None) => {
                let error = Diagnostic::error("job", format!("`jobs.{name}` does not say what to run"));
                let help = "add `service: NAME` to run the image of a service, or `image:` for one of its own";
                rules.report(error.at(rules.tree.key_place_of(&of), "").help(help));
            }
            (Some(service), None) => self.check_shared(name, service, services, rules),
            (None, Some(_)) => {
                check_size(of, (self.cpu.unwrap_or(256), self.memory.unwrap_or(512)), rules);
                for (at, database) in self.egress.iter().enumerate() {
                    rules.known("databases", database, &["jobs", name, "egress", &at.to_string()]);
                }
            }
        }
        secret_rules::check(of, (&self.environment, &self.secrets), rules);
        for (field, texts) in [("command", &self.command), ("entrypoint", &self.entrypoint)] {
            secret_rules::check_arguments(&["jobs", name, field], texts.as_deref().unwrap_or_default(), rules);
        }
        for key in self.environment.keys().filter(|key| self.secrets.contains_key(*key)) {
            let message = format!("the variable `{key}` stands in both `environment` and `secrets`");
            let place = |section| rules.tree.key_place_of(&["jobs", name, section, key]);
            let error =
                Diagnostic::error("variable_twice", message).at(place("secrets"), "").related(place("environment"), "");
            rules.report(error.help("remove one of the two"));
        }
        let given = [
            ("timezone", self.timezone.is_some()),
            ("enabled", self.enabled.is_some()),
            ("retries", self.retries.is_some()),
        ];
        for (field, _) in given.iter().filter(|(_, given)| *given && self.schedule.is_none()) {
            let error = Diagnostic::error("job", format!("`{field}` is for a schedule, and `jobs.{name}` has none"));
            let error = error.at(rules.tree.key_place_of(&["jobs", name, field]), "");
            rules.report(error.help("add `schedule: cron(0 3 * * ? *)`, or remove this line"));
        }
    }

    /// What a job of a service has from it is not said twice.
    fn check_shared(&self, name: &str, service: &str, services: &BTreeMap<String, Service>, rules: &mut Rules<'_>) {
        rules.known("services", service, &["jobs", name, "service"]);
        // A wrong size of the service itself is told there.
        if let Some(its) = services.get(service).filter(|_| self.cpu.is_some() || self.memory.is_some()) {
            let size = (self.cpu.unwrap_or(its.cpu), self.memory.unwrap_or(its.memory));
            check_size(["jobs", name], size, rules);
        }
        let given = [
            ("secrets", !self.secrets.is_empty()),
            ("policies", !self.policies.is_empty()),
            ("egress", !self.egress.is_empty()),
            ("architecture", self.architecture.is_some()),
        ];
        for (field, _) in given.iter().filter(|(_, given)| *given) {
            let error = Diagnostic::error("job", format!("`jobs.{name}` has `{field}` from its service `{service}`"));
            let error = error.at(rules.tree.key_place_of(&["jobs", name, field]), "");
            let help = format!("move it to `services.{service}`, or give the job an `image` in place of `service`");
            rules.report(error.help(help));
        }
        if self.command.is_none() && self.entrypoint.is_none() {
            let error = Diagnostic::error("job", format!("`jobs.{name}` would run `{service}` itself"));
            let error = error.at(rules.tree.key_place_of(&["jobs", name]), "");
            rules.report(error.help("add `command: [npm, run, migrate]`"));
        }
    }
}
