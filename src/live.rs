//! What is: every kind read at once into one [`Snapshot`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep};

use crate::address::Address;
use crate::aws::{Aws, Memo};
use crate::desired::{Desired, Resource};
use crate::kind::{Drivers, Failure, Live, Result, Scope};
use crate::kinds::task_definition;
use crate::lock::Left;
use crate::plan::Snapshot;
use crate::tags::Adopting;
use crate::value::{self, Fields};

/// Reads all kinds in parallel. Every kind that could not be read is reported.
pub async fn snapshot(scope: &Scope, drivers: &Drivers) -> Result<Snapshot, Vec<Failure>> {
    let mut live = Vec::new();
    let mut failures = Vec::new();
    for answer in join_all(drivers.values().map(|driver| driver.list(scope))).await {
        match answer {
            Ok(found) => live.extend(found),
            Err(failure) => failures.push(failure),
        }
    }
    // Two kinds may wait for the same failed read.
    failures.dedup();
    if !failures.is_empty() {
        return Err(failures);
    }
    live.sort_by(|a, b| (&a.identity, &a.id).cmp(&(&b.identity, &b.id)));
    Ok(Snapshot { live, revisions: BTreeMap::new() })
}

/// How long AWS may take to show what it has made, after the last word of who made it: it may have been sent up to a
/// renewal of the lock later.
const VISIBLE: Duration = Duration::from_secs(50);
const PAUSE: Duration = Duration::from_secs(2);

/// Waits until each of these is visible, or so much time has passed that it was never made.
pub async fn settle(
    left: &Left,
    scope: &Scope,
    drivers: &Drivers,
    sought: impl Fn(&Address),
) -> Result<(), Vec<Failure>> {
    let until = Instant::now() + VISIBLE.saturating_sub(left.age);
    let look = async |address: &Address| {
        let Some(driver) = drivers.get(address.kind.as_str()) else { return Ok(()) };
        let mut said = false;
        while Instant::now() < until {
            let found = driver.list(&scope.afresh()).await?;
            if found.iter().any(|live| live.identity.address == *address && live.serves()) {
                break;
            }
            if !std::mem::replace(&mut said, true) {
                sought(address);
            }
            sleep(PAUSE.min(until - Instant::now())).await;
        }
        Ok(())
    };
    let looks = join_all(left.addresses.iter().map(look)).await;
    let failures: Vec<Failure> = looks.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// What AWS has under this id, ARN or name, read as if it were this resource of ours, or with the identity of its owner.
pub async fn adoptable(aws: &Aws, scope: &Scope, resource: &Resource, id: &str) -> Result<Vec<Live<Fields>>> {
    let address = &resource.address;
    let adopting = Adopting { identity: scope.identity(address), id: id.to_owned(), user: resource.user_tags() };
    let mut scope = Scope { wanted: BTreeSet::from([address.clone()]), adopting: true, ..scope.afresh() };
    scope.names.insert(address.clone(), name_in(id).to_owned());
    let region = id.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
    scope.regions.extend(region.filter(|region| !region.is_empty() && *region != scope.region).map(str::to_owned));
    // The id of a record begins with that of its zone.
    scope.zones.extend(id.split_once('/').filter(|_| address.kind == "dns_record").map(|(zone, _)| zone.to_owned()));
    let driver = (resource.info().driver)(Arc::new(aws.with_adopting(adopting)));
    let mut found = driver.list(&scope).await?;
    let named = |live: &Live<Fields>| {
        ["id", "arn", "name"].iter().any(|name| live.outputs.get(*name).is_some_and(|value| value == id))
    };
    found.retain(|live| live.id == id || named(live));
    Ok(found)
}

/// The name at the end of an ARN; what is none is a name already.
fn name_in(id: &str) -> &str {
    let Some(resource) = id.strip_prefix("arn:").and_then(|rest| rest.splitn(5, ':').last()) else { return id };
    resource.split_once([':', '/']).map_or(resource, |(_, name)| name)
}

/// What these revisions of task definitions hold, as far as ECS knows them.
pub async fn revisions(aws: &Aws, arns: BTreeSet<String>) -> Result<BTreeMap<String, Fields>> {
    let reads = arns.into_iter().map(async |arn| {
        let Some(found) = task_definition::revision(aws, &arn).await? else { return Ok::<_, Failure>(None) };
        let fields = value::to_fields(&found);
        let fields = fields.map_err(|error| Failure::new("ecs", "InvalidSpecification", error.to_string()))?;
        Ok(Some((arn, fields)))
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// Where the credentials lead: account and partition, and the zones of the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub account: String,
    pub partition: String,
    /// The ARN of whose credentials they are.
    pub caller: String,
    /// The names of the zones that can be used, sorted.
    pub zones: Vec<String>,
}

impl Place {
    pub async fn find(aws: &Aws) -> Result<Self> {
        let caller = aws.call("sts:GetCallerIdentity", aws.sts().get_caller_identity().send());
        let zones = aws.call("ec2:DescribeAvailabilityZones", aws.ec2().describe_availability_zones().send());
        let (caller, zones) = tokio::try_join!(caller, zones)?;
        let usable = |zone: &&aws_sdk_ec2::types::AvailabilityZone| {
            // Also one with an outage: a plan made during it must not move the environment to another zone.
            zone.zone_type().is_none_or(|kind| kind == "availability-zone")
        };
        let zones = zones.availability_zones().iter().filter(usable);
        let mut zones: Vec<String> = zones.filter_map(|zone| zone.zone_name().map(str::to_owned)).collect();
        zones.sort();
        let partition = caller.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
        let (account, caller) = (caller.account().unwrap_or_default(), caller.arn().unwrap_or_default());
        Ok(Self { account: account.to_owned(), partition, caller: caller.to_owned(), zones })
    }
}

/// The scope of one environment here.
#[must_use]
pub fn scope(place: &Place, desired: &Desired) -> Scope {
    let named = |resource: &Resource| {
        let name = ["name", "alias", "family"].iter().find_map(|field| resource.fields.get(*field)?.as_text())?;
        Some((resource.address.clone(), name.to_owned()))
    };
    let elsewhere = |resource: &Resource| {
        let region = resource.fields.get("region")?.as_text()?;
        (region != desired.region).then(|| region.to_owned())
    };
    let zone = |resource: &Resource| resource.fields.get("zone_id")?.as_text().map(str::to_owned);
    Scope {
        project: desired.project.clone(),
        environment: desired.environment.clone(),
        account: place.account.clone(),
        region: desired.region.clone(),
        partition: place.partition.clone(),
        wanted: desired.resources.keys().cloned().collect(),
        names: desired.resources.values().filter_map(named).collect(),
        regions: desired.resources.values().filter_map(elsewhere).collect(),
        zones: desired.resources.values().filter_map(zone).collect(),
        adopting: false,
        memo: Memo::default(),
    }
}
