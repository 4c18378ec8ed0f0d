//! Lambda's side of a function: the Runtime API, from which the real binary takes its calls.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, oneshot};

/// A function that runs, one call at a time. It ends with this value.
pub struct Function {
    process: Child,
    calls: mpsc::UnboundedSender<Call>,
}

struct Call {
    event: Json,
    answer: oneshot::Sender<Result<Json, Json>>,
}

#[derive(Default)]
struct Api {
    waiting: Mutex<Option<mpsc::UnboundedReceiver<Call>>>,
    running: Mutex<BTreeMap<String, oneshot::Sender<Result<Json, Json>>>>,
    count: AtomicU64,
}

impl Function {
    pub async fn start(program: &str, variables: &BTreeMap<String, String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (calls, waiting) = mpsc::unbounded_channel();
        let api = Arc::new(Api { waiting: Mutex::new(Some(waiting)), ..Api::default() });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let api = Arc::clone(&api);
                let service = service_fn(move |request| Arc::clone(&api).serve(request));
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(serving.await) });
            }
        });
        let process = Command::new(program)
            .env_clear()
            .envs(variables)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "rotator")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, calls }
    }

    /// Calls it. The error is what it says to Lambda; nothing where it was killed.
    pub async fn call(&self, event: Json) -> Option<Result<Json, Json>> {
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { event, answer }).ok()?;
        answered.await.ok()
    }

    /// Ends it at once, and tells what it logged.
    pub async fn kill(mut self) -> String {
        self.process.start_kill().unwrap();
        let output = self.process.wait_with_output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Api {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await?.to_bytes();
        let mut parts = path.trim_start_matches("/2018-06-01/runtime/").split('/');
        Ok(match (parts.next(), parts.next(), parts.next()) {
            (Some("invocation"), Some("next"), None) => self.next().await,
            (Some("invocation"), Some(id), Some(end)) => {
                let said: Json = serde_json::from_slice(&body).unwrap_or_default();
                if let Some(answer) = self.running.lock().await.remove(id) {
                    drop(answer.send(if end == "response" { Ok(said) } else { Err(said) }));
                }
                status(StatusCode::ACCEPTED)
            }
            _ => status(StatusCode::ACCEPTED),
        })
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let call = match self.waiting.lock().await.as_mut() {
            Some(waiting) => waiting.recv().await,
            None => None,
        };
        let Some(Call { event, answer }) = call else { return status(StatusCode::GONE) };
        let id = self.count.fetch_add(1, Ordering::Relaxed).to_string();
        self.running.lock().await.insert(id.clone(), answer);
        Response::builder()
            .header("Lambda-Runtime-Aws-Request-Id", id)
            .header("Lambda-Runtime-Deadline-Ms", "99999999999999")
            .header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:rotator")
            .header("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700")
            .body(Full::from(event.to_string()))
            .unwrap()
    }
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::default()).unwrap()
}
