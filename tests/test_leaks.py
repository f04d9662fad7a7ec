"""Each verb, a hundred thousand decisions, in a process of its own: neither memory nor references grow."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

VERBS = {
    "allow": "limiter.allow('key')",
    "hit": "limiter.hit('key')",
    "hit with a quota": "limiter.hit('key', 1, quota='9/minute', now=START)",
    "hit with many quotas": "limiter.hit('key', quota=Quota(i % 3_000 + 1, 60))",
    "peek": "limiter.peek(2**80)",
    "fields": "d = limiter.hit('key'); d.retry_after, d.reset_after_ns, d.limiter, repr(d)",
    "reserve": "limiter.reserve('key', max_delay=5).cancel()",
    "settle": "limiter.reserve('key').settle(0)",
    "refund": "limiter.refund('key')",
    "reset": "limiter.reset('key')",
    "wait": "limiter.wait('key')",
    "wrong key": "fails(limiter.allow, 1.5)",
    "wrong cost": "fails(limiter.hit, 'key', 0)",
    "wrong batch": "fails(limiter.allow_many, ['a', 'b', None])",
    "batch": "limiter.allow_many(['a', 2, b'c'], [1, 2, 3])",
    "hit_many": "limiter.hit_many(numbers, now=START)",
    "composite": "both.hit('key')",
    "composite batch": "both.hit_many(numbers)",
    "composite reserve": "both.reserve('key').cancel()",
    "table": "limiter.slots()['tag']",
    "len": "len(limiter)",
    "limiter": "parse('5/minute; 9/hour burst 3', max_keys=4)",
    "wrong limiter": "fails(TokenBucket, '5/minute', burst=0)",
    "wrong key in a log": "fails(log.reserve, None)",
    "log": "log.hit('key', 2)",
}

PROGRAM = """
import gc, os, sys
import numpy as np
from ratelimit import FixedWindow, Quota, SlidingLog, TokenBucket, parse
from ratelimit.testing import ManualClock

START = 1_700_000_000_000_000_000

def fails(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except (TypeError, ValueError):
        return
    raise AssertionError("it did not fail")

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def state():
    gc.collect()
    return len(gc.get_objects()), sys.getallocatedblocks(), [sys.getrefcount(one) for one in watched], resident()

clock = ManualClock(START)
limiter = TokenBucket("5/minute", clock=clock, max_keys=64)
log = SlidingLog("5/minute", clock=clock, max_keys=64)
both = limiter & FixedWindow("9/minute", clock=clock, max_keys=64)
numbers = np.arange(5)
watched = [limiter, log, both, clock, numbers, None, True, False, TokenBucket, Quota, "key", limiter.quota]

def run(times):
    for i in range(times):
        STATEMENT

run(3_000)
objects, blocks, counts, memory = state()
run(int(sys.argv[1]))
objects_, blocks_, counts_, memory_ = state()
grown = objects_ - objects, blocks_ - blocks, max(b - a for a, b in zip(counts, counts_)), memory_ - memory
print(*grown)
"""


@pytest.mark.parametrize("verb", VERBS)
def test_memory_and_references_do_not_grow(verb):
    """Objects, blocks and references grow by a few at most, memory by less than ten bytes a call."""
    times = 20_000 if "batch" in verb or verb in ("hit_many", "limiter", "wrong limiter") else 100_000
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("STATEMENT", VERBS[verb]), str(times)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=1_200,
    )
    assert run.returncode == 0, run.stderr
    objects, blocks, references, memory = map(int, run.stdout.split())
    assert objects < 50
    assert blocks < 200
    assert references < 50
    assert memory < 1_000_000  # ten bytes a call
