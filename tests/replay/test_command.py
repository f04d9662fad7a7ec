"""The commands `ratelimit replay` and `ratelimit suggest`."""

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

from ratelimit.language import ALGORITHMS
from ratelimit.replay import answer as answer_module
from ratelimit.replay import replay_log
from ratelimit.replay.cli import replay as replay_command
from ratelimit.replay.cli import suggest as suggest_command
from ratelimit.replay.limits import Limit
from ratelimit.replay.logs import Rooms, recorded
from ratelimit.replay.render.charts import histogram
from ratelimit.replay.render.text import columns, duration, percent
from ratelimit.replay.search import Replays, smallest

LIMITS = ["--limit", "token-bucket 60/minute burst 40", "--limit", "fixed-window 60/minute"]
RUN = [sys.executable, "-m", "ratelimit"]


def test_prints_a_table(made_log, capsys):
    assert replay_command.main([str(made_log), *LIMITS]) == 0
    printed, errors = capsys.readouterr()
    report = replay_log(made_log, LIMITS[1::2])
    assert errors == ""
    assert printed.startswith(f"{report.requests:,} requests by {report.keys:,} clients in 1 d, 2026-01-05 00:00:0")
    for outcome in report.outcomes:
        row = next(line for line in printed.splitlines() if line.startswith(outcome.limit))
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
    assert run.wait(timeout=60) == 1
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


# --- suggest


@pytest.fixture(scope="module")
def trace(made_log):
    from ratelimit.replay.reading.reader import Reader

    reader = Reader([str(made_log)])
    recording, _ = recorded(reader)
    return Replays(recording, Rooms(recording, reader.distinct))


@pytest.fixture(scope="module")
def answer(made_log, tmp_path_factory):
    path = tmp_path_factory.mktemp("suggest") / "answer.json"
    assert suggest_command.main([str(made_log), "--refuse-at-most", "3%", "--json", str(path)]) == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_smaller_limit_than_the_suggested_one_refuses_too_many(algorithm, answer, trace, made_log):
    allowed = int(0.03 * len(trace))
    found = next(one for one in answer["suggestions"] if one["algorithm"] == algorithm)
    number = found["number"]
    outcome = replay_log(made_log, found["limit"]).outcomes[0]
    assert outcome.refused == found["refused"] <= allowed
    for smaller in {
        found["limit"].replace(f" {number}/", f" {number - 1}/"),
        found["limit"].replace(f"burst {found['at_once']}", f"burst {found['at_once'] - 1}"),
        found["limit"].replace(f"capacity {found['at_once'] - 1}", f"capacity {found['at_once'] - 2}"),
    } - {found["limit"]}:
        assert trace.refused(Limit.parse(smaller)) > allowed
    assert outcome.largest[0].admitted <= found["most"]


def test_curve_shows_the_refusals_of_each_limit(answer, trace):
    assert len(answer["suggestions"]) == 5
    for found in answer["suggestions"]:
        assert len(found["curve"]) > 4
        number, refused = found["curve"][2]["number"], found["curve"][2]["refused"]
        limit = found["limit"].replace(f" {found['number']}/", f" {number}/")
        assert trace.refused(Limit.parse(limit)) == refused
        shares = [point["refused"] for point in found["curve"]]
        assert shares == sorted(shares, reverse=True)


def test_suggests_no_limit_when_none_fits(tmp_path, capsys):
    """No request may be refused, and 50,000 come at once: too many for a sliding log."""
    path = tmp_path / "log.csv"
    path.write_text("time,client\n" + "1767571200,192.0.2.1\n" * 50_000)
    assert (
        suggest_command.main(
            [str(path), "--refuse-at-most", "0", "--algorithm", "sliding-log", "--algorithm", "fixed-window"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "sliding-log: no limit refuses so few" in printed
    assert "fixed-window 50000/minute" in printed


def test_interrupted_search_prints_what_it_found(made_log, monkeypatch, capsys):
    whole = answer_module.suggest

    def interrupted(measure, algorithm, *rest):
        if algorithm == "sliding-window":
            raise KeyboardInterrupt
        return whole(measure, algorithm, *rest)

    monkeypatch.setattr(answer_module, "suggest", interrupted)
    chosen = [word for name in ("fixed-window", "sliding-window") for word in ("--algorithm", name)]
    assert suggest_command.main([str(made_log), *chosen]) == 1
    printed = capsys.readouterr().out
    assert "interrupted: this is what was known by then" in printed
    assert "fixed-window " in printed
    assert "sliding-window" not in printed


@pytest.mark.parametrize("share", ["100%", "some", "2", "nan"])
def test_rejects_invalid_shares(share, made_log, capsys):
    with pytest.raises(SystemExit):
        suggest_command.main([str(made_log), "--refuse-at-most", share])
    assert "expected a share such as 0.1% or 0.001" in capsys.readouterr().err


def test_search_finds_the_smallest_number():
    for least in range(1, 40):
        for below in range(1, 40):
            assert smallest(lambda number: number >= least, below) == min(least, below)  # noqa: B023


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
        (["--json", "-", "--html", "-"], "cannot both be standard output"),
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


@pytest.mark.parametrize("name", ["replay", "suggest"])
def test_reports_a_full_disk_in_one_line(name, made_log):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*RUN, name, made_log, "--key", "method"], stdout=full, stderr=subprocess.PIPE, text=True)
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
        status = run.wait(timeout=60)
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


# --- which requests count


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        (["--where", "path ^= /login"], 2),
        (["--where", "path ^= /login and status >= 400"], 1),
        (["--where", "status = 404 or (method != GET and not path $= n)"], 1),
        (["--where", "path *= og or agent ~ '^curl/[0-9]'"], 3),
        (["--where", "size < 100"], 2),
        (["--where", 'agent = "-"'], 1),
        (["--since", "2026-01-05T00:02"], 2),
        (["--until", "2026-01-05 00:02:00"], 1),
        (["--since", "2026-01-05T00:02", "--until", "2026-01-05T00:03"], 1),
    ],
)
def test_conditions_choose_requests(arguments, requests, tmp_path, capsys):
    log = tmp_path / "log"
    log.write_text(
        '192.0.2.1 - - [05/Jan/2026:00:01:00 +0000] "POST /login HTTP/1.1" 401 50 "-" "-"\n'
        '192.0.2.1 - - [05/Jan/2026:00:02:00 +0000] "GET /login?next=x HTTP/1.1" 200 500 "-" "x"\n'
        '192.0.2.2 - - [05/Jan/2026:00:03:00 +0000] "GET /no HTTP/1.1" 404 9 "-" "curl/8"\n'
    )
    assert replay_command.main([str(log), *arguments, "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["requests"], report["source"]["excluded"]) == (requests, 3 - requests)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--where", "path"], "--where 'path': expected one of = != ^= "),
        (["--where", "path = /x y"], "expected 'and' or 'or', got 'y'"),
        (["--where", "status > many"], "expected a number after >"),
        (["--where", "(path = /x"], "expected ')', got the end"),
        (["--where", "path ~ '['"], "expected a regular expression in RE2's syntax after ~"),
        (["--where", "colour = red"], "no field 'colour' (choose from client"),
        (["--since", "soon"], "--since: expected a time such as 2026-01-05T12:00, got 'soon'"),
        (["--since", "2030-01-01 00:00"], "requests is left by --where, --since, --until and --sample"),
    ],
)
def test_rejects_wrong_conditions(arguments, says, made_log, capsys):
    assert replay_command.main([str(made_log), *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_sample_has_all_requests_of_its_clients(made_log):
    whole = replay_log(made_log, LIMITS[1::2])
    part = replay_log(made_log, LIMITS[1::2], sample=0.25)
    assert 0.2 < part.keys / whole.keys < 0.3
    requests = {key.key: (key.requests, key.refused) for key in whole.outcomes[0].top}
    assert all(requests[key.key] == (key.requests, key.refused) for key in part.outcomes[0].top)
    assert part.requests + part.source.excluded == whole.requests
