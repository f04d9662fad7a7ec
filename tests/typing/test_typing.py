"""The type stubs: what they accept and refuse, and that they say what is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy belongs to the lint group")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def check(*arguments, cache):
    """Run one of mypy's commands; nothing must be found."""
    run = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | {"MYPY_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One for all commands, so that numpy is read once."""
    return tmp_path_factory.mktemp("mypy")


def test_stubs_and_snippets(cache):
    """mypy --strict accepts the library and accepted.py, and needs each of the comments in refused.py."""
    check(
        "mypy", "--strict", "--warn-unused-ignores", "ratelimit", *map(str, sorted(HERE.glob("[ar]*.py"))), cache=cache
    )


def test_stubs_say_what_is_there(cache):
    """Every public name of the modules that have stubs, with its arguments as at run time."""
    settings = ["--mypy-config-file", "pyproject.toml", "--allowlist", str(HERE / "allowlist.txt")]
    check("mypy.stubtest", "ratelimit._core", "ratelimit.algorithms", "ratelimit.composite", *settings, cache=cache)
