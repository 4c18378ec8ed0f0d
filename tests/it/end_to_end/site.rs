//! A folder of environment files, an emulator, and the binary between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock};

use infra::address::Address;
use infra::aws::{Aws, Memo};
use infra::kind::{Health, Live, Scope};
use infra::value::Fields;
use serde_json::Value as Json;
use tokio::process::Command;

use crate::support::{Emulator, REGION, Template};

pub const ACCOUNT: &str = "123456789012";
pub const PRODUCTION: &str = "production";

const CORE: &str = include_str!("core.yaml");

/// The binary, and beside it a program for Lambda that does nothing: the real one is large as tests build it, and nothing
/// runs it but in the tests of rotation.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("beside");
    std::fs::create_dir_all(&folder).expect("a folder");
    let place = |name: &str, make: &dyn Fn(&Path) -> std::io::Result<()>| {
        let new = folder.join(format!("{name}-{}", std::process::id()));
        make(&new).and_then(|()| std::fs::rename(&new, folder.join(name))).expect("a program");
    };
    place("infra", &|new| std::fs::hard_link(env!("CARGO_BIN_EXE_infra"), new));
    place("infra-rotator", &|new| std::fs::write(new, ELF));
    folder.join("infra")
});
/// The head of a program for Linux on `x86_64`, without any code.
const ELF: [u8; 64] = {
    let mut head = [0; 64];
    let known = [
        (0, 0x7f),
        (1, b'E'),
        (2, b'L'),
        (3, b'F'),
        (4, 2),
        (5, 1),
        (6, 1),
        (16, 2),
        (18, 0x3e),
        (20, 1),
        (52, 64),
        (54, 56),
        (58, 64),
    ];
    let mut at = 0;
    while at < known.len() {
        head[known[at].0] = known[at].1;
        at += 1;
    }
    head
};

pub struct Site {
    pub emulator: Emulator,
    pub aws: Arc<Aws>,
    folder: tempfile::TempDir,
}

/// What one run of the binary said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The run again, if it succeeded.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard error, if the run failed in the usual way.
    #[track_caller]
    pub fn refused(&self) -> &str {
        assert_eq!(self.code, Some(1), "{}\n{}", self.stdout, self.stderr);
        &self.stderr
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

impl Site {
    /// An empty account, and a folder with `environments/production.yaml`: a network, services and a database, which is
    /// enough to show what the engine does.
    pub async fn start() -> Self {
        let site = Self::on(Emulator::strict().await).await;
        site.write(PRODUCTION, CORE);
        site
    }

    /// A site without environments on this emulator.
    pub async fn on(emulator: Emulator) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("environments")).expect("a folder in it");
        let aws = emulator.aws().await;
        Self { emulator, aws, folder }
    }

    /// An empty account, and the environments of this repository.
    pub async fn of_this_repository() -> Self {
        let site = Self::start().await;
        for entry in std::fs::read_dir(repository().join("environments")).expect("environments") {
            let entry = entry.expect("a file");
            std::fs::copy(entry.path(), site.path("environments").join(entry.file_name())).expect("a copy");
        }
        site
    }

    /// A site on which production has been applied.
    pub async fn applied() -> Self {
        static APPLIED: Template = Template::new();
        let apply = async || {
            let site = Self::start().await;
            site.infra("apply production --yes").await.well();
            site.emulator
        };
        let site = Self::on(APPLIED.copy("", apply).await).await;
        site.write(PRODUCTION, CORE);
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, environment: &str) -> String {
        std::fs::read_to_string(self.path(&format!("environments/{environment}.yaml"))).expect("the file")
    }

    pub fn write(&self, environment: &str, text: &str) {
        std::fs::write(self.path(&format!("environments/{environment}.yaml")), text).expect("the file is written");
    }

    /// Replaces the only occurrence of `old` in the file of an environment.
    #[track_caller]
    pub fn edit(&self, environment: &str, old: &str, new: &str) {
        let text = self.read(environment);
        assert_eq!(text.matches(old).count(), 1, "{old:?} is there once");
        self.write(environment, &text.replace(old, new));
    }

    /// Runs the binary with these arguments, which hold no spaces.
    pub async fn infra(&self, arguments: &str) -> Ran {
        self.through(&self.emulator.variables["AWS_ENDPOINT_URL"], arguments).await
    }

    pub async fn through(&self, endpoint: &str, arguments: &str) -> Ran {
        let output = self.command(endpoint, arguments).output().await.expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The binary with an environment of its own: none of the caller's variables and none of their profiles.
    pub fn command(&self, endpoint: &str, arguments: &str) -> Command {
        let mut command = Command::new(&*PROGRAM);
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.folder.path()).env("USER", "tester");
        command.envs(&self.emulator.variables).env("AWS_ENDPOINT_URL", endpoint).kill_on_drop(true);
        command
    }

    /// The plan of an environment as JSON.
    pub async fn plan(&self, environment: &str) -> Json {
        self.infra(&format!("plan {environment} --format json")).await.well().json()
    }

    /// Asserts that nothing is left to do.
    pub async fn converged(&self, environment: &str) {
        let plan = self.infra(&format!("plan {environment} --detailed-exitcode")).await;
        assert_eq!(plan.code, Some(0), "{}\n{}", plan.stdout, plan.stderr);
    }

    /// Everything of ours that serves: neither gone nor waiting for its deletion.
    pub async fn live(&self, environment: &str) -> Vec<Live<Fields>> {
        let (scope, drivers) = (scope(environment), infra::kinds::drivers(&self.aws));
        let snapshot = self.emulator.at_once(infra::live::snapshot(&scope, &drivers)).await;
        let serves = |live: &Live<Fields>| !matches!(live.health, Health::Tombstone | Health::Restorable);
        snapshot.expect("all kinds can be read").live.into_iter().filter(serves).collect()
    }

    /// Ids by address.
    pub async fn ids(&self, environment: &str) -> BTreeMap<String, String> {
        self.live(environment).await.into_iter().map(|live| (live.identity.address.to_string(), live.id)).collect()
    }
}

/// Where all of an environment is found, whatever its file holds.
pub fn scope(environment: &str) -> Scope {
    Scope {
        project: "acme".into(),
        environment: environment.into(),
        account: ACCOUNT.into(),
        region: REGION.into(),
        partition: "aws".into(),
        wanted: [Address::new("kms_key", "main")].into(),
        names: BTreeMap::new(),
        regions: BTreeSet::new(),
        zones: BTreeSet::new(),
        adopting: false,
        memo: Memo::default(),
    }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The steps of a plan as `action address`.
pub fn steps(plan: &Json) -> Vec<String> {
    let steps = plan["steps"].as_array().expect("steps").iter();
    let text = |step: &Json, name: &str| step[name].as_str().expect("text").to_owned();
    steps.map(|step| format!("{} {}", text(step, "action"), text(step, "address"))).collect()
}
