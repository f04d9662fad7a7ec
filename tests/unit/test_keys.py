"""Which keys are the same and which are not."""

from enum import IntEnum, StrEnum

import numpy as np
import pytest
from cases import ALGORITHMS
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import TokenBucket


class Text(str):
    """A subclass of str."""


class Number(int):
    """A subclass of int, which lies about its hash and its equality."""

    def __hash__(self):
        return 0

    def __eq__(self, other):
        return True


class Raw(bytes):
    """A subclass of bytes."""


DISTINCT = [
    *(
        0,
        1,
        -1,
        -2,
        255,
        256,
        2**31,
        2**62,
        2**63 - 1,
        2**63,
        2**64 - 1,
        2**64,
        2**100,
        256**20,
        -(2**63),
        -(2**63) - 1,
    ),
    *("", "0", "1", "-1", "a", "é", "e\u0301", "\u00ff", "\u0100", "\uffff", "\U00010000", "a\0", "a\0\0", "\ud800"),
    *(b"", b"0", b"1", b"a", b"a\0", b"\xff", b"\xc3\xa9", b"\x01\0\0\0\0\0\0\0", bytes(9), "x" * 1_000, b"x" * 1_000),
    *("1234567", "12345678", "123456789", b"1234567", b"12345678", b"123456789"),
]


def once():
    """Return a limiter that admits each key once."""
    return TokenBucket("1/day")


def test_distinct_keys_have_distinct_limits():
    """Types, signs, widths and lengths are all significant."""
    limiter = once()
    assert all(limiter.allow(key) for key in DISTINCT)
    assert not any(limiter.allow(key) for key in DISTINCT)
    assert len(limiter) == len(DISTINCT)


@given(keys=st.lists(st.text() | st.binary() | st.integers(), unique_by=lambda key: (type(key), key), max_size=50))
def test_equal_keys_of_one_type_are_one(keys):
    limiter = once()
    assert [limiter.allow(key) for key in keys + keys] == [True] * len(keys) + [False] * len(keys)


@pytest.mark.parametrize(
    ("key", "same"),
    [
        (True, 1),
        (False, 0),
        (Text("a"), "a"),
        (Text("é\U00010000"), "é\U00010000"),
        (Number(7), 7),
        (Number(2**70), 2**70),
        (Raw(b"a"), b"a"),
        (IntEnum("Color", "RED").RED, 1),
        (StrEnum("Name", {"ANN": "ann"}).ANN, "ann"),
        ("".join(["é", "x"])[:1], "é"),
        ("\U00010000a"[1:], "a"),  # narrower than the text that it was cut from
        (int.from_bytes(b"\x01"), 1),
        (np.str_("a"), "a"),
        (np.bytes_(b"a"), b"a"),
    ],
    ids=repr,
)
def test_subclasses_are_the_keys_of_their_base_type(key, same):
    """A bool is an int."""
    limiter = once()
    assert limiter.allow(key)
    assert not limiter.allow(same)


@pytest.mark.parametrize(
    "key", [None, 1.0, float("nan"), (1, 2), ["a"], bytearray(b"a"), memoryview(b"a"), object, 1j, np.float64(1)]
)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_rejects_other_types(algorithm, key):
    """Every verb names the value, its type and the accepted types, and changes nothing."""
    limiter = algorithm.make("2/day", max_keys=8)
    limiter.allow("a")
    before = limiter.slots().tobytes()
    calls = [
        lambda: limiter.allow(key),
        lambda: limiter.hit(key),
        lambda: limiter.peek(key),
        lambda: limiter.reserve(key),
        lambda: limiter.refund(key),
        lambda: limiter.reset(key),
        lambda: limiter.wait(key),
        lambda: limiter.allow_many(["a", key]),
        lambda: limiter.hit_many(["a", key]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="key: expected a str, bytes or int") as error:
            call()
        assert repr(key) in str(error.value)
        assert type(key).__name__ in str(error.value)
    assert limiter.slots().tobytes() == before


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">u8"])
def test_integer_arrays_are_the_python_numbers(dtype):
    """This holds for every width, sign and byte order, at the limits of each type."""
    info = np.iinfo(dtype)
    numbers = sorted({0, 1, 7, int(info.min), int(info.max)})
    limiter = once()
    assert limiter.allow_many(np.array(numbers, dtype)).all()
    assert not any(limiter.allow(number) for number in numbers)
    assert len(limiter) == len(numbers)


@given(keys=st.lists(st.binary(max_size=20).filter(lambda key: not key.endswith(b"\0")), max_size=20, unique=True))
def test_bytes_arrays_are_the_bytes(keys):
    """Trailing zeros are dropped, which numpy does not distinguish from padding."""
    limiter = once()
    assert limiter.allow_many(np.array(keys, "S20") if keys else np.array([], "S20")).all()
    assert not any(limiter.allow(key) for key in keys)


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.0]),
        np.array([True]),
        np.array([1j]),
        np.array(["2025"], "M8[Y]"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_rejects_arrays_of_other_types(array):
    """The error has their dtype and the accepted types."""
    with pytest.raises(TypeError, match="keys: expected a one-dimensional array of integers, bytes or text") as error:
        once().allow_many(array)
    assert str(array.dtype) in str(error.value)


@pytest.mark.parametrize("array", [np.zeros((2, 2), int), np.array(3), np.zeros((0, 3), "S2")])
def test_rejects_arrays_of_other_shapes(array):
    with pytest.raises((ValueError, TypeError), match="keys: expected a one-dimensional array"):
        once().allow_many(array)


@pytest.mark.parametrize(
    "keys", ["abc", b"abc", {"a"}, {"a": 1}, iter("abc"), 5, None], ids=lambda keys: type(keys).__name__
)
def test_rejects_keys_that_are_not_a_list_or_array(keys):
    """A str is a key, not a list of keys; a set has no order."""
    for verb in ("allow_many", "hit_many"):
        for limiter in (once(), once() & once()):
            with pytest.raises(TypeError, match=f"keys: expected .* list .*, got {type(keys).__name__}"):
                getattr(limiter, verb)(keys)


def test_keys_are_hashed_and_not_kept():
    limiter = once()
    key = bytearray(b"k" * 100)
    limiter.allow(bytes(key))
    key[0] = 0
    assert not limiter.allow(b"k" * 100)


@pytest.mark.parametrize("number", [3, -3, 2**40, 2**63 - 1])
def test_numpy_integer_is_the_python_number(number):
    limiter = once()
    assert limiter.allow(np.int64(number))
    assert not limiter.allow(number)
    assert not limiter.allow_many([np.int64(number)])[0]
    assert not limiter.hit(np.array(number))


def test_largest_unsigned_numpy_integer():
    limiter = once()
    assert limiter.allow(2**64 - 1)
    assert not limiter.allow(np.uint64(2**64 - 1))


@pytest.mark.parametrize("key", [np.float64(3), np.True_, np.array([3]), np.array([3, 4]), 3.0, None, (3,)], ids=repr)
def test_error_names_the_key_that_is_not_an_integer(key):
    with pytest.raises(TypeError, match=r"key: expected a str, bytes or int, got .* of type "):
        once().allow(key)


@pytest.mark.parametrize("answer", [None, 7, 3.5, "x", b"", memoryview(b"abc")], ids=repr)
def test_an_int_that_lies_about_its_bytes_is_counted_as_the_number_it_is(answer):
    """A subclass of int may override its methods; they are not asked."""

    class Lying(int):
        def to_bytes(self, *arguments, **named):
            return answer

        def bit_length(self):
            return 10**12

    limiter = TokenBucket("1/day", max_keys=10)
    assert limiter.allow(Lying(2**80))
    assert not limiter.allow(2**80)
    assert not limiter.allow_many([Lying(2**80)])[0]
