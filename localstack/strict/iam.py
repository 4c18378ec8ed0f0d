"""IAM: what is made shows late, and later still to the services that are to assume it."""

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaBackend
from moto.core.responses import ActionResult
from moto.iam.exceptions import DeleteConflictException, NotFoundException
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend

from fixes.patch import around

from .later import bear, bury, young

# What a create makes, the parameter that names it, and its list in answers.
KINDS = {
    "CreateRole": ("RoleName", "Roles"),
    "CreateInstanceProfile": ("InstanceProfileName", "InstanceProfiles"),
    "CreateUser": ("UserName", "Users"),
    "CreatePolicy": ("PolicyName", "Policies"),
    "CreateOpenIDConnectProvider": ("Url", "OpenIDConnectProviderList"),
}
NAMES = {"RoleName", "InstanceProfileName", "UserName", "PolicyArn", "OpenIDConnectProviderArn"}
# Services assume a role that IAM shows only after another while.
BEHIND = 2


@around(IamResponse, "call_action")
def not_seen_yet(original, self):
    """A call that names what was made a moment ago answers that it does not exist. (AWS: "changes that I make are not
    always immediately visible".)"""
    action, params = self._get_action(), self._get_params()
    for name in NAMES & params.keys() if action not in KINDS else ():
        if young("iam", name, params[name]):
            text = f"The {name.removesuffix('Name').removesuffix('Arn').lower()} with name {params[name]} cannot be found."
            return self.serialized(ActionResult(NotFoundException(text)))
    answer = original(self)
    if action in KINDS and answer[0] == 200:
        remember(self, action, params)
    return answer


def remember(self, action, params):
    parameter = KINDS[action][0]
    key = (parameter, params[parameter])
    if action == "CreatePolicy":
        arns = [p.arn for p in self.backend.managed_policies.values() if p.name == params[parameter]]
        key = ("PolicyArn", arns[0])
    elif action == "CreateOpenIDConnectProvider":
        arns = [arn for arn in self.backend.open_id_providers if params[parameter].split("//")[-1].rstrip("/") in arn]
        key = ("OpenIDConnectProviderArn", arns[0])
    bury("iam", *key)  # one of that name may have been deleted
    bear("iam", *key)


@around(IamResponse, "serialized")
def not_listed_yet(original, self, action_result):
    """Nor do lists show it."""
    result = action_result.result
    if (self._get_action() or "").startswith("List") and isinstance(result, dict):
        for parameter, name in KINDS.values():
            if isinstance(result.get(name), (list, tuple)):
                action_result = ActionResult({**result, name: [item for item in result[name] if not hidden(parameter, item)]})
    return original(self, action_result)


def hidden(parameter, item):
    known = item.get if isinstance(item, dict) else lambda name: getattr(item, name.lower(), None)
    if young("iam", parameter, known("Name")):
        return True
    return any(young("iam", name, known("Arn")) for name in ("PolicyArn", "OpenIDConnectProviderArn"))


def unknown(role_arn):
    """Whether services do not know the role yet."""
    return young("iam", "RoleName", role_arn.rpartition("/")[2], times=BEHIND)


@around(LambdaBackend, "create_function")
def assumed_by_functions(original, self, spec):
    """A function's role must be known to Lambda."""
    if unknown(spec.get("Role") or ""):
        text = "The role defined for the function cannot be assumed by Lambda."
        raise LambdaClientError("InvalidParameterValueException", text)
    return original(self, spec)


@around(EventBridgeSchedulerBackend, "create_schedule")
def assumed_by_schedules(original, self, *args, **kwargs):
    """A schedule's role must be known to EventBridge Scheduler."""
    if unknown((kwargs.get("target") or {}).get("RoleArn") or ""):
        raise ValidationException("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
    return original(self, *args, **kwargs)


@around(IAMBackend, "delete_policy")
def attached(original, self, policy_arn):
    """A policy that is attached is not deleted."""
    if self.get_policy(policy_arn).attachment_count:
        raise DeleteConflictException("Cannot delete a policy attached to entities.")
    return original(self, policy_arn)
