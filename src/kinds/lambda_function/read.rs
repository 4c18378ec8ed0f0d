//! What a function is now.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::types::{
    Architecture as SdkArchitecture, FunctionConfiguration, LastUpdateStatus, State, TracingMode,
};

use super::{Architecture, LambdaFunction, permission};
use crate::aws::Aws;
use crate::kind::{Class, Health, Live, Progress, Result};
use crate::tags::Tags;
use crate::value::Arg;

async fn get(aws: &Aws, name: &str) -> Result<Option<GetFunctionOutput>> {
    let request = aws.lambda().get_function().function_name(name);
    match aws.call("lambda:GetFunction", request.send()).await {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        Err(failure) => Err(failure),
        Ok(answer) if state(&answer) == Some(&State::Deleting) => Ok(None),
        Ok(answer) => Ok(Some(answer)),
    }
}

fn state(answer: &GetFunctionOutput) -> Option<&State> {
    answer.configuration().and_then(FunctionConfiguration::state)
}

/// The function as ours, where it exists and its tags say so.
pub(super) async fn find(aws: &Aws, name: &str) -> Result<Option<Live<LambdaFunction>>> {
    let Some(answer) = get(aws, name).await? else { return Ok(None) };
    let tags: Tags = answer.tags().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let (Some(tagged), Some(found)) = (aws.tagged(&tags), answer.configuration()) else { return Ok(None) };
    let concurrency = answer.concurrency().and_then(|limit| limit.reserved_concurrent_executions());
    let health = health(found);
    let mut spec = spec(found, tagged.user.clone());
    spec.reserved_concurrency = concurrency.and_then(|calls| calls.try_into().ok());
    spec.permissions = permission::of(aws, name).await?;
    spec.version = tags.get(super::VERSION).cloned();
    if matches!(health, Health::Failed(_)) {
        // It is made anew, for which the code is needed, whatever the broken one holds.
        spec.code_sha256 = None;
        spec.version = None;
    }
    let arn = found.function_arn().unwrap_or_default();
    let mut live = Live::new(tagged, name, spec).output("arn", arn).output("name", name);
    live.health = health;
    live.notes = failed_update(found).map(|why| format!("its last change failed: {why}").into()).into_iter().collect();
    Ok(Some(live))
}

/// One look at a function in motion.
pub(super) async fn progress(aws: &Aws, name: &str) -> Result<Progress> {
    let Some(answer) = get(aws, name).await? else { return Ok(Progress::Gone) };
    let Some(found) = answer.configuration() else { return Ok(Progress::Gone) };
    let arn = found.function_arn().unwrap_or_default().to_owned();
    Ok(match (health(found), failed_update(found)) {
        (Health::Failed(why), _) | (Health::Ok, Some(why)) => Progress::Failed { why },
        (Health::Pending, _) => Progress::waiting("AWS to set the function up"),
        _ => Progress::ready([("arn", arn), ("name", name.to_owned())]),
    })
}

fn health(found: &FunctionConfiguration) -> Health {
    match found.state() {
        Some(State::Failed) => Health::Failed(found.state_reason().unwrap_or("AWS does not say why").to_owned()),
        Some(State::Pending) => Health::Pending,
        _ if found.last_update_status() == Some(&LastUpdateStatus::InProgress) => Health::Pending,
        // One that nobody called for weeks is `Inactive` and comes back with the next call.
        _ => Health::Ok,
    }
}

fn failed_update(found: &FunctionConfiguration) -> Option<String> {
    let failed = found.last_update_status() == Some(&LastUpdateStatus::Failed);
    failed.then(|| found.last_update_status_reason().unwrap_or("AWS does not say why").to_owned())
}

fn spec(found: &FunctionConfiguration, tags: Tags) -> LambdaFunction {
    let number = |number: Option<i32>, default: u32| number.and_then(|one| one.try_into().ok()).unwrap_or(default);
    let variables = found.environment().and_then(|environment| environment.variables());
    let variables = variables.into_iter().flatten().map(|(name, value)| (name.clone(), Arg::Known(value.clone())));
    let ids = |ids: Option<&[String]>| ids.into_iter().flatten().cloned().map(Arg::Known).collect::<BTreeSet<_>>();
    let network = found.vpc_config();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let mut spec = LambdaFunction {
        name: found.function_name().map(str::to_owned),
        description: text(found.description()),
        runtime: text(found.runtime().map(aws_sdk_lambda::types::Runtime::as_str)),
        handler: text(found.handler()),
        architecture: match found.architectures() {
            [SdkArchitecture::Arm64] => Architecture::Arm,
            _ => Architecture::X86,
        },
        code: None,
        code_sha256: found.code_sha256().map(str::to_owned),
        version: None,
        memory_mb: number(found.memory_size(), super::memory()),
        timeout_seconds: number(found.timeout(), super::timeout()),
        storage_mb: number(found.ephemeral_storage().map(|storage| storage.size()), super::storage()),
        environment: variables.collect::<BTreeMap<_, _>>(),
        kms_key_arn: found.kms_key_arn().filter(|arn| !arn.is_empty()).map(Arg::from),
        role_arn: Arg::Known(text(found.role())),
        subnets: ids(network.map(|network| network.subnet_ids())),
        security_groups: ids(network.map(|network| network.security_group_ids())),
        log_group: found.logging_config().and_then(|logging| logging.log_group()).map(Arg::from),
        tracing: found.tracing_config().and_then(|tracing| tracing.mode()) == Some(&TracingMode::Active),
        reserved_concurrency: None,
        permissions: Vec::new(),
        tags,
    };
    spec.log_group = spec.log_group.take().or_else(|| Some(spec.default_log_group()));
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_waits_and_what_failed_says_why() {
        let found = |state: State, update: LastUpdateStatus| {
            FunctionConfiguration::builder().state(state).state_reason("no role").last_update_status(update).build()
        };
        assert_eq!(health(&found(State::Pending, LastUpdateStatus::Successful)), Health::Pending);
        assert_eq!(health(&found(State::Active, LastUpdateStatus::InProgress)), Health::Pending);
        assert_eq!(health(&found(State::Active, LastUpdateStatus::Failed)), Health::Ok);
        assert_eq!(health(&found(State::Inactive, LastUpdateStatus::Successful)), Health::Ok);
        assert_eq!(health(&found(State::Failed, LastUpdateStatus::Failed)), Health::Failed("no role".into()));
        assert!(failed_update(&found(State::Active, LastUpdateStatus::Failed)).is_some());
        assert!(failed_update(&found(State::Active, LastUpdateStatus::Successful)).is_none());
    }
}
