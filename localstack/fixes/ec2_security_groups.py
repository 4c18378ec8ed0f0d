"""EC2: security groups and their rules, which are objects with ids and tags of their own."""

from moto.core.responses import ActionResult
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError, InvalidSecurityGroupRuleIdNotFoundError
from moto.ec2.models.security_groups import SecurityGroupBackend, SecurityGroupRule
from moto.ec2.responses.security_groups import SecurityGroups

from . import users
from .patch import around, define


def identity(rule):
    """What makes two rules of one direction the same rule: not their description, not who owns the other group."""
    target = (
        rule.ip_range.get("CidrIp"),
        rule.ip_range.get("CidrIpv6"),
        rule.source_group.get("GroupId"),
        rule.prefix_list_id,
    )
    ports = (None, None) if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
    return (rule.ip_protocol, *ports, *target)


@define(SecurityGroupRule, "__eq__")
def same_rule(self, other):
    """A rule that differs only in its description is a duplicate (InvalidPermission.Duplicate)."""
    return identity(self) == identity(other)


@around(SecurityGroupRule, "__init__")
def keep_prefix_description(original, self, *args, prefix_list_id=None, **kwargs):
    """A prefix list rule has a description too."""
    if prefix_list_id is None and len(args) > 7:
        prefix_list_id, args = args[7], args[:7]
    original(self, *args, prefix_list_id=prefix_list_id, **kwargs)
    self.prefix_description = (prefix_list_id or {}).get("Description")


@define(SecurityGroupRule)
@property
def description(self):
    """Rules whose other side is a group or a prefix list have a description, as CIDR rules do."""
    own = self.ip_range.get("Description") or self.source_group.get("Description")
    return own or getattr(self, "prefix_description", None)


@define(SecurityGroupRule)
@property
def group_owner_id(self):
    """DescribeSecurityGroupRules says whose group it is."""
    return self.ec2_backend.account_id


@define(SecurityGroupRule)
@property
def security_group_rule_arn(self):
    """A rule has an ARN."""
    backend = self.ec2_backend
    return f"arn:aws:ec2:{backend.region_name}:{backend.account_id}:security-group-rule/{self.id}"


def authorize(self, direction):
    """All rules of one call are added or none, and all are in the answer."""
    self.error_on_dryrun()
    wanted = self._get_param("GroupId") or self._get_param("GroupName")
    group = self.ec2_backend.get_security_group_by_name_or_id(wanted)
    before = (list(group.ingress_rules), list(group.egress_rules)) if group else None
    added = []
    try:
        for arguments in self._process_rules_from_querystring():
            rules, _ = getattr(self.ec2_backend, f"authorize_security_group_{direction}")(**arguments)
            added += rules
    except EC2ClientError:
        if group:
            group.ingress_rules, group.egress_rules = before
        raise
    return ActionResult({"Return": True, "SecurityGroupRules": added})


define(SecurityGroups, "authorize_security_group_ingress")(lambda self: authorize(self, "ingress"))
define(SecurityGroups, "authorize_security_group_egress")(lambda self: authorize(self, "egress"))


def known_ids(self, rules):
    for rule_id in self._get_param("SecurityGroupRuleIds", []):
        if rule_id not in [rule.id for rule in rules]:
            raise InvalidSecurityGroupRuleIdNotFoundError(rule_id)


def group_of(self):
    return self.ec2_backend.get_security_group_by_name_or_id(self._get_param("GroupId") or self._get_param("GroupName"))


@around(SecurityGroups, "revoke_security_group_ingress")
def revoke_unknown_ingress(original, self):
    """Revoking a rule id that is gone is InvalidSecurityGroupRuleId.NotFound."""
    group = group_of(self)
    known_ids(self, group.ingress_rules if group else [])
    return original(self)


@around(SecurityGroups, "revoke_security_group_egress")
def revoke_unknown_egress(original, self):
    """The same for egress."""
    group = group_of(self)
    known_ids(self, group.egress_rules if group else [])
    return original(self)


def describe(rule, text):
    """Sets a rule's description wherever moto keeps it."""
    if rule.source_group:
        rule.source_group["Description"] = text
    elif rule.ip_range:
        rule.ip_range["Description"] = text
    else:
        rule.prefix_description = text


def update_descriptions(original, self):
    """A description can be changed by rule id."""
    changes = self._get_param("SecurityGroupRuleDescriptions", [])
    if not changes:
        original(self)
        return ActionResult({"Return": True})
    group = group_of(self)
    for change in changes:
        rule = group.get_rule(change["SecurityGroupRuleId"]) if group else None
        if rule is None:
            raise InvalidSecurityGroupRuleIdNotFoundError(change["SecurityGroupRuleId"])
        describe(rule, change.get("Description", ""))
    return ActionResult({"Return": True})


around(SecurityGroups, "update_security_group_rule_descriptions_ingress")(update_descriptions)
around(SecurityGroups, "update_security_group_rule_descriptions_egress")(update_descriptions)


@around(SecurityGroupBackend, "create_security_group")
def reserved_name(original, self, name, *args, **kwargs):
    """A group's name may not start with `sg-`, and names are compared without case."""
    if name.startswith("sg-"):
        raise EC2ClientError("InvalidParameterValue", "Invalid value for parameter groupName. It cannot start with sg-")
    return original(self, name, *args, **kwargs)


@around(SecurityGroups, "delete_security_group")
def group_in_use(original, self):
    """DeleteSecurityGroup is refused for `default`, while another group's rule refers to the group, and while an
    interface carries it."""
    group = group_of(self)
    if group is None:
        return original(self)
    if group.is_default:
        raise EC2ClientError("CannotDelete", "the specified group: \"" + group.id + "\" name: \"default\" cannot be deleted by a user")
    for groups in self.ec2_backend.groups.values():
        for other in groups.values():
            referring = [r for r in other.ingress_rules + other.egress_rules if r.source_group.get("GroupId") == group.id]
            if referring and other.id != group.id:
                raise DependencyViolationError(f"resource {group.id} has a dependent object")
    if next(users.of_group(self.ec2_backend, group.id), None):
        raise DependencyViolationError(f"resource {group.id} has a dependent object")
    return original(self)
