"""The scripts that run steps and install packages."""

import os
import subprocess
from pathlib import Path

import pytest
from tools import needs
from waiting import until

ROOT = Path(__file__).parents[2]


def run_steps(text):
    """Run a script of steps as .ci/run is one; its lines, and its exit status."""
    script = f"set -euo pipefail\nsource scripts/steps\n{text}"
    run = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    return run.stdout.splitlines(), run.returncode


def test_each_step_is_reported_with_its_time():
    lines, status = run_steps("step first true\nstep second echo done")
    assert status == 0
    assert lines == ["--- first", "--- second", "done", "    0 s  first", "    0 s  second", lines[-1]]
    assert lines[-1].startswith("all passed in ")


def test_the_first_step_that_fails_ends_the_run():
    lines, status = run_steps("step first false\nstep second true")
    assert status == 1
    assert "--- second" not in lines
    assert lines[-1].startswith("FAILED") and lines[-1].endswith(": first")  # noqa: PT018


def test_a_process_that_is_left_running_is_a_failure(tmp_path):
    """This includes a process whose parent has ended, such as a worker of a server."""
    left = tmp_path / "left"
    left.write_text(f"until [ -e {tmp_path}/stop ]; do sleep 0.1; done\ntouch {tmp_path}/stopped\n")
    lines, status = run_steps(f"leave() {{ (bash {left} &) >/dev/null 2>&1; }}\nstep first leave")
    (tmp_path / "stop").touch()
    until((tmp_path / "stopped").exists)
    assert status == 1
    assert any(line.startswith(f"still running: bash {left}") for line in lines)


@pytest.fixture
def installer(tmp_path):
    """Runs install-packages with a dpkg-query that knows no package, and an apt-get that writes what it is asked."""
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    (tmp_path / "id").write_text("#!/bin/sh\necho ${FAKE_USER:-0}\n")
    for name in ("dpkg-query", "apt-get", "id"):
        (tmp_path / name).chmod(0o755)

    def run(*arguments, user=0):
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAKE_USER": str(user)}
        command = [ROOT / "scripts/install-packages", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        asked = tmp_path / "asked"
        return done.returncode, done.stderr, asked.read_text() if asked.exists() else ""

    return run


def test_root_gets_what_is_missing(installer):
    status, _, asked = installer("proofs", "python3.12-dev")
    assert status == 0
    assert " spin relacy-dev " in asked
    assert " python3.12-dev" in asked


def test_another_user_gets_the_command(installer):
    status, errors, asked = installer("python3.12-dev", "python3.12-venv", user=1000)
    assert (status, asked) == (1, "")
    assert errors.endswith("please run: sudo apt-get install python3.12-dev python3.12-venv\n")
    assert installer("--if-root", "test", user=1000) == (0, "", "")


def test_nothing_is_asked_for_what_is_installed():
    needs("dpkg-query")
    command = [ROOT / "scripts/install-packages", "dpkg", "libc6"]
    assert subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True).stdout == ""
