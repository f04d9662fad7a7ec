"""The shell sessions of docs/replay.md have the output of the commands.

`python tests/replay/test_docs.py` rewrites them.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/replay.md"
SESSION = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)


def run(command, folder):
    """Return the output of a command, run by the interpreter of the tests."""
    python = shlex.quote(sys.executable)
    real = command.replace("python examples/", f"{python} {ROOT}/examples/")
    real = re.sub(r"\bratelimit (?=replay|suggest)", f"{python} -m ratelimit ", real)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(real, shell=True, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def rewritten(page):
    with tempfile.TemporaryDirectory() as folder:

        def session(found):
            commands = [line for line in found[0].splitlines() if line.startswith("$ ")]
            return "".join(f"{command}\n{run(command[2:], folder)}" for command in commands)

        return SESSION.sub(session, page)


def test_sessions_have_the_output_of_the_commands():
    page = PAGE.read_text(encoding="utf-8")
    assert len(SESSION.findall(page)) >= 4
    assert rewritten(page) == page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
