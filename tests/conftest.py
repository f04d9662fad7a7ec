"""Fixtures: each algorithm in turn, and a clock that moves only when it is advanced. And what a run reports as skipped.

`RATELIMIT_NIGHTLY=1` runs the long forms: many more examples of each property, larger proofs, longer stress tests.
"""

import subprocess
import uuid
from pathlib import Path

import pytest
from cases import ALGORITHMS
from hypothesis import HealthCheck, settings
from tools import CI, INSTALL, NIGHTLY, NOT_INSTALLED, program

from ratelimit import Table
from ratelimit.testing import ManualClock

ROOT = Path(__file__).parents[1]
NEW_FILES = pytest.StashKey[set[str]]()

# Function-scoped fixtures only choose the algorithm here; nothing is carried from one example to the next.
common = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    "deadline": None,
    "report_multiple_bugs": False,
}
# With CI set, each run has the same examples, so that a change fails by what it changes; the nightly form draws others.
settings.register_profile("default", max_examples=60, stateful_step_count=20, derandomize=CI, **common)
settings.register_profile("quick", max_examples=15, stateful_step_count=20, **common)  # of `make check`
settings.register_profile("nightly", max_examples=3_000, stateful_step_count=50, **common)
settings.load_profile("nightly" if NIGHTLY else "default")


@pytest.fixture(params=ALGORITHMS, ids=repr)
def algorithm(request):
    return request.param


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def shared_name():
    """Return a free name in shared memory; every table whose name begins with it is removed at the end."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for left in Table.names():
        if left.startswith(name):
            Table.shared(left).remove()


@pytest.fixture(scope="session")
def browser():
    """Return headless Chromium, which all tests of pages use in turn."""
    from browsing import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def small_levels(monkeypatch):
    """Let tables that are made begin with two slots, so that a few keys make them grow; return how many."""
    slots = 2
    monkeypatch.setattr("ratelimit._storage.metadata.base_for", lambda capacity, min_keys=0: slots)
    return slots


@pytest.fixture
def certificate(tmp_path):
    """Return the files of a key and of a self-signed certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(key), str(certificate)


# Fixtures that start a program, and the marker of the tests that use one.
MARKERS = {"nginx": "proxy", "proxy_before": "proxy", "proxy": "proxy", "browser": "browser"}


def pytest_collection_modifyitems(items):
    for item in items:
        for fixture in MARKERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKERS[fixture])


def new_files():
    """Return the files of the repository that git does not know; none where there is no git."""
    command = ["git", "ls-files", "--others", "--exclude-standard"]
    try:
        return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines())
    except (OSError, subprocess.CalledProcessError):
        return set()


def pytest_sessionstart(session):
    session.config.stash[NEW_FILES] = new_files()


def pytest_sessionfinish(session):
    """With CI set, a skipped test is a failure, and so is a file that a test left in the repository."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    before = session.config.stash[NEW_FILES]
    left = session.config.stash[NEW_FILES] = new_files() - before
    if CI and (left or (reporter and reporter.stats.get("skipped"))):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter, config):
    """Name files that were left, the programs that skipped tests need, and the command that installs them, at the end."""
    yield
    if left := config.stash[NEW_FILES]:
        terminalreporter.write_line(f"New in the repository, and left by a test: {', '.join(sorted(left))}")
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])]
    missing = [reason.removeprefix(NOT_INSTALLED) for reason in reasons if reason.startswith(NOT_INSTALLED)]
    if missing:
        programs = sorted({name for names in missing for name in names.split(", ")})
        terminalreporter.write_line(f"{len(missing)} tests were skipped: not installed are {', '.join(programs)}.")
        terminalreporter.write_line(f"To run them as well: {INSTALL}")
    if CI and reasons:
        terminalreporter.write_line("A test that is skipped is a failure, because CI is set in the environment:")
        for reason in sorted(set(reasons)):
            terminalreporter.write_line(f"  {reasons.count(reason)} skipped: {reason}")
