"""Application Auto Scaling: scalable targets have tags, a suspended state and a role; policies go with their target."""

import json

from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.exceptions import JsonRESTError

from .patch import around, define
from .taggable import taggable

RUNS = {"DynamicScalingInSuspended": False, "DynamicScalingOutSuspended": False, "ScheduledScalingSuspended": False}


def missing(text):
    return JsonRESTError("ObjectNotFoundException", text)


def targets(backend):
    return [target for of in backend.targets.values() for target in of.values()]


def target_of(backend, arn):
    for target in targets(backend):
        if target.arn == arn:
            return target
    raise JsonRESTError("ResourceNotFoundException", f"No resource found for {arn}")


@around(ApplicationAutoScalingResponse, "register_scalable_target")
def register(original, self):
    """A new target gets the tags of the request, runs unless told otherwise, and has the service-linked role; on one
    that exists, what the request leaves out stays."""
    answer = original(self)
    target = target_of(self.applicationautoscaling_backend, json.loads(answer)["ScalableTargetARN"])
    if not hasattr(target, "tags"):
        target.tags = dict(self._get_param("Tags") or {})
    target.suspended_state = RUNS | (target.suspended_state or {})
    name = "AWSServiceRoleForApplicationAutoScaling_ECSService"
    path = "aws-service-role/ecs.application-autoscaling.amazonaws.com"
    target.role_arn = target.role_arn or f"arn:aws:iam::{self.current_account}:role/{path}/{name}"
    return answer


@around(ApplicationAutoscalingBackend, "deregister_scalable_target")
def deregister(original, self, namespace, r_id, dimension):
    """Policies, and their alarms, go with the target; one that is not there has an error of its own."""
    if not self._scalable_target_exists(r_id, dimension):
        raise missing(f"No scalable target found for service namespace: {namespace}, resource ID: {r_id}, scalable dimension: {dimension}")
    for policy in list(self.policies.values()):
        if (policy.resource_id, policy.scalable_dimension) == (r_id, dimension):
            self.delete_scaling_policy(policy.policy_name, namespace, r_id, dimension)
    original(self, namespace, r_id, dimension)


@around(ApplicationAutoscalingBackend, "put_scaling_policy")
def put_policy(original, self, policy_name, service_namespace, resource_id, scalable_dimension, *args, **kwargs):
    """A policy needs a target; one that is put again keeps its ARN, and its old alarms are gone."""
    if not self._scalable_target_exists(resource_id, scalable_dimension):
        raise missing(f"No scalable target registered for namespace: {service_namespace}, resource ID: {resource_id}, scalable dimension: {scalable_dimension}")
    key = f"{service_namespace}\t{resource_id}\t{scalable_dimension}\t{policy_name}"
    old = self.policies.get(key)
    if old:
        old.delete_alarms(self.account_id, self.region_name)
    policy = original(self, policy_name, service_namespace, resource_id, scalable_dimension, *args, **kwargs)
    if old:
        policy.policy_arn = old.policy_arn
    return policy


@around(ApplicationAutoscalingBackend, "delete_scaling_policy")
def delete_policy(original, self, policy_name, service_namespace, resource_id, scalable_dimension):
    """A policy that is not there has an error of its own."""
    if f"{service_namespace}\t{resource_id}\t{scalable_dimension}\t{policy_name}" not in self.policies:
        raise missing(f"No scaling policy found for service namespace: {service_namespace}, resource ID: {resource_id}, policy name: {policy_name}")
    original(self, policy_name, service_namespace, resource_id, scalable_dimension)


@define(ApplicationAutoScalingResponse)
def list_tags_for_resource(self):
    """ListTagsForResource."""
    return json.dumps({"Tags": target_of(self.applicationautoscaling_backend, self._get_param("ResourceARN")).tags})


@define(ApplicationAutoScalingResponse)
def tag_resource(self):
    """TagResource."""
    target_of(self.applicationautoscaling_backend, self._get_param("ResourceARN")).tags.update(self._get_param("Tags"))
    return "{}"


@define(ApplicationAutoScalingResponse)
def untag_resource(self):
    """UntagResource."""
    target = target_of(self.applicationautoscaling_backend, self._get_param("ResourceARN"))
    for key in self._get_param("TagKeys"):
        target.tags.pop(key, None)
    return "{}"


def tagged(backend):
    return [(target.arn, "scalable-target", getattr(target, "tags", {})) for target in targets(backend)]


taggable(ApplicationAutoscalingBackend, "application-autoscaling", tagged)
