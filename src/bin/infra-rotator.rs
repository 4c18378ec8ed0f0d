//! The Lambda function that rotates credentials of databases: see `infra::rotation`.

use anyhow::Context as _;
use infra::aws::Aws;
use infra::rotation::database::Database;
use infra::rotation::{Rotation, rotate};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

/// Set where services are rolled to each new version.
const ROLLS: &str = "INFRA_ROLLS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let region = std::env::var("AWS_REGION").context("AWS_REGION is not set: this is a Lambda function")?;
    let (aws, database) = (Aws::connect(&region).await, Database::new()?);
    let rolls = std::env::var_os(ROLLS).is_some();
    let handle = async |event: LambdaEvent<Rotation>| {
        let Rotation { step, secret_id, client_request_token, .. } = &event.payload;
        let done = rotate(aws.secrets(), &database, &event.payload, rolls).await;
        let outcome = done.as_ref().map_or_else(|error| format!("{error:#}"), |()| "done".to_owned());
        println!("{step:?} of {secret_id}, version {client_request_token}: {outcome}");
        done.map_err(|error| Error::from(format!("{error:#}")))
    };
    run(service_fn(handle)).await
}
