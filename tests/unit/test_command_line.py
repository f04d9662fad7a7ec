"""The command line's own words; each command has its tests elsewhere."""

import subprocess
import sys


def run(*arguments):
    command = [sys.executable, "-m", "ratelimit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_help_lists_the_commands():
    listed = run()
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == [
        "gateway",
        "table",
        "bench",
        "replay",
        "suggest",
    ]
    assert run("--help").stdout == listed.stdout


def test_an_unknown_command_is_named():
    wrong = run("reply")
    assert wrong.returncode == 2
    assert "'reply' is none of gateway, table" in wrong.stderr
