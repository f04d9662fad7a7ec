"""The extension modules; all else is in pyproject.toml."""

import os
import platform

from Cython.Build import cythonize
from setuptools import Extension, setup

MODULES = (
    "_core",
    "algorithms",
    "composite",
    "gateway.chain",
    "gateway.meter",
    "replay._tally",
    "bench._loops",
)
checked = bool(os.environ.get("RATELIMIT_DEBUG"))  # bounds and overflow checks, for a debug build

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"ratelimit.{name}",
                [f"ratelimit/{name.replace('.', '/')}.pyx"],
                depends=["ratelimit/_atomics.h", "ratelimit/_monotonic.h", "ratelimit/_siphash.h"],
                include_dirs=["ratelimit"],
                extra_compile_args=["-O3", *(["-mcx16"] if platform.machine() == "x86_64" else [])],
            )
            for name in MODULES
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
