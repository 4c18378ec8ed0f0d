//! `firewall`: a web ACL, and a set of the addresses that are never limited.

use super::Expansion;
use crate::address::{Address, short_hash};
use crate::kinds::ip_set::{IpSet, Version};
use crate::kinds::web_acl::{Action, DefaultAction, Managed, Rate, Rule, WebAcl};
use crate::tags::Tags;
use crate::value::Arg;

/// Seconds over which requests are counted: limits are those of a minute.
const WINDOW: u32 = 60;

pub(super) fn expand(to: &mut Expansion) {
    let Some(section) = &to.file.firewall else { return };
    let origin = ["firewall"];
    let except = (!section.allow.is_empty()).then(|| {
        let set = IpSet {
            name: None,
            version: Version::V4,
            addresses: section.allow.iter().map(ToString::to_string).collect(),
            tags: Tags::new(),
        };
        Arg::output(&to.add("allowed", &origin, &set), "arn")
    });
    let rate = |name: String, limit: u32, path: Option<&String>| {
        let rate = Rate { limit, window: WINDOW, path: path.cloned(), except: except.clone() };
        rule(name, Some(rate), None)
    };
    let paths = section.paths.iter().map(|(path, limit)| rate(path_rule(path), *limit, Some(path)));
    let general = rate("rate".to_owned(), section.rate, None);
    let managed = section.managed.iter().map(|group| {
        let count = section.count.get(group.word()).cloned().unwrap_or_default();
        let name = group.word().replace('_', "-");
        rule(name, None, Some(Managed { name: group.name().to_owned(), count }))
    });
    let balancers = section.protects(&to.file.load_balancers).into_iter();
    let acl = WebAcl {
        name: None,
        default_action: DefaultAction::Allow,
        rules: paths.chain([general]).chain(managed).collect(),
        resources: balancers.map(|name| Arg::output(&Address::new("load_balancer", name), "arn")).collect(),
        tags: Tags::new(),
    };
    to.add("main", &origin, &acl);
}

fn rule(name: String, rate: Option<Rate>, managed: Option<Managed>) -> Rule {
    Rule { name, action: Action::Block, rate, managed, addresses: None, foreign: None }
}

/// The name of a path's rule and metric: `/api/auth/*` has `rate-api-auth`, and six letters that no other path has.
fn path_rule(path: &str) -> String {
    let words: Vec<&str> = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let words: String = words.join("-").chars().take(80).collect();
    format!("rate-{words}-{}", short_hash(path))
}
