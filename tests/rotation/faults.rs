//! What can go wrong in a rotation. Whatever does: the current credentials work, and the next rotation heals.

use futures::future::join;
use serde_json::json;

use crate::postgres::MASTER;
use crate::proxy::{ANY_CALL, Proxy, StopAt};
use crate::site::{STEPS, Site, Strategy};

const BOTH: [Strategy; 2] = [Strategy::AlternatingUsers, Strategy::SingleUser];

#[tokio::test]
async fn each_step_again_and_twice_at_once() {
    for strategy in BOTH {
        let Some(site) = Site::start(strategy).await else { return };
        let (one, other) = (site.function().await, site.function().await);
        for _ in 0..4 {
            let token = site.begin().await;
            for step in STEPS {
                let both = join(site.step(&one, step, &token), site.step(&other, step, &token)).await;
                assert_eq!(both, (Ok(()), Ok(())), "{strategy:?} {step}");
                site.step(&one, step, &token).await.unwrap();
            }
            // All of it once more, when it is done.
            site.steps(&other, 0, &token).await.unwrap();
            assert_eq!(site.current_version().await, token);
            assert!(site.works(&site.current().await).await, "{strategy:?}");
        }
    }
}

/// Killed at each call to Secrets Manager, before and after it was executed.
#[tokio::test]
async fn killed_in_the_middle() {
    for strategy in BOTH {
        let Some(site) = Site::start(strategy).await else { return };
        for (at, step) in STEPS.iter().enumerate() {
            for executed in [false, true] {
                for nth in 1.. {
                    let token = site.begin().await;
                    let function = site.function().await;
                    for step in &STEPS[..at] {
                        site.step(&function, step, &token).await.unwrap();
                    }
                    let stop = StopAt { operation: ANY_CALL, nth, executed };
                    let proxy = Proxy::start(&site.emulator.variables["AWS_ENDPOINT_URL"], Some(stop)).await;
                    let victim = site.function_at(&proxy.endpoint, &[]).await;
                    let survived = tokio::select! {
                        done = site.step(&victim, step, &token) => { done.unwrap(); true }
                        () = proxy.stopped.notified() => { victim.kill().await; false }
                    };
                    let context = format!("{strategy:?} {step} call {nth} {executed}");
                    let current = site.current().await;
                    // With one user, what the database has is current or about to become so.
                    let works = site.works(&current).await;
                    assert!(works || strategy == Strategy::SingleUser && at > 0, "{context}");
                    site.steps(&function, at, &token).await.unwrap_or_else(|error| panic!("{context}: {error}"));
                    assert!(site.works(&site.current().await).await, "{context}");
                    if survived {
                        break;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let Some(mut site) = Site::start(Strategy::AlternatingUsers).await else { return };
    let function = site.function().await;
    site.rotate(&function).await.unwrap();
    let before = site.current().await;

    // Steps out of order.
    let token = site.begin().await;
    for step in &STEPS[1..3] {
        let said = site.step(&function, step, &token).await.unwrap_err();
        assert!(said.contains("the step createSecret has not been done"), "{said}");
    }
    // A version that is not of a rotation.
    let said = site.step(&function, STEPS[0], "11111111-1111-1111-1111-111111111111").await.unwrap_err();
    assert!(said.contains("has no version 11111111"), "{said}");
    site.step(&function, STEPS[0], &token).await.unwrap();

    // The database is down.
    site.postgres.stop();
    let said = site.step(&function, STEPS[1], &token).await.unwrap_err();
    assert!(said.contains("cannot log in to postgres at 127.0.0.1:"), "{said}");
    site.postgres.run().await;

    // The master's password is another one.
    let master = json!({ "username": MASTER, "password": "wrong" });
    site.put(&site.master, &master).await;
    let said = site.step(&function, STEPS[1], &token).await.unwrap_err();
    assert!(said.contains("master cannot log in") && said.contains("password authentication failed"), "{said}");
    assert!(site.works(&before).await);
    let master = json!({ "username": MASTER, "password": crate::postgres::MASTER_PASSWORD });
    site.put(&site.master, &master).await;

    // The pending version is gone.
    site.give_up(&token).await;
    let said = site.step(&function, STEPS[1], &token).await.unwrap_err();
    assert!(said.contains("is not staged AWSPENDING") || said.contains("has no version"), "{said}");
    assert!(site.works(&before).await);

    // The next rotation heals.
    site.rotate(&function).await.unwrap();
    assert!(site.works(&site.current().await).await);
    assert!(site.works(&before).await, "what was current is valid until the next one");
}

/// Whoever may write the secret cannot have another's password changed.
#[tokio::test]
async fn a_secret_that_names_somebody_else() {
    let Some(site) = Site::start(Strategy::AlternatingUsers).await else { return };
    let function = site.function().await;
    let mut stolen = serde_json::to_value(site.current().await).unwrap();
    stolen["username"] = "master".into();
    site.put(&site.secret, &stolen).await;
    let token = site.begin().await;
    site.step(&function, STEPS[0], &token).await.unwrap();
    let said = site.step(&function, STEPS[1], &token).await.unwrap_err();
    assert!(said.contains("the current credentials are refused; nothing was changed"), "{said}");
    drop(site.postgres.master().await);
}

/// A pair that a service may still use is not overwritten.
#[tokio::test]
async fn services_that_are_behind_stop_a_rotation() {
    let Some(site) = Site::start(Strategy::AlternatingUsers).await else { return };
    let function = site.function_at(&site.emulator.variables["AWS_ENDPOINT_URL"], &[("INFRA_ROLLS", "true")]).await;
    site.rotate(&function).await.expect("the clone is nobody's yet");
    let token = site.begin().await;
    let said = site.step(&function, STEPS[0], &token).await.unwrap_err();
    assert!(said.contains("services may still log in as app,"), "{said}");
    assert!(site.works(&site.read("AWSPREVIOUS").await).await && site.works(&site.current().await).await);
    site.tag("infra:rolled", &site.current_version().await).await;
    site.steps(&function, 0, &token).await.unwrap();
}
