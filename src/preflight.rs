//! What can be known before the first write: whether IAM allows the caller all that a plan needs, and whether AWS's quotas
//! leave room for it.

mod dry_run;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::NatGatewayState;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType as Decision};
use futures::future::try_join_all;

use crate::aws::Aws;
use crate::kind::{Failure, Kind as _, Result};
use crate::kinds::lambda_function::{Code, LambdaFunction, program};
use crate::plan::{Plan, Verb};
use crate::rights::{self, Answer, Asked};
use crate::value;

/// AWS's own number of VPCs in a region, and of gateways to the internet, which go with them.
const VPCS: usize = 5;
/// AWS's own number of NAT gateways in a zone.
const NAT_GATEWAYS: usize = 5;
/// AWS's own number of rules of a security group for each direction.
const RULES: usize = 60;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Why the plan cannot be carried out.
    pub refused: Option<String>,
    /// What to know beforehand.
    pub notes: Vec<String>,
}

/// What is wrong with the programs of ours that the plan writes to Lambda.
pub fn programs(plan: &Plan) -> Result<(), String> {
    let written = plan.steps.node_weights().filter_map(|step| match &step.verb {
        Verb::Create(fields) | Verb::Update { fields, .. } if step.address.kind == LambdaFunction::NAME => {
            value::from_fields::<LambdaFunction>(fields).ok()?.code
        }
        _ => None,
    });
    let packages: BTreeSet<Option<String>> = written.filter_map(Code::package).collect();
    packages.iter().try_for_each(|package| program::read(package.as_deref()).map(drop))
}

/// Looks, and changes nothing. `caller` is the ARN that STS gives.
pub async fn check(aws: &Aws, caller: &str, plan: &Plan) -> Found {
    let mut found = Found::default();
    let refused = |lines: &[String]| {
        let lines = lines.join("\n  ");
        (!lines.is_empty()).then(|| format!("{caller} may not do all of this; nothing was changed\n  {lines}"))
    };
    match permissions(aws, caller, plan).await {
        Ok(None) => {}
        Ok(Some(judged)) => {
            found.refused = refused(&judged.refused);
            if !judged.depends.is_empty() {
                let keys: Vec<String> = judged.depends.into_iter().collect();
                found.notes.push(format!(
                    "IAM could not tell whether all of this is allowed: policies ask for {}",
                    keys.join(", ")
                ));
            }
        }
        Err(failure) => {
            let asked = dry_run::ask(aws, plan).await;
            let of = match asked.count {
                0 => String::new(),
                count => format!(", but for {count} calls that EC2 itself was asked about"),
            };
            found.notes.push(format!("permissions were not checked beforehand{of}: {failure}"));
            let line = |(action, of): (&String, &BTreeSet<_>)| format!("{action}: {}", rights::some_of(of));
            found.refused = refused(&asked.refused.iter().map(line).collect::<Vec<_>>());
        }
    }
    match quotas(aws, plan).await {
        Ok(notes) => found.notes.extend(notes),
        Err(failure) => found.notes.push(format!("quotas were not checked beforehand: {failure}")),
    }
    found
}

/// What IAM says of all that the plan needs; nothing where the caller is above it.
async fn permissions(aws: &Aws, caller: &str, plan: &Plan) -> Result<Option<rights::Judged>> {
    if caller.ends_with(":root") {
        return Ok(None);
    }
    let identity = identity(aws, caller).await?;
    let needs = rights::needs(plan);
    let mut questions: BTreeMap<(&str, &str), Vec<&Asked>> = BTreeMap::new();
    for asked in needs.keys() {
        let service = asked.action.split(':').next().unwrap_or_default();
        questions.entry((service, asked.passed_to)).or_default().push(asked);
    }
    let answers = questions.into_iter().map(async |((_, passed_to), asked)| {
        let actions: BTreeSet<&str> = asked.iter().map(|one| one.action.as_str()).collect();
        let arns: BTreeSet<&String> = asked.iter().flat_map(|one| &one.arns).collect();
        let context = rights::context(plan, passed_to);
        let told = simulate(aws, &identity, &actions, &arns, &context).await?;
        let answer = |one: &Asked| {
            let all = one.arns.iter().filter_map(|arn| told.get(&(one.action.clone(), arn.clone())).cloned());
            Some((one.clone(), best(all)?))
        };
        Ok::<_, Failure>(asked.into_iter().filter_map(answer).collect::<Vec<_>>())
    });
    let answers = try_join_all(answers).await?.into_iter().flatten().collect();
    Ok(Some(rights::judge(&needs, &answers)))
}

/// Allowed on one is allowed.
fn best(answers: impl Iterator<Item = Answer>) -> Option<Answer> {
    answers.min_by_key(|answer| match answer {
        Answer::Allowed => 0,
        Answer::Depends(_) => 1,
        Answer::Denied => 2,
        Answer::Missing => 3,
    })
}

/// The user or the role whose policies count: a session's ARN holds the name of its role, without the path.
async fn identity(aws: &Aws, caller: &str) -> Result<String> {
    let rest = caller.split(':').nth(5).unwrap_or_default();
    let Some(role) = rest.strip_prefix("assumed-role/").and_then(|rest| rest.split('/').next()) else {
        return Ok(caller.to_owned());
    };
    let answer = aws.call("iam:GetRole", aws.iam().get_role().role_name(role).send()).await?;
    Ok(answer.role.map(|role| role.arn).unwrap_or_default())
}

type Told = BTreeMap<(String, String), Answer>;

async fn simulate(
    aws: &Aws,
    identity: &str,
    actions: &BTreeSet<&str>,
    arns: &BTreeSet<&String>,
    context: &[(String, String)],
) -> Result<Told> {
    let entry = |(key, value): &(String, String)| {
        let kind = ContextKeyTypeEnum::String;
        ContextEntry::builder().context_key_name(key).context_key_values(value).context_key_type(kind).build()
    };
    let request = aws.iam().simulate_principal_policy().policy_source_arn(identity);
    let request = request.set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect()));
    let request = request.set_resource_arns(Some(arns.iter().copied().cloned().collect()));
    let request = request.set_context_entries(Some(context.iter().map(entry).collect()));
    let pages = request.into_paginator().items().send();
    let results = aws.call("iam:SimulatePrincipalPolicy", pages.collect::<Result<Vec<_>, _>>()).await?;
    let mut told = Told::new();
    for result in &results {
        let action = result.eval_action_name();
        let mut tell = |arn: &str, decision: &Decision, missing: &[String]| {
            told.insert((action.to_owned(), arn.to_owned()), answer(decision, missing));
        };
        if result.resource_specific_results().is_empty() {
            let arn = result.eval_resource_name().unwrap_or("*");
            tell(arn, result.eval_decision(), result.missing_context_values());
        }
        for one in result.resource_specific_results() {
            tell(one.eval_resource_name(), one.eval_resource_decision(), one.missing_context_values());
        }
    }
    Ok(told)
}

fn answer(decision: &Decision, missing: &[String]) -> Answer {
    match decision {
        Decision::Allowed => Answer::Allowed,
        _ if !missing.is_empty() => Answer::Depends(missing.iter().cloned().collect()),
        Decision::ExplicitDeny => Answer::Denied,
        Decision::ImplicitDeny => Answer::Missing,
        // What a later IAM may answer is not ours to take for a refusal.
        _ => Answer::Allowed,
    }
}

/// What the plan makes beyond AWS's quotas. Quotas can be raised, so that these are warnings.
async fn quotas(aws: &Aws, plan: &Plan) -> Result<Vec<String>> {
    let made = |kind: &str| {
        let creates = |step: &&crate::plan::Step| step.address.kind == kind && matches!(step.verb, Verb::Create(_));
        plan.steps.node_weights().filter(creates).count()
    };
    let mut notes = rules(plan);
    let mut compare = |what: &str, there: usize, new: usize, quota: usize| {
        if new > 0 && there + new > quota {
            notes.push(format!(
                "quota: {there} {what} are there, this makes {new} more, and AWS allows {quota} unless your quota was raised"
            ));
        }
    };
    let (vpcs, addresses) = (made("vpc"), made("elastic_ip"));
    if vpcs > 0 {
        let pages = aws.ec2().describe_vpcs().into_paginator().items().send();
        let there = aws.call("ec2:DescribeVpcs", pages.collect::<Result<Vec<_>, _>>()).await?;
        compare("VPCs", there.len(), vpcs, VPCS);
    }
    if addresses > 0 {
        let (there, quota) = tokio::try_join!(
            aws.call("ec2:DescribeAddresses", aws.ec2().describe_addresses().send()),
            aws.call("ec2:DescribeAccountAttributes", aws.ec2().describe_account_attributes().send()),
        )?;
        let quota = quota.account_attributes().iter().find(|one| one.attribute_name() == Some("vpc-max-elastic-ips"));
        let quota = quota.and_then(|one| one.attribute_values().first()?.attribute_value()?.parse().ok());
        compare("Elastic IPs", there.addresses().len(), addresses, quota.unwrap_or(usize::MAX));
    }
    let (balancers, groups) = (made("load_balancer"), made("target_group"));
    if balancers + groups > 0 {
        let all_balancers = aws.elb().describe_load_balancers().into_paginator().items().send();
        let all_groups = aws.elb().describe_target_groups().into_paginator().items().send();
        let (there, targets, limits) = tokio::try_join!(
            aws.call("elb:DescribeLoadBalancers", all_balancers.collect::<Result<Vec<_>, _>>()),
            aws.call("elb:DescribeTargetGroups", all_groups.collect::<Result<Vec<_>, _>>()),
            aws.call("elb:DescribeAccountLimits", aws.elb().describe_account_limits().send()),
        )?;
        let limit = |name: &str| {
            let limit = limits.limits().iter().find(|one| one.name() == Some(name));
            limit.and_then(|one| one.max()?.parse().ok()).unwrap_or(usize::MAX)
        };
        compare("load balancers", there.len(), balancers, limit("application-load-balancers"));
        compare("target groups", targets.len(), groups, limit("target-groups"));
    }
    if made("nat_gateway") > 0 {
        for (zone, (there, new)) in nat_gateways(aws, plan).await? {
            compare(&format!("NAT gateways in {zone}"), there, new, NAT_GATEWAYS);
        }
    }
    Ok(notes)
}

/// How many NAT gateways each zone has and gets.
async fn nat_gateways(aws: &Aws, plan: &Plan) -> Result<BTreeMap<String, (usize, usize)>> {
    let gateways = aws.ec2().describe_nat_gateways().into_paginator().items().send();
    let subnets = aws.ec2().describe_subnets().into_paginator().items().send();
    let (gateways, subnets) = tokio::try_join!(
        aws.call("ec2:DescribeNatGateways", gateways.collect::<Result<Vec<_>, _>>()),
        aws.call("ec2:DescribeSubnets", subnets.collect::<Result<Vec<_>, _>>()),
    )?;
    let zones = subnets.iter().filter_map(|one| Some((one.subnet_id()?, one.availability_zone()?)));
    let zones: BTreeMap<&str, &str> = zones.collect();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let counted = [Some(&NatGatewayState::Available), Some(&NatGatewayState::Pending)];
    for gateway in gateways.iter().filter(|one| counted.contains(&one.state())) {
        if let Some(zone) = gateway.subnet_id().and_then(|id| zones.get(id)) {
            counts.entry((*zone).to_owned()).or_default().0 += 1;
        }
    }
    let created = |kind: &'static str| {
        plan.steps.node_weights().filter_map(move |step| match &step.verb {
            Verb::Create(fields) if step.address.kind == kind => Some((&step.address, fields)),
            _ => None,
        })
    };
    let planned: BTreeMap<_, _> =
        created("subnet").filter_map(|(address, fields)| Some((address, fields.get("zone")?.as_text()?))).collect();
    for (_, fields) in created("nat_gateway") {
        let Some(subnet) = fields.get("subnet_id") else { continue };
        let known = subnet.as_text().and_then(|id| zones.get(id).copied());
        let new = || subnet.references().first().and_then(|output| planned.get(&output.of).copied());
        if let Some(zone) = known.or_else(new) {
            counts.entry(zone.to_owned()).or_default().1 += 1;
        }
    }
    counts.retain(|_, (_, new)| *new > 0);
    Ok(counts)
}

/// Security groups with more rules than AWS takes by itself.
fn rules(plan: &Plan) -> Vec<String> {
    let mut notes = BTreeSet::new();
    for step in plan.steps.node_weights().filter(|step| step.address.kind == "security_group") {
        let (Verb::Create(fields) | Verb::Fill(fields) | Verb::Update { fields, .. }) = &step.verb else { continue };
        for direction in ["ingress", "egress"] {
            let count = match fields.get(direction) {
                Some(crate::value::Value::List(rules)) => rules.len(),
                Some(crate::value::Value::Map(rules)) => rules.len(),
                _ => 0,
            };
            if count > RULES {
                notes.insert(format!(
                    "quota: {} has {count} {direction} rules, and AWS allows {RULES} unless your quota was raised",
                    step.address
                ));
            }
        }
    }
    notes.into_iter().collect()
}
