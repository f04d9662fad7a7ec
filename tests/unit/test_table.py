"""The key table: bounded, lazy, and never forgetting a key that counts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import ALGORITHMS, SECOND, START
from tools import measuring
from waiting import PATIENCE

from ratelimit import FixedWindow, SlidingLog, SlidingWindow, Table, TableFull, TokenBucket
from ratelimit.testing import ManualClock

GROWTH = """
import os, sys
import numpy as np
from cases import ALGORITHMS
from ratelimit.testing import ManualClock

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

keys, max_keys, live = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
algorithm = next(one for one in ALGORITHMS if one.name == keys)
algorithm.make("3/day", ManualClock(), max_keys=10).allow_many(np.arange(10))  # what the first use takes
batches = [np.arange(start, min(start + 10_000, live)) for start in range(0, live, 10_000)]
before = resident()
limiter = algorithm.make("3/day", ManualClock(), max_keys=max_keys)
made = resident()
for batch in batches:
    assert limiter.allow_many(batch).all()
print(made - before, resident() - before, len(limiter))
"""


def growth(algorithm, max_keys, live):
    """Measure the resident bytes of a new limiter, and of one with `live` keys."""
    run = subprocess.run(
        [sys.executable, "-c", GROWTH, algorithm.name, str(max_keys), str(live)],
        env=measuring() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    made, used, count = map(int, run.stdout.split())
    assert count == live
    return made, used


@pytest.mark.parametrize("algorithm", [one for one in ALGORITHMS if one.name != "sliding log"], ids=repr)
def test_a_live_key_takes_at_most_24_bytes(algorithm):
    """The bytes are resident memory at max_keys; half a byte is allowed for the measurement itself."""
    _, used = growth(algorithm, 1_000_000, 1_000_000)
    assert used / 1_000_000 <= 24.5


def test_log_takes_the_documented_memory():
    """16 bytes a slot, and up to 24 a request: here one request a key, whose ring is not yet used."""
    log = next(one for one in ALGORITHMS if one.name == "sliding log")
    _, used = growth(log, 200_000, 200_000)
    assert used / 200_000 <= 24.5 + 24 * 3


def test_a_large_bound_costs_nothing_until_it_is_used():
    """Ten million keys are 240 MB of address space, of which no page is allocated before it is touched."""
    token_bucket = ALGORITHMS[0]
    made, used = growth(token_bucket, 10_000_000, 100)
    assert made < 500_000
    assert used < 100 * os.sysconf("SC_PAGE_SIZE") + 500_000


@pytest.mark.parametrize("max_keys", [1, 2, 255, 256, 257, 1_024, 1_025, 5_000])
def test_table_holds_max_keys_live_keys(algorithm, max_keys):
    """As many keys as were asked for are live at once, and the memory is at most 24 bytes for each."""
    limiter = algorithm.make("1/day", ManualClock(), max_keys=max_keys)
    assert limiter.allow_many(np.arange(max_keys)).all()
    assert len(limiter) == max_keys
    assert limiter.full_count == 0
    assert limiter.slots().nbytes <= (16 if max_keys <= 1_024 else 24) * max_keys
    assert limiter.max_keys == max_keys


@pytest.mark.parametrize("on_full", ["deny", "allow", "raise"])
def test_on_full_decides_when_every_slot_is_live(algorithm, on_full):
    """A new key is refused, admitted uncounted, or an error; keys with a slot are not affected."""
    limiter = algorithm.make("3/day", ManualClock(), max_keys=2, on_full=on_full)
    assert limiter.on_full == on_full
    limit = limiter.peek("a").limit
    assert limiter.allow("a")
    assert limiter.allow("b")
    before = limiter.slots().tobytes()
    verbs = [
        lambda: limiter.allow("c"),
        lambda: limiter.hit("c").allowed,
        lambda: limiter.peek("c").allowed,
        lambda: limiter.reserve("c").allowed,
        lambda: limiter.allow_many(["c"])[0],
        lambda: limiter.hit_many(["c"])["allowed"][0],
    ]
    for verb in verbs:
        if on_full == "raise":
            with pytest.raises(TableFull, match="max_keys=2"):
                verb()
        else:
            assert verb() == (on_full == "allow")
    assert limiter.full_count == len(verbs) - 1  # a peek decides nothing
    assert limiter.slots().tobytes() == before
    assert limiter.hit("a", limit - 1)
    assert not limiter.allow("a")


@pytest.mark.parametrize("max_keys", [2, 7, 8, 9, 41, 400])
def test_retry_after_is_when_a_slot_becomes_free(algorithm, max_keys):
    """The time is exact: one nanosecond earlier, every slot is live."""
    limiter = algorithm.make("3/minute", max_keys=max_keys)
    limiter.hit("a", 2, now=START)
    for key in range(1, max_keys):
        limiter.hit(key, 2, now=START + SECOND)
    decision = limiter.hit("c", now=START + 2 * SECOND)
    ready = START + 2 * SECOND + decision.retry_after_ns
    assert (decision.allowed, decision.remaining) == (False, 0)
    assert not limiter.hit("c", now=ready - 1)
    assert limiter.hit("c", now=ready)


def test_slot_is_reused_only_when_its_key_is_fresh(algorithm):
    """A flood of keys at every time, up to the one at which the first key is fresh."""
    limiter = algorithm.make("4/minute", max_keys=3)
    limiter.hit("victim", limiter.peek("victim").limit, now=START)
    fresh = START + limiter.peek("victim", now=START).reset_after_ns
    flood = [f"flood {i}" for i in range(300)]
    for now in np.linspace(START, fresh - 1, 50, dtype=np.int64):
        limiter.allow_many(flood, now=int(now))
        asked = limiter.peek("victim", now=int(now))
        assert asked.reset_after_ns == fresh - now
    assert limiter.full_count > 0


def test_spent_keys_survive_a_flood(algorithm):
    """A thousand spent keys stay spent under a hundred thousand others that replace the rest of the table."""
    clock = ManualClock()
    limiter = algorithm.make("2/minute", clock, max_keys=2_000)
    limit = limiter.peek(0).limit
    victims = np.arange(1_000)
    assert limiter.allow_many(victims, limit).all()
    others = np.arange(10_000, 110_000)
    for part in np.split(others, 10):
        limiter.allow_many(part)
        assert not limiter.allow_many(victims).any()
        clock.advance(2)  # 20 seconds in all
        limiter.reset(int(part[0]))
    assert limiter.peek(0).remaining <= limit // 2


def test_horizon_refuses_readings_from_before_an_eviction(algorithm):
    """A key that was evicted is not fresh for a reading from before the eviction."""
    limiter = algorithm.make("2/minute", max_keys=1)
    limit = limiter.peek("a", now=START).limit
    assert limiter.hit("a", limit, now=START)
    fresh = START + limiter.peek("a", now=START).reset_after_ns
    assert limiter.hit("b", now=fresh)  # takes the slot of a
    limiter.reset("b")
    assert not limiter.hit("a", limit, now=START)
    assert not limiter.hit("a", limit, now=START + SECOND)
    assert not limiter.hit("never seen", limit, now=START)
    assert limiter.hit("a", limit, now=fresh)


def test_the_horizon_moves_a_reading_that_is_late(algorithm):
    """A reading before the horizon is taken as the horizon, so that it locks no client out."""
    clock = ManualClock()
    limiter = algorithm.make("2/minute", clock, max_keys=1)
    limit = limiter.peek("a").limit
    assert limiter.hit("a", limit)
    fresh = clock.now_ns() + limiter.peek("a").reset_after_ns
    assert limiter.hit("b", now=fresh)
    limiter.reset("b")
    assert limiter.hit("new")  # by the clock, at START
    assert limiter.peek("new").remaining <= limit - 1


def test_the_table_is_live_and_read_only(algorithm):
    """Its content changes with the limiter; writing to it raises an error."""
    limiter = algorithm.make("2/minute", ManualClock(), max_keys=8)
    table = limiter.slots()
    assert table.dtype.names == ("state", "state_high", "tag")
    assert (table.shape, table.dtype.itemsize) == ((8,), 16)
    assert not table.tobytes().strip(b"\0")
    limiter.allow("key")
    assert (table["state"] != 0).sum() == 1
    with pytest.raises(ValueError, match="read-only"):
        table["state"] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        table.flags.writeable = True


def test_the_table_outlives_its_limiter():
    """An array of the table keeps its memory."""
    limiter = TokenBucket("2/minute", max_keys=100_000)
    limiter.allow_many(np.arange(50_000))
    table = limiter.slots()
    content = table.tobytes()
    del limiter
    assert table.tobytes() == content


def test_len_counts_live_keys(algorithm):
    """Each key is live until its own reset_after."""
    clock = ManualClock()
    limiter = algorithm.make("2/minute", clock, max_keys=100)
    assert (len(limiter), bool(limiter)) == (0, True)
    for i in range(10):
        limiter.hit(i)
        clock.advance(0.5)
    assert len(limiter) == 10
    clock.advance(ns=max(limiter.peek(i).reset_after_ns for i in range(10)))
    assert len(limiter) == 0


@pytest.mark.parametrize("make", [FixedWindow, SlidingWindow, SlidingLog, TokenBucket])
def test_slots_are_reused(make):
    """A small table serves any number of keys, one after another."""
    limiter = make("1/second", max_keys=4)
    for i in range(1_000):
        assert limiter.hit(i, now=START + 2 * i * SECOND)
    assert limiter.full_count == 0


@pytest.mark.parametrize("path", ["a\0b", Path("folder\0/file")], ids=repr)
def test_rejects_a_name_that_no_file_can_have(path):
    with pytest.raises(ValueError, match="path: expected the name of a file, without NUL characters, got "):
        Table.open(path)


def test_keys_that_are_fresh_at_each_visit_keep_their_slots(algorithm):
    """They do not take each other's slots while others are unused: claims per call are few in the long run."""
    limiter = algorithm.make("4/second", ManualClock(), max_keys=2_000)
    keys = np.random.default_rng(7).permutation(2_000)
    step = 3 * SECOND  # after which a key is fresh again, whatever the algorithm
    for turn in range(4):
        before = limiter.claim_count
        limiter.allow_many(keys, now=START + (turn * len(keys) + np.arange(len(keys))) * step)
    assert limiter.claim_count - before < len(keys) // 20
