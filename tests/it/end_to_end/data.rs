//! Database, secrets and the key that encrypts them.

use std::collections::BTreeMap;

use aws_sdk_kms::types::KeyMetadata;
use infra::aws::Aws;

use super::compute::statements;
use super::firewalls::Groups;
use super::network::Network;

/// Checks the row, and returns the ARN of the key.
pub async fn check(aws: &Aws, network: &Network, groups: &Groups) -> String {
    let key = key(aws).await;
    database(aws, network, groups, &key).await;
    parameters(aws).await;
    secrets(aws, &key).await;
    rotation(aws, &key).await;
    key
}

async fn key(aws: &Aws) -> String {
    let request = aws.kms().describe_key().key_id("alias/acme-production-main");
    let key: KeyMetadata = request.send().await.unwrap().key_metadata.unwrap();
    assert!(key.enabled());
    let rotation = aws.kms().get_key_rotation_status().key_id(key.key_id()).send().await.unwrap();
    assert_eq!((rotation.key_rotation_enabled(), rotation.rotation_period_in_days()), (true, Some(365)));
    key.arn().unwrap().to_owned()
}

async fn database(aws: &Aws, network: &Network, groups: &Groups, key: &str) {
    let instances = aws.rds().describe_db_instances().send().await.unwrap().db_instances.unwrap();
    let [instance] = &instances[..] else { panic!("{instances:?}") };
    assert_eq!(instance.db_instance_identifier(), Some("acme-production-main"));
    assert_eq!(instance.engine(), Some("postgres"));
    let version = instance.engine_version().unwrap();
    assert!(version == "15" || version.starts_with("15."), "{version}");
    assert_eq!(instance.db_instance_class(), Some("db.t4g.medium"));
    assert_eq!((instance.allocated_storage(), instance.storage_type()), (Some(100), Some("gp3")));
    assert_eq!((instance.multi_az(), instance.publicly_accessible()), (Some(true), Some(false)));
    assert_eq!((instance.storage_encrypted(), instance.kms_key_id()), (Some(true), Some(key)));
    assert_eq!(instance.db_name(), Some("app"));
    assert_eq!(instance.backup_retention_period(), Some(7));
    assert_eq!(instance.preferred_backup_window(), Some("02:00-03:00"));
    assert_eq!(instance.preferred_maintenance_window(), Some("sun:03:30-sun:04:30"));
    assert_eq!(instance.deletion_protection(), Some(true));
    assert_eq!(instance.copy_tags_to_snapshot(), Some(true));
    assert_eq!(instance.enabled_cloudwatch_logs_exports(), ["postgresql"]);
    let firewalls: Vec<_> =
        instance.vpc_security_groups().iter().map(|group| group.vpc_security_group_id().unwrap()).collect();
    assert_eq!(firewalls, [groups["db-main"].as_str()]);
    let placed = instance.db_subnet_group().unwrap();
    assert_eq!(placed.vpc_id(), Some(network.vpc.as_str()));
    let mut subnets: Vec<_> =
        placed.subnets().iter().map(|subnet| subnet.subnet_identifier().unwrap().to_owned()).collect();
    subnets.sort();
    assert_eq!(subnets, network.tier("data"));
    let parameters = instance.db_parameter_groups()[0].db_parameter_group_name().unwrap();
    assert!(parameters.starts_with("acme-production-main-"), "{parameters}");
    let password = instance.master_user_secret().expect("RDS keeps the master password, no file does");
    assert_eq!(password.kms_key_id(), Some(key));
}

async fn parameters(aws: &Aws) {
    let groups = aws.rds().describe_db_parameter_groups().send().await.unwrap().db_parameter_groups.unwrap();
    let ours: Vec<_> = groups
        .iter()
        .filter(|group| group.db_parameter_group_name().unwrap().starts_with("acme-production-"))
        .collect();
    let [group] = &ours[..] else { panic!("{groups:?}") };
    assert_eq!(group.db_parameter_group_family(), Some("postgres15"));
    let request = aws.rds().describe_db_parameters().source("user");
    let set = request.db_parameter_group_name(group.db_parameter_group_name().unwrap()).send().await.unwrap();
    let set: BTreeMap<&str, &str> =
        set.parameters().iter().map(|one| (one.parameter_name().unwrap(), one.parameter_value().unwrap())).collect();
    let expected =
        [("log_connections", "1"), ("log_disconnections", "1"), ("max_connections", "400"), ("rds.force_ssl", "1")];
    assert_eq!(set, BTreeMap::from(expected), "TLS is enforced and connections are logged");
}

async fn secrets(aws: &Aws, key: &str) {
    for name in ["acme-production-jwt", "acme-production-payments"] {
        let secret = aws.secrets().describe_secret().secret_id(name).send().await.unwrap();
        assert_eq!(secret.kms_key_id(), Some(key), "{name}");
    }
    let value = aws.secrets().get_secret_value().secret_id("acme-production-jwt").send().await.unwrap();
    let value = value.secret_string().unwrap();
    assert!(value.len() == 64 && value.chars().all(|c| c.is_ascii_alphanumeric()), "64 letters and digits");
    // Nobody has set it yet.
    let payments = aws.secrets().get_secret_value().secret_id("acme-production-payments").send().await;
    assert!(payments.unwrap_err().into_service_error().is_resource_not_found_exception());
}

/// The database's credentials change every 30 days, by a function that may do no more than that.
async fn rotation(aws: &Aws, key: &str) {
    let secret = aws.secrets().describe_secret().secret_id("acme-production-db-main-app").send().await.unwrap();
    assert_eq!((secret.rotation_enabled(), secret.last_rotated_date().is_some()), (Some(true), true));
    assert_eq!(secret.rotation_rules().unwrap().automatically_after_days(), Some(30));
    let function = aws.lambda().get_function().function_name("acme-production-rotate-main").send().await.unwrap();
    let function = function.configuration.unwrap();
    assert_eq!(secret.rotation_lambda_arn(), function.function_arn());
    assert_eq!(function.vpc_config().unwrap().subnet_ids().len(), 3);
    let instances = aws.rds().describe_db_instances().send().await.unwrap().db_instances.unwrap();
    let master = instances[0].master_user_secret().unwrap().secret_arn().unwrap();
    let log =
        |name: &str| format!("arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/acme-production-{name}:*");
    let (secret, write) = (secret.arn().unwrap(), "logs:CreateLogStream logs:PutLogEvents");
    let allowed = |statements: &[(&str, &str)]| -> BTreeMap<String, Vec<String>> {
        statements.iter().map(|(actions, on)| ((*actions).to_owned(), vec![(*on).to_owned()])).collect()
    };
    let interfaces = "ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface \
                      ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses";
    let rotate = "secretsmanager:DescribeSecret secretsmanager:GetSecretValue secretsmanager:PutSecretValue \
                  secretsmanager:UpdateSecretVersionStage";
    let expected = allowed(&[
        (write, &log("rotate-main")),
        (interfaces, "*"),
        ("kms:Decrypt kms:GenerateDataKey", key),
        (rotate, secret),
        ("secretsmanager:GetRandomPassword", "*"),
        ("secretsmanager:GetSecretValue", master),
    ]);
    assert_eq!(statements(aws, "rotate-main", "lambda.amazonaws.com").await, expected);
    let look = "ecs:DescribeServices ecs:DescribeTaskDefinition ecs:DescribeTasks ecs:ListServices ecs:ListTasks \
                elasticloadbalancing:DescribeTargetHealth";
    let arn = |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:123456789012:{rest}");
    let expected = allowed(&[
        (write, &log("roll")),
        (look, "*"),
        ("ecs:TagResource ecs:UpdateService", &arn("ecs", "service/acme-production-main/*")),
        ("secretsmanager:DescribeSecret secretsmanager:ListSecretVersionIds secretsmanager:TagResource", secret),
        (
            "ssm:DeleteParameter ssm:GetParametersByPath ssm:PutParameter",
            &arn("ssm", "parameter/infra/acme/production/release/*"),
        ),
    ]);
    assert_eq!(statements(aws, "roll", "lambda.amazonaws.com").await, expected);
}
