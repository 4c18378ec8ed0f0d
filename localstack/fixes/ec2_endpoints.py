"""EC2: VPC endpoints and flow logs."""

import json

from moto.core.resource_tagging import TaggedResource
from moto.ec2.models import EC2Backend
from moto.ec2.models.vpcs import VPCBackend, VPCEndPoint
from moto.ec2.responses.vpcs import VPCs
from moto.ec2.utils import random_private_ip

from .patch import around


def carry_groups(endpoint):
    """The interfaces of an endpoint carry its groups."""
    groups = [endpoint.ec2_backend.get_security_group_from_id(group) for group in endpoint.security_group_ids]
    for eni in endpoint.network_interface_ids:
        endpoint.ec2_backend.enis[eni]._group_set = groups


@around(VPCBackend, "create_vpc_endpoint")
def whole_endpoint(original, self, vpc_id, service_name, endpoint_type, *args, **kwargs):
    """An endpoint is a gateway unless said otherwise; a gateway has no private DNS; interfaces carry the
    groups and have a name below vpce.amazonaws.com."""
    endpoint_type = endpoint_type or "Gateway"
    if endpoint_type == "Gateway":
        kwargs["private_dns_enabled"] = False
    endpoint = original(self, vpc_id, service_name, endpoint_type, *args, **kwargs)
    carry_groups(endpoint)
    short = service_name.partition(f"{self.region_name}.")[2]
    for entry in endpoint.dns_entries:
        entry["dns_name"] = f"{endpoint.id}-{endpoint.id[-8:]}.{short}.{self.region_name}.vpce.amazonaws.com"
    return endpoint


@around(VPCBackend, "modify_vpc_endpoint")
def follow(original, self, **changes):
    """Routes and interfaces follow the route tables, subnets and groups of an endpoint."""
    endpoint = self.describe_vpc_endpoints(vpc_end_point_ids=[changes["vpc_id"]])[0]
    tables, subnets = set(endpoint.route_table_ids or []), set(endpoint.subnet_ids or [])
    original(self, **changes)
    list_id = endpoint.destination_prefix_list_id
    for table in set(endpoint.route_table_ids or []) - tables:
        self.create_route(table, None, gateway_id=endpoint.id, destination_prefix_list_id=list_id)
    for table in tables - set(endpoint.route_table_ids or []):
        self.delete_route(table, list_id)
    for subnet in set(endpoint.subnet_ids or []) - subnets:
        endpoint.network_interface_ids.append(self.create_network_interface(subnet, random_private_ip()).id)
    for subnet in subnets - set(endpoint.subnet_ids or []):
        for eni in [eni for eni in endpoint.network_interface_ids if self.enis[eni].subnet.id == subnet]:
            endpoint.network_interface_ids.remove(eni)
            del self.enis[eni]
    carry_groups(endpoint)


@around(VPCs, "modify_vpc_endpoint")
def dns_and_policy(original, self):
    """ModifyVpcEndpoint changes PrivateDnsEnabled, and ResetPolicy brings the policy back that lets everything."""
    answer = original(self)
    endpoint = self.ec2_backend.get_vpc_end_point(self._get_param("VpcEndpointId"))
    dns = self._get_bool_param("PrivateDnsEnabled")
    if dns is not None:
        endpoint.private_dns_enabled = dns
    if self._get_bool_param("ResetPolicy"):
        endpoint.policy_document = json.dumps(VPCEndPoint.DEFAULT_POLICY)
    return answer


@around(EC2Backend, "iter_tagged_resources")
def flow_logs(original, self):
    """GetResources knows flow logs."""
    yield from original(self)
    for log in self.flow_logs:
        arn = f"arn:aws:ec2:{self.region_name}:{self.account_id}:vpc-flow-log/{log}"
        tags = {tag["key"]: tag["value"] for tag in self.describe_tags(filters={"resource-id": [log]})}
        yield TaggedResource(arn=arn, tags=tags, resource_type="ec2:vpc-flow-log")
