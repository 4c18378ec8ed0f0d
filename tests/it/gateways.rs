use infra::address::Address;
use infra::kind::{Health, Kind as _, Making, Progress};
use infra::kinds::elastic_ip::ElasticIp;
use infra::kinds::internet_gateway::InternetGateway;
use infra::kinds::nat_gateway::{Connectivity, NatGateway};
use infra::kinds::subnet::Subnet;
use infra::tags::Tags;

use crate::support::{Bench, REGION, scope};
use crate::vpc::vpc;

pub fn subnet(vpc: &str, cidr: &str, zone: &str) -> Subnet {
    Subnet {
        vpc_id: vpc.into(),
        cidr: cidr.parse().unwrap(),
        zone: zone.into(),
        public_addresses: false,
        tags: Tags::new(),
    }
}

fn team() -> Tags {
    Tags::from([("team".into(), "backend".into())])
}

fn making(name: &str, token: &str) -> Making {
    Making {
        identity: scope(&[]).identity(&Address::new("nat_gateway", name)),
        account: "123456789012".into(),
        region: REGION.into(),
        partition: "aws".into(),
        token: token.into(),
    }
}

#[tokio::test]
async fn internet_gateway() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let foreign = bench.aws.ec2().create_internet_gateway().send().await.unwrap();
    let foreign = foreign.internet_gateway().unwrap().internet_gateway_id().unwrap();

    // An interrupted create: made, but attached to nothing. The next apply attaches it.
    let alone = InternetGateway { vpc_id: None, tags: team() };
    let gateway = bench.create("main", &alone).await;
    let attached = InternetGateway { vpc_id: Some(vpc.id.as_str().into()), tags: Tags::new() };
    let before = gateway.clone();
    let gateway = bench.update(&gateway, &attached).await;
    // The same once more, as after a lost answer.
    bench.update(&before, &attached).await;
    let gateway = bench.update(&gateway, &alone).await;
    let gateway = bench.update(&gateway, &attached).await;
    bench.delete(&gateway).await;
    InternetGateway::delete(&bench.aws, &gateway).await.unwrap_err();

    let left = bench.aws.ec2().describe_internet_gateways().send().await.unwrap();
    assert!(left.internet_gateways().iter().any(|gateway| gateway.internet_gateway_id() == Some(foreign)));
}

#[tokio::test]
async fn elastic_ip_and_nat_gateway() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let subnet = bench.create("public-a", &subnet(&vpc.id, "10.0.0.0/20", "us-east-1a")).await;
    let foreign = bench.aws.ec2().allocate_address().send().await.unwrap();

    let address = bench.create("nat-a", &ElasticIp { tags: team() }).await;
    let address = bench.update(&address, &ElasticIp { tags: Tags::new() }).await;
    let public = NatGateway {
        subnet_id: subnet.id.as_str().into(),
        allocation_id: Some(address.id.as_str().into()),
        connectivity: Connectivity::Public,
        tags: team(),
    };
    // Without a gateway to the internet, AWS accepts it and says why it failed only afterwards.
    let id = public.create(&bench.aws, &making("a", "run1")).await.unwrap();
    let failed = || bench.list::<NatGateway>();
    while failed().await.iter().any(|live| live.health == Health::Pending) {}
    let failed = failed().await.remove(0);
    assert!(matches!(&failed.health, Health::Failed(why) if why.starts_with("Gateway.NotAttached: ")), "{failed:?}");
    assert!(matches!(NatGateway::poll(&bench.aws, &id).await.unwrap(), Progress::Failed { .. }));
    bench.delete(&failed).await;

    let internet = InternetGateway { vpc_id: Some(vpc.id.as_str().into()), tags: Tags::new() };
    bench.create("main", &internet).await;
    let gateway = bench.create("a", &public).await;
    // The answer to a create was lost: within one run, the second one finds the gateway.
    let repeated = public.create(&bench.aws, &making("a", "run1a")).await.unwrap();
    assert_eq!(repeated, gateway.id);
    assert_eq!(gateway.outputs["public_ip"], address.outputs["public_ip"]);
    let gateway = bench.update(&gateway, &NatGateway { tags: Tags::new(), ..public.clone() }).await;
    // A deleted gateway is visible for an hour, and is nothing of ours then.
    NatGateway::delete(&bench.aws, &gateway).await.unwrap();
    let listed = bench.list::<NatGateway>().await;
    assert!(listed.iter().all(|live| live.health == Health::Tombstone), "{listed:?}");
    while NatGateway::poll(&bench.aws, &gateway.id).await.unwrap() != Progress::Gone {}
    assert!(bench.list::<NatGateway>().await.is_empty());

    let private = NatGateway { allocation_id: None, connectivity: Connectivity::Private, ..public };
    let gateway = bench.create("b", &private).await;
    assert_eq!(gateway.outputs["public_ip"], "");
    bench.delete(&gateway).await;

    bench.delete(&address).await;
    let left = bench.aws.ec2().describe_addresses().send().await.unwrap();
    assert_eq!(left.addresses().len(), 1);
    assert_eq!(left.addresses()[0].allocation_id(), foreign.allocation_id());
}
