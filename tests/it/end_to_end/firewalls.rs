//! Firewalls: who may connect to whom, to the letter.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, IpPermission};
use infra::aws::Aws;

use super::network::{name, ours};

/// Ids of the groups by name.
pub type Groups = BTreeMap<String, String>;

pub async fn check(aws: &Aws, vpc: &str) -> Groups {
    let within = Filter::builder().name("vpc-id").values(vpc).build();
    let all = aws.ec2().describe_security_groups().filters(within).send().await.unwrap().security_groups.unwrap();
    let (default, ours): (Vec<_>, Vec<_>) = all.into_iter().partition(|group| group.group_name() == Some("default"));
    assert_eq!((default.len(), ours.len()), (1, 6), "no group beside ours and AWS's own");
    let groups: Groups = ours.iter().map(|group| (name(group.tags()), group.group_id().unwrap().to_owned())).collect();
    let mut rules = Vec::new();
    for group in &ours {
        let name = name(group.tags());
        rules.extend(lines(&name, "in from", group.ip_permissions(), &groups));
        rules.extend(lines(&name, "out to", group.ip_permissions_egress(), &groups));
    }
    rules.sort();
    assert_eq!(
        rules,
        [
            "api in from lb-public tcp 3000",
            "api out to 0.0.0.0/0 tcp 443",
            "api out to db-main tcp 5432",
            // The database connects to nobody, and only the api and what rotates its credentials to it.
            "db-main in from api tcp 5432",
            "db-main in from rotate-main tcp 5432",
            // AWS's names lead there from everywhere in the network.
            "endpoints in from 10.0.0.0/16 tcp 443",
            "lb-public in from 0.0.0.0/0 tcp 443",
            "lb-public in from 0.0.0.0/0 tcp 80",
            "lb-public out to api tcp 3000",
            "lb-public out to web tcp 4000",
            // What rotates reaches the database and Secrets Manager.
            "rotate-main out to db-main tcp 5432",
            "rotate-main out to endpoints tcp 443",
            "web in from lb-public tcp 4000",
            "web out to 0.0.0.0/0 tcp 443",
        ]
    );
    tags(aws, &groups).await;
    groups
}

/// A line for each peer of each permission.
fn lines(name: &str, way: &str, permissions: &[IpPermission], groups: &Groups) -> Vec<String> {
    let mut lines = Vec::new();
    for permission in permissions {
        let protocol = permission.ip_protocol().unwrap();
        let (from, to) = (permission.from_port().unwrap_or(-1), permission.to_port().unwrap_or(-1));
        let ports = if from == to { from.to_string() } else { format!("{from}-{to}") };
        let group =
            |id: &str| groups.iter().find(|(_, group)| *group == id).map_or(id.to_owned(), |(name, _)| name.clone());
        let mut peers: Vec<String> =
            permission.ip_ranges().iter().map(|range| range.cidr_ip().unwrap().to_owned()).collect();
        peers.extend(permission.ipv6_ranges().iter().map(|range| range.cidr_ipv6().unwrap().to_owned()));
        peers.extend(permission.user_id_group_pairs().iter().map(|pair| group(pair.group_id().unwrap())));
        peers.extend(permission.prefix_list_ids().iter().map(|list| list.prefix_list_id().unwrap().to_owned()));
        lines.extend(peers.into_iter().map(|peer| format!("{name} {way} {peer} {protocol} {ports}")));
    }
    lines
}

/// Each rule is an object of ours.
async fn tags(aws: &Aws, groups: &Groups) {
    let of = Filter::builder().name("group-id").set_values(Some(groups.values().cloned().collect())).build();
    let rules = aws.ec2().describe_security_group_rules().filters(of).send().await.unwrap();
    let tagged = aws.ec2().describe_security_group_rules().set_filters(Some(ours())).send().await.unwrap();
    assert_eq!((rules.security_group_rules().len(), tagged.security_group_rules().len()), (14, 14));
}
