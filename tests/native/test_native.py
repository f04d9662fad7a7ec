"""The core's C code under native threads: the promises, the ThreadSanitizer, and another processor's code.

Each program is stress.c, or search.c, with the functions of core.pyx; no Python runs in it.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tools import NIGHTLY, needs
from waiting import PATIENCE

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
COLLISIONS = 1_000 if NIGHTLY else 100  # that have to be seen in each scenario, with each algorithm
WIDE_CAS = ["-mcx16"] if platform.machine() == "x86_64" else []


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a folder with the C code and the headers, which a test may copy and damage."""
    return translated(tmp_path_factory.mktemp("native"))


def translated(folder, project=PROJECT):
    directives = [f"-X{directive}" for directive in ("cdivision=True", "boundscheck=False", "wraparound=False")]
    command = [
        sys.executable,
        "-m",
        "cython",
        "-3",
        *directives,
        "-I",
        project,
        HERE / "core.pyx",
        "-o",
        folder / "core.c",
    ]
    subprocess.run(command, check=True, cwd=folder)
    for file in (HERE / "stress.c", HERE / "search.c"):
        shutil.copy(file, folder)
    headers = folder / "_engine"
    headers.mkdir()
    for file in (project / "ratelimit" / "_engine").glob("*.h"):
        shutil.copy(file, headers)
    # Debian's pyconfig.h includes that of the target, which is not installed. The sizes of the types are the same.
    series = Path(sysconfig.get_path("include")).name
    (folder / "aarch64-linux-gnu" / series).mkdir(parents=True)
    (folder / "aarch64-linux-gnu" / series / "pyconfig.h").write_text(
        f"#include <{platform.machine()}-linux-gnu/{series}/pyconfig.h>\n"
    )
    return folder


def build(folder, *options, compiler="gcc", program="stress"):
    needs(compiler)
    # Of Cython's module only the functions that the program calls are kept: so nothing of Python is linked.
    command = [compiler, "-w", "-pthread", "-ffunction-sections", "-Wl,--gc-sections", *options]
    # Headers of Python that are not installed are in the environment, where scripts/make-venv has unpacked them.
    headers = [f"-I{folder}", f"-I{sysconfig.get_path('include')}", f"-I{sys.prefix}/include"]
    command += [*headers, folder / "core.c", folder / f"{program}.c"]
    subprocess.run([*command, "-o", folder / program], check=True)
    return folder / program


def run(*command, **environment):
    command = [*command, str(PATIENCE), str(COLLISIONS)]
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    print(result.stdout)
    return result


def damaged(source, folder, header, right, wrong):
    """Return a copy of the source with one line of a header changed."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    text = (folder / header).read_text()
    assert text.count(right) == 1
    (folder / header).write_text(text.replace(right, wrong))
    return folder


def test_promises_hold_under_native_threads(source):
    result = run(build(source, "-O2", *WIDE_CAS))
    assert result.returncode == 0, result.stdout  # 2: a scenario saw too few collisions or reclaims


def test_a_swap_in_two_steps_breaks_the_promises(source, tmp_path):
    folder = damaged(
        source,
        tmp_path,
        "_engine/atomics.h",
        "    u128 seen = word_swap(word, *expected, desired);\n",
        "    volatile u128 *torn = word;\n    u128 seen = *torn;\n"
        "    if (seen == *expected) { sched_yield(); *torn = desired; }\n",
    )
    assert run(build(folder, "-O2", "-include", "sched.h", *WIDE_CAS)).returncode == 1


def test_thread_sanitizer_finds_nothing(source):
    result = run(build(source, "-O1", "-g", "-fsanitize=thread", *WIDE_CAS))
    assert "ThreadSanitizer" not in result.stderr, result.stderr[:4000]
    assert result.returncode == 0, result.stdout


def test_thread_sanitizer_finds_a_seeded_race(source, tmp_path):
    folder = damaged(
        source,
        tmp_path,
        "_engine/atomics.h",
        "return __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);",
        "uint64_t before = *counter; *counter = before + amount; return before;",
    )
    result = run(build(folder, "-O1", "-g", "-fsanitize=thread", *WIDE_CAS), TSAN_OPTIONS="halt_on_error=1")
    assert re.search(r"WARNING: ThreadSanitizer: data race", result.stderr)


@pytest.mark.parametrize("options", [[], ["-march=armv8.1-a"]], ids=["armv8.0", "armv8.1"])
def test_promises_hold_in_code_for_aarch64(source, options):
    """A smoke test: qemu on x86 hardly ever shows a reordering, so it does not check the memory order."""
    needs("qemu-aarch64-static")
    program = build(source, "-O2", "-static", *options, compiler="aarch64-linux-gnu-gcc")
    result = run("qemu-aarch64-static", program)
    assert result.returncode == 0, result.stdout


# --- eight slots at once: a search has to come to what it comes to slot by slot ------------------------------

NO_GROUPS = "-include", "one_by_one.h"
ONE_BY_ONE = """
#include "_engine/atomics.h"
#define words_passed(words, shift, top) 0
#define words_above(words, shift, top, floor) 0
"""


def searches(folder, *options, compiler="gcc", runner=()):
    """Run search.c and return its output, a line for each table."""
    program = build(folder, "-O2", *options, compiler=compiler, program="search")
    return subprocess.run([*runner, program], check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture(scope="module")
def one_by_one(source):
    (source / "one_by_one.h").write_text(ONE_BY_ONE)
    return searches(source, *NO_GROUPS, *WIDE_CAS)


def test_search_in_groups_equals_a_search_one_by_one(source, one_by_one):
    assert searches(source, *WIDE_CAS) == one_by_one
    for outcome in ("found -1", "found [0-9]", "claimed -1", "claimed [0-9]", "opens 0", "opens [1-9]"):
        for algorithm in range(6):
            seen = sum(bool(re.match(f"{algorithm} .*{outcome}", line)) for line in one_by_one)
            assert seen > 100, f"algorithm {algorithm}, {outcome}: {seen} of {len(one_by_one)}"


def test_search_in_groups_equals_a_search_one_by_one_on_aarch64(source, one_by_one):
    needs("qemu-aarch64-static")
    options = {"compiler": "aarch64-linux-gnu-gcc", "runner": ["qemu-aarch64-static"]}
    assert searches(source, "-static", **options) == one_by_one


# To show that the tests above detect errors: a line of each file, and a wrong one to replace it.
WRONG_SEARCHES = {
    "the slot after a group is skipped": (
        "_engine/layout.pxd",
        "    slot += count\n    return level.slots if slot == level.slots + level.size else slot",
        "    slot += count + (count > 1)\n    return level.slots if slot >= level.slots + level.size else slot",
    ),
    "what is left at the end is skipped": (
        "_engine/search.pxd",
        "        skipped = skip_others(level, slot, left, STATE_AND_CLAIM - 1, tag << 1)",
        "        left -= left % GROUP\n        skipped = skip_others(level, slot, left, STATE_AND_CLAIM - 1, tag << 1)",
    ),
    "a last group goes on beyond the table": (
        "_engine/search.pxd",
        "end = min(left, slots_ahead(level, slot)) // GROUP * GROUP",
        "end = (min(left, slots_ahead(level, slot)) + GROUP - 1) // GROUP * GROUP",
    ),
    "the table's end is not seen": (
        "_engine/search.pxd",
        "ahead - skipped >= GROUP:",
        "True:",
    ),
    "it wraps a slot too far": (
        "_engine/layout.pxd",
        "    return level.slots if slot == level.slots + level.size else slot",
        "    return level.slots + (count > 1) if slot == level.slots + level.size else slot",
    ),
    "the last slot of a group is not looked at": (
        "_engine/atomics.h",
        "word[i], word[i + 1]) >>",
        "word[i], word[i & 4]) >>",
    ),
    "a claim is passed": ("_engine/atomics.h", "above &= ~(rest | (tops - 2)", "above &= ~((tops - 2)"),
    "the own tag is passed": ("_engine/atomics.h", " | ((tops ^ top) - 1));", ");"),
    "the low half is not compared": ("_engine/atomics.h", " - borrow; /*", " - 1; /*"),
    "the floor is too low": ("_engine/algorithm.pxd", "        return <u128>moment * rule.unit", "        return 0"),
    "a log leaves too late": ("_engine/algorithm.pxd", "log_pack(since + 2, 0)", "log_pack(since + 1, 0)"),
    "a first window ends too late": (
        "_engine/algorithm.pxd",
        "since + 1 if rule.algorithm == FIRST_WINDOW",
        "since if rule.algorithm == FIRST_WINDOW",
    ),
    "a window ends too late": ("_engine/algorithm.pxd", " else moment, 0)", " else since, 0)"),
    "a sliding window ends too late": (
        "_engine/algorithm.pxd",
        "<u128>(moment // rule.period) << 2",
        "<u128>(since // rule.period) << 2",
    ),
}


@pytest.mark.parametrize("error", WRONG_SEARCHES if NIGHTLY else list(WRONG_SEARCHES)[:3])
def test_a_wrong_search_in_groups_is_detected(error, one_by_one, tmp_path):
    file, right, wrong = WRONG_SEARCHES[error]
    shutil.copytree(
        PROJECT / "ratelimit",
        tmp_path / "ratelimit",
        ignore=shutil.ignore_patterns("*.py", "*.pyx", "*.pyi", "*.c", "*.so", "__pycache__"),
    )
    text = (tmp_path / "ratelimit" / file).read_text()
    assert text.count(right) == 1
    (tmp_path / "ratelimit" / file).write_text(text.replace(right, wrong))
    folder = translated(tmp_path, project=tmp_path)
    program = build(folder, "-O2", *WIDE_CAS, program="search")
    printed = subprocess.run([program], capture_output=True, text=True).stdout  # it may well crash
    assert printed.splitlines() != one_by_one
