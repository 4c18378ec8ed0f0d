"""IAM says what a user or a role may do, and an unknown key is the root user's."""

import json
import re

from moto.core.responses import ActionResult
from moto.iam.access_control import IAMPolicy
from moto.iam.exceptions import NotFoundException
from moto.iam.responses import IamResponse
from moto.sts.models import STSBackend

from .patch import around, define


@around(STSBackend, "get_caller_identity")
def keys_of_nobody_are_the_root_users(original, self, access_key_id, region):
    """GetCallerIdentity names the user or the session that a key belongs to. The emulator takes every other key, and
    none of its users has it: it is root's, who may do everything."""
    user, arn, account = original(self, access_key_id, region)
    if arn.endswith(":user/moto"):
        return account, f"arn:{self.partition}:iam::{account}:root", account
    return user, arn, account


def documents(backend, arn):
    """The policies of a user or a role."""
    kind, _, path = arn.split(":")[-1].partition("/")
    name = path.split("/")[-1]
    try:
        owner = backend.get_user(name) if kind == "user" else backend.get_role(name)
    except Exception:
        raise NotFoundException(f"The {kind} with name {name} cannot be found.") from None
    policies = [*owner.policies.values(), *owner.managed_policies.values()]
    return [IAMPolicy(policy if isinstance(policy, str) or hasattr(policy, "versions") else json.dumps(policy))._policy_json for policy in policies]


def listed(value):
    return value if isinstance(value, list) else [value]


def matches(patterns, text, flags=0):
    return any(re.fullmatch(re.escape(p).replace(r"\*", ".*").replace(r"\?", "."), text, flags) for p in listed(patterns))


def holds(conditions, context, missing):
    """Whether all conditions hold. What the context lacks holds for no operator without `IfExists`."""
    good = True
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            given = context.get(key.lower())
            if given is None:
                missing.add(key)
                good = good and operator.endswith("IfExists")
                continue
            like = operator.removesuffix("IfExists") in ("StringLike", "ArnLike", "ArnEquals")
            same = [matches(wanted, one) if like else one in listed(wanted) for one in given]
            good = good and (not any(same) if "Not" in operator else any(same))
    return good


def decide(policies, action, resource, context):
    """A denial wins; else what is allowed; else nothing allows it."""
    decision, missing = "implicitDeny", set()
    for statement in (one for policy in policies for one in listed(policy["Statement"])):
        if "Action" in statement:
            meant = matches(statement["Action"], action, re.IGNORECASE)
        else:
            meant = not matches(statement["NotAction"], action, re.IGNORECASE)
        if not meant or not matches(statement.get("Resource", "*"), resource):
            continue
        if not holds(statement.get("Condition", {}), context, missing):
            continue
        if statement["Effect"] == "Deny":
            return "explicitDeny", missing
        decision = "allowed"
    return decision, missing


@define(IamResponse)
def simulate_principal_policy(self):
    """SimulatePrincipalPolicy evaluates each action on each resource."""
    policies = documents(self.backend, self._get_param("PolicySourceArn"))
    entries = self._get_param("ContextEntries", [])
    context = {one["ContextKeyName"].lower(): listed(one["ContextKeyValues"]) for one in entries}
    resources = self._get_param("ResourceArns", []) or ["*"]
    results = []
    for action in self._get_param("ActionNames"):
        each = []
        for resource in resources:
            decision, missing = decide(policies, action, resource, context)
            each.append(
                {
                    "EvalResourceName": resource,
                    "EvalResourceDecision": decision,
                    "MatchedStatements": [],
                    "MissingContextValues": sorted(missing),
                }
            )
        first = each[0]
        results.append(
            {
                "EvalActionName": action,
                "EvalResourceName": first["EvalResourceName"],
                "EvalDecision": first["EvalResourceDecision"],
                "MatchedStatements": [],
                "MissingContextValues": first["MissingContextValues"],
                "ResourceSpecificResults": each if resources != ["*"] else [],
            }
        )
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})
