"""One limit for all who name the table: handles, processes, pickles."""

import multiprocessing
import pickle
import subprocess
import sys

import pytest
from cases import ALGORITHMS

from ratelimit import All, FixedWindow, Limiter, Table, TokenBucket
from ratelimit.testing import ManualClock

DAY = "10/day"
spawn = multiprocessing.get_context("spawn")
fork = multiprocessing.get_context("fork")


def admitted(limiter, start, results, asks=50):
    start.wait()
    results.put(sum(limiter.allow("key") for _ in range(asks)))


def total_admitted(context, limiter, workers=4):
    """How many of their requests all workers together had admitted, started at one moment."""
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=admitted, args=(limiter, start, results)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.set()
    total = sum(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    return total


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_two_handles_are_one_limit(algorithm, place):
    """Whoever names the table has the same keys, under every algorithm."""
    first, second = (algorithm.make(DAY, table=place(max_keys=100)) for _ in range(2))
    assert [first.allow("key") for _ in range(2)] == [True, True]
    assert second.hit("key", 2).remaining == first.peek("key").remaining
    assert len(first) == len(second) == 1
    first.reset("key")
    assert second.peek("key").remaining == second.peek("other").remaining


@pytest.mark.parametrize("context", [fork, spawn], ids=["fork", "spawn"])
def test_workers_share_one_limit(context, place):
    """Forked workers have the mapping, spawned ones get the limiter pickled: ten in all, not ten each."""
    assert total_admitted(context, TokenBucket(DAY, table=place())) == 10


def test_a_limit_of_several_is_shared_too(place):
    """A text with several quotas has a table for each."""
    both = TokenBucket("100/second; 7/day", table=place())
    assert total_admitted(spawn, both) == 7
    assert [limiter.table.path.suffix for limiter in both.limiters][1] == ".2"


def test_a_pickled_limiter_attaches_to_its_table(place):
    """Options and the quota that holds now come along."""
    limiter = FixedWindow("10/day", anchor="first", table=place(max_keys=50), on_full="allow")
    limiter.change("20/day")
    copy = pickle.loads(pickle.dumps(limiter))
    assert (copy.on_full, copy.max_keys, copy.quota) == ("allow", 50, limiter.quota)
    copy.hit("key", 5)
    assert limiter.peek("key").remaining == 15
    assert isinstance(pickle.loads(pickle.dumps(limiter & copy)), All)


def test_a_limiter_in_this_process_is_not_pickled():
    with pytest.raises(TypeError, match="this process's memory"):
        pickle.dumps(TokenBucket(DAY))


def test_the_file_outlives_its_processes(tmp_path):
    """What another process spent before it ended is spent."""
    path = tmp_path / "limits.tbl"
    program = (
        f"from ratelimit import *; import os, signal; l = TokenBucket('10/day', table=Table.open({str(path)!r}));"
        "print(l.hit('key', 7).remaining, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-9, "3\n")
    assert TokenBucket(DAY, table=Table.open(path)).peek("key").remaining == 3


def test_fifty_processes_make_one_table(place):
    """Creating races: all attach to one table, and find it whole."""
    start, results = fork.Event(), fork.Queue()

    def attach():
        start.wait()
        limiter = TokenBucket("25/day", table=place(max_keys=1_000))
        results.put(limiter.allow("key"))

    processes = [fork.Process(target=attach) for _ in range(50)]
    for process in processes:
        process.start()
    start.set()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(answers) == 25


def test_one_table_object_serves_several_limiters():
    """In this process's memory too, as long as they agree."""
    table = Table(max_keys=10)
    first, second = TokenBucket(DAY, table=table), TokenBucket(DAY, table=table)
    first.hit("key", 9)
    assert second.hit("key", 2).retry_after > 0
    with pytest.raises(ValueError, match=r"another algorithm: token bucket, not fixed window"):
        FixedWindow(DAY, table=table)


def test_other_settings_are_refused(place):
    """The error says what the table is and what was asked for."""
    FixedWindow("10/day", table=place(max_keys=100))
    for make, message in [
        (lambda: TokenBucket("10/day", table=place()), "another algorithm: fixed window, not token bucket"),
        (lambda: FixedWindow("10/hour", table=place()), "another period in ns: 86400000000000, not 3600000000000"),
        (lambda: FixedWindow("10/day", table=place(max_keys=200)), "another max_keys: 100, not 200"),
        (
            lambda: FixedWindow("10/day", table=place(), clock=ManualClock()),
            "another clock: .*own, not given",
        ),
        (lambda: FixedWindow("11/day", table=place()), r"holds the quota Quota\(10, 86400\), not Quota\(11, 86400\)"),
        (lambda: FixedWindow("10/day", table=place(), max_keys=100), "max_keys belongs to the table"),
        (lambda: FixedWindow("10/day", table="limits.tbl"), "table must be a Table, not 'limits.tbl'"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            make()
    assert FixedWindow("10/day", table=place(max_keys=100)).allow("key")


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "-x", "a" * 201, "é", 7, None])
def test_names_are_checked(name):
    with pytest.raises(ValueError, match=r"name must be up to 200 letters.*not "):
        Table.shared(name)


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"if_changed must be one of 'raise', .*, not 'ignore'"):
        Table.open(tmp_path / "t", if_changed="ignore")
    with pytest.raises(ValueError, match="max_keys must be a whole number"):
        Table(max_keys=0)
    with pytest.raises(ValueError, match="has no name to remove"):
        Table().remove()
    with pytest.raises(ValueError, match="a table in this process's memory is its limiter's own"):
        Limiter.of(Table())
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TokenBucket(DAY, table=Table.open(tmp_path / "nowhere" / "t"))


def test_a_removed_table_is_made_anew(place):
    """Who is attached keeps the old one."""
    old = TokenBucket(DAY, table=place())
    old.hit("key", 10)
    place().remove()
    assert TokenBucket(DAY, table=place()).allow("key")
    assert not old.allow("key")
