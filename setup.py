"""The extension modules; everything else is in pyproject.toml."""

import os
import sys
from pathlib import Path
from sysconfig import get_platform

from Cython.Build import cythonize
from setuptools import Extension, setup

debug = bool(os.environ.get("RATELIMIT_DEBUG"))  # checks of bounds and overflow, and symbols for a debugger

# Symbols would be four fifths of a wheel. The code of each request is compiled for speed: with -O2, `allow` takes a
# fifth longer than with -O3, and `allow_many` a third. With -O2, `hit` takes 6% longer, an `All` and a replay are as
# fast, and the size is five sixths. With `arguments` and `attachment` for size, `hit` takes a sixth longer and `peek`
# an eighth. Inlining adds at most 5% to such a module instead of 40%: `peek` and an `All` are faster so, `hit` takes 3%
# longer, and a wheel is 45 KB smaller. All other modules are compiled for size. C needs no tables for unwinding. Wheels
# are compressed, so Cython need not compress constants; and CPython's own code is used to call bound methods.
fast = {"algorithms", "batch"}
fair = {"_core", "arguments", "attachment", "composite", "decision", "fields", "spending"}
fair |= {"_counting", "_grouped", "_scanning"}
small = ["-g0", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-plt", "-fvisibility=hidden"]
small += ["-fomit-frame-pointer"]  # the default of gcc, but not of zig
small += ["-DCYTHON_COMPRESS_STRINGS=0", "-DCYTHON_UNPACK_METHODS=0"]


def compile_args(name: str) -> list[str]:
    level = "-O3" if name in fast else "-O2" if name in fair else "-Os"
    options = ["-Og", "-g"] if debug else [level, *small]
    if level == "-O2":
        options.append("--param=inline-unit-growth=5")
    if level == "-Os":  # the pending exception is asked of CPython, by smaller code
        options.append("-DCYTHON_FAST_THREAD_STATE=0")
    return options + ["-mcx16"] * get_platform().endswith("x86_64")  # of the target


# The code that most modules need, once for all: Cython writes this file. None of them has typed memoryviews, whose code
# would be large; see _engine/arrays.pxd.
shared = "ratelimit._engine.cython_shared"


def extension(source: Path) -> Extension:
    return Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        depends=[str(header) for header in Path("ratelimit/_engine").glob("*.h")],
        include_dirs=["ratelimit"],
        extra_compile_args=compile_args(source.stem),
        extra_link_args=["-Wl,-s,--hash-style=gnu,--build-id=none"] if sys.platform == "linux" and not debug else [],
    )


setup(
    ext_modules=cythonize(
        [extension(source) for source in sorted(Path("ratelimit").rglob("*.pyx"))]
        + [extension(Path(shared.replace(".", "/") + ".c"))],
        shared_utility_qualified_name=shared,
        shared_utility_features_disabled=["MemoryView"],
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
            "auto_pickle": False,  # what can be pickled defines __reduce__
        },
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
