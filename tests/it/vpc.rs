use infra::kinds::{subnet::Subnet, vpc::Vpc};
use infra::tags::Tags;

use crate::support::Bench;

pub fn vpc() -> Vpc {
    Vpc { cidr: "10.0.0.0/16".parse().unwrap(), dns_support: true, dns_hostnames: true, tags: Tags::new() }
}

#[tokio::test]
async fn vpc_and_subnet() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let subnet = Subnet {
        vpc_id: vpc.id.as_str().into(),
        cidr: "10.0.0.0/20".parse().unwrap(),
        zone: "us-east-1a".into(),
        public_addresses: true,
        tags: Tags::from([("team".into(), "backend".into())]),
    };
    let live = bench.create("public-a", &subnet).await;
    let live = bench.update(&live, &Subnet { public_addresses: false, tags: Tags::new(), ..subnet }).await;
    bench.delete(&live).await;
    let plain = Vpc { dns_hostnames: false, ..vpc.spec.clone() };
    let vpc = bench.update(&vpc, &plain).await;
    bench.delete(&vpc).await;
}
