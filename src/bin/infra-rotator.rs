//! The Lambda functions that rotate credentials of databases, and that roll the services which use them: see
//! `infra::rotation`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use infra::aws::Aws;
use infra::rotation::database::Database;
use infra::rotation::roll::{self, Place};
use infra::rotation::{Rotation, Settings, rotate, variables};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use tokio::time::Instant;

/// What is left of a function's time for its last words.
const SPARE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let region = std::env::var("AWS_REGION").context("AWS_REGION is not set: this is a Lambda function")?;
    let aws = Arc::new(Aws::connect(&region).await);
    if let Some(place) = Place::of_function()? {
        // Whatever the event says, all that is behind is rolled.
        let handle = async |event: LambdaEvent<Value>| {
            let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
            let until = Instant::now() + left.saturating_sub(SPARE);
            told(roll::roll(&aws, &place, until, |line| println!("{line}")).await)
        };
        return run(service_fn(handle)).await;
    }
    let (database, settings) = (Database::new()?, settings());
    let handle = async |event: LambdaEvent<Rotation>| {
        let Rotation { step, secret_id, client_request_token, .. } = &event.payload;
        println!("{step:?} of {secret_id}, version {client_request_token}");
        told(rotate(&aws, &database, &event.payload, &settings).await)
    };
    run(service_fn(handle)).await
}

fn settings() -> Settings {
    let rolls = std::env::var(variables::ROLLS).is_ok_and(|rolls| rolls == "true");
    Settings { rolls, makes: std::env::var(variables::MAKES).ok() }
}

/// Ends a call with a line in the log.
fn told(done: Result<()>) -> Result<(), Error> {
    println!("{}", done.as_ref().map_or_else(|error| format!("failed: {error:#}"), |()| "done".to_owned()));
    done.map_err(|error| Error::from(format!("{error:#}")))
}
