"""`All.hit_each`: one request, several limits, a key of its own for each."""

import pytest

from ratelimit import All, FixedWindow, Quota, TokenBucket


@pytest.fixture
def levels(clock):
    return TokenBucket("2/second", clock=clock) & FixedWindow("3/minute", clock=clock)


def test_each_limiter_counts_its_own_key(levels):
    """Two users share the limit of the service and nothing else."""
    assert [levels.hit_each((user, "service")).allowed for user in "aab"] == [True, True, True]
    users, service = levels.limiters
    assert (users.peek("a").remaining, users.peek("b").remaining, service.peek("service").remaining) == (0, 1, 0)


def test_a_refusal_costs_nothing_at_the_others(levels):
    """All or nothing, whichever of them refuses."""
    users, service = levels.limiters
    decisions = [levels.hit_each(("a", "service")) for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert decisions[-1].limiter is users
    assert service.peek("service").remaining == 1
    levels.hit_each(("b", "service"))
    refused = levels.hit_each(("b", "service"))
    assert (refused.allowed, refused.limiter) == (False, service)
    assert users.peek("b").remaining == 1


def test_quotas_of_single_calls(levels):
    """A quota for one limiter, and None where its own stands; what is spent stays known."""
    users, _ = levels.limiters
    gold = Quota.per_second(50)
    assert [levels.hit_each(("a", "service"), quotas=(gold, None)).allowed for _ in range(4)] == [True] * 3 + [False]
    assert users.peek("a", quota=gold).remaining == 47


def test_one_limiter_may_stand_for_several_levels(clock):
    """The same table twice, with two keys and two quotas, of which there may be more than are remembered."""
    limiter = TokenBucket("5/second", clock=clock)
    both = All(limiter, limiter)
    for limit in range(1, 1_500):
        decision = both.hit_each((f"u{limit}", f"s{limit}"), quotas=(Quota(limit, 1), Quota(limit + 1, 1)))
        assert (decision.allowed, decision.limit, decision.remaining) == (True, limit, limit - 1)


def test_the_moment_and_the_cost(levels, clock):
    """`cost` and `now` are those of `hit`."""
    assert levels.hit_each(("a", "service"), 2).remaining == 0
    assert not levels.hit_each(("a", "service"))
    assert levels.hit_each(("a", "service"), now=clock.now_ns() + 500_000_000)


@pytest.mark.parametrize("arguments", [{"keys": ("a",)}, {"keys": ("a", "b"), "quotas": (None,)}])
def test_as_many_keys_as_limiters(levels, arguments):
    with pytest.raises(ValueError, match="as many as there are limiters, 2, not 1"):
        levels.hit_each(**arguments)


@pytest.mark.parametrize(("name", "value"), [("keys", 5), ("keys", "ab"), ("keys", None), ("quotas", {0: "1/s"})])
def test_one_for_each_is_a_list(clock, name, value):
    """Named, and nothing is spent."""
    limiter = TokenBucket("4/minute", clock=clock)
    with pytest.raises(TypeError, match=f"{name} must be a list or tuple, one for each limiter, not"):
        (limiter & limiter).hit_each(**{"keys": ["a", "b"]} | {name: value})
    assert len(limiter) == 0
