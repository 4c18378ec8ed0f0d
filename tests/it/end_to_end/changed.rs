//! Changes in AWS behind our back.

use aws_sdk_ec2::types::{IpPermission, IpRange};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, PathPatternConditionConfig, RuleCondition,
};

use super::site::{PRODUCTION, Site, steps};

/// What others put into our resources stays, and what they change of ours comes back.
#[tokio::test]
async fn entries_of_others_in_our_resources_are_kept_and_drift_is_mended() {
    let site = Site::applied().await;
    let (aws, ids) = (&site.aws, site.ids(PRODUCTION).await);
    let anywhere = IpRange::builder().cidr_ip("192.0.2.0/24").build();
    let open = IpPermission::builder().ip_protocol("tcp").from_port(22).to_port(22).ip_ranges(anywhere).build();
    let group = &ids["security_group.api"];
    aws.ec2().authorize_security_group_ingress().group_id(group).ip_permissions(open).send().await.unwrap();
    let path = PathPatternConditionConfig::builder().values("/theirs").build();
    let answer = FixedResponseActionConfig::builder().status_code("200").build();
    let rule = aws.elb().create_rule().listener_arn(&ids["listener.public-https"]).priority(7);
    let rule = rule.conditions(RuleCondition::builder().field("path-pattern").path_pattern_config(path).build());
    let action = Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(answer).build();
    let rule = rule.actions(action).send().await.unwrap().rules.unwrap().remove(0).rule_arn.unwrap();
    let plan = site.plan(PRODUCTION).await;
    assert_eq!(steps(&plan), [""; 0], "what others add is not a change of ours");
    let notes = plan["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note["address"] == "security_group.api"), "it is shown: {notes:?}");

    let blue = &ids["target_group.api-blue"];
    aws.elb().modify_target_group().target_group_arn(blue).health_check_path("/other").send().await.unwrap();
    aws.ec2()
        .delete_route()
        .route_table_id(&ids["route_table.public"])
        .destination_cidr_block("0.0.0.0/0")
        .send()
        .await
        .unwrap();
    let plan = site.plan(PRODUCTION).await;
    assert_eq!(steps(&plan), ["update route_table.public", "update target_group.api-blue"]);
    site.infra("apply production --yes").await.well();
    site.converged(PRODUCTION).await;
    let rules = aws.ec2().describe_security_group_rules();
    let filter = aws_sdk_ec2::types::Filter::builder().name("group-id").values(group).build();
    let rules = rules.filters(filter).send().await.unwrap();
    assert!(rules.security_group_rules().iter().any(|rule| rule.from_port() == Some(22)), "theirs is kept");
    assert_eq!(aws.elb().describe_rules().rule_arns(rule).send().await.unwrap().rules().len(), 1);
}
