"""Runs the tests of a package against an emulator that is started for them alone."""

import importlib
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent


def run(package: str, *kind: str) -> None:
    """Runs `package` on an emulator of this kind, in the emulator's virtual environment. Ends the process."""
    try:
        import boto3  # noqa: F401
    except ImportError:  # not in that environment yet
        found = subprocess.run([HERE / "up", "--requirements-only"], check=True, stdout=subprocess.PIPE, text=True)
        python = found.stdout.strip()
        os.execv(python, [python, *sys.argv])
    main = sys.modules["__main__"]
    for checks in pkgutil.iter_modules([str(HERE / package)]):
        module = importlib.import_module(f"{package}.{checks.name}")
        for name, each in vars(module).items():
            if isinstance(each, type) and issubclass(each, unittest.TestCase):
                setattr(main, name, each)  # unittest looks for tests among the names of that module
    alone = {**os.environ, "INFRA_EMULATOR_PARENT": str(os.getpid())}
    up = subprocess.run([HERE / "up", *kind], check=True, stdout=subprocess.PIPE, text=True, env=alone)
    os.environ.update(re.findall(r"^export (\w+)=(.*)$", up.stdout, flags=re.M))
    try:
        program = unittest.main(argv=sys.argv, exit=False)
    finally:
        subprocess.run([HERE / "down"], check=True, stderr=subprocess.DEVNULL)
    sys.exit(not program.result.wasSuccessful())
