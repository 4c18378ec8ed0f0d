//! All of it together: `infra apply` deploys the real function, Secrets Manager calls it, and services are rolled.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use aws_sdk_lambda::types::InvocationType;
use infra::lock::{Holder, Lock};
use infra::rotation::ROLLED;
use infra::rotation::credentials::Credentials;
use infra::rotation::users::{self, Version};
use serde_json::json;

use crate::environment::Site;
use crate::postgres::{MASTER, MASTER_PASSWORD, Postgres};
use crate::support::Emulator;

const FILE: &str = include_str!("test.yaml");
const SECRET: &str = "acme-test-db-main-app";
const CLUSTER: &str = "acme-test-main";
const DEADLINE: Duration = Duration::from_secs(60);

/// The function without what only debuggers read: Lambda would not take it otherwise.
fn package(postgres: &Postgres) -> String {
    let stripped = postgres.path("infra-rotator").display().to_string();
    let made = Command::new("strip").args(["-s", "-o", &stripped, env!("CARGO_BIN_EXE_infra-rotator")]).status();
    assert!(made.unwrap().success());
    stripped
}

async fn version(site: &Site) -> Version {
    let secret = site.aws.secrets().describe_secret().secret_id(SECRET).send().await.unwrap();
    users::current(&site.aws, secret.arn().unwrap()).await.unwrap().unwrap()
}

async fn credentials(site: &Site, stage: &str) -> Credentials {
    let read = site.aws.secrets().get_secret_value().secret_id(SECRET).version_stage(stage);
    serde_json::from_str(&read.send().await.unwrap().secret_string.unwrap()).unwrap()
}

/// With which version each service runs, as its tag says.
async fn runs(site: &Site, version: &Version) -> BTreeMap<String, Option<String>> {
    let users = users::users(&site.aws, CLUSTER).await.unwrap();
    let using = users.into_iter().filter(|user| user.secrets.contains(&version.arn));
    using.map(|user| (user.name().to_owned(), user.tags.get(&version.key()).cloned())).collect()
}

/// Looks until it holds.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let (end, mut looks) = (Instant::now() + DEADLINE, tokio::time::interval(Duration::from_millis(100)));
    loop {
        looks.tick().await;
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "{what}");
    }
}

/// An environment whose databases are on this server, and whose functions trust it.
async fn site(postgres: &Postgres) -> Site {
    let site = Site::on(Emulator::with_data_plane().await).await;
    let url = format!("postgresql://{MASTER}:{MASTER_PASSWORD}@{}:5432/postgres?sslmode=require", postgres.host);
    let variables = json!({ "INFRA_DATABASE_CA": postgres.authority() });
    let settings = json!({ "postgres": url, "variables": variables, "retry": 0, "tick": 0.05 });
    site.emulator.set("data-plane", settings.to_string()).await;
    site.write("test", &FILE.replace("PACKAGE", &package(postgres)));
    site
}

#[tokio::test]
async fn credentials_rotate_and_services_follow() {
    let Some(postgres) = Postgres::at_its_own_port().await else { return };
    let site = site(&postgres).await;

    // The first rotation is part of the apply: what starts after it can log in.
    site.infra("apply test --yes").await.well();
    site.converged("test").await;
    let (first, at) = (version(&site).await, credentials(&site, "AWSCURRENT").await);
    assert_eq!(at.username, "app_clone");
    let works = async |at: &Credentials| {
        postgres.database().login(at, &at.username, &at.password).await.map(drop).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(works(&at).await, Ok(()));
    assert_eq!(
        at.others["url"],
        format!("postgresql://app_clone:{}@{}:5432/app?sslmode=require", at.password.reveal(), at.host)
    );

    // Each quarter of an hour what is behind is rolled; what started with the current version is only noted.
    roll(&site).await;
    let noted = until("the first version is noted", async || {
        let noted = version(&site).await;
        (noted.tags.get(ROLLED) == Some(&first.id)).then_some(noted)
    });
    let noted = noted.await;
    let expected = |version: &Version| {
        let run = |name: &str| (format!("acme-test-{name}"), Some(version.id.clone()));
        BTreeMap::from([run("api"), run("worker")])
    };
    assert_eq!(runs(&site, &noted).await, expected(&first));

    let status = site.infra("secrets status test main --format json").await.well().json();
    assert_eq!(status["secrets"][0]["current"]["id"], first.id.as_str());

    // A rotation rolls them, one at a time, and no pair in use is refused meanwhile.
    let endpoint = site.emulator.variables["AWS_ENDPOINT_URL"].clone();
    let watching = tokio::spawn(site.command(&endpoint, "secrets rotate test main --watch").output());
    let second = until("the second version is rolled", async || {
        assert_eq!(works(&at).await, Ok(()), "the former pair");
        let now = version(&site).await;
        (now.id != first.id && now.tags.get(ROLLED) == Some(&now.id)).then_some(now)
    });
    let second = second.await;
    assert_eq!(runs(&site, &second).await, expected(&second));
    let now = credentials(&site, "AWSCURRENT").await;
    assert_eq!((now.username.as_str(), works(&now).await), ("app", Ok(())));
    shown(&watching.await.unwrap().unwrap(), &second, [&at, &now]);
    let status = site.infra("secrets status test main --format json").await.well().json();
    let services = json!([
        { "service": "acme-test-api", "runs": "current", "version": second.id },
        { "service": "acme-test-worker", "runs": "current", "version": second.id },
    ]);
    let status = &status["secrets"][0];
    assert_eq!((&status["services"], &status["rolled"]), (&services, &json!(second.id)));
    site.converged("test").await;
    waits_for_a_release(&site).await;
    fails(&site, &credentials(&site, "AWSCURRENT").await).await;

    site.infra("destroy test --confirm test").await.well();
    assert_eq!(site.live("test").await.len(), 0, "nothing is left");
}

/// Asserts that whoever watched saw each step and each service, and no password.
fn shown(watched: &Output, version: &Version, credentials: [&Credentials; 2]) {
    let said = String::from_utf8_lossy(&[watched.stdout.as_slice(), &watched.stderr].concat()).into_owned();
    assert_eq!(watched.status.code(), Some(0), "{said}");
    let seen = [
        format!("secret.db-main-app rotates to version {}.", version.id),
        "CreateSecret of ".to_owned(),
        "FinishSecret of ".to_owned(),
        format!("version {} is current", version.id),
        "acme-test-api runs it".to_owned(),
        "acme-test-worker runs it".to_owned(),
        "  done\n".to_owned(),
    ];
    let places: Vec<_> = seen.iter().map(|part| said.find(part.as_str())).collect();
    assert!(places.iter().all(Option::is_some) && places[..4].is_sorted(), "{places:?} {said}");
    for one in credentials {
        assert!(!said.contains(one.password.reveal()), "no password is shown");
    }
}

/// What the rule does every 15 minutes.
async fn roll(site: &Site) {
    let roll = site.aws.lambda().invoke().function_name("acme-test-roll").invocation_type(InvocationType::Event);
    roll.payload(b"{}".to_vec().into()).send().await.unwrap();
}

/// A service that is being released is left alone, and rolled afterwards.
async fn waits_for_a_release(site: &Site) {
    let lock = Lock::of_release(&site.aws, "acme", "test", "api");
    let (held, before) = (lock.acquire(Holder::this("a release of a test")).await.unwrap(), version(site).await);
    site.infra("secrets rotate test main").await.well();
    let behind = until("the worker is rolled", async || {
        let now = version(site).await;
        let runs = runs(site, &now).await;
        let rolled = now.id != before.id && runs["acme-test-worker"].as_ref() == Some(&now.id);
        rolled.then_some((runs, now))
    });
    let (runs_now, now) = behind.await;
    assert_ne!(runs_now["acme-test-api"].as_ref(), Some(&now.id));
    let plan = site.infra("plan test").await.well();
    assert!(plan.stdout.contains("of secret.db-main-app; "), "{}", plan.stdout);
    assert_ne!(version(site).await.tags.get(ROLLED), Some(&now.id));
    lock.release(held).await.unwrap();
    roll(site).await;
    until("the api is rolled", async || (version(site).await.tags.get(ROLLED) == Some(&now.id)).then_some(())).await;
    assert_eq!(runs(site, &now).await["acme-test-api"].as_ref(), Some(&now.id));
}

/// A function that cannot log in: whoever watches is told why, and so is whoever asks afterwards.
async fn fails(site: &Site, now: &Credentials) {
    let mut wrong = serde_json::to_value(now).unwrap();
    wrong["host"] = "nowhere.invalid".into();
    let put = site.aws.secrets().put_secret_value().secret_id(SECRET).secret_string(wrong.to_string());
    let version = put.send().await.unwrap().version_id.unwrap();
    let refused = site.infra("secrets rotate test db-main-app").await;
    assert!(
        refused.refused().contains("these services are behind its current version: acme-test-"),
        "{}",
        refused.stderr
    );
    let tag = aws_sdk_secretsmanager::types::Tag::builder().key(ROLLED).value(&version).build();
    site.aws.secrets().tag_resource().secret_id(SECRET).tags(tag).send().await.unwrap();

    let failed = site.infra("secrets rotate test main --watch").await;
    assert!(failed.refused().contains("has not rotated, and the former version stays current: "), "{}", failed.stderr);
    assert!(failed.stderr.contains("nowhere.invalid"), "{}", failed.stderr);
    let status = site.infra("secrets status test main").await;
    assert_eq!(status.code, Some(2), "{}", status.stderr);
    for part in ["stuck since ", "nowhere.invalid", "/aws/lambda/acme-test-rotate-main"] {
        assert!(status.stdout.contains(part), "{part}: {}", status.stdout);
    }
    let again = site.infra("secrets rotate test main").await;
    assert!(again.refused().contains("secret.db-main-app rotates since "), "{}", again.stderr);
}
