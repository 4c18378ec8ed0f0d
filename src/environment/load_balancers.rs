//! `load_balancers`: where traffic from outside enters.

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::Rules;
use super::types::{Cidr, Duration, Text};
use crate::diagnostic::Diagnostic;

/// An application load balancer. With a certificate it serves HTTPS on 443 (TLS 1.3) and redirects 80.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// The ARN of the certificate for 443, usually `${certificates.NAME.arn}`. Without one, the load balancer serves
    /// plain HTTP on 80 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Text>,
    /// ARNs of more certificates on 443, chosen by the name that the client asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 25))]
    pub certificates: Vec<Text>,
    /// Whether the internet reaches it, or only the network itself. Default: `internet_facing`.
    #[serde(default)]
    pub scheme: Scheme,
    /// How long a connection may stay silent, 1s to 4000s. Default: `60s`.
    #[serde(default = "idle_timeout")]
    #[schemars(extend("x-shortest" = "1s", "x-longest" = "4000s"))]
    pub idle_timeout: Duration,
    /// Whether AWS refuses to delete it. Default: true.
    #[serde(default = "yes")]
    pub deletion_protection: bool,
    /// The address ranges that may connect. Default: `[0.0.0.0/0]`, which is everyone.
    #[serde(default = "everyone")]
    #[schemars(with = "Vec<Cidr>", length(min = 1, max = 30))]
    pub allow: Vec<Ipv4Net>,
    /// The request header that leads to the idle colour of a blue/green service, for the checks before a switch.
    /// Default: `X-Infra-Test`.
    #[serde(default = "test_header")]
    #[schemars(length(max = 40), regex(pattern = r"^[A-Za-z][A-Za-z0-9-]*$"))]
    pub test_header: String,
    /// Refuses to delete what this makes, or to replace it by deleting it first, also once it is no longer in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
}

/// Who reaches a load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// The internet, as far as `allow` lets it.
    #[default]
    InternetFacing,
    /// Only the network itself.
    Internal,
}

const fn idle_timeout() -> Duration {
    Duration(60)
}

const fn yes() -> bool {
    true
}

fn everyone() -> Vec<Ipv4Net> {
    vec![Ipv4Net::default()]
}

fn test_header() -> String {
    "X-Infra-Test".to_owned()
}

impl LoadBalancer {
    pub(super) fn check(&self, name: &str, rules: &mut Rules<'_>) {
        if self.certificate.is_none() && !self.certificates.is_empty() {
            let message = "`certificates` are additions to `certificate`, which is missing";
            let place = rules.tree.key_place_of(&["load_balancers", name, "certificates"]);
            let error = Diagnostic::error("certificates", message).at(place, "");
            rules.report(error.help("make the first one `certificate`"));
        }
        for (at, net) in self.allow.iter().enumerate() {
            rules.no_host_bits(*net, &["load_balancers", name, "allow", &at.to_string()]);
        }
    }
}
