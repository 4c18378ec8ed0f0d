//! A proxy between the real binary and the emulator. It records every call, and can stop the world at a given one.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

/// One call, as the emulator answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub service: String,
    pub operation: String,
    pub status: u16,
}

impl Call {
    /// Whether it only looks.
    pub fn reads(&self) -> bool {
        let starts = ["Describe", "List", "Get", "GET", "HEAD"];
        // Some look with POST.
        let looks = ["POST GetSamplingRules", "POST Groups", "POST ListTagsForResource", "POST tags hostedzone"];
        starts.iter().any(|start| self.operation.starts_with(start)) || looks.contains(&self.operation.as_str())
    }
}

/// Stands for every operation that changes something.
pub const ANY_WRITE: &str = "any write";

/// Where to stop: the `nth` call (from 1) of an operation is held, before or after the emulator has executed it.
#[derive(Clone, Copy, Debug)]
pub struct StopAt {
    pub operation: &'static str,
    pub nth: usize,
    pub executed: bool,
}

pub struct Proxy {
    pub endpoint: String,
    calls: Arc<Mutex<Vec<Call>>>,
    /// Told when the call to stop at has come.
    pub stopped: Arc<Notify>,
    held: Arc<Mutex<String>>,
    release: Arc<Semaphore>,
}

struct Shared {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: Arc<Mutex<Vec<Call>>>,
    /// How many calls of the operation to stop at have come.
    count: AtomicUsize,
    stop: Option<StopAt>,
    stopped: Arc<Notify>,
    held: Arc<Mutex<String>>,
    release: Arc<Semaphore>,
}

impl Proxy {
    pub async fn start(upstream: &str, stop: Option<StopAt>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (calls, stopped, release) = (Arc::default(), Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let held = Arc::<Mutex<String>>::default();
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            calls: Arc::clone(&calls),
            count: AtomicUsize::new(0),
            stop,
            stopped: Arc::clone(&stopped),
            held: Arc::clone(&held),
            release: Arc::clone(&release),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| Arc::clone(&shared).forward(request));
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(serving.await) });
            }
        });
        Self { endpoint, calls, stopped, held, release }
    }

    /// Lets the call that is held go on.
    pub fn release(&self) {
        self.release.close();
    }

    /// The operation of the call that is held.
    pub fn held(&self) -> String {
        self.held.lock().unwrap().clone()
    }

    /// The calls so far, in the order of their answers.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

impl Shared {
    async fn forward(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.expect("a whole request").to_bytes();
        let call = identify(&parts, &body);
        let meant = |operation| operation == call.operation || (operation == ANY_WRITE && !call.reads());
        let stop = self.stop.filter(|stop| meant(stop.operation));
        let stop = stop.filter(|stop| self.count.fetch_add(1, Ordering::SeqCst) + 1 == stop.nth);
        if stop.is_some_and(|stop| !stop.executed) {
            self.hold(&call).await;
        }
        parts.uri = format!("{}{}", self.upstream, parts.uri).parse::<Uri>().expect("a path");
        let answer = self.client.request(Request::from_parts(parts, Full::new(body))).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        let call = Call { status: parts.status.as_u16(), ..call };
        self.calls.lock().unwrap().push(call.clone());
        if stop.is_some_and(|stop| stop.executed) {
            self.hold(&call).await;
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    async fn hold(&self, call: &Call) {
        call.operation.clone_into(&mut self.held.lock().unwrap());
        self.stopped.notify_one();
        // It gives no permit; it is closed when the call may go on.
        drop(self.release.acquire().await);
    }
}

fn identify(parts: &hyper::http::request::Parts, body: &[u8]) -> Call {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let service = header("authorization").split('/').nth(3).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(body);
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    let target = header("x-amz-target").rsplit('.').next().filter(|target| !target.is_empty());
    // CloudWatch's protocol names the operation at the end of the path.
    let path = parts.uri.path().split_once("/operation/").map(|(_, operation)| operation);
    let operation = match target.or(action).or(path) {
        Some(operation) => operation.to_owned(),
        None => format!("{} {}", parts.method, place(&service, &parts.uri)),
    };
    Call { service, operation, status: 0 }
}

/// What a path is about, without the names and ids in it. Of a bucket, the query says it.
fn place(service: &str, uri: &Uri) -> String {
    if service == "s3" {
        return uri.query().unwrap_or_default().split(['&', '=']).next().unwrap_or_default().to_owned();
    }
    let is_word = |part: &&str| {
        let letters = part.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        letters && part.contains(|c: char| c.is_ascii_lowercase()) && !part.starts_with("acme-")
    };
    uri.path().split('/').filter(is_word).collect::<Vec<_>>().join(" ")
}
