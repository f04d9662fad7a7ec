"""Fixtures: each algorithm in turn, and a clock that stands still."""

import pytest
from cases import ALGORITHMS
from hypothesis import HealthCheck, settings

from ratelimit.testing import ManualClock

# Function-scoped fixtures only choose the algorithm here; nothing is carried from one example to the next.
settings.register_profile(
    "ratelimit", suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
settings.load_profile("ratelimit")


@pytest.fixture(params=ALGORITHMS, ids=repr)
def algorithm(request):
    return request.param


@pytest.fixture
def clock():
    return ManualClock()
