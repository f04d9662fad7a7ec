"""The commands `ratelimit replay` and `ratelimit suggest`."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from functools import partial

import pytest
from waiting import PATIENCE

from ratelimit.language import ALGORITHMS
from ratelimit.replay import replay_log
from ratelimit.replay.cli import replay as replay_command
from ratelimit.replay.cli import suggest as suggest_command
from ratelimit.replay.limits import Limit
from ratelimit.replay.render.charts import histogram
from ratelimit.replay.render.text import columns, duration, percent

LIMITS = ["--limit", "token-bucket 60/minute burst 40", "--limit", "fixed-window 60/minute"]
RUN = [sys.executable, "-m", "ratelimit"]


def test_prints_a_table(made_log, capsys):
    assert replay_command.main([str(made_log), *LIMITS]) == 0
    printed, errors = capsys.readouterr()
    report = replay_log(made_log, LIMITS[1::2])
    assert errors == ""
    assert printed.startswith(
        f"token-bucket 60/minute burst 40 refuses 3 of {report.keys:,} clients; "
        "all of them look like programs: 1 login attack, 1 crawler and 1 script\n"
        f"{report.requests:,} requests by {report.keys:,} clients in 1 d, 2026-01-05 00:00:0"
    )
    for outcome in report.outcomes:
        row = next(line for line in printed.splitlines()[1:] if line.startswith(outcome.limit))
        assert row.removeprefix(outcome.limit).split()[:2] == [f"{outcome.admitted:,}", f"{outcome.refused:,}"]
        assert f"{outcome.top[0].key} " in printed
    assert "a boundary burst" in printed
    assert max(map(len, printed.splitlines())) <= 130


def test_json_has_the_same_numbers_and_html_is_written(made_log, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert replay_command.main([str(made_log), *LIMITS, "--json", "-", "--html", str(page)]) == 0
    read = json.loads(capsys.readouterr().out)
    report = replay_log(made_log, LIMITS[1::2])
    for told, outcome in zip(read["outcomes"], report.outcomes, strict=True):
        assert (told["admitted"], told["refused"]) == (outcome.admitted, outcome.refused)
        assert told["refused_share"] == outcome.refused_share
        assert told["top"][0]["key"] == outcome.top[0].key
        assert told["largest"][0]["admitted"] == outcome.largest[0].admitted
        assert sum(told["refused_over_time"]) == outcome.refused
    assert f"{report.outcomes[0].refused:,}" in page.read_text(encoding="utf-8")


def test_csv_has_a_row_for_each_key(made_log, tmp_path, capsys):
    path = tmp_path / "keys.csv"
    assert replay_command.main([str(made_log), *LIMITS, "--csv", str(path)]) == 0
    report = replay_log(made_log, LIMITS[1::2])
    head, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert head == ["key", "requests", *(f"refused by {outcome.limit}" for outcome in report.outcomes)]
    assert len({row[0] for row in rows}) == len(rows) == report.keys
    assert sum(int(row[1]) for row in rows) == report.requests
    for column, outcome in enumerate(report.outcomes, 2):
        assert sum(int(row[column]) for row in rows) == outcome.refused
    assert [row[0] for row in rows[:3]] == [key.key for key in report.outcomes[0].top]
    capsys.readouterr()
    assert suggest_command.main([str(made_log), "--algorithm", "fixed-window", "--csv", "-"]) == 0
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert (head, rows[0]) == (
        ["key", "requests", "most in a minute", "looks like"],
        ["203.0.113.66", "6000", "704", "login attack"],
    )
    assert len(rows) == report.keys


def test_csv_has_one_row_for_all_keys_that_are_not_counted(made_log):
    report = replay_log(made_log, "1/minute", counted_keys=10)
    rows = [*report.counts.rows()]
    assert len(rows) == 11
    assert rows[-1][0] == "(all others)"
    assert sum(row[1] for row in rows) == report.requests
    assert sum(row[2][0] for row in rows) == report.outcomes[0].refused


def test_reports_unusual_lines(tmp_path, capsys):
    line = '192.0.2.1 - - [05/Jan/2026:00:{:02}:00 +0000] "GET / HTTP/1.1" 200 1\n'
    path = tmp_path / "log"
    path.write_text("".join(map(line.format, (1, 2, 1))) + "garbage\n")
    assert replay_command.main([str(path), "--limit", "token-bucket 1/second"]) == 0
    printed = capsys.readouterr().out
    assert "1 of 4 lines could not be read and are left out" in printed
    assert f"{path}:4: garbage" in printed
    assert "1 line was out of order, and sorted" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.log"], "nowhere.log"),
        (["{log}", "--limit", "bucket"], "limit 'bucket', character 1: unknown algorithm 'bucket'"),
        (["{log}", "--key", "client/200"], "a prefix has from 1 to 128 bits"),
        (["{log}", "--key", "client +"], "key: expected 'client', 'client/64'"),
        (["{log}", "--key", "colour"], "no field 'colour' (choose from client"),
    ],
)
def test_rejects_wrong_arguments_with_a_reason(arguments, message, made_log, capsys):
    assert replay_command.main([argument.format(log=made_log) for argument in arguments]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("ratelimit replay: ")
    assert message in errors


def test_interruption_prints_the_results_so_far(made_log):
    """The log comes through a pipe that stays open; then the process gets SIGINT."""
    # As from a terminal, also where the tests themselves run in the background and SIGINT is ignored.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    run = subprocess.Popen(
        [*RUN, "replay", *LIMITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=listening
    )
    content = made_log.read_bytes()
    for _ in range(3):
        run.stdin.write(content)  # returns when all but the last of it has been read
    run.stdin.flush()
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=PATIENCE) == 1
    printed = run.stdout.read().decode()
    run.stdin.close()
    assert "interrupted: this is what was known by then" in printed
    assert "token-bucket 60/minute burst 40" in printed


def test_progress_bar_is_on_the_terminal_and_not_on_standard_output(made_log):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    try:
        done = subprocess.run(
            [*RUN, "replay", made_log, "--json", "-"], stdout=subprocess.PIPE, stderr=theirs, check=True
        )
        os.set_blocking(ours, False)
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert json.loads(done.stdout)["requests"] > 0
    assert "B/s" in shown
    assert "%|" in shown


def test_closed_pipe_prints_no_traceback(made_log):
    line = " ".join(map(str, RUN)) + f" replay {made_log} --json - | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_too_many_live_keys_are_replayed_with_more_room(made_log, monkeypatch):
    """However little room there is at first, the decisions are the same."""
    monkeypatch.setattr("ratelimit.replay.logs.MAX_KEYS", 10)
    small = replay_log(made_log, LIMITS[1::2])
    monkeypatch.undo()
    whole = replay_log(made_log, LIMITS[1::2])
    for one, other in zip(small.outcomes, whole.outcomes, strict=True):
        assert (one.admitted, one.refused, one.top) == (other.admitted, other.refused, other.top)


# --- words


def test_numbers_are_formatted_for_readers():
    assert [percent(share) for share in (0, 0.00001, 0.001, 0.0123, 0.123, 1)] == [
        "0 %", "<0.01 %", "0.10 %", "1.23 %", "12.3 %", "100.0 %",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (0, 2e-9, 0.25, 1, 61, 86_400)] == [
        "0 s", "2 ns", "250 ms", "1 s", "1.02 min", "1 d",
    ]  # fmt: skip
    assert columns(["a", "b"], [["x", "10"], ["longer", "2"]]) == "a        b\nx       10\nlonger   2"


@pytest.mark.parametrize(
    ("longest", "labels"),
    [
        (6, ["500 ms", "1 s", "2 s", "5 s"]),
        (0.006, ["500 us", "1 ms", "2 ms", "5 ms"]),
        (1_000, ["1 s", "10 s", "1 min", "10 min"]),
        (20 * 86_400, ["1 s", "10 s", "1 min", "10 min", "1 h", "10 h", "10 d"]),
    ],
)
def test_time_axis_has_at_least_two_labels(longest, labels):
    """A single label would not show the length of the next bar."""
    shortest = longest / 6 if longest < 10 else 1
    picture = histogram([(shortest, 3), (longest, 1)], "refused", "waits")
    assert re.findall('text-anchor="middle">([^<]*)<', picture) == labels


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--html", "no-such-folder/report.html"], "'no-such-folder/report.html' cannot be written"),
        (["--json", "."], "'.' cannot be written"),
        (["--json", "-", "--html", "-"], "only one of --json, --html and --csv can be standard output"),
    ],
)
@pytest.mark.parametrize("main", [replay_command.main, suggest_command.main])
def test_rejects_wrong_arguments_in_one_line_before_reading(main, arguments, says, tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text("time,client\n1,a\n")
    assert main([str(log), *arguments]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert says in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["replay", "LOG", "--key", "method"], ["suggest", "LOG", "--key", "method"], ["-h"]])
def test_reports_a_full_disk_in_one_line(words, unbuffered, made_log):
    """Python keeps what it could not write, and would try again at its end."""
    words = [str(made_log) if word == "LOG" else word for word in words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*RUN, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_runs_without_standard_input_or_error(closed, made_log):
    log = "" if closed == "<&-" else made_log
    done = subprocess.run(
        ["bash", "-c", f"{RUN[0]} -m ratelimit replay {log} --limit 'token-bucket 1/s' {closed}"],
        capture_output=True,
        text=True,
    )
    if closed == "<&-":
        assert (done.returncode, done.stderr) == (2, "ratelimit replay: standard input is closed; name a log\n")
    else:
        assert (done.returncode, "token-bucket 1/second" in done.stdout) == (0, True)


def on_a_terminal(width, *arguments):
    """Run a command on a terminal; return its output and exit status."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen([*RUN, *arguments], stdin=theirs, stdout=theirs, stderr=subprocess.STDOUT, env=env) as run:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # which is how a terminal ends
                break
        os.close(ours)
        status = run.wait(timeout=PATIENCE)
    return shown.decode().replace("\r\n", "\n"), status


def test_does_not_wait_for_a_log_from_a_terminal():
    assert on_a_terminal(80, "replay") == ("ratelimit replay: which log? Name it, or pipe it in\n", 2)


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", ["replay", "suggest"])
def test_output_is_not_wider_than_the_terminal(name, width, made_log):
    shown, status = on_a_terminal(width, name, str(made_log), "--no-progress")
    assert status == 0
    assert max(map(len, shown.splitlines())) <= width
    for algorithm in ALGORITHMS:
        assert f"\n{algorithm} " in shown


def test_log_cannot_send_control_characters_to_the_terminal(tmp_path, capsys):
    """Neither its keys nor its broken lines can."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"time": 1, "client": "\\u001b[2Jevil"}\n' * 2 + "\x1b]0;title\x07 {\n")
    assert replay_command.main([str(log), "--limit", "fixed-window 1/s"]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert r"\x1b[2Jevil" in printed
    assert r"\x1b]0;title\x07 {" in printed


def test_characters_outside_of_the_terminals_encoding_are_escaped(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("time,client\n" + "1,žlutý\n" * 2, encoding="utf-8")
    done = subprocess.run(
        [*RUN, "replay", log, "--limit", "fixed-window 1/s"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert r"\u017elut\xfd" in done.stdout


def test_long_keys_are_shortened_only_on_the_terminal(tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text("time,client\n" + f"1,{'k' * 500}\n" * 2)
    for how in ([], ["--json", "-"]):
        assert replay_command.main([str(log), "--limit", "fixed-window 1/s", *how]) == 0
        printed = capsys.readouterr().out
        assert (f"{'k' * 57}..." in printed, "k" * 500 in printed) == (not how, bool(how))


@pytest.mark.parametrize("main", [replay_command.main, suggest_command.main])
def test_rejects_a_key_that_no_line_has(main, tmp_path, capsys):
    """The error names the existing fields."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"time": 1, "client": "a", "colour": {"name": "red"}}\n' * 3)
    assert main([str(log), "--key", "clinet + client"]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert "no line has a field 'clinet' (choose from time, client, colour.name)" in errors


@pytest.mark.parametrize("main", [replay_command.main, suggest_command.main])
def test_counts_requests_without_a_field_of_the_key(main, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    log.write_text('{"time": 1, "client": "a", "user": "ann"}\n' + '{"time": 2, "client": "a"}\n' * 2)
    assert main([str(log), "--key", "user"]) == 0
    assert "2 requests without user; they count as one key, '-'" in capsys.readouterr().out
    assert main([str(log)]) == 0
    assert "without" not in capsys.readouterr().out


def test_suggest_reports_unusual_lines_as_replay_does(tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text("time,client\n5,a\n4,a\nbroken\n")
    page = tmp_path / "page.html"
    assert suggest_command.main([str(log)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("too small a sample for an answer: 1 usual client\n2 requests by 1 client; ")
    assert suggest_command.main([str(log), "--html", str(page)]) == 0
    for said in ("1 of 3 lines could not be read and are left out", "line was out of order, and sorted"):
        assert said in printed
        assert said in page.read_text()
    assert f"{log}:4: broken" in printed


@pytest.mark.parametrize("main", [replay_command.main, suggest_command.main])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "expected a log, got an empty file"),
        ("\n \n", "expected a log, got only blank lines"),
        ("dear diary\nnothing happened\n", "unknown format; describe it by --log-format or --pattern"),
        (
            "192.0.2.1 - - [05/Jan/2026:00:00:01 +0000] GET\n",
            "it comes nearest to combined, up to '026:00:00:01 +0000] '",
        ),
        ("time,client\nyesterday,a\n", "none of 1 lines could be read as csv; {log}:2: yesterday,a"),
        ('{"time": "soon", "client": "a"}\n' * 2, "none of 2 lines could be read as json; {log}:1: "),
    ],
)
def test_rejects_a_log_of_which_nothing_can_be_read(main, content, says, tmp_path, capsys):
    log = tmp_path / "log"
    log.write_text(content)
    assert main([str(log)]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert says.format(log=log) in errors


def test_rejects_an_option_that_is_given_twice():
    with pytest.raises(ValueError, match="burst is given twice"):
        Limit.parse("token-bucket 5/s burst 3 burst 4")
    with pytest.raises(ValueError, match="capacity is given twice"):
        Limit.parse("leaky-bucket 5/s burst 3 capacity 4")


def test_suggested_sliding_log_fits_its_maximum(tmp_path, capsys):
    """The curve stays below it, too, although other limits are drawn beyond it."""
    for requests, none in ((30_000, False), (43_691, True)):
        log = tmp_path / "log.csv"
        log.write_text("time,client\n" + "1,a\n" * requests)
        arguments = [str(log), "--algorithm", "sliding-log", "--algorithm", "fixed-window", "--refuse-at-most", "0"]
        assert suggest_command.main(arguments) == 0
        printed = capsys.readouterr().out
        assert ("sliding-log: no limit refuses so few" in printed) == none
        assert ("sliding-log 30000/minute" in printed) != none
        assert f"fixed-window {requests}/minute" in printed
