"""Checks of eight words at once, by the processor's vector instructions and in plain C."""

import platform
import re
import subprocess
from pathlib import Path

import pytest
from tools import needs

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent
HEADER = HERE.parents[1] / "ratelimit" / "_engine" / "atomics.h"
WIDE_CAS = ["-mcx16"] if platform.machine() == "x86_64" else []


def compared(folder, header, *options):
    """Run words.c and return its output: {"wrong": ..., "passing": ..., "above": ...}."""
    needs("gcc")
    (folder / "atomics.h").write_text(header)
    command = ["gcc", "-O2", "-w", *WIDE_CAS, *options, f"-I{folder}", HERE / "words.c", "-o", folder / "words"]
    subprocess.run(command, check=True)
    printed = subprocess.run([folder / "words"], check=True, capture_output=True, text=True).stdout
    return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", printed)}


@pytest.mark.parametrize("options", [[], ["-U__SSE2__"]], ids=["vectors", "plain C"])
def test_eight_words_at_once_equal_one_by_one(tmp_path, options):
    """The words differ from others in one bit; both results occur."""
    seen = compared(tmp_path, HEADER.read_text(), *options)
    assert seen["wrong"] == 0
    assert 1_000 < seen["passing"] < 199_000
    if platform.machine() == "x86_64" and not options:
        assert 1_000 < seen["above"] < 199_000


# To show that the test above detects errors: a part of the header, and a wrong one to replace it.
WRONG = {
    "an unused slot is passed": ("((tops - 1) | ((tops ^ top) - 1))) << i", "((tops ^ top) - 1)) << i"),
    "the key is passed": ("((tops - 1) | ((tops ^ top) - 1))) << i", "(tops - 1)) << i"),
    "the last one is found": ("return __builtin_ctz(met);", "return 31 - __builtin_clz(met);"),
    "a borrow from the high half is forgotten": ("(rest >> (128 - shift)) - borrow;", "(rest >> (128 - shift));"),
    "a floor is above itself": ("(~low_floor & low) | (~(low_floor ^ low)", "(~low_floor | low) | (~(low_floor ^ low)"),
    "the floor is compared by its low half alone": ("above &= high_floor - (rest >> (128 - shift)) -", "above &= -"),
    "a free slot is a key": ("(tops - 2) |", "(tops - 1) |"),
}


@pytest.mark.parametrize("error", WRONG)
def test_a_wrong_comparison_is_detected(tmp_path, error):
    right, wrong = WRONG[error]
    assert HEADER.read_text().count(right) == 1
    if platform.machine() == "x86_64":
        assert compared(tmp_path, HEADER.read_text().replace(right, wrong))["wrong"] > 0
