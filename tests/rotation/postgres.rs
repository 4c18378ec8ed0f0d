//! A real PostgreSQL that speaks TLS only.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use infra::rotation::credentials::{Credentials, Password};
use infra::rotation::database::Database;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Map;
use tokio_postgres::Client;

pub const MASTER: &str = "master";
pub const MASTER_PASSWORD: &str = "m4ster-of-all-databases";
/// Who runs it where the tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65534;

pub struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    server: Option<Child>,
    /// Its address, which is also the name in its certificate.
    pub host: String,
    pub port: u16,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Postgres {
    /// Nothing where the program is not installed, of which a line tells.
    pub async fn start() -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::at("127.0.0.1".to_owned(), port).await
    }

    /// One at the port that databases of RDS have.
    pub async fn at_its_own_port() -> Option<Self> {
        let [one, other] = rand::random::<[u8; 2]>();
        Self::at(format!("127.77.{one}.{}", other.clamp(1, 254)), 5432).await
    }

    async fn at(host: String, port: u16) -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("skipped: PostgreSQL is not installed (Debian: postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut postgres = Self { folder, programs, server: None, host, port };
        certificates(postgres.folder.path(), &postgres.host);
        fs::write(postgres.path("password"), MASTER_PASSWORD).unwrap();
        for file in ["", "password", "server.pem", "server.key"] {
            if is_root() {
                chown(postgres.path(file), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let mut made = postgres.program("initdb");
        made.args(["--auth-host=scram-sha-256", "--auth-local=reject", "--no-sync", "--no-instructions"]);
        made.args(["--username", MASTER, "--pwfile"]).arg(postgres.path("password"));
        let made = made.arg("--pgdata").arg(postgres.path("data")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(postgres.path("data/pg_hba.conf"), "hostssl all all all scram-sha-256\n").unwrap();
        postgres.run().await;
        Some(postgres)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(self.folder.path()).env_clear().env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Runs the server, and waits until it takes logins.
    pub async fn run(&mut self) {
        let mut server = self.program("postgres");
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let settings = [
            format!("listen_addresses={}", self.host),
            format!("port={}", self.port),
            "unix_socket_directories=".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
            "max_connections=200".to_owned(),
            "fsync=off".to_owned(),
            "log_statement=all".to_owned(),
        ];
        for setting in settings {
            server.args(["-c", &setting]);
        }
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        self.server = Some(server.arg("-D").arg(self.path("data")).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let mut tries = tokio::time::interval(std::time::Duration::from_millis(50));
        for _ in 0..200 {
            tries.tick().await;
            if self.login(MASTER, MASTER_PASSWORD).await.is_ok() {
                return;
            }
        }
        panic!("{}", self.log());
    }

    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    pub fn database(&self) -> Database {
        Database::trusting(&fs::read(self.authority()).unwrap()).unwrap()
    }

    pub fn credentials(&self, username: &str, password: &str) -> Credentials {
        Credentials {
            engine: "postgres".into(),
            host: self.host.clone(),
            port: self.port,
            dbname: "postgres".into(),
            username: username.into(),
            password: Password::new(password),
            masterarn: None,
            others: Map::new(),
        }
    }

    async fn login(&self, user: &str, password: &str) -> anyhow::Result<()> {
        let at = self.credentials(user, password);
        self.database().login(&at, &at.username, &at.password).await.map(drop)
    }

    /// A session of the master user's, for whatever a test wants to do or see.
    pub async fn master(&self) -> Client {
        let at = self.credentials(MASTER, MASTER_PASSWORD);
        self.database().login(&at, &at.username, &at.password).await.unwrap().into_client()
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The folder of PostgreSQL's programs: on the path, or where Debian puts them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(debian.map(|version| version.path().join("bin")));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// An authority, and a certificate of it for one host.
fn certificates(folder: &Path, host: &str) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("server.pem"), server.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}
