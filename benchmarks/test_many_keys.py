"""More keys than the processor's caches hold, in turn and at random.

`ratelimit bench` takes a million keys; here it is a tenth of that, as the slower peers take long to learn them.
"""

import pytest

from ratelimit.bench import scenarios
from ratelimit.bench.scenarios import IN_TURN

AT_RANDOM = scenarios.at_random(100_000)


@pytest.mark.benchmark(group=IN_TURN.name)
def test_in_turn(one, measure):
    measure(one(IN_TURN))


@pytest.mark.benchmark(group=AT_RANDOM.name)
def test_at_random(one, measure):
    measure(one(AT_RANDOM))
