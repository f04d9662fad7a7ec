"""Batches of integer keys, beside `dict.get` on the same integers."""

import pytest

from ratelimit.bench import scenarios
from ratelimit.bench.scenarios import IN_TURN, OURS

AT_RANDOM = scenarios.at_random(1_000_000)


@pytest.mark.parametrize("scenario", [IN_TURN, AT_RANDOM], ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("algorithm", ["dict.get", *OURS])
@pytest.mark.benchmark(group="batches")
def test_batches(algorithm, scenario, measure):
    if algorithm == "dict.get":
        measure(scenarios.integer_floor(scenario))
    else:
        measure(scenarios.batches(scenario, algorithm))
