"""Several processes on one key: the chain of states is one order, and agrees with real time."""

import multiprocessing
import os
import time

from tools import NIGHTLY
from waiting import PATIENCE

from ratelimit import FixedWindow, Table, TokenBucket
from ratelimit._remote.asking import ask
from ratelimit._remote.request import request_of

LIMIT, BURST = 5_000, 40
INTERVAL = 1_000_000 // LIMIT  # microseconds
OPERATIONS = 5_000 if NIGHTLY else 400
PROCESSES = 4 if NIGHTLY else 3


def limiter_on(url):
    return TokenBucket(f"{LIMIT}/second", burst=BURST, table=Table.valkey(url, name="linear", timeout=30, remember=0))


def spend(url, barrier, results):
    limiter = limiter_on(url)
    seen = []
    barrier.wait()
    for _ in range(OPERATIONS):
        begin = time.monotonic_ns()
        [[answer]] = ask(limiter.table.remote, [[request_of(limiter, "k")]])
        _, found, left = answer.booking
        seen.append((begin, time.monotonic_ns(), answer.now_ns // 1000, answer.done, int(found[0]), int(left[0])))
    results.put(seen)


def test_decisions_of_several_processes_are_one_order(server):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    limiter_on(server.url)
    processes = [context.Process(target=spend, args=(server.url, barrier, results)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    seen = [one for _ in processes for one in results.get(timeout=PATIENCE)]
    for process in processes:
        process.join()
    admitted = sorted((one for one in seen if one[3]), key=lambda one: one[5])
    states = {0}
    previous = 0
    for _, _, now, _, found, left in admitted:
        assert found == previous, "a state was lost or used twice"
        assert left == max(found, now) + INTERVAL
        assert left - now <= BURST * INTERVAL
        previous = left
        states.add(left)
    for _, _, now, done, found, _ in seen:
        assert found in states
        assert done or max(found, now) + INTERVAL - now > BURST * INTERVAL
    latest_begin = 0
    for begin, end, *_ in admitted:  # none ended before one that is earlier in the order had begun
        latest_begin = max(latest_begin, begin)
        assert end > latest_begin or begin == latest_begin
    moments = sorted(one[2] for one in admitted)
    worst = max(
        after - before + 1 - BURST - (moments[after] - moments[before]) * LIMIT // 1_000_000
        for before in range(0, len(moments), 7)
        for after in range(before, len(moments))
    )
    assert worst <= 0
    assert any(not one[3] for one in seen) or not NIGHTLY


def test_a_fork_has_connections_of_its_own(server):
    limiter = FixedWindow("100/hour", table=Table.valkey(server.url, name="fork", timeout=10))
    limiter.hit("k")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join(limiter.hit("k").source[:1].encode() for _ in range(20)))
        os._exit(0)
    assert [limiter.hit("k").source for _ in range(20)] == ["engine"] * 20
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"e" * 20
    os.close(reader)
    os.close(writer)
    assert limiter.peek("k").remaining == 100 - 41
