"""A first page that is older, newer or torn, and times in it that cannot be: every verb ends, `check` finds it."""

import struct
import subprocess
import sys

import pytest
from cases import SECOND
from waiting import PATIENCE

from ratelimit import CorruptTable, FixedWindow, SlidingWindow, Table, TokenBucket
from ratelimit._cli.table import main
from ratelimit._engine.constants import HEADER_OFFSET, PAGE_BYTES
from ratelimit.testing import ManualClock

YEAR = 365 * 86_400 * SECOND
HORIZON, DIRECTORY, REACH = HEADER_OFFSET + 32, HEADER_OFFSET + 48, HEADER_OFFSET + 64
NEVER = 2**62


@pytest.fixture
def path(tmp_path):
    return tmp_path / "limits.tbl"


def aged(path, keys=100):
    """Make a table whose first page is older than half of its keys; return both states."""
    limiter = TokenBucket("10/day", table=Table.open(path, max_keys=100))
    limiter.allow_many(list(range(keys // 2)))
    old = path.read_bytes()
    limiter.allow_many(list(range(keys // 2, keys)))
    return old, path.read_bytes()


USE_EVERY_VERB = """
import sys
from ratelimit import *
limiter = Limiter.of(Table.open(sys.argv[1]))
admitted = sum(limiter.allow(key) for key in range(100) for _ in range(12))
for key in range(200):
    limiter.hit(key), limiter.peek(key), limiter.refund(key), limiter.reserve(key).cancel(), limiter.reset(key)
limiter.allow_many(list(range(200))), limiter.hit_many(list(range(200)))
len(limiter), limiter.change("20/day"), limiter.clear()
print(admitted)
"""


def admitted_by_every_verb(path):
    run = [sys.executable, "-c", USE_EVERY_VERB, str(path)]  # in a process that can be stopped if it hangs
    done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_header_older_than_the_slots_costs_no_key_its_count(path, capsys):
    """As after a power cut: the kernel wrote the first page before the others."""
    old, new = aged(path)
    path.write_bytes(new)
    assert main(["check", str(path)]) == 0
    content = old[:PAGE_BYTES] + new[PAGE_BYTES:]
    with path.open("r+b") as file:  # in place, since a copy has another inode
        file.write(content)
    assert main(["check", str(path)]) == 1
    assert "the header is older than the slots" in capsys.readouterr().out
    assert admitted_by_every_verb(path) == 100 * 9  # each had one of ten


def test_a_copy_repairs_its_header_when_it_is_attached(path, tmp_path):
    """No key is missed, whatever is asked first."""
    old, new = aged(path)
    copy = tmp_path / "copy"
    copy.write_bytes(old[:PAGE_BYTES] + new[PAGE_BYTES:])
    limiter = TokenBucket("10/day", table=Table.open(copy))
    assert {limiter.peek(key).remaining for key in range(100)} == {9}


@pytest.mark.parametrize("cut", [HEADER_OFFSET, HEADER_OFFSET + 32, HEADER_OFFSET + 48, HEADER_OFFSET + 64, PAGE_BYTES])
@pytest.mark.parametrize("newer", [False, True], ids=["older", "newer"])
def test_every_verb_ends_whatever_part_of_the_file_is_older(path, cut, newer):
    old, new = aged(path)
    first, second = (new, old) if newer else (old, new)
    with path.open("r+b") as file:
        file.write(first[:cut] + second[cut:])
    admitted_by_every_verb(path)


@pytest.mark.parametrize("reach", [0, 101, 2**64 - 1])
def test_every_verb_ends_with_an_impossible_reach(path, reach, capsys):
    aged(path)
    poke(path, REACH, reach)
    assert main(["check", str(path)]) == 1
    assert "the reach of its searches is" in capsys.readouterr().out
    assert admitted_by_every_verb(path) == 100 * 9


@pytest.mark.parametrize("directory", [1, 255, 256, 2**64 - 1])
def test_every_verb_ends_with_an_impossible_directory(path, directory, capsys):
    aged(path)
    poke(path, DIRECTORY, directory)
    main(["check", str(path)])
    assert ("its directory is" in capsys.readouterr().out) == (directory != 256)
    assert admitted_by_every_verb(path) == 100 * 9


def poke(path, offset, word):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<Q", word))


@pytest.mark.parametrize("cls", [TokenBucket, FixedWindow, SlidingWindow])
@pytest.mark.parametrize("horizon", [2**61 + 2**60, NEVER, 2**63, 2**64 - 1])
def test_a_horizon_ahead_of_the_clock_is_lowered(path, cls, horizon, capsys):
    """It neither refuses new keys for years nor admits them without a limit."""
    cls("5/hour", table=Table.open(path, max_keys=100)).allow("x")
    poke(path, HORIZON, horizon)
    assert main(["check", str(path)]) == 1
    assert "seconds ahead of the clock" in capsys.readouterr().out
    limiter = cls("5/hour", table=Table.open(path))
    assert [limiter.allow("new") for _ in range(7)] == [True] * 5 + [False] * 2
    assert main(["check", str(path)]) == 0


def test_rejects_a_horizon_beyond_the_end_of_time_of_a_given_clock(path, clock):
    TokenBucket("5/hour", table=Table.open(path, max_keys=100), clock=clock).allow("x")
    poke(path, HORIZON, 2**63)
    with pytest.raises(CorruptTable, match="its horizon is beyond the end of time"):
        TokenBucket("5/hour", table=Table.open(path), clock=clock)


def test_a_request_for_next_year_takes_no_slot_of_a_key_that_is_live_today():
    """Otherwise all new keys would be refused for a year."""
    limiter = TokenBucket("2/hour", max_keys=2)
    assert limiter.hit("a", 2)
    assert limiter.allow("b")
    limiter.hit("c", now=limiter.now_ns() + YEAR)
    assert not limiter.allow("a")
    limiter.clear()
    assert [limiter.allow("new") for _ in range(3)] == [True, True, False]


def test_clear_forgets_the_horizon_that_a_leaping_clock_has_left(algorithm):
    """With a clock that was given as clock=, this is the way back."""
    clock = ManualClock()
    limiter = algorithm.make("2/minute", clock, max_keys=1)
    limiter.hit("a")
    limiter.hit("b", now=clock.now_ns() + 3_600 * SECOND)  # takes the slot, which is free by then
    limiter.reset("b")
    assert not limiter.hit("c", 2, now=clock.now_ns())
    limiter.clear()
    assert limiter.hit("c", 2, now=clock.now_ns())
