//! What `infra secrets` needs.

use super::{HISTORY, PARAMETERS, Whose, plan};
use crate::desired::Desired;
use crate::kinds;
use crate::policy::{self, Statement};

/// What reads a plan's reads, sets values, rotates, and reads the logs of the functions that do so. A value is read only to
/// set one key of it.
#[must_use]
pub fn secrets(desired: &Desired) -> Vec<Statement> {
    let whose = Whose::of(desired);
    let of_kind = kinds::ALL.iter().find(|info| info.name == "secret").map(|info| whose.arns(info, desired));
    let arns = of_kind.and_then(|mut arns| arns.remove("secretsmanager")).unwrap_or_default();
    let functions = ["log-group:/aws/lambda/", "function:"].map(|start| format!("{start}{}", whose.generated()));
    let mut statements = plan();
    if !arns.is_empty() {
        let actions = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:RotateSecret"];
        statements.push(policy::allow(&actions, arns).sid("Secrets"));
    }
    let [logs, function] = functions;
    let logs = [format!("{logs}:*"), logs].map(|rest| whose.arn("logs", whose.region, &rest));
    statements.push(policy::allow(&["logs:FilterLogEvents"], logs).sid("Logs"));
    let function = whose.arn("lambda", whose.region, &function);
    statements.push(policy::allow(&["lambda:InvokeFunction"], [function]).sid("Rotators"));
    let through = policy::allow(&["kms:Decrypt", "kms:GenerateDataKey"], ["*"]).sid("KmsThroughServices");
    statements.push(through.when("StringLike", "kms:ViaService", ["secretsmanager.*.amazonaws.com"]));
    statements.push(policy::allow(PARAMETERS, whose.parameters()).sid("Lock"));
    statements.push(policy::allow(HISTORY, whose.history()).sid("History"));
    statements
}
