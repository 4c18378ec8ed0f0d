//! Clients of a load balancer: so many requests a second whatever the answers are, none of them sent twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// One in so many requests takes long, so that there is always one on its way when something changes.
const LONG_EVERY: usize = 20;
const LONG: &str = "/slow/800";
const SHORT: &str = "/orders";
/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many failures a message quotes.
const QUOTED: usize = 5;

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub sent: Instant,
    pub took: Duration,
    long: bool,
    /// Status and version, or why there is none.
    pub got: Result<(u16, String), String>,
}

impl Answer {
    pub fn failed(&self) -> bool {
        !matches!(self.got, Ok((200, _)))
    }

    /// The version of the task that has answered; nothing where the load balancer answered by itself.
    pub fn version(&self) -> &str {
        self.got.as_ref().map_or("", |(_, version)| version)
    }
}

/// A steady load. It ends with this value.
pub struct Load {
    answers: Arc<Mutex<Vec<Answer>>>,
    /// Dropped, it ends the load.
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Load {
    /// So many requests a second to the host, through the proxy. They are sent from a thread of their own, so that what a
    /// test does does not slow them down.
    pub fn start(proxy: &str, host: &str, per_second: u32) -> Self {
        let answers = Arc::<Mutex<Vec<Answer>>>::default();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel::<()>();
        let clients = Clients {
            proxy: proxy.to_owned(),
            host: host.to_owned(),
            http: Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http(),
            answers: Arc::clone(&answers),
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut ticks = interval(Duration::from_secs(1) / per_second);
                // What is late is made up for: the load does not depend on the answers.
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                let mut under_way = JoinSet::new();
                for number in 0.. {
                    tokio::select! {
                        _ = ticks.tick() => under_way.spawn(clients.clone().ask(number)),
                        _ = &mut stopped => break,
                    };
                    while under_way.try_join_next().is_some() {}
                }
                under_way.join_all().await;
            });
            drop(end);
        });
        Self { answers, stop, ended }
    }

    /// The answers so far.
    pub fn so_far(&self) -> Report {
        Report { answers: self.answers.lock().unwrap().clone() }
    }

    /// Sends nothing more, waits for the answers that are due and returns all.
    pub async fn stop(self) -> Report {
        drop(self.stop);
        self.ended.await.expect_err("nothing is sent here but the end");
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        Report { answers }
    }
}

#[derive(Clone)]
struct Clients {
    proxy: String,
    host: String,
    http: Client<HttpConnector, Empty<Bytes>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Clients {
    async fn ask(self, number: usize) {
        let (sent, long) = (Instant::now(), number % LONG_EVERY == LONG_EVERY - 1);
        let got = match timeout(PATIENCE, self.exchange(if long { LONG } else { SHORT })).await {
            Ok(got) => got,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let answer = Answer { sent, took: sent.elapsed(), long, got };
        self.answers.lock().unwrap().push(answer);
    }

    /// The whole answer counts, not only its head.
    async fn exchange(&self, path: &str) -> Result<(u16, String), String> {
        let request = Request::get(format!("{}{path}", self.proxy)).header("Host", &self.host);
        let request = request.body(Empty::new()).expect("a request");
        let answer = self.http.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (parts, body) = answer.into_parts();
        body.collect().await.map_err(|error| format!("the answer breaks off: {error:?}"))?;
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let by = header("X-Version").or(header("X-Emulator-Reason")).unwrap_or_default();
        Ok((parts.status.as_u16(), by.to_owned()))
    }
}

/// What the clients have seen.
pub struct Report {
    pub answers: Vec<Answer>,
}

impl Report {
    pub fn failures(&self) -> Vec<&Answer> {
        self.answers.iter().filter(|answer| answer.failed()).collect()
    }

    /// How many requests each version has answered well.
    pub fn versions(&self) -> BTreeMap<&str, usize> {
        let mut versions = BTreeMap::new();
        for answer in self.answers.iter().filter(|answer| !answer.failed()) {
            *versions.entry(answer.version()).or_default() += 1;
        }
        versions
    }

    /// When the last request was sent that this version has answered, well or not.
    pub fn last_to(&self, version: &str) -> Option<Instant> {
        self.answers.iter().filter(|answer| answer.version() == version).map(|answer| answer.sent).max()
    }

    /// When the first one was sent.
    pub fn first_to(&self, version: &str) -> Option<Instant> {
        self.answers.iter().filter(|answer| answer.version() == version).map(|answer| answer.sent).min()
    }

    /// The time within which so many percent of the short requests were answered.
    fn percentile(&self, percent: usize) -> Duration {
        let mut times: Vec<_> = self.answers.iter().filter(|answer| !answer.long).map(|answer| answer.took).collect();
        times.sort_unstable();
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The report again, where not one request has failed.
    #[track_caller]
    pub fn faultless(self) -> Self {
        assert!(self.failures().is_empty(), "{self}");
        assert!(!self.answers.is_empty(), "there were requests");
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = self.failures();
        write!(
            f,
            "{} requests, {} failed, p50 {:.0?}, p99 {:.0?}, answered by",
            self.answers.len(),
            failures.len(),
            self.percentile(50),
            self.percentile(99)
        )?;
        for (version, count) in self.versions() {
            write!(f, " {version}: {count}")?;
        }
        let first = self.answers.iter().map(|answer| answer.sent).min();
        for failure in failures.iter().take(QUOTED) {
            let at = first.map(|first| failure.sent - first).unwrap_or_default();
            write!(f, "\n  sent after {at:.2?}, ended {:.2?} later: {:?}", failure.took, failure.got)?;
        }
        Ok(())
    }
}
