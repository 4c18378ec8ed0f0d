//! `infra secrets`: all but values is shown, and a new value goes to Secrets Manager only.

use std::process::Stdio;

use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;

use super::policies::covers;
use super::site::{PRODUCTION, Ran, Site};
use crate::proxy::Proxy;

const VALUE: &str = "correct horse battery staple 4711";

/// Runs the binary with this on standard input, and all that its libraries have to say.
async fn piped(site: &Site, endpoint: &str, arguments: &str, value: &str) -> Ran {
    let mut command = site.command(endpoint, arguments);
    command.env("INFRA_LOG", "trace").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // Whoever refuses may not read.
    drop(process.stdin.take().unwrap().write_all(value.as_bytes()).await);
    let output = process.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

async fn value(site: &Site, id: &str) -> String {
    site.aws.secrets().get_secret_value().secret_id(id).send().await.unwrap().secret_string.unwrap()
}

fn of<'a>(all: &'a Json, address: &str) -> &'a Json {
    all["secrets"].as_array().unwrap().iter().find(|one| one["address"] == address).unwrap()
}

fn keys(json: &Json) -> Vec<&str> {
    json.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_value_is_set_and_nowhere_shown() {
    let site = Site::start().await;
    let text = site
        .read(PRODUCTION)
        .replace("image: \"123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/api\"", "image: \"registry.test/api:v1\"");
    let secrets = "\n  account: { json: { username: app, password: { generate: {} } } }\n";
    site.write(PRODUCTION, &format!("{}{secrets}", text.trim_end()));
    let before = site.infra("secrets list production --format json").await.well().json();
    assert_eq!(
        (&of(&before, "secret.jwt")["name"], &of(&before, "secret.jwt")["in_file"]),
        (&Json::Null, &json!(true))
    );
    let early = site.infra("secrets set production jwt --generate --yes").await;
    assert!(early.refused().contains("make it first with infra apply production"), "{}", early.stderr);
    site.infra("apply production --yes").await.well();
    lists(&site).await;
    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], None).await;
    let mut said = sets(&site, &proxy).await;
    said.extend(refuses(&site).await);
    said.push(tells_who_is_behind(&site, &proxy).await);
    covers(
        &site.infra("policy production secrets --format json").await.well().json(),
        &proxy.calls(),
        "the policy of secrets",
    );
    site.converged(PRODUCTION).await;

    let history = site.infra("history production --format json").await.well();
    let records = history.json()["records"].clone();
    assert_eq!(records[0]["command"], "infra secrets set production jwt");
    assert!(records[2]["versions"]["secret.payments"].is_string(), "{records}");
    said.push(history);
    for Ran { stdout, stderr, .. } in said {
        assert!(!format!("{stdout}{stderr}").contains("battery"), "{stdout}\n{stderr}");
    }
}

async fn lists(site: &Site) {
    let list = site.infra("secrets list production --format json").await.well().json();
    insta::assert_json_snapshot!(json!([keys(&list), keys(&list["secrets"][0])]), @r#"
    [
      [
        "version",
        "environment",
        "secrets"
      ],
      [
        "address",
        "name",
        "in_file",
        "description",
        "rotates_every_days",
        "has_value",
        "changed",
        "rotated",
        "next_rotation"
      ]
    ]
    "#);
    let (jwt, payments) = (of(&list, "secret.jwt"), of(&list, "secret.payments"));
    assert_eq!((&jwt["has_value"], &payments["has_value"]), (&json!(true), &json!(false)));
    assert_eq!(jwt["name"], "acme-production-jwt");
    let text = site.infra("secrets list production").await.well().stdout;
    assert!(text.contains("no value  no rotation         Key of the payment provider"), "{text}");
}

async fn sets(site: &Site, proxy: &Proxy) -> Vec<Ran> {
    let mut said = Vec::new();
    let set =
        piped(site, &proxy.endpoint, "secrets set production payments --stdin --yes", &format!("{VALUE}\n")).await;
    assert!(set.stdout.contains("secret.payments has version "), "{}\n{}", set.stdout, set.stderr);
    assert!(
        set.stdout.contains("still run with the former value, until new tasks start: acme-production-api"),
        "{}",
        set.stdout
    );
    said.push(set.well());
    assert_eq!(value(site, "acme-production-payments").await, VALUE);

    // Keys of a JSON secret: all of them, or one.
    let one = piped(site, &proxy.endpoint, "secrets set production account --key password --stdin --yes", VALUE).await;
    said.push(one.well());
    let account: Json = serde_json::from_str(&value(site, "acme-production-account").await).unwrap();
    assert_eq!(account, json!({ "username": "app", "password": VALUE }));
    said
}

/// What is wrong is refused, and nothing is changed.
async fn refuses(site: &Site) -> Vec<Ran> {
    let mut said = Vec::new();
    let part = json!({ "password": VALUE, "host": "x" }).to_string();
    for (arguments, input, reason) in [
        ("account --stdin --yes", part.as_str(), "it lacks username\n  the file does not have host"),
        ("account --stdin --yes", VALUE, "is a JSON object with the keys password, username"),
        ("account --key passwrd --stdin --yes", VALUE, "did you mean password?"),
        ("jwt --key x --stdin --yes", VALUE, "is no JSON object"),
        ("payment --stdin --yes", VALUE, "has no secret payment; there are payments, account, jwt"),
        ("payments --stdin --yes", "\n", "the value is empty"),
        ("payments --stdin", VALUE, "add --yes"),
        ("payments --generate --length 3 --yes", "", "3 characters is not between"),
    ] {
        let refused = piped(
            site,
            &site.emulator.variables["AWS_ENDPOINT_URL"],
            &format!("secrets set production {arguments}"),
            input,
        )
        .await;
        assert!(refused.refused().contains(reason), "{arguments}: {}", refused.stderr);
        said.push(refused);
    }
    let none = site.infra("secrets rotate production jwt").await;
    assert!(none.refused().contains("secret.jwt does not rotate"), "{}", none.stderr);
    site.infra("secrets set production jwt --generate --length 20 --charset hex --yes").await.well();
    assert_eq!(value(site, "acme-production-jwt").await.len(), 20);
    said
}

async fn tells_who_is_behind(site: &Site, proxy: &Proxy) -> Ran {
    // Its tasks are from before.
    let status = site.through(&proxy.endpoint, "secrets status production payments --format json").await;
    let json = status.json();
    assert_eq!((status.code, &json["well"]), (Some(2), &json!(false)), "{}", status.stdout);
    let payments = &json["secrets"][0];
    assert_eq!(payments["services"][0]["runs"], "behind", "{payments}");
    insta::assert_json_snapshot!(json!([keys(&json), keys(payments), keys(&payments["services"][0])]), @r#"
    [
      [
        "version",
        "environment",
        "well",
        "secrets"
      ],
      [
        "address",
        "name",
        "in_file",
        "description",
        "rotates_every_days",
        "has_value",
        "changed",
        "rotated",
        "next_rotation",
        "current",
        "previous",
        "rotation",
        "rolled",
        "services"
      ],
      [
        "service",
        "runs",
        "version"
      ]
    ]
    "#);
    status
}
