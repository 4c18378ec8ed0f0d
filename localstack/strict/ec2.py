"""EC2: NAT gateways and endpoints get ready in their own time, interfaces outlive their owners, accounts have quotas."""

from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupDuplicateError
from moto.ec2.models.elastic_ip_addresses import ElasticAddressBackend
from moto.ec2.models.nat_gateways import NatGateway, NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.models.vpcs import VPCBackend, VPCEndPoint

import fixes.ec2
from fixes.patch import around

from .later import after, settling
from .settings import settings

# --- NAT gateways ----------------------------------------------------------------------------------------------------

# A NAT gateway is pending, then available; deleting, then deleted, and is still listed then.
NatGateway.state = settling({"available": "pending", "deleted": "deleting"}, "_state")

free_now = fixes.ec2.free


def free(backend, gateway):
    """A NAT gateway keeps its address and its interface until it is deleted."""
    if gateway.state == "deleting":
        after("settle", lambda: free_now(backend, gateway))
    else:
        free_now(backend, gateway)


fixes.ec2.free = free

# --- endpoints -------------------------------------------------------------------------------------------------------

# An endpoint with interfaces is pending, then available; deleting, then gone.
VPCEndPoint.state = settling({"available": "pending", "deleted": "deleting"}, "_state")


@around(VPCEndPoint, "__init__")
def gateways_are_there_at_once(original, self, *args, **kwargs):
    """A gateway endpoint has nothing to wait for."""
    original(self, *args, **kwargs)
    if self.vpc_endpoint_type.lower() == "gateway":
        self._state_since = None


@around(VPCBackend, "delete_vpc_endpoints")
def interfaces_outlive_endpoints(original, self, vpce_ids=None):
    """The interfaces of an endpoint, which hold its subnets and groups, go a while after it."""
    kept = {}
    for endpoint in [self.vpc_end_points[id] for id in vpce_ids or [] if id in self.vpc_end_points]:
        if endpoint.vpc_endpoint_type.lower() == "interface":
            kept |= {id: self.enis[id] for id in endpoint.network_interface_ids if id in self.enis}
    original(self, vpce_ids)
    self.enis.update(kept)
    after("linger", lambda: [self.enis.pop(id, None) for id in kept])


@around(VPCBackend, "create_vpc_endpoint")
def one_private_name(original, self, vpc_id, service_name, *args, **kwargs):
    """Only one endpoint of a service in a VPC takes over the service's DNS name."""
    for other in self.vpc_end_points.values():
        same = (other.vpc_id, other.service_name) == (vpc_id, service_name)
        if same and other.state != "deleted" and kwargs.get("private_dns_enabled") and other.private_dns_enabled:
            text = f"private-dns-enabled cannot be set because there is already a conflicting DNS domain for {service_name}"
            raise EC2ClientError("InvalidParameter", f"{text} in the VPC {vpc_id}")
    return original(self, vpc_id, service_name, *args, **kwargs)


# --- security groups -------------------------------------------------------------------------------------------------


@around(SecurityGroupBackend, "create_security_group")
def names_ignore_case(original, self, name, description, vpc_id=None, *args, **kwargs):
    """Two groups of a VPC cannot differ in the case of their names only."""
    if any(group.name.lower() == name.lower() for group in self.groups.get(vpc_id, {}).values()):
        raise InvalidSecurityGroupDuplicateError(name)
    return original(self, name, description, vpc_id, *args, **kwargs)


# --- quotas ----------------------------------------------------------------------------------------------------------


def within(setting, count, code, text):
    if settings[setting] is not None and count >= settings[setting]:
        raise EC2ClientError(code, text)


@around(VPCBackend, "create_vpc")
def vpcs(original, self, *args, **kwargs):
    """A region takes so many VPCs (5 unless raised)."""
    within("max_vpcs", len(self.vpcs), "VpcLimitExceeded", "The maximum number of VPCs has been reached.")
    return original(self, *args, **kwargs)


@around(ElasticAddressBackend, "allocate_address")
def addresses(original, self, *args, **kwargs):
    """A region takes so many Elastic IP addresses (5 unless raised)."""
    text = "The maximum number of addresses has been reached."
    within("max_addresses", len(self.addresses), "AddressLimitExceeded", text)
    return original(self, *args, **kwargs)


@around(NatGatewayBackend, "create_nat_gateway")
def nat_gateways(original, self, subnet_id, *args, **kwargs):
    """A zone takes so many NAT gateways (5 unless raised), counting those that are being made and deleted."""
    zone = self.get_subnet(subnet_id).availability_zone
    live = [n for n in self.nat_gateways.values() if n.state not in ("deleted", "failed")]
    count = sum(self.get_subnet(n.subnet_id).availability_zone == zone for n in live)
    text = f"Performing this operation would exceed the limit of {settings['max_nat_gateways']} NAT gateways"
    within("max_nat_gateways", count, "NatGatewayLimitExceeded", text)
    return original(self, subnet_id, *args, **kwargs)
