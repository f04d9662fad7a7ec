"""A table is made smaller after a flood: no live key loses what it has spent, and no other process is attached."""

import gc
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import SECOND, START
from tools import NIGHTLY
from waiting import until

from ratelimit import Limiter, SlidingLog, Table, TokenBucket
from ratelimit._cli.table import main
from ratelimit._storage import replacement
from ratelimit._storage.census import census
from ratelimit.testing import ManualClock

FLOOD, FEW = 60_000, 3_000


def taken(path):
    return path.stat().st_blocks * 512


def compact(path):
    """Run the command. Without the GIL, a limiter that is no longer used may be attached until it is collected."""
    gc.collect()
    return main(["compact", str(path)])


def levels(limiter):
    return len(limiter._levels())


def state_of(limiter, keys):
    return [repr(limiter.peek(key)) for key in keys]


def test_no_key_is_forgiven_when_its_table_is_compacted(algorithm, monkeypatch):
    """Some keys have spent something, some all; many are like new; some are blocked."""
    monkeypatch.setattr("ratelimit._storage.metadata.base_for", lambda capacity, min_keys=0: 64)
    clock, draw = ManualClock(START), random.Random(5)
    limiter = algorithm.make("3/minute", clock, max_keys=40_000)
    assert limiter.allow_many(np.arange(5_000)).all()
    clock.advance(600)
    few = draw.sample(range(10_000), 500)
    for key in few:
        for _ in range(draw.randrange(1, 4)):
            limiter.allow(key)
    for key in draw.sample(few, 50):
        limiter.block(key, 3_600)
    live, before, grown = len(limiter), state_of(limiter, range(10_000)), levels(limiter)
    limiter.compact()
    assert levels(limiter) < grown
    assert (len(limiter), state_of(limiter, range(10_000))) == (live, before)
    assert census(limiter).duplicates == 0
    admitted = [limiter.allow(key) for key in range(10_000)]
    assert admitted == ["allowed=True" in decision for decision in before]
    assert census(limiter).duplicates == 0


def test_memory_of_a_process_is_given_back():
    clock = ManualClock(START)
    limiter = TokenBucket("1/second", max_keys=4_000_000, clock=clock)
    limiter.allow_many(np.arange(6 * FLOOD))
    clock.advance(1)
    assert not limiter.allow_many(np.arange(FEW), 1, now=START).any()
    before = resident()
    limiter.allow_many(np.arange(FEW))
    limiter.compact()
    assert before - resident() > 6_000_000
    assert levels(limiter) == 1
    assert not limiter.allow_many(np.arange(FEW)).any()
    clock.advance(1)
    assert limiter.allow_many(np.arange(6 * FLOOD)).all()
    assert limiter.full_count == 0


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


FILL = """
import sys, numpy as np
from ratelimit import *
flood, few = int(sys.argv[2]), np.arange(int(sys.argv[3]))
limiter = globals()[sys.argv[4]]("5/hour", table=Table.open(sys.argv[1]))
now = limiter.now_ns()
limiter.allow_many(np.arange(flood), now=now - 100 * 3600 * 10**9)  # like new by now
limiter.allow_many(few, 4 if sys.argv[4] != "SlidingLog" else 1)
"""


@pytest.fixture
def flooded(place):
    """Return a table that another process, which has ended, made: after a flood, some keys are live."""

    def fill(kind="TokenBucket"):
        path = place().path
        command = [sys.executable, "-c", FILL, str(path), str(FLOOD), str(FEW), kind]
        subprocess.run(command, check=True)
        return path

    return fill


@pytest.mark.parametrize("kind", ["TokenBucket", "SlidingWindow", "SlidingLog"])
def test_a_table_without_processes_is_made_smaller(flooded, kind, capsys):
    path = flooded(kind)
    path.chmod(0o640)
    before, large = state_of(Limiter.of(Table.open(path).snapshot()), range(FEW)), taken(path)
    if kind != "SlidingLog":  # of which a snapshot lacks the requests
        assert all("remaining=1" in decision for decision in before)
    assert compact(path) == 0
    assert taken(path) < large // 4
    assert f"{large - taken(path):,} bytes given back; {taken(path):,} of " in capsys.readouterr().out
    assert path.stat().st_mode & 0o777 == 0o640
    assert main(["check", str(path)]) == 0
    limiter = Limiter.of(Table.open(path))
    assert levels(limiter) == 1 + (kind == "SlidingLog")
    assert len(limiter) == FEW
    assert {limiter.peek(key).remaining for key in range(FEW)} == {4 if kind == "SlidingLog" else 1}
    assert not list(path.parent.glob(f".{path.name}*"))
    assert limiter.allow_many(np.arange(FLOOD)).all()


def test_a_table_in_use_is_not_compacted(flooded, capsys):
    path = flooded()
    limiter = TokenBucket("5/hour", table=Table.open(path))
    inode = path.stat().st_ino
    assert compact(path) == 1
    assert f"a process is attached: process {os.getpid()} (" in capsys.readouterr().err
    assert path.stat().st_ino == inode
    assert not list(path.parent.glob(f".{path.name}*"))
    del limiter
    assert compact(path) == 0


def leases_of(process):
    lines = Path("/proc/locks").read_text().splitlines()
    return [word for line in lines if "LEASE" in line and f" {process} " in line for word in line.split()]


def test_a_process_that_attaches_meanwhile_has_the_old_table(flooded, monkeypatch, capsys):
    path = flooded()
    program = (
        f"from ratelimit import *; print(TokenBucket('5/hour', table=Table.open({str(path)!r})).peek(1).remaining)"
    )
    others, write = [], replacement.write_parts

    def write_while_another_attaches(descriptor, memory, parts):
        others.append(subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE))
        until(lambda: "BREAKING" in leases_of(os.getpid()))
        write(descriptor, memory, parts)

    monkeypatch.setattr("ratelimit._cli.compaction.write_parts", write_while_another_attaches)
    inode = path.stat().st_ino
    assert compact(path) == 1
    assert "a process attached meanwhile" in capsys.readouterr().err
    assert others[0].communicate() == (b"1\n", None)
    assert path.stat().st_ino == inode


def compact_and_die(path, step):
    """Compact in a child that is killed before the line of this number; return whether it was."""
    child, lines = os.fork(), 0

    def trace(frame, event, argument):
        nonlocal lines
        if "ratelimit" in frame.f_code.co_filename:
            lines += event == "line"
            if lines == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    if child == 0:
        sys.settrace(trace)
        os._exit(main(["compact", str(path)]))
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_process_that_is_killed_anywhere_leaves_the_old_table_or_the_new_one(flooded):
    path = flooded()
    step, outcomes, killed = 40, set(), True
    while killed:
        killed = compact_and_die(path, step)
        limiter = Limiter.of(Table.open(path).snapshot())
        assert len(limiter) == FEW
        outcomes.add("new" if levels(limiter) == 1 else "old")
        for left in path.parent.glob(f".{path.name}*"):
            left.unlink()
        step += 9 if NIGHTLY else 37
    assert outcomes == {"old", "new"}


def test_a_full_disk_leaves_the_table(flooded, monkeypatch, capsys):
    path = flooded()
    content = path.read_bytes()

    def no_space(descriptor, content, offset):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_space)
    assert compact(path) == 1
    assert "No space left" in capsys.readouterr().err
    assert path.read_bytes() == content
    assert not list(path.parent.glob(f".{path.name}*"))


def test_what_cannot_be_compacted(place, tmp_path, capsys):
    limiter = SlidingLog("5/hour", table=place(), clock=ManualClock())
    with pytest.raises(ValueError, match="compact: expected a table in this process"):
        limiter.compact()
    path = limiter.table.path
    del limiter
    assert compact(path) == 1
    assert "clock" in capsys.readouterr().err
    assert compact(tmp_path / "missing") == 1
    assert "does not exist" in capsys.readouterr().err


def test_time_goes_on_after_a_table_was_compacted(flooded):
    path = flooded()
    before = Limiter.of(Table.open(path)).now_ns()
    assert compact(path) == 0
    after = Limiter.of(Table.open(path))
    assert 0 <= after.now_ns() - before < 600 * SECOND
    assert after.claim_count < 2**32  # the header was trusted
