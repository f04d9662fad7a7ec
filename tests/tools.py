"""Programs that a test needs beside Python: one policy for all of them.

A test whose program is not installed is skipped, and the last lines of the run name the command that installs it
(tests/conftest.py). With CI set in the environment nothing may be skipped.
"""

import os
import shutil
from pathlib import Path

import pytest

CI = bool(os.environ.get("CI"))
NIGHTLY = bool(os.environ.get("RATELIMIT_NIGHTLY"))  # the long forms of the proofs and stress tests
INSTALL = "sudo scripts/install-packages test proofs"
NOT_INSTALLED = "not installed: "
HEADERS = Path("/usr/include")
LIBRARIES = Path("/usr/lib"), Path("/usr/local/lib")


def needs(*names):
    """Skip the test if a program, a header (`name.h`, `name.hpp`) or a library is not installed; with CI set, fail."""
    missing = [name for name in names if find(name) is None]
    if missing:
        (pytest.fail if CI else pytest.skip)(NOT_INSTALLED + ", ".join(missing))


def preloaded(library):
    """Return LD_PRELOAD with a library behind those that are there: the runtime of a sanitizer has to come first."""
    return f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()


def measuring():
    """Return the environment of a process whose memory is measured: AddressSanitizer would keep what was freed."""
    options = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    return os.environ | {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:{options}".lstrip(":")}


def program(name):
    """Return the path of a program that the test needs."""
    needs(name)
    return find(name)


def find(name):
    if ".so" in name:
        return next((str(path) for folder in LIBRARIES for path in folder.glob(f"**/{name}")), None)
    if name.endswith((".h", ".hpp")):
        return HEADERS / name if (HEADERS / name).exists() else None
    # Debian installs servers where only root's PATH looks.
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
