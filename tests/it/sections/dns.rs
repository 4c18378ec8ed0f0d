//! `dns`, with the certificates that it proves and the hosts that it leads.

use std::collections::BTreeMap;

use aws_sdk_route53::types::ResourceRecordSet;

use crate::end_to_end::site::{Site, steps};

const FILE: &str = r#"
project: acme
account: "123456789012"
region: us-east-1
tags: { team: backend }
network: { cidr: 10.0.0.0/16, zones: 2 }
dns:
  example.com:
    records:
      "@": { txt: [v=spf1 -all], mx: [10 mail.example.com] }
      status: { cname: [x.statuspage.io], ttl: 1h }
  example.org: { id: ZONE }
certificates:
  site: { domain: example.com, names: ["*.example.com", www.example.org] }
  api: { domain: api.example.com, names: [example.com] }
load_balancers:
  public: { certificate: "${certificates.site.arn}", certificates: ["${certificates.api.arn}"], deletion_protection: false }
services:
  api: { image: nginx:1.29, port: 80, route: { hosts: [api.example.com, "*.dev.example.com", www.example.org] } }
  web: { image: nginx:1.29, port: 80, route: { hosts: [example.com, api.example.com], paths: [/web/*] } }
"#;

type Records = BTreeMap<String, ResourceRecordSet>;

async fn records(site: &Site, zone: &str) -> Records {
    let all = site.aws.route53().list_resource_record_sets().hosted_zone_id(zone).send().await.unwrap();
    let key = |set: &ResourceRecordSet| format!("{} {}", set.name(), set.r#type().as_str());
    let own = |set: &ResourceRecordSet| matches!(set.r#type().as_str(), "NS" | "SOA");
    all.resource_record_sets.into_iter().filter(|set| !own(set)).map(|set| (key(&set), set)).collect()
}

fn values(set: &ResourceRecordSet) -> Vec<&str> {
    set.resource_records().iter().map(|record| record.value()).collect()
}

/// One apply makes zones, records, proofs, certificates that wait for them, and listeners that wait for these.
#[tokio::test]
async fn one_apply_from_nothing_to_https() {
    let site = Site::start().await;
    let theirs = site.aws.route53().create_hosted_zone().name("example.org").caller_reference("others");
    let theirs = theirs.send().await.unwrap().hosted_zone.unwrap().id.replace("/hostedzone/", "");
    site.write("test", &FILE.replace("ZONE", &theirs));
    site.infra("apply test --yes").await.well();
    site.converged("test").await;

    let ids = site.ids("test").await;
    let ours = records(&site, &ids["hosted_zone.example_com"]).await;
    assert_eq!(values(&ours["example.com. MX"]), ["10 mail.example.com"]);
    assert_eq!(values(&ours["example.com. TXT"]), ["\"v=spf1 -all\""]);
    assert_eq!(
        (values(&ours["status.example.com. CNAME"]), ours["status.example.com. CNAME"].ttl()),
        (vec!["x.statuspage.io"], Some(3600))
    );
    let balancers = site.aws.elb().describe_load_balancers().send().await.unwrap().load_balancers.unwrap();
    let dns_name = format!("{}.", balancers[0].dns_name().unwrap().to_lowercase());
    let leads = |set: &ResourceRecordSet| set.alias_target().map(|alias| alias.dns_name().to_owned());
    for host in ["example.com. A", "api.example.com. A", "\\052.dev.example.com. A"] {
        assert_eq!(leads(&ours[host]), Some(dns_name.clone()), "{host}");
    }
    let proofs = |records: &Records| {
        records
            .iter()
            .filter(|(name, set)| name.ends_with("CNAME") && values(set)[0].contains("acm-validations"))
            .count()
    };
    assert_eq!(proofs(&ours), 2, "example.com with its wildcard, for both certificates, and api.example.com: {ours:?}");
    let marks = ours.keys().filter(|name| name.starts_with("_infra-")).count();
    assert_eq!(marks, ours.len() / 2, "each record has one of ownership beside it: {ours:?}");

    let others = records(&site, &theirs).await;
    assert_eq!((leads(&others["www.example.org. A"]), proofs(&others)), (Some(dns_name), 1));
    let listeners = site.aws.elb().describe_listeners().load_balancer_arn(balancers[0].load_balancer_arn().unwrap());
    let listeners = listeners.send().await.unwrap().listeners.unwrap();
    let secure = listeners.iter().find(|listener| listener.port() == Some(443)).unwrap();
    assert_eq!(secure.certificates()[0].certificate_arn(), Some(ids["certificate.site"].as_str()));

    site.edit("test", "[x.statuspage.io]", "[y.statuspage.io]");
    let plan = site.plan("test").await;
    assert_eq!(steps(&plan), ["update dns_record.status_example_com-cname"]);
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let servers = site.infra("output test hosted_zone.example_com.name_servers").await;
    assert!(servers.stdout.contains("awsdns"), "{servers:?}");

    site.infra("destroy test --confirm test").await.well();
    assert!(site.live("test").await.is_empty());
    assert!(records(&site, &theirs).await.is_empty(), "nothing of ours is left in the zone of others");
    let zones = site.aws.route53().list_hosted_zones().send().await.unwrap();
    assert_eq!(zones.hosted_zones().len(), 1);
}
