//! `services.*.calls`: services find each other by name, through firewalls that open for them alone.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, IpPermission};
use aws_sdk_ecs::types::ServiceConnectConfiguration;
use infra::aws::Aws;

use crate::end_to_end::site::Site;

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
network: { cidr: 10.0.0.0/16, zones: 2, nat: none }
load_balancers:
  public: {}
services:
  web:
    image: acme/web:1
    port: 4000
    route: {}
    calls: [orders]
  orders: { image: acme/orders:1, port: 8080, calls: [stock] }
  stock: { image: acme/stock:1, port: 9090, calls: [orders] }
  alone: { image: acme/alone:1, port: 7070 }
"#;

#[tokio::test]
async fn services_call_each_other() {
    let site = Site::start().await;
    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    let namespaces = site.aws.namespaces().list_namespaces().send().await.unwrap().namespaces.unwrap();
    let [namespace] = &namespaces[..] else { panic!("{namespaces:?}") };
    assert_eq!(namespace.name(), Some("acme-test"));
    let connected = connected(&site.aws).await;
    let found: Vec<&str> = connected.keys().map(String::as_str).collect();
    assert_eq!(found, ["orders", "stock", "web-blue", "web-green"]);
    for (name, port) in [("orders", 8080), ("stock", 9090)] {
        let [service] = connected[name].services() else { panic!("{connected:?}") };
        let [alias] = service.client_aliases() else { panic!("{service:?}") };
        assert_eq!((alias.dns_name(), alias.port(), service.discovery_name()), (Some(name), port, Some(name)));
        let request = site.aws.ecs().describe_task_definition().task_definition(format!("acme-test-{name}"));
        let task = request.send().await.unwrap().task_definition.unwrap();
        let [mapping] = task.container_definitions()[0].port_mappings() else { panic!("{task:?}") };
        assert_eq!((mapping.name(), mapping.container_port()), (Some(service.port_name()), Some(port)));
    }
    for colour in ["web-blue", "web-green"] {
        assert!(connected[colour].services().is_empty(), "who only calls is not found");
        assert_eq!(connected[colour].namespace(), namespace.arn());
    }
    let rules = rules(&site.aws).await;
    let expected = |from: &str, to: &str, port: i32| (from.to_owned(), to.to_owned(), port);
    assert_eq!(
        rules,
        [expected("orders", "stock", 9090), expected("stock", "orders", 8080), expected("web", "orders", 8080)]
    );
    site.converged("test").await;

    site.edit("test", "port: 8080, calls: [stock]", "port: 8080");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    assert_eq!(self::rules(&site.aws).await, [expected("stock", "orders", 8080), expected("web", "orders", 8080)]);
    assert!(self::connected(&site.aws).await["stock"].services().is_empty());

    site.edit("test", "    calls: [orders]\n", "");
    site.edit("test", ", calls: [orders]", "");
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    assert!(self::connected(&site.aws).await.is_empty());
    assert!(self::rules(&site.aws).await.is_empty());
    assert!(site.aws.namespaces().list_namespaces().send().await.unwrap().namespaces().is_empty());

    site.write("test", FILE);
    site.infra("apply test --yes").await.well();
    site.infra("destroy test --confirm test").await.well();
    assert_eq!(site.ids("test").await.len(), 0);
    assert!(site.aws.namespaces().list_namespaces().send().await.unwrap().namespaces().is_empty());
}

/// What is connected, by the service's name.
async fn connected(aws: &Aws) -> BTreeMap<String, ServiceConnectConfiguration> {
    let names = ["web-blue", "web-green", "orders", "stock", "alone"].map(|name| format!("acme-test-{name}"));
    let request = aws.ecs().describe_services().cluster("acme-test-main").set_services(Some(names.to_vec()));
    let services = request.send().await.unwrap().services.unwrap().into_iter();
    let connected = services.filter_map(|service| {
        let name = service.service_name()?.strip_prefix("acme-test-")?.to_owned();
        let connect = service.deployments()[0].service_connect_configuration()?.clone();
        connect.enabled().then_some((name, connect))
    });
    connected.collect()
}

/// What is open between services: from, to and port, where both sides say so.
async fn rules(aws: &Aws) -> Vec<(String, String, i32)> {
    let filter = Filter::builder().name("tag:infra:environment").values("test").build();
    let groups = aws.ec2().describe_security_groups().filters(filter).send().await.unwrap().security_groups.unwrap();
    let named: BTreeMap<&str, &str> = groups
        .iter()
        .map(|group| {
            let tag = group.tags().iter().find(|tag| tag.key() == Some("infra:address")).unwrap();
            (group.group_id().unwrap(), tag.value().unwrap().strip_prefix("security_group.").unwrap())
        })
        .collect();
    let peers = |rules: &[IpPermission]| {
        let all = rules.iter().flat_map(|rule| rule.user_id_group_pairs().iter().map(move |pair| (rule, pair)));
        let all = all.map(|(rule, pair)| (named[pair.group_id().unwrap()].to_owned(), rule.from_port().unwrap()));
        all.filter(|(name, _)| !name.starts_with("lb-")).collect::<Vec<_>>()
    };
    let (mut out, mut into) = (Vec::new(), Vec::new());
    for group in groups.iter().filter(|group| !named[group.group_id().unwrap()].starts_with("lb-")) {
        let name = named[group.group_id().unwrap()].to_owned();
        let from = |(peer, port): (String, i32)| (peer, name.clone(), port);
        into.extend(peers(group.ip_permissions()).into_iter().map(from));
        let to = |(peer, port): (String, i32)| (name.clone(), peer, port);
        out.extend(peers(group.ip_permissions_egress()).into_iter().map(to));
    }
    into.sort();
    out.sort();
    assert_eq!(into, out, "what may go out may come in");
    into
}
