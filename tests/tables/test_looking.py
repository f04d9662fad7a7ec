"""Looking at tables takes none of their memory; names and files of others are safe; what no process uses is removed."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from ratelimit import Limiter, SlidingLog, Table, TokenBucket
from ratelimit._cli.table import main
from ratelimit._storage import memory


def taken(path):
    return path.stat().st_blocks * 512


def sparse_copy(path, copy):
    """Copy only the first page; the rest is a hole."""
    content = path.read_bytes()
    with copy.open("wb") as file:
        file.write(content[:4096])
        file.truncate(len(content))
    assert taken(copy) < len(content)
    return copy


def test_what_is_in_use_has_its_memory_when_a_table_is_made(place):
    """A page that is first needed when the memory is full would kill the process."""
    limiter = TokenBucket("10/day", table=place())
    path = limiter.table.path
    assert taken(path) >= 4096 + limiter.slots().nbytes
    assert limiter.max_keys == 4_000_000
    log = SlidingLog("100/day", table=Table.open(path.with_name(f"{path.name}.log")))
    assert log.max_keys == 1_771_851
    assert taken(log.table.path) >= 4096 + 101 * log.slots().nbytes
    log.table.remove()


def test_without_a_kernel_that_can_be_asked_for_memory_a_table_has_all_of_it(place, monkeypatch):
    monkeypatch.setattr(memory, "can_grow", lambda: False)
    monkeypatch.setattr("ratelimit.table.can_grow", lambda: False)
    limiter = TokenBucket("10/day", table=place())
    assert taken(limiter.table.path) >= limiter.table.path.stat().st_size
    assert limiter.max_keys == 500_000


def test_looking_allocates_nothing(place, capsys):
    limiter = TokenBucket("10/day", table=place(max_keys=100_000))
    path = limiter.table.path
    copy = sparse_copy(path, path.with_name(f"{path.name}.copy"))
    before = taken(copy)
    for command in ("show", "check"):
        assert main([command, str(copy)]) == 0
    assert taken(copy) == before
    copied = TokenBucket("10/day", table=Table.open(copy))
    assert 4096 + copied.slots().nbytes <= taken(copy) < copy.stat().st_size // 4
    copy.unlink()


def test_a_sparse_copy_on_a_full_disk_is_refused(tmp_path, monkeypatch):
    """Where the kernel allocates whole files; see test_growth.py for the other."""
    TokenBucket("10/day", table=Table.open(tmp_path / "t", max_keys=100_000))
    copy = sparse_copy(tmp_path / "t", tmp_path / "copy")

    def no_space(descriptor, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    monkeypatch.setattr(memory, "can_grow", lambda: False)
    message = r"copy'\): 2,400,000 bytes of the table do not fit into the [\d,]+ that are free in .* lower max_keys"
    with pytest.raises(OSError, match=message):
        TokenBucket("10/day", table=Table.open(copy))
    with pytest.raises(OSError, match="do not fit into"):
        TokenBucket("10/day", table=Table.open(tmp_path / "new"))
    assert len(Limiter.of(Table.open(copy).snapshot())) == 0


def test_a_snapshot_is_a_copy(place):
    limiter = TokenBucket("10/day", table=place(max_keys=2_000))
    limiter.allow_many(np.arange(1_000))
    look = Limiter.of(place().snapshot())
    look.clear()
    assert (len(look), len(limiter)) == (0, 1_000)


def test_root_may_look_at_and_change_a_table_of_another_user(tmp_path, capsys):
    path = tmp_path / "t"
    TokenBucket("10/day", table=Table.open(path, max_keys=10))
    if os.geteuid() != 0:
        return  # only root can give a file to another user
    os.chown(path, 12345, 12345)
    with pytest.raises(PermissionError, match=r"user 12345 owns it with the mode 0o600, and this process is user 0"):
        TokenBucket("10/day", table=Table.open(path))
    assert main(["show", str(path)]) == 0
    assert main(["change", str(path), "20/day"]) == 0
    assert main(["show", str(path)]) == 0
    assert "token-bucket 20/day" in capsys.readouterr().out


def test_list_quotes_names_and_survives_other_files(shared_name, capsys):
    """A FIFO is not waited for, and no name reaches the terminal raw."""
    folder = memory.shared_folder()
    foreign = folder / f"{memory.SHARED_PREFIX}{shared_name}\x1b[2J"
    fifo = folder / f"{memory.SHARED_PREFIX}{shared_name}"
    foreign.write_bytes(b"")
    os.mkfifo(fifo)
    try:
        assert main(["list"]) == 0
        out = capsys.readouterr().out
        assert f"{shared_name}\\x1b[2J' is not a table" in out
        assert "\x1b" not in out
        assert "is not a regular file" in out
        for command in (["show"], ["check"], ["remove"]):
            assert main([*command, fifo.name.removeprefix(memory.SHARED_PREFIX)]) == 1
            assert "is not a regular file" in capsys.readouterr().err
    finally:
        foreign.unlink()
        fifo.unlink()


def test_an_error_names_a_table_that_does_not_exist(shared_name, capsys):
    for command in ("show", "check", "clear", "remove"):
        assert main([command, shared_name]) == 1
        expected = f"ratelimit table: Table.shared('{shared_name}') does not exist; `ratelimit table list` prints"
        assert capsys.readouterr().err.startswith(expected)


def test_gc_removes_what_is_idle_and_not_used(shared_name, capsys):
    """Kept are tables that a process maps, that have live keys, or that decided recently."""
    folder = memory.shared_folder()
    used = TokenBucket("10/second", table=Table.shared(f"{shared_name}.used", max_keys=10))
    program = f"""
from ratelimit import *
TokenBucket("10/year", table=Table.shared("{shared_name}.live", max_keys=10)).allow("key")
TokenBucket("10/second", table=Table.shared("{shared_name}.idle", max_keys=10))
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    (folder / f".{memory.SHARED_PREFIX}{shared_name}.0123").write_bytes(b"")
    (folder / f"ratelimit.{shared_name}").write_bytes(b"RATELIMT\1\0\0\0")  # of the first version
    for path in folder.glob(f"*{shared_name}*"):
        os.utime(path, (0, time.time() - 2 * 86_400))
    assert main(["gc", "--dry-run"]) == 0
    would = capsys.readouterr().out
    assert f"would remove '{memory.SHARED_PREFIX}{shared_name}.idle'" in would
    assert main(["gc"]) == 0
    kept = sorted(path.name for path in folder.glob(f"*{shared_name}*"))
    assert kept == [f"{memory.SHARED_PREFIX}{shared_name}.live", f"{memory.SHARED_PREFIX}{shared_name}.used"]
    assert used.allow("key")


# --- systems without /dev/shm or /proc/sys


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A system that has neither, such as macOS."""
    monkeypatch.setattr(memory, "_SHARED_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(memory, "_BOOT_ID", tmp_path / "missing")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / f"ratelimit-{os.geteuid()}"


def test_without_shared_memory_a_table_is_a_file_of_this_user(bare):
    first, second = (TokenBucket("10/day", table=Table.shared("x", max_keys=10)) for _ in range(2))
    first.hit("key", 9)
    assert (second.allow("key"), second.allow("key")) == (True, False)
    assert (Table.names(), first.table.name) == (["x"], "x")
    assert bare.stat().st_mode & 0o777 == 0o700
    assert abs(first.now_ns() - second.now_ns()) < 10**9


def test_rejects_a_folder_that_another_user_can_write_to(bare):
    bare.mkdir()
    bare.chmod(0o777)
    with pytest.raises(PermissionError, match="another user can write to the folder"):
        TokenBucket("10/day", table=Table.shared("x"))


def test_import_reads_nothing_of_the_host():
    """systemd can hide /proc/sys from a service. And modules that not every program needs are imported later."""
    program = """
import builtins, io, pathlib
def refuse(file, *arguments, **named):
    assert "boot_id" not in str(file), file
    return real(file, *arguments, **named)
real = io.open
io.open = builtins.open = refuse
import sys
import ratelimit
assert ratelimit.TokenBucket("1/day").allow("key")
slow = {"asyncio", "ssl", "tempfile", "fractions", "logging"} & set(sys.modules)
assert not slow, f"an import of ratelimit need not import {slow}"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
