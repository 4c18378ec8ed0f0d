//! An IP set of AWS WAF: addresses that rules of a web ACL name.

use std::collections::BTreeSet;

use aws_sdk_wafv2::types::{IpAddressVersion, Scope as WafScope};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::elb::words;
use super::waf::Named;
use super::{adopt, waf};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};

const ADDRESSES: usize = 10_000;

/// Addresses that rules of a web ACL name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IpSet {
    /// The name in AWS; left out, it is made of project, environment and address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub version: Version,
    /// Ranges, as in `203.0.113.0/24`; a single address ends in `/32` or `/128`.
    pub addresses: BTreeSet<String>,
    #[serde(default)]
    pub tags: Tags,
}

words! {
    Version {
        #[default]
        V4 = "IPV4",
        V6 = "IPV6",
    }
}

impl Kind for IpSet {
    const NAME: &'static str = "ip_set";
    const RIGHTS: Rights = Rights {
        read: "wafv2:GetIPSet wafv2:ListIPSets wafv2:ListTagsForResource",
        create: "wafv2:CreateIPSet wafv2:TagResource",
        update: "wafv2:TagResource wafv2:UntagResource wafv2:UpdateIPSet",
        delete: "wafv2:DeleteIPSet",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name", "version"];
    const OPEN: &'static [&'static str] = &["name"];
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const HELD_BY: &'static [&'static str] = &["web_acl"];

    fn normalize(&mut self) {
        let normal = |text: &String| text.parse::<IpNet>().map_or_else(|_| text.clone(), |net| net.trunc().to_string());
        self.addresses = self.addresses.iter().map(normal).collect();
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.addresses.len() > ADDRESSES {
            let message = format!("{} ranges, where AWS takes at most {ADDRESSES}", self.addresses.len());
            problems.push(Problem::new("addresses", message).help("put neighbours together, or use a second set"));
        }
        for address in &self.addresses {
            let right = address.parse::<IpNet>().is_ok_and(|net| {
                net.prefix_len() > 0
                    && matches!((net, self.version), (IpNet::V4(_), Version::V4) | (IpNet::V6(_), Version::V6))
            });
            if !right {
                let message = format!("`{address}` is not a range of {} addresses", self.version.word());
                problems.push(Problem::new("addresses", message).help("write a range such as 203.0.113.0/24"));
            }
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        waf::list(aws, scope).await
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(waf::NAME_LIMIT));
        let request = aws.waf().create_ip_set().name(&name).scope(WafScope::Regional);
        let request = request.ip_address_version(IpAddressVersion::from(self.version.word()));
        let request = request.set_addresses(Some(self.addresses.iter().cloned().collect()));
        let request = request.set_tags(Some(waf::sdk_tags(&tags::encode(&making.identity, &self.tags))?));
        match aws.call("waf:CreateIPSet", request.send()).await {
            Ok(answer) => {
                let missing = || Failure::new("waf:CreateIPSet", "NoArn", "the answer holds no ARN");
                answer.summary.and_then(|summary| summary.arn).ok_or_else(missing)
            }
            Err(failure) if failure.code == "WAFDuplicateItemException" => {
                adopt::adopt(self, aws, making, (&name, waf::find(aws, &name).await?), "waf:CreateIPSet").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (name, id) = waf::name_and_id(&live.id);
        if self.addresses != live.spec.addresses {
            let now = get(aws, &live.id).await?;
            // A try whose answer was lost may have done it, after which its token is refused.
            if now
                .ip_set()
                .is_none_or(|set| set.addresses().iter().collect::<BTreeSet<_>>() != self.addresses.iter().collect())
            {
                let request = aws.waf().update_ip_set().name(name).id(id).scope(WafScope::Regional);
                let request = request.set_lock_token(now.lock_token);
                let request = request.set_addresses(Some(self.addresses.iter().cloned().collect()));
                aws.call("waf:UpdateIPSet", request.send()).await?;
            }
        }
        let (set, gone) = tags::change(&live.identity, &live.spec.tags, &self.tags);
        waf::write_tags(aws, &live.id, &set, gone).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        waf::write_tags(aws, &live.id, set, gone.to_vec()).await
    }

    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let (name, id) = waf::name_and_id(&live.id);
        let token = token(aws, &live.id).await?;
        let request = aws.waf().delete_ip_set().name(name).id(id).scope(WafScope::Regional).lock_token(token);
        aws.call("waf:DeleteIPSet", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        token(aws, id).await.map(|_| Progress::ready([("arn", id.clone())]))
    }
}

impl Named for IpSet {
    const SORT: &'static str = ":regional/ipset/";

    async fn all(aws: &Aws) -> Result<Vec<String>> {
        let mut arns = Vec::new();
        let mut marker = None;
        loop {
            let request = aws.waf().list_ip_sets().scope(WafScope::Regional).limit(waf::PAGE).set_next_marker(marker);
            let page = aws.call("waf:ListIPSets", request.send()).await?;
            arns.extend(page.ip_sets.unwrap_or_default().into_iter().filter_map(|summary| summary.arn));
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(arns);
            }
        }
    }

    async fn read(aws: &Aws, arn: &str) -> Result<Option<Live<Self>>> {
        let (tags, answer) = match tokio::try_join!(waf::tags_of(aws, arn), get(aws, arn)) {
            Err(failure) if failure.class == Class::NotFound => return Ok(None),
            other => other?,
        };
        let (Some(tagged), Some(set)) = (aws.tagged(&tags), answer.ip_set) else { return Ok(None) };
        let mut spec = Self {
            version: Version::read(Some(set.ip_address_version.as_str())),
            name: Some(set.name),
            addresses: set.addresses.into_iter().collect(),
            tags: tagged.user.clone(),
        };
        spec.normalize();
        Ok(Some(Live::new(tagged, arn, spec).output("arn", arn)))
    }
}

type Answer = aws_sdk_wafv2::operation::get_ip_set::GetIpSetOutput;

async fn get(aws: &Aws, arn: &str) -> Result<Answer> {
    let (name, id) = waf::name_and_id(arn);
    let request = aws.waf().get_ip_set().name(name).id(id).scope(WafScope::Regional);
    aws.call("waf:GetIPSet", request.send()).await
}

/// What an update must give so that it overwrites no other.
async fn token(aws: &Aws, arn: &str) -> Result<String> {
    Ok(get(aws, arn).await?.lock_token.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_of_one_version() {
        let of = |addresses: &[&str]| IpSet {
            name: None,
            version: Version::V4,
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            tags: Tags::new(),
        };
        assert_eq!(of(&["203.0.113.7", "2001:db8::/32", "0.0.0.0/0", "203.0.113.0/24"]).check().len(), 3);
        let mut set = of(&["203.0.113.9/24"]);
        set.normalize();
        assert!(set.addresses.contains("203.0.113.0/24"), "AWS keeps the beginning of a range");
    }
}
