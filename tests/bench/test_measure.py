"""The measuring itself: who decides what, and how often."""

from functools import partial

import pytest

import ratelimit
from ratelimit.bench import decisions, memory, scenarios
from ratelimit.bench.measure import Contestant, Effort, Race, Work, looped
from ratelimit.bench.peers import Peer, check
from ratelimit.bench.scenarios import DENIED, HOT, IN_TURN, OURS, Scenario

LITTLE = Effort(rounds=3, piece_ns=100_000, many=20_000)


def test_contestants_take_turns_over_all_their_keys():
    order = []
    contestants = [
        Contestant(
            name, partial(Work, looped(lambda key, name=name: order.append((name, key))), [[1, 2], [3, 4], [5, 6]])
        )
        for name in ("a", "b")
    ]
    race = Race(contestants, Effort(rounds=4, piece_ns=0, many=1))
    measured = order[4:]  # before that each was tried once, to see how long it takes
    assert measured == [
        *[("a", 1), ("a", 2), ("b", 1), ("b", 2)],
        *[("a", 3), ("a", 4), ("b", 3), ("b", 4)],
        *[("a", 5), ("a", 6), ("b", 5), ("b", 6)],
        *[("a", 1), ("a", 2), ("b", 1), ("b", 2)],
    ]
    assert [len(times) for times in race.times.values()] == [4, 4]


def test_ratio_is_the_median_of_neighbouring_rounds():
    race = Race([Contestant(name, lambda: Work(looped(bool), [[1]])) for name in ("a", "b")], LITTLE)
    race.times = {"a": [1.0, 10.0, 3.0], "b": [2.0, 30.0, 3.0]}
    assert race.ratio("b", "a") == 2
    assert race.ns("b") == 3


def test_scenarios_admit_or_refuse_as_named():
    for scenario in (HOT, DENIED, IN_TURN, Scenario("a few at random", 5_000, at_random=True)):
        for name in OURS:
            run, chunks = scenarios.ours(scenario, name).prepare()  # raises if the answers are not the scenario's
            for chunk in chunks:
                run(chunk)


def test_detects_a_peer_that_does_not_limit():
    with pytest.raises(RuntimeError, match="cannot be compared"):
        check(Peer("none", "none", "TokenBucket", lambda limit, period: lambda key: True))


def test_detects_a_peer_that_mixes_up_keys():
    def make(limit, period):
        answers = iter([True] * limit)
        return lambda key: next(answers, False)

    with pytest.raises(RuntimeError, match="cannot be compared"):
        check(Peer("none", "none", "TokenBucket", make))


def test_all_algorithms_admit_the_same_number():
    for make in OURS.values():
        limiter = make(ratelimit.Quota(5, 3_600), max_keys=10)
        assert sum(limiter.allow("key") for _ in range(20)) == 5


def test_short_run_of_every_section(monkeypatch):
    monkeypatch.setattr(decisions, "present", list)
    monkeypatch.setattr(memory, "present", list)
    sections = [part.measure(LITTLE, lambda step: None) for part in (decisions, memory)]
    targets = {target.what: target for section in sections for target in section.targets}
    assert len(targets) == 11
    assert all(target.measured > 0 for target in targets.values())
    size = targets["resident memory per live key at `max_keys`"].measured
    assert 20 < size < 30
