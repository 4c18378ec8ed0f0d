"""RDS instances: defaults, pending modifications, managed passwords, deletion."""

import json
import uuid

from moto.core.responses import ActionResult
from moto.rds.exceptions import DBSnapshotAlreadyExistsError, InvalidParameterCombination, RDSClientError
from moto.rds.models import DBInstance, MasterUserSecret, RDSBackend
from moto.rds.responses import RDSResponse

from .patch import around, define
from .rds import VERSIONS
from .secretsmanager_rotation import plan

LICENSES = {"postgres": "postgresql-license"}
HOSTED_ZONE = "Z2R2ITUGPM61AM"  # RDS's own zone in us-east-1


def full_version(engine, version):
    """The track `15` reads back as 15.x."""
    known = VERSIONS.get(engine, {})
    return known.get(version, version) if version else (list(known.values())[-1] if known else None)


def key_arn(backend, key):
    """A key given by id or alias reads back as its ARN; without one it is the account's own key for RDS."""
    if not key:
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"aws/rds/{backend.region_name}")
        return f"arn:aws:kms:{backend.region_name}:{backend.account_id}:key/{identity}"
    if key.startswith("arn:") and ":key/" in key:
        return key
    return backend.kms.describe_key(backend.kms.any_id_to_key_id(key)).arn


def provisioned(storage_type, size, iops, throughput):
    """What gp3 storage gets when nothing is asked for."""
    if storage_type != "gp3":
        return iops, None
    large = size >= 400
    return iops or (12_000 if large else 3_000), throughput or (500 if large else 125)


@around(DBInstance, "__init__")
def complete_instance(original, self, backend, db_instance_identifier, *args, **kwargs):
    """An instance reads back with everything that was asked for, and with AWS's defaults for the rest."""
    engine = kwargs.get("engine")
    if not kwargs.get("db_cluster_identifier"):
        kwargs["engine_version"] = full_version(engine, kwargs.get("engine_version"))
        kwargs["license_model"] = kwargs.get("license_model") or LICENSES.get(engine, "general-public-license")
        kwargs["ca_certificate_identifier"] = kwargs.get("ca_certificate_identifier") or "rds-ca-rsa2048-g1"
        if kwargs.get("storage_encrypted"):
            kwargs["kms_key_id"] = key_arn(backend, kwargs.get("kms_key_id"))
        kwargs["storage_type"] = kwargs.get("storage_type") or ("gp2" if not kwargs.get("iops") else "io1")
        size = kwargs.get("allocated_storage") or 20
        kwargs["iops"], kwargs["storage_throughput"] = provisioned(
            kwargs["storage_type"], size, kwargs.get("iops"), kwargs.get("storage_throughput")
        )
    supplied = kwargs.get("option_group_name")
    original(self, backend, db_instance_identifier, *args, **kwargs)
    self.option_group_name = supplied or default_option_group(engine, kwargs.get("engine_version") or "")
    self.dbi_resource_id = "db-" + uuid.uuid4().hex[:26].upper()
    self.publicly_accessible = bool(self.publicly_accessible)
    self.network_type = kwargs.get("network_type") or "IPV4"
    self.pending_modified_values = {}
    self.parameter_apply_status = "in-sync"
    self.dedicated_log_volume = bool(kwargs.get("dedicated_log_volume"))
    self.database_insights_mode = kwargs.get("database_insights_mode") or "standard"
    self.engine_lifecycle_support = kwargs.get("engine_lifecycle_support") or "open-source-rds-extended-support"
    performance_insights(self, kwargs)


def default_option_group(engine, version):
    parts = version.split(".")
    return f"default:{engine}-" + (parts[0] if engine == "postgres" else "-".join(parts[:2]))


def performance_insights(self, settings):
    """Performance Insights settings."""
    if settings.get("enable_performance_insights") is not None or not hasattr(self, "performance_insights_enabled"):
        self.performance_insights_enabled = bool(settings.get("enable_performance_insights"))
    if self.performance_insights_enabled:
        days, key = settings.get("performance_insights_retention_period"), settings.get("performance_insights_kms_key_id")
        self.performance_insights_retention_period = days or getattr(self, "performance_insights_retention_period", None) or 7
        known = getattr(self, "performance_insights_kms_key_id", None)
        self.performance_insights_kms_key_id = key_arn(self.backend, key) if key or not known else known
    else:
        self.performance_insights_retention_period = self.performance_insights_kms_key_id = None


@define(DBInstance)
@property
def secondary_availability_zone(self):
    """A Multi-AZ instance has its standby in a second zone."""
    group = getattr(self, "db_subnet_group", None)
    if not self.multi_az:
        return None
    zones = [subnet.availability_zone for subnet in group._subnets] if group else [f"{self.region}b"]
    return next((zone for zone in sorted(zones) if zone != self.availability_zone), None)


@define(DBInstance)
@property
def endpoint(self):
    """The endpoint names its hosted zone."""
    return {"Address": self.address, "Port": self.port, "HostedZoneId": HOSTED_ZONE}


@define(DBInstance)
@property
def db_parameter_group_status_list(self):
    """A parameter group that was changed, or whose static parameters were, waits for a reboot."""
    status = getattr(self, "parameter_apply_status", "in-sync")
    return [{"DBParameterGroupName": g.name, "ParameterApplyStatus": status} for g in self.db_parameter_groups()]


@around(RDSBackend, "reboot_db_instance")
def reboot(original, self, db_instance_identifier):
    """A reboot applies what waited for it."""
    database = original(self, db_instance_identifier)
    database.parameter_apply_status = "in-sync"
    return database


# --- managed passwords -----------------------------------------------------------------------------------------------


@around(MasterUserSecret, "_create_secret")
def rotated_secret(original, self, kms_key_id):
    """The secret that RDS manages rotates every seven days, and holds the master user's name."""
    secret = original(self, kms_key_id)
    secret.rotation_enabled = True
    secret.auto_rotate_after_days = 7
    secret.rotation_rules = {"AutomaticallyAfterDays": 7}
    plan(secret)
    return secret


@define(MasterUserSecret)
def _generate_secret_string(self):
    """The secret's value names the master user."""
    password = uuid.uuid4().hex + "#A"
    return json.dumps({"username": self.resource.master_username, "password": password})


# --- modification ----------------------------------------------------------------------------------------------------

# What waits for the maintenance window unless ApplyImmediately; everything else is applied at once.
WAITS = {
    "allocated_storage": "AllocatedStorage",
    "db_instance_class": "DBInstanceClass",
    "engine_version": "EngineVersion",
    "iops": "Iops",
    "license_model": "LicenseModel",
    "multi_az": "MultiAZ",
    "storage_throughput": "StorageThroughput",
    "storage_type": "StorageType",
    "port": "Port",
    "ca_certificate_identifier": "CACertificateIdentifier",
    "new_db_instance_identifier": "DBInstanceIdentifier",
    "master_user_password": "MasterUserPassword",
}
PARAMETERS = {"db_port_number": "port"}


@around(RDSBackend, "modify_db_instance")
def modify_instance(original, self, db_instance_identifier, db_kwargs):
    """What needs the maintenance window waits in PendingModifiedValues unless ApplyImmediately is set."""
    database = self.describe_db_instances(db_instance_identifier)[0]
    changes = {PARAMETERS.get(name, name): value for name, value in db_kwargs.items() if value is not None}
    changes.pop("db_instance_identifier", None)
    immediately = changes.pop("apply_immediately", False)
    changes.pop("allow_major_version_upgrade", None)
    if changes.get("allocated_storage", database.allocated_storage) < database.allocated_storage:
        raise InvalidParameterCombination("Requested storage size is less than the current storage size")
    if "engine_version" in changes:
        changes["engine_version"] = full_version(database.engine, changes["engine_version"])
        if changes["engine_version"] == database.engine_version:
            del changes["engine_version"]
    if changes.get("db_parameter_group_name") not in (None, database.db_parameter_group_name):
        if changes["db_parameter_group_name"] in self.db_parameter_groups:
            database.parameter_apply_status = "pending-reboot"
    waiting = getattr(database, "waiting", {})
    if immediately:
        changes, database.waiting = {**waiting, **changes}, {}
    else:
        for name in list(changes):
            if name in WAITS:
                value = changes.pop(name)
                if value != getattr(database, name, None) or name in waiting:
                    waiting[name] = value
                if name != "master_user_password" and value == getattr(database, name, None):
                    waiting.pop(name, None)  # asking for what is live takes the pending change back
        database.waiting = waiting
    database.pending_modified_values = {
        WAITS[name]: "****" if name == "master_user_password" else value for name, value in database.waiting.items()
    }
    return apply(original, self, db_instance_identifier, database, changes, immediately)


def apply(original, self, identifier, database, changes, immediately):
    settings = {name: value for name, value in changes.items() if "performance_insights" in name}
    if changes.get("manage_master_user_password") and database.manage_master_user_password:
        changes.pop("manage_master_user_password")  # managed already: not a second secret
    for name in settings:
        changes.pop(name)
    if "storage_type" in changes or "allocated_storage" in changes:
        kind, size = changes.get("storage_type", database.storage_type), changes.get("allocated_storage", database.allocated_storage)
        database.storage_type = kind
        kept = (database.iops, database.storage_throughput) if size < 400 or database.allocated_storage >= 400 else (None, None)
        iops, throughput = changes.get("iops") or kept[0], changes.get("storage_throughput") or kept[1]
        changes["iops"], changes["storage_throughput"] = provisioned(kind, size, iops, throughput)
    group = getattr(database, "db_subnet_group", None)
    if group is not None and group.name == changes.get("db_subnet_group_name"):
        changes.pop("db_subnet_group_name")
    modified = original(self, identifier, {**changes, "apply_immediately": immediately})
    performance_insights(modified, settings)
    return modified


# --- deletion and restoration ----------------------------------------------------------------------------------------


@around(RDSResponse, "delete_db_instance")
def final_snapshot(original, self):
    """Either a final snapshot is named, with a new name, or it is skipped."""
    name, skip = self.params.get("FinalDBSnapshotIdentifier"), self.params.get("SkipFinalSnapshot")
    if self.params.get("DBInstanceIdentifier") in self.backend.databases:
        if not name and not skip:
            text = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
            raise InvalidParameterCombination(text)
        if name and skip:
            text = "FinalDBSnapshotIdentifier can not be specified when deleting a database with SkipFinalSnapshot."
            raise InvalidParameterCombination(text)
        if name and name in self.backend.database_snapshots:
            raise DBSnapshotAlreadyExistsError(name)
    return original(self)


@around(RDSBackend, "restore_db_instance_from_db_snapshot")
def restore(original, self, from_snapshot_id, overrides):
    """A restored instance has the data, size and key of the snapshot; names, groups and switches come from the request."""
    wanted = dict(overrides)
    for switch in ("multi_az", "deletion_protection", "copy_tags_to_snapshot", "publicly_accessible"):
        wanted.setdefault(switch, False)
    name = wanted["db_instance_identifier"]
    restored = original(self, from_snapshot_id, overrides)
    database = self.databases[name]
    for switch in ("multi_az", "deletion_protection", "copy_tags_to_snapshot", "publicly_accessible"):
        setattr(database, switch, bool(wanted[switch]))
    database.enabled_cloudwatch_logs_exports = list(wanted.get("enable_cloudwatch_logs_exports") or [])
    database.tags = list(wanted.get("tags") or [])
    if wanted.get("storage_type") in (None, database.storage_type):
        database.iops, database.storage_throughput = provisioned(
            database.storage_type, database.allocated_storage, wanted.get("iops"), wanted.get("storage_throughput")
        )
    return restored
