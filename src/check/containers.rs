//! What runs: containers, functions and their services.

use super::{Context, Hit, Rule, Severity, texts, words};
use crate::kinds::ecs_service::EcsService;
use crate::kinds::task_container::Container;
use crate::kinds::task_definition::{Owner, TaskDefinition};
use crate::value::{Arg, Part};

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "plain_secret",
        severity: Severity::Error,
        what: "A variable or an argument of a container or function holds a password, token or key as plain text",
        why: "everyone who reads the file, its history, or the task definition in AWS reads the secret",
        remedy: "make it an entry of `secrets`, and name it under the service's `secrets`; change the value, which is no secret any more",
        find: plain_secret,
    },
    Rule {
        code: "superuser_in_service",
        severity: Severity::Warning,
        what: "A service logs in as the superuser of a database",
        why: "RDS changes that password every seven days and tells no task of it, so that new connections fail until the \
              next deployment; and whoever gets into the service may do anything to the data",
        remedy: "set `rotation: 30d` on the database, and use `${databases.NAME.app.username}` and `.app.password`: services \
                 are then rolled after each change",
        find: superuser_in_service,
    },
    Rule {
        code: "unpinned_image",
        severity: Severity::Warning,
        what: "The file names an image by the tag `latest`, or by no tag where no release chooses one",
        why: "two tasks that start at different times run different programs, and nobody can go back to the last one",
        remedy: "name a version or a digest; for a service of your own leave the tag out and let releases choose it",
        find: unpinned_image,
    },
    Rule {
        code: "single_task",
        severity: Severity::Warning,
        what: "In production, a service behind a load balancer runs one task",
        why: "when the task or its zone fails, or Fargate retires it, users see errors until another one has started",
        remedy: "set `count: 2`, or `scale` with `min: 2`",
        find: single_task,
    },
    Rule {
        code: "no_circuit_breaker",
        severity: Severity::Warning,
        what: "A service goes on trying to start tasks of a deployment that fails",
        why: "a broken image is started again and again for hours, and the deployment never says that it failed",
        remedy: "set `circuit_breaker: { enable: true, rollback: true }`",
        find: no_circuit_breaker,
    },
    Rule {
        code: "public_service",
        severity: Severity::Warning,
        what: "Tasks have public addresses of their own",
        why: "one wrong rule of a firewall, and the internet reaches the containers past the load balancer",
        remedy: "take `public: true` out: tasks then stand in the private subnets and go out through NAT",
        find: public_service,
    },
    Rule {
        code: "no_logs",
        severity: Severity::Warning,
        what: "What a container writes is kept nowhere",
        why: "when it dies, its last words, which say why, are lost",
        remedy: "give the container a `log` with a log group",
        find: no_logs,
    },
    Rule {
        code: "shell_access",
        severity: Severity::Warning,
        what: "In production, commands can be run in the containers (ECS Exec)",
        why: "a role that may call ecs:ExecuteCommand reads every secret of the service, and changes what no release made",
        remedy: "set `enable_execute_command: false`, or turn it on for as long as it takes",
        find: shell_access,
    },
];

fn plain_secret(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for resource in context.all("task_definition").chain(context.all("lambda_function")) {
        for (field, value) in
            resource.fields.iter().filter(|(name, _)| matches!(name.as_str(), "containers" | "environment"))
        {
            texts(value, field, &mut |path, text| {
                let parts: Vec<&str> = path.split('.').collect();
                let at = |name: &str| parts.iter().position(|part| *part == name).and_then(|at| parts.get(at + 1));
                let (name, what) = match (at("environment"), at("command").or(at("entrypoint"))) {
                    (Some(name), _) => (*name, format!("the variable {name}")),
                    (None, Some(_)) => ("", "an argument".to_owned()),
                    _ => return,
                };
                if words::is_secret(name, &text) {
                    let message = format!("{what} holds what looks like a secret, as plain text");
                    hits.push(Hit::new(resource, path, message).hidden());
                }
            });
        }
    }
    hits
}

fn superuser_in_service(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, task) in context.each::<TaskDefinition>() {
        for (at, container) in task.containers.iter().enumerate() {
            let password = container.secrets.iter().find_map(|(name, value)| match value {
                Arg::Reference(template) => {
                    let output = template.references().find(|output| output.name == "master_secret_arn")?;
                    Some((name, &output.of.name))
                }
                Arg::Known(_) => None,
            });
            if let Some((name, database)) = password {
                let message = format!("{name} is of the superuser of the database {database}");
                hits.push(Hit::new(resource, &format!("containers.{at}.secrets"), message).near(&["secrets"]));
            }
        }
    }
    hits
}

fn unpinned_image(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, task) in context.each::<TaskDefinition>() {
        for (at, container) in task.containers.iter().enumerate() {
            let text = match &container.image {
                Arg::Known(image) => image.clone(),
                Arg::Reference(template) => match template.0.last() {
                    Some(Part::Text(tail)) => tail.clone(),
                    _ => String::new(),
                },
            };
            let last = text.rsplit('/').next().unwrap_or_default();
            let tagged = last.contains([':', '@']);
            let message = if last.ends_with(":latest") {
                format!("the image of {} is whatever `latest` is", container.name)
            } else if !tagged && task.image_owner == Owner::File {
                format!("the image of {} has no tag, and no release chooses one", container.name)
            } else {
                continue;
            };
            hits.push(Hit::new(resource, &format!("containers.{at}.image"), message));
        }
    }
    hits
}

fn single_task(context: &Context) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (resource, service) in context.each::<EcsService>() {
        if !context.production || service.load_balancers.is_empty() || !seen.insert(&resource.origin) {
            continue;
        }
        let (single, near) = match &resource.origin[..] {
            // Until its first release a service has no tasks: the file says how many it will have.
            [section, name] if section == "services" => match context.file.services.get(name) {
                Some(section) => match (&section.scale, section.count) {
                    (Some(scale), _) => (scale.min < 2, ["scale", "min"].as_slice()),
                    (None, count) => (count.unwrap_or(1) == 1, ["count"].as_slice()),
                },
                None => continue,
            },
            _ => (service.desired_count == 1 && !service.autoscaled, [].as_slice()),
        };
        if single {
            hits.push(Hit::new(resource, "desired_count", "one task serves all requests").near(near));
        }
    }
    hits
}

fn no_circuit_breaker(context: &Context) -> Vec<Hit> {
    let services = context.each::<EcsService>().filter(|(_, service)| !service.circuit_breaker.enable);
    services.map(|(one, _)| Hit::new(one, "circuit_breaker", "a deployment that fails is tried for hours")).collect()
}

fn public_service(context: &Context) -> Vec<Hit> {
    let services = context.each::<EcsService>().filter(|(_, service)| service.assign_public_ip);
    services
        .map(|(one, _)| Hit::new(one, "assign_public_ip", "its tasks have public addresses").near(&["public"]))
        .collect()
}

fn no_logs(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, task) in context.each::<TaskDefinition>() {
        // A sidecar, without which the task goes on, has no last words of interest.
        let silent = |container: &Container| container.essential && container.log.is_none();
        for (at, container) in task.containers.iter().enumerate().filter(|(_, container)| silent(container)) {
            let message = format!("what {} writes is kept nowhere", container.name);
            hits.push(Hit::new(resource, &format!("containers.{at}"), message));
        }
    }
    hits
}

fn shell_access(context: &Context) -> Vec<Hit> {
    let services = context.each::<EcsService>().filter(|(_, service)| service.enable_execute_command);
    let services = services.filter(|_| context.production);
    services.map(|(one, _)| Hit::new(one, "enable_execute_command", "commands can be run in its containers")).collect()
}
