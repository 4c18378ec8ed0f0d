#!/usr/bin/env python3
"""Shows what the data plane does, with real traffic: the tests of the package `checks_data_plane`.

    localstack/test_data_plane.py                      every test
    localstack/test_data_plane.py Forwarding.test_name one test
"""

import importlib
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent

try:
    import boto3  # noqa: F401
except ImportError:  # not in the emulator's virtual environment yet
    found = subprocess.run([HERE / "up", "--requirements-only"], check=True, stdout=subprocess.PIPE, text=True)
    python = found.stdout.strip()
    os.execv(python, [python, *sys.argv])

# unittest looks for tests among the names of this module.
for checks in pkgutil.iter_modules([str(HERE / "checks_data_plane")]):
    module = importlib.import_module(f"checks_data_plane.{checks.name}")
    cases = {name: each for name, each in vars(module).items() if isinstance(each, type)}
    globals().update({name: each for name, each in cases.items() if issubclass(each, unittest.TestCase)})


def main():
    alone = {**os.environ, "INFRA_EMULATOR_PARENT": str(os.getpid())}
    up = subprocess.run([HERE / "up", "--data-plane"], check=True, stdout=subprocess.PIPE, text=True, env=alone)
    os.environ.update(re.findall(r"^export (\w+)=(.*)$", up.stdout, flags=re.M))
    try:
        program = unittest.main(argv=sys.argv, exit=False)
    finally:
        subprocess.run([HERE / "down"], check=True, stderr=subprocess.DEVNULL)
    sys.exit(not program.result.wasSuccessful())


if __name__ == "__main__":
    main()
