//! Network: three zones, three tiers, and the ways out.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Tag};
use infra::aws::Aws;

/// Ids that the other rows refer to.
pub struct Network {
    pub vpc: String,
    /// By name, as in `private-a`.
    pub subnets: BTreeMap<String, String>,
}

impl Network {
    /// The ids of a tier's subnets, sorted.
    pub fn tier(&self, tier: &str) -> Vec<String> {
        let them = self.subnets.iter().filter(|(name, _)| name.starts_with(&format!("{tier}-")));
        let mut ids: Vec<String> = them.map(|(_, id)| id.clone()).collect();
        ids.sort();
        ids
    }
}

/// What EC2 is asked for: things of production, by our tags.
pub fn ours() -> Vec<Filter> {
    let tag = |name: &str, value: &str| Filter::builder().name(format!("tag:infra:{name}")).values(value).build();
    vec![tag("project", "acme"), tag("environment", "production")]
}

/// The name in the address that the tags hold.
pub fn name(tags: &[Tag]) -> String {
    let address = tags.iter().find(|tag| tag.key() == Some("infra:address")).and_then(Tag::value).expect("an address");
    let owner = tags.iter().find(|tag| tag.key() == Some("team")).and_then(Tag::value);
    assert_eq!(owner, Some("backend"), "the file's tags are on {address}");
    address.split_once('.').expect("kind and name").1.to_owned()
}

pub async fn check(aws: &Aws) -> Network {
    let vpcs = aws.ec2().describe_vpcs().set_filters(Some(ours())).send().await.unwrap().vpcs.unwrap();
    let [vpc] = &vpcs[..] else { panic!("{vpcs:?}") };
    assert_eq!(vpc.cidr_block(), Some("10.0.0.0/16"));
    let vpc = vpc.vpc_id().unwrap().to_owned();
    let subnets = subnets(aws, &vpc).await;
    let gateways = aws.ec2().describe_internet_gateways().set_filters(Some(ours())).send().await.unwrap();
    let [gateway] = gateways.internet_gateways() else { panic!("{gateways:?}") };
    assert_eq!(gateway.attachments()[0].vpc_id(), Some(vpc.as_str()));
    let nats = nats(aws, &subnets).await;
    routes(aws, &subnets, gateway.internet_gateway_id().unwrap(), &nats).await;
    Network { vpc, subnets }
}

async fn subnets(aws: &Aws, vpc: &str) -> BTreeMap<String, String> {
    let found = aws.ec2().describe_subnets().set_filters(Some(ours())).send().await.unwrap();
    let mut subnets = BTreeMap::new();
    let mut shapes = Vec::new();
    for subnet in found.subnets() {
        assert_eq!(subnet.vpc_id(), Some(vpc));
        assert_eq!(subnet.map_public_ip_on_launch(), Some(false), "no public address by itself");
        let name = name(subnet.tags());
        shapes.push(format!("{name} {} {}", subnet.availability_zone().unwrap(), subnet.cidr_block().unwrap()));
        subnets.insert(name, subnet.subnet_id().unwrap().to_owned());
    }
    shapes.sort();
    assert_eq!(
        shapes,
        [
            "data-a us-east-1a 10.0.160.0/22",
            "data-b us-east-1b 10.0.164.0/22",
            "data-c us-east-1c 10.0.168.0/22",
            "private-a us-east-1a 10.0.0.0/20",
            "private-b us-east-1b 10.0.16.0/20",
            "private-c us-east-1c 10.0.32.0/20",
            "public-a us-east-1a 10.0.128.0/22",
            "public-b us-east-1b 10.0.132.0/22",
            "public-c us-east-1c 10.0.136.0/22",
        ]
    );
    subnets
}

/// One NAT gateway a zone, in its public subnet, each with an address of its own.
async fn nats(aws: &Aws, subnets: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let addresses = aws.ec2().describe_addresses().set_filters(Some(ours())).send().await.unwrap();
    let mut addresses: BTreeMap<String, &str> =
        addresses.addresses().iter().map(|address| (name(address.tags()), address.allocation_id().unwrap())).collect();
    let found = aws.ec2().describe_nat_gateways().set_filter(Some(ours())).send().await.unwrap();
    let mut nats = BTreeMap::new();
    for nat in found.nat_gateways() {
        let zone = name(nat.tags());
        assert_eq!(nat.subnet_id(), Some(subnets[&format!("public-{zone}")].as_str()));
        let address = nat.nat_gateway_addresses()[0].allocation_id();
        assert_eq!(address, addresses.remove(&format!("nat-{zone}")), "its own address");
        nats.insert(zone, nat.nat_gateway_id().unwrap().to_owned());
    }
    assert_eq!(nats.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(addresses.is_empty(), "{addresses:?}");
    nats
}

async fn routes(aws: &Aws, subnets: &BTreeMap<String, String>, gateway: &str, nats: &BTreeMap<String, String>) {
    let tables = aws.ec2().describe_route_tables().set_filters(Some(ours())).send().await.unwrap();
    let mut found = BTreeMap::new();
    for table in tables.route_tables() {
        // Beside the routes inside the network, and those that the endpoint of S3 keeps by itself.
        let inside = |id: &str| id == "local" || id.starts_with("vpce-");
        let beyond = table.routes().iter().filter(|route| !route.gateway_id().is_some_and(inside));
        let beyond = beyond.map(|route| {
            let target = route.nat_gateway_id().or(route.gateway_id()).unwrap();
            format!("{} {target}", route.destination_cidr_block().unwrap())
        });
        let mut served: Vec<&str> = table.associations().iter().filter_map(|one| one.subnet_id()).collect();
        served.sort_unstable();
        let of = |id: &str| subnets.iter().find(|(_, subnet)| *subnet == id).map(|(name, _)| name.clone()).unwrap();
        let mut served: Vec<String> = served.into_iter().map(of).collect();
        served.sort();
        found.insert(name(table.tags()), (beyond.collect::<Vec<_>>(), served.join(" ")));
    }
    let table = |name: &str, beyond: Vec<String>, served: &str| (name.to_owned(), (beyond, served.to_owned()));
    let mut expected = BTreeMap::from([
        table("public", vec![format!("0.0.0.0/0 {gateway}")], "public-a public-b public-c"),
        table("data", vec![], "data-a data-b data-c"),
    ]);
    for (zone, nat) in nats {
        let private = format!("private-{zone}");
        expected.extend([table(&private, vec![format!("0.0.0.0/0 {nat}")], &private)]);
    }
    assert_eq!(found, expected, "data has no way out, each private subnet its own NAT gateway");
}
