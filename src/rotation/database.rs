//! The database's side: logins, and passwords of users. The server itself quotes every name (`format('%I', ...)`), and
//! passwords are sent as verifiers (SCRAM), so that no log of statements can hold one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use postgres_protocol::password::scram_sha_256;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::credentials::{Credentials, Pair, Password};

/// The authorities of Amazon RDS in all regions.
const AUTHORITIES: &[u8] = include_bytes!("rds-ca.pem");
/// A file of other authorities, for databases that are not of RDS.
const OTHER_AUTHORITIES: &str = "INFRA_DATABASE_CA";
/// How long a login and a statement may take: Lambda ends the whole function after 30 s.
const LOGIN: Duration = Duration::from_secs(5);
const STATEMENT: Duration = Duration::from_secs(15);

/// How databases are reached: over TLS, of which the certificate and the name in it are checked.
#[derive(Clone)]
pub struct Database {
    tls: MakeRustlsConnect,
}

/// A login.
pub struct Session {
    client: Client,
}

impl Database {
    /// Trusts the authorities of RDS, or those in the file that the environment names.
    pub fn new() -> Result<Self> {
        match std::env::var_os(OTHER_AUTHORITIES) {
            Some(path) => {
                let path = std::path::PathBuf::from(path);
                Self::trusting(&std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?)
            }
            None => Self::trusting(AUTHORITIES),
        }
    }

    /// Trusts these authorities.
    pub fn trusting(authorities: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            roots.add(certificate.context("an authority is no certificate")?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: MakeRustlsConnect::new(config) })
    }

    /// Logs in where `at` says.
    pub async fn login(&self, at: &Credentials, user: &str, password: &Password) -> Result<Session> {
        let mut config = Config::new();
        config.host(&at.host).port(at.port).dbname(&at.dbname).user(user).password(password.reveal());
        config.ssl_mode(SslMode::Require).connect_timeout(LOGIN).application_name("infra-rotator");
        let place = || format!("{user} cannot log in to {} at {}:{}", at.dbname, at.host, at.port);
        let login = timeout(LOGIN, config.connect(self.tls.clone())).await;
        let (client, connection) = login.with_context(place)?.map_err(cause).with_context(place)?;
        // It ends with its client.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Session { client })
    }
}

/// What the server said, without the library's own words before it.
fn cause(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(said) => anyhow::anyhow!("{} ({})", said.message(), said.code().code()),
        None => error.into(),
    }
}

impl Session {
    /// The login itself.
    #[must_use]
    pub fn into_client(self) -> Client {
        self.client
    }

    /// Whose rights the login has.
    pub async fn acts_as(&self) -> Result<String> {
        let row = self.client.query_one("SELECT current_user::text", &[]).await.map_err(cause)?;
        Ok(row.try_get(0)?)
    }

    /// The user's own password.
    pub async fn set_own_password(&mut self, password: &Password) -> Result<()> {
        let verifier = scram_sha_256(password.reveal().as_bytes());
        self.within(async |transaction| {
            let user: String =
                transaction.query_one("SELECT session_user::text", &[]).await.map_err(cause)?.try_get(0)?;
            lock(transaction, &user).await?;
            run(transaction, "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", &[&user, &verifier])
                .await
        })
        .await
    }

    /// The password of one of two users that alternate, by the master user. The clone is made where it is missing, and
    /// brought to what its base is.
    pub async fn set_password_of(&mut self, pair: &Pair, user: &str, password: &Password) -> Result<()> {
        let verifier = scram_sha_256(password.reveal().as_bytes());
        let Pair { base, clone } = pair;
        self.within(async |transaction| {
            lock(transaction, base).await?;
            if !exists(transaction, base).await? {
                bail!("the database has no user {base}, whose password is to rotate");
            }
            if user == clone {
                make_clone(transaction, base, clone).await.with_context(|| format!("{clone} cannot be like {base}"))?;
            }
            let password =
                "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L VALID UNTIL %L', $1::text, $2::text, 'infinity')";
            run(transaction, password, &[&user, &verifier]).await
        })
        .await
        .with_context(|| format!("the password of {user} was not changed"))
    }

    /// Makes the first of two users that alternate, who may use the database and make tables in it. Says no where either
    /// is there already.
    pub async fn make_user(&mut self, pair: &Pair, password: &Password) -> Result<bool> {
        let verifier = scram_sha_256(password.reveal().as_bytes());
        let Pair { base, clone } = pair;
        self.within(async |transaction| {
            lock(transaction, base).await?;
            if exists(transaction, base).await? || exists(transaction, clone).await? {
                return Ok(false);
            }
            for writing in NEW_USER {
                run(transaction, writing, &[base, &verifier]).await?;
            }
            Ok(true)
        })
        .await
        .with_context(|| format!("the user {base} was not made"))
    }

    /// All of it, or nothing.
    async fn within<T>(&mut self, work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let all = async {
            let transaction = self.client.transaction().await.map_err(cause)?;
            transaction.batch_execute(OWN_NAMES).await.map_err(cause)?;
            let done = work(&transaction).await?;
            transaction.commit().await.map_err(cause)?;
            Ok(done)
        };
        timeout(STATEMENT, all).await.context("the database did not answer in time")?
    }
}

/// Two calls for the same step wait for each other.
async fn lock(transaction: &Transaction<'_>, base: &str) -> Result<()> {
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('infra-rotator ' || $1, 0))";
    transaction.execute(lock, &[&base]).await.map(drop).map_err(cause)
}

/// `$1` is the name, `$2` the password. A parameter that a statement does not use has no type by itself.
const NEW_USER: [&str; 3] = [
    "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)",
    "SELECT format('GRANT ALL ON DATABASE %I TO %I', current_database(), $1::text) WHERE $2::text <> ''",
    "SELECT format('GRANT ALL ON SCHEMA public TO %I', $1::text) WHERE $2::text <> ''",
];

type Given<'a> = &'a [&'a (dyn tokio_postgres::types::ToSql + Sync)];

/// Lets the server write statements, of which it quotes each part, and runs them.
async fn run(transaction: &Transaction<'_>, writing: &str, given: Given<'_>) -> Result<()> {
    for row in transaction.query(writing, given).await.map_err(cause)? {
        let statement: String = row.try_get(0)?;
        transaction.batch_execute(&statement).await.map_err(cause)?;
    }
    Ok(())
}

async fn exists(transaction: &Transaction<'_>, user: &str) -> Result<bool> {
    let found = transaction.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&user]).await.map_err(cause)?;
    Ok(found.is_some())
}

/// The clone is a member of its base and acts as it from its login on: what it makes is its base's, and whatever its
/// base may do, now or later, it may do too. What a login takes from the user's name itself is copied.
async fn make_clone(transaction: &Transaction<'_>, base: &str, clone: &str) -> Result<()> {
    if !exists(transaction, clone).await? {
        run(transaction, "SELECT format('CREATE ROLE %I', $1::text)", &[&clone]).await?;
    }
    run(transaction, "SELECT format('GRANT %I TO %I', $1::text, $2::text)", &[&base, &clone]).await?;
    run(transaction, ATTRIBUTES, &[&base, &clone]).await?;
    run(transaction, RESETS, &[&clone]).await?;
    copy_settings(transaction, base, clone).await?;
    run(transaction, "SELECT format('ALTER ROLE %I SET role TO %L', $2::text, $1::text)", &[&base, &clone]).await
}

/// Those that differ, since changing some needs more rights than a master user of RDS has.
const ATTRIBUTES: &str = "
SELECT format('ALTER ROLE %I %s', clone.rolname, attribute)
FROM pg_roles base, pg_roles clone, LATERAL (VALUES
    (base.rolinherit, clone.rolinherit, 'INHERIT', 'NOINHERIT'),
    (base.rolcreatedb, clone.rolcreatedb, 'CREATEDB', 'NOCREATEDB'),
    (base.rolcreaterole, clone.rolcreaterole, 'CREATEROLE', 'NOCREATEROLE'),
    (base.rolreplication, clone.rolreplication, 'REPLICATION', 'NOREPLICATION'),
    (base.rolbypassrls, clone.rolbypassrls, 'BYPASSRLS', 'NOBYPASSRLS'),
    (true, base.rolconnlimit = clone.rolconnlimit, 'CONNECTION LIMIT ' || base.rolconnlimit, '')
) AS each (wanted, there, granted, refused),
LATERAL (SELECT CASE WHEN wanted THEN granted ELSE refused END) AS chosen (attribute)
WHERE base.rolname = $1 AND clone.rolname = $2 AND wanted <> there";

const RESETS: &str = "
SELECT format('ALTER ROLE %I %s RESET ALL', role.rolname,
    CASE WHEN setting.setdatabase = 0 THEN '' ELSE format('IN DATABASE %I', place.datname) END)
FROM pg_db_role_setting setting
JOIN pg_roles role ON role.oid = setting.setrole
LEFT JOIN pg_database place ON place.oid = setting.setdatabase
WHERE role.rolname = $1";

/// Of each setting of a user: its name and value, and the statements that give it to another: with the value as one
/// text, and with the value that the transaction has.
const SETTINGS: &str = "
SELECT name, value,
    format('ALTER ROLE %I %s SET %I TO %L', $2::text, place, name, value),
    format('ALTER ROLE %I %s SET %I FROM CURRENT', $2::text, place, name)
FROM pg_db_role_setting setting
JOIN pg_roles role ON role.oid = setting.setrole
LEFT JOIN pg_database database ON database.oid = setting.setdatabase
CROSS JOIN unnest(setting.setconfig) AS line,
LATERAL (SELECT split_part(line, '=', 1), substr(line, strpos(line, '=') + 1),
    CASE WHEN setting.setdatabase = 0 THEN '' ELSE format('IN DATABASE %I', database.datname) END
) AS parts (name, value, place)
WHERE role.rolname = $1 AND name <> 'role'";

/// Settings that are lists of names. Their text cannot be quoted as one, and is the user's own, so that it is no part
/// of a statement either: the server reads it as a value.
const LISTS: [&str; 2] = ["search_path", "temp_tablespaces"];

/// Names that a statement leaves open mean the server's own, whatever a user's `search_path` says.
const OWN_NAMES: &str = "SET LOCAL search_path TO pg_catalog";

async fn copy_settings(transaction: &Transaction<'_>, from: &str, to: &str) -> Result<()> {
    for row in transaction.query(SETTINGS, &[&from, &to]).await.map_err(cause)? {
        let (name, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let is_list = LISTS.contains(&name.as_str());
        if is_list {
            transaction.execute("SELECT set_config($1, $2, true)", &[&name, &value]).await.map_err(cause)?;
        }
        let statement: String = row.try_get(if is_list { 3 } else { 2 })?;
        transaction.batch_execute(&statement).await.map_err(cause).with_context(|| format!("its setting {name}"))?;
        if is_list {
            transaction.batch_execute(OWN_NAMES).await.map_err(cause)?;
        }
    }
    Ok(())
}
