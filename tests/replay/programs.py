"""Programs of Debian that the tests start."""

import shutil

import pytest


def program(name):
    """Return the path of a program; fail the test and name the package if it is missing."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.fail(f"{name} is not installed: apt-get install {name}")
    return path
