"""A shared limit outlives deployments, restarts of workers, and what operators change meanwhile."""

import fcntl
import multiprocessing
import pickle
import threading

import pytest
from waiting import PATIENCE

from ratelimit import FixedWindow, LeakyBucket, Limiter, Quota, SlidingLog, Table, TokenBucket, parse
from ratelimit._cli.table import main
from ratelimit._engine.constants import LAYOUT
from ratelimit._storage.memory import SHARED_PREFIX

fork = multiprocessing.get_context("fork")


def worker(place, quota, **options):
    """A worker that starts with this quota in its code."""
    return TokenBucket(quota, table=place(**options))


def quota_in(place):
    return str(Limiter.of(place()).quota)


def test_a_deployment_changes_the_quota_for_all_workers(place):
    """An old worker that is restarted meanwhile follows the table."""
    old = worker(place, "100/hour")
    old.hit("key", 60)
    new = worker(place, "200/hour")
    assert (old.quota, new.peek("key").remaining) == (new.quota, 140)
    assert worker(place, "100/hour").quota == Quota(200, 3600)
    assert quota_in(place) == "200/hour"


def test_a_change_by_an_operator_outlives_restarts_until_the_next_deployment(place):
    worker(place, "100/hour")
    Limiter.of(place()).change("500/hour")
    assert worker(place, "100/hour").quota == Quota(500, 3600)
    assert worker(place, "300/hour").quota == Quota(300, 3600)
    assert worker(place, "100/hour").quota == Quota(300, 3600)


def test_a_quota_that_an_operator_had_set_can_be_deployed_later(place):
    worker(place, "100/hour")
    Limiter.of(place()).change("200/hour")
    worker(place, "150/hour")
    assert worker(place, "200/hour").quota == Quota(200, 3600)


def test_a_rollback_has_a_higher_version(place):
    worker(place, "100/hour", version=1)
    worker(place, "200/hour", version=2)
    assert worker(place, "100/hour", version=1).quota == Quota(200, 3600)
    assert worker(place, "300/hour", version=1).quota == Quota(200, 3600)
    assert worker(place, "100/hour", version=3).quota == Quota(100, 3600)
    assert worker(place, "200/hour", version=2).quota == Quota(100, 3600)


def test_follow_never_changes_the_table(place):
    worker(place, "100/hour")
    assert worker(place, "200/hour", if_changed="follow").quota == Quota(100, 3600)


def test_a_limiter_that_was_pickled_before_a_change_unpickles(place):
    """It has the quota of now, and does not change it back."""
    limiter = worker(place, "100/hour", if_changed="raise")
    pickled = pickle.dumps(limiter)
    limiter.change("200/hour")
    copy = pickle.loads(pickled)
    assert copy.quota == limiter.quota == Quota(200, 3600)
    assert copy.table.if_changed == "raise"


def test_several_limits_keep_their_tables_when_one_is_added_moved_or_removed(place):
    """Each is matched by its algorithm and period."""
    first = parse("10/second; fixed-window 100/hour", table=place(max_keys=10))
    first.limiters[1].hit("key", 70)
    names = [limiter.table.path.name for limiter in first.limiters]
    assert names[1] == f"{names[0]}.2"
    moved = parse("sliding-log 5/minute; fixed-window 100/hour; 20/second", table=place(max_keys=10))
    assert [limiter.table.path.name for limiter in moved.limiters] == [f"{names[0]}.3", names[1], names[0]]
    assert moved.limiters[1].peek("key").remaining == 30
    assert str(first.limiters[0].quota) == "20/second"
    assert parse("fixed-window 100/hour", table=place()).peek("key").remaining == 30


def test_the_same_kind_twice_has_two_tables(place):
    for _ in range(2):
        both = parse("10/second; 50/second burst 80", table=place(max_keys=10))
        assert [limiter.peek(1).limit for limiter in both.limiters] == [10, 80]


def test_the_shared_name_has_the_version_of_the_layout(shared_name):
    """Old and new versions of the library run side by side."""
    assert f"ratelimit-{LAYOUT}." == SHARED_PREFIX
    assert Table.shared(shared_name).path.name == SHARED_PREFIX + shared_name


@pytest.mark.parametrize(
    ("make", "after"),
    [
        (lambda table: TokenBucket("10/minute", burst=40, table=table), "token-bucket 5/minute burst 40"),
        (lambda table: TokenBucket("10/minute", table=table), "token-bucket 5/minute"),
        (lambda table: LeakyBucket("10/minute", capacity=0, table=table), "leaky-bucket 5/minute capacity 0"),
        (lambda table: FixedWindow("10/minute", table=table), "fixed-window 5/minute"),
        (lambda table: SlidingLog("10/minute", table=table), "sliding-log 5/minute"),
    ],
)
def test_the_command_keeps_a_burst(tmp_path, make, after, capsys):
    make(Table.open(tmp_path / "t", max_keys=10))
    assert main(["change", str(tmp_path / "t"), "5/minute"]) == 0
    assert capsys.readouterr().out.strip() == after


# --- a change never waits


def test_a_change_does_not_wait_for_a_lock_on_the_file(place):
    """A process that may only read the file, or is stopped, cannot block the start of others."""
    limiter = worker(place, "100/hour")
    with limiter.table.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: [limiter.change("200/hour"), worker(place, "300/hour")], daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert limiter.quota == Quota(300, 3600)


def test_a_change_within_a_change_ends(place):
    """As in a signal handler, which runs between any two steps of the change that it interrupts."""

    class Interrupting:
        pending = False
        quota = 1000

        def now_ns(self):
            if Interrupting.pending:
                Interrupting.pending = False
                Interrupting.quota += 1
                limiter.change(Quota(Interrupting.quota, 3600))
            return 1_700_000_000 * 10**9

    limiter = TokenBucket("100/hour", table=place(max_keys=10), clock=Interrupting())
    limiter.hit("key", 60)
    for number in range(200, 240):
        Interrupting.pending = True
        limiter.change(Quota(number, 3600))
        assert limiter.quota in (Quota(number, 3600), Quota(Interrupting.quota, 3600))
        assert limiter.peek("key").remaining == limiter.quota.limit - 60


def test_an_attached_limiter_changes_after_the_name_was_removed(place):
    limiter = worker(place, "100/hour")
    place().remove()
    limiter.change("200/hour")
    assert limiter.quota == Quota(200, 3600)
    assert worker(place, "100/hour").quota == Quota(100, 3600)


def test_a_child_forked_during_changes_and_its_parent_both_change(place):
    """The child does not inherit a lock that no thread of its own would release."""
    limiter, stop = worker(place, "100/hour", max_keys=50), threading.Event()

    def change():
        number = 100
        while not stop.is_set():
            number += 1
            limiter.change(Quota(number, 3600))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(5):
            child = fork.Process(target=lambda: [limiter.change("7/hour"), Limiter.of(place()).change("8/hour")])
            child.start()
            child.join(PATIENCE)
            assert child.exitcode == 0
    finally:
        stop.set()
        thread.join()
    limiter.change("9/hour")
    assert quota_in(place) == "9/hour"


def test_changes_of_many_processes_leave_one_whole_quota(place):
    """Each quota is limit N in N seconds: a mixture of two would show."""
    limiter = TokenBucket(Quota(1, 1), table=place(max_keys=4))

    def change(own):
        for number in range(100):
            limiter.change(Quota(own + number, own + number))

    children = [fork.Process(target=change, args=(own,)) for own in (100, 1000, 10_000)]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        quota = limiter.quota
        assert quota.limit * 10**9 == quota.period_ns
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert limiter.quota.limit * 10**9 == limiter.quota.period_ns
