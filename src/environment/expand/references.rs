//! What `${...}` means: outputs of resources, keys of secrets, and a few words of the file itself.

use std::collections::BTreeSet;

use super::{Expansion, rotation};
use crate::address::Address;
use crate::environment::secrets::Part as SecretPart;
use crate::environment::words::list;
use crate::environment::{EnvironmentFile, Piece, nearest, references};
use crate::kinds;
use crate::kinds::secret;
use crate::value::{Arg, Output, Part, Template};

/// What the secret of a database's application holds.
const CREDENTIALS: [&str; 7] = ["url", "username", "password", "host", "port", "dbname", "engine"];

/// A reference that leads nowhere.
struct Unknown {
    message: String,
    help: Option<String>,
}

impl Expansion<'_> {
    /// A text of the file with its references found. What is wrong is reported at `path`.
    pub(super) fn text(&mut self, text: &str, path: &[&str]) -> Arg<String> {
        let pieces = match references(text) {
            Ok(pieces) => pieces,
            Err(error) => {
                self.wrong(path, error.to_string(), None);
                return Arg::Known(text.to_owned());
            }
        };
        if let [Piece::Literal(text)] = pieces.as_slice() {
            self.forgotten(text, path);
        }
        let mut parts = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Literal(text) => parts.push(Part::Text(text)),
                Piece::Reference { path: words, .. } => {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    match self.meaning(&words) {
                        Ok(Arg::Known(text)) => parts.push(Part::Text(text)),
                        Ok(Arg::Reference(template)) => parts.extend(template.0),
                        Err(unknown) => self.wrong(path, unknown.message, unknown.help),
                    }
                }
            }
        }
        joined(parts)
    }

    /// A text that is a reference but for its `${}`.
    fn forgotten(&mut self, text: &str, path: &[&str]) {
        let words: Vec<&str> = text.split('.').collect();
        let names =
            |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        if words.len() < 3 || !words.iter().all(names) {
            return;
        }
        let known = match *words {
            [kind, _, output] => kinds::find(kind).is_some_and(|info| info.outputs.contains(&output)),
            _ => false,
        };
        if known || self.known().iter().any(|known| known == text) {
            let help = format!("write `\"${{{text}}}\"`");
            self.wrong(path, format!("`{text}` is plain text here, not a reference"), Some(help));
        }
    }

    fn meaning(&mut self, words: &[&str]) -> Result<Arg<String>, Unknown> {
        let output = |kind: &str, name: &str, output: &str| Ok(Arg::output(&Address::new(kind, name), output));
        match *words {
            ["project"] => Ok(Arg::Known(self.file.project.clone())),
            ["environment"] => Ok(Arg::Known(self.name.to_owned())),
            ["account"] => Ok(Arg::Known(self.file.account.clone())),
            ["region"] => Ok(Arg::Known(self.file.region.clone())),
            ["network", "vpc_id"] if self.file.network.is_some() => output("vpc", "main", "id"),
            ["load_balancers", name, what @ ("arn" | "dns_name" | "zone_id" | "dimension")]
                if self.file.load_balancers.contains_key(name) =>
            {
                output("load_balancer", name, what)
            }
            ["certificates", name, "arn"] if self.file.certificates.contains_key(name) => Ok(self.certificate(name)),
            ["dns", ref domain @ .., what @ ("id" | "arn" | "name_servers")] if !domain.is_empty() => {
                self.zone(&domain.join("."), what).ok_or_else(|| self.unknown(words))
            }
            ["keys", name, what @ ("arn" | "id" | "alias")] if self.file.keys.contains_key(name) => {
                output("kms_key", name, what)
            }
            ["buckets", name, what @ ("name" | "arn" | "domain")] if self.file.buckets.contains_key(name) => {
                output("bucket", name, what)
            }
            ["services", name, what] if self.file.services.contains_key(name) => match what {
                "security_group" => output("security_group", name, "id"),
                "log_group" => output("log_group", name, "name"),
                "task_role" => output("iam_role", &format!("{name}-task"), "arn"),
                _ => Err(self.unknown(words)),
            },
            ["jobs", name, what] if self.file.jobs.contains_key(name) => {
                let service = self.file.jobs[name].service.clone().unwrap_or_else(|| format!("job-{name}"));
                match what {
                    "security_group" => output("security_group", &service, "id"),
                    "log_group" => output("log_group", &service, "name"),
                    "task_role" => output("iam_role", &format!("{service}-task"), "arn"),
                    "family" => output("task_definition", &format!("job-{name}"), "family"),
                    _ => Err(self.unknown(words)),
                }
            }
            ["databases", name, ..] if self.file.databases.contains_key(name) => self.database(words),
            ["registries", name, what @ ("url" | "arn" | "name")] if self.file.registries.contains_key(name) => {
                output("ecr_repository", name, what)
            }
            ["pipeline", "role"] if self.file.pipeline.is_some() => output("iam_role", "deploy", "arn"),
            ["pipeline", "plan_role"] if self.file.pipeline.is_some() => output("iam_role", "plan", "arn"),
            ["caches", name, what @ ("endpoint" | "reader" | "port" | "arn")]
                if self.file.caches.contains_key(name) =>
            {
                output("replication_group", name, what)
            }
            ["secrets", name, ..] if self.file.secrets.contains_key(name) => self.secret(words),
            ["notifications", severity, "arn"] if self.severities().any(|named| named == severity) => {
                output("sns_topic", severity, "arn")
            }
            ["existing", name, what] if self.file.existing.contains_key(name) => self.existing(name, what),
            [kind, name, what]
                if kinds::find(kind).is_some() && format!("{kind}.{name}").parse::<Address>().is_ok() =>
            {
                output(kind, name, what)
            }
            // What is wrong with that entry is said there.
            [kind, name, what] if self.file.resources.contains_key(&format!("{kind}.{name}")) => {
                output(kind, name, what)
            }
            _ => Err(self.unknown(words)),
        }
    }

    /// The severities that have a topic.
    fn severities(&self) -> impl Iterator<Item = &'static str> {
        self.file.notifications.iter().flat_map(|one| one.severities().map(|(severity, _)| severity))
    }

    fn certificate(&mut self, name: &str) -> Arg<String> {
        match self.file.certificates.get(name).and_then(|certificate| certificate.arn.clone()) {
            Some(arn) => self.text(arn.as_str(), &["certificates", name, "arn"]),
            None => Arg::output(&Address::new("certificate", name), "arn"),
        }
    }

    /// An output of a zone. The domain's own dots are no trouble, since it is all that stands between.
    fn zone(&self, domain: &str, what: &str) -> Option<Arg<String>> {
        let zone = self.file.dns.get(domain)?;
        match what {
            "id" => Some(super::dns::zone_id(domain, zone)),
            _ => zone.id.is_none().then(|| Arg::output(&super::dns::zone_address(domain), what)),
        }
    }

    fn database(&self, words: &[&str]) -> Result<Arg<String>, Unknown> {
        let (name, rest) = (words[1], &words[2..]);
        let address = Address::new("db_instance", name);
        let database = &self.file.databases[name];
        match rest {
            ["username"] => Ok(Arg::Known(database.username.clone())),
            ["name"] if database.name.is_some() => Ok(Arg::Known(database.name.clone().unwrap_or_default())),
            ["master"] => Ok(Arg::output(&address, "master_secret_arn")),
            ["master", key @ ("username" | "password")] => Ok(secret_key(&address, "master_secret_arn", key)),
            ["app"] if database.rotation.is_some() => Ok(Arg::output(&rotation::secret(name), "arn")),
            ["app", key] if database.rotation.is_some() && CREDENTIALS.contains(key) => {
                Ok(secret_key(&rotation::secret(name), "arn", key))
            }
            ["app", ..] if database.rotation.is_none() => Err(Unknown {
                message: format!("`databases.{name}` has no user `app`, since its credentials do not rotate"),
                help: Some("add `rotation: 30d` to it, or use `master`".to_owned()),
            }),
            [what @ ("endpoint" | "port" | "arn" | "id" | "resource_id")] => Ok(Arg::output(&address, what)),
            _ => Err(self.unknown(words)),
        }
    }

    fn secret(&self, words: &[&str]) -> Result<Arg<String>, Unknown> {
        let address = Address::new("secret", words[1]);
        match &words[2..] {
            [] | ["arn"] => Ok(Arg::output(&address, "arn")),
            ["name"] => Ok(Arg::output(&address, "name")),
            [key] if self.file.secrets[words[1]].json.as_ref().is_none_or(|json| json.contains_key(*key)) => {
                Ok(secret_key(&address, "arn", key))
            }
            _ => Err(self.unknown(words)),
        }
    }

    fn existing(&self, name: &str, what: &str) -> Result<Arg<String>, Unknown> {
        let existing = &self.file.existing[name];
        match (&existing.id, self.facts.existing.get(name)) {
            (Some(id), _) if what == "id" || (what == "arn" && id.starts_with("arn:")) => Ok(Arg::Known(id.clone())),
            (None, Some(outputs)) => outputs.get(what).map(|value| Arg::Known(value.clone())).ok_or_else(|| Unknown {
                message: format!("`existing.{name}` has no output `{what}`"),
                help: Some(format!("it has {}", outputs.keys().cloned().collect::<Vec<_>>().join(", "))),
            }),
            // Nobody has looked it up: this is a check without AWS.
            (None, None) if self.facts.zones.is_none() => Ok(Arg::Known(format!("<existing.{name}.{what}>"))),
            _ => Err(self.unknown(&["existing", name, what])),
        }
    }

    /// What to say of a reference that means nothing here.
    fn unknown(&self, words: &[&str]) -> Unknown {
        let reference = words.join(".");
        let known = self.known();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        Unknown { message: format!("`${{{reference}}}` refers to nothing"), help: Some(self.instead(words, &known)) }
    }

    /// What could stand in place of a reference to nothing.
    fn instead(&self, words: &[&str], known: &[&str]) -> String {
        let did_you_mean = |near: &str| format!("did you mean `${{{near}}}`?");
        let reference = words.join(".");
        let entry = |words: &[&str]| format!("{}.", words.join("."));
        match *words {
            ["var" | "vars" | "variables", name] => {
                return format!("a variable is `${{var.{name}}}`, with a default under `vars:`");
            }
            ["env", name] => {
                return format!(
                    "variables of the shell are not read: write `${{var.{name}}}`, and pass `--var {name}=...`"
                );
            }
            [name]
                if name.chars().any(|c| c.is_ascii_uppercase()) && nearest(&name.to_lowercase(), known).is_none() =>
            {
                return format!(
                    "variables of the shell are not read: write `${{var.{name}}}`, and pass `--var {name}=...`"
                );
            }
            ["resources", ref rest @ ..] if !rest.is_empty() => return did_you_mean(&rest.join(".")),
            _ => {}
        }
        // Of what there is, only the last word is wrong, or lacks.
        let of = if known.iter().any(|one| one.starts_with(&entry(words))) { words } else { &words[..words.len() - 1] };
        let outputs: Vec<&str> = known.iter().filter_map(|one| one.strip_prefix(&entry(of))).collect();
        if of.len() >= 2 && !outputs.is_empty() {
            return match nearest(words.last().unwrap_or(&""), &outputs).filter(|_| of.len() < words.len()) {
                Some(near) => did_you_mean(&format!("{}{near}", entry(of))),
                None => format!("`{}` has {}", of.join("."), list(&outputs).replace(" or ", " and ")),
            };
        }
        if let [kind, name] | [kind, name, _] = *words
            && let Some(kind) = super::near_kind(kind)
            && let Some(info) = kinds::find(kind)
        {
            let there: Vec<&str> = self.file.resources.keys().map(String::as_str).collect();
            let of_kind = |near: &&str| near.split('.').next() == Some(kind);
            let output = words.get(2).filter(|word| info.outputs.contains(word)).or(info.outputs.first());
            if let (Some(near), Some(output)) = (nearest(&format!("{kind}.{name}"), &there).filter(of_kind), output) {
                return did_you_mean(&format!("{near}.{output}"));
            }
        }
        if let Some(near) = nearest(&reference, known) {
            return did_you_mean(near);
        }
        let section = words.first().copied().unwrap_or_default();
        let names: BTreeSet<&str> = known
            .iter()
            .filter_map(|one| one.strip_prefix(&entry(&[section])))
            .filter_map(|rest| rest.split('.').next())
            .collect();
        if names.is_empty() && EnvironmentFile::sections().contains(&section) {
            return format!("this file has no `{section}` that can be referred to");
        }
        if names.is_empty() {
            return "a reference is `${section.name.output}` of what is in the file, such as `${databases.main.endpoint}`"
                .to_owned();
        }
        let names: Vec<&str> = names.into_iter().collect();
        format!("`{section}` has {}", list(&names).replace(" or ", " and "))
    }

    /// Every reference that this file could make to its sections.
    fn known(&self) -> Vec<String> {
        let file = self.file;
        let mut known: Vec<String> =
            ["project", "environment", "account", "region", "network.vpc_id"].map(str::to_owned).to_vec();
        let mut section = |name: &str, entries: Vec<&String>, outputs: &[&str]| {
            for entry in entries {
                known.extend(outputs.iter().map(|output| format!("{name}.{entry}{output}")));
            }
        };
        section(
            "load_balancers",
            file.load_balancers.keys().collect(),
            &[".arn", ".dns_name", ".zone_id", ".dimension"],
        );
        section("certificates", file.certificates.keys().collect(), &[".arn"]);
        section("dns", file.dns.keys().collect(), &[".id", ".arn", ".name_servers"]);
        section("keys", file.keys.keys().collect(), &[".arn", ".id", ".alias"]);
        section("services", file.services.keys().collect(), &[".security_group", ".log_group", ".task_role"]);
        section("jobs", file.jobs.keys().collect(), &[".security_group", ".log_group", ".task_role", ".family"]);
        let database = [".endpoint", ".port", ".name", ".username", ".master.username", ".master.password", ".arn"];
        section("databases", file.databases.keys().collect(), &database);
        let rotating = file.databases.iter().filter(|(_, one)| one.rotation.is_some());
        let app = CREDENTIALS.map(|key| format!(".app.{key}"));
        section("databases", rotating.map(|(name, _)| name).collect(), &app.each_ref().map(String::as_str));
        section("caches", file.caches.keys().collect(), &[".endpoint", ".reader", ".port", ".arn"]);
        section("secrets", file.secrets.keys().collect(), &["", ".arn", ".name"]);
        section("registries", file.registries.keys().collect(), &[".url", ".arn", ".name"]);
        section("buckets", file.buckets.keys().collect(), &[".name", ".arn", ".domain"]);
        section("existing", file.existing.keys().collect(), &[".id", ".arn"]);
        if file.pipeline.is_some() {
            known.extend(["pipeline.role", "pipeline.plan_role"].map(str::to_owned));
        }
        known.extend(self.severities().map(|severity| format!("notifications.{severity}.arn")));
        for (name, secret) in &file.secrets {
            let keys = secret.json.iter().flatten().map(|(key, _): (&String, &SecretPart)| key);
            known.extend(keys.map(|key| format!("secrets.{name}.{key}")));
        }
        known
    }
}

/// One key of a JSON secret, as ECS takes it.
fn secret_key(of: &Address, output: &str, key: &str) -> Arg<String> {
    let arn = Part::Output(Output { of: of.clone(), name: output.to_owned() });
    Arg::Reference(Template(vec![arn, Part::Text(format!(":{key}::"))]))
}

/// Parts as one text, or as a template where some are not known.
pub(super) fn joined(parts: Vec<Part>) -> Arg<String> {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts {
        match (merged.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => merged.push(part),
        }
    }
    match merged.pop() {
        None => Arg::Known(String::new()),
        Some(Part::Text(text)) if merged.is_empty() => Arg::Known(text),
        Some(last) => {
            merged.push(last);
            Arg::Reference(Template(merged))
        }
    }
}

/// The ARN of a secret, without the key of it that a task or a function takes.
pub(super) fn whole_secret(value: &Arg<String>) -> Arg<String> {
    match value {
        Arg::Reference(template) => match template.0.first() {
            Some(output @ Part::Output(_)) => Arg::Reference(Template(vec![output.clone()])),
            _ => value.clone(),
        },
        Arg::Known(arn) => Arg::Known(secret::whole_arn(arn)),
    }
}
