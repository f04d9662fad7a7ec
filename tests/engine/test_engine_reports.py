"""Faults of other limiters on Redis, see docs/reports.md, and servers that refuse for a while."""

import os
import subprocess
import sys
import threading

import pytest
from cases import ALGORITHMS
from servers import PACKAGE
from test_engine_exact import Recorder
from tools import program
from valkey_servers import Server, valkey_server
from waiting import until

from ratelimit import FixedWindow, LeakyBucket, Quota, SlidingWindow, Table, TokenBucket


def keys_of(limiter, server):
    return server.client.keys(limiter.table.remote.prefix + b"{*")


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_key_is_kept_until_it_is_like_new(table, server, algorithm):
    limiter = algorithm.make(Quota(3, 600), table=table())
    moments = Recorder(limiter.table)
    for cost in (1, 2):
        until_new_ns = limiter.hit("k", cost).reset_after_ns
        [name] = keys_of(limiter, server)
        assert server.client.pexpiretime(name) * 1_000_000 >= moments.now + until_new_ns


@pytest.mark.parametrize("anchor", ["epoch", "first"])
def test_hits_do_not_prolong_a_window(table, server, anchor):
    limiter = FixedWindow("3/hour", anchor=anchor, table=table(remember=0))
    limiter.hit("k")
    [name] = keys_of(limiter, server)
    ends = server.client.pexpiretime(name)
    for _ in range(5):
        limiter.hit("k")
        assert abs(server.client.pexpiretime(name) - ends) <= 1, "rounded up to a millisecond"


def test_a_high_rate_limits(table):
    """A whole batch is decided at one moment, however busy the machine is."""
    for limiter in (TokenBucket("6000/second", burst=1, table=table()), LeakyBucket("6000/second", 0, table=table())):
        assert sum(limiter.allow_many(["k"] * 100)) == 1


LARGE = [2**31, 2**53 - 1, 2**53 + 1, 2**62]


@pytest.mark.parametrize("kind", [TokenBucket, FixedWindow, SlidingWindow])
def test_no_number_stops_the_server(table, server, kind):
    for limit in LARGE:
        for cost in LARGE:
            try:
                limiter = kind(Quota(limit, 1), table=table())
                assert limiter.hit("k", cost).allowed == (cost <= limit)
            except (ValueError, OverflowError):
                continue  # refused before it is sent
    assert server.client.ping()
    assert TokenBucket("2/hour", table=table()).hit("k").remaining == 1


HOST = """
import sys
from ratelimit import FixedWindow, Table
limiter = FixedWindow("3/day", anchor="first", table=Table.valkey({url!r}, name="clocks", timeout=30))
print(limiter.hit("k").remaining, flush=True)
"""


@pytest.mark.slow
def test_the_clocks_of_hosts_do_not_matter(server):
    faked = {"LD_PRELOAD": program("libfaketime.so.1"), "DONT_FAKE_MONOTONIC": "1"}
    seen = []
    for skew in ("+1h", "-1h", "+0s"):
        answer = subprocess.run(
            [sys.executable, "-c", HOST.format(url=server.url)],
            env=os.environ | {"PYTHONPATH": str(PACKAGE)} | faked | {"FAKETIME": skew},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.append(int(answer.stdout))
    assert seen == [2, 1, 0]


def test_scripts_may_be_flushed_at_any_moment(server):
    limiter = FixedWindow("100000/day", table=Table.valkey(server.url, name="flushed", timeout=30, remember=0))
    is_over = threading.Event()

    def flush():
        while not is_over.is_set():
            server.client.script_flush()

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        decisions = [limiter.hit("k") for _ in range(300)]
        assert limiter.allow_many(["k"] * 300).all()
    finally:
        is_over.set()
        thread.join()
    assert {decision.source for decision in decisions} == {"engine"}
    assert 100_000 - limiter.peek("k").remaining == 600, "each was carried out once"


def test_a_server_that_is_loading_is_away_until_it_has_loaded(tmp_path):
    options = ["--dir", tmp_path, "--key-load-delay", "0", "--loading-process-events-interval-bytes", "1024"]
    server = Server(valkey_server(), *options)
    limiter = TokenBucket("10/hour", table=Table.valkey(server.url, name="loading", timeout=5))
    limiter.hit("k")
    server.client.mset({f"filler:{number}": "x" * 100 for number in range(500)})
    server.client.save()
    server.kill()
    slow = [option if option != "0" else "20000" for option in options]  # microseconds for each key
    loading = Server(valkey_server(), *slow, port=server.port, is_loading=True)
    try:
        decision = limiter.hit("k")
        assert (decision.allowed, decision.source) == (False, "fallback")
        loading.client.config_set("key-load-delay", 0)
        assert until(lambda: (found := limiter.hit("k")).source == "engine" and found).remaining == 8
    finally:
        loading.kill()
