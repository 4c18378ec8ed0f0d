//! An environment with a service that releases own, its load balancer, and what tests ask of both.

use std::ops::Deref;
use std::time::{Duration, Instant};

use aws_sdk_ecs::types::TaskDefinitionField;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple, TargetHealthStateEnum,
};

use super::load::Load;
use crate::end_to_end::site;
use crate::support::{DATA_PLANE, Emulator, Template};

const FILE: &str = include_str!("test.yaml");
pub const CLUSTER: &str = "acme-test-main";
/// So many requests a second for each site.
const LOAD: u32 = 100;
/// The settings of the data plane: minutes of AWS are seconds here.
const SETTINGS: &str = r#"{ "health_interval": 0.2, "metric_lag": 0.5, "metric_period": 1, "tick": 0.05 }"#;
/// How long what is waited for may take.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct Site {
    base: site::Site,
    /// Names and ARNs of blue and green.
    pub services: [String; 2],
    pub groups: [String; 2],
    pub rule: String,
    pub balancer: String,
}

impl Deref for Site {
    type Target = site::Site;

    fn deref(&self) -> &site::Site {
        &self.base
    }
}

impl Site {
    /// An emulator on which the environment `test` has been applied.
    pub async fn start() -> Self {
        static APPLIED: Template = Template::new();
        let apply = async || {
            let base = site::Site::on(Emulator::start().await).await;
            base.write("test", FILE);
            base.infra("apply test --yes").await.well();
            base.emulator
        };
        let base = site::Site::on(APPLIED.copy(DATA_PLANE, apply).await).await;
        base.emulator.set("data-plane", SETTINGS).await;
        base.write("test", FILE);
        base.converged("test").await;
        let live = base.live("test").await;
        let output = |address: &str, output: &str| {
            let live = live.iter().find(|live| live.identity.address.to_string() == address).expect("it is applied");
            live.outputs[output].clone()
        };
        let services = ["api-blue", "api-green"].map(|name| output(&format!("ecs_service.{name}"), "name"));
        let groups = ["api-blue", "api-green"].map(|name| output(&format!("target_group.{name}"), "arn"));
        let (rule, balancer) = (output("listener_rule.api", "arn"), output("load_balancer.public", "dns_name"));
        Self { base, services, groups, rule, balancer }
    }

    /// A steady load on the load balancer.
    pub fn load(&self) -> Load {
        Load::start(&self.emulator.variables["HTTP_PROXY"], &self.balancer, LOAD)
    }

    /// A revision of the service with this version of its image.
    pub async fn revision(&self, version: &str) -> String {
        let ecs = self.aws.ecs();
        let request =
            ecs.describe_task_definition().task_definition("acme-test-api").include(TaskDefinitionField::Tags);
        let last = request.send().await.unwrap();
        let tags = last.tags;
        let last = last.task_definition.unwrap();
        let mut containers = last.container_definitions().to_vec();
        containers[0].image = Some(format!("registry.test/api:{version}"));
        let request = ecs
            .register_task_definition()
            .family(last.family().unwrap())
            .set_container_definitions(Some(containers))
            .set_tags(tags)
            .set_cpu(last.cpu)
            .set_memory(last.memory)
            .set_network_mode(last.network_mode)
            .set_requires_compatibilities(last.requires_compatibilities)
            .set_execution_role_arn(last.execution_role_arn)
            .set_task_role_arn(last.task_role_arn);
        request.send().await.unwrap().task_definition.unwrap().task_definition_arn.unwrap()
    }

    /// Lets a colour run so many tasks of a revision.
    pub async fn scale(&self, colour: usize, revision: Option<&str>, count: i32) {
        let request = self.aws.ecs().update_service().cluster(CLUSTER).service(&self.services[colour]);
        request.set_task_definition(revision.map(str::to_owned)).desired_count(count).send().await.unwrap();
    }

    /// Sets the weights of blue and green.
    pub async fn weigh(&self, weights: [i32; 2]) {
        let tuples = self
            .groups
            .iter()
            .zip(weights)
            .map(|(group, weight)| TargetGroupTuple::builder().target_group_arn(group).weight(weight).build());
        let forward = ForwardActionConfig::builder().set_target_groups(Some(tuples.collect())).build();
        let action = Action::builder().r#type(ActionTypeEnum::Forward).forward_config(forward).build();
        self.aws.elb().modify_rule().rule_arn(&self.rule).actions(action).send().await.unwrap();
    }

    /// The weights of blue and green.
    pub async fn weights(&self) -> [i32; 2] {
        let rules = self.aws.elb().describe_rules().rule_arns(&self.rule).send().await.unwrap();
        let forward = rules.rules()[0].actions()[0].forward_config().unwrap();
        self.groups.each_ref().map(|group| {
            let mut groups = forward.target_groups().iter();
            let found = groups.find(|tuple| tuple.target_group_arn() == Some(group.as_str()));
            found.and_then(|tuple| tuple.weight()).unwrap_or_default()
        })
    }

    /// What carries traffic has healthy targets.
    pub async fn sound(&self, when: &str) {
        let weights = self.weights().await;
        assert!(weights.iter().any(|weight| *weight > 0), "{when}: {weights:?}");
        for (colour, weight) in weights.into_iter().enumerate() {
            assert!(weight == 0 || self.healthy(colour).await > 0, "{when}: {weights:?}");
        }
    }

    /// One colour runs this version and has all traffic, and the other one has ended.
    pub async fn serves(&self, version: &str) {
        let weights = self.weights().await;
        let serves = weights.iter().position(|weight| *weight == 100).expect("one has all traffic");
        assert_eq!(weights[1 - serves], 0);
        assert_eq!(self.healthy(serves).await, 2);
        let revision = self.aws.ecs().describe_task_definition().task_definition(self.running_revision().await);
        let revision = revision.send().await.unwrap().task_definition.unwrap();
        let image = revision.container_definitions()[0].image().unwrap();
        assert_eq!(image, format!("registry.test/api:{version}"));
        assert_eq!(self.service(1 - serves).await.desired_count(), 0, "the other colour is stopped");
    }

    /// The task definition of the colour that has all traffic.
    pub async fn running_revision(&self) -> String {
        let serves = self.weights().await.iter().position(|weight| *weight == 100).expect("one has all traffic");
        self.service(serves).await.task_definition.expect("it has one")
    }

    /// How many targets of a colour are healthy.
    pub async fn healthy(&self, colour: usize) -> usize {
        let health = self.aws.elb().describe_target_health().target_group_arn(&self.groups[colour]);
        let health = health.send().await.unwrap();
        let states = health.target_health_descriptions().iter().filter_map(|target| target.target_health()?.state());
        states.filter(|state| **state == TargetHealthStateEnum::Healthy).count()
    }

    /// How many tasks of a colour run.
    pub async fn running(&self, colour: usize) -> i32 {
        self.service(colour).await.running_count()
    }

    async fn service(&self, colour: usize) -> aws_sdk_ecs::types::Service {
        let request = self.aws.ecs().describe_services().cluster(CLUSTER).services(&self.services[colour]);
        request.send().await.unwrap().services.unwrap().remove(0)
    }
}

/// Asks again until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < DEADLINE, "after {DEADLINE:?}, still waiting for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
