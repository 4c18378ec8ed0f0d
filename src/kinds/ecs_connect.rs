//! Service Connect of ECS services: by which names tasks of a namespace find each other.

use aws_sdk_ecs::types::{
    Service as Found, ServiceConnectClientAlias, ServiceConnectConfiguration, ServiceConnectService,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ecs;
use crate::kind::{Failure, Problem, Result};
use crate::value::Arg;

/// How tasks find services by name, and are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceConnect {
    /// The namespace in which names are looked up.
    pub namespace_arn: Arg<String>,
    /// What of this service others find. Without any, it only calls others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Endpoint>,
}

/// A port of the tasks under a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The port's name in the task definition.
    pub port_name: String,
    /// The name in the namespace.
    pub discovery_name: String,
    /// The host name under which others call it.
    pub host: String,
    /// The port on which others call it.
    pub port: u16,
}

impl ServiceConnect {
    pub(super) fn sdk(&self) -> Result<ServiceConnectConfiguration> {
        let services = self.services.iter().map(|endpoint| {
            let alias = ServiceConnectClientAlias::builder().port(endpoint.port.into()).dns_name(&endpoint.host);
            let service = ServiceConnectService::builder().port_name(&endpoint.port_name);
            let service = service.discovery_name(&endpoint.discovery_name);
            service.client_aliases(alias.build().map_err(incomplete)?).build().map_err(incomplete)
        });
        let services = services.collect::<Result<Vec<_>>>()?;
        let connect = ServiceConnectConfiguration::builder().enabled(true).namespace(self.namespace_arn.get()?);
        let services = Some(services).filter(|services| !services.is_empty());
        Ok(connect.set_services(services).build())
    }

    fn of(found: &ServiceConnectConfiguration) -> Self {
        let endpoint = |service: &ServiceConnectService| {
            let name = service.discovery_name().unwrap_or(service.port_name());
            let alias = service.client_aliases().first();
            let host = alias.and_then(|alias| alias.dns_name()).unwrap_or(name);
            Endpoint {
                port_name: service.port_name().to_owned(),
                discovery_name: name.to_owned(),
                host: host.to_owned(),
                port: alias.and_then(|alias| u16::try_from(alias.port()).ok()).unwrap_or_default(),
            }
        };
        Self {
            namespace_arn: found.namespace().unwrap_or_default().into(),
            services: found.services().iter().map(endpoint).collect(),
        }
    }
}

fn incomplete(error: aws_smithy_types::error::operation::BuildError) -> Failure {
    Failure::new("ecs", "InvalidRequest", error.to_string())
}

/// What the latest deployment has; the service itself does not tell.
pub fn read(found: &Found) -> Option<ServiceConnect> {
    let primary = found.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"))?;
    let connect = primary.service_connect_configuration().filter(|connect| connect.enabled())?;
    Some(ServiceConnect::of(connect))
}

pub fn check(spec: &ServiceConnect) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, endpoint) in spec.services.iter().enumerate() {
        let path = |field: &str| format!("service_connect.services.{at}.{field}");
        for (field, name) in [("port_name", &endpoint.port_name), ("discovery_name", &endpoint.discovery_name)] {
            problems.extend(ecs::check_name(&path(field), name));
        }
        if spec.services[..at].iter().any(|other| (&other.host, other.port) == (&endpoint.host, endpoint.port)) {
            let message = format!("`{}:{}` is there twice", endpoint.host, endpoint.port);
            problems.push(Problem::new(&path("host"), message).help("give one of them another name"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::Deployment;

    use super::*;

    #[test]
    fn the_latest_deployment_tells_what_is_connected() {
        let endpoint =
            Endpoint { port_name: "main".into(), discovery_name: "orders".into(), host: "orders".into(), port: 8080 };
        let connect = ServiceConnect { namespace_arn: "arn".into(), services: vec![endpoint.clone(), endpoint] };
        let deployment = |status: &str, connect: ServiceConnectConfiguration| {
            Deployment::builder().status(status).service_connect_configuration(connect).build()
        };
        let off = ServiceConnectConfiguration::builder().enabled(false).build();
        let found = Found::builder().deployments(deployment("ACTIVE", off.clone()));
        let found = found.deployments(deployment("PRIMARY", connect.sdk().unwrap())).build();
        assert_eq!(read(&found), Some(connect.clone()));
        assert_eq!(read(&Found::builder().deployments(deployment("PRIMARY", off)).build()), None);
        assert_eq!(check(&connect).len(), 1, "one name twice");
    }
}
