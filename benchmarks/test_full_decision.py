"""`hit` with its Decision, beside `allow`."""

import pytest

from ratelimit.bench import scenarios
from ratelimit.bench.scenarios import DENIED, HOT, OURS


@pytest.mark.parametrize("verb", ["allow", "hit"])
@pytest.mark.parametrize("algorithm", OURS)
@pytest.mark.parametrize("scenario", [HOT, DENIED], ids=lambda scenario: scenario.name)
@pytest.mark.benchmark(group="full decision")
def test_full_decision(scenario, algorithm, verb, measure):
    measure(scenarios.ours(scenario, algorithm, verb))
