"""`ratelimit replay --follow` decides lines as they come."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios

import numpy as np
import pytest
from waiting import PATIENCE

from ratelimit.replay import replay_log
from ratelimit.replay.batch import Batch
from ratelimit.replay.cli import replay as command
from ratelimit.replay.follow import Follower
from ratelimit.replay.limits import Limit
from ratelimit.replay.logs import recorded
from ratelimit.replay.reading.reader import Reader

RUN = [sys.executable, "-m", "ratelimit", "replay", "--follow", "--limit", "3/minute"]
LINE = '192.0.2.{} - - [05/Jan/2026:00:00:{:02} +0000] "GET / HTTP/1.1" 200 1\n'


def test_decides_as_a_replay_does(made_log):
    limits = [Limit.parse("20/minute"), Limit.parse("fixed-window 30/minute")]
    reader = Reader([str(made_log)])
    trace, _ = recorded(reader)
    follower = Follower(limits, reader.name)
    for batch in trace.batches():
        for part in range(0, len(batch.times), 10_000):
            follower.take(batch.at(slice(part, part + 10_000)))
    report = replay_log(made_log, limits)
    assert follower.requests == report.requests
    for number, outcome in enumerate(report.outcomes):
        assert follower.refused[number] == outcome.refused
        assert follower.by_key[number].most_common(1) == [(outcome.top[0].key, outcome.top[0].refused)]


def test_a_late_line_counts_now():
    follower = Follower([Limit.parse("fixed-window 1/second")], lambda number: "ann")
    for times, refused in (([5, 5], 1), ([3], 1), ([6], 0)):
        when = np.array(times, np.int64) * 10**9
        found = follower.take(Batch(when, np.ones(len(times), np.uint64), np.zeros(len(times), np.int32)))
        assert sum(one.refused for one in found) == refused


def read_until(stream, wanted):
    text = b""
    while wanted not in text:
        assert select.select([stream], [], [], 60)[0]
        text += os.read(stream, 65_536)
    return text.decode()


@pytest.mark.parametrize("end", ["interrupt", "end of the log"])
def test_prints_each_refusal_when_it_happens(end):
    run = subprocess.Popen(RUN, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    run.stdin.write("".join(LINE.format(1, second) for second in range(4)).encode())
    run.stdin.flush()
    assert read_until(run.stdout.fileno(), b"\n") == (
        "2026-01-05 00:00:03Z  192.0.2.1  1 of 4 requests refused, again in 17 s\n"
    )
    if end == "interrupt":
        run.send_signal(signal.SIGINT)
    printed, errors = run.communicate(timeout=PATIENCE)
    assert (run.returncode, errors) == (0, b"")
    assert printed.startswith(b"4 requests, 2026-01-05 00:00:00Z to 2026-01-05 00:00:03Z\n")
    assert b"token-bucket 3/minute        1             1\n" in printed


def test_ends_when_the_output_is_closed():
    line = f"yes '{LINE.format(1, 1).strip()}' | {' '.join(RUN)} | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.count("\n") == 1
    assert "192.0.2.1" in done.stdout
    assert "Traceback" not in done.stderr


def test_draws_a_table_on_a_terminal():
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    run = subprocess.Popen(RUN, stdin=subprocess.PIPE, stdout=theirs)
    run.stdin.write("".join(LINE.format(1, second) for second in range(4)).encode())
    run.stdin.flush()
    shown = read_until(ours, b"192.0.2.1")
    assert shown.startswith("\x1b[H\x1b[J4 requests to 2026-01-05 00:00:03Z; Ctrl-C ends")
    run.stdin.close()
    assert run.wait(timeout=PATIENCE) == 0
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("lines", ["garbage\n", '192.0.2.1 - - [soon] "GET / HTTP/1.1" 200 1\n' * 2])
def test_rejects_what_it_cannot_read(lines):
    done = subprocess.run(RUN, input=lines, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ratelimit replay: -: ")


def test_rejects_a_file(made_log, capsys):
    assert command.main([str(made_log), "--follow"]) == 2
    assert "--follow: expected a log from a pipe" in capsys.readouterr().err
