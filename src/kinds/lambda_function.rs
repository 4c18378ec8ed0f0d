//! A Lambda function with its code and with who may call it.
//!
//! AWS changes a function in the background and refuses the next change until it is done, so that an update begins with
//! a look at what is left to do: tried again, it goes on where it stood.

mod code;
mod permission;
pub mod program;
mod read;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Architecture as SdkArchitecture, FunctionCode, Runtime};
use futures::future::try_join_all;
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use self::code::Archive;
pub use self::code::Code;
pub use self::permission::Permission;
use super::{adopt, tagging};
use crate::address::Identity;
use crate::aws::Aws;
use crate::kind::{Class, Failure, Health, Id, Kind, Live, Making, Problem, Progress, Result, Scope};
use crate::rights::Rights;
use crate::tags::{self, Tags};
use crate::value::Arg;

/// Characters of a name.
pub const NAME_LIMIT: usize = 64;
const DESCRIPTION_LIMIT: usize = 256;
/// The tag with the version of a program of ours, which AWS has no field for.
const VERSION: &str = "infra:version";

/// A Lambda function with its code and with who may call it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LambdaFunction {
    /// The function's name in AWS; left out, it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The language and its version, as in `python3.13`.
    pub runtime: String,
    /// What is called: the file without its ending, and the function in it, as in `chat.handler`.
    pub handler: String,
    #[serde(default)]
    pub architecture: Architecture,
    /// What runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The digest of the code, by which it is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub code_sha256: Option<String>,
    /// The version of the program that comes with `infra`, by which that is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub version: Option<String>,
    /// Memory in MB, 128 to 10240. The share of a processor grows with it.
    #[serde(default = "memory")]
    pub memory_mb: u32,
    /// How long a call may take, 1 to 900 seconds.
    #[serde(default = "timeout")]
    pub timeout_seconds: u32,
    /// The size of `/tmp` in MB, 512 to 10240.
    #[serde(default = "storage")]
    pub storage_mb: u32,
    /// Environment variables. Values of secrets do not belong here: give a secret's ARN, and let the code read it.
    #[serde(default)]
    pub environment: BTreeMap<String, Arg<String>>,
    /// The ARN of the key that encrypts the environment variables; left out, Lambda's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<Arg<String>>,
    /// The ARN of the role that the function has.
    pub role_arn: Arg<String>,
    /// Subnets to stand in, with `security_groups`; left out, it reaches the internet and nothing private.
    #[serde(default)]
    pub subnets: BTreeSet<Arg<String>>,
    #[serde(default)]
    pub security_groups: BTreeSet<Arg<String>>,
    /// The name of the log group it writes to; left out, `/aws/lambda/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_group: Option<Arg<String>>,
    /// Whether calls are traced by X-Ray even where the caller does not trace.
    #[serde(default)]
    pub tracing: bool,
    /// How many calls may run at once, kept free for this function; left out, as many as the account has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_concurrency: Option<u32>,
    /// Who may call it.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    #[serde(default)]
    pub tags: Tags,
}

/// A processor's instruction set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    #[default]
    #[serde(rename = "x86_64")]
    X86,
    /// A fifth cheaper.
    #[serde(rename = "arm64")]
    Arm,
}

fn memory() -> u32 {
    128
}

fn timeout() -> u32 {
    3
}

fn storage() -> u32 {
    512
}

impl Kind for LambdaFunction {
    const NAME: &'static str = "lambda_function";
    const RIGHTS: Rights = Rights {
        read: "lambda:GetFunction lambda:GetPolicy",
        create: "lambda:CreateFunction lambda:TagResource kms:CreateGrant kms:Decrypt kms:DescribeKey kms:Encrypt",
        update: "lambda:AddPermission lambda:DeleteFunctionConcurrency lambda:PutFunctionConcurrency \
            lambda:RemovePermission lambda:TagResource lambda:UntagResource lambda:UpdateFunctionCode \
            lambda:UpdateFunctionConfiguration kms:CreateGrant kms:Decrypt kms:DescribeKey kms:Encrypt",
        delete: "lambda:DeleteFunction",
        on: "lambda:function:{name}",
        passes: "lambda.amazonaws.com",
        ..Rights::NONE
    };
    const REPLACED_BY: &'static [&'static str] = &["name"];
    const LATE: &'static [&'static str] = &["permissions"];
    const OPEN: &'static [&'static str] = &["name", "code", "log_group"];
    const SECRET: &'static [&'static str] = &["code", "environment"];
    const OUTPUTS: &'static [&'static str] = &["arn", "name"];
    const UNIQUE: &'static [&'static str] = &["name"];

    fn normalize(&mut self) {
        match &self.code {
            Some(Code::Rotator { .. }) => self.version = Some(env!("CARGO_PKG_VERSION").to_owned()),
            Some(code) => self.code_sha256 = code.sha256().ok().flatten(),
            None => {}
        }
        self.permissions.sort();
        self.permissions.dedup();
    }

    /// AWS tells the digest of the code and not the code: where it runs already, there is nothing to write. A function of
    /// another name is another function, and one for another processor is written again.
    fn take_over(&mut self, live: &Self) {
        let same_name = self.name.is_none() || self.name == live.name;
        if let Some(Code::Rotator { .. }) = self.code {
            // Which processor it is for is known when it is packed.
            self.architecture = live.architecture;
            self.code_sha256.clone_from(&live.code_sha256);
            if same_name && !self.is_newer(live) {
                self.version.clone_from(&live.version);
            }
        }
        if same_name && self.code_sha256.is_some() && self.same_code(live) {
            self.code = None;
        }
        self.log_group.get_or_insert_with(|| live.default_log_group());
    }

    fn shell(&self) -> Self {
        Self { permissions: Vec::new(), reserved_concurrency: None, ..self.clone() }
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.check_texts();
        for (path, value, low, high) in [
            ("memory_mb", self.memory_mb, 128, 10_240),
            ("timeout_seconds", self.timeout_seconds, 1, 900),
            ("storage_mb", self.storage_mb, 512, 10_240),
        ] {
            if !(low..=high).contains(&value) {
                let problem = Problem::new(path, format!("{value} is not between {low} and {high}"));
                problems.push(problem.help(format!("write {}", value.clamp(low, high))));
            }
        }
        if self.subnets.is_empty() != self.security_groups.is_empty() {
            let path = if self.subnets.is_empty() { "security_groups" } else { "subnets" };
            let problem = Problem::new(path, "a function in a network needs both subnets and security groups");
            problems.push(problem.help("add the other one, or leave both out"));
        }
        problems
    }

    async fn list(aws: &Aws, scope: &Scope) -> Result<Vec<Live<Self>>> {
        if !tagging::may_exist(aws, scope, Self::NAME, ":lambda:").await? {
            return Ok(Vec::new());
        }
        let index = tagging::index(aws, scope).await?;
        let known = index.iter().filter(|(_, tags)| scope.ours(Self::NAME, tags).is_some());
        let mut names: BTreeSet<String> = known.filter_map(|(arn, _)| Some(name_in(arn)?.to_owned())).collect();
        // The index learns late of what was made just now.
        names.extend(scope.wanted(Self::NAME).map(|identity| {
            scope.names.get(&identity.address).cloned().unwrap_or_else(|| identity.aws_name(NAME_LIMIT))
        }));
        let found = try_join_all(names.iter().map(|name| read::find(aws, name))).await?.into_iter().flatten();
        Ok(found.filter(|live| scope.owns(Self::NAME, &live.identity)).collect())
    }

    async fn create(&self, aws: &Aws, making: &Making) -> Result<Id> {
        let name = self.name.clone().unwrap_or_else(|| making.identity.aws_name(NAME_LIMIT));
        let archive = self.archive()?;
        let architecture = archive.architecture.unwrap_or(self.architecture);
        let code = FunctionCode::builder().zip_file(Blob::new(archive.bytes)).build();
        let request = aws.lambda().create_function().function_name(&name).code(code);
        let request = request.runtime(Runtime::from(self.runtime.as_str())).handler(&self.handler);
        let request = request.description(&self.description).architectures(architecture.sdk());
        let request = request.memory_size(self.memory_mb.cast_signed()).timeout(self.timeout_seconds.cast_signed());
        let request = request.ephemeral_storage(self.storage()?).environment(self.variables()?);
        let request = request.set_kms_key_arn(self.kms_key_arn.as_ref().map(Arg::get).transpose()?.cloned());
        let request = request.role(self.role_arn.get()?).tracing_config(self.tracing());
        let request = request.set_logging_config(self.logging()?);
        let request = request.set_vpc_config((!self.subnets.is_empty()).then(|| self.network()).transpose()?);
        let request = request.set_tags(Some(self.all_tags(&making.identity).into_iter().collect()));
        match aws.call("lambda:CreateFunction", request.send()).await {
            Ok(_) => Ok(name),
            Err(failure) if failure.code == "ResourceConflictException" => {
                let found = read::find(aws, &name).await?;
                adopt::adopt(self, aws, making, (&name, found), "lambda:CreateFunction").await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn update(&self, aws: &Aws, live: &Live<Self>) -> Result<()> {
        let name = &live.id;
        let Some(now) = read::find(aws, name).await? else {
            let message = format!("the function {name} is gone");
            return Err(Failure::new("lambda:GetFunction", "NotFound", message).class(Class::NotFound));
        };
        if now.health == Health::Pending {
            return Err(busy("lambda:UpdateFunctionConfiguration", "AWS is still at the last change of the function"));
        }
        if !self.same_code(&now.spec) {
            let archive = self.archive()?;
            let architecture = archive.architecture.unwrap_or(self.architecture);
            let request = aws.lambda().update_function_code().function_name(name);
            let request = request.zip_file(Blob::new(archive.bytes)).architectures(architecture.sdk());
            aws.call("lambda:UpdateFunctionCode", request.send()).await?;
        }
        self.configure(aws, &now).await?;
        match self.reserved_concurrency {
            same if same == now.spec.reserved_concurrency => {}
            Some(calls) => {
                let request = aws.lambda().put_function_concurrency().function_name(name);
                let request = request.reserved_concurrent_executions(calls.cast_signed());
                aws.call("lambda:PutFunctionConcurrency", request.send()).await?;
            }
            None => {
                let request = aws.lambda().delete_function_concurrency().function_name(name);
                aws.call("lambda:DeleteFunctionConcurrency", request.send()).await?;
            }
        }
        self.permit(aws, &now).await?;
        let (set, gone) = tags::difference(&now.spec.all_tags(&live.identity), &self.all_tags(&live.identity));
        write_tags(aws, &now, set, gone).await
    }

    /// A function in a network is taken out of it first: of one that is deleted in it, AWS keeps the interfaces, and with
    /// them the subnets and groups, for up to 40 minutes.
    async fn delete(aws: &Aws, live: &Live<Self>) -> Result<()> {
        let Some(now) = read::find(aws, &live.id).await? else { return Ok(()) };
        if now.health == Health::Pending {
            return Err(busy("lambda:DeleteFunction", "AWS is still at the last change of the function"));
        }
        if !now.spec.subnets.is_empty() && now.health == Health::Ok {
            let nowhere = Self { subnets: BTreeSet::new(), security_groups: BTreeSet::new(), ..now.spec.clone() };
            nowhere.configure(aws, &now).await?;
            return Err(busy("lambda:DeleteFunction", "the function leaves its network first"));
        }
        let request = aws.lambda().delete_function().function_name(&live.id);
        aws.call("lambda:DeleteFunction", request.send()).await.map(drop)
    }

    async fn poll(aws: &Aws, id: &Id) -> Result<Progress> {
        read::progress(aws, id).await
    }

    async fn tag(aws: &Aws, live: &Live<Self>, set: &Tags, gone: &[String]) -> Result<()> {
        write_tags(aws, live, set.clone(), gone.to_vec()).await
    }
}

impl LambdaFunction {
    fn default_log_group(&self) -> Arg<String> {
        Arg::Known(format!("/aws/lambda/{}", self.name.as_deref().unwrap_or_default()))
    }

    fn check_texts(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = &self.name {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(allowed) {
                let help = format!("use 1 to {NAME_LIMIT} letters, digits, _ and -");
                problems.push(Problem::new("name", format!("`{name}` is no name for a function")).help(help));
            }
        }
        if self.description.chars().count() > DESCRIPTION_LIMIT {
            let message = format!("a description has at most {DESCRIPTION_LIMIT} characters");
            problems.push(Problem::new("description", message).help("make it shorter"));
        }
        match &self.code {
            None => {
                let help = "write `code: { files: { main.py: ... } }`";
                problems.push(Problem::new("code", "a function needs its code").help(help));
            }
            Some(Code::Rotator { .. }) => {}
            Some(Code::Files(files)) => {
                let outside = |name: &&String| name.starts_with('/') || name.split('/').any(|part| part == "..");
                if files.is_empty() || files.keys().any(|name| name.is_empty() || outside(&name)) {
                    let problem = Problem::new("code.files", "the files of a function have names such as `main.py`");
                    problems.push(problem.help("name at least one file, relative to the function's own folder"));
                }
            }
        }
        problems
    }

    fn all_tags(&self, identity: &Identity) -> Tags {
        let mut all = tags::encode(identity, &self.tags);
        all.extend(self.version.iter().map(|version| (VERSION.to_owned(), version.clone())));
        all
    }

    /// Whether this has a later version than the live one. A function without one never was a program of ours.
    fn is_newer(&self, live: &Self) -> bool {
        let version = |spec: &Self| spec.version.as_deref().and_then(|text| Version::parse(text).ok());
        version(live).is_none_or(|live| version(self) > Some(live))
    }

    /// Whether a live function runs this code.
    fn same_code(&self, live: &Self) -> bool {
        let same_version = self.version == live.version;
        match self.code {
            Some(Code::Rotator { .. }) => same_version,
            _ => same_version && self.code_sha256 == live.code_sha256 && self.architecture == live.architecture,
        }
    }

    fn archive(&self) -> Result<Archive> {
        let missing = || Failure::new("lambda_function", "NoCode", "the function has no code to write");
        self.code.as_ref().ok_or_else(missing)?.archive()
    }
}

impl Architecture {
    const fn sdk(self) -> SdkArchitecture {
        match self {
            Self::X86 => SdkArchitecture::X8664,
            Self::Arm => SdkArchitecture::Arm64,
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::new("lambda_function", "InvalidRequest", error.to_string())
}

fn busy(operation: &str, message: &str) -> Failure {
    Failure::new(operation, "ResourceConflictException", message).class(Class::Busy)
}

/// The name of a function in its ARN, or `None` where the ARN is that of something else.
fn name_in(arn: &str) -> Option<&str> {
    arn.split_once(":lambda:")?.1.split_once(":function:").map(|(_, name)| name)
}

async fn write_tags(aws: &Aws, live: &Live<LambdaFunction>, set: Tags, gone: Vec<String>) -> Result<()> {
    let arn = live.outputs.get("arn").map(String::as_str).unwrap_or_default();
    if !set.is_empty() {
        let request = aws.lambda().tag_resource().resource(arn).set_tags(Some(set.into_iter().collect()));
        aws.call("lambda:TagResource", request.send()).await?;
    }
    if !gone.is_empty() {
        let request = aws.lambda().untag_resource().resource(arn).set_tag_keys(Some(gone));
        aws.call("lambda:UntagResource", request.send()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(json: serde_json::Value) -> LambdaFunction {
        let mut fields = serde_json::json!({
            "runtime": "python3.13",
            "handler": "main.handler",
            "role_arn": "arn:aws:iam::123456789012:role/x",
            "code": { "files": { "main.py": "x = 1\n" } },
        });
        fields.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        let mut function: LambdaFunction = serde_json::from_value(fields).unwrap();
        function.normalize();
        function
    }

    #[test]
    fn code_is_written_where_its_digest_differs() {
        let live = LambdaFunction {
            code: None,
            log_group: Some("/elsewhere".into()),
            ..function(serde_json::json!({ "name": "acme-test-x" }))
        };
        let kept = |json| {
            let mut wanted = function(json);
            wanted.take_over(&live);
            assert_eq!(wanted.log_group, Some("/aws/lambda/acme-test-x".into()), "the default is written");
            wanted.code.is_some()
        };
        assert!(!kept(serde_json::json!({})));
        assert!(kept(serde_json::json!({ "name": "other" })));
        assert!(kept(serde_json::json!({ "architecture": "arm64" })));
        assert!(kept(serde_json::json!({ "code": { "files": { "main.py": "x = 2\n" } } })));
    }

    #[test]
    fn a_program_of_ours_is_written_where_an_older_one_runs() {
        let own = env!("CARGO_PKG_VERSION");
        for (live, written) in [(None, true), (Some("0.0.1"), true), (Some(own), false), (Some("99.0.0"), false)] {
            let live = LambdaFunction {
                code: None,
                code_sha256: Some("digest".to_owned()),
                version: live.map(str::to_owned),
                architecture: Architecture::Arm,
                ..function(serde_json::json!({ "name": "acme-test-x" }))
            };
            let mut wanted = function(serde_json::json!({ "code": { "rotator": {} } }));
            wanted.take_over(&live);
            assert_eq!(wanted.code.is_some(), written, "{:?}", live.version);
            assert_eq!(wanted.version.as_deref(), if written { Some(own) } else { live.version.as_deref() });
            assert_eq!(wanted.architecture, Architecture::Arm);
        }
    }

    #[test]
    fn limits_of_lambda() {
        let spec = function(serde_json::json!({
            "name": "a.b", "description": "x".repeat(257), "code": { "files": { "../x": "" } }, "memory_mb": 64,
            "timeout_seconds": 901, "storage_mb": 1, "subnets": ["subnet-1"],
        }));
        let paths: Vec<_> = spec.check().into_iter().map(|problem| problem.path).collect();
        let expected = ["name", "description", "code.files", "memory_mb", "timeout_seconds", "storage_mb", "subnets"];
        assert_eq!(paths, expected);
        assert!(function(serde_json::json!({})).check().is_empty());
        assert_eq!(LambdaFunction { code: None, ..function(serde_json::json!({})) }.check()[0].path, "code");
    }

    #[test]
    fn names_come_from_arns_of_functions_only() {
        assert_eq!(name_in("arn:aws:lambda:us-east-1:123456789012:function:acme-chat"), Some("acme-chat"));
        assert_eq!(name_in("arn:aws:lambda:us-east-1:123456789012:event-source-mapping:x"), None);
        assert_eq!(name_in("arn:aws:sns:us-east-1:123456789012:x"), None);
    }
}
