//! The four steps of a rotation, each of which may be called again at any time.

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use serde::Deserialize;

use super::credentials::{Credentials, Login, Pair, Password};
use super::database::Database;
use super::{CURRENT, PENDING, PREVIOUS, ROLLED, stages};
use crate::aws::Aws;
use crate::kind::Class;

/// Characters of a new password, without those that databases refuse or that a URL cannot hold as they are.
const LENGTH: i64 = 32;
/// What has it all in one, and is written anew with each password.
const URL: &str = "url";
const FORBIDDEN: &str = "/@\"'\\:%?#&=+ ;<>[]{}|^`$!,()*~";

/// What Secrets Manager calls the function with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rotation {
    pub step: Step,
    /// The ARN.
    pub secret_id: String,
    /// The version that this rotation makes.
    pub client_request_token: String,
    pub rotation_token: Option<RotationToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    CreateSecret,
    SetSecret,
    TestSecret,
    FinishSecret,
}

/// What proves to Secrets Manager that a value is of its own rotation.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct RotationToken(String);

impl fmt::Debug for RotationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A secret, looked at for one step.
struct Secret<'a> {
    aws: &'a Aws,
    event: &'a Rotation,
    described: DescribeSecretOutput,
}

/// What whoever deploys the function decides.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether services that use the secret are rolled after a rotation. Then nothing is overwritten that one of them may
    /// still log in with.
    pub rolls: bool,
    /// The user to make where the database has none of that name. A secret cannot choose it.
    pub makes: Option<String>,
}

/// Does one step of a rotation.
pub async fn rotate(aws: &Aws, database: &Database, event: &Rotation, settings: &Settings) -> Result<()> {
    let Some(secret) = Secret::look(aws, event).await? else { return Ok(()) };
    match event.step {
        Step::CreateSecret => secret.create(settings.rolls).await,
        Step::SetSecret => secret.set(database, settings.makes.as_deref()).await,
        Step::TestSecret => secret.test(database).await,
        Step::FinishSecret => secret.finish().await,
    }
    .with_context(|| format!("{:?} of {}", event.step, event.secret_id))
}

impl<'a> Secret<'a> {
    /// Nothing where the rotation is done already.
    async fn look(aws: &'a Aws, event: &'a Rotation) -> Result<Option<Self>> {
        let (id, token) = (&event.secret_id, &event.client_request_token);
        let request = aws.secrets().describe_secret().secret_id(id);
        let described = aws.call("secretsmanager:DescribeSecret", request.send()).await?;
        ensure!(described.rotation_enabled() == Some(true), "{id} does not rotate");
        if stages::version(&described, CURRENT) == Some(token) {
            return Ok(None);
        }
        let known = described.version_ids_to_stages().is_some_and(|versions| versions.contains_key(token));
        ensure!(known, "{id} has no version {token}");
        let pending = stages::version(&described, PENDING) == Some(token);
        ensure!(pending, "the version {token} of {id} is not staged {PENDING}");
        Ok(Some(Self { aws, event, described }))
    }

    async fn create(&self, rolls: bool) -> Result<()> {
        let current = self.current().await?;
        if self.pending().await?.is_some() {
            return Ok(());
        }
        let username = Self::next_user(&current)?;
        if rolls && self.is_in_use(&username).await? {
            bail!(
                "services may still log in as {username}, whose password this would change: they have not all been \
                 rolled to the current version yet. The next rotation tries again; `infra secrets status` says who is behind"
            );
        }
        let request = self.aws.secrets().get_random_password();
        let request = request.password_length(LENGTH).exclude_characters(FORBIDDEN);
        let made = self.aws.call("secretsmanager:GetRandomPassword", request.send()).await?;
        let password = Password::new(made.random_password.context("GetRandomPassword answered without one")?);
        let mut next = Credentials { username, password, ..current };
        next.others.insert(URL.to_owned(), next.url().into());
        let token = &self.event.client_request_token;
        let request = self.aws.secrets().put_secret_value().secret_id(&self.event.secret_id);
        let request = request.client_request_token(token);
        let request = request.version_stages(PENDING).secret_string(serde_json::to_string(&next)?);
        let proof = self.event.rotation_token.as_ref().map(|token| token.0.clone());
        match self.aws.call("secretsmanager:PutSecretValue", request.set_rotation_token(proof).send()).await {
            // Another call for the same step was first: its value counts.
            Err(failure) if failure.code == "ResourceExistsException" => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    async fn set(&self, database: &Database, makes: Option<&str>) -> Result<()> {
        let (current, pending) = (self.current().await?, self.made().await?);
        ensure!(
            (&pending.host, pending.port, &pending.dbname) == (&current.host, current.port, &current.dbname),
            "the pending version is of another database than the current one"
        );
        ensure!(
            pending.username == Self::next_user(&current)?,
            "the pending version is of the user {}",
            pending.username
        );
        if is_set(database, &pending).await {
            return Ok(());
        }
        // Whoever may write the secret could name any user in it; only who can log in gets another password.
        let own = database.login(&current, &current.username, &current.password).await;
        let Some(master) = &current.masterarn else {
            let mut own = match own {
                Ok(own) => own,
                // A rotation that ended in the middle has changed the password, and its version was given up.
                Err(error) => match self.log_in_with_previous(database, &current).await {
                    Ok(former) => former,
                    // Another call for the same step was faster.
                    Err(_) if is_set(database, &pending).await => return Ok(()),
                    Err(_) => return Err(error),
                },
            };
            return own.set_own_password(&pending.password).await;
        };
        let pair = Pair::of(&current.username).map_err(anyhow::Error::msg)?;
        let refused = "the current credentials are refused; nothing was changed";
        let own = match own {
            Err(error) if makes != Some(&current.username) => return Err(error.context(refused)),
            own => own,
        };
        let login: Login = self.read(master, CURRENT, None).await?.with_context(|| format!("{master} has no value"))?;
        let mut session = database.login(&current, &login.username, &login.password).await?;
        if let Err(error) = own
            && !session.make_user(&pair, &current.password).await?
            // Unless another call for the same step has made it meanwhile.
            && !is_set(database, &current).await
        {
            return Err(error.context(refused));
        }
        session.set_password_of(&pair, &pending.username, &pending.password).await
    }

    async fn test(&self, database: &Database) -> Result<()> {
        let pending = self.made().await?;
        let session = database.login(&pending, &pending.username, &pending.password).await?;
        let wanted = match pending.masterarn {
            Some(_) => Pair::of(&pending.username).map_err(anyhow::Error::msg)?.base,
            None => pending.username,
        };
        let acts_as = session.acts_as().await?;
        ensure!(acts_as == wanted, "the new login acts as {acts_as}, not as {wanted}");
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        let request = self.aws.secrets().update_secret_version_stage().secret_id(&self.event.secret_id);
        let request = request.version_stage(CURRENT).move_to_version_id(&self.event.client_request_token);
        let request = request.set_remove_from_version_id(self.version(CURRENT).map(str::to_owned));
        let moved = self.aws.call("secretsmanager:UpdateSecretVersionStage", request.send()).await;
        let Err(failure) = moved else { return Ok(()) };
        // Another call for the same step may have been first.
        match Self::look(self.aws, self.event).await? {
            None => Ok(()),
            Some(_) => Err(failure.into()),
        }
    }

    /// The user of the next version: the other one of two, where a master user changes passwords.
    fn next_user(current: &Credentials) -> Result<String> {
        match current.masterarn {
            Some(_) => {
                let pair = Pair::of(&current.username).map_err(anyhow::Error::msg)?;
                Ok(pair.other(&current.username).to_owned())
            }
            None => Ok(current.username.clone()),
        }
    }

    /// Whether a service may still use the former version, which is of this user.
    async fn is_in_use(&self, user: &str) -> Result<bool> {
        if self.version(PREVIOUS).is_none() || stages::tag(&self.described, ROLLED) == self.version(CURRENT) {
            return Ok(false);
        }
        let previous: Option<Credentials> = self.read(&self.event.secret_id, PREVIOUS, None).await?;
        Ok(previous.is_some_and(|previous| previous.username == user))
    }

    async fn log_in_with_previous(&self, database: &Database, at: &Credentials) -> Result<super::database::Session> {
        let previous: Option<Credentials> = self.read(&self.event.secret_id, PREVIOUS, None).await?;
        let previous =
            previous.filter(|previous| previous.username == at.username).context("there is no former version")?;
        database.login(at, &previous.username, &previous.password).await
    }

    fn version(&self, stage: &str) -> Option<&str> {
        stages::version(&self.described, stage)
    }

    async fn current(&self) -> Result<Credentials> {
        let found: Option<Credentials> = self.read(&self.event.secret_id, CURRENT, None).await?;
        let found = found.context("the secret has no current value")?;
        ensure!(found.engine == "postgres", "credentials of {} cannot rotate, those of postgres can", found.engine);
        Ok(found)
    }

    async fn pending(&self) -> Result<Option<Credentials>> {
        self.read(&self.event.secret_id, PENDING, Some(&self.event.client_request_token)).await
    }

    async fn made(&self) -> Result<Credentials> {
        self.pending().await?.context("the pending version has no value: the step createSecret has not been done")
    }

    /// Nothing where there is no such version.
    async fn read<T: for<'de> Deserialize<'de>>(
        &self,
        id: &str,
        stage: &str,
        version: Option<&str>,
    ) -> Result<Option<T>> {
        let request = self.aws.secrets().get_secret_value().secret_id(id).version_stage(stage);
        let request = request.set_version_id(version.map(str::to_owned));
        match self.aws.call("secretsmanager:GetSecretValue", request.send()).await {
            Ok(found) => {
                let text = found.secret_string.with_context(|| format!("{id} holds no text"))?;
                // What serde says of a text that it cannot read may quote it.
                let read = serde_json::from_str(&text);
                read.map(Some).map_err(|error| {
                    let place = (error.line(), error.column());
                    anyhow::anyhow!(
                        "{id} ({stage}) does not hold the credentials of a database: see line {}, column {}",
                        place.0,
                        place.1
                    )
                })
            }
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// Whether one can log in so.
async fn is_set(database: &Database, credentials: &Credentials) -> bool {
    database.login(credentials, &credentials.username, &credentials.password).await.is_ok()
}
