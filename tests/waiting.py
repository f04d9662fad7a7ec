"""Wait for what another process or thread does, where no event reports it.

Tests do not sleep and are not sensitive to how busy the machine is: clocks are injected, and all else is waited for.
PATIENCE only bounds how long a test that fails takes; it is many times what a busy machine needs.
"""

import asyncio
import time

import pytest

PATIENCE = 300  # seconds
PAUSE = 0.01  # seconds between two looks


def until(condition, what=None):
    """Return the first true value of `condition()`; fail when none comes. `what()` describes the state then."""
    ends = time.monotonic() + PATIENCE
    while not (value := condition()):
        give_up_after(ends, what)
        time.sleep(PAUSE)  # noqa: TID251
    return value


async def until_async(condition, what=None):
    """Wait as `until` does, while the event loop goes on."""
    ends = time.monotonic() + PATIENCE
    while not (value := condition()):
        give_up_after(ends, what)
        await asyncio.sleep(PAUSE)  # noqa: TID251
    return value


def give_up_after(ends, what):
    if time.monotonic() > ends:
        pytest.fail(f"waited {PATIENCE} s in vain" + (f": {what()}" if what else ""))


def until_still(look):
    """Return what `look()` returns when that has not changed for a hundred looks: nothing more is under way."""
    seen, count = look(), 0

    def is_still():
        nonlocal seen, count
        now = look()
        count = count + 1 if now == seen else 0
        seen = now
        return count == 100

    until(is_still, lambda: f"the value still changes, to {seen}")
    return seen


def pace(seconds):
    """Give another process the time to see one thing before the next. The test must be right without it, too."""
    time.sleep(seconds)  # noqa: TID251


async def pace_async(seconds):
    """Do as `pace` does, while the event loop goes on."""
    await asyncio.sleep(seconds)  # noqa: TID251
