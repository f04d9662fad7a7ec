"""The core's C code under native threads: the promises, the ThreadSanitizer, and another processor's code.

Each program is stress.c with the functions of core.pyx; no Python runs in it.
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
from tools import needs

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
SECONDS = 60 if os.environ.get("RATELIMIT_NIGHTLY") else 10  # for each scenario, at most
WIDE_CAS = ["-mcx16"] if platform.machine() == "x86_64" else []


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with the C code and the headers, which a test may copy and damage."""
    folder = tmp_path_factory.mktemp("native")
    directives = [f"-X{directive}" for directive in ("cdivision=True", "boundscheck=False", "wraparound=False")]
    command = [
        sys.executable,
        "-m",
        "cython",
        "-3",
        *directives,
        "-I",
        PROJECT,
        HERE / "core.pyx",
        "-o",
        folder / "core.c",
    ]
    subprocess.run(command, check=True, cwd=folder)
    for file in (HERE / "stress.c", *PROJECT.glob("ratelimit/*.h")):
        shutil.copy(file, folder)
    return folder


def build(folder, *options, compiler="gcc"):
    needs(compiler)
    # Of Cython's module only the functions that stress.c calls are kept: so nothing of Python is linked.
    command = [compiler, "-w", "-pthread", "-ffunction-sections", "-Wl,--gc-sections", *options]
    command += [f"-I{folder}", f"-I{sysconfig.get_path('include')}", folder / "core.c", folder / "stress.c"]
    subprocess.run([*command, "-o", folder / "stress"], check=True)
    return folder / "stress"


def run(*command, seconds=SECONDS):
    result = subprocess.run([*command, str(seconds)], capture_output=True, text=True, timeout=40 * seconds)
    print(result.stdout)
    return result


def damaged(source, folder, header, right, wrong):
    """A copy of the source with one line of a header changed."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    text = (folder / header).read_text()
    assert text.count(right) == 1
    (folder / header).write_text(text.replace(right, wrong))
    return folder


def test_promises_hold_under_native_threads(source):
    result = run(build(source, "-O2", *WIDE_CAS))
    assert result.returncode == 0, result.stdout  # 2: a scenario saw no collision, or no reclaim


def test_a_swap_in_two_steps_breaks_the_promises(source, tmp_path):
    folder = damaged(
        source,
        tmp_path,
        "_atomics.h",
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
        "_atomics.h",
        "return __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);",
        "uint64_t before = *counter; *counter = before + amount; return before;",
    )
    result = run(build(folder, "-O1", "-g", "-fsanitize=thread", *WIDE_CAS))
    assert re.search(r"WARNING: ThreadSanitizer: data race", result.stderr)


@pytest.mark.parametrize("options", [[], ["-march=armv8.1-a"]], ids=["armv8.0", "armv8.1"])
def test_promises_hold_in_code_for_aarch64(source, options):
    """A smoke test: qemu on x86 hardly ever shows a reordering, so it says nothing about memory order."""
    needs("qemu-aarch64-static")
    program = build(source, "-O2", "-static", *options, compiler="aarch64-linux-gnu-gcc")
    result = run("qemu-aarch64-static", program)
    assert result.returncode == 0, result.stdout
