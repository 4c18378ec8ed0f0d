//! Every call that reading an environment may make. Values of secrets, contents of buckets, images, logs and tables, and
//! what a message or a query would answer, are not among them.

/// Actions that show how things are configured.
pub(super) const READS: &[&str] = &[
    "acm:Describe*",
    "acm:List*",
    "application-autoscaling:Describe*",
    "application-autoscaling:List*",
    "backup:Describe*",
    "backup:GetBackup*",
    "backup:List*",
    "budgets:ListTagsForResource",
    "budgets:ViewBudget",
    "cloudtrail:Describe*",
    "cloudtrail:Get*",
    "cloudtrail:List*",
    "cloudwatch:Describe*",
    "cloudwatch:GetDashboard",
    "cloudwatch:List*",
    "dlm:Get*",
    "dlm:List*",
    "ec2:Describe*",
    "ecr:Describe*",
    "ecr:GetLifecyclePolicy",
    "ecr:GetRepositoryPolicy",
    "ecr:List*",
    "ecs:Describe*",
    "ecs:List*",
    "elasticache:Describe*",
    "elasticache:List*",
    "elasticloadbalancing:Describe*",
    "events:Describe*",
    "events:List*",
    "iam:Get*",
    "iam:List*",
    "kms:Describe*",
    "kms:GetKey*",
    "kms:List*",
    "lambda:Get*",
    "lambda:List*",
    "logs:Describe*",
    "logs:List*",
    "rds:Describe*",
    "rds:List*",
    "route53:Get*",
    "route53:List*",
    "s3:GetAccelerateConfiguration",
    "s3:GetBucket*",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:ListAllMyBuckets",
    "s3:ListBucket",
    "s3:ListTagsForResource",
    "scheduler:Get*",
    "scheduler:List*",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetResourcePolicy",
    "secretsmanager:ListSecrets",
    "servicediscovery:Get*",
    "servicediscovery:List*",
    "sns:Get*",
    "sns:List*",
    "ssm:DescribeParameters",
    "ssm:ListTagsForResource",
    "tag:GetResources",
    "wafv2:Describe*",
    "wafv2:Get*",
    "wafv2:List*",
    "xray:Get*",
    "xray:List*",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The names under which IAM knows what the code calls otherwise.
    const SERVICES: &[(&str, &str)] = &[
        ("autoscaling", "application-autoscaling"),
        ("elb", "elasticloadbalancing"),
        ("namespaces", "servicediscovery"),
        ("secrets", "secretsmanager"),
        ("tagging", "tag"),
        ("waf", "wafv2"),
    ];
    /// Where an operation asks for a right of another name.
    const ACTIONS: &[(&str, &str)] = &[
        ("s3:HeadBucket", "s3:ListBucket"),
        ("s3:ListBuckets", "s3:ListAllMyBuckets"),
        ("s3:GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
        ("s3:GetBucketEncryption", "s3:GetEncryptionConfiguration"),
        ("s3:GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
    ];

    fn allowed(action: &str) -> bool {
        READS.iter().any(|read| match read.strip_suffix('*') {
            Some(start) => action.starts_with(start),
            None => *read == action,
        })
    }

    /// Operations in the source of the kinds, as in `"ecs:DescribeServices"`.
    fn operations(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                operations(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            let calls = text.split("aws.call(\"").chain(text.split(".call(\"")).skip(1);
            found.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }

    #[test]
    fn a_plan_may_read_what_the_kinds_read() {
        let mut found = Vec::new();
        operations(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds"), &mut found);
        let verbs = ["Describe", "Get", "List", "Head", "BatchGet"];
        let mut missing: Vec<String> = Vec::new();
        let mut seen = 0;
        for call in &found {
            let Some((service, operation)) = call.split_once(':') else { continue };
            if !verbs.iter().any(|verb| operation.starts_with(verb)) {
                continue;
            }
            seen += 1;
            let service = SERVICES.iter().find(|(ours, _)| *ours == service).map_or(service, |(_, iam)| iam);
            let action = format!("{service}:{operation}");
            let action = ACTIONS.iter().find(|(call, _)| *call == action).map_or(action.as_str(), |(_, right)| right);
            if !allowed(action) {
                missing.push(action.to_owned());
            }
        }
        assert!(seen > 50, "the calls are found: {seen}");
        assert_eq!(missing, [""; 0], "add them to READS");
    }

    #[test]
    fn nothing_secret_can_be_read() {
        for secret in [
            "secretsmanager:GetSecretValue",
            "secretsmanager:BatchGetSecretValue",
            "ssm:GetParameter",
            "s3:GetObject",
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "logs:GetLogEvents",
            "logs:FilterLogEvents",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer",
            "ecr:GetAuthorizationToken",
        ] {
            assert!(!allowed(secret), "{secret}");
        }
    }
}
