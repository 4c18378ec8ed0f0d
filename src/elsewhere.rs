//! Whether an environment of which nothing is here lives in another region: a file whose `region` was changed by mistake
//! would make all of it once more.

use futures::future::{join_all, try_join_all};

use crate::address::Address;
use crate::aws::Aws;
use crate::desired::Desired;
use crate::kind::{Info, Live, Result, Scope};
use crate::kinds::{self, tagging};
use crate::live;
use crate::value::Fields;

/// What of an environment was found, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Elsewhere {
    pub region: String,
    pub live: Vec<Live<Fields>>,
}

/// Services whose resources are in no region.
const GLOBAL: [&str; 2] = ["iam:", "route53:"];

/// Whether a resource stands in one region.
#[must_use]
pub fn is_regional(address: &Address) -> bool {
    let is_global = |info: &Info| GLOBAL.iter().any(|service| info.rights.create.contains(service));
    kinds::find(&address.kind).is_none_or(|info| !is_global(info))
}

/// Whether the environment may be elsewhere: nothing of it stands in this region, though something should, or all of it
/// is to go.
#[must_use]
pub fn is_possible(desired: &Desired, live: &[Live<Fields>]) -> bool {
    let wanted = desired.resources.is_empty() || desired.resources.keys().any(is_regional);
    wanted && !live.iter().any(|live| is_regional(&live.identity.address))
}

/// The other region in which this environment is, where there is one. Regions that the file speaks of are not looked at.
pub async fn find(aws: &Aws, scope: &Scope) -> Result<Option<Elsewhere>> {
    let regions = aws.call("ec2:DescribeRegions", aws.ec2().describe_regions().send()).await?;
    let regions = regions.regions.unwrap_or_default().into_iter().filter_map(|region| region.region_name);
    let others = regions.filter(|region| *region != scope.region && !scope.regions.contains(region));
    let looks = others.map(async |region| {
        let there = aws.in_region(&region);
        let scope = Scope { region, wanted: [].into(), regions: [].into(), ..scope.afresh() };
        // A region that policies of the organization have shut cannot hold it.
        let known = tagging::index(&there, &scope).await.is_ok_and(|index| !index.is_empty());
        known.then_some((there, scope))
    });
    let known = join_all(looks).await.into_iter().flatten();
    // The index forgets late what is gone, so that only a read proves anything.
    let reads = known.map(async |(there, scope)| {
        let drivers = kinds::drivers(&there);
        let read = live::snapshot(&scope, &drivers).await.map_err(|failures| failures.into_iter().next());
        let live = match read {
            Ok(snapshot) => {
                snapshot.live.into_iter().filter(|live| live.serves() && is_regional(&live.identity.address)).collect()
            }
            Err(Some(failure)) => return Err(failure),
            Err(None) => Vec::new(),
        };
        Ok(Elsewhere { region: scope.region, live })
    });
    Ok(try_join_all(reads).await?.into_iter().find(|elsewhere| !elsewhere.live.is_empty()))
}
