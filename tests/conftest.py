"""Fixtures: each algorithm in turn, and a clock that moves only when it is advanced.

`HYPOTHESIS_PROFILE=nightly` tries many more examples.
"""

import os

import pytest
from cases import ALGORITHMS
from hypothesis import HealthCheck, settings

from ratelimit.testing import ManualClock

# Function-scoped fixtures only choose the algorithm here; nothing is carried from one example to the next.
common = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    "deadline": None,
    "report_multiple_bugs": False,
}
settings.register_profile("default", max_examples=60, stateful_step_count=20, **common)
settings.register_profile("nightly", max_examples=3_000, stateful_step_count=50, **common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(params=ALGORITHMS, ids=repr)
def algorithm(request):
    return request.param


@pytest.fixture
def clock():
    return ManualClock()
