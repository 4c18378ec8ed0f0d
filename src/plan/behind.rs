//! Services that were last seen with a former version of a secret that rotates, as their tags say.

use std::collections::BTreeMap;

use super::Note;
use crate::kind::Live;
use crate::rotation::RUNS;
use crate::value::{Fields, Value};

/// How much of a version's id tells it from others.
const SHORT: usize = 8;

pub(super) fn find(current: &[&Live<Fields>]) -> Vec<Note> {
    let secrets = current.iter().filter(|live| live.identity.address.kind == "secret");
    let versions: BTreeMap<&str, &String> =
        secrets.filter_map(|live| Some((live.identity.address.name.as_str(), live.outputs.get("version")?))).collect();
    let short = |version: &String| version.get(..SHORT).unwrap_or(version).to_owned();
    let mut notes = Vec::new();
    for live in current.iter().filter(|live| live.spec.get("desired_count") != Some(&Value::from(serde_json::json!(0))))
    {
        for (secret, runs) in live.outputs.iter().filter_map(|(key, runs)| Some((key.strip_prefix(RUNS)?, runs))) {
            let Some(now) = versions.get(secret).filter(|now| **now != runs) else { continue };
            let text = format!(
                "last seen with version {} of secret.{secret}; {} is current, and rotation brings it there",
                short(runs),
                short(now)
            );
            notes.push(Note { address: live.identity.address.clone(), text, foreign: false });
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Identity;
    use crate::tags::{Tagged, Tags};

    fn live(address: &str, count: u64, outputs: &[(&str, &str)]) -> Live<Fields> {
        let address = address.parse().unwrap();
        let identity = Identity { project: "acme".into(), environment: "test".into(), address };
        let spec = Fields::from([("desired_count".to_owned(), Value::from(serde_json::json!(count)))]);
        let live = Live::new(Tagged { identity, user: Tags::new(), deposed: false }, "id", spec);
        outputs.iter().fold(live, |live, (name, value)| live.output(name, *value))
    }

    #[test]
    fn a_service_with_a_former_version_is_named() {
        let runs = |version| [("arn", "x"), ("infra:secret/db-main-app", version)];
        let all = [
            live("secret.db-main-app", 1, &[("version", "22222222-bbbb")]),
            live("ecs_service.api", 2, &runs("11111111-aaaa")),
            live("ecs_service.web", 2, &runs("22222222-bbbb")),
            live("ecs_service.idle", 0, &runs("11111111-aaaa")),
            live("ecs_service.other", 1, &[("infra:secret/gone", "11111111-aaaa")]),
        ];
        let notes = find(&all.iter().collect::<Vec<_>>());
        let texts: Vec<_> = notes.iter().map(|note| format!("{}: {}", note.address, note.text)).collect();
        let expected = "ecs_service.api: last seen with version 11111111 of secret.db-main-app; 22222222 is current, and \
                        rotation brings it there";
        assert_eq!(texts, [expected]);
    }
}
