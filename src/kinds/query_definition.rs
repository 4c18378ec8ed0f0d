//! A query of CloudWatch Logs Insights that is kept under a name.
//!
//! AWS cannot tag it. Its name is in the folder `<project>/<environment>`, and its first line is a comment that says
//! whose it is: what others keep in the same folder has no such line, and is left alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adopt;
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tagged, Tags};
use crate::value::Arg;

const NAME_LIMIT: usize = 255;
const TEXT_LIMIT: usize = 10_000;
/// Log groups that one query may search.
const GROUPS: usize = 50;
/// As many as AWS puts on one page.
const PAGE: i32 = 1000;
/// How the comment starts that says whose a query is.
const OURS: &str = "# infra: ";

/// A query of CloudWatch Logs Insights that is kept under a name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryDefinition {
    /// The name in AWS, in which `/` makes folders. Absent, `<project>/<environment>/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The query: `fields @timestamp, @message | filter level = "error"`.
    pub query: String,
    /// Names of the log groups that it searches. Without any, whoever runs it chooses.
    #[serde(default)]
    pub log_groups: Vec<Arg<String>>,
}

impl Kind for QueryDefinition {
    const NAME: &'static str = "query_definition";
    const RIGHTS: Rights = Rights {
        read: "logs:DescribeQueryDefinitions",
        create: "logs:PutQueryDefinition",
        update: "logs:PutQueryDefinition",
        delete: "logs:DeleteQueryDefinition",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["id", "name"];

    fn normalize(&mut self) {
        self.query = self.query.trim().to_owned();
        self.log_groups.sort();
        self.log_groups.dedup();
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = self.name.as_ref().filter(|name| name.is_empty() || name.len() > NAME_LIMIT) {
            let help = format!("use 1 to {NAME_LIMIT} characters");
            problems.push(Problem::new("name", format!("`{name}` is no name for a query")).help(help));
        }
        // What is left is for the comment.
        if self.query.trim().is_empty() || self.query.len() > TEXT_LIMIT - 300 {
            let message = format!("a query has 1 to {} characters", TEXT_LIMIT - 300);
            problems.push(Problem::new("query", message).help("write one such as `fields @timestamp, @message`"));
        }
        if self.log_groups.len() > GROUPS {
            let message = format!("a query searches at most {GROUPS} log groups");
            problems.push(Problem::new("log_groups", message).help("make several queries"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        let prefix = format!("{}/{}/", scope.project, scope.environment);
        let mut found = described(aws, &prefix).await?;
        for (_, name) in scope.names.iter().filter(|(address, _)| address.kind == Self::NAME) {
            if !name.starts_with(&prefix) {
                found.extend(described(aws, name).await?.into_iter().filter(|one| one.name() == Some(name)));
            }
        }
        if let Some(adopting) = aws.adopting()
            && !found.iter().any(|one| one.query_definition_id() == Some(&adopting.id))
        {
            found.extend(
                described(aws, "").await?.into_iter().filter(|one| one.query_definition_id() == Some(&adopting.id)),
            );
        }
        Ok(found
            .iter()
            .filter_map(|found| live(aws, found))
            .filter(|live| scope.owns(Self::NAME, &live.identity))
            .collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| generated_name(&making.identity));
        // AWS would make a second one of the same name.
        let there = described(aws, &name).await?.into_iter().find(|found| found.name() == Some(&name));
        if let Some(found) = there {
            return adopt::adopt(self, aws, making, (&name, live(aws, &found)), "logs:PutQueryDefinition").await;
        }
        // AWS takes tokens of 36 characters at least.
        let token = format!("infra-{:-<32}", making.token);
        self.put(aws, &name, Some(&making.identity), None, Some(token)).await
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (mut wanted, mut there) = (self.clone(), live.spec.clone());
        wanted.normalize();
        there.normalize();
        if (&wanted.query, &wanted.log_groups) == (&there.query, &there.log_groups) {
            return Ok(());
        }
        let name = there.name.unwrap_or_else(|| generated_name(&live.identity));
        wanted.put(aws, &name, Some(&live.identity), Some(live.id.clone()), None).await.map(drop)
    }

    /// The first line is what tags are elsewhere: it says whose the query is, or goes.
    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        if !gone.is_empty() {
            return live
                .spec
                .put(aws, live.spec.name.as_deref().unwrap_or_default(), None, Some(live.id.clone()), None)
                .await
                .map(drop);
        }
        let Some(tagged) = tags::decode(set) else { return Ok(()) };
        let name = live.spec.name.as_deref().unwrap_or_default();
        live.spec.put(aws, name, Some(&tagged.identity), Some(live.id.clone()), None).await.map(drop)
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.logs().delete_query_definition().query_definition_id(&live.id);
        aws.call("logs:DeleteQueryDefinition", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let found = described(aws, "").await?.into_iter().find(|found| found.query_definition_id() == Some(id));
        let name = |found: Found| found.name.unwrap_or_default();
        Ok(found.map_or(Progress::Gone, |found| Progress::ready([("id", id.clone()), ("name", name(found))])))
    }
}

impl QueryDefinition {
    async fn put(
        &self,
        aws: &Aws,
        name: &str,
        identity: Option<&Identity>,
        id: Option<Id>,
        token: Option<String>,
    ) -> Result<Id> {
        let groups = self.log_groups.iter().map(|group| group.get().cloned()).collect::<Result<Vec<_>, _>>()?;
        let request = aws
            .logs()
            .put_query_definition()
            .name(name)
            .query_string(match identity {
                Some(identity) => format!("{}\n{}", comment(identity), self.query.trim()),
                None => self.query.trim().to_owned(),
            })
            .set_log_group_names(Some(groups))
            .set_query_definition_id(id)
            .set_client_token(token);
        let answer = aws.call("logs:PutQueryDefinition", request.send()).await?;
        let missing = || Failure::new("logs:PutQueryDefinition", "NoId", "the answer holds no id");
        answer.query_definition_id.ok_or_else(missing)
    }
}

fn generated_name(identity: &Identity) -> String {
    format!("{}/{}/{}", identity.project, identity.environment, identity.address.name)
}

fn comment(identity: &Identity) -> String {
    format!("{OURS}{} {} {}", identity.project, identity.environment, identity.address)
}

/// Whose a query is, and its text without the comment that says so.
fn owner(text: &str) -> Option<(Identity, &str)> {
    let (first, query) = text.strip_prefix(OURS)?.split_once('\n')?;
    let mut words = first.split_whitespace();
    let (project, environment, address) = (words.next()?, words.next()?, words.next()?);
    let address = address.parse().ok()?;
    Some((Identity { project: project.to_owned(), environment: environment.to_owned(), address }, query))
}

type Found = aws_sdk_cloudwatchlogs::types::QueryDefinition;

/// All whose names start so.
async fn described(aws: &Aws, prefix: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut next = None;
    loop {
        let request = aws.logs().describe_query_definitions().max_results(PAGE).set_next_token(next);
        let request = request.set_query_definition_name_prefix(Some(prefix.to_owned()).filter(|text| !text.is_empty()));
        let answer = aws.call("logs:DescribeQueryDefinitions", request.send()).await?;
        found.extend(answer.query_definitions.unwrap_or_default());
        next = answer.next_token;
        if next.is_none() {
            return Ok(found);
        }
    }
}

fn live(aws: &Aws, found: &Found) -> Option<Live<QueryDefinition>> {
    let text = found.query_string()?;
    let nobodys = || Some((aws.adopting()?.identity.clone(), text));
    let (identity, query) = owner(text).or_else(nobodys)?;
    let (id, name) = (found.query_definition_id()?, found.name()?);
    let spec = QueryDefinition {
        name: Some(name.to_owned()),
        query: query.to_owned(),
        log_groups: found.log_group_names().iter().map(|name| Arg::from(name.as_str())).collect(),
    };
    let tagged = Tagged { identity, user: Tags::new(), deposed: false };
    Some(Live::new(tagged, id, spec).output("id", id).output("name", name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    #[test]
    fn the_first_line_says_whose_a_query_is() {
        let address = Address::new("query_definition", "errors");
        let identity = Identity { project: "acme".into(), environment: "test".into(), address };
        let text = format!("{}\nfields @message\n| limit 1", comment(&identity));
        assert_eq!(owner(&text), Some((identity, "fields @message\n| limit 1")));
        assert_eq!(owner("fields @message"), None);
        assert_eq!(owner("# infra: by hand\nfields @message"), None);
    }
}
