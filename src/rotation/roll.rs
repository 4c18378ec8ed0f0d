//! After a rotation: each service that uses the secret gets new tasks, one service after the other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_sdk_ecs::types::{Service, Tag};
use aws_sdk_elasticloadbalancingv2::types::TargetHealthStateEnum as State;
use aws_sdk_secretsmanager::types::Tag as SecretTag;
use tokio::time::{Instant, sleep};

use super::users::{self, User, Version};
use super::{ROLLED, variables};
use crate::aws::Aws;
use crate::kind::Progress;
use crate::kinds::{ecs_rollout, ecs_services};
use crate::lock::{Holder, Lock, Refused};

/// One that was under way, and one for what had rotated meanwhile.
const DEPLOYMENTS: usize = 3;
const LOOK: Duration = Duration::from_secs(2);

/// What is rolled.
#[derive(Clone, Debug)]
pub struct Place {
    pub project: String,
    pub environment: String,
    /// The ARN of the cluster.
    pub cluster: String,
    /// The ARNs of the secrets.
    pub secrets: Vec<String>,
}

impl Place {
    /// What the function's variables say; nothing where it is not the function that rolls.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn of_function() -> Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        let Ok(secrets) = std::env::var(variables::SECRETS) else { return Ok(None) };
        Ok(Some(Self {
            project: variable(variables::PROJECT)?,
            environment: variable(variables::ENVIRONMENT)?,
            cluster: variable(variables::CLUSTER)?,
            secrets: secrets.split_whitespace().map(str::to_owned).collect(),
        }))
    }
}

/// Rolls every service that is behind, but for those of which a release is under way, and notes on services and secrets
/// who runs what. It can be called again at any time, and goes on where an earlier call ended. `say` is told what is done.
///
/// # Errors
/// A service could not be rolled until then; the others were.
pub async fn roll(aws: &Arc<Aws>, place: &Place, until: Instant, say: impl Fn(&str)) -> Result<()> {
    let users = users::users(aws, &place.cluster).await?;
    let mut failed = Vec::new();
    for secret in &place.secrets {
        let Some(version) = users::current(aws, secret).await? else { continue };
        let mut behind = false;
        for user in users.iter().filter(|user| user.secrets.contains(secret)) {
            let one = One { aws, place, user, version: &version, until };
            match one.bring_up_to_date(&say).await.with_context(|| user.name().to_owned()) {
                Ok(done) => behind |= !done,
                Err(error) => {
                    behind = true;
                    failed.push(format!("{error:#}"));
                }
            }
        }
        if !behind && version.tags.get(ROLLED) != Some(&version.id) {
            let tag = SecretTag::builder().key(ROLLED).value(&version.id).build();
            let request = aws.secrets().tag_resource().secret_id(secret).tags(tag);
            aws.call("secretsmanager:TagResource", request.send()).await?;
            say(&format!("{}: every service runs version {}", version.name, version.id));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!(failed.join("\n")) }
}

/// One service and one secret.
struct One<'a> {
    aws: &'a Arc<Aws>,
    place: &'a Place,
    user: &'a User,
    version: &'a Version,
    until: Instant,
}

impl One<'_> {
    /// Says whether it is.
    async fn bring_up_to_date(&self, say: &impl Fn(&str)) -> Result<bool> {
        let key = self.version.key();
        if self.user.is_idle() || self.user.tags.get(&key) == Some(&self.version.id) {
            return Ok(true);
        }
        if self.user.is_behind(self.aws, self.version).await? && !self.locked(say).await? {
            return Ok(false);
        }
        let tag = Tag::builder().key(key).value(&self.version.id).build();
        let arn = self.user.ecs.service_arn().unwrap_or_default();
        let request = self.aws.ecs().tag_resource().resource_arn(arn).tags(tag);
        self.aws.call("ecs:TagResource", request.send()).await?;
        Ok(true)
    }

    /// Rolls it, unless a release of it is under way.
    async fn locked(&self, say: &impl Fn(&str)) -> Result<bool> {
        let (Place { project, environment, .. }, service) = (self.place, self.user.of());
        let lock = Lock::of_release(self.aws, project, environment, &service);
        let held = match lock.acquire(Holder::this("rotation")).await {
            Ok(held) => held,
            Err(Refused::Held { what, holder, .. }) => {
                say(&format!("{}: waits for {what}, by {} since {}", self.user.name(), holder.who, holder.since));
                return Ok(false);
            }
            Err(other) => return Err(other.into()),
        };
        let rolled = self.roll(say).await;
        lock.release(held).await?;
        rolled.map(|()| true)
    }

    async fn roll(&self, say: &impl Fn(&str)) -> Result<()> {
        // A deployment that began before the secret rotated is waited for, and then there is one more.
        for _ in 0..DEPLOYMENTS {
            if !self.user.is_behind(self.aws, self.version).await? {
                say(&format!("{}: runs version {} of {}", self.user.name(), self.version.id, self.version.name));
                return Ok(());
            }
            let (cluster, name) = (&self.place.cluster, self.user.name());
            let now = ecs_services::describe(self.aws, cluster, name).await?;
            if !ecs_rollout::rolling(&now) {
                say(&format!("{name}: new tasks, for version {} of {}", self.version.id, self.version.name));
                let request = self.aws.ecs().update_service().cluster(cluster).service(name);
                self.aws.call("ecs:UpdateService", request.force_new_deployment(true).send()).await?;
            }
            self.steady().await?;
        }
        bail!("has tasks from before the rotation after {DEPLOYMENTS} deployments")
    }

    /// Waits until the deployment is complete and all targets are healthy.
    async fn steady(&self) -> Result<()> {
        loop {
            let service = ecs_services::describe(self.aws, &self.place.cluster, self.user.name()).await?;
            let on = match ecs_rollout::progress(self.aws, &service).await? {
                Progress::Ready(_) => match self.unhealthy(&service).await? {
                    0 => return Ok(()),
                    count => format!("{count} targets that are not healthy"),
                },
                Progress::Failed { why } => {
                    bail!("its new tasks failed: {why}\nthe former version works until the next rotation")
                }
                Progress::Gone => return Ok(()),
                Progress::Waiting { on } | Progress::Early { on, .. } => on,
            };
            if Instant::now() + LOOK > self.until {
                bail!("not finished in time: {on}; the next call goes on");
            }
            sleep(LOOK).await;
        }
    }

    async fn unhealthy(&self, service: &Service) -> Result<usize> {
        let mut count = 0;
        for group in service.load_balancers().iter().filter_map(|balancer| balancer.target_group_arn()) {
            let request = self.aws.elb().describe_target_health().target_group_arn(group);
            let answer = self.aws.call("elb:DescribeTargetHealth", request.send()).await?;
            let states =
                answer.target_health_descriptions().iter().filter_map(|target| target.target_health()?.state());
            count +=
                states.filter(|state| matches!(state, State::Initial | State::Unhealthy | State::Unavailable)).count();
        }
        Ok(count)
    }
}
