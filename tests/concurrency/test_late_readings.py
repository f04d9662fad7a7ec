"""A clock reading from before a key's slot was taken for another key, when the key has come back since."""

from cases import SECOND, START, quota_of


def test_late_reading_gains_nothing_from_an_eviction(algorithm):
    """A table of one slot never admits a request that a table with room for all keys would refuse."""
    answers = []
    for max_keys in (1, 100):
        limiter = algorithm.make(quota_of(8, SECOND), max_keys=max_keys)
        while limiter.hit("a", now=START):
            pass
        assert limiter.hit("b", now=START + 4 * SECOND)
        assert limiter.hit("a", now=START + 8 * SECOND)
        late = limiter.hit("a", now=START + SECOND // 2)
        peeked = limiter.peek("a", now=START + SECOND // 2)
        assert peeked.allowed is False
        answers.append((late.allowed, late.remaining > 0, late.retry_after > 0))
    assert answers == [(False, False, True)] * 2
