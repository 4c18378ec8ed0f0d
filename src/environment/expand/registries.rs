//! `registries`: a repository in ECR each, with the rules by which images expire.

use serde_json::{Value as Json, json};

use super::Expansion;
use crate::environment::registries::Registry;
use crate::kinds::ecr_repository::{EcrRepository, Lifecycle};
use crate::tags::Tags;

/// As many releases as nobody makes: the rule that counts them is there to claim them, not to expire any.
const EVERY: u32 = 9999;

pub(super) fn expand(to: &mut Expansion) {
    for (name, registry) in &to.file.registries {
        let key = registry.key.as_ref().map(|key| to.text(key.as_str(), &["registries", name, "key"]));
        let spec = EcrRepository {
            name: Some(repository_name(&to.file.project, name, registry)),
            scan_on_push: registry.scan,
            immutable: registry.immutable,
            movable_tags: registry.immutable.then(|| "latest".to_owned()).into_iter().collect(),
            kms_key_arn: key.or_else(|| to.main_key()),
            lifecycle: Some(Lifecycle(lifecycle(registry).into())),
            policy: None,
            tags: Tags::new(),
        };
        to.add(name, &["registries", name], &spec);
    }
}

pub(super) fn repository_name(project: &str, name: &str, registry: &Registry) -> String {
    registry.name.clone().unwrap_or_else(|| format!("{project}/{name}"))
}

/// ECR looks at all rules at once and then applies them in the order of their priority. Two facts make releases stay:
/// an image that matches the tags of a rule is expired by that rule or by none of a lower priority, so that the first rules
/// claim the releases and expire none of them; and a list of patterns is met only by an image that has a tag for each,
/// so that every pattern is a rule of its own.
///
/// The last rule counts the releases among the newest images, and passes over them when it expires.
fn lifecycle(registry: &Registry) -> Json {
    let days = registry.untagged.days();
    let tagged = |pattern: &str, number: u32| {
        json!({
            "tagStatus": "tagged", "tagPatternList": [pattern],
            "countType": "imageCountMoreThan", "countNumber": number,
        })
    };
    let releases = registry.releases.iter().map(|pattern| (format!("Releases {pattern} stay"), tagged(pattern, EVERY)));
    let untagged = json!({
        "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days,
    });
    let rest = [
        (format!("Images without a tag go {days} days after their push"), untagged),
        (format!("The newest {} images stay", registry.keep), tagged("*", registry.keep.into())),
    ];
    let rule = |(number, (description, selection)): (usize, (String, Json))| {
        json!({
            "rulePriority": number, "description": description, "selection": selection, "action": { "type": "expire" },
        })
    };
    let rules: Vec<Json> = (1..).zip(releases.chain(rest)).map(rule).collect();
    json!({ "rules": rules })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image: its tags, and how many days ago it was pushed.
    type Image = (&'static [&'static str], u64);

    fn matches(pattern: &str, tag: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == tag,
            Some((start, rest)) => {
                tag.starts_with(start) && (start.len()..=tag.len()).any(|at| matches(rest, &tag[at..]))
            }
        }
    }

    /// Which images ECR expires, as its documentation has it: each rule finds its images among all, in the order of
    /// priority, and an image belongs to the first rule whose tags it matches.
    fn expired(policy: &Json, images: &[Image]) -> Vec<Image> {
        let mut claimed = vec![false; images.len()];
        let mut expired = Vec::new();
        for rule in policy["rules"].as_array().unwrap() {
            let selection = &rule["selection"];
            let patterns: Vec<&str> = selection["tagPatternList"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|text| text.as_str().unwrap())
                .collect();
            let selects = |(tags, _): &Image| match selection["tagStatus"].as_str().unwrap() {
                "untagged" => tags.is_empty(),
                _ => !tags.is_empty() && patterns.iter().all(|pattern| tags.iter().any(|tag| matches(pattern, tag))),
            };
            let number = selection["countNumber"].as_u64().unwrap();
            let mut found: Vec<usize> = (0..images.len()).filter(|at| selects(&images[*at])).collect();
            found.sort_by_key(|at| images[*at].1);
            for (place, at) in (0..).zip(found) {
                let old = match selection["countType"].as_str().unwrap() {
                    "imageCountMoreThan" => place >= number,
                    _ => images[at].1 > number,
                };
                if old && !claimed[at] {
                    expired.push(images[at]);
                }
                claimed[at] = true;
            }
        }
        expired
    }

    fn registry(yaml: Json) -> Registry {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn releases_stay_whatever_their_age_and_the_rest_goes() {
        let images: [Image; 8] = [
            (&["c8"], 1),
            (&["c7", "latest"], 2),
            (&[], 29),
            (&[], 31),
            (&["c6", "v1.1.0"], 40),
            (&["c5"], 50),
            (&["c4", "1.0.0"], 400),
            (&["v0.9.0", "c3"], 900),
        ];
        let policy = lifecycle(&registry(json!({ "keep": 2 })));
        assert_eq!(expired(&policy, &images), [images[3], images[5]]);
        let policy = lifecycle(&registry(json!({ "keep": 2, "releases": [], "untagged": "10d" })));
        let gone = [2, 3, 4, 5, 6, 7].map(|at| images[at]);
        assert_eq!(expired(&policy, &images), gone, "without releases, age alone decides");
    }
}
