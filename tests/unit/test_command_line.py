"""The dispatcher of the command line; each command has its tests elsewhere."""

import os
import subprocess
import sys

import pytest
from waiting import PATIENCE

import ratelimit
from ratelimit._cli import main as command_line


def run(*arguments):
    command = [sys.executable, "-m", "ratelimit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def test_help_lists_the_commands():
    listed = run()
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == [
        "gateway",
        "serve",
        "table",
        "bench",
        "replay",
        "suggest",
    ]
    assert run("--help").stdout == listed.stdout


def test_an_unknown_command_is_named():
    wrong = run("reply")
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "ratelimit: unknown command 'reply' (choose from gateway, serve, table, bench, replay, suggest); did you mean 'replay'?\n"
    )


def test_prints_the_version():
    assert run("--version").stdout == run("-V").stdout == f"ratelimit {ratelimit.__version__}\n"


@pytest.mark.parametrize("command", command_line.COMMANDS)
def test_interrupting_a_command_prints_no_traceback(command, monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    module, _ = command_line.COMMANDS[command]
    monkeypatch.setattr(f"{module}.main", interrupted)
    monkeypatch.setattr(sys, "argv", ["ratelimit", command])
    assert command_line.main() == 130
    assert capsys.readouterr() == ("", f"ratelimit {command}: interrupted\n")


def test_names_the_extra_that_is_not_installed(monkeypatch, capsys):
    # As if something that it imports were missing.
    monkeypatch.setitem(sys.modules, "ratelimit.gateway.server.command", None)
    monkeypatch.setattr(sys, "argv", ["ratelimit", "gateway", "gateway.yaml"])
    assert command_line.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ratelimit gateway: requires the extra `gateway`: pip install 'ratelimit-core[gateway]' (")


def test_output_to_a_closed_pipe_ends_the_command():
    """The reader closes the pipe before the first word."""
    line = f"{sys.executable} -m ratelimit table list | true; exit ${{PIPESTATUS[0]}}"
    table = ratelimit.Table.shared(f"unheard-{os.getpid()}")
    ratelimit.TokenBucket("1/second", table=table)
    try:
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE)
    finally:
        table.remove()
    assert (done.stderr, done.returncode) == ("", 141)
