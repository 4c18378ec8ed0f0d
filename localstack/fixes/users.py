"""Who uses a subnet or a security group. On AWS all of these are network interfaces; moto keeps them apart."""


def of(name, backend):
    """Another service's backend for the same account and region."""
    from moto.backends import get_backend

    return get_backend(name)[backend.account_id][backend.region_name]


def balancers(backend):
    return of("elbv2", backend).load_balancers.values()


def public_balancers(backend, vpc_id):
    return [b.arn for b in balancers(backend) if b.vpc_id == vpc_id and b.scheme == "internet-facing"]


def databases(backend):
    return of("rds", backend).databases.values()


def services(backend):
    """ECS services that run tasks, with their network configuration."""
    for service in of("ecs", backend).services.values():
        configuration = (getattr(service, "network_configuration", None) or {}).get("awsvpcConfiguration")
        if configuration and service.status == "ACTIVE" and service.desired_count:
            yield service, configuration


def of_subnet(backend, subnet_id):
    """Names of what has an address in the subnet."""
    yield from (b.arn for b in balancers(backend) if subnet_id in [subnet.id for subnet in b.subnets])
    for database in databases(backend):
        group = getattr(database, "db_subnet_group", None)
        if group and subnet_id in [subnet["SubnetIdentifier"] for subnet in group.subnets]:
            yield database.arn
    yield from (service.arn for service, network in services(backend) if subnet_id in network.get("subnets", []))


def of_group(backend, group_id):
    """Names of what carries the security group."""
    for eni in backend.enis.values():
        if group_id in [group.id for group in eni.group_set]:
            yield eni.id
    yield from (b.arn for b in balancers(backend) if group_id in b.security_groups)
    yield from (d.arn for d in databases(backend) if group_id in (d.vpc_security_group_ids or []))
    yield from (service.arn for service, network in services(backend) if group_id in network.get("securityGroups", []))
    for endpoint in backend.vpc_end_points.values():
        if endpoint.state.lower() != "deleted" and group_id in (endpoint.security_group_ids or []):
            yield endpoint.id
