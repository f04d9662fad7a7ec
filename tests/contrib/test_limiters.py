"""The limiters of an adapter, in shared memory."""

import pytest

from ratelimit.contrib._limits_counters import Counters
from ratelimit.contrib._policy import Limiters


def taken(limiter):
    return limiter.table.path.stat().st_blocks * 512


def test_a_log_takes_memory_as_its_clients_come(shared_name):
    """A container has 64 MB by default; with four million keys, this log would take 9.7 GB."""
    for log in (
        Limiters(shared_name).get("sliding-log 100/hour"),
        Counters(f"ratelimit://shared/{shared_name}").log(100, 3600),
    ):
        assert log.max_keys > 1_000_000
        assert taken(log) < 300_000
        assert all(log.allow(f"key {i}") for i in range(1_000))
        assert taken(log) < 5_000_000


def test_a_table_that_was_made_with_another_bound_is_an_error(shared_name):
    Limiters(shared_name, max_keys=100).get("100/hour")
    with pytest.raises(ValueError, match="max_keys"):
        Limiters(shared_name, max_keys=200).get("100/hour")
