"""How a promise is measured by what greedy processes were admitted: it finds what is too much, and nothing else."""

import threading
import time

import greed
import numpy as np
import pytest
from greed import SECOND, Record, check_promise, excess, spend, wall_ahead
from waiting import until

from ratelimit._storage.valkey import lease_file

RATE, BURST = 60, 30
LATEST = 20_000_000  # nanoseconds from the begin of a request to its end


@pytest.mark.parametrize(
    ("kind", "moments", "extra"),
    [
        ("token bucket", [0] * BURST + [-(-SECOND * turn // RATE) for turn in range(1, RATE + 1)], SECOND),
        ("sliding log", [0] * RATE + [SECOND] * RATE, SECOND - 1),
        ("fixed window", [SECOND - 1] * RATE + [SECOND] * RATE, SECOND),
    ],
)
def test_one_request_too_many_is_found(kind, moments, extra):
    def measured(moments):
        return excess(kind, np.array([[moment, moment] for moment in moments]), RATE, BURST)

    assert measured(moments) == 0
    assert measured([*moments, extra]) == 1


@pytest.mark.parametrize("first", range(6))
def test_the_worst_interval_may_begin_with_any_request(first):
    moments = [*range(first), *[2 * SECOND] * (RATE + 1)]
    assert excess("sliding log", np.array([[moment, moment] for moment in moments]), RATE, BURST) == 1


def test_a_request_that_may_belong_to_another_interval_is_not_counted():
    spans = np.array([[0, LATEST]] * RATE + [[SECOND - LATEST, SECOND]])
    assert excess("sliding log", spans, RATE, BURST) == 0
    spans[-1, 1] -= 1
    assert excess("sliding log", spans, RATE, BURST) == 1


@pytest.mark.parametrize("lease", [None, 0.1], ids=["direct", "lease"])
@pytest.mark.parametrize("kind", ["token bucket", "sliding log"])
def test_a_wall_clock_that_goes_back_is_not_measured(server, lease_folder, tmp_path, monkeypatch, kind, lease):
    """Two bursts whose wall times overlap are still a second apart."""
    record, wall_ns, lost = Record(tmp_path, 0), time.time_ns, 0
    monkeypatch.setattr(greed.time, "time_ns", lambda: wall_ns() - lost)
    monkeypatch.setattr(lease_file, "shared_folder", lambda: lease_folder)  # which `spend` sets, put back afterwards
    options = {"lease": lease, "timeout": 5}
    arguments = server.url, tmp_path, 0, "", kind, RATE, BURST
    process = threading.Thread(target=spend, args=arguments, kwargs=options, daemon=True)
    ahead = wall_ahead()
    process.start()
    until(lambda: len(record) > BURST)
    lost = 3 * SECOND // 4
    until(lambda: len(record) > 3 * RATE)
    record.stop()
    process.join()
    assert wall_ahead() - ahead < -SECOND // 2
    check_promise(kind, [record], RATE, BURST, ahead)


def test_a_failure_reports_whether_the_wall_clock_moved(tmp_path):
    record = Record(tmp_path, 0)
    for _ in range(RATE + 1):
        record.add(0, 1)
    with pytest.raises(
        AssertionError, match=rf"sliding log: 1 more than promised, of \[{RATE + 1}\]; the wall clock moved"
    ):
        check_promise("sliding log", [record], RATE, BURST, wall_ahead())
