//! Where locks are kept: parameters of SSM, and what a test puts in their place.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_ssm::types::ParameterType;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;

use crate::aws::Aws;
use crate::kind::Result;

/// One parameter under the path of a lock.
#[derive(Clone, Debug)]
pub struct Written {
    /// The last part of its name.
    pub name: String,
    pub value: String,
    /// When, by AWS's clock.
    pub at: Timestamp,
}

/// What is under a path, and the time by the clock that says when it was written.
#[derive(Clone, Debug)]
pub struct Listed {
    pub all: Vec<Written>,
    pub now: Timestamp,
}

#[async_trait]
pub trait Store: Send + Sync {
    async fn list(&self, path: &str) -> Result<Listed>;
    /// Writes what is not there yet; `ParameterAlreadyExists` where it is.
    async fn create(&self, name: &str, value: &str) -> Result<()>;
    async fn overwrite(&self, name: &str, value: &str) -> Result<()>;
    async fn delete(&self, name: &str) -> Result<()>;
    /// The time on this machine, which goes on while the machine sleeps.
    fn clock(&self) -> Timestamp;
}

pub(super) struct Ssm(pub Arc<Aws>);

impl Ssm {
    async fn put(&self, name: &str, value: &str, overwrite: bool) -> Result<()> {
        let request = self.0.ssm().put_parameter().name(name).value(value);
        let request = request.r#type(ParameterType::String).overwrite(overwrite);
        self.0.call("ssm:PutParameter", request.send()).await.map(drop)
    }
}

#[async_trait]
impl Store for Ssm {
    async fn list(&self, path: &str) -> Result<Listed> {
        let dated = Dated::default();
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let request = self.0.ssm().get_parameters_by_path().path(path).set_next_token(next);
            let request = request.customize().interceptor(dated.clone());
            let page = self.0.call("ssm:GetParametersByPath", request.send()).await?;
            all.extend(page.parameters().iter().filter_map(|parameter| {
                Some(Written {
                    name: parameter.name()?.rsplit('/').next()?.to_owned(),
                    value: parameter.value()?.to_owned(),
                    at: Timestamp::from_second(parameter.last_modified_date()?.secs()).ok()?,
                })
            }));
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                let now = dated.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Timestamp::now);
                return Ok(Listed { all, now });
            }
        }
    }

    async fn create(&self, name: &str, value: &str) -> Result<()> {
        self.put(name, value, false).await
    }

    async fn overwrite(&self, name: &str, value: &str) -> Result<()> {
        self.put(name, value, true).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.0.call("ssm:DeleteParameter", self.0.ssm().delete_parameter().name(name).send()).await.map(drop)
    }

    fn clock(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Keeps the date of an answer, so that the age of a lock does not depend on this machine's clock.
#[derive(Clone, Debug, Default)]
struct Dated(Arc<Mutex<Option<Timestamp>>>);

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(date) = date {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(date.timestamp());
        }
        Ok(())
    }
}
