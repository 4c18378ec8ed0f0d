//! What a listener or a rule does with a request: the type that both share, and who owns the weights in it.
//!
//! The weights of a forward to two target groups or more belong to releases. A plan shows the live ones, and a change
//! of anything else in the action reads them again at the last moment and sends them along: no release is undone.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{
    Action as SdkAction, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, RedirectActionConfig,
    RedirectActionStatusCodeEnum, TargetGroupStickinessConfig, TargetGroupTuple,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check_range;
use crate::aws::Aws;
use crate::kind::{Failure, Problem, Remark, Result};
use crate::tags;
use crate::value::Arg;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Target groups that share the requests by weight. With two or more, the weights are those of the first apply;
    /// from then on releases own them.
    Forward(Vec<WeightedGroup>),
    Redirect(Redirect),
    FixedResponse(FixedResponse),
}

/// One of the target groups of a forward.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedGroup {
    pub target_group_arn: Arg<String>,
    /// The share of the requests, of the sum of all weights.
    #[serde(default = "one")]
    pub weight: u16,
}

/// An answer that sends the client elsewhere. What is absent stays as in the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `HTTP` or `HTTPS`.
    #[serde(default = "same_protocol")]
    pub protocol: String,
    #[serde(default = "same_port")]
    pub port: String,
    #[serde(default = "same_host")]
    pub host: String,
    #[serde(default = "same_path")]
    pub path: String,
    /// Without the leading `?`.
    #[serde(default = "same_query")]
    pub query: String,
    /// 301 is permanent, 302 temporary.
    pub status_code: u16,
}

/// An answer that the load balancer gives itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedResponse {
    pub status: u16,
    #[serde(default = "text_plain")]
    pub content_type: String,
    #[serde(default)]
    pub body: String,
}

fn one() -> u16 {
    1
}
fn same_protocol() -> String {
    "#{protocol}".into()
}
fn same_port() -> String {
    "#{port}".into()
}
fn same_host() -> String {
    "#{host}".into()
}
fn same_path() -> String {
    "/#{path}".into()
}
fn same_query() -> String {
    "#{query}".into()
}
fn text_plain() -> String {
    "text/plain".into()
}

/// As many target groups as one forward takes.
const GROUPS: usize = 5;
const WEIGHT: u16 = 999;
const BODY: usize = 1024;
const CONTENT_TYPES: &[&str] = &["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

impl Action {
    /// A forward to one target group.
    pub fn forward(target_group_arn: impl Into<Arg<String>>) -> Self {
        Self::Forward(vec![WeightedGroup { target_group_arn: target_group_arn.into(), weight: 1 }])
    }

    fn groups(&self) -> &[WeightedGroup] {
        match self {
            Self::Forward(groups) => groups,
            Self::Redirect(_) | Self::FixedResponse(_) => &[],
        }
    }

    /// Whether releases own its weights.
    fn is_weighted(&self) -> bool {
        self.groups().len() > 1
    }

    pub fn normalize(&mut self) {
        if let Self::Forward(groups) = self {
            groups.sort_by(|one, other| one.target_group_arn.cmp(&other.target_group_arn));
            // Alone, a group gets everything whatever its weight, and AWS answers 1.
            if let [only] = &mut groups[..] {
                only.weight = 1;
            }
        }
    }

    /// Whether only weights differ that releases own.
    pub fn same_but_weights(&self, live: &Self) -> bool {
        let names = |action: &Self| -> BTreeSet<Arg<String>> {
            action.groups().iter().map(|group| group.target_group_arn.clone()).collect()
        };
        if self.is_weighted() && live.is_weighted() { names(self) == names(live) } else { self == live }
    }

    /// Takes over the live weights of the groups that both name. New groups keep their own.
    pub fn take_over(&mut self, live: &Self) {
        if !self.is_weighted() {
            return;
        }
        let Self::Forward(groups) = self else { return };
        if live.is_weighted() {
            let weights: BTreeMap<&Arg<String>, u16> =
                live.groups().iter().map(|group| (&group.target_group_arn, group.weight)).collect();
            for group in groups {
                group.weight = weights.get(&group.target_group_arn).copied().unwrap_or(group.weight);
            }
        } else if let [serving] = live.groups() {
            // It serves everything until now, so it must not be cut off by getting company.
            let most = groups.iter().map(|group| group.weight).max().unwrap_or_default();
            let cut_off =
                |group: &WeightedGroup| group.target_group_arn == serving.target_group_arn && group.weight == 0;
            if groups.iter().any(cut_off) {
                for group in groups {
                    let serves = group.target_group_arn == serving.target_group_arn;
                    group.weight = if serves { most } else { 0 };
                }
            }
        }
    }

    /// This action with the weights of `live`, read just now. A target group that replaces another one of the same
    /// address takes over its weight, though their ARNs differ.
    pub async fn with_live_weights(&self, aws: &Aws, live: &Self) -> Result<Self> {
        let (mut wanted, mut live) = (self.clone(), live.clone());
        let known = |action: &Self| -> BTreeSet<String> {
            action.groups().iter().filter_map(|group| group.target_group_arn.get().ok().cloned()).collect()
        };
        let (new, old) = (known(&wanted), known(&live));
        let (made, gone): (Vec<_>, Vec<_>) = (new.difference(&old).collect(), old.difference(&new).collect());
        if wanted.is_weighted() && !made.is_empty() && !gone.is_empty() {
            let arns: Vec<&str> = made.iter().chain(&gone).map(|arn| arn.as_str()).collect();
            let identities: BTreeMap<String, _> = super::tags_of(aws, &arns)
                .await?
                .into_iter()
                .filter_map(|(arn, tags)| Some((arn, tags::decode(&tags)?.identity)))
                .collect();
            if let Self::Forward(groups) = &mut live {
                for group in groups {
                    let identity = group.target_group_arn.get().ok().and_then(|arn| identities.get(arn));
                    let successor = made.iter().find(|arn| identity.is_some() && identities.get(**arn) == identity);
                    if let Some(successor) = successor {
                        group.target_group_arn = Arg::Known((*successor).clone());
                    }
                }
            }
        }
        wanted.take_over(&live);
        Ok(wanted)
    }

    pub fn check(&self, path: &str) -> Vec<Problem> {
        match self {
            Self::Forward(groups) => check_groups(path, groups),
            Self::Redirect(redirect) => redirect.check(path),
            Self::FixedResponse(response) => response.check(path),
        }
    }

    /// As AWS takes it.
    pub fn to_sdk(&self) -> Result<SdkAction> {
        let action = SdkAction::builder();
        Ok(match self {
            Self::Forward(groups) => {
                let sticky = TargetGroupStickinessConfig::builder().enabled(false).build();
                let mut config = ForwardActionConfig::builder().target_group_stickiness_config(sticky);
                for group in groups {
                    let tuple = TargetGroupTuple::builder().target_group_arn(group.target_group_arn.get()?);
                    config = config.target_groups(tuple.weight(group.weight.into()).build());
                }
                action.r#type(ActionTypeEnum::Forward).forward_config(config.build()).build()
            }
            Self::Redirect(redirect) => {
                let code = format!("HTTP_{}", redirect.status_code);
                let config = RedirectActionConfig::builder()
                    .protocol(&redirect.protocol)
                    .port(&redirect.port)
                    .host(&redirect.host)
                    .path(&redirect.path)
                    .query(&redirect.query)
                    .status_code(RedirectActionStatusCodeEnum::from(code.as_str()))
                    .build();
                action.r#type(ActionTypeEnum::Redirect).redirect_config(config).build()
            }
            Self::FixedResponse(response) => {
                let config = FixedResponseActionConfig::builder()
                    .status_code(response.status.to_string())
                    .content_type(&response.content_type)
                    .set_message_body((!response.body.is_empty()).then(|| response.body.clone()))
                    .build();
                action.r#type(ActionTypeEnum::FixedResponse).fixed_response_config(config).build()
            }
        })
    }

    /// Refuses to replace a list of actions in which others put one that is not known here, such as a log-in.
    pub fn refuse_foreign(operation: &str, actions: &[SdkAction]) -> Result<()> {
        use ActionTypeEnum::{FixedResponse, Forward, Redirect};
        let known = |action: &&SdkAction| matches!(action.r#type(), Some(Forward | Redirect | FixedResponse));
        match actions.iter().find(|action| !known(action)) {
            None => Ok(()),
            Some(action) => {
                let name = action.r#type().map_or("of an unknown kind", |kind| kind.as_str());
                let message = format!(
                    "others added an action {name}, which this change would take away: remove it there, or make the \
                     change by hand"
                );
                Err(Failure::new(operation, "ForeignAction", message))
            }
        }
    }

    /// The last of the live actions, which is the one that answers, and what a reader should know of the others.
    pub fn read(actions: &[SdkAction]) -> (Self, Vec<Remark>) {
        let mut action = Self::Forward(Vec::new());
        let mut notes = Vec::new();
        for live in actions {
            match live.r#type() {
                Some(ActionTypeEnum::Forward) => {
                    action = Self::Forward(read_groups(live));
                    let sticky = live.forward_config().and_then(ForwardActionConfig::target_group_stickiness_config);
                    if sticky.and_then(TargetGroupStickinessConfig::enabled).unwrap_or_default() {
                        notes.push("clients stick to a target group, so weights reach them late: not set here".into());
                    }
                }
                Some(ActionTypeEnum::Redirect) => {
                    action = live.redirect_config().map_or(action, |config| Self::Redirect(Redirect::read(config)));
                }
                Some(ActionTypeEnum::FixedResponse) => {
                    let config = live.fixed_response_config();
                    action = config.map_or(action, |config| Self::FixedResponse(FixedResponse::read(config)));
                }
                Some(other) => notes.push(Remark::foreign(format!("an action {} was added by others", other.as_str()))),
                None => {}
            }
        }
        (action, notes)
    }
}

/// A forward to one group is told both ways, or only by the group's ARN.
fn read_groups(live: &SdkAction) -> Vec<WeightedGroup> {
    let weighted = |tuple: &TargetGroupTuple| WeightedGroup {
        target_group_arn: tuple.target_group_arn().unwrap_or_default().into(),
        weight: tuple.weight().and_then(|weight| u16::try_from(weight).ok()).unwrap_or(1),
    };
    let groups = live.forward_config().map(ForwardActionConfig::target_groups).unwrap_or_default();
    match live.target_group_arn() {
        Some(arn) if groups.is_empty() => vec![WeightedGroup { target_group_arn: arn.into(), weight: 1 }],
        _ => groups.iter().map(weighted).collect(),
    }
}

fn check_groups(path: &str, groups: &[WeightedGroup]) -> Vec<Problem> {
    let path = format!("{path}.forward");
    let mut problems = Vec::new();
    if groups.is_empty() || groups.len() > GROUPS {
        problems.push(Problem::new(&path, format!("{} target groups, where AWS takes 1 to {GROUPS}", groups.len())));
    }
    if groups.len() > 1 && groups.iter().all(|group| group.weight == 0) {
        let help = "give one of them a weight above 0";
        problems.push(Problem::new(&path, "no target group would get a request").help(help));
    }
    let mut seen = BTreeSet::new();
    for (index, group) in groups.iter().enumerate() {
        problems.extend(check_range(&format!("{path}.{index}.weight"), group.weight, 0, WEIGHT));
        if !seen.insert(&group.target_group_arn) {
            let path = format!("{path}.{index}.target_group_arn");
            problems.push(Problem::new(&path, "the target group is named twice").help("name it once, with one weight"));
        }
    }
    problems
}

impl Redirect {
    fn read(live: &RedirectActionConfig) -> Self {
        let text = |value: Option<&str>, default: fn() -> String| value.map_or_else(default, str::to_owned);
        let code = live.status_code().and_then(|code| code.as_str().strip_prefix("HTTP_")?.parse().ok());
        Self {
            protocol: text(live.protocol(), same_protocol),
            port: text(live.port(), same_port),
            host: text(live.host(), same_host),
            path: text(live.path(), same_path),
            query: text(live.query(), same_query),
            status_code: code.unwrap_or_default(),
        }
    }

    fn check(&self, path: &str) -> Vec<Problem> {
        let path = |field: &str| format!("{path}.redirect.{field}");
        let mut problems = Vec::new();
        if !matches!(self.status_code, 301 | 302) {
            let message = format!("{} is not a redirect that AWS makes", self.status_code);
            problems.push(Problem::new(&path("status_code"), message).help("write 301 (permanent) or 302 (temporary)"));
        }
        if !matches!(self.protocol.as_str(), "HTTP" | "HTTPS" | "#{protocol}") {
            let message = format!("`{}` is not a protocol that AWS redirects to", self.protocol);
            problems.push(Problem::new(&path("protocol"), message).help("write HTTP or HTTPS"));
        }
        if self.port != same_port() && !self.port.parse::<u16>().is_ok_and(|port| port > 0) {
            let message = format!("`{}` is not a port", self.port);
            problems.push(Problem::new(&path("port"), message).help("write a number from 1 to 65535"));
        }
        if !self.path.starts_with('/') {
            problems.push(Problem::new(&path("path"), "the path must start with `/`"));
        }
        let same = (&self.protocol, &self.port, &self.host, &self.path);
        if same == (&same_protocol(), &same_port(), &same_host(), &same_path()) {
            let help = "change the protocol, port, host or path";
            problems.push(Problem::new(&path("host"), "the redirect leads back to itself").help(help));
        }
        problems
    }
}

impl FixedResponse {
    fn read(live: &FixedResponseActionConfig) -> Self {
        Self {
            status: live.status_code().and_then(|status| status.parse().ok()).unwrap_or_default(),
            content_type: live.content_type().map_or_else(text_plain, str::to_owned),
            body: live.message_body().unwrap_or_default().to_owned(),
        }
    }

    fn check(&self, path: &str) -> Vec<Problem> {
        let path = |field: &str| format!("{path}.fixed_response.{field}");
        let mut problems = Vec::new();
        if !matches!(self.status, 200..=299 | 400..=599) {
            let message = format!("{} is not a status that AWS answers by itself", self.status);
            problems.push(Problem::new(&path("status"), message).help("write 200 to 299 or 400 to 599"));
        }
        if !CONTENT_TYPES.contains(&self.content_type.as_str()) {
            let message = format!("`{}` is not a content type that AWS takes here", self.content_type);
            problems.push(Problem::new(&path("content_type"), message).help(CONTENT_TYPES.join(", ")));
        }
        if self.body.len() > BODY {
            let message = format!("{} bytes, where AWS takes at most {BODY}", self.body.len());
            problems.push(Problem::new(&path("body"), message));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(groups: &[(&str, u16)]) -> Action {
        let group = |(arn, weight): &(&str, u16)| WeightedGroup { target_group_arn: (*arn).into(), weight: *weight };
        Action::Forward(groups.iter().map(group).collect())
    }

    #[test]
    fn live_weights_are_kept() {
        for (case, desired, live, expected) in [
            ("a release", vec![("blue", 100), ("green", 0)], vec![("blue", 0), ("green", 100)], vec![0, 100]),
            ("a canary", vec![("blue", 100), ("green", 0)], vec![("green", 5), ("blue", 95)], vec![95, 5]),
            ("a new group", vec![("blue", 100), ("new", 7)], vec![("blue", 3), ("green", 9)], vec![3, 7]),
            ("one group", vec![("blue", 1)], vec![("blue", 0), ("green", 100)], vec![1]),
            ("company", vec![("blue", 100), ("green", 0)], vec![("blue", 1)], vec![100, 0]),
            ("not cut off", vec![("blue", 100), ("green", 0)], vec![("green", 1)], vec![0, 100]),
            ("others", vec![("blue", 100), ("green", 0)], vec![("api", 1)], vec![100, 0]),
        ] {
            let mut desired = forward(&desired);
            desired.take_over(&forward(&live));
            assert_eq!(desired.groups().iter().map(|group| group.weight).collect::<Vec<_>>(), expected, "{case}");
        }
    }

    #[test]
    fn only_weights_of_releases_are_ignored() {
        let desired = forward(&[("blue", 100), ("green", 0)]);
        assert!(desired.same_but_weights(&forward(&[("green", 100), ("blue", 0)])));
        assert!(!desired.same_but_weights(&forward(&[("blue", 100), ("other", 0)])));
        assert!(!desired.same_but_weights(&forward(&[("blue", 1)])));
        assert!(!forward(&[("blue", 1)]).same_but_weights(&desired));
    }

    #[test]
    fn actions_are_checked() {
        let redirect: Redirect = serde_json::from_str(r#"{"status_code": 301}"#).unwrap();
        let https = Redirect { protocol: "HTTPS".into(), port: "443".into(), ..redirect.clone() };
        let response = FixedResponse { status: 404, content_type: text_plain(), body: String::new() };
        for (action, paths) in [
            (forward(&[("blue", 1)]), vec![]),
            (forward(&[]), vec!["action.forward"]),
            (forward(&[("blue", 0), ("green", 0)]), vec!["action.forward"]),
            (
                forward(&[("blue", 1), ("blue", 1000)]),
                vec!["action.forward.1.weight", "action.forward.1.target_group_arn"],
            ),
            (Action::Redirect(redirect), vec!["action.redirect.host"]),
            (Action::Redirect(https.clone()), vec![]),
            (
                Action::Redirect(Redirect { status_code: 308, port: "x".into(), ..https }),
                vec!["action.redirect.status_code", "action.redirect.port"],
            ),
            (Action::FixedResponse(response.clone()), vec![]),
            (
                Action::FixedResponse(FixedResponse { status: 301, content_type: "x".into(), ..response }),
                vec!["action.fixed_response.status", "action.fixed_response.content_type"],
            ),
        ] {
            let found: Vec<_> = action.check("action").into_iter().map(|problem| problem.path).collect();
            assert_eq!(found, paths, "{action:?}");
        }
    }
}
