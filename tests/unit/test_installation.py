"""Another distribution in the same folder is found by what still runs of this one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE

import ratelimit
from ratelimit._limiter.installation import find_conflict


@pytest.fixture
def site(tmp_path):
    """A folder of packages with a copy of this one, as pip leaves it after the other was installed over it."""
    ignored = shutil.ignore_patterns("*.c", "__pycache__", "gateway", "replay", "bench")
    shutil.copytree(Path(ratelimit.__file__).parent, tmp_path / "ratelimit", ignore=ignored)
    return tmp_path


def overwrite(site, distribution="ratelimit-2.2.1"):
    (site / f"{distribution}.dist-info").mkdir()
    (site / "ratelimit" / "__init__.py").write_text("def limits(calls, period): ...\n")
    (site / "ratelimit" / "decorators.py").write_text("")


def run(site, code):
    return subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_own_folder_has_no_conflict(site):
    assert find_conflict(site / "ratelimit") is None
    assert "Warning" not in run(site, "import ratelimit.limiters.algorithms").stderr


@pytest.mark.parametrize("distribution", ["ratelimit-2.2.1", "django_ratelimit-3.0.1"])
def test_submodules_warn_with_the_commands_that_mend_it(site, distribution):
    overwrite(site, distribution)
    result = run(site, "import ratelimit.limiters.algorithms")
    assert result.returncode == 0
    name = distribution.rpartition("-")[0].replace("_", "-")
    assert f"pip uninstall -y {name}" in result.stderr
    assert "pip install --force-reinstall --no-deps ratelimit-core" in result.stderr


def test_command_refuses_with_the_commands_that_mend_it(site):
    overwrite(site)
    result = run(
        site, "sys.argv = ['ratelimit', 'table', 'list']\nfrom ratelimit.__main__ import main\nsys.exit(main())"
    )
    assert result.returncode == 2
    assert "pip uninstall -y ratelimit" in result.stderr


def test_accepts_a_later_django_ratelimit(site):
    """From version 4 it has a folder of its own."""
    (site / "django_ratelimit-4.1.0.dist-info").mkdir()
    (site / "ratelimit" / "decorators.py").write_text("")
    assert find_conflict(site / "ratelimit") is None
