"""Fixtures: real logs, and the programs that the tests start.

Debian packages: nginx, wrk, chromium, zstd. A real access log is read where RATELIMIT_ACCESS_LOG names one, or at
../shared/data/apache-access.log beside the checkout; otherwise examples/traffic.py makes one.
"""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))
BESIDE = ROOT.parent / "shared/data/apache-access.log"


@pytest.fixture(scope="session")
def made_log(tmp_path_factory):
    """Write one day of a small site's log."""
    from traffic import write_log

    path = tmp_path_factory.mktemp("traffic") / "access.log"
    write_log(path)
    return path


@pytest.fixture(scope="session", params=["real", "made"])
def access_log(request, made_log):
    """Return a log: one that a real server wrote, if the machine has one, and a made-up one."""
    if request.param == "made":
        return made_log
    named = os.environ.get("RATELIMIT_ACCESS_LOG")
    if named is None and not BESIDE.exists():
        return made_log
    return Path(named or BESIDE)
