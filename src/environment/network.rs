//! `network`: the VPC, its zones and its subnets.

use std::fmt;
use std::str::FromStr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nearest;
use super::rules::Rules;
use super::types::{Cidr, Duration, written_as_text};
use crate::diagnostic::Diagnostic;
use crate::kinds::log_group::RETENTIONS;

/// The network: a VPC with public subnets (load balancers and NAT only), private ones (containers) and data ones
/// (databases, with no way out), one of each in every zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The VPC's private address range, /16 to /28, such as `10.0.0.0/16`. It cannot be changed later.
    #[schemars(with = "Cidr")]
    pub cidr: Ipv4Net,
    /// How many availability zones to use (1 to 6), or which ones: `3`, `[a, b, c]` or `[us-east-1a, us-east-1c]`.
    #[schemars(example = 3)]
    pub zones: Zones,
    /// How private subnets reach the internet. Default: `per_zone`.
    #[serde(default)]
    pub nat: Nat,
    /// The sizes of the subnets. Default: for a VPC of `/n`, private ones `/(n+4)`, public and data ones `/(n+6)`. Each
    /// tier keeps room for 8 zones (4 or fewer in small VPCs), so that a new zone never moves a subnet.
    #[serde(default)]
    pub subnets: Subnets,
    /// AWS services that private subnets reach without NAT, such as `[s3, ecr, logs, secretsmanager]`. `s3` and `dynamodb`
    /// are free; each other one costs by the hour and zone. With `nat: none` services reach these and nothing else. To start,
    /// they then need `s3`, `ecr` and `logs`, and `secretsmanager` for secrets. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40), inner(regex(pattern = r"^[a-z0-9][a-z0-9.-]*$")))]
    pub endpoints: Vec<String>,
    /// How long to keep the log of connections, such as `30d`. Default: there is no such log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-shortest" = "1d", "x-longest" = "3653d", "x-whole-days" = true))]
    pub flow_logs: Option<Duration>,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// How many zones, or which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Zones {
    /// The first zones of the region, in the order of their names.
    Count(#[schemars(range(min = 1, max = 6))] u8),
    /// These zones, by letter or name. Add new ones at the end: the order decides which addresses a zone has.
    Named(#[schemars(length(min = 1, max = 6))] Vec<Zone>),
}

impl Zones {
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Count(count) => usize::from(*count),
            Self::Named(names) => names.len(),
        }
    }
}

/// An availability zone: the letter, or the full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Zone(pub String);

written_as_text!(
    Zone,
    "an availability zone",
    "^([a-z]|[a-z]{2}(-[a-z]+)+-[0-9][a-z])$",
    "a",
    "a letter such as `a`, or a full name such as `us-east-1a`"
);

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Zone {
    /// The last letter, which is what tells the zones of a region apart.
    #[must_use]
    pub fn letter(&self) -> &str {
        self.0.get(self.0.len().saturating_sub(1)..).unwrap_or_default()
    }
}

/// How private subnets reach the internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nat {
    /// Not at all.
    None,
    /// Through one NAT gateway: cheaper, but the loss of its zone cuts off all.
    Single,
    /// Through a NAT gateway in each zone.
    #[default]
    PerZone,
}

/// The sizes of the subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subnets {
    /// Size of each public subnet (`/22`), or the ranges themselves, one a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<Size>,
    /// Size of each private subnet (`/20`), or the ranges themselves, one a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Size>,
    /// Size of each data subnet (`/22`), or the ranges themselves, one a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Size>,
}

/// A size for all subnets of a tier, or their ranges one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    Prefix(Prefix),
    /// One range a zone, in the order of the zones.
    Ranges(#[schemars(with = "Vec<Cidr>", length(min = 1, max = 6))] Vec<Ipv4Net>),
}

/// A subnet's size as a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(pub u8);

written_as_text!(
    Prefix,
    "a subnet's size",
    "^/(1[6-9]|2[0-8])$",
    "/20",
    "`/16` (65,536 addresses) to `/28` (16 addresses)"
);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length = text.strip_prefix('/').and_then(|length| length.parse().ok());
        length.filter(|length| (16..=28).contains(length)).map(Self).ok_or_else(|| "write `/16` to `/28`".to_owned())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// What a subnet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Load balancers and NAT gateways; the internet reaches it.
    Public,
    /// Containers; they reach out through NAT, nobody reaches in.
    Private,
    /// Databases; no way in or out of the network.
    Data,
}

impl Tier {
    pub const ALL: [Self; 3] = [Self::Public, Self::Private, Self::Data];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Data => "data",
        }
    }
}

impl Subnets {
    #[must_use]
    pub const fn of(&self, tier: Tier) -> Option<&Size> {
        match tier {
            Tier::Public => self.public.as_ref(),
            Tier::Private => self.private.as_ref(),
            Tier::Data => self.data.as_ref(),
        }
    }
}

/// Services of AWS that have endpoints, as far as their names are worth a guess. AWS has more, which are taken as they
/// are.
const SERVICES: &[&str] = &[
    "airflow.api",
    "application-autoscaling",
    "athena",
    "autoscaling",
    "backup",
    "bedrock-runtime",
    "cloudformation",
    "cloudtrail",
    "codeartifact.api",
    "codebuild",
    "codedeploy",
    "codepipeline",
    "dynamodb",
    "ecr",
    "ecr.api",
    "ecr.dkr",
    "ecs-agent",
    "ecs-telemetry",
    "elasticache",
    "elasticfilesystem",
    "elasticloadbalancing",
    "email-smtp",
    "events",
    "execute-api",
    "kinesis-firehose",
    "kinesis-streams",
    "lambda",
    "monitoring",
    "s3",
    "secretsmanager",
    "servicediscovery",
    "ssmmessages",
    "states",
    "synthetics",
    "textract",
    "transfer",
];

/// Names by which people know services, and those that their endpoints have.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("cloudwatch", "`logs` for logs and `monitoring` for metrics"),
    ("cloudwatch-logs", "`logs`"),
    ("efs", "`elasticfilesystem`"),
    ("eventbridge", "`events`"),
    ("parameter-store", "`ssm`"),
    ("secrets", "`secretsmanager`"),
    ("secrets-manager", "`secretsmanager`"),
    ("ses", "`email-smtp`"),
    ("step-functions", "`states`"),
];

/// Shorter names are too near to each other for a guess.
const LEAST_GUESSED: usize = 5;

impl Network {
    pub(super) fn check_flow_logs(&self, rules: &mut Rules<'_>) {
        let Some(keep) = self.flow_logs else { return };
        let apart = |known: &Duration| known.days().abs_diff(keep.days());
        let Some(nearest) = RETENTIONS.iter().map(|days| Duration::from_days(u64::from(*days))).min_by_key(apart)
        else {
            return;
        };
        if nearest != keep {
            let message = format!("AWS cannot keep logs for {keep}, only for certain numbers of days");
            let error = Diagnostic::error("flow_logs", message).at(rules.tree.place_of(&["network", "flow_logs"]), "");
            rules.report(error.help(format!("write `flow_logs: {nearest}`, the nearest")));
        }
    }

    pub(super) fn check_endpoints(&self, rules: &mut Rules<'_>) {
        for (at, name) in self.endpoints.iter().enumerate() {
            let place = rules.tree.place_of(&["network", "endpoints", &at.to_string()]);
            let other = OTHER_NAMES.iter().find(|(other, _)| other == name).map(|(_, right)| (*right).to_owned());
            let guess = || {
                let near = nearest(name, SERVICES).filter(|_| name.len() >= LEAST_GUESSED);
                near.filter(|near| near != name).map(|near| format!("`{near}`"))
            };
            if self.endpoints[..at].contains(name) {
                let error = Diagnostic::error("endpoint", format!("the endpoint `{name}` is listed twice"));
                rules.report(error.at(place, "").help("remove one of them"));
            } else if let Some(right) = other.or_else(guess) {
                let error = Diagnostic::error("endpoint", format!("there is no endpoint for `{name}`"));
                rules.report(error.at(place, "").help(format!("write {right}")));
            }
        }
    }
}
