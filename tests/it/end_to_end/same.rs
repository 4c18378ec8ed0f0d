//! What two environments have in common: everything but ids and names that AWS chose.

use infra::kind::Live;
use infra::value::Fields;
use serde_json::Value as Json;

/// Everything of an environment, by address, with ids, ARNs and names replaced by whose they are.
pub fn world(live: &[Live<Fields>], environment: &str) -> Vec<String> {
    let mut names: Vec<(String, String)> = Vec::new();
    for live in live {
        let address = &live.identity.address;
        names.extend(live.outputs.iter().map(|(output, value)| (value.clone(), format!("<{address}.{output}>"))));
        // What AWS computes from ids differs with them.
        names.extend(
            live.spec.get("name").and_then(|name| name.as_text()).map(|name| (name.to_owned(), format!("<{address}>"))),
        );
    }
    names.retain(|(value, _)| value.len() > 4);
    names.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    let replaced = |text: &str| {
        let text = names.iter().fold(text.to_owned(), |text, (value, name)| text.replace(value, name));
        text.replace(environment, "<environment>")
    };
    let texts = live.iter().map(|live| {
        let mut spec = serde_json::to_value(&live.spec).unwrap();
        rewrite(&mut spec, &replaced);
        format!("{} {:?} deposed: {} {spec}", live.identity.address, live.health, live.deposed)
    });
    texts.collect()
}

/// Rewrites all texts. Lists that were sorted by ids are sorted by what has replaced them.
fn rewrite(json: &mut Json, replaced: &impl Fn(&str) -> String) {
    match json {
        Json::String(text) => *text = replaced(text),
        Json::Array(items) => {
            for item in items.iter_mut() {
                rewrite(item, replaced);
            }
            items.sort_by_key(Json::to_string);
        }
        Json::Object(fields) => fields.values_mut().for_each(|field| rewrite(field, replaced)),
        _ => {}
    }
}
