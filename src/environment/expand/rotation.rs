//! `databases.*.rotation`: the secret of the application's user, the function that gives it a new password, and the one
//! that rolls the services which use it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Expansion, functions};
use crate::address::Address;
use crate::environment::databases::{Database, Engine};
use crate::environment::network::{Nat, Network, Tier};
use crate::environment::types::Duration;
use crate::kinds::event_rule::{self, EventRule};
use crate::kinds::lambda_function::{Architecture, Code, LambdaFunction, Permission};
use crate::kinds::secret::{self, Secret};
use crate::kinds::security_group::{Peer, Rule, SecurityGroup};
use crate::policy::{self, Statement};
use crate::rotation::credentials::Pair;
use crate::rotation::{self, ROLL, USER, variables};
use crate::tags::Tags;
use crate::value::{Arg, Output, Part, Template, Value};

const LOG_DAYS: u32 = 90;

/// The secret of the application's user of a database.
pub(super) fn secret(database: &str) -> Address {
    Address::new("secret", rotation::secret_of(database))
}

/// The name of what belongs to the function for a database.
pub(super) fn label(database: &str) -> String {
    format!("rotate-{database}")
}

/// The firewall of the function for a database.
pub(super) fn firewall_of(database: &str) -> Address {
    Address::new("security_group", label(database))
}

pub(super) fn expand(to: &mut Expansion) {
    let rotating = to.file.databases.iter().filter_map(|(name, one)| Some((name, one, one.rotation?)));
    let rotating: Vec<(&String, &Database, Duration)> = rotating.collect();
    for &(name, database, every) in &rotating {
        check(to, name, database);
        credentials(to, name, database, every);
        rotator(to, name, database);
    }
    if !rotating.is_empty() && !to.file.services.is_empty() {
        let secrets: Vec<Address> = rotating.iter().map(|(name, ..)| secret(name)).collect();
        roller(to, &secrets, rotating[0].0);
    }
}

/// Says what stands in the way of a rotation.
fn check(to: &mut Expansion, name: &str, database: &Database) {
    let cut_off = |network: &Network| {
        network.nat == Nat::None && !network.endpoints.iter().any(|endpoint| endpoint == "secretsmanager")
    };
    let (message, help) = if database.engine != Engine::Postgres {
        ("only passwords of postgres can rotate".to_owned(), "take it out")
    } else if Pair::of(&database.username).is_ok_and(|pair| pair.base == USER) {
        let message = format!("the superuser is called `{}`, as the application's user is", database.username);
        (message, "write another `username`")
    } else if to.file.network.as_ref().is_some_and(cut_off) {
        let message = "the function that rotates has no way to Secrets Manager".to_owned();
        (message, "add `secretsmanager` to `network.endpoints`, or a `nat`")
    } else {
        return;
    };
    to.wrong(&["databases", name, "rotation"], message, Some(help.to_owned()));
}

/// The secret. Its first password is made here, and its user by the first rotation.
fn credentials(to: &mut Expansion, name: &str, database: &Database, every: Duration) {
    let instance = Address::new("db_instance", name);
    let text = |text: &str| secret::Part::Text(text.into());
    let output = |output: &str| secret::Part::Text(Arg::output(&instance, output));
    let password = secret::Generate { length: 32, charset: secret::Charset::Alphanumeric, exclude: String::new() };
    let json = BTreeMap::from([
        ("engine", text(database.engine.name())),
        ("host", output("endpoint")),
        ("port", output("port")),
        ("dbname", text(database.name.as_deref().unwrap_or_default())),
        ("username", text(USER)),
        ("password", secret::Part::Generate(password)),
        ("masterarn", output("master_secret_arn")),
    ]);
    let spec = Secret {
        name: None,
        description: format!("The application's user of the database {name}"),
        kms_key_arn: to.main_key(),
        generate: None,
        json: Some(json.into_iter().map(|(key, part)| (key.to_owned(), part)).collect()),
        recovery_window_days: 30,
        policy: None,
        rotation: Some(secret::Rotation {
            function_arn: Arg::output(&Address::new("lambda_function", label(name)), "arn"),
            days: u32::try_from(every.days()).unwrap_or(u32::MAX),
        }),
        tags: Tags::new(),
    };
    to.add(secret(name).name, &["databases", name], &spec);
}

/// The function, which reaches the database and Secrets Manager and nothing else of the environment.
fn rotator(to: &mut Expansion, name: &str, database: &Database) {
    let (origin, label) = (["databases", name], label(name));
    let group = Arg::output(&Address::new("security_group", format!("db-{name}")), "id");
    let mut egress = to.https_to("secretsmanager");
    egress.push(Rule::tcp(database.engine.port(), Peer::SecurityGroup(group), &format!("database {name}")));
    let firewall = SecurityGroup {
        vpc_id: to.vpc(&origin),
        name: None,
        description: format!("Rotation of the credentials of database {name}"),
        ingress: Vec::new(),
        egress,
        exclusive: false,
        tags: Tags::new(),
    };
    let firewall = to.add(firewall_of(name).name, &origin, &firewall);
    let own = Arg::output(&secret(name), "arn");
    let master = Arg::output(&Address::new("db_instance", name), "master_secret_arn");
    let write = [
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ];
    let interfaces = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ];
    let mut statements = vec![
        policy::allow(&write, [own.clone()]).sid("Secret"),
        policy::allow(&["secretsmanager:GetSecretValue"], [master]).sid("Superuser"),
        policy::allow(&["secretsmanager:GetRandomPassword"], ["*"]).sid("Passwords"),
        policy::allow(&interfaces, ["*"]).sid("Network"),
    ];
    if let Some(key) = to.main_key() {
        statements.push(policy::allow(&["kms:Decrypt", "kms:GenerateDataKey"], [key]).sid("Key"));
    }
    let environment = BTreeMap::from([
        (variables::MAKES.to_owned(), USER.into()),
        (variables::ROLLS.to_owned(), (!to.file.services.is_empty()).to_string().into()),
    ]);
    let part = Function {
        label,
        description: format!("Rotates the credentials of the database {name}"),
        statements,
        environment,
        timeout_seconds: 60,
        subnets: to.subnets(Tier::Private).into_iter().collect(),
        security_groups: [Arg::output(&firewall, "id")].into(),
        permissions: vec![Permission::service("rotation", "secretsmanager.amazonaws.com", own)],
    };
    part.add(to, &origin);
}

/// The function that rolls services: by a rule when a secret has rotated, and by another one again and again, since a call
/// may come while a release of a service is under way, which it leaves alone.
fn roller(to: &mut Expansion, secrets: &[Address], database: &str) {
    let origin = ["databases", database];
    let arns: BTreeSet<Arg<String>> = secrets.iter().map(|secret| Arg::output(secret, "arn")).collect();
    let mut listed = Vec::new();
    for (at, secret) in secrets.iter().enumerate() {
        listed.extend((at > 0).then(|| Part::Text(" ".to_owned())));
        listed.push(Part::Output(Output { of: secret.clone(), name: "arn".to_owned() }));
    }
    let (region, account, partition) = (&to.file.region, &to.file.account, to.partition());
    let arn = |service: &str, rest: &str| format!("arn:{partition}:{service}:{region}:{account}:{rest}");
    let cluster = to.aws_name("main", 255);
    let services = [arn("ecs", &format!("service/{cluster}/*"))];
    let locks = [arn("ssm", &format!("parameter/infra/{}/{}/release/*", to.file.project, to.name))];
    let look = [
        "ecs:DescribeServices",
        "ecs:DescribeTaskDefinition",
        "ecs:DescribeTasks",
        "ecs:ListServices",
        "ecs:ListTasks",
        "elasticloadbalancing:DescribeTargetHealth",
    ];
    let lock = ["ssm:DeleteParameter", "ssm:GetParametersByPath", "ssm:PutParameter"];
    let of_secrets =
        ["secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds", "secretsmanager:TagResource"];
    let statements = vec![
        policy::allow(&look, ["*"]).sid("Look"),
        policy::allow(&["ecs:TagResource", "ecs:UpdateService"], services).sid("Roll"),
        policy::allow(&lock, locks).sid("Locks"),
        policy::allow(&of_secrets, arns).sid("Secrets"),
    ];
    let environment = BTreeMap::from([
        (variables::PROJECT.to_owned(), to.file.project.clone().into()),
        (variables::ENVIRONMENT.to_owned(), to.name.to_owned().into()),
        (variables::CLUSTER.to_owned(), Arg::output(&Address::new("ecs_cluster", "main"), "arn")),
        (variables::SECRETS.to_owned(), Arg::Reference(Template(listed))),
    ]);
    let rule = |name: &str| Arg::output(&Address::new("event_rule", name), "arn");
    let again = format!("{ROLL}-again");
    let part = Function {
        label: ROLL.to_owned(),
        description: "Rolls the services that use a secret which has rotated".to_owned(),
        statements,
        environment,
        timeout_seconds: 900,
        subnets: BTreeSet::new(),
        security_groups: BTreeSet::new(),
        permissions: [ROLL, &again].map(|name| Permission::service(name, "events.amazonaws.com", rule(name))).into(),
    };
    let function = part.add(to, &origin);
    let prefix = arn("secretsmanager", &format!("secret:{}-{}-", to.file.project, to.name));
    let pattern = serde_json::json!({
        "source": ["aws.secretsmanager"],
        "detail-type": ["Secret Label Updated"],
        "resources": [{ "prefix": prefix }],
    });
    let pattern = Some(event_rule::Json(Value::from(pattern)));
    let (rotated, forgotten) =
        ("A secret has rotated", "What was not rolled when its secret rotated, such as during a release");
    for (name, description, event_pattern, schedule) in
        [(ROLL, rotated, pattern, None), (&again, forgotten, None, Some("rate(15 minutes)".to_owned()))]
    {
        let rule = EventRule {
            name: None,
            description: description.to_owned(),
            event_pattern,
            schedule,
            enabled: true,
            targets: vec![event_rule::Target::new(ROLL, Arg::output(&function, "arn"))],
            tags: Tags::new(),
        };
        to.add(name, &origin, &rule);
    }
}

/// What the two functions do not share.
struct Function {
    label: String,
    description: String,
    statements: Vec<Statement>,
    environment: BTreeMap<String, Arg<String>>,
    timeout_seconds: u32,
    subnets: BTreeSet<Arg<String>>,
    security_groups: BTreeSet<Arg<String>>,
    permissions: Vec<Permission>,
}

impl Function {
    fn add(self, to: &mut Expansion, origin: &[&str]) -> Address {
        let logs = functions::logs(to, &self.label, &self.label, LOG_DAYS, origin);
        let role = functions::role(to, &self.label, &logs, self.statements, origin);
        let package = to.file.rotation.as_ref().and_then(|rotation| rotation.package.clone());
        let function = LambdaFunction {
            name: None,
            description: self.description,
            runtime: "provided.al2023".to_owned(),
            handler: "bootstrap".to_owned(),
            architecture: Architecture::X86,
            code: Some(Code::Rotator { package }),
            code_sha256: None,
            version: None,
            memory_mb: 128,
            timeout_seconds: self.timeout_seconds,
            storage_mb: 512,
            environment: self.environment,
            kms_key_arn: to.main_key(),
            role_arn: Arg::output(&role, "arn"),
            subnets: self.subnets,
            security_groups: self.security_groups,
            log_group: Some(Arg::output(&logs, "name")),
            tracing: false,
            reserved_concurrency: None,
            permissions: self.permissions,
            tags: Tags::new(),
        };
        to.add(self.label, origin, &function)
    }
}
