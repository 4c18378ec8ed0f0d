//! What every Lambda function of an environment has: a log group, and a role that may write to it.

use super::{Expansion, logs};
use crate::address::Address;
use crate::kinds::iam_role::IamRole;
use crate::kinds::lambda_function::NAME_LIMIT;
use crate::policy::{self, Statement};

/// The log group of the function `function`, whose name in AWS it has.
pub(super) fn logs(to: &mut Expansion, label: &str, function: &str, days: u32, origin: &[&str]) -> Address {
    let name = format!("/aws/lambda/{}", to.aws_name(function, NAME_LIMIT));
    let group = logs::group(to, name, Some(days));
    to.add(label, origin, &group)
}

/// The role of a function, which may do what these statements allow, and write its log.
pub(super) fn role(
    to: &mut Expansion,
    label: &str,
    logs: &Address,
    statements: Vec<Statement>,
    origin: &[&str],
) -> Address {
    let statements = [logs::writing(logs)].into_iter().chain(statements);
    let role = IamRole::new(policy::trust("lambda.amazonaws.com"), vec![("own", policy::document(statements))]);
    to.add(label, origin, &role)
}
