"""Eight processes on tables in shared memory and in files, and a ninth that kills and restarts them at random.

Time is a number of turns that the ninth counts up, each two periods after the last: every budget is then full again,
and all slots are available for the keys of the new turn. A turn ends when all its keys are spent, so each of them must have
admitted its budget: not one more, and less only by the requests in flight of killed workers.

It goes on until enough workers were killed inside a request, with `RATELIMIT_NIGHTLY=1` twenty times as many.
"""

import multiprocessing
import random
import time
from signal import SIGKILL

import numpy as np
import pytest
from cases import ALGORITHMS, SECOND, START, quota_of
from tools import NIGHTLY
from waiting import PATIENCE

from ratelimit import Table
from ratelimit._cli.table import main as table_command
from ratelimit._storage.census import census

pytestmark = pytest.mark.stress

IN_FLIGHT = 500 if NIGHTLY else 25  # kills that have to be seen inside a request
WORKERS, LIMIT, KEYS, MAX_KEYS = 8, 10, 10, 24  # a turn's keys fit into a table, those of three do not
TURNS = 800 * IN_FLIGHT  # at most
STOP = 2**63
fork = multiprocessing.get_context("fork")


class Journal:
    """The progress of the workers, in a file that outlives them.

    A cell for each worker, turn, table and key holds twice the number admitted, and one more while a request is
    under way. It is written by one store, so the death of its worker leaves it right.
    """

    def __init__(self, path, tables):
        self.cells = np.memmap(path / "cells", "u2", "w+", shape=(WORKERS, TURNS, tables, KEYS))
        self.clock = np.memmap(path / "clock", "u8", "w+", shape=1).data  # the turn
        self.asked = np.memmap(path / "asked", "u8", "w+", shape=WORKERS).data  # requests that are over
        self.lost = np.zeros((TURNS, tables, KEYS), int)  # that were under way when their worker was killed

    def bury(self, worker):
        """Remove the request in flight of a killed worker; return their number, 1 or 0."""
        cells = self.cells[worker, : self.clock[0] + 1]
        under_way = cells & 1
        self.lost[: len(cells)] += under_way
        cells -= under_way
        return int(under_way.sum())


def names(turn):
    """Return one key that is used in every turn, and new ones."""
    return ["hot", *(f"{turn}.{number}" for number in range(1, KEYS))]


def moment(turn):
    return START + turn * 2 * SECOND


def work(worker, journal, attach):
    """Send requests for every key until it is refused, turn after turn."""
    limiters = attach()
    cells = journal.cells[worker].reshape(-1).data
    while (turn := journal.clock[0]) != STOP:
        asks = [(limiter.hit, name) for limiter in limiters for name in names(turn)]
        for cell, (hit, name) in enumerate(asks, turn * len(asks)):
            allowed = True
            while allowed:
                cells[cell] += 1
                allowed = hit(name, now=moment(turn)).allowed
                cells[cell] += 1 if allowed else -1
                journal.asked[worker] += 1


@pytest.fixture
def tables(shared_name, tmp_path):
    """Return a function that attaches to all tables: each algorithm in shared memory and in a file."""

    def attach():
        return [
            algorithm.make(quota_of(LIMIT, SECOND), table=table)
            for number, algorithm in enumerate(ALGORITHMS)
            for table in (
                Table.shared(f"{shared_name}.{number}", max_keys=MAX_KEYS),
                Table.open(tmp_path / f"{number}.tbl", max_keys=MAX_KEYS),
            )
        ]

    return attach


def test_the_limit_holds_while_workers_are_killed(small_levels, tables, tmp_path, capsys):
    limiters = tables()
    journal = Journal(tmp_path, len(limiters))
    draw = random.Random(1)
    kills = in_flight = 0

    def start(worker):
        process = fork.Process(target=work, args=(worker, journal, tables), daemon=True)
        process.start()
        return process

    def next_turn_when_all_is_spent():
        turn = journal.clock[0]
        if any(one.peek(name, now=moment(turn)).allowed for one in limiters for name in names(turn)):
            return False
        journal.clock[0] += 1
        return True

    def until_each_has_asked():
        """Wait until every other worker, and the new one, has completed a request: a killed worker blocks no other."""
        before, deadline = list(journal.asked), time.monotonic() + PATIENCE
        while any(now <= then for now, then in zip(journal.asked, before, strict=True)):
            assert time.monotonic() < deadline, "blocked"
            assert all(process.is_alive() for process in processes)
            next_turn_when_all_is_spent()
            time.sleep(0.0005 * draw.random())  # noqa: TID251 - so that kills come at any point of a request

    processes = [start(worker) for worker in range(WORKERS)]
    try:
        while (in_flight < IN_FLIGHT or journal.clock[0] <= MAX_KEYS) and journal.clock[0] < TURNS // 2:
            until_each_has_asked()
            victims = draw.sample(range(WORKERS), draw.randint(1, WORKERS // 2))
            for victim in victims:
                processes[victim].kill()
            for victim in victims:
                processes[victim].join()
                assert processes[victim].exitcode == -SIGKILL
                in_flight += journal.bury(victim)
                processes[victim] = start(victim)
            kills += len(victims)
        last = journal.clock[0]
        while journal.clock[0] == last:
            until_each_has_asked()
        turns, journal.clock[0] = journal.clock[0], STOP
        for process in processes:
            process.join(PATIENCE)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()

    budget = np.array([[one.peek("somebody", now=moment(turns)).remaining] for one in limiters], int)
    admitted = (journal.cells[:, :turns] // 2).sum(0, dtype=int)
    lost = journal.lost[:turns]
    with capsys.disabled():
        print(
            f" {turns:,} turns, {sum(journal.asked):,} requests, {sum(one.collision_count for one in limiters):,} "
            f"collisions; {kills} killed and restarted, {in_flight} of them in a request, of which "
            f"{(budget - admitted).sum()} had spent; {sum(census(one).claims for one in limiters)} claims left",
            end="",
        )
    assert (admitted <= budget).all()
    assert (admitted + lost >= budget).all()
    assert in_flight >= IN_FLIGHT
    assert turns > MAX_KEYS  # so every slot has changed hands
    assert all(len(one._levels()) > 2 for one in limiters)
    for one in limiters:
        assert table_command(["check", str(one.table.path)]) == 0
        # The claims of killed workers are reclaimed: a full table of new keys finds slots.
        assert one.allow_many(np.arange(MAX_KEYS), now=moment(turns + 1)).all()
        assert census(one).keys == MAX_KEYS
