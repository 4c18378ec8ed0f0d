//! Identity as tags: what we write on a resource, and what we read back.

use std::collections::BTreeMap;

use crate::address::{ADDRESS, DEPOSED, ENVIRONMENT, Identity, PROJECT, PROTECT, TAGS};

/// A user's own tags on a resource.
pub type Tags = BTreeMap<String, String>;

/// What the tags of a live resource say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    pub identity: Identity,
    pub user: Tags,
    pub deposed: bool,
}

/// All tags of a resource: its identity, the user's own, and the list of the keys that we wrote.
#[must_use]
pub fn encode(identity: &Identity, user: &Tags) -> Tags {
    let mut tags = user.clone();
    tags.insert(PROJECT.to_owned(), identity.project.clone());
    tags.insert(ENVIRONMENT.to_owned(), identity.environment.clone());
    tags.insert(ADDRESS.to_owned(), identity.address.to_string());
    if !user.is_empty() {
        tags.insert(TAGS.to_owned(), user.keys().map(String::as_str).collect::<Vec<_>>().join(" "));
    }
    tags
}

/// [`encode`] and a `Name`, which the console shows for what has no other name.
#[must_use]
pub fn encode_named(identity: &Identity, user: &Tags) -> Tags {
    let mut tags = encode(identity, user);
    tags.entry("Name".to_owned()).or_insert_with(|| identity.aws_name(255));
    tags
}

/// Who a live resource is, or `None` where it does not carry our tags.
#[must_use]
pub fn decode(tags: &Tags) -> Option<Tagged> {
    let identity = Identity {
        project: tags.get(PROJECT)?.clone(),
        environment: tags.get(ENVIRONMENT)?.clone(),
        address: tags.get(ADDRESS)?.parse().ok()?,
    };
    let ours = tags.get(TAGS).map(String::as_str).unwrap_or_default();
    let user = ours.split(' ').filter_map(|key| Some((key.to_owned(), tags.get(key)?.clone()))).collect();
    Some(Tagged { identity, user, deposed: tags.contains_key(DEPOSED) })
}

/// The keys of all tags by which we know a resource and remember how to treat it. What kinds add to this for parts of
/// theirs ends in the name of the part.
pub const OURS: &[&str] = &[
    PROJECT,
    ENVIRONMENT,
    ADDRESS,
    TAGS,
    DEPOSED,
    "infra:alias",
    "infra:apply",
    "infra:autoscaled",
    "infra:deletion-window",
    "infra:exclusive",
    "infra:final-snapshot",
    "infra:image-owner",
    "infra:kept-for",
    "infra:owner",
    PROTECT,
    crate::rotation::ROLLED,
    "infra:shape",
    "infra:version",
];

/// What is about to become ours, though its tags do not say so yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopting {
    pub identity: Identity,
    /// Its id, ARN or name in AWS.
    pub id: String,
    /// The user's own tags of the file.
    pub user: Tags,
}

impl Adopting {
    /// These tags of nobody's as if they were of this identity: those that the file speaks of are the user's own.
    #[must_use]
    pub fn claim(&self, tags: &Tags) -> Tagged {
        let known = |(key, value): (&String, &String)| {
            Some((key.clone(), value.clone())).filter(|_| self.user.contains_key(key))
        };
        Tagged { identity: self.identity.clone(), user: tags.iter().filter_map(known).collect(), deposed: false }
    }
}

/// The tags to write and the keys to remove, to come from the user tags `old` to `new`.
#[must_use]
pub fn change(identity: &Identity, old: &Tags, new: &Tags) -> (Tags, Vec<String>) {
    difference(&encode(identity, old), &encode(identity, new))
}

/// The tags to write and the keys to remove, to come from all the tags `before` to all the tags `after`.
#[must_use]
pub fn difference(before: &Tags, after: &Tags) -> (Tags, Vec<String>) {
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    (set.map(|(key, value)| (key.clone(), value.clone())).collect(), gone.cloned().collect())
}

/// Tags that AWS itself writes about who made something, and what they mean.
const MAKERS: &[(&str, &str)] = &[
    ("aws:cloudformation:stack-name", "CloudFormation stack"),
    ("aws:autoscaling:groupName", "Auto Scaling group"),
    ("aws:ecs:serviceName", "ECS service"),
    ("aws:ec2launchtemplate:id", "launch template"),
    ("elasticbeanstalk:environment-name", "Elastic Beanstalk environment"),
    ("aws:eks:cluster-name", "EKS cluster"),
];

/// Who made something, where tags tell.
#[must_use]
pub fn maker(tags: &Tags) -> Option<String> {
    MAKERS.iter().find_map(|(key, what)| Some(format!("{what} {}", tags.get(*key)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    fn map(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_the_tags_that_we_wrote_are_ours() {
        let identity =
            Identity { project: "acme".into(), environment: "test".into(), address: Address::new("vpc", "main") };
        let user = map(&[("team", "backend"), ("cost", "42")]);
        let mut live = encode_named(&identity, &user);
        live.insert("added-by-others".into(), "yes".into());
        let tagged = decode(&live).unwrap();
        assert_eq!((tagged.identity.clone(), tagged.user, tagged.deposed), (identity.clone(), user.clone(), false));

        let (set, gone) = change(&identity, &user, &map(&[("team", "web")]));
        assert_eq!(set, map(&[("infra:tags", "team"), ("team", "web")]));
        assert_eq!(gone, ["cost"]);
        assert_eq!(change(&identity, &user, &Tags::new()).1, ["cost", "infra:tags", "team"]);
        assert_eq!(decode(&map(&[("infra:project", "acme")])), None);
    }
}
