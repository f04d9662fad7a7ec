"""The report of a run of tests if programs are not installed, shown by runs that find no compiler."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # of the outer run


def run_without_programs(**environment):
    command = [sys.executable, "-m", "pytest", "tests/protocol/test_orders.py", "tests/native/test_words.py"]
    inherited = {name: value for name, value in ENVIRONMENT.items() if name != "CI"}
    return subprocess.run(
        command, cwd=ROOT, env=inherited | {"PATH": "/nowhere"} | environment, capture_output=True, text=True
    )


def test_tests_are_skipped_and_the_last_lines_name_the_command():
    run = run_without_programs()
    *_, skipped, command, result = run.stdout.splitlines()
    assert run.returncode == 0
    assert " tests were skipped: not installed are g++, gcc" in skipped  # and others, if this machine lacks them
    assert command == "To run them as well: sudo scripts/install-packages test proofs"
    assert f"{skipped.split()[0]} skipped" in result


def test_with_ci_set_a_missing_program_is_a_failure():
    run = run_without_programs(CI="true")
    assert run.returncode == 1
    assert "Failed: not installed: g++" in run.stdout
    assert "skipped" not in run.stdout


def test_with_ci_set_any_skipped_test_is_a_failure(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "test_it.py").write_text("import pytest\n\n@pytest.mark.skip(reason='of no use')\ndef test_it(): ...\n")
    for ci, status in (("", 0), ("true", 1)):
        command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, tmp_path]
        run = subprocess.run(command, env=ENVIRONMENT | {"CI": ci}, capture_output=True, text=True)
        assert run.returncode == status, run.stdout
        assert ("1 skipped: of no use" in run.stdout) == bool(status)
