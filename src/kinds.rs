//! The list of kinds, once. A new kind is one file in `kinds/` and one line here.

use std::sync::Arc;

use crate::aws::Aws;
use crate::kind::{Drivers, Info};

macro_rules! kinds {
    ($($module:ident :: $kind:ident),* $(,)?) => {
        $(pub mod $module;)*
        /// What planning knows of each kind, in alphabetical order.
        pub static ALL: &[Info] = &[$(Info::of::<$module::$kind>()),*];
    };
}

kinds! {
    certificate::Certificate,
    composite_alarm::CompositeAlarm,
    dashboard::Dashboard,
    db_instance::DbInstance,
    db_parameter_group::DbParameterGroup,
    db_subnet_group::DbSubnetGroup,
    ecs_cluster::EcsCluster,
    ecs_service::EcsService,
    elastic_ip::ElasticIp,
    iam_role::IamRole,
    internet_gateway::InternetGateway,
    kms_key::KmsKey,
    listener::Listener,
    listener_rule::ListenerRule,
    load_balancer::LoadBalancer,
    log_group::LogGroup,
    metric_alarm::MetricAlarm,
    nat_gateway::NatGateway,
    query_definition::QueryDefinition,
    route_table::RouteTable,
    secret::Secret,
    security_group::SecurityGroup,
    subnet::Subnet,
    target_group::TargetGroup,
    task_definition::TaskDefinition,
    vpc::Vpc,
}

mod adopt;
mod alarms;
mod deletion;
mod ec2;
mod ecs;
mod ecs_rollout;
mod ecs_services;
mod elb;
pub mod metric_query;
mod rds;
mod rds_instance;
mod tagging;
pub mod task_container;

/// The kind with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Info> {
    ALL.iter().find(|info| info.name == name)
}

/// A driver for each kind, on AWS.
#[must_use]
pub fn drivers(aws: &Arc<Aws>) -> Drivers {
    ALL.iter().map(|info| (info.name, (info.driver)(Arc::clone(aws)))).collect()
}
