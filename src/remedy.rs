//! What to do about a failure: one table from AWS's codes and words to a sentence. `{env}`, `{address}`, `{service}` and
//! `{action}` in it are filled in.

use crate::address::Address;
use crate::kind::{Class, Failure};
use crate::rights;

/// Where what the codes say has a remedy. The first that fits is taken.
struct Remedy {
    /// Codes of AWS and of our own; one that begins with `*` is the end of a code, one that ends with it a beginning.
    codes: &'static [&'static str],
    /// What the message must hold, in lower case: one of these, where there are any.
    says: &'static [&'static str],
    what: &'static str,
}

const fn code(codes: &'static [&'static str], what: &'static str) -> Remedy {
    Remedy { codes, says: &[], what }
}

const fn says(codes: &'static [&'static str], says: &'static [&'static str], what: &'static str) -> Remedy {
    Remedy { codes, says, what }
}

const SIGN_IN: &str = "sign in first: `aws sso login`, a profile in AWS_PROFILE, a role in CI, or AWS_ACCESS_KEY_ID and \
    AWS_SECRET_ACCESS_KEY";
const SIGN_IN_AGAIN: &str = "the credentials have expired: sign in again (`aws sso login`, or assume the role again), then \
    run the same command";
const CLOCK: &str = "this machine's clock is wrong, which AWS takes for a forged request: set it (`timedatectl set-ntp \
    true`), then run the same command";
const DENIED: &[&str] =
    &["AccessDenied*", "Unauthorized*", "NotAuthorized*", "AuthorizationError*", "KMSAccessDenied*"];
const NO_ANSWER: &[&str] = &["NoAnswer"];

/// What has to do with who asks, from where, and how often.
const WHO: &[Remedy] = &[
    code(&["NoCredentials", "MissingAuthenticationToken"], SIGN_IN),
    code(&["ExpiredCredentials", "ExpiredToken*", "TokenRefreshRequired"], SIGN_IN_AGAIN),
    code(&["RequestExpired"], EXPIRED),
    code(&["RequestTimeTooSkewed", "RequestInTheFuture"], CLOCK),
    says(&[], &["signature not yet current", "signature expired", "is not yet valid", "clock skew"], CLOCK),
    code(&["OptInRequired", "SubscriptionRequired*", "RegionDisabled*"], REGION),
    code(&["InvalidClientTokenId", "UnrecognizedClient*", "InvalidAccessKeyId", "AuthFailure"], KEYS),
    code(&["SignatureDoesNotMatch", "InvalidSignature*", "IncompleteSignature*"], SECRET),
    code(&["PendingVerification", "Blocked", "BadAccountState", "AccountProblem", "NotSignedUp"], ACCOUNT),
    says(DENIED, &["encoded authorization failure"], DECODE),
    says(DENIED, &["service control policy", "resource control policy"], ORGANISATION),
    says(DENIED, &["permissions boundary"], BOUNDARY),
    says(DENIED, &["explicit deny"], DENY),
    code(DENIED, ALLOW),
    says(&[], &["is not authorized to perform"], ALLOW),
    code(THROTTLED, SLOWER),
    says(NO_ANSWER, &["dns", "lookup address", "name resolution"], DNS),
    says(NO_ANSWER, &["certificate", "unknownissuer", "tls"], TLS),
    says(NO_ANSWER, &["loading credentials"], METADATA),
    code(NO_ANSWER, NETWORK),
];

const EXPIRED: &str = "the credentials have expired, or this machine's clock is wrong: sign in again (`aws sso login`), look at \
    the clock, then run the same command";
const REGION: &str = "the account has not switched this on: enable the region (Billing console > Account > AWS Regions) or \
    sign up for the service, or mend `region` in the file";
const KEYS: &str = "AWS does not know these credentials here: check AWS_PROFILE and AWS_ACCESS_KEY_ID, whether the key was \
    deleted, and whether the account has switched the region on";
const SECRET: &str = "the secret does not belong to the key: check AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and this \
    machine's clock";
const ACCOUNT: &str = "the account itself is not usable: look at the mails of AWS, or open a case with AWS Support";
const DECODE: &str = "allow {action}; which policy lacks it: aws sts decode-authorization-message --encoded-message. `infra \
    policy {env} apply` prints all that is needed";
const ORGANISATION: &str = "a policy of the organisation forbids {action}: whoever runs the organisation has to allow it; no \
    policy of this account can";
const BOUNDARY: &str = "the permissions boundary of this role or user forbids {action}: add it there too";
const DENY: &str = "a policy denies {action} expressly, which no other policy can allow: take it out of that one";
const ALLOW: &str = "allow {action} to the role or user that runs this; `infra policy {env} apply` prints the least policy \
    that does (`plan` or `release` for those commands)";
const THROTTLED: &[&str] = &[
    "Throttl*",
    "*Throttled",
    "*ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled*",
    "SlowDown",
    "TooManyRequests*",
    "PriorRequestNotComplete",
    "TooManyUpdates",
    "BandwidthLimitExceeded",
];
const SLOWER: &str = "all who use the account together ask too often: wait a minute, then run the same command with less at \
    once: --parallel 8";
const DNS: &str = "the name could not be looked up: check the network, the VPN and the DNS of this machine, `region` in the \
    file, and AWS_ENDPOINT_URL where it is set";
const TLS: &str = "the connection is not trusted, as behind a proxy that opens TLS: make its certificate known (SSL_CERT_FILE), \
    or go around it";
const METADATA: &str = "no credentials could be fetched: check the network, and sign in (`aws sso login`), or name a profile \
    in AWS_PROFILE";
const NETWORK: &str = "AWS could not be reached: check the network, the VPN and the firewall of this machine, and \
    AWS_ENDPOINT_URL where it is set. Then run the same command: what was done is found";

/// Quotas, by their names in Service Quotas.
const QUOTAS: &[(&[&str], &str)] = &[
    (&["VpcLimitExceeded"], "Amazon VPC > VPCs per Region"),
    (&["AddressLimitExceeded"], "Amazon EC2 > EC2-VPC Elastic IPs"),
    (&["NatGatewayLimitExceeded"], "Amazon VPC > NAT gateways per Availability Zone"),
    (&["InternetGatewayLimitExceeded"], "Amazon VPC > Internet gateways per Region"),
    (&["SubnetLimitExceeded"], "Amazon VPC > Subnets per VPC"),
    (&["RouteTableLimitExceeded"], "Amazon VPC > Route tables per VPC"),
    (&["RouteLimitExceeded"], "Amazon VPC > Routes per route table"),
    (&["SecurityGroupLimitExceeded"], "Amazon VPC > VPC security groups per Region"),
    (&["RulesPerSecurityGroupLimitExceeded"], "Amazon VPC > Inbound or outbound rules per security group"),
    (&["SecurityGroupsPerInterfaceLimitExceeded"], "Amazon VPC > Security groups per network interface"),
    (&["VpcEndpointLimitExceeded"], "Amazon VPC > Interface VPC endpoints per VPC"),
    (&["TooManyLoadBalancers*"], "Elastic Load Balancing > Application Load Balancers per Region"),
    (&["TooManyTargetGroups*"], "Elastic Load Balancing > Target Groups per Region"),
    (&["TooManyListeners*"], "Elastic Load Balancing > Listeners per Application Load Balancer"),
    (&["TooManyRules*"], "Elastic Load Balancing > Rules per Application Load Balancer"),
    (&["InstanceQuotaExceeded*"], "Amazon RDS > DB instances"),
    (&["StorageQuotaExceeded*"], "Amazon RDS > Total storage for all DB instances"),
    (&["SnapshotQuotaExceeded*"], "Amazon RDS > Manual DB instance snapshots"),
    (&["NodeQuotaFor*"], "Amazon ElastiCache > Nodes per Region"),
    (&["TooManyHostedZones"], "Amazon Route 53 > Hosted zones per account"),
    (&["TooManyBuckets"], "Amazon S3 > General purpose buckets"),
    (&["VcpuLimitExceeded"], "Amazon EC2 > Running On-Demand Standard instances"),
];
/// How all others say that there is too much.
const QUOTA: &[&str] = &[
    "*LimitExceeded",
    "*LimitExceededException",
    "*QuotaExceeded*",
    "ServiceQuota*",
    "TooMany*",
    "*LimitExceededFault",
    "*LimitsExceeded*",
];

const INVALID: &[&str] = &[
    "Invalid*",
    "Validation*",
    "Malformed*",
    "Missing*",
    "*InvalidParameter*",
    "ClientException",
    "Unsupported*",
    "UnknownParameter*",
    "Incompatible*",
];
const STATE: &[&str] = &["*State", "*StateFault", "*StateException", "IncorrectState*", "OperationInProgress*"];
const SUFFICIENT: &[&str] = &["Insufficient*Capacity*", "InsufficientCapacity*", "InsufficientDBInstanceCapacity*"];

/// What has to do with the resource.
const WHAT: &[Remedy] = &[
    says(
        &[],
        &["service linked role", "service-linked role"],
        "make the role that AWS wants for this service once: aws iam \
        create-service-linked-role --aws-service-name {principal}",
    ),
    code(SUFFICIENT, "AWS has none left in this zone now: try again later, or choose another class or zone"),
    says(
        &[],
        &["not supported in the requested availability zone", "not available in"],
        "this zone or region does not have \
        it: choose another class, version or zone",
    ),
    code(
        &[
            "*AlreadyExists*",
            "ResourceExists*",
            "*AlreadyExist",
            "*Duplicate*",
            "NameTaken",
            "Taken",
            "*AlreadyOwnedByYou",
            "HeldByOthers",
        ],
        ADOPT,
    ),
    code(
        IN_USE,
        "something still uses {address}: `infra drift {env}` lists what is foreign in the network; then run the \
        same command",
    ),
    code(
        &["DeadlineExceeded"],
        "AWS may still be at it: run the same command again, which goes on where this one ended",
    ),
    code(&["Vanished"], "somebody has deleted it meanwhile: run the same command again, which makes it anew"),
    code(
        &["Interrupted", "LockLost", "Overtaken"],
        "look who writes with `infra lock {env}`, then run the same command: it \
        goes on where this one ended",
    ),
    code(&["Defect", "UnknownKind"], "this is a mistake of infra, not yours: report it with this text"),
    code(
        &["DisabledException", "KMSInvalidState*", "KeyUnavailable*", "KMSDisabled*"],
        "the KMS key is disabled or waits for \
        its deletion: enable it, or `aws kms cancel-key-deletion`",
    ),
    code(
        &["OperationNotPermitted*"],
        "AWS protects it, or a service owns it: switch the protection off where it is named",
    ),
    code(
        STATE,
        "{address} is changing, or in a state that does not allow it: wait until AWS is done, then run the same \
        command",
    ),
    code(
        &["*NotFound*", "NoSuch*"],
        "what {address} refers to is gone: `infra plan {env}` shows what is missing, and the same \
        command makes it anew where the file has it",
    ),
    code(
        INVALID,
        "AWS does not take a value of {address}: `infra explain {env} {address}` says which line of the file it \
        comes from",
    ),
];

const ADOPT: &str = "something of that name is there and is not this environment's: give {address} another `name`, or take \
    it over with `infra adopt {env} {address} ID`";
const IN_USE: &[&str] = &[
    "DependencyViolation",
    "*InUse*",
    "DeleteConflict*",
    "*AssociatedItem*",
    "*Contains*",
    "HasDependents*",
    "CannotDelete*",
];

/// What to do about a failure, where there is more to say than AWS does.
#[must_use]
pub fn of(failure: &Failure, environment: Option<&str>, address: Option<&Address>) -> Option<String> {
    let text = if failure.held_by.is_empty() {
        let quota = QUOTAS.iter().find(|(codes, _)| codes.iter().any(|code| fits(code, &failure.code)));
        let table = || find(WHO, failure).or_else(|| general_quota(failure)).or_else(|| find(WHAT, failure));
        match quota {
            Some((_, name)) => {
                format!("the quota is reached: raise it in Service Quotas ({name}), or delete what nobody uses")
            }
            None => table().or_else(|| fault_of_aws(failure))?,
        }
    } else {
        "delete or detach that, then run the same command; or let go of this one: infra forget {env} {address}"
            .to_owned()
    };
    let (env, address) = (environment.unwrap_or("ENV"), address.map_or("ADDRESS".to_owned(), ToString::to_string));
    let service = service(failure);
    let text = text.replace("{env}", env).replace("{address}", &address).replace("{action}", &action(failure));
    Some(text.replace("{principal}", principal(service)).replace("{service}", service))
}

fn find(table: &[Remedy], failure: &Failure) -> Option<String> {
    let message = failure.message.to_lowercase();
    let fit = table.iter().find(|one| {
        let codes = one.codes.is_empty() || one.codes.iter().any(|code| fits(code, &failure.code));
        codes && (one.says.is_empty() || one.says.iter().any(|part| message.contains(part)))
    });
    fit.map(|one| one.what.to_owned())
}

fn general_quota(failure: &Failure) -> Option<String> {
    let is = QUOTA.iter().any(|code| fits(code, &failure.code));
    is.then(|| "a quota of {service} is reached: raise it in Service Quotas, or delete what nobody uses".to_owned())
}

/// A 5xx that stayed one over all tries.
fn fault_of_aws(failure: &Failure) -> Option<String> {
    (failure.class == Class::Unanswered).then(|| {
        "AWS failed over and over: see https://health.aws.amazon.com/health/status, then run the same command: what was done \
         is found"
            .to_owned()
    })
}

/// Whether a code is this one, with `*` for whatever stands there.
fn fits(pattern: &str, code: &str) -> bool {
    let mut rest = code;
    let mut parts = pattern.split('*').enumerate().peekable();
    while let Some((at, part)) = parts.next() {
        let found = match (at, parts.peek()) {
            (0, None) => return code == part,
            (0, _) => rest.strip_prefix(part),
            (_, None) => return rest.ends_with(part),
            _ => rest.find(part).map(|at| &rest[at + part.len()..]),
        };
        match found {
            Some(left) => rest = left,
            None => return false,
        }
    }
    true
}

fn service(failure: &Failure) -> &str {
    rights::service(failure.operation.split(':').next().unwrap_or_default())
}

/// The service as the owner of a role.
fn principal(service: &str) -> &'static str {
    match service {
        "ecs" => "ecs.amazonaws.com",
        "rds" => "rds.amazonaws.com",
        "elasticache" => "elasticache.amazonaws.com",
        "application-autoscaling" => "ecs.application-autoscaling.amazonaws.com",
        "elasticloadbalancing" => "elasticloadbalancing.amazonaws.com",
        _ => "SERVICE.amazonaws.com",
    }
}

/// What a policy has to allow: AWS names it, or else it is called like the operation.
fn action(failure: &Failure) -> String {
    let named = failure.message.split_once("to perform: ").and_then(|(_, rest)| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != ':' && c != '-').unwrap_or(rest.len());
        rest[..end].contains(':').then(|| rest[..end].to_owned())
    });
    named.unwrap_or_else(|| {
        let operation = failure.operation.split_once(':').map_or(failure.operation.as_str(), |(_, name)| name);
        format!("{}:{operation}", service(failure))
    })
}

#[cfg(test)]
mod tests;
