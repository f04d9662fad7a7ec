"""The scenarios, and the contestants in each: the one definition behind `ratelimit bench` and benchmarks/."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from time import process_time
from typing import Any

import numpy as np

import ratelimit
from ratelimit.bench.measure import CHUNK, Contestant, Keys, Work, looped
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
MAX_FILL_SECONDS = 60  # for the first request of each key


@dataclass(frozen=True)
class Scenario:
    """Keys, and a limit that admits all of them or none.

    A sliding log keeps each request for a whole period, so it has a limit of its own with a very short period.
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


# --- which contestants are compared with each other


def calls(scenario: Scenario) -> list[Contestant]:
    """Single calls: `allow` of each algorithm, the least cost of finding a key, and that of a call."""
    return [floor(scenario), empty(scenario), *(ours(scenario, name) for name in OURS)]


def batches(scenario: Scenario) -> list[Contestant]:
    """`allow_many` of each algorithm over integer keys, and the least cost of finding those."""
    return [integer_floor(scenario), *(batch(scenario, name) for name in OURS)]


def answers(scenario: Scenario, algorithm: str) -> list[Contestant]:
    """`allow`, and `hit` with its full Decision."""
    return [ours(scenario, algorithm, verb) for verb in ("allow", "hit")]


def duel(scenario: Scenario, peer: Peer) -> list[Contestant]:
    """Another library, and our class with the same algorithm."""
    return [floor(scenario), ours(scenario, peer.like), theirs(scenario, peer)]


# --- the contestants


def floor(scenario: Scenario) -> Contestant:
    """Return a contestant with the least cost of finding a key."""

    def prepare() -> Work:
        table = dict.fromkeys(chain.from_iterable(every_key(scenario)), True)
        return Work(looped(table.get), visits(scenario))

    return Contestant(FLOOR, prepare)


def empty(scenario: Scenario) -> Contestant:
    """Return a contestant with the least cost of a call: `[].count` is a C method of one argument that does nothing."""
    return Contestant(EMPTY, lambda: Work(looped([].count), visits(scenario)))


def ours(scenario: Scenario, algorithm: str, verb: str = "allow") -> Contestant:
    name = f"{algorithm}.{verb}"

    def prepare() -> Work:
        limiter = OURS[algorithm](scenario.quota(algorithm), max_keys=max(1_000, scenario.distinct))
        _bring_keys(limiter.allow, bool, scenario, name)
        if algorithm == "SlidingLog" and not scenario.denied:
            _fill_rings(limiter, every_key(scenario), scenario.log[0])
        return Work(looped(getattr(limiter, verb)), visits(scenario))

    return Contestant(name, prepare)


def theirs(scenario: Scenario, peer: Peer) -> Contestant:
    def prepare() -> Work:
        decide = peer.make(scenario.limit, scenario.period)
        _bring_keys(decide, peer.admits, scenario, peer.name)
        return Work(looped(decide), visits(scenario))

    return Contestant(peer.name, prepare)


def integer_floor(scenario: Scenario) -> Contestant:
    def prepare() -> Work:
        chunks = [chunk.tolist() for chunk in scenario.integers()]
        table = dict.fromkeys(chain.from_iterable(chunks), True)
        return Work(looped(table.get), shuffled(chunks) if scenario.at_random else chunks)

    return Contestant(FLOOR, prepare)


def batch(scenario: Scenario, algorithm: str) -> Contestant:
    name = f"{algorithm}.allow_many"

    def prepare() -> Work:
        limiter = OURS[algorithm](scenario.quota(algorithm), max_keys=scenario.distinct)
        chunks = scenario.integers()
        if not all(limiter.allow_many(chunk).all() for chunk in chunks):
            raise RuntimeError(f"{name} refuses requests that it should admit, in {scenario.name!r}")
        if algorithm == "SlidingLog":
            _fill_rings(limiter, chunks, scenario.log[0])
        return Work(limiter.allow_many, [np.array(keys) for keys in shuffled(chunks)] if scenario.at_random else chunks)

    return Contestant(name, prepare)


# --- their keys


@cache
def every_key(scenario: Scenario) -> list[list[str]]:
    keys = [f"user:{number}" for number in range(scenario.distinct)]
    return [keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]


@cache
def visits(scenario: Scenario) -> list[list[str]]:
    """Return the keys in the order of their requests."""
    keys = every_key(scenario)
    if scenario.distinct == 1:
        return [keys[0] * CHUNK]
    return shuffled(keys) if scenario.at_random else keys


def shuffled(chunks: Sequence[Keys]) -> list[list[Any]]:
    """Draw as many keys as there are, at random from all of them."""
    everything = list(chain.from_iterable(chunks))
    draw = random.Random(2)
    return [draw.choices(everything, k=len(chunk)) for chunk in chunks]


def _bring_keys(decide: Callable[[str], Any], admits: Callable[[Any], bool], scenario: Scenario, name: str) -> None:
    """Send each key once, and check that the answers are those of the scenario."""
    begin = process_time()
    for chunk in every_key(scenario):
        if not all(admits(decide(key)) for key in chunk):
            raise RuntimeError(f"{name} refuses requests that it should admit, in {scenario.name!r}")
        if process_time() - begin > MAX_FILL_SECONDS:
            raise TimeoutError(f"{name} needs more than {MAX_FILL_SECONDS} s for {scenario.distinct:,} keys")
    key = every_key(scenario)[0][0]
    if admits(decide(key)) == scenario.denied:
        raise RuntimeError(f"{name} decides {key!r} wrongly in {scenario.name!r}")


def _fill_rings(limiter: ratelimit.Limiter, chunks: Sequence[Any], capacity: int) -> None:
    """Go once around the log of every key, so that no memory is touched for the first time while it is measured."""
    for _ in range(capacity):
        for chunk in chunks:
            limiter.allow_many(chunk)
