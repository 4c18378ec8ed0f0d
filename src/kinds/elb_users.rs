//! What uses a target group, and so keeps it from being deleted.

use aws_sdk_elasticloadbalancingv2::types::{Action, Listener, Rule};
use futures::future::try_join_all;

use super::elb;
use crate::aws::Aws;
use crate::kind::{Blocker, Failure, Result};

/// The rules that lead to a target group.
pub async fn of_group(aws: &Aws, arn: &str) -> Result<Vec<Blocker>> {
    let request = aws.elb().describe_target_groups().target_group_arns(arn);
    let answer = aws.call("elb:DescribeTargetGroups", request.send()).await?;
    let balancers = answer.target_groups().iter().flat_map(|group| group.load_balancer_arns());
    let found = try_join_all(balancers.map(|balancer| of_balancer(aws, balancer, arn))).await?;
    Ok(found.into_iter().flatten().collect())
}

async fn of_balancer(aws: &Aws, balancer: &str, group: &str) -> Result<Vec<Blocker>> {
    let request = aws.elb().describe_listeners().load_balancer_arn(balancer);
    let listeners = aws.call("elb:DescribeListeners", request.send()).await?.listeners.unwrap_or_default();
    let reads = listeners.iter().map(async |listener| {
        let rules = elb::rules_of(aws, listener.listener_arn().unwrap_or_default()).await?;
        let leads = |actions: &[Action]| actions.iter().any(|action| leads_to(action, group));
        // The last rule of a listener is what it does by default.
        let own = rules.iter().filter(|rule| rule.is_default() != Some(true) && leads(rule.actions()));
        let own = own.filter_map(Rule::priority).map(|priority| format!("the rule with priority {priority}"));
        let default = leads(listener.default_actions()).then(|| "the default rule".to_owned());
        Ok::<_, Failure>(own.chain(default).map(|which| said(&which, listener, balancer)).collect::<Vec<_>>())
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

fn leads_to(action: &Action, group: &str) -> bool {
    let shared = action.forward_config().map(|forward| forward.target_groups()).unwrap_or_default();
    action.target_group_arn() == Some(group) || shared.iter().any(|one| one.target_group_arn() == Some(group))
}

fn said(which: &str, listener: &Listener, balancer: &str) -> Blocker {
    // The name is the last part but one of `.../loadbalancer/app/NAME/ID`.
    let name = balancer.rsplit('/').nth(1).unwrap_or(balancer);
    let port = listener.port().unwrap_or_default();
    Blocker::new(format!("{which} of port {port} of load balancer {name}"))
}
