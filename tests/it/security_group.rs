use aws_sdk_ec2::types::{IpPermission, IpRange};
use infra::address::Address;
use infra::kind::{Kind as _, Live, Making};
use infra::kinds::security_group::{Peer, Ports, Protocol, Rule, SecurityGroup};
use infra::tags::Tags;

use crate::support::{Bench, REGION, scope};
use crate::vpc::vpc;

fn tcp(ports: impl Into<Ports>, peer: Peer) -> Rule {
    Rule {
        protocol: Protocol::Tcp,
        ports: Some(ports.into()),
        icmp_type: None,
        icmp_code: None,
        peer,
        description: String::new(),
    }
}

fn range(text: &str) -> Peer {
    Peer::Cidr(text.into())
}

fn everything(range: &str) -> Rule {
    Rule { protocol: Protocol::All, ports: None, ..tcp(0, Peer::Cidr(range.into())) }
}

fn group(vpc: &str) -> SecurityGroup {
    SecurityGroup {
        vpc_id: vpc.into(),
        name: None,
        description: "Containers of the API".into(),
        ingress: Vec::new(),
        egress: Vec::new(),
        exclusive: false,
        tags: Tags::new(),
    }
}

fn making(name: &str) -> Making {
    Making {
        identity: scope(&[]).identity(&Address::new("security_group", name)),
        account: "123456789012".into(),
        region: REGION.into(),
        partition: "aws".into(),
        token: "run1".into(),
    }
}

/// What others add to a group of ours: ssh from everywhere.
async fn add_foreign(bench: &Bench, group: &Live<SecurityGroup>) {
    let everywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let ssh = IpPermission::builder().ip_protocol("tcp").from_port(22).to_port(22).ip_ranges(everywhere).build();
    let request = bench.aws.ec2().authorize_security_group_ingress().group_id(&group.id).ip_permissions(ssh);
    request.send().await.expect("a rule of others");
}

async fn look(bench: &Bench, name: &str) -> Live<SecurityGroup> {
    let live = bench.list::<SecurityGroup>().await;
    live.into_iter().find(|live| live.identity.address.name == name).expect("the group")
}

#[tokio::test]
async fn security_group() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let balancer = SecurityGroup { egress: vec![everything("0.0.0.0/0")], ..group(&vpc.id) };
    // The only egress rule is what AWS adds to a new group, so that nothing is to be done.
    let balancer = bench.create("balancer", &balancer).await;

    let from_balancer = || Peer::SecurityGroup(balancer.id.as_str().into());
    let api = SecurityGroup {
        ingress: vec![
            tcp(4000, from_balancer()),
            tcp(3000, from_balancer()),
            tcp(3000, range("10.0.0.0/16")),
            tcp(Ports { from: 8000, to: 8999 }, range("2001:db8::/32")),
        ],
        egress: vec![tcp(443, range("0.0.0.0/0")), everything("10.0.0.0/16")],
        tags: Tags::from([("team".into(), "backend".into())]),
        ..group(&vpc.id)
    };
    let live = bench.create("api", &api).await;
    assert!(live.notes.is_empty(), "{:?}", live.notes);

    let described = |rule: Rule, text: &str| Rule { description: text.into(), ..rule };
    let ping = Rule { protocol: Protocol::Icmp, ports: None, ..tcp(0, range("10.0.0.0/8")) };
    let changed = SecurityGroup {
        ingress: vec![described(tcp(3000, from_balancer()), "traffic"), tcp(3001, range("10.0.0.0/16")), ping],
        egress: vec![described(tcp(443, range("0.0.0.0/0")), "AWS")],
        tags: Tags::new(),
        ..api
    };
    let live = bench.update(&live, &changed).await;
    // Once more: nothing is left to do.
    let live = bench.update(&live, &changed).await;

    let empty = SecurityGroup { ingress: Vec::new(), egress: Vec::new(), ..changed };
    let live = bench.update(&live, &empty).await;
    SecurityGroup::delete(&bench.aws, &live).await.unwrap();
    let balancer = bench.update(&balancer, &group(&vpc.id)).await;
    bench.delete(&balancer).await;
}

#[tokio::test]
async fn made_empty_and_filled_later() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    // As in a cycle: the group is made without rules, and filled when those that it refers to are there. What was known
    // of it at the first step is still said to be live at the second one, though its implicit rule is gone by then.
    let made = bench.create("api", &group(&vpc.id)).await;
    let full = SecurityGroup { egress: vec![everything("0.0.0.0/0")], ..group(&vpc.id) };
    let shell = Live { spec: full.shell(), ..made };
    let live = bench.update(&shell, &full).await;
    let narrow = SecurityGroup { egress: vec![tcp(443, range("10.0.0.0/16"))], ..full.clone() };
    let live = bench.update(&live, &narrow).await;
    let live = bench.update(&Live { spec: full.shell(), ..live }, &narrow).await;
    bench.delete(&live).await;
}

#[tokio::test]
async fn rules_of_others() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let spec = SecurityGroup { ingress: vec![tcp(443, range("0.0.0.0/0"))], ..group(&vpc.id) };
    let live = bench.create("api", &spec).await;

    // They are left alone, and shown.
    add_foreign(&bench, &live).await;
    let live = bench.update(&live, &spec).await;
    assert_eq!(live.notes.len(), 1, "{:?}", live.notes);

    // An exclusive group has them revoked, also when it has just become exclusive.
    let exclusive = SecurityGroup { exclusive: true, ..spec.clone() };
    let live = bench.update(&live, &exclusive).await;
    add_foreign(&bench, &live).await;
    let live = look(&bench, &live.identity.address.name).await;
    assert_eq!((live.spec.ingress.len(), live.notes.len()), (2, 0));
    let live = bench.update(&live, &exclusive).await;
    let live = bench.update(&live, &spec).await;

    // One that the file names becomes ours, and goes when the file does not name it any more.
    add_foreign(&bench, &live).await;
    let both =
        SecurityGroup { ingress: vec![tcp(443, range("0.0.0.0/0")), tcp(22, range("0.0.0.0/0"))], ..spec.clone() };
    let live = bench.update(&live, &both).await;
    let live = bench.update(&live, &spec).await;
    assert!(live.notes.is_empty(), "{:?}", live.notes);
    bench.delete(&live).await;
}

#[tokio::test]
async fn a_name_in_use() {
    let bench = Bench::start().await;
    let vpc = bench.create("main", &vpc()).await;
    let spec = SecurityGroup { name: Some("api".into()), ..group(&vpc.id) };
    let live = bench.create("api", &spec).await;
    assert_eq!(live.spec.name.as_deref(), Some("api"));
    // The answer to the create was lost: the second one finds the group.
    assert_eq!(spec.create(&bench.aws, &making("api")).await.unwrap(), live.id);
    // Another address of ours, and a group of others, are refused with what to do.
    let refused = spec.create(&bench.aws, &making("web")).await.unwrap_err();
    assert!(refused.message.contains(&live.id) && refused.message.contains("infra adopt"), "{refused}");
    let request = bench.aws.ec2().create_security_group().vpc_id(&vpc.id).group_name("foreign").description("theirs");
    request.send().await.unwrap();
    let spec = SecurityGroup { name: Some("foreign".into()), ..spec };
    let refused = spec.create(&bench.aws, &making("web")).await.unwrap_err();
    assert_eq!(refused.code, "InvalidGroup.Duplicate");
    assert_eq!(bench.list::<SecurityGroup>().await.len(), 1);
}
