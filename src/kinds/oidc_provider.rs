//! An OIDC provider in IAM: an issuer of tokens, such as GitHub, whose holders may assume roles that trust it.
//!
//! An account has one for each issuer, whatever environment made it.

use std::collections::BTreeSet;

use aws_sdk_iam::operation::get_open_id_connect_provider::GetOpenIdConnectProviderOutput as Provider;
use aws_sdk_iam::types::Tag;
use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tagging;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};

/// The index of what is global is in this region only.
const GLOBAL: &str = "us-east-1";
const CLIENTS: usize = 100;
const THUMBPRINTS: usize = 5;

/// An OIDC provider: an issuer of tokens whose holders may assume roles.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// The issuer, as in `token.actions.githubusercontent.com`. An account has one provider for each.
    pub url: String,
    /// For whom its tokens are made out (`aud`), as in `sts.amazonaws.com`.
    pub client_ids: BTreeSet<String>,
    /// SHA-1 hashes of the issuer's certificates, 40 hexadecimal digits each; left out, IAM finds and checks them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbprints: Option<BTreeSet<String>>,
    #[serde(default)]
    pub tags: Tags,
}

impl Kind for OidcProvider {
    const NAME: &'static str = "oidc_provider";
    const RIGHTS: Rights = Rights {
        read: "iam:GetOpenIDConnectProvider iam:ListOpenIDConnectProviders",
        create: "iam:CreateOpenIDConnectProvider iam:TagOpenIDConnectProvider",
        update: "iam:AddClientIDToOpenIDConnectProvider iam:RemoveClientIDFromOpenIDConnectProvider \
            iam:TagOpenIDConnectProvider iam:UntagOpenIDConnectProvider \
            iam:UpdateOpenIDConnectProviderThumbprint",
        delete: "iam:DeleteOpenIDConnectProvider",
        on: "iam:oidc-provider/*",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["url"];
    const OPEN: &'static [&'static str] = &["thumbprints"];
    const OUTPUTS: &'static [&'static str] = &["arn", "url"];
    const UNIQUE: &'static [&'static str] = &["url"];

    /// IAM answers without the scheme.
    fn normalize(&mut self) {
        self.url = plain(&self.url).to_owned();
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let url = plain(&self.url);
        if url.is_empty() || url.contains("://") || url.contains([' ', '?', '#', ':']) {
            let problem = Problem::new("url", format!("`{}` is not the address of an issuer", self.url));
            problems.push(problem.help("write it as `token.actions.githubusercontent.com`, without port and query"));
        }
        if self.client_ids.is_empty() || self.client_ids.len() > CLIENTS {
            let problem = Problem::new("client_ids", format!("a provider has 1 to {CLIENTS} client ids"));
            problems.push(problem.help("roles that GitHub assumes need `sts.amazonaws.com`"));
        }
        for thumbprint in self.thumbprints.iter().flatten() {
            if thumbprint.len() != 40 || !thumbprint.chars().all(|c| c.is_ascii_hexdigit()) {
                let problem = Problem::new("thumbprints", format!("`{thumbprint}` is not 40 hexadecimal digits"));
                problems.push(problem.help("leave `thumbprints` out: IAM finds them"));
            }
        }
        if self.thumbprints.as_ref().is_some_and(|all| all.is_empty() || all.len() > THUMBPRINTS) {
            let problem = Problem::new("thumbprints", format!("a provider has 1 to {THUMBPRINTS} thumbprints"));
            problems.push(problem.help("leave `thumbprints` out: IAM finds them"));
        }
        problems
    }

    /// An account has few of them, so that all are read where there may be one of ours.
    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if scope.region == GLOBAL && !tagging::may_exist(aws, scope, Self::NAME, ":oidc-provider/").await? {
            return Ok(Vec::new());
        }
        let answer = aws.iam().list_open_id_connect_providers().send();
        let answer = aws.call("iam:ListOpenIDConnectProviders", answer).await?;
        let arns = answer.open_id_connect_provider_list().iter().filter_map(|provider| provider.arn());
        let found = try_join_all(arns.map(|arn| find(aws, arn))).await?;
        Ok(found.into_iter().flatten().filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let url = plain(&self.url);
        let request = aws.iam().create_open_id_connect_provider().url(format!("https://{url}"));
        let request = request.set_client_id_list(Some(self.client_ids.iter().cloned().collect()));
        let request = request.set_thumbprint_list(self.thumbprints.as_ref().map(|all| all.iter().cloned().collect()));
        let request = request.set_tags(Some(sdk_tags(&tags::encode(&making.identity, &self.tags))?));
        match aws.call("iam:CreateOpenIDConnectProvider", request.send()).await {
            Ok(answer) => Ok(answer.open_id_connect_provider_arn.unwrap_or_else(|| arn(making, url))),
            Err(failure) if failure.code == "EntityAlreadyExists" => match find(aws, &arn(making, url)).await? {
                Some(live) if live.identity == making.identity => {
                    self.update(aws, &live).await?;
                    Ok(live.id)
                }
                other => Err(taken(url, other.as_ref())),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let arn = &live.id;
        for client in self.client_ids.difference(&live.spec.client_ids) {
            let request = aws.iam().add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(arn);
            aws.call("iam:AddClientIDToOpenIDConnectProvider", request.client_id(client).send()).await?;
        }
        for client in live.spec.client_ids.difference(&self.client_ids) {
            let request = aws.iam().remove_client_id_from_open_id_connect_provider().open_id_connect_provider_arn(arn);
            aws.call("iam:RemoveClientIDFromOpenIDConnectProvider", request.client_id(client).send()).await?;
        }
        if let Some(thumbprints) = &self.thumbprints
            && self.thumbprints != live.spec.thumbprints
        {
            let request = aws.iam().update_open_id_connect_provider_thumbprint().open_id_connect_provider_arn(arn);
            let request = request.set_thumbprint_list(Some(thumbprints.iter().cloned().collect()));
            aws.call("iam:UpdateOpenIDConnectProviderThumbprint", request.send()).await?;
        }
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        write_tags(aws, arn, &set, gone).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let request = aws.iam().delete_open_id_connect_provider().open_id_connect_provider_arn(&live.id);
        aws.call("iam:DeleteOpenIDConnectProvider", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        let provider = get(aws, id).await?;
        Ok(provider.map_or(Progress::Gone, |provider| {
            Progress::ready([("arn", id.clone()), ("url", plain(provider.url().unwrap_or_default()).to_owned())])
        }))
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, &live.id, set, gone.to_vec()).await
    }
}

fn plain(url: &str) -> &str {
    url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/')
}

fn arn(making: &Making, url: &str) -> String {
    format!("arn:{}:iam::{}:oidc-provider/{url}", making.partition, making.account)
}

fn taken(url: &str, owner: Option<&Live<OidcProvider>>) -> Failure {
    let owner = owner.map_or_else(
        || "and nothing says that it is ours".to_owned(),
        |live| format!("of {} {}", live.identity.project, live.identity.environment),
    );
    let message = format!(
        "the account has a provider for {url} already, {owner}: there can be one only. Leave this one out \
         (`pipeline` without `provider`), since roles trust it all the same"
    );
    Failure::new("iam:CreateOpenIDConnectProvider", "NameTaken", message)
}

async fn get(aws: &Aws, arn: &str) -> Result<Option<Provider>> {
    let request = aws.iam().get_open_id_connect_provider().open_id_connect_provider_arn(arn);
    match aws.call("iam:GetOpenIDConnectProvider", request.send()).await {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

/// The provider with this ARN, where it carries tags of ours.
async fn find(aws: &Aws, arn: &str) -> Result<Option<Live<OidcProvider>>> {
    let Some(provider) = get(aws, arn).await? else { return Ok(None) };
    let tags: Tags = provider.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
    let Some(tagged) = aws.tagged(&tags) else { return Ok(None) };
    let url = plain(provider.url().unwrap_or_default()).to_owned();
    let spec = OidcProvider {
        url: url.clone(),
        client_ids: provider.client_id_list().iter().cloned().collect(),
        thumbprints: Some(provider.thumbprint_list().iter().cloned().collect()),
        tags: tagged.user.clone(),
    };
    Ok(Some(Live::new(tagged, arn, spec).output("arn", arn).output("url", url)))
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| {
        let tag = Tag::builder().key(key).value(value).build();
        tag.map_err(|error| Failure::new("iam:TagOpenIDConnectProvider", "InvalidRequest", error.to_string()))
    };
    tags.iter().map(tag).collect()
}

async fn write_tags(aws: &Aws, arn: &str, set: &Tags, gone: Vec<String>) -> Result<()> {
    if !set.is_empty() {
        let request = aws.iam().tag_open_id_connect_provider().open_id_connect_provider_arn(arn);
        aws.call("iam:TagOpenIDConnectProvider", request.set_tags(Some(sdk_tags(set)?)).send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.iam().untag_open_id_connect_provider().open_id_connect_provider_arn(arn);
        aws.call("iam:UntagOpenIDConnectProvider", request.set_tag_keys(Some(gone)).send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(url: &str) -> OidcProvider {
        OidcProvider {
            url: url.into(),
            client_ids: BTreeSet::from(["sts.amazonaws.com".into()]),
            thumbprints: None,
            tags: Tags::new(),
        }
    }

    #[test]
    fn an_issuer_with_and_without_its_scheme_is_one() {
        let mut with = provider("https://token.actions.githubusercontent.com/");
        with.normalize();
        assert_eq!(with.url, "token.actions.githubusercontent.com");
        assert!(with.check().is_empty());
    }

    #[test]
    fn limits_of_iam() {
        for url in ["http://a.example", "a.example:8443", "", "a.example/?x"] {
            assert_eq!(provider(url).check().len(), 1, "{url}");
        }
        let thumbprints = Some(BTreeSet::from(["abc".into()]));
        let paths =
            |provider: OidcProvider| provider.check().into_iter().map(|problem| problem.path).collect::<Vec<_>>();
        assert_eq!(paths(OidcProvider { thumbprints, ..provider("a.example") }), ["thumbprints"]);
        assert_eq!(paths(OidcProvider { client_ids: BTreeSet::new(), ..provider("a.example") }), ["client_ids"]);
    }
}
