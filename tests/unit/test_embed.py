"""The example of another Cython package, built and run by the commands of its README, with the ratelimit under test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tools import needs

import ratelimit

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "cython_embed"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a folder with the built example."""
    needs("gcc")
    folder = tmp_path_factory.mktemp("embed") / "package"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.c", "*.so", "build"))
    run(folder, "setup.py", "build_ext", "--inplace")
    return folder


def run(folder, *arguments):
    """Run Python in that folder, with the ratelimit under test."""
    where = str(Path(ratelimit.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": where, "CFLAGS": "-O1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_command_of_the_readme_prints_3(built):
    call = next(line for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith("python -c"))
    assert run(built, "-c", call.split("'")[1]) == "3\n"


def test_decides_like_the_python_methods(built):
    """For all algorithms and keys, over the same table; a wrong key is an error before anything is spent."""
    program = """
import embed
from cases import ALGORITHMS
from ratelimit.testing import ManualClock

for algorithm in ALGORITHMS:
    limiter, twin = (algorithm.make("3/minute", ManualClock()) for _ in range(2))
    keys = ["a", b"a", 1, "a", "a", 2**70, "a", "a", 1]
    assert embed.admitted(limiter, keys) == sum(map(twin.allow, keys))
    assert [limiter.peek(key).remaining for key in keys] == [twin.peek(key).remaining for key in keys]
    for wrong in (["b", None], ["b", 1.5]):
        try:
            embed.admitted(limiter, wrong)
        except TypeError as error:
            assert "key: expected a str, bytes or int" in str(error)
        else:
            raise AssertionError("no error")
    assert limiter.peek("b").remaining == limiter.peek("b").limit
try:
    embed.admitted(None, [])
except TypeError:
    print("alike")
"""
    tests = str(Path(__file__).parents[1])
    assert run(built, "-c", f"import sys; sys.path.append({tests!r})\n{program}") == "alike\n"
