//! LocalStack itself: what its free core serves, from an empty account to an empty account.

use super::site::Site;
use crate::support::Emulator;

const NAME: &str = "localstack";

/// What is changed in the file, in each section that has something to change.
const CHANGES: [(&str, &str); 15] = [
    ("nat: single, endpoints: [s3, logs, secretsmanager]", "nat: per_zone, endpoints: [s3, logs]"),
    ("flow_logs: 30d", "flow_logs: 60d"),
    ("rotation: 365d", "rotation: 180d"),
    (", mx: [10 mail.example.com]", ""),
    ("[203.0.113.7, 203.0.113.8]", "[203.0.113.9]"),
    ("expire: 7d", "expire: 14d"),
    ("  payments: {}\n", ""),
    ("critical: { email: [team@example.com]", "critical: { email: [call@example.com]"),
    ("above: 100", "above: 200"),
    ("branches: [main]", "branches: [main, next]"),
    ("ports: 443, peer: { cidr: 10.0.0.0/16 }", "ports: 8443, peer: { cidr: 10.0.0.0/16 }"),
    ("retention_days: 30", "retention_days: 14"),
    ("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"),
    ("cron(30 1 * * ? *)", "cron(45 1 * * ? *)"),
    ("cron(0 2 * * ? *)", "cron(0 3 * * ? *)"),
];

#[tokio::test]
async fn on_localstack_itself() {
    let Some(emulator) = Emulator::localstack() else { return };
    let site = Site::on(emulator).await;
    site.write(NAME, include_str!("localstack.yaml"));
    site.infra("apply localstack --yes").await.well();
    site.converged(NAME).await;
    let secret = site.aws.secrets().get_secret_value().secret_id("acme-localstack-jwt").send().await.unwrap();
    assert_eq!(secret.secret_string().map(str::len), Some(64));
    has(&site, 100.0, 30, "cron(30 1 * * ? *)").await;

    for (old, new) in CHANGES {
        site.edit(NAME, old, new);
    }
    site.infra("apply localstack --yes --allow-data-loss secret.payments").await.well();
    site.converged(NAME).await;
    has(&site, 200.0, 14, "cron(45 1 * * ? *)").await;

    site.infra("destroy localstack --confirm localstack").await.well();
    assert_eq!(site.live(NAME).await, []);
    nothing_left(&site).await;
}

/// What AWS itself says, without the product between.
async fn has(site: &Site, threshold: f64, days: i32, expression: &str) {
    let aws = &site.aws;
    let alarms = aws.cloudwatch().describe_alarms().alarm_names("acme-localstack-jobs-waiting").send().await.unwrap();
    assert_eq!(alarms.metric_alarms()[0].threshold(), Some(threshold));
    let group = aws.logs().describe_log_groups().log_group_name_prefix("/acme/").send().await.unwrap();
    assert_eq!(group.log_groups()[0].retention_in_days(), Some(days));
    let schedule =
        aws.scheduler().get_schedule().group_name("acme-localstack-main").name("cleanup").send().await.unwrap();
    assert_eq!(schedule.schedule_expression(), Some(expression));
    let certificates = aws.acm().list_certificates().send().await.unwrap();
    assert_eq!(certificates.certificate_summary_list()[0].domain_name(), Some("example.com"));
}

/// The account is as it was, but for what every account has.
async fn nothing_left(site: &Site) {
    let aws = &site.aws;
    let vpcs = aws.ec2().describe_vpcs().send().await.unwrap();
    assert!(vpcs.vpcs().iter().all(|vpc| vpc.is_default() == Some(true)), "{vpcs:?}");
    assert_eq!(aws.s3().list_buckets().send().await.unwrap().buckets(), []);
    assert_eq!(aws.sns().list_topics().send().await.unwrap().topics(), []);
    assert_eq!(aws.route53().list_hosted_zones().send().await.unwrap().hosted_zones(), []);
    assert_eq!(aws.acm().list_certificates().send().await.unwrap().certificate_summary_list(), []);
    let groups = aws.logs().describe_log_groups().send().await.unwrap();
    let names: Vec<_> = groups.log_groups().iter().filter_map(|group| group.log_group_name()).collect();
    assert_eq!(names, ["/infra/acme/localstack"], "the history stays");
    assert_eq!(aws.cloudwatch().describe_alarms().send().await.unwrap().metric_alarms(), []);
}
