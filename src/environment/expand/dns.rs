//! `dns`: zones, the records that the file gives, those of services' hosts, and the proofs of certificates.

use std::collections::{BTreeMap, BTreeSet};

use super::Expansion;
use crate::address::{Address, short_hash};
use crate::environment::dns::Zone;
use crate::kinds::certificate::proven;
use crate::kinds::dns_record::{DnsRecord, RecordType};
use crate::kinds::hosted_zone::HostedZone;
use crate::tags::Tags;
use crate::value::Arg;

/// Seconds for which others may remember a record, where the file says nothing.
const TTL: u32 = 300;
/// Domains of one certificate whose proofs it has outputs for.
const PROOFS: usize = 10;
const NAME_LIMIT: usize = 90;

pub(super) fn expand(to: &mut Expansion) {
    let file = to.file;
    for (domain, zone) in &file.dns {
        if zone.id.is_none() {
            to.add(name(domain, ""), &["dns", domain], &HostedZone { name: domain.clone(), tags: Tags::new() });
        }
        given(to, domain, zone);
    }
    hosts(to);
    proofs(to);
}

/// The records that the file gives.
fn given(to: &mut Expansion, domain: &str, zone: &Zone) {
    for (entry, records) in &zone.records {
        let host = if entry == "@" { domain.to_owned() } else { format!("{entry}.{domain}") };
        for (word, values) in records.by_type() {
            let path = ["dns", domain, "records", entry, word];
            let values = values.iter().enumerate().map(|(at, value)| {
                let at = at.to_string();
                let path: Vec<&str> = path.iter().copied().chain([at.as_str()]).collect();
                to.text(value.as_str(), &path)
            });
            let values = values.collect();
            let ttl = records.ttl.map_or(TTL, |ttl| u32::try_from(ttl.seconds()).unwrap_or(u32::MAX));
            let record = DnsRecord { ttl, values, ..record(zone_id(domain, zone), host.as_str().into(), kind(word)) };
            to.add(name(&host, word), &path, &record);
        }
    }
}

/// A host that a service is reached by leads to the service's load balancer.
fn hosts(to: &mut Expansion) {
    let file = to.file;
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (service, section) in &file.services {
        let (Some(route), Some(balancer)) = (&section.route, to.balancer_of(service)) else { continue };
        for (at, host) in route.hosts.iter().enumerate() {
            let host = host.to_ascii_lowercase();
            let inner = host.strip_prefix("*.").unwrap_or(&host);
            // DNS has no such pattern; whoever uses one makes the records.
            if inner.contains(['*', '?']) {
                continue;
            }
            let Some((domain, zone)) = to.zone_of(&host).filter(|(_, zone)| zone.hosts) else { continue };
            let entry = host.strip_suffix(domain.as_str()).unwrap_or_default().trim_end_matches('.');
            let entry = if entry.is_empty() { "@" } else { entry };
            if zone.records.get(entry).is_some_and(crate::environment::dns::Records::lead_somewhere) {
                continue;
            }
            let at = at.to_string();
            let origin = ["services", service, "route", "hosts", at.as_str()];
            match known.insert(host.clone(), balancer.clone()) {
                Some(other) if other != balancer => {
                    let message =
                        format!("{host} leads to the load balancer `{other}` already, and not to `{balancer}`");
                    let help = "put both services behind one load balancer, or set `hosts: false` in the zone";
                    to.wrong(&origin, message, Some(help.to_owned()));
                }
                Some(_) => {}
                None => {
                    let balancer = Address::new("load_balancer", balancer.clone());
                    let alias = DnsRecord {
                        alias_name: Some(Arg::output(&balancer, "dns_name")),
                        alias_zone_id: Some(Arg::output(&balancer, "zone_id")),
                        ..record(zone_id(domain, zone), host.as_str().into(), RecordType::A)
                    };
                    to.add(name(&host, "a"), &origin, &alias);
                }
            }
        }
    }
}

/// Each domain of a certificate that lies in a zone of the file is proven by a record there. Two certificates of one
/// domain share it, as AWS asks both for the same.
fn proofs(to: &mut Expansion) {
    let file = to.file;
    let mut done: BTreeSet<String> = BTreeSet::new();
    for (certificate, section) in &file.certificates {
        let origin = ["certificates", certificate.as_str()];
        let domains: BTreeSet<&str> =
            section.domain.iter().chain(&section.names).map(|domain| proven(domain)).collect();
        if section.domain.is_none() {
            continue;
        }
        for (number, domain) in domains.into_iter().enumerate() {
            let Some((apex, zone)) = to.zone_of(domain) else { continue };
            if number >= PROOFS {
                let message =
                    format!("only the first {PROOFS} domains of a certificate get their proofs by themselves");
                to.wrong(&origin, message, Some("make a second certificate for the others".to_owned()));
                break;
            }
            if done.insert(domain.to_owned()) {
                let output = |what: &str| {
                    let of = Address::new("certificate", certificate);
                    Arg::output(&of, &format!("validation_{}_{what}", number + 1))
                };
                let values = vec![output("value")];
                let proof = DnsRecord { values, ..record(zone_id(apex, zone), output("name"), RecordType::Cname) };
                to.add(name(domain, "proof"), &origin, &proof);
            }
        }
    }
}

fn record(zone_id: Arg<String>, host: Arg<String>, kind: RecordType) -> DnsRecord {
    DnsRecord {
        zone_id,
        host,
        kind,
        ttl: TTL,
        values: Vec::new(),
        alias_name: None,
        alias_zone_id: None,
        alias_health: false,
    }
}

pub(super) fn zone_id(domain: &str, zone: &Zone) -> Arg<String> {
    match &zone.id {
        Some(id) => Arg::Known(id.clone()),
        None => Arg::output(&zone_address(domain), "id"),
    }
}

pub(super) fn zone_address(domain: &str) -> Address {
    Address::new("hosted_zone", name(domain, ""))
}

fn kind(word: &str) -> RecordType {
    match word {
        "aaaa" => RecordType::Aaaa,
        "caa" => RecordType::Caa,
        "cname" => RecordType::Cname,
        "mx" => RecordType::Mx,
        "ns" => RecordType::Ns,
        "txt" => RecordType::Txt,
        _ => RecordType::A,
    }
}

/// A name in DNS as one of an address, which has no dots: `api.example.com` and `a` make `api_example_com-a`.
fn name(host: &str, word: &str) -> String {
    let plain = host.replace('*', "wildcard").replace('.', "_");
    let plain = if word.is_empty() { plain } else { format!("{plain}-{word}") };
    if plain.len() <= NAME_LIMIT {
        return plain;
    }
    format!("{}-{}", &plain[..NAME_LIMIT - 7], short_hash(&plain))
}

impl Expansion<'_> {
    /// The zone that holds a name: the one with the longest domain.
    fn zone_of(&self, host: &str) -> Option<(&String, &Zone)> {
        let host = host.strip_prefix("*.").unwrap_or(host);
        let within = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        self.file.dns.iter().filter(|(domain, _)| within(domain)).max_by_key(|(domain, _)| domain.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_have_no_dots_and_an_end() {
        assert_eq!(name("api.example.com", "a"), "api_example_com-a");
        assert_eq!(name("*.example.com", "a"), "wildcard_example_com-a");
        let long = |end: &str| name(&format!("{}.example.com", "a".repeat(90)), end);
        assert!(long("a").len() <= NAME_LIMIT && long("a") != long("mx"));
    }
}
