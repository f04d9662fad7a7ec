"""Fixtures: real logs, and the programs that the tests start.

Debian packages: nginx, wrk, chromium, zstd. examples/traffic.py makes the log; a real one is read, too, where
RATELIMIT_ACCESS_LOG names it.
"""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))


@pytest.fixture(scope="session")
def made_log(tmp_path_factory):
    """Write one day of a small site's log."""
    from traffic import write_log

    path = tmp_path_factory.mktemp("traffic") / "access.log"
    write_log(path)
    return path


@pytest.fixture(scope="session", params=["made", *(["real"] if "RATELIMIT_ACCESS_LOG" in os.environ else [])])
def access_log(request, made_log):
    """Return a log: a made-up one, and one that a real server wrote, if the environment names it."""
    return made_log if request.param == "made" else Path(os.environ["RATELIMIT_ACCESS_LOG"])
