"""EC2: networks, addresses, gateways, routes."""

from moto.core.responses import ActionResult
from moto.ec2 import exceptions
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models.availability_zones_and_regions import Zone
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.internet_gateways import InternetGatewayBackend
from moto.ec2.models.nat_gateways import NatGateway, NatGatewayBackend
from moto.ec2.models.route_tables import Route, RouteBackend
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses import EC2Response
from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses

from .patch import around, define, idempotent, paged

# --- every call ------------------------------------------------------------------------------------------------------

idempotent(
    EC2Response,
    "ClientToken",
    lambda action: action.startswith(("Create", "Run")),
    lambda: EC2ClientError("IdempotentParameterMismatch", "The client token was used before with other parameters."),
)


@around(EC2Response, "call_action")
def dry_run(original, self):
    """A call with DryRun does nothing and answers DryRunOperation."""
    if self._get_param("DryRun", False):
        return self.serialized(ActionResult(exceptions.DryRunClientError()))
    return original(self)


# MaxResults bounds a page of every Describe call, and NextToken continues it.
paged(EC2Response, "Describe", "MaxResults", "NextToken", "NextToken")

# --- zones, VPCs, subnets --------------------------------------------------------------------------------------------

# DescribeAvailabilityZones says that a zone needs no opt-in; clients filter on it.
Zone.opt_in_status = "opt-in-not-required"
Zone.network_border_group = property(lambda self: self.region_name)


def interfaces_in(backend, subnet_id):
    """What keeps an address in a subnet: AWS shows all of it as network interfaces, moto knows only some."""
    from . import users

    yield from (eni.id for eni in backend.enis.values() if eni.subnet and eni.subnet.id == subnet_id)
    yield from users.of_subnet(backend, subnet_id)


@around(SubnetBackend, "delete_subnet")
def subnet_in_use(original, self, subnet_id):
    """DeleteSubnet is refused while an interface (instance, gateway, balancer, task, database) sits in the subnet;
    its route table association goes with it."""
    if next(interfaces_in(self, subnet_id), None):
        message = f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
        raise DependencyViolationError(message)
    deleted = original(self, subnet_id)
    for table in self.route_tables.values():
        for association in [key for key, target in table._associations.items() if target == subnet_id]:
            del table._associations[association]
    return deleted


@around(VPCBackend, "delete_vpc")
def vpc_in_use(original, self, vpc_id):
    """DeleteVpc is refused while a gateway is attached or a security group other than `default` is left."""
    attached = [gateway.id for gateway in self.internet_gateways.values() if gateway.vpc and gateway.vpc.id == vpc_id]
    groups = [group.id for group in self.groups.get(vpc_id, {}).values() if not group.is_default]
    endpoints = [e.id for e in self.vpc_end_points.values() if e.vpc_id == vpc_id and e.state.lower() != "deleted"]
    if attached or groups or endpoints:
        raise DependencyViolationError(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
    return original(self, vpc_id)


# --- internet gateways -----------------------------------------------------------------------------------------------


@around(InternetGatewayBackend, "attach_internet_gateway")
def one_gateway_a_vpc(original, self, internet_gateway_id, vpc_id):
    """A VPC takes one internet gateway."""
    for gateway in self.internet_gateways.values():
        if gateway.vpc and gateway.vpc.id == vpc_id and gateway.id != internet_gateway_id:
            message = f"Network {vpc_id} already has an internet gateway attached"
            raise EC2ClientError("InvalidParameterValue", message)
    return original(self, internet_gateway_id, vpc_id)


@around(InternetGatewayBackend, "detach_internet_gateway")
def mapped_addresses(original, self, internet_gateway_id, vpc_id):
    """DetachInternetGateway is refused while public addresses are in use in the VPC (NAT gateways, public balancers)."""
    from . import users

    mapped = [a.public_ip for a in self.addresses if a.eni and a.eni.subnet and a.eni.subnet.vpc_id == vpc_id]
    if mapped or users.public_balancers(self, vpc_id):
        message = f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before "
        raise DependencyViolationError(message + "detaching the gateway.")
    return original(self, internet_gateway_id, vpc_id)


# --- addresses -------------------------------------------------------------------------------------------------------

ElasticAddress.public_ipv4_pool = "amazon"
ElasticAddress.network_border_group = property(lambda self: self.ec2_backend.region_name)


@around(ElasticIPAddresses, "allocate_address")
def allocated_fields(original, self):
    """AllocateAddress answers with the address's pool and border group."""
    result = original(self).result
    return ActionResult({**result, "PublicIpv4Pool": "amazon", "NetworkBorderGroup": self.region})


@around(ElasticIPAddresses, "release_address")
def address_in_use(original, self):
    """ReleaseAddress is refused while the address is associated, e.g. with a NAT gateway."""
    wanted = self._get_param("AllocationId")
    for address in self.ec2_backend.addresses:
        if wanted and address.allocation_id == wanted and address.association_id:
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")
    return original(self)


# An interface in a VPC without DNS host names has no name of its own; moto fails on such interfaces.
NetworkInterface.private_dns_name = None

# --- instances -------------------------------------------------------------------------------------------------------


@around(Instance, "prep_nics")
def launched_interfaces(original, self, nic_spec, *args, **kwargs):
    """An interface that a launch makes goes with its instance, unless said otherwise; one that was there before stays."""
    brought = {nic.get("NetworkInterfaceId") for nic in nic_spec}
    kept = {int(nic["DeviceIndex"]) for nic in nic_spec if nic.get("DeleteOnTermination") is False}
    original(self, nic_spec, *args, **kwargs)
    for index, nic in self.nics.items():
        if nic.id not in brought and index not in kept:
            nic.delete_on_termination = True


# --- NAT gateways ----------------------------------------------------------------------------------------------------

NatGateway.failure_code = None
NatGateway.failure_message = None
NatGateway.delete_time = None


def nat_not_found(gateway_id):
    return EC2ClientError("NatGatewayNotFound", f"NatGateway {gateway_id} was not found")


@around(NatGatewayBackend, "create_nat_gateway")
def nat_created(original, self, subnet_id, allocation_id, tags=None, connectivity_type=None):
    """A NAT gateway is public unless said otherwise, needs an address then, describes its addresses in full, and fails
    when its VPC has no internet gateway."""
    connectivity_type = connectivity_type or "public"
    if connectivity_type == "public" and not allocation_id:
        raise EC2ClientError("MissingParameter", "The request must include the AllocationId parameter.")
    if any(a.allocation_id == allocation_id and a.association_id for a in self.addresses):
        raise exceptions.ResourceAlreadyAssociatedError(allocation_id)  # before moto makes an interface it would leak
    gateway = original(self, subnet_id, allocation_id, tags, connectivity_type)
    gateway.address_set[0].update({"isPrimary": True, "status": "succeeded"})
    attached = any(g.vpc and g.vpc.id == gateway.vpc_id for g in self.internet_gateways.values())
    if connectivity_type == "public" and not attached:
        free(self, gateway)
        gateway.state = "failed"
        gateway.failure_code = "Gateway.NotAttached"
        gateway.failure_message = f"Network {gateway.vpc_id} has no Internet gateway attached"
    return gateway


def free(backend, gateway):
    """Gives the gateway's address and interface back."""
    for address in backend.addresses:
        if address.eni is gateway._eni:
            backend.disassociate_address(address=address.public_ip)
    backend.enis.pop(gateway._eni.id, None)


@around(NatGatewayBackend, "delete_nat_gateway")
def nat_deleted(original, self, nat_gateway_id):
    """DeleteNatGateway frees the address; an unknown gateway is NatGatewayNotFound."""
    if nat_gateway_id not in self.nat_gateways:
        raise nat_not_found(nat_gateway_id)
    gateway = original(self, nat_gateway_id)
    free(self, gateway)
    return gateway


@around(NatGatewayBackend, "describe_nat_gateways")
def nat_filters(original, self, filters, nat_gateway_ids):
    """DescribeNatGateways knows tag filters, and refuses unknown ids."""
    for gateway_id in nat_gateway_ids or []:
        if gateway_id not in self.nat_gateways:
            raise nat_not_found(gateway_id)
    found = original(self, filters, nat_gateway_ids)
    for name, values in (filters or {}).items():
        if name.startswith("tag:"):
            found = [gateway for gateway in found if gateway.get_filter_value(name) in values]
        elif name == "tag-key":
            found = [gateway for gateway in found if set(gateway.get_filter_value(name)) & set(values)]
    return found


# --- route tables ----------------------------------------------------------------------------------------------------


@define(Route)
@property
def state(self):
    """A route to a gateway that is gone is a black hole."""
    nat, gateway = self.nat_gateway, self.gateway
    gone = nat is not None and nat.state in ("deleting", "deleted", "failed")
    detached = gateway is not None and gateway.id.startswith("igw-") and getattr(gateway, "vpc", None) is None
    return "blackhole" if gone or detached else "active"


def check_target(self, route_table_id, gateway_id, nat_gateway_id):
    table = self.get_route_table(route_table_id)
    if gateway_id and gateway_id.startswith("igw-"):
        vpc = self.get_internet_gateway(gateway_id).vpc
        if vpc is None or vpc.id != table.vpc_id:
            message = f"route table {route_table_id} and network gateway {gateway_id} belong to different networks"
            raise EC2ClientError("InvalidParameterValue", message)
    if nat_gateway_id:
        nat = self.nat_gateways.get(nat_gateway_id)
        if nat is None or nat.state in ("deleted", "failed"):
            message = f"The natGateway ID '{nat_gateway_id}' does not exist"
            raise EC2ClientError("InvalidNatGatewayID.NotFound", message)


@around(RouteBackend, "create_route")
def create_route(original, self, route_table_id, *args, **kwargs):
    """A route's target must exist, and an internet gateway must be attached to the table's VPC."""
    check_target(self, route_table_id, kwargs.get("gateway_id"), kwargs.get("nat_gateway_id"))
    return original(self, route_table_id, *args, **kwargs)


@around(RouteBackend, "replace_route")
def replace_route(original, self, route_table_id, *args, **kwargs):
    """The same holds for ReplaceRoute."""
    check_target(self, route_table_id, kwargs.get("gateway_id"), kwargs.get("nat_gateway_id"))
    return original(self, route_table_id, *args, **kwargs)


@around(RouteBackend, "associate_route_table")
def one_table_a_subnet(original, self, route_table_id, gateway_id=None, subnet_id=None):
    """A subnet that is associated with another table is refused; ReplaceRouteTableAssociation moves it."""
    for table in self.route_tables.values():
        if subnet_id and subnet_id in table._associations.values() and table.id != route_table_id:
            message = f"the specified association for route table {route_table_id} conflicts with an existing association"
            raise EC2ClientError("Resource.AlreadyAssociated", message)
    return original(self, route_table_id, gateway_id, subnet_id)
