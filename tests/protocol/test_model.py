"""The slot protocol, exhaustively: spin explores every interleaving of the models beside this file.

`RATELIMIT_NIGHTLY=1` runs the long forms as well (about half an hour, 10 GB).
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tools import NIGHTLY, needs

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent
ALL_VERBS = "REFUNDS RESETS GIVEN CRASH"

# Of each model what must hold, at different sizes: threads, slots, verbs.
HOLD = [
    ("table", "THREADS=3 SLOTS=1"),
    ("table", f"THREADS=2 SLOTS=2 {ALL_VERBS}"),
    ("table", f"THREADS=2 SLOTS=2 LIMIT=2 {ALL_VERBS}"),
    ("table", "THREADS=2 SLOTS=3 HOMES=2 RESETS GIVEN"),
    ("table", "THREADS=2 SLOTS=3 HOMES=2 RESETS GIVEN UNUSED_WITHIN=1"),
    ("table", "THREADS=2 SLOTS=2 HOMES=0 RESETS GIVEN"),
    ("table", f"THREADS=2 SLOTS=2 GROUPS {ALL_VERBS}"),
    ("table", "THREADS=2 SLOTS=3 HOMES=2 GROUPS RESETS GIVEN"),
    ("table", "THREADS=3 SLOTS=1 GROUPS"),  # where another key alone can fill the table
    ("table", "THREADS=2 SLOTS=2 LEVELS=2 BASE=1"),
    ("table", "THREADS=2 SLOTS=2 LEVELS=2 BASE=1 GROUPS"),
    ("log", "THREADS=3 OPS=2"),
    ("log", "THREADS=2 OPS=3 REFUNDS"),
]
HOLD_NIGHTLY = [
    ("table", "THREADS=3 SLOTS=2"),
    ("table", "THREADS=3 SLOTS=2 RESETS"),
    ("table", "THREADS=3 SLOTS=2 CRASH"),
    ("table", "THREADS=3 SLOTS=2 GROUPS"),
    ("table", "THREADS=3 SLOTS=2 LIMIT=2 HOMES=0"),
    ("table", f"THREADS=2 SLOTS=2 LEVELS=2 BASE=1 {ALL_VERBS}"),
    ("table", "THREADS=2 SLOTS=3 LEVELS=2 BASE=1 HOMES=0 RESETS GIVEN"),
    ("table", "THREADS=2 SLOTS=3 LEVELS=2 BASE=2 HOMES=1 RESETS GIVEN"),
    ("table", "THREADS=2 SLOTS=3 LEVELS=2 BASE=2 HOMES=1 GROUPS RESETS GIVEN"),
    ("log", "THREADS=3 OPS=2 REFUNDS"),
]
# No thread waits for another: no run is infinite.
END = [
    ("table", "THREADS=2 SLOTS=2 RESETS"),
    ("table", "THREADS=2 SLOTS=2 GROUPS RESETS"),
    ("table", "THREADS=2 SLOTS=2 OLD_REACH"),
    ("table", "THREADS=2 SLOTS=2 LEVELS=2 BASE=1"),
    ("log", "THREADS=2 OPS=2 REFUNDS"),
]
END_NIGHTLY = [("table", "THREADS=3 SLOTS=1"), ("table", "THREADS=3 SLOTS=2")]

# Seeded errors, each at a size at which it shows.
WRONG = [
    ("table", "DECIDES_FROM_CLAIM", ""),
    ("table", "NOT_SETTLED", ""),
    ("table", "LATER_CLAIMS_STAY", ""),
    ("table", "EVICTS_AFTER_LOSS", ""),
    ("table", "ROBS_FOR_EVER", "THREADS=2 SLOTS=1"),
    ("table", "HORIZON_NOT_RAISED", ""),
    ("table", "HORIZON_RAISED_LATE", ""),
    ("table", "HORIZON_NOT_ASKED_AGAIN", ""),
    ("table", "TICKETS_REUSED", ""),
    ("table", "REACH_NOT_RAISED", "THREADS=2 SLOTS=2 HOMES=0"),
    ("table", "REACH_RAISED_LATE", "THREADS=3 SLOTS=2 HOMES=0 RESETS"),
    ("table", "REACH_READ_EARLY", "THREADS=2 SLOTS=2 HOMES=0"),
    ("table", "FREED_AS_NEVER_USED", "THREADS=2 SLOTS=3 HOMES=0 RESETS"),
    ("table", "TOP_RAISED_LATE", "THREADS=2 SLOTS=2 LEVELS=2 BASE=1"),
    ("table", "OWN_LEVEL_FIRST", "THREADS=2 SLOTS=2 LEVELS=2 BASE=1 HOMES=0"),
    ("table", "PASSES_CLAIMS", "THREADS=2 SLOTS=2 HOMES=0 GROUPS"),
    ("table", "MOVES_UNSEEN", "THREADS=2 SLOTS=2 LEVELS=2 BASE=1"),
    ("log", "RETIRES_UNSEEN", ""),
    ("log", "NOT_RETIRED", ""),
    ("log", "REFUND_LOST", "REFUNDS"),
    ("log", "FORGIVES_NOTHING", "REFUNDS"),
]


def explore(model, sizes, folder, cycles=False):
    """Return the errors and the number of states of a complete search."""
    needs("spin", "gcc")
    shutil.copy(HERE / f"{model}.pml", folder)
    defines = [f"-D{size}" for size in sizes.split()]
    subprocess.run(["spin", *defines, "-a", f"{model}.pml"], cwd=folder, check=True, capture_output=True)
    mode = ["-DNP"] if cycles else ["-DSAFETY"]
    command = ["gcc", "-O2", "-w", *mode, "-DCOLLAPSE", "-DVECTORSZ=2048", f"-DMEMLIM={10_000}", "-o", "pan", "pan.c"]
    subprocess.run(command, cwd=folder, check=True)
    output = subprocess.run(
        ["./pan", "-m200000", *(["-l"] if cycles else [])], cwd=folder, capture_output=True, text=True
    )
    assert "max search depth too small" not in output.stdout
    assert "Search not completed" not in output.stdout or "errors: 0" not in output.stdout, output.stdout
    (errors,) = re.findall(r"errors: (\d+)", output.stdout)
    (states,) = re.findall(r"(\d+(?:\.\d+e\+\d+)?) states, stored", output.stdout)
    return int(errors), int(float(states))


@pytest.mark.parametrize(("model", "sizes"), HOLD + HOLD_NIGHTLY * NIGHTLY)
def test_every_interleaving_keeps_the_promise(model, sizes, tmp_path):
    errors, states = explore(model, sizes, tmp_path)
    print(f"{model}, {sizes}: {states:,} states")
    assert errors == 0
    assert states > 10_000


@pytest.mark.parametrize(("model", "sizes"), END + END_NIGHTLY * NIGHTLY)
def test_every_interleaving_ends(model, sizes, tmp_path):
    errors, states = explore(model, sizes, tmp_path, cycles=True)
    print(f"{model}, {sizes}: {states:,} states, none of them on a cycle")
    assert errors == 0


@pytest.mark.parametrize(("model", "error", "sizes"), WRONG)
def test_seeded_errors_are_found(model, error, sizes, tmp_path):
    errors, states = explore(model, f"WRONG_{error} {sizes}", tmp_path)
    print(f"{model}, {error}: found after {states:,} states")
    assert errors > 0


def test_a_reach_older_than_the_slots_is_raised_or_a_request_never_ends(tmp_path):
    errors, states = explore("table", "WRONG_OLD_REACH_STAYS THREADS=2 SLOTS=2 OLD_REACH", tmp_path, cycles=True)
    print(f"found after {states:,} states")
    assert errors > 0
