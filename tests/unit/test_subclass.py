"""Subclasses of limiters."""

import pytest

from ratelimit import All, FixedWindow, TokenBucket
from ratelimit.testing import ManualClock


class Named(TokenBucket):
    def __init__(self, quota, name, *, more=1):
        super().__init__(quota, clock=ManualClock())
        self.name = name
        self.more = more


class Forgetful(FixedWindow):
    def __init__(self, quota, extra):
        self.extra = extra


def test_a_subclass_has_arguments_of_its_own():
    limiter = Named("2/minute", "ann", more=3)
    assert (limiter.name, limiter.more) == ("ann", 3)
    assert [limiter.allow("key") for _ in range(3)] == [True, True, False]
    assert repr(limiter) == "Named('2/minute')"
    assert Named(more=5, name="bob", quota="2/minute").hit("key").remaining == 1


def test_a_subclass_without_arguments_is_checked_as_its_base():
    class Plain(TokenBucket):
        pass

    assert Plain("2/minute", 5).hit("key").limit == 5
    with pytest.raises(TypeError, match="burts"):
        Plain("2/minute", burts=5)


@pytest.mark.parametrize(
    "act",
    [
        lambda limiter: limiter.allow("key"),
        lambda limiter: limiter.hit("key"),
        lambda limiter: limiter.peek("key"),
        lambda limiter: limiter.reserve("key"),
        lambda limiter: limiter.refund("key"),
        lambda limiter: limiter.block("key", 1),
        lambda limiter: limiter.allow_many(["key"]),
        lambda limiter: limiter.wait("key"),
        lambda limiter: limiter.change("5/minute"),
        lambda limiter: limiter.quota,
        repr,
        lambda limiter: All(limiter).allow("key"),
    ],
)
def test_without_the_init_of_the_base_every_verb_is_an_error(act):
    limiter = Forgetful("2/minute", "extra")
    with pytest.raises(RuntimeError, match=r"Forgetful.__init__: expected a call of super\(\).__init__"):
        act(limiter)
    limiter.reset("key")
    limiter.clear()


def test_a_limiter_is_made_once():
    limiter = TokenBucket("2/minute")
    limiter.allow("key")
    limiter.__init__("9/minute")
    assert limiter.peek("key").remaining == 1
