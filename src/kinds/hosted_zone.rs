//! A public zone of Route 53: the records of a domain, answered by four name servers of AWS.

use aws_sdk_route53::types::{HostedZone as Zone, HostedZoneConfig, RrType, Tag, TagResourceType};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{route53, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Outputs;

/// Zones whose tags one request reads, and tags that one request writes or removes.
const BATCH: usize = 10;
/// The region whose tagging API knows what is global.
const HOME: &str = "us-east-1";
/// Records that a refusal names.
const NAMED: usize = 5;

/// A public zone of Route 53. A zone made again has other name servers, which the domain's registrar must be told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostedZone {
    /// The domain, as in `example.com`.
    pub name: String,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for HostedZone {
    const NAME: &'static str = "hosted_zone";
    const RIGHTS: Rights = Rights {
        read: "route53:GetHostedZone route53:ListHostedZones route53:ListResourceRecordSets \
            route53:ListTagsForResources",
        create: "route53:ChangeTagsForResource route53:CreateHostedZone",
        update: "route53:ChangeTagsForResource",
        delete: "route53:DeleteHostedZone",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id", "arn", "name_servers"];
    const HELD_BY: &'static [&'static str] = &["dns_record"];
    /// The registrar's answer, in effect: the domain is dead until it names the new servers.
    const HOLDS_DATA: bool = true;

    fn normalize(&mut self) {
        self.name = route53::plain(&self.name);
    }

    fn check(&self) -> Vec<Problem> {
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let name = route53::plain(&self.name);
        if name.len() <= 200 && name.contains('.') && name.split('.').all(label) {
            return Vec::new();
        }
        let problem = Problem::new("name", format!("`{}` is not a domain", self.name));
        vec![problem.help("write a domain such as example.com, of at most 200 characters")]
    }

    /// Zones cannot be tagged by the request that makes them: their tags say whose the candidates are.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let candidates = candidates(aws, scope).await?;
        let ours: Vec<&Zone> = candidates.iter().collect();
        let tagged = try_join_all(ours.chunks(BATCH).map(|zones| tags_of(aws, zones))).await?.concat();
        let reads = ours.iter().zip(tagged).map(|(zone, tags)| async move {
            let Some(tagged) = scope.tagged(aws, Self::NAME, &tags) else { return Ok(None) };
            let id = route53::zone_id(zone.id());
            let Some(outputs) = outputs(aws, id).await? else { return Ok(None) };
            let spec = Self { name: route53::plain(zone.name()), tags: tagged.user.clone() };
            let mut live = Live::new(tagged, id, spec);
            live.outputs = outputs;
            Ok::<_, Failure>(Some(live))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let all = route53::all_zones(aws).await?;
        let id = match half_made(self, aws, &making.identity, &all).await? {
            Some(id) => id,
            None => {
                self.refuse_second(&all)?;
                self.make(aws, making).await?
            }
        };
        write_tags(aws, &id, &tags::encode(&making.identity, &self.tags), &[]).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        write_tags(aws, &live.id, &set, &gone).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.route53().delete_hosted_zone().id(&live.id);
        match aws.call("route53:DeleteHostedZone", request.send()).await {
            Err(failure) if failure.code == "HostedZoneNotEmpty" => {
                let left = foreign(aws, &live.id, &live.spec.name).await?;
                let message = format!(
                    "the zone {} still holds records that are not ours: {left}; delete them, or keep the zone",
                    live.spec.name
                );
                Err(Failure { message, ..failure })
            }
            other => other.map(drop),
        }
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(outputs(aws, id).await?.map_or(Progress::Gone, Progress::Ready))
    }
}

/// The zones that may be ours: those whose caller's reference says so, and those with a name in the file.
pub async fn candidates(aws: &Aws, scope: &Scope) -> Result<Vec<Zone>> {
    let mut wanted = scope.wanted(HostedZone::NAME).chain(scope.wanted("dns_record"));
    let known = wanted.next().is_some() || !scope.zones.is_empty();
    if !known && scope.region == HOME && !tagging::may_exist(aws, scope, HostedZone::NAME, ":hostedzone/").await? {
        return Ok(Vec::new());
    }
    let prefix = reference_prefix(&scope.project, &scope.environment);
    let names = scope.names.iter().filter(|(address, _)| address.kind == HostedZone::NAME);
    let names: Vec<String> = names.map(|(_, name)| route53::plain(name)).collect();
    let adopted = aws.adopting().map(|adopting| route53::zone_id(&adopting.id));
    let may_be = |zone: &&Zone| {
        zone.caller_reference().starts_with(&prefix)
            || names.contains(&route53::plain(zone.name()))
            || adopted == Some(route53::zone_id(zone.id()))
    };
    Ok(route53::zones(aws, scope).await?.iter().filter(may_be).cloned().collect())
}

impl HostedZone {
    /// AWS lets an account have two zones of one name, of which the registrar knows one: in the other, nobody would ever
    /// find a record.
    fn refuse_second(&self, all: &[Zone]) -> Result<()> {
        let Some(zone) = all.iter().find(|zone| route53::plain(zone.name()) == self.name) else { return Ok(()) };
        let (name, id) = (&self.name, route53::zone_id(zone.id()));
        let message = format!(
            "the account has a zone {name} already, {id}: write `dns: {{ {name}: {{ id: {id} }} }}` to keep records in it, \
             or delete it"
        );
        Err(Failure::new("route53:CreateHostedZone", "NameTaken", message))
    }

    async fn make(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let request = aws.route53().create_hosted_zone().name(&self.name);
        let request = request.caller_reference(reference(&making.identity, &making.token));
        let config = HostedZoneConfig::builder().comment(comment(&making.identity)).build();
        let made = aws.call("route53:CreateHostedZone", request.hosted_zone_config(config).send()).await?;
        let missing = || Failure::new("route53:CreateHostedZone", "NoId", "the answer holds no zone");
        let zone = made.hosted_zone.ok_or_else(missing)?;
        Ok(route53::zone_id(zone.id()).to_owned())
    }
}

fn reference_prefix(project: &str, environment: &str) -> String {
    format!("infra:{project}:{environment}:")
}

/// The caller's reference, of which AWS takes 128 characters. The address in it is a hash, since it may be long.
fn reference(identity: &Identity, token: &str) -> String {
    let address = crate::address::short_hash(&identity.address.to_string());
    format!("{}{address}:{token}", reference_prefix(&identity.project, &identity.environment))
}

/// Says to whoever reads the zone's list whose it is, also before its tags are written.
fn comment(identity: &Identity) -> String {
    format!("infra {} {} {}", identity.project, identity.environment, identity.address)
}

/// A zone that an earlier run made and was stopped before it wrote the tags.
async fn half_made(spec: &HostedZone, aws: &Aws, identity: &Identity, all: &[Zone]) -> Result<Option<Id>> {
    let start = reference(identity, "");
    let comment = comment(identity);
    let same = |zone: &&Zone| {
        zone.caller_reference().starts_with(&start)
            && route53::plain(zone.name()) == spec.name
            && zone.config().and_then(HostedZoneConfig::comment) == Some(&comment)
    };
    let candidates: Vec<&Zone> = all.iter().filter(same).collect();
    let tagged = try_join_all(candidates.chunks(BATCH).map(|zones| tags_of(aws, zones))).await?.concat();
    // Where tags are there already, they must be ours: the answer to an earlier try was lost.
    let ours = |tags: &Tags| tags::decode(tags).is_none_or(|tagged| tagged.identity == *identity && !tagged.deposed);
    let mut found = candidates.iter().zip(tagged).filter(|(_, tags)| ours(tags));
    Ok(found.next().map(|(zone, _)| route53::zone_id(zone.id()).to_owned()))
}

/// The tags of each of these zones, at most ten.
async fn tags_of(aws: &Aws, zones: &[&Zone]) -> Result<Vec<Tags>> {
    let ids: Vec<String> = zones.iter().map(|zone| route53::zone_id(zone.id()).to_owned()).collect();
    let request = aws.route53().list_tags_for_resources().resource_type(TagResourceType::Hostedzone);
    let answer = aws.call("route53:ListTagsForResources", request.set_resource_ids(Some(ids.clone())).send()).await?;
    let of = |id: &String| {
        let set = answer.resource_tag_sets().iter().find(|set| set.resource_id() == Some(id));
        let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
        set.map(|set| set.tags().iter().filter_map(pair).collect()).unwrap_or_default()
    };
    Ok(ids.iter().map(of).collect())
}

async fn write_tags(aws: &Aws, id: &str, set: &Tags, gone: &[String]) -> Result<()> {
    let set: Vec<Tag> = set.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    let change = || {
        let request = aws.route53().change_tags_for_resource();
        request.resource_type(TagResourceType::Hostedzone).resource_id(id)
    };
    for some in set.chunks(BATCH) {
        aws.call("route53:ChangeTagsForResource", change().set_add_tags(Some(some.to_vec())).send()).await?;
    }
    for some in gone.chunks(BATCH) {
        aws.call("route53:ChangeTagsForResource", change().set_remove_tag_keys(Some(some.to_vec())).send()).await?;
    }
    Ok(())
}

async fn outputs(aws: &Aws, id: &str) -> Result<Option<Outputs>> {
    match aws.call("route53:GetHostedZone", aws.route53().get_hosted_zone().id(id).send()).await {
        Ok(answer) => {
            let mut servers: Vec<String> = answer.delegation_set.map(|set| set.name_servers).unwrap_or_default();
            servers.sort();
            Ok(Some(Outputs::from([
                ("id".to_owned(), id.to_owned()),
                ("arn".to_owned(), format!("arn:aws:route53:::hostedzone/{id}")),
                ("name_servers".to_owned(), servers.join(",")),
            ])))
        }
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The records that keep a zone from being deleted, in words.
async fn foreign(aws: &Aws, id: &str, zone: &str) -> Result<String> {
    let all = route53::records(aws, id).await?;
    let own = |name: &str, kind: &RrType| name == zone && matches!(kind, RrType::Ns | RrType::Soa);
    let others: Vec<String> = all
        .iter()
        .map(|set| (route53::plain(set.name()), set.r#type()))
        .filter(|(name, kind)| !own(name, kind))
        .map(|(name, kind)| format!("{name} {}", kind.as_str()))
        .collect();
    let more = others.len().saturating_sub(NAMED);
    let named = others.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    Ok(if more == 0 { named } else { format!("{named} and {more} more") })
}
