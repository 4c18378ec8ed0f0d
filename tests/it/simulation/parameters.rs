//! The store of locks: SSM, which shows at once what was written, and never takes a name twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use infra::kind::{Failure, Result};
use infra::lock::{Listed, Store, Written};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::cloud::Process;

#[derive(Clone)]
pub struct Parameters {
    all: Arc<Mutex<BTreeMap<String, (String, Timestamp)>>>,
    since: Instant,
}

impl Parameters {
    pub fn new() -> Self {
        Self { all: Arc::default(), since: Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).expect("a short life");
        Timestamp::constant(1_800_000_000, 0) + passed
    }

    pub fn list(&self, path: &str) -> Listed {
        let all = self.all.lock().unwrap();
        let under = all.iter().filter_map(|(name, (value, at))| {
            let name = name.strip_prefix(path)?.strip_prefix('/')?.to_owned();
            Some(Written { name, value: value.clone(), at: *at })
        });
        Listed { all: under.collect(), now: self.now() }
    }

    pub fn put(&self, name: &str, value: &str, overwrite: bool) -> Result<()> {
        let now = self.now();
        let mut all = self.all.lock().unwrap();
        if !overwrite && all.contains_key(name) {
            return Err(Failure::new("ssm:PutParameter", "ParameterAlreadyExists", name));
        }
        all.insert(name.to_owned(), (value.to_owned(), now));
        Ok(())
    }

    pub fn delete(&self, name: &str) {
        self.all.lock().unwrap().remove(name);
    }
}

/// The store as a process reaches it.
pub struct Reached {
    pub parameters: Parameters,
    pub process: Process,
}

#[async_trait]
impl Store for Reached {
    async fn list(&self, path: &str) -> Result<Listed> {
        let (parameters, path) = (self.parameters.clone(), path.to_owned());
        self.process.read(async move { Ok(parameters.list(&path)) }).await
    }

    async fn create(&self, name: &str, value: &str) -> Result<()> {
        let (parameters, name, value) = (self.parameters.clone(), name.to_owned(), value.to_owned());
        self.process.write(async move { parameters.put(&name, &value, false) }).await
    }

    async fn overwrite(&self, name: &str, value: &str) -> Result<()> {
        let (parameters, name, value) = (self.parameters.clone(), name.to_owned(), value.to_owned());
        self.process.write(async move { parameters.put(&name, &value, true) }).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let (parameters, name) = (self.parameters.clone(), name.to_owned());
        self.process
            .write(async move {
                parameters.delete(&name);
                Ok(())
            })
            .await
    }

    fn clock(&self) -> Timestamp {
        self.parameters.now()
    }
}
