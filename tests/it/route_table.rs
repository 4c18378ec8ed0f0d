use infra::kind::Kind as _;
use infra::kinds::internet_gateway::InternetGateway;
use infra::kinds::nat_gateway::{Connectivity, NatGateway};
use infra::kinds::route_table::{Route, RouteTable, Target};
use infra::tags::Tags;

use crate::gateways::subnet;
use crate::support::Bench;
use crate::vpc::vpc;

fn route(destination: &str, target: Target) -> Route {
    Route { destination: destination.into(), target }
}

#[tokio::test]
async fn route_table() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let a = bench.create("a", &subnet(&vpc.id, "10.0.0.0/20", "us-east-1a")).await;
    let b = bench.create("b", &subnet(&vpc.id, "10.0.16.0/20", "us-east-1b")).await;
    let gateway = InternetGateway { vpc_id: Some(vpc.id.as_str().into()), tags: Tags::new() };
    let gateway = bench.create("main", &gateway).await;
    let nat = NatGateway {
        subnet_id: a.id.as_str().into(),
        allocation_id: None,
        connectivity: Connectivity::Private,
        tags: Tags::new(),
    };
    let nat = bench.create("a", &nat).await;
    let (igw, nat) = (Target::InternetGateway(gateway.id.as_str().into()), Target::NatGateway(nat.id.as_str().into()));

    let public = RouteTable {
        vpc_id: vpc.id.as_str().into(),
        routes: vec![route("192.168.0.0/16", igw.clone()), route("0.0.0.0/0", igw.clone())],
        subnets: vec![b.id.as_str().into(), a.id.as_str().into()],
        tags: Tags::from([("team".into(), "backend".into())]),
    };
    let table = bench.create("public", &public).await;
    // One route is turned, one goes, one comes; a subnet goes.
    let turned = RouteTable {
        routes: vec![route("0.0.0.0/0", nat.clone()), route("172.16.0.0/12", igw)],
        subnets: vec![a.id.as_str().into()],
        tags: Tags::new(),
        ..public.clone()
    };
    let table = bench.update(&table, &turned).await;

    // Another table takes a subnet that this one still has, and this one is told afterwards.
    let private = RouteTable { routes: vec![route("0.0.0.0/0", nat)], ..turned.clone() };
    let other = bench.create("private", &private).await;
    let empty = RouteTable { routes: Vec::new(), subnets: Vec::new(), ..turned };
    let table = bench.update(&table, &empty).await;
    assert_eq!(
        bench.list::<RouteTable>().await.into_iter().find(|live| live.id == other.id).unwrap().spec.subnets.len(),
        1
    );

    // What others add is in the exclusive sets, so that it is removed.
    let ec2 = bench.aws.ec2();
    ec2.associate_route_table().route_table_id(&table.id).subnet_id(&b.id).send().await.unwrap();
    let request = ec2.create_route().route_table_id(&table.id).destination_cidr_block("10.9.0.0/16");
    request.gateway_id(&gateway.id).send().await.unwrap();
    let table = bench.list::<RouteTable>().await.into_iter().find(|live| live.id == table.id).unwrap();
    assert_eq!((table.spec.routes.len(), table.spec.subnets.len()), (1, 1));
    let table = bench.update(&table, &empty).await;

    RouteTable::delete(&bench.aws, &table).await.unwrap();
    bench.delete::<RouteTable>(&other).await;
    let left = ec2.describe_route_tables().send().await.unwrap();
    let main =
        |table: &aws_sdk_ec2::types::RouteTable| table.associations().iter().any(|held| held.main() == Some(true));
    assert!(left.route_tables().iter().any(|table| table.vpc_id() == Some(&vpc.id) && main(table)));
}

#[tokio::test]
async fn a_gateway_endpoint_adds_its_own_route() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let spec =
        RouteTable { vpc_id: vpc.id.as_str().into(), routes: Vec::new(), subnets: Vec::new(), tags: Tags::new() };
    let table = bench.create("private", &spec).await;
    let request = bench.aws.ec2().create_vpc_endpoint().vpc_id(&vpc.id).service_name("com.amazonaws.us-east-1.s3");
    request.route_table_ids(&table.id).send().await.unwrap();
    let table = bench.update(&table, &spec).await;
    assert!(table.notes.is_empty(), "{:?}", table.notes);
}
