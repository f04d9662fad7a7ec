"""The comparison of eight words at once, in the processor's way and in plain C."""

import platform
import re
import subprocess
from pathlib import Path

import pytest
from tools import needs

HERE = Path(__file__).parent
HEADER = HERE.parents[1] / "ratelimit" / "_atomics.h"
WIDE_CAS = ["-mcx16"] if platform.machine() == "x86_64" else []


def compared(folder, header, *options):
    """What words.c prints: {"wrong": ..., "found": ...}."""
    needs("gcc")
    (folder / "_atomics.h").write_text(header)
    command = ["gcc", "-O2", "-w", *WIDE_CAS, *options, f"-I{folder}", HERE / "words.c", "-o", folder / "words"]
    subprocess.run(command, check=True)
    printed = subprocess.run([folder / "words"], check=True, capture_output=True, text=True).stdout
    return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", printed)}


@pytest.mark.parametrize("options", [[], ["-U__SSE2__"]], ids=["vectors", "plain C"])
def test_the_first_of_eight_is_found(tmp_path, options):
    """Among others that differ from it in one bit, and not where there is none."""
    seen = compared(tmp_path, HEADER.read_text(), *options)
    assert seen["wrong"] == 0
    assert 0 < seen["found"] < 200_000


def test_half_a_comparison_is_noticed(tmp_path):
    """What the test above is worth: with one half of each top compared it would fail."""
    damaged = HEADER.read_text().replace("bits &= bits >> 1 & 0x5555;", "bits &= 0x5555;")
    if platform.machine() == "x86_64":
        assert damaged != HEADER.read_text()
        assert compared(tmp_path, damaged)["wrong"] > 0
