"""Tables with nothing but defaults, in as little shared memory as a container has: 64 MB."""

import contextlib
import os
import subprocess
import sys

import pytest
from tools import CI, program

pytestmark = pytest.mark.slow
MEGABYTES, OTHER_MEGABYTES = 64, 24  # so that a table finds no memory when it has two million slots

FILL = """
import os, sys
from pathlib import Path
import numpy as np
from ratelimit import *
from ratelimit._cli.table import main
from ratelimit._storage import memory

folder = Path(sys.argv[1])
memory._SHARED_MEMORY = folder
def taken():
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_bsize

tables = [TokenBucket("10/second", table=Table.shared(f"t{n}")) for n in range(2)]
tables.append(SlidingLog("100/day", table=Table.shared("t2")))
begun = taken()
day = parse("token-bucket 1/day", table=Table.shared("t3"))
keys = np.arange(2_300_000)
admitted = [day.allow_many(keys[n : n + 100_000]).sum() for n in range(0, len(keys), 100_000)]
for start in range(0, 20_000, 1_000):
    for table in tables:
        table.allow_many(keys[start : start + 1_000])
before = taken()
live = len(day)
assert live == sum(admitted), (live, admitted)
assert main(["list"]) == main(["show", "t3"]) == main(["check", "t3"]) == 0
assert taken() == before, "looking allocates nothing"
assert not day.allow_many(keys[:100_000]).any(), "a known key is refused, and a new one in a full table"
print("begun", begun, "taken", before, "live", live, "full", day.full_count)
try:
    for n in range(4, 300):
        TokenBucket("10/second", table=Table.shared(f"t{n}"))
except OSError as error:
    print("refused:", error)
"""


@pytest.fixture
def small_memory(tmp_path):
    """Mount a memory file system of its own; only root can."""
    mount, unmount = program("mount"), program("umount")
    if os.geteuid() != 0:
        (pytest.fail if CI else pytest.skip)("only root can mount a memory file system")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "none", tmp_path], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"this system mounts no memory file system: {done.stderr.strip()}")
    (tmp_path / "other data").write_bytes(bytes(OTHER_MEGABYTES << 20))
    yield tmp_path
    with contextlib.suppress(OSError):
        subprocess.run([unmount, "--lazy", tmp_path], check=True)


def test_tables_in_little_memory_refuse_and_kill_no_process(small_memory):
    done = subprocess.run([sys.executable, "-c", FILL, small_memory], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    facts = next(line for line in done.stdout.splitlines() if line.startswith("begun")).split()
    begun, taken, live, full = (int(word) for word in facts[1::2])
    assert begun < OTHER_MEGABYTES + 4 << 20
    assert taken > (MEGABYTES << 20) // 2
    assert live > 700_000
    assert full > 100_000
    assert "refused: " in done.stdout
    assert "bytes of the table do not fit into the" in done.stdout.rsplit("refused: ")[1]
