"""Programs of Debian that the tests start."""

import shutil

import pytest


def program(name):
    """The path of a program; without it the test fails, and says which package has it."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.fail(f"{name} is not installed: apt-get install {name}")
    return path
