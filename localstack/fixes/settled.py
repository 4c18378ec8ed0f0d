"""Reads of other services show what ECS services have become."""

from moto.ec2.responses import EC2Response
from moto.ecs.models import ecs_backends
from moto.elbv2.models import ELBv2Backend

from .ecs_services import settle_all
from .patch import around


@around(ELBv2Backend, "describe_target_health")
def targets_of_services(original, self, target_group_arn, targets):
    """DescribeTargetHealth sees the targets that services registered."""
    settle_all(ecs_backends[self.account_id][self.region_name])
    return original(self, target_group_arn, targets)


@around(EC2Response, "call_action")
def interfaces_of_tasks(original, self):
    """Deleting a subnet or a security group sees the interfaces that tasks have now."""
    if self._get_action().startswith(("Delete", "Detach")):
        settle_all(ecs_backends[self.current_account][self.region])
    return original(self)
