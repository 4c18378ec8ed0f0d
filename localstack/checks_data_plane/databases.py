"""Instances of RDS on a real PostgreSQL."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from checks import Case, aws, unique

from . import data_plane, eventually

PROGRAMS = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)
NOBODY = 65534  # PostgreSQL refuses to be run by root
ROOT = os.getuid() == 0


@unittest.skipUnless(PROGRAMS, "PostgreSQL is not installed (Debian: postgresql)")
class Databases(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        (cls.folder / "password").write_text("m4ster")
        if ROOT:
            os.chown(cls.folder, NOBODY, NOBODY)
            os.chown(cls.folder / "password", NOBODY, NOBODY)
        data = ["-D", str(cls.folder / "data")]
        made = cls.program("initdb", *data, "-A", "scram-sha-256", "-U", "root", "--pwfile", "password", "--no-sync")
        assert made.wait() == 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            cls.port = probe.getsockname()[1]
        options = ("listen_addresses=127.0.0.1", f"port={cls.port}", "unix_socket_directories=", "fsync=off")
        server = cls.program("postgres", *data, *(word for option in options for word in ("-c", option)))
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.terminate)
        cls.root = f"postgresql://root:m4ster@localhost:{cls.port}/postgres"
        eventually(lambda: cls.asked(cls.root, "SELECT 1") == "1", "PostgreSQL runs")
        data_plane(postgres=cls.root)
        cls.addClassCleanup(data_plane, postgres=None)

    @classmethod
    def program(cls, name, *arguments):
        user = {"user": NOBODY, "group": NOBODY} if ROOT else {}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([PROGRAMS / name, *arguments], cwd=cls.folder, env={"LC_ALL": "C"}, **user, **quiet)

    @staticmethod
    def asked(url, statement):
        """What a statement answers; None where it or the login fails."""
        ran = subprocess.run([PROGRAMS / "psql", "-XAtc", statement, url], capture_output=True, text=True)
        return ran.stdout.strip() if ran.returncode == 0 else None

    def instance(self, **keywords):
        call = {"DBInstanceIdentifier": unique("db"), "Engine": "postgres", "DBInstanceClass": "db.t3.micro"}
        call |= {"AllocatedStorage": 20, "MasterUsername": "App-1", "DBName": "Shop 1", **keywords}
        name = aws("rds").create_db_instance(**call)["DBInstance"]["DBInstanceIdentifier"]
        return aws("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def login(self, password, user="App-1", database="Shop%201"):
        return f"postgresql://{user}:{password.replace('#', '%23')}@localhost:{self.port}/{database}"

    def test_managed_password(self):
        shown = self.instance(ManageMasterUserPassword=True)
        self.assertEqual((shown["Endpoint"]["Address"], shown["Endpoint"]["Port"]), ("localhost", self.port))
        secret = shown["MasterUserSecret"]["SecretArn"]
        value = lambda: json.loads(aws("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])  # noqa: E731
        old = self.login(value()["password"])
        rights = "SELECT rolsuper, rolcreaterole, rolcreatedb, pg_has_role('pg_monitor', 'member') FROM pg_roles "
        self.assertEqual(self.asked(old, rights + "WHERE rolname = current_user"), "f|t|t|t")
        for statement in ("CREATE TABLE t ()", "CREATE ROLE clerk LOGIN", "GRANT pg_monitor TO clerk", "CREATE DATABASE more"):
            self.assertIsNotNone(self.asked(old, statement), statement)
        aws("secretsmanager").rotate_secret(SecretId=secret)
        self.assertIsNone(self.asked(old, "SELECT 1"))
        new = self.login(value()["password"])
        self.assertEqual(self.asked(new, "SELECT 1"), "1")
        waiting = subprocess.Popen([PROGRAMS / "psql", "-Xc", "SELECT pg_sleep(60)", new], stderr=subprocess.DEVNULL)
        eventually(lambda: self.asked(new, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)'") == "1", "busy")
        aws("rds").delete_db_instance(DBInstanceIdentifier=shown["DBInstanceIdentifier"], SkipFinalSnapshot=True)
        self.assertNotEqual(waiting.wait(), 0)
        left = "SELECT count(*) FROM (SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles) all_names(name) "
        self.assertEqual(self.asked(self.root, left + "WHERE name IN ('App-1', 'Shop 1', 'more')"), "0")

    def test_given_password(self):
        shown = self.instance(MasterUserPassword="first-'one'", MasterUsername="other", DBName="other")
        name = {"DBInstanceIdentifier": shown["DBInstanceIdentifier"]}
        self.assertEqual(self.asked(self.login("first-'one'", "other", "other"), "SELECT 1"), "1")
        for taken in ({"MasterUsername": "other"}, {"MasterUsername": "third", "DBName": "other"}):
            self.refused("InvalidParameterValue", self.instance, MasterUserPassword="another one", **taken)
        self.assertEqual(self.asked(self.root, "SELECT count(*) FROM pg_roles WHERE rolname = 'third'"), "0")
        aws("rds").modify_db_instance(**name, MasterUserPassword="second-one", ApplyImmediately=True)
        self.assertEqual(self.asked(self.login("second-one", "other", "other"), "SELECT 1"), "1")
        aws("rds").delete_db_instance(**name, SkipFinalSnapshot=True)
        self.assertIsNone(self.asked(self.login("second-one", "other", "other"), "SELECT 1"))
