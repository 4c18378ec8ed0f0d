"""CloudWatch Logs."""

import json

from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.models import LogGroup, LogsBackend
from moto.logs.responses import LogsResponse

from .patch import around, define

RETENTION = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]


@around(LogsResponse, "create_log_group")
def keep_class(original, self):
    """A group has a class, STANDARD unless said otherwise."""
    answer = original(self)
    self.logs_backend.groups[self._get_param("logGroupName")].log_group_class = self._get_param("logGroupClass") or "STANDARD"
    return answer


@around(LogGroup, "to_describe_dict")
def both_arns(original, self):
    """A group is described with the ARN that ends in `:*` and the one that does not, which tags take."""
    described = original(self)
    plain = self.arn.removesuffix(":*")
    return {**described, "arn": f"{plain}:*", "logGroupArn": plain, "logGroupClass": getattr(self, "log_group_class", "STANDARD")}


@around(LogsBackend, "put_retention_policy")
def known_retention(original, self, log_group_name, retention_in_days):
    """Only certain numbers of days can be kept."""
    if int(retention_in_days) not in RETENTION:
        text = f"Invalid retention value. Valid values are: {RETENTION}"
        raise InvalidParameterException(msg=text)
    return original(self, log_group_name, retention_in_days)


def group_of(self):
    """The group that a call names, by name or ARN."""
    name = self._get_param("logGroupName") or self._get_param("resourceIdentifier") or ""
    name = name.partition(":log-group:")[2].removesuffix(":*") if name.startswith("arn:") else name
    if name not in self.logs_backend.groups:
        raise ResourceNotFoundException()
    return self.logs_backend.groups[name]


@define(LogsResponse)
def associate_kms_key(self):
    """AssociateKmsKey."""
    group_of(self).kms_key_id = self._get_param("kmsKeyId")
    return ""


@define(LogsResponse)
def disassociate_kms_key(self):
    """DisassociateKmsKey."""
    group_of(self).kms_key_id = None
    return ""


@define(LogsResponse)
def list_log_groups(self):
    """ListLogGroups: names, ARNs and classes; the pattern is a regular expression."""
    import re

    pattern = self._get_param("logGroupNamePattern") or ""
    start, size = int(self._get_param("nextToken") or 0), int(self._get_param("limit") or 50)
    groups = [group for name, group in sorted(self.logs_backend.groups.items()) if re.search(pattern, name)]
    shown = [
        {"logGroupName": g.name, "logGroupArn": g.arn, "logGroupClass": getattr(g, "log_group_class", "STANDARD")}
        for g in groups[start : start + size]
    ]
    following = {"nextToken": str(start + size)} if len(groups) > start + size else {}
    return json.dumps({"logGroups": shown, **following})


@around(LogsBackend, "list_tags_for_resource")
def tags_of_nothing(original, self, resource_arn):
    """Tags of a group that does not exist are an error, and an ARN that ends in `:*` is not one of a group."""
    name = resource_arn.partition(":log-group:")[2]
    if name and name not in self.groups:
        raise ResourceNotFoundException()
    return original(self, resource_arn)


@around(LogsBackend, "iter_tagged_resources")
def type_of_groups(original, self):
    """GetResources calls them logs:log-group."""
    for resource in original(self):
        resource.resource_type = "logs:log-group"
        yield resource
