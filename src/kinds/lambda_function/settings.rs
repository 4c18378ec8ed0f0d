//! What a function is told to be, in AWS's words, and how that changes.

use std::collections::BTreeSet;

use aws_sdk_lambda::types::{
    Environment, EphemeralStorage, LoggingConfig, Runtime, TracingConfig, TracingMode, VpcConfig,
};

use super::{LambdaFunction, invalid};
use crate::aws::Aws;
use crate::kind::{Live, Result};
use crate::value::{self, Arg, Fields};

/// What `UpdateFunctionConfiguration` writes.
const CONFIGURATION: &[&str] = &[
    "description",
    "environment",
    "handler",
    "kms_key_arn",
    "log_group",
    "memory_mb",
    "role_arn",
    "runtime",
    "security_groups",
    "storage_mb",
    "subnets",
    "timeout_seconds",
    "tracing",
];

impl LambdaFunction {
    pub(super) fn storage(&self) -> Result<EphemeralStorage> {
        EphemeralStorage::builder().size(self.storage_mb.cast_signed()).build().map_err(invalid)
    }

    pub(super) fn variables(&self) -> Result<Environment> {
        let variables = self.environment.iter().map(|(name, value)| Ok((name.clone(), value.get()?.clone())));
        let variables = variables.collect::<Result<_>>()?;
        Ok(Environment::builder().set_variables(Some(variables)).build())
    }

    pub(super) fn tracing(&self) -> TracingConfig {
        let mode = if self.tracing { TracingMode::Active } else { TracingMode::PassThrough };
        TracingConfig::builder().mode(mode).build()
    }

    pub(super) fn logging(&self) -> Result<Option<LoggingConfig>> {
        let Some(group) = &self.log_group else { return Ok(None) };
        Ok(Some(LoggingConfig::builder().log_group(group.get()?).build()))
    }

    pub(super) fn network(&self) -> Result<VpcConfig> {
        let ids = |args: &BTreeSet<Arg<String>>| {
            args.iter().map(|arg| Ok(arg.get()?.clone())).collect::<Result<Vec<String>>>().map(Some)
        };
        let (subnets, groups) = (ids(&self.subnets)?, ids(&self.security_groups)?);
        Ok(VpcConfig::builder().set_subnet_ids(subnets).set_security_group_ids(groups).build())
    }

    /// Writes the configuration where it differs.
    pub(super) async fn configure(&self, aws: &Aws, now: &Live<Self>) -> Result<()> {
        let mut wanted = self.clone();
        wanted.log_group.get_or_insert_with(|| now.spec.default_log_group());
        if configuration(&wanted)? == configuration(&now.spec)? {
            return Ok(());
        }
        let request = aws.lambda().update_function_configuration().function_name(&now.id);
        let request = request.runtime(Runtime::from(self.runtime.as_str())).handler(&self.handler);
        let request = request.description(&self.description).role(self.role_arn.get()?);
        let request = request.memory_size(self.memory_mb.cast_signed()).timeout(self.timeout_seconds.cast_signed());
        let request = request.ephemeral_storage(self.storage()?).environment(self.variables()?);
        let request = request.tracing_config(self.tracing()).set_logging_config(wanted.logging()?);
        let key = self.kms_key_arn.as_ref().map(Arg::get).transpose()?;
        // An empty text takes the key away; what is left out stays as it is.
        let key = (self.kms_key_arn != now.spec.kms_key_arn).then(|| key.cloned().unwrap_or_default());
        let moves = self.subnets != now.spec.subnets || self.security_groups != now.spec.security_groups;
        let request = request.set_kms_key_arn(key).set_vpc_config(moves.then(|| self.network()).transpose()?);
        aws.call("lambda:UpdateFunctionConfiguration", request.send()).await.map(drop)
    }

    /// Removes and adds permissions. One that changes is gone for a moment, since AWS has no call to change it.
    pub(super) async fn permit(&self, aws: &Aws, now: &Live<Self>) -> Result<()> {
        for old in now.spec.permissions.iter().filter(|old| !self.permissions.contains(old)) {
            old.remove(aws, &now.id).await?;
        }
        for new in self.permissions.iter().filter(|new| !now.spec.permissions.contains(new)) {
            new.add(aws, &now.id).await?;
        }
        Ok(())
    }
}

fn configuration(spec: &LambdaFunction) -> Result<Fields> {
    let mut fields = value::to_fields(spec).map_err(invalid)?;
    fields.retain(|name, _| CONFIGURATION.contains(&name.as_str()));
    Ok(fields)
}
