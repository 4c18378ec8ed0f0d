"""RDS for PostgreSQL on a real server, the one of the setting `postgres`: an instance is a role with the rights of RDS's
master user, and a database that it owns."""

import json
import os
import pathlib
import shutil
import subprocess
import urllib.parse

from fixes import secretsmanager_rotation as rotation
from fixes.patch import around, define
from moto.rds.exceptions import RDSClientError
from moto.rds.models import DBInstance, RDSBackend, rds_backends

from .settings import settings

OWN = ("postgres", "template0", "template1")  # what every server has
# What a member of rds_superuser may do that is no superuser, and hand on.
RIGHTS = "pg_monitor, pg_signal_backend"
SECONDS = 30
UNUSABLE = "InvalidParameterValue"  # whose calls are not repeated


def name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def psql(url: str, *statements: str) -> None:
    """Runs the statements one by one, which come through its input: its arguments are for all to see."""
    debian = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql"))
    program = shutil.which("psql") or (debian and str(debian[-1]))
    if not program:
        raise RDSClientError(UNUSABLE, "The setting `postgres` needs the program psql (Debian: postgresql-client).")
    ran = subprocess.run(
        [program, "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", f"--dbname={url}"],
        input="\n".join(["SET standard_conforming_strings = on;", *statements]),
        env={**os.environ, "PGCONNECT_TIMEOUT": "10"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if ran.returncode:
        raise RDSClientError(UNUSABLE, f"psql: {ran.stderr.strip()}")


def password_of(database: DBInstance) -> str:
    """The master's: in the secret that RDS manages, or as it was given."""
    if not database.manage_master_user_password:
        return database._master_user_password or ""  # which moto does not show
    secret = database.master_user_secret.secret
    return json.loads(secret.versions[rotation.version_at(secret, rotation.CURRENT)]["secret_string"])["password"]


def set_password(database: DBInstance, password: str) -> None:
    psql(database.server, f"ALTER ROLE {name(database.master_username)} PASSWORD {literal(password)};")


def server_of(database) -> str | None:
    """The URL of the server that the instance is on, if it is on one."""
    return getattr(database, "server", None)


@around(RDSBackend, "create_db_instance")
def created(original, self, db_kwargs):
    """Makes role and database; an instance that cannot have them is not made."""
    database, url = original(self, db_kwargs), settings["postgres"]
    if not url or database.engine != "postgres":
        return database
    master, own = name(database.master_username), database.db_name
    role = f"CREATE ROLE {master} LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD {literal(password_of(database))};"
    made = False
    try:
        psql(url, "BEGIN;", role, f"GRANT {RIGHTS} TO {master} WITH ADMIN OPTION;", "COMMIT;")
        made = True
        if own and own not in OWN:
            psql(url, f"CREATE DATABASE {name(own)} OWNER {master};")
    except Exception:
        self.databases.pop(database.db_instance_identifier, None)
        if database.manage_master_user_password:
            database.master_user_secret.delete_secret()
        if made:
            psql(url, f"DROP ROLE {master};")
        raise
    database.server = url
    return database


@around(RDSBackend, "modify_db_instance")
def modified(original, self, db_instance_identifier, db_kwargs):
    """The master's password changes on the server too."""
    database = self.databases.get(db_instance_identifier)
    before = password_of(database) if server_of(database) else None
    answer = original(self, db_instance_identifier, db_kwargs)
    if server_of(database) and password_of(database) != before:
        set_password(database, password_of(database))
    return answer


managed_before = rotation.carry_out_managed


def carry_out_managed(backend, secret, version: str) -> None:
    """RDS rotates its master's password on the server too."""
    managed_before(backend, secret, version)
    for database in rds_backends[backend.account_id][backend.region_name].databases.values():
        if server_of(database) and database.manage_master_user_password and database.master_user_secret.secret is secret:
            set_password(database, password_of(database))


@around(RDSBackend, "delete_db_instance")
def deleted(original, self, db_instance_identifier, *args, **kwargs):
    """Drops all that the role owns, whoever is connected, then the role."""
    database = self.databases.get(db_instance_identifier)
    answer = original(self, db_instance_identifier, *args, **kwargs)
    if server_of(database):
        master = name(database.master_username)
        owned = "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database"
        owned += f" WHERE datdba = {literal(master)}::regrole \\gexec"
        psql(database.server, owned, f"DROP OWNED BY {master} CASCADE;", f"DROP ROLE {master};")
    return answer


elsewhere = DBInstance.endpoint.fget


@define(DBInstance)
@property
def endpoint(self):
    """The server's, where the instance is on one."""
    if not server_of(self):
        return elsewhere(self)
    parts = urllib.parse.urlsplit(self.server)
    return {**elsewhere(self), "Address": parts.hostname, "Port": parts.port or 5432}


def start() -> None:
    """Takes the place of what changes the password of a managed secret alone."""
    rotation.carry_out_managed = carry_out_managed
