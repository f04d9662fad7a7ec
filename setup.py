"""The extension modules; everything else is in pyproject.toml."""

import os
import sys
from pathlib import Path
from sysconfig import get_platform

from Cython.Build import cythonize
from setuptools import Extension, setup

debug = bool(os.environ.get("RATELIMIT_DEBUG"))  # checks of bounds and overflow, and symbols for a debugger

# Symbols would be four fifths of a wheel. The code of each request is compiled for speed: with -O2, `allow` takes a
# fifth longer than with -O3. The limits of an `All` are as fast with -O2, in three quarters of the size. All other
# modules are compiled for size. C needs no tables for unwinding.
fast = {"_core", "spending", "algorithms", "batch", "decision", "chain", "fields"}
fast |= {"_counting", "_grouped", "_scanning", "_loops"}


def compile_args(name: str) -> list[str]:
    if debug:
        options = ["-Og", "-g"]
    else:
        level = "-O3" if name in fast else "-O2" if name == "composite" else "-Os"
        options = [level, "-g0", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
    return options + ["-mcx16"] * get_platform().endswith("x86_64")  # of the target


# Cython's code for typed memoryviews, once for all modules: it would be a third of a wheel. Cython writes this file.
shared = "ratelimit._engine.cython_shared"


def extension(source: Path) -> Extension:
    return Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        depends=[str(header) for header in Path("ratelimit/_engine").glob("*.h")],
        include_dirs=["ratelimit"],
        extra_compile_args=compile_args(source.stem),
        extra_link_args=["-Wl,-s"] if sys.platform == "linux" and not debug else [],
    )


setup(
    ext_modules=cythonize(
        [extension(source) for source in sorted(Path("ratelimit").rglob("*.pyx"))]
        + [extension(Path(shared.replace(".", "/") + ".c"))],
        shared_utility_qualified_name=shared,
        compiler_directives={
            "language_level": 3,
            "binding": False,
            "boundscheck": debug,
            "wraparound": False,
            "initializedcheck": debug,
            "cdivision": True,
            "overflowcheck": debug,
            "freethreading_compatible": True,
            "embedsignature": True,
            "embedsignature.format": "clinic",
        },
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
