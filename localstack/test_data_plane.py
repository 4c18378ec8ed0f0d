#!/usr/bin/env python3
"""Shows what the data plane does, with real traffic: the tests of the package `checks_data_plane`.

    localstack/test_data_plane.py                      every test
    localstack/test_data_plane.py Forwarding.test_name one test
"""

from checking import run

if __name__ == "__main__":
    run("checks_data_plane", "--data-plane")
