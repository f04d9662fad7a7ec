"""Time: wall time that never jumps, explicit timestamps, and custom clocks."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from cases import ALGORITHMS, SECOND, START
from tools import needs
from waiting import PATIENCE

from ratelimit import FixedWindow, LeakyBucket, SlidingWindow, TokenBucket
from ratelimit.testing import ManualClock

HOUR = 3_600

# Preloaded, it shifts the wall clock by the number of seconds in the first word of a shared file; the
# monotonic clock stays as it is.
SHIFTED_WALL_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void open_shift(void) {
    int file = open(getenv("CLOCK_SHIFT"), O_RDONLY);
    shift = file < 0 ? NULL : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t clock, struct timespec *moment) {
    static int (*original)(clockid_t, struct timespec *);
    if (!original)
        original = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = original(clock, moment);
    if (!failed && clock == CLOCK_REALTIME && shift)
        moment->tv_sec += *shift;
    return failed;
}

int gettimeofday(struct timeval *restrict moment, void *restrict zone) {
    struct timespec precise;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    moment->tv_sec = precise.tv_sec;
    moment->tv_usec = precise.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *seconds) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (seconds)
        *seconds = precise.tv_sec;
    return precise.tv_sec;
}
"""

# Quotas of a year, so that the run itself is as good as no time; `used` has one left, `empty` none.
MID_RUN = """
import os, sys, time
import numpy as np
from cases import ALGORITHMS

def set_wall_clock(seconds):
    before = time.time()
    with open(os.environ["CLOCK_SHIFT"], "r+b", buffering=0) as file:
        file.write(seconds.to_bytes(8, "little", signed=True))
    return round(time.time() - before)

limiters = [algorithm.make("3/year", max_keys=8) for algorithm in ALGORITHMS]
for limiter in limiters:
    limit = limiter.peek("key").limit
    assert limiter.hit("used", limit - 1) and limiter.hit("empty", limit)
waits = [limiter.peek("empty").retry_after for limiter in limiters]
for shift, moved in ((3600, 3600), (-3600, -7200), (0, 3600)):
    assert set_wall_clock(shift) == moved, "the wall clock was not shifted"
    for limiter, wait in zip(limiters, waits):
        assert not limiter.allow("empty"), (limiter, shift, "hands out quota")
        assert not limiter.allow_many(["empty"])[0], (limiter, shift, "hands out quota")
        assert limiter.peek("used").remaining == 1, (limiter, shift, "changes what was spent")
        assert abs(limiter.peek("empty").retry_after - wait) < 60, (limiter, shift, "moves its moments")
        assert limiter.allow(("new", shift).__repr__()), (limiter, shift, "locks a key out")
        limiter.reset(("new", shift).__repr__())
assert all(limiter.allow("used") and not limiter.allow("used") for limiter in limiters)
print("unmoved", len(limiters))
"""


@pytest.fixture(scope="module")
def shifted_wall_clock(tmp_path_factory):
    """Return the path of a library to preload."""
    needs("gcc")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "shift.c").write_text(SHIFTED_WALL_CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", "shift.so", "shift.c", "-ldl"], cwd=folder, check=True)
    return folder / "shift.so"


def test_setting_the_wall_clock_has_no_effect(shifted_wall_clock, tmp_path):
    """An hour forward, two back, and restored: no client is locked out and none gains quota, in any algorithm."""
    (tmp_path / "seconds").write_bytes(bytes(8))
    environment = os.environ | {
        "LD_PRELOAD": str(shifted_wall_clock),
        "CLOCK_SHIFT": str(tmp_path / "seconds"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    run = subprocess.run(
        [sys.executable, "-c", MID_RUN], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (run.stdout, run.returncode) == (f"unmoved {len(ALGORITHMS)}\n", 0), run.stderr


def test_default_clock_reads_nanoseconds_since_1970():
    """All limiters read the same clock, which advances with the monotonic clock."""
    first, second = TokenBucket("1/s", max_keys=1), FixedWindow("1/s", max_keys=1)
    assert abs(first.now_ns() - time.time_ns()) < 60 * SECOND  # set since the import, at worst
    for _ in range(100):
        before, now, then, after = time.monotonic_ns(), first.now_ns(), second.now_ns(), time.monotonic_ns()
        assert 0 <= then - now <= after - before
    assert first.clock is None


@pytest.mark.parametrize(("make", "inside"), [(FixedWindow, True), (SlidingWindow, False)])
@pytest.mark.parametrize("unit", ["minute", "hour", "day"])
def test_windows_are_aligned_to_utc(make, inside, unit):
    """Windows begin at full minutes, full hours and midnight, also for the timestamps of a log."""
    midnight = int(datetime(2025, 11, 25, tzinfo=UTC).timestamp()) * SECOND
    limiter = make(f"2/{unit}")
    assert limiter.allow_many(["key"] * 3, now=midnight - 1).tolist() == [True, True, False]
    wait = limiter.peek("key", now=midnight - 1).retry_after_ns
    assert (wait == 1) == inside
    assert limiter.peek("key", now=midnight).allowed == inside
    assert limiter.peek("key", now=midnight - 1).reset_after_ns > 0


def test_decisions_of_a_log_do_not_depend_on_when_it_is_read():
    stamps = START + np.random.default_rng(1).integers(0, SECOND // 10, 500).cumsum()
    for algorithm in ALGORITHMS:
        once, again = (algorithm.make("3/second", ManualClock(start)) for start in (0, 2**61))
        singly = [once.hit("key", now=int(stamp)).allowed for stamp in stamps]
        assert again.allow_many(["key"] * 500, now=stamps).tolist() == singly
        assert 0 < sum(singly) < 500


def test_a_window_anchored_at_the_first_request(clock):
    """The next window opens with the first request after the end of the last, separately for each key."""
    limiter = FixedWindow("2/minute", anchor="first", clock=clock)
    assert limiter.hit("a", 2).reset_after == 60
    clock.advance(30)
    assert limiter.hit("b", 2).reset_after == 60
    assert limiter.hit("a").retry_after == 30
    clock.advance(30 + 17)
    assert limiter.hit("a").reset_after == 60
    assert limiter.hit("b").retry_after == 13


@pytest.mark.parametrize("now", [0, 1, 2**62 - 2])
def test_first_and_last_timestamp_are_accepted(algorithm, now):
    limiter = algorithm.make("2/year", max_keys=2)
    most = limiter.peek("key", now=now).limit
    assert limiter.hit("key", most, now=now)
    refused = limiter.hit("key", now=now)
    assert not refused
    if now == 2**62 - 2:  # what lies beyond never comes
        assert refused.retry_after_ns is None
    else:
        assert limiter.hit("key", now=now + refused.retry_after_ns)


def test_now_is_used_without_reading_the_clock(algorithm):
    clock = ManualClock()
    clock.now_ns = lambda: pytest.fail("the clock was read")
    limiter = algorithm.make("2/minute", clock, max_keys=4)
    assert limiter.hit("key", now=START)
    assert limiter.peek("key", now=START)
    assert limiter.allow_many(["other"], now=START).all()


def test_any_object_with_the_method_is_a_clock(algorithm):
    """The clock is read once for each call, and once for a batch."""

    class Counting:
        readings = 0

        def now_ns(self):
            self.readings += 1
            return START

    clock = Counting()
    limiter = algorithm.make("9/minute", clock)
    limiter.allow("key")
    limiter.hit("key")
    limiter.peek("key")
    limiter.allow_many(["key"] * 5)
    assert (limiter.clock, clock.readings, limiter.now_ns()) == (clock, 4, START)


def test_manual_clock_moves_only_when_it_is_advanced():
    """Seconds are rounded to the nanosecond."""
    clock = ManualClock(5)
    assert (clock.now_ns(), clock.now_ns()) == (5, 5)
    clock.advance(0.1)
    clock.advance(ns=7)
    clock.advance(2, ns=1)
    assert clock.now_ns() == 5 + SECOND // 10 + 7 + 2 * SECOND + 1
    clock.sleep(0.3)
    assert clock.now_ns() == 13 + 24 * SECOND // 10
    assert ManualClock().now_ns() == START


def test_clock_that_goes_back_gives_no_quota(algorithm):
    """A key that is spent now is spent at every earlier time, and still at this one."""
    clock = ManualClock()
    limiter = algorithm.make("3/minute", clock)
    limiter.hit("key", limiter.peek("key").limit)
    for back in (1, SECOND, 60 * SECOND, HOUR * SECOND, 400 * 86_400 * SECOND):
        assert not limiter.hit("key", now=START - back)
    assert not limiter.hit("key")


def test_a_turn_of_the_leaky_bucket_stays_when_the_clock_goes_back():
    """For an earlier reading the queue is longer by the difference."""
    limiter = LeakyBucket("1/second", capacity=5)
    assert limiter.hit("key", now=START).delay_ns == 0
    assert limiter.hit("key", now=START - SECOND).delay_ns == 2 * SECOND


@pytest.mark.parametrize(
    ("step", "error"),
    [({"seconds": "1"}, TypeError), ({"ns": 1.5}, TypeError), ({"seconds": -1}, ValueError), ({"ns": -1}, ValueError)],
)
def test_manual_clock_rejects_invalid_steps(clock, step, error):
    """The clock does not move."""
    with pytest.raises(error, match="advance: expected finite times of zero or more"):
        clock.advance(**step)
    assert clock.now_ns() == START
