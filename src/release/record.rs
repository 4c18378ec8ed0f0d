//! The record of a release: a parameter of SSM.

use aws_sdk_ssm::types::ParameterType;

use crate::aws::Aws;
use crate::bluegreen::Record;
use crate::kind::{Class, Failure, Result};

/// Bytes of a reason that are kept. A parameter holds 4 KB.
const WHY: usize = 1500;

/// The parameter that holds the record of a service's last release.
pub fn name(project: &str, environment: &str, service: &str) -> String {
    format!("/infra/{project}/{environment}/release/{service}")
}

pub async fn read(aws: &Aws, name: &str) -> Result<Option<Record>> {
    let answer = match aws.call("ssm:GetParameter", aws.ssm().get_parameter().name(name).send()).await {
        Ok(answer) => answer,
        Err(failure) if failure.class == Class::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let value = answer.parameter().and_then(|parameter| parameter.value()).unwrap_or_default();
    let unreadable = |error: serde_json::Error| {
        let message = format!("the record {name} cannot be read ({error}); is it of a newer release of this program?");
        Failure::new("ssm:GetParameter", "UnreadableRecord", message)
    };
    serde_json::from_str(value).map(Some).map_err(unreadable)
}

pub async fn write(aws: &Aws, name: &str, record: &Record) -> Result<()> {
    let mut record = record.clone();
    if let Some(why) = &mut record.why {
        // Lines of a log may hold anything. SSM takes `{{` for a reference.
        why.retain(|letter| !letter.is_control() || letter == '\n');
        *why = why.replace("{{", "{ {");
        why.truncate(why.floor_char_boundary(WHY));
    }
    let value = serde_json::to_string(&record)
        .map_err(|error| Failure::new("ssm:PutParameter", "Defect", error.to_string()))?;
    let request = aws.ssm().put_parameter().name(name).value(value).r#type(ParameterType::String).overwrite(true);
    aws.call("ssm:PutParameter", request.send()).await.map(drop)
}
