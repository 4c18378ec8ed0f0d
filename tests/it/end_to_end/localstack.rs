//! LocalStack itself: what its free core serves, from an empty account to an empty account.

use super::site::Site;
use crate::support::Emulator;

const NAME: &str = "localstack";

#[tokio::test]
async fn on_localstack_itself() {
    // `tests/run` says that Python 3.13 is missing.
    let Some(emulator) = Emulator::localstack() else { return };
    let site = Site::on(emulator).await;
    site.write(NAME, include_str!("localstack.yaml"));
    site.infra("apply localstack --yes").await.well();
    site.converged(NAME).await;
    let ids = site.ids(NAME).await;
    let vpc = site.aws.ec2().describe_vpcs().vpc_ids(&ids["vpc.main"]).send().await.unwrap();
    assert_eq!(vpc.vpcs()[0].cidr_block(), Some("10.0.0.0/16"));
    let secret = site.aws.secrets().get_secret_value().secret_id("acme-localstack-jwt").send().await.unwrap();
    assert_eq!(secret.secret_string().map(str::len), Some(64));
    let group = site.aws.logs().describe_log_groups().log_group_name_prefix("/acme/").send().await.unwrap();
    assert_eq!(group.log_groups()[0].retention_in_days(), Some(30));

    site.edit(NAME, "retention_days: 30", "retention_days: 14");
    site.edit(NAME, "ports: 443, peer: { cidr: 10.0.0.0/16 }", "ports: 8443, peer: { cidr: 10.0.0.0/16 }");
    site.edit(NAME, "  payments: {}\n", "");
    site.infra("apply localstack --yes --allow-data-loss secret.payments").await.well();
    site.converged(NAME).await;
    let group = site.aws.logs().describe_log_groups().log_group_name_prefix("/acme/").send().await.unwrap();
    assert_eq!(group.log_groups()[0].retention_in_days(), Some(14));

    site.infra("destroy localstack --confirm localstack").await.well();
    assert_eq!(site.live(NAME).await, []);
    let left = site.aws.ec2().describe_vpcs().vpc_ids(&ids["vpc.main"]).send().await;
    assert!(left.is_err(), "the VPC is gone");
}
