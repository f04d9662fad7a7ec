"""The commands `ratelimit replay` and `ratelimit suggest`."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios

import pytest

from ratelimit.replay import command, replay_log, suggest
from ratelimit.replay.limits import ALGORITHMS, Limit
from ratelimit.replay.suggest import Trace, smallest
from ratelimit.replay.table import columns, duration, percent

LIMITS = ["--limit", "token-bucket 60/minute burst 40", "--limit", "fixed-window 60/minute"]
RUN = [sys.executable, "-m", "ratelimit"]


def test_the_table(made_log, capsys):
    assert command.main([str(made_log), *LIMITS]) == 0
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
    assert command.main([str(made_log), *LIMITS, "--json", "-", "--html", str(page)]) == 0
    read = json.loads(capsys.readouterr().out)
    report = replay_log(made_log, LIMITS[1::2])
    for told, outcome in zip(read["outcomes"], report.outcomes, strict=True):
        assert (told["admitted"], told["refused"]) == (outcome.admitted, outcome.refused)
        assert told["refused_share"] == outcome.refused_share
        assert told["top"][0]["key"] == outcome.top[0].key
        assert told["largest"][0]["admitted"] == outcome.largest[0].admitted
        assert sum(told["refused_over_time"]) == outcome.refused
    assert f"{report.outcomes[0].refused:,}" in page.read_text(encoding="utf-8")


def test_what_was_odd_is_said(tmp_path, capsys):
    line = '192.0.2.1 - - [05/Jan/2026:00:{:02}:00 +0000] "GET / HTTP/1.1" 200 1\n'
    path = tmp_path / "log"
    path.write_text("".join(map(line.format, (1, 2, 1))) + "garbage\n")
    assert command.main([str(path), "--limit", "token-bucket 1/second"]) == 0
    printed = capsys.readouterr().out
    assert "1 of 4 lines could not be read and are left out" in printed
    assert f"{path}:4: garbage" in printed
    assert "1 lines were out of order and are sorted within 60 s" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.log"], "nowhere.log"),
        (["{log}", "--limit", "bucket"], "limit 'bucket' is not understood"),
        (["{log}", "--key", "client/200"], "a prefix has from 1 to 128 bits"),
        (["{log}", "--key", "client +"], "key 'client +' is not understood"),
        (["{log}", "--key", "colour"], "no field 'colour'; there are client"),
        (["{log}", "--sort-window", "-1"], "window must be zero or more seconds"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(arguments, message, made_log, capsys):
    assert command.main([argument.format(log=made_log) for argument in arguments]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("ratelimit replay: ")
    assert message in errors


def test_an_interruption_prints_what_is_known(made_log):
    """The log comes through a pipe that stays open; then Ctrl-C."""
    run = subprocess.Popen([*RUN, "replay", *LIMITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    content = made_log.read_bytes()
    for _ in range(3):
        run.stdin.write(content)  # returns when all but the last of it has been read
    run.stdin.flush()
    run.send_signal(signal.SIGINT)
    printed = run.stdout.read().decode()
    run.stdin.close()
    assert run.wait(timeout=60) == 1
    assert "interrupted: this is what was known by then" in printed
    assert "token-bucket 60/minute burst 40" in printed


def test_a_progress_bar_on_a_terminal_and_nothing_else_on_standard_output(made_log):
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


def test_whoever_stops_listening_gets_no_traceback(made_log):
    line = " ".join(map(str, RUN)) + f" replay {made_log} --json - | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_too_many_live_keys_are_replayed_with_more_room(made_log, monkeypatch, capsys):
    """However little room there is at first, the decisions are the same, and the user is told."""
    monkeypatch.setattr("ratelimit.replay.engine.MAX_KEYS", 10)
    small = replay_log(made_log, LIMITS[1::2], note=print)
    monkeypatch.undo()
    whole = replay_log(made_log, LIMITS[1::2])
    assert "from the start, with more of it" in capsys.readouterr().out
    for one, other in zip(small.outcomes, whole.outcomes, strict=True):
        assert (one.admitted, one.refused, one.top, one.full) == (other.admitted, other.refused, other.top, 0)


def test_when_the_room_is_given_a_lack_of_it_is_told(made_log, capsys):
    assert command.main([str(made_log), *LIMITS, "--max-keys", "10"]) == 0
    assert "requests were refused only because its table was full" in capsys.readouterr().out


# --- suggest


@pytest.fixture(scope="module")
def trace(made_log):
    from ratelimit.replay.reader import Reader

    return Trace(Reader([str(made_log)]).chunks())


@pytest.fixture(scope="module")
def answer(made_log, tmp_path_factory):
    path = tmp_path_factory.mktemp("suggest") / "answer.json"
    assert suggest.main([str(made_log), "--refuse-at-most", "3%", "--json", str(path)]) == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_suggested_limit_refuses_so_few_and_a_smaller_one_more(algorithm, answer, trace, made_log):
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


def test_the_curve_is_what_such_limits_refuse(answer, trace):
    assert len(answer["suggestions"]) == 5
    for found in answer["suggestions"]:
        assert len(found["curve"]) > 4
        number, share = found["curve"][2]
        limit = found["limit"].replace(f" {found['number']}/", f" {number}/")
        assert trace.refused(Limit.parse(limit)) / len(trace) == share
        shares = [share for _, share in found["curve"]]
        assert shares == sorted(shares, reverse=True)


def test_when_no_limit_will_do(tmp_path, capsys):
    """Nobody may be refused, and 50,000 come at once: no sliding log has room for that."""
    path = tmp_path / "log.csv"
    path.write_text("time,client\n" + "1767571200,192.0.2.1\n" * 50_000)
    assert (
        suggest.main([str(path), "--refuse-at-most", "0", "--algorithm", "sliding-log", "--algorithm", "fixed-window"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "sliding-log: no limit refuses so few" in printed
    assert "fixed-window 50000/minute" in printed


def test_an_interrupted_search_prints_what_was_found(made_log, monkeypatch, capsys):
    whole = suggest.suggest

    def interrupted(trace, algorithm, *rest):
        if algorithm == "sliding-window":
            raise KeyboardInterrupt
        return whole(trace, algorithm, *rest)

    monkeypatch.setattr(suggest, "suggest", interrupted)
    chosen = [word for name in ("fixed-window", "sliding-window") for word in ("--algorithm", name)]
    assert suggest.main([str(made_log), *chosen]) == 1
    printed = capsys.readouterr().out
    assert "interrupted: this is what was known by then" in printed
    assert "fixed-window " in printed
    assert "sliding-window" not in printed


def test_an_interruption_while_reading(made_log, monkeypatch, capsys):
    def interrupted(chunks):
        raise KeyboardInterrupt

    monkeypatch.setattr(suggest, "Trace", interrupted)
    assert suggest.main([str(made_log)]) == 1
    assert "interrupted while reading" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["100%", "some", "2", "nan"])
def test_a_share_that_is_none(share, made_log, capsys):
    with pytest.raises(SystemExit):
        suggest.main([str(made_log), "--refuse-at-most", share])
    assert "must be a share such as 0.1% or 0.001" in capsys.readouterr().err


def test_the_smallest_number():
    for least in range(1, 40):
        for below in range(1, 40):
            assert smallest(lambda number: number >= least, below) == min(least, below)  # noqa: B023


# --- words


def test_numbers_in_words():
    assert [percent(share) for share in (0, 0.00001, 0.001, 0.0123, 0.123, 1)] == [
        "0 %", "<0.01 %", "0.10 %", "1.23 %", "12.3 %", "100.0 %",
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (0, 2e-9, 0.25, 1, 61, 86_400)] == [
        "0 s", "2 ns", "250 ms", "1 s", "1.02 min", "1 d",
    ]  # fmt: skip
    assert columns(["a", "b"], [["x", "10"], ["longer", "2"]]) == "a        b\nx       10\nlonger   2"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--html", "no-such-folder/report.html"], "'no-such-folder/report.html' cannot be written"),
        (["--json", "."], "'.' cannot be written"),
        (["--json", "-", "--html", "-"], "cannot both be standard output"),
        (["--max-keys", "0"], "--max-keys must be a whole number from 1, not 0"),
        (["--sort-window", "inf"], "window must be zero or more seconds, not inf"),
    ],
)
@pytest.mark.parametrize("main", [command.main, suggest.main])
def test_what_cannot_be_is_said_before_the_work(main, arguments, says, tmp_path, capsys):
    """In one line."""
    log = tmp_path / "log.csv"
    log.write_text("time,client\n1,a\n")
    assert main([str(log), *arguments]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert says in errors
    assert errors.count("\n") == 1


def test_an_option_that_is_given_twice():
    """Either could have been meant."""
    with pytest.raises(ValueError, match="burst is given twice"):
        Limit.parse("token-bucket 5/s burst 3 burst 4")
    with pytest.raises(ValueError, match="capacity is given twice"):
        Limit.parse("leaky-bucket 5/s burst 3 capacity 4")


def test_suggestions_stay_below_what_a_log_can_keep(tmp_path, capsys):
    """Also the curve, which is drawn beyond them; above, there is no sliding log."""
    for requests, none in ((30_000, False), (43_691, True)):
        log = tmp_path / "log.csv"
        log.write_text("time,client\n" + "1,a\n" * requests)
        arguments = [str(log), "--algorithm", "sliding-log", "--algorithm", "fixed-window", "--refuse-at-most", "0"]
        assert suggest.main(arguments) == 0
        printed = capsys.readouterr().out
        assert ("sliding-log: no limit refuses so few" in printed) == none
        assert ("sliding-log 30000/minute" in printed) != none
        assert f"fixed-window {requests}/minute" in printed
