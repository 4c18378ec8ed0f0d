"""Elastic Load Balancing: target groups and the health of their targets."""

from moto.elbv2.exceptions import DuplicateTargetGroupName, InvalidTargetError, TargetGroupNotFoundError
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup, elbv2_backends

from .patch import around, define

HTTP_ATTRIBUTES = {
    "stickiness.lb_cookie.duration_seconds": "86400",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "86400",
    "load_balancing.algorithm.anomaly_mitigation": "off",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
}


@around(FakeTargetGroup, "__init__")
def new_target_group(original, self, *args, **kwargs):
    """An HTTP target group has all its attributes; health checks that are switched off are off."""
    http = kwargs.get("protocol") in ("HTTP", "HTTPS") and kwargs.get("target_type") != "lambda"
    original(self, *args, **kwargs)
    enabled = kwargs.get("healthcheck_enabled")
    self.health_check_enabled = True if enabled is None else enabled in (True, "true")
    self.attributes = {key: str(value) for key, value in self.attributes.items()}
    if http:
        self.attributes.pop("waf.fail_open.enabled", None)
        self.attributes.update(HTTP_ATTRIBUTES)


SETTINGS = {
    "protocol": "protocol",
    "port": "port",
    "vpc_id": "vpc_id",
    "target_type": "target_type",
    "protocol_version": "protocol_version",
    "healthcheck_protocol": "health_check_protocol",
    "healthcheck_port": "health_check_port",
    "healthcheck_path": "health_check_path",
    "healthcheck_interval_seconds": "health_check_interval_seconds",
    "healthcheck_timeout_seconds": "health_check_timeout_seconds",
    "healthy_threshold_count": "healthy_threshold_count",
    "unhealthy_threshold_count": "unhealthy_threshold_count",
    "matcher": "matcher",
}


@around(ELBv2Backend, "create_target_group")
def target_group_names_are_unique(original, self, name, **kwargs):
    """A name in use answers with the existing group when the settings are the same, else DuplicateTargetGroupName."""
    for group in self.target_groups.values():
        if group.name == name:
            same = all(
                kwargs.get(asked) is None or str(kwargs[asked]) == str(getattr(group, live, None))
                for asked, live in SETTINGS.items()
            )
            if same:
                return group
            raise DuplicateTargetGroupName()
    return original(self, name, **kwargs)


@around(ELBv2Backend, "delete_target_group")
def delete_target_group(original, self, target_group_arn):
    """Deleting a group that is gone succeeds."""
    if target_group_arn in self.target_groups:
        original(self, target_group_arn)


@define(FakeTargetGroup)
@property
def load_balancer_arns(self):
    """The balancers whose listeners and rules name the group now, not all that ever did."""
    backend = elbv2_backends[self.account_id][self.region_name]
    found = []
    for balancer in backend.load_balancers.values():
        actions = (a for listener in balancer.listeners.values() for rule in listener.rules.values() for a in rule.actions)
        if any(self.arn in backend._get_target_group_arns_from(action.data) for action in actions):
            found.append(balancer.arn)
    return _Named(found)


FakeTargetGroup.load_balancer_arns = FakeTargetGroup.load_balancer_arns.setter(lambda self, value: None)


class _Named(list):
    """A computed list: moto's own appends to it say nothing new."""

    def append(self, value):
        pass


# --- targets ---------------------------------------------------------------------------------------------------------


def key_of(group, target):
    return f"{target['Id']}:{target.get('Port') or group.port}"


@define(FakeTargetGroup)
def register(self, targets):
    """A target is an id and a port: one address can serve on two."""
    for target in targets:
        key = key_of(self, target)
        self.targets[key] = {"Id": target["Id"], "Port": target.get("Port") or self.port}
        self.deregistered_targets.pop(key, None)


@define(FakeTargetGroup)
def deregister(self, targets):
    """Without a port, every port of the id is meant."""
    for target in targets:
        keys = [key for key, live in self.targets.items() if matches(live, target)]
        if not keys:
            raise InvalidTargetError()
        for key in keys:
            self.deregistered_targets[key] = self.targets.pop(key)


def matches(live, target):
    return live["Id"] == target["Id"] and target.get("Port") in (None, live["Port"])


@define(FakeTargetGroup)
def deregister_terminated_instances(self, instance_ids):
    """A terminated instance drains on all its ports."""
    for key in [key for key, live in self.targets.items() if live["Id"] in instance_ids]:
        self.terminated_targets[key] = self.targets.pop(key)


def unhealthy(group, target, state, reason, description):
    return FakeHealthStatus(target["Id"], target.get("Port") or group.port, group.health_check_port, state, reason, description)


@define(FakeTargetGroup)
def health_for(self, target, ec2_backend):
    """A target is `unused` until a listener or rule sends to its group."""
    live = next((t for t in self.targets.values() if matches(t, target)), None)
    if live is None:
        if any(matches(t, target) for t in self.terminated_targets.values()):
            text = "Target deregistration is in progress"
            return unhealthy(self, target, "draining", "Target.DeregistrationInProgress", text)
        text = "Target is not registered to the target group"
        return unhealthy(self, target, "unused", "Target.NotRegistered", text)
    if not self.load_balancer_arns:
        text = "Target group is not configured to receive traffic from the load balancer"
        return unhealthy(self, live, "unused", "Target.NotInUse", text)
    instance = ec2_backend.get_instance_by_id(live["Id"]) if live["Id"].startswith("i-") else None
    if instance and instance.state == "stopped":
        return unhealthy(self, live, "unused", "Target.InvalidState", "Target is in the stopped state")
    return FakeHealthStatus(live["Id"], live["Port"], self.health_check_port, "healthy")


@define(ELBv2Backend)
def describe_target_health(self, target_group_arn, targets):
    """Every target of the group, or the asked ones."""
    group = self.target_groups.get(target_group_arn)
    if group is None:
        raise TargetGroupNotFoundError()
    return [group.health_for(target, self.ec2_backend) for target in targets or list(group.targets.values())]
