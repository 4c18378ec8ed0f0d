"""RDS: instances are made, changed and deleted in their own time."""

import time

from moto.rds.exceptions import RDSClientError
from moto.rds.models import DBInstance, RDSBackend

from fixes.patch import around, define

from .later import after
from .settings import settings


MOVES = ("moves", "moves_since", "waiting", "pending_modified_values")


def moving(database, state):
    """The state that the instance shows for a while, before it is available."""
    database.moves, database.moves_since = state, time.monotonic()


@define(DBInstance)
@property
def status(self):
    """An instance is `creating`, `modifying` or `rebooting` before it is available."""
    if time.monotonic() - self.moves_since >= settings["settle"]:
        self.moves = None
    return self.moves if self.moves and self.settled_status == "available" else self.settled_status


@status.setter
def status(self, value):
    if not hasattr(self, "moves"):
        moving(self, "creating")
    self.settled_status = value


DBInstance.status = status


def available(backend, name, doing):
    """The instance of this name takes a change only while it is available."""
    database = backend.databases.get(name)
    if database and database.status != "available":
        text = f"Database instance {name} is not in available state, but {database.status}: it cannot be {doing}."
        raise RDSClientError("InvalidDBInstanceState", text)
    return database


@around(RDSBackend, "modify_db_instance")
def modified(original, self, db_instance_identifier, db_kwargs):
    """A change is refused while another one is being made; a request that changes nothing makes none."""
    database = available(self, db_instance_identifier, "modified")
    before = looks(database)
    answer = original(self, db_instance_identifier, db_kwargs)
    if database and looks(database) != before:
        moving(database, "modifying")
    return answer


def looks(database):
    """What a change may change."""
    return {name: repr(value) for name, value in vars(database).items() if name not in MOVES} if database else None


@around(RDSBackend, "reboot_db_instance")
def rebooted(original, self, db_instance_identifier):
    """A reboot takes a while."""
    database = available(self, db_instance_identifier, "rebooted")
    answer = original(self, db_instance_identifier)
    if database:
        moving(database, "rebooting")
    return answer


@around(RDSBackend, "create_db_snapshot")
def snapshot(original, self, db_instance_identifier, db_snapshot_identifier, snapshot_type="manual", *args, **kwargs):
    """A snapshot is taken of an available instance."""
    if snapshot_type == "manual":
        available(self, db_instance_identifier, "backed up")
    return original(self, db_instance_identifier, db_snapshot_identifier, snapshot_type, *args, **kwargs)


@around(RDSBackend, "delete_db_instance")
def deleted(original, self, db_instance_identifier, *args, **kwargs):
    """An instance is `deleting` for a while, in which it keeps its name, its groups and its interfaces."""
    database = self.databases.get(db_instance_identifier)
    if database and database.status == "deleting":
        raise RDSClientError("InvalidDBInstanceState", f"Instance {db_instance_identifier} is already being deleted.")
    answer = original(self, db_instance_identifier, *args, **kwargs)
    self.databases[db_instance_identifier] = database

    def gone():
        if self.databases.get(db_instance_identifier) is database:
            del self.databases[db_instance_identifier]

    after("settle", gone)
    return answer
