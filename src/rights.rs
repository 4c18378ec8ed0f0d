//! What IAM must allow: each kind states its actions in [`Rights`], and this makes the least policies of them.
//!
//! An action is limited to our resources where IAM can do so and our names tell which they are. Whatever it deletes in EC2
//! and of load balancers, whose ARNs tell nothing, must carry our tags.

mod document;
mod needs;
mod release;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use crate::address::{ENVIRONMENT, PROJECT};
use crate::desired::Desired;
use crate::kind::Info;
use crate::kinds;
use crate::policy::{self, Statement};
use crate::value::{Fields, Value};

pub use document::{Document, LIMIT, documents};
pub use needs::{Answer, Asked, Judged, context, judge, needs, some_of};
pub use release::{Releases, release};
pub use secrets::secrets;

/// The actions that one kind needs, in IAM's names, separated by spaces. What AWS asks of the caller on the way, such as
/// `ec2:CreateTags` of a create with tags, is among them.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    pub read: &'static str,
    pub create: &'static str,
    /// Also right after a create, and to mark what is replaced.
    pub update: &'static str,
    pub delete: &'static str,
    /// What is read only to tell why something fails. No plan reads it, and nothing is refused for the lack of it.
    pub tells: &'static str,
    /// Which resources they change, as `service:resource` in ARNs, where names tell: `{name}` or `{family}` is that of
    /// each resource in the file. Actions of other services are allowed on all.
    pub on: &'static str,
    /// The services that it hands roles over to.
    pub passes: &'static str,
    /// The services for which AWS makes a linked role with the first such resource of an account.
    pub links: &'static str,
}

impl Rights {
    /// What a kind does not say.
    pub const NONE: Self =
        Self { read: "", create: "", update: "", delete: "", tells: "", on: "", passes: "", links: "" };

    /// The actions that change something.
    pub fn writes(&self) -> impl Iterator<Item = &'static str> {
        [self.create, self.update, self.delete].into_iter().flat_map(str::split_whitespace)
    }
}

/// Actions of services with `on` for which IAM knows no resource.
const WITHOUT_RESOURCE: &[&str] = &["ecs:DeregisterTaskDefinition", "sns:Unsubscribe"];
/// Services that look at the tags of what is deleted.
const BY_TAG: &[&str] = &["ec2", "elasticloadbalancing", "kms"];
/// Who the caller is, what a region has, and the index of tags.
const LOOK: &[&str] =
    &["ec2:DescribeAvailabilityZones", "ec2:DescribeRegions", "sts:GetCallerIdentity", "tag:GetResources"];
/// The names of services in our operations where IAM has others.
const SERVICES: &[(&str, &str)] = &[
    ("autoscaling", "application-autoscaling"),
    ("elb", "elasticloadbalancing"),
    ("namespaces", "servicediscovery"),
    ("secrets", "secretsmanager"),
    ("tagging", "tag"),
    ("waf", "wafv2"),
];
/// The lock.
const PARAMETERS: &[&str] = &["ssm:DeleteParameter", "ssm:GetParametersByPath", "ssm:PutParameter"];
/// What writes the history, and makes its log group where no apply has yet.
const HISTORY: &[&str] = &[
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "logs:PutRetentionPolicy",
    "logs:TagResource",
];
/// Generated names begin so at least, however long a project and an environment are called: load balancers and target
/// groups have 32 letters, of which 14 are for hashes.
const START: usize = 18;

/// What IAM calls a service of our operations.
#[must_use]
pub fn service(ours: &str) -> &str {
    SERVICES.iter().find(|(name, _)| *name == ours).map_or(ours, |(_, iam)| iam)
}

/// The part of AWS that a region belongs to, as ARNs name it.
#[must_use]
pub fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The actions that read all kinds: a plan looks at every kind, since it finds by that what has left the file.
#[must_use]
pub fn reads() -> BTreeSet<String> {
    let kinds = kinds::ALL.iter().flat_map(|info| info.rights.read.split_whitespace());
    let short = |action: &str| {
        let verb = ["Describe", "List"].into_iter().find_map(|verb| Some((action.find(&format!(":{verb}"))?, verb)));
        // These two show how things are configured, never what is in them.
        verb.map_or_else(|| action.to_owned(), |(at, verb)| format!("{}:{verb}*", &action[..at]))
    };
    kinds.chain(LOOK.iter().copied()).map(short).collect()
}

/// Whether one of these actions is this one, or stands for it.
fn covers(reads: &BTreeSet<String>, action: &str) -> bool {
    reads.iter().any(|read| match read.strip_suffix('*') {
        Some(start) => action.starts_with(start),
        None => read == action,
    })
}

/// What `infra plan` needs.
#[must_use]
pub fn plan() -> Vec<Statement> {
    let reads = reads();
    vec![policy::allow(&reads.iter().map(String::as_str).collect::<Vec<_>>(), ["*"]).sid("Read")]
}

/// What `infra apply` and `infra destroy` need for the kinds in this file.
#[must_use]
pub fn apply(desired: &Desired) -> Vec<Statement> {
    let (whose, reads) = (Whose::of(desired), reads());
    let mut statements = plan();
    statements.push(policy::allow(PARAMETERS, whose.parameters()).sid("Lock"));
    statements.push(policy::allow(HISTORY, whose.history()).sid("History"));
    statements.push(policy::allow(&["iam:SimulatePrincipalPolicy"], whose.callers()).sid("Preflight"));
    let mut groups: BTreeMap<Whereto, Group> = BTreeMap::new();
    for kind in kinds_of(desired) {
        let arns = whose.arns(kind, desired);
        let delete: BTreeSet<&str> = kind.rights.delete.split_whitespace().collect();
        let elsewhere: BTreeSet<&str> =
            [kind.rights.create, kind.rights.update].into_iter().flat_map(str::split_whitespace).collect();
        // Most of what tells why something failed is among what all plans read.
        let tells = kind.rights.tells.split_whitespace().filter(|action| !covers(&reads, action));
        for action in kind.rights.writes().chain(tells) {
            let service = action.split(':').next().unwrap_or_default();
            let limit = limit(&kind.rights, action, delete.contains(action) && !elsewhere.contains(action));
            let named = arns.get(service).filter(|_| limit == Limit::Named).cloned();
            let whereto = Whereto { service, limit, arns: named.unwrap_or_default() };
            let group = groups.entry(whereto).or_insert_with(|| Group { kind: kind.name, actions: BTreeSet::new() });
            group.actions.insert(action);
        }
    }
    statements.extend(groups.iter().map(|(whereto, group)| whose.statement(whereto, group)));
    statements.extend(whose.roles(desired));
    statements
}

/// How far an action is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Limit {
    /// To resources with our names.
    Named,
    /// To resources with our tags.
    Tagged,
    /// To what other services do for the caller, such as encrypt.
    Through,
    Nothing,
}

/// What a statement is about: actions of one service on the same resources.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Whereto {
    service: &'static str,
    limit: Limit,
    /// Those with our names; none with another limit.
    arns: BTreeSet<String>,
}

struct Group {
    /// The first kind that needs it.
    kind: &'static str,
    actions: BTreeSet<&'static str>,
}

fn limit(rights: &Rights, action: &str, deletes: bool) -> Limit {
    let service = action.split(':').next().unwrap_or_default();
    let named = rights.on.split_whitespace().any(|on| on.split(':').next() == Some(service));
    if named && !WITHOUT_RESOURCE.contains(&action) {
        Limit::Named
    } else if deletes && BY_TAG.contains(&service) {
        Limit::Tagged
    } else if service == "kms" && !rights.read.contains("kms:") {
        Limit::Through
    } else {
        Limit::Nothing
    }
}

/// The kinds in the file.
fn kinds_of(desired: &Desired) -> impl Iterator<Item = &'static Info> {
    let names: BTreeSet<&str> = desired.resources.keys().map(|address| address.kind.as_str()).collect();
    kinds::ALL.iter().filter(move |info| names.contains(info.name))
}

/// Whose resources they are.
struct Whose<'a> {
    project: &'a str,
    environment: &'a str,
    account: &'a str,
    region: &'a str,
}

impl<'a> Whose<'a> {
    fn of(desired: &'a Desired) -> Self {
        let Desired { project, environment, account, region, resources: _ } = desired;
        Self { project, environment, account, region }
    }

    /// The ARN of `rest` of a service; IAM, S3 and dashboards know no regions.
    fn arn(&self, service: &str, region: &str, rest: &str) -> String {
        let Self { account, region: home, .. } = self;
        let partition = partition(home);
        match service {
            "s3" => format!("arn:{partition}:s3:::{rest}"),
            "iam" => format!("arn:{partition}:iam::{account}:{rest}"),
            "cloudwatch" if rest.starts_with("dashboard/") => format!("arn:{partition}:cloudwatch::{account}:{rest}"),
            _ => format!("arn:{partition}:{service}:{region}:{account}:{rest}"),
        }
    }

    fn parameters(&self) -> [String; 2] {
        let path = format!("parameter/infra/{}/{}", self.project, self.environment);
        let arn = |rest: &str| self.arn("ssm", self.region, rest);
        [arn(&path), arn(&format!("{path}/*"))]
    }

    fn history(&self) -> [String; 2] {
        let group = format!("log-group:/infra/{}/{}", self.project, self.environment);
        [self.arn("logs", self.region, &group), self.arn("logs", self.region, &format!("{group}:*"))]
    }

    fn callers(&self) -> [String; 2] {
        ["role/*", "user/*"].map(|rest| self.arn("iam", "", rest))
    }

    /// How names that the file does not choose begin.
    fn generated(&self) -> String {
        let prefix = format!("{}-{}-", self.project, self.environment);
        // Some services know no `_`, and get a `-`.
        format!("{}*", prefix.get(..START).unwrap_or(&prefix).replace('_', "?"))
    }

    /// The ARNs of what a kind changes in this file, by service.
    fn arns(&self, kind: &Info, desired: &Desired) -> BTreeMap<String, BTreeSet<String>> {
        let mut arns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for resource in desired.resources.values().filter(|resource| resource.address.kind == kind.name) {
            let on = kind.rights.on.split_whitespace();
            for (service, arn) in on.filter_map(|on| self.arn_of(on, &resource.fields)) {
                arns.entry(service).or_default().insert(arn);
            }
        }
        arns
    }

    /// The ARN of `on` for one resource of a kind, each with its service.
    fn arn_of(&self, on: &str, fields: &Fields) -> Option<(String, String)> {
        let field = |name: &str| fields.get(name).and_then(Value::as_text).map(str::to_owned);
        let region = field("region").unwrap_or_else(|| self.region.to_owned());
        let (service, rest) = on.split_once(':')?;
        let chosen = |name: &str| field(name).unwrap_or_else(|| self.generated());
        let rest = rest.replace("{name}", &chosen("name")).replace("{family}", &chosen("family"));
        let rest = rest.replace("{project}", self.project).replace("{environment}", self.environment);
        let rest = rest.replace("**", "*");
        Some((service.to_owned(), self.arn(service, &region, &rest)))
    }

    /// The path of our roles.
    fn role_path(&self) -> String {
        self.arn("iam", "", &format!("role/infra/{}/{}/*", self.project, self.environment))
    }

    fn statement(&self, Whereto { service, limit, arns }: &Whereto, group: &Group) -> Statement {
        let actions: Vec<&str> = group.actions.iter().copied().collect();
        let sid = |end: &str| format!("{}{end}", camel(service));
        let anywhere = policy::allow(&actions, ["*"]);
        match limit {
            Limit::Named => policy::allow(&actions, arns.iter().cloned()).sid(&sid(&camel(group.kind))),
            Limit::Tagged => anywhere
                .sid(&sid("Ours"))
                .when("StringEquals", &format!("aws:ResourceTag/{PROJECT}"), [self.project])
                .when("StringEquals", &format!("aws:ResourceTag/{ENVIRONMENT}"), [self.environment]),
            Limit::Through => {
                anywhere.sid(&sid("ThroughServices")).when("StringLike", "kms:ViaService", ["*.amazonaws.com"])
            }
            Limit::Nothing => anywhere.sid(&sid("Anywhere")),
        }
    }

    /// Roles that are handed over, and those that AWS makes for its services.
    fn roles(&self, desired: &Desired) -> Vec<Statement> {
        let all = |of: fn(&Rights) -> &'static str| -> BTreeSet<&str> {
            kinds_of(desired).flat_map(|kind| of(&kind.rights).split_whitespace()).collect()
        };
        let (passes, links) = (all(|rights| rights.passes), all(|rights| rights.links));
        let one = |action, arn: String, sid, key, services: BTreeSet<&str>| {
            let statement = policy::allow(&[action], [arn]).sid(sid);
            (!services.is_empty()).then(|| statement.when("StringEquals", key, services))
        };
        let pass = one("iam:PassRole", self.role_path(), "PassRoles", "iam:PassedToService", passes);
        let linked = self.arn("iam", "", "role/aws-service-role/*");
        let link = one("iam:CreateServiceLinkedRole", linked, "LinkedRoles", "iam:AWSServiceName", links);
        pass.into_iter().chain(link).collect()
    }
}

/// The name of a service or a kind as part of a Sid, which takes letters and digits only.
fn camel(service: &str) -> String {
    let part = |part: &str| part[..1].to_uppercase() + &part[1..];
    service.split(['-', '_']).filter(|one| !one.is_empty()).map(part).collect()
}
