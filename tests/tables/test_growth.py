"""A table begins small and grows with its live keys: no key is forgiven or counted twice, and no process is blocked."""

import contextlib
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cases import SECOND, START
from tools import NIGHTLY, measuring, preloaded, program
from waiting import PATIENCE

from ratelimit import FixedWindow, Limiter, Table, TokenBucket
from ratelimit._cli.table import main
from ratelimit._engine.constants import PAGE_BYTES
from ratelimit._storage.census import census
from ratelimit.testing import ManualClock

MOST = 3_000_000 if NIGHTLY else 100_000
LIMIT, WORKERS, KEYS = 3, 4, 2_000
fork = multiprocessing.get_context("fork")


def levels(limiter):
    return len(limiter._levels())


def allowed_bytes(keys):
    return 256 * 1024 + 64 * keys


def test_memory_follows_the_keys(place):
    limiter = TokenBucket("1/day", table=place())
    for keys in [n * 10**power for power in range(7) for n in (1, 3) if n * 10**power <= MOST]:
        limiter.allow_many(np.arange(keys))
        taken = limiter.table.path.stat().st_blocks * 512
        assert PAGE_BYTES + limiter.slots().nbytes <= taken <= allowed_bytes(keys)
        assert len(limiter) == keys
    assert levels(limiter) > 3
    assert limiter.full_count == 0


RESIDENT = """
import sys, numpy as np
from ratelimit import TokenBucket
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
limiters, keys = [], np.arange(int(sys.argv[1]))
for _ in range(3):
    before = resident()
    limiters.append(TokenBucket("1/day"))
    limiters[-1].allow_many(keys)
print(resident() - before)  # of the last: numpy takes memory, too, when it is first used
"""


@pytest.mark.parametrize("keys", [1, 30, 1_000, 30_000, MOST])
def test_memory_of_a_process_follows_the_keys(keys):
    command = [sys.executable, "-c", RESIDENT, str(keys)]
    done = subprocess.run(command, env=measuring(), capture_output=True, text=True, check=True)
    assert int(done.stdout) <= allowed_bytes(keys)


def test_no_key_is_forgiven_or_counted_twice_while_the_table_grows(algorithm, small_levels):
    limiter = algorithm.make(f"{LIMIT}/day", ManualClock(), max_keys=20_000)
    draw, admitted, grown, limit = random.Random(7), {}, set(), limiter.peek("new").limit
    for _ in range(20_000):
        key = draw.randrange(3_000)
        spent = admitted.get(key, 0)
        assert limiter.allow(key) == (spent < limit)
        admitted[key] = min(spent + 1, limit)
        grown.add(levels(limiter))
    assert len(grown) > 8
    assert census(limiter).duplicates == 0
    assert {limiter.peek(key).remaining + spent for key, spent in admitted.items()} == {limit}


def test_a_grown_table_knows_all_its_keys(place, small_levels, capsys):
    """Every operation on all keys, and every command, covers all levels."""
    limiter = TokenBucket("10/day", table=place(max_keys=5_000))
    assert limiter.allow_many(np.arange(KEYS), 4).all()
    assert levels(limiter) > 8
    assert len(limiter) == len(Limiter.of(place().snapshot())) == len(pickle.loads(pickle.dumps(limiter))) == KEYS
    assert census(limiter).keys == KEYS
    for command in ("show", "check"):
        assert main([command, str(limiter.table.path)]) == 0
    assert "2,000 keys, 0 of them in two slots" in capsys.readouterr().out
    limiter.change("20/day", counts="scale")
    assert {limiter.peek(key).remaining for key in range(KEYS)} == {12}
    for key in range(KEYS):
        limiter.block(key, 60)
    assert not limiter.allow_many(np.arange(KEYS)).any()
    limiter.clear()
    assert len(limiter) == 0
    assert limiter.allow_many(np.arange(KEYS), 20).all()


def test_a_blocked_key_is_found_in_every_level(small_levels):
    limiter = FixedWindow("5/day", max_keys=5_000)
    for key in range(500):
        limiter.block(key, 3_600)
    assert levels(limiter) > 6
    assert not any(limiter.allow(key) for key in range(500))
    for key in range(500):
        limiter.unblock(key)
    assert all(limiter.allow(key) for key in range(500))


def test_the_levels_have_room_for_all_keys(algorithm):
    limiter = algorithm.make("2/day", max_keys=40_000)
    assert limiter.allow_many(np.arange(40_000)).all()
    assert limiter.full_count == 0
    assert levels(limiter) > 1


def test_after_a_flood_the_few_keys_that_stay_are_in_the_lowest_level_again():
    clock = ManualClock(START)
    limiter = FixedWindow("1/second", clock=clock, max_keys=400_000)
    limiter.allow_many(np.arange(100_000))
    few, lowest = np.arange(95_000, 100_000), limiter._levels()[0][1]
    assert levels(limiter) > 3

    def share_of_lowest(turns):
        for _ in range(turns):
            clock.advance(1)
            assert limiter.allow_many(few).all()
        states = limiter.slots()["state"]
        live = np.flatnonzero(states == states.max())  # one request in the last window
        assert len(live) == len(few)
        return np.mean(live < lowest)

    assert share_of_lowest(1) < 0.5
    assert share_of_lowest(500) > 0.95
    claims = limiter.claim_count
    share_of_lowest(100)
    assert limiter.claim_count - claims < 100 * len(few) // 20


def test_the_levels_are_as_documented():
    """Each further level has as many slots as all below it; the last has the rest."""
    limiter = TokenBucket("1/day", max_keys=150_000)
    limiter.allow_many(np.arange(150_000))
    starts, sizes, windows = zip(*limiter._levels(), strict=True)
    assert sizes == (15_360, 15_360, 30_720, 61_440, 101_864)
    assert starts == (0, 15_360, 30_720, 61_440, 122_880)
    assert set(windows) == {256}


def test_a_table_may_begin_with_room_for_its_keys(place):
    limiter = TokenBucket("1/day", table=place(min_keys=50_000))
    assert limiter.table.path.stat().st_blocks * 512 >= PAGE_BYTES + 32 * 50_000
    limiter.allow_many(np.arange(50_000))
    assert levels(limiter) == 1
    again = pickle.loads(pickle.dumps(limiter.table))
    assert not TokenBucket("1/day", table=again).allow(7)
    path = limiter.table.path
    with pytest.raises(ValueError, match="was made with another min_keys"):
        TokenBucket("1/day", table=Table.open(path, min_keys=60_000))
    assert not TokenBucket("1/day", table=Table.open(path)).allow(7)


def test_room_for_more_keys_than_a_table_may_have():
    with pytest.raises(ValueError, match="min_keys: expected at most max_keys=1000, got 1001"):
        Table(max_keys=1_000, min_keys=1_001)
    with pytest.raises(ValueError, match="min_keys: expected"):
        Table(min_keys=0)
    assert repr(Table(min_keys=10_000)) == "Table(min_keys=10000)"


def test_keys_that_are_fresh_at_once_do_not_make_a_table_grow():
    limiter = FixedWindow("1/second", clock=ManualClock(START))
    for turn in range(100):
        assert limiter.allow_many(np.arange(turn * 1_000, turn * 1_000 + 1_000), now=START + turn * SECOND).all()
    assert levels(limiter) == 1


# --- several processes


def spend(worker, attach, results, asked):
    limiter, draw, admitted = attach(), random.Random(worker), 0
    keys = list(range(KEYS)) * (LIMIT + 1)
    draw.shuffle(keys)
    for key in keys:
        admitted += limiter.allow(key)
        asked[worker] += 1
    results.put(admitted)


@pytest.fixture
def workers(place, small_levels):
    """Start processes that spend all quotas of a table at once, which grows meanwhile."""
    results, asked = fork.Queue(), fork.Array("Q", WORKERS, lock=False)

    def attach():
        return TokenBucket(f"{LIMIT}/day", table=place(max_keys=5_000))

    limiter = attach()
    processes = [
        fork.Process(target=spend, args=(worker, attach, results, asked), daemon=True) for worker in range(WORKERS)
    ]
    for process in processes:
        process.start()
    yield limiter, processes, results, asked
    for process in processes:
        process.kill()


def test_processes_that_make_a_table_grow_admit_each_limit_once(workers):
    limiter, processes, results, _ = workers
    assert sum(results.get(timeout=PATIENCE) for _ in processes) == LIMIT * KEYS
    assert levels(limiter) > 8
    assert census(limiter)[:1] + census(limiter)[3:5] == (KEYS, 0, 0)


def test_a_process_that_is_stopped_anywhere_does_not_keep_others_from_growing(workers):
    limiter, processes, results, asked = workers
    draw, deadline = random.Random(1), time.monotonic() + PATIENCE
    *stopped, last = processes
    while levels(limiter) < 4:
        assert time.monotonic() < deadline
    for process in stopped:
        time.sleep(0.002 * draw.random())  # noqa: TID251 - so that it stops at any point
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)
    admitted = results.get(timeout=PATIENCE)  # of the one that goes on, or one that was too fast to be stopped
    last.join(PATIENCE)
    assert last.exitcode == 0
    for process in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
    assert admitted + sum(results.get(timeout=PATIENCE) for _ in stopped) == LIMIT * KEYS
    assert census(limiter).duplicates == 0
    assert sum(asked) == WORKERS * KEYS * (LIMIT + 1)


# --- memory that is not there


REFUSING = """
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <unistd.h>
/* As a kernel whose memory is full, as long as there is a file "full". */
int madvise(void *address, size_t length, int advice) {
    if (advice == 23 && access("full", F_OK) == 0) {
        errno = EFAULT;
        return -1;
    }
    return ((int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "madvise"))(address, length, advice);
}
"""

GROWS_WITHOUT_MEMORY = """
import os, sys, numpy as np
from ratelimit import TokenBucket, Table
limiter = TokenBucket("1/day", table=Table.open("limits.tbl"), on_full=sys.argv[1])
keys = np.arange(100_000)
open("full", "w").close()
admitted = limiter.allow_many(keys)
print(admitted.sum() < 20_000, limiter.full_count > 80_000, len(limiter._levels()))
print(limiter.allow_many(keys[admitted]).any())
os.unlink("full")
for _ in range(3):
    admitted |= limiter.allow_many(keys)
print(admitted.all(), len(limiter), len(limiter._levels()) > 3)
"""

OPENS_WITHOUT_MEMORY = """
from ratelimit import TokenBucket, Table
from ratelimit._storage.memory import can_grow
assert can_grow()
open("full", "w").close()
TokenBucket("1/day", table=Table.open("limits.tbl"))
"""


@pytest.fixture
def on_a_full_disk(tmp_path):
    """Return a function that runs a program for which the kernel has no memory while a file `full` exists."""
    source, library = tmp_path / "refusing.c", tmp_path / "refusing.so"
    source.write_text(REFUSING)
    subprocess.run([program("gcc"), "-shared", "-fPIC", "-D_GNU_SOURCE", source, "-o", library], check=True)

    def run(script, *arguments):
        command = [sys.executable, "-c", script, *arguments]
        environment = os.environ | {"LD_PRELOAD": preloaded(library), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_growth_without_memory_refuses_counts_and_goes_on_when_there_is_some(on_a_full_disk):
    done = on_a_full_disk(GROWS_WITHOUT_MEMORY, "deny")
    assert done.stdout.split() == ["True", "True", "1", "False", "True", "100000", "True"], done.stderr


def test_a_table_without_memory_for_what_is_in_use_is_refused(on_a_full_disk):
    done = on_a_full_disk(OPENS_WITHOUT_MEMORY)
    assert done.returncode == 1
    assert "bytes of the table do not fit into the" in done.stderr


# --- a header that is older than the slots


def test_a_header_from_before_the_table_grew_costs_no_key_its_count(tmp_path):
    path = tmp_path / "limits.tbl"
    limiter = TokenBucket("10/day", table=Table.open(path, max_keys=100_000))
    limiter.allow("first")
    old = path.read_bytes()[:PAGE_BYTES]
    assert limiter.allow_many(np.arange(40_000)).all()
    assert levels(limiter) > 2
    copy = tmp_path / "copy"
    copy.write_bytes(old + path.read_bytes()[PAGE_BYTES:])
    assert main(["check", str(copy)]) == 1
    again = TokenBucket("10/day", table=Table.open(copy))
    assert {again.peek(key).remaining for key in range(40_000)} == {9}
