//! Who may do what: roles, and the policies of resources.

use super::{Context, Hit, Rule, Severity, texts};
use crate::kinds::iam_role::IamRole;
use crate::value::{Arg, Fields, Value};

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "admin_policy",
        severity: Severity::Error,
        what: "A role may do everything",
        why: "whoever gets into what has this role owns the account: its data, its backups and its bills",
        remedy: "name the actions and the resources that it needs",
        find: admin_policy,
    },
    Rule {
        code: "wildcard_principal",
        severity: Severity::Error,
        what: "A policy lets everyone in the world in, without a condition",
        why: "any AWS account, or anybody at all, may then do what the statement allows",
        remedy: "name the accounts, roles or services, or add a condition such as `aws:SourceAccount`",
        find: wildcard_principal,
    },
    Rule {
        code: "any_repository",
        severity: Severity::Error,
        what: "A role trusts GitHub without saying which repository",
        why: "every workflow of every repository on GitHub can take the role",
        remedy: "add a condition on `token.actions.githubusercontent.com:sub`, as in `repo:acme/shop:environment:production`",
        find: any_repository,
    },
    Rule {
        code: "wildcard_iam",
        severity: Severity::Warning,
        what: "A role may do everything that a service offers, on everything",
        why: "one that should read one bucket then deletes all of them",
        remedy: "name the actions, and the resources that they are for",
        find: wildcard_iam,
    },
    Rule {
        code: "pass_any_role",
        severity: Severity::Warning,
        what: "A role may hand any role of the account to a service",
        why: "it can then start something with more rights than it has itself, up to those of an administrator",
        remedy: "name the roles in `resources`, and the service in a condition on `iam:PassedToService`",
        find: pass_any_role,
    },
    Rule {
        code: "foreign_trust",
        severity: Severity::Warning,
        what: "A role trusts another account without a condition",
        why: "whoever that account lets in can take the role, also on behalf of a stranger",
        remedy: "add a condition on `sts:ExternalId`, or on the role that may take it",
        find: foreign_trust,
    },
    Rule {
        code: "long_session",
        severity: Severity::Warning,
        what: "People or pipelines can keep a role for more than four hours at once",
        why: "credentials that leak stay good for as long",
        remedy: "let `max_session_seconds` be 14400 or less",
        find: long_session,
    },
];

/// Policies of AWS that come to all rights, or to the right to give oneself all rights.
const ADMINISTRATORS: &[&str] = &["/AdministratorAccess", "/PowerUserAccess", "/IAMFullAccess"];
const FOUR_HOURS: u32 = 4 * 3600;

/// One statement of a policy that allows something.
struct Allows<'a> {
    fields: &'a Fields,
}

impl Allows<'_> {
    fn texts(&self, element: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(value) = self.fields.get(element) {
            texts(value, "", &mut |_, text| found.push(text.into_owned()));
        }
        found
    }

    fn on_everything(&self) -> bool {
        self.texts("Resource").iter().any(|resource| resource == "*")
    }

    fn unconditional(&self) -> bool {
        self.fields.get("Condition").is_none_or(Value::is_empty)
    }
}

fn allows(policy: &Value) -> Vec<Allows<'_>> {
    let statements: &[Value] = match policy {
        Value::Map(fields) => match fields.get("Statement") {
            Some(Value::List(statements)) => statements,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        },
        _ => &[],
    };
    let fields = statements.iter().filter_map(|statement| match statement {
        Value::Map(fields) if fields.get("Effect").and_then(Value::as_text) == Some("Allow") => Some(Allows { fields }),
        _ => None,
    });
    fields.collect()
}

/// What is wrong with statements of the policies of roles.
fn roles(context: &Context, wrong: impl Fn(&Allows) -> Option<String>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, role) in context.each::<IamRole>() {
        for (name, policy) in &role.policies {
            let found = allows(&policy.0).iter().find_map(&wrong);
            hits.extend(found.map(|what| Hit::new(resource, &format!("policies.{name}"), what).near(&["policies"])));
        }
    }
    hits
}

fn admin_policy(context: &Context) -> Vec<Hit> {
    let mut hits = roles(context, |statement| {
        let all = statement.texts("Action").iter().any(|action| action == "*" || action == "*:*");
        (all && statement.on_everything()).then(|| "it may do everything".to_owned())
    });
    for (resource, role) in context.each::<IamRole>() {
        let known = |arn: &Arg<String>| match arn {
            Arg::Known(arn) => ADMINISTRATORS.iter().find(|name| arn.ends_with(*name)),
            Arg::Reference(_) => None,
        };
        if let Some(name) = role.attached.iter().find_map(known) {
            let message = format!("AWS's policy {} comes to all rights", name.trim_start_matches('/'));
            hits.push(Hit::new(resource, "attached", message));
        }
    }
    hits
}

fn wildcard_iam(context: &Context) -> Vec<Hit> {
    roles(context, |statement| {
        let actions = statement.texts("Action");
        let whole = actions.iter().find(|action| action.ends_with(":*") && *action != "*:*")?;
        statement.on_everything().then(|| format!("it may do {whole} on everything"))
    })
}

fn pass_any_role(context: &Context) -> Vec<Hit> {
    roles(context, |statement| {
        let passes = |action: &String| matches!(action.to_lowercase().as_str(), "iam:passrole" | "iam:pass*" | "iam:*");
        let all = |resource: &String| resource == "*" || resource.ends_with(":role/*");
        let any = statement.texts("Action").iter().any(passes) && statement.texts("Resource").iter().any(all);
        (any && statement.unconditional()).then(|| "it may hand any role to any service".to_owned())
    })
}

fn everyone(statement: &Allows) -> bool {
    match statement.fields.get("Principal") {
        Some(Value::Text(text)) => text == "*",
        Some(Value::Map(kinds)) => kinds.get("AWS").is_some_and(|value| {
            let mut everyone = false;
            texts(value, "", &mut |_, text| everyone |= text == "*");
            everyone
        }),
        _ => false,
    }
}

fn wildcard_principal(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for resource in context.desired.resources.values() {
        // An endpoint is reached from its network only, and its policy limits what goes through, not who may.
        if resource.address.kind == "vpc_endpoint" {
            continue;
        }
        for field in ["trust", "policy"] {
            let open = |statement: &Allows| statement.unconditional() && everyone(statement);
            if resource.fields.get(field).is_some_and(|policy| allows(policy).iter().any(open)) {
                hits.push(Hit::new(resource, field, "its policy lets everyone in"));
            }
        }
    }
    hits
}

fn any_repository(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, role) in context.each::<IamRole>() {
        let trusts = |statement: &&Allows| {
            let principals = statement.texts("Principal");
            principals
                .iter()
                .any(|text| text.contains("token.actions.githubusercontent.com") || text.contains("${oidc_provider."))
        };
        let open = |statement: &Allows| {
            let mut subjects = Vec::new();
            if let Some(conditions) = statement.fields.get("Condition") {
                texts(conditions, "", &mut |path, text| {
                    // The path is the operator, the key, which holds dots itself, and the index of the value.
                    let key = path.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
                    if key.starts_with("String") && key.to_lowercase().ends_with(":sub") {
                        subjects.push(text.into_owned());
                    }
                });
            }
            let owner = |subject: &String| {
                subject.strip_prefix("repo:").map(|rest| rest.split('/').next().unwrap_or_default().to_owned())
            };
            subjects.is_empty() || subjects.iter().any(|one| owner(one).is_none_or(|owner| owner.contains(['*', '?'])))
        };
        if allows(&role.trust.0).iter().filter(trusts).any(open) {
            hits.push(Hit::new(resource, "trust", "it trusts any repository on GitHub"));
        }
    }
    hits
}

/// The account of a principal: a number, or the fifth part of an ARN.
fn account(principal: &str) -> Option<&str> {
    let account = if principal.starts_with("arn:") { principal.split(':').nth(4)? } else { principal };
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
}

fn foreign_trust(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, role) in context.each::<IamRole>() {
        for statement in allows(&role.trust.0).iter().filter(|statement| statement.unconditional()) {
            let principals = statement.texts("Principal");
            let foreign =
                principals.iter().filter_map(|text| account(text)).find(|one| *one != context.desired.account);
            hits.extend(foreign.map(|account| {
                Hit::new(resource, "trust", format!("it trusts account {account} without a condition"))
            }));
        }
    }
    hits
}

fn long_session(context: &Context) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (resource, role) in context.each::<IamRole>() {
        let services = allows(&role.trust.0).iter().all(|statement| {
            matches!(statement.fields.get("Principal"), Some(Value::Map(kinds)) if kinds.keys().all(|kind| kind == "Service"))
        });
        if role.max_session_seconds > FOUR_HOURS && !services {
            let hours = role.max_session_seconds / 3600;
            hits.push(Hit::new(resource, "max_session_seconds", format!("its credentials are good for {hours} hours")));
        }
    }
    hits
}
