"""`All.bind`: one request, several limits, a key of its own for each."""

import copy

import pytest

from ratelimit import All, FixedWindow, Quota, TableFull, TokenBucket


@pytest.fixture
def levels(clock):
    return TokenBucket("2/second", clock=clock) & FixedWindow("3/minute", clock=clock)


def test_each_limiter_counts_its_own_key(levels):
    """Two users share only the limit of the service."""
    assert [levels.bind((user, "service")).hit().allowed for user in "aab"] == [True, True, True]
    users, service = levels.limiters
    assert (users.peek("a").remaining, users.peek("b").remaining, service.peek("service").remaining) == (0, 1, 0)


def test_a_refusal_costs_nothing_at_the_others(levels):
    """All limits are spent or no limit, whichever of them refuses."""
    users, service = levels.limiters
    decisions = [levels.bind(("a", "service")).hit() for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert decisions[-1].limiter is users
    assert service.peek("service").remaining == 1
    levels.bind(("b", "service")).hit()
    refused = levels.bind(("b", "service")).hit()
    assert (refused.allowed, refused.limiter) == (False, service)
    assert users.peek("b").remaining == 1


def test_quotas_of_single_calls(levels):
    """A quota for one limiter, and None for its own; spent requests still count."""
    users, _ = levels.limiters
    gold = Quota.per_second(50)
    assert [levels.bind(("a", "service"), quotas=(gold, None)).hit().allowed for _ in range(4)] == [True] * 3 + [False]
    assert users.peek("a", quota=gold).remaining == 47


def test_one_limiter_may_serve_several_levels(clock):
    """The same table is used with two keys and two quotas, and with more quotas than are cached."""
    limiter = TokenBucket("5/second", clock=clock)
    both = All(limiter, limiter)
    for limit in range(1, 1_500):
        decision = both.bind((f"u{limit}", f"s{limit}"), quotas=(Quota(limit, 1), Quota(limit + 1, 1))).hit()
        assert (decision.allowed, decision.limit, decision.remaining) == (True, limit, limit - 1)


def test_hit_takes_a_cost_and_a_timestamp(levels, clock):
    bound = levels.bind(("a", "service"))
    assert bound.hit(2).remaining == 0
    assert not bound.hit()
    assert bound.hit(now=clock.now_ns() + 500_000_000)


def test_hit_for_is_a_bound_of_other_keys(clock):
    """It decides as a new Bound with these keys, also where a full table refuses."""
    quotas = (Quota.per_second(2), None)
    one, other = (
        TokenBucket("1/second", max_keys=4, clock=clock) & FixedWindow("9/minute", clock=clock) for _ in range(2)
    )
    bound = one.bind(("", "service"), quotas=quotas)
    for key in "aabacdaefgab":
        for _ in range(2):
            expected = other.bind((key, "service"), quotas=quotas).hit()
            assert repr(bound.hit_for((key, "service"))).replace(repr(one), "") == repr(expected).replace(
                repr(other), ""
            )
        clock.advance(0.3)
    assert bound.keys == ("", "service")
    with pytest.raises(ValueError, match="keys: expected 2, one for each limiter, got 1"):
        bound.hit_for(("a",))


def test_peek_changes_nothing(levels):
    """It returns the decision of `hit`."""
    bound = levels.bind(("a", "service"))
    assert [bound.peek(3).allowed, bound.peek(2).allowed] == [False, True]
    assert len(levels.limiters[0]) == 0


def test_bound_sees_changes_by_others(levels, clock):
    """It sees requests of other callers, the time that passes and a quota that changes."""
    bound = levels.bind(("a", "service"))
    users, service = levels.limiters
    users.hit("a", 2)
    assert bound.hit().limiter is users
    clock.advance(1)
    users.change("5/second")
    assert [bound.hit().allowed for _ in range(4)] == [True, True, True, False]
    assert bound.hit().limiter is service


def test_a_full_table_names_the_key_of_its_limiter(clock):
    """The error does not name the key of another limiter."""
    users, service = (
        TokenBucket("2/minute", clock=clock),
        TokenBucket("2/minute", clock=clock, max_keys=1, on_full="raise"),
    )
    taken = [f"k{i}" for i in range(40) if full_after(service, f"k{i}")]
    with pytest.raises(TableFull, match=f"no slot for key {taken[0]!r}"):
        (users & service).bind(("user", taken[0])).hit()
    assert len(users) == 0


def full_after(limiter, key):
    try:
        return not limiter.allow(key)
    except TableFull:
        return True


def test_bound_shows_its_limits_and_keys(levels):
    """It cannot be copied."""
    bound = levels.bind(["a", "service"])
    assert (bound.limits, bound.keys) == (levels, ("a", "service"))
    assert repr(bound) == "(TokenBucket('2/second') & FixedWindow('3/minute')).bind(('a', 'service'))"
    with pytest.raises(TypeError, match="pickle the All"):
        copy.copy(bound)


@pytest.mark.parametrize("arguments", [{"keys": ("a",)}, {"keys": ("a", "b"), "quotas": (None,)}])
def test_rejects_another_number_of_keys_than_of_limiters(levels, arguments):
    with pytest.raises(ValueError, match=": expected 2, one for each limiter, got 1"):
        levels.bind(**arguments)


@pytest.mark.parametrize(("name", "value"), [("keys", 5), ("keys", "ab"), ("keys", None), ("quotas", {0: "1/s"})])
def test_rejects_keys_and_quotas_that_are_not_sequences(clock, name, value):
    """The error names the argument, and nothing is spent."""
    limiter = TokenBucket("4/minute", clock=clock)
    with pytest.raises(TypeError, match=f"{name}: expected a list or tuple, one for each limiter, got"):
        (limiter & limiter).bind(**{"keys": ["a", "b"]} | {name: value})
    assert len(limiter) == 0
