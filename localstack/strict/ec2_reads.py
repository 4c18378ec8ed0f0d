"""EC2: reads, and calls that refer to it, lag behind a create."""

import re

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from fixes.patch import around

from .later import bear, young

# What a create makes: the prefix of its ids, and the code of those that are not there.
KINDS = {
    "CreateVpc": ("vpc", "InvalidVpcID.NotFound"),
    "CreateSubnet": ("subnet", "InvalidSubnetID.NotFound"),
    "CreateSecurityGroup": ("sg", "InvalidGroup.NotFound"),
    "CreateInternetGateway": ("igw", "InvalidInternetGatewayID.NotFound"),
    "CreateRouteTable": ("rtb", "InvalidRouteTableID.NotFound"),
    "CreateNatGateway": ("nat", "NatGatewayNotFound"),
    "CreateVpcEndpoint": ("vpce", "InvalidVpcEndpointId.NotFound"),
    "CreateFlowLogs": ("fl", "InvalidFlowLogId.NotFound"),
    "CreateVolume": ("vol", "InvalidVolume.NotFound"),
    "CreateLaunchTemplate": ("lt", "InvalidLaunchTemplateId.NotFound"),
    "RunInstances": ("i", "InvalidInstanceID.NotFound"),
    "AllocateAddress": ("eipalloc", "InvalidAllocationID.NotFound"),
    "AuthorizeSecurityGroupIngress": ("sgr", "InvalidSecurityGroupRuleId.NotFound"),
    "AuthorizeSecurityGroupEgress": ("sgr", "InvalidSecurityGroupRuleId.NotFound"),
}
CODES = dict(KINDS.values())
ID = re.compile(rf"^({'|'.join(CODES)})-[0-9a-f]{{8,17}}$")
# What calls say beside what they refer to.
ASIDE = {"Action", "ClientToken", "DryRun", "Filter", "Filters", "TagSpecification", "TagSpecifications", "Version"}


def named(value):
    """The ids in parameters, however deep."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in ASIDE:
                yield from named(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from named(each)
    elif isinstance(value, str) and ID.match(value):
        yield value


def missing(id, action):
    code = CODES[ID.match(id)[1]]
    if action in ("CreateRoute", "ReplaceRoute"):
        code = {"igw": "InvalidGatewayID.NotFound", "nat": "InvalidNatGatewayID.NotFound"}.get(ID.match(id)[1], code)
    return EC2ClientError(code, f"The ID '{id}' does not exist")


@around(EC2Response, "call_action")
def not_seen_yet(original, self):
    """A call that names what was made a moment ago answers that it does not exist. (AWS: "eventual consistency" of the
    EC2 API; so do creates that refer to it.)"""
    action = self._get_action()
    referred = list(named(self._get_params()))
    for id in referred:
        if young("ec2", id):
            return self.serialized(ActionResult(missing(id, action)))
    answer = original(self)
    if action in KINDS and answer[0] == 200:
        body = answer[2].decode() if isinstance(answer[2], bytes) else answer[2]
        for id in re.findall(rf"(?<![\w-]){KINDS[action][0]}-[0-9a-f]{{8,17}}(?![\w-])", body):
            if id not in referred:
                bear("ec2", id)
    return answer


def hidden(item):
    names = ("allocation_id", "id") if not isinstance(item, dict) else ("SecurityGroupRuleId", "FlowLogId", "AllocationId")
    for name in names:
        id = item.get(name) if isinstance(item, dict) else getattr(item, name, None)
        if isinstance(id, str) and young("ec2", id):
            return True
    instances = getattr(item, "instances", None)
    return bool(instances) and all(young("ec2", instance.id) for instance in instances)


@around(EC2Response, "serialized")
def not_listed_yet(original, self, action_result):
    """Nor do lists show it."""
    result = action_result.result
    if (self._get_action() or "").startswith("Describe") and isinstance(result, dict):
        shown = {
            name: [item for item in value if not hidden(item)] if isinstance(value, (list, tuple)) else value
            for name, value in result.items()
        }
        return original(self, ActionResult(shown))
    return original(self, action_result)
