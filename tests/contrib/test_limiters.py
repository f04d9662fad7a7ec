"""The limiters of an adapter, in shared memory."""

import os
from types import SimpleNamespace

import pytest

from ratelimit.contrib import _policy
from ratelimit.contrib._limits_counters import Counters
from ratelimit.contrib._policy import Limiters


@pytest.fixture
def free_memory(monkeypatch):
    """Return a function that sets how many bytes of shared memory are free."""

    def set_free(size):
        monkeypatch.setattr(_policy.os, "statvfs", lambda path: SimpleNamespace(f_bavail=size // 4096, f_frsize=4096))

    yield set_free
    monkeypatch.undo()


def test_a_log_takes_a_quarter_of_the_free_memory(shared_name, free_memory):
    """A container has 64 MB by default; with a million keys, this log would take 2.4 GB."""
    free_memory(64 * 2**20)
    limiter = Limiters(shared_name).get("sliding-log 100/hour")
    size = os.stat(limiter.table.path).st_size
    assert 15 * 2**20 < size <= 16 * 2**20
    assert limiter.allow("key")


def test_a_moving_window_of_the_package_limits_does_so_too(shared_name, free_memory):
    free_memory(64 * 2**20)
    for free in (64, 32):  # two workers
        free_memory(free * 2**20)
        log = Counters(f"ratelimit://shared/{shared_name}").log(100, 3600)
        assert log.allow(f"key-{free}")
        assert 15 * 2**20 < os.stat(log.table.path).st_size <= 16 * 2**20


def test_workers_attach_to_the_table_whatever_is_free_when_they_start(shared_name, free_memory):
    sizes = []
    for free in (64 * 2**20, 32 * 2**20, 2**40):
        free_memory(free)
        sizes.append(Limiters(shared_name).get("sliding-log 100/hour").max_keys)
    assert len(set(sizes)) == 1


def test_a_table_that_was_made_with_another_bound_is_an_error(shared_name):
    Limiters(shared_name, max_keys=100).get("100/hour")
    with pytest.raises(ValueError, match="max_keys"):
        Limiters(shared_name, max_keys=200).get("100/hour")


def test_other_limits_have_the_default_bound(shared_name, free_memory):
    free_memory(64 * 2**20)
    assert Limiters(shared_name).get("100/hour").max_keys == 500_000
