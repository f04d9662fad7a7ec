"""Code that the type stubs accept and reject. `make typing` compares the stubs with the compiled modules."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_snippets(tmp_path):
    """mypy --strict accepts accepted.py, and needs each of the comments in refused.py."""
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", HERE / "accepted.py", HERE / "refused.py"],
        cwd=HERE.parents[1],
        env=os.environ | {"MYPY_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
