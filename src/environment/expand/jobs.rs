//! `jobs`: a task definition each, with all that a service has or with its service's, and the schedules that start them.

use std::collections::BTreeMap;

use super::Expansion;
use super::services::{arguments, container, definition, firewall, log_group, owner, task, variables};
use crate::address::Address;
use crate::environment::jobs::Job;
use crate::environment::network::Tier;
use crate::kinds::iam_role::IamRole;
use crate::kinds::schedule_group::{Schedule, ScheduleGroup};
use crate::kinds::task_definition::{Owner, TaskDefinition};
use crate::policy;
use crate::tags::Tags;
use crate::value::{Arg, Output, Part, Template};

/// How often AWS tries again to start a task, unless the file says otherwise.
const RETRIES: u32 = 2;

/// What starts a job.
struct Made {
    task: Address,
    firewall: Address,
    /// The roles that its task has.
    roles: [Address; 2],
    owner: Owner,
    /// Whether it stands where its service does, in the public subnets.
    public: bool,
}

pub(super) fn expand(to: &mut Expansion) {
    let mut schedules = BTreeMap::new();
    let mut scheduled = Vec::new();
    for (name, job) in &to.file.jobs {
        let Some(made) = make(to, name, job) else { continue };
        if let Some(expression) = &job.schedule {
            let schedule = schedule(to, job, expression, &made);
            schedules.insert(name.clone(), schedule);
            scheduled.push(made);
        }
    }
    if schedules.is_empty() {
        return;
    }
    scheduler(to, &scheduled);
    to.add("main", &["jobs"], &ScheduleGroup { name: None, schedules, tags: Tags::new() });
}

fn make(to: &mut Expansion, name: &str, job: &Job) -> Option<Made> {
    let resource = format!("job-{name}");
    let role = |of: &str| [format!("{of}-execution"), format!("{of}-task")].map(|name| Address::new("iam_role", name));
    if let Some(service) = job.as_service() {
        let origin = ["jobs", name];
        let firewall = firewall(to, &resource, &service, origin);
        let logs = log_group(to, &resource, &format!("jobs/{name}"), origin);
        let task = task(to, &resource, &service, &logs, origin);
        return Some(Made { task, firewall, roles: role(&resource), owner: owner(&service), public: service.public });
    }
    let of = job.service.as_deref().filter(|of| to.file.services.contains_key(*of))?;
    let (task, owner) = shared(to, name, job, of);
    let public = to.file.services[of].public;
    Some(Made { task, firewall: Address::new("security_group", of), roles: role(of), owner, public })
}

/// The task of a job that runs the image of a service: what the service is, with another command.
fn shared(to: &mut Expansion, name: &str, job: &Job, of: &str) -> (Address, Owner) {
    let origin = ["jobs", name];
    let mut service = to.file.services[of].clone();
    service.cpu = job.cpu.unwrap_or(service.cpu);
    service.memory = job.memory.unwrap_or(service.memory);
    // What is wrong with the service's own texts has been reported once, for the service itself.
    let wrong = to.wrong.len();
    let mut container = container(to, &service, &Address::new("log_group", of), ["services", of]);
    to.wrong.truncate(wrong);
    name.clone_into(&mut container.name);
    container.ports.clear();
    container.environment.extend(variables(to, "environment", &job.environment, origin));
    if job.command.is_some() {
        container.command = arguments(to, job.command.as_deref(), origin);
    }
    if let Some(entrypoint) = &job.entrypoint {
        container.entrypoint = entrypoint.iter().map(|text| text.as_str().to_owned()).collect();
    }
    container.log.iter_mut().for_each(|log| name.clone_into(&mut log.prefix));
    let roles = ["execution", "task"].map(|role| Address::new("iam_role", format!("{of}-{role}")));
    let owner = owner(&service);
    let spec =
        TaskDefinition { containers: vec![container], image_owner: owner, ..definition(&service, roles.each_ref()) };
    (to.add(format!("job-{name}"), &origin, &spec), owner)
}

/// A job whose image no release has chosen cannot run: its schedule waits, and the release enables it.
fn schedule(to: &mut Expansion, job: &Job, expression: &str, made: &Made) -> Schedule {
    let wanted = job.enabled.unwrap_or(true);
    Schedule {
        expression: expression.to_owned(),
        timezone: job.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
        enabled: wanted && made.owner == Owner::File,
        owner: if wanted { made.owner } else { Owner::File },
        cluster_arn: Arg::output(&Address::new("ecs_cluster", "main"), "arn"),
        // Without a revision: the latest one runs, also that of a release.
        task_definition_arn: family(to, &made.task, ""),
        role_arn: Arg::output(&Address::new("iam_role", "scheduler"), "arn"),
        subnets: to.subnets(if made.public { Tier::Public } else { Tier::Private }),
        security_groups: vec![Arg::output(&made.firewall, "id")],
        assign_public_ip: made.public,
        retries: job.retries.unwrap_or(RETRIES),
    }
}

/// The role with which the scheduler starts these jobs, and nothing else.
fn scheduler(to: &mut Expansion, jobs: &[Made]) {
    let (account, region, partition) = (&to.file.account, &to.file.region, to.partition());
    let cluster = Address::new("ecs_cluster", "main");
    let service = policy::allow(&["sts:AssumeRole"], policy::NO_RESOURCE).to("Service", ["scheduler.amazonaws.com"]);
    let service = service.when("StringEquals", "aws:SourceAccount", [account.clone()]);
    let group = Arg::<String>::output(&Address::new("schedule_group", "main"), "arn");
    let trust = policy::document([service.when("StringEquals", "aws:SourceArn", [group])]);
    let families = jobs.iter().flat_map(|job| [family(to, &job.task, ""), family(to, &job.task, ":*")]);
    let run = policy::allow(&["ecs:RunTask"], families.collect::<Vec<_>>()).sid("Run");
    let run = run.when("ArnEquals", "ecs:cluster", [Arg::<String>::output(&cluster, "arn")]);
    let mut roles: Vec<Arg<String>> =
        jobs.iter().flat_map(|job| &job.roles).map(|role| Arg::output(role, "arn")).collect();
    roles.sort();
    roles.dedup();
    let pass = policy::allow(&["iam:PassRole"], roles).sid("Roles");
    let pass = pass.when("StringEquals", "iam:PassedToService", ["ecs-tasks.amazonaws.com"]);
    let tasks = Template(vec![
        Part::Text(format!("arn:{partition}:ecs:{region}:{account}:task/")),
        Part::Output(Output { of: cluster, name: "name".to_owned() }),
        Part::Text("/*".to_owned()),
    ]);
    let tag = policy::allow(&["ecs:TagResource"], [Arg::Reference(tasks)]).sid("Tags");
    let tag = tag.when("StringEquals", "ecs:CreateAction", ["RunTask"]);
    let role = IamRole::new(trust, vec![("start", policy::document([run, pass, tag]))]);
    to.add("scheduler", &["jobs"], &role);
}

/// The ARN of a family of task definitions, and what comes behind it.
fn family(to: &Expansion, task: &Address, behind: &str) -> Arg<String> {
    let start = format!("arn:{}:ecs:{}:{}:task-definition/", to.partition(), to.file.region, to.file.account);
    let name = Part::Output(Output { of: task.clone(), name: "family".to_owned() });
    let parts = vec![Part::Text(start), name, Part::Text(behind.to_owned())];
    super::references::joined(
        parts.into_iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty())).collect(),
    )
}
