"""The hash is SipHash-1-3 of the key's bytes and one byte for its kind, under a secret seed.

In the process's own memory a str and a bytes have the hash that CPython keeps in them, mixed with the seed and the kind.
"""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import Table, TokenBucket
from ratelimit._engine.constants import PAGE_BYTES

MASK = 2**64 - 1
BYTES, INT, WIDE_INT = 8, 16, 17  # the kinds; a str's is the width of its characters


def rotate(x, by):
    return (x << by | x >> (64 - by)) & MASK


def siphash(seed, data, compress=1, finish=3):
    """Compute SipHash as in the paper (Aumasson and Bernstein, 2012, section 2), in plain Python."""
    v0, v1, v2, v3 = (
        seed[0] ^ 0x736F6D6570736575,
        seed[1] ^ 0x646F72616E646F6D,
        seed[0] ^ 0x6C7967656E657261,
        seed[1] ^ 0x7465646279746573,
    )

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = (v0 + v1) & MASK
            v2 = (v2 + v3) & MASK
            v1, v3 = rotate(v1, 13) ^ v0, rotate(v3, 16) ^ v2
            v0 = rotate(v0, 32)
            v2, v0 = (v2 + v1) & MASK, (v0 + v3) & MASK
            v1, v3 = rotate(v1, 17) ^ v2, rotate(v3, 21) ^ v0
            v2 = rotate(v2, 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v3 ^= word
        rounds(compress)
        v0 ^= word
    v2 ^= 0xFF
    rounds(finish)
    return v0 ^ v1 ^ v2 ^ v3


def test_reference_is_siphash():
    """The test vector is that of the paper (appendix A), for SipHash-2-4."""
    seed = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash(seed, bytes(range(15)), compress=2, finish=4) == 0xA129CA6149BE45E5


def message(key):
    """Return the bytes that stand for a key, and its kind."""
    if isinstance(key, str):
        widest = max(map(ord, key), default=0)
        width, encoding = (1, "latin-1") if widest < 256 else (2, "utf-16-le") if widest < 65_536 else (4, "utf-32-le")
        return key.encode(encoding, "surrogatepass") + bytes([width])
    if isinstance(key, bytes):
        return key + bytes([BYTES])
    if -(2**63) <= key < 2**63:
        return key.to_bytes(8, "little", signed=True) + bytes([INT])
    return key.to_bytes(key.bit_length() // 8 + 1, "little", signed=True) + bytes([WIDE_INT])


QUICK = os.environ.get("PYTHONHASHSEED", "random") in ("", "random")


def folded(x, by):
    return (x * by & MASK) ^ (x * by >> 64)


def expected_hash(limiter, key):
    """Compute the hash of a key in a table in the process's own memory, in plain Python."""
    seed = seed_of(limiter)
    if isinstance(key, int) or not QUICK:
        return siphash(seed, message(key))
    kind = message(key)[-1] * 0x9E3779B97F4A7C15 & MASK
    return folded(folded(hash(key) & MASK ^ seed[0], seed[1] | 1) ^ kind, seed[0] | 1)


def seed_of(limiter):
    """Return the two words of the seed, from the table's metadata in the page before its first slot."""
    return tuple((ctypes.c_uint64 * 2).from_address(limiter.slots().ctypes.data - PAGE_BYTES + 64))


def tag_of(hashed):
    """Return the low 48 bits; 0 and 1 are reserved."""
    tag = hashed % 2**48
    return tag if tag > 1 else tag + 2


def slots_in_use(limiter):
    """Return the place and the tag of each used slot."""
    high = limiter.slots().view(np.uint64)[1::2] >> 16
    return [(int(i), int(high[i])) for i in np.flatnonzero(high)]


KEYS = st.text() | st.binary() | st.integers() | st.integers(-(2**64), 2**64) | st.text(st.characters(codec="latin-1"))


@given(key=KEYS)
def test_key_is_stored_at_the_place_of_its_hash(key):
    """Its tag is the low 48 bits of the hash; its home is the hash's share of the table."""
    limiter = TokenBucket("1/day", max_keys=97)
    limiter.allow(key)
    hashed = expected_hash(limiter, key)
    assert slots_in_use(limiter) == [(hashed * 97 >> 64, tag_of(hashed))]


@given(keys=st.lists(st.integers(-(2**63), 2**64 - 1), max_size=8, unique=True))
def test_arrays_are_hashed_like_single_keys(keys):
    for array in (
        np.array([key for key in keys if key < 2**63], np.int64),
        np.array([key for key in keys if key >= 0], np.uint64),
        np.array([str(key).encode() for key in keys], "S24"),
    ):
        limiter = TokenBucket("1/day", max_keys=64)
        limiter.allow_many(array)
        assert {tag for _, tag in slots_in_use(limiter)} == {
            tag_of(expected_hash(limiter, key)) for key in array.tolist()
        }


@given(key=KEYS)
def test_hash_of_a_table_that_others_may_attach_is_siphash(key, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table"
    limiter = TokenBucket("1/day", table=Table.open(path, max_keys=97))
    limiter.allow(key)
    limiter.allow_many([key])
    hashed = siphash(seed_of(limiter), message(key))
    assert slots_in_use(limiter) == [(hashed * 97 >> 64, tag_of(hashed))]


# CPython gives the same hash to these; in a table they are different keys.
@pytest.mark.parametrize(("one", "other"), [("a", b"a"), ("AA", "\u4141"), ("", b"")])
def test_kinds_of_equal_bytes_are_different_keys(one, other):
    limiter = TokenBucket("1/day", max_keys=97)
    assert limiter.allow_many([one, other, one, other]).tolist() == [True, True, False, False]


class Shout(str):
    def __hash__(self):
        return 1

    def __eq__(self, other):
        return True


class Raw(bytes):
    def __hash__(self):
        return 1


@pytest.mark.parametrize(("key", "subclassed"), [("user", Shout("user")), (b"user", Raw(b"user"))])
def test_hash_of_a_subclass_is_that_of_its_base_type(key, subclassed):
    limiter = TokenBucket("1/day", max_keys=97)
    assert limiter.allow(key)
    assert not limiter.allow(subclassed)


@given(keys=st.lists(st.binary(max_size=20).filter(lambda key: not key.endswith(b"\0")), min_size=1, unique=True))
def test_bytes_of_an_array_are_those_of_a_list(keys):
    limiter = TokenBucket("1/day", max_keys=1_000)
    assert limiter.allow_many(keys).all()
    assert not limiter.allow_many(np.array(keys, "S20")).any()
    assert not any(map(limiter.allow, keys))


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "5", "random"])
def test_a_known_seed_of_the_process_is_not_used(seed):
    """Run the tests of this file under it: `sys.flags.hash_randomization` is 1 for 5, too."""
    environment = os.environ | {"PYTHONHASHSEED": seed}
    tests = [
        f"{__file__}::test_key_is_stored_at_the_place_of_its_hash",
        f"{__file__}::{test_arrays_are_hashed_like_single_keys.__name__}",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout


def test_seeds_are_secret_and_differ():
    """Each limiter draws its own seed: the places in one table reveal nothing about those in another."""
    limiters = [TokenBucket("1/day", max_keys=1_000) for _ in range(50)]
    for limiter in limiters:
        limiter.allow("key")
    assert len({seed_of(limiter) for limiter in limiters}) == 50
    assert len({slots_in_use(limiter)[0][1] for limiter in limiters}) == 50
    assert not any(hex(word)[2:] in repr(vars_of(limiter)) for limiter in limiters for word in seed_of(limiter))


def vars_of(limiter):
    """Return all attributes of a limiter except its table."""
    return {name: getattr(limiter, name) for name in dir(limiter) if name != "table" and not name.startswith("__")}


@pytest.mark.parametrize(
    "kind", [int, str, lambda i: str(i).encode(), lambda i: i << 64], ids=["int", "str", "bytes", "wide"]
)
def test_keys_in_a_row_spread_evenly(kind, monkeypatch):
    """Chi-squared of 64,000 homes over 64 parts of a level; beyond 150 lies a chance of 5 in 10 million."""
    monkeypatch.setattr(
        "ratelimit._storage.metadata.base_for", lambda capacity, min_keys=0: 1 << 20
    )  # all are in one level
    limiter = TokenBucket("1/day", max_keys=300_000)
    limiter.allow_many([kind(i) for i in range(64_000)])
    used = [where for where, _ in slots_in_use(limiter)]
    assert len(used) == 64_000
    counts = np.histogram(used, 64, (0, len(limiter.slots())))[0]
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 150
