"""IAM."""

from moto.iam.exceptions import EntityAlreadyExists, InvalidInput
from moto.iam.models import IAMBackend

from .patch import around

SERVICES = {
    "ecs": "ECS",
    "elasticloadbalancing": "ElasticLoadBalancing",
    "rds": "RDS",
    "elasticache": "ElastiCache",
    "autoscaling": "AutoScaling",
    "cloudtrail": "CloudTrail",
    "backup": "Backup",
    "wafv2": "WAFV2",
}
SCALED = {"ecs": "ECSService", "rds": "RDSCluster"}


@around(IAMBackend, "create_role")
def names_ignore_case(original, self, role_name, *args, **kwargs):
    """Two roles cannot differ in the case of their names only."""
    if any(role.name.lower() == role_name.lower() for role in self.get_roles()):
        raise EntityAlreadyExists(f"Role with name {role_name} already exists.")
    return original(self, role_name, *args, **kwargs)


def role_name(service_name, suffix):
    parts = service_name.split(".")
    if len(parts) == 4 and parts[1] == "application-autoscaling":
        name = f"ApplicationAutoScaling_{SCALED.get(parts[0], parts[0])}"
    else:
        name = SERVICES.get(parts[0])
    return f"AWSServiceRoleFor{name}{'_' + suffix if suffix else ''}" if name else None


@around(IAMBackend, "create_service_linked_role")
def service_linked_role(original, self, service_name, description, suffix):
    """A service-linked role has its service's own spelling (AWSServiceRoleForECS), and a second one is InvalidInput."""
    name = role_name(service_name, suffix)
    if name and any(role.name == name for role in self.get_roles()):
        text = f"Service role name {name} has been taken in this account, please try a different suffix."
        raise InvalidInput(text)
    role = original(self, service_name, description, suffix)
    if name:
        role.name = name
    return role
