use super::*;

/// What a user reads of a failure of `vpc.main` in production.
fn told(failures: &[(&str, &str, &str)]) -> String {
    let address: Address = "vpc.main".parse().unwrap();
    let one = |(operation, code, message): &(&str, &str, &str)| {
        let failure = Failure::new(operation, code, *message);
        let text = of(&failure, Some("production"), Some(&address));
        format!("{code}: {}", text.unwrap_or_else(|| "-".to_owned()))
    };
    failures.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[test]
fn who_asks_and_from_where() {
    let no = "User: arn:aws:iam::1:user/ci is not authorized to perform: ec2:CreateVpc on resource: * because no \
        identity-based policy allows the ec2:CreateVpc action";
    insta::assert_snapshot!(told(&[
        ("sts:GetCallerIdentity", "NoCredentials", "dispatch failure: no providers in chain provided credentials"),
        ("sts:GetCallerIdentity", "ExpiredCredentials", "the SSO token has expired"),
        ("sts:GetCallerIdentity", "ExpiredToken", "The security token included in the request is expired"),
        ("ec2:CreateVpc", "RequestExpired", "Request has expired."),
        ("ec2:CreateVpc", "AuthFailure", "AWS was not able to validate the provided access credentials"),
        ("sts:GetCallerIdentity", "InvalidClientTokenId", "The security token included in the request is invalid"),
        ("sts:GetCallerIdentity", "SignatureDoesNotMatch", "The request signature we calculated does not match"),
        ("sts:GetCallerIdentity", "SignatureDoesNotMatch", "Signature expired: 2026 is now earlier than 2027"),
        ("ec2:DescribeVpcs", "OptInRequired", "You are not subscribed to this service"),
        ("ec2:CreateVpc", "AccessDenied", no),
        ("ec2:CreateVpc", "UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: 4Gz"),
        ("elb:CreateRule", "AccessDenied", "not authorized with an explicit deny in a service control policy"),
        ("elb:CreateRule", "AccessDenied", "not authorized with an explicit deny in an identity-based policy"),
        ("iam:CreateRole", "AccessDenied", "because no permissions boundary allows the iam:CreateRole action"),
        ("ecs:CreateService", "AccessDeniedException", ""),
        ("ec2:CreateVpc", "RequestLimitExceeded", "Request limit exceeded."),
        ("ecs:CreateService", "ThrottlingException", "Rate exceeded"),
        ("ec2:CreateVpc", "NoAnswer", "dispatch failure: io error: dns error: failed to lookup address information"),
        ("ec2:CreateVpc", "NoAnswer", "dispatch failure: invalid peer certificate: UnknownIssuer"),
        ("ec2:CreateVpc", "NoAnswer", "dispatch failure: tcp connect error: Connection refused"),
    ]), @r"
    NoCredentials: sign in first: `aws sso login`, a profile in AWS_PROFILE, a role in CI, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    ExpiredCredentials: the credentials have expired: sign in again (`aws sso login`, or assume the role again), then run the same command
    ExpiredToken: the credentials have expired: sign in again (`aws sso login`, or assume the role again), then run the same command
    RequestExpired: the credentials have expired, or this machine's clock is wrong: sign in again (`aws sso login`), look at the clock, then run the same command
    AuthFailure: AWS does not know these credentials here: check AWS_PROFILE and AWS_ACCESS_KEY_ID, whether the key was deleted, and whether the account has switched the region on
    InvalidClientTokenId: AWS does not know these credentials here: check AWS_PROFILE and AWS_ACCESS_KEY_ID, whether the key was deleted, and whether the account has switched the region on
    SignatureDoesNotMatch: the secret does not belong to the key: check AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and this machine's clock
    SignatureDoesNotMatch: this machine's clock is wrong, which AWS takes for a forged request: set it (`timedatectl set-ntp true`), then run the same command
    OptInRequired: the account has not switched this on: enable the region (Billing console > Account > AWS Regions) or sign up for the service, or mend `region` in the file
    AccessDenied: allow ec2:CreateVpc to the role or user that runs this; `infra policy production apply` prints the least policy that does (`plan` or `release` for those commands)
    UnauthorizedOperation: allow ec2:CreateVpc; which policy lacks it: aws sts decode-authorization-message --encoded-message. `infra policy production apply` prints all that is needed
    AccessDenied: a policy of the organisation forbids elasticloadbalancing:CreateRule: whoever runs the organisation has to allow it; no policy of this account can
    AccessDenied: a policy denies elasticloadbalancing:CreateRule expressly, which no other policy can allow: take it out of that one
    AccessDenied: the permissions boundary of this role or user forbids iam:CreateRole: add it there too
    AccessDeniedException: allow ecs:CreateService to the role or user that runs this; `infra policy production apply` prints the least policy that does (`plan` or `release` for those commands)
    RequestLimitExceeded: all who use the account together ask too often: wait a minute, then run the same command with less at once: --parallel 8
    ThrottlingException: all who use the account together ask too often: wait a minute, then run the same command with less at once: --parallel 8
    NoAnswer: the name could not be looked up: check the network, the VPN and the DNS of this machine, `region` in the file, and AWS_ENDPOINT_URL where it is set
    NoAnswer: the connection is not trusted, as behind a proxy that opens TLS: make its certificate known (SSL_CERT_FILE), or go around it
    NoAnswer: AWS could not be reached: check the network, the VPN and the firewall of this machine, and AWS_ENDPOINT_URL where it is set. Then run the same command: what was done is found
    ");
}

#[test]
fn what_is_wrong_with_the_resource() {
    insta::assert_snapshot!(told(&[
        ("ec2:CreateVpc", "VpcLimitExceeded", "The maximum number of VPCs has been reached."),
        ("ec2:AllocateAddress", "AddressLimitExceeded", "The maximum number of addresses has been reached."),
        ("ec2:AuthorizeSecurityGroupIngress", "RulesPerSecurityGroupLimitExceeded", ""),
        ("elb:CreateLoadBalancer", "TooManyLoadBalancers", ""),
        ("rds:CreateDBInstance", "InstanceQuotaExceededFault", ""),
        ("secrets:CreateSecret", "LimitExceededException", ""),
        ("waf:CreateWebACL", "WAFLimitsExceededException", ""),
        ("elb:CreateLoadBalancer", "InvalidConfigurationRequest", "The service linked role could not be made"),
        ("rds:CreateDBInstance", "InsufficientDBInstanceCapacity", ""),
        ("secrets:CreateSecret", "ResourceExistsException", ""),
        ("iam:CreateRole", "EntityAlreadyExists", ""),
        ("ec2:CreateSecurityGroup", "InvalidGroup.Duplicate", ""),
        ("ec2:DeleteVpc", "DependencyViolation", ""),
        ("ecs:DeleteCluster", "ClusterContainsServicesException", ""),
        ("apply", "DeadlineExceeded", ""),
        ("rds:ModifyDBInstance", "InvalidDBInstanceState", ""),
        ("ec2:CreateSubnet", "InvalidVpcID.NotFound", ""),
        ("ec2:CreateSubnet", "InvalidParameterValue", ""),
        ("ecs:RegisterTaskDefinition", "ClientException", ""),
        ("infra lock", "LockLost", ""),
        ("apply", "Defect", ""),
        ("apply", "Failed", "the deployment failed"),
    ]), @r"
    VpcLimitExceeded: the quota is reached: raise it in Service Quotas (Amazon VPC > VPCs per Region), or delete what nobody uses
    AddressLimitExceeded: the quota is reached: raise it in Service Quotas (Amazon EC2 > EC2-VPC Elastic IPs), or delete what nobody uses
    RulesPerSecurityGroupLimitExceeded: the quota is reached: raise it in Service Quotas (Amazon VPC > Inbound or outbound rules per security group), or delete what nobody uses
    TooManyLoadBalancers: the quota is reached: raise it in Service Quotas (Elastic Load Balancing > Application Load Balancers per Region), or delete what nobody uses
    InstanceQuotaExceededFault: the quota is reached: raise it in Service Quotas (Amazon RDS > DB instances), or delete what nobody uses
    LimitExceededException: a quota of secretsmanager is reached: raise it in Service Quotas, or delete what nobody uses
    WAFLimitsExceededException: a quota of wafv2 is reached: raise it in Service Quotas, or delete what nobody uses
    InvalidConfigurationRequest: make the role that AWS wants for this service once: aws iam create-service-linked-role --aws-service-name elasticloadbalancing.amazonaws.com
    InsufficientDBInstanceCapacity: AWS has none left in this zone now: try again later, or choose another class or zone
    ResourceExistsException: something of that name is there and is not this environment's: give vpc.main another `name`, or take it over with `infra adopt production vpc.main ID`
    EntityAlreadyExists: something of that name is there and is not this environment's: give vpc.main another `name`, or take it over with `infra adopt production vpc.main ID`
    InvalidGroup.Duplicate: something of that name is there and is not this environment's: give vpc.main another `name`, or take it over with `infra adopt production vpc.main ID`
    DependencyViolation: something still uses vpc.main: `infra drift production` lists what is foreign in the network; then run the same command
    ClusterContainsServicesException: something still uses vpc.main: `infra drift production` lists what is foreign in the network; then run the same command
    DeadlineExceeded: AWS may still be at it: run the same command again, which goes on where this one ended
    InvalidDBInstanceState: vpc.main is changing, or in a state that does not allow it: wait until AWS is done, then run the same command
    InvalidVpcID.NotFound: what vpc.main refers to is gone: `infra plan production` shows what is missing, and the same command makes it anew where the file has it
    InvalidParameterValue: AWS does not take a value of vpc.main: `infra explain production vpc.main` says which line of the file it comes from
    ClientException: AWS does not take a value of vpc.main: `infra explain production vpc.main` says which line of the file it comes from
    LockLost: look who writes with `infra lock production`, then run the same command: it goes on where this one ended
    Defect: this is a mistake of infra, not yours: report it with this text
    Failed: -
    ");
}

#[test]
fn what_holds_a_resource_is_to_be_deleted_or_the_resource_let_go_of() {
    let mut failure = Failure::new("ec2:DeleteVpc", "DependencyViolation", "it has dependencies");
    failure.held_by = Box::new(["instance i-1".to_owned()]);
    let address = "vpc.main".parse().unwrap();
    let remedy = of(&failure, Some("production"), Some(&address)).unwrap();
    assert!(remedy.ends_with("let go of this one: infra forget production vpc.main"), "{remedy}");
}

#[test]
fn codes_are_found_by_their_ends() {
    for (pattern, code, fit) in [
        ("Defect", "Defect", true),
        ("Defect", "Defects", false),
        ("Throttl*", "Throttling", true),
        ("*NotFound*", "InvalidVpcID.NotFound", true),
        ("*NotFound*", "DBInstanceNotFoundFault", true),
        ("*LimitExceeded", "LimitExceeded", true),
        ("*LimitExceeded", "LimitExceededException", false),
        ("Insufficient*Capacity*", "InsufficientDBInstanceCapacityFault", true),
        ("Insufficient*Capacity*", "InsufficientPrivileges", false),
    ] {
        assert_eq!(fits(pattern, code), fit, "{pattern} {code}");
    }
}
