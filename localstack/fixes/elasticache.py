"""ElastiCache: replication groups and the nodes that they consist of, subnet groups, parameter groups."""

from moto.core.resource_tagging import TaggedResource
from moto.core.responses import ActionResult, EmptyResult, PaginatedResult
from moto.elasticache.exceptions import CacheClusterNotFound, CacheSubnetGroupNotFound, ElastiCacheException, ReplicationGroupNotFound
from moto.elasticache.models import ElastiCacheBackend, ReplicationGroup
from moto.elasticache.responses import ElastiCacheResponse

from . import users
from .patch import around, define

# The version that a minor one means, as CreateReplicationGroup chooses it.
VERSIONS = {"valkey": {"7.2": "7.2.6", "8.0": "8.0.1", "8.1": "8.1.0"}, "redis": {"6.2": "6.2.6", "7.0": "7.0.7", "7.1": "7.1.0"}}
# Looks at a group (DescribeReplicationGroups) that stand for the minutes in which it is made, changed or deleted.
LOOKS = 3
NAMES = ["ReplicationGroupId", "CacheSubnetGroupName", "CacheParameterGroupName", "FinalSnapshotIdentifier"]


def refuse(code, text):
    problem = ElastiCacheException(text)
    problem.code = code
    raise problem


def family(engine, version):
    major = version.split(".")[0]
    return "redis6.x" if (engine, major) == ("redis", "6") else f"{engine}{major}"


def begin(group, status):
    group.status, group.looks = status, 0


@around(ElastiCacheBackend, "describe_replication_groups")
def look(original, self, replication_group_id=None):
    """What is being made, changed or deleted is done after a while."""
    for name, group in list(self.replication_groups.items()):
        if group.status == "available" or replication_group_id not in (None, name):
            continue
        group.looks += 1
        if group.looks >= LOOKS and group.status == "deleting":
            del self.replication_groups[name]
        elif group.looks >= LOOKS:
            group.status = "available"
    return original(self, replication_group_id)


@around(ElastiCacheResponse, "call_action")
def prepare(original, self):
    """Names are stored and compared in lower case."""
    for name in NAMES:
        if isinstance(self.params.get(name), str):
            self.params[name] = self.params[name].lower()
    return original(self)


# --- replication groups ----------------------------------------------------------------------------------------------


def available(backend, name):
    """A group takes changes, and tells its tags, only while it is available."""
    group = backend.replication_groups.get(name)
    if group is None:
        raise ReplicationGroupNotFound(name)
    if group.status != "available":
        refuse("InvalidReplicationGroupState", f"Replication group {name} has status {group.status} which is not valid for the requested operation.")
    return group


@around(ReplicationGroup, "__init__")
def complete_group(original, self, **wanted):
    """A group has as many nodes as were asked for, an endpoint for readers, a full version, and AWS's defaults."""
    engine = wanted["engine"] = wanted["engine"] or "redis"
    versions = VERSIONS.get(engine, {})
    version = wanted["engine_version"] or list(versions)[-1]
    wanted["engine_version"] = versions.get(version, version)
    nodes = wanted["num_cache_clusters"] or (wanted["replicas_per_node_group"] or 0) + 1
    wanted["replicas_per_node_group"] = nodes - 1
    if wanted["automatic_failover_enabled"] and nodes < 2:
        refuse("InvalidParameterCombination", "Automatic failover requires at least one replica.")
    if wanted["at_rest_encryption_enabled"] is None:
        wanted["at_rest_encryption_enabled"] = engine == "valkey"
    if wanted["auto_minor_version_upgrade"] is None:
        wanted["auto_minor_version_upgrade"] = True
    wanted["snapshot_window"] = wanted["snapshot_window"] or "05:00-06:00"
    wanted["preferred_maintenance_window"] = wanted["preferred_maintenance_window"] or "sun:07:00-sun:08:00"
    wanted["cache_parameter_group_name"] = wanted["cache_parameter_group_name"] or "default." + family(engine, version)
    original(self, **wanted)
    for shard in self.node_groups:
        if "reader_endpoint_address" in shard:
            shard["reader_endpoint"] = {"address": shard["reader_endpoint_address"], "port": self.port}
    if self.transit_encryption_enabled:
        self.transit_encryption_mode = self.transit_encryption_mode or "required"
    begin(self, "creating")


@around(ElastiCacheBackend, "create_replication_group")
def known_groups(original, self, *args, **wanted):
    """The subnet group and the parameter group must exist."""
    subnets, parameters = wanted.get("cache_subnet_group_name"), wanted.get("cache_parameter_group_name")
    if subnets and subnets not in self.cache_subnet_groups:
        raise CacheSubnetGroupNotFound(subnets)
    if parameters and not parameters.startswith("default."):
        parameter_group(self, parameters)
    return original(self, *args, **wanted)


def node(group, name):
    """One node as DescribeCacheClusters shows it: security groups, windows, version and groups are nowhere else."""
    return {
        "CacheClusterId": name,
        "ReplicationGroupId": group.replication_group_id,
        "CacheNodeType": group.cache_node_type,
        "Engine": group.engine,
        "EngineVersion": group.engine_version,
        "CacheClusterStatus": group.status,
        "NumCacheNodes": 1,
        "PreferredMaintenanceWindow": group.preferred_maintenance_window,
        "PendingModifiedValues": {},
        "CacheParameterGroup": {"CacheParameterGroupName": group.cache_parameter_group_name, "ParameterApplyStatus": "in-sync"},
        "CacheSubnetGroupName": group.cache_subnet_group_name,
        "SecurityGroups": [{"SecurityGroupId": one, "Status": "active"} for one in group.security_group_ids or []],
        "AutoMinorVersionUpgrade": group.auto_minor_version_upgrade,
        "SnapshotRetentionLimit": group.snapshot_retention_limit,
        "SnapshotWindow": group.snapshot_window,
        "TransitEncryptionEnabled": group.transit_encryption_enabled,
        "AtRestEncryptionEnabled": group.at_rest_encryption_enabled,
        "ARN": group.arn.replace(f":replicationgroup:{group.replication_group_id}", f":cluster:{name}"),
    }


@around(ElastiCacheBackend, "describe_cache_clusters")
def nodes_of_groups(original, self, cache_cluster_id=None):
    """The nodes of a replication group are clusters too."""
    nodes = [node(group, name) for group in self.replication_groups.values() for name in group.member_clusters]
    if not cache_cluster_id:
        return original(self) + nodes
    found = [one for one in nodes if one["CacheClusterId"] == cache_cluster_id]
    if not found and cache_cluster_id not in self.cache_clusters:
        raise CacheClusterNotFound(cache_cluster_id)
    return found or original(self, cache_cluster_id)


CHANGES = {
    "ReplicationGroupDescription": "description",
    "Engine": "engine",
    "CacheNodeType": "cache_node_type",
    "CacheParameterGroupName": "cache_parameter_group_name",
    "SecurityGroupIds": "security_group_ids",
    "SnapshotRetentionLimit": "snapshot_retention_limit",
    "SnapshotWindow": "snapshot_window",
    "PreferredMaintenanceWindow": "preferred_maintenance_window",
    "AutoMinorVersionUpgrade": "auto_minor_version_upgrade",
}


@define(ElastiCacheResponse)
def modify_replication_group(self):
    """ModifyReplicationGroup changes all that it names, or refuses all of it."""
    group = available(self.elasticache_backend, self.params.get("ReplicationGroupId"))
    failover, zones = self.params.get("AutomaticFailoverEnabled"), self.params.get("MultiAZEnabled")
    if failover and len(group.member_clusters) < 2:
        refuse("InvalidParameterCombination", "Automatic failover requires at least one replica.")
    if zones and not (failover or (failover is None and group.automatic_failover == "enabled")):
        refuse("InvalidParameterCombination", "Multi-AZ requires automatic failover.")
    if group.engine == "valkey" and self.params.get("Engine") == "redis":
        refuse("InvalidParameterCombination", "Cannot change the engine from valkey to redis.")
    engine = self.params.get("Engine") or group.engine
    if version := self.params.get("EngineVersion"):
        version = VERSIONS[engine].get(version, version)
        if engine == group.engine and version < group.engine_version:
            refuse("InvalidParameterCombination", "Cannot downgrade the engine version.")
        parameters = self.params.get("CacheParameterGroupName") or group.cache_parameter_group_name
        own = self.elasticache_backend.parameter_groups.get(parameters, {}).get("CacheParameterGroupFamily")
        if (own or parameters.removeprefix("default.")) != family(engine, version):
            refuse("InvalidParameterCombination", f"The parameter group {parameters} is not of {family(engine, version)}.")
        group.engine_version = version
    if failover is not None:
        group.automatic_failover = "enabled" if failover else "disabled"
    if zones is not None:
        group.multi_az = "enabled" if zones else "disabled"
    for name, attribute in CHANGES.items():
        if self.params.get(name) is not None:
            setattr(group, attribute, self.params[name])
    begin(group, "modifying")
    return ActionResult({"ReplicationGroup": group})


def resize(self, direction):
    """IncreaseReplicaCount and DecreaseReplicaCount make and remove nodes; failover keeps one replica."""
    group = available(self.elasticache_backend, self.params.get("ReplicationGroupId"))
    before, after = len(group.member_clusters) - 1, self.params.get("NewReplicaCount")
    if (after - before) * direction <= 0:
        refuse("InvalidParameterValue", f"NewReplicaCount {after} with {before} replicas.")
    if after == 0 and group.automatic_failover == "enabled":
        refuse("InvalidParameterCombination", "Automatic failover requires at least one replica.")
    names = [f"{group.replication_group_id}-{number + 1:03}" for number in range(after + 1)]
    group.member_clusters = names
    shard = group.node_groups[0]
    known = {member["cache_cluster_id"]: member for member in shard["node_group_members"]}
    fresh = {"cache_node_id": "0001", "current_role": "replica", "preferred_availability_zone": "us-east-1b"}
    shard["node_group_members"] = [known.get(name) or {"cache_cluster_id": name, **fresh} for name in names]
    begin(group, "modifying")
    return ActionResult({"ReplicationGroup": group})


define(ElastiCacheResponse, "increase_replica_count")(lambda self: resize(self, 1))
define(ElastiCacheResponse, "decrease_replica_count")(lambda self: resize(self, -1))


@define(ElastiCacheResponse)
def delete_replication_group(self):
    """A deleted group is gone after a while, and leaves the final snapshot that was asked for."""
    backend = self.elasticache_backend
    group = available(backend, self.params.get("ReplicationGroupId"))
    if name := self.params.get("FinalSnapshotIdentifier"):
        backend.create_snapshot(name, group.replication_group_id, None, group.kms_key_id, [])
    begin(group, "deleting")
    return ActionResult({"ReplicationGroup": group})


@around(ElastiCacheBackend, "list_tags_for_resource")
def tags_of_the_available(original, self, arn):
    """The tags of a group are not told while it changes; parameter groups have tags."""
    kind, name = arn.split(":")[5:7]
    if kind == "replicationgroup":
        available(self, name)
    if kind == "parametergroup":
        parameter_group(self, name)
        return self.tagging_service.list_tags_for_resource(arn)
    return original(self, arn)


@around(ElastiCacheBackend, "add_tags_to_resource")
def tag_the_available(original, self, arn, tags):
    """The tags of a group are not changed while it changes."""
    kind, name = arn.split(":")[5:7]
    if kind == "replicationgroup":
        available(self, name)
    return original(self, arn, tags)


# --- subnet groups ---------------------------------------------------------------------------------------------------


@define(ElastiCacheResponse)
def modify_cache_subnet_group(self):
    """A subnet group can be given other subnets."""
    backend, name = self.elasticache_backend, self.params.get("CacheSubnetGroupName")
    group = backend.describe_cache_subnet_groups(name)[0]
    description = self.params.get("CacheSubnetGroupDescription") or group.cache_subnet_group_description
    subnets = self.params.get("SubnetIds") or group.subnet_ids
    group.__init__(backend.account_id, backend.region_name, name, description, subnets, group.tags)
    return ActionResult({"CacheSubnetGroup": group})


@define(ElastiCacheResponse)
def delete_cache_subnet_group(self):
    """A subnet group is deleted once no cache is in it."""
    backend, name = self.elasticache_backend, self.params.get("CacheSubnetGroupName")
    group = backend.describe_cache_subnet_groups(name)[0]
    if any(one.cache_subnet_group_name == name for one in backend.replication_groups.values()):
        refuse("CacheSubnetGroupInUse", f"Cache subnet group {name} is currently in use by a cache cluster.")
    del backend.cache_subnet_groups[name]
    backend.tagging_service.delete_all_tags_for_resource(group.arn)
    return EmptyResult()


# --- parameter groups, which moto does not have ----------------------------------------------------------------------


@around(ElastiCacheBackend, "__init__")
def with_parameter_groups(original, self, *args, **kwargs):
    """Parameter groups belong to an account and a region."""
    original(self, *args, **kwargs)
    self.parameter_groups = {}


def parameter_group(backend, name):
    if name not in backend.parameter_groups:
        refuse("CacheParameterGroupNotFound", f"CacheParameterGroup {name} not found.")
    return backend.parameter_groups[name]


@define(ElastiCacheResponse)
def create_cache_parameter_group(self):
    """A parameter group's name is unique."""
    backend, name = self.elasticache_backend, self.params.get("CacheParameterGroupName")
    if name in backend.parameter_groups:
        refuse("CacheParameterGroupAlreadyExists", f"CacheParameterGroup {name} already exists.")
    kept = {key: self.params.get(key) for key in ("CacheParameterGroupName", "CacheParameterGroupFamily", "Description")}
    arn = f"arn:aws:elasticache:{backend.region_name}:{backend.account_id}:parametergroup:{name}"
    group = backend.parameter_groups[name] = {**kept, "ARN": arn, "IsGlobal": False, "parameters": {}}
    backend.tagging_service.tag_resource(arn, self.params.get("Tags") or [])
    return ActionResult({"CacheParameterGroup": group})


@define(ElastiCacheResponse)
def describe_cache_parameter_groups(self):
    """An unknown name is CacheParameterGroupNotFound."""
    backend, name = self.elasticache_backend, self.params.get("CacheParameterGroupName")
    groups = [parameter_group(backend, name)] if name else list(backend.parameter_groups.values())
    return PaginatedResult({"CacheParameterGroups": groups})


@define(ElastiCacheResponse)
def describe_cache_parameters(self):
    """Parameters that were modified have the source `user`."""
    group = parameter_group(self.elasticache_backend, self.params.get("CacheParameterGroupName"))
    told = [{"ParameterName": name, "ParameterValue": value, "Source": "user"} for name, value in group["parameters"].items()]
    return ActionResult({"Parameters": told if self.params.get("Source") in (None, "user") else []})


@define(ElastiCacheResponse)
def modify_cache_parameter_group(self):
    """At most 20 parameters a call."""
    group = parameter_group(self.elasticache_backend, self.params.get("CacheParameterGroupName"))
    changes = self.params.get("ParameterNameValues") or []
    if len(changes) > 20:
        refuse("InvalidParameterValue", "You can only modify 20 parameters in a single request.")
    group["parameters"].update({one["ParameterName"]: one["ParameterValue"] for one in changes})
    return ActionResult({"CacheParameterGroupName": group["CacheParameterGroupName"]})


@define(ElastiCacheResponse)
def reset_cache_parameter_group(self):
    """ResetCacheParameterGroup gives the named parameters, or all, their defaults back."""
    group = parameter_group(self.elasticache_backend, self.params.get("CacheParameterGroupName"))
    if self.params.get("ResetAllParameters"):
        group["parameters"].clear()
    for one in self.params.get("ParameterNameValues") or []:
        group["parameters"].pop(one["ParameterName"], None)
    return ActionResult({"CacheParameterGroupName": group["CacheParameterGroupName"]})


@define(ElastiCacheResponse)
def delete_cache_parameter_group(self):
    """A parameter group is deleted once no cache uses it."""
    backend, name = self.elasticache_backend, self.params.get("CacheParameterGroupName")
    group = parameter_group(backend, name)
    if any(one.cache_parameter_group_name == name for one in backend.replication_groups.values()):
        refuse("InvalidCacheParameterGroupState", f"One or more cache clusters are still members of this parameter group {name}")
    del backend.parameter_groups[name]
    backend.tagging_service.delete_all_tags_for_resource(group["ARN"])
    return EmptyResult()


# --- what others see of caches ---------------------------------------------------------------------------------------


@around(ElastiCacheBackend, "iter_tagged_resources")
def tagged_parameter_groups(original, self):
    """GetResources knows parameter groups."""
    yield from original(self)
    for group in self.parameter_groups.values():
        tags = self.tagging_service.get_tag_dict_for_resource(group["ARN"])
        yield TaggedResource(arn=group["ARN"], tags=tags, resource_type="elasticache:parametergroup")


def groups(backend):
    caches = users.of("elasticache", backend)
    return [(group, caches.cache_subnet_groups.get(group.cache_subnet_group_name)) for group in caches.replication_groups.values()]


@around(users, "of_subnet")
def caches_in_subnet(original, backend, subnet_id):
    """A subnet with nodes of a cache is in use."""
    yield from original(backend, subnet_id)
    yield from (group.arn for group, subnets in groups(backend) if subnets and subnet_id in subnets.subnet_ids)


@around(users, "of_group")
def caches_with_group(original, backend, group_id):
    """A security group that a cache carries is in use."""
    yield from original(backend, group_id)
    yield from (group.arn for group, _ in groups(backend) if group_id in (group.security_group_ids or []))
