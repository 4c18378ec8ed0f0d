"""Elastic Load Balancing: balancers get ready in their own time, reads lag, interfaces outlive balancers."""

import time

from moto.core.responses import ActionResult
from moto.elbv2.exceptions import ListenerNotFoundError, LoadBalancerNotFoundError, RuleNotFoundError, TargetGroupNotFoundError
from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer
from moto.elbv2.responses import ELBV2Response

from fixes import users
from fixes.patch import around

from .later import after, bear, bury, young
from .settings import settings

# --- states ----------------------------------------------------------------------------------------------------------


@around(FakeLoadBalancer, "__init__")
def made(original, self, *args, **kwargs):
    """When it was made, from which it is provisioning for a while."""
    original(self, *args, **kwargs)
    self.made = time.monotonic()


@around(FakeLoadBalancer, "activate")
def activate(original, self):
    """A balancer is provisioning, then active."""
    if time.monotonic() - self.made >= settings["settle"]:
        original(self)


# --- what outlives a balancer ----------------------------------------------------------------------------------------

GHOSTS = []
balancers_now = users.balancers


def balancers(backend):
    """Balancers, and those whose interfaces are still there."""
    ghosts = [ghost for of, ghost in GHOSTS if of is users.of("elbv2", backend)]
    return [*balancers_now(backend), *ghosts]


users.balancers = balancers


@around(ELBv2Backend, "delete_load_balancer")
def interfaces_outlive_balancers(original, self, arn):
    """The interfaces of a balancer, which hold its subnets, groups and public addresses, go a while after it."""
    balancer = self.load_balancers.get(arn)
    answer = original(self, arn)
    if balancer:
        ghost = (self, balancer)
        GHOSTS.append(ghost)
        after("linger", lambda: GHOSTS.remove(ghost))
    return answer


# --- reads -----------------------------------------------------------------------------------------------------------

# The list in the answer to each create.
KINDS = {
    "CreateLoadBalancer": "LoadBalancers",
    "CreateTargetGroup": "TargetGroups",
    "CreateListener": "Listeners",
    "CreateRule": "Rules",
}
# What says that something is not there, by the part of its ARN that says what it is.
PARTS = {"loadbalancer": LoadBalancerNotFoundError, "targetgroup": TargetGroupNotFoundError}
PARTS |= {"listener": ListenerNotFoundError, "listener-rule": RuleNotFoundError}


@around(ELBV2Response, "call_action")
def not_seen_yet(original, self):
    """A read that names what was made a moment ago answers that it does not exist."""
    action = self._get_action()
    if action.startswith("Describe"):
        params = self._get_params()
        names = [name for each in params.values() for name in (each if isinstance(each, list) else [each])]
        for name in names:
            if isinstance(name, str) and young("elbv2", name):
                kind = name.split(":")[-1].split("/")[0] if name.startswith("arn:") else None
                by_name = TargetGroupNotFoundError if "TargetGroup" in action else LoadBalancerNotFoundError
                return self.serialized(ActionResult(PARTS.get(kind, by_name)()))
    return original(self)


@around(ELBV2Response, "serialized")
def not_listed_yet(original, self, action_result):
    """Nor do lists show it."""
    action, result = self._get_action() or "", action_result.result
    if not isinstance(result, dict):
        return original(self, action_result)
    if action in KINDS:
        for item in result.get(KINDS[action]) or []:
            if not hasattr(item, "born"):  # not one that was there and is answered again
                item.born = True
                for key in (item.arn, getattr(item, "name", None)):
                    bury("elbv2", key)
                    bear("elbv2", key)
    elif action.startswith("Describe"):
        for name in KINDS.values():
            if isinstance(result.get(name), (list, tuple)):
                shown = [item for item in result[name] if not young("elbv2", item.arn)]
                action_result = ActionResult({**result, name: shown})
    return original(self, action_result)
