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
    backup_plan::BackupPlan,
    backup_vault::BackupVault,
    bucket::Bucket,
    cache_parameter_group::CacheParameterGroup,
    cache_subnet_group::CacheSubnetGroup,
    certificate::Certificate,
    composite_alarm::CompositeAlarm,
    dashboard::Dashboard,
    db_instance::DbInstance,
    db_parameter_group::DbParameterGroup,
    db_subnet_group::DbSubnetGroup,
    dns_record::DnsRecord,
    ecr_repository::EcrRepository,
    ecs_cluster::EcsCluster,
    ecs_service::EcsService,
    elastic_ip::ElasticIp,
    event_rule::EventRule,
    flow_log::FlowLog,
    hosted_zone::HostedZone,
    iam_role::IamRole,
    internet_gateway::InternetGateway,
    ip_set::IpSet,
    kms_key::KmsKey,
    lambda_function::LambdaFunction,
    listener::Listener,
    listener_rule::ListenerRule,
    load_balancer::LoadBalancer,
    log_group::LogGroup,
    metric_alarm::MetricAlarm,
    namespace::Namespace,
    nat_gateway::NatGateway,
    oidc_provider::OidcProvider,
    query_definition::QueryDefinition,
    replication_group::ReplicationGroup,
    route_table::RouteTable,
    sampling_rule::SamplingRule,
    scalable_target::ScalableTarget,
    schedule_group::ScheduleGroup,
    secret::Secret,
    security_group::SecurityGroup,
    sns_topic::SnsTopic,
    subnet::Subnet,
    target_group::TargetGroup,
    task_definition::TaskDefinition,
    trace_group::TraceGroup,
    trail::Trail,
    vpc::Vpc,
    vpc_endpoint::VpcEndpoint,
    web_acl::WebAcl,
}

mod adopt;
mod alarms;
mod deletion;
pub(crate) mod ec2;
mod ec2_users;
pub mod ecs;
pub mod ecs_autopsy;
mod ecs_connect;
pub mod ecs_deployment;
pub mod ecs_rollout;
pub mod ecs_services;
mod elasticache;
pub(crate) mod elb;
mod elb_users;
pub mod metric_query;
mod rds;
mod rds_instance;
mod route53;
pub(crate) mod tagging;
pub mod task_container;
mod waf;
mod xray;

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
