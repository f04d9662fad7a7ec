"""Decisions client by client are those of a limiter, which decides in the order of time."""

import numpy as np
import pytest

from ratelimit.replay.batch import Batch
from ratelimit.replay.limits import Limit
from ratelimit.replay.search import Replays
from ratelimit.replay.trace import Trace

START = 1_767_571_200 * 10**9
LIMITS = [
    "token-bucket 7/minute burst 3", "token-bucket 3/second burst 1", "leaky-bucket 7/minute capacity 0", "leaky-bucket 20/minute",
    "fixed-window 5/minute", "fixed-window 5/minute anchor first", "sliding-window 6/minute", "sliding-window 1/second",
    "sliding-log 1/minute", "sliding-log 6/minute",
]  # fmt: skip


@pytest.mark.parametrize("text", LIMITS)
@pytest.mark.parametrize("step", [10**9, 37_111_111])
def test_equals_a_limiter(text, step, monkeypatch):
    monkeypatch.setattr("ratelimit.replay.trace.RUN_SIZE", 1_000)  # several runs, which are merged
    draw = np.random.default_rng(18)
    times = START + np.cumsum(draw.integers(0, 2, 6_000)) * step
    keys = draw.integers(0, 40, 6_000).astype(np.uint64) ** 3 << np.uint64(40)
    ids = np.unique(keys, return_inverse=True)[1].astype(np.int32)
    trace = Trace()
    trace.add(Batch(times, keys, np.minimum(ids, 30)))  # the last ids are of several keys
    limit = Limit.parse(text)
    refused = ~limit.make(1_000).allow_many(keys, now=times)
    expected = np.bincount(np.minimum(ids, 30)[refused], minlength=31)
    replays = Replays(trace)
    assert expected.sum() < 6_000
    assert expected.sum() > 0 or step == 10**9
    assert replays.refused_by_client(limit, 30).tolist() == expected.tolist()
    assert replays.touched(limit, 30, 30) == np.count_nonzero(expected[:30])
    assert replays.refused(limit) == expected.sum()
