"""Before a peer is timed, it must be seen to limit."""

import pytest

from ratelimit.bench.peers import Peer, check, present


@pytest.mark.parametrize("peer", present(), ids=lambda peer: peer.name)
def test_it_limits_each_key(peer):
    check(peer)


def test_one_that_does_not_limit_is_found_out():
    with pytest.raises(RuntimeError, match="cannot be compared"):
        check(Peer("none", "none", "TokenBucket", lambda limit, period: lambda key: True))


def test_one_that_mixes_up_keys_is_found_out():
    def make(limit, period):
        answers = iter([True] * limit)
        return lambda key: next(answers, False)

    with pytest.raises(RuntimeError, match="cannot be compared"):
        check(Peer("none", "none", "TokenBucket", make))
