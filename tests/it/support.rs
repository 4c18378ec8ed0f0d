//! An emulator of its own for each test, and drivers that talk to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use infra::address::Address;
use infra::aws::Aws;
use infra::kind::{Id, Kind, Live, Making, Progress, Scope};
use infra::value::{self, Fields, Outputs};
use tokio::sync::{Mutex, OnceCell};

pub const REGION: &str = "us-east-1";

/// The status by which `localstack/up --localstack` says that its Python is missing.
const NO_PYTHON: i32 = 3;

/// What a copy has that its original has not: tasks that are processes, and load balancers that forward, at the address
/// in `HTTP_PROXY`.
pub const DATA_PLANE: &str = r#"{ "data-plane": true }"#;

/// A running emulator. It ends with this value, and at the latest with this process.
pub struct Emulator {
    pub variables: BTreeMap<String, String>,
    strict: bool,
}

impl Drop for Emulator {
    /// Hundreds of them would fill the memory of a machine.
    fn drop(&mut self) {
        let stopped = Command::new("kill").arg(&self.variables["INFRA_EMULATOR_PID"]).status();
        assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
    }
}

static PLAIN: Template = Template::new();
static STRICT: Template = Template::new();

/// An emulator that others of this process are copied from, so that only the first of them takes its time to start. It
/// ends with the process. Of a runner that gives each test a process of its own, each makes what it needs.
pub struct Template {
    made: OnceCell<Emulator>,
    copying: Mutex<()>,
}

impl Template {
    pub const fn new() -> Self {
        Self { made: OnceCell::const_new(), copying: Mutex::const_new(()) }
    }

    /// A copy; the first one who asks makes the template. `parts` is what the copy has beside.
    pub async fn copy(&self, parts: &'static str, make: impl AsyncFn() -> Emulator) -> Emulator {
        let made = self.made.get_or_init(|| make()).await;
        let _alone = self.copying.lock().await;
        made.copy_with(parts).await
    }

    /// A copy of one with nothing in it, which has looked at each service: it takes its time for the first look.
    async fn empty(&self, arguments: &[&str]) -> Emulator {
        let make = async || {
            let emulator = Emulator::run(arguments).expect("this needs no Python of its own");
            let drivers = infra::kinds::drivers(&emulator.aws().await);
            infra::live::snapshot(&scope(&[]), &drivers).await.expect("all kinds can be read");
            emulator
        };
        if std::env::var_os("NEXTEST").is_some() { make().await } else { self.copy("", make).await }
    }
}

impl Emulator {
    pub async fn start() -> Self {
        PLAIN.empty(&[]).await
    }

    /// One that is as slow and as strict as AWS.
    pub async fn strict() -> Self {
        STRICT.empty(&["--strict"]).await
    }

    /// One whose tasks are processes and whose load balancers forward, at the address in `HTTP_PROXY`.
    pub async fn with_data_plane() -> Self {
        Self::start().await.copy_with(DATA_PLANE).await
    }

    /// LocalStack itself; `None` where its Python is missing, of which a line tells that no test runner swallows.
    pub fn localstack() -> Option<Self> {
        Self::run(&["--localstack"])
    }

    fn run(arguments: &[&str]) -> Option<Self> {
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/localstack/up"))
            .args(arguments)
            .env("INFRA_EMULATOR_PARENT", std::process::id().to_string())
            .output()
            .expect("localstack/up runs");
        if output.status.code() == Some(NO_PYTHON) {
            let why = String::from_utf8_lossy(&output.stderr);
            writeln!(std::io::stderr(), "skipped: {}", why.trim()).expect("standard error takes a line");
            return None;
        }
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("export lines are text");
        let pair = |line: &str| {
            let (key, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((key.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        };
        let strict = arguments.contains(&"--strict");
        Some(Self { variables: text.lines().filter_map(pair).collect(), strict })
    }

    /// Another one that has all there is in this one now. Nobody may be calling meanwhile.
    pub async fn copy(&self) -> Self {
        self.copy_with("").await
    }

    async fn copy_with(&self, parts: &'static str) -> Self {
        let about = self.set("copy", parts).await;
        let about: serde_json::Value = serde_json::from_slice(&about).expect("what the emulator tells");
        let mut variables = self.variables.clone();
        variables.insert("AWS_ENDPOINT_URL".to_owned(), format!("http://127.0.0.1:{}", about["port"]));
        variables.insert("INFRA_EMULATOR_PID".to_owned(), about["pid"].to_string());
        if let Some(proxy) = about["proxy"].as_str() {
            for (name, value) in [("http_proxy", proxy), ("no_proxy", "127.0.0.1,localhost")] {
                variables.extend([name.to_owned(), name.to_uppercase()].map(|name| (name, value.to_owned())));
            }
        }
        Self { variables, strict: self.strict }
    }

    /// Changes settings of its data plane or of how strict it is, while it runs.
    pub async fn set(&self, part: &str, settings: impl Into<Bytes>) -> Bytes {
        let url = format!("{}/_emulator/{part}", self.variables["AWS_ENDPOINT_URL"]);
        let request = Request::post(url).body(Full::new(settings.into())).expect("a request");
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        assert_eq!(status, 200, "{body:?}");
        body
    }

    /// Lets a test see and make things at once, and AWS's slowness go on afterwards.
    pub async fn at_once<T>(&self, what: impl Future<Output = T>) -> T {
        if !self.strict {
            return what.await;
        }
        self.set("strict", r#"{ "lag": 0, "settle": 0 }"#).await;
        let done = what.await;
        self.set("strict", r#"{ "lag": 0.2, "settle": 0.3 }"#).await;
        done
    }

    pub async fn aws(&self) -> Arc<Aws> {
        self.aws_at(&self.variables["AWS_ENDPOINT_URL"]).await
    }

    pub async fn aws_at(&self, endpoint: &str) -> Arc<Aws> {
        let (id, secret) = (&self.variables["AWS_ACCESS_KEY_ID"], &self.variables["AWS_SECRET_ACCESS_KEY"]);
        let credentials = aws_credential_types::Credentials::new(id, secret, None, None, "tests");
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(REGION))
            .endpoint_url(endpoint)
            .credentials_provider(credentials)
            .load()
            .await;
        Arc::new(Aws::new(config))
    }
}

pub fn scope(wanted: &[&str]) -> Scope {
    Scope {
        project: "acme".into(),
        environment: "test".into(),
        account: "123456789012".into(),
        region: REGION.into(),
        partition: "aws".into(),
        wanted: wanted.iter().map(|address| address.parse().expect("an address")).collect(),
        names: BTreeMap::new(),
        regions: BTreeSet::new(),
        zones: BTreeSet::new(),
        adopting: false,
        memo: infra::aws::Memo::default(),
    }
}

/// Takes one kind through its life as the executor does.
pub struct Bench {
    /// Kept for as long as the calls go to it.
    _emulator: Emulator,
    pub aws: Arc<Aws>,
}

impl Bench {
    pub async fn start() -> Self {
        let emulator = Emulator::start().await;
        let aws = emulator.aws().await;
        Self { _emulator: emulator, aws }
    }

    /// Creates the shell, waits, updates to the whole, and returns what `list` then says, which must equal `spec`.
    pub async fn create<K: Kind>(&self, name: &str, spec: &K) -> Live<K> {
        let making = making::<K>(name);
        let id = spec.create(&self.aws, &making).await.expect("create");
        let outputs = self.appear::<K>(&id).await.expect("ready after create");
        let tagged = infra::tags::decode(&infra::tags::encode(&making.identity, &BTreeMap::default())).expect("tags");
        let mut shell = Live::new(tagged, id.clone(), spec.shell());
        shell.outputs = outputs.clone();
        spec.update(&self.aws, &shell).await.expect("fill the shell");
        // There are as many early outputs as what it waits for asks for.
        for output in K::OUTPUTS.iter().filter(|output| !K::EARLY.contains(output)) {
            assert!(outputs.contains_key(*output), "poll gives the output {output}: {outputs:?}");
        }
        let live = self.expect(name, spec).await;
        assert_eq!(live.outputs, outputs, "list and poll agree on outputs");
        assert_eq!(live.id, id);
        live
    }

    /// Only the create itself, as after an answer that was lost.
    pub async fn try_create<K: Kind>(&self, name: &str, spec: &K) -> infra::kind::Result<Id> {
        spec.create(&self.aws, &making::<K>(name)).await
    }

    /// Updates to `spec` and checks that a list then says so.
    pub async fn update<K: Kind>(&self, live: &Live<K>, spec: &K) -> Live<K> {
        spec.update(&self.aws, live).await.expect("update");
        self.settle::<K>(&live.id).await.expect("ready after update");
        self.expect(&live.identity.address.name, spec).await
    }

    pub async fn delete<K: Kind>(&self, live: &Live<K>) {
        K::delete(&self.aws, live).await.expect("delete");
        assert_eq!(self.settle::<K>(&live.id).await, None, "gone after delete");
        assert!(self.list::<K>().await.is_empty(), "nothing listed after delete");
    }

    pub async fn list<K: Kind>(&self) -> Vec<Live<K>> {
        K::list(&self.aws, &scope(&[])).await.expect("list")
    }

    async fn expect<K: Kind>(&self, name: &str, spec: &K) -> Live<K> {
        let live = self.list::<K>().await;
        let found: Vec<_> = live.into_iter().filter(|live| live.identity.address.name == name).collect();
        let [live] = &found[..] else { panic!("one live {name}, not {}", found.len()) };
        assert_eq!(fields(&live.spec), fields(spec), "what was written is what is read");
        live.clone()
    }

    /// What AWS has just made, it may not show yet.
    async fn appear<K: Kind>(&self, id: &Id) -> Option<Outputs> {
        for _ in 0..40 {
            if let Some(outputs) = self.settle::<K>(id).await {
                return Some(outputs);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        None
    }

    /// Waits until what was made is there and ready.
    pub async fn settled<K: Kind>(&self, id: &str) {
        self.appear::<K>(&id.to_owned()).await.expect("ready");
    }

    async fn settle<K: Kind>(&self, id: &Id) -> Option<Outputs> {
        for _ in 0..200 {
            match K::poll(&self.aws, id).await {
                Ok(Progress::Ready(outputs)) => return Some(outputs),
                Ok(Progress::Gone) => return None,
                Err(failure) if failure.class == infra::kind::Class::NotFound => return None,
                Ok(Progress::Waiting { .. } | Progress::Early { .. }) => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("{} {id} does not settle", K::NAME)
    }
}

fn making<K: Kind>(name: &str) -> Making {
    Making {
        identity: scope(&[]).identity(&Address::new(K::NAME, name)),
        account: "123456789012".into(),
        region: REGION.into(),
        partition: "aws".into(),
        token: format!("run1{name}"),
    }
}

/// The comparable fields of a specification: normal form, without what is open and absent here.
pub fn fields<K: Kind>(spec: &K) -> Fields {
    let mut spec = spec.clone();
    spec.normalize();
    let mut fields = value::to_fields(&spec).expect("fields");
    fields.retain(|name, _| !K::OPEN.contains(&name.as_str()));
    fields
}
