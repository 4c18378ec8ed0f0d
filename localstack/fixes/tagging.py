"""Resource Groups Tagging API: kinds that GetResources knows on AWS and not in moto."""

from moto.core.resource_tagging import TaggedResource
from moto.core.responses import ActionResult
from moto.ec2.models import EC2Backend
from moto.rds.models import RDSBackend
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend
from moto.resourcegroupstaggingapi.responses import ResourceGroupsTaggingAPIResponse

from .patch import around

ANSWERED = {}  # what a token was answered with


@around(RDSBackend, "iter_tagged_resources")
def groups_of_databases(original, self):
    """Subnet and parameter groups have no tags in their Describe calls: GetResources is where one reads them at once."""
    seen = set()
    for resource in original(self):
        seen.add(resource.arn)
        yield resource
    groups = [("subgrp", self.subnet_groups), ("pg", self.db_parameter_groups)]
    for kind, members in groups:
        for group in members.values():
            if group.arn not in seen:
                tags = {tag["Key"]: tag["Value"] for tag in group.tags}
                yield TaggedResource(arn=group.arn, tags=tags, resource_type=f"rds:{kind}")


@around(EC2Backend, "iter_tagged_resources")
def addresses_rules_endpoints(original, self):
    """Elastic addresses, security group rules and VPC endpoints are tagged resources too."""
    seen = set()
    for resource in original(self):
        seen.add(resource.arn)
        yield resource
    rules = [r for groups in self.groups.values() for g in groups.values() for r in g.ingress_rules + g.egress_rules]
    kinds = {
        "elastic-ip": [address.id for address in self.addresses],
        "security-group-rule": [rule.id for rule in rules],
        "vpc-endpoint": list(self.vpc_end_points),
        "natgateway": list(self.nat_gateways),
        "internet-gateway": list(self.internet_gateways),
        "route-table": list(self.route_tables),
    }
    for kind, members in kinds.items():
        for member in members:
            arn = f"arn:aws:ec2:{self.region_name}:{self.account_id}:{kind}/{member}"
            if arn not in seen:
                yield TaggedResource(arn=arn, tags=dict(self.tags.get(member, {})), resource_type=f"ec2:{kind}")


@around(ResourceGroupsTaggingAPIResponse, "get_resources")
def last_page(original, self):
    """The last page has an empty token."""
    result = original(self).result
    return ActionResult({**result, "PaginationToken": result.get("PaginationToken") or ""})


@around(ResourceGroupsTaggingAPIBackend, "get_resources")
def again(original, self, pagination_token=None, **keywords):
    """A token holds for 15 minutes: whoever has lost the answer gets it again."""
    if not pagination_token:
        return original(self, **keywords)
    if pagination_token not in ANSWERED:
        ANSWERED[pagination_token] = original(self, pagination_token=pagination_token, **keywords)
    return ANSWERED[pagination_token]
