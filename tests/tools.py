"""Compilers and checkers that a proof needs beside Python."""

import os
import shutil

import pytest


def needs(*tools):
    """Skip the test if a tool is missing; fail if nothing may be skipped: with CI set in the environment."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
