"""EC2: how many rules a security group takes."""

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.security_groups import SecurityGroups

from fixes.ec2_security_groups import group_of
from fixes.patch import around

from .settings import settings


def bounded(direction):
    """A security group takes so many rules in each direction (60 unless raised); a call that would exceed it adds none."""

    @around(SecurityGroups, f"authorize_security_group_{direction}")
    def authorize(original, self):
        group = group_of(self)
        before = (list(group.ingress_rules), list(group.egress_rules)) if group else None
        answer = original(self)
        rules = getattr(group, f"{direction}_rules") if group else []
        if settings["max_rules"] is not None and len(rules) > settings["max_rules"]:
            group.ingress_rules, group.egress_rules = before
            text = "The maximum number of rules per security group has been reached."
            raise EC2ClientError("RulesPerSecurityGroupLimitExceeded", text)
        return answer


bounded("ingress")
bounded("egress")
