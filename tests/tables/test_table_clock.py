"""One clock for all on a table, within one start of the host and over the next."""

import struct

import pytest
from cases import SECOND

from ratelimit import CorruptTable, FixedWindow, Table, TokenBucket
from ratelimit._engine.constants import HEADER_OFFSET

HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
SLACK = 600 * SECOND  # more than a test takes on any machine, and much less than the hour by which clocks differ


@pytest.fixture
def path(tmp_path):
    return tmp_path / "limits.tbl"


def restarted(path, moved=0):
    """The file as the host finds it after a restart, its wall clock `moved` by so many nanoseconds.

    The header begins with the anchor and the boot it is for, then comes a moment that has come. That the clock was set
    back is the same as that this moment lies further ahead.
    """
    content = bytearray(path.read_bytes())
    anchor, boot, latest = struct.unpack_from("<qQQ", content, HEADER_OFFSET)
    struct.pack_into("<qQQ", content, HEADER_OFFSET, anchor - 7 * HOUR, boot ^ 1, latest - moved)
    path.write_bytes(content)


def test_limiters_on_a_table_have_one_clock(place):
    """The first one anchors it; a later one ignores its own wall clock."""
    first = TokenBucket("1/day", table=place())
    second = TokenBucket("1/day", table=place())
    before = first.now_ns()
    assert before <= second.now_ns() <= first.now_ns()


def test_survives_a_restart_of_the_host(path):
    """The monotonic clock starts again; the table continues by the wall clock."""
    limiter = TokenBucket("10/day", table=Table.open(path))
    limiter.hit("key", 10)
    before = limiter.now_ns()
    restarted(path)
    again = TokenBucket("10/day", table=Table.open(path))
    assert 0 <= again.now_ns() - before < SLACK
    assert not again.allow("key")
    assert again.hit("key").retry_after_ns <= DAY // 10


def test_a_wall_clock_that_lost_an_hour_locks_no_client_out(path):
    """After a restart, the time of the table continues from the latest decision, not from before it."""
    limiter = TokenBucket("60/hour", table=Table.open(path))
    limiter.hit("key", 60)
    before = limiter.now_ns()
    restarted(path, moved=-HOUR)
    again = TokenBucket("60/hour", table=Table.open(path))
    assert HOUR - SLACK <= again.now_ns() - before < HOUR + SLACK  # the moment is up to a second old


def test_all_processes_agree_after_a_restart(path):
    FixedWindow("1/day", table=Table.open(path)).allow("key")
    restarted(path, moved=-HOUR)
    first, second = (FixedWindow("1/day", table=Table.open(path)) for _ in range(2))
    before = first.now_ns()
    assert before <= second.now_ns() <= first.now_ns()


def test_several_limits_each_by_its_own_clock(path, tmp_path):
    """Tables that were anchored an hour apart decide one request, each by its own clock."""
    near = TokenBucket("10/day", table=Table.open(path))
    near.allow("anchors it")
    restarted(path, moved=-HOUR)
    ahead = TokenBucket("10/day", table=Table.open(path))
    now = TokenBucket("10/day", table=Table.open(tmp_path / "other"))
    assert ahead.now_ns() - now.now_ns() > HOUR - SLACK
    for both in (now & ahead, ahead & now):
        both.clear()
        assert [both.allow("key") for _ in range(11)] == [True] * 10 + [False]
        assert both.hit("key").retry_after_ns <= DAY // 10
        assert DAY // 10 - SLACK < both.reserve("key").delay * SECOND <= DAY // 10
        assert [limiter.peek("key").reset_after_ns > DAY - SLACK for limiter in both.limiters] == [True, True]


@pytest.mark.parametrize("latest", [2**62 - 1, 2**63, 2**64 - 1])
def test_rejects_a_latest_decision_in_the_far_future(path, latest):
    """After a restart the clock would continue from there, and no decision could be made."""
    TokenBucket("10/hour", table=Table.open(path)).allow("key")
    restarted(path)
    refused_for_its_clock(path, 16, latest)


@pytest.mark.parametrize("anchor", [2**62, 2**63])
def test_rejects_an_impossible_anchor(path, anchor):
    """On a host that was not restarted the anchor would be used as it is."""
    TokenBucket("10/hour", table=Table.open(path)).allow("key")
    refused_for_its_clock(path, 0, anchor)


def refused_for_its_clock(path, offset, word):
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, HEADER_OFFSET + offset, word)
    path.write_bytes(content)
    with pytest.raises(CorruptTable, match="is damaged: its clock is beyond the end of time"):
        TokenBucket("10/hour", table=Table.open(path))
    assert path.read_bytes() == content
