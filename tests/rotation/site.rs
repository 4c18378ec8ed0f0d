//! A database, Secrets Manager, and the function between them.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::sync::Arc;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionCode, Runtime};
use aws_sdk_secretsmanager::types::{RotationRulesType, Tag};
use infra::aws::Aws;
use infra::rotation::credentials::Credentials;
use serde_json::{Value as Json, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::lambda::Function;
use crate::postgres::{MASTER, MASTER_PASSWORD, Postgres};
use crate::support::{Emulator, REGION};

pub const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];
const USER_PASSWORD: &str = "first-password-of-the-app";

/// How a user's password changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    AlternatingUsers,
    SingleUser,
}

pub struct Site {
    pub postgres: Postgres,
    pub emulator: Emulator,
    pub aws: Arc<Aws>,
    pub secret: String,
    pub master: String,
    /// The ARN of the function that Secrets Manager calls, which does nothing: the steps are the test's to call.
    nobody: String,
}

impl Site {
    /// A database with the user `app`, whose secret rotates. Nothing where PostgreSQL is not installed.
    pub async fn start(strategy: Strategy) -> Option<Self> {
        let postgres = Postgres::start().await?;
        let create = format!("CREATE ROLE app LOGIN PASSWORD '{USER_PASSWORD}'; GRANT CREATE ON SCHEMA public TO app");
        postgres.master().await.batch_execute(&create).await.unwrap();
        let emulator = Emulator::with_data_plane().await;
        let aws = emulator.aws().await;
        let master = json!({ "username": MASTER, "password": MASTER_PASSWORD });
        let master = create_secret(&aws, "master", &master).await;
        let mut credentials = postgres.credentials("app", USER_PASSWORD);
        credentials.masterarn = (strategy == Strategy::AlternatingUsers).then(|| master.clone());
        let secret = create_secret(&aws, "app", &serde_json::to_value(credentials).unwrap()).await;
        let nobody = function_that_fails(&aws).await;
        Some(Self { postgres, emulator, aws, secret, master, nobody })
    }

    /// The function, which reaches AWS at `endpoint`.
    pub async fn function_at(&self, endpoint: &str, more: &[(&str, &str)]) -> Function {
        let mut variables: BTreeMap<String, String> = self.emulator.variables.clone();
        variables.insert("AWS_ENDPOINT_URL".into(), endpoint.into());
        variables.insert("AWS_REGION".into(), REGION.into());
        variables.insert("INFRA_DATABASE_CA".into(), self.postgres.authority().display().to_string());
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Function::start(env!("CARGO_BIN_EXE_infra-rotator"), &variables).await
    }

    pub async fn function(&self) -> Function {
        self.function_at(&self.emulator.variables["AWS_ENDPOINT_URL"], &[]).await
    }

    /// What Secrets Manager does before it calls the function: a version without a value, staged as pending.
    pub async fn begin(&self) -> String {
        let rules = RotationRulesType::builder().automatically_after_days(30).build();
        let begun = self.aws.secrets().rotate_secret().secret_id(&self.secret).rotation_rules(rules);
        let begun = begun.rotation_lambda_arn(&self.nobody).send().await;
        begun.unwrap().version_id.unwrap()
    }

    pub fn event(&self, step: &str, token: &str) -> Json {
        json!({ "Step": step, "SecretId": self.secret, "ClientRequestToken": token })
    }

    /// Calls one step. The error is what the function says.
    pub async fn step(&self, function: &Function, step: &str, token: &str) -> Result<(), String> {
        match function.call(self.event(step, token)).await.expect("it runs") {
            Ok(_) => Ok(()),
            Err(said) => Err(said["errorMessage"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// The steps from a given one on.
    pub async fn steps(&self, function: &Function, from: usize, token: &str) -> Result<(), String> {
        for step in &STEPS[from..] {
            self.step(function, step, token).await?;
        }
        Ok(())
    }

    /// A whole rotation.
    pub async fn rotate(&self, function: &Function) -> Result<(), String> {
        let token = self.begin().await;
        self.steps(function, 0, &token).await
    }

    /// Gives a rotation up, as somebody must before the next one.
    pub async fn give_up(&self, token: &str) {
        let stage = self.aws.secrets().update_secret_version_stage().secret_id(&self.secret);
        stage.version_stage("AWSPENDING").remove_from_version_id(token).send().await.unwrap();
    }

    pub async fn read(&self, stage: &str) -> Credentials {
        let read = self.aws.secrets().get_secret_value().secret_id(&self.secret).version_stage(stage);
        serde_json::from_str(&read.send().await.unwrap().secret_string.unwrap()).unwrap()
    }

    pub async fn current(&self) -> Credentials {
        self.read("AWSCURRENT").await
    }

    pub async fn current_version(&self) -> String {
        let read = self.aws.secrets().get_secret_value().secret_id(&self.secret).send().await;
        read.unwrap().version_id.unwrap()
    }

    /// Whether a login works.
    pub async fn works(&self, credentials: &Credentials) -> bool {
        let Credentials { username, password, .. } = credentials;
        self.postgres.database().login(credentials, username, password).await.is_ok()
    }

    pub async fn tag(&self, key: &str, value: &str) {
        let tag = Tag::builder().key(key).value(value).build();
        self.aws.secrets().tag_resource().secret_id(&self.secret).tags(tag).send().await.unwrap();
    }

    pub async fn put(&self, id: &str, value: &Json) {
        let put = self.aws.secrets().put_secret_value().secret_id(id).secret_string(value.to_string());
        put.send().await.unwrap();
    }
}

async fn create_secret(aws: &Aws, name: &str, value: &Json) -> String {
    let made = aws.secrets().create_secret().name(name).secret_string(value.to_string()).send().await;
    made.unwrap().arn.unwrap()
}

async fn function_that_fails(aws: &Aws) -> String {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    archive.write_all(b"#!/bin/sh\nexit 1\n").unwrap();
    let code = FunctionCode::builder().zip_file(Blob::new(archive.finish().unwrap().into_inner())).build();
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": "lambda.amazonaws.com" },
    }] });
    let role = aws.iam().create_role().role_name("nobody").assume_role_policy_document(trust.to_string());
    let role = role.send().await.unwrap().role.unwrap().arn;
    let function = aws.lambda().create_function().function_name("nobody").code(code).role(role);
    let function = function.runtime(Runtime::Providedal2023).handler("bootstrap").send().await.unwrap();
    let permission = aws.lambda().add_permission().function_name("nobody").statement_id("rotation");
    let permission = permission.action("lambda:InvokeFunction").principal("secretsmanager.amazonaws.com");
    permission.send().await.unwrap();
    function.function_arn.unwrap()
}
