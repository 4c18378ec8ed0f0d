//! Saved plans, and states of Terraform.

use std::path::Path;
use std::sync::LazyLock;

use infra::address::Address;
use infra::environment::{Facts, desired, load};
use infra::plan::{Saved, Snapshot, plan};
use infra::terraform;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value as Json, json};

use crate::edits::{edited, edits, words};
use crate::policies::any_json;
use crate::{foreign, fuzz};

/// What `infra plan --save` writes of a file.
fn saved_plan(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name));
    let loaded = load(path, &[], &read).unwrap_or_else(|failed| panic!("{failed:?}"));
    let desired = desired(&loaded, &Facts::default()).unwrap();
    let plan = plan(&desired, &Snapshot::default()).unwrap();
    let saved = Saved::new(plan.digest, plan.basis, ["vpc.main".parse().unwrap()].into(), [].into(), desired);
    serde_json::to_string_pretty(&saved).unwrap()
}

static PLANS: LazyLock<Vec<String>> =
    LazyLock::new(|| ["tests/every-kind.yaml", "environments/shared.yaml"].map(saved_plan).to_vec());

static STATE: LazyLock<String> = LazyLock::new(|| {
    let resource = |address: &str, kind: &str, values: Json| json!({ "address": address, "mode": "managed", "type": kind, "name": "x", "values": values });
    let arn = "arn:aws:ec2:eu-west-1:123456789012:x/y";
    let root = json!({
        "resources": [
            resource("aws_vpc.main", "aws_vpc", json!({ "id": "vpc-1", "arn": arn })),
            resource("aws_subnet.private[\"a b\"]", "aws_subnet", json!({ "id": "subnet-1" })),
            resource("aws_subnet.private[0]", "aws_subnet", json!({ "id": "subnet-2" })),
            resource("aws_lb.x", "aws_lb", json!({ "arn": arn, "load_balancer_type": "network" })),
            resource("random_password.x", "random_password", json!({ "result": "hunter2" })),
        ],
        "child_modules": [{ "resources": [
            resource("module.a.aws_route53_record.x", "aws_route53_record", json!({ "zone_id": "Z1", "fqdn": "a.b", "type": "A" })),
        ] }],
    });
    serde_json::to_string_pretty(&json!({ "format_version": "1.0", "values": { "root_module": root } })).unwrap()
});

fn all_words(texts: &[String]) -> Vec<String> {
    let mut all: Vec<String> =
        texts.iter().flat_map(|text| words(text).into_iter().map(|word| text[word].to_owned())).collect();
    all.extend(["null", "true", "-1", "1e400", "99999999999999999999", "\"\"", "[]", "{}"].map(str::to_owned));
    all.sort();
    all.dedup();
    all
}

/// Puts a value in the place of another one, wherever that is.
fn replaced(json: &mut Json, at: usize, value: &Json) {
    fn walk<'a>(json: &'a mut Json, left: &mut usize) -> Option<&'a mut Json> {
        if *left == 0 {
            return Some(json);
        }
        *left -= 1;
        match json {
            Json::Array(items) => items.iter_mut().find_map(|item| walk(item, left)),
            Json::Object(fields) => fields.values_mut().find_map(|item| walk(item, left)),
            _ => None,
        }
    }
    if let Some(place) = walk(json, &mut at.clone()) {
        *place = value.clone();
    }
}

fn in_plain_words(message: &str) -> TestCaseResult {
    prop_assert!(!message.trim().is_empty());
    prop_assert_eq!(foreign(message), None, "{}", message);
    Ok(())
}

/// What is read is as good as new: it can be planned.
fn read_plan(text: &str) -> TestCaseResult {
    match Saved::parse(text) {
        Ok(saved) => {
            prop_assert_eq!(saved.desired.in_order().len(), saved.desired.resources.len());
            let planned = plan(&saved.desired, &Snapshot::default());
            prop_assert!(planned.is_ok());
            let again = serde_json::to_string(&saved).unwrap();
            prop_assert!(Saved::parse(&again) == Ok(saved), "{}", again);
            Ok(())
        }
        Err(message) => in_plain_words(&message),
    }
}

fn read_state(text: &str) -> TestCaseResult {
    match terraform::read(text) {
        Ok(state) => {
            for found in &state.found {
                prop_assert!(found.address.to_string().parse::<Address>().is_ok(), "{:?}", found);
            }
            state.left.iter().try_for_each(|left| in_plain_words(&left.why))
        }
        Err(error) => in_plain_words(&error.to_string()),
    }
}

#[test]
fn what_was_saved_is_read() {
    for text in PLANS.iter() {
        let saved = Saved::parse(text).unwrap();
        assert_eq!(serde_json::to_string_pretty(&saved).unwrap(), *text);
    }
}

#[test]
fn saved_plans_with_mistakes() {
    let words = all_words(&PLANS);
    fuzz(30, &(any::<Index>(), edits()), |(which, edits)| {
        read_plan(&String::from_utf8_lossy(&edited(&PLANS[which.index(PLANS.len())], &edits, &words)))
    });
}

#[test]
fn saved_plans_with_other_values() {
    fuzz(40, &(any::<Index>(), any::<Index>(), any_json()), |(which, at, value)| {
        let mut json: Json = serde_json::from_str(&PLANS[which.index(PLANS.len())]).unwrap();
        replaced(&mut json, at.index(3000), &value);
        read_plan(&json.to_string())
    });
}

#[test]
fn states_with_mistakes() {
    let words = all_words(std::slice::from_ref(&*STATE));
    fuzz(500, &edits(), |edits| read_state(&String::from_utf8_lossy(&edited(&STATE, &edits, &words))));
}

#[test]
fn states_with_other_values() {
    fuzz(500, &(any::<Index>(), any_json()), |(at, value)| {
        let mut json: Json = serde_json::from_str(&STATE).unwrap();
        replaced(&mut json, at.index(60), &value);
        read_state(&json.to_string())
    });
}

#[test]
fn any_text_is_no_plan_and_no_state() {
    fuzz(300, &".{0,60}", |text| {
        read_plan(&text)?;
        read_state(&text)
    });
    for deep in [
        "[".repeat(100_000),
        "{\"version\":".repeat(100_000),
        format!("{{\"version\":1,\"desired\":{}", "[".repeat(9999)),
    ] {
        assert!(read_plan(&deep).is_ok() && read_state(&deep).is_ok());
    }
}
