"""One key, asked for again and again."""

import pytest

from ratelimit.bench.scenarios import DENIED, HOT


@pytest.mark.benchmark(group=HOT.name)
def test_allowed(one, measure):
    measure(one(HOT))


@pytest.mark.benchmark(group=DENIED.name)
def test_denied(one, measure):
    measure(one(DENIED))
