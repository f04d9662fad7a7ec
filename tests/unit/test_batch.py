"""Batches: exactly the same calls one by one, for every kind of array."""

import numpy as np
import pytest
from cases import SECOND, START

from ratelimit import LeakyBucket, TokenBucket

KEY_LISTS = {
    "list of str": ["a", "b", "a", "c", "a", "b"],
    "tuple of str": ("a", "b", "a", "c", "a", "b"),
    "list of mixed": ["a", 1, "a", b"1", "a", 1],
    "list of int": [1, 2, 1, 2**70, 1, 2],
    "int array": np.array([1, 2, 1, 3, 1, 2]),
    "small int array": np.array([1, -2, 1, 3, 1, -2], np.int8),
    "unsigned array": np.array([1, 2, 1, 2**64 - 1, 1, 2], np.uint64),
    "bytes array": np.array([b"a", b"bb", b"a", b"ccc", b"a", b"bb"]),
    "text array": np.array(["a", "bü", "a", "c" * 40, "a", "bü"]),
    "strided": np.arange(40).reshape(10, 4)[:6, 1] // 8,
    "reversed": np.array([1, 2, 1, 3, 1, 2])[::-1],
    "big endian": np.array([1, 2, 1, 3, 1, 2], ">i8"),
    "strided bytes": np.array([b"a", b"x", b"bb", b"x", b"a", b"x", b"c", b"x", b"a", b"x", b"bb", b"x"])[::2],
    "read only": np.frombuffer(np.array([1, 2, 1, 3, 1, 2]).tobytes(), np.int64),
}
COSTS = {
    "none": None,
    "one for all": 2,
    "numpy scalar": np.int32(2),
    "list": [1, 2, 1, 3, 1, 1],
    "array": np.array([1, 2, 1, 3, 1, 1], np.uint8),
    "strided": np.array([1, 9, 2, 9, 1, 9, 3, 9, 1, 9, 1, 9])[::2],
    "huge": [1, 2**63 - 1, 1, 1, 2**40, 1],
}
MOMENTS = {
    "none": None,
    "one for all": START + SECOND,
    "list": [START + i * SECOND for i in range(6)],
    "array": START + np.arange(6) * SECOND,
    "unsigned, strided": (START + np.arange(12) * SECOND).astype(np.uint64)[::2],
    "back and forth": START + np.array([0, 5, 1, 4, 2, 3]) * SECOND,
}


def each(values, i, default):
    """Return the value of an argument for the i-th request of a batch."""
    return default if values is None else int(np.broadcast_to(np.asarray(values), 6)[i])


@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("costs", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("keys", KEY_LISTS.values(), ids=KEY_LISTS)
def test_batch_decides_like_single_calls(clock, keys, costs, moments):
    limiters = [TokenBucket("3/minute", burst=4, clock=clock, max_keys=32) for _ in range(3)]
    one_by_one, allowing, hitting = limiters
    singly = [
        one_by_one.hit(
            key.item() if isinstance(key, np.generic) else key,
            each(costs, i, 1),
            now=each(moments, i, None) if moments is not None else None,
        )
        for i, key in enumerate(keys)
    ]
    allowed = allowing.allow_many(keys, costs, now=moments)
    decisions = hitting.hit_many(keys, costs, now=moments)
    assert (allowed.dtype, allowed.shape, decisions.shape) == (np.dtype(bool), (6,), (6,))
    assert allowed.tolist() == decisions["allowed"].tolist() == [one.allowed for one in singly]
    for name in ("limit", "remaining", "reset_after_ns", "delay_ns"):
        assert decisions[name].tolist() == [getattr(one, name) for one in singly]
    assert [None if ns == 2**62 else ns for ns in decisions["retry_after_ns"].tolist()] == [
        one.retry_after_ns for one in singly
    ]


def test_batch_of_a_leaky_bucket_has_delays(clock):
    decisions = LeakyBucket("2/second", capacity=3, clock=clock).hit_many(["key"] * 5)
    assert decisions["delay_ns"].tolist() == [0, SECOND // 2, SECOND, 3 * SECOND // 2, 0]
    assert decisions["allowed"].tolist() == [True] * 4 + [False]


@pytest.mark.parametrize("keys", [[], (), np.array([], int), np.array([], "S5")], ids=repr)
@pytest.mark.parametrize("costs", [None, 1, []], ids=repr)
def test_empty_batch_decides_nothing(algorithm, clock, keys, costs):
    for limiter in (
        algorithm.make("3/minute", clock),
        algorithm.make("3/minute", clock) & TokenBucket("1/s", clock=clock),
    ):
        assert limiter.allow_many(keys, costs).tolist() == []
        assert len(limiter.hit_many(keys, costs)) == 0


def test_batch_does_not_modify_its_arguments(algorithm, clock):
    limiter = algorithm.make("3/minute", clock)
    keys, costs, moments = np.arange(100), np.full(100, 2), START + np.arange(100)
    copies = [array.copy() for array in (keys, costs, moments)]
    limiter.allow_many(keys, costs, now=moments)
    assert all((array == copy).all() for array, copy in zip((keys, costs, moments), copies, strict=True))


@pytest.mark.parametrize(
    ("count", "max_keys"),
    [(40_000, 50_000), (5_000, 100_000), (5_000, 20_000), (5_000, 5_000), (1_000, 1_000)],
    ids=["grown", "large", "roomy", "crowded", "full"],
)
def test_long_batches_decide_like_single_calls(algorithm, clock, count, max_keys):
    """The keys are many, each four times, near their home in the table or far from it, and in any of its levels."""
    limiter = algorithm.make("3/minute", clock, max_keys=max_keys)
    limit = limiter.peek("key").limit
    keys = np.random.default_rng(1).permutation(np.repeat(np.arange(count), limit + 1))
    allowed = np.concatenate([limiter.allow_many(batch) for batch in np.array_split(keys, 8)])
    seen = {}
    for key, admitted in zip(keys.tolist(), allowed.tolist(), strict=True):
        seen[key] = seen.get(key, 0) + 1
        assert admitted == (seen[key] <= limit)
    assert len(limiter) == count


def test_fields_of_hit_many(clock):
    """The result is a structured array with the fields of a Decision."""
    decisions = TokenBucket("3/minute", clock=clock).hit_many(["key"])
    assert decisions.dtype.names == ("allowed", "limit", "remaining", "retry_after_ns", "reset_after_ns", "delay_ns")
    assert decisions.tolist() == [(True, 3, 2, 0, 20 * SECOND, 0)]


@pytest.mark.parametrize("number", [2**62, 2**63, 2**64 - 1, 2**64, 2**80, np.uint64(2**63)])
def test_refuses_costs_above_64_bits(algorithm, clock, number):
    """A cost above every limit is refused for ever, in a batch as in a single call."""
    limiter = algorithm.make("5/minute", clock)
    alone = limiter.hit("key", number)
    assert (alone.allowed, alone.retry_after_ns) == (False, None)
    for costs in ([number, 1], np.array([number, 1], object)):
        rows = limiter.hit_many(["key", "key"], costs)
        assert rows["allowed"].tolist() == [False, True]
        assert rows["retry_after_ns"][0] == 2**62
        limiter.reset("key")
    assert not limiter.allow_many(["key", "key"], number).any()


def test_object_array_has_the_keys_of_a_list(algorithm, clock):
    """An empty array of any dtype is an empty batch."""
    limiter = algorithm.make("1/minute", clock, **({"capacity": 0} if algorithm.name == "leaky bucket" else {}))
    assert limiter.allow_many(np.array(["a", 2**70, b"a", "a"], object)).tolist() == [True, True, True, False]
    assert limiter.allow_many(np.array([])).tolist() == []


@pytest.mark.parametrize("name", ["costs", "now"])
def test_rejects_rows_of_different_lengths(name):
    with pytest.raises(ValueError, match=f"{name}: expected one number, or one for each of the 2 keys"):
        TokenBucket("1/second").allow_many([1, 2], **{name: [[1], [1, 2]]})
