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
    ]), @"");
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
    ]), @"");
}

#[test]
fn what_holds_a_resource_is_to_be_deleted_or_the_resource_let_go_of() {
    let mut failure = Failure::new("ec2:DeleteVpc", "DependencyViolation", "it has dependencies");
    failure.held_by.push("instance i-1".to_owned());
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
