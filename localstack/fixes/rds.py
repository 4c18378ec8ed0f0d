"""RDS: subnet groups, parameter groups and what every call shares. Instances are in rds_instances."""

from moto.core.responses import ActionResult
from moto.rds.exceptions import DBParameterGroupNotFoundError, DBSubnetGroupNotFoundError, RDSClientError
from moto.rds.models import RDSBackend
from moto.rds.responses import RDSResponse

from .patch import around, define

# The versions that a major version means, as CreateDBInstance chooses them.
VERSIONS = {
    "postgres": {"13": "13.20", "14": "14.17", "15": "15.12", "16": "16.8", "17": "17.4"},
    "mysql": {"8.0": "8.0.41", "8.4": "8.4.4"},
    "mariadb": {"10.6": "10.6.21", "10.11": "10.11.11", "11.4": "11.4.5"},
}
NAMES = ["DBInstanceIdentifier", "DBSubnetGroupName", "DBParameterGroupName", "DBSnapshotIdentifier"]
NAMES += ["FinalDBSnapshotIdentifier", "NewDBInstanceIdentifier", "TargetDBInstanceIdentifier"]


@around(RDSResponse, "call_action")
def names_in_lower_case(original, self):
    """Names are stored and compared in lower case; the corrections below rely on it."""
    for name in NAMES:
        value = self.params.get(name)
        if isinstance(value, str) and not value.startswith("arn:"):
            self.params[name] = value.lower()
    return original(self)


# --- subnet groups ---------------------------------------------------------------------------------------------------


def covers_zones(subnets):
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        text = "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Add subnets to cover at least 2 AZs."
        raise RDSClientError("DBSubnetGroupDoesNotCoverEnoughAZs", text)


@around(RDSBackend, "create_subnet_group")
def create_subnet_group(original, self, subnet_name, description, subnets, tags):
    """A subnet group's name is unique, and its subnets lie in two zones at least."""
    if subnet_name.lower() in self.subnet_groups:
        raise RDSClientError("DBSubnetGroupAlreadyExists", "The DB subnet group already exists.")
    covers_zones(subnets)
    return original(self, subnet_name, description, subnets, tags)


@around(RDSBackend, "modify_db_subnet_group")
def modify_subnet_group(original, self, subnet_name, description, subnets):
    """ModifyDBSubnetGroup keeps the group, and a description that is left out."""
    covers_zones(subnets)
    live = self.subnet_groups.get(subnet_name)
    if live is None:
        raise DBSubnetGroupNotFoundError(subnet_name)
    original(self, subnet_name, description or live.description, subnets)
    self.subnet_groups[subnet_name] = live  # moto loses the group here
    return live


@around(RDSBackend, "delete_subnet_group")
def subnet_group_in_use(original, self, subnet_name):
    """A subnet group is not deleted while an instance is in it."""
    groups = [getattr(database, "db_subnet_group", None) for database in self.databases.values()]
    if any(group and group.name == subnet_name.lower() for group in groups):
        text = f"Cannot delete the subnet group '{subnet_name}' because at least one database instance is still using it."
        raise RDSClientError("InvalidDBSubnetGroupStateFault", text)
    return original(self, subnet_name)


# --- parameter groups ------------------------------------------------------------------------------------------------


def group_named(self, name):
    if name not in self.backend.db_parameter_groups:
        raise DBParameterGroupNotFoundError(name)
    return self.backend.db_parameter_groups[name]


def needs_reboot(backend, group):
    for database in backend.databases.values():
        if database.db_parameter_group_name == group.name:
            database.parameter_apply_status = "pending-reboot"


@around(RDSBackend, "describe_db_parameter_groups")
def unknown_parameter_group(original, self, db_parameter_group_kwargs):
    """An unknown name is DBParameterGroupNotFound, not an empty list."""
    name = db_parameter_group_kwargs.get("db_parameter_group_name")
    found = original(self, db_parameter_group_kwargs)
    if name and not found:
        raise DBParameterGroupNotFoundError(name)
    return found


@define(RDSResponse)
def describe_db_parameters(self):
    """Parameters that were modified have the source `user`."""
    group = group_named(self, self.params.get("DBParameterGroupName"))
    modified = [{"Source": "user", "IsModifiable": True, **parameter} for parameter in group.parameters.values()]
    return ActionResult({"Parameters": modified if self.params.get("Source") in (None, "user") else []})


@around(RDSResponse, "modify_db_parameter_group")
def modify_parameters(original, self):
    """At most 20 parameters a call; a static one waits for a reboot of the instances."""
    changes = self.params.get("Parameters", [])
    group = group_named(self, self.params.get("DBParameterGroupName"))
    if len(changes) > 20:
        raise RDSClientError("InvalidParameterValue", "You can only modify 20 parameters in a single request.")
    answer = original(self)
    if any(change.get("ApplyMethod") == "pending-reboot" for change in changes):
        needs_reboot(self.backend, group)
    return answer


@define(RDSResponse)
def reset_db_parameter_group(self):
    """ResetDBParameterGroup gives the named parameters, or all, their defaults back."""
    group = group_named(self, self.params.get("DBParameterGroupName"))
    if self.params.get("ResetAllParameters"):
        group.parameters.clear()
    for parameter in self.params.get("Parameters", []):
        group.parameters.pop(parameter["ParameterName"], None)
    needs_reboot(self.backend, group)
    return ActionResult({"DBParameterGroupName": group.name})


@around(RDSBackend, "delete_db_parameter_group")
def parameter_group_in_use(original, self, db_parameter_group_name):
    """A parameter group is not deleted while an instance uses it."""
    if any(d.db_parameter_group_name == db_parameter_group_name for d in self.databases.values()):
        text = "One or more database instances are still members of this parameter group"
        raise RDSClientError("InvalidDBParameterGroupState", f"{text} {db_parameter_group_name}, so the group cannot be deleted")
    return original(self, db_parameter_group_name)


@define(RDSResponse)
def describe_db_engine_versions(self):
    """The versions that this emulator's instances get."""
    found = []
    for engine, versions in VERSIONS.items():
        for major, version in versions.items():
            if self.params.get("Engine") in (None, engine) and self.params.get("EngineVersion") in (None, major, version):
                family = f"{engine}{major}"
                logs = {"postgres": ["postgresql", "upgrade"]}.get(engine, ["audit", "error", "general", "slowquery"])
                found.append(
                    {
                        "Engine": engine,
                        "EngineVersion": version,
                        "DBParameterGroupFamily": family,
                        "MajorEngineVersion": major,
                        "ExportableLogTypes": logs,
                        "Status": "available",
                    }
                )
    return ActionResult({"DBEngineVersions": found})
