//! `infra drift`: what has happened in AWS since the file was applied, found without writing anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType, Tag, TagSpecification};
use infra::address::Address;
use infra::kind::Making;
use infra::kinds;
use infra::value::{Fields, Value};
use serde_json::{Value as Json, json};

use super::account;
use super::site::{ACCOUNT, PRODUCTION, Site, scope};
use crate::proxy::Proxy;
use crate::support::REGION;

#[tokio::test]
async fn drift_is_told_and_nothing_is_written() {
    let site = Site::applied().await;
    let none = site.infra("drift production").await.well();
    assert!(none.stdout.contains("No drift: 72 resources are as the file says."), "{}", none.stdout);
    assert!(none.stdout.contains("Awaits release:"), "this is no drift: {}", none.stdout);

    let foreign = site.emulator.at_once(tamper(&site)).await;
    let before = site.emulator.at_once(account::contents(&site.aws)).await;
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    let ran = site.through(&proxy.endpoint, "drift production --format json").await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let writes: Vec<_> = proxy.calls().into_iter().filter(|call| !call.reads()).collect();
    assert!(writes.is_empty() && proxy.calls().len() > 50, "{writes:?}");
    let after = site.emulator.at_once(account::contents(&site.aws)).await;
    account::same(&before, &after, "drift only looks");
    let drift = ran.json();
    assert_eq!(told(&drift), expected());
    let found: Vec<&str> =
        drift["foreign"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(found, ["instance", "load balancer", "network interface", "route table", "security group", "subnet"]);
    let ids: Vec<&str> = drift["foreign"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, foreign);
    let instance = &drift["foreign"][0];
    assert_eq!((&instance["name"], &instance["made_by"]), (&"bastion".into(), &"Auto Scaling group bastions".into()));
    let note = &drift["notes"].as_array().unwrap()[0];
    assert_eq!((&note["address"], &note["foreign"]), (&"security_group.api".into(), &true.into()), "{note}");

    let text = site.infra("drift production").await;
    assert_eq!(text.code, Some(2));
    for line in [
        "  differs     target_group.api-blue\n      health_check.path: AWS has \"/other\", the file wants \"/health\"\n",
        "  missing     secret.jwt             the file has it, in AWS it waits for its deletion\n",
        "  extra       subnet.old             AWS has it with our tags, the file lacks it\n",
        "instance i-",
        ", made by Auto Scaling group bastions\n",
        "foreign security_group.api: others added ingress rule sgr-",
        "Drift: 1 differs, 1 missing, 1 extra, 7 foreign.",
    ] {
        assert!(text.stdout.contains(line), "{line:?}\n{}", text.stdout);
    }
    let markdown = site.infra("drift production --format markdown").await.stdout;
    for line in [
        "## Drift of production\n",
        "| `target_group.api-blue` | differs | `health_check.path` | `\"/other\"` | `\"/health\"` |\n",
        "\n### Foreign in its network\n\n- instance i-",
    ] {
        assert!(markdown.contains(line), "{line:?}\n{markdown}");
    }

    let ignores: Vec<String> = foreign.iter().map(|id| format!(" --ignore {id}")).collect();
    let rest = "--ignore target_group.api-blue.health_check --ignore secret.jwt --ignore subnet.old";
    let all = format!("drift production {rest} --ignore security_group.api{}", ignores.concat());
    let left = site.infra(&all).await.well();
    assert!(left.stdout.contains("No drift"), "{}", left.stdout);
    let unused = site.infra(&format!("{all} --ignore target_group.api-blue.port --ignore i-0")).await.well();
    for one in ["target_group.api-blue.port", "i-0"] {
        let line = format!("--ignore {one} leaves out nothing: nothing differs there\n");
        assert!(unused.stderr.contains(&line), "{}", unused.stderr);
    }
    let one = site.infra(&format!("drift production {rest} --ignore security_group.api")).await;
    assert_eq!(one.code, Some(2), "what is foreign is drift by itself: {}", one.stdout);
}

/// What others do to production behind the file's back. The ids of what is foreign, sorted by what it is.
async fn tamper(site: &Site) -> Vec<String> {
    let (ec2, ids) = (site.aws.ec2(), site.ids(PRODUCTION).await);
    let (vpc, subnet) = (&ids["vpc.main"], &ids["subnet.private-a"]);
    let path = site.aws.elb().modify_target_group().target_group_arn(&ids["target_group.api-blue"]);
    path.health_check_path("/other").send().await.unwrap();
    site.aws.secrets().delete_secret().secret_id(&ids["secret.jwt"]).send().await.unwrap();
    let ours = [("infra:project", "acme"), ("infra:environment", PRODUCTION), ("infra:address", "subnet.old")];
    let tags = ours.map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags = TagSpecification::builder().resource_type(ResourceType::Subnet).set_tags(Some(tags.to_vec())).build();
    let old = ec2.create_subnet().vpc_id(vpc).cidr_block("10.0.250.0/24").tag_specifications(tags);
    old.send().await.unwrap();
    let range = IpRange::builder().cidr_ip("192.0.2.7/32").build();
    let rule = IpPermission::builder().ip_protocol("tcp").from_port(22).to_port(22).ip_ranges(range).build();
    let rule = ec2.authorize_security_group_ingress().group_id(&ids["security_group.api"]).ip_permissions(rule);
    rule.send().await.unwrap();

    let group =
        ec2.create_security_group().vpc_id(vpc).group_name("theirs").description("theirs").send().await.unwrap();
    let own = ec2.create_subnet().vpc_id(vpc).cidr_block("10.0.251.0/24").send().await.unwrap().subnet.unwrap();
    let other = ec2.create_subnet().vpc_id(vpc).cidr_block("10.0.252.0/24").availability_zone("us-east-1b");
    let tags = ["infra:project", "infra:environment", "infra:address"].iter().zip(["acme", "other", "subnet.theirs"]);
    let tags = tags.map(|(key, value)| Tag::builder().key(*key).value(value).build()).collect();
    let tags = TagSpecification::builder().resource_type(ResourceType::Subnet).set_tags(Some(tags)).build();
    other.tag_specifications(tags).send().await.unwrap();
    let table = ec2.create_route_table().vpc_id(vpc).send().await.unwrap().route_table.unwrap();
    let interface = ec2.create_network_interface().subnet_id(subnet).send().await.unwrap().network_interface.unwrap();
    let tags = [("Name", "bastion"), ("aws:autoscaling:groupName", "bastions")];
    let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags = TagSpecification::builder().resource_type(ResourceType::Instance).set_tags(Some(tags.to_vec())).build();
    let instance = ec2.run_instances().image_id("ami-12c6146b").min_count(1).max_count(1).subnet_id(subnet);
    let instance = instance.tag_specifications(tags).send().await.unwrap().instances.unwrap().remove(0);
    let subnets = ["subnet.public-a", "subnet.public-b"].map(|address| ids[address].clone()).to_vec();
    let balancer =
        site.aws.elb().create_load_balancer().name("theirs").set_subnets(Some(subnets)).send().await.unwrap();
    let balancer = balancer.load_balancers.unwrap().remove(0);
    [
        instance.instance_id,
        balancer.load_balancer_arn,
        interface.network_interface_id,
        table.route_table_id,
        group.group_id,
        own.subnet_id,
    ]
    .map(Option::unwrap)
    .to_vec()
}

fn told(drift: &Json) -> Json {
    let all = drift["differences"].as_array().unwrap().iter();
    all.map(|one| json!([one["address"], one["what"], one["changes"]])).collect()
}

fn expected() -> Json {
    json!([
        ["secret.jwt", "missing", []],
        ["subnet.old", "extra", []],
        [
            "target_group.api-blue",
            "changed",
            [{ "path": "health_check.path", "aws": "/other", "file": "/health" }]
        ],
    ])
}

/// Whatever a kind does to write is refused before it is sent.
#[tokio::test]
async fn clients_that_only_read_send_no_write() {
    let site = Site::of_this_repository().await;
    for environment in ["shared", PRODUCTION] {
        site.infra(&format!("apply {environment} --yes")).await.well();
    }
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    let aws = Arc::new(site.emulator.aws_at(&proxy.endpoint).await.reads_only());
    let drivers = kinds::drivers(&aws);
    let (mut seen, mut well, mut kindred) = (Vec::new(), Vec::new(), BTreeSet::new());
    for environment in ["shared", PRODUCTION] {
        for live in site.live(environment).await {
            let address = live.identity.address.clone();
            kindred.insert(address.kind.clone());
            let driver = &drivers[address.kind.as_str()];
            let making = Making {
                identity: scope(environment).identity(&Address::new(&address.kind, "another")),
                account: ACCOUNT.into(),
                region: REGION.into(),
                partition: "aws".into(),
                token: "drift".into(),
            };
            // With other tags, there is something to update.
            let results = [
                driver.create(&live.spec, &making).await.map(drop),
                driver.update(&altered(&live.spec), &live).await,
                driver.delete(&live).await,
            ];
            seen.extend(results.iter().filter_map(|one| one.as_ref().err()).map(ToString::to_string));
            let should = [true, live.spec.contains_key("tags"), true];
            let done = ["create", "update", "delete"].iter().zip(should).zip(results);
            let done = done.filter(|((_, should), result)| *should && result.is_ok());
            well.extend(done.map(|((what, _), _)| format!("{what} {address}")));
        }
    }
    let writes: Vec<_> = proxy.calls().into_iter().filter(|call| !call.reads()).collect();
    assert!(writes.is_empty(), "{writes:?}");
    let refused = seen.iter().filter(|text| text.contains("nothing was sent")).count();
    assert!(refused > 250, "{refused} of {}: {seen:#?}", seen.len());
    assert_eq!(well, [""; 0]);
    assert!(kindred.len() > 40, "{} of {} kinds: {kindred:?}", kindred.len(), kinds::ALL.len());
}

/// The same with other tags.
fn altered(spec: &Fields) -> Fields {
    let mut spec = spec.clone();
    if let Some(tags) = spec.get_mut("tags") {
        *tags = Value::Map([("other".to_owned(), Value::text("tag"))].into());
    }
    spec
}
