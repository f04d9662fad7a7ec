"""The extension modules; everything else is in pyproject.toml."""

import os
import platform
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

debug = bool(os.environ.get("RATELIMIT_DEBUG"))  # checks of bounds and overflow, and symbols for a debugger

# Symbols would be four fifths of a wheel. With -O2, `allow` takes a fifth longer than with -O3.
compile_args = ["-Og", "-g"] if debug else ["-O3", "-g0"]
if platform.machine() == "x86_64":
    compile_args.append("-mcx16")

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                depends=[str(header) for header in Path("ratelimit/_engine").glob("*.h")],
                include_dirs=["ratelimit"],
                extra_compile_args=compile_args,
                extra_link_args=["-Wl,-s"] if sys.platform == "linux" and not debug else [],
            )
            for source in sorted(Path("ratelimit").rglob("*.pyx"))
        ],
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
