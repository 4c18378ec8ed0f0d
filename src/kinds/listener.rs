//! A listener: a port of a load balancer, and what happens to requests that no rule takes.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{Certificate, Listener as SdkListener, ProtocolEnum, Rule};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::elb::Protocol;
pub use super::elb::action::{Action, FixedResponse, Redirect, WeightedGroup};
use super::elb::{self, Found};
use crate::aws::Aws;
use crate::kind::{Failure, Id, Kind, Live, Making, Problem, Progress, Remark, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// What AWS takes where an HTTPS listener names no policy.
const DEFAULT_POLICY: &str = "ELBSecurityPolicy-2016-08";

/// A port of a load balancer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub load_balancer_arn: Arg<String>,
    pub port: u16,
    pub protocol: Protocol,
    /// The certificate for clients that name no host or an unknown one. HTTPS needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<Arg<String>>,
    /// Further certificates, chosen by the host that the client names.
    #[serde(default)]
    pub extra_certificates: Vec<Arg<String>>,
    /// Which versions and ciphers of TLS are spoken. Absent, AWS's own default, which still speaks TLS 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "ELBSecurityPolicy-TLS13-1-2-2021-06")]
    pub ssl_policy: Option<String>,
    /// What happens to requests that no rule takes.
    pub default_action: Action,
    #[serde(default)]
    pub tags: Tags,
}

impl Listener {
    /// Whether clients speak TLS to it.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.protocol == Protocol::Https
    }

    fn policy(&self) -> Option<&str> {
        self.is_secure().then(|| self.ssl_policy.as_deref().unwrap_or(DEFAULT_POLICY))
    }

    fn certificates(&self) -> Result<Option<Vec<Certificate>>> {
        let arn = self.certificate_arn.as_ref().filter(|_| self.is_secure()).map(Arg::get).transpose()?;
        Ok(arn.map(|arn| vec![Certificate::builder().certificate_arn(arn).build()]))
    }

    fn read(live: &SdkListener, extra: &[String], tags: Tags) -> (Self, Vec<Remark>) {
        let (default_action, notes) = Action::read(live.default_actions());
        let certificate = live.certificates().first().and_then(Certificate::certificate_arn);
        let spec = Self {
            load_balancer_arn: live.load_balancer_arn().unwrap_or_default().into(),
            port: live.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            protocol: Protocol::read(live.protocol().map(ProtocolEnum::as_str)),
            certificate_arn: certificate.map(Arg::from),
            extra_certificates: extra.iter().map(|arn| arn.as_str().into()).collect(),
            ssl_policy: live.ssl_policy().filter(|policy| !policy.is_empty()).map(str::to_owned),
            default_action,
            tags,
        };
        (spec, notes)
    }

    /// Everything but the further certificates and the tags, in one request that holds only what differs.
    async fn modify(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let old = &live.spec;
        let mut request = aws.elb().modify_listener().listener_arn(&live.id);
        let mut differs = false;
        if self.port != old.port {
            (request, differs) = (request.port(self.port.into()), true);
        }
        if self.protocol != old.protocol {
            (request, differs) = (request.protocol(ProtocolEnum::from(self.protocol.word())), true);
        }
        if self.is_secure() && (!old.is_secure() || self.certificate_arn != old.certificate_arn) {
            (request, differs) = (request.set_certificates(self.certificates()?), true);
        }
        if self.is_secure() && self.policy() != old.policy() {
            (request, differs) = (request.set_ssl_policy(self.policy().map(str::to_owned)), true);
        }
        if !self.default_action.same_but_weights(&old.default_action) {
            let describe = aws.elb().describe_listeners().listener_arns(&live.id);
            let now = aws.call("elb:DescribeListeners", describe.send()).await?;
            let now = now.listeners().first().map(SdkListener::default_actions).unwrap_or_default();
            Action::refuse_foreign("elb:ModifyListener", now)?;
            let (now, _) = Action::read(now);
            let action = self.default_action.with_live_weights(aws, &now).await?;
            (request, differs) = (request.default_actions(action.to_sdk()?), true);
        }
        if differs {
            aws.call("elb:ModifyListener", request.send()).await?;
        }
        Ok(())
    }
}

fn set(certificates: &[Arg<String>]) -> Result<BTreeSet<String>> {
    certificates.iter().map(|arn| Ok(arn.get()?.clone())).collect()
}

impl Kind for Listener {
    const NAME: &'static str = "listener";
    const RIGHTS: Rights = Rights {
        read: "elasticloadbalancing:DescribeListenerCertificates elasticloadbalancing:DescribeListeners \
            elasticloadbalancing:DescribeLoadBalancers elasticloadbalancing:DescribeRules \
            elasticloadbalancing:DescribeTags",
        create: "elasticloadbalancing:AddTags elasticloadbalancing:CreateListener",
        update: "elasticloadbalancing:AddListenerCertificates elasticloadbalancing:AddTags \
            elasticloadbalancing:ModifyListener elasticloadbalancing:RemoveListenerCertificates \
            elasticloadbalancing:RemoveTags",
        delete: "elasticloadbalancing:DeleteListener",
        ..Rights::NONE
    };
    const CARRIED: &'static [&'static str] = &["default_action"];
    const REPLACED_BY: &'static [&'static str] = &["load_balancer_arn"];
    const UNIQUE: &'static [&'static str] = &["load_balancer_arn", "port"];
    const OUTPUTS: &'static [&'static str] = &["arn"];

    fn normalize(&mut self) {
        self.extra_certificates.sort();
        self.extra_certificates.dedup();
        self.ssl_policy = self.policy().map(str::to_owned).or(self.ssl_policy.take());
        self.default_action.normalize();
    }

    fn take_over(&mut self, live: &Self) {
        self.default_action.take_over(&live.default_action);
    }

    fn shell(&self) -> Self {
        Self { extra_certificates: Vec::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.default_action.check("default_action");
        if self.port == 0 {
            problems.push(Problem::new("port", "0 is not a port"));
        }
        if self.is_secure() && self.certificate_arn.is_none() {
            let help = "name one, or write the protocol HTTP";
            problems.push(Problem::new("certificate_arn", "an HTTPS listener needs a certificate").help(help));
        }
        for (field, given) in [
            ("certificate_arn", self.certificate_arn.is_some()),
            ("extra_certificates", !self.extra_certificates.is_empty()),
            ("ssl_policy", self.ssl_policy.is_some()),
        ] {
            if !self.is_secure() && given {
                let message = format!("an HTTP listener has no {field}");
                problems.push(Problem::new(field, message).help("remove the line, or write the protocol HTTPS"));
            }
        }
        if let Some(default) = &self.certificate_arn
            && let Some(index) = self.extra_certificates.iter().position(|extra| extra == default)
        {
            let message = "this is already the listener's own certificate";
            problems.push(Problem::new(&format!("extra_certificates.{index}"), message).help("remove the line"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let (all, rules) = tokio::try_join!(elb::listeners(aws, scope), elb::rules(aws, scope))?;
        let reads = elb::ours::<Self, _>(aws, scope, &all).map(|found| async move {
            let secure = found.item.protocol() == Some(&ProtocolEnum::Https);
            let extra = if secure { elb::found(extra_certificates(aws, &found.arn).await)? } else { Some(Vec::new()) };
            Ok::<_, Failure>(extra.map(|extra| (found, extra)))
        });
        let answers = try_join_all(reads).await?;
        let live = answers.iter().flatten().filter_map(|(found, extra)| {
            let tagged = scope.tagged(aws, Self::NAME, &found.tags)?;
            let (spec, mut notes) = Self::read(&found.item, extra, tagged.user.clone());
            notes.extend(foreign_rules(scope, &found.arn, &rules));
            let mut live = Live::new(tagged, &found.arn, spec).output("arn", &found.arn);
            live.notes = notes;
            Some(live)
        });
        Ok(live.collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let balancer = self.load_balancer_arn.get()?;
        let request = aws
            .elb()
            .create_listener()
            .load_balancer_arn(balancer)
            .port(self.port.into())
            .protocol(ProtocolEnum::from(self.protocol.word()))
            .set_certificates(self.certificates()?)
            .set_ssl_policy(self.policy().map(str::to_owned))
            .default_actions(self.default_action.to_sdk()?)
            .set_tags(Some(elb::tags(&making.identity, &self.tags)));
        let answer = match aws.call("elb:CreateListener", request.send()).await {
            Err(failure) if failure.code == "DuplicateListener" => {
                let pages = aws.elb().describe_listeners().load_balancer_arn(balancer).into_paginator().items().send();
                let all = aws.call("elb:DescribeListeners", pages.collect::<Result<Vec<_>, _>>()).await?;
                let holder = all.iter().find(|listener| listener.port() == Some(self.port.into()));
                let arn = holder.and_then(SdkListener::listener_arn).ok_or(failure)?;
                return elb::holder(aws, arn, &making.identity, &format!("port {} of {balancer}", self.port)).await;
            }
            other => other?,
        };
        let arn = answer.listeners().first().and_then(SdkListener::listener_arn);
        arn.map(str::to_owned).ok_or_else(|| Failure::new("elb:CreateListener", "NoArn", "the answer holds no ARN"))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (old, new) = (set(&live.spec.extra_certificates)?, set(&self.extra_certificates)?);
        let (more, fewer): (Vec<_>, Vec<_>) = (new.difference(&old).collect(), old.difference(&new).collect());
        // No host is without its certificate in between: add, change the listener's own, remove. A listener that does
        // not speak TLS yet takes none before it does, and one that stops forgets them all.
        if live.spec.is_secure() && self.is_secure() {
            add(aws, &live.id, &more).await?;
            self.modify(aws, live).await?;
            remove(aws, &live.id, &fewer).await?;
        } else {
            self.modify(aws, live).await?;
            add(aws, &live.id, &more).await?;
        }
        elb::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        elb::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        aws.call("elb:DeleteListener", aws.elb().delete_listener().listener_arn(&live.id).send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let answer = aws.call("elb:DescribeListeners", aws.elb().describe_listeners().listener_arns(id).send()).await?;
        Ok(match answer.listeners() {
            [] => Progress::Gone,
            _ => Progress::ready([("arn", id.clone())]),
        })
    }
}

async fn extra_certificates(aws: &Aws, listener: &str) -> Result<Vec<String>> {
    let pages = aws.elb().describe_listener_certificates().listener_arn(listener).into_paginator().items().send();
    let all = aws.call("elb:DescribeListenerCertificates", pages.collect::<Result<Vec<_>, _>>()).await?;
    let extra = all.into_iter().filter(|certificate| !certificate.is_default().unwrap_or_default());
    Ok(extra.filter_map(|certificate| certificate.certificate_arn).collect())
}

fn sdk(arns: &[&String]) -> Vec<Certificate> {
    arns.iter().map(|arn| Certificate::builder().certificate_arn(*arn).build()).collect()
}

async fn add(aws: &Aws, listener: &str, arns: &[&String]) -> Result<()> {
    if arns.is_empty() {
        return Ok(());
    }
    let request = aws.elb().add_listener_certificates().listener_arn(listener).set_certificates(Some(sdk(arns)));
    aws.call("elb:AddListenerCertificates", request.send()).await.map(drop)
}

async fn remove(aws: &Aws, listener: &str, arns: &[&String]) -> Result<()> {
    if arns.is_empty() {
        return Ok(());
    }
    let request = aws.elb().remove_listener_certificates().listener_arn(listener).set_certificates(Some(sdk(arns)));
    aws.call("elb:RemoveListenerCertificates", request.send()).await.map(drop)
}

fn foreign_rules(scope: &Scope, listener: &str, rules: &[Found<Rule>]) -> Vec<Remark> {
    let foreign = rules.iter().filter(|rule| {
        elb::listener_of(&rule.arn).as_deref() == Some(listener)
            && scope.ours(super::listener_rule::ListenerRule::NAME, &rule.tags).is_none()
    });
    let priority = |rule: &Found<Rule>| rule.item.priority().unwrap_or_default().to_owned();
    let note = |rule| Remark::foreign(format!("the rule with priority {} was added by others", priority(rule)));
    foreign.map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_written_out_for_https_only() {
        let read = |json: &str| {
            let mut listener: Listener = serde_json::from_str(json).unwrap();
            let problems = listener.check();
            listener.normalize();
            (listener.ssl_policy, problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>())
        };
        let action = r#""default_action": {"fixed_response": {"status": 404}}"#;
        let (policy, problems) =
            read(&format!(r#"{{"load_balancer_arn": "a", "port": 443, "protocol": "HTTPS", {action}}}"#));
        assert_eq!(policy.as_deref(), Some(DEFAULT_POLICY));
        assert_eq!(problems, ["certificate_arn"]);
        let (policy, problems) =
            read(&format!(r#"{{"load_balancer_arn": "a", "port": 80, "protocol": "HTTP", {action}}}"#));
        assert_eq!((policy, problems), (None, vec![]));
    }
}
