"""WAF: web ACLs and IP sets."""

import json

from moto.core.exceptions import JsonRESTError
from moto.core.resource_tagging import TaggedResource
from moto.resourcegroupstaggingapi import models as tagging
from moto.wafv2.exceptions import WAFNonexistentItemException, WAFV2DuplicateItemException
from moto.wafv2.models import WAFV2Backend, wafv2_backends
from moto.wafv2.responses import WAFV2Response

from .patch import around, define


class Refused(JsonRESTError):
    code = 400


class AssociatedItem(Refused):
    def __init__(self):
        message = "AWS WAF couldn't perform the operation because your resource is being used by another resource."
        super().__init__("WAFAssociatedItemException", message)


@around(WAFV2DuplicateItemException, "__init__")
def duplicate(original, self):
    """The code is WAFDuplicateItemException."""
    message = "AWS WAF couldn't perform the operation because some resource in your request is a duplicate."
    JsonRESTError.__init__(self, "WAFDuplicateItemException", message)


def balancer_exists(account, arn):
    from moto.elbv2.models import elbv2_backends

    region = arn.split(":")[3]
    return ":elasticloadbalancing:" not in arn or arn in elbv2_backends[account][region].load_balancers


def of_living(self, acl):
    """A balancer that is deleted leaves its web ACL."""
    acl.associated_resources = [arn for arn in acl.associated_resources if balancer_exists(self.account_id, arn)]
    return acl.associated_resources


@around(WAFV2Backend, "associate_web_acl")
def one_acl_each(original, self, web_acl_arn, resource_arn):
    """A resource has one web ACL: a new one takes its place. The resource must exist."""
    if web_acl_arn not in self.wacls or not balancer_exists(self.account_id, resource_arn):
        raise WAFNonexistentItemException()
    self.disassociate_web_acl(resource_arn)
    return original(self, web_acl_arn, resource_arn)


@around(WAFV2Backend, "delete_web_acl")
def not_in_use(original, self, name, scope, _id, lock_token):
    """A web ACL with resources is not deleted; its tags go with it."""
    acl = self.get_web_acl(None, name, _id)
    if of_living(self, acl):
        raise AssociatedItem()
    original(self, name, scope, _id, lock_token)
    self.tagging_service.delete_all_tags_for_resource(acl.arn)


def named_in(value, arn):
    """Whether a rule names an ARN, however deep."""
    if isinstance(value, dict):
        return value.get("ARN") == arn or any(named_in(inner, arn) for inner in value.values())
    return isinstance(value, list) and any(named_in(inner, arn) for inner in value)


@around(WAFV2Backend, "delete_ip_set")
def not_named(original, self, name, scope, _id, lock_token):
    """An IP set that a rule names is not deleted."""
    found = [arn for arn, ip_set in self.ip_sets.items() if ip_set.ip_set_id == _id]
    rules = [rule.statement for acl in self.wacls.values() for rule in acl.rules]
    if found and named_in(rules, found[0]):
        raise AssociatedItem()
    original(self, name, scope, _id, lock_token)
    self.tagging_service.delete_all_tags_for_resource(found[0])


@around(WAFV2Backend, "create_ip_set")
def names_are_unique(original, self, name, scope, *args):
    if any(ip_set.name == name and ip_set.scope == scope for ip_set in self.ip_sets.values()):
        raise WAFV2DuplicateItemException()
    return original(self, name, scope, *args)


@around(WAFV2Backend, "update_web_acl")
def the_whole(original, self, name, _id, default_action, rules, *args):
    """An update says all of it: without rules there are none."""
    token = original(self, name, _id, default_action, rules, *args)
    if not rules:
        self.get_web_acl(None, name, _id).rules = []
    return token


@define(WAFV2Response)
def list_resources_for_web_acl(self):
    """ListResourcesForWebACL, of one sort of resources: balancers, unless another is asked for."""
    acl = self.wafv2_backend.get_web_acl(self._get_param("WebACLArn"), None, None)
    sort = self._get_param("ResourceType") or "APPLICATION_LOAD_BALANCER"
    arns = of_living(self.wafv2_backend, acl)
    arns = [arn for arn in arns if (":loadbalancer/app/" in arn) == (sort == "APPLICATION_LOAD_BALANCER")]
    return 200, {}, json.dumps({"ResourceArns": arns})


@define(WAFV2Backend)
def iter_tagged_resources(self):
    """GetResources knows web ACLs and IP sets."""
    for sort, arns in [("webacl", self.wacls), ("ipset", self.ip_sets)]:
        for arn in arns:
            tags = {tag["Key"]: tag["Value"] for tag in self.tagging_service.list_tags_for_resource(arn)["Tags"]}
            yield TaggedResource(arn=arn, tags=tags, resource_type=f"wafv2:{sort}")


@around(tagging, "iter_taggable_backends")
def also_this(original, account, region):
    yield from original(account, region)
    yield wafv2_backends[account][region]
