//! A proxy between the real binary and the emulator. It records every call, can stop the world at a given one, and can do
//! to each what networks and AWS do.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
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
    /// The how-manieth time the SDK sends it, from 1.
    pub attempt: usize,
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
/// Stands for every operation.
pub const ANY_CALL: &str = "any call";

/// Where to stop: the `nth` call (from 1) of an operation is held, before or after the emulator has executed it.
#[derive(Clone, Copy, Debug)]
pub struct StopAt {
    pub operation: &'static str,
    pub nth: usize,
    pub executed: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection ends before the emulator hears of it.
    Unsent,
    /// It is executed, and the connection ends without an answer.
    Unanswered,
    /// Its service says, in its own way, that there are too many calls.
    Throttled,
    /// A 500, and nothing was done.
    Broken,
    /// The caller may not do it, in the words of EC2 or IAM.
    Denied,
}

/// Says what becomes of each call, by its number from 0. Asked before the call, one at a time.
pub type Judge = Box<dyn Fn(usize, &Call) -> Fault + Send + Sync>;
/// What is done after a call was executed and before it is answered.
pub type After = Box<dyn Fn(Call) -> BoxFuture<'static, ()> + Send + Sync>;

/// Of each write, the answer to the first try is lost.
pub fn first_answer_lost(call: &Call) -> Fault {
    if call.attempt == 1 && !call.reads() { Fault::Unanswered } else { Fault::None }
}

#[derive(Default)]
pub struct Behaviour {
    pub stop: Option<StopAt>,
    pub judge: Option<Judge>,
    /// With it, calls go through one after the other.
    pub after: Option<After>,
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
    numbered: AtomicUsize,
    behaviour: Behaviour,
    one_by_one: tokio::sync::Mutex<()>,
    stopped: Arc<Notify>,
    held: Arc<Mutex<String>>,
    release: Arc<Semaphore>,
}

impl Proxy {
    pub async fn start(upstream: &str, stop: Option<StopAt>) -> Self {
        Self::with(upstream, Behaviour { stop, ..Behaviour::default() }).await
    }

    pub async fn with(upstream: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (calls, stopped, release) = (Arc::default(), Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let held = Arc::<Mutex<String>>::default();
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            calls: Arc::clone(&calls),
            count: AtomicUsize::new(0),
            numbered: AtomicUsize::new(0),
            behaviour,
            one_by_one: tokio::sync::Mutex::default(),
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
    async fn forward(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let call = identify(&parts, &body);
        let meant = |operation| match operation {
            ANY_CALL => true,
            ANY_WRITE => !call.reads(),
            operation => operation == call.operation,
        };
        let stop = self.behaviour.stop.filter(|stop| meant(stop.operation));
        let stop = stop.filter(|stop| self.count.fetch_add(1, Ordering::SeqCst) + 1 == stop.nth);
        if stop.is_some_and(|stop| !stop.executed) {
            self.hold(&call).await;
        }
        let number = self.numbered.fetch_add(1, Ordering::SeqCst);
        let fault = self.behaviour.judge.as_ref().map_or(Fault::None, |judge| judge(number, &call));
        match fault {
            Fault::Unsent => return Err(io::ErrorKind::ConnectionReset.into()),
            Fault::Throttled => return Ok(throttled(&parts, &call)),
            Fault::Broken => return Ok(answer(500, "application/octet-stream", b"")),
            Fault::Denied => return Ok(denied(&call)),
            Fault::None | Fault::Unanswered => {}
        }
        let alone = match self.behaviour.after {
            Some(_) => Some(self.one_by_one.lock().await),
            None => None,
        };
        parts.uri = format!("{}{}", self.upstream, parts.uri).parse::<Uri>().expect("a path");
        let answer = self.client.request(Request::from_parts(parts, Full::new(body))).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        let call = Call { status: parts.status.as_u16(), ..call };
        self.calls.lock().unwrap().push(call.clone());
        if let Some(after) = &self.behaviour.after {
            after(call.clone()).await;
        }
        drop(alone);
        if stop.is_some_and(|stop| stop.executed) {
            self.hold(&call).await;
        }
        if fault == Fault::Unanswered {
            return Err(io::ErrorKind::ConnectionReset.into());
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

fn answer(status: u16, content: &str, body: &[u8]) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", content);
    response.body(Full::from(body.to_vec())).expect("a response")
}

fn denied(call: &Call) -> Response<Full<Bytes>> {
    let body = match call.service.as_str() {
        "ec2" => "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>",
        _ => "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>",
    };
    answer(403, "text/xml", body.as_bytes())
}

/// "Slow down" in the words of the call's service and its protocol.
fn throttled(parts: &hyper::http::request::Parts, call: &Call) -> Response<Full<Bytes>> {
    let of_query = |code: &str| format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
    let of_json = |code: &str| format!(r#"{{"__type":"{code}"}}"#);
    let (status, content, code, body) = match call.service.as_str() {
        "ec2" => {
            let code = "RequestLimitExceeded";
            (503, "text/xml", code, format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>"))
        }
        "s3" => (503, "text/xml", "SlowDown", "<Error><Code>SlowDown</Code></Error>".to_owned()),
        "monitoring" => {
            let mut response = answer(400, "application/cbor", b"\xa1\x66__type\x73ThrottlingException");
            response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor".parse().expect("a header"));
            return response;
        }
        "rds" | "elasticloadbalancing" | "iam" | "sns" | "elasticache" | "route53" | "sts" => {
            (400, "text/xml", "Throttling", of_query("Throttling"))
        }
        _ if parts.headers.contains_key("x-amz-target") => {
            (400, "application/x-amz-json-1.1", "ThrottlingException", of_json("ThrottlingException"))
        }
        _ => (429, "application/json", "TooManyRequestsException", of_json("TooManyRequestsException")),
    };
    let mut response = answer(status, content, body.as_bytes());
    response.headers_mut().insert("x-amzn-errortype", code.parse().expect("a header"));
    response
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
    let attempt = header("amz-sdk-request").split("; ").find_map(|part| part.strip_prefix("attempt=")?.parse().ok());
    Call { service, operation, attempt: attempt.unwrap_or(1), status: 0 }
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
