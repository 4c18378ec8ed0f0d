use std::collections::BTreeMap;

use infra::address::Address;
use infra::kind::{Health, Kind, Live, Making, Progress, Scope};
use infra::kinds::kms_key::KmsKey;
use infra::kinds::secret::{Charset, Generate, Part, Secret};
use infra::policy::{self, allow};
use infra::tags::Tags;

use crate::support::{Bench, REGION, fields, scope};

const ACCOUNT: &str = "123456789012";

pub fn key() -> KmsKey {
    KmsKey {
        description: "data of the api".into(),
        policy: None,
        enabled: true,
        rotation: true,
        rotation_days: None,
        deletion_window_days: 30,
        alias: None,
        multi_region: false,
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

pub fn secret() -> Secret {
    Secret {
        name: None,
        description: "signs sessions".into(),
        kms_key_arn: None,
        generate: Some(Generate { length: 48, charset: Charset::Alphanumeric, exclude: String::new() }),
        json: None,
        recovery_window_days: 30,
        policy: None,
        rotation: None,
        tags: Tags::from([("team".into(), "backend".into())]),
    }
}

fn making<K: Kind>(name: &str) -> Making {
    Making {
        identity: scope(&[]).identity(&Address::new(K::NAME, name)),
        account: ACCOUNT.into(),
        region: REGION.into(),
        partition: "aws".into(),
        token: format!("run2{name}"),
    }
}

/// The only one that is listed.
async fn only<K: Kind>(bench: &Bench) -> Live<K> {
    let found = bench.list::<K>().await;
    let [live] = &found[..] else { panic!("one live resource, not {}", found.len()) };
    live.clone()
}

#[tokio::test]
async fn key_with_alias_and_rotation() {
    let bench = Bench::start().await;
    bench.aws.kms().create_key().send().await.unwrap();
    let live = bench.create("main", &key()).await;
    assert_eq!(live.outputs["alias"], "alias/acme-test-main");
    assert_eq!(live.spec.alias, None);

    let reader = allow(&["kms:Decrypt"], ["*"]).to("Service", ["logs.us-east-1.amazonaws.com"]);
    let owner = allow(&["kms:*"], ["*"]).to("AWS", [format!("arn:aws:iam::{ACCOUNT}:root")]);
    let second = KmsKey {
        description: String::new(),
        policy: Some(policy::document([owner, reader])),
        enabled: false,
        rotation: false,
        deletion_window_days: 7,
        alias: Some("alias/acme/main".into()),
        tags: Tags::new(),
        ..key()
    };
    let live = bench.update(&live, &second).await;
    assert_eq!(live.outputs["alias"], "alias/acme/main");
    assert!(live.notes.is_empty(), "the former alias is gone: {:?}", live.notes);
    let live = bench.update(&live, &KmsKey { rotation_days: Some(180), ..key() }).await;
    let live = bench.update(&live, &key()).await;
    assert_eq!(live.outputs["alias"], "alias/acme-test-main");

    // An alias of others on our key is told and left alone; ours is made again where it is missing.
    let kms = bench.aws.kms();
    kms.create_alias().alias_name("alias/theirs").target_key_id(&live.id).send().await.unwrap();
    kms.delete_alias().alias_name("alias/acme-test-main").send().await.unwrap();
    let broken = only::<KmsKey>(&bench).await;
    assert_eq!(broken.notes.len(), 2, "{:?}", broken.notes);
    assert_ne!(fields(&broken.spec), fields(&key()), "a missing alias is a difference");
    let live = bench.update(&broken, &key()).await;
    assert_eq!(live.notes.len(), 1, "{:?}", live.notes);
}

#[tokio::test]
async fn a_deleted_key_is_restored() {
    let bench = Bench::start().await;
    let live = bench.create("main", &KmsKey { rotation: false, ..key() }).await;
    KmsKey::delete(&bench.aws, &live).await.unwrap();
    KmsKey::delete(&bench.aws, &live).await.unwrap();
    assert_eq!(KmsKey::poll(&bench.aws, &live.id).await.unwrap(), Progress::Gone);
    let deleted = only::<KmsKey>(&bench).await;
    assert_eq!((deleted.health.clone(), &deleted.id), (Health::Restorable, &live.id));
    let live = bench.update(&deleted, &key()).await;
    assert_eq!(live.health, Health::Ok);
    assert_eq!(live.id, deleted.id);
}

#[tokio::test]
async fn a_key_that_the_index_does_not_know_is_found_by_its_alias() {
    let bench = Bench::start().await;
    let taken = bench.aws.kms().create_key().send().await.unwrap();
    let taken = taken.key_metadata().unwrap().key_id().to_owned();
    let kms = bench.aws.kms();
    kms.create_alias().alias_name("alias/acme-test-web").target_key_id(&taken).send().await.unwrap();
    let found = KmsKey::list(&bench.aws, &scope(&["kms_key.web"])).await.unwrap();
    assert!(found.is_empty(), "an alias proves nothing");

    let id = key().create(&bench.aws, &making::<KmsKey>("web")).await.unwrap();
    let live = only::<KmsKey>(&bench).await;
    let failure = key().update(&bench.aws, &live).await.unwrap_err();
    assert_eq!((failure.code.as_str(), live.id), ("NameTaken", id));
}

#[tokio::test]
async fn secret_with_a_value_made_here() {
    let bench = Bench::start().await;
    let live = bench.create("jwt", &secret()).await;
    assert_eq!(live.outputs["name"], "acme-test-jwt");
    let value = bench.aws.secrets().get_secret_value().secret_id(&live.id).send().await.unwrap();
    let first = value.secret_string().unwrap().to_owned();
    assert_eq!(first.len(), 48);

    let root = format!("arn:aws:iam::{ACCOUNT}:root");
    let reader = allow(&["secretsmanager:GetSecretValue"], ["*"]).to("AWS", [root]);
    // The emulator does not let go of a description, so that it is changed here, not removed.
    let second = Secret {
        description: "signs cookies".into(),
        recovery_window_days: 7,
        policy: Some(policy::document([reader])),
        tags: Tags::new(),
        ..secret()
    };
    let live = bench.update(&live, &second).await;
    let live = bench.update(&live, &Secret { generate: None, ..secret() }).await;
    let value = bench.aws.secrets().get_secret_value().secret_id(&live.id).send().await.unwrap();
    assert!(value.secret_string() == Some(first.as_str()), "no change of the file changes the value");
}

#[tokio::test]
async fn secret_of_json_with_a_key() {
    let bench = Bench::start().await;
    let key = bench.create("main", &KmsKey { rotation: false, ..key() }).await;
    let password = Generate { length: 32, charset: Charset::Ascii, exclude: "\"@/\\".into() };
    let parts = [("username".into(), Part::Text("app".into())), ("password".into(), Part::Generate(password))];
    let spec = Secret {
        name: Some("acme/database".into()),
        kms_key_arn: Some(key.outputs["arn"].as_str().into()),
        generate: None,
        json: Some(BTreeMap::from(parts)),
        ..secret()
    };
    let live = bench.create("database", &spec).await;
    let value = bench.aws.secrets().get_secret_value().secret_id(&live.id).send().await.unwrap();
    let value: BTreeMap<String, String> = serde_json::from_str(value.secret_string().unwrap()).unwrap();
    assert_eq!((value["username"].as_str(), value["password"].len()), ("app", 32));
    bench.update(&live, &Secret { kms_key_arn: None, ..spec }).await;
}

#[tokio::test]
async fn a_deleted_secret_is_restored_and_one_of_others_is_refused() {
    let bench = Bench::start().await;
    let live = bench.create("jwt", &secret()).await;
    Secret::delete(&bench.aws, &live).await.unwrap();
    Secret::delete(&bench.aws, &live).await.unwrap();
    assert_eq!(Secret::poll(&bench.aws, &live.id).await.unwrap(), Progress::Gone);
    let deleted = only::<Secret>(&bench).await;
    assert_eq!((deleted.health.clone(), &deleted.id), (Health::Restorable, &live.id));
    let live = bench.update(&deleted, &secret()).await;
    assert_eq!((live.health.clone(), &live.id), (Health::Ok, &deleted.id));
    assert_eq!(secret().create(&bench.aws, &making::<Secret>("jwt")).await.unwrap(), live.id, "ours is found again");

    // Deleted under a name that the file does not give, it is not the one to restore.
    let named = bench.create("database", &Secret { name: Some("acme/database".into()), ..secret() }).await;
    Secret::delete(&bench.aws, &named).await.unwrap();
    assert_eq!(only::<Secret>(&bench).await.id, live.id);
    let address = named.identity.address.clone();
    let names = BTreeMap::from([(address, "acme/database".to_owned())]);
    let found = Secret::list(&bench.aws, &Scope { names, ..scope(&["secret.database"]) }).await.unwrap();
    assert_eq!(found.len(), 2);
    Secret::tag(&bench.aws, &live, &Tags::from([("note".into(), "x".into())]), &[]).await.unwrap();

    bench.aws.secrets().create_secret().name("acme-test-api").send().await.unwrap();
    let failure = secret().create(&bench.aws, &making::<Secret>("api")).await.unwrap_err();
    assert_eq!(failure.code, "NameTaken");
    assert!(Secret::list(&bench.aws, &scope(&["secret.api"])).await.unwrap().len() == 1, "a name proves nothing");
}
