"""Recorded histories of concurrent hits, takes, refunds, resets and blocks against the sequential oracle."""

import random
import threading
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import oracle
import pytest
from cases import ALGORITHMS, SECOND, START, quota_of
from linearizability import Call, is_linearizable, take_of
from tools import NIGHTLY
from waiting import PATIENCE

from ratelimit.testing import ManualClock

pytestmark = pytest.mark.stress

THREADS, CALLS, LIMIT = 3, 7, 3
ENOUGH = 200 if NIGHTLY else 20  # histories in which calls really overlapped


def act(limiter, verb, cost):
    if verb == "refund":
        limiter.refund("key", cost)
    elif verb == "block":
        limiter.block("key", Fraction(cost, SECOND))
    else:
        getattr(limiter, verb)("key")


def record(algorithm, rng):
    """Record the calls of several threads on one key, while others make the table grow.

    Return the calls, the number of collisions, and the number of levels.
    """
    clock = ManualClock(START)
    limiter = algorithm.make(quota_of(LIMIT, SECOND), clock, max_keys=8)
    together = threading.Barrier(THREADS)
    # A sliding log spends a cost one by one, and what remains is read after the decision.
    log = algorithm.oracle is oracle.SlidingLog
    calls, histories = [], []

    def work(seed):
        rng = random.Random(seed)
        own = []
        together.wait()
        for _ in range(CALLS):
            verb = rng.choice(["hit"] * 5 + ["take"] * 2 + ["refund", "reset", "block", "unblock"])
            if rng.random() < 0.3:
                limiter.hit_many([rng.randrange(4)], LIMIT, now=START)  # live as long as the calls' times
            cost = SECOND // 4 if verb == "block" else 1 if log else rng.randint(1, 3 if verb == "take" else 2)
            now = START + rng.choice([0, 0, 0, SECOND // 2]) if verb == "hit" else START
            answer = None
            began = time.monotonic_ns()
            if verb == "hit":
                (row,) = limiter.hit_many(["key"], cost, now=now)  # decides without the GIL
                ended = time.monotonic_ns()
                answer = (bool(row["allowed"]),) if log else (bool(row["allowed"]), int(row["remaining"]))
            elif verb == "take":
                decision = limiter.take("key", cost)
                take_of(own, began, time.monotonic_ns(), now, cost, decision, not log)
                continue
            else:
                act(limiter, verb, cost)
                ended = time.monotonic_ns()
            own.append(Call(began, ended, verb, now, cost, answer))
        histories.append(own)

    threads = [threading.Thread(target=work, args=(rng.random(),)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in histories:
        first = len(calls)
        calls += [call if call.after is None else replace(call, after=first + call.after) for call in own]
    return calls, limiter.collision_count, len(limiter._levels())


def overlaps(history):
    ordered = sorted(history, key=lambda call: call.began)
    return sum(later.began <= earlier.ended for earlier, later in pairwise(ordered))


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_histories_are_linearizable(algorithm, small_levels):
    rng = random.Random(str(algorithm))
    seen = contended = collisions = grown = 0
    deadline = time.monotonic() + PATIENCE
    while contended < ENOUGH or grown < ENOUGH:
        assert time.monotonic() < deadline, f"calls overlapped in {contended} of {seen} histories"
        history, met, levels = record(algorithm, rng)
        assert is_linearizable(history, lambda: algorithm.oracle(LIMIT, SECOND)), history
        seen += 1
        contended += overlaps(history) > 0
        collisions += met
        grown += levels > 1
    print(
        f"{algorithm}: {seen} histories, {contended} with overlapping calls, {collisions} collisions; "
        f"in {grown} the table grew"
    )


def fresh():
    return oracle.TokenBucket(1, SECOND)


SPENT, REFUSED = (True, 0), (False, 0)
RIGHT = [
    [Call(0, 9, "hit", START, 1, SPENT), Call(0, 9, "hit", START, 1, REFUSED)],
    [Call(0, 3, "hit", START, 1, SPENT), Call(2, 9, "reset"), Call(4, 5, "hit", START, 1, SPENT)],
    [Call(0, 1, "hit", START, 1, SPENT), Call(2, 9, "refund", START), Call(3, 4, "hit", START, 1, SPENT)],
    [Call(0, 9, "hit", START, 1, REFUSED), Call(5, 6, "hit", START, 1, SPENT)],
    [Call(0, 9, "look", START, 2, (1,)), Call(0, 9, "hit", START, 1, REFUSED, 0), Call(5, 6, "hit", START, 1, SPENT)],
]
WRONG = {
    "one too many": [Call(0, 9, "hit", START, 1, SPENT), Call(0, 9, "hit", START, 1, SPENT)],
    "refused for no reason": [Call(0, 1, "hit", START, 1, REFUSED), Call(2, 3, "hit", START, 1, SPENT)],
    "a refund that came too late": [
        Call(0, 1, "hit", START, 1, SPENT),
        Call(2, 3, "hit", START, 1, SPENT),
        Call(4, 5, "refund", START),
    ],
    "a refund that was lost": [
        Call(0, 1, "hit", START, 1, SPENT),
        Call(2, 3, "refund", START),
        Call(4, 5, "hit", START, 1, REFUSED),
    ],
    "a refund that counted twice": [
        Call(0, 1, "hit", START, 1, SPENT),
        Call(2, 9, "refund", START),
        Call(2, 9, "hit", START, 1, SPENT),
        Call(2, 9, "hit", START, 1, SPENT),
    ],
    "a reset that was forgotten": [
        Call(0, 1, "hit", START, 1, SPENT),
        Call(2, 3, "reset"),
        Call(4, 5, "hit", START, 1, REFUSED),
    ],
    "a block that was forgotten": [
        Call(0, 1, "block", START, SECOND),
        Call(2, 3, "hit", START, 1, SPENT),
    ],
    "a block that unblock did not end": [
        Call(0, 1, "block", START, SECOND),
        Call(2, 3, "unblock", START),
        Call(4, 5, "hit", START, 1, REFUSED),
    ],
    "a take of more than there was": [
        Call(0, 1, "look", START, 2, (2,)),
        Call(0, 1, "hit", START, 2, (True, 0), 0),
    ],
    "a take that looked after it had spent": [
        Call(0, 1, "hit", START, 1, SPENT, 1),
        Call(0, 9, "look", START, 1, (1,)),
        Call(2, 3, "refund", START),
        Call(4, 5, "hit", START, 1, REFUSED),
    ],
    "the wrong number left": [Call(0, 1, "hit", START, 1, (True, 1))],
}


@pytest.mark.parametrize("history", RIGHT)
def test_checker_accepts_possible_histories(history):
    assert is_linearizable(history, fresh)


@pytest.mark.parametrize("name", WRONG)
def test_checker_rejects_impossible_histories(name):
    assert not is_linearizable(WRONG[name], fresh)


def test_checker_rejects_forged_answers():
    """One answer of a real history is inverted; only calls that overlap can sometimes explain it."""
    rng = random.Random(7)
    token_bucket = ALGORITHMS[0]
    refused = 0
    for _ in range(40):
        history, _, _ = record(token_bucket, rng)
        i = rng.choice([i for i, call in enumerate(history) if call.verb == "hit"])
        allowed, remaining = history[i].answer
        history[i] = replace(history[i], answer=(not allowed, remaining))
        refused += not is_linearizable(history, lambda: token_bucket.oracle(LIMIT, SECOND))
    assert refused >= 30
