"""The extension modules; all else is in pyproject.toml."""

import os
import platform
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

checked = bool(os.environ.get("RATELIMIT_DEBUG"))  # bounds and overflow checks, for a debug build

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                depends=[str(header) for header in Path("ratelimit").rglob("*.h")],
                include_dirs=["ratelimit"],
                extra_compile_args=["-O3", *(["-mcx16"] if platform.machine() == "x86_64" else [])],
            )
            for source in sorted(Path("ratelimit").rglob("*.pyx"))
        ],
        compiler_directives={
            "language_level": 3,
            "binding": False,
            "boundscheck": checked,
            "wraparound": False,
            "initializedcheck": checked,
            "cdivision": True,
            "overflowcheck": checked,
            "freethreading_compatible": True,
            "embedsignature": True,
            "embedsignature.format": "clinic",
        },
    )
)
