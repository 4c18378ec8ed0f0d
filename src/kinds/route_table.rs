//! A route table, with its routes and the subnets that use it.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ResourceType, RouteState, RouteTableAssociation, RouteTableAssociationStateCode};
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod route;

pub use route::{Route, Target};

use super::ec2;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Remark, Result, Scope};
use crate::rights::Rights;
use crate::tags::Tags;
use crate::value::Arg;

/// A route table, with its routes and the subnets that use it.
///
/// AWS can tag neither routes nor associations, so both sets are exclusive: what is not in the file is removed, except
/// what AWS adds by itself (the VPC's own range, gateway endpoints, propagated routes).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    pub vpc_id: Arg<String>,
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The subnets that use this table. One that uses another table is moved here without a gap.
    #[serde(default)]
    pub subnets: Vec<Arg<String>>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for RouteTable {
    const NAME: &'static str = "route_table";
    const RIGHTS: Rights = Rights {
        read: "ec2:DescribeRouteTables",
        create: "ec2:CreateRouteTable ec2:CreateTags",
        update: "ec2:AssociateRouteTable ec2:CreateRoute ec2:CreateTags ec2:DeleteRoute ec2:DeleteTags \
            ec2:DisassociateRouteTable ec2:ReplaceRoute ec2:ReplaceRouteTableAssociation",
        delete: "ec2:DeleteRouteTable ec2:DisassociateRouteTable",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["vpc_id"];
    const NAMELESS: bool = true;
    const OUTPUTS: &'static [&'static str] = &["id"];

    fn normalize(&mut self) {
        self.routes.iter_mut().for_each(Route::normalize);
        self.routes.sort();
        self.routes.dedup();
        self.subnets.sort();
        self.subnets.dedup();
    }

    fn shell(&self) -> Self {
        Self { routes: Vec::new(), subnets: Vec::new(), ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, route) in self.routes.iter().enumerate() {
            let path = format!("routes.{index}");
            problems.extend(route.check(&path));
            let mut canonical = route.clone();
            canonical.normalize();
            if !seen.insert(canonical.destination) {
                let problem = Problem::new(&format!("{path}.destination"), "two routes have this destination");
                problems.push(problem.help("a table holds one route for each destination: remove one of them"));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let tables = describe(aws, ec2::ours(aws, scope)).await?;
        let read = |table: &aws_sdk_ec2::types::RouteTable| {
            let tagged = scope.tagged(aws, Self::NAME, &ec2::read_tags(table.tags()))?;
            let id = table.route_table_id().unwrap_or_default();
            let (routes, notes) = read_routes(table);
            let subnets = associations(table).filter_map(|held| held.subnet_id()).map(Arg::from).collect();
            let vpc_id = table.vpc_id().unwrap_or_default().into();
            let spec = Self { vpc_id, routes, subnets, tags: tagged.user.clone() };
            Some(Live { notes, ..Live::new(tagged, id, spec).output("id", id) })
        };
        Ok(tables.iter().filter_map(read).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let tags = ec2::specification(ResourceType::RouteTable, &making.identity, &self.tags);
        let request = aws.ec2().create_route_table().vpc_id(self.vpc_id.get()?).client_token(&making.token);
        let answer = aws.call("ec2:CreateRouteTable", request.tag_specifications(tags).send()).await?;
        ec2::made("ec2:CreateRouteTable", answer.route_table().and_then(|table| table.route_table_id()))
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut old, mut new) = (live.spec.clone(), self.clone());
        old.normalize();
        new.normalize();
        // Subnets come when their routes are there, and go before the routes that they used.
        let (create, replace, delete) = route::changes(&old.routes, &new.routes);
        try_join_all(create.into_iter().map(|route| route.create(aws, &live.id))).await?;
        try_join_all(replace.into_iter().map(|route| route.replace(aws, &live.id))).await?;
        if old.subnets != new.subnets {
            move_subnets(aws, &live.id, &old.subnets, &new.subnets).await?;
        }
        try_join_all(delete.into_iter().map(|route| route.delete(aws, &live.id))).await?;
        ec2::retag(aws, &live.id, &live.identity, &live.spec.tags, &self.tags).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        ec2::write_tags(aws, &live.id, set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let Some(table) = look(aws, &live.id).await? else { return Ok(()) };
        if table.associations().iter().any(|held| held.main() == Some(true)) {
            let message =
                format!("{} is the main route table of its VPC, and AWS deletes it only with the VPC", live.id);
            let failure =
                Failure::new("ec2:DeleteRouteTable", "MainRouteTable", message + "; make another table the main one");
            return Err(failure);
        }
        let held = associations(&table).filter_map(|held| held.route_table_association_id());
        try_join_all(held.map(|id| disassociate(aws, id))).await?;
        aws.call("ec2:DeleteRouteTable", aws.ec2().delete_route_table().route_table_id(&live.id).send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        Ok(look(aws, id).await?.map_or(Progress::Gone, |_| Progress::ready([("id", id.clone())])))
    }
}

async fn describe(aws: &Aws, filters: Vec<aws_sdk_ec2::types::Filter>) -> Result<Vec<aws_sdk_ec2::types::RouteTable>> {
    let pages = aws.ec2().describe_route_tables().set_filters(Some(filters)).into_paginator().items().send();
    aws.call("ec2:DescribeRouteTables", pages.collect::<Result<Vec<_>, _>>()).await
}

async fn look(aws: &Aws, id: &str) -> Result<Option<aws_sdk_ec2::types::RouteTable>> {
    let request = aws.ec2().describe_route_tables().route_table_ids(id);
    let answer = aws.call("ec2:DescribeRouteTables", request.send()).await?;
    Ok(answer.route_tables.unwrap_or_default().into_iter().next())
}

/// The explicit associations of a table that are not on their way out.
fn associations(table: &aws_sdk_ec2::types::RouteTable) -> impl Iterator<Item = &RouteTableAssociation> {
    use RouteTableAssociationStateCode as Code;
    table.associations().iter().filter(|held| {
        let state = held.association_state().and_then(|state| state.state());
        held.main() != Some(true) && !matches!(state, Some(Code::Disassociating | Code::Disassociated | Code::Failed))
    })
}

/// The routes of a table that a file can hold, and what else there is to say of it.
fn read_routes(table: &aws_sdk_ec2::types::RouteTable) -> (Vec<Route>, Vec<Remark>) {
    let (mut routes, mut notes) = (Vec::new(), Vec::new());
    for read in table.routes() {
        match route::read(read) {
            route::Found::Automatic => {}
            route::Found::Unknown(destination) => {
                notes.push(Remark::foreign(format!(
                    "the route to {destination} has a target of a kind that is not known, and is left alone"
                )));
            }
            route::Found::Route(route) => {
                if let (Some(RouteState::Blackhole), Arg::Known(destination)) = (read.state(), &route.destination) {
                    let gone = format!("the route to {destination} is a black hole: its target is gone or detached");
                    notes.push(gone.into());
                }
                routes.push(route);
            }
        }
    }
    if table.associations().iter().any(|held| held.main() == Some(true)) {
        notes.push(Remark::foreign(
            "others made this the main route table of its VPC, used by each subnet that names no table",
        ));
    }
    let gateways = associations(table).filter_map(|held| held.gateway_id());
    let note = |id| format!("others associated this table with the gateway {id}, which is left alone");
    notes.extend(gateways.map(|id| Remark::foreign(note(id))));
    (routes, notes)
}

/// Brings the associations of a table from `old` to `new`. One read tells the associations that these subnets have now.
async fn move_subnets(aws: &Aws, table: &str, old: &[Arg<String>], new: &[Arg<String>]) -> Result<()> {
    let known =
        |subnets: &[Arg<String>]| subnets.iter().map(|id| id.get().cloned()).collect::<Result<BTreeSet<_>, _>>();
    let (old, new) = (known(old)?, known(new)?);
    let changed = old.symmetric_difference(&new).cloned();
    let tables = describe(aws, vec![ec2::filter("association.subnet-id", changed)]).await?;
    let held = |subnet: &str| {
        tables.iter().find_map(|other| {
            let held = associations(other).find(|held| held.subnet_id() == Some(subnet))?;
            Some((other.route_table_id() == Some(table), held.route_table_association_id()?))
        })
    };
    let (held, come) = (&held, new.difference(&old));
    let come = come.map(|subnet| async move {
        match held(subnet) {
            Some((true, _)) => Ok(()),
            Some((false, association)) => {
                let request = aws.ec2().replace_route_table_association().association_id(association);
                let request = request.route_table_id(table);
                aws.call("ec2:ReplaceRouteTableAssociation", request.send()).await.map(drop)
            }
            None => {
                let request = aws.ec2().associate_route_table().route_table_id(table).subnet_id(subnet);
                // An association that the read did not show yet is there when the executor looks again.
                let unseen = |failure: Failure| match failure.code.as_str() {
                    "Resource.AlreadyAssociated" => failure.class(Class::Busy),
                    _ => failure,
                };
                aws.call("ec2:AssociateRouteTable", request.send()).await.map(drop).map_err(unseen)
            }
        }
    });
    try_join_all(come).await?;
    // A subnet that is found with another table has been moved there already.
    let gone = old.difference(&new).filter_map(|subnet| held(subnet).filter(|(here, _)| *here));
    try_join_all(gone.map(|(_, association)| disassociate(aws, association))).await.map(drop)
}

async fn disassociate(aws: &Aws, association: &str) -> Result<()> {
    let request = aws.ec2().disassociate_route_table().association_id(association);
    match aws.call("ec2:DisassociateRouteTable", request.send()).await {
        Err(failure) if failure.class != Class::NotFound => Err(failure),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(destinations: &[&str]) -> RouteTable {
        let target = || Target::NatGateway("nat-1".into());
        let route = |text: &&str| Route { destination: (*text).into(), target: target() };
        let routes = destinations.iter().map(route).collect();
        RouteTable { vpc_id: "vpc-1".into(), routes, subnets: Vec::new(), tags: Tags::new() }
    }

    #[test]
    fn routes_and_subnets_are_sets() {
        let mut one = table(&["0.0.0.0/0", "10.1.2.3/16", "2001:DB8:0::/32"]);
        one.subnets = vec!["subnet-b".into(), "subnet-a".into(), "subnet-b".into()];
        let mut other = table(&["2001:db8::/32", "10.1.0.0/16", "0.0.0.0/0"]);
        other.subnets = vec!["subnet-a".into(), "subnet-b".into()];
        one.normalize();
        other.normalize();
        assert_eq!((one.routes, one.subnets), (other.routes, other.subnets));
    }

    #[test]
    fn destinations_are_ranges_and_differ() {
        assert_eq!(table(&["0.0.0.0/0", "pl-1234", "::/0"]).check(), []);
        let problems = table(&["10.1.0.0/16", "everywhere", "10.1.2.0/16"]).check();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["routes.1.destination", "routes.2.destination"]);
    }
}
