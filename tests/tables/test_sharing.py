"""One limit for all who name the table: handles, processes, pickles."""

import multiprocessing
import pickle
import subprocess
import sys

import pytest
from cases import ALGORITHMS
from waiting import PATIENCE

from ratelimit import All, FixedWindow, LeakyBucket, Limiter, Table, TokenBucket, parse
from ratelimit.testing import ManualClock

DAY = "10/day"
spawn = multiprocessing.get_context("spawn")
fork = multiprocessing.get_context("fork")


def admitted(limiter, start, results, asks=50):
    start.wait()
    results.put(sum(limiter.allow("key") for _ in range(asks)))


def total_admitted(context, limiter, workers=4):
    """Start all workers at once and return how many of their requests were admitted together."""
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=admitted, args=(limiter, start, results)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.set()
    total = sum(results.get(timeout=PATIENCE) for _ in processes)
    for process in processes:
        process.join()
    return total


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_limiters_on_one_table_share_its_keys(algorithm, place):
    first, second = (algorithm.make(DAY, table=place(max_keys=100)) for _ in range(2))
    assert [first.allow("key") for _ in range(2)] == [True, True]
    assert second.hit("key", 2).remaining == first.peek("key").remaining
    assert len(first) == len(second) == 1
    first.reset("key")
    assert second.peek("key").remaining == second.peek("other").remaining


@pytest.mark.parametrize("context", [fork, spawn], ids=["fork", "spawn"])
def test_workers_share_one_limit(context, place):
    """Forked workers inherit the mapping, spawned workers unpickle the limiter; all together admit ten."""
    assert total_admitted(context, TokenBucket(DAY, table=place())) == 10


def test_a_limit_of_several_is_shared_too(place):
    """Each of several limits has a table of its own."""
    both = parse("100/second; 7/day", table=place())
    assert total_admitted(spawn, both) == 7
    assert [limiter.table.path.suffix for limiter in both.limiters][1] == ".2"


def test_a_pickled_limiter_attaches_to_its_table(place):
    """It has the options and the current quota of the original."""
    limiter = FixedWindow("10/day", anchor="first", table=place(max_keys=50), on_full="allow")
    limiter.change("20/day")
    copy = pickle.loads(pickle.dumps(limiter))
    assert (copy.on_full, copy.max_keys, copy.quota) == ("allow", 50, limiter.quota)
    copy.hit("key", 5)
    assert limiter.peek("key").remaining == 15
    assert isinstance(pickle.loads(pickle.dumps(limiter & copy)), All)


def test_limiter_in_process_memory_cannot_be_pickled():
    with pytest.raises(TypeError, match="this process's memory"):
        pickle.dumps(TokenBucket(DAY))


def test_file_outlives_its_processes(tmp_path):
    """Requests that another process spent before it ended still count."""
    path = tmp_path / "limits.tbl"
    program = (
        f"from ratelimit import *; import os, signal; l = TokenBucket('10/day', table=Table.open({str(path)!r}));"
        "print(l.hit('key', 7).remaining, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-9, "3\n")
    assert TokenBucket(DAY, table=Table.open(path)).peek("key").remaining == 3


def test_fifty_processes_create_one_table(place):
    """They race to create it; all attach to the same complete table."""
    start, results = fork.Event(), fork.Queue()

    def attach():
        start.wait()
        limiter = TokenBucket("25/day", table=place(max_keys=1_000))
        results.put(limiter.allow("key"))

    processes = [fork.Process(target=attach) for _ in range(50)]
    for process in processes:
        process.start()
    start.set()
    answers = [results.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join()
    assert sum(answers) == 25


def test_one_table_object_serves_several_limiters():
    """This holds in process memory, too, if their settings agree."""
    table = Table(max_keys=10)
    first, second = TokenBucket(DAY, table=table), TokenBucket(DAY, table=table)
    first.hit("key", 9)
    assert second.hit("key", 2).retry_after > 0
    with pytest.raises(ValueError, match=r"another algorithm: expected fixed-window, got token-bucket"):
        FixedWindow(DAY, table=table)


def test_rejects_other_settings(place):
    """The error names the settings of the table and the given ones."""
    FixedWindow("10/day", table=place(max_keys=100))
    for make, message in [
        (lambda: TokenBucket("10/day", table=place()), "another algorithm: expected token-bucket, got fixed-window"),
        (
            lambda: FixedWindow("10/hour", table=place()),
            "another period in ns: expected 3600000000000, got 86400000000000",
        ),
        (lambda: FixedWindow("10/day", table=place(max_keys=200)), "another max_keys: expected 200, got 100"),
        (
            lambda: FixedWindow("10/day", table=place(), clock=ManualClock()),
            "another clock: expected one given as clock=, got .*own",
        ),
        (
            lambda: FixedWindow("11/day", table=place(if_changed="raise")),
            r"has another quota: expected Quota\(11, 86400\), got Quota\(10, 86400\)",
        ),
        (lambda: FixedWindow("10/day", table=place(), max_keys=100), "max_keys: expected as an argument of the table"),
        (lambda: FixedWindow("10/day", table="limits.tbl"), "table: expected a Table, got 'limits.tbl'"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            make()
    assert FixedWindow("10/day", table=place(max_keys=100)).allow("key")


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "-x", "a" * 201, "é", 7, None])
def test_rejects_invalid_names(name):
    with pytest.raises(ValueError, match=r"name: expected up to 200 letters.*got "):
        Table.shared(name)


def test_rejects_invalid_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"if_changed: expected one of 'raise', .*, got 'ignore'"):
        Table.open(tmp_path / "t", if_changed="ignore")
    with pytest.raises(ValueError, match="max_keys: expected a whole number"):
        Table(max_keys=0)
    with pytest.raises(ValueError, match="a table in this process is freed with its limiter"):
        Table().remove()
    with pytest.raises(ValueError, match="a table in this process belongs to its limiter"):
        Limiter.of(Table())
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TokenBucket(DAY, table=Table.open(tmp_path / "nowhere" / "t"))


def test_opening_a_removed_table_creates_a_new_one(place):
    """Attached limiters keep the old one."""
    old = TokenBucket(DAY, table=place())
    old.hit("key", 10)
    place().remove()
    assert TokenBucket(DAY, table=place()).allow("key")
    assert not old.allow("key")


def test_a_removed_table_serves_its_limiters_and_no_other(place):
    """Each verb goes on; what needs the name raises an error that has it."""
    limiter = LeakyBucket("100/minute", table=place())
    reservation = limiter.reserve("key", 5)
    place().remove()
    assert limiter.allow("key")
    assert limiter.hit("key", 2)
    assert limiter.take("key", 3).spent == 3
    reservation.cancel()
    limiter.refund("key", 1)
    limiter.block("other", 5)
    limiter.unblock("other")
    limiter.change("50/minute")
    assert limiter.allow_many(["key", "new"]).all()
    limiter.reset("key")
    limiter.clear()
    assert len(limiter) == 0
    for attempt in (place().remove, lambda: Limiter.of(place()), limiter.table.remove):
        with pytest.raises(FileNotFoundError, match=str(limiter.table.name or limiter.table.path)):
            attempt()
