//! A record of Route 53. Records take no tags, so a TXT record beside each says whose it is; both are made, changed and
//! deleted in one request. What has no such record beside it is not ours, and is neither changed nor deleted.

use std::net::Ipv6Addr;

use aws_sdk_route53::types::{ChangeAction, ResourceRecordSet, RrType};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{adopt, hosted_zone, route53};
use crate::address::{Address, Identity};
use crate::aws::Aws;
use crate::kind::{Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Adopting, Tagged, Tags};
use crate::value::Arg;

/// How the name of the record of ownership begins.
const MARK: &str = "_infra-";
/// Stands for the `*` of a wildcard, which no name has but in front.
const WILDCARD: &str = "-wildcard";
const OWNERSHIP_TTL: u32 = 300;
const NAME_LIMIT: usize = 230;

/// A record in a zone. Beside it stands a TXT record that says which environment it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsRecord {
    /// The id of the zone, as in `Z0123456789ABC`.
    pub zone_id: Arg<String>,
    /// The whole name, as in `api.example.com` or `*.example.com`.
    pub host: Arg<String>,
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// For how many seconds others may remember it. An alias has the target's.
    #[serde(default = "five_minutes")]
    pub ttl: u32,
    /// The values as people write them: addresses, names, `10 mail.example.com`, texts without quotes.
    #[serde(default)]
    pub values: Vec<Arg<String>>,
    /// In place of values: a name of AWS whose addresses it has, such as a load balancer's `dns_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_name: Option<Arg<String>>,
    /// The zone of `alias_name`, such as a load balancer's `zone_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_zone_id: Option<Arg<String>>,
    /// Whether an alias is left out of answers while its target is unhealthy.
    #[serde(default)]
    pub alias_health: bool,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    A,
    Aaaa,
    Caa,
    Cname,
    Mx,
    Ns,
    Srv,
    Txt,
}

impl RecordType {
    const ALL: [Self; 8] = [Self::A, Self::Aaaa, Self::Caa, Self::Cname, Self::Mx, Self::Ns, Self::Srv, Self::Txt];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Caa => "CAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }

    fn aws(self) -> RrType {
        RrType::from(self.word())
    }

    fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(word))
    }

    /// A value as it is compared: names in lower case without the last dot, addresses in their shortest form.
    fn normal(self, value: &str) -> String {
        match self {
            Self::Txt => value.to_owned(),
            Self::Cname | Self::Ns => route53::plain(value),
            Self::Aaaa => value.parse::<Ipv6Addr>().map_or_else(|_| value.to_owned(), |address| address.to_string()),
            Self::Mx | Self::Srv => route53::plain(&value.split_whitespace().collect::<Vec<_>>().join(" ")),
            Self::A | Self::Caa => value.trim().to_owned(),
        }
    }
}

const fn five_minutes() -> u32 {
    300
}

impl Kind for DnsRecord {
    const NAME: &'static str = "dns_record";
    const RIGHTS: Rights = Rights {
        read: "route53:ListHostedZones route53:ListResourceRecordSets",
        create: "route53:ChangeResourceRecordSets",
        update: "route53:ChangeResourceRecordSets",
        delete: "route53:ChangeResourceRecordSets",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["zone_id", "host", "type"];
    const OUTPUTS: &'static [&'static str] = &["host"];

    fn normalize(&mut self) {
        if let Arg::Known(host) = &mut self.host {
            *host = route53::plain(host);
        }
        if let Arg::Known(zone) = &mut self.zone_id {
            *zone = route53::zone_id(zone).to_owned();
        }
        if let Some(Arg::Known(name)) = &mut self.alias_name {
            // The console writes this prefix, and both names mean the same.
            let short = route53::plain(name);
            short.strip_prefix("dualstack.").unwrap_or(&short).clone_into(name);
        }
        if self.alias_name.is_some() {
            self.ttl = five_minutes();
        }
        for value in &mut self.values {
            if let Arg::Known(value) = value {
                *value = self.kind.normal(value);
            }
        }
        self.values.sort_by_key(|value| format!("{value:?}"));
        self.values.dedup();
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Arg::Known(host) = &self.host
            && let Some(problem) = check_host(host)
        {
            problems.push(problem);
        }
        let alias = self.alias_name.is_some();
        if alias != self.alias_zone_id.is_some() {
            let problem = Problem::new("alias_name", "`alias_name` and `alias_zone_id` go together");
            problems.push(problem.help("a load balancer has both, as `dns_name` and `zone_id`"));
        }
        if alias != self.values.is_empty() {
            let problem = Problem::new("values", "a record has either values or an alias");
            problems.push(problem.help("give `values`, or `alias_name` and `alias_zone_id`"));
        }
        if self.kind == RecordType::Cname && self.values.len() > 1 {
            let problem = Problem::new("values", "a CNAME has one value: it is another name for one thing");
            problems.push(problem.help("keep one of them"));
        }
        if self.ttl > 604_800 {
            let problem = Problem::new("ttl", format!("{} s are more than a week", self.ttl));
            problems.push(problem.help("300 is usual"));
        }
        let known = self.values.iter().enumerate().filter_map(|(at, value)| Some((at, value.get().ok()?)));
        problems.extend(known.filter_map(|(at, value)| check_value(self.kind, at, value)));
        problems
    }

    const CLASH: Option<fn(&Self, &Self) -> bool> = Some(|one, other| {
        let cname = [one.kind, other.kind].contains(&RecordType::Cname);
        one.zone_id == other.zone_id && one.host == other.host && (one.kind == other.kind || cname)
    });

    /// The records in our zones and in those that the file names, each read page by page.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let mut zones = scope.zones.clone();
        let candidates = hosted_zone::candidates(aws, scope).await?;
        zones.extend(candidates.iter().map(|zone| route53::zone_id(zone.id()).to_owned()));
        let reads = zones.iter().map(|zone| async move {
            let sets = route53::records(aws, zone).await?;
            let mut live: Vec<_> = sets.iter().filter_map(|set| owned(zone, set, &sets)).collect();
            let nobodys =
                |id: &str| aws.adopting().filter(|one| one.id == id && !live.iter().any(|live| live.id == id));
            let adopted: Vec<_> = sets.iter().filter_map(|set| adopted(zone, set, &nobodys)).collect();
            live.extend(adopted);
            Ok::<_, Failure>(live)
        });
        let all = try_join_all(reads).await?.into_iter().flatten();
        Ok(all.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let (zone, host) = (self.zone_id.get()?, self.host.get()?);
        let changes = vec![
            (ChangeAction::Create, self.set()?),
            (ChangeAction::Create, ownership(host, self.kind, &making.identity)?),
        ];
        match route53::change(aws, zone, changes).await {
            Ok(()) => Ok(self.id()?),
            Err(failure) if failure.code == "InvalidChangeBatch" && failure.message.contains("already exists") => {
                match find(aws, zone, host, self.kind).await? {
                    Found::Nothing => Err(failure),
                    Found::Foreign => refuse(self, aws, making, None).await,
                    Found::Owned(live) => refuse(self, aws, making, Some(*live)).await,
                }
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let mark = ownership(self.host.get()?, self.kind, &live.identity)?;
        let changes = vec![(ChangeAction::Upsert, self.set()?), (ChangeAction::Upsert, mark)];
        route53::change(aws, self.zone_id.get()?, changes).await
    }

    /// The record beside it is what tags are elsewhere.
    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        let (zone, host, kind) = (live.spec.zone_id.get()?, live.spec.host.get()?, live.spec.kind);
        if let Some(tagged) = tags::decode(set) {
            return route53::change(aws, zone, vec![(ChangeAction::Upsert, ownership(host, kind, &tagged.identity)?)])
                .await;
        }
        match route53::record(aws, zone, &mark_name(host, kind), &RrType::Txt).await? {
            Some(mark) if !gone.is_empty() => route53::change(aws, zone, vec![(ChangeAction::Delete, mark)]).await,
            _ => Ok(()),
        }
    }

    /// Route 53 deletes only what is named with all of its values, so these are read again.
    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (zone, host, kind) = (live.spec.zone_id.get()?, live.spec.host.get()?, live.spec.kind);
        let mark = route53::record(aws, zone, &mark_name(host, kind), &RrType::Txt).await?;
        let Some(mark) = mark.filter(|mark| identity(mark).as_ref() == Some(&live.identity)) else { return Ok(()) };
        let record = route53::record(aws, zone, host, &kind.aws()).await?;
        let changes = record.into_iter().chain([mark]).map(|set| (ChangeAction::Delete, set));
        route53::change(aws, zone, changes.collect()).await
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let mut parts = id.split('/');
        let parts = (parts.next(), parts.next(), parts.next().and_then(RecordType::read));
        let (Some(zone), Some(host), Some(kind)) = parts else { return Ok(Progress::Gone) };
        let found = route53::record(aws, zone, host, &kind.aws()).await?;
        Ok(found.map_or(Progress::Gone, |_| Progress::ready([("host", host.to_owned())])))
    }
}

impl DnsRecord {
    fn id(&self) -> Result<Id> {
        Ok(format!("{}/{}/{}", self.zone_id.get()?, self.host.get()?, self.kind.word()))
    }

    /// The record as Route 53 takes it.
    fn set(&self) -> Result<ResourceRecordSet> {
        let host = self.host.get()?;
        if let (Some(name), Some(zone)) = (&self.alias_name, &self.alias_zone_id) {
            return route53::alias_of(host, self.kind.aws(), zone.get()?, name.get()?, self.alias_health);
        }
        let written = |value: &Arg<String>| {
            let value = value.get()?;
            Ok(if self.kind == RecordType::Txt { route53::quoted(value) } else { value.clone() })
        };
        let values = self.values.iter().map(written).collect::<Result<Vec<String>>>()?;
        route53::set_of(host, self.kind.aws(), self.ttl, &values)
    }

    /// The record as it is; without values where somebody has deleted it and left the one beside it.
    fn from_live(zone: &str, host: &str, kind: RecordType, set: Option<&ResourceRecordSet>) -> Self {
        let values = set.map(ResourceRecordSet::resource_records).unwrap_or_default();
        let read = |value: &str| if kind == RecordType::Txt { route53::unquoted(value) } else { value.to_owned() };
        let alias = set.and_then(ResourceRecordSet::alias_target);
        let ttl = set.and_then(ResourceRecordSet::ttl).and_then(|ttl| ttl.try_into().ok());
        Self {
            zone_id: zone.into(),
            host: host.into(),
            kind,
            ttl: ttl.unwrap_or_else(five_minutes),
            values: values.iter().map(|record| read(record.value()).into()).collect(),
            alias_name: alias.map(|alias| alias.dns_name().into()),
            alias_zone_id: alias.map(|alias| alias.hosted_zone_id().into()),
            alias_health: alias.is_some_and(|alias| alias.evaluate_target_health()),
        }
    }
}

/// The name of the record of ownership. A wildcard's stands where the wildcard itself does.
fn mark_name(host: &str, kind: RecordType) -> String {
    let kind = kind.word().to_ascii_lowercase();
    match host.strip_prefix("*.") {
        Some(rest) => format!("{MARK}{kind}{WILDCARD}.{rest}"),
        None => format!("{MARK}{kind}.{host}"),
    }
}

/// The name and the type that a record of ownership speaks of.
fn marked(name: &str) -> Option<(String, RecordType)> {
    let (first, rest) = name.strip_prefix(MARK)?.split_once('.')?;
    match first.strip_suffix(WILDCARD) {
        Some(kind) => Some((format!("*.{rest}"), RecordType::read(kind)?)),
        None => Some((rest.to_owned(), RecordType::read(first)?)),
    }
}

fn ownership(host: &str, kind: RecordType, identity: &Identity) -> Result<ResourceRecordSet> {
    let Identity { project, environment, address } = identity;
    let text = format!("infra project={project} environment={environment} address={address}");
    route53::set_of(&mark_name(host, kind), RrType::Txt, OWNERSHIP_TTL, &[route53::quoted(&text)])
}

/// Whose the record is beside which this one stands.
fn identity(mark: &ResourceRecordSet) -> Option<Identity> {
    let [record] = mark.resource_records() else { return None };
    let text = route53::unquoted(record.value());
    let rest = text.strip_prefix("infra project=")?;
    let (project, rest) = rest.split_once(" environment=")?;
    let (environment, address) = rest.split_once(" address=")?;
    let address: Address = address.parse().ok()?;
    Some(Identity { project: project.to_owned(), environment: environment.to_owned(), address })
}

/// The record of ours of which `mark` says so.
fn owned(zone: &str, mark: &ResourceRecordSet, all: &[ResourceRecordSet]) -> Option<Live<DnsRecord>> {
    if *mark.r#type() != RrType::Txt {
        return None;
    }
    let (host, kind) = marked(&route53::plain(mark.name()))?;
    let same = |set: &&ResourceRecordSet| *set.r#type() == kind.aws() && route53::plain(set.name()) == host;
    let tagged = Tagged { identity: identity(mark)?, user: Tags::new(), deposed: false };
    let mut spec = DnsRecord::from_live(zone, &host, kind, all.iter().find(same));
    spec.normalize();
    let id = format!("{zone}/{host}/{}", kind.word());
    Some(Live::new(tagged, id, spec).output("host", host))
}

/// A record of nobody's that is being adopted.
fn adopted<'a>(
    zone: &str,
    set: &ResourceRecordSet,
    nobodys: &impl Fn(&str) -> Option<&'a Adopting>,
) -> Option<Live<DnsRecord>> {
    let (host, kind) = (route53::plain(set.name()), RecordType::read(set.r#type().as_str())?);
    let id = format!("{zone}/{host}/{}", kind.word());
    let tagged = nobodys(&id)?.claim(&Tags::new());
    let mut spec = DnsRecord::from_live(zone, &host, kind, Some(set));
    spec.normalize();
    Some(Live::new(tagged, id, spec).output("host", host))
}

/// What stands under a name already.
enum Found {
    Nothing,
    Foreign,
    Owned(Box<Live<DnsRecord>>),
}

async fn find(aws: &Aws, zone: &str, host: &str, kind: RecordType) -> Result<Found> {
    let (name, word) = (mark_name(host, kind), kind.aws());
    let mark = route53::record(aws, zone, &name, &RrType::Txt);
    let (mark, record) = tokio::try_join!(mark, route53::record(aws, zone, host, &word))?;
    let owned = mark.as_ref().and_then(|mark| owned(zone, mark, &record.clone().into_iter().collect::<Vec<_>>()));
    Ok(match (owned, record) {
        (Some(live), _) => Found::Owned(Box::new(live)),
        (None, Some(_)) => Found::Foreign,
        (None, None) => Found::Nothing,
    })
}

async fn refuse(spec: &DnsRecord, aws: &Aws, making: &Making, found: Option<Live<DnsRecord>>) -> Result<Id> {
    let name = format!("{} {}", spec.host.get()?, spec.kind.word());
    adopt::adopt(spec, aws, making, (&name, found), "route53:ChangeResourceRecordSets").await
}

fn check_host(host: &str) -> Option<Problem> {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let rest = host.trim_end_matches('.');
    let rest = rest.strip_prefix("*.").unwrap_or(rest);
    if host.len() <= NAME_LIMIT && rest.contains('.') && rest.split('.').all(label) {
        return None;
    }
    let problem = Problem::new("host", format!("`{host}` is not a name that a record can have"));
    let help =
        format!("write the whole name, such as api.example.com, with `*` only in front, in {NAME_LIMIT} characters");
    Some(problem.help(help))
}

fn check_value(kind: RecordType, at: usize, value: &str) -> Option<Problem> {
    let path = format!("values.{at}");
    match kind {
        RecordType::A if value.parse::<std::net::Ipv4Addr>().is_err() => {
            let problem = Problem::new(&path, format!("`{value}` is not an IPv4 address"));
            Some(problem.help("write an address such as 203.0.113.7; a name belongs into a CNAME record"))
        }
        RecordType::Aaaa if value.parse::<Ipv6Addr>().is_err() => {
            let problem = Problem::new(&path, format!("`{value}` is not an IPv6 address"));
            Some(problem.help("write an address such as 2001:db8::7"))
        }
        RecordType::Txt if value.len() > 1 && value.starts_with('"') && value.ends_with('"') => {
            let problem = Problem::new(&path, "the quotes would become part of the text");
            Some(problem.help("write the text without them; they are added where DNS needs them"))
        }
        RecordType::Mx if value.split_once(' ').is_none_or(|(number, _)| number.parse::<u16>().is_err()) => {
            let problem = Problem::new(&path, format!("`{value}` has no priority"));
            Some(problem.help("write a number and a name: `10 mail.example.com`"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: serde_json::Value) -> DnsRecord {
        let mut record: DnsRecord = serde_json::from_value(json).unwrap();
        record.normalize();
        record
    }

    #[test]
    fn each_record_has_a_record_of_ownership_beside_it() {
        for (host, kind, name) in [
            ("api.example.com", RecordType::A, "_infra-a.api.example.com"),
            ("example.com", RecordType::Mx, "_infra-mx.example.com"),
            ("*.example.com", RecordType::Cname, "_infra-cname-wildcard.example.com"),
        ] {
            assert_eq!(mark_name(host, kind), name);
            assert_eq!(marked(name), Some((host.to_owned(), kind)));
        }
        assert_eq!(marked("_acme-challenge.example.com"), None);
        let owner =
            Identity { project: "acme".into(), environment: "test".into(), address: Address::new("dns_record", "api") };
        assert_eq!(identity(&ownership("a.b", RecordType::A, &owner).unwrap()), Some(owner));
        let other = route53::set_of("_infra-a.b.c", RrType::Txt, 1, &["\"heritage=external-dns\"".into()]).unwrap();
        assert_eq!(identity(&other), None);
    }

    #[test]
    fn records_are_compared_in_one_form() {
        let written = record(serde_json::json!({
            "zone_id": "/hostedzone/Z1", "host": "Mail.Example.com.", "type": "MX",
            "values": ["20 b.example.com", "10  A.example.com."],
        }));
        assert_eq!(written.values, ["10 a.example.com".into(), "20 b.example.com".into()]);
        assert_eq!((written.host, written.zone_id), ("mail.example.com".into(), "Z1".into()));
        let alias = record(serde_json::json!({
            "zone_id": "Z1", "host": "a.example.com", "type": "A", "ttl": 5,
            "alias_name": "dualstack.LB-1.us-east-1.elb.amazonaws.com.", "alias_zone_id": "Z2",
        }));
        assert_eq!(alias.alias_name, Some("lb-1.us-east-1.elb.amazonaws.com".into()));
        assert_eq!(alias.ttl, 300);
        let six = record(serde_json::json!({
            "zone_id": "Z1", "host": "a.example.com", "type": "AAAA", "values": ["2001:DB8:0::1"],
        }));
        assert_eq!(six.values, ["2001:db8::1".into()]);
    }

    #[test]
    fn mistakes_are_told() {
        let paths = |json: serde_json::Value| -> Vec<String> {
            let record: DnsRecord = serde_json::from_value(json).unwrap();
            record.check().into_iter().map(|problem| problem.path).collect()
        };
        let of = |kind: &str, values: &[&str]| {
            paths(serde_json::json!({ "zone_id": "Z1", "host": "a.b", "type": kind, "values": values }))
        };
        assert_eq!(of("A", &["10.0.0.1", "a.example.com"]), ["values.1"]);
        assert_eq!(of("AAAA", &["10.0.0.1"]), ["values.0"]);
        assert_eq!(of("CNAME", &["a.b", "c.d"]), ["values"]);
        assert_eq!(of("MX", &["mail.example.com"]), ["values.0"]);
        assert_eq!(of("TXT", &["\"v=spf1\"", "say \"hi\""]), ["values.0"]);
        assert_eq!(of("TXT", &[]), ["values"]);
        let alias = serde_json::json!({ "zone_id": "Z1", "host": "a.*.b", "type": "A", "alias_name": "c.d" });
        assert_eq!(paths(alias), ["host", "alias_name"]);
    }

    #[test]
    fn a_cname_stands_alone_under_its_name() {
        let of = |kind: &str| record(serde_json::json!({ "zone_id": "Z1", "host": "a.b", "type": kind, "values": [] }));
        let clash = |one, other| DnsRecord::CLASH.is_some_and(|clash| clash(&of(one), &of(other)));
        assert!(clash("A", "CNAME") && clash("A", "A") && !clash("A", "TXT"));
    }
}
