//! The values of secrets are in Secrets Manager, and nowhere else.

use std::collections::BTreeMap;

use super::account;
use super::site::{PRODUCTION, Ran, Site};

#[tokio::test]
async fn no_secret_is_written_logged_or_printed() {
    let site = Site::start().await;
    let endpoint = site.emulator.variables["AWS_ENDPOINT_URL"].clone();
    let mut said = BTreeMap::new();
    let mut run = async |arguments: &str| {
        // All that the program and the libraries below it have to say.
        let output = site.command(&endpoint, arguments).env("INFRA_LOG", "trace").output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        assert!(matches!(ran.code, Some(0 | 2)), "{arguments}: {}", ran.stdout);
        said.insert(arguments.to_owned(), format!("{}{}", ran.stdout, ran.stderr));
    };
    run("plan production --save first.json").await;
    run("apply first.json").await;
    let ids = site.ids(PRODUCTION).await;
    let by_hand = site.aws.secrets().put_secret_value().secret_id(&ids["secret.payments"]);
    by_hand.secret_string("correct horse battery staple 4711").send().await.unwrap();
    site.edit(PRODUCTION, "description: Signs the sessions", "description: Made sessions");
    for arguments in [
        "plan production --save second.json --format json",
        "apply production --yes --format json",
        "drift production --format json",
        "drift production --format markdown",
        "output production",
        "explain production secret.jwt",
        "policy production apply",
        "rename production secret.jwt secret.token --yes",
        "rename production secret.token secret.jwt --yes",
        "history production",
        "lock production",
    ] {
        run(arguments).await;
    }
    let values = values(&site).await;
    assert_eq!(values.len(), 3, "made here, by hand, and by RDS: {:?}", values.keys());
    let stored = stored(&site).await;
    run("destroy production --confirm production").await;
    run("history production --format json").await;
    said.extend(stored);
    for file in ["first.json", "second.json", "environments/production.yaml"] {
        said.insert(file.to_owned(), std::fs::read_to_string(site.path(file)).unwrap());
    }
    for (place, text) in said {
        let text = letters(&text);
        for (name, value) in &values {
            assert!(value.len() > 15, "{name} is long enough not to be found by chance");
            assert!(!text.contains(value), "the value of {name} is in: {place}");
        }
    }
}

/// Letters and digits alone, so that no way of quoting hides a value.
fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The values of all secrets by name; of JSON its password.
async fn values(site: &Site) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for secret in site.aws.secrets().list_secrets().send().await.unwrap().secret_list.unwrap() {
        let name = secret.name.unwrap();
        let value = site.aws.secrets().get_secret_value().secret_id(&name).send().await.unwrap();
        let value = value.secret_string.unwrap();
        let password = serde_json::from_str::<serde_json::Value>(&value).ok();
        let password = password.and_then(|json| Some(json.get("password")?.as_str()?.to_owned()));
        values.insert(name, letters(&password.unwrap_or(value)));
    }
    values
}

/// What is in AWS beside the secrets.
async fn stored(site: &Site) -> BTreeMap<String, String> {
    let aws = &site.aws;
    let mut stored = BTreeMap::from([("the account".to_owned(), account::contents(aws).await.concat())]);
    let parameters = aws.ssm().get_parameters_by_path().path("/infra").recursive(true).send().await.unwrap();
    assert!(!parameters.parameters().is_empty(), "the lock is one");
    stored.insert("the lock".to_owned(), format!("{:?}", parameters.parameters()));
    let events = aws.logs().filter_log_events().log_group_name("/infra/acme/production").send().await.unwrap();
    assert!(events.events().len() > 1, "the history");
    stored.insert("the history".to_owned(), format!("{:?}", events.events()));
    let tagged = aws.tagging().get_resources().send().await.unwrap();
    stored.insert("tags".to_owned(), format!("{:?}", tagged.resource_tag_mapping_list()));
    stored
}
