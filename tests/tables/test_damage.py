"""Files that are foreign, truncated, damaged or hostile: rejected or survived, and not modified."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from cases import ALGORITHMS
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import PATIENCE

from ratelimit import CorruptTable, FixedWindow, SlidingLog, Table, TokenBucket
from ratelimit._engine.constants import LAYOUT, PAGE_BYTES

HERE = Path(__file__).parent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "limits.tbl"


def sound(path, algorithm=None):
    make = TokenBucket if algorithm is None else algorithm.make
    limiter = make("10/day", table=Table.open(path, max_keys=40))
    limiter.allow_many(list(range(20)))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has 0 bytes, less than a page"),
        (b"RATELIMT", "it has 8 bytes"),
        (b"\0" * 2 * PAGE_BYTES, "does not begin with b'RATELIMT'"),
        (b"SQLite format 3\0" * PAGE_BYTES, "does not begin with"),
        (
            b"RATELIMT\1\0\0\0" + bytes(2 * PAGE_BYTES),
            f"has layout 1; this version of ratelimit reads {LAYOUT}; use another file",
        ),
        (b"RATELIMT" + LAYOUT.to_bytes(4, "little") + bytes(2 * PAGE_BYTES), "the checksum of its metadata is wrong"),
    ],
)
def test_rejects_foreign_files_without_changing_them(path, content, message):
    path.write_bytes(content)
    with pytest.raises(CorruptTable, match=message):
        TokenBucket("10/day", table=Table.open(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("change", [-1, -16, 1, PAGE_BYTES])
def test_rejects_truncated_and_longer_files(path, change):
    """Reading past the end of a truncated file would kill the process."""
    content = sound(path)
    content = content[:change] if change < 0 else content + bytes(change)
    path.write_bytes(content)
    with pytest.raises(CorruptTable, match=r"is damaged: expected .* bytes, got"):
        TokenBucket("10/day", table=Table.open(path))
    assert path.read_bytes() == content


@given(at=st.integers(0, 95), flip=st.integers(1, 255))
@settings(max_examples=200)
def test_detects_any_changed_byte_of_the_metadata(tmp_path_factory, at, flip):
    path = tmp_path_factory.mktemp("label") / "t"
    content = bytearray(sound(path))
    content[at] ^= flip
    path.write_bytes(content)
    with pytest.raises(CorruptTable):
        TokenBucket("10/day", table=Table.open(path))
    assert path.read_bytes() == content


def test_rejects_contradictory_metadata_with_a_correct_checksum(path):
    """Every size is checked against the others."""
    content = sound(path)
    for offset in range(16, 88, 8):
        for value in (0, 1, 2**16 + 1, 2**47, 2**63, 2**64 - 1):
            forged = bytearray(content)
            forged[offset : offset + 8] = value.to_bytes(8, "little")
            forged[12:16] = zlib.crc32(forged[16:80]).to_bytes(4, "little")
            path.write_bytes(forged)
            try:
                limiter = TokenBucket("10/day", table=Table.open(path))
            except ValueError:
                continue
            limiter.allow_many(list(range(100)))


FUZZ = """
import random, sys
from ratelimit import *
from ratelimit._engine.constants import HEADER_OFFSET, PAGE_BYTES
path, kind, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
content = bytearray(open(path, "rb").read())
rng = random.Random(seed)
words = [0, 1 << 80, (1 << 128) - 1, 1 << 79, (2 << 80) - 1, (5 << 80) | ((1 << 79) - 1)]
for offset in range(HEADER_OFFSET, len(content), 16):
    if offset < PAGE_BYTES and offset != HEADER_OFFSET + 32:  # a damaged clock is refused, see test_table_clock
        continue
    word = rng.choice(words) if rng.random() < 0.3 else rng.getrandbits(128)
    content[offset : offset + 16] = word.to_bytes(16, "little")
content[HEADER_OFFSET + 40 : HEADER_OFFSET + 48] = bytes(8)  # the revision: a damaged one is refused, see test_change
open(path, "wb").write(content)
limiter = eval(kind)("10/day", table=Table.open(path))
keys = list(range(200))
limiter.allow_many(keys)
limiter.hit_many(keys, [3] * 200)
for key in keys:
    limiter.hit(key, 2), limiter.peek(key), limiter.refund(key), limiter.reserve(key).cancel(), limiter.reset(key)
len(limiter), limiter.change("5/day"), limiter.clear()
"""


@pytest.mark.parametrize("kind", ["TokenBucket", "LeakyBucket", "FixedWindow", "SlidingWindow", "SlidingLog"])
def test_no_content_of_the_slots_crashes_a_process(path, kind):
    """With random bytes in every slot, ring cell and header word, decisions may be wrong, but every verb returns."""
    [algorithm] = [one for one in ALGORITHMS if one.limiter.__name__ == kind and not one.options]
    content = sound(path, algorithm)
    for seed in range(6):
        path.write_bytes(content)
        done = subprocess.run(
            [sys.executable, "-c", FUZZ, str(path), kind, str(seed)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_mode_is_0600_by_default(path, shared_name):
    TokenBucket("1/day", table=Table.open(path))
    assert path.stat().st_mode & 0o777 == 0o600
    shared = Table.shared(shared_name, mode=0o660)
    TokenBucket("1/day", table=shared)
    assert shared.path.stat().st_mode & 0o777 == 0o660


def test_rejects_links_of_other_users(path, tmp_path):
    """A link that another user created could lead to any file that this process may write."""
    sound(path)
    link = tmp_path / "link"
    link.symlink_to(path.name)
    assert TokenBucket("10/day", table=Table.open(link)).peek(1).remaining == 9
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        TokenBucket("10/day", table=Table.open(loop))
    if os.geteuid() == 0:
        os.lchown(link, 12345, 12345)
        with pytest.raises(PermissionError, match="a symbolic link that another user owns"):
            TokenBucket("10/day", table=Table.open(link))
        os.chown(path, 12345, 12345)
        with pytest.raises(PermissionError, match="belongs to another user"):
            TokenBucket("10/day", table=Table.open(path))


def test_rejects_dangling_links(path, tmp_path):
    """A table can neither be opened nor be created under that name."""
    path.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match="a symbolic link to a missing file"):
        TokenBucket("10/day", table=Table.open(path))
    assert list(tmp_path.iterdir()) == [path]


def test_rejects_paths_that_are_not_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is not a regular file"):
        TokenBucket("10/day", table=Table.open(tmp_path / "pipe"))
    with pytest.raises(IsADirectoryError):
        TokenBucket("10/day", table=Table.open(tmp_path))


def test_rejects_a_table_larger_than_the_free_space(tmp_path, shared_name):
    with pytest.raises(OSError, match="do not fit into"):
        FixedWindow("1/day", table=Table.shared(shared_name, max_keys=10**14))
    with pytest.raises(OSError, match=r"[\d,]+ bytes of the table do not fit into .*(No space|File too large)"):
        SlidingLog("40000/day", table=Table.open(tmp_path / "t", max_keys=10**9))
    assert list(tmp_path.iterdir()) == []
