"""The memory orders of atomics.h under the C11 memory model: relacy draws interleavings and what loads return."""

import subprocess
from pathlib import Path

import pytest
from tools import NIGHTLY, needs

pytestmark = pytest.mark.proof

FIXED = ["first_requests", "late_request", "ring"]
SUITES = [*FIXED, "growth"]
EXECUTIONS = 1_000_000 if NIGHTLY else 100_000

# Weaker orders, and the suites that detect them: a load that may pass the claim before it, a claim without a full
# barrier, ... and a level that is shown after a claim in it was settled.
WEAKER = {
    "LOAD=acquire": ["first_requests"],
    "CAS=acq_rel CAS_FAILED=acquire": ["first_requests"],
    "LOAD=relaxed COUNT_LOAD=relaxed": FIXED,
    "GROUPS LOAD=acquire": ["first_requests"],
    "CAS=relaxed CAS_FAILED=relaxed COUNT_RAISE=relaxed": FIXED,
    "BARRIER=acq_rel LOAD=acquire": ["growth"],
    "OPENED_LATE": ["growth"],
}
# The horizon's own orders are not what keeps it right: the words that are read before and written after do.
ENOUGH = ["", "COUNT_LOAD=relaxed COUNT_RAISE=relaxed", "DIRECTORY=relaxed", "GROUPS"]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    needs("g++", "relacy/relacy.hpp")

    def build(orders):
        program = tmp_path_factory.mktemp("orders") / "orders"
        defines = [f"-D{order.replace('=', '=rl::mo_')}" for order in orders.split()]
        source = Path(__file__).with_name("orders.cpp")
        subprocess.run(["g++", "-O1", "-w", *defines, source, "-o", program], check=True)
        return program

    return build


def explore(program, suite):
    return subprocess.run([program, suite, str(EXECUTIONS)], capture_output=True, text=True, errors="replace")


@pytest.mark.parametrize("orders", ENOUGH)
def test_orders_are_strong_enough(build, orders):
    program = build(orders)
    for suite in SUITES:
        result = explore(program, suite)
        print(f"{suite}, {orders or 'as in atomics.h'}: {EXECUTIONS:,} executions")
        assert result.returncode == 0, result.stdout[-2000:]


@pytest.mark.parametrize("orders", WEAKER)
def test_weaker_orders_are_detected(build, orders):
    program = build(orders)
    for suite in WEAKER[orders]:
        result = explore(program, suite)
        assert result.returncode == 1, f"{suite} did not notice {orders}"
        assert "USER ASSERT FAILED" in result.stdout
