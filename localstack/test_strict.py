#!/usr/bin/env python3
"""Shows how strict the emulator is with --strict: the tests of the package `checks_strict`.

    localstack/test_strict.py                 every test
    localstack/test_strict.py Nat.test_name   one test
"""

from checking import run

if __name__ == "__main__":
    run("checks_strict", "--strict")
