//! Everything that all kinds share in talking to AWS: configuration, one lazy client a service, limits on what is in
//! flight, and the classification of errors. It honours `AWS_ENDPOINT_URL` and the standard credential chain.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::{OnceCell, Semaphore};

use crate::kind::{Class, Failure, Result};
use crate::tags::{self, Adopting, Tagged, Tags};

/// Tries of one request that AWS throttles or answers with a 5xx, the first included.
const ATTEMPTS: u32 = 8;
/// The longest pause between two tries.
const BACKOFF: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests in flight to one service; ELB, IAM and Route 53 have small account-wide buckets.
const IN_FLIGHT: usize = 16;
const IN_FLIGHT_FEW: usize = 6;

macro_rules! clients {
    ($($name:ident: $krate:ident),* $(,)?) => {
        /// The clients of one region, each made when first used.
        pub struct Aws {
            config: SdkConfig,
            reads_only: bool,
            adopting: Option<Adopting>,
            limits: Mutex<HashMap<String, Arc<Semaphore>>>,
            elsewhere: Mutex<HashMap<String, Arc<Aws>>>,
            $($name: OnceLock<$krate::Client>,)*
        }

        impl Aws {
            /// Clients with this configuration.
            #[must_use]
            pub fn new(config: SdkConfig) -> Self {
                Self {
                    config,
                    reads_only: false,
                    adopting: None,
                    limits: Mutex::default(),
                    elsewhere: Mutex::default(),
                    $($name: OnceLock::new(),)*
                }
            }

            $(pub fn $name(&self) -> &$krate::Client {
                self.$name.get_or_init(|| {
                    let config = $krate::config::Builder::from(&self.config);
                    let config = if self.reads_only { config.interceptor(ReadsOnly) } else { config };
                    $krate::Client::from_conf(config.build())
                })
            })*
        }
    };
}

clients! {
    acm: aws_sdk_acm,
    autoscaling: aws_sdk_applicationautoscaling,
    backup: aws_sdk_backup,
    cloudtrail: aws_sdk_cloudtrail,
    cloudwatch: aws_sdk_cloudwatch,
    ec2: aws_sdk_ec2,
    ecr: aws_sdk_ecr,
    ecs: aws_sdk_ecs,
    elasticache: aws_sdk_elasticache,
    elb: aws_sdk_elasticloadbalancingv2,
    events: aws_sdk_eventbridge,
    iam: aws_sdk_iam,
    kms: aws_sdk_kms,
    lambda: aws_sdk_lambda,
    logs: aws_sdk_cloudwatchlogs,
    namespaces: aws_sdk_servicediscovery,
    rds: aws_sdk_rds,
    route53: aws_sdk_route53,
    s3: aws_sdk_s3,
    scheduler: aws_sdk_scheduler,
    secrets: aws_sdk_secretsmanager,
    sns: aws_sdk_sns,
    ssm: aws_sdk_ssm,
    sts: aws_sdk_sts,
    tagging: aws_sdk_resourcegroupstagging,
    waf: aws_sdk_wafv2,
    xray: aws_sdk_xray,
}

impl Aws {
    /// Clients for `region`, with the credentials of the standard chain.
    pub async fn connect(region: &str) -> Self {
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(BACKOFF))
            .timeout_config(timeouts)
            .load()
            .await;
        Self::new(config)
    }

    /// Clients of the same place that can only look: whatever would write is refused before anything is sent.
    #[must_use]
    pub fn reads_only(&self) -> Self {
        Self { reads_only: true, ..Self::new(self.config.clone()) }
    }

    /// The same account in another region. What is global (Route 53, `CloudFront`'s certificates) is asked in us-east-1.
    pub fn in_region(&self, region: &str) -> Arc<Self> {
        let mut elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        let there = || {
            let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
            let adopting = self.adopting.clone();
            Arc::new(Self { reads_only: self.reads_only, adopting, ..Self::new(config) })
        };
        elsewhere.entry(region.to_owned()).or_insert_with(there).clone()
    }

    /// The same clients, to which what is nobody's is what is being adopted.
    #[must_use]
    pub fn with_adopting(&self, adopting: Adopting) -> Self {
        Self { adopting: Some(adopting), ..Self::new(self.config.clone()) }
    }

    /// What is being adopted through these clients.
    pub fn adopting(&self) -> Option<&Adopting> {
        self.adopting.as_ref()
    }

    /// Who the resource with these tags is.
    #[must_use]
    pub fn tagged(&self, tags: &Tags) -> Option<Tagged> {
        tags::decode(tags).or_else(|| Some(self.adopting.as_ref()?.claim(tags)))
    }

    /// Awaits one request within its service's limit, and classifies its failure. `operation` is `service:Operation`.
    pub async fn call<T, E>(
        &self,
        operation: &str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let limit = self.limit(operation);
        let _permit = limit.acquire().await;
        // Boxed, since the futures of requests are large and would stand within those of whoever calls.
        Box::pin(request).await.map_err(|error| failure(operation, &error))
    }

    fn limit(&self, operation: &str) -> Arc<Semaphore> {
        let service = operation.split(':').next().unwrap_or_default();
        let few = matches!(service, "elb" | "iam" | "route53");
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limits.entry(service.to_owned());
        limit.or_insert_with(|| Arc::new(Semaphore::new(if few { IN_FLIGHT_FEW } else { IN_FLIGHT }))).clone()
    }
}

/// How the names of operations begin that only look.
const READS: [&str; 6] = ["BatchGet", "Describe", "FilterLogEvents", "Get", "Head", "List"];

/// Stands between a command that must not write and what is sent. It goes by the operation itself, not by what a caller
/// says of it.
#[derive(Debug)]
struct ReadsOnly;

#[dyn_dispatch_hint]
impl Intercept for ReadsOnly {
    fn name(&self) -> &'static str {
        "ReadsOnly"
    }

    fn read_before_serialization(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        if READS.iter().any(|start| operation.starts_with(start)) {
            return Ok(());
        }
        Err(format!("this command only reads, and {operation:?} is no read: nothing was sent").into())
    }
}

/// For creates that nothing protects from being executed twice: one try, so that a lost answer is seen, not repeated.
#[must_use]
pub fn one_try() -> RetryConfig {
    RetryConfig::disabled()
}

fn failure<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let request_id = error.request_id().map(str::to_owned);
    let SdkError::ServiceError(service) = error else {
        let mut message = chain(error);
        let unsent = matches!(error, SdkError::ConstructionFailure(_)).then_some("InvalidRequest");
        let unsent = unsent.or_else(|| unsigned(&message));
        if unsent == Some("NoCredentials") {
            // Below it stands where they were looked for, in the words of the SDK.
            "no credentials were found: not in the environment, no profile, no role".clone_into(&mut message);
        }
        let class = if unsent.is_some() { Class::Fatal } else { Class::Unanswered };
        return Failure { request_id, ..Failure::new(operation, unsent.unwrap_or("NoAnswer"), message).class(class) };
    };
    let status = service.raw().status().as_u16();
    let code = service.err().code().map_or_else(|| format!("Http{status}"), str::to_owned);
    let message = service.err().message().unwrap_or_default().to_owned();
    let class = if status >= 500 && !THROTTLES.contains(&code.as_str()) {
        Class::Unanswered
    } else {
        classify(&code, &message)
    };
    Failure { request_id, ..Failure::new(operation, &code, message).class(class) }
}

/// The code for a request that was not sent for want of credentials. The SDK has only words for that.
fn unsigned(message: &str) -> Option<&'static str> {
    let message = message.to_lowercase();
    if message.contains("no providers in chain provided credentials")
        || message.contains("no credentials found in chain")
    {
        return Some("NoCredentials");
    }
    let asks = ["credentials", "sso", "token"].iter().any(|word| message.contains(word));
    (asks && message.contains("expired")).then_some("ExpiredCredentials")
}

/// A failure that a service tells within an answer that is a success as a whole.
pub(crate) fn partial(operation: &str, code: Option<&str>, message: Option<&str>) -> Failure {
    let (code, message) = (code.unwrap_or("Unknown"), message.unwrap_or_default());
    Failure::new(operation, code, message).class(classify(code, message))
}

/// An error and what caused it, each said once.
fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        source = error.source();
    }
    texts.join(": ")
}

/// Codes by which services say "slow down". The SDK has retried them already, except in [`one_try`] requests.
const THROTTLES: &[&str] = &[
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes that say something else must finish first.
const BUSY: &[&str] = &[
    "CacheSubnetGroupInUse",
    "ClusterContainsServicesException",
    "ClusterContainsTasksException",
    "ConcurrentModification",
    "ConcurrentModificationException",
    "ConcurrentMutationLimitExceeded",
    "ConcurrentUpdateException",
    // CloudTrail, of a trail that it is still at.
    "ConflictException",
    "DeleteConflict",
    "DependencyTimeoutException",
    "DependencyViolation",
    "EntityTemporarilyUnmodifiable",
    // Route 53, of a zone that an earlier try has made: the next look finds it.
    "HostedZoneAlreadyExists",
    "IncorrectState",
    "InsufficientEncryptionPolicyException",
    "InsufficientS3BucketPolicyException",
    "InvalidCacheClusterState",
    "InvalidCacheParameterGroupState",
    "InvalidDBInstanceState",
    "InvalidDBParameterGroupState",
    "InvalidDBSubnetGroupStateFault",
    "InvalidGroup.InUse",
    "InvalidIPAddress.InUse",
    "OperationAborted",
    "InvalidReplicationGroupState",
    "OperationAbortedException",
    "OperationNotPermittedException.Busy",
    "ResourceInUse",
    "ResourceInUseException",
    "TargetGroupAssociationLimit",
    "TooManyUpdates",
    "UpdateInProgressException",
    "WAFAssociatedItemException",
    "WAFOptimisticLockException",
    "WAFUnavailableEntityException",
];

/// Messages under general codes that mean a new role, policy, target group or certificate is not visible everywhere yet.
const BUSY_MESSAGES: &[&str] = &[
    "unable to assume",
    "service linked role",
    "does not have an associated load balancer",
    "while deployments are active",
    "still draining",
    "proper permissions",
    "mapped public address",
    "scheduled for deletion",
    "invalid principal",
    "unsupported principal",
    "already scheduled for deletion",
    "is not allowed to be used with",
    "kms key id could not be found",
    "cannot be assumed by aws backup",
    "cannot be assumed by lambda",
    "cannot be performed at this time",
    "does not have permissions to call createnetworkinterface",
    "kms key is invalid for creategrant",
    // A service of ECS that the scaler does not see yet.
    "ecs service doesn't exist",
    "eventbridge scheduler to assume",
    "composite alarm(s) depending on",
    "in the alarm rule do not exist",
    // EventBridge forgets late which targets were removed.
    "can't be deleted since it has targets",
];

fn classify(code: &str, message: &str) -> Class {
    let missing = code.ends_with("NotFound")
        || code.ends_with("NotFoundFault")
        || code.ends_with("NotFoundException")
        || code == "NoSuchEntity"
        || code == "NoSuchBucket"
        || code == "NoSuchHostedZone"
        || code == "WAFNonexistentItemException"
        || code == "ServiceNotActiveException"
        || code == "Gateway.NotAttached";
    let message = message.to_lowercase();
    if missing {
        Class::NotFound
    } else if BUSY.contains(&code)
        || THROTTLES.contains(&code)
        || BUSY_MESSAGES.iter().any(|part| message.contains(part))
    {
        Class::Busy
    } else {
        Class::Fatal
    }
}

type Slot = Arc<OnceCell<Arc<dyn Any + Send + Sync>>>;

/// Reads that several kinds share, made once a plan.
#[derive(Default)]
pub struct Memo(Mutex<HashMap<&'static str, Slot>>);

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memo")
    }
}

impl Memo {
    /// The result of the read named `key`, made by whoever asks first. A key stands for one type.
    pub async fn get<T, F>(&self, key: &'static str, read: impl FnOnce() -> F) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let value = slot
            .get_or_try_init(|| async { Ok::<_, Failure>(Arc::new(read().await?) as Arc<dyn Any + Send + Sync>) })
            .await?;
        Arc::clone(value)
            .downcast()
            .map_err(|_| Failure::new(key, "Defect", "two reads of different types share a key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_signed_in_is_told_from_a_network_that_fails() {
        for (message, code) in [
            (
                "dispatch failure: other: the credential provider was not enabled: no credentials found in chain.",
                "NoCredentials",
            ),
            ("dispatch failure: the SSO token has expired or is invalid", "ExpiredCredentials"),
            ("dispatch failure: io error: dns error: failed to lookup address information", ""),
            ("dispatch failure: invalid peer certificate: Expired", ""),
        ] {
            assert_eq!(unsigned(message).unwrap_or_default(), code, "{message}");
        }
    }

    #[test]
    fn codes_are_classified() {
        for (code, message, class) in [
            ("InvalidVpcID.NotFound", "", Class::NotFound),
            ("DBSubnetGroupNotFoundFault", "", Class::NotFound),
            ("NoSuchEntity", "", Class::NotFound),
            ("DependencyViolation", "", Class::Busy),
            ("InvalidParameterException", "ECS was unable to assume the role", Class::Busy),
            ("InvalidParameterException", "The cpu is invalid", Class::Fatal),
            ("InvalidParameterValueException", "The role cannot be assumed by Lambda.", Class::Busy),
            ("ResourceConflictException", "The operation cannot be performed at this time.", Class::Busy),
            ("ResourceConflictException", "Function already exist: acme-chat", Class::Fatal),
            ("ValidationException", "ECS service doesn't exist: service/main/api", Class::Busy),
            ("ValidationException", "The role must allow AWS EventBridge Scheduler to assume the role.", Class::Busy),
            ("ConflictException", "The trail is being updated", Class::Busy),
            ("ValidationException", "Rule can't be deleted since it has targets.", Class::Busy),
            ("AccessDenied", "", Class::Fatal),
            ("LimitExceeded", "too many roles", Class::Fatal),
        ] {
            assert_eq!(classify(code, message), class, "{code} {message}");
        }
    }
}
