"""What is decided: the keys of each scenario, and everybody who decides them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from time import process_time
from typing import Any

import numpy as np

import ratelimit
from ratelimit.bench.measure import CHUNK, Contestant, Keys, looped
from ratelimit.bench.peers import Peer

HOUR = 3_600
OURS: dict[str, Callable[..., ratelimit.Limiter]] = {
    "TokenBucket": ratelimit.TokenBucket,
    "LeakyBucket": lambda quota, **options: ratelimit.LeakyBucket(quota, capacity=quota.limit - 1, **options),
    "FixedWindow": ratelimit.FixedWindow,
    "SlidingWindow": ratelimit.SlidingWindow,
    "SlidingLog": ratelimit.SlidingLog,
}
FLOOR = "dict.get"
EMPTY = "an empty C method"
BATCH = 10_000  # keys of one `allow_many`
FILL_SECONDS = 60  # at most, to bring all its keys to a peer


@dataclass(frozen=True)
class Scenario:
    """Keys, and a limit that admits all of them or none.

    A sliding log keeps each request for a whole period. It is given a period so short that it stays small.
    """

    name: str
    distinct: int  # keys
    at_random: bool = False  # or else in turn
    limit: int = 100_000_000
    period: int = HOUR
    log: tuple[int, float] = (4, 0.000_001)

    @property
    def denied(self) -> bool:
        return self.limit == 1

    def quota(self, algorithm: str) -> ratelimit.Quota:
        return ratelimit.Quota(*self.log) if algorithm == "SlidingLog" else ratelimit.Quota(self.limit, self.period)

    def integers(self) -> list[Any]:
        """All keys as integers, in batches."""
        numbers = np.random.default_rng(1).integers(2**62, size=self.distinct)
        return np.array_split(numbers, max(1, self.distinct // BATCH))


HOT = Scenario("one hot key, allowed", 1, log=(1_000, 0.000_001))
DENIED = Scenario("one hot key, denied", 1, limit=1, log=(1, HOUR))
IN_TURN = Scenario("10,000 keys in turn", 10_000)


@cache
def at_random(many: int) -> Scenario:
    return Scenario(f"{many:,} keys at random", many, at_random=True)


@cache
def every_key(scenario: Scenario) -> list[list[str]]:
    keys = [f"user:{number}" for number in range(scenario.distinct)]
    return [keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]


@cache
def visits(scenario: Scenario) -> list[list[str]]:
    """The keys as they are asked for."""
    keys = every_key(scenario)
    if scenario.distinct == 1:
        return [keys[0] * CHUNK]
    return shuffled(keys) if scenario.at_random else keys


def shuffled(chunks: Sequence[Keys]) -> list[list[Any]]:
    """As many keys as there are, drawn at random from all of them."""
    everything = list(chain.from_iterable(chunks))
    draw = random.Random(2)
    return [draw.choices(everything, k=len(chunk)) for chunk in chunks]


def floor(scenario: Scenario) -> Contestant:
    """What finding a key costs at least."""
    table = dict.fromkeys(chain.from_iterable(every_key(scenario)), True)
    return Contestant(FLOOR, looped(table.get), visits(scenario))


def empty(scenario: Scenario) -> Contestant:
    """What a call costs at least. `[].count` is a C method of one argument that has nothing to do."""
    return Contestant(EMPTY, looped([].count), visits(scenario))


def ours(scenario: Scenario, algorithm: str, verb: str = "allow") -> Contestant:
    limiter = OURS[algorithm](scenario.quota(algorithm), max_keys=max(1_000, scenario.distinct))
    name = f"{algorithm}.{verb}"
    _bring_keys(limiter.allow, bool, scenario, name)
    if algorithm == "SlidingLog" and not scenario.denied:
        _fill_rings(limiter, every_key(scenario), scenario.log[0])
    return Contestant(name, looped(getattr(limiter, verb)), visits(scenario))


def theirs(scenario: Scenario, peer: Peer) -> Contestant:
    decide = peer.make(scenario.limit, scenario.period)
    _bring_keys(decide, peer.admits, scenario, peer.name)
    return Contestant(peer.name, looped(decide), visits(scenario))


def _bring_keys(decide: Callable[[str], Any], admits: Callable[[Any], bool], scenario: Scenario, name: str) -> None:
    """Make all keys known, and see that their answers are those of the scenario."""
    begin = process_time()
    for chunk in every_key(scenario):
        if not all(admits(decide(key)) for key in chunk):
            raise RuntimeError(f"{name} refuses where it should admit, in {scenario.name!r}")
        if process_time() - begin > FILL_SECONDS:
            raise TimeoutError(f"{name} does not take {scenario.distinct:,} keys in {FILL_SECONDS} s")
    key = every_key(scenario)[0][0]
    if admits(decide(key)) == scenario.denied:
        raise RuntimeError(f"{name} answers {key!r} wrongly in {scenario.name!r}")


def _fill_rings(limiter: ratelimit.Limiter, chunks: Sequence[Any], capacity: int) -> None:
    """Once around the log of every key: memory that is touched for the first time would be part of the time."""
    for _ in range(capacity):
        for chunk in chunks:
            limiter.allow_many(chunk)


def integer_floor(scenario: Scenario) -> Contestant:
    chunks = [chunk.tolist() for chunk in scenario.integers()]
    table = dict.fromkeys(chain.from_iterable(chunks), True)
    return Contestant(FLOOR, looped(table.get), shuffled(chunks) if scenario.at_random else chunks)


def batches(scenario: Scenario, algorithm: str) -> Contestant:
    """`allow_many` over integer keys, a batch at a time."""
    limiter = OURS[algorithm](scenario.quota(algorithm), max_keys=scenario.distinct)
    chunks = scenario.integers()
    for chunk in chunks:
        if not limiter.allow_many(chunk).all():
            raise RuntimeError(f"{algorithm}.allow_many refuses where it should admit, in {scenario.name!r}")
    if algorithm == "SlidingLog":
        _fill_rings(limiter, chunks, scenario.log[0])
    if scenario.at_random:
        chunks = [np.array(chunk) for chunk in shuffled(chunks)]
    decide: Callable[[Any], object] = limiter.allow_many
    return Contestant(f"{algorithm}.allow_many", decide, chunks)
