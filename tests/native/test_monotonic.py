"""The clock that goes by the processor's counter, beside the kernel's: real time, so nothing is injected here."""

import re
import subprocess
from pathlib import Path

import pytest
from tools import needs

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent
HEADER = HERE.parents[1] / "ratelimit" / "_engine" / "monotonic.h"
CLOCKSOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
MICROSECOND = 1_000


def readings(folder, header):
    """Run monotonic.c and return its output: {"counted": ..., "asked": ..., "late": ..., "early": ...}."""
    needs("gcc")
    (folder / "monotonic.h").write_text(header)
    subprocess.run(["gcc", "-O2", f"-I{folder}", HERE / "monotonic.c", "-o", folder / "monotonic"], check=True)
    printed = subprocess.run([folder / "monotonic"], check=True, capture_output=True, text=True).stdout
    print(printed)
    return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", printed)}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return readings(tmp_path_factory.mktemp("honest"), HEADER.read_text())


def test_a_reading_is_within_a_microsecond_of_the_kernels(honest):
    assert honest["late"] < MICROSECOND
    assert honest["early"] < MICROSECOND


def test_uses_the_counter_if_the_kernel_does(honest):
    assert honest["asked"] > 10, "the kernel is asked again and again"
    if CLOCKSOURCE.read_text() == "tsc\n":
        assert honest["counted"] > 100 * honest["asked"]
    else:
        assert honest["counted"] == 0


def test_a_wrong_rate_is_detected(tmp_path):
    """Show that the tests above detect a rate that is 1 % off."""
    if CLOCKSOURCE.read_text() != "tsc\n":
        return  # then no rate is used, as the test above has seen
    damaged = HEADER.read_text().replace("(since << 32) / ticks", "(since << 32) / ticks * 101 / 100")
    assert damaged != HEADER.read_text()
    assert readings(tmp_path, damaged)["early"] > MICROSECOND
