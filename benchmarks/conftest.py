"""Everybody who decides a scenario, as one parametrised fixture. A measured round is a chunk of 1,000 keys or more."""

from functools import partial
from itertools import cycle

import pytest

from ratelimit.bench import scenarios
from ratelimit.bench.peers import present
from ratelimit.bench.scenarios import OURS

ONES = [
    pytest.param(scenarios.floor, id="dict.get"),
    pytest.param(scenarios.empty, id="empty C method"),
    *(pytest.param(partial(scenarios.ours, algorithm=name), id=name) for name in OURS),
    *(pytest.param(partial(scenarios.theirs, peer=peer), id=peer.name) for peer in present()),
]


@pytest.fixture(params=ONES)
def one(request):
    """A function that makes a contestant for a scenario."""
    return request.param


@pytest.fixture
def measure(benchmark):
    """Measures a contestant, one chunk after another, so that many keys are not the same few."""

    def run(contestant, rounds=100):
        chunks = cycle(contestant.chunks)
        benchmark.extra_info["keys a round"] = len(contestant.chunks[0])
        benchmark.pedantic(contestant.run, setup=lambda: ((next(chunks),), {}), rounds=rounds, warmup_rounds=2)

    return run
