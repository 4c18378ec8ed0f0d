//! Rotations under clients that reconnect all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use infra::rotation::credentials::Credentials;
use infra::rotation::database::Database;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, watch};

use crate::postgres::MASTER_PASSWORD;
use crate::site::{STEPS, Site, Strategy};

const ROTATIONS: usize = 50;
const CLIENTS: usize = 8;

/// What a client tells after each login: who it is, with which version, and what went wrong.
type Told = (usize, usize, Option<String>);

/// Logs in again and again, and takes the new secret at some moment after it is there.
async fn client(
    id: usize,
    database: Database,
    secret: watch::Receiver<(usize, Credentials)>,
    logins: Arc<AtomicUsize>,
    told: mpsc::Sender<Told>,
) {
    let mut dice = SmallRng::seed_from_u64(id as u64);
    let mut held = secret.borrow().clone();
    loop {
        if dice.random_ratio(1, 4) {
            held = secret.borrow().clone();
        }
        let (version, at) = &held;
        let login = database.login(at, &at.username, &at.password).await;
        logins.fetch_add(1, Ordering::Relaxed);
        if told.send((id, *version, login.err().map(|error| format!("{error:#}")))).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_rotations_fail_no_login() {
    let Some(site) = Site::start(Strategy::AlternatingUsers).await else { return };
    let function = site.function().await;
    let mut secrets = vec![site.current().await];
    let (publish, secret) = watch::channel((0, secrets[0].clone()));
    let (tell, mut told) = mpsc::channel(1);
    let logins = Arc::<AtomicUsize>::default();
    for id in 0..CLIENTS {
        tokio::spawn(client(id, site.postgres.database(), secret.clone(), Arc::clone(&logins), tell.clone()));
    }
    let mut held = [0; CLIENTS];
    let mut failed = Vec::new();
    for rotation in 1..=ROTATIONS {
        let rotated = site.rotate(&function);
        tokio::pin!(rotated);
        loop {
            tokio::select! {
                done = &mut rotated => break done.unwrap(),
                Some((_, _, error)) = told.recv() => failed.extend(error),
            }
        }
        secrets.push(site.current().await);
        publish.send_replace((rotation, secrets[rotation].clone()));
        // Each client has the new one before the next rotation, and not all of them at once.
        while held.iter().any(|version| *version != rotation) {
            let (id, version, error) = told.recv().await.unwrap();
            held[id] = version;
            failed.extend(error);
        }
    }
    assert_eq!(failed, [""; 0], "of {} logins", logins.load(Ordering::Relaxed));
    assert!(logins.load(Ordering::Relaxed) > ROTATIONS * 10, "{}", logins.load(Ordering::Relaxed));
    assert_eq!(secrets[1].username, "app_clone");
    assert_eq!(secrets[ROTATIONS].username, "app");
    assert!(site.works(&site.read("AWSPREVIOUS").await).await, "the former pair is valid until the next rotation");
    assert!(!site.works(&secrets[ROTATIONS - 2]).await, "the one before it is not");
    eprintln!("{} logins during {ROTATIONS} rotations", logins.load(Ordering::Relaxed));

    let (function, server) = (function.kill().await, site.postgres.log());
    assert!(function.contains("FinishSecret of arn:"), "{function}");
    assert!(server.contains("ALTER ROLE app_clone LOGIN PASSWORD 'SCRAM-SHA-256$4096:"), "the server logs statements");
    // The first one is of the test itself.
    for password in secrets.iter().skip(1).map(|one| one.password.reveal()).chain([MASTER_PASSWORD]) {
        assert!(!function.contains(password) && !server.contains(password), "a password is in a log");
    }
}

/// With one user there is a gap: what was current is refused from the second step until a client has the new one.
#[tokio::test]
async fn one_user_has_a_gap() {
    let Some(site) = Site::start(Strategy::SingleUser).await else { return };
    let function = site.function().await;
    let first = site.current().await;
    let token = site.begin().await;
    site.step(&function, STEPS[0], &token).await.unwrap();
    assert!(site.works(&first).await);
    let begins = Instant::now();
    site.step(&function, STEPS[1], &token).await.unwrap();
    assert!(!site.works(&first).await, "the gap begins");
    assert!(site.works(&site.read("AWSPENDING").await).await);
    site.steps(&function, 2, &token).await.unwrap();
    eprintln!("one user's former password is refused for {:?} before the new one is current", begins.elapsed());
    let second = site.current().await;
    assert!(site.works(&second).await, "the gap ends for whoever reads the secret again");
    assert_eq!((second.username.as_str(), second.password == first.password), ("app", false));
    for _ in 0..3 {
        site.rotate(&function).await.unwrap();
        assert!(site.works(&site.current().await).await);
    }
    // A rotation that ended after its second step is given up: the database has a password that no stage names.
    let token = site.begin().await;
    site.step(&function, STEPS[0], &token).await.unwrap();
    site.step(&function, STEPS[1], &token).await.unwrap();
    site.steps(&function, 2, &token).await.unwrap();
    assert!(site.works(&site.current().await).await);
}
