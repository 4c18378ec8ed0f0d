use aws_sdk_route53::types::{ChangeAction, ResourceRecord, ResourceRecordSet, RrType};
use infra::address::Address;
use infra::kind::{Kind, Live};
use infra::kinds::dns_record::{DnsRecord, RecordType};
use infra::kinds::hosted_zone::HostedZone;
use infra::tags::Tags;
use infra::value::Arg;

use crate::support::{Bench, scope};

fn zone() -> HostedZone {
    HostedZone { name: "example.com".into(), tags: Tags::from([("team".into(), "web".into())]) }
}

fn record(zone: &str, host: &str, kind: RecordType, values: &[&str]) -> DnsRecord {
    DnsRecord {
        zone_id: zone.into(),
        host: host.into(),
        kind,
        ttl: 300,
        values: values.iter().map(|value| Arg::from(*value)).collect(),
        alias_name: None,
        alias_zone_id: None,
        alias_health: false,
    }
}

fn set(name: &str, kind: RrType, value: &str) -> ResourceRecordSet {
    let value = ResourceRecord::builder().value(value).build().unwrap();
    ResourceRecordSet::builder().name(name).r#type(kind).ttl(60).resource_records(value).build().unwrap()
}

async fn change(bench: &Bench, zone: &str, action: ChangeAction, set: ResourceRecordSet) {
    let change = aws_sdk_route53::types::Change::builder().action(action).resource_record_set(set).build().unwrap();
    let batch = aws_sdk_route53::types::ChangeBatch::builder().changes(change).build().unwrap();
    let request = bench.aws.route53().change_resource_record_sets().hosted_zone_id(zone).change_batch(batch);
    request.send().await.unwrap();
}

async fn names(bench: &Bench, zone: &str) -> Vec<String> {
    let all = bench.aws.route53().list_resource_record_sets().hosted_zone_id(zone).send().await.unwrap();
    let sets = all.resource_record_sets().iter().filter(|set| !matches!(set.r#type(), RrType::Ns | RrType::Soa));
    sets.map(|set| format!("{} {}", set.name(), set.r#type().as_str())).collect()
}

#[tokio::test]
async fn zones() {
    let bench = Bench::start().await;
    let foreign = bench.aws.route53().create_hosted_zone().name("www.example.com").caller_reference("others");
    foreign.send().await.unwrap();
    let live = bench.create("site", &zone()).await;
    assert_eq!(live.outputs["arn"], format!("arn:aws:route53:::hostedzone/{}", live.id));
    assert_eq!(live.outputs["name_servers"].split(',').count(), 4);
    assert_eq!(bench.try_create("site", &zone()).await.unwrap(), live.id, "a lost answer makes no second one");
    let live = bench.update(&live, &HostedZone { tags: Tags::new(), ..zone() }).await;

    change(&bench, &live.id, ChangeAction::Create, set("mail.example.com", RrType::A, "192.0.2.1")).await;
    let failure = HostedZone::delete(&bench.aws, &live).await.unwrap_err();
    assert!(failure.message.contains("mail.example.com A"), "{failure}");
    change(&bench, &live.id, ChangeAction::Delete, set("mail.example.com", RrType::A, "192.0.2.1")).await;
    bench.delete(&live).await;
    let left = bench.aws.route53().list_hosted_zones().send().await.unwrap();
    assert_eq!(left.hosted_zones().len(), 1, "the foreign zone stays");
}

/// A run that was killed between the zone and its tags leaves a zone that only its comment knows.
#[tokio::test]
async fn a_zone_without_its_tags_is_taken_up_again() {
    let bench = Bench::start().await;
    let id = bench.try_create("site", &zone()).await.unwrap();
    let keys = ["infra:project", "infra:environment", "infra:address", "infra:tags", "team"].map(str::to_owned);
    let request = bench.aws.route53().change_tags_for_resource();
    let request = request.resource_type(aws_sdk_route53::types::TagResourceType::Hostedzone).resource_id(&id);
    request.set_remove_tag_keys(Some(keys.to_vec())).send().await.unwrap();
    assert!(bench.list::<HostedZone>().await.is_empty());
    assert_eq!(bench.create("site", &zone()).await.id, id);
    let second = bench.try_create("other", &zone()).await.unwrap_err();
    assert!(second.message.contains(&format!("id: {id}")), "in a second zone nobody finds a record: {second}");
}

#[tokio::test]
async fn records_of_each_form() {
    let bench = Bench::start().await;
    let zone = bench.create("site", &zone()).await.id;
    let of = |host: &str, kind, values: &[&str]| record(&zone, host, kind, values);
    let alias = DnsRecord {
        alias_name: Some("dualstack.Lb-1.us-east-1.elb.amazonaws.com".into()),
        alias_zone_id: Some("Z35SXDOTRQ7X7K".into()),
        ..of("example.com", RecordType::A, &[])
    };
    let forms = [
        ("alias", alias),
        ("wildcard", of("*.example.com", RecordType::A, &["192.0.2.2", "192.0.2.1"])),
        ("six", of("six.example.com", RecordType::Aaaa, &["2001:DB8::1"])),
        ("mail", of("example.com", RecordType::Mx, &["20 b.example.com", "10 A.example.com."])),
        ("spf", of("example.com", RecordType::Txt, &["v=spf1 -all", &"x".repeat(300), "say \"hi\""])),
        ("status", of("status.example.com", RecordType::Cname, &["x.statuspage.io."])),
        ("issuers", of("example.com", RecordType::Caa, &["0 issue \"amazon.com\""])),
        ("below", of("below.example.com", RecordType::Ns, &["ns1.example.net"])),
    ];
    let mut all: Vec<Live<DnsRecord>> = Vec::new();
    for (name, spec) in &forms {
        all.push(bench.create(name, spec).await);
    }
    let first = all.remove(1);
    let first =
        bench.update(&first, &DnsRecord { ttl: 60, ..of("*.example.com", RecordType::A, &["192.0.2.3"]) }).await;
    for live in all.iter().chain([&first]) {
        DnsRecord::delete(&bench.aws, live).await.unwrap();
    }
    assert!(bench.list::<DnsRecord>().await.is_empty());
    assert_eq!(names(&bench, &zone).await, [""; 0], "and the records of ownership are gone with them");
}

#[tokio::test]
async fn records_of_others_are_neither_taken_nor_deleted() {
    let bench = Bench::start().await;
    let zone = bench.create("site", &zone()).await.id;
    change(&bench, &zone, ChangeAction::Create, set("api.example.com", RrType::A, "192.0.2.1")).await;
    let spec = record(&zone, "api.example.com", RecordType::A, &["192.0.2.9"]);
    let failure = bench.try_create("api", &spec).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    assert!(failure.message.contains("api.example.com A") && failure.message.contains("infra adopt"), "{failure}");
    assert_eq!(names(&bench, &zone).await, ["api.example.com. A"], "nothing was left beside it");

    let web = record(&zone, "web.example.com", RecordType::A, &["192.0.2.2"]);
    let live = bench.create("web", &web).await;
    assert_eq!(bench.try_create("web", &web).await.unwrap(), live.id, "a lost answer is found");
    let failure = bench.try_create("other", &web).await.unwrap_err();
    assert!(failure.message.contains("dns_record.web of acme test"), "{failure}");

    // Somebody deletes the record and leaves the one beside it.
    change(&bench, &zone, ChangeAction::Delete, {
        let value = ResourceRecord::builder().value("192.0.2.2").build().unwrap();
        let set = ResourceRecordSet::builder().name("web.example.com").r#type(RrType::A).ttl(300);
        set.resource_records(value).build().unwrap()
    })
    .await;
    let broken = bench.list::<DnsRecord>().await.remove(0);
    assert!(broken.spec.values.is_empty(), "{broken:?}");
    let live = bench.update(&broken, &web).await;

    // Somebody takes the name over: what is no longer marked as ours stays.
    let mark = "_infra-a.web.example.com";
    let theirs = set(mark, RrType::Txt, "\"theirs\"");
    change(&bench, &zone, ChangeAction::Upsert, theirs).await;
    DnsRecord::delete(&bench.aws, &live).await.unwrap();
    assert_eq!(names(&bench, &zone).await.len(), 3);
}

/// A zone of others is read where the file names it, and only our records in it are seen.
#[tokio::test]
async fn records_in_a_zone_of_others() {
    let bench = Bench::start().await;
    let made = bench.aws.route53().create_hosted_zone().name("example.com").caller_reference("others");
    let zone = made.send().await.unwrap().hosted_zone.unwrap().id.replace("/hostedzone/", "");
    change(&bench, &zone, ChangeAction::Create, set("www.example.com", RrType::A, "192.0.2.1")).await;
    let spec = record(&zone, "api.example.com", RecordType::A, &["192.0.2.9"]);
    bench.try_create("api", &spec).await.unwrap();
    let mut scope = scope(&["dns_record.api"]);
    assert!(DnsRecord::list(&bench.aws, &scope.afresh()).await.unwrap().is_empty());
    scope.zones.insert(zone.clone());
    let live = DnsRecord::list(&bench.aws, &scope).await.unwrap();
    let found: Vec<_> = live.iter().map(|live| &live.identity.address).collect();
    assert_eq!(found, [&Address::new("dns_record", "api")]);
}
