"""The shell sessions of docs/replay.md have the output of the commands.

`python tests/replay/test_docs.py` rewrites them.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from ratelimit.replay.cli.replay import main as replay
from ratelimit.replay.cli.suggest import main as suggest

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


def fields(value, path=""):
    """Every name of an object in JSON; free names, such as those of formats, are not followed."""
    if isinstance(value, list):
        for item in value[:20]:
            yield from fields(item, path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name not in ("fields", "missing", "kinds"):
                yield from fields(inner, name)


def test_each_field_of_the_json_is_documented(made_log, tmp_path):
    """Every documented field exists, too."""
    tables = PAGE.read_text(encoding="utf-8").partition("## Files for programs")[2].partition("\n## ")[0]
    documented = {name.removeprefix("source.") for name in re.findall(r"`([a-z][a-z_.0-9]*)`", tables)}
    found = set()
    for main, arguments in ((replay, []), (suggest, ["--by", "method", "--algorithm", "leaky-bucket"])):
        path = tmp_path / "report.json"
        assert main([str(made_log), *arguments, "--json", str(path), "--html", str(tmp_path / "page.html")]) == 0
        found |= set(fields(json.loads(path.read_text(encoding="utf-8"))))
    assert found - documented == set()
    assert documented - found == {"suggest", "null", "false"} & documented


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
