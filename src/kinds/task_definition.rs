//! What a task runs: containers, their size, their roles. It is a family of revisions, none of which ever changes.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    Compatibility, CpuArchitecture, EphemeralStorage, NetworkMode, OsFamily, RuntimePlatform, TaskDefinition as Found,
    TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus, Volume,
};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::task_container::{Condition, Container};
use super::{adopt, ecs, tagging};
use crate::address::{Identity, hex};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};
use crate::value::{Arg, Outputs};

/// The tag with the hash of a revision's shape, by which releases know whether the file asks for another.
pub const SHAPE: &str = "infra:shape";
/// The tag that says whose the image is, for which AWS has no field.
const IMAGE_OWNER: &str = "infra:image-owner";
/// GiB of storage that a task on Fargate has anyhow.
const USUAL_STORAGE: u16 = 20;

/// What a task on Fargate runs. Each change is a new revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDefinition {
    /// The family's name in AWS. Generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// CPU units of the task: 1024 are one virtual CPU.
    pub cpu: u32,
    /// Memory of the task in MiB.
    pub memory: u32,
    #[serde(default)]
    pub architecture: Architecture,
    /// The role with which ECS pulls images, reads secrets and writes logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<Arg<String>>,
    /// The role that the containers have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<Arg<String>>,
    pub containers: Vec<Container>,
    /// Names of empty volumes that containers can mount, and share.
    #[serde(default)]
    pub volumes: BTreeSet<String>,
    /// Storage of the task in GiB.
    #[serde(default = "usual_storage")]
    pub ephemeral_storage_gb: u16,
    /// Who chooses the images that have neither a tag nor a digest here.
    #[serde(default)]
    pub image_owner: Owner,
    #[serde(default)]
    pub tags: Tags,
}

fn usual_storage() -> u16 {
    USUAL_STORAGE
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    #[default]
    #[serde(rename = "X86_64")]
    X86,
    #[serde(rename = "ARM64")]
    Arm,
}

/// Who chooses a value at run time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The file does, and a plan brings it back.
    #[default]
    File,
    /// Releases do, and a plan keeps what runs.
    Release,
}

impl Kind for TaskDefinition {
    const NAME: &'static str = "task_definition";
    const RIGHTS: Rights = Rights {
        read: "ecs:DescribeTaskDefinition ecs:ListTaskDefinitionFamilies ecs:ListTaskDefinitions",
        create: "ecs:RegisterTaskDefinition ecs:TagResource",
        update: "ecs:RegisterTaskDefinition ecs:TagResource ecs:UntagResource",
        delete: "ecs:DeregisterTaskDefinition",
        on: "ecs:task-definition/{family}:*",
        passes: "ecs-tasks.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["family"];
    const OPEN: &'static [&'static str] = &["family"];
    const OUTPUTS: &'static [&'static str] = &["arn", "family", "revision"];
    const MOVING: &'static [&'static str] = &["arn", "revision"];

    fn normalize(&mut self) {
        self.containers.iter_mut().for_each(Container::normalize);
        self.containers.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn take_over(&mut self, live: &Self) {
        for container in self.containers.iter_mut().filter(|container| container.untagged()) {
            let there = live.containers.iter().find(|there| there.name == container.name);
            if let (Owner::Release, Some(there)) = (self.image_owner, there) {
                container.image = there.image.clone();
            }
        }
    }

    fn check(&self) -> Vec<Problem> {
        check(self)
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let request = aws.ecs().list_task_definition_families().family_prefix(scope.prefix());
        let pages = request.status(TaskDefinitionFamilyStatus::Active).into_paginator().items().send();
        let named = aws.call("ecs:ListTaskDefinitionFamilies", pages.collect::<Result<Vec<_>, _>>());
        let (named, index) = tokio::try_join!(named, tagging::index(aws, scope))?;
        let mut families: BTreeSet<String> = named.into_iter().collect();
        // A family whose name is the user's own is found through the index, which also knows revisions long gone.
        families.extend(index.keys().filter_map(|arn| Some(family(arn)?.to_owned())));
        // The index learns of tags late, and of one that was adopted a moment ago it knows nothing yet.
        families.extend(scope.wanted(Self::NAME).filter_map(|wanted| scope.names.get(&wanted.address).cloned()));
        families.extend(aws.adopting().filter(|one| one.identity.address.kind == Self::NAME).map(|one| one.id.clone()));
        let reads = families.iter().map(async |family| match describe(aws, family).await {
            Ok((found, tags)) => Ok(scope.tagged(aws, Self::NAME, &tags).map(|tagged| live(&found, &tags, tagged))),
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let family = self.family.clone().unwrap_or_else(|| making.identity.aws_name(255));
        match describe(aws, &family).await {
            // A registration would add a revision to a family of others.
            Ok((found, tags)) => {
                let found = tags::decode(&tags).map(|tagged| live(&found, &tags, tagged));
                adopt::adopt(self, aws, making, (&family, found), "ecs:RegisterTaskDefinition").await
            }
            Err(failure) if failure.class == Class::NotFound => {
                self.register(aws, &making.identity, &family).await?;
                Ok(family)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        if self.definition() != live.spec.definition() {
            self.register(aws, &live.identity, &live.id).await?;
            return Ok(());
        }
        let arn = live.outputs.get("arn").map(String::as_str).unwrap_or_default();
        let (before, after) = (live.spec.all_tags(&live.identity), self.all_tags(&live.identity));
        ecs::retag(aws, arn, &before, &after).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ecs::write_tags(aws, live.outputs.get("arn").map_or("", String::as_str), set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.ecs().list_task_definitions().family_prefix(&live.id).status(TaskDefinitionStatus::Active);
        let pages = request.into_paginator().items().send();
        let revisions = aws.call("ecs:ListTaskDefinitions", pages.collect::<Result<Vec<_>, _>>()).await?;
        for arn in revisions.iter().filter(|arn| family(arn) == Some(live.id.as_str())) {
            let request = aws.ecs().deregister_task_definition().task_definition(arn);
            aws.call("ecs:DeregisterTaskDefinition", request.send()).await?;
        }
        Ok(())
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let (found, _) = describe(aws, id).await?;
        Ok(Progress::Ready(outputs(&found)))
    }
}

impl TaskDefinition {
    /// Registers a revision, and returns its ARN.
    pub async fn register(&self, aws: &Aws, identity: &Identity, family: &str) -> Result<String> {
        let mut wanted = self.clone();
        wanted.normalize();
        let architecture = match self.architecture {
            Architecture::X86 => CpuArchitecture::X8664,
            Architecture::Arm => CpuArchitecture::Arm64,
        };
        let platform =
            RuntimePlatform::builder().cpu_architecture(architecture).operating_system_family(OsFamily::Linux);
        let containers = wanted.containers.iter().map(Container::definition).collect::<Result<Vec<_>>>()?;
        let role = |role: &Option<Arg<String>>| Ok::<_, Failure>(role.as_ref().map(Arg::get).transpose()?.cloned());
        let storage = || EphemeralStorage::builder().size_in_gib(self.ephemeral_storage_gb.into()).build();
        let request = aws
            .ecs()
            .register_task_definition()
            .family(family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .runtime_platform(platform.build())
            .cpu(self.cpu.to_string())
            .memory(self.memory.to_string())
            .set_execution_role_arn(role(&self.execution_role_arn)?)
            .set_task_role_arn(role(&self.task_role_arn)?)
            .set_container_definitions(Some(containers))
            .set_volumes(Some(self.volumes.iter().map(|name| Volume::builder().name(name).build()).collect()))
            .set_ephemeral_storage((self.ephemeral_storage_gb > USUAL_STORAGE).then(storage))
            .set_tags(Some(ecs::sdk_tags(&wanted.all_tags(identity))));
        let answer = aws.call("ecs:RegisterTaskDefinition", request.send()).await?;
        let arn = answer.task_definition().and_then(|found| found.task_definition_arn()).map(str::to_owned);
        arn.ok_or_else(|| Failure::new("ecs:RegisterTaskDefinition", "NoId", "the answer holds no ARN"))
    }

    /// The hash of what a revision is beside its images and the versions of its secrets, which releases and rotation
    /// change. References must be resolved.
    #[must_use]
    pub fn shape(&self) -> String {
        let mut shape = self.definition();
        for container in &mut shape.containers {
            container.image = Arg::default();
            for secret in container.secrets.values_mut() {
                if let Arg::Known(arn) = secret {
                    *arn = without_version(arn);
                }
            }
        }
        let text = serde_json::to_string(&shape).unwrap_or_default();
        hex(&Sha256::digest(text.as_bytes()))[..16].to_owned()
    }

    /// Whether a revision of one would be a revision of the other.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.definition() == other.definition()
    }

    /// What a revision holds, in normal form: without tags and names.
    fn definition(&self) -> Self {
        let mut definition = Self { family: None, image_owner: Owner::default(), tags: Tags::new(), ..self.clone() };
        definition.normalize();
        definition
    }

    /// Identity, the user's tags, and what only a tag can hold.
    fn all_tags(&self, identity: &Identity) -> Tags {
        let mut tags = tags::encode(identity, &self.tags);
        tags.insert(SHAPE.to_owned(), self.shape());
        if self.image_owner == Owner::Release {
            tags.insert(IMAGE_OWNER.to_owned(), "release".to_owned());
        }
        tags
    }
}

/// A secret's ARN without the version id that may end it.
#[must_use]
pub fn without_version(arn: &str) -> String {
    let parts: Vec<_> = arn.split(':').take(9).collect();
    parts.join(":").trim_end_matches(':').to_owned()
}

/// What one revision holds, in normal form; nothing where ECS no longer knows it.
pub async fn revision(aws: &Aws, arn: &str) -> Result<Option<TaskDefinition>> {
    match look(aws, arn).await {
        Ok((found, tags)) => {
            let mut spec = spec(&found, &tags, Tags::new());
            spec.normalize();
            Ok(Some(spec))
        }
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The family of a revision's ARN.
fn family(arn: &str) -> Option<&str> {
    Some(arn.split_once(":task-definition/")?.1.split(':').next().unwrap_or_default())
}

/// The latest revision of a family that can be used, with its tags.
async fn describe(aws: &Aws, family: &str) -> Result<(Found, Tags)> {
    let (found, tags) = look(aws, family).await?;
    if found.status() != Some(&TaskDefinitionStatus::Active) {
        return Err(missing(family));
    }
    Ok((found, tags))
}

fn missing(what: &str) -> Failure {
    Failure::new("ecs:DescribeTaskDefinition", "NotFound", what).class(Class::NotFound)
}

/// A revision by its ARN, or the latest one of a family, with its tags.
async fn look(aws: &Aws, what: &str) -> Result<(Found, Tags)> {
    let request = aws.ecs().describe_task_definition().task_definition(what).include(TaskDefinitionField::Tags);
    let answer = aws.call("ecs:DescribeTaskDefinition", request.send()).await.map_err(|failure| {
        // ECS has no code of its own for a family without a revision.
        let missing = failure.code == "ClientException" && failure.message.contains("nable to describe");
        if missing { failure.class(Class::NotFound) } else { failure }
    })?;
    let tags = ecs::read_tags(answer.tags());
    Ok((answer.task_definition.ok_or_else(|| missing(what))?, tags))
}

fn outputs(found: &Found) -> Outputs {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Outputs::from([
        ("arn".to_owned(), text(found.task_definition_arn())),
        ("family".to_owned(), text(found.family())),
        ("revision".to_owned(), found.revision().to_string()),
    ])
}

fn live(found: &Found, tags: &Tags, tagged: Tagged) -> Live<TaskDefinition> {
    let spec = spec(found, tags, tagged.user.clone());
    let mut live = Live::new(tagged, found.family().unwrap_or_default(), spec);
    live.outputs = outputs(found);
    live
}

fn spec(found: &Found, tags: &Tags, user: Tags) -> TaskDefinition {
    let arm =
        found.runtime_platform().and_then(|platform| platform.cpu_architecture()) == Some(&CpuArchitecture::Arm64);
    let storage = found.ephemeral_storage().and_then(|storage| u16::try_from(storage.size_in_gib()).ok());
    TaskDefinition {
        family: found.family().map(str::to_owned),
        cpu: found.cpu().and_then(|cpu| cpu.parse().ok()).unwrap_or_default(),
        memory: found.memory().and_then(|memory| memory.parse().ok()).unwrap_or_default(),
        architecture: if arm { Architecture::Arm } else { Architecture::X86 },
        execution_role_arn: found.execution_role_arn().map(Arg::from),
        task_role_arn: found.task_role_arn().map(Arg::from),
        containers: found.container_definitions().iter().map(Container::read).collect(),
        volumes: found.volumes().iter().filter_map(|volume| Some(volume.name()?.to_owned())).collect(),
        ephemeral_storage_gb: storage.unwrap_or(USUAL_STORAGE),
        image_owner: if tags.contains_key(IMAGE_OWNER) { Owner::Release } else { Owner::File },
        tags: user,
    }
}

/// What Fargate offers: CPU units, the least and the most memory in GiB, and its steps.
const SIZES: &[(u32, u32, u32, u32)] =
    &[(512, 1, 4, 1), (1024, 2, 8, 1), (2048, 4, 16, 1), (4096, 8, 30, 1), (8192, 16, 60, 4), (16384, 32, 120, 8)];

fn check_size(spec: &TaskDefinition) -> Option<Problem> {
    let (cpu, memory) = (spec.cpu, spec.memory);
    if cpu == 256 {
        let help = "a task of 256 CPU units has 512, 1024 or 2048 MiB";
        let problem = || Problem::new("memory", format!("Fargate does not offer {memory} MiB")).help(help);
        return (![512, 1024, 2048].contains(&memory)).then(problem);
    }
    let Some((_, least, most, step)) = SIZES.iter().find(|size| size.0 == cpu) else {
        let help = "use 256, 512, 1024, 2048, 4096, 8192 or 16384";
        return Some(Problem::new("cpu", format!("Fargate does not offer {cpu} CPU units")).help(help));
    };
    let valid = (least * 1024..=most * 1024).contains(&memory) && (memory - least * 1024).is_multiple_of(step * 1024);
    let help =
        format!("a task of {cpu} CPU units has {} to {} MiB in steps of {}", least * 1024, most * 1024, step * 1024);
    (!valid).then(|| Problem::new("memory", format!("Fargate does not offer {memory} MiB")).help(help))
}

fn check(spec: &TaskDefinition) -> Vec<Problem> {
    let mut problems: Vec<_> = spec.family.iter().filter_map(|family| ecs::check_name("family", family)).collect();
    problems.extend(check_size(spec));
    if !(USUAL_STORAGE..=200).contains(&spec.ephemeral_storage_gb) {
        let message = format!("{} GiB is outside 20 to 200", spec.ephemeral_storage_gb);
        problems.push(Problem::new("ephemeral_storage_gb", message));
    }
    if !spec.containers.iter().any(|container| container.essential) {
        let help = "a task ends with its essential containers, so one of them must be essential";
        problems.push(Problem::new("containers", "no container is essential").help(help));
    }
    for (at, container) in spec.containers.iter().enumerate() {
        check_container(spec, container, &format!("containers.{at}"), &mut problems);
    }
    let asks = |container: &Container| container.log.is_some() || !container.secrets.is_empty();
    if spec.execution_role_arn.is_none() && spec.containers.iter().any(asks) {
        let help = "ECS reads secrets and writes logs with this role before the containers run";
        problems.push(Problem::new("execution_role_arn", "logs and secrets need an execution role").help(help));
    }
    problems
}

fn check_container(spec: &TaskDefinition, container: &Container, at: &str, problems: &mut Vec<Problem>) {
    problems.extend(ecs::check_name(&format!("{at}.name"), &container.name));
    let mut problem = |path: &str, message: String, help: &str| {
        problems.push(Problem::new(&format!("{at}.{path}"), message).help(help));
    };
    if spec.containers.iter().filter(|other| other.name == container.name).count() > 1 {
        problem("name", format!("two containers are named `{}`", container.name), "give each its own name");
    }
    if let Arg::Known(image) = &container.image
        && (image.is_empty() || image.contains(char::is_whitespace))
    {
        problem("image", format!("`{image}` is not an image"), "write it as in `nginx:1.27`, without spaces");
    }
    for (path, map) in [("environment", &container.environment), ("secrets", &container.secrets)] {
        for name in map.keys().filter(|name| name.is_empty() || name.contains(|c: char| c == '=' || c.is_whitespace()))
        {
            problem(path, format!("`{name}` is not the name of a variable"), "leave out spaces and `=`");
        }
    }
    for name in container.environment.keys().filter(|name| container.secrets.contains_key(*name)) {
        problem("secrets", format!("`{name}` is in `environment` too"), "keep one of them");
    }
    if container.stop_timeout.is_some_and(|seconds| !(2..=120).contains(&seconds)) {
        problem("stop_timeout", "Fargate waits for 2 to 120 seconds".to_owned(), "move longer work to a job");
    }
    for (name, port) in container.port_names.iter().filter(|(_, port)| !container.ports.contains(port)) {
        problem("port_names", format!("`{name}` names the port {port}"), "list it under `ports` too");
    }
    for mount in container.mounts.iter().filter(|mount| !spec.volumes.contains(&mount.volume)) {
        problem("mounts", format!("there is no volume `{}`", mount.volume), "name it under `volumes`");
    }
    for first in &container.depends_on {
        let other = spec.containers.iter().find(|other| other.name == first.container && other.name != container.name);
        match other {
            None => {
                problem("depends_on", format!("there is no other container `{}`", first.container), "check the name");
            }
            Some(other) if first.condition == Condition::Healthy && other.health.is_none() => {
                let help = "give it a health check, or wait for START";
                problem("depends_on", format!("`{}` has no health check to wait for", first.container), help);
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(cpu: u32, memory: u32, containers: Vec<Container>) -> TaskDefinition {
        let containers = serde_json::to_value(containers).unwrap();
        let json = serde_json::json!({ "cpu": cpu, "memory": memory, "containers": containers });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn fargate_offers_pairs() {
        let app = || vec![Container::new("app", "api:1".into())];
        for (cpu, memory, valid) in [
            (256, 512, true),
            (256, 3072, false),
            (512, 1024, true),
            (512, 1500, false),
            (1024, 1024, false),
            (4096, 30720, true),
            (8192, 20480, true),
            (8192, 17408, false),
            (300, 512, false),
        ] {
            assert_eq!(task(cpu, memory, app()).check().is_empty(), valid, "{cpu} {memory}");
        }
    }

    #[test]
    fn the_shape_leaves_out_images_and_versions_of_secrets() {
        let with = |image: &str, secret: &str| {
            let mut container = Container::new("app", image.into());
            container.secrets.insert("KEY".into(), secret.into());
            task(256, 512, vec![container])
        };
        let secret = "arn:aws:secretsmanager:us-east-1:1:secret:db-AbCdEf";
        let first = with("api:1", &format!("{secret}:username::"));
        assert_eq!(first.shape(), with("api:2", &format!("{secret}:username::v-1")).shape());
        assert_ne!(first.shape(), with("api:1", &format!("{secret}:password::")).shape());
        assert_ne!(first.shape(), TaskDefinition { memory: 1024, ..first.clone() }.shape());
    }

    #[test]
    fn releases_keep_their_image() {
        let mut wanted =
            task(256, 512, vec![Container::new("app", "repo/api".into()), Container::new("x", "x:2".into())]);
        wanted.image_owner = Owner::Release;
        let live = task(256, 512, vec![Container::new("app", "repo/api:7".into()), Container::new("x", "x:1".into())]);
        wanted.take_over(&live);
        let images: Vec<_> =
            wanted.containers.iter().map(|container| container.image.get().unwrap().as_str()).collect();
        assert_eq!(images, ["repo/api:7", "x:2"]);
    }

    #[test]
    fn containers_are_checked_together() {
        let mut app = Container::new("app", "api 1".into());
        app.essential = false;
        app.environment.insert("A".into(), "1".into());
        app.secrets.insert("A".into(), "arn".into());
        let paths: Vec<_> = task(256, 512, vec![app]).check().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["containers", "containers.0.image", "containers.0.secrets", "execution_role_arn"]);
    }
}
