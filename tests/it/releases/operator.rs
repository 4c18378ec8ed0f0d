//! Whoever runs `infra bluegreen`: the binary as a process, with what it tells as it goes.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::site::{Site, until};

/// A command under way. It ends with this value.
pub struct Operator {
    child: Child,
    events: Arc<Mutex<Vec<Json>>>,
    read: JoinHandle<String>,
}

/// What a command has told, and how it ended.
pub struct Told {
    pub code: Option<i32>,
    pub events: Vec<Json>,
    pub stderr: String,
}

impl Site {
    /// Runs `infra bluegreen` with these arguments.
    pub fn bluegreen(&self, arguments: &[&str]) -> Operator {
        self.bluegreen_through(&self.emulator.variables["AWS_ENDPOINT_URL"], arguments)
    }

    pub fn bluegreen_through(&self, endpoint: &str, arguments: &[&str]) -> Operator {
        let mut command = self.command(endpoint, "bluegreen");
        command.args(arguments).args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let events = Arc::<Mutex<Vec<Json>>>::default();
        let known = Arc::clone(&events);
        let read = tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            let mut said = String::new();
            let events = async {
                while let Some(line) = lines.next_line().await.unwrap() {
                    let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                    known.lock().unwrap().push(event);
                }
            };
            let ((), ended) = tokio::join!(events, stderr.read_to_string(&mut said));
            ended.unwrap();
            said
        });
        Operator { child, events, read }
    }
}

impl Operator {
    /// Waits for an event like this, and returns it.
    pub async fn event(&mut self, what: &str, is_it: impl Fn(&Json) -> bool) -> Json {
        let mut found = None;
        until(what, async || {
            let ended = self.child.try_wait().unwrap();
            found = self.events.lock().unwrap().iter().find(|event| is_it(event)).cloned();
            assert!(found.is_some() || ended.is_none(), "{what} has not come: {ended:?} {:#?}", self.last());
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until the release is in this phase.
    pub async fn phase(&mut self, name: &str) -> Json {
        self.event(name, |event| phase(event) == name).await
    }

    fn last(&self) -> Vec<Json> {
        let events = self.events.lock().unwrap();
        events[events.len().saturating_sub(3)..].to_vec()
    }

    /// As a power cut would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Whether it has ended, without waiting for it.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub async fn end(mut self) -> Told {
        until("the end of the command", async || self.has_ended()).await;
        let code = self.child.wait().await.unwrap().code();
        let stderr = self.read.await.unwrap();
        Told { code, events: std::mem::take(&mut *self.events.lock().unwrap()), stderr }
    }
}

impl Told {
    /// The same, if it succeeded.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{:#?}", self.stderr, self.events.last());
        self
    }

    /// Why it failed: what it says at its end.
    #[track_caller]
    pub fn refused(&self) -> String {
        assert_eq!(self.code, Some(1), "{}\n{:#?}", self.stderr, self.events.last());
        let why = self.events.last().and_then(|event| event["why"].as_str()).unwrap_or_default();
        format!("{why}{}", self.stderr)
    }

    /// Why the release was taken back.
    #[track_caller]
    pub fn taken_back(&self) -> String {
        let why = self.refused();
        assert_eq!(self.events.last().unwrap()["outcome"], "rolled_back", "{why}");
        why
    }

    /// The phases that it went through to its end.
    pub fn phases(&self) -> Vec<String> {
        let phases = self.events.iter().map(phase);
        let mut phases: Vec<_> = phases.filter(|phase| !phase.is_empty() && phase != "finished").collect();
        phases.dedup();
        phases
    }
}

/// The phase of an event, without its step.
pub fn phase(event: &Json) -> String {
    match &event["phase"] {
        Json::String(name) => name.clone(),
        Json::Object(step) => step.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// What an event says of a colour.
pub fn side<'a>(event: &'a Json, colour: &str) -> &'a Json {
    let mut sides = event["sides"].as_array().into_iter().flatten();
    sides.find(|side| side["name"] == colour).unwrap_or(&Json::Null)
}
